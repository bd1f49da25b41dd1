"""API keys in memory: all of them in every process, a quarter of a second behind the database that they share."""

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from seawall.edge.auth.key_rows import KeyChange, KeyRow, KeyRows, open_rows
from seawall.edge.auth.keys import ApiKey, NewKey, check_owner, digest, id_of, new_token
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import EventBus, StoreChanged
from seawall.foundation.units import Period, seconds

T = TypeVar("T")
_NOTE_EVERY = 60.0
_WRITE_USED_EVERY = 10.0
_log = logging.getLogger("seawall.keys")
_MALFORMED = AuthRefused("malformed")


class _Held:
    """A key, what its token is compared with, and when its use was noted last."""

    __slots__ = ("change", "digest", "key", "noted", "secret", "unknown")

    def __init__(self, row: KeyRow, noted: float = float("-inf")) -> None:
        self.key, self.digest, self.secret, self.change = row
        self.noted = noted
        # Made beforehand, so that a wrong secret is refused by the same steps as an id that nobody has.
        self.unknown = AuthRefused("unknown", self.key.id)


class KeyStore:
    """All API keys. `with store:` hears what other processes change, every `refresh`, and notes when keys are used.

    `verify` touches neither disk nor lock. The other calls do: make them in a thread, not on an event loop. A change made
    here holds here when the call returns; in another process within `refresh` and the time of one small read.

    While the database cannot be read, `state` is `open`, `events` hear of it, and keys go on as they were last seen; after
    `stale`, when too many revocations may have gone unheard, all are refused as `key_unavailable`.
    """

    def __init__(
        self,
        rows: KeyRows,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        refresh: Period = "250ms",
        stale: Period = "1h",
    ) -> None:
        self._rows = rows
        self._events = events or EventBus()
        self._clock = clock
        self._refresh_seconds = seconds(refresh)
        self._stale = seconds(stale)
        self._held: dict[str, _Held] = {}
        nobody = ApiKey("", "", "", frozenset(), "", 0.0)
        self._nobody = _Held(KeyRow(nobody, secrets.token_bytes(32), secrets.token_bytes(32), 0))
        self._used: dict[str, float] = {}
        self._seen = -1
        self._heard = 0.0
        self._error: str | None = None
        self._applying = threading.Lock()
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._look()

    def verify(self, token: str) -> ApiKey | AuthRefused:
        """Return the key that this token is, or why it is not taken."""
        name = id_of(token)
        if name is None:
            return _MALFORMED
        held = self._held.get(name, self._nobody)
        # A key that nobody has is compared as well, so that time does not tell which ids there are.
        same = secrets.compare_digest(digest(token, held.secret), held.digest)
        if not same:
            return held.unknown
        if self._clock.monotonic() - self._heard > self._stale:
            return AuthRefused("key_unavailable", name)
        now = self._clock.time()
        fault = held.key.fault(now)
        if fault is not None:
            return AuthRefused(fault, name)
        if now - held.noted >= _NOTE_EVERY:
            held.noted = self._used[name] = now
        return held.key

    def create(
        self,
        tenant: str,
        subject: str,
        *,
        scopes: Iterable[str] = (),
        name: str = "",
        lasts: Period | None = None,
    ) -> NewKey:
        """Make a key for somebody, which holds without end unless it `lasts` a time. Its token is seen here only."""
        now = self._clock.time()
        until = None if lasts is None else now + seconds(lasts)
        given = frozenset(scopes)
        check_owner(tenant, subject, given, name)
        key_id, token = new_token()
        made = ApiKey(key_id, tenant, subject, given, name, now, until)
        self._change(lambda change: change.insert(made, digest(token, self._rows.secret)))
        return NewKey(made, token)

    def rotate(self, key_id: str, *, overlap: Period = "24h") -> NewKey:
        """Make a successor with a secret of its own; the old key goes on for `overlap` at most, then it has expired.

        The successor lasts as long as the old one was given. NoSuchKey; ConfigError for a key that holds no more, or has
        a successor already.
        """
        now = self._clock.time()
        end = now + seconds(overlap)
        new_id, token = new_token()

        def work(change: KeyChange) -> NewKey:
            old = change.find(key_id)
            fault = "rotated already" if old.rotated_to is not None else old.fault(now)
            if fault is not None:
                raise ConfigError(f"API key {key_id} is {fault}; rotate one that holds, or create another")
            until = None if old.expires_at is None else now + (old.expires_at - old.created_at)
            made = ApiKey(new_id, old.tenant, old.subject, old.scopes, old.name, now, until)
            change.insert(made, digest(token, self._rows.secret))
            last = end if old.expires_at is None else min(end, old.expires_at)
            change.update(key_id, expires_at=last, rotated_to=new_id)
            return NewKey(made, token)

        return self._change(work)

    def revoke(self, key_id: str) -> ApiKey:
        """End a key now and for good, and return it; again does nothing more. NoSuchKey where there is none."""
        now = self._clock.time()

        def work(change: KeyChange) -> ApiKey:
            if change.find(key_id).revoked_at is None:
                change.update(key_id, revoked_at=now)
            return change.find(key_id)

        return self._change(work)

    def forget(self, tenant: str, subject: str) -> int:
        """End all keys of somebody, and keep nothing of whose they were; how many."""
        now = self._clock.time()

        def work(change: KeyChange) -> int:
            keys = change.of(tenant, subject)
            for key in keys:
                change.forget(key, now)
            return len(keys)

        return self._change(work)

    def settle(self) -> None:
        """Have what was overwritten be gone from the file."""
        self._rows.settle()

    def all(self, tenant: str | None = None) -> list[ApiKey]:
        """Return all keys that there are, or a tenant's, oldest first, as the database has them."""
        return self._rows.all(tenant)

    @property
    def state(self) -> Literal["closed", "open"]:
        """`closed` while the database can be read, `open` from a failed look to the next that succeeds."""
        return "closed" if self._error is None else "open"

    @property
    def why(self) -> str:
        """What keeps it open; empty while it is closed."""
        return self._error or ""

    def refresh(self) -> None:
        """Take up what other processes changed; a failure shows in `state`."""
        error = None
        try:
            self._look()
        except StoreError as failure:
            error = str(failure)
        changed = (error is None) != (self._error is None)
        self._error = error
        if changed:
            _log.log(logging.ERROR if error else logging.INFO, "API keys: %s", error or "read again")
            self._events.publish(StoreChanged("api keys", error is None, error or "a look succeeded"))

    def write_used(self) -> None:
        """Write down when keys were used; what cannot be written is kept, and tried again."""
        noted, self._used = self._used, {}
        if not noted:
            return
        try:
            self._rows.note_used(dict(noted))
        except StoreError as error:
            _log.warning("API keys: when they were used is not written yet: %s", error)
            self._used = noted | self._used

    def close(self) -> None:
        """Write what is to be written and let go of the database."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.write_used()
        self._rows.close()

    def __enter__(self) -> Self:
        """Begin to look for changes."""
        # Two threads: a write may wait for another process's, and no revocation may wait for a note of use.
        for pause, work in ((self._refresh_seconds, self.refresh), (_WRITE_USED_EVERY, self.write_used)):
            thread = threading.Thread(
                target=self._repeat, args=(pause, work), name="seawall-keys", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repeat(self, pause: float, work: Callable[[], None]) -> None:
        while not self._stop.wait(pause):
            try:
                work()
            except Exception:  # noqa: BLE001  a thread that died would hear of no revocation ever after
                _log.exception("API keys: a round failed")

    def _change(self, work: Callable[[KeyChange], T]) -> T:
        result, written = self._rows.change(work)
        # `_seen` stays: whoever else changed keys before is still to be heard.
        self._apply(written)
        return result

    def _look(self) -> None:
        with self._refreshing:
            asked = self._clock.monotonic()
            number, rows = self._rows.since(self._seen)
            self._apply(rows, anew=number < self._seen)
            self._seen = number
            self._heard = asked

    def _apply(self, rows: list[KeyRow | str], *, anew: bool = False) -> None:
        with self._applying:
            held = {} if anew else self._held
            for row in rows:
                if isinstance(row, str):
                    # Its master key was destroyed, or the row was altered: it is nobody's key. The others are somebody's.
                    _log.error("API keys: %s cannot be opened with this keyring, and is not taken", row)
                    held.pop(row, None)
                    continue
                before = held.get(row.key.id)
                # A look that began before a change was made here must not undo it.
                if before is None or before.change <= row.change:
                    held[row.key.id] = _Held(row) if before is None else _Held(row, before.noted)
            self._held = held


def open_key_store(
    folder: Path, keyring: Keyring, *, events: EventBus | None = None, clock: Clock = SYSTEM_CLOCK
) -> KeyStore:
    """Open the keys of a state folder; StoreError where they were made under another master key."""
    return KeyStore(open_rows(folder, keyring), events=events, clock=clock)
