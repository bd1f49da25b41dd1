"""`RateLimit` and `RateLimit-Policy` read back by the grammar of structured fields (RFC 9651), not by their look."""

import string
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seawall.defense.limits import Decision, RateLimit, SlidingWindow, Unit
from seawall.edge.http.problems import problem, rendered
from seawall.edge.http.rate_headers import policy_header, state_header

_KEY_FIRST = set(string.ascii_lowercase + "*")
_KEY = _KEY_FIRST | set(string.digits + "_-.")
_MOST_DIGITS = 15


class Fields:
    """Reads a list of strings with parameters (RFC 9651, sections 4.2.1 to 4.2.5); ValueError for what is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def members(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every member: its string, and its parameters."""
        found: list[tuple[str, dict[str, Any]]] = []
        while True:
            found.append((self._string(), self._parameters()))
            if self.at == len(self.text):
                return found
            self._spaces()
            self._take(",")
            self._spaces()

    def _parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._next() == ";":
            self._take(";")
            while self._next() == " ":
                self._take(" ")
            key = self._key()
            if key in found:
                raise ValueError(f"{key} twice")
            found[key] = True
            if self._next() == "=":
                self._take("=")
                found[key] = self._string() if self._next() == '"' else self._integer()
        return found

    def _key(self) -> str:
        begin = self.at
        if self._next() not in _KEY_FIRST:
            raise ValueError("no key")
        while self._next() in _KEY:
            self.at += 1
        return self.text[begin : self.at]

    def _integer(self) -> int:
        begin = self.at
        if self._next() == "-":
            self.at += 1
        digits = self.at
        while self._next() in set(string.digits):
            self.at += 1
        if not 1 <= self.at - digits <= _MOST_DIGITS:
            raise ValueError("no whole number")
        return int(self.text[begin : self.at])

    def _string(self) -> str:
        said = ""
        self._take('"')
        while (sign := self._next()) != '"':
            self._take(sign)
            if sign == "\\":
                sign = self._next()
                if sign not in {'"', "\\"}:
                    raise ValueError("a backslash before neither")
                self._take(sign)
            elif not " " <= sign <= "~":
                raise ValueError("no printable ASCII")
            said += sign
        self._take('"')
        return said

    def _spaces(self) -> None:
        while self._next() in {" ", "\t"}:
            self.at += 1

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, sign: str) -> None:
        if not sign or self._next() != sign:
            raise ValueError(f"expected {sign!r} at {self.at}")
        self.at += 1


def read(value: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Read a field's value."""
    return Fields(value.decode("ascii")).members()


names = st.text(min_size=1, max_size=40)
periods = st.sampled_from(["1s", "1.5s", "250ms", "1m", "1h", "30d"])
whole = st.integers(1, 10**6)
units: st.SearchStrategy[Unit] = st.sampled_from(["requests", "tokens", "tool_calls"])
dollars = st.decimals(min_value="0.000001", max_value="2", places=6)


@st.composite
def limits(draw: st.DrawFn) -> RateLimit | SlidingWindow:
    """Make a limit of any kind."""
    per, name = draw(periods), draw(names)
    match draw(st.integers(0, 2)):
        case 0:
            return RateLimit(draw(whole), per, name=name, of=draw(units))
        case 1:
            return SlidingWindow(draw(whole), per, name=name)
        case _:
            return RateLimit(draw(dollars), per, name=name, of="usd")


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Make a decision of any limit, however far its numbers go."""
    waits = st.floats(0, 10**12)
    return Decision(
        ok=draw(st.booleans()),
        limit=draw(whole),
        remaining=draw(st.integers(-5, 10**18)),
        retry_after=draw(st.none() | waits),
        reset_after=draw(waits),
        name=draw(names),
    )


def plain(name: str) -> str:
    """Return a name as a string of structured fields can say it."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in name)


@given(st.lists(limits(), min_size=1, max_size=5))
def test_policies_are_a_list_of_structured_fields(chosen: list[RateLimit | SlidingWindow]) -> None:
    """Each limit by its name, with quota, window of whole seconds, and unit where it is not requests."""
    field, value = policy_header(chosen)
    assert field == b"ratelimit-policy"
    told = read(value)
    assert [name for name, _ in told] == [plain(limit.name) for limit in chosen]
    for limit, (_, said) in zip(chosen, told, strict=True):
        assert set(said) == ({"q", "w"} if limit.of == "requests" else {"q", "w", "qu"})
        assert said["q"] >= 1
        assert said["w"] >= 1


@given(decisions())
def test_what_is_left_is_a_structured_field(decision: Decision) -> None:
    """Of one limit: never less than nothing, in whole seconds."""
    field, value = state_header(decision)
    assert field == b"ratelimit"
    ((name, said),) = read(value)
    assert name == plain(decision.name)
    assert set(said) == {"r", "t"}
    assert said["r"] >= 0
    assert said["t"] >= 0


@given(decisions())
def test_a_refusal_says_one_time_to_come_back(decision: Decision) -> None:
    """`t` and `Retry-After` are the same number, and never sooner than what the limit meant."""
    if decision.ok or decision.retry_after is None:
        return
    _, headers, _ = rendered(problem("quota-exceeded", retry_after=decision.retry_after))
    ((_, said),) = read(state_header(decision)[1])
    assert said["t"] == int(dict(headers)[b"retry-after"]) >= decision.retry_after


def test_money_is_told_in_the_unit_that_is_counted() -> None:
    """Half a dollar is 500,000 micro-dollars: of its quota as of what is left of it."""
    ((_, said),) = read(policy_header([RateLimit(Decimal("0.50"), "1h", of="usd", name="spend")])[1])
    assert said == {"q": 500_000, "w": 3600, "qu": "micro-usd"}
