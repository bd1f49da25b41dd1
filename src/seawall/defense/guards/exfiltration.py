"""Data leaving by rendering: images that load by themselves, links that carry data, addresses that pretend."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seawall.defense.guards.addresses import UNREADABLE, host_name, is_allowed, pretends, split_address
from seawall.defense.guards.carried import carries_data
from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.links import Link, find_links
from seawall.defense.guards.reading.escapes import ESCAPE_TRIGGER, unwrap_escapes
from seawall.defense.guards.reading.normalise import Normalised, normalise
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import compile_pattern, scannable

Action = Literal["block", "replace"]
Links = Literal["data", "block", "allow"]
REMOVED = "[link removed]"
_JUDGED: frozenset[Context] = frozenset(("output", "tool_call"))
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)+|localhost|\[[0-9a-f:.]+\]")
_SAFE_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp|avif)[;,]", re.IGNORECASE)
_DANGEROUS = frozenset({"javascript", "vbscript", "data", "file", "blob", "view-source"})
_ROUNDS = 3
# Letters that may be a disguise; quotes, dashes, accents and signs of everyday text are none.
_DISGUISE = compile_pattern(
    r"[^\x00-\x7f\x{80}-\x{AC}\x{AE}-\x{24F}\x{2010}-\x{2023}\x{2025}-\x{2027}\x{2030}-\x{2038}\x{20A0}-\x{20CF}"
    r"\x{2100}-\x{23FF}\x{2500}-\x{27E5}\x{27E8}-\x{2BFF}\x{3001}-\x{9FFF}\x{AC00}-\x{D7A3}]"
)


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
    """Find ways for data to leave with `text`, in order of place, none overlapping another.

    `embed`: what a program would load by itself, from a host not allowed. `data`: a link to such a host whose
    address carries what looks like data: personal data or its tokens, codes, long text. `link`: any link to such a
    host, where `links` is "block". `scheme`: an address that runs code or opens a file. `look_alike`: a host that
    pretends to be an allowed one. What begins in `before` and is completed in `text` is found. Time is linear.
    """
    found = _found(text, allowed_hosts, links, before)
    return [Exfiltration(one.code, max(0, one.start), one.end, one.label) for one in found]


def _found(text: str, allowed: Sequence[str], links: Links, before: str) -> list[Exfiltration]:
    """Find as above; what begins in `before` has a place below zero."""
    found: list[Exfiltration] = []
    for said, way in _readings(before + text):
        for link in find_links(said):
            code = _code(link, allowed, links)
            if code is None:
                continue
            start, end = link.start, link.end
            for step in reversed(way):
                start, end = step.original_span(start, end)
            if end > len(before):
                found.append(Exfiltration(code, start - len(before), end - len(before), link.label))
    return _apart(found)


def _readings(text: str) -> Iterator[tuple[str, tuple[Normalised, ...]]]:
    """Give the text as it is, and as whoever shows it may read it: escapes resolved three times over, letters folded.

    Each reading comes with the way back to the text, the first step first.
    """
    way: tuple[Normalised, ...] = ()
    yield text, way
    for _ in range(_ROUNDS):
        if not text.isascii() and _DISGUISE.search(scannable(text)) is not None:
            folded = normalise(text)
            text, way = folded.text, (*way, folded)
            yield text, way
        if ESCAPE_TRIGGER.search(scannable(text)) is None:
            return
        for _, resolved in unwrap_escapes(text):
            text, way = resolved.text, (*way, resolved)
            yield text, way


def _code(link: Link, allowed: Sequence[str], links: Links) -> str | None:
    address = split_address(link.url)
    if address.scheme in _DANGEROUS and (address.scheme != "file" or len(link.url) > len("file://")):
        return None if _SAFE_DATA.match(link.url.strip()) else "scheme"
    if not address.host or is_allowed(address.host, allowed):
        return None
    if pretends(address, allowed):
        return "look_alike"
    if link.kind == "embed":
        return "embed"
    if links == "block":
        return "link"
    return "data" if links == "data" and carries_data(address) else None


def _apart(found: list[Exfiltration]) -> list[Exfiltration]:
    """Order hits by place; of those that overlap the first and longest stands for all, made as long as they reach."""
    kept: list[Exfiltration] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end > kept[-1].end:
            kept[-1] = Exfiltration(kept[-1].code, kept[-1].start, one.end, "")
    return kept


@dataclass(frozen=True, slots=True)
class ExfiltrationGuard:
    """Blocks ways for data to leave, or takes them out; made by `exfiltration`."""

    allowed_hosts: tuple[str, ...]
    action: Action
    links: Links
    name: str = "exfiltration"
    cost: float = 0.03
    max_characters: int = 1_000_000
    cacheable: bool = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the reason code is that of the first, the spans are all of them."""
        if value.context not in _JUDGED:
            return Verdict(outcome="allow", guard=self.name)
        found = _found(value.text, self.allowed_hosts, self.links, value.before)
        if not found:
            return Verdict(outcome="allow", guard=self.name)
        half_out = found[0].start < 0
        replacement = None if self.action == "block" or half_out else self._without(value, found)
        return Verdict(
            outcome="block" if replacement is None else "replace",
            guard=self.name,
            reason_code=found[0].code,
            score=1.0,
            spans=tuple((max(0, one.start), one.end) for one in found),
            replacement=replacement,
        )

    def _without(self, value: GuardInput, found: Sequence[Exfiltration]) -> str | None:
        """Take out what was found, and what comes together by it; None where that does not end."""
        text = value.text
        for _ in range(_ROUNDS):
            parts: list[str] = []
            at = 0
            for one in found:
                parts += (text[at : one.start], one.label if self._may_stay(one.label) else REMOVED)
                at = one.end
            text = "".join((*parts, text[at:]))
            found = _found(text, self.allowed_hosts, self.links, value.before)
            if not found:
                return text
            if found[0].start < 0:
                break
        return None

    def _may_stay(self, label: str) -> bool:
        if not label.strip() or any(bracket in label for bracket in "<>[]"):
            return False
        return not find_exfiltration(label, self.allowed_hosts, self.links)


def exfiltration(
    allowed_hosts: Sequence[str] = (), *, action: Action = "block", links: Links = "data"
) -> ExfiltrationGuard:
    """Make a guard on data that leaves by rendering, in what a model says and writes for tools.

    `allowed_hosts` are names such as `docs.example.com`, or `*.example.com` for all below it. With
    `action="replace"` an image becomes its description and a link its text; where part of one is out already, and in
    arguments of tools, it is blocked all the same. ConfigError for what is no host, or another word.
    """
    if isinstance(allowed_hosts, str):
        raise ConfigError(f"allowed_hosts={allowed_hosts!r}: expected a list of hosts, not one string")
    hosts = tuple(_checked(host) for host in allowed_hosts)
    if action not in {"block", "replace"} or links not in {"data", "block", "allow"}:
        raise ConfigError(
            f"action={action!r}, links={links!r}: expected 'block' or 'replace', and 'data', 'block' or 'allow'"
        )
    return ExfiltrationGuard(hosts, action, links)


def _checked(host: str) -> str:
    star = "*." if host.startswith("*.") else ""
    name = star + host_name(host.removeprefix("*."))
    if UNREADABLE in name or not _HOST.fullmatch(name):
        raise ConfigError(f"allowed_hosts: {host!r} is no host; write 'docs.example.com' or '*.example.com'")
    return name
