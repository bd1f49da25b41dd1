"""The local edge: a person at a terminal, vouched for by the operating system, on one machine."""

import getpass
import os
from pathlib import Path

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.principal import Principal

MASTER_KEY_VARIABLE = "SEAWALL_MASTER_KEY"


def local_principal(tenant: str = "local") -> Principal:
    """Authenticate the caller by the login that the operating system gave this process."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        # No entry in the password database, as in a bare container: the number is still the system's word.
        login = f"uid-{os.getuid()}"
    return Principal(tenant=tenant, subject=login)


def open_keyring(path: Path | None = None) -> Keyring:
    """Open the master key: `SEAWALL_MASTER_KEY` (64 hex digits), else the file at `path`, made on first use.

    The file is by default `seawall/master.key` in the user's configuration folder, readable by its owner
    alone, and away from the data which it protects. ConfigError, with the mend, where it cannot be trusted.
    """
    given = os.environ.get(MASTER_KEY_VARIABLE)
    if given and path is None:
        return Keyring.from_hex(given)
    return Keyring.from_file(path or _default_key_file(), create=True)


def _default_key_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "seawall" / "master.key"
