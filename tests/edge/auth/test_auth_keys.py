"""What an API key looks like, and when it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.edge.auth.keys import ApiKey, NewKey, check_owner, digest, id_of, new_token
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import compile_pattern


def test_a_key_can_be_told_from_any_other_text() -> None:
    """It has a shape that scanners for leaked secrets can look for, and names its own id."""
    shape = compile_pattern(r"sw_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}_[0-9a-f]{8}")
    made = [new_token() for _ in range(200)]
    assert len({token for _, token in made}) == len({name for name, _ in made}) == 200
    for name, token in made:
        assert shape.fullmatch(token)
        assert id_of(token) == name


@given(at=st.integers(0, 67), to=st.characters())
def test_a_typing_error_is_seen(at: int, to: str) -> None:
    """One other character anywhere, and the checksum does not fit."""
    _, token = new_token()
    changed = token[:at] + to + token[at + 1 :]
    assert (id_of(changed) is None) is (changed != token)


@given(
    text=st.text(max_size=100)
    | st.binary(min_size=65, max_size=65).map(lambda body: "sw_" + body.decode("latin-1"))
)
def test_no_other_text_is_a_key(text: str) -> None:
    """Whatever is no key is told apart without an error."""
    assert id_of(text) is None


def test_what_is_kept_depends_on_token_and_secret() -> None:
    """Neither another token nor another secret leads to the same digest."""
    (_, one), (_, other) = new_token(), new_token()
    first, second = b"1" * 32, b"2" * 32
    assert len({digest(one, first), digest(one, second), digest(other, first)}) == 3


def test_a_key_holds_until_it_expires_or_is_revoked() -> None:
    """The moment of its end is not part of its time; a revoked key that has expired as well is revoked."""
    key = ApiKey("k", "acme", "ann", frozenset(), "", 0.0, expires_at=10.0)
    assert (key.fault(9.999), key.fault(10.0)) == (None, "expired")
    revoked = ApiKey("k", "acme", "ann", frozenset(), "", 0.0, expires_at=10.0, revoked_at=5.0)
    assert {revoked.fault(now) for now in (1.0, 6.0, 11.0)} == {"revoked"}


def test_neither_token_nor_subject_is_printed() -> None:
    """What is printed of a key may stand in a log."""
    name, token = new_token()
    made = NewKey(ApiKey(name, "acme", "ann@acme.example", frozenset(), "", 0.0), token)
    assert token not in repr(made)
    assert token not in f"{made}"
    assert "ann@" not in repr(made)


@pytest.mark.parametrize(
    ("tenant", "subject", "scopes", "name"),
    [
        ("", "ann", (), ""),
        (" ", "ann", (), ""),
        ("acme", "", (), ""),
        ("acme\n", "ann", (), ""),
        ("acme", "a" * 257, (), ""),
        ("acme", "ann", ("two words",), ""),
        ("acme", "ann", ("",), ""),
        ("acme", "ann", ('"',), ""),
        ("acme", "ann", ("é",), ""),
        ("acme", "ann", tuple(f"s{n}" for n in range(65)), ""),
        ("acme", "ann", (), "a\x1b[2J"),
    ],
)
def test_owners_that_could_not_be_told_apart_are_refused(
    tenant: str, subject: str, scopes: tuple[str, ...], name: str
) -> None:
    """Nothing empty, endless, or with control characters in it becomes an owner."""
    with pytest.raises(ConfigError, match="an API key's"):
        check_owner(tenant, subject, frozenset(scopes), name)
    check_owner("acme", "ann", frozenset({"run:write"}), "the nightly job")
