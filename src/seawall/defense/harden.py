"""Harden an agent: one call puts a policy round it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypedDict, TypeVar, cast

from pydantic_ai import Agent, DeferredToolResults
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.exceptions import ModelAPIError, RunTimedOut
from pydantic_ai.messages import ModelMessage, UserContent
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.usage import RunUsage

from seawall.defense.abuse import Distrusted, MemoryTrust, TrustStore, Turn, Turnstile, fingerprint
from seawall.defense.approval import Approver
from seawall.defense.asked import Asked
from seawall.defense.capability import GuardCapability
from seawall.defense.endpoint import Endpoint
from seawall.defense.estimate import check_possible
from seawall.defense.guards import Canary, GuardBlocked, Pseudonymise, marker_for
from seawall.defense.hardened_stream import HardenedStream, StreamAbandoned
from seawall.defense.health import Health
from seawall.defense.heard import Prompt, spotlit
from seawall.defense.limits import Caller, CounterStore, MemoryStore, RateLimited
from seawall.defense.load import Gate
from seawall.defense.meter import Meter
from seawall.defense.outputs import may_defer
from seawall.defense.pipeline import Pipeline
from seawall.defense.policy import Policy
from seawall.defense.resilience import Breaker, Transition
from seawall.defense.run_state import RunState, run_under_way, running
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.errors import ConfigError, Rejected
from seawall.foundation.events import BreakerChanged, EventBus, Refused, TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Outcome, Transaction
from seawall.foundation.units import seconds

DepsT = TypeVar("DepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class HardenedResult(Generic[OutputT]):
    """A typed answer, the ledger row of the run that gave it, and the conversation so far (content: not printed)."""

    output: OutputT
    transaction: Transaction
    messages: list[ModelMessage] = field(default_factory=list[ModelMessage], repr=False)


def harden(
    agent: Agent[DepsT, OutputT],
    policy: Policy,
    *,
    events: EventBus | None = None,
    keyring: Keyring | None = None,
    counters: CounterStore | None = None,
    trust: TrustStore | None = None,
    approver: Approver | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> "Hardened[DepsT, OutputT]":
    """Put `policy` round `agent` and return the agent that may be shown to the world.

    The agent itself is not changed and, called directly, stays unguarded. Without a `keyring` pseudonyms are
    keyed anew in every process, so rows of different processes cannot be joined. `counters` and `trust` are of this
    process unless shared ones are given. `approver` is asked about tool calls that need somebody's word; without
    one they come back as `DeferredToolRequests` if that is one of the agent's outputs, and are refused if not.
    ConfigError where the agent has no name or no model, or is guarded already.
    """
    if agent.name is None:
        raise ConfigError("a hardened agent needs a name for its ledger rows: Agent(..., name='reviewer')")
    if agent.model is None:
        raise ConfigError(f"agent {agent.name!r} has no model; give it one, or its name as in 'openai:gpt-5'")
    bus = events or EventBus()
    models = [infer_model(model) for model in (agent.model, *policy.fallbacks)]
    keys = keyring or Keyring.ephemeral()
    pipeline = _pipeline(policy, bus, clock)
    if trust is not None and policy.abuse is None:
        raise ConfigError(
            "trust= was given, and the policy keeps no account of it; give the policy abuse=Abuse()"
        )
    if trust is None and policy.abuse is not None and pipeline is not None:
        # Where nothing is judged nobody can lose trust, but for the word of an operator in a store that is given.
        trust = MemoryTrust(policy.abuse, events=bus, clock=clock)
    meter = Meter(counters or MemoryStore(), policy.limits, clock)
    settings = cast("dict[str, Any]", agent.model_settings if isinstance(agent.model_settings, dict) else {})
    check_possible(policy.limits, settings.get("max_tokens") or policy.most_output_tokens, models)
    capability = GuardCapability(
        pipeline=pipeline,
        canary=next((guard for guard in policy.guards if isinstance(guard, Canary)), None),
        marker=marker_for(keys.key("canary"), agent.name),
        meter=meter,
        models=models,
        approver=approver,
        defers=may_defer(agent.output_type),
        most_output_tokens=policy.most_output_tokens,
    )
    turnstile = None if trust is None or policy.abuse is None else Turnstile(policy.abuse, trust.look)
    parts = _Parts(capability, meter, trust, turnstile, bus, keys, clock)
    return Hardened(agent, _guarded_model(models, policy, clock), policy, parts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a hardened agent works with."""

    capability: GuardCapability
    meter: Meter
    trust: TrustStore | None
    turnstile: Turnstile | None
    events: EventBus
    keyring: Keyring
    clock: Clock


class _Given(TypedDict):
    """What a run of the agent is given, streamed or not."""

    model: Model
    usage: RunUsage
    timeout: float
    capabilities: list[AbstractCapability[Any]]
    message_history: Sequence[ModelMessage] | None
    deferred_tool_results: DeferredToolResults | None


class Hardened(Generic[DepsT, OutputT]):
    """An agent under a policy. Made by `harden`; `run` and `run_stream` are the only ways in."""

    def __init__(self, agent: Agent[DepsT, OutputT], model: Model, policy: Policy, parts: _Parts) -> None:
        self.policy = policy
        self.name = agent.name or ""
        self.guarded_model = model
        self._agent = agent
        self._parts = parts
        self._secret = parts.keyring.key("abuse")
        self._deadline = seconds(policy.deadline)
        self._retention = seconds(policy.retention)

    async def run(
        self,
        prompt: Prompt | None,
        *,
        deps: DepsT,
        principal: Principal,
        history: Sequence[ModelMessage] | None = None,
        approvals: DeferredToolResults | None = None,
        tokens_without_retrieval: int = 0,
    ) -> HardenedResult[OutputT]:
        """Run the agent for `principal`; whatever happens, one ledger row says so.

        A prompt is the caller's words, or words and `Block`s: a block is untrusted text, which is judged as a
        document and sent between marks that it cannot contain. A `history` is judged like a document, whoever is
        said to have written it. `approvals` answer the `DeferredToolRequests` of the run that gave the history.

        Raises RateLimited, Distrusted, GuardBlocked, Overloaded, CircuitOpen (all `Rejected`), RunTimedOut past
        the policy's deadline, and whatever the agent itself raises. `tokens_without_retrieval` is what the
        question would have cost with its sources sent whole; it lets the ledger show what retrieval saved.
        """
        run = self._begin(principal, tokens_without_retrieval)
        try:
            asked = Asked.of(prompt, history, approvals)
            async with self._admitted(run, asked):
                with running(run):
                    result = await self._agent.run(_worded(prompt), deps=deps, **self._given(run, asked))
                await self._parts.capability.judge_unheard(run, result.new_messages())
            run.outcome = "ok"
        except BaseException as error:
            run.outcome, run.detail = _outcome(error), type(error).__name__
            raise
        finally:
            transaction = await self._finish(run)
        return HardenedResult(result.output, transaction, result.all_messages())

    @asynccontextmanager
    async def run_stream(
        self,
        prompt: Prompt | None,
        *,
        deps: DepsT,
        principal: Principal,
        history: Sequence[ModelMessage] | None = None,
        approvals: DeferredToolResults | None = None,
        tokens_without_retrieval: int = 0,
    ) -> AsyncGenerator[HardenedStream[OutputT]]:
        """Run the agent and give its answer as it comes, none of it before its verdict; one ledger row at the end.

        Takes what `run` takes. Entering raises what `run` raises, up to the first sentence; reading and leaving
        raise the rest. The policy's deadline counts until the block is left, reading included.
        """
        run = self._begin(principal, tokens_without_retrieval)
        stream = HardenedStream[OutputT](run)
        raised: BaseException | None = None
        try:
            asked = Asked.of(prompt, history, approvals)
            opening = self._agent.run_stream(_worded(prompt), deps=deps, **self._given(run, asked))
            async with self._admitted(run, asked), stream.reading(opening):
                yield stream
        except BaseException as error:
            raised = error
            raise
        finally:
            failure = stream.failure_of(raised)
            run.outcome = "ok" if failure is None else _outcome(failure)
            run.detail = "" if failure is None else type(failure).__name__
            stream.close_with(await self._finish(run))

    def run_sync(
        self, prompt: Prompt, *, deps: DepsT, principal: Principal, tokens_without_retrieval: int = 0
    ) -> HardenedResult[OutputT]:
        """Run from code that has no event loop."""
        run: Coroutine[Any, Any, HardenedResult[OutputT]] = self.run(
            prompt, deps=deps, principal=principal, tokens_without_retrieval=tokens_without_retrieval
        )
        return asyncio.run(run)

    def health(self) -> Health:
        """Say what works less than it should, for readiness, metrics and the console; changes nothing."""
        parts = self._parts
        pipeline = parts.capability.pipeline
        breakers = {f"model {one.model_name}": one.breaker for one in _endpoints(self.guarded_model)}
        if pipeline is not None:
            breakers |= {f"guard {name}": breaker for name, breaker in pipeline.breakers}
        return Health(
            limits_degraded=parts.meter.degraded,
            trust_degraded=parts.trust is not None and parts.trust.degraded,
            breakers={name: breaker.snapshot().state for name, breaker in breakers.items()},
        )

    def _begin(self, principal: Principal, tokens_without_retrieval: int) -> RunState:
        known = principal if isinstance(principal, Caller) else Caller.of(principal)
        caller = Caller.of(principal, agent=self.name, ip=known.ip, api_key=known.api_key)
        parts, capability = self._parts, self._parts.capability
        vault = Vault(Pseudonyms(parts.keyring, caller.tenant)) if self.policy.pseudonymises else None
        now, clock = parts.clock.time(), parts.clock.monotonic()
        run = RunState(new_id("txn"), caller, parts.events, vault, now, clock, tokens_without_retrieval)
        run.model = self.guarded_model
        if capability.pipeline is not None:
            run.output_judge = partial(capability.judge_output, run)
        return run

    @asynccontextmanager
    async def _admitted(self, run: RunState, asked: Asked) -> AsyncGenerator[None]:
        """Refuse who is not heard, has spent its share, or says what a guard refuses; then hold one of its places.

        In this order: until a place is waited for nothing else runs in between where counts are kept in memory, so
        that of a thousand hostile requests at once only the first few are judged. The agent itself costs more
        than its guards, and is not begun before.
        """
        parts = self._parts
        try:
            standing = None if parts.trust is None else await parts.trust.look(run.caller)
            if standing is not None and standing.retry_after is not None:
                raise Distrusted(standing.retry_after)
            await parts.meter.admit(run.caller, 1 if standing is None else standing.weight)
            await parts.capability.judge_asked(run, asked)
            turn = await self._turn(run)
        except (Distrusted, RateLimited) as refusal:
            refused = Refused(run.id, run.caller.tenant, refusal.by, refusal.retry_after)
            parts.events.publish(refused)
            raise
        with turn or nullcontext():
            yield

    async def _turn(self, run: RunState) -> Turn | None:
        """Wait for a place among the caller's runs; one inside another run of the same caller here needs none."""
        outer = run_under_way()
        if self._parts.turnstile is None or (outer is not None and outer.caller == run.caller):
            return None
        started = self._parts.clock.monotonic()
        try:
            async with asyncio.timeout(self._deadline):
                return await self._parts.turnstile.enter(run.caller)
        except TimeoutError as error:
            raise Distrusted(1.0) from error
        finally:
            run.queue_seconds += self._parts.clock.monotonic() - started

    def _given(self, run: RunState, asked: Asked) -> _Given:
        # An agent adds its system prompts to a history only if told to.
        anew = [ReinjectSystemPrompt[Any](replace_existing=True)] if asked.history else []
        return _Given(
            model=self.guarded_model,
            usage=run.usage,
            timeout=self._deadline,
            capabilities=[self._parts.capability, *anew],
            message_history=asked.history or None,
            deferred_tool_results=asked.approvals,
        )

    async def _finish(self, run: RunState) -> Transaction:
        """Charge the caller for what a guard refused of its words, and write the ledger row."""
        transaction = self._transaction(run)
        try:
            if run.offence and self._parts.trust is not None:
                seen = fingerprint(run.offence, self._secret)
                await self._parts.trust.spend(run.caller, 1, seen or None)
        finally:
            self._parts.events.publish(TransactionFinished(transaction))
        return transaction

    def _transaction(self, run: RunState) -> Transaction:
        pseudonyms = Pseudonyms(self._parts.keyring, run.caller.tenant)
        if run.vault is not None and len(run.vault):
            run.note_verdict("pseudonymise:replace")
        return Transaction(
            id=run.id,
            tenant=run.caller.tenant,
            subject=pseudonyms.subject(run.caller.subject),
            agent=self.name,
            model=run.answered_by,
            started_at=run.started_at,
            expires_at=run.started_at + self._retention,
            outcome=run.outcome,
            seconds=self._parts.clock.monotonic() - run.started,
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


def _worded(prompt: Prompt | None) -> str | list[UserContent] | None:
    return None if prompt is None else spotlit(prompt)


def _pipeline(policy: Policy, events: EventBus, clock: Clock) -> Pipeline | None:
    guards = [guard for guard in policy.guards if not isinstance(guard, Pseudonymise | Canary)]
    if not policy.guards:
        return None

    def told(guard: str, changed: Transition) -> None:
        events.publish(BreakerChanged(f"guard {guard}", changed.before, changed.after, changed.why))

    return Pipeline(guards, clock=clock, told=told)


def _guarded_model(models: Sequence[Model], policy: Policy, clock: Clock) -> Model:
    endpoints: list[Model] = []
    for rank, model in enumerate(models):
        if isinstance(model, Endpoint):
            raise ConfigError(f"model {model.model_name!r} is guarded already; harden an agent once")
        gate = Gate(policy.bulkhead, clock=clock)
        breaker = Breaker(policy.breaker, clock=clock)
        timeout = seconds(policy.call_timeout)
        endpoints.append(Endpoint(model, gate, breaker, call_timeout=timeout, clock=clock, rank=rank))
    if len(endpoints) == 1:
        return endpoints[0]
    return FallbackModel(endpoints[0], *endpoints[1:], fallback_on=_moves_on)


def _endpoints(model: Model) -> list[Endpoint]:
    models = model.models if isinstance(model, FallbackModel) else [model]
    return [one for one in models if isinstance(one, Endpoint)]


def _moves_on(error: Exception) -> bool:
    """Whether the next model is tried. An answer that was refused is not asked for again elsewhere."""
    # Refusals of a bulkhead and connection errors that no adapter translated move on as provider errors do.
    return isinstance(error, ModelAPIError | Rejected | ConnectionError) and not isinstance(
        error, GuardBlocked
    )


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, GuardBlocked):
        return "blocked"
    if isinstance(error, Rejected):
        return "refused"
    if isinstance(error, RunTimedOut):
        return "timeout"
    if isinstance(error, asyncio.CancelledError | StreamAbandoned):
        return "cancelled"
    return "failed"
