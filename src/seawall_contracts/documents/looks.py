"""How a run of Word text looks: its formatting, inherited from styles, and whether a reader would see it.

ECMA-376 Part 1, 17.3.2 (run properties) and 17.7 (styles). Formatting by table styles and themes is not followed.
"""

from dataclasses import dataclass
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TINY_HALF_POINTS = 4
# Two colours nearer than this, of 255 in each channel, cannot be told apart on paper.
_NEAR = 0x18
_WHITE = (255, 255, 255)
_DEEPEST_STYLE = 20
_OFF = frozenset({"0", "false", "off", "none"})
_CHANGES = {
    f"{W}del": "text deleted by a tracked change",
    f"{W}moveFrom": "text moved away by a tracked change",
}
_HIGHLIGHTS = {
    "black": "000000", "blue": "0000FF", "cyan": "00FFFF", "green": "00FF00", "magenta": "FF00FF", "red": "FF0000",
    "yellow": "FFFF00", "white": "FFFFFF", "darkBlue": "000080", "darkCyan": "008080", "darkGreen": "008000",
    "darkMagenta": "800080", "darkRed": "800000", "darkYellow": "808000", "darkGray": "808080", "lightGray": "C0C0C0",
}  # fmt: skip
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What formatting says of a run; None is left to what it inherits. `colour` and `paper` are red, green, blue."""

    vanishes: bool | None = None
    colour: Colour | None = None
    paper: Colour | None = None
    half_points: int | None = None

    def over(self, base: "Look") -> "Look":
        """Lay this formatting over what it inherits."""
        return Look(
            base.vanishes if self.vanishes is None else self.vanishes,
            self.colour or base.colour,
            self.paper or base.paper,
            base.half_points if self.half_points is None else self.half_points,
        )

    def why_unseen(self) -> str:
        """Say why a reader would not see text that looks like this, '' if they would."""
        if self.vanishes:
            return "text formatted as hidden"
        paper = self.paper or _WHITE
        if (
            self.colour is not None
            and max(abs(a - b) for a, b in zip(self.colour, paper, strict=True)) <= _NEAR
        ):
            return "white text" if min(paper) >= 255 - _NEAR else "text in the colour of its background"
        if self.half_points is not None and self.half_points <= _TINY_HALF_POINTS:
            return "tiny text"
        return ""


class Styles:
    """The document's named styles, each laid over the one it is based on."""

    def __init__(self, root: Any) -> None:
        self._own: dict[str, tuple[Look, str]] = {}
        self._defaults = Look()
        self._paragraph = ""
        if root is None:
            return
        self._defaults = read_look(root.find(f"{W}docDefaults/{W}rPrDefault/{W}rPr"))
        for style in root.iter(f"{W}style"):
            name = str(style.get(f"{W}styleId", ""))
            shading = _shade(style.find(f"{W}pPr"))
            look = read_look(style.find(f"{W}rPr")).over(Look(paper=shading))
            self._own[name] = (look, _value(style.find(f"{W}basedOn")) or "")
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in {"1", "true"}:
                self._paragraph = name

    def look(self, name: str) -> Look:
        """Formatting of a style and of those it is based on."""
        look = Look()
        for _ in range(_DEEPEST_STYLE):
            own, base = self._own.get(name, (Look(), ""))
            look = look.over(own)
            if not base:
                break
            name = base
        return look

    def paragraph(self, properties: Any) -> Look:
        """What a paragraph's text inherits: its style, or the default one, over the document's defaults."""
        name = _value(properties.find(f"{W}pStyle")) if properties is not None else None
        return Look(paper=_shade(properties)).over(self.look(name or self._paragraph)).over(self._defaults)

    def run(self, properties: Any, inherited: Look) -> Look:
        """How a run looks: its own formatting, over its style, over what the paragraph gives."""
        if properties is None:
            return inherited
        name = _value(properties.find(f"{W}rStyle"))
        look = read_look(properties)
        return (look.over(self.look(name)) if name else look).over(inherited)


def read_look(properties: Any) -> Look:
    """Read run properties (`w:rPr`); None gives no formatting."""
    if properties is None:
        return Look()
    vanish = properties.find(f"{W}vanish")
    size = _value(properties.find(f"{W}sz"))
    highlight = _HIGHLIGHTS.get(_value(properties.find(f"{W}highlight")) or "")
    return Look(
        None if vanish is None else (_value(vanish) or "true").lower() not in _OFF,
        _colour(_value(properties.find(f"{W}color"))),
        _colour(highlight) or _shade(properties),
        int(size) if size is not None and size.isascii() and size.isdigit() and len(size) < 6 else None,
    )


def cell_paper(cell: Any) -> Colour | None:
    """The background of a table's cell, if it has one of its own."""
    return _shade(cell.find(f"{W}tcPr"))


def tracked_change(run: Any, paragraph: Any) -> str:
    """Say if a tracked change takes the run away; '' if it stays."""
    for ancestor in run.iterancestors():
        if ancestor is paragraph:
            break
        if ancestor.tag in _CHANGES:
            return _CHANGES[ancestor.tag]
    return ""


def _shade(properties: Any) -> Colour | None:
    shading = properties.find(f"{W}shd") if properties is not None else None
    return None if shading is None else _colour(shading.get(f"{W}fill"))


def _value(element: Any) -> str | None:
    return None if element is None else element.get(f"{W}val")


def _colour(written: str | None) -> Colour | None:
    if written is None or len(written) != 6:
        return None
    try:
        red, green, blue = bytes.fromhex(written)
    except ValueError:
        return None
    return red, green, blue
