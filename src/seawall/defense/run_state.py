"""What is known of the run that is under way, shared by the capability and the model endpoints below it."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic_ai.usage import RunUsage

from seawall.foundation.compliance.pseudonyms import Vault
from seawall.foundation.errors import SeawallError
from seawall.foundation.events import EventBus
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Degradation, Outcome

Channel = Literal["text", "tool_call", "thinking"]
OutputJudge = Callable[[str, str, Channel], Awaitable[None]]


@dataclass(slots=True)
class RunState:
    """Collects one run's times, verdicts and attempts; becomes its ledger row.

    `started_at` is seconds since the epoch, `started` monotonic seconds.
    """

    id: str
    principal: Principal
    events: EventBus
    vault: Vault | None
    started_at: float
    started: float
    tokens_without_retrieval: int = 0
    usage: RunUsage = field(default_factory=RunUsage)
    outcome: Outcome = "failed"
    detail: str = ""
    queue_seconds: float = 0.0
    guard_seconds: float = 0.0
    model_seconds: float = 0.0
    verdicts: list[str] = field(default_factory=list[str])
    attempts: list[str] = field(default_factory=list[str])
    answered_by: str = ""
    fell_back: bool = False
    unpriced: bool = False
    output_judge: OutputJudge | None = None

    async def judge_output(self, text: str, before: str, channel: Channel) -> None:
        """Judge what a model said before anybody reads it; GuardBlocked where it must not go out.

        `text` comes whole or in pieces; `before` is the end of what was already let out in the same channel.
        """
        if self.output_judge is not None:
            await self.output_judge(text, before, channel)

    @property
    def cost_usd(self) -> Decimal | None:
        """What the run cost; None where that is unknown.

        A run that never reached a model is known to have cost nothing. One that gave a call up may have been
        billed for it.
        """
        if not self.model_seconds:
            return Decimal(0)
        return None if self.unpriced else self.usage.cost

    @property
    def degradation(self) -> Degradation:
        """How much less than asked for the caller got."""
        if self.outcome in {"refused", "blocked"}:
            return "refused"
        return "fallback" if self.fell_back else "full"

    def note_verdict(self, code: str) -> None:
        """Keep a guard's verdict once; there are few guards, so few verdicts."""
        if code not in self.verdicts:
            self.verdicts.append(code)


class NotHardened(SeawallError):
    """A guarded model was called outside `Hardened.run`, where nobody would account for it."""


_current: ContextVar[RunState | None] = ContextVar("seawall_run", default=None)


def set_current_run(run: RunState) -> None:
    """Make `run` the run of the current task and of the tasks it starts."""
    _current.set(run)


def current_run() -> RunState:
    """Return the run of the current task; NotHardened where there is none."""
    run = _current.get()
    if run is None:
        raise NotHardened(
            "this model is guarded and answers only within Hardened.run(); call the hardened agent"
        )
    return run
