"""One run of what is served, at once, streamed or later: the same work, however its answer goes out."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from seawall.defense.resilience import allow, spending
from seawall.edge.entry import Entry
from seawall.edge.live_stream import LiveStream
from seawall.edge.refusals import problem_of
from seawall.edge.requests import finished
from seawall.edge.served import Answer, Served, ServedAgent, plain
from seawall.edge.site import Site

_MANY = 1_000


async def answered(site: Site, served: Served, given: str, entry: Entry) -> Answer:
    """Do the work for its caller, within the time that it waits."""
    with waited_for(site, entry):
        return await served.run(given, entry.caller)


async def streamed(
    site: Site, agent: ServedAgent, given: str | None, resume: str | None, entry: Entry, live: LiveStream
) -> int:
    """Put the events of a run into its stream: what was said, then the run as it ended, or the problem that it met.

    Returns the status that the run would have been answered with at once.
    """
    created = time.time()
    await live.put("started", {"id": live.run_id, "agent": agent.name})
    output: Any = ""
    try:
        with waited_for(site, entry):
            async with agent.stream(given, entry.caller, resume=resume) as stream:
                if agent.says_text:
                    async for piece in stream.text():
                        output += piece
                        await live.put("delta", {"text": piece})
                else:
                    async for so_far in stream.output():
                        output = plain(so_far)
                        await live.put("output", {"output": output})
        run = finished(live.run_id, agent.name, created, Answer(output, stream.transaction))
        await live.put("done", run)
        return 200
    except Exception as error:  # noqa: BLE001  whatever it is, its reader is told
        told = problem_of(error)
        await live.put("error", {**told, "run_id": live.run_id})
        return told["status"]


def waited_for(site: Site, entry: Entry) -> AbstractContextManager[object]:
    """Have what is done in the block end when its caller no longer waits."""
    if entry.until is None:
        return nullcontext()
    left = max(0.001, entry.until - site.clock.monotonic())
    return spending(allow(f"{left:.3f}s", retries=_MANY, clock=site.clock))
