"""Whether a stream that is over came to its end: a body that was cut short can look like a whole one.

Source: the chat completions protocol, in which the last piece of an answer says why it ended. Pydantic AI's adapter takes
`stop` for granted where none did, unless the model's profile says otherwise.
"""

from pydantic_ai.models import StreamedResponse
from pydantic_ai.profiles import ModelProfile

_CHAT = "OpenAIStreamedResponse"
# Passes on models that never say why they ended.
_SILENT = "SnowflakeStreamedResponse"
_PROFILED = "openai_chat_streaming_requires_finish_reason"


def cut_short(stream: StreamedResponse, profile: ModelProfile) -> bool:
    """Whether a stream that is over never said that it was.

    Known of OpenAI-compatible chat completions, unless the model's profile has the setting above as False, and of streams
    that their adapter calls incomplete; of others it is not known, and False.
    """
    if stream.state == "incomplete":
        return True
    families = {cls.__name__ for cls in type(stream).__mro__}
    if _CHAT not in families or _SILENT in families or profile.get(_PROFILED) is False:
        return False
    said = (stream.provider_details or {}).get("finish_reason")
    # Without a word from the provider, only these two are made up.
    return not said and stream.finish_reason in {"stop", "tool_call"}
