"""More work than there is room for: whose is done, whose waits, and what the others are told."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall import Backpressure, Policy, Seawall
from tests.edge.serve.world import serving

RUNS = "/v1/agents/clerk/runs"
ONE_PLACE = Backpressure(least=1, start=1, most=1, queue=4, interactive_wait="60s")


class Clerk:
    """Answers one question at a time, when told to; knows who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.goes_on = asyncio.Semaphore(0)
        self.model = FunctionModel(self._answer, stream_function=self._stream, model_name="m")

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked.append(str(messages[0].parts[-1].content))  # type: ignore[union-attr]
        await self.goes_on.acquire()
        return ModelResponse(parts=[TextPart("Yes.")])

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncGenerator[str]:
        yield "Y"
        await self._answer(messages, info)

    def app(self, backpressure: Backpressure = ONE_PLACE) -> Seawall:
        """Offer it."""
        app = Seawall(backpressure=backpressure)
        app.add(Agent(self.model, name="clerk"), Policy(abuse=None))
        return app

    async def heard(self, number: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(20):
            while len(self.asked) < number:
                await asyncio.sleep(0.005)


async def test_a_tenant_that_floods_fills_its_own_share_of_the_queue(tmp_path: Path) -> None:
    """Its crowd is refused; another tenant's request still finds a place to wait, and is the next but one."""
    clerk = Clerk()
    async with (
        serving(clerk.app(), tmp_path) as world,
        world.client("flood") as flood,
        world.client("quiet") as quiet,
    ):
        crowd = [asyncio.ensure_future(flood.post(RUNS, json={"input": f"f{n}"})) for n in range(40)]
        await clerk.heard(1)
        while sum(one.done() for one in crowd) < 37:
            await asyncio.sleep(0.005)
        refused = [one.result() for one in crowd if one.done()]
        assert {one.status_code for one in refused} == {503}
        assert {one.json()["code"] for one in refused} == {"overloaded"}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert all("ratelimit-policy" in one.headers for one in refused)
        asking = asyncio.ensure_future(quiet.post(RUNS, json={"input": "q"}))
        while (await quiet.get("/readyz")).json()["load"]["queued"]["interactive"] != 3:
            await asyncio.sleep(0.005)
        for _ in range(5):
            clerk.goes_on.release()
        assert (await asking).status_code == 200
        assert sum(one.status_code == 200 for one in await asyncio.gather(*crowd)) == 3
    assert clerk.asked.index("q") in {1, 2}


async def test_what_is_less_urgent_waits_behind_and_is_refused_first(tmp_path: Path) -> None:
    """Two of background wait, and there is no room for a third; what is urgent still finds some, and does not go last."""
    clerk = Clerk()
    room = Backpressure(least=1, start=1, most=1, queue=32, tenant_share=1.0, interactive_wait="60s")
    async with serving(clerk.app(room), tmp_path) as world, world.client() as client:
        low = {"Priority": "u=7"}
        low_ones = [
            asyncio.ensure_future(client.post(RUNS, json={"input": f"b{n}"}, headers=low)) for n in range(4)
        ]
        done, waiting = await asyncio.wait(low_ones, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        assert [one.result().status_code for one in done] == [503]
        urgent = asyncio.ensure_future(client.post(RUNS, json={"input": "now"}))
        while (await client.get("/readyz")).json()["load"]["queued"]["interactive"] < 1:
            await asyncio.sleep(0.005)
        for _ in range(4):
            clerk.goes_on.release()
        assert (await urgent).status_code == 200
        assert {one.status_code for one in await asyncio.gather(*waiting)} == {200}
    assert clerk.asked.index("now") in {1, 2}


async def test_work_that_could_not_be_there_in_time_is_not_begun(tmp_path: Path) -> None:
    """Its caller waits 50 ms, all places are taken: refused, and never asked."""
    clerk = Clerk()
    async with serving(clerk.app(), tmp_path) as world, world.client() as client:
        taken = asyncio.ensure_future(client.post(RUNS, json={"input": "first"}))
        await clerk.heard(1)
        said = await client.post(RUNS, json={"input": "soon"}, headers={"Seawall-Deadline": "0.05"})
        assert (said.status_code, said.json()["code"]) == (503, "deadline")
        clerk.goes_on.release()
        assert (await taken).status_code == 200
    assert clerk.asked == ["first"]


async def test_a_stream_that_nobody_reads_any_more_keeps_its_place_until_it_ends(tmp_path: Path) -> None:
    """Its run goes on for a reader that may come back, so its place is not another's yet."""
    clerk = Clerk()
    async with serving(clerk.app(), tmp_path, resume="300ms") as world, world.client() as client:
        async with client.stream("POST", RUNS, json={"input": "s", "stream": True}) as said:
            assert said.status_code == 200
            await clerk.heard(1)
        assert (await client.get("/readyz")).json()["load"]["running"] == 1
        async with asyncio.timeout(20):
            while (await client.get("/readyz")).json()["load"]["running"]:
                await asyncio.sleep(0.02)


async def test_runs_that_are_done_later_wait_for_places_too(tmp_path: Path) -> None:
    """Whoever waits for an answer comes first; what is done later is done then."""
    clerk = Clerk()
    async with serving(clerk.app(), tmp_path) as world, world.client() as client:
        later = (await client.post(RUNS, json={"input": "later", "async": True})).headers["location"]
        await clerk.heard(1)
        now = asyncio.ensure_future(client.post(RUNS, json={"input": "now"}))
        assert clerk.asked == ["later"]
        clerk.goes_on.release()
        await clerk.heard(2)
        clerk.goes_on.release()
        assert (await now).status_code == 200
        assert (await client.get(later)).json()["status"] == "done"
