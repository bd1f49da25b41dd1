"""Messages on their way to a model, with personal data replaced, and its answer on the way back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic_ai.messages import (
    CompactionPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    TextContent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_core import to_jsonable_python

from seawall.foundation.compliance.pseudonyms import Vault

T = TypeVar("T")


def pseudonymise_messages(messages: Sequence[ModelMessage], vault: Vault) -> list[ModelMessage]:
    """Copy the messages with personal data replaced by the vault's tokens, in text, tool arguments and tool results.

    The originals are not touched: history keeps what was said. Instructions and system prompts are the
    developer's own words and go as they are.
    """
    return [
        replace(message, parts=[_hide_request(part, vault) for part in message.parts])
        if isinstance(message, ModelRequest)
        else replace(message, parts=[_hide_response(part, vault) for part in message.parts])
        for message in messages
    ]


def restore_response(response: ModelResponse, vault: Vault, *, text_is_json: bool = False) -> ModelResponse:
    """Copy the response with the vault's tokens turned back, in text and tool arguments; thinking stays as signed.

    Where the text is structured output, `text_is_json`, originals are put back escaped.
    """
    show_text = vault.restore_json_text if text_is_json else vault.restore
    return replace(response, parts=[_show(part, vault, show_text) for part in response.parts])


def _hide_request(part: ModelRequestPart, vault: Vault) -> ModelRequestPart:
    if isinstance(part, UserPromptPart):
        if isinstance(part.content, str):
            return replace(part, content=vault.pseudonymise(part.content))
        return replace(part, content=[_hide_content(content, vault) for content in part.content])
    if isinstance(part, ToolReturnPart | RetryFeedbackPart):
        # Results may be any object: only in its plain form can every string of it be seen; bytes as guards saw them.
        plain = to_jsonable_python(part.content, fallback=str, bytes_mode="base64")
        return replace(part, content=_walk(plain, vault.pseudonymise))
    if isinstance(part, CompactionPart) and part.content is not None:
        return replace(part, content=vault.pseudonymise(part.content))
    return part


def _hide_content(content: UserContent, vault: Vault) -> UserContent:
    if isinstance(content, str):
        return vault.pseudonymise(content)
    if isinstance(content, TextContent):
        # Plain text even for a structured value, which some models would be sent as it is.
        return TextContent(vault.pseudonymise(content.content), metadata=content.metadata)
    # Guards let nothing else pass but marks for a provider's cache.
    return content


def _hide_response(part: ModelResponsePart, vault: Vault) -> ModelResponsePart:
    if isinstance(part, TextPart):
        return replace(part, content=vault.pseudonymise(part.content))
    if isinstance(part, ToolCallPart) and part.args is not None:
        return replace(part, args=_walk(part.args_as_dict(), vault.pseudonymise))
    return part


def _show(part: ModelResponsePart, vault: Vault, show_text: Callable[[str], str]) -> ModelResponsePart:
    if isinstance(part, TextPart):
        return replace(part, content=show_text(part.content))
    if isinstance(part, ToolCallPart) and isinstance(part.args, str):
        return replace(part, args=vault.restore_json_text(part.args))
    if isinstance(part, ToolCallPart):
        return replace(part, args=_walk(part.args, vault.restore))
    return part


def _walk(value: T, change: Any) -> T:
    """Apply `change` to every string in plain data, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return cast("T", {_walk(key, change): _walk(item, change) for key, item in items})
    if isinstance(value, list | tuple):
        return cast("T", [_walk(item, change) for item in cast("list[Any]", value)])
    return value
