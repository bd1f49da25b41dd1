"""Says what is wrong with a playbook, and on which line of its file."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import cast, get_args

from pydantic_core import ErrorDetails

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.names import CLAUSES
from seawall_contracts.schema import Label, Outcome, Severity

_HEADER = re.compile(r"^\s*\[+\s*([\w.\"' -]+?)\s*\]+")
_KEY = re.compile(r"^\s*[\"']?([\w-]+)[\"']?\s*(?:\.\s*[\"']?([\w-]+)[\"']?\s*)?=")
_AT = re.compile(r"\s*\(at line (\d+), column (\d+)\)")

# Which names a key may hold, and what one of them is called in a message.
_VOCABULARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "clause": ("clause", CLAUSES),
    "conflict": ("clause", CLAUSES),
    "hypothesis": ("hypothesis", tuple(HYPOTHESES)),
    "severity": ("severity", get_args(Severity)),
    "expect": ("label", get_args(Label)),
    "position": ("position", ("required", "prohibited", "allowed")),
    "on_breach": (
        "outcome",
        tuple(name for name in get_args(Outcome) if name in {"deviation", "needs a lawyer"}),
    ),
}

_EXPECTED = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number, without quotes",
    "greater_than_equal": "must not be negative",
    "tuple_type": "must be a list, in square brackets",
    "model_type": "must be a table of its own",
    "string_too_short": "must not be empty",
    "too_short": "has too few values",
    "too_long": "has too many values",
}


def describe_syntax(message: str) -> str:
    """Turn the TOML parser's message into "line N, column M: what"."""
    found = _AT.search(message)
    if found is None:
        return f"last line: not valid TOML: {message.replace(' (at end of document)', '')}"
    what = message[: found.start()]
    return f"line {found[1]}, column {found[2]}: not valid TOML: {what}"


def describe_mistake(
    source: str, data: Mapping[str, object], error: ErrorDetails, fields: Mapping[str, tuple[str, ...]]
) -> str:
    """Turn one validation error into "line N: what is wrong, in which rule, and what would be right"."""
    keys = [part for part in error["loc"] if isinstance(part, str)]
    rule = next((part for part in error["loc"] if isinstance(part, int)), None) if "rule" in keys else None
    kind, value = error["type"], error["input"]
    if kind == "duplicate_id":
        name = str(error.get("ctx", {}).get("id", ""))
        number = _second(data, name)
        return f"line {_line(source, number, ['id'])}: duplicate rule id {name!r}; give every rule its own id"
    where = "" if rule is None else f" in rule {_rule_name(data, rule)}"
    path = keys[1:] if rule is not None else keys
    line = _line(source, rule, path[:-1] if kind == "missing" else path)
    key = path[-1] if path else ""
    if kind == "missing":
        return f"line {line}: missing key {key!r}{where}"
    if kind == "extra_forbidden":
        table = "limits" if len(path) > 1 else "rule" if rule is not None else "playbook"
        return f"line {line}: unknown key {key!r}{where}; {_nearest(key, fields[table])}"
    if kind in {"literal_error", "unknown_name"} and key in _VOCABULARY:
        what, names = _VOCABULARY[key]
        at = _value_line(source, line, value)
        return f"line {at}: unknown {what} {value!r}{where}; {_nearest(str(value), names)}"
    what = _EXPECTED.get(kind, error["msg"].removeprefix("Value error, "))
    if key == "rule":
        what = "write every rule under a [[rule]] header, in double square brackets"
    return f"line {line}: {f'key {key!r}{where}' if key else f'mistake{where}'}: {what}"


def _nearest(name: str, names: tuple[str, ...]) -> str:
    # Case is ignored when looking for the nearest name, as it is the commonest slip of all.
    folded = {known.casefold(): known for known in names}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if found:
        return f"did you mean {folded[found[0]]!r}?"
    return (
        f"one of: {', '.join(names)}"
        if len(names) <= 20
        else f"see the {len(names)} names in the documentation"
    )


def _rules(data: Mapping[str, object]) -> list[object]:
    rules = data.get("rule")
    return cast("list[object]", rules) if isinstance(rules, list) else []


def _rule_id(rule: object) -> str | None:
    name = cast("dict[str, object]", rule).get("id") if isinstance(rule, dict) else None
    return name if isinstance(name, str) else None


def _rule_name(data: Mapping[str, object], number: int) -> str:
    rules = _rules(data)
    name = _rule_id(rules[number]) if number < len(rules) else None
    return repr(name) if name else f"number {number + 1}"


def _second(data: Mapping[str, object], name: str) -> int:
    numbers = [number for number, rule in enumerate(_rules(data)) if (_rule_id(rule) or "").strip() == name]
    return numbers[1] if len(numbers) > 1 else 0


def _line(source: str, rule: int | None, path: list[str]) -> int:
    """Find the line of a key, else of the nearest table that should hold it, else 1."""
    best, depth = 1, -1
    for line, at_rule, at_path in _places(source):
        if at_rule != rule:
            continue
        shared = len(at_path) if at_path == path[: len(at_path)] else -1
        if shared > depth:
            best, depth = line, shared
    return best


def _places(source: str) -> Iterator[tuple[int, int | None, list[str]]]:
    """Every table header and key: its line, the number of its rule (None at the top), its path inside."""
    rule: int | None = None
    count, table = -1, list[str]()
    open_quote = ""
    for line, text in enumerate(source.splitlines(), start=1):
        if open_quote:
            if text.count(open_quote) % 2:
                open_quote = ""
            continue
        header, key = _HEADER.match(text), _KEY.match(text)
        if header is not None and not key:
            names = [name.strip(" \"'") for name in header[1].split(".")]
            if names == ["rule"]:
                count += 1
            rule = count if names[0] == "rule" else None
            table = names[1:] if names[0] == "rule" else names
            yield line, rule, table
        elif key is not None:
            yield line, rule, [*table, *(part for part in key.groups() if part)]
        open_quote = next((quote for quote in ('"""', "'''") if text.count(quote) % 2), "")


def _value_line(source: str, start: int, value: object) -> int:
    """Find a value of a list that runs over several lines, from the line of its key on."""
    for line, text in enumerate(source.splitlines()[start - 1 :], start=start):
        if str(value) in text:
            return line
        if "]" in text:
            break
    return start
