"""A service put together in one worker process: its stores, its agents under their policies, its runs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from seawall.defense import Policy, Stores, harden
from seawall.defense.abuse import MemoryTrust
from seawall.defense.limits import MemoryStore
from seawall.defense.load import AdmissionControl
from seawall.edge.app import Added, Seawall
from seawall.edge.auth.authenticate import Authenticator
from seawall.edge.auth.issuer_keys import IssuerKeys
from seawall.edge.auth.jwt import TokenRules, Tokens
from seawall.edge.auth.key_store import open_key_store
from seawall.edge.metrics import Metrics
from seawall.edge.records import open_records
from seawall.edge.served import Served, ServedAgent
from seawall.edge.service_limits import ServiceLimits
from seawall.edge.settings import Settings, check_settings, limits_of
from seawall.edge.site import Site
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import EventBus
from seawall.orchestration.idempotency import KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_rows import RunLimits
from seawall.orchestration.run_store import open_run_store


@asynccontextmanager
async def open_site(
    app: Seawall, settings: Settings, keyring: Keyring, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[Site]:
    """Open all parts of a service; ConfigError for settings that do not go together."""
    check_settings(settings)
    _check_policies(app, settings)
    async with AsyncExitStack() as stack:
        records = stack.enter_context(open_records(settings, keyring, clock))
        events, metrics = records.events, Metrics()
        events.subscribe(metrics)
        stores = await _stores(app, settings, keyring, events, stack)
        kept = {"ledger": records.ledger, "audit": records.audit}
        shown = Stores(counters=stores.counters, trust=stores.trust, circuits=stores.circuits, shown=kept)
        keys = stack.enter_context(open_key_store(settings.state, keyring, events=events, clock=clock))
        tokens = await _tokens(settings, events, clock, stack)
        limits = _run_limits(app, settings)
        runs = await stack.enter_async_context(
            open_run_store(settings.where, keyring, limits=limits, people=records.people, clock=clock)
        )
        served: dict[str, Served] = {
            name: _hardened(added, shown, keyring, events) for name, added in app.agents.items()
        }
        admission = AdmissionControl(settings.backpressure or app.backpressure, clock)
        admission.start()
        stack.callback(admission.stop)
        site = Site(
            settings=settings,
            clock=clock,
            keyring=keyring,
            records=records,
            stores=shown,
            admission=admission,
            metrics=metrics,
            limits=ServiceLimits(limits_of(settings, app.limits)),
            served=served,
            authenticator=Authenticator(keys, keyring, tokens=tokens, events=events),
            runs=runs,
            idempotency=SqlIdempotencyStore(
                runs.database, ttl=lambda tenant: settings.retention.of("replies", tenant)
            ),
            key_names=KeyNames(keyring),
        )
        for name, offered in app.offers.items():
            served[name] = await stack.enter_async_context(offered.make(site))
        yield site


def _check_policies(app: Seawall, settings: Settings) -> None:
    """See that every agent is under the profile of the service."""
    without = [name for name, added in app.agents.items() if added.policy.profile != settings.profile]
    if settings.profile is not None and without:
        raise ConfigError(
            f"profile {settings.profile!r} of the settings: the policies of {', '.join(without)} are not under it; "
            f"give them Policy(profile={settings.profile!r})"
        )


def _run_limits(app: Seawall, settings: Settings) -> RunLimits | None:
    """Let a run that is done later hold a whole file, as text, where files are taken."""
    return RunLimits(content=2 * settings.max_upload) if app.uploads else None


async def _stores(
    app: Seawall, settings: Settings, keyring: Keyring, events: EventBus, stack: AsyncExitStack
) -> Stores:
    if settings.redis_url is None:
        return Stores(counters=MemoryStore(), trust=MemoryTrust(app.abuse, events=events))
    from seawall.edge.shared import open_shared

    shared = open_shared(
        settings.redis_url.get_secret_value(),
        keyring,
        replicas=settings.workers,
        abuse=app.abuse,
        events=events,
    )
    return (await stack.enter_async_context(shared)).stores


async def _tokens(settings: Settings, events: EventBus, clock: Clock, stack: AsyncExitStack) -> Tokens | None:
    jwt = settings.jwt
    if jwt is None:
        return None
    url = None if jwt.jwks_url is None else str(jwt.jwks_url)
    issuer = await stack.enter_async_context(IssuerKeys(jwt.issuer, url, events=events, clock=clock))
    rules = TokenRules(
        issuer=jwt.issuer,
        audience=jwt.audience,
        tenant_claim=jwt.tenant_claim,
        subject_claim=jwt.subject_claim,
        scope_claim=jwt.scope_claim,
    )
    return Tokens(rules, issuer, clock=clock)


def _hardened(added: Added, stores: Stores, keyring: Keyring, events: EventBus) -> ServedAgent:
    hardened = harden(
        added.agent,
        added.policy,
        stores=_for(added.policy, stores),
        events=events,
        keyring=keyring,
        approver=added.approver,
    )
    return ServedAgent(hardened, added.agent, deps=added.deps, description=added.description)


def _for(policy: Policy, stores: Stores) -> Stores:
    """Leave trust out where a policy keeps no account of it."""
    if policy.abuse is not None:
        return stores
    return Stores(counters=stores.counters, circuits=stores.circuits, shown=stores.shown)
