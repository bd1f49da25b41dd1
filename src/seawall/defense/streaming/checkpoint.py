"""Where a segment waits for its verdict."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Literal

from seawall.defense.guards import GuardBlocked

Channel = Literal["text", "tool_call", "thinking", "returned"]
Judge = Callable[[str, str, Channel], Awaitable[str]]

CONTEXT = 400


class Checkpoint:
    """Asks the judge about each segment, with the end of what was let out before it in the same channel.

    What the judge reads holds pseudonym tokens, never what they stand for. Whatever the judge raises goes
    through as it is, and the segment stays in. `asked` says that something was judged, `refused` that a
    verdict was a refusal or failed to come.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._before: defaultdict[Channel, str] = defaultdict(str)
        self.refused = False
        self.asked = False

    async def let_out(self, text: str, channel: Channel) -> str:
        """Return the text that may go out, as it is or with something taken out; raise what the judge raises."""
        if not text:
            return text
        before = self._before[channel]
        self.asked = True
        try:
            shown = await self._judge(text, before, channel)
        except Exception:
            self.refused = True
            raise
        self._before[channel] = (before + shown)[-CONTEXT:]
        return shown

    async def let_out_unchanged(self, text: str, channel: Channel) -> None:
        """Judge what can only go out as it is: GuardBlocked where the judge would take something out of it."""
        if await self.let_out(text, channel) != text:
            self.refused = True
            raise GuardBlocked()
