"""Harden an agent: one call puts a policy round it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, RunTimedOut
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.fallback import FallbackModel

from seawall.defense.capability import GuardCapability
from seawall.defense.endpoint import Endpoint
from seawall.defense.guards import GuardBlocked, Pseudonymise
from seawall.defense.limits import CounterStore, MemoryStore, RateLimited, take_all
from seawall.defense.load import Gate
from seawall.defense.policy import Policy
from seawall.defense.resilience import Breaker
from seawall.defense.run_state import RunState, set_current_run
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.errors import ConfigError, Rejected
from seawall.foundation.events import EventBus, Refused, TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Outcome, Transaction
from seawall.foundation.units import seconds

DepsT = TypeVar("DepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class HardenedResult(Generic[OutputT]):
    """A typed answer and the ledger row of the run that gave it."""

    output: OutputT
    transaction: Transaction


def harden(
    agent: Agent[DepsT, OutputT],
    policy: Policy,
    *,
    events: EventBus | None = None,
    keyring: Keyring | None = None,
    counters: CounterStore | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> "Hardened[DepsT, OutputT]":
    """Put `policy` round `agent` and return the agent that may be shown to the world.

    The agent itself is not changed and, called directly, stays unguarded. Without a `keyring` pseudonyms are
    keyed anew in every process, so rows of different processes cannot be joined. ConfigError where the agent
    has no name or no model, or is guarded already.
    """
    if agent.name is None:
        raise ConfigError("a hardened agent needs a name for its ledger rows: Agent(..., name='reviewer')")
    if agent.model is None:
        raise ConfigError(f"agent {agent.name!r} has no model; give it one, or its name as in 'openai:gpt-5'")
    model = _guarded_model([agent.model, *policy.fallbacks], policy, clock)
    return Hardened(
        agent,
        model,
        policy,
        events=events or EventBus(),
        keyring=keyring or Keyring.ephemeral(),
        counters=counters or MemoryStore(),
        clock=clock,
    )


class Hardened(Generic[DepsT, OutputT]):
    """An agent under a policy. Made by `harden`; `run` is the only way in."""

    def __init__(
        self,
        agent: Agent[DepsT, OutputT],
        model: Model,
        policy: Policy,
        *,
        events: EventBus,
        keyring: Keyring,
        counters: CounterStore,
        clock: Clock,
    ) -> None:
        self.policy = policy
        self.name = agent.name or ""
        self._agent = agent
        self.guarded_model = model
        self._events = events
        self._keyring = keyring
        self._counters = counters
        self._clock = clock
        self._deadline = seconds(policy.deadline)
        self._retention = seconds(policy.retention)
        self._capability = GuardCapability(
            guards=[guard for guard in policy.guards if not isinstance(guard, Pseudonymise)],
            active=bool(policy.guards),
        )

    async def run(
        self, prompt: str, *, deps: DepsT, principal: Principal, tokens_without_retrieval: int = 0
    ) -> HardenedResult[OutputT]:
        """Run the agent for `principal`; whatever happens, one ledger row says so.

        Raises RateLimited, GuardBlocked, Overloaded, CircuitOpen (all `Rejected`), RunTimedOut past the policy's
        deadline, and whatever the agent itself raises. `tokens_without_retrieval` is what the question would
        have cost with its sources sent whole; it lets the ledger show what retrieval saved.
        """
        pseudonyms = Pseudonyms(self._keyring, principal.tenant)
        vault = Vault(pseudonyms) if self.policy.pseudonymises else None
        now, clock = self._clock.time(), self._clock.monotonic()
        run = RunState(new_id("txn"), principal, self._events, vault, now, clock, tokens_without_retrieval)
        try:
            await self._take_limits(run)
            set_current_run(run)
            result = await self._agent.run(
                prompt,
                deps=deps,
                model=self.guarded_model,
                usage=run.usage,
                timeout=self._deadline,
                capabilities=[self._capability],
            )
            run.outcome = "ok"
        except BaseException as error:
            run.outcome, run.detail = _outcome(error), type(error).__name__
            raise
        finally:
            transaction = self._transaction(run, pseudonyms)
            self._events.publish(TransactionFinished(transaction))
        return HardenedResult(result.output, transaction)

    def run_sync(
        self, prompt: str, *, deps: DepsT, principal: Principal, tokens_without_retrieval: int = 0
    ) -> HardenedResult[OutputT]:
        """Run from code that has no event loop."""
        run: Coroutine[Any, Any, HardenedResult[OutputT]] = self.run(
            prompt, deps=deps, principal=principal, tokens_without_retrieval=tokens_without_retrieval
        )
        return asyncio.run(run)

    def _transaction(self, run: RunState, pseudonyms: Pseudonyms) -> Transaction:
        if run.vault is not None and len(run.vault):
            run.note_verdict("pseudonymise:replace")
        return Transaction(
            id=run.id,
            tenant=run.principal.tenant,
            subject=pseudonyms.subject(run.principal.subject),
            agent=self.name,
            model=run.answered_by,
            started_at=run.started_at,
            expires_at=run.started_at + self._retention,
            outcome=run.outcome,
            seconds=self._clock.monotonic() - run.started,
            queue_seconds=run.queue_seconds,
            guard_seconds=run.guard_seconds,
            model_seconds=run.model_seconds,
            input_tokens=run.usage.input_tokens,
            output_tokens=run.usage.output_tokens,
            tokens_without_retrieval=run.tokens_without_retrieval,
            requests=run.usage.requests,
            cost_usd=run.cost_usd,
            degradation=run.degradation,
            verdicts=tuple(run.verdicts),
            attempts=tuple(run.attempts),
            detail=run.detail,
        )

    async def _take_limits(self, run: RunState) -> None:
        """Spend the caller's share before anything else is done for it."""
        decision = await take_all(self._counters, self.policy.limits, run.principal, self._clock.monotonic())
        if decision is not None and not decision.ok:
            self._events.publish(Refused(run.id, run.principal.tenant, "rate limit", decision.retry_after))
            raise RateLimited(decision)


def _guarded_model(models: list[Model | str], policy: Policy, clock: Clock) -> Model:
    endpoints: list[Model] = []
    for rank, named in enumerate(models):
        model = infer_model(named)
        if isinstance(model, Endpoint):
            raise ConfigError(f"model {model.model_name!r} is guarded already; harden an agent once")
        gate = Gate(policy.bulkhead, clock=clock)
        breaker = Breaker(policy.breaker, clock=clock)
        timeout = seconds(policy.call_timeout)
        endpoints.append(Endpoint(model, gate, breaker, call_timeout=timeout, clock=clock, rank=rank))
    if len(endpoints) == 1:
        return endpoints[0]
    # Refusals of a bulkhead and connection errors that no adapter translated move on as provider errors do.
    return FallbackModel(endpoints[0], *endpoints[1:], fallback_on=(ModelAPIError, Rejected, ConnectionError))


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, GuardBlocked):
        return "blocked"
    if isinstance(error, Rejected):
        return "refused"
    if isinstance(error, RunTimedOut):
        return "timeout"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "failed"
