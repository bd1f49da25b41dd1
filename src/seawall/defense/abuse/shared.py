"""Trust that processes share through Redis, and what one does while Redis gives no answer."""

from collections.abc import Sequence
from typing import Any, cast

from seawall.defense.abuse.book import Book
from seawall.defense.abuse.policy import Abuse, whole
from seawall.defense.abuse.shared_script import trust_script
from seawall.defense.abuse.standing import (
    TRUSTED_STANDING,
    Standing,
    Touched,
    announce,
    standing_of,
    worse_of,
)
from seawall.defense.abuse.steps import BAN, PARDON, Account
from seawall.defense.abuse.store import Digests, Tenant, check_spend, names, override_length
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.events import EventBus
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts
from seawall.foundation.units import Period

_Args = Sequence[bytes | str | int]


class RedisTrust:
    """One Redis for all processes, by Redis' clock, in one round trip a call; for use from one event loop.

    Every process that shares trust needs the same `secret`, `space` and policy. While Redis gives no answer
    (StoreError of `scripts`, at most its `timeout` late) this process goes on alone with what it knows: it
    keeps a copy of up to `max_keys` callers that are not simply trusted, so whoever it saw banned stays banned, and
    counts new hits there. Whatever the copy has that Redis has not, after a hang or a restart, is handed over with
    that caller's next request. A caller that this process never saw is trusted until then.
    """

    def __init__(
        self,
        policy: Abuse,
        scripts: RedisScripts,
        *,
        secret: bytes,
        space: str = "seawall:trust",
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        max_keys: int = 10_000,
    ) -> None:
        whole("RedisTrust(max_keys=", max_keys, 2, 100_000_000)
        self.policy = policy
        self._scripts = scripts
        self._script = trust_script(policy)
        self._space = space.encode()
        self._events = events or EventBus()
        self._monotonic = clock.monotonic
        # What to add to this process's clock to have Redis' own; a guess until Redis has answered once.
        self._ahead = int((clock.time() - clock.monotonic()) * 1000)
        self._copy = Book(policy, max_keys)
        self._digest = Digests(secret)

    @property
    def degraded(self) -> bool:
        """Whether the last call got no answer, so that this process goes by what it knows itself."""
        return not self._scripts.healthy

    async def look(self, principal: Principal) -> Standing:
        """Say where a caller stands; where Redis does not, as far as this process knows."""
        tenant, subject = names(principal)
        keys = _Keys(self._space, self._digest, tenant, subject)
        try:
            now, found = await self._ask("look", keys)
        except StoreError:
            now = self._now()
            found = self._copy.look(keys.subject, keys.tenant, now)
        if not found:
            return TRUSTED_STANDING
        announce(found, now, self.policy, self._events, tenant, "time")
        return self._worse(found, now)

    async def spend(self, principal: Principal, hits: int = 1, fingerprint: bytes | None = None) -> Standing:
        """Charge a caller for a guard's verdict; where Redis cannot, in this process, to be handed over."""
        check_spend(hits, fingerprint)
        tenant, subject = names(principal)
        keys = _Keys(self._space, self._digest, tenant, subject)
        bands = self._digest.of_bands(keys.tenant, fingerprint)
        try:
            now, found = await self._ask("spend", keys, [hits, keys.prefix], bands)
        except StoreError:
            now = self._now()
            found = self._copy.spend(keys.subject, keys.tenant, bands, hits, now)
        announce(found, now, self.policy, self._events, tenant, "guards")
        return self._worse(found, now)

    async def pardon(self, who: Principal | Tenant, for_: Period = "1h", *, by: str = "operator") -> Standing:
        """Hold nothing against `who` for a time. StoreError where Redis does not answer: the pardon then holds in
        this process, and everywhere once `who` sends it a request that Redis answers.
        """
        return await self._force(who, PARDON, override_length(for_, by), by)

    async def ban(self, who: Principal | Tenant, for_: Period, *, by: str = "operator") -> Standing:
        """Refuse `who` for a time. StoreError as for `pardon`."""
        return await self._force(who, BAN, override_length(for_, by), by)

    async def status(self, who: Principal | Tenant) -> Standing:
        """Say where a subject alone, or a tenant alone, stands; StoreError where Redis does not answer."""
        tenant, subject = names(who)
        now, found = await self._ask("peek", _Keys(self._space, self._digest, tenant, subject))
        return standing_of(found[0 if subject else 1], now, self.policy)

    async def _force(self, who: Principal | Tenant, order: int, lasts: int, by: str) -> Standing:
        tenant, subject = names(who)
        keys = _Keys(self._space, self._digest, tenant, subject)
        scope = "subject" if subject else "tenant"
        try:
            now, found = await self._ask("force", keys, [scope, order, lasts])
        except StoreError as error:
            now = self._now()
            digest = keys.subject or keys.tenant
            found = self._copy.force(not subject, digest, order, lasts, now)
            announce(found, now, self.policy, self._events, tenant, by)
            raise StoreError(
                "the shared store gave no answer: the override holds in this process alone until it does; say it "
                "again, or wait for this caller's next request"
            ) from error
        announce(found, now, self.policy, self._events, tenant, by)
        return standing_of(found[0], now, self.policy)

    async def _ask(
        self, what: str, keys: "_Keys", args: _Args = (), bands: Sequence[bytes] = ()
    ) -> tuple[int, list[Touched]]:
        """Ask for one atomic step; a look at whom nobody holds anything against finds no accounts."""
        claims = [_show(self._copy.accounts.get(digest)) for digest in (keys.subject, keys.tenant)]

        def read(answer: list[Any]) -> tuple[int, list[Touched]]:
            found = [_touched(line, keys) for line in answer[1:]]
            if len(found) < (1 if what == "force" else 2) and not (what == "look" and not found):
                raise ValueError("the answer has another shape than was asked for")
            return int(answer[0]), found

        said = [what, self._time(), keys.subject, *claims, *args]
        now, found = await self._scripts.run(self._script, keys.of(bands), said, read=read)
        self._ahead = now - int(self._monotonic() * 1000)
        for one in found:
            self._copy.put(one.digest, one.account, now)
        return now, found

    def _worse(self, found: Sequence[Touched], now: int) -> Standing:
        return worse_of(standing_of(found[0], now, self.policy), standing_of(found[1], now, self.policy))

    def _now(self) -> int:
        return int(self._monotonic() * 1000) + self._ahead

    def _time(self) -> int:
        # Redis tells the time; a test that turns it says another.
        return 0


class _Keys:
    """Where one caller's accounts are: all of one tenant's in one slot of a cluster."""

    __slots__ = ("_root", "prefix", "subject", "tenant")

    def __init__(self, space: bytes, digest: Digests, tenant: str, subject: str) -> None:
        self.tenant = digest.of_tenant(tenant)
        # Where a tenant alone is meant there is no subject, and nothing is ever kept under this.
        self.subject = digest.of(tenant, subject) if subject else b""
        self._root = b"%b:{%b}:" % (space, self.tenant.hex().encode())
        self.prefix = self._root + b"s:"

    def of(self, bands: Sequence[bytes]) -> list[bytes]:
        """List the keys as the script expects them."""
        root = self._root
        return [
            self.prefix + self.subject,
            root + b"t",
            root + b"seen",
            *[b"%bb:%b" % (root, band) for band in bands],
        ]


def _show(account: Account | None) -> str:
    return "" if account is None else ":".join(map(str, account))


def _touched(line: list[bytes | int], keys: _Keys) -> Touched:
    scope, digest, before, meanwhile, shown = line
    of_tenant = scope == b"tenant"
    account = Account(*map(int, cast("bytes", shown).split(b":")))
    name = keys.tenant if of_tenant else cast("bytes", digest)
    return Touched(of_tenant, name, cast("int", before), cast("int", meanwhile), account)
