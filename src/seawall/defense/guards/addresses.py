"""Web addresses as a browser reads them, whatever disguise they come in: which scheme, which host, which parts."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize
from urllib.parse import unquote

from seawall.defense.guards.reading.normalise import fold_letter

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SPECIAL = frozenset({"http", "https", "ftp", "ws", "wss", "file"})
_DROPPED = re.compile(
    "[\x00-\x20\x7f\u00ad\u034f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_DOTS = re.compile("[\u3002\uff0e\uff61\u2024]")
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")
_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# What no resolver is asked for; an address that cannot be read is nobody's, so that no list allows it.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f/\\@?#<>:^|%\[\]]")
UNREADABLE = "unreadable.invalid"
_AT_HOME = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_CONFUSED = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("0", "o"), ("1", "l"), ("i", "l"), ("-", "."))


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL. `scheme` and `host` are in lower case; `host` is as a resolver is asked, "" where there is
    none: IDN in punycode, numbers as dotted addresses, IPv6 in brackets. `plain_host` says that it was written so.
    """

    scheme: str
    user: str
    host: str
    path: str
    query: str
    fragment: str
    plain_host: bool = True


def split_address(url: str) -> Address:
    """Split as a browser does: backslashes are slashes, what is not seen counts for nothing. Never raises."""
    text = _DROPPED.sub("", url)
    found = _SCHEME.match(text)
    scheme = found.group(1).lower() if found else ""
    rest = text[found.end() :] if found else text
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    hidden = "\\" in rest and "@" in rest
    if scheme in _SPECIAL or not scheme:
        rest = rest.replace("\\", "/")
    if scheme == "mailto":
        user, _, name = rest.rpartition("@")
        return Address(scheme, user, host_name(name), "", query, fragment)
    slashes = len(rest) - len(rest.lstrip("/"))
    if slashes < 2 and (scheme not in _SPECIAL or scheme == "file"):
        return Address(scheme, "", "", rest, query, fragment)
    authority, slash, path = rest[slashes:].partition("/")
    user, _, name = authority.rpartition("@")
    name = _without_port(name)
    # Whether a name before `\\@` is the host or the user, programs do not agree.
    host = UNREADABLE if hidden else host_name(name)
    return Address(scheme, user, host, slash + path, query, fragment, host == name.lower().rstrip("."))


def _without_port(name: str) -> str:
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def host_name(name: str) -> str:
    """Return a host's name as a resolver is asked for it."""
    name = normalize("NFKC", _DOTS.sub(".", unquote(name))).lower().strip(".")
    if name.startswith("["):
        try:
            return f"[{ipaddress.ip_address(name[1:-1].partition('%')[0]).compressed}]"
        except ValueError:
            return UNREADABLE
    if _FORBIDDEN.search(name) is not None:
        return UNREADABLE
    if _NUMBERS.fullmatch(name):
        return _dotted(name)
    if name.isascii():
        return name
    return ".".join(
        one if one.isascii() else "xn--" + one.encode("punycode", "ignore").decode()
        for one in name.split(".")
    )


def _dotted(name: str) -> str:
    """Read numbers as `inet_aton` does: hexadecimal, octal, fewer than four of them."""
    parts = [_number(part) for part in name.split(".")]
    total = sum(part << 8 * (3 - place) for place, part in enumerate(parts[:-1])) + parts[-1]
    if any(part > 255 for part in parts[:-1]) or total >= 1 << 32:
        return name
    return str(ipaddress.IPv4Address(total))


def _number(part: str) -> int:
    # No address has longer numbers: converting them would be work for nothing.
    if len(part) > 16:
        return 1 << 40
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    octal = len(part) > 1 and part.startswith("0") and not set(part) & {"8", "9"}
    return int(part, 8 if octal else 10)


def is_number(address: Address) -> bool:
    """Say whether the host is a number nobody links to: a public one, or any in a form that hides it."""
    host = address.host
    if not host.startswith("[") and not _NUMBERS.fullmatch(host):
        return False
    try:
        known = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    if known.is_loopback or known.is_unspecified:
        return not address.plain_host
    return known.version == 6 or not address.plain_host or not any(known in net for net in _AT_HOME)


def is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Say whether a host is one of those allowed, or below a star."""
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in allowed)


def pretends(address: Address, allowed: Sequence[str]) -> bool:
    """Say whether a host that is not allowed is made to look like one: letters, a name before an @ or a longer one."""
    if "." in unquote(address.user) and address.scheme != "mailto":
        return True
    shape = f".{_shape(address.host)}."
    names = [one.removeprefix("*.") for one in allowed]
    return any(
        f".{_shape(name)}." in shape
        # Another name of the same owner is none, unless it is written in another script.
        and ("xn--" in address.host or not f".{address.host}".endswith(f".{_owned(name)}"))
        for name in names
    )


def _owned(name: str) -> str:
    """Return the part of a host's name that somebody registered, roughly: two labels, three as in `example.co.uk`."""
    labels = name.split(".")
    second_level = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3 if second_level else -2 :])


def _shape(host: str) -> str:
    """Return what a hasty reader sees in a host's name."""
    seen = "".join("".join(map(fold_letter, _unpunycoded(label))) + "." for label in host.split("."))
    shape = normalize("NFKD", seen[:-1]).lower()
    for letters, like in _CONFUSED:
        shape = shape.replace(letters, like)
    return shape


def _unpunycoded(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii", "ignore").decode("punycode")
    except UnicodeError:
        return label
