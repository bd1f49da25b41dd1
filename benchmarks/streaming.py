"""What holding a stream back costs: microseconds a chunk next to the bare stream in the same run, and text held.

Two measures: the model's stream alone, through an endpoint with a judge that allows and a vault; and a whole
`run_stream` read to its end. Pieces are of four characters, about a token. The last line is one JSON object.
"""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from seawall.defense import Policy, guards, harden
from seawall.defense.dependency import Dependency
from seawall.defense.endpoint import Endpoint
from seawall.defense.limits import Caller
from seawall.defense.resilience import allow as no_end
from seawall.defense.run_state import RunState, running
from seawall.defense.streaming.text_hold import TextHold
from seawall.foundation.clock import SYSTEM_CLOCK
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.events import EventBus
from seawall.foundation.principal import Principal

ROUNDS = 9
SENTENCES = 160
PIECE = 4
WHO = Principal("acme", "u-17")


class Fixed(Model):
    """Streams one text, at once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]

    @property
    def model_name(self) -> str:
        return "fixed"

    @property
    def system(self) -> str:
        return "fixed"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        raise NotImplementedError("this model only streams")

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        yield FixedStream(model_request_parameters, self.pieces)


class FixedStream(StreamedResponse):
    def __init__(self, parameters: ModelRequestParameters, pieces: list[str]) -> None:
        super().__init__(parameters)
        self._pieces = pieces

    @property
    def model_name(self) -> str:
        return "fixed"

    @property
    def provider_name(self) -> str | None:
        return None

    @property
    def provider_url(self) -> str | None:
        return None

    @property
    def timestamp(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for piece in self._pieces:
            for event in self._parts_manager.handle_text_delta(vendor_part_id=0, content=piece):
                yield event


async def best_us_per_chunk(work: Callable[[], Awaitable[int]], chunks: int) -> float:
    """Run the work several times and give the least processor time a chunk."""
    samples: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        await work()
        samples.append(time.process_time() - started)
    return round(min(samples) / chunks * 1e6, 2)


async def read_model(model: Model) -> int:
    """Read a model's stream to its end."""
    events = 0
    async with model.request_stream([], None, ModelRequestParameters()) as stream:
        async for _ in stream:
            events += 1
    return events


def longest_held(model: Fixed) -> int:
    """Most characters waiting for their sentence at any time."""
    hold = TextHold()
    longest = 0
    for piece in model.pieces:
        hold.feed(piece)
        longest = max(longest, hold.held)
    return longest


async def main() -> None:
    """Measure and print."""
    vault = Vault(Pseudonyms(Keyring.ephemeral(), "acme"))
    sentences = [
        f"In point {number} the parties agree with {vault.pseudonymise('zoe@example.com')} on all of it. "
        if number % 16 == 0
        else f"In point {number} the parties agree on what was said before them. "
        for number in range(SENTENCES)
    ]
    model = Fixed("".join(sentences))
    chunks = len(model.pieces)
    held = Endpoint(model, Dependency("model fixed"), clock=SYSTEM_CLOCK)

    async def allow(said: str, *_: object) -> str:
        """Say yes."""
        return said

    run = RunState("txn", Caller.of(WHO), EventBus(), vault, no_end(None), 0.0, 0.0, output_judge=allow)
    agent = Agent(model, name="bare")
    safe = harden(agent, Policy(guards=[guards.pseudonymise()]))

    async def bare_run() -> int:
        async with agent.run_stream("go") as stream:
            return len([delta async for delta in stream.stream_text(delta=True, debounce_by=None)])

    async def held_run() -> int:
        async with safe.run_stream("go", deps=None, principal=WHO) as stream:
            return len([delta async for delta in stream.text()])

    bare = await best_us_per_chunk(lambda: read_model(model), chunks)
    with running(run):
        through = await best_us_per_chunk(lambda: read_model(held), chunks)
    figures = {
        "bare_us_per_chunk": bare,
        "held_us_per_chunk": through,
        "added_us_per_chunk": round(through - bare, 2),
        "bare_run_us_per_chunk": await best_us_per_chunk(bare_run, chunks),
        "held_run_us_per_chunk": await best_us_per_chunk(held_run, chunks),
        "longest_held_characters": longest_held(model),
        "longest_sentence_characters": max(map(len, sentences)),
        "chunks": chunks,
        "pieces_bare": await bare_run(),
        "pieces_held": await held_run(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    for name, value in figures.items():
        print(f"{name:32} {value}", file=sys.stderr)
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
