"""What several processes of one service share in one Redis: counters of limits, and trust in callers."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seawall.defense.abuse import Abuse
from seawall.defense.abuse.shared import RedisTrust
from seawall.defense.limits.redis_store import OnStoreError, RedisStore
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.events import EventBus
from seawall.foundation.storage.redis import RedisScripts


@dataclass(frozen=True, slots=True)
class SharedStores:
    """Stores for `harden(..., counters=..., trust=...)`, over one connection pool; close them with `async with`.

    For use from one event loop.
    """

    counters: RedisStore
    trust: RedisTrust
    scripts: RedisScripts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.scripts.aclose()


def open_shared(
    url: str,
    keyring: Keyring,
    *,
    replicas: int,
    abuse: Abuse | None = None,
    on_store_error: OnStoreError = "local",
    events: EventBus | None = None,
) -> SharedStores:
    """Open the stores that `replicas` processes share; connects at the first call.

    Callers' names are hashed under keys of the `keyring`, so all processes need the same one, and `abuse` must be
    that of their policy. ConfigError for settings that cannot hold.
    """
    scripts = RedisScripts(url, events=events)
    counters = RedisStore(
        scripts,
        secret=keyring.key("limits"),
        on_store_error=on_store_error,
        replicas=replicas,
        events=events,
    )
    trust = RedisTrust(abuse or Abuse(), scripts, secret=keyring.key("trust"), events=events)
    return SharedStores(counters, trust, scripts)
