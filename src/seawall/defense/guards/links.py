"""Links and embedded resources in text, as the programs that show text would find them: Markdown, HTML, CSS, LaTeX, terminals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from seawall.defense.guards.reading.normalise import fold_letter
from seawall.foundation.patterns import Match, Pattern, PatternSet, compile_pattern, scannable

Kind = Literal["embed", "link"]


@dataclass(frozen=True, slots=True)
class Link:
    """A URL somebody's program would load by itself (`embed`) or at a click (`link`).

    `start` to `end` is the whole construct, half open, in characters; `label` is what its reader is shown of it.
    `host` is in lower case, without user, port and final dot, "" for a relative URL.
    """

    kind: Kind
    start: int
    end: int
    url: str
    host: str
    label: str = ""


# Each gives the URL as group 1 and what is shown as group 2, which may be empty.
def _pattern(text: str) -> Pattern:
    return compile_pattern(text)


_TARGET = r"[ \t\n]*<?[ \t\n]*([^ \t\n<>)\]\"']+)"
# What stands in brackets may hold brackets: escaped, or in pairs, two deep.
_SIGN = r"(?:[^\[\]\\]|\\[^\n])"
_INNER = rf"(?:{_SIGN}|\[{_SIGN}*\])*"
_MARKDOWN_IMAGE = _pattern(rf"!\[(?P<label>(?:{_SIGN}|\[{_INNER}\])*)\]\(" + _TARGET + r"[^)]*\)?")
_MARKDOWN_LINK = _pattern(r"\[(?P<label>[^\[\]]*)\]\(" + _TARGET + r"[^)]*\)?")
_DEFINITION = _pattern(r"(?m)^[ \t]{0,3}\[(?P<label>[^\]\n]+)\]:" + _TARGET)
_REFERRED_IMAGE = _pattern(r"!\[([^\]]*)\](?:\[([^\]]*)\])?")
_TAG = _pattern(r"<[ \t\n]*(?P<label>[A-Za-z][A-Za-z0-9:-]*)[^<>]*>?")
# Quoted values may hold < and >; where a quote is left open, the simpler reading counts.
_QUOTING_TAG = _pattern(r"<[ \t\n]*(?P<label>[A-Za-z][A-Za-z0-9:-]*)(?:\"[^\"]*\"|'[^']*'|[^<>\"'])*>?")
_ATTRIBUTE = _pattern(
    r"(?i)\b(?:src|href|srcset|imagesrcset|lowsrc|dynsrc|codebase|archive|data|poster|background|action|formaction|xlink:href|cite|ping|manifest|content|style|srcdoc)"
    r"[ \t\n]*=[ \t\n]*(?:\"([^\"]*)|'([^']*)|([^ \t\n\"'>]+))"
)
_CSS = _pattern(r"(?i)(?:url\([ \t\n]*[\"']?|@import[ \t\n]*[\"'])([^\"')\n]+)")
_LATEX_IMAGE = _pattern(r"\\(?:includegraphics|input|include|openin)(?:\[[^\]]*\])?\{([^{}]+)\}")
_LATEX_LINK = _pattern(r"\\(?:href|url)\{([^{}]+)\}")
_TERMINAL = _pattern("\x1b\\]8;[^;\x07\x1b]*;([^\x07\x1b]+)")
_BARE = _pattern(
    r"(?i)((?:https?|ftp|wss?):[\\/]{2,}(?:\[[0-9a-f:.]+\])?[^ \t\n<>\"'`\])}|\\^{⟧]*[^ \t\n<>\"'`\])}|\\^{]*)"
)
_DANGEROUS = _pattern(r"(?i)((?:javascript|vbscript|data|file|blob)[ \t\n]*:[^ \t\n<>\"')]+)")
_URL_START = _pattern(r"(?i)^[ \t\n]*(?:[a-z][a-z0-9+.-]*[ \t\n]*:|[\\/]{2})")
_ANY = PatternSet((_pattern(r"\]\(|\]:|!\[|<[ \t\n]*[A-Za-z]|\\(?:href|url|include|input)|\x1b\]8"),
                   _pattern(r"(?i)url\(|@import|[a-z]:[\\/]{2}|javascript[ \t\n]*:|vbscript[ \t\n]*:")))  # fmt: skip
_CLICKED = frozenset({"a", "area", "q", "blockquote", "del", "ins", "cite"})


def find_links(text: str) -> list[Link]:
    """Find links and embeds in order of place; one inside another is part of it. Relative URLs have no host.

    It reads text as given: entities and other disguises are the caller's to take off. Time is linear.
    """
    scan = scannable(text)
    if not _ANY.matching(scan):
        return []
    found = sorted(_candidates(scan), key=lambda link: (link.start, link.start - link.end))
    apart: list[Link] = []
    for link in found:
        last = apart[-1] if apart else None
        if last is None or link.start >= last.end:
            apart.append(link)
        elif link.kind == "embed" and last.kind == "link":
            # An image inside a link is loaded whether the link is followed or not.
            apart[-1] = Link("embed", last.start, max(last.end, link.end), link.url, link.host, last.label)
    return apart


def host_of(url: str) -> str:
    """Return the host that a browser would ask, in lower case and without disguise; "" where there is none."""
    return _host(split_url(url))


def split_url(url: str) -> SplitResult:
    """Split as a browser does: backslashes are slashes, blanks and line ends in it count for nothing."""
    plain = "".join(url.split()).replace("\\", "/")
    if plain.startswith("//"):
        plain = f"https:{plain}"
    scheme, colon, rest = plain.partition(":")
    if colon and scheme.lower() in {"http", "https", "ftp", "ws", "wss"}:
        plain = f"{scheme.lower()}://{rest.lstrip('/')}"
    try:
        return urlsplit(plain)
    except ValueError:
        # An address that cannot be read is nobody's: no list of hosts allows it.
        return SplitResult("https", "unreadable.invalid", plain, "", "")


def _host(parts: SplitResult) -> str:
    name = parts.netloc.rpartition("@")[2]
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    name = name.partition(":")[0].rstrip(".").lower()
    if name.isascii() and "xn--" not in name:
        return name
    labels = (_unpunycoded(label) for label in name.split("."))
    return ".".join("".join(map(fold_letter, label)) for label in labels).lower()


def _unpunycoded(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii", "ignore").decode("punycode")
    except UnicodeError:
        return label


def _candidates(text: str) -> Iterator[Link]:
    shown_as_images = {_name(match.group(2) or match.group(1)) for match in _REFERRED_IMAGE.finditer(text)}
    for pattern, kind in ((_MARKDOWN_IMAGE, "embed"), (_MARKDOWN_LINK, "link")):
        for match in pattern.finditer(text):
            yield from _link("embed" if kind == "embed" else "link", match, match.group(2), match.group(1))
    for match in _DEFINITION.finditer(text):
        shown = _name(match.group(1)) in shown_as_images
        yield from _link("embed" if shown else "link", match, match.group(2), match.group(1))
    for tags in (_TAG, _QUOTING_TAG):
        for match in tags.finditer(text):
            yield from _of_tag(match)
    for pattern in (_CSS, _LATEX_IMAGE):
        for match in pattern.finditer(text):
            yield from _link("embed", match, match.group(1))
    for pattern in (_LATEX_LINK, _TERMINAL, _BARE, _DANGEROUS):
        for match in pattern.finditer(text):
            yield from _link("link", match, match.group(1))


def _name(label: str | None) -> str:
    return " ".join((label or "").casefold().split())


def _of_tag(tag: Match) -> Iterator[Link]:
    name = (tag.group(1) or "").lower()
    for found in _ATTRIBUTE.finditer(tag.group() or ""):
        value = found.group(1) or found.group(2) or found.group(3) or ""
        for url in (*_urls(value), *_urls("".join(value.split()))):
            yield from _link("link" if name in _CLICKED else "embed", tag, url)


def _urls(value: str) -> Iterator[str]:
    """Give the URLs of an attribute: it may be one, a list (srcset), a refresh, or CSS."""
    for piece in value.split(","):
        words = piece.split()
        first = words[0] if words else ""
        if _URL_START.search(scannable(first)) is not None:
            yield first
        for word in words:
            address = word.partition("=")[2] if word.lower().startswith("url=") else ""
            if address:
                yield address.strip("\"'")
    for match in (*_CSS.finditer(value), *_BARE.finditer(value)):
        yield match.group(1) or ""


def _link(kind: Kind, match: Match, url: str | None, label: str | None = "") -> Iterator[Link]:
    if url:
        yield Link(kind, match.start(), match.end(), url, host_of(url), label or "")
