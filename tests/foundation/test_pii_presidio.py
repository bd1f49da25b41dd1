"""Presidio behind our own call: what it adds, what stays ours, and what is said where it is missing."""

import importlib.util
from dataclasses import dataclass

import pytest

from seawall.foundation.compliance.pii_presidio import PresidioDetector
from seawall.foundation.errors import ConfigError


@dataclass(frozen=True)
class Result:
    entity_type: str
    start: int
    end: int


@dataclass(frozen=True)
class Analyzer:
    results: tuple[Result, ...]

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Result]:
        assert language == "en"
        assert "PERSON" in entities
        return list(self.results)


def test_ours_stands_and_theirs_fills_the_gaps() -> None:
    """An e-mail address is ours though Presidio calls part of it a person; its names and places are added."""
    text = "Ana wrote from Porto to ana@example.com"
    results = (
        Result("LOCATION", 15, 20),
        Result("PERSON", 0, 3),
        Result("PERSON", 24, 27),
        Result("NRP", 1, 3),
    )
    found = PresidioDetector(analyzer=Analyzer(results))(text)
    assert [(one.kind, text[one.start : one.end]) for one in found] == [
        ("PERSON", "Ana"),
        ("GPE", "Porto"),
        ("EMAIL_ADDRESS", "ana@example.com"),
    ]


@pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is not None, reason="presidio-analyzer is installed"
)
def test_what_to_install_is_said() -> None:
    """Where Presidio is missing the error names the command."""
    with pytest.raises(ConfigError, match="pip install presidio-analyzer"):
        PresidioDetector()


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("presidio_analyzer", "en_core_web_sm"))),
    reason="needs presidio-analyzer and en_core_web_sm",
)
def test_the_real_presidio_finds_a_person() -> None:
    """With Presidio at hand, a name without a cue is found."""
    assert "PERSON" in {one.kind for one in PresidioDetector()("John Smith went to Paris.")}
