"""The one capability: guards on everything that a model reads, and on every call that it wants to make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, cast

from pydantic_ai import RunContext
from pydantic_ai.capabilities import (
    AbstractCapability,
    CapabilityOrdering,
    WrapModelRequestHandler,
    WrapToolExecuteHandler,
)
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDefinition, ToolDenied
from pydantic_ai.toolsets import AbstractToolset

from seawall.agents import describes_itself, effects_of, result_is_trusted
from seawall.defense.affordable import Affordable
from seawall.defense.approval import Approver, PendingCall
from seawall.defense.asked import Asked
from seawall.defense.estimate import most_tokens, used
from seawall.defense.guards import (
    FAILURES,
    UNKNOWN_SPENT,
    Canary,
    Context,
    GuardBlocked,
    GuardInput,
    Verdict,
    canary_line,
)
from seawall.defense.heard import Heard, heard, hidden_texts, told
from seawall.defense.limits import RateLimited
from seawall.defense.meter import Meter
from seawall.defense.mounts import GoneWithout, Mounts
from seawall.defense.pipeline import Pipeline
from seawall.defense.run_state import Channel, NotHardened, RunState, current_run, run_under_way
from seawall.defense.streaming import as_text, judge_response
from seawall.foundation.errors import Rejected
from seawall.foundation.events import ApprovalDecided, GuardTripped, Refused, ToolCalled
from seawall.foundation.versions import version_of

_TAINTED = "tainted"
_CERTAIN = 0.9
_UNREADABLE = Verdict(outcome="block", guard="shape", reason_code="unknown_part", score=1.0)
_FORBIDDEN = Verdict(outcome="block", guard="permission", reason_code=_TAINTED, score=1.0)
_DENIED = "This call was not approved. Go on without it, and say so."


@dataclass
class GuardCapability(AbstractCapability[Any]):
    """Judges what a model is about to read, then lets it ask; judges what it wants done, then lets it do that.

    The prompt is judged as a prompt; blocks in it, what tools returned, a history, and what is fed back for a
    retry, as documents. A part of a kind it does not know is blocked: what cannot be read cannot be let through.
    A run that has read untrusted text makes no call with an effect on the world unless somebody approves.
    Without a `pipeline` everything passes: a policy that guards nothing.
    """

    pipeline: Pipeline | None
    canary: Canary | None
    marker: str
    meter: Meter
    models: Sequence[Model]
    approver: Approver | None
    defers: bool
    most_output_tokens: int
    mounts: Mounts

    def get_instructions(self) -> str | None:
        """Plant the marker, if leaks are watched for."""
        return None if self.canary is None else canary_line(self.marker)

    def get_ordering(self) -> CapabilityOrdering:
        """Stand nearest to the model and the tools: what other capabilities put in is judged with the rest."""
        return CapabilityOrdering(position="innermost")

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """Put its dependency round every tool."""
        return self.mounts.round(toolset)

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        """Reserve what it may use, then go on; RateLimited where there is too little left."""
        return await self._metered(current_run(), request_context, handler)

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Judge what the model is about to read, what was put in on the way included; GuardBlocked where it may not."""
        run = current_run()
        if request_context.model is not run.model:
            raise NotHardened(
                "a capability of the agent chose another model, which nothing stands round; "
                "give harden() the agent with its model, and other models as fallbacks in its policy"
            )
        for tool in request_context.model_request_parameters.function_tools:
            if describes_itself(tool.metadata):
                text = f"{tool.name}: {tool.description or ''}\n{as_text(tool.parameters_json_schema)}"
                await self._judge_heard(run, Heard(text, "document"))
        for piece in heard(request_context.messages, run.words, run.vouched):
            await self._judge_heard(run, piece)
        if self.canary is not None or not run.prompt_version:
            hidden = hidden_texts(request_context)
            run.hidden = () if self.canary is None else hidden
            run.prompt_version = run.prompt_version or version_of(
                [text.replace(self.marker, "") for text in hidden]
            )
        return request_context

    async def judge_asked(self, run: RunState, asked: Asked) -> None:
        """Judge what a caller hands in before the agent is begun for it; requests that carry it find the verdict known.

        An answer that the run goes on from is judged as if a model had just given it: its calls are made, or it
        goes to the reader, before any model is asked. Inside a run that has read untrusted text, that text may be
        what asks: this run has read it too, and what a guard refuses of the prompt is held against nobody.
        """
        outer = run_under_way()
        inherited = outer is not None and outer.tainted
        run.words, run.tainted = asked.words, asked.untrusted or inherited
        if self.pipeline is None:
            return
        for piece in asked.heard():
            await self._judge_heard(run, piece, charged=not inherited)
        if asked.resumed is not None:
            await self._judge_answer(run, asked.resumed)
        for arguments in asked.arguments():
            await run.judge_output(arguments, "", "tool_call")

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        """Let a call be made, or ask for an approval first: GuardBlocked where there is nobody to ask."""
        run = current_run()
        await self.judge_unheard(run, [ModelResponse(parts=[call])])
        effects = effects_of(tool_def.metadata)
        if run.tainted and effects and not ctx.tool_call_approved:
            if self.approver is None and not self.defers:
                self._refuse(run, _FORBIDDEN)
            raise ApprovalRequired({"why": _TAINTED, "effects": sorted(effects)})
        await self._told_of_limits(run, self.meter.tool_call(run.caller))
        return args

    async def judge_unheard(self, run: RunState, messages: Sequence[ModelMessage]) -> None:
        """Judge answers that no guarded model gave, such as those from an agent's own cache, before they are read."""
        for message in messages if self.pipeline is not None else ():
            if isinstance(message, ModelResponse) and not run.known.issuperset(told(message)):
                await self._judge_answer(run, message)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Any,
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Note that the run is about to read what a stranger wrote, in a result or in why there is none."""
        run, trusted = current_run(), result_is_trusted(tool_def.metadata)
        run.acted = True
        came_back = False
        try:
            result = await handler(args)
            came_back = True
        except (ApprovalRequired, CallDeferred, Rejected):
            raise
        except Exception as error:
            if isinstance(error, GoneWithout) or isinstance(error.__cause__, GoneWithout):
                # It reads words of ours.
                run.vouched.add((call.tool_name, call.tool_call_id))
            else:
                run.tainted = run.tainted or not trusted
            raise
        finally:
            effects = " ".join(sorted(effects_of(tool_def.metadata)))
            outcome = "ok" if came_back else "failed"
            run.events.publish(
                ToolCalled(run.id, run.caller.tenant, run.actor, call.tool_name, effects, outcome)
            )
        run.tainted = run.tainted or not trusted
        if trusted:
            run.vouched.add((call.tool_name, call.tool_call_id))
        return result

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Ask the approver about the calls that wait for a word; without one they wait for the caller."""
        if self.approver is None:
            return None
        run = current_run()
        results = DeferredToolResults()
        for call in requests.approvals:
            about = requests.metadata.get(call.tool_call_id, {})
            pending = PendingCall(
                run.id,
                run.caller.tenant,
                call.tool_name,
                tuple(about.get("effects", ())),
                str(about.get("why", "asked")),
                call.args_as_dict(),
            )
            # Nothing but a plain yes is one.
            approved = (await self.approver(pending)) is True
            run.note_verdict(f"approval:{'allow' if approved else 'deny'}")
            run.events.publish(
                ApprovalDecided(run.id, run.caller.tenant, run.actor, call.tool_name, approved)
            )
            results.approvals[call.tool_call_id] = approved or ToolDenied(_DENIED)
        return results

    async def judge_output(self, run: RunState, text: str, before: str, channel: Channel) -> str:
        """Judge what the model said before anybody reads it, and give what of it may go out; GuardBlocked for none.

        A guard may take something out of what is said, not of what is thought or asked of a tool: a signature
        covers the one, and a call with a hole in it is another call.
        """
        if self.pipeline is None:
            return text
        if channel == "returned":
            run.tainted = True
            await self._judge_heard(run, Heard(text, "document"))
        context: Context = "tool_call" if channel == "tool_call" else "output"
        value = GuardInput(text, context, run.caller.tenant, before)
        # A model that has read nothing but its caller's words says what its caller made it say.
        by_caller = not run.tainted
        shown = await self._judge(
            run, self.pipeline, value, by_caller=by_caller, may_replace=channel == "text"
        )
        if self.canary is not None:
            verdict = self.canary.judge(replace(value, text=shown), run.hidden, self.marker)
            if verdict.outcome != "allow":
                run.offence = text if by_caller else ""
                self._refuse(run, verdict)
        return shown

    async def _judge_answer(self, run: RunState, answer: ModelResponse) -> None:
        # Whole, or not at all: it stands in the history as it is.
        refuse = partial(self._refuse, run, _UNREADABLE)
        await judge_response(answer, run.judge_output, refuse, text_is_json=True)
        run.known.update(told(answer))

    async def _judge_heard(self, run: RunState, piece: Heard, *, charged: bool = True) -> None:
        if self.pipeline is None or piece in run.known:
            return
        if piece.text is None:
            self._refuse(run, _UNREADABLE)
        value = GuardInput(piece.text, piece.context, run.caller.tenant)
        await self._judge(run, self.pipeline, value, by_caller=piece.by_caller and charged)
        run.known.add(piece)

    async def _judge(
        self,
        run: RunState,
        pipeline: Pipeline,
        value: GuardInput,
        *,
        by_caller: bool = False,
        may_replace: bool = False,
    ) -> str:
        # Cut off while a guard asks a model, the run may have cost what nobody will report.
        before = run.spent_on_guards
        run.spent_on_guards = UNKNOWN_SPENT if pipeline.spends else before
        judged = await pipeline.check(value)
        run.spent_on_guards = before + judged.spent
        run.guard_seconds += judged.seconds
        for verdict in judged.verdicts:
            run.note_verdict(verdict.note)
        outcome = judged.verdict.outcome
        if outcome == "replace" and may_replace:
            self._publish(run, judged.verdict)
        elif outcome != "allow":
            # What is only suspected, or was not judged at all, is refused and held against nobody.
            if by_caller and judged.verdict.score >= _CERTAIN and judged.verdict.reason_code not in FAILURES:
                run.offence = _passage(value.text, judged.verdict)
            self._refuse(run, judged.verdict)
        return judged.text

    def _publish(self, run: RunState, verdict: Verdict) -> None:
        run.events.publish(
            GuardTripped(
                run.id, run.caller.tenant, verdict.guard, verdict.outcome, verdict.reason_code, run.actor
            )
        )

    def _refuse(self, run: RunState, verdict: Verdict) -> NoReturn:
        run.note_verdict(verdict.note)
        self._publish(run, verdict)
        # The caller learns that it was refused, not by which rule: the ledger and the events know.
        raise GuardBlocked()

    async def _metered(
        self, run: RunState, request: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        if not self.meter.counts_use:
            return await handler(request)
        settings = cast("dict[str, Any]", request.model_settings or {})
        most_output: int = settings.get("max_tokens") or self.most_output_tokens
        bounded = merge_model_settings(request.model_settings, ModelSettings(max_tokens=most_output))
        request = replace(request, model_settings=bounded)
        counted = most_tokens(request.messages, request.model_request_parameters, most_output)
        try:
            reservation = await Affordable(self.meter, self.models, self.approver).reserve(run, counted)
            before = run.billable
            try:
                response = await handler(request)
            except BaseException:
                # What was asked of a model stays spent, though its answer was refused.
                await (reservation.release() if run.billable == before else reservation.keep())
                raise
            # Of a stream that was left nobody knows what is billed, nor of a call that was given up for another.
            if response.state == "complete" and run.billable <= before + 1:
                await reservation.settle(used(response, priced=self.meter.counts_dollars))
            else:
                await reservation.keep()
            return response
        except RateLimited as refusal:
            self._tell(run, refusal)
            raise

    async def _told_of_limits(self, run: RunState, taking: Any) -> None:
        try:
            await taking
        except RateLimited as refusal:
            self._tell(run, refusal)
            raise

    def _tell(self, run: RunState, refusal: RateLimited) -> None:
        run.events.publish(Refused(run.id, run.caller.tenant, refusal.by, refusal.retry_after, run.actor))


def _passage(text: str, verdict: Verdict) -> str:
    """Return what the guard saw, not what stands round it."""
    return (text[slice(*verdict.spans[0])] if verdict.spans else text) or text
