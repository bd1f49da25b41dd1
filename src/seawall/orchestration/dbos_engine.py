"""The durable engine on DBOS: embedded, one SQLite file, no server.

Two things DBOS leaves to its user are settled here. Its default serializer is pickle: records are JSON,
compressed, encrypted and authenticated instead. And two live processes with one executor id run the same
work twice: a lock on the folder admits one process, and the kernel lets go of it when that process dies.
"""

import asyncio
import base64
import fcntl
import json
import os
import shutil
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, cast

from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID
from sqlalchemy.engine import Engine

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import StoreError
from seawall.foundation.storage.sqlite import open_sqlite
from seawall.foundation.units import Period, seconds
from seawall.orchestration.engine import Json, Work

_CONTEXT = b"seawall.orchestration"
_EXECUTOR = "seawall"
_BATCH = 200
_LOCK = "lock"


class AlreadyRunning(StoreError):
    """Another process is working in this folder."""


class SealedJson(Serializer):
    """DBOS serializer: JSON, deflated, then AES-256-GCM. Exceptions keep their type's name and nothing else."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def name(self) -> str:
        """Name recorded beside each value, so that a reader knows how to open it."""
        return "seawall_sealed_json"

    def serialize(self, data: Any) -> str:
        """Seal one value; TypeError unless it is JSON or an exception."""
        if isinstance(data, BaseException):
            data = {"__error__": type(data).__name__}
        packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), level=1)
        return base64.b64encode(self._sealer.seal(packed, _CONTEXT)).decode()

    def deserialize(self, serialized_data: str) -> Any:
        """Open one value; StoreError where the key is another or the record was altered."""
        packed = self._sealer.open(base64.b64decode(serialized_data), _CONTEXT)
        data: Any = json.loads(zlib.decompress(packed))
        if isinstance(data, dict) and "__error__" in data:
            return StoreError(f"recorded failure: {data['__error__']}")
        return cast("Any", data)


class DbosEngine:
    """An `Engine` on DBOS and SQLite, for one process.

    Use as an async context manager; entering recovers what a dead process left half done, and deletes what
    is older than `retention`. One engine a process, because DBOS keeps its registry per process.
    """

    def __init__(self, folder: Path, work: Work, keyring: Keyring, *, retention: Period = "30d") -> None:
        self._folder = folder
        self._work = work
        self._sealer = Sealer(keyring, "engine")
        self._fingerprint = keyring.fingerprint()
        self._retention = seconds(retention)
        self._lock: int | None = None
        self._database: Engine | None = None

    @staticmethod
    def clear(folder: Path) -> None:
        """Delete all that a folder holds; AlreadyRunning, and nothing deleted, while another process works in it."""
        if not folder.exists():
            return
        lock = _take_lock(folder)
        try:
            for path in folder.iterdir():
                # Without the lock's own file another process could not see that the folder is taken.
                if path.name != _LOCK:
                    _remove(path)
        finally:
            os.close(lock)

    async def __aenter__(self) -> Self:
        """Take the folder, open the database, recover."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self._folder)
        try:
            self._check_key()
            self._database = open_sqlite(self._folder / "engine.db")
            self._launch()
            await self._sweep()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    def _check_key(self) -> None:
        """Notice another master key before it makes every record unreadable, one by one."""
        note = self._folder / "key.fingerprint"
        if not note.exists():
            note.write_text(self._fingerprint)
        elif note.read_text() != self._fingerprint:
            raise StoreError(
                f"{self._folder} was written under another master key; restore that key, or start over with a new folder"
            )

    def _launch(self) -> None:
        work = self._work
        config = DBOSConfig(
            name="seawall",
            system_database_engine=self._database,
            system_database_url=f"sqlite:///{self._folder / 'engine.db'}",
            serializer=SealedJson(self._sealer),
            executor_id=_EXECUTOR,
            # Fixed, so that a newer release of this code still recovers what an older one left.
            application_version="1",
            # A failure is reported once, by whoever asked for the work.
            log_level="CRITICAL",
            enable_otlp=False,
        )
        DBOS(config=config)

        # A unit is done whole or not at all, so it needs no steps of its own: a step would record the same
        # result a second time, at the price of another commit.
        @DBOS.workflow(name="unit")
        async def unit(key: str, payload: Json) -> Json:
            return await work(key, payload)

        self._unit = unit
        # Within the running loop: DBOS then recovers on this loop, where the work's pools and limits live.
        DBOS.launch()

    async def run(self, key: str, payload: Json) -> Json:
        """Do the work of `key`, or return what it came to before; StoreError if it was recorded as failed."""
        with SetWorkflowID(key):
            handle = await DBOS.start_workflow_async(self._unit, key, payload)
        return await handle.get_result(polling_interval_sec=0.1)

    async def recorded(self) -> Mapping[str, float]:
        """Keys with a recorded result, and when (seconds since the epoch) each was started."""
        done = await DBOS.list_workflows_async(
            status="SUCCESS", name="unit", load_input=False, load_output=False
        )
        return {found.workflow_id: (found.created_at or 0) / 1000 for found in done}

    async def results(self, keys: list[str]) -> AsyncIterator[tuple[str, Json]]:
        """Yield the recorded results of those of the keys that have one, in no particular order."""
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            done = await DBOS.list_workflows_async(
                workflow_ids=batch, status="SUCCESS", load_input=False, load_output=True
            )
            for found in done:
                yield found.workflow_id, found.output

    async def forget(self, keys: list[str]) -> None:
        """Delete these keys' records."""
        for start in range(0, len(keys), _BATCH):
            await DBOS.delete_workflows_async(keys[start : start + _BATCH])

    async def _sweep(self) -> None:
        """Delete what expired, and what failed: a failure is no result, and is tried again when asked for."""
        horizon = time.time() - self._retention
        expired = [key for key, started in (await self.recorded()).items() if started <= horizon]
        failed = await DBOS.list_workflows_async(
            status=["ERROR", "CANCELLED"], load_input=False, load_output=False
        )
        await self.forget([*expired, *(found.workflow_id for found in failed)])

    async def __aexit__(self, *_: object) -> None:
        """Stop recovering, close the database, give the folder back."""
        with ThreadPoolExecutor(1) as thread:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(thread, lambda: DBOS.destroy(destroy_registry=True))
        # DBOS made its own pool the loop's default one, and has just shut it down.
        loop.set_default_executor(ThreadPoolExecutor())
        if self._database is not None:
            self._database.dispose()
            self._database = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _take_lock(folder: Path) -> int:
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AlreadyRunning(
            f"another process is working in {folder}; wait for it to end, or choose another folder"
        ) from error
    return handle
