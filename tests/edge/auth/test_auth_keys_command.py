"""`seawall keys`, as an operator uses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from seawall.edge.auth.key_store import open_key_store
from seawall.edge.auth.refused import AuthRefused
from seawall.edge.cli import app
from seawall.edge.local import open_keyring


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A shell with a master key and a state folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SEAWALL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    return CliRunner()


def fate(tmp_path: Path, token: str) -> str:
    """Ask as a service that starts now would."""
    store = open_key_store(tmp_path / "state", open_keyring())
    found = store.verify(token)
    store.close()
    return found.reason if isinstance(found, AuthRefused) else f"{found.tenant}/{found.subject}"


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_from_its_making_to_its_end(operator: CliRunner, tmp_path: Path) -> None:
    """What is printed opens the service; its successor does as well; revoked, neither does."""
    who = ["--tenant", "acme", "--subject", "ann"]
    made = operator.invoke(
        app, ["keys", "create", *who, "--scope", "run", "--lasts", "90d", "--name", "nightly"]
    )
    token = done(made).strip()
    assert "not shown again" in made.stderr
    assert token not in made.stderr
    assert fate(tmp_path, token) == "acme/ann"
    shown = done(operator.invoke(app, ["keys", "list"]))
    key_id = token[3:15]
    assert all(text in shown for text in (key_id, "acme", "ann", "run", "nightly", "valid"))
    assert token not in shown

    successor = done(operator.invoke(app, ["keys", "rotate", key_id, "--overlap", "1h"])).strip()
    assert (fate(tmp_path, token), fate(tmp_path, successor)) == ("acme/ann", "acme/ann")
    assert done(operator.invoke(app, ["keys", "revoke", key_id])) == f"{key_id} is revoked\n"
    done(operator.invoke(app, ["keys", "revoke", successor[3:15]]))
    assert (fate(tmp_path, token), fate(tmp_path, successor)) == ("revoked", "revoked")


def test_programs_read_json(operator: CliRunner, tmp_path: Path) -> None:
    """One object a key; the token is in it when it is made, and never after."""
    who = ["--tenant", "acme", "--subject", "ann", "--scope", "run", "--scope", "read"]
    made: dict[str, Any] = json.loads(done(operator.invoke(app, ["keys", "create", *who, "--json"])))
    assert (made["tenant"], made["scopes"], made["state"]) == ("acme", ["read", "run"], "valid")
    assert fate(tmp_path, made["api_key"]) == "acme/ann"
    done(operator.invoke(app, ["keys", "create", "--tenant", "other", "--subject", "bob"]))
    new = json.loads(done(operator.invoke(app, ["keys", "rotate", made["id"], "--json"])))
    lines = done(operator.invoke(app, ["keys", "list", "--tenant", "acme", "--json"])).splitlines()
    listed = {one["id"]: one for one in map(json.loads, lines)}
    assert {key_id: one["state"] for key_id, one in listed.items()} == {
        made["id"]: "rotated",
        new["id"]: "valid",
    }
    assert listed[made["id"]]["rotated_to"] == new["id"]
    assert not any("api_key" in one for one in listed.values())
    assert (
        json.loads(done(operator.invoke(app, ["keys", "revoke", new["id"], "--json"])))["state"] == "revoked"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["revoke", "none"], "no API key has this id"),
        (["rotate", "none"], "no API key has this id"),
        (["create", "--tenant", "", "--subject", "ann"], "an API key's tenant"),
        (["create", "--tenant", "acme", "--subject", "ann", "--lasts", "soon"], "is not a duration"),
        (["create", "--tenant", "acme", "--subject", "ann", "--scope", "two words"], "an API key's scopes"),
    ],
)
def test_mistakes_are_told(operator: CliRunner, words: list[str], said: str) -> None:
    """In a sentence that says what was expected."""
    result = operator.invoke(app, ["keys", *words])
    assert result.exit_code != 0
    assert said in str(result.exception)
