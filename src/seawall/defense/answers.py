"""Answers that were given lately, for when nothing can give a new one.

Source: `stale-if-error` of RFC 5861. It is no cache: nobody gets an old answer while a new one can be had.
"""

import hmac
import logging
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, NamedTuple, TypeVar

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from seawall.defense.limits import Caller
from seawall.foundation.clock import Clock

OutputT = TypeVar("OutputT")

_MOST = 1024
_MOST_BYTES = 16_000_000
_LARGEST = 1_000_000
_log = logging.getLogger("seawall.answers")


@dataclass(frozen=True, slots=True)
class Answer(Generic[OutputT]):
    """An answer as it was given: the typed output, the conversation, and which model gave it."""

    output: OutputT
    messages: list[ModelMessage]
    model: str


class _Kept(NamedTuple, Generic[OutputT]):
    until: float
    output: OutputT
    messages: bytes
    model: str


class Answers(Generic[OutputT]):
    """The latest 1,024 answers of one agent, of 16 MB in all, each for `keep` seconds, in memory only.

    An answer belongs to the caller who asked, with the scopes that it had, and to the very question: keys are HMACs of
    all. What goes in and out is copied, so that nobody's changes reach the next reader; what cannot be copied, or is
    over 1 MB, is not kept.
    """

    def __init__(self, keep: float, secret: bytes, clock: Clock) -> None:
        self._keep = keep
        self._secret = secret
        self._now = clock.monotonic
        self._kept: OrderedDict[bytes, _Kept[OutputT]] = OrderedDict()
        self._bytes = 0

    def key(self, caller: Caller, question: str) -> bytes:
        """Name a caller's question."""
        asked = repr((caller.tenant, caller.subject, sorted(caller.scopes), caller.agent, question))
        return hmac.digest(self._secret, asked.encode("utf-8", "surrogatepass"), sha256)

    def keep(self, key: bytes, answer: Answer[OutputT]) -> None:
        """Remember an answer, and forget the oldest where there are too many."""
        try:
            messages = ModelMessagesTypeAdapter.dump_json(answer.messages)
            output = deepcopy(answer.output)
        except Exception as error:  # noqa: BLE001 - whatever an output's own copying raises, the answer itself is good
            _log.debug("an answer is not kept: %s", type(error).__name__)
            return
        if len(messages) > _LARGEST:
            return
        self._forget(key)
        self._kept[key] = _Kept(self._now() + self._keep, output, messages, answer.model)
        self._bytes += len(messages)
        while len(self._kept) > _MOST or self._bytes > _MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def find(self, key: bytes) -> Answer[OutputT] | None:
        """Return the answer, unless it is too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._now() >= kept.until:
            self._forget(key)
            return None
        messages = ModelMessagesTypeAdapter.validate_json(kept.messages)
        return Answer(deepcopy(kept.output), messages, kept.model)

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.messages)
