"""One HTML file that needs nothing else: scripts and styles inlined, and allowed by hash alone."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

SCRIPTS = ("elements.js", "data.js", "table.js", "passage.js", "verdicts.js", "contract.js", "report.js")
STYLES = ("report.css", "table.css", "contract.css", "print.css")
# `<`, `>` and `&` could end the script element or start a comment in it; U+2028 and U+2029 end lines in old parsers.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_text(data: object) -> str:
    """Write JSON that is safe between script tags and means the same."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Several times faster than str.translate, which looks at every character.
    for sign, escape in _ESCAPES.items():
        text = text.replace(sign, escape)
    return text


def data_block(name: str, body: str) -> Markup:
    """Return a script element that holds data, not code; `body` comes from `json_text`, `name` is an identifier."""
    return Markup('<script type="application/json" id="{}">{}</script>\n').format(name, Markup(body))  # noqa: S704


def render(context: Mapping[str, object], late: Iterable[Markup]) -> Iterator[str]:
    """Yield the page piece by piece; `late` blocks come last, after everything the first paint needs."""
    script = '(() => {\n"use strict";\n' + "".join(_source(name) for name in SCRIPTS) + "})();\n"
    style = "".join(_source(name) for name in STYLES)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    template = _environment().get_template("report.html.j2")
    return template.generate(
        **context,
        policy=policy,
        script=Markup(script),  # noqa: S704 - our own source, allowed by its hash
        style=Markup(style),  # noqa: S704
        late=late,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("seawall_contracts.outputs"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = _share
    environment.filters["count"] = _count
    return environment


def _share(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _count(number: int) -> str:
    return f"{number:,}"


def _source(name: str) -> str:
    return (files("seawall_contracts.outputs") / "templates" / name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
