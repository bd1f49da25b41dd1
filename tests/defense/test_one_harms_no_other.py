"""What one caller does, or one run brings about, costs no other caller its dependency, its budget or its time."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall import (
    CircuitBreaker,
    Dependency,
    Fallback,
    Policy,
    Principal,
    Protection,
    RateLimit,
    Retries,
    Unavailable,
    harden,
    subagent,
)
from seawall.defense.answers import Answer, Answers
from seawall.defense.faults import read_fault
from seawall.defense.guards import GuardInput, Verdict
from seawall.defense.limits import Caller
from seawall.defense.mounts import Mounts
from seawall.defense.resilience import OutOfTime, TimedOut
from seawall.defense.run_state import current_run
from seawall.foundation.errors import Rejected
from seawall.testing import FakeClock
from tests.defense.broken import tasks_left
from tests.defense.streams import ALICE, ScriptedModel, Step, text

MALLORY = Principal("evil", "mallory")
NO_RETRIES = Retries(most=0)
QUICK = CircuitBreaker(slow_call="100ms", open_for="50ms", max_open="50ms", minimum_calls=4)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


def saying(*words: str) -> FunctionModel:
    return FunctionModel(lambda _messages, _info: ModelResponse(parts=[TextPart(word) for word in words]))


def calling(tool: str, arguments: Callable[[str], dict[str, Any]]) -> FunctionModel:
    """Calls a tool with what it makes of the prompt, then is done."""

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        parts = [part for message in messages for part in message.parts]
        if any(isinstance(part, ToolReturnPart) for part in parts):
            return ModelResponse(parts=[TextPart("done")])
        (prompt,) = (part.content for part in parts if isinstance(part, UserPromptPart))
        return ModelResponse(parts=[ToolCallPart(tool, arguments(str(prompt)), "c1")])

    return FunctionModel(answer)


async def test_who_hangs_up_late_opens_no_circuit() -> None:
    """Half of all calls are long, and ended by their caller once they are slow: that half is slow, and no failure."""

    async def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(5 if "long" in str(messages) else 0)
        return ModelResponse(parts=[TextPart("ok")])

    safe = harden(
        Agent(FunctionModel(answer), name="a"), Policy(breaker=QUICK, retries=NO_RETRIES, abuse=None)
    )
    long = [asyncio.ensure_future(safe.run("long", deps=None, principal=MALLORY)) for _ in range(8)]
    for _ in range(8):
        await safe.run("short", deps=None, principal=ALICE)
    (circuit,) = safe.circuits.values()
    while circuit.snapshot().slow < 8:
        await asyncio.sleep(0.01)
    for run in long:
        run.cancel()
    await asyncio.wait(long)
    assert (circuit.state, circuit.snapshot().failures) == ("closed", 0)


async def test_a_reader_that_does_not_read_keeps_no_circuit_shut() -> None:
    """A probe that has begun to answer is over, whatever its reader does then."""
    down: list[Step] = [ModelHTTPError(503, "m")]
    model = ScriptedModel(down, down, down, down, text("One. ", "Two. "))
    safe = harden(Agent(model, name="a"), Policy(breaker=QUICK, retries=NO_RETRIES, abuse=None, guards=[]))

    async def first_words(who: Principal) -> str:
        async with safe.run_stream("go", deps=None, principal=who) as stream:
            async for words in stream.text():
                (circuit,) = safe.circuits.values()
                return f"{words}{circuit.state}"
        return ""

    for _ in range(4):
        with pytest.raises(Rejected):
            await first_words(ALICE)
    await asyncio.sleep(0.06)
    assert await first_words(MALLORY) == "One. closed"


@pytest.mark.parametrize("mistake", [ValueError, KeyError, TypeError, ZeroDivisionError])
async def test_crafted_arguments_close_no_tool_to_others(mistake: type[Exception]) -> None:
    """What a wrong argument raises says nothing of what a tool depends on; what was raised from a lost connection does."""
    agent = Agent(calling("find", lambda prompt: {"key": prompt}), name="a")

    @agent.tool_plain
    async def find(key: str) -> str:
        if key == "evil":
            raise mistake
        if key == "down":
            raise mistake from ConnectionRefusedError()
        return "found"

    safe = harden(agent, Policy(breaker=QUICK, tools=Protection(breaker=QUICK), abuse=None))
    for _ in range(8):
        with pytest.raises(mistake):
            await safe.run("evil", deps=None, principal=MALLORY)
    assert (await safe.run("fine", deps=None, principal=ALICE)).output == "done"
    for _ in range(3):
        with pytest.raises(mistake):
            await safe.run("down", deps=None, principal=MALLORY)
    assert safe.circuits["tool find"].state == "open"


class Risk(BaseModel):
    """What the inner agent is to say."""

    level: int


async def test_a_crafted_prompt_closes_no_agent_to_others() -> None:
    """An agent whose model was made to answer amiss did answer: that is no outage, and no old answer stands in."""

    def inner(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        level = "none" if "evil" in str(messages[0]) else 1
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"level": level}, "c")])

    risk = Agent(FunctionModel(inner), name="risk", output_type=Risk)
    with pytest.raises(UnexpectedModelBehavior) as told:
        await risk.run("evil")
    assert not read_fault(told.value).counts

    tool = subagent(harden(risk, Policy(abuse=None)), description="risk")
    outer = Agent(calling("risk", lambda prompt: {"prompt": prompt}), name="a", tools=[tool])
    safe = harden(outer, Policy(abuse=None, tools=Protection(breaker=QUICK)))
    for _ in range(8):
        with pytest.raises(Exception, match="failed with UnexpectedModelBehavior"):
            await safe.run("evil", deps=None, principal=MALLORY)
    assert (await safe.run("fine", deps=None, principal=ALICE)).output == "done"


@pytest.mark.parametrize("fallbacks", [0, 1])
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_no_model_was_asked_for_costs_no_budget(fallbacks: int, streamed: bool) -> None:
    """All circuits are open: however often it is asked, what was set aside for a request comes back."""
    models = [ScriptedModel(text("One."), name=name) for name in ("first", "second")]
    policy = Policy(
        fallbacks=models[1 : 1 + fallbacks], limits=[RateLimit(20_000, "1h", of="tokens")], abuse=None
    )
    safe = harden(Agent(models[0], name="a"), policy)
    for circuit in safe.circuits.values():
        circuit.isolate()

    async def ask() -> None:
        if not streamed:
            await safe.run("go", deps=None, principal=ALICE)
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            async for _ in stream.text():
                pass

    for _ in range(12):
        with pytest.raises(Rejected) as refused:
            await ask()
        assert refused.value.by in {"breaker", "dependencies"}


@pytest.mark.parametrize(("status", "by"), [(429, "dependencies"), (503, "dependencies")])
async def test_what_a_provider_turned_away_costs_no_budget(status: int, by: str) -> None:
    """A provider bills no refusals: a caller's tokens are there when it is back."""

    def refuse(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(status, "m")

    breaker = CircuitBreaker(minimum_calls=100, last=100)
    limit = RateLimit(20_000, "1h", of="tokens")
    policy = Policy(breaker=breaker, retries=NO_RETRIES, limits=[limit], abuse=None)
    safe = harden(Agent(FunctionModel(refuse), name="a"), policy)
    for _ in range(12):
        with pytest.raises(Unavailable) as refused:
            await safe.run("go", deps=None, principal=ALICE)
        assert refused.value.by == by


async def test_guards_have_no_more_time_than_the_request() -> None:
    """A long history that takes its guards long is given up at the request's deadline, before any model is asked."""

    class Slow:
        """Takes a moment for each text."""

        name = "slow"
        cost = 1.0
        max_characters = 1_000_000

        async def __call__(self, value: GuardInput) -> Verdict:
            await asyncio.sleep(0.05)
            return Verdict(outcome="allow", guard="slow")

    asked: list[int] = []

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        asked.append(1)
        return ModelResponse(parts=[TextPart("ok")])

    safe = harden(Agent(FunctionModel(answer), name="a"), Policy(guards=[Slow()], deadline="150ms"))
    history = [ModelRequest(parts=[UserPromptPart(f"word {number}")]) for number in range(2000)]
    with pytest.raises(OutOfTime) as refused:
        await safe.run("go", deps=None, principal=ALICE, history=history)
    assert (str(refused.value), asked) == (
        "0 s are left of the request's time for 'guards'; allow the request more time",
        [],
    )


async def test_the_level_is_that_of_the_least_step() -> None:
    """A smaller model chose what to do, the first one put it into words: the answer is a reduced one."""
    asked = 0

    def first(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ModelHTTPError(503, "first")
        return ModelResponse(parts=[TextPart("approved")])

    agent = Agent(FunctionModel(first, model_name="first"), name="a")

    @agent.tool_plain
    def decide(key: str) -> str:
        return key

    small = calling("decide", lambda prompt: {"key": prompt})
    safe = harden(agent, Policy(fallbacks=[Fallback(small, level="reduced")], retries=NO_RETRIES))
    result = await safe.run("go", deps=None, principal=ALICE)
    assert (result.output, result.degradation, result.transaction.model) == ("approved", "reduced", "first")


async def test_a_row_has_a_bound_on_its_attempts() -> None:
    """A tool that asks what is away in a loop: the row keeps the first, and says that there were more."""
    notes = Dependency("store notes", Protection())
    agent = Agent(calling("scan", lambda _prompt: {}), name="a")

    async def lose() -> None:
        raise ConnectionRefusedError

    @agent.tool_plain
    async def scan() -> str:
        for _ in range(1000):
            with pytest.raises((Rejected, ConnectionRefusedError)):
                await notes.call(lose, trail=current_run())
        return "scanned"

    attempts = (await harden(agent, Policy()).run("go", deps=None, principal=ALICE)).transaction.attempts
    assert (len(attempts), attempts[-1]) == (257, "more")


async def test_calls_that_were_held_back_earn_no_retries() -> None:
    """However many a circuit turned away: when it is closed again, retries are still a tenth of the calls."""
    asked: list[int] = []
    dependency = Dependency(
        "tool x",
        Protection(retries=Retries(first="1ms"), breaker=CircuitBreaker(minimum_calls=100, last=100)),
    )

    async def lose() -> None:
        asked.append(1)
        raise ConnectionResetError

    dependency.circuit.isolate()
    for _ in range(100):
        with pytest.raises(Rejected):
            await dependency.call(lose, idempotent=True)
    dependency.circuit.reset()
    for _ in range(20):
        with pytest.raises(ConnectionResetError):
            await dependency.call(lose, idempotent=True)
    assert len(asked) == 22


def test_a_protection_of_its_own_is_kept_however_many_names_come_before() -> None:
    """Names beyond the bound share one dependency, but never one that was configured."""
    own = Protection(timeout="1s")
    mounts = Mounts(Protection(optional=True), {"tool pay": own}, Dependency)
    for number in range(200):
        mounts.named(f"tool t{number}")
    assert (mounts.named("tool other").name, mounts.named("tool pay").protection.timeout) == (
        "tool (others)",
        "1s",
    )


async def test_many_that_hang_at_once_are_given_up_without_a_word_to_the_loop() -> None:
    """The circuit opens while they are looked through: each is given up once, and nothing goes wrong in a callback."""
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: wrong.append(what))
    protection = Protection(timeout="5s", breaker=QUICK)
    dependency = Dependency("model x", protection, replaceable=True)

    async def hang() -> None:
        await asyncio.Event().wait()

    calls = [dependency.call(hang) for _ in range(12)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {TimedOut}
    assert (dependency.circuit.state, wrong) == ("open", [])


def test_known_answers_have_a_bound_on_their_size() -> None:
    """Long conversations push out old answers, and one too long is none to keep."""
    answers = Answers[str](60.0, b"secret", FakeClock())
    caller = Caller("acme", "alice")

    def keep(name: str, characters: int) -> bytes:
        key = answers.key(caller, name)
        message = ModelRequest(parts=[UserPromptPart("x" * characters)])
        answers.keep(key, Answer(name, [message], "m"))
        return key

    keys = [keep(str(number), 900_000) for number in range(20)]
    found = [key for key in keys if answers.find(key) is not None]
    assert found == keys[-len(found) :]
    assert 10 < len(found) < 20
    assert answers.find(keep("long", 1_100_000)) is None


async def test_a_refusal_among_several_errors_is_not_gone_on_without() -> None:
    """An optional tool that a limit refused is refused, also where something else was away at the same time."""
    agent = Agent(calling("both", lambda _prompt: {}), name="a")

    @agent.tool_plain
    async def both() -> str:
        raise ExceptionGroup("two", [Rejected("limit", "enough"), ConnectionResetError()])

    policy = Policy(dependencies={"tool both": Protection(optional=True)})
    with pytest.raises(ExceptionGroup):
        await harden(agent, policy).run("go", deps=None, principal=ALICE)
