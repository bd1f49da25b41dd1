"""One subject floods a guarded agent with 1,000 hostile requests: how many reach a model, and what the others notice.

Eight other subjects ask twenty times a second in all, first alone, then during the flood, which is spread over fifteen
seconds (and, with `--at-once`, comes in one go). The model is an OpenAI-compatible provider in a process of its own, on a real
socket, that takes 200 ms an answer. The attacks are the malicious prompts of a public set where it is at hand,
else sentences written for the classifier. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.defense import Hardened, Policy, guards, harden
from seawall.foundation.errors import Rejected
from seawall.foundation.principal import Principal
from seawall.testing import MockProvider
from training import injection_data
from training.guard_phrases import ATTACKS, BENIGN_PROMPTS, spelled

HOSTILE = 1_000
SECONDS = 15
RATE = 20
MODEL_SECONDS = 0.2


def provide(pipe: Connection) -> None:
    """Be the model provider until told to stop; then say which prompts came."""

    def reply(_: dict[str, Any]) -> dict[str, Any]:
        time.sleep(MODEL_SECONDS)
        message = {"role": "assistant", "content": "Yes."}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "mock",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        }

    with MockProvider(reply) as provider:
        pipe.send(provider.url)
        pipe.recv()
        pipe.send([request["messages"][-1]["content"] for request in provider.requests])


def attacks() -> list[str]:
    """Return a thousand hostile prompts."""
    if injection_data.SETS.exists():
        found = injection_data.attacks_of(injection_data.neuralchemy("validation"))
    else:
        found = [text for family in ATTACKS.values() for text in spelled(family, 10, 0)]
    return random.Random(3).choices(found, k=HOSTILE)


async def legitimate(safe: Hardened[object, str], seconds: float) -> list[float]:
    """Ask at a steady rate whatever comes back; return the seconds each answer took."""
    prompts = list(spelled(BENIGN_PROMPTS[-8:], 3, 5))
    taken: list[float] = []
    refused: list[int] = []

    async def ask(number: int) -> None:
        started = time.perf_counter()
        who = Principal(f"tenant-{number % 2}", f"subject-{number % 8}")
        try:
            await safe.run(prompts[number % len(prompts)], deps=None, principal=who)
        except Rejected:
            refused.append(number)
        else:
            taken.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as tasks:
        started = time.perf_counter()
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
            tasks.create_task(ask(number))
    if refused:
        sys.stdout.write(f"{len(refused)} harmless requests were refused\n")
    return taken


async def flood(safe: Hardened[object, str], prompts: list[str], seconds: float) -> Counter[str]:
    """Send the attacks of one subject, evenly over the time given; count what came of each."""
    came = Counter[str]()
    mallory = Principal("tenant-0", "mallory")

    async def attack(prompt: str) -> None:
        try:
            await safe.run(prompt, deps=None, principal=mallory)
            came["answered"] += 1
        except Rejected as refused:
            came[refused.by] += 1

    async with asyncio.TaskGroup() as tasks:
        for prompt in prompts:
            tasks.create_task(attack(prompt))
            if seconds:
                await asyncio.sleep(seconds / len(prompts))
    return came


async def measure(url: str, *, at_once: bool) -> dict[str, Any]:
    """Ask alone, then under attack."""
    model = OpenAIChatModel("mock", provider=OpenAIProvider(base_url=url, api_key="none"))
    policy = Policy(guards=[guards.size("256 kB"), guards.injection()])
    safe = harden(Agent(model, name="assistant"), policy)
    await legitimate(safe, 2)
    idle = await legitimate(safe, SECONDS)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(legitimate(safe, SECONDS))
        flooded = tasks.create_task(flood(safe, attacks(), 0 if at_once else SECONDS - 1))
    before, during = quantiles(idle), quantiles(asked.result())
    ratio = round(during["p99"] / before["p99"], 3)
    return {"idle_ms": before, "flooded_ms": during, "p99_ratio": ratio, "hostile": dict(flooded.result())}


def quantiles(taken: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1), "answers": len(taken)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--at-once", action="store_true")
    chosen = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    provider = multiprocessing.get_context("spawn").Process(target=provide, args=(theirs,), daemon=True)
    provider.start()
    found = asyncio.run(measure(ours.recv(), at_once=chosen.at_once))
    ours.send("stop")
    hostile = set(attacks())
    found["reached_a_model"] = sum(prompt in hostile for prompt in ours.recv())
    provider.join(5)
    sys.stdout.write(json.dumps({"benchmark": "flood", "sent": HOSTILE, **found}) + "\n")


if __name__ == "__main__":
    main()
