"""An agent under a policy, as its callers see it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypedDict, TypeVar

from pydantic_ai import Agent, DeferredToolResults
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.messages import ModelMessage, UserContent
from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage

from seawall.defense.abuse import Distrusted, TrustStore, Turn, Turnstile, fingerprint
from seawall.defense.answers import Answer
from seawall.defense.asked import Asked
from seawall.defense.capability import GuardCapability
from seawall.defense.hardened_stream import HardenedStream
from seawall.defense.health import Health
from seawall.defense.heard import Prompt, spotlit
from seawall.defense.limits import Caller, RateLimited
from seawall.defense.meter import Meter
from seawall.defense.model_stack import endpoints_of
from seawall.defense.policy import Policy
from seawall.defense.rescue import NO_MODEL, Rescue
from seawall.defense.resilience import Circuit, OutOfTime, allow
from seawall.defense.resume import Interrupted, StreamInterrupted
from seawall.defense.row import outcome_of, row_of
from seawall.defense.run_state import RunState, run_under_way, running
from seawall.defense.stores import Stores
from seawall.foundation.clock import Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.events import EventBus, Refused, TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Degradation, Transaction
from seawall.foundation.units import seconds

DepsT = TypeVar("DepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class HardenedResult(Generic[OutputT]):
    """A typed answer, the ledger row of the run that gave it, and the conversation so far (content: not printed)."""

    output: OutputT
    transaction: Transaction
    messages: list[ModelMessage] = field(default_factory=list[ModelMessage], repr=False)

    @property
    def degradation(self) -> Degradation:
        """How much less than asked for this is; `full` where it is all."""
        return self.transaction.degradation

    @property
    def missing(self) -> tuple[str, ...]:
        """What the answer had to do without, by the dependencies' names."""
        return self.transaction.missing


@dataclass(frozen=True, slots=True)
class Parts:
    """What a hardened agent works with; put together by `harden`."""

    capability: GuardCapability
    meter: Meter
    trust: TrustStore | None
    turnstile: Turnstile | None
    rescue: Rescue[Any]
    interrupted: Interrupted
    stores: Stores
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

    def __init__(self, agent: Agent[DepsT, OutputT], model: Model, policy: Policy, parts: Parts) -> None:
        self.policy = policy
        self.name = agent.name or ""
        self.guarded_model = model
        self._agent = agent
        self._parts = parts
        self._secret = parts.keyring.stable_key("abuse")
        self._deadline = seconds(policy.deadline)
        self._retention = seconds(policy.retention)
        self._policy_version = policy.version

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

        Where no model can answer, the policy's next rung does: see `HardenedResult.degradation`. Raises RateLimited,
        Distrusted, GuardBlocked, Overloaded, CircuitOpen, OutOfTime, Unavailable (all `Rejected`), RunTimedOut past the
        policy's deadline, and whatever the agent itself raises. `tokens_without_retrieval` is what the
        question would have cost with its sources sent whole; it lets the ledger show what retrieval saved.
        """
        run = self._begin(principal, tokens_without_retrieval)
        try:
            asked = Asked.of(prompt, history, approvals)
            async with self._admitted(run, asked):
                answer = await self._answer(run, asked, deps)
            run.outcome = "ok"
        except BaseException as error:
            run.outcome, run.detail = outcome_of(error), type(error).__name__
            raise
        finally:
            transaction = await self._finish(run)
        return HardenedResult(answer.output, transaction, answer.messages)

    @asynccontextmanager
    async def run_stream(
        self,
        prompt: Prompt | None,
        *,
        deps: DepsT,
        principal: Principal,
        history: Sequence[ModelMessage] | None = None,
        approvals: DeferredToolResults | None = None,
        resume: str | None = None,
        tokens_without_retrieval: int = 0,
    ) -> AsyncGenerator[HardenedStream[OutputT]]:
        """Run the agent and give its answer as it comes, none of it before its verdict; one ledger row at the end.

        Takes what `run` takes. Entering raises what `run` raises, up to the first sentence; reading and leaving
        raise the rest. Until the first piece is out another model may take a failed one's place; afterwards it is
        StreamInterrupted, whose `resume_id`, given as `resume` in place of a prompt, asks the same question anew. No
        known or partial answer is streamed. The policy's deadline counts until the block is left, reading included.
        """
        run = self._begin(principal, tokens_without_retrieval)
        asked = Asked.of(prompt, history, approvals)
        stream = HardenedStream[OutputT](run, lambda error, released: self._told(run, asked, error, released))
        raised: BaseException | None = None
        try:
            if resume is not None:
                asked = self._parts.interrupted.look(resume, run.caller)
            async with self._admitted(run, asked):
                if resume is not None:
                    self._parts.interrupted.take(resume, run.caller)
                opening = self._agent.run_stream(_worded(asked.prompt), deps=deps, **self._given(run, asked))
                async with stream.reading(opening):
                    yield stream
        except BaseException as error:
            raised = error
            raise
        finally:
            failure = stream.failure_of(raised)
            run.outcome = "ok" if failure is None else outcome_of(failure)
            run.detail = "" if failure is None else type(failure).__name__
            stream.close_with(await self._finish(run))

    def run_sync(
        self, prompt: Prompt, *, deps: DepsT, principal: Principal, tokens_without_retrieval: int = 0
    ) -> HardenedResult[OutputT]:
        """Run from code that has no event loop, one thread at a time."""
        run: Coroutine[Any, Any, HardenedResult[OutputT]] = self.run(
            prompt, deps=deps, principal=principal, tokens_without_retrieval=tokens_without_retrieval
        )
        return asyncio.run(run)

    @property
    def circuits(self) -> Mapping[str, Circuit]:
        """The circuit of everything that this agent has depended on so far, by name: to look at, isolate or reset."""
        parts = self._parts
        pipeline = parts.capability.pipeline
        models = [one.dependency for one in endpoints_of(self.guarded_model)]
        dependencies = [*models, *parts.capability.mounts]
        circuits: dict[str, Circuit] = {one.name: one.circuit for one in dependencies}
        if pipeline is not None:
            circuits |= {f"guard {name}": breaker for name, breaker in pipeline.breakers}
        return circuits

    def health(self) -> Health:
        """Say what works less than it should, for readiness, metrics and the console; changes nothing."""
        breakers = {name: circuit.snapshot().state for name, circuit in self.circuits.items()}
        return Health(breakers=breakers, stores=self._parts.stores.states())

    def _begin(self, principal: Principal, tokens_without_retrieval: int) -> RunState:
        known = principal if isinstance(principal, Caller) else Caller.of(principal)
        caller = Caller.of(principal, agent=self.name, ip=known.ip, api_key=known.api_key)
        parts, capability = self._parts, self._parts.capability
        pseudonyms = Pseudonyms(parts.keyring, caller.tenant)
        find = self.policy.finder
        vault = None if find is None else Vault(pseudonyms, find=find)
        now, clock = parts.clock.time(), parts.clock.monotonic()
        allowance = allow(self.policy.deadline, retries=self.policy.most_retries, clock=parts.clock)
        run = RunState(
            new_id("txn"), caller, parts.events, vault, allowance, now, clock, tokens_without_retrieval
        )
        run.model, run.actor = self.guarded_model, pseudonyms.subject(caller.subject)
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
            await self._judged(run, asked)
            turn = await self._turn(run)
        except (Distrusted, RateLimited) as refusal:
            refused = Refused(run.id, run.caller.tenant, refusal.by, refusal.retry_after, run.actor)
            parts.events.publish(refused)
            raise
        with turn or nullcontext():
            yield

    async def _judged(self, run: RunState, asked: Asked) -> None:
        left = run.allowance.until - self._parts.clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await self._parts.capability.judge_asked(run, asked)
        except TimeoutError as error:
            raise OutOfTime("guards", 0.0, 0.0) from error

    async def _turn(self, run: RunState) -> Turn | None:
        """Wait for a place among the caller's runs; one inside another run of the same caller here needs none."""
        outer = run_under_way()
        if self._parts.turnstile is None or (outer is not None and outer.caller == run.caller):
            return None
        started = self._parts.clock.monotonic()
        try:
            async with asyncio.timeout(run.allowance.until - started):
                return await self._parts.turnstile.enter(run.caller)
        except TimeoutError as error:
            raise Distrusted(1.0) from error
        finally:
            run.queue_seconds += self._parts.clock.monotonic() - started

    async def _answer(self, run: RunState, asked: Asked, deps: DepsT) -> Answer[OutputT]:
        """Have the agent answer, or what the policy has instead where no model can be asked."""
        rescue: Rescue[OutputT] = self._parts.rescue
        try:
            with running(run):
                given = self._given(run, asked)
                result = await self._agent.run(_worded(asked.prompt), deps=deps, **given)
            await self._parts.capability.judge_unheard(run, result.new_messages())
        except NO_MODEL as error:
            return rescue.instead(run, asked, error)
        answer = Answer(result.output, result.all_messages(), run.answered_by)
        rescue.keep(run, asked, answer)
        return answer

    def _told(self, run: RunState, asked: Asked, error: Exception, released: int) -> Exception:
        """What a reader is told of an error; with a way to go on where the model broke off."""
        unanswered = self._parts.rescue.refusal(error)
        if unanswered is None or not released:
            return unanswered or error
        # Asked again, what was done would be done again.
        again = asked.approvals is None and not run.acted
        resume_id = self._parts.interrupted.keep(run.caller, asked) if again else ""
        return StreamInterrupted(resume_id, released, unanswered.retry_after)

    def _given(self, run: RunState, asked: Asked) -> _Given:
        # An agent adds its system prompts to a history only if told to.
        anew = [ReinjectSystemPrompt[Any](replace_existing=True)] if asked.history else []
        left = run.allowance.until - self._parts.clock.monotonic()
        return _Given(
            model=self.guarded_model,
            usage=run.usage,
            timeout=max(left, 0.001),
            capabilities=[self._parts.capability, *anew],
            message_history=asked.history or None,
            deferred_tool_results=asked.approvals,
        )

    async def _finish(self, run: RunState) -> Transaction:
        """Charge the caller for what a guard refused of its words, and write the ledger row."""
        parts = self._parts
        transaction = row_of(
            run,
            policy_version=self._policy_version,
            seconds=parts.clock.monotonic() - run.started,
            retention=self._retention,
        )
        try:
            if run.offence and parts.trust is not None:
                seen = fingerprint(run.offence, self._secret)
                await parts.trust.spend(run.caller, 1, seen or None)
        finally:
            parts.events.publish(TransactionFinished(transaction))
        return transaction


def _worded(prompt: Prompt | None) -> str | list[UserContent] | None:
    return None if prompt is None else spotlit(prompt)
