"""Which streams that are over came to their end, as their adapters tell it."""

from typing import Any

import pytest
from pydantic_ai.models import ModelRequestParameters

from seawall.defense.streaming.ending import cut_short
from tests.defense.streams import ScriptedModel, ScriptedStream

CHAT = ("OpenAIStreamedResponse",)


def stream(family: tuple[str, ...], **learnt: Any) -> ScriptedStream:
    """A stream of a class by that name, derived from the ones before it, that learnt this on the way."""
    kind: Any = ScriptedStream
    for name in family:
        kind = type(name, (kind,), {})
    made: ScriptedStream = kind(ScriptedModel(), [], ModelRequestParameters())
    for name, value in learnt.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("family", "learnt", "short"),
    [
        (CHAT, {"finish_reason": "stop"}, True),
        (CHAT, {"finish_reason": "stop", "provider_details": {"timestamp": 0}}, True),
        (CHAT, {"finish_reason": "stop", "provider_details": {"finish_reason": "stop"}}, False),
        (CHAT, {"finish_reason": None, "provider_details": {"finish_reason": "of_its_own"}}, False),
        (CHAT, {"finish_reason": "content_filter"}, False),
        ((*CHAT, "OpenRouterStreamedResponse"), {"finish_reason": "stop"}, True),
        ((*CHAT, "SnowflakeStreamedResponse"), {"finish_reason": "stop"}, False),
        (("OpenAIResponsesStreamedResponse",), {"state": "incomplete"}, True),
        (("OpenAIResponsesStreamedResponse",), {"state": "suspended"}, False),
        ((), {"finish_reason": None}, False),
        ((), {"finish_reason": "stop"}, False),
    ],
)
def test_an_end_is_believed_where_the_provider_said_it(
    family: tuple[str, ...], learnt: dict[str, Any], short: bool
) -> None:
    """A reason that the adapter made up is none; where it makes none up, and of models of other kinds, nothing is doubted."""
    assert cut_short(stream(family, **learnt), {}) is short


def test_a_profile_that_says_so_is_believed() -> None:
    """Some providers never say why they end; whoever uses one knows it."""
    profile: Any = {"openai_chat_streaming_requires_finish_reason": False}
    assert not cut_short(stream(CHAT, finish_reason="stop"), profile)
