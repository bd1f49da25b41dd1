"""Where a caller stands, and how a store's findings become that and events."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from seawall.defense.abuse.policy import Abuse
from seawall.defense.abuse.steps import (
    COOLING,
    STEPS,
    Account,
    forced,
    owed_hits,
    step_of,
    time_left,
    weight_of,
)
from seawall.foundation.events import EventBus, TrustChanged

Step = Literal["trusted", "watched", "cooling", "banned"]
Scope = Literal["subject", "tenant"]


NOT_OPERATORS = ("guards", "time")


class Standing(NamedTuple):
    """How far a caller is trusted now.

    `weight` multiplies what its requests take from rate limits. `retry_after` is seconds until it is heard again,
    None where it is heard. `scope` says whether the subject or its tenant decided, `owed` how many hits that one
    has not earned back, `by_operator` whether a person's word stands in place of the arithmetic.
    """

    step: Step
    weight: int
    retry_after: float | None
    scope: Scope
    owed: int = 0
    by_operator: bool = False

    @property
    def refused(self) -> bool:
        """Whether a request must not go on."""
        return self.retry_after is not None


TRUSTED_STANDING = Standing("trusted", 1, None, "subject")


class Touched(NamedTuple):
    """One account that a store looked at or changed.

    `before` is the step last announced, `meanwhile` the step that time had brought it to, `account.step` the step
    it stands on now.
    """

    of_tenant: bool
    digest: bytes
    before: int
    meanwhile: int
    account: Account


def standing_of(found: Touched, now: int, policy: Abuse) -> Standing:
    """Turn one account into a standing."""
    account = found.account
    rungs = policy.tenant.rungs if found.of_tenant else policy.subject.rungs
    step = step_of(account, now, rungs)
    # A millisecond more than is left: who comes back exactly then must not be early.
    wait = (time_left(account, now, rungs) + 1) / 1000 if step >= COOLING else None
    return Standing(
        STEPS[step],
        weight_of(account, now, rungs),
        wait,
        "tenant" if found.of_tenant else "subject",
        owed_hits(account, now, rungs),
        forced(account, now) != 0,
    )


def worse_of(subject: Standing, tenant: Standing) -> Standing:
    """Join the two scopes: a caller stands on the worse step, for the longer time, at the higher weight."""
    if tenant.step == "trusted":
        return subject if subject.weight >= tenant.weight else subject._replace(weight=tenant.weight)

    def order(standing: Standing) -> tuple[int, float]:
        return STEPS.index(standing.step), standing.retry_after or 0.0

    worse = tenant if order(tenant) > order(subject) else subject
    return worse._replace(weight=max(subject.weight, tenant.weight))


def announce(
    touched: Sequence[Touched], now: int, policy: Abuse, events: EventBus, tenant: str, by: str
) -> None:
    """Publish each change of step once: what time did as `time`, what was done now as `by`.

    An operator's word is published even where the step was the same before.
    """
    for found in touched:
        after = found.account.step
        if found.before == after == found.meanwhile and by in NOT_OPERATORS:
            continue
        rungs = policy.tenant.rungs if found.of_tenant else policy.subject.rungs
        scope = "tenant" if found.of_tenant else "subject"
        caller = found.digest.hex()
        if found.before != found.meanwhile:
            left = time_left(found.account, now, rungs) / 1000 if after == found.meanwhile else 0.0
            before, middle = STEPS[found.before], STEPS[found.meanwhile]
            events.publish(TrustChanged(tenant, scope, caller, before, middle, left, "time"))
        if found.meanwhile != after or by not in NOT_OPERATORS:
            left = time_left(found.account, now, rungs) / 1000
            events.publish(
                TrustChanged(tenant, scope, caller, STEPS[found.meanwhile], STEPS[after], left, by)
            )
