"""Whom a limit counts apart: the caller, and the part of it that makes the key."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal

_V6_NETWORK = 64


@dataclass(frozen=True, slots=True)
class Caller(Principal):
    """A principal and how it came: through which agent, from which address, with which API key ("": not known).

    Neither address nor API key is printed.
    """

    agent: str = ""
    ip: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, principal: Principal, *, agent: str = "", ip: str = "", api_key: str = "") -> "Caller":
        """Add to a principal what is known of its way in."""
        return cls(principal.tenant, principal.subject, principal.scopes, agent, ip, api_key)


KeyFunction = Callable[[Caller], str]
Key = Literal["subject", "tenant", "api_key", "ip", "agent", "everyone"] | KeyFunction
_KeyOf = Callable[[Principal], str]


def _by_subject(who: Principal) -> str:
    # The length keeps ("a", "bc") and ("ab", "c") apart: one tenant's subjects never share another's bucket.
    return f"{len(who.tenant)}:{who.tenant}{who.subject}"


def _by_tenant(who: Principal) -> str:
    return who.tenant


def _by_nothing(_: Principal) -> str:
    return ""


def _by_function(function: Any, kind: str, who: Principal) -> str:
    answer: object = function(who if isinstance(who, Caller) else Caller.of(who))
    if not isinstance(answer, str) or not answer:
        raise ConfigError(
            f"a limit counts by {kind}, and this caller has none: give the limit a Caller that knows it, or another key"
        )
    return answer


def _ip(who: Caller) -> str:
    """Name the network a caller rules over: the address in version 4, its /64 in version 6."""
    if not who.ip:
        return ""
    try:
        address = ipaddress.ip_address(who.ip)
    except ValueError:
        raise ConfigError("a caller's ip is no IP address; pass the peer's address alone, no port") from None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return (int(address) >> (128 - _V6_NETWORK)).to_bytes(8, "big").hex()


def _agent(who: Caller) -> str:
    return who.agent


def _api_key(who: Caller) -> str:
    return who.api_key


_KEYS: dict[str, _KeyOf] = {
    "subject": _by_subject,
    "tenant": _by_tenant,
    "everyone": _by_nothing,
    "ip": partial(_by_function, _ip, "ip"),
    "agent": partial(_by_function, _agent, "agent"),
    "api_key": partial(_by_function, _api_key, "api_key"),
}


def key_kind(key: object) -> str:
    """Name a key for people; ConfigError for what is neither a known word nor a named function."""
    if isinstance(key, str) and key in _KEYS:
        return key
    name = getattr(key, "__qualname__", "")
    if not callable(key) or not name or "<lambda>" in name:
        words = ", ".join(repr(word) for word in _KEYS)
        raise ConfigError(
            f"key={key!r}: expected {words} or a named function of the caller, so that the limit can be printed and compared"
        )
    return str(name)


def key_of(key: Key) -> _KeyOf:
    """Return what makes the key of a caller; it raises ConfigError where the caller has none."""
    return partial(_by_function, key, key_kind(key)) if callable(key) else _KEYS[key]
