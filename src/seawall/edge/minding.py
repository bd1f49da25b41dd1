"""What a service does for itself, over and over, for as long as it runs."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from seawall.edge.app import Seawall
from seawall.edge.records import sweep_records
from seawall.edge.settings import limits_of, read_settings
from seawall.edge.site import Site
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import OperatorActed, WorkShed
from seawall.foundation.subjects.grants import AccessGrants

_LOOK_SECONDS = 1.0
_RELOAD_SECONDS = 2.0
_SWEEP_SECONDS = 60.0
_log = logging.getLogger("seawall.service")
_alert = logging.getLogger("seawall.alert")


@asynccontextmanager
async def minded(app: Seawall, site: Site) -> AsyncGenerator[None]:
    """Keep the gauges, delete what expired, and take changed limits from the settings' file, until the block is left."""
    look = _Look(site)
    tasks = [
        asyncio.create_task(_each(_LOOK_SECONDS, look), name="gauges"),
        asyncio.create_task(_each(_SWEEP_SECONDS, lambda: _sweep(site)), name="sweep"),
    ]
    if site.settings.source is not None:
        changed = _Changed(site.settings.source)
        tasks.append(
            asyncio.create_task(_each(_RELOAD_SECONDS, lambda: _reload(app, site, changed)), name="reload")
        )
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _each(period: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(period)
        try:
            await work()
        except (StoreError, OSError) as error:
            _log.warning("%s; tried again in %g s", error, period)


class _Look:
    """One look a second: gauges, what was shed since the last, and what other processes changed about people."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._shed: dict[str, int] = {}
        self._grants = AccessGrants(site.people, site.keyring)

    async def __call__(self) -> None:
        site, load = self._site, self._site.admission.stats()
        breakers = [
            (labels["dependency"], value)
            for served in site.served.values()
            for _, labels, value in served.health().metrics()
        ]
        site.metrics.look(load, breakers)
        for reason, count in load.shed.items():
            if more := count - self._shed.get(reason, 0):
                site.events.publish(WorkShed(reason, more))
            self._shed[reason] = count
        site.records.trail.tick()
        await asyncio.to_thread(site.people.refresh)
        for grant in await asyncio.to_thread(self._grants.unalerted):
            site.metrics.glass_broken()
            _alert.critical(
                "break-glass access %s to content of %s by %s", grant.id, grant.tenant, grant.operator
            )


async def _sweep(site: Site) -> None:
    await site.runs.sweep()
    await asyncio.to_thread(sweep_records, site.records, site.settings.retention)


class _Changed:
    """Whether a file is another than at the last look."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen = self._stamp()

    def __call__(self) -> bool:
        stamp = self._stamp()
        changed, self._seen = stamp != self._seen, stamp
        return changed

    def _stamp(self) -> tuple[int, int]:
        try:
            told = self.file.stat()
        except OSError:
            return (0, 0)
        return told.st_mtime_ns, told.st_ino


async def _reload(app: Seawall, site: Site, changed: _Changed) -> None:
    """Have changed limits hold; settings that cannot hold change nothing, and are said."""
    if not changed():
        return
    try:
        site.limits.change(limits_of(read_settings(changed.file), app.limits))
    except ConfigError as error:
        _log.error("the limits stay as they are: %s", error)
    else:
        told = ", ".join(limit.name for limit in site.limits.all)
        _log.warning("limits changed: %s", told)
        site.events.publish(OperatorActed("settings file", "limits.changed", "", told))
