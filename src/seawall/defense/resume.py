"""An answer that broke off after some of it was out, and the question kept so that it can be asked again."""

from collections import OrderedDict
from dataclasses import dataclass, field
from secrets import token_urlsafe

from pydantic_ai.exceptions import ModelUnavailableError
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_core import PydanticSerializationError

from seawall.defense.asked import Asked
from seawall.defense.limits import Caller
from seawall.foundation.clock import Clock
from seawall.foundation.errors import Rejected

_MOST = 256
_MOST_CHARACTERS = 16_000_000
_SECONDS = 300.0


class StreamInterrupted(Rejected, ModelUnavailableError):
    """A stream broke off after `released` pieces of it were out, and no other model may finish its sentence.

    `resume_id` has the same question asked anew, from the beginning, for five minutes; "" where it was not kept, since
    it is too long, or a tool was called for it and may have done something.
    """

    by = "stream"

    def __init__(self, resume_id: str, released: int, retry_after: float | None) -> None:
        how = "run it again with resume=error.resume_id" if resume_id else "ask again"
        super().__init__(
            "stream",
            f"the answer broke off after {released} pieces: take them back, and {how}",
            retry_after=retry_after,
        )
        self.resume_id = resume_id
        self.released = released

    def __reduce__(self) -> tuple[type["StreamInterrupted"], tuple[str, int, float | None]]:
        """Rebuild from the facts, where the inherited way would rebuild from the text."""
        return type(self), (self.resume_id, self.released, self.retry_after)


class NothingToResume(Rejected):
    """A resume id is unknown, too old, used already, or another caller's; which of these it does not say."""

    by = "stream"

    def __init__(self) -> None:
        super().__init__(
            "there is nothing to resume under this id: it holds once, for five minutes; ask anew"
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    caller: tuple[str, str]
    asked: Asked = field(repr=False)
    size: int
    until: float


class Interrupted:
    """The questions of streams that broke off, in memory only: at most 256, of 16 million characters in all, for five
    minutes each. The oldest go first.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._characters = 0

    def keep(self, caller: Caller, asked: Asked) -> str:
        """Keep a question; return the id under which its caller can have it asked again, "" where it is too long, or its
        history cannot be measured.
        """
        try:
            size = _size(asked)
        except PydanticSerializationError:
            return ""
        if size > _MOST_CHARACTERS:
            return ""
        id_ = token_urlsafe(16)
        until = self._now() + _SECONDS
        self._kept[id_] = _Kept((caller.tenant, caller.subject), asked, size, until)
        self._characters += size
        while len(self._kept) > _MOST or self._characters > _MOST_CHARACTERS:
            self._forget(next(iter(self._kept)))
        return id_

    def look(self, id_: str, caller: Caller) -> Asked:
        """Return the question of `id_`, which stays; NothingToResume where there is none of this caller's."""
        kept = self._kept.get(id_)
        if kept is None or kept.caller != (caller.tenant, caller.subject) or self._now() >= kept.until:
            raise NothingToResume()
        return kept.asked

    def take(self, id_: str, caller: Caller) -> Asked:
        """Return it and forget it: it is asked again now."""
        asked = self.look(id_, caller)
        self._forget(id_)
        return asked

    def _forget(self, id_: str) -> None:
        self._characters -= self._kept.pop(id_).size


def _size(asked: Asked) -> int:
    """Count the characters of a question."""
    said = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt or []
    words = sum(len(part) if isinstance(part, str) else len(part.text) for part in said)
    return words + len(ModelMessagesTypeAdapter.dump_json(list(asked.history)))
