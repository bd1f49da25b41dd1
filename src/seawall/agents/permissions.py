"""What a tool may do to the world, as marks in its metadata: least privilege needs to know it before the call."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from seawall.foundation.errors import ConfigError

Effect = Literal["egress", "side_effect"]

_KEY = "seawall"
_EVERYTHING: frozenset[Effect] = frozenset(("egress", "side_effect"))


def marks(*effects: Effect, trusted_result: bool = False) -> dict[str, Any]:
    """Make the metadata of a tool: `@agent.tool_plain(metadata=marks("egress"))`.

    `egress` sends data to where the caller's tenant does not rule; `side_effect` changes something that outlives the
    run. A run that has read untrusted text calls neither without an approval. What a tool returns is untrusted
    text, unless its result is marked as trusted: numbers of your own database, say, never a web page or a mail. A
    trusted result is not judged. ConfigError for another word.
    """
    unknown = [effect for effect in effects if effect not in _EVERYTHING]
    if unknown:
        raise ConfigError(f"marks({unknown[0]!r}): expected 'egress', 'side_effect' or both")
    return {_KEY: {"effects": tuple(effects), "trusted_result": trusted_result}}


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
