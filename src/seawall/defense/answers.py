"""Answers that were given lately, for when nothing can give a new one.

Source: `stale-if-error` of RFC 5861. It is no cache: nobody gets an old answer while a new one can be had.
"""

import hmac
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from pydantic_ai.messages import ModelMessage

from seawall.defense.limits import Caller
from seawall.foundation.clock import Clock

OutputT = TypeVar("OutputT")

_MOST = 1024


@dataclass(frozen=True, slots=True)
class Answer(Generic[OutputT]):
    """An answer as it was given: the typed output, the conversation, and which model gave it."""

    output: OutputT
    messages: list[ModelMessage]
    model: str


class Answers(Generic[OutputT]):
    """The latest 1,024 answers of one agent, each for `keep` seconds, in memory only.

    An answer belongs to the caller who asked and to the very question: keys are HMACs of both. What goes in and out
    is copied, so that nobody's changes reach the next reader.
    """

    def __init__(self, keep: float, secret: bytes, clock: Clock) -> None:
        self._keep = keep
        self._secret = secret
        self._now = clock.monotonic
        self._kept: OrderedDict[bytes, tuple[float, Answer[OutputT]]] = OrderedDict()

    def key(self, caller: Caller, question: str) -> bytes:
        """Name a caller's question."""
        asked = repr((caller.tenant, caller.subject, caller.agent, question))
        return hmac.digest(self._secret, asked.encode("utf-8", "surrogatepass"), sha256)

    def keep(self, key: bytes, answer: Answer[OutputT]) -> None:
        """Remember an answer, and forget the oldest where there are too many."""
        self._kept[key] = (self._now() + self._keep, deepcopy(answer))
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def find(self, key: bytes) -> Answer[OutputT] | None:
        """Return the answer, unless it is too old."""
        until, answer = self._kept.get(key, (0.0, None))
        if answer is None:
            return None
        if self._now() >= until:
            del self._kept[key]
            return None
        return deepcopy(answer)
