"""What an answer may come to when not all of it can be had: the rungs below the first model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from pydantic_ai.exceptions import (
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
)
from pydantic_ai.models import Model

from seawall.defense.dependency import Protection
from seawall.defense.faults import read_fault
from seawall.defense.guards import GuardBlocked
from seawall.foundation.errors import ConfigError, Rejected

Rung = Literal["fallback", "reduced"]

# A provider's errors, connection errors that no adapter translated, and answers that nobody can read.
_UNANSWERED = (ModelAPIError, ConnectionError, UnexpectedModelBehavior)


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model to fall back to, and what its answers are worth next to the first one's.

    `fallback`: another of its kind. `reduced`: a smaller or a local one, whose answers are known to be less.
    `protection` is what stands round it, where that is not what the policy has for the first.
    """

    model: Model | str
    level: Rung = "fallback"
    protection: Protection | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if self.level not in {"fallback", "reduced"}:
            raise ConfigError(f"Fallback(level={self.level!r}): expected 'fallback' or 'reduced'")


class Unavailable(Rejected, ModelUnavailableError):
    """Nothing could answer: what each dependency came to, and seconds until asking again can help.

    The honest end of the ladder: no model, no known answer, no part of one.
    """

    by = "dependencies"

    def __init__(self, came_to: tuple[tuple[str, str], ...], retry_after: float | None) -> None:
        super().__init__(
            came_to[0][0] if came_to else "model", _text(came_to, retry_after), retry_after=retry_after
        )
        self.came_to = came_to

    def __reduce__(self) -> tuple[type["Unavailable"], tuple[tuple[tuple[str, str], ...], float | None]]:
        """Rebuild from the facts, where the inherited way would rebuild from the text."""
        return type(self), (self.came_to, self.retry_after)

    @classmethod
    def of(cls, error: Exception, rest: float) -> "Unavailable":
        """Make one of what came out of the models; `rest` is the seconds that a dependency is left alone at first."""
        failures = list(_leaves(error))
        waits = [_wait(one, rest) for one in failures]
        known = [wait for wait in waits if wait is not None]
        came_to = tuple((_dependency(one), type(one).__name__) for one in failures)
        return cls(came_to, min(known) if known else None)


def nothing_answered(error: BaseException) -> bool:
    """Whether an error says that no model could be asked, rather than that one answered, or had to refuse."""
    if isinstance(error, FallbackExceptionGroup):
        return all(nothing_answered(one) for one in error.exceptions)
    if isinstance(error, Rejected):
        return error.by in {"breaker", "bulkhead", "deadline", "price"}
    return isinstance(error, _UNANSWERED) and read_fault(error).counts


def moves_on(error: Exception) -> bool:
    """Whether the next model is tried. An answer that was refused is not asked for again elsewhere."""
    return isinstance(error, (*_UNANSWERED, Rejected)) and not isinstance(
        error, GuardBlocked | ContentFilterError
    )


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(one)
    else:
        yield error


def _wait(error: BaseException, rest: float) -> float | None:
    if isinstance(error, Rejected):
        return error.retry_after
    return read_fault(error).retry_after or rest


def _dependency(error: BaseException) -> str:
    named = getattr(error, "dependency", "")
    return str(named) if named else f"model {getattr(error, 'model_name', '')}".rstrip()


def _text(came_to: tuple[tuple[str, str], ...], retry_after: float | None) -> str:
    tried = ", ".join(f"{name} ({what})" for name, what in came_to)
    when = "until an operator acts" if retry_after is None else f"for {retry_after:.3g} s"
    return f"nothing could answer: {tried}; do not ask again {when}"
