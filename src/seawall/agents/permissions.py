"""What a tool may do to the world, as marks in its metadata: least privilege needs to know it before the call."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from seawall.foundation.errors import ConfigError

Effect = Literal["egress", "side_effect"]

_KEY = "seawall"
_EVERYTHING: frozenset[Effect] = frozenset(("egress", "side_effect"))


def marks(*effects: Effect, trusted_result: bool = False, idempotent: bool = False) -> dict[str, Any]:
    """Make the metadata of a tool: `@agent.tool_plain(metadata=marks("egress"))`.

    `egress` sends data to where the caller's tenant does not rule; `side_effect` changes something that outlives the
    run. A run that has read untrusted text calls neither without an approval. What a tool returns is untrusted
    text, unless its result is marked as trusted: numbers of your own database, say, never a web page or a mail. A
    trusted result is not judged. An `idempotent` tool may be called again where a call failed: twice does what once
    does. ConfigError for another word.
    """
    unknown = [effect for effect in effects if effect not in _EVERYTHING]
    if unknown:
        raise ConfigError(f"marks({unknown[0]!r}): expected 'egress', 'side_effect' or both")
    return {_KEY: {"effects": tuple(effects), "trusted_result": trusted_result, "idempotent": idempotent}}


def agent_marks(name: str, *, trusted_result: bool = False) -> dict[str, Any]:
    """Make the metadata of a tool that is another agent, called `name`: what that agent may do is its own policy's."""
    marked = marks(trusted_result=trusted_result)
    marked[_KEY]["agent"] = name
    return marked


def agent_of(metadata: Mapping[str, Any] | None) -> str:
    """Return the name of the agent that a tool is, "" where it is none."""
    marked = None if metadata is None else metadata.get(_KEY)
    return "" if marked is None else str(marked.get("agent", ""))


def effects_of(metadata: Mapping[str, Any] | None) -> frozenset[Effect]:
    """Say what a tool may do: by its marks, else by its MCP annotations; a plain function without marks does nothing.

    A tool of an MCP server that says nothing of itself may do anything, as the protocol has it (MCP 2025-11-25,
    tool annotations: `readOnlyHint` is false and `openWorldHint` true by default).
    """
    if metadata is None:
        return frozenset()
    marked = metadata.get(_KEY)
    if marked is not None:
        return frozenset(cast("tuple[Effect, ...]", marked["effects"]))
    if "annotations" not in metadata:
        return frozenset()
    hints = cast("Mapping[str, Any]", metadata["annotations"] or {})
    harmless: set[Effect] = set()
    if hints.get("readOnlyHint") is True:
        harmless.add("side_effect")
    if hints.get("openWorldHint") is False:
        harmless.add("egress")
    return _EVERYTHING - harmless


def describes_itself(metadata: Mapping[str, Any] | None) -> bool:
    """Say whether a stranger wrote what a tool is said to do: the tool comes from an MCP server, and has no marks.

    To mark a tool is to vouch for its description too.
    """
    return metadata is not None and "annotations" in metadata and _KEY not in metadata


def result_is_trusted(metadata: Mapping[str, Any] | None) -> bool:
    """Say whether what a tool returns may be read as the developer's own words."""
    marked = None if metadata is None else metadata.get(_KEY)
    return marked is not None and bool(marked["trusted_result"])


def may_be_called_again(metadata: Mapping[str, Any] | None) -> bool:
    """Say whether a call that failed may be made again: by the tool's marks, else by its MCP annotations."""
    if metadata is None:
        return False
    marked = metadata.get(_KEY)
    if marked is not None:
        return bool(marked.get("idempotent"))
    hints = cast("Mapping[str, Any]", metadata.get("annotations") or {})
    return hints.get("idempotentHint") is True or hints.get("readOnlyHint") is True
