"""Streams of a real client over a real socket: pieces cut anywhere, connections that break, hang or are left."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelTimeoutError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.defense import Policy, guards, harden
from seawall.defense.resume import StreamInterrupted
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.testing import MockProvider, call_output_tool, say
from tests.defense.streams import ALICE

ANSWER = "Dear zoe@example.com. We got your letter. " + "It was long. " * 20


class Letter(BaseModel):
    to: str
    body: str


@asynccontextmanager
async def client(provider: MockProvider) -> AsyncGenerator[OpenAIChatModel]:
    async with AsyncOpenAI(base_url=provider.url, api_key="test", max_retries=0) as openai:
        yield OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=openai))


def asked(request: Mapping[str, Any]) -> str:
    """The prompt as the provider got it."""
    return request["messages"][-1]["content"]


def tear(size: int) -> Callable[[str], list[str]]:
    """Cut into pieces of one size, each after an empty one."""
    return lambda text: [piece for at in range(0, len(text), size) for piece in ("", text[at : at + size])]


@pytest.mark.parametrize("size", [1, 3, 4, 17, 1000])
async def test_personal_data_stays_here_and_comes_back_in_the_stream(size: int) -> None:
    """Whatever the pieces on the wire, the reader gets the originals, and the row the provider's usage."""
    with MockProvider(lambda request: say(request, asked(request)), split=tear(size)) as provider:
        async with client(provider) as model:
            safe = harden(Agent(model, name="writer"), Policy(guards=[guards.pseudonymise()]))
            async with safe.run_stream(ANSWER, deps=None, principal=ALICE) as stream:
                said = [delta async for delta in stream.text()]
        assert "zoe@example.com" not in json.dumps(provider.requests)
    assert "".join(said) == ANSWER
    assert size == 1000 or said[0] == "Dear zoe@example.com. "
    row = stream.transaction
    assert (row.outcome, row.input_tokens, row.output_tokens) == ("ok", 1000, 100)
    assert row.cost_usd


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_arguments_of_an_output_tool_stream_with_originals(size: int) -> None:
    r"""The provider writes `\u27e6`, cut anywhere; the values that come are whole and grow."""

    def reply(request: Mapping[str, Any]) -> dict[str, Any]:
        return call_output_tool(request, {"to": f'"{asked(request)}"', "body": "One. Two 😀. Three."})

    with MockProvider(reply, split=tear(size)) as provider:
        async with client(provider) as model:
            agent = Agent(model, name="writer", output_type=Letter)
            safe = harden(agent, Policy(guards=[guards.pseudonymise()]))
            async with safe.run_stream("zoe@example.com", deps=None, principal=ALICE) as stream:
                letters = [letter async for letter in stream.output()]
    assert letters[-1] == Letter(to='"zoe@example.com"', body="One. Two 😀. Three.")
    assert all("⟦" not in letter.to for letter in letters)


@pytest.mark.parametrize(("mode", "error"), [("cut", ModelAPIError), ("stall", ModelTimeoutError)])
async def test_a_connection_that_gives_out_after_the_first_sentence(
    mode: Any, error: type[Exception]
) -> None:
    """The reader keeps what was let out and gets the error; what it cost is not known, so no price is made up."""
    said: list[str] = []
    with MockProvider(lambda request: say(request, ANSWER), mode=mode) as provider:
        async with client(provider) as model:
            rows: list[Event] = []
            safe = harden(
                Agent(model, name="writer"), Policy(call_timeout="500ms"), events=EventBus(rows.append)
            )
            with pytest.raises(StreamInterrupted) as broken:
                async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
                    async for delta in stream.text():
                        said += [delta]
    assert isinstance(broken.value.__cause__, error)
    assert broken.value.released == len(said) > 0
    assert ANSWER.startswith("".join(said))
    assert said[-1].endswith(". ")
    (row,) = [event.transaction for event in rows if isinstance(event, TransactionFinished)]
    assert (row.outcome, row.cost_usd) == ("failed", None)


@pytest.mark.parametrize("mode", ["error", "rate limited", "cut"])
async def test_a_provider_that_fails_at_first_is_replaced(mode: Any) -> None:
    """Nothing was let out yet, so the next provider's answer streams instead."""
    with (
        MockProvider(lambda request: say(request, "no sentence ends here at all"), mode=mode) as broken,
        MockProvider(lambda request: say(request, ANSWER)) as sound,
    ):
        async with client(broken) as model, client(sound) as spare:
            safe = harden(Agent(model, name="writer"), Policy(fallbacks=[spare]))
            async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
                said = "".join([delta async for delta in stream.text()])
    assert said == ANSWER
    assert (stream.transaction.degradation, len(stream.transaction.attempts)) == ("fallback", 2)


async def test_leaving_a_stream_closes_its_connection() -> None:
    """A reader that goes away is felt at the provider: nobody is left to generate for."""
    with MockProvider(lambda request: say(request, ANSWER), mode="stall") as provider:
        async with client(provider) as model:
            safe = harden(Agent(model, name="writer"), Policy())
            async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
                async for _ in stream.text():
                    break
            assert await asyncio.to_thread(provider.deserted.wait, 30)
    assert stream.transaction.outcome == "cancelled"
