"""The local edge: who is asking, which key opens the records, and the `seawall` command."""

import json
import secrets
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall import ConfigError, Ledger, Principal, Transaction, local_principal, open_keyring
from seawall.edge.cli import app


def filled_ledger(path: Path, *, expires_at: float = 1e12) -> None:
    ledger = Ledger(path)
    ledger.append(
        Transaction(
            id="txn_1",
            tenant="local",
            subject="7f",
            agent="reviewer",
            model="m",
            started_at=1.0,
            expires_at=expires_at,
            outcome="ok",
            input_tokens=10,
            tokens_without_retrieval=30,
        )
    )
    ledger.close()


def test_the_login_is_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system vouches for the caller."""
    monkeypatch.setenv("LOGNAME", "zoe")
    assert local_principal("acme") == Principal("acme", "zoe")


def test_an_anonymous_principal_is_refused() -> None:
    """Without tenant or subject nobody can be told from anybody."""
    with pytest.raises(ConfigError, match="needs a tenant and a subject"):
        Principal("acme", "")


def test_the_environment_beats_the_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEAWALL_MASTER_KEY is used if it is there; else a file is made, once, for its owner alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    made = open_keyring()
    assert open_keyring().fingerprint() == made.fingerprint()
    assert (tmp_path / "seawall" / "master.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SEAWALL_MASTER_KEY", secrets.token_hex(32))
    assert open_keyring().fingerprint() != made.fingerprint()


def test_a_weak_key_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that somebody typed is no key; the message says how to make one, and does not repeat it."""
    monkeypatch.setenv("SEAWALL_MASTER_KEY", "ab" * 32)
    with pytest.raises(ConfigError, match="secrets.token_hex") as refused:
        open_keyring()
    assert "abab" not in str(refused.value)


def test_the_ledger_can_be_looked_at(tmp_path: Path) -> None:
    """As a table for a person, as JSON for a machine."""
    filled_ledger(tmp_path / "ledger.db")
    run = CliRunner()
    table = run.invoke(app, ["ledger", "list", str(tmp_path / "ledger.db")])
    assert table.exit_code == 0
    assert "reviewer" in table.output
    rows = run.invoke(app, ["ledger", "list", str(tmp_path / "ledger.db"), "--json"])
    row = json.loads(rows.output)
    assert (row["id"], row["cost_usd"], row["tokens_saved"]) == ("txn_1", None, 20)


def test_retention_deletes_what_expired(tmp_path: Path) -> None:
    """The command says how many rows went."""
    filled_ledger(tmp_path / "ledger.db", expires_at=2.0)
    done = CliRunner().invoke(app, ["retention", "run", str(tmp_path / "ledger.db")])
    assert "1 expired rows deleted" in done.output


def test_a_missing_ledger_is_one_clear_line(tmp_path: Path) -> None:
    """Nothing is created by looking."""
    done = CliRunner().invoke(app, ["ledger", "list", str(tmp_path / "no.db")])
    assert done.exit_code == 2
    assert "no ledger at" in done.output
    assert not (tmp_path / "no.db").exists()
