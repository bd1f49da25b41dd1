"""Links and embedded resources in text, as what shows text would find them: Markdown, HTML, CSS, LaTeX, terminals."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from seawall.defense.guards.addresses import split_address
from seawall.foundation.patterns import Match, PatternSet, compile_pattern, scannable

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


# Without one of these there is no link.
_ANY = compile_pattern(
    r"(?i)\]\(|\]:|!\[|<[ \t\n]*[a-z]|=[ \t\n]*[\"']?[\\/]{2}|[a-z]:[\\/]{2}|\bwww\.|mailto:|script[ \t\n]*:|\bblob:|\bdata:|"
    r"url\(|@import|image-set\(|!\[\[|::|\\(?:href|url|include|input|openin)|\x1b\]8|\x{9d}8;"
)
_BRACKET = re.compile(r"[\[\]]")
_PARENTHESIS = re.compile(r"[()]")
_LABELLED = re.compile(r"\[([^\[\]]{0,999})\]")
_TITLE = re.compile(r"""\s["'(]""")
_DEFINITION = compile_pattern(
    r"(?m)^[ \t>*+-]{0,16}\[([^\[\]\n]+)\]:[ \t]*\n?[ \t]*(?:<([^<>\n]*)>|([^ \t\n<>]+))(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?"
)
# A browser minds quotes in a tag, and what cleans up HTML may not: both readings count.
_TAGS = (
    compile_pattern(r"<[ \t\n]*([A-Za-z][A-Za-z0-9:-]*)(?:[^\"'<>]|\"[^\"]*\"|'[^']*')*>?"),
    compile_pattern(r"<[ \t\n]*([A-Za-z][A-Za-z0-9:-]*)[^<>]*>?"),
)
_ATTRIBUTE = compile_pattern(
    r"(?i)([a-z][a-z:-]*)[ \t\n]*=[ \t\n]*(?:\"([^\"]*)|'([^']*)|`([^`]*)|([^ \t\n\"'`>][^ \t\n>]*))"
)
_LOADED = frozenset(
    {"src", "href", "srcset", "imagesrcset", "data", "poster", "background", "action", "formaction", "xlink:href",
     "manifest", "to", "from", "by", "values", "lowsrc", "dynsrc", "codebase", "classid", "archive", "icon", "ping", "cite", "longdesc"}
)  # fmt: skip
_CLICKED = frozenset({"a", "area", "q", "blockquote", "del", "ins"})
_REFRESH = re.compile(r"""(?i)(?:\burl\s*=|^\s*[\d.]+\s*[;,\s](?!\s*url\s*=))\s*["']?([^\s"']+)""")
_CLOSING = re.compile(r"</\s*a\s*>", re.IGNORECASE)
_REACH = 1_000
_EMBEDDED = tuple(
    compile_pattern(pattern)
    for pattern in (
        r"(?i)(?:url\([ \t\n]*[\"']?|@import[ \t\n]*[\"']|image-set\([ \t\n]*[\"'])([^\"')\n]+)",
        r"\\(?:includegraphics|include|input|openin)\*?(?:\[[^\]\n]*\])?\{([^{}]+)\}?",
        r"(?i)@\{[^{}]*\bimg[ \t]*:[ \t]*[\"']([^\"'\n]+)",
        r"(?i)\b(?:image|figure|video|include|iframe)::[ \t]*([^ \t\n\[\]]+)",
        r"!\[\[([^\[\]|\n]+)",
    )
)
# Whether the construct goes with its address, and whether it shows a text instead.
_CLICKABLE = (
    (compile_pattern(r"\\(?:href|url)\*?\{([^{}]+)\}?(?:\{([^{}]*)\})?"), True, True),
    (
        compile_pattern(
            r"(?:\x1b\]|\x{9d})8;[^;\x07\x1b\x{9c}]*;([^\x07\x1b\x{9c}]+)(?:\x07|\x1b\\|\x{9c})?"
            r"([^\x1b\x07\x{9c}\x{9d}]*)(?:(?:\x1b\]|\x{9d})8;[^;\x07\x1b]*;(?:\x07|\x1b\\|\x{9c}))?"
        ),
        True,
        True,
    ),
    (compile_pattern(r"<[ \t\n]*([A-Za-z][A-Za-z0-9+.-]*:[^<>\n]*)>"), True, False),
    # A scheme that runs code is text in prose, and an address where a value stands.
    (
        compile_pattern(
            r"(?i)(?:^|[\"'=(\[])((?:javascript|vbscript|blob):[^ \t\n\"'<>)\]]+"
            r"|data:[a-z]+/[a-z0-9.+-]+[;,][^ \t\n\"'<>)\]]+)"
        ),
        False,
        False,
    ),
)
_OTHERS = PatternSet((*_EMBEDDED, *(pattern for pattern, _, _ in _CLICKABLE)))
_BARE = compile_pattern(r"(?i)[a-z][a-z0-9+.-]+:[\\/]{2,}|\bwww\.[a-z0-9-]|\bmailto:[^ \t\n]")
_RUN = re.compile(r"[^\s<>\"`\x00-\x1f]*")
_RUNS = {
    opener: re.compile(rf"[^\s<>\"`\x00-\x1f{re.escape(closer)}]*")
    for opener, closer in (("'", "'"), ("{", "}"), ("|", "|"), ("[", "]"))
}
_STOP = re.compile(r"[()\s<>\"`\x00-\x1f]")
_TAIL = ".,;:!?'\")*_~]}|"


def find_links(text: str) -> list[Link]:
    """Find links and embeds in order of place; one may stand in another, and two may have one place.

    It reads text as given, code blocks and comments like the rest: entities and other disguises are the caller's to
    take off. A construct cut off at either end of the text counts as whole. Time is linear.
    """
    scan = scannable(text)
    if _ANY.search(scan) is None:
        return []
    found = [*_markdown(scan), *_tags(scan), *_others(scan), *_bare(scan)]
    return sorted(found, key=lambda link: (link.start, link.start - link.end))


def _link(kind: Kind, start: int, end: int, url: str | None, label: str | None = "") -> Iterator[Link]:
    if url and not url.isspace():
        yield Link(kind, start, end, url, split_address(url).host, label or "")


def _markdown(text: str) -> Iterator[Link]:
    if "](" in text:
        yield from _inline(text)
    if "]:" not in text:
        return
    definitions = [(_reference(match.group(1)), match) for match in _DEFINITION.finditer(text)]
    urls = {name: match.group(2) or match.group(3) for name, match in definitions}
    places = {name: match.start() for name, match in definitions}
    shown: set[str] = set()
    # An image and its definition make one embed, whole where the later of them ends.
    for start, end, label, name in _referred_images(text) if urls else ():
        if name in urls and start < places[name]:
            shown.add(name)
        elif name in urls:
            yield from _link("embed", start, end, urls[name], label)
    for name, match in definitions:
        yield from _link("embed" if name in shown else "link", match.start(), match.end(), urls[name])


def _inline(text: str) -> Iterator[Link]:
    openers: list[int] = []
    places = [match.start() for match in re.finditer(r"\]\(", text)]
    following = iter([*places[1:], len(text)])
    at = 0
    for close in places:
        for bracket in _BRACKET.finditer(text, at, close):
            if bracket.group() == "[":
                openers.append(bracket.start())
            elif openers:
                openers.pop()
        at = close + 1
        opener = openers.pop() if openers else -1
        url, end = _target(text, close + 2, next(following))
        # What began before the text did may well have begun with an exclamation mark.
        image = opener < 0 or text[max(0, opener - 1) : opener] == "!"
        start = close if opener < 0 else opener - image
        label = text[opener + 1 : close] if opener >= 0 else ""
        yield from _link("embed" if image else "link", start, end, url, label)


def _target(text: str, start: int, limit: int) -> tuple[str, int]:
    """Return the URL in a link's parentheses, which may be balanced within, and where the link ends."""
    depth = 1
    end = stop = -1
    for parenthesis in _PARENTHESIS.finditer(text, start, limit):
        depth += 1 if parenthesis.group() == "(" else -1
        if depth == 0:
            stop, end = parenthesis.span()
            break
    if end < 0:
        lead = len(text[start:limit]) - len(text[start:limit].lstrip())
        run = _RUN.match(text, start + lead + (text[start + lead : start + lead + 1] == "<"), limit)
        return (run.group(), run.end()) if run else ("", start)
    inside = text[start:stop].strip()
    if inside.startswith("<"):
        return inside[1:].partition(">")[0], end
    title = _TITLE.search(inside)
    inside = inside[: title.start()] if title else inside
    # Browsers drop line breaks in an address, and lenient programs keep its blanks.
    return re.sub(r"[\n\t\r]", "", inside).replace(" ", "%20"), end


def _referred_images(text: str) -> Iterator[tuple[int, int, str, str]]:
    labels = {match.start(): match for match in _LABELLED.finditer(text)}
    for start, match in labels.items():
        if text[start - 1 : start] == "!" and start:
            second = labels.get(match.end())
            name = (second.group(1) if second else "") or match.group(1)
            yield start - 1, (second or match).end(), match.group(1), _reference(name)


def _reference(name: str | None) -> str:
    return " ".join((name or "").split()).casefold()


def _tags(text: str) -> Iterator[Link]:
    first = re.search(r"[<>]", text)
    if first is None:
        return
    if first.group() == ">":
        # The end of a tag that began before the text did.
        yield from _attributes("", text[: first.end()], 0, first.end())
    seen: set[tuple[int, int]] = set()
    for pattern in _TAGS:
        for tag in pattern.finditer(text):
            whole = tag.group() or ""
            if (tag.start(), tag.end()) in seen:
                continue
            seen.add((tag.start(), tag.end()))
            yield from _attributes((tag.group(1) or "").lower(), whole, tag.start(), tag.end(), text)


def _attributes(name: str, tag: str, start: int, end: int, text: str = "") -> Iterator[Link]:
    if "=" not in tag:
        return
    values = [
        ((one.group(1) or "").lower(), next(filter(None, map(one.group, range(2, 6))), ""))
        for one in _ATTRIBUTE.finditer(tag)
    ]
    label = dict(values).get("alt", "")
    closing = _CLOSING.search(text, end, end + _REACH) if name == "a" else None
    if closing is not None and "<" not in text[end : closing.start()]:
        label, end = text[end : closing.start()], closing.end()
    for attribute, value in values:
        clicked = name in _CLICKED and attribute in {"href", "cite", "ping"}
        for url in _urls(attribute.removeprefix("data-"), value):
            yield from _link("link" if clicked else "embed", start, end, url, label)


def _urls(attribute: str, value: str) -> Iterator[str]:
    if attribute in {"content", "style", "srcdoc"}:
        for match in _REFRESH.finditer(value) if attribute == "content" else ():
            yield match.group(1)
        for pattern in _EMBEDDED[:1]:
            for found in pattern.finditer(value):
                yield found.group(1) or ""
    elif attribute.endswith("srcset"):
        for word in (*value.split(), *value.replace(",", " ").split()):
            yield word.strip(",")
    elif attribute in _LOADED:
        yield value.strip()


def _others(text: str) -> Iterator[Link]:
    for number in _OTHERS.matching(text):
        if number < len(_EMBEDDED):
            for match in _EMBEDDED[number].finditer(text):
                yield from _link("embed", match.start(), match.end(), match.group(1))
            continue
        pattern, whole, labelled = _CLICKABLE[number - len(_EMBEDDED)]
        for match in pattern.finditer(text):
            span = match.start(0 if whole else 1), match.end(0 if whole else 1)
            yield from _link("link", *span, match.group(1), match.group(2) if labelled else "")


def _bare(text: str) -> Iterator[Link]:
    at = 0
    for match in _BARE.finditer(text):
        start = match.start()
        if start < at:
            continue
        at = _end(text, match)
        url = text[start:at]
        yield from _link("link", start, at, f"https://{url}" if url[:4].lower() == "www." else url)


def _end(text: str, match: Match) -> int:
    """Return where a bare URL ends: before what closes the bracket it stands in, and before punctuation."""
    start = match.start()
    before = text[max(0, start - 1) : start]
    if before == "(":
        depth = 0
        for parenthesis in _STOP.finditer(text, start):
            depth += {"(": 1, ")": -1}.get(parenthesis.group(), -len(text))
            if depth < 0:
                return parenthesis.start()
        return len(text)
    run = _RUNS.get(before, _RUN).match(text, match.end())
    end = run.end() if run else match.end()
    while end > match.end() and text[end - 1] in _TAIL:
        if text[end - 1] == ")" and text.count("(", start, end) >= text.count(")", start, end):
            break
        end -= 1
    return end
