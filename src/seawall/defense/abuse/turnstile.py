"""How many requests of one subject may be with a model at once: what bounds a flood whose verdicts are under way.

It stands between the guards and the model. While the first few of a flood are being answered the guards judge the
rest, and each of those asks again at the turnstile where its caller stands now.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from seawall.defense.abuse.policy import Abuse
from seawall.defense.abuse.refusal import Distrusted
from seawall.defense.abuse.standing import Standing
from seawall.foundation.principal import Principal

_NOT_NOW = 1.0


class Turn:
    """Leave to ask a model, held until `leave` or the end of a `with` block; leaving twice does nothing."""

    __slots__ = ("_leave", "standing")

    def __init__(self, standing: Standing, leave: Callable[[], None]) -> None:
        self.standing = standing
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """Let the next one of this subject try."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class _Lane:
    """One subject's requests: `held` places, `inside` of them with a model, the rest being judged; and who waits."""

    __slots__ = ("held", "inside", "waiting")

    def __init__(self) -> None:
        self.held = 0
        self.inside = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Turnstile:
    """Admits at most `abreast` requests of a trusted subject at once, and one of a watched subject; the others of
    a trusted subject wait their turn, those of a watched one are refused.

    Memory is bounded by the requests that are here. For one process and one event loop: with N processes a subject
    may have N times as many with a model.
    """

    def __init__(self, policy: Abuse, look: Callable[[Principal], Awaitable[Standing]]) -> None:
        self._abreast = policy.abreast
        self._most_waiting = policy.waiting
        self._look = look
        self._lanes: dict[tuple[str, str], _Lane] = {}

    def __len__(self) -> int:
        """Subjects with a request here."""
        return len(self._lanes)

    async def enter(self, principal: Principal) -> Turn:
        """Wait for a place, then ask once more where the caller stands; Distrusted where it is refused, where
        it is watched and came with others, or where too many wait. Safe to cancel; the caller bounds the time.
        """
        key = (principal.tenant, principal.subject)
        lane = self._lanes.setdefault(key, _Lane())
        waited = await self._take_place(key, lane)
        try:
            standing = await self._look(principal)
            if standing.retry_after is not None:
                raise Distrusted(standing.retry_after)
            # Who waited came with a crowd, and something of that crowd was caught: none of it goes on.
            if standing.step != "trusted" and (waited or lane.inside):
                raise Distrusted(_NOT_NOW)
        except BaseException:
            self._give_back(key, lane)
            raise
        lane.inside += 1
        return Turn(standing, lambda: self._leave(key, lane))

    async def _take_place(self, key: tuple[str, str], lane: _Lane) -> bool:
        if lane.held < self._abreast:
            lane.held += 1
            return False
        if len(lane.waiting) >= self._most_waiting:
            raise Distrusted(_NOT_NOW)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                # It was given a place and is leaving all the same.
                self._give_back(key, lane)
            else:
                lane.waiting.remove(place)
            raise
        return True

    def _leave(self, key: tuple[str, str], lane: _Lane) -> None:
        lane.inside -= 1
        self._give_back(key, lane)

    def _give_back(self, key: tuple[str, str], lane: _Lane) -> None:
        while lane.waiting:
            place = lane.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        lane.held -= 1
        if not lane.held:
            del self._lanes[key]
