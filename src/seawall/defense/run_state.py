"""What is known of the run that is under way, shared by the capability and the model endpoints below it."""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage

from seawall.defense.guards import NOTHING_SPENT, Spent
from seawall.defense.heard import Heard, Words, is_untrusted, told
from seawall.defense.limits import Caller
from seawall.defense.resilience import Allowance, spending
from seawall.foundation.compliance.pseudonyms import Vault
from seawall.foundation.errors import SeawallError
from seawall.foundation.events import EventBus, Refused
from seawall.foundation.transaction import Degradation, Outcome, worse

Channel = Literal["text", "tool_call", "thinking", "returned"]
_MOST_ATTEMPTS = 256
OutputJudge = Callable[[str, str, Channel], Awaitable[str]]


@dataclass(slots=True)
class RunState:
    """Collects one run's times, verdicts and attempts, as the `Trail` of all that it depends on; becomes its ledger row.

    `level` is how much less than asked for answered it, `missing` what it went on without, by the dependency's name.
    `actor` is the caller's pseudonym, `prompt_version` a digest of the instructions;
    `only` is the one model that a budget leaves, None where it leaves all;
    `granted` are the budgets that somebody let it go beyond.
    `started_at` is seconds since the epoch, `started` monotonic seconds. `tainted` says that the run has read
    untrusted text; `offence` is the caller's own passage that a guard refused, "" where there is none; `hidden` are the
    instructions that nobody but the model is to read. `acted` says that something was called that may have done something,
    which a second run would do again; `billable` counts the calls that a provider may bill. `words` are its caller's, `known` what was judged and may
    be read, `vouched` the calls whose results the developer answers for.
    """

    id: str
    caller: Caller
    events: EventBus
    vault: Vault | None
    allowance: Allowance
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
    actor: str = ""
    only: Model | None = None
    granted: frozenset[str] = frozenset()
    prompt_version: str = ""
    level: Degradation = "full"
    missing: list[str] = field(default_factory=list[str])
    acted: bool = False
    billable: int = 0
    unpriced: bool = False
    spent_on_guards: Spent = NOTHING_SPENT
    tainted: bool = False
    offence: str = field(default="", repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    model: Model | None = None
    words: Words = field(default=Words(), repr=False)
    vouched: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], repr=False)
    known: set[Heard] = field(default_factory=set[Heard], repr=False)
    output_judge: OutputJudge | None = None

    async def judge_output(self, text: str, before: str, channel: Channel) -> str:
        """Judge what a model said before anybody reads it; GuardBlocked where it must not go out.

        `text` comes whole or in pieces; `before` is the end of what was already let out in the same channel. What
        comes back is the text, or what a guard left of it.
        """
        return text if self.output_judge is None else await self.output_judge(text, before, channel)

    def note_answer(self, answer: ModelResponse) -> None:
        """Know an answer that was let out: what it says may be read again, and was a stranger's if it was looked up."""
        self.tainted = self.tainted or is_untrusted([answer])
        self.known.update(told(answer))

    @property
    def cost_usd(self) -> Decimal | None:
        """What the run cost; None where that is unknown.

        A run that never reached a model is known to have cost nothing but what its guards spent. One that gave a
        call up may have been billed for it.
        """
        guards = self.spent_on_guards.usd
        if not self.model_seconds:
            return guards
        models = None if self.unpriced else self.usage.cost
        return None if models is None or guards is None else models + guards

    @property
    def degradation(self) -> Degradation:
        """How much less than asked for the caller got."""
        if self.outcome not in {"ok", "cancelled"}:
            return "refused"
        return worse(self.level, "partial") if self.missing else self.level

    def queued(self, seconds: float) -> None:
        """Add to the time spent waiting for a place."""
        self.queue_seconds += seconds

    def tried(self, dependency: str, outcome: str) -> None:
        """Keep what an attempt came to; of other things than models only what went wrong, since the calls are many.

        The first 256 are kept; a last one that says `more` stands for all others.
        """
        kind, _, name = dependency.partition(" ")
        if kind != "model" and outcome == "ok":
            return
        if len(self.attempts) < _MOST_ATTEMPTS:
            self.attempts.append(f"{name if kind == 'model' and name else dependency}:{outcome}")
        elif len(self.attempts) == _MOST_ATTEMPTS:
            self.attempts.append("more")

    def held_back(self, by: str, retry_after: float | None) -> None:
        """Tell that an attempt was not made."""
        self.events.publish(Refused(self.id, self.caller.tenant, by, retry_after, self.actor))

    def go_without(self, dependency: str) -> None:
        """Note that the answer has to do without a dependency."""
        if dependency not in self.missing:
            self.missing.append(dependency)

    def note_verdict(self, code: str) -> None:
        """Keep a guard's verdict once; there are few guards, so few verdicts."""
        if code not in self.verdicts:
            self.verdicts.append(code)


class NotHardened(SeawallError):
    """A guarded model was called outside `Hardened.run`, where nobody would account for it."""


_current: ContextVar[RunState | None] = ContextVar("seawall_run", default=None)


def run_under_way() -> RunState | None:
    """Return the run of the current task, if there is one."""
    return _current.get()


@contextmanager
def running(run: RunState) -> Generator[None]:
    """Make `run` the run of the current task while the block lasts, then put back whichever it was before."""
    before = _current.set(run)
    try:
        with spending(run.allowance):
            yield
    finally:
        _current.reset(before)


def current_run() -> RunState:
    """Return the run of the current task; NotHardened where there is none."""
    run = _current.get()
    if run is None:
        raise NotHardened(
            "this model is guarded and answers only within Hardened.run(); call the hardened agent"
        )
    return run
