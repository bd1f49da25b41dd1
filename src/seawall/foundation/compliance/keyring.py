"""One master key, and every other key derived from it: per tenant, per purpose, per version."""

import fcntl
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from seawall.foundation.errors import ConfigError

_KEY_BYTES = 32
_SALT = b"seawall.keyring.1"
_MAX_VERSIONS = 999
_MOST_DERIVED = 4096
# 32 random bytes have about 30 different values; fewer than 18 happens less than once in 10^13 keys.
_MIN_DISTINCT = 18
_MAKE_ONE = "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"


class Keyring:
    """Master keys by version, 1 the oldest; derives keys by HKDF-SHA-256 (RFC 5869).

    Two tenants, two purposes or two versions never share a key, and no derived key leads back to the master.
    It cannot be printed or pickled. It does not protect the master key in this process's memory.
    """

    __slots__ = ("_derived", "_looked", "_masters", "_path")

    def __init__(self, masters: dict[int, bytes], *, path: Path | None = None) -> None:
        if not masters:
            raise ConfigError(f"a keyring needs at least one key of 64 hexadecimal digits; {_MAKE_ONE}")
        for version, master in masters.items():
            _check_key(version, master)
        self._masters = dict(sorted(masters.items()))
        self._path = path
        # Which state of the file the keys are of, as far as it was looked at again.
        self._looked = (0, 0, 0)
        # A derivation takes 20 µs, and every run needs some. They protect no less than the master beside them.
        self._derived: dict[tuple[int, str, str], bytes] = {}

    @classmethod
    def from_file(cls, path: Path, *, create: bool = False) -> Self:
        """Read a key file; with `create`, make one for the owner's eyes only if there is none.

        Line n is version n: 64 hexadecimal digits, or `-` for a key that was destroyed. The last line is
        current, so a key is rotated by appending a line; a ring that meets a record of a version it does not know reads the
        file again. ConfigError where the file is missing, open to others,
        or holds something that is not a random key. Two processes that create at once end up with one key.
        """
        path = Path(path)
        try:
            text = _read_private(path)
        except FileNotFoundError:
            if not create:
                raise ConfigError(
                    f"there is no key file {path}; {_MAKE_ONE} > {path}; chmod 600 {path}"
                ) from None
            _create_private(path, secrets.token_hex(_KEY_BYTES) + "\n")
            text = _read_private(path)
        return cls(_parse(text), path=path)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read keys as written in a key file; for a secret that comes from the environment."""
        return cls(_parse(text))

    @classmethod
    def ephemeral(cls) -> Self:
        """Make a random key that dies with the process: what is sealed with it cannot be opened afterwards."""
        return cls({1: secrets.token_bytes(_KEY_BYTES)})

    @property
    def current(self) -> int:
        """The version new records are made with."""
        return max(self._masters)

    @property
    def versions(self) -> tuple[int, ...]:
        """Versions whose records can still be read, oldest first."""
        return tuple(self._masters)

    def key(self, purpose: str, *, tenant: str = "", version: int | None = None) -> bytes:
        """Derive 32 bytes for this purpose, tenant and version (the current one unless named).

        KeyError where the version is not on the ring.
        """
        if not purpose:
            raise ConfigError("a derived key needs a purpose, such as 'pseudonyms'")
        of = (self.current if version is None else version, purpose, tenant)
        found = self._derived.get(of)
        if found is None:
            if len(self._derived) >= _MOST_DERIVED:
                self._derived.clear()
            found = self._derived[of] = self._derive(*of)
        return found

    def stable_key(self, purpose: str) -> bytes:
        """Derive 32 bytes under the oldest key on the ring: for names that processes share while the ring is rotated."""
        return self.key(purpose, version=self.versions[0])

    def _derive(self, version: int, purpose: str, tenant: str) -> bytes:
        if version not in self._masters:
            self.reload()
        master = self._masters[version]
        # Lengths first, so that no two (purpose, tenant) pairs read the same.
        info = b"".join(len(part).to_bytes(4, "big") + part for part in (_encode(purpose), _encode(tenant)))
        return HKDF(SHA256(), _KEY_BYTES, _SALT, info).derive(master)

    def reload(self) -> None:
        """Take keys that were appended to the file it was read from; once for each state of the file, and never one away."""
        if self._path is None:
            return
        found = self._path.stat()
        looked = (found.st_mtime_ns, found.st_size, found.st_ino)
        if looked == self._looked:
            return
        self._looked = looked
        read = _parse(_read_private(self._path))
        for version, master in read.items():
            _check_key(version, master)
        if all(read.get(version, master) == master for version, master in self._masters.items()):
            self._masters = dict(sorted({**self._masters, **read}.items()))

    def fingerprint(self) -> str:
        """Name the current key in logs: 16 hexadecimal digits that lead back to nothing."""
        return self.key("fingerprint")[:8].hex()

    def append(self) -> int:
        """Put a new current key into the file that the ring was read from, whole or not at all; return its version.

        Other processes read the file again when they meet the version. ConfigError for a ring that came from no file.
        """
        if self._path is None:
            raise ConfigError(
                "this keyring came from the environment: append a line to SEAWALL_MASTER_KEY where it is kept, start the "
                "service anew with it, then run `seawall keyring wrap`"
            )
        with _locked(self._path):
            text = _read_private(self._path)
            _replace_private(self._path, text.rstrip("\n") + "\n" + secrets.token_hex(_KEY_BYTES) + "\n")
        self._looked = (0, 0, 0)
        self.reload()
        return self.current

    def __repr__(self) -> str:
        """Name the current key without showing it."""
        return f"Keyring(fingerprint={self.fingerprint()!r}, versions={list(self.versions)})"

    def __reduce__(self) -> NoReturn:
        """Refuse: a pickled key is a key on a disk nobody guards."""
        raise TypeError(
            "a Keyring cannot be pickled; give the other process the key file and Keyring.from_file"
        )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _parse(text: str) -> dict[int, bytes]:
    lines = text.split()
    if len(lines) > _MAX_VERSIONS:
        raise ConfigError(
            f"a keyring holds at most {_MAX_VERSIONS} keys, this one {len(lines)}; start a new one"
        )
    masters: dict[int, bytes] = {}
    for version, line in enumerate(lines, 1):
        if line == "-":
            continue
        try:
            masters[version] = bytes.fromhex(line)
        except ValueError:
            raise ConfigError(
                f"key {version} is not hexadecimal: expected 64 digits 0-9 a-f, got {len(line)} characters; {_MAKE_ONE}"
            ) from None
    if lines and lines[-1] == "-":
        raise ConfigError(
            "the last key is marked as destroyed; append a new line of 64 hexadecimal digits to go on"
        )
    return masters


def _check_key(version: int, key: bytes) -> None:
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            f"key {version} has {len(key)} bytes, expected {_KEY_BYTES} (64 hex digits); {_MAKE_ONE}"
        )
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    typed = all(0x20 <= byte < 0x7F for byte in key)
    if len(set(key)) < _MIN_DISTINCT or len(steps) < _MIN_DISTINCT // 2 or typed:
        raise ConfigError(f"key {version} is not random (a pattern, or typed text); {_MAKE_ONE}")


def _read_private(path: Path) -> str:
    # Not blocking, so that a pipe in its place is refused instead of waited for.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        # Of the open file, not of its name: the name could be given to another file in between.
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"the key file {path} is not a regular file; name the file that holds the key")
        if found.st_mode & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise ConfigError(
                f"the key file {path} has mode {mode:04o}, so others can read it; expected 0600; run: chmod 600 {path}"
            )
        content = os.read(handle, _MAX_VERSIONS * 2 * (_KEY_BYTES + 1))
    finally:
        os.close(handle)
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(
            f"the key file {path} is not text of 64 hexadecimal digits a line; {_MAKE_ONE}"
        ) from None


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Keep others who change the key file out; let go of where this process dies."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace_private(path: Path, text: str) -> None:
    aside = _write_aside(path, text)
    aside.replace(path)
    _settle_folder(path)


def _write_aside(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    return aside


def _create_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = _write_aside(path, text)
    try:
        try:
            # A link, not a rename: it fails where another process was first, and its key stands.
            os.link(aside, path)
        except FileExistsError:
            return
    finally:
        aside.unlink(missing_ok=True)
    _settle_folder(path)


def _settle_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
