"""Presidio, for those who have it, behind the same call as our own finders: text in, entities out."""

from collections.abc import Sequence
from typing import Any

from seawall.foundation.compliance.pii import find_pii
from seawall.foundation.compliance.pii_scan import Entity, Found, fill_gaps
from seawall.foundation.errors import ConfigError

_RENAMED: dict[str, str] = {"LOCATION": "GPE", "URL": "DOMAIN_NAME"}
_NAMES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")


class PresidioDetector:
    """Finds what `find_pii` finds, and where that found nothing, what Presidio takes for one of `entities`.

    A `Finder`, as `Vault(find=...)` takes one. By default Presidio is asked for names only: its recognisers of
    e-mail addresses reach for the network. ConfigError where it or the spaCy model is not installed. An analyzer
    made by others may be passed in; it must have `analyze(text, language, entities)` as Presidio's has.
    """

    __slots__ = ("_analyzer", "_entities", "_language")

    def __init__(
        self,
        model: str = "en_core_web_sm",
        *,
        language: str = "en",
        entities: Sequence[str] = _NAMES,
        analyzer: Any = None,
    ) -> None:
        self._language = language
        self._entities = list(entities)
        self._analyzer = _analyzer(model, language) if analyzer is None else analyzer

    def __call__(self, text: str, /) -> list[Entity]:
        """Find personal data, in order of place, none overlapping another."""
        ours = [(one.start, one.end, one.kind) for one in find_pii(text)]
        theirs: list[Found] = []
        for result in sorted(
            self._analyzer.analyze(text, language=self._language, entities=self._entities),
            key=lambda one: (one.start, -one.end),
        ):
            if result.end > result.start >= (theirs[-1][1] if theirs else 0):
                theirs.append((result.start, result.end, _kind(result.entity_type)))
        return [Entity(kind, start, end) for start, end, kind in fill_gaps(ours, theirs)]


def _kind(entity_type: str) -> str:
    return _RENAMED.get(entity_type, entity_type)


def _analyzer(model: str, language: str) -> Any:
    from importlib import import_module
    from importlib.util import find_spec

    for module, package in (("presidio_analyzer", "presidio-analyzer"), (model, model.replace("_", "-"))):
        if find_spec(module) is None:
            raise ConfigError(
                f"PresidioDetector needs {package}, which is not installed: pip install {package}; "
                "or use find_pii_thorough, which needs nothing"
            )
    engine: Any = (
        import_module("presidio_analyzer.nlp_engine")
        .NlpEngineProvider(
            nlp_configuration={
                "nlp_engine_name": "spacy",
                "models": [{"lang_code": language, "model_name": model}],
            }
        )
        .create_engine()
    )
    return import_module("presidio_analyzer").AnalyzerEngine(
        nlp_engine=engine, supported_languages=[language]
    )
