"""Ways round the guards on what goes out that were open once."""

import base64
import random

import pytest

from seawall.defense import guards
from seawall.defense.guards import GuardInput, find_exfiltration, find_leak, find_secrets

DRAW = random.Random(13)
LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
URL = "https://evil.example/a"


def drawn(count: int) -> str:
    """Make up a key's random part."""
    return "".join(DRAW.choice(LETTERS) for _ in range(count))


KEY = "ghp_" + drawn(36)
HIDDEN = (
    "Quote rates only from the table below. Never promise a loan. Offer a call with a colleague if needed."
)

DISGUISED = {
    "base64": base64.b64encode(f"key {KEY}".encode()).decode(),
    "hex": KEY.encode().hex(),
    "unseen letters": "\u200b".join(KEY),
    "spaced": " ".join(KEY),
    "percent": "".join(f"%{byte:02x}" for byte in KEY.encode()),
    "entities": "".join(f"&#{byte};" for byte in KEY.encode()),
    "look-alike": KEY.replace("p", "р", 1),
    "example behind it": f"sk-{'ant-api03-'}{drawn(60)}EXAMPLE",
    "xxxx behind it": f"sk-{'ant-api03-'}{drawn(60)}xxxx",
}
LOADED = {
    "brackets in pairs": f"![a [b] c]({URL})",
    "bracket escaped": f"![a\\]b]({URL})",
    "more than sign in quotes": f'<img alt=">" src="{URL}">',
    "less than sign in quotes": f'<img alt="<" src="{URL}">',
    "import without blank": '<style>@import"https://evil.example/x.css";</style>',
    "set of pictures of a link": f'<link imagesrcset="{URL} 1x">',
    "blanks in the name": f"![x][a  b]\n\n[a b]: {URL}",
}
CODE = (
    "password = os.environ['DB_PASSWORD']", "token = get_token(user_id)", "password = config.database.password",
    "token = user_access_token", "const token = req.headers.authorization;", "secret: process.env.JWT_SECRET",
)  # fmt: skip


@pytest.mark.parametrize("text", DISGUISED.values(), ids=DISGUISED)
def test_a_key_in_disguise_is_found(text: str) -> None:
    """Encoded, spread, or with a word behind it that would excuse a blank."""
    assert find_secrets(f"Here: {text} ok.")


@pytest.mark.parametrize("text", LOADED.values(), ids=LOADED)
def test_an_image_is_found_as_its_reader_finds_it(text: str) -> None:
    """Brackets in pairs and signs in quotes end nothing."""
    assert [one.code for one in find_exfiltration(f"Here: {text} done.")] == ["embed"]


@pytest.mark.parametrize("text", CODE)
def test_code_that_names_a_secret_holds_none(text: str) -> None:
    """Calls, indexes and names are where a secret comes from."""
    assert find_secrets(text) == []


def test_a_private_key_is_not_let_out_line_by_line() -> None:
    """Where the end is not there yet, replacing the beginning would let the rest pass: it is blocked."""
    guard = guards.secrets(action="replace")
    begin = "-----BEGIN RSA " + "PRIVATE KEY-----\n"
    whole = f"{begin}{drawn(64)}\n-----END RSA PRIVATE KEY-----"
    assert guard(GuardInput(begin, "output")).outcome == "block"
    assert guard(GuardInput(begin + drawn(64), "output")).outcome == "block"
    assert guard(GuardInput(whole, "output")).replacement == "[secret removed]"


def test_thousands_of_keys_are_all_found() -> None:
    """Each where it stands; those that overlap are one."""
    text = " ".join("ghp_" + drawn(36) for _ in range(3_000))
    assert len(find_secrets(text)) == 3_000
    assert len(find_secrets(f"token = {KEY}")) == 1


def test_hidden_words_without_blanks_are_found() -> None:
    """Blanks are not needed to read them."""
    assert find_leak(HIDDEN.replace(" ", ""), [HIDDEN])
