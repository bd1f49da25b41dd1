"""Accounts and sightings of one process in bounded memory; decides on digests and instants, and awaits nothing."""

import heapq
from collections import OrderedDict
from collections.abc import Sequence

from seawall.defense.abuse.policy import Abuse, milliseconds
from seawall.defense.abuse.standing import Touched
from seawall.defense.abuse.steps import (
    NEW,
    PARDON,
    Account,
    charge,
    forced,
    forget_at,
    override,
    owed_hits,
    step_of,
)

_CLEANED_PER_CHANGE = 4
_LOOKED_AT_WHEN_FULL = 64


class Book:
    """At most `max_keys` accounts and as many sets of sightings; no call does more than a bounded amount of work.

    An account that says nothing any more is dropped, a few with each change. Full of accounts that do, the one
    that would be earned back soonest makes room, and that may be the newcomer: a ban is the last to go, so whoever
    brings many subjects cannot wash one away. `crowded` counts those.
    """

    def __init__(self, policy: Abuse, max_keys: int) -> None:
        self.accounts: dict[bytes, Account] = {}
        self.crowded = 0
        self._policy = policy
        self._subject, self._tenant = policy.subject.rungs, policy.tenant.rungs
        # So much may be owed without being watched.
        self._tenant_slack = (self._tenant.watch - 1) * self._tenant.regain
        self._tenant_window = milliseconds(policy.tenant_window)
        self._fingerprint_window = milliseconds(policy.fingerprint_window)
        self._max_keys = max_keys
        # One entry for each account: when it could be dropped as last known, which may have moved later since.
        self._due: list[tuple[int, bytes]] = []
        # Who was seen with what, newest last; bounded as a whole and each.
        self._sightings: OrderedDict[bytes, dict[bytes, int]] = OrderedDict()

    def quiet(self, subject: bytes, tenant: bytes, now: int) -> bool:
        """Say at little cost that both are trusted, owe nothing that shows, and have nothing to be told."""
        ours, theirs = self.accounts.get(subject), self.accounts.get(tenant)
        if ours is not None and (ours.step or ours.debt > now or ours.force_until > now):
            return False
        return theirs is None or not (
            theirs.step
            or theirs.debt > now + self._tenant_slack
            or theirs.until > now
            or theirs.force_until > now
        )

    def look(self, subject: bytes, tenant: bytes, now: int) -> list[Touched]:
        """Find both accounts, and note what time has brought them to."""
        found: list[Touched] = []
        for of_tenant, digest in ((False, subject), (True, tenant)):
            account = self.accounts.get(digest)
            if account is not None:
                found.append(self._settle(of_tenant, digest, account, account, now))
            else:
                found.append(Touched(of_tenant, digest, 0, 0, NEW))
        return found

    def peek(self, of_tenant: bool, digest: bytes) -> Touched:  # noqa: FBT001  a scope of two
        """Find one account, and note nothing."""
        account = self.accounts.get(digest, NEW)
        return Touched(of_tenant, digest, account.step, account.step, account)

    def spend(
        self, subject: bytes, tenant: bytes, bands: Sequence[bytes], hits: int, now: int
    ) -> list[Touched]:
        """Charge a subject, its tenant, and whoever sent what has just become known; subject and tenant first."""
        policy, rungs = self._policy, self._subject
        ours, theirs = self.accounts.get(subject, NEW), self.accounts.get(tenant, NEW)
        known, fellows = self._known(subject, bands, now)
        if forced(theirs, now) == PARDON:
            known, fellows = False, set[bytes]()
        before = owed_hits(ours, now, rungs)
        cost = hits * policy.fingerprint_cost if known else hits
        charged = charge(ours, now, rungs, cost, rungs.ban_after)
        # What a subject adds once it is refused says nothing new of its tenant: requests that were under way.
        share = 0 if charged is ours else min(hits, max(0, rungs.hits - before))
        several = self._sighted(tenant, subject, self._tenant_window, policy.tenant_subjects, now)[1]
        ceiling = self._tenant.ban_after if several >= policy.tenant_subjects else self._tenant.watch - 1
        touched = [
            self._settle(False, subject, ours, charged, now),
            self._settle(True, tenant, theirs, charge(theirs, now, self._tenant, share, ceiling), now),
        ]
        for fellow in sorted(fellows):
            account = self.accounts.get(fellow, NEW)
            more = charge(account, now, rungs, policy.fingerprint_cost - 1, rungs.ban_after)
            touched.append(self._settle(False, fellow, account, more, now))
        self._clean(now, _CLEANED_PER_CHANGE)
        return touched

    def force(self, of_tenant: bool, digest: bytes, order: int, lasts: int, now: int) -> list[Touched]:  # noqa: FBT001  a scope of two
        """Put an operator's word on an account."""
        account = self.accounts.get(digest, NEW)
        return [self._settle(of_tenant, digest, account, override(account, now, order, lasts), now)]

    def put(self, digest: bytes, account: Account, now: int) -> None:
        """Take over an account as another store holds it; one that says nothing is not taken."""
        if digest in self.accounts or forget_at(account) > now:
            self._keep(digest, account)
        self._clean(now, _CLEANED_PER_CHANGE)

    def _settle(self, of_tenant: bool, digest: bytes, was: Account, account: Account, now: int) -> Touched:  # noqa: FBT001  a scope of two
        rungs = self._tenant if of_tenant else self._subject
        before, meanwhile = was.step, step_of(was, now, rungs)
        step = step_of(account, now, rungs) if account is not was else meanwhile
        if account.step != step:
            account = account._replace(step=step)
        if account is not was:
            self._keep(digest, account)
        return Touched(of_tenant, digest, before, meanwhile, account)

    def _keep(self, digest: bytes, account: Account) -> None:
        if digest not in self.accounts:
            if len(self.accounts) >= self._max_keys and not self._make_room(forget_at(account)):
                return
            heapq.heappush(self._due, (forget_at(account), digest))
        self.accounts[digest] = account

    def _make_room(self, newcomer: int) -> bool:
        self.crowded += 1
        for _ in range(_LOOKED_AT_WHEN_FULL):
            due, digest = self._due[0]
            account = self.accounts.get(digest)
            if account is None:
                heapq.heappop(self._due)
                continue
            if forget_at(account) > due:
                heapq.heapreplace(self._due, (forget_at(account), digest))
                continue
            if due > newcomer:
                return False
            heapq.heappop(self._due)
            del self.accounts[digest]
            return True
        return False

    def _clean(self, now: int, entries: int) -> None:
        for _ in range(entries):
            if not self._due or self._due[0][0] > now:
                return
            digest = self._due[0][1]
            account = self.accounts.get(digest)
            if account is not None and forget_at(account) > now:
                heapq.heapreplace(self._due, (forget_at(account), digest))
            else:
                heapq.heappop(self._due)
                self.accounts.pop(digest, None)

    def _known(self, subject: bytes, bands: Sequence[bytes], now: int) -> tuple[bool, set[bytes]]:
        enough = self._policy.fingerprint_subjects
        known, fellows = False, set[bytes]()
        for band in bands:
            before, after = self._sighted(band, subject, self._fingerprint_window, enough, now)
            if after >= enough:
                known = True
                if before < enough:
                    fellows.update(self._sightings[band])
        return known, fellows - {subject}

    def _sighted(self, key: bytes, subject: bytes, window: int, most: int, now: int) -> tuple[int, int]:
        """Note that `subject` was seen with `key`; count the different subjects before and now, up to `most`."""
        seen = self._sightings.setdefault(key, {})
        self._sightings.move_to_end(key)
        for old in [one for one, at in seen.items() if at <= now - window]:
            del seen[old]
        before = len(seen)
        seen[subject] = now
        if len(seen) > most:
            del seen[min(seen, key=lambda one: (seen[one], one))]
        if len(self._sightings) > self._max_keys:
            self._sightings.popitem(last=False)
        return before, len(seen)
