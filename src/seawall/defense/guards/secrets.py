"""Credentials in text that goes out: found by their makers' shapes, by a cue and entropy where they have none."""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.reading.peel import UNREAD, peel
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import Match, Pattern, PatternSet, compile_pattern, scannable

Action = Literal["block", "replace"]
REMOVED = "[secret removed]"
# Bits a character, below which a value is a word and not a key; and how many it must have.
_LEAST_ENTROPY = 3.0
_SHORTEST_VALUE = 8
_PLACEHOLDER = compile_pattern(
    r"(?i)^(?:[x*•.#_-]+|0+|1234\w*|<.*>?|\$?\{.*\}?|\$[A-Z_]+|%\w+%|\[.*\]?|(?:your|my|the|a|an|some|enter|insert|new|old)[ _-].*|"
    r".*(?:example|placeholder|changeme|change_me|redacted|secret removed|dummy|sample|xxxx|\.\.\.|\*\*\*\*).*|"
    r"none|null|nil|true|false|undefined|password|passwd|secret|token|api_?key|env|required|optional|string|str|bytes)$"
)

_FILLER = re.compile(
    r"example|placeholder|change_?me|redacted|dummy|sample|x{4,}|\*{4,}|\.{3,}|(?:your|my|enter|insert|new|old)[ _-]",
    re.IGNORECASE,
)
# A call, an index, or names of letters alone joined by dots, dashes and the like: what code writes, unless it stands in quotes.
_CODE = re.compile(r"[A-Za-z_][\w.]*[(\[]|[A-Za-z_.>-]+(?:\d\b)?[;,)]?$|(?:process\.env|os\.environ)\b")
# Published in a manual.
_PUBLISHED = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_LEAST_REST = 16
# These read digits as letters, and a key would be another one.
_OTHER_LETTERS = "leet"


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential: what kind, and its place in the text, half open, in characters."""

    kind: str
    start: int
    end: int


def _always(_: str) -> bool:
    return True


def _is_jwt(text: str) -> bool:
    head = text.split(".", maxsplit=1)[0]
    try:
        header: object = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


def _is_random(text: str) -> bool:
    value = text.strip("\"'`")
    if (
        len(value) < _SHORTEST_VALUE
        or (value == text and _CODE.match(value))
        or not _is_no_placeholder(value)
    ):
        return False
    kinds = sum(
        (any(c.isdigit() for c in value), any(c.islower() for c in value), any(c.isupper() for c in value),
         any(not c.isalnum() for c in value))
    )  # fmt: skip
    return kinds >= 2 and _entropy(value) >= _LEAST_ENTROPY


def _is_no_placeholder(text: str) -> bool:
    return _PLACEHOLDER.search(scannable(text)) is None or _is_key_with_filler(text)


def _is_key_with_filler(text: str) -> bool:
    """Say whether a real key is left once words such as `example` are gone: a word put behind it excuses nothing."""
    rest = _FILLER.sub("", text.replace(_PUBLISHED, ""))
    kinds = (str.isdigit, str.islower, str.isupper)
    mixed = all(any(map(kind, rest)) for kind in kinds)
    return mixed and len(rest) >= _LEAST_REST and _entropy(rest) > _LEAST_ENTROPY


def _is_real(text: str) -> bool:
    """Say whether a key of a known shape is one: those in manuals repeat a letter, or say that they are none."""
    return _is_no_placeholder(text) and _entropy(text[-16:]) > 2.0


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


@dataclass(frozen=True, slots=True)
class _Shape:
    """One kind of credential: group 1 is the secret itself."""

    kind: str
    pattern: Pattern
    holds: Callable[[str], bool] = _is_real


def _shape(kind: str, pattern: str, holds: Callable[[str], bool] = _is_real) -> _Shape:
    return _Shape(kind, compile_pattern(pattern), holds)


_SHAPES = (
    _shape("aws_key_id", r"\b((?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z2-7]{16})\b"),
    _shape(
        "aws_secret", r"(?i)aws.{0,24}?(?:secret|key).{0,24}?['\"=:\s]([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"
    ),
    _shape("github", r"\b(gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{60,255})\b"),
    _shape("gitlab", r"\b(gl(?:pat|dt|rt|ptt|soat)-[A-Za-z0-9_-]{20,64})"),
    _shape("slack", r"\b(xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,250})"),
    _shape("slack_webhook", r"(https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,200})"),
    _shape("stripe", r"\b((?:sk|rk)_live_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9]{24,64})"),
    _shape("google", r"\b(AIza[A-Za-z0-9_-]{35})"),
    _shape("google_oauth", r"\b(GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{40,200})"),
    _shape("anthropic", r"\b(sk-ant-[A-Za-z0-9_-]{24,200})"),
    _shape("openai", r"\b(sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,200})"),
    _shape("azure", r"(?i)((?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{43,88}={0,2})"),
    _shape("azure_sas", r"(?i)[?&](sig=[A-Za-z0-9%+/]{43,100}(?:%3D|=){0,2})"),
    _shape("npm", r"\b(npm_[A-Za-z0-9]{36})\b"),
    _shape("pypi", r"\b(pypi-AgE[A-Za-z0-9_-]{50,250})"),
    _shape("twilio", r"\b(SK[0-9a-f]{32})\b"),
    _shape("sendgrid", r"\b(SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64})"),
    _shape("huggingface", r"\b(hf_[A-Za-z0-9]{30,64})\b"),
    _shape("shopify", r"\b(shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32})\b"),
    _shape("model", r"\b(gsk_[A-Za-z0-9]{48,60}|xai-[A-Za-z0-9]{70,90})\b"),
    _shape("digitalocean", r"\b(do[opr]_v1_[0-9a-f]{64})\b"),
    _shape("databricks", r"\b(dapi[0-9a-f]{32}(?:-\d)?)\b"),
    _shape("telegram", r"\b(\d{8,10}:AA[A-Za-z0-9_-]{32,34})\b"),
    _shape("jwt", r"\b(eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})", _is_jwt),
    _shape(
        "private_key",
        r"(-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END [A-Z0-9 ]{0,40}-----)?)",
        _always,
    ),
    _shape(
        "url_password",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>]{0,64}:([^\s:/@'\"<>]{3,128})@(?:[A-Za-z0-9\[]|$)",
        _is_no_placeholder,
    ),
    _shape(
        "assigned",
        r"(?i)(?:password|passwd|passphrase|pwd|secret|token|api[ _-]?key|access[ _-]?key|auth[ _-]?key|credentials?)"
        r"['\"]?\s{0,3}(?:is|are|=>|:=|=|:)\s{0,3}([\"'`][^\"'`\n]{8,200}[\"'`]|[^\s\"'`,;<>]{8,200})",
        _is_random,
    ),
)
_END = "-----END"
_BOOK = PatternSet(shape.pattern for shape in _SHAPES)


def find_secrets(text: str, before: str = "") -> list[Secret]:
    """Find credentials, in order of place, none overlapping another; the more specific kind wins.

    Keys in manuals (`your_api_key`, `xxxx`, `<token>`, `${TOKEN}`) are no secrets. What begins in `before` and is
    completed in `text` is found, its place cut to `text`. Time is linear in both.
    """
    whole = scannable(before + text)
    found: list[Secret] = []
    for layer in peel(whole):
        if layer.how[-1:] == (UNREAD,):
            found.append(Secret(UNREAD, layer.start, layer.end))
        elif _OTHER_LETTERS not in layer.how:
            for number in _BOOK.matching(layer.text):
                found += [
                    Secret(one.kind, *layer.original_span(one.start, one.end))
                    for one in _of(_SHAPES[number], layer.text)
                ]
    start = len(before)
    # One that ends where `text` begins is known for one by what follows it, such as the @ behind a password.
    joined = _joined(one for one in found if one.end >= start) if text else []
    return [Secret(one.kind, max(0, one.start - start), max(1, one.end - start)) for one in joined]


def _of(shape: _Shape, text: str) -> Iterator[Secret]:
    for match in shape.pattern.finditer(text):
        secret = _secret(match)
        if secret is not None and shape.holds(text[secret[0] : secret[1]]):
            yield Secret(shape.kind, *secret)


def _secret(match: Match) -> tuple[int, int] | None:
    return (match.start(1), match.end(1)) if match.start(1) >= 0 else None


def _joined(found: Iterable[Secret]) -> list[Secret]:
    """Join those that overlap, under the most specific kind: all that any of them covers has to go."""
    joined: list[Secret] = []
    for one in sorted(found, key=lambda one: one.start):
        last = joined[-1] if joined else None
        if last is not None and one.start < last.end:
            kind = min(last.kind, one.kind, key=_RANKS.__getitem__)
            joined[-1] = Secret(kind, last.start, max(last.end, one.end))
        else:
            joined.append(one)
    return joined


_RANKS = {shape.kind: rank for rank, shape in enumerate(_SHAPES)} | {UNREAD: len(_SHAPES)}


@dataclass(frozen=True, slots=True)
class SecretsGuard:
    """Blocks credentials, or takes them out; made by `secrets`."""

    action: Action
    contexts: frozenset[Context]
    name: str = "secrets"
    cost: float = 0.07
    max_characters: int = 4_000_000
    cacheable: bool = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the reason code is the kind of the first, the spans are all of them."""
        found = find_secrets(value.text, value.before) if value.context in self.contexts else []
        if not found:
            return Verdict(outcome="allow", guard=self.name)
        spans = tuple((one.start, one.end) for one in found)
        # What begins with the piece may have begun before it, and part of it be out.
        half_out = bool(value.before) and found[0].start == 0
        # A private key without its end goes on in the next piece, where nothing would tell what it is.
        open_end = any(
            one.kind == "private_key" and _END not in value.text[one.start : one.end] for one in found
        )
        if self.action == "replace" and not half_out and not open_end:
            replacement = _without(value.text, spans)
            return Verdict(
                outcome="replace",
                guard=self.name,
                reason_code=found[0].kind,
                score=1.0,
                spans=spans,
                replacement=replacement,
            )
        return Verdict(outcome="block", guard=self.name, reason_code=found[0].kind, score=1.0, spans=spans)


def secrets(
    *, action: Action = "block", contexts: Sequence[Context] = ("output", "tool_call")
) -> SecretsGuard:
    """Make a guard on credentials in what a model says and writes for tools.

    With `action="replace"` each is replaced by `[secret removed]` in what the model says; where part of one is out
    already, and in arguments of tools, it is blocked all the same. ConfigError for an unknown word.
    """
    if action not in {"block", "replace"}:
        raise ConfigError(f"action={action!r}: expected 'block' or 'replace'")
    unknown = set(contexts) - {"prompt", "document", "output", "tool_call"}
    if unknown or not contexts:
        raise ConfigError(
            f"contexts={tuple(contexts)!r}: expected some of prompt, document, output, tool_call"
        )
    return SecretsGuard(action, frozenset(contexts))


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in spans:
        parts += (text[at:start], REMOVED)
        at = end
    return "".join((*parts, text[at:]))
