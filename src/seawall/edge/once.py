"""`Idempotency-Key`: what was asked for twice is done once, and answered the same.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.requests import Request
from starlette.responses import Response

from seawall.edge.entry import Entry
from seawall.edge.http.problems import problem, rendered
from seawall.edge.presence import CallerLeft
from seawall.edge.refusals import Unreadable, problem_of
from seawall.edge.site import Site
from seawall.foundation.errors import Rejected, StoreError
from seawall.foundation.ids import new_id
from seawall.orchestration.idempotency import (
    BadIdempotencyKey,
    Claim,
    Conflict,
    Fresh,
    InFlight,
    Replay,
    parse_key,
)

_RENEW_SECONDS = 20.0
# What is the answer's own; the rest is said anew with each.
_KEPT = frozenset(
    {
        "content-type",
        "location",
        "seawall-degradation",
        "seawall-missing",
        "seawall-cost",
        "seawall-transaction",
    }
)


async def once(
    site: Site, entry: Entry, request: Request, asked: bytes, work: Callable[[str], Awaitable[Response]]
) -> Response:
    """Return what `work`, given the run's id, answers; or what it answered to the same key before, if the same was `asked`.

    Refusals are not remembered: the same key may be tried again. Whatever else the work came to is, failures included,
    since it may have done something.
    """
    header = request.headers.get("idempotency-key")
    if header is None:
        return await work(new_id("run"))
    try:
        key = parse_key(header)
    except BadIdempotencyKey as error:
        raise Unreadable("bad-request", str(error)) from None
    caller = entry.caller
    route = f"{request.method} {request.url.path}"
    name = site.key_names.name(caller.tenant, caller.subject, route, key)
    fingerprint = site.key_names.fingerprint(
        caller.tenant, asked, request.headers.get("content-type", "").partition(";")[0]
    )
    match await site.idempotency.claim(name, fingerprint, new_id("run")):
        case Replay() as known:
            headers = {**dict(known.headers), "idempotent-replayed": "true"}
            return Response(known.body, known.status, headers)
        case Conflict():
            raise Unreadable(
                "idempotency-mismatch", "this Idempotency-Key was used with another body; make a new one"
            )
        case InFlight() as other:
            return _response(problem("in-flight", retry_after=other.retry_after, run_id=other.run_id))
        case Fresh() as fresh:
            return await _first(site, fresh, work)


async def _first(site: Site, fresh: Fresh, work: Callable[[str], Awaitable[Response]]) -> Response:
    async with _renewed(site, fresh.claim):
        try:
            response = await work(fresh.run_id)
        except (Rejected, Unreadable, CallerLeft, asyncio.CancelledError):
            with suppress(StoreError):
                await site.idempotency.release(fresh.claim)
            raise
        except Exception as error:  # noqa: BLE001  remembered, since it may have done something
            response = _response(problem_of(error))
    kept = [(name, value) for name, value in response.headers.items() if name in _KEPT]
    await site.idempotency.complete(fresh.claim, response.status_code, kept, bytes(response.body))
    return response


@asynccontextmanager
async def _renewed(site: Site, claim: Claim) -> AsyncGenerator[None]:
    """Hold a claim for as long as the block takes."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await site.idempotency.renew(claim)

    task = asyncio.create_task(renew(), name="idempotency claim")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _response(told: dict[str, object]) -> Response:
    status, headers, body = rendered(told)
    response = Response(body, status)
    response.raw_headers = headers
    return response
