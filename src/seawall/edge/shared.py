"""What several processes of one service share in one Redis: counters of limits, trust in callers, and circuits."""

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seawall.defense.abuse import Abuse
from seawall.defense.abuse.shared import RedisTrust
from seawall.defense.limits.redis_store import OnStoreError, RedisStore
from seawall.defense.resilience.shared import SharedBreakers
from seawall.defense.stores import Stores
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import EventBus
from seawall.foundation.storage.redis import RedisScripts, Script

# Under another key the same caller has another name, and whatever is said of it reaches nobody. Kept 400 days.
_OWNER = Script("""
local owner = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], owner, 'EX', '34560000')
return owner
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStores:
    """Stores for `harden(..., stores=shared.stores)`, over one connection pool; close them with `async with`.

    For use from one event loop.
    """

    counters: RedisStore
    trust: RedisTrust
    circuits: SharedBreakers
    scripts: RedisScripts
    key: str

    @property
    def stores(self) -> Stores:
        """What a hardened agent is given of it."""
        return Stores(counters=self.counters, trust=self.trust, circuits=self.circuits)

    async def __aenter__(self) -> Self:
        """See that this Redis counts under the same master key; ConfigError if not, nothing if it gives no answer."""
        try:
            await self._check_owner()
        except BaseException:
            await self.scripts.aclose()
            raise
        await self.circuits.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.circuits.__aexit__(kind, error, trace)
        finally:
            await self.scripts.aclose()

    async def _check_owner(self) -> None:
        with suppress(StoreError):
            owner = bytes(await self.scripts.run(_OWNER, [b"{seawall}:key"], [self.key])).decode()
            if owner != self.key:
                raise ConfigError(
                    "this Redis counts callers under another master key: give SEAWALL_MASTER_KEY, or the key file, of "
                    "the service that it belongs to"
                )


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
        secret=keyring.stable_key("limits"),
        on_store_error=on_store_error,
        replicas=replicas,
        events=events,
    )
    trust = RedisTrust(abuse or Abuse(), scripts, secret=keyring.stable_key("trust"), events=events)
    circuits = SharedBreakers(scripts, secret=keyring.stable_key("circuits"))
    return SharedStores(
        counters=counters,
        trust=trust,
        circuits=circuits,
        scripts=scripts,
        key=keyring.stable_key("fingerprint")[:8].hex(),
    )
