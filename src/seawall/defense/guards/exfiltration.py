"""Data leaving by rendering: images that load by themselves, links that carry data, addresses that pretend."""

import base64
import binascii
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.links import Link, find_links, split_url
from seawall.defense.guards.reading.peel import UNREAD, peel
from seawall.foundation.errors import ConfigError

Action = Literal["block", "replace"]
Links = Literal["data", "block", "allow"]
REMOVED = "[link removed]"
_JUDGED: frozenset[Context] = frozenset(("output", "tool_call"))
_HOST = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+|localhost")
_SAFE_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp)[;,]", re.IGNORECASE)
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "", "cid"})
_TOKEN = re.compile(r"⟦[A-Z_]+:[0-9a-f]{24}⟧|[A-Z_]{3,}:[0-9a-f]{24}\b")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_DIGITS = re.compile(r"\d{13,19}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){12,}")
_CODED = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OCTAL = re.compile(r"(?=.*(?:^|\.)0[0-9x])(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){1,3}")
_SENTENCE = 40
_LONGEST_LABEL = 30
_MOST_LABELS = 8
_RANDOM_LENGTH = 40
_RANDOM_BITS = 4.2


@dataclass(frozen=True, slots=True)
class Exfiltration:
    """A way for data to leave: why by code, and its place, half open; `label` is what may stay of it."""

    code: str
    start: int
    end: int
    label: str


def find_exfiltration(
    text: str, allowed_hosts: Sequence[str] = (), links: Links = "data", before: str = ""
) -> list[Exfiltration]:
    """Find ways for data to leave with `text`, in order of place.

    `embed`: what a program would load by itself, from a host not allowed. `data`: a link to such a host whose
    address carries what looks like data: personal data or its tokens, codes, long text. `link`: any link to such a
    host, where `links` is "block". `scheme`: an address that runs code or opens a file. `look_alike`: a host that
    pretends to be an allowed one. What begins in `before` and is completed in `text` is found.
    """
    whole = before + text
    found: list[Exfiltration] = []
    for said, original_span in _readings(whole):
        for link in find_links(said):
            code = _code(link, allowed_hosts, links)
            start, end = original_span(link.start, link.end) if code else (0, 0)
            if code and end > len(before):
                start = max(0, start - len(before))
                found.append(Exfiltration(code, start, end - len(before), link.label))
    return _apart(found)


def _readings(text: str) -> Iterator[tuple[str, Callable[[int, int], tuple[int, int]]]]:
    """Give the text as it is, whose letters of other scripts tell, and as it reads without disguise."""
    if not text.isascii():
        yield text, lambda start, end: (start, end)
    for layer in peel(text):
        if layer.how[-1:] != (UNREAD,):
            yield layer.text, layer.original_span


def _code(link: Link, allowed: Sequence[str], links: Links) -> str | None:
    url = split_url(link.url)
    if url.scheme not in _SCHEMES and not _SAFE_DATA.match("".join(link.url.split())):
        return (
            "scheme"
            if url.scheme in {"javascript", "vbscript", "data", "file", "blob"}
            else _foreign(link, links)
        )
    if not link.host or _is_allowed(link.host, allowed, raw=url.netloc):
        return None
    if _pretends(link.host, url.netloc, allowed):
        return "look_alike"
    if link.kind == "embed":
        return "embed"
    if links == "block":
        return "link"
    return "data" if links == "data" and _carries_data(link) else None


def _foreign(link: Link, links: Links) -> str | None:
    """Judge an address of another scheme, such as ftp: its host is no web server's, so no list speaks for it."""
    if link.kind == "embed":
        return "embed"
    return "link" if links == "block" else "data" if links == "data" and _carries_data(link) else None


def _is_allowed(host: str, allowed: Sequence[str], *, raw: str) -> bool:
    # Whoever needs a name in front of an @ or letters of another script is not who he says.
    if "@" in raw or not raw.isascii() or "xn--" in raw.lower():
        return False
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in allowed)


def _pretends(host: str, raw: str, allowed: Sequence[str]) -> bool:
    if raw.partition("@")[1]:
        return True
    names = [one.removeprefix("*.") for one in allowed]
    disguised = not raw.isascii() or "xn--" in raw.lower()
    return any(
        (disguised and (host == name or host.endswith(f".{name}")))
        or (host != name and (host.startswith(f"{name}.") or f".{name}." in host))
        for name in names
    )


def _carries_data(link: Link) -> bool:
    url = split_url(link.url)
    labels = link.host.split(".")
    if (
        len(labels) > _MOST_LABELS
        or any(len(label) > _LONGEST_LABEL for label in labels)
        or _is_number(link.host)
    ):
        return True
    values = [value for pair in parse_qsl(url.query, keep_blank_values=True) for value in pair]
    values += [unquote(url.query)] if not values else []
    values.append(unquote(url.fragment).removeprefix(":~:text="))
    if any(_is_data(value) or (len(value) >= _SENTENCE and _is_text(value)) for value in values):
        return True
    return any(_is_data(unquote(part)) for part in url.path.split("/"))


def _is_number(host: str) -> bool:
    """Say whether a host is an address written as a number: nobody links to his site so."""
    if host.startswith("[") or re.fullmatch(r"0x[0-9a-f]+|\d{5,}", host) or _OCTAL.fullmatch(host):
        return True
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_data(value: str) -> bool:
    if not value or _UUID.fullmatch(value):
        return False
    if _TOKEN.search(value) or _MAIL.search(value) or any(map(_is_card, _DIGITS.findall(value))):
        return True
    if any(_reads(plain) for coded in _CODED.findall(value) for plain in _decoded(coded)):
        return True
    return any(
        len(coded) >= _RANDOM_LENGTH and _bits(coded) >= _RANDOM_BITS for coded in _CODED.findall(value)
    )


def _is_text(value: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", value)) >= 6 and bool(re.search(r"[\s+_]|%20", value))


def _is_card(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _decoded(coded: str) -> Iterator[bytes]:
    if _HEX.fullmatch(coded):
        yield bytes.fromhex(coded)
    plain = coded.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        yield base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (ValueError, binascii.Error):
        return


def _reads(plain: bytes) -> bool:
    shown = sum(32 <= one < 127 for one in plain)
    return len(plain) >= 12 and shown > 0.95 * len(plain)


def _bits(text: str) -> float:
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _apart(found: list[Exfiltration]) -> list[Exfiltration]:
    kept: list[Exfiltration] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


@dataclass(frozen=True, slots=True)
class ExfiltrationGuard:
    """Blocks ways for data to leave, or takes them out; made by `exfiltration`."""

    allowed_hosts: tuple[str, ...]
    action: Action
    links: Links
    name: str = "exfiltration"
    cost: float = 0.06
    max_characters: int = 4_000_000
    cacheable: bool = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the reason code is that of the first, the spans are all of them."""
        if value.context not in _JUDGED:
            return Verdict(outcome="allow", guard=self.name)
        found = find_exfiltration(value.text, self.allowed_hosts, self.links, value.before)
        if not found:
            return Verdict(outcome="allow", guard=self.name)
        spans = tuple((one.start, one.end) for one in found)
        # What begins with the piece may have begun before it, and part of it be out.
        if self.action == "block" or (value.before and found[0].start == 0):
            return Verdict(
                outcome="block", guard=self.name, reason_code=found[0].code, score=1.0, spans=spans
            )
        return Verdict(
            outcome="replace",
            guard=self.name,
            reason_code=found[0].code,
            score=1.0,
            spans=spans,
            replacement=_without(value.text, found),
        )


def exfiltration(
    allowed_hosts: Sequence[str] = (), *, action: Action = "block", links: Links = "data"
) -> ExfiltrationGuard:
    """Make a guard on data that leaves by rendering, in what a model says and writes for tools.

    `allowed_hosts` are names such as `docs.example.com`, or `*.example.com` for all below it. With
    `action="replace"` an image becomes its description and a link its text; where part of one is out already, and in
    arguments of tools, it is blocked all the same. ConfigError for what is no host, or another word.
    """
    hosts = tuple(host.lower() for host in allowed_hosts)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"allowed_hosts: {host!r} is no host; write 'docs.example.com' or '*.example.com'"
            )
    if action not in {"block", "replace"} or links not in {"data", "block", "allow"}:
        raise ConfigError(
            f"action={action!r}, links={links!r}: expected 'block' or 'replace', and 'data', 'block' or 'allow'"
        )
    return ExfiltrationGuard(hosts, action, links)


def _without(text: str, found: Sequence[Exfiltration]) -> str:
    parts: list[str] = []
    at = 0
    for one in found:
        parts += (text[at : one.start], one.label if _is_plain(one.label) else REMOVED)
        at = one.end
    return "".join((*parts, text[at:]))


def _is_plain(label: str) -> bool:
    """Say whether a label may be shown by itself: it is there, and holds no link of its own."""
    return bool(label) and not find_links(label) and not re.search(r"[<>\[\]()]", label)
