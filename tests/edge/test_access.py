"""Break-glass access: with a reason, for a time, noted before anything is seen, and told to whoever watches."""

import json
import logging
from pathlib import Path

import pytest

from seawall.edge.operator import open_desk
from seawall.foundation.errors import ConfigError
from seawall.foundation.subjects.grants import AccessGrants, NoAccess
from seawall.testing.clock import FakeClock
from tests.edge.desk import keyring, settings_for

REASON = "INC-7: what the caller says is missing"


async def test_access_needs_a_reason_and_ends(where: Path | str, tmp_path: Path) -> None:
    """No reason, no access; four hours at most; nobody else's, for no other tenant, not after its time or its end."""
    clock = FakeClock()
    async with open_desk(settings_for(where, tmp_path / "state"), keyring(), clock) as desk:
        grants = AccessGrants(desk.records.people, desk.keyring)
        for reason, lasts in (("", "15m"), ("because", "15m"), (REASON, "5h")):
            with pytest.raises(ConfigError):
                grants.open("acme", "operator ann", reason, lasts)
        grant = grants.open("acme", "operator ann", REASON)
        assert grants.check(grant.id, "acme", "operator ann") == grant
        for tenant, operator in (("globex", "operator ann"), ("acme", "operator bob")):
            with pytest.raises(NoAccess):
                grants.check(grant.id, tenant, operator)
        clock.advance(901)
        with pytest.raises(NoAccess, match="over"):
            grants.check(grant.id, "acme", "operator ann")
        other = grants.open("acme", "operator ann", REASON)
        assert (grants.end(other.id), grants.end(other.id)) == (True, False)
        with pytest.raises(NoAccess, match="over"):
            grants.check(other.id, "acme", "operator ann")
        assert [one.reason for one in grants.all("acme")] == [REASON, REASON]


async def test_each_grant_is_told_once(where: Path | str, tmp_path: Path) -> None:
    """Of two processes that watch, one raises the alarm."""
    settings = settings_for(where, tmp_path / "state")
    async with open_desk(settings, keyring()) as one, open_desk(settings, keyring()) as two:
        grants = [AccessGrants(desk.records.people, desk.keyring) for desk in (one, two)]
        made = grants[0].open("acme", "operator ann", REASON)
        told = [*grants[1].unalerted(), *grants[0].unalerted(), *grants[1].unalerted()]
        assert [grant.id for grant in told] == [made.id]


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Opened, read, listed and ended from a shell; each is in the audit log, and the alarm is logged."""
    from typer.testing import CliRunner

    from seawall.edge.cli import app

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SEAWALL_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    shell = CliRunner()
    with caplog.at_level(logging.CRITICAL, "seawall.alert"):
        opened = shell.invoke(app, ["access", "open", "--tenant", "acme", "--reason", REASON])
    grant = opened.stdout.strip()
    assert "break-glass access" in caplog.text
    assert REASON not in caplog.text
    read = shell.invoke(app, ["access", "read", "run_1", "--tenant", "acme", "--grant", grant])
    assert "no run run_1" in str(read.exception)
    assert json.loads(shell.invoke(app, ["access", "list", "--json"]).stdout)["reason"] == REASON
    assert "ended" in shell.invoke(app, ["access", "end", "--grant", grant]).stdout
    records = [json.loads(line) for line in shell.invoke(app, ["audit", "export"]).stdout.splitlines()]
    assert {"access.opened", "content.read", "access.ended"} <= {one["kind"] for one in records}
