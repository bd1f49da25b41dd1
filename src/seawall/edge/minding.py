"""What a service does for itself, over and over, for as long as it runs."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from seawall.edge.app import Seawall
from seawall.edge.settings import limits_of, read_settings
from seawall.edge.site import Site
from seawall.foundation.errors import ConfigError, StoreError

_LOOK_SECONDS = 1.0
_RELOAD_SECONDS = 2.0
_SWEEP_SECONDS = 60.0
_log = logging.getLogger("seawall.service")


@asynccontextmanager
async def minded(app: Seawall, site: Site) -> AsyncGenerator[None]:
    """Keep the gauges, delete what expired, and take changed limits from the settings' file, until the block is left."""
    tasks = [
        asyncio.create_task(_each(_LOOK_SECONDS, lambda: _look(site)), name="gauges"),
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


async def _look(site: Site) -> None:
    breakers = [
        (labels["dependency"], value)
        for served in site.served.values()
        for _, labels, value in served.health().metrics()
    ]
    site.metrics.look(site.admission.stats(), breakers)


async def _sweep(site: Site) -> None:
    await site.runs.sweep()
    await asyncio.to_thread(site.ledger.sweep)


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
        _log.warning("limits changed: %s", ", ".join(limit.name for limit in site.limits.all))
