"""A small neural classifier on this machine's processor, for attacks in words that no signature knows.

The model is that of the package `stackone-defender` (MiniLM, int8, 23 MB, in the package: nothing is downloaded).
Of the package only the model is used. Its own pipeline reads the first 10,000 characters and lets pass what it
fails on; here every character is read, and failing is left to the guard's owner.
"""

import asyncio
import importlib
import json
import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from seawall.defense.guards.guard import CannotJudge, GuardInput, Verdict
from seawall.foundation.errors import ConfigError

_MODULE = "stackone_defender.classifiers.onnx_classifier"
_INSTALL = "python -m pip install 'stackone-defender[onnx]>=0.9.4,<0.10'"
# About half of what the model reads at once, so that few windows need to be halved.
_WINDOW = 700
_OVERLAP = 150
_LAP = 40


class Classifier(Protocol):
    """Scores short texts; safe to call from several threads."""

    def count_tokens(self, text: str) -> int:
        """Count what the model would make of a text, its end marks included."""
        ...

    def get_max_length(self) -> int:
        """Tell how many tokens it reads; the rest it would drop unseen."""
        ...

    def classify_batch(self, texts: list[str]) -> Sequence[float]:
        """Return a score from 0 to 1 for each."""
        ...


class OnnxGuard:
    """Blocks text of which a window scores `threshold` or more. Made by `onnx_classifier`.

    It works in threads of its own, at most `workers`: more calls wait, each for no longer than its budget. A
    call that is given up while it waits is never made; one under way cannot be stopped and keeps its thread
    until it is done.
    """

    name = "onnx"
    cost = 100.0
    cacheable = True
    budget = "10s"

    def __init__(
        self, classifier: Classifier, *, threshold: float, workers: int, max_characters: int
    ) -> None:
        self.max_characters = max_characters
        self._classifier = classifier
        self._threshold = threshold
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="seawall-onnx")

    async def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the score is the highest of a window, the spans are the windows that reach the threshold."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._judge, value.text)

    def _judge(self, text: str) -> Verdict:
        model = self._classifier
        most = model.get_max_length()
        spans = windows(text, lambda part: model.count_tokens(part) <= most)
        scores = model.classify_batch([_plain(text[start:end]) for start, end in spans])
        if len(scores) != len(spans) or not all(math.isfinite(score) for score in scores):
            raise CannotJudge("the classifier gave no score for a part of the text", healthy=False)
        score = max(scores, default=0.0)
        if score < self._threshold:
            return Verdict(outcome="allow", guard=self.name, score=score)
        seen = tuple(span for span, scored in zip(spans, scores, strict=True) if scored >= self._threshold)
        return Verdict(outcome="block", guard=self.name, reason_code="classified", score=score, spans=seen)


def onnx_classifier(*, threshold: float = 0.94, workers: int = 1, max_characters: int = 30_000) -> OnnxGuard:
    """Make a guard that asks the classifier; loads its model at once, from disk.

    At the default threshold it blocks what it is all but certain of; a `sentinel` may be asked about the rest. The
    package's own threshold of 0.52 flags one clean contract passage in twenty.
    ConfigError where the package is missing, with the command that installs it, or a number cannot hold.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(
            f"onnx_classifier(threshold={threshold!r}): expected above 0 and up to 1, such as 0.94"
        )
    if not 1 <= workers <= 2:
        raise ConfigError(
            f"onnx_classifier(workers={workers}): expected 1 or 2; each call uses several cores already"
        )
    return OnnxGuard(_load(), threshold=threshold, workers=workers, max_characters=max_characters)


def windows(text: str, fits: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Cut text into overlapping windows that fit, covering every character; half open, in order of place.

    A window that does not fit is halved until it does; one character always counts as fitting.
    """
    starts = range(0, max(1, len(text) - _OVERLAP), _WINDOW - _OVERLAP)
    parts = (_halved(text, start, min(start + _WINDOW, len(text)), fits) for start in starts)
    return sorted(span for part in parts for span in part)


def _halved(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    if not part.strip():
        return
    if len(part) == 1 or fits(_plain(part)):
        yield start, end
        return
    # Halves overlap too, or a text of dense letters would choose where it is cut.
    middle, lap = (start + end) // 2, min(_LAP, len(part) // 8)
    yield from _halved(text, start, middle + lap, fits)
    yield from _halved(text, middle - lap, end, fits)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text.encode(errors="replace").decode())


def _load() -> Classifier:
    try:
        module: Any = importlib.import_module(_MODULE)
        folder = Path(module.get_default_model_path())
        calibration = json.loads((folder / "classifier_config.json").read_text())["calibration"]
        classifier = module.OnnxClassifier(str(folder), calibration["temperatureT"])
        classifier.load_model()
    except ImportError as error:
        raise ConfigError(f"onnx_classifier needs a package that is not installed: {_INSTALL}") from error
    return classifier
