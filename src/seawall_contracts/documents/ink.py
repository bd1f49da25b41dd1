"""What a PDF page's operators do to the visibility of its text (ISO 32000-1, 8.4 and 9.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot
from typing import Any, cast

_TINY = 2.0
_WHITE = 0.94
_TRANSPARENT = 0.05
_INVISIBLE = 3
_CLIPPING = 7
# Text may start a little before the page's edge, as drop caps and bleed do.
_MARGIN = 10.0
_SHOWS = frozenset({b"Tj", b"TJ", b"'", b'"'})
_FILLS = frozenset({b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*"})
_PATH_ENDS = _FILLS | {b"n", b"s", b"S"}
_DEVICE = {b"g": 1, b"rg": 3, b"k": 4}
# Fewer bars than this are drawn on any page of prose; more of them cost time and change no verdict.
_MOST_BARS = 2_000
# Longer than one character, which may take two bytes, and its neighbour.
_WORD = 4
Matrix = Sequence[float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Ink:
    """The graphics state that decides whether text is seen. `lightness` is 1 for white, None where it cannot be told."""

    lightness: float | None = 0.0
    is_tint: bool = False
    mode: int = 0
    size: float = 12.0
    alpha: float = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """Text that an operator showed: why it is not seen, '' if it is, and its length in encoded characters."""

    why: str
    size: int


def why_unseen(shown: Sequence[Shown]) -> str:
    """Say why text that several operators showed together is not seen, '' if it is.

    A hidden word hides all of it, as what each operator showed can no longer be told apart. Single hidden characters do
    so only where they outweigh the rest: converters set some of their spaces tiny.
    """
    unseen = [one for one in shown if one.why]
    outweighs = sum(one.size for one in unseen) * 2 > sum(one.size for one in shown)
    return next((one.why for one in unseen if outweighs or one.size > _WORD), "")


@dataclass(slots=True)
class Canvas:
    """Follows a page's operators; `before` and `after` are what pypdf calls round each.

    `page` is the page's box in its own units, `spaces` and `states` its named colour spaces and graphics states. Inside
    forms (XObjects), whose place on the page pypdf does not tell, position is not looked at.
    """

    page: Box
    spaces: Mapping[str, bool]
    states: Mapping[str, float]
    ink: Ink = field(default_factory=Ink)
    _saved: list[Ink] = field(default_factory=list[Ink])
    _forms: list[tuple[Ink, list[Ink]]] = field(default_factory=list[tuple[Ink, list[Ink]]])
    _path: list[Box] = field(default_factory=list[Box])
    _bars: list[tuple[Box, float | None]] = field(default_factory=list[tuple[Box, float | None]])

    def before(
        self, operator: bytes, operands: Sequence[Any], matrix: Matrix, text_matrix: Matrix
    ) -> Shown | None:
        """Take one operator in. For one that shows text, say whether it is seen; None for others and for blanks."""
        if operator in _SHOWS:
            size = _size(operands)
            return Shown(self._why_unseen(_times(text_matrix, matrix)), size) if size else None
        if operator == b"q":
            self._saved.append(self.ink)
        elif operator == b"Q":
            self.ink = self._saved.pop() if self._saved else self.ink
        elif operator == b"Do":
            self._forms.append((self.ink, self._saved))
            self._saved = []
        elif operator == b"re" or operator in _PATH_ENDS:
            self._draw(operator, operands, matrix)
        else:
            self._set(operator, operands)
        return None

    def after(self, operator: bytes) -> None:
        """Leave a form when the operator that drew it is done."""
        if operator == b"Do" and self._forms:
            self.ink, self._saved = self._forms.pop()

    def _set(self, operator: bytes, operands: Sequence[Any]) -> None:
        values = [float(value) for value in operands if isinstance(value, int | float)]
        if operator in _DEVICE and len(values) == _DEVICE[operator]:
            self.ink = replace(self.ink, lightness=_lightness(values), is_tint=False)
        elif operator in {b"sc", b"scn"}:
            self.ink = replace(self.ink, lightness=self._named_lightness(values, operands))
        elif operator == b"cs" and operands:
            # An unknown space counts as inks: there, full is dark, so nothing is called white by mistake.
            self.ink = replace(self.ink, lightness=0.0, is_tint=not self.spaces.get(str(operands[0]), False))
        elif operator == b"Tr" and values:
            self.ink = replace(self.ink, mode=int(values[0]))
        elif operator == b"Tf" and values:
            self.ink = replace(self.ink, size=values[-1])
        elif operator == b"gs" and operands:
            self.ink = replace(self.ink, alpha=self.states.get(str(operands[0]), self.ink.alpha))

    def _named_lightness(self, values: list[float], operands: Sequence[Any]) -> float | None:
        if len(values) != len(operands) or not values:
            return None
        if self.ink.is_tint and len(values) != 3:
            return 1.0 - max(values)
        return _lightness(values)

    def _draw(self, operator: bytes, operands: Sequence[Any], matrix: Matrix) -> None:
        if operator != b"re":
            if operator in _FILLS and not self._forms and len(self._bars) < _MOST_BARS:
                self._bars += [(box, self.ink.lightness) for box in self._path]
            self._path = []
        elif len(operands) == 4 and len(self._path) < _MOST_BARS:
            x, y, width, height = (float(value) for value in operands)
            corners = [_point(matrix, at_x, at_y) for at_x in (x, x + width) for at_y in (y, y + height)]
            across, up = [corner[0] for corner in corners], [corner[1] for corner in corners]
            self._path.append((min(across), min(up), max(across), max(up)))

    def _why_unseen(self, matrix: Matrix) -> str:
        x, y = matrix[4], matrix[5]
        if self.ink.mode in {_INVISIBLE, _CLIPPING}:
            return "invisible text"
        if self.ink.alpha <= _TRANSPARENT:
            return "transparent text"
        lightness = self.ink.lightness
        if lightness is not None and lightness >= _WHITE and self._is_on_white(x, y):
            return "white text"
        if abs(self.ink.size) * hypot(matrix[2], matrix[3]) <= _TINY:
            return "tiny text"
        left, bottom, right, top = self.page
        outside = not (left - _MARGIN <= x <= right + _MARGIN and bottom - _MARGIN <= y <= top + _MARGIN)
        return "text off the page" if outside and not self._forms else ""

    def _is_on_white(self, x: float, y: float) -> bool:
        if self._forms:
            return True
        for (left, bottom, right, top), lightness in reversed(self._bars):
            if left <= x + 1 and x <= right and bottom <= y + 1 and y <= top:
                return lightness is not None and lightness >= _WHITE
        return True


def _size(operands: Sequence[Any]) -> int:
    size = 0
    for operand in operands:
        strings = cast("list[Any]", operand) if isinstance(operand, list) else [operand]
        size += sum(len(string) for string in strings if isinstance(string, str | bytes) and string.strip())
    return size


def _lightness(values: list[float]) -> float | None:
    if len(values) == 4:
        # Cyan, magenta, yellow, black: none of them is white.
        return 1.0 - max(values)
    return min(values) if len(values) in {1, 3} else None


def _times(first: Matrix, second: Matrix) -> tuple[float, ...]:
    a, b, c, d, e, f = (float(value) for value in first)
    p, q, r, s, t, u = (float(value) for value in second)
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _point(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    return (x * matrix[0] + y * matrix[2] + matrix[4], x * matrix[1] + y * matrix[3] + matrix[5])
