"""Every way a provider can fail, under a hardened agent: what its caller gets, and what is kept of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic_ai import Agent
from pydantic_ai.models import Model

from seawall.defense import Hardened, Policy, harden
from seawall.defense.model_stack import endpoints_of
from seawall.defense.resilience import CircuitBreaker, Retries
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction
from tests.defense.broken import EVERY, SECONDS, SENTENCE, Breakage, Broken, chat_model, tasks_left

ALICE = Principal("acme", "alice")
ANSWER = SENTENCE * 20
# Retries are paid for from the first call on, so that every row shows whether there is one.
PAID = Retries(share=1.0, first="1ms", longest="10ms")


@dataclass(frozen=True)
class Row:
    """One way to fail.

    `said`: the entry among the attempts; the same for a stream unless `streamed` has another. `counts`: the breaker counts a
    failure. `again`: there is another try. `late`: a stream breaks only after its first sentences.
    """

    said: str
    counts: bool = True
    again: bool = True
    streamed: str = ""
    late: bool = False


CONNECTION = Row("ModelConnectionError")
REFUSED = Row("ModelRequestRejectedError", counts=False, again=False)
LIMITED = Row("ModelRateLimitError")
ROWS: dict[Breakage, Row] = {
    "dns": CONNECTION,
    "refused": CONNECTION,
    "reset on accept": CONNECTION,
    "reset on request": CONNECTION,
    "tls on a plain port": replace(CONNECTION, again=False),
    "tls self-signed": replace(CONNECTION, again=False),
    "tls hang": Row("ModelTimeoutError"),
    "connect timeout": Row("ModelTimeoutError"),
    "read timeout": Row("timeout", again=False),
    "stall": Row("timeout", again=False, late=True),
    "cut": replace(CONNECTION, late=True),
    "error in the stream": Row("UnexpectedModelBehavior", streamed="ModelServerError", late=True),
    "429": LIMITED,
    "429 seconds": replace(LIMITED, again=False),
    "429 date": replace(LIMITED, again=False),
    "quota": Row("ModelQuotaExceededError", again=False),
    "500": Row("ModelServerError"),
    "502 html": Row("ModelServerError"),
    "503": Row("ModelUnavailableError"),
    "503 seconds": Row("ModelUnavailableError", again=False),
    "504": Row("ModelServerError"),
    "529": Row("ModelOverloadedError"),
    "400": REFUSED,
    "context window": replace(REFUSED, said="ModelContextWindowExceededError"),
    "401": Row("ModelAuthenticationError", again=False),
    "403": replace(REFUSED, said="ModelAuthenticationError"),
    "404": replace(REFUSED, said="ModelNotFoundError"),
    "408": Row("ModelHTTPError"),
    "413": replace(REFUSED, said="ModelHTTPError"),
    "422": REFUSED,
    "empty": Row("ModelAPIError", streamed="UnexpectedModelBehavior"),
    "invalid json": Row("ModelAPIError", streamed="UnexpectedModelBehavior"),
    "wrong shape": Row("UnexpectedModelBehavior"),
}
# Not in the middle of TLS: the HTTP client, cancelled there, leaves its socket to the garbage collector.
HANG: tuple[Breakage, ...] = ("connect timeout", "read timeout", "stall")


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


@dataclass
class Ran:
    """What came of one run."""

    text: str
    error: BaseException | None
    row: Transaction
    safe: Hardened[object, str]

    @property
    def failures(self) -> tuple[int, int]:
        """Failures and calls that the first model's breaker counted."""
        snapshot = self.safe.circuits["model first"].snapshot()
        return snapshot.failures, snapshot.calls


def patience(kind: Breakage) -> str:
    """Wait shortly for what never comes, and long enough for what does on a machine that is busy."""
    return "250ms" if kind in HANG else "10s"


async def run(
    model: Model,
    *,
    stream: bool,
    said: list[str] | None = None,
    fallbacks: Sequence[Model] = (),
    call_timeout: str = "10s",
) -> Ran:
    """Run an agent once, with what it says added to `said`, and check that it holds no place and no leave to probe afterwards."""
    rows: list[Event] = []
    policy = Policy(call_timeout=call_timeout, retries=PAID, fallbacks=fallbacks)
    safe = harden(Agent(model, name="asked"), policy, events=EventBus(rows.append))
    said = [] if said is None else said
    error: BaseException | None = None
    try:
        if stream:
            async with safe.run_stream("How is it?", deps=None, principal=ALICE) as answer:
                async for delta in answer.text():
                    said += [delta]
        else:
            said += [(await safe.run("How is it?", deps=None, principal=ALICE)).output]
    except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001  the tests look at whatever it is
        error = raised
    assert [one.dependency.stats().running for one in endpoints_of(safe.guarded_model)] == [0] * (
        1 + len(policy.fallbacks)
    )
    assert {circuit.snapshot().probes for circuit in safe.circuits.values()} == {0}
    (row,) = [event.transaction for event in rows if isinstance(event, TransactionFinished)]
    return Ran("".join(said), error, row, safe)


@asynccontextmanager
async def in_reserve() -> AsyncGenerator[tuple[Broken, Model]]:
    """A second provider, which is well."""
    async with Broken() as sound, chat_model(sound, "second") as spare:
        yield sound, spare


def expected(row: Row, *, stream: bool) -> tuple[str, bool, int]:
    """What stands among the attempts, whether words had been let out by then, and how many attempts there are."""
    said = (stream and row.streamed) or row.said
    let_out = stream and row.late
    return said, let_out, 1 + (row.again and not let_out)


def raised(said: str, row: Row, *, let_out: bool) -> str:
    """What the caller gets: the provider's word on the request, or a refusal that says when, or how, to go on."""
    if not row.counts:
        return said
    return "StreamInterrupted" if let_out else "Unavailable"


def test_every_way_to_fail_has_a_row() -> None:
    """The table leaves out only the answers that are no failure of the endpoint."""
    assert {*ROWS, "healthy", "content filter"} == {*EVERY}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ROWS)
async def test_one_model_that_fails(kind: Breakage, stream: bool) -> None:
    """The caller gets an honest refusal or the provider's own, the attempts say what happened, the breaker what counts."""
    row = ROWS[kind]
    said, let_out, tries = expected(row, stream=stream)
    async with Broken(kind) as server, chat_model(server) as model:
        ran = await run(model, stream=stream, call_timeout=patience(kind))
    assert ran.row.attempts == (f"first:{said}",) * tries
    assert ran.failures == ((tries, tries) if row.counts else (0, 0))
    assert type(ran.error).__name__ == raised(said, row, let_out=let_out)
    assert (ran.row.outcome, ran.row.degradation) == ("failed", "refused")
    assert ANSWER.startswith(ran.text)
    assert bool(ran.text) is let_out
    if server.requests:
        assert server.requests == tries


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ROWS)
async def test_a_model_that_fails_with_another_in_reserve(kind: Breakage, stream: bool) -> None:
    """The next model answers in its place, unless words were let out already: nobody's sentence is finished by another."""
    row = ROWS[kind]
    said, let_out, tries = expected(row, stream=stream)
    async with Broken(kind) as server, chat_model(server) as model, in_reserve() as (sound, spare):
        ran = await run(model, stream=stream, fallbacks=[spare], call_timeout=patience(kind))
    if let_out:
        assert type(ran.error).__name__ == raised(said, row, let_out=True)
        assert ran.row.attempts == (f"first:{said}",)
        assert sound.requests == 0
    else:
        assert ran.error is None
        assert ran.text == ANSWER
        assert ran.row.attempts == (*(f"first:{said}",) * tries, "second:ok")
        assert (ran.row.outcome, ran.row.degradation, ran.row.model) == ("ok", "fallback", "second")
    assert ran.failures[0] == (tries if row.counts else 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_model_that_answers(stream: bool) -> None:
    """A sound answer is one attempt, counted as a success."""
    async with Broken() as server, chat_model(server) as model:
        ran = await run(model, stream=stream)
    assert (ran.error, ran.text, ran.row.attempts, ran.failures) == (None, ANSWER, ("first:ok",), (0, 1))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_that_the_provider_filtered_says_nothing_against_it(stream: bool) -> None:
    """The endpoint did its work: what it would not say is not asked for elsewhere."""
    async with (
        Broken("content filter") as server,
        chat_model(server) as model,
        in_reserve() as (sound, spare),
    ):
        ran = await run(model, stream=stream, fallbacks=[spare])
    assert type(ran.error).__name__ == "ContentFilterError"
    assert (ran.row.attempts, ran.failures, sound.requests) == (("first:ok",), (0, 1), 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", HANG)
async def test_a_caller_that_goes_away_while_it_waits(kind: Breakage, stream: bool) -> None:
    """Its leaving ends the call, frees the place, and says nothing against the endpoint."""
    async with Broken(kind) as server, chat_model(server) as model:
        said: list[str] = []
        task = asyncio.ensure_future(run(model, stream=stream, said=said, call_timeout="30s"))
        if kind != "connect timeout":
            await server.asked.wait()
        while stream and kind == "stall" and len("".join(said)) < len(ANSWER) / 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        task.cancel()
        ran = await task
        if kind != "connect timeout":
            await asyncio.wait_for(server.left.wait(), 30)
    assert isinstance(ran.error, asyncio.CancelledError)
    assert ran.row.attempts == ("first:cancelled",)
    assert (ran.failures, ran.row.outcome) == ((0, 0), "cancelled")


@pytest.mark.parametrize("kind", ["429 seconds", "429 date", "503 seconds"])
async def test_the_wait_that_a_provider_asks_for_is_kept_by_the_breaker(kind: Breakage) -> None:
    """An open circuit stays open as long as the provider asked, and the next caller is told so without asking it."""
    eager = CircuitBreaker(minimum_calls=1, open_for="100ms")
    async with Broken(kind) as server, chat_model(server) as model:
        safe = harden(Agent(model, name="asked"), Policy(breaker=eager, retries=PAID))
        refusals = [await refused(safe) for _ in range(2)]
    assert server.requests == 1
    assert all(SECONDS - 10 < (refusal or 0) <= SECONDS for refusal in refusals)


async def refused(safe: Hardened[object, str]) -> float | None:
    """What the caller is told to wait."""
    with pytest.raises(Exception) as raised:  # noqa: PT011  whichever of the refusals it is, it says when to come back
        await safe.run("How is it?", deps=None, principal=ALICE)
    wait: float | None = getattr(raised.value, "retry_after", None)
    return wait


@pytest.mark.parametrize("kind", ["503", "401", "wrong shape", "400", "403", "413"])
async def test_what_counts_opens_the_circuit_and_nothing_else_does(kind: Breakage) -> None:
    """After enough failures nobody is sent there any more; requests that were at fault themselves change nothing."""
    eager = CircuitBreaker(minimum_calls=3)
    async with Broken(kind) as server, chat_model(server) as model:
        safe = harden(Agent(model, name="asked"), Policy(breaker=eager, retries=Retries(most=0)))
        for _ in range(5):
            await refused(safe)
    assert server.requests == (3 if ROWS[kind].counts else 5)
    assert safe.circuits["model first"].state == ("open" if ROWS[kind].counts else "closed")
