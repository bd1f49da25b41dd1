"""Credentials in what goes out: what is one, what only looks like one, and what is done about it."""

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense import guards
from seawall.defense.guards import GuardInput, find_secrets
from seawall.foundation.errors import ConfigError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
DRAW = random.Random(7)
ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def drawn(count: int, alphabet: str = ALPHABET) -> str:
    """Make up a key's random part, so that no file here holds anything that looks like a key."""
    return "".join(DRAW.choice(alphabet) for _ in range(count))


def jwt() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'u-17'})}.{drawn(43)}"


UPPER, HEX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdef"
KEYS = {
    "aws_key_id": "AKIA" + drawn(16, UPPER),
    "aws_secret": "aws_secret_access_key = " + drawn(40),
    "github": "ghp_" + drawn(36),
    "gitlab": "glpat-" + drawn(20),
    "slack": "xoxb-" + drawn(40),
    "slack_webhook": "https://hooks.slack" + ".com/services/" + drawn(40),
    "stripe": "sk_" + "live_" + drawn(24),
    "google": "AIza" + drawn(35),
    "anthropic": "sk-" + "ant-api03-" + drawn(60),
    "openai": "sk-" + "proj-" + drawn(48),
    "azure": "AccountKey=" + drawn(86) + "==",
    "npm": "npm_" + drawn(36),
    "pypi": "pypi-" + "AgE" + drawn(60),
    "twilio": "SK" + drawn(32, HEX),
    "sendgrid": "SG." + drawn(22) + "." + drawn(43),
    "huggingface": "hf_" + drawn(34),
    "digitalocean": "dop_v1_" + drawn(64, HEX),
    "databricks": "dapi" + drawn(32, HEX),
    "telegram": "123456789:AA" + drawn(33),
    "jwt": jwt(),
    "private_key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + drawn(64) + "\n-----END RSA PRIVATE KEY-----",
    "url_password": "postgres://app:" + drawn(12) + "@db.internal:5432/x",
    "assigned": 'password = "' + drawn(14) + '"',
}
CLEAN = (
    "The Supplier shall keep all passwords and access keys secret and change them every ninety days.",
    "Set API_KEY=your_api_key in the environment; the token is <token>, the password is xxxxxxxx.",
    "export OPENAI_API_KEY=$OPENAI_API_KEY and token: ${TOKEN}",
    "Your password: ********",
    "The secret is patience.",
    "Use sk-... as the key, or ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx in the example.",
    "Visit https://user@example.com:8080/path or ftp://anonymous:password@example.com/",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "token: required string, the access token of the caller",
    "password is incorrect, please try again",
)


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_is_found_where_it_stands(kind: str) -> None:
    """By its shape, with its place: text before and after is left out."""
    text = f"Here you are: {KEYS[kind]} and good luck."
    found = find_secrets(text)
    assert [one.kind for one in found] == [kind]
    assert text[found[0].start : found[0].end] in KEYS[kind]
    assert len(text[found[0].start : found[0].end]) >= 8


@pytest.mark.parametrize("text", CLEAN)
def test_talk_of_secrets_is_no_secret(text: str) -> None:
    """Placeholders, variables, hashes and plain sentences pass."""
    assert find_secrets(text) == []


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_a_secret_in_two_pieces_is_found(kind: str, data: st.DataObject) -> None:
    """Wherever a stream is cut, one piece or the other shows it."""
    text = f"The value: {KEYS[kind]} "
    cut = data.draw(st.integers(0, len(text)))
    first, second = text[:cut], text[cut:]
    later = find_secrets(second, first)
    assert find_secrets(first) or later
    assert all(0 <= one.start < one.end <= len(second) for one in later)


@given(st.text(), st.text(max_size=30))
def test_any_text_is_read(text: str, before: str) -> None:
    """Nothing crashes it; places are in order, apart, and inside."""
    at = 0
    for one in find_secrets(text, before):
        assert at <= one.start < one.end <= len(text)
        at = one.end


def test_the_guard_blocks_or_takes_out() -> None:
    """As it is told, in what goes out alone; a secret that may be half out is blocked."""
    text = f"Key {KEYS['github']}, and {KEYS['npm']}."
    verdict = guards.secrets()(GuardInput(text, "output"))
    assert (verdict.outcome, verdict.reason_code, len(verdict.spans)) == ("block", "github", 2)
    assert guards.secrets()(GuardInput(text, "prompt")).outcome == "allow"
    assert guards.secrets(contexts=["prompt"])(GuardInput(text, "prompt")).outcome == "block"
    verdict = guards.secrets(action="replace")(GuardInput(text, "output"))
    assert (verdict.outcome, verdict.replacement) == (
        "replace",
        "Key [secret removed], and [secret removed].",
    )
    key = KEYS["github"]
    assert guards.secrets(action="replace")(GuardInput(key[10:], "output", "", key[:10])).outcome == "block"
    with pytest.raises(ConfigError):
        guards.secrets(action="drop")  # type: ignore[arg-type]
    for contexts in ([], ["input"]):
        with pytest.raises(ConfigError):
            guards.secrets(contexts=contexts)  # type: ignore[arg-type]


@pytest.mark.skipif(not (DATA / "cuad").is_dir(), reason="needs ../shared/data/cuad, which is not shipped")
def test_contracts_hold_no_secrets() -> None:
    """None in every tenth real contract."""
    for path in sorted((DATA / "cuad" / "txt").iterdir())[::10]:
        assert find_secrets(path.read_text("utf-8")) == []
