"""The last rungs: what a caller gets when no model could answer."""

from typing import Any, Generic, TypeVar

from pydantic_ai.exceptions import (
    FallbackExceptionGroup,
    ModelAPIError,
    RunTimedOut,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.tools import DeferredToolRequests
from pydantic_core import PydanticSerializationError

from seawall.defense.answers import Answer, Answers
from seawall.defense.asked import Asked
from seawall.defense.degradation import Unavailable, nothing_answered
from seawall.defense.policy import Policy
from seawall.defense.run_state import RunState
from seawall.foundation.clock import Clock
from seawall.foundation.errors import Rejected
from seawall.foundation.units import seconds

OutputT = TypeVar("OutputT")

# What may come out of an agent's run because nothing could answer it; everything else is raised as it is.
NO_MODEL = (
    FallbackExceptionGroup,
    ModelAPIError,
    UnexpectedModelBehavior,
    Rejected,
    ConnectionError,
    RunTimedOut,
)


class Rescue(Generic[OutputT]):
    """Known answer, partial answer, honest refusal: in this order, as the policy has them."""

    def __init__(self, policy: Policy, secret: bytes, clock: Clock) -> None:
        keep = policy.stale_if_error
        self._answers = None if keep is None else Answers[OutputT](seconds(keep), secret, clock)
        self._partial = policy.partial
        self._rest = seconds(policy.breaker.open_for)

    def keep(self, run: RunState, asked: Asked, answer: Answer[OutputT]) -> None:
        """Remember a whole answer; none for which a tool was called, for it may have done something, nor one that asks
        for leave to call one.
        """
        whole = run.level == "full" and not run.missing and not run.acted
        key = self._key(run, asked)
        if (
            self._answers is not None
            and key
            and whole
            and not isinstance(answer.output, DeferredToolRequests)
        ):
            self._answers.keep(key, answer)

    def refusal(self, error: BaseException) -> Rejected | None:
        """Return how to refuse where an error says that no model could be asked; None for any other error."""
        if not isinstance(error, NO_MODEL) or not nothing_answered(error):
            return None
        return error if isinstance(error, Rejected) else Unavailable.of(error, self._rest)

    def instead(self, run: RunState, asked: Asked, error: Exception) -> Answer[OutputT]:
        """Return what there is instead of an answer, or raise the refusal that says so; any other error as it is."""
        refusal = self.refusal(error)
        if refusal is None and not isinstance(error, RunTimedOut):
            raise error
        known = self._known(run, asked)
        if known is not None:
            run.level, run.answered_by = "cached", known.model
            return known
        part = self._part(run, error)
        if part is not None:
            return part
        if refusal is None or refusal is error:
            raise error
        raise refusal from error

    def _part(self, run: RunState, error: Exception) -> Answer[OutputT] | None:
        if self._partial is None:
            return None
        refusal = error if isinstance(error, Unavailable) else Unavailable.of(error, self._rest)
        part: Any = self._partial(refusal)
        if part is None:
            return None
        run.level = "partial"
        for dependency, _ in refusal.came_to:
            run.go_without(dependency)
        return Answer(part, [], "")

    def _known(self, run: RunState, asked: Asked) -> Answer[OutputT] | None:
        key = self._key(run, asked)
        return None if self._answers is None or run.acted or not key else self._answers.find(key)

    def _key(self, run: RunState, asked: Asked) -> bytes:
        """Name what was asked; b"" for what has no known answers: a word on calls, a history that cannot be written down."""
        if self._answers is None or asked.approvals is not None:
            return b""
        try:
            history = ModelMessagesTypeAdapter.dump_json(list(asked.history)).decode()
        except PydanticSerializationError:
            return b""
        return self._answers.key(run.caller, repr(asked.prompt) + history)
