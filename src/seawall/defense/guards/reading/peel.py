"""Text with its disguises taken off, layer by layer: what a reader sees, and what he would see after decoding.

The first layer is the text itself, folded. Every other is what one disguise in a layer says; it is peeled in its
turn, so that base64 of rot13 of escapes is found. Nothing is decompressed or executed. Work and memory are linear in
the text: layers nest four deep, are at most 200, and hold at most half the text and 64 k characters more.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from seawall.defense.guards.reading.ciphers import BACKWARDS, CIPHER_TRIGGER, TURNS, unwrap_ciphers
from seawall.defense.guards.reading.codes import CODE_TRIGGER, unwrap_codes
from seawall.defense.guards.reading.english import TooMany
from seawall.defense.guards.reading.escapes import ESCAPE_TRIGGER, unwrap_escapes
from seawall.defense.guards.reading.letters import (
    BACKSLASH_TRIGGER,
    LEET_TRIGGER,
    SPACED_TRIGGER,
    SPREAD_TRIGGER,
    unwrap_backslashes,
    unwrap_leet,
    unwrap_spaced,
    unwrap_spread,
)
from seawall.defense.guards.reading.lists import LIST_TRIGGER, unwrap_lists
from seawall.defense.guards.reading.normalise import Normalised, normalise
from seawall.defense.guards.reading.unseen import unwrap_unseen
from seawall.foundation.patterns import Pattern, PatternSet

DEEPEST = 4
MOST_LAYERS = 200
_SLACK = 65_536
# The last layer's `how` ends so where a text holds more disguises than are peeled.
UNREAD = "unread"

_Unwrap = Callable[[str], Iterator[tuple[str, Normalised]]]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one chain of disguises says: its text, the place of its source in the original, half open, and the chain.

    `how` names the disguises from the outside in, such as `("base64", "rot13")`; it is empty for the text itself.
    """

    text: str
    start: int
    end: int
    how: tuple[str, ...]
    offset: int
    way: tuple[Normalised, ...]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of this layer, half open, to the original: letter for letter where a disguise allows it."""
        for step in self.way:
            start, end = step.original_span(start, end)
        return start + self.offset, end + self.offset


class _Triggers:
    """Which disguises a text may hold: a few automata, each kept small, for a few microseconds a kilobyte."""

    def __init__(self, *groups: tuple[tuple[Pattern, _Unwrap], ...]) -> None:
        self._sets = [
            (PatternSet(pattern for pattern, _ in group), [one for _, one in group]) for group in groups
        ]

    def __call__(self, text: str) -> Iterator[_Unwrap]:
        for patterns, unwraps in self._sets:
            for number in patterns.matching(text):
                yield unwraps[number]


_triggered = _Triggers(
    (
        (ESCAPE_TRIGGER, unwrap_escapes),
        (LEET_TRIGGER, unwrap_leet),
        (CIPHER_TRIGGER, unwrap_ciphers),
        (SPACED_TRIGGER, unwrap_spaced),
        (BACKSLASH_TRIGGER, unwrap_backslashes),
        (SPREAD_TRIGGER, unwrap_spread),
    ),
    ((CODE_TRIGGER, unwrap_codes),),
    ((LIST_TRIGGER, unwrap_lists),),
)


def peel(text: str, offset: int = 0) -> list[Layer]:
    """Peel a text; `offset` is added to all places, for a text that is part of a longer one.

    The first layer is the text, folded; the others follow from the outside in. Where a text holds more than the
    bounds allow, the last layer is empty, its `how` ends with "unread" and its place is that of the layer not read
    to its end: whoever judges must not take silence for innocence then.
    """
    folded = normalise(text)
    layers = [Layer(folded.text, offset, offset + len(text), (), offset, (folded,))]
    room = len(text) // 2 + _SLACK
    seen = {folded.text}
    queue = deque([(text, layers[0])])
    while queue:
        raw, outer = queue.popleft()
        try:
            for how, inner, steps in _unwrapped(raw, outer):
                folded = normalise(inner.text)
                if not folded.text or folded.text in seen:
                    continue
                room -= len(folded.text)
                if room < 0 or len(layers) >= MOST_LAYERS:
                    raise TooMany
                layers.append(_layer(folded.text, (*outer.how, how), offset, (folded, inner, *steps)))
                seen.add(folded.text)
                if len(layers[-1].how) < DEEPEST:
                    queue.append((inner.text, layers[-1]))
        except TooMany:
            layers.append(Layer("", outer.start, outer.end, (*outer.how, UNREAD), offset, ()))
            break
    return layers


def _layer(text: str, how: tuple[str, ...], offset: int, way: tuple[Normalised, ...]) -> Layer:
    whole = Layer(text, 0, 0, how, offset, way)
    start, end = whole.original_span(0, len(text))
    return Layer(text, start, end, how, offset, way)


def _unwrapped(raw: str, layer: Layer) -> Iterator[tuple[str, Normalised, tuple[Normalised, ...]]]:
    if not raw.isascii():
        for how, inner in unwrap_unseen(raw):
            yield how, inner, layer.way[1:]
    for unwrap in _triggered(layer.text):
        for how, inner in unwrap(layer.text):
            if layer.how and _undone(layer.how[-1], how):
                continue
            yield how, inner, layer.way


def _undone(last: str, how: str) -> bool:
    """Whether a second turn of the letters could as well have been one, or none."""
    return last == how == BACKWARDS or (last in TURNS and how in TURNS)
