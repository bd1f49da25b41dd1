"""What an error says: about the dependency that was asked, and about asking it once more.

Sources: RFC 9110 (status codes, `Retry-After`), PostgreSQL's SQLSTATE. Drivers' errors are known by name: none need be there.
"""

import errno
import json
import math
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, cast, get_args

from pydantic import ValidationError
from pydantic_ai import exceptions as ai

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError, Rejected

FaultKind = Literal[
    "dns",
    "refused",
    "reset",
    "tls",
    "connect_timeout",
    "read_timeout",
    "rate_limited",
    "overloaded",
    "server_error",
    "unreadable",
    "rejected",
    "authentication",
    "content",
    "cancelled",
    "out_of_time",
    "held_back",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure, named.

    `counts`: it says something about the dependency, so that its breaker counts a failure; else the breaker ignores it.
    `again`: the same call may succeed there soon. `retry_after`: seconds that the dependency asked for, if it did.
    """

    kind: FaultKind
    counts: bool
    again: bool
    retry_after: float | None = None


# With nothing behind them: a wrong argument, or a bug on this side. A text may have made either happen.
_BUGS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_IGNORED: frozenset[FaultKind] = frozenset({"rejected", "content", "cancelled", "out_of_time", "held_back"})
# No read timeout: it has cost its caller a whole time limit, and is billed. No certificate: it does not mend itself.
_ONCE: frozenset[FaultKind] = frozenset({"read_timeout", "tls", "authentication", "unknown", *_IGNORED})
_FAULTS: dict[FaultKind, Fault] = {
    kind: Fault(kind, counts=kind not in _IGNORED, again=kind not in _ONCE) for kind in get_args(FaultKind)
}
# A gateway answers 403 to a text it will not have, too: one caller's must not close the dependency to everybody.
_FORBIDDEN = replace(_FAULTS["authentication"], counts=False)
_QUOTA = replace(_FAULTS["rate_limited"], again=False)
# The model was reached and answered; what it said, a text may have made it say.
_WRONG_OUTPUT = Fault("unreadable", counts=False, again=False)


def _by_name(names: Mapping[FaultKind, str]) -> dict[str, FaultKind]:
    return {name: kind for kind, several in names.items() for name in several.split()}


_CLIENT = _by_name(
    {
        "connect_timeout": "ConnectTimeout",
        "read_timeout": "ReadTimeout WriteTimeout TimeoutException",
        "held_back": "PoolTimeout",
        "reset": "ReadError WriteError CloseError RemoteProtocolError",
        "rejected": "LocalProtocolError UnsupportedProtocol InvalidURL",
        "unreadable": "DecodingError TooManyRedirects",
    }
)
_DRIVERS: dict[str, dict[str, FaultKind]] = {
    "httpx": _CLIENT,
    "httpx2": _CLIENT,
    "httpcore": _CLIENT,
    "httpcore2": _CLIENT,
    "aiohttp": _by_name(
        {"reset": "ServerDisconnectedError ClientPayloadError", "unreadable": "ContentTypeError"}
    ),
    "anyio": _by_name({"reset": "BrokenResourceError ClosedResourceError EndOfStream"}),
    "http": _by_name({"reset": "IncompleteRead", "unreadable": "HTTPException"}),
    "redis": _by_name(
        {
            "authentication": "AuthenticationError AuthorizationError NoPermissionError ExternalAuthProviderError",
            "held_back": "MaxConnectionsError",
            "read_timeout": "TimeoutError",
            "overloaded": "BusyLoadingError ClusterDownError TryAgainError OutOfMemoryError",
            "server_error": "ReadOnlyError",
            "unreadable": "InvalidResponse",
            "rejected": "ResponseError DataError",
        }
    ),
    "sqlalchemy": _by_name({"held_back": "TimeoutError"}),
    "psycopg": _by_name({"connect_timeout": "ConnectionTimeout"}),
    "psycopg_pool": _by_name({"held_back": "PoolTimeout TooManyRequests PoolClosed"}),
}
# What an error stands for where nothing it was raised from says it better.
_VAGUE: dict[str, FaultKind] = _by_name(
    {
        "refused": "ConnectError ProxyError",
        "read_timeout": "APITimeoutError",
        "reset": "APIConnectionError ConnectionError OperationalError InterfaceError",
    }
)
_VAGUE_IN = frozenset({*_DRIVERS, "openai", "anthropic"})
# Classes of two characters, and single states that differ from theirs.
_SQLSTATE: dict[str, FaultKind] = _by_name(
    {
        "reset": "08 57P01 57P02",
        "refused": "08001 08004",
        "authentication": "28",
        "read_timeout": "57014",
        "overloaded": "53 55P03 57P03",
        "server_error": "40 58 XX",
    }
)
_ERRNO: dict[int, FaultKind] = {
    **dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN), "refused"),
    # This machine has run out, not the dependency.
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS), "held_back"),
}
# The Model Context Protocol's, and what its clients make up: a connection closed or never made, no answer, no JSON.
_RPC: dict[int, FaultKind] = {-32000: "reset", 408: "connect_timeout", -32001: "read_timeout", -32603: "server_error", -32700: "unreadable"}  # fmt: skip
_SQLITE_BUSY = {5, 6}
_DEEPEST = 16


def read_fault(error: BaseException, *, clock: Clock = SYSTEM_CLOCK) -> Fault:
    """Name what went wrong, from the error and those it was raised from; of a group, from its worst member.

    An error that nobody can name counts, and is not for another try. `clock` turns a `Retry-After` that is a date
    into seconds.
    """
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return max((read_fault(member, clock=clock) for member in group.exceptions), key=_badness)
    fault: Fault | None = None
    vague: FaultKind | None = None
    retry_after: float | None = None
    for link in _chain(error):
        if retry_after is None:
            retry_after = _retry_after(link, clock)
        fault = _definite(link)
        if fault is not None:
            break
        vague = vague or _stands_for(link)
    if fault is None:
        fault = _FAULTS[vague or ("rejected" if isinstance(error, _BUGS) else "unknown")]
    if isinstance(error, _TOLD_THE_MODEL) and fault.again:
        # Its owner had it in hand, and has said what comes next.
        fault = replace(fault, again=False)
    return fault if retry_after is None else replace(fault, retry_after=retry_after)


def _badness(fault: Fault) -> tuple[bool, bool, float]:
    return fault.counts, not fault.again, fault.retry_after or 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then what it was raised from; a group on the way stands for its first member."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < _DEEPEST:
        if link is not error and not isinstance(link, Exception):
            # A cancellation that something else was made of is not the news.
            return
        seen.add(id(link))
        if isinstance(link, BaseExceptionGroup):
            link = cast("BaseExceptionGroup[BaseException]", link).exceptions[0]
            continue
        yield link
        link = link.__cause__ or _held(link) or (None if link.__suppress_context__ else link.__context__)


def _held(error: BaseException) -> BaseException | None:
    # Some HTTP clients hide the cause of their errors, and have it as their argument.
    first: object = error.args[0] if error.args else None
    return first if isinstance(first, BaseException) else None


def _definite(error: BaseException) -> Fault | None:
    """Read one error by itself; None where it leaves open what happened."""
    if not isinstance(error, Exception):
        return _FAULTS["cancelled"]
    return (
        _ours(error)
        or _of_a_model(error)
        or _of_a_status(error)
        or _of_a_driver(error)
        or _of_the_system(error)
    )


def _ours(error: Exception) -> Fault | None:
    """Read what was decided on this side: the dependency was not asked, or was asked amiss."""
    if isinstance(error, Rejected):
        if error.by == "guards":
            return _FAULTS["content"]
        if error.by == "dependencies":
            # An agent none of whose models could answer is itself a dependency that is down.
            return replace(_FAULTS["overloaded"], again=False, retry_after=error.retry_after)
        return _FAULTS["out_of_time" if error.by == "deadline" else "held_back"]
    if isinstance(error, ai.RunTimedOut):
        return _FAULTS["out_of_time"]
    if isinstance(error, ai.RunCancelled):
        return _FAULTS["cancelled"]
    if isinstance(error, _NOT_ASKED):
        return _FAULTS["held_back"]
    return _FAULTS["rejected"] if isinstance(error, _ASKED_AMISS) else None


_NOT_ASKED = (ai.UsageLimitExceeded, ai.ConcurrencyLimitExceeded, ai.CallDeferred, ai.ApprovalRequired)
_ASKED_AMISS = (ConfigError, ai.UserError, ai.SuspendedResponseExpired, ai.IncompleteToolCall)
_TOLD_THE_MODEL = (ai.ToolFailed, ai.ToolFailedError, ai.ModelRetry, ai.ToolRetryError)


def _of_a_model(error: Exception) -> Fault | None:
    if isinstance(error, ai.ModelAPIError):
        return _of_an_api(error)
    if isinstance(error, ai.ContentFilterError):
        return _FAULTS["content"]
    if isinstance(error, ai.UnexpectedModelBehavior):
        # The library has no type for an agent whose model never gave what was asked of it; it has this word.
        gave_up = isinstance(error.__cause__, _TOLD_THE_MODEL) or "retries" in error.message
        return _WRONG_OUTPUT if gave_up else _FAULTS["unreadable"]
    return None


def _of_an_api(error: ai.ModelAPIError) -> Fault | None:
    if isinstance(error, ai.ModelTimeoutError | ai.ModelRequestTimeout):
        phase = error.phase if isinstance(error, ai.ModelTimeoutError) else None
        return _FAULTS[_TIMEOUTS.get(phase or "read", "read_timeout")]
    if isinstance(error, ai.ModelConnectionError):
        return _FAULTS["held_back"] if error.phase == "pool" else None
    if isinstance(error, ai.ModelHTTPError):
        fault = _of_a_category(error) or _status(error.status_code)
        return replace(fault, again=fault.again and error.provider_retry_hint is not False)
    return _of_a_category(error) or (_FAULTS["server_error"] if error.in_stream else None)


def _of_a_category(error: ai.ModelAPIError) -> Fault | None:
    """Read the kind that a provider's own code gives an error, which says more than a status, and may come without one."""
    if isinstance(error, ai.ModelAuthenticationError):
        forbidden = isinstance(error, ai.ModelHTTPError) and error.status_code == 403
        return _FORBIDDEN if forbidden else _FAULTS["authentication"]
    return next((fault for category, fault in _CATEGORIES if isinstance(error, category)), None)


_TIMEOUTS: dict[str, FaultKind] = {"pool": "held_back", "connect": "connect_timeout"}
_CATEGORIES: tuple[tuple[type[ai.ModelAPIError], Fault], ...] = (
    (ai.ModelQuotaExceededError, _QUOTA),
    (ai.ModelRateLimitError, _FAULTS["rate_limited"]),
    (ai.ModelUnavailableError, _FAULTS["overloaded"]),
    (ai.ModelServerError, _FAULTS["server_error"]),
    (ai.ModelRequestRejectedError, _FAULTS["rejected"]),
)


def _of_a_status(error: Exception) -> Fault | None:
    """Read the status of a response that any client's error carries."""
    for holder in (_said(error, "response"), error):
        for name in ("status_code", "status", "code"):
            code = _said(holder, name)
            if isinstance(code, int) and 300 <= code < 600:
                return _status(code)
    return None


def _status(code: int) -> Fault:
    match code:
        case 401 | 407:
            return _FAULTS["authentication"]
        case 402:
            return _QUOTA
        case 403:
            return _FORBIDDEN
        case 408:  # the server hung up on a request it was waiting for
            return _FAULTS["reset"]
        case 429:
            return _FAULTS["rate_limited"]
        case 503 | 529:
            return _FAULTS["overloaded"]
        case _ if code < 400:
            return _FAULTS["unreadable"]
        case _:
            return _FAULTS["rejected" if code < 500 or code == 501 else "server_error"]


def _of_a_driver(error: Exception) -> Fault | None:
    kind: FaultKind | None = None
    state = _said(error, "sqlstate")
    if isinstance(state, str):
        kind = _SQLSTATE.get(state) or _SQLSTATE.get(state[:2], "rejected")
    elif isinstance(code := _said(error, "sqlite_errorcode"), int):
        kind = "overloaded" if code & 0xFF in _SQLITE_BUSY else "server_error"
    elif type(error).__name__ in {"MCPError", "McpError"}:
        code = _said(_said(error, "error") or error, "code")
        kind = _RPC.get(code, "rejected") if isinstance(code, int) else None
    else:
        kind = next(
            (k for package, name in _names(error) if (k := _DRIVERS.get(package, {}).get(name))), None
        )
    return None if kind is None else _FAULTS[kind]


def _of_the_system(error: Exception) -> Fault | None:
    """Read what the operating system and the standard library raise."""
    kind: FaultKind | None
    match error:
        case socket.gaierror():
            kind = "dns"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            kind = "reset"
        case ssl.SSLError():
            kind = "tls"
        case ConnectionRefusedError():
            kind = "refused"
        case ConnectionError() | EOFError():
            kind = "reset"
        case TimeoutError():
            kind = "connect_timeout" if error.errno == errno.ETIMEDOUT else "read_timeout"
        case OSError():
            kind = _ERRNO.get(error.errno or 0)
        case json.JSONDecodeError() | UnicodeDecodeError() | ValidationError():
            kind = "unreadable"
        case _:
            return None
    return None if kind is None else _FAULTS[kind]


def _stands_for(error: BaseException) -> FaultKind | None:
    if isinstance(error, ai.ModelConnectionError):
        return "refused" if error.phase == "connect" else "reset"
    if isinstance(error, ai.ModelAPIError):
        # With no status and no kind, it is an answer that could not be made out.
        return "unreadable"
    if isinstance(error, _TOLD_THE_MODEL):
        return "rejected"
    if type(error) is OSError and error.errno is None:
        # Every address of a name was tried, in vain.
        return "refused"
    names = _names(error)
    return next((_VAGUE[name] for package, name in names if package in _VAGUE_IN and name in _VAGUE), None)


def _said(holder: object, name: str) -> object:
    """Read an attribute that is data; a property may do anything, even raise."""
    kept: Mapping[str, object] = getattr(holder, "__dict__", {})
    value: object = kept[name] if name in kept else getattr(type(holder), name, None)
    return None if hasattr(type(value), "__get__") else value


def _names(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield the package and name of an error's class and its bases, most particular first."""
    return ((cls.__module__.partition(".")[0], cls.__name__) for cls in type(error).__mro__)


def _retry_after(error: BaseException, clock: Clock) -> float | None:
    """Read the seconds that an error or its response asks to wait."""
    said = _said(error, "retry_after")
    if not isinstance(said, int | float):
        headers = _said(_said(error, "response") or error, "headers")
        said = (
            _from_headers(cast("Mapping[str, str]", headers), clock) if isinstance(headers, Mapping) else None
        )
    return float(said) if said is not None and math.isfinite(said) and said >= 0 else None


def _from_headers(headers: Mapping[str, str], clock: Clock) -> float | None:
    folded = {str(name).lower(): str(value) for name, value in headers.items()}
    try:
        if (thousandths := folded.get("retry-after-ms")) is not None:
            return float(thousandths) / 1000
        if (said := folded.get("retry-after")) is None:
            return None
        with suppress(ValueError):
            return float(said)
        at = parsedate_to_datetime(said)
        # The oldest of the three forms of a date names no zone; all three are in UTC.
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, at.timestamp() - clock.time())
    except (ValueError, TypeError, OverflowError):
        return None
