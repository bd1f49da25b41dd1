"""Pseudonyms: consistent, apart, exact on the way back, and not to be forged."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pii import Entity
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault, VaultFull
from seawall.foundation.errors import ConfigError

RING = Keyring.from_hex("9f2c81d04be7a35f6610c8d97b3ea4520f8d1c6bb7e94a2358d0f16c9ae37b41")
ACME = Pseudonyms(RING, "acme")
TOKEN = re.compile(r"⟦[A-Z_]+:[0-9a-f]{24}⟧")
SECRETS = [
    "jane@example.com", "Jane@Example.com", "JANE@example.COM", "(212) 555-0147", "212-555-0147", "+1 212-555-0147",
    "4111 1111 1111 1111", "4111111111111111", "By: /s/ Jane Roe", "Name: Jane  Roe", "Mr. O'Brien", "460-89-9847",
    "https://example.com/a", "1730 S. Amphlett Blvd., Suite 233",
]  # fmt: skip
NOISE = [" ", "\n", '"', "\\", "\\u27e6", "\\u27e7", "⟦", "⟧", "⟦PERSON:", "0123456789abcdef01234567", "é", "🦊", "\ud800",
         "⟦PERSON:0123456789abcdef01234567⟧", "\\u27e6PERSON:0123456789abcdef01234567\\u27e7", " wrote "]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SECRETS + NOISE) | st.text(max_size=4), max_size=14).map("".join)


def vault() -> Vault:
    """Make an empty vault of tenant acme."""
    return Vault(ACME)


@given(TEXTS)
def test_restoring_is_exact(text: str) -> None:
    """What was pseudonymised comes back to the byte, whatever spellings and look-alikes the text holds."""
    kept = vault()
    assert kept.restore(kept.pseudonymise(text)) == text


@given(TEXTS)
def test_twice_is_once(text: str) -> None:
    """Pseudonymising what is pseudonymised changes nothing, and so does a vault that saw it before."""
    kept = vault()
    once = kept.pseudonymise(text)
    assert kept.pseudonymise(once) == once


@given(st.lists(st.sampled_from(SECRETS), min_size=1, max_size=6))
def test_nothing_found_is_left_in_the_text(values: list[str]) -> None:
    """No value that was recognised, in any spelling given, stands in what goes to the model."""
    hidden = vault().pseudonymise(" ; ".join(values))
    for value in ("example", "555", "4111", "Roe", "Brien", "460-89", "Amphlett"):
        assert value not in hidden


@given(TEXTS, st.booleans())
def test_json_is_restored_as_json(text: str, ascii_only: bool) -> None:
    """Restoring serialised arguments parses to what restoring the parsed text gives, escapes or not."""
    kept = vault()
    hidden = kept.pseudonymise(text)
    raw = json.dumps({"said": hidden, "more": [hidden]}, ensure_ascii=ascii_only)
    restored = json.loads(kept.restore_json_text(raw))
    assert restored == {"said": kept.restore(hidden), "more": [kept.restore(hidden)]}
    assert restored["said"] == text


def test_json_originals_are_escaped() -> None:
    """An original with quotes, backslashes and line breaks does not break the JSON it is put into."""
    nasty = 'Zoë "Zed"\\\n\u2028 Roe'
    kept = Vault(ACME, find=lambda text: [Entity("PERSON", 0, len(text))] if text == nasty else [])
    token = kept.pseudonymise(nasty)
    raw = '{"a": "' + token.replace("⟦", "\\u27E6").replace("⟧", "\\u27e7") + '"}'
    assert json.loads(kept.restore_json_text(raw)) == {"a": nasty}


def test_an_escaped_backslash_begins_no_token() -> None:
    r"""The text `\u27e6`, written in JSON as `\\u27e6`, is six letters and not a bracket."""
    kept = vault()
    token = kept.pseudonymise("jane@example.com")
    spelled = token.replace("⟦", "\\u27e6")
    raw = json.dumps({"a": spelled}, ensure_ascii=False)
    assert kept.restore_json_text(raw) == raw
    assert json.loads(kept.restore_json_text(json.dumps({"a": spelled + token}))) == {
        "a": spelled + "jane@example.com"
    }


def test_one_person_one_identity_many_spellings() -> None:
    """Spellings of one value share the first sixteen digits and differ in the rest; other values share nothing."""
    names = [
        ACME.token("EMAIL_ADDRESS", value)
        for value in ("Jane@Example.com", "jane@example.com", "joan@example.com")
    ]
    assert names[0][:31] == names[1][:31] != names[2][:31]
    assert len(set(names)) == 3
    assert (
        ACME.token("PHONE_NUMBER", "+1 (212) 555-0147")[:30]
        == ACME.token("PHONE_NUMBER", "212-555-0147")[:30]
    )
    assert ACME.token("PERSON", "Dr. JANE ROE")[:24] == ACME.token("PERSON", "Jane Roe")[:24]


def test_names_hold_within_a_tenant_and_differ_across() -> None:
    """The same tenant and key give the same names in every process; another tenant or key gives others."""
    value = ("PERSON", "Jane Roe")
    assert ACME.token(*value) == Pseudonyms(RING, "acme").token(*value)
    assert ACME.token(*value) != Pseudonyms(RING, "other").token(*value)
    assert ACME.token(*value) != Pseudonyms(Keyring.ephemeral(), "acme").token(*value)
    assert (
        ACME.subject("u-17")
        == Pseudonyms(RING, "acme").subject("u-17")
        != Pseudonyms(RING, "other").subject("u-17")
    )
    assert ACME.subject("u-17")[2:] not in ACME.token("SUBJECT", "u-17")


def test_tokens_follow_the_grammar() -> None:
    """A token is self-delimiting; a kind that would break the grammar, or no tenant, is refused."""
    assert TOKEN.fullmatch(ACME.token("PERSON", "Jane Roe"))
    for kind in ("person", "P", "A⟧", "A" * 40):
        with pytest.raises(ConfigError):
            ACME.token(kind, "x")
    with pytest.raises(ConfigError):
        Pseudonyms(RING, "")


def test_a_forged_token_gets_back_what_was_written() -> None:
    """Who writes another's token before the run knows that value gets the token back, never the value."""
    stolen = ACME.token("EMAIL_ADDRESS", "victim@example.com")
    kept = vault()
    prompt = kept.pseudonymise(f"Repeat {stolen} please")
    document = kept.pseudonymise("Contact: victim@example.com")
    assert stolen not in prompt + document
    assert kept.restore(prompt) == f"Repeat {stolen} please"
    assert kept.restore(document) == "Contact: victim@example.com"
    assert "victim" not in kept.restore(f"I was told to say {stolen}")
    assert "victim" not in kept.restore_json_text(json.dumps({"a": stolen}))


def test_a_forged_token_and_its_value_in_one_text() -> None:
    """The same holds where token and value come in one text, and in escaped form."""
    stolen = ACME.token("EMAIL_ADDRESS", "victim@example.com")
    for forged in (stolen, stolen.replace("⟦", "\\u27e6").replace("⟧", "\\u27e7")):
        kept = vault()
        text = f"{forged} victim@example.com {forged}"
        assert kept.restore(kept.pseudonymise(text)) == text
        assert kept.restore(stolen) == stolen


def test_tokens_of_another_run_or_tenant_stay_tokens() -> None:
    """A vault restores its own tokens only."""
    foreign = Vault(Pseudonyms(RING, "other")).pseudonymise("jane@example.com")
    earlier = vault().pseudonymise("jane@example.com")
    kept = vault()
    assert kept.restore(foreign + earlier) == foreign + earlier


def test_a_name_known_to_the_run_is_hidden_without_its_cue() -> None:
    """A full name found in one text is replaced in later texts of the run, too."""
    kept = vault()
    kept.pseudonymise("By: /s/ Jane Roe")
    assert "Roe" not in kept.pseudonymise("It is agreed that Jane Roe resigns.")


def test_the_vault_is_bounded_and_shows_nothing() -> None:
    """Past its limit a vault refuses, without personal data in the message; printing it counts only."""
    kept = Vault(ACME, limit=2)
    kept.pseudonymise("a@example.com b@example.com")
    with pytest.raises(VaultFull, match="limit is 2") as refused:
        kept.pseudonymise("c@example.com")
    assert "c@" not in str(refused.value)
    assert len(kept) == 2
    assert repr(kept) == "Vault({'EMAIL_ADDRESS': 2})"


def test_a_text_that_never_settles_is_refused() -> None:
    """A finder that always finds more does not loop for ever."""
    kept = Vault(
        ACME, find=lambda text: [Entity("PERSON", at, at + 1)] if (at := text.find("x")) >= 0 else []
    )
    assert "x" not in kept.pseudonymise("x" * 10)
    with pytest.raises(VaultFull, match="kept appearing"):
        kept.pseudonymise("x" * 100)
