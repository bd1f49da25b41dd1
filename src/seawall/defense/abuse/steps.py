"""Steps of trust as pure functions over two stored instants, in whole milliseconds.

A caller owes hits, and earns one back every `regain` (a leaky bucket, kept as gcra keeps it: the instant at which
nothing will be owed). While it is refused it earns nothing: who cannot act shows nothing. What is owed decides the
step, so nothing else need be stored, and a further hit can only make it worse.
"""

from typing import NamedTuple

TRUSTED, WATCHED, COOLING, BANNED = range(4)
STEPS = ("trusted", "watched", "cooling", "banned")
PARDON, BAN = 1, 2
# An operator's word holds at most so long, and is remembered so long: no copy of what it set aside lives longer.
LONGEST_OVERRIDE = 30 * 86_400_000
# An account is kept a little beyond its use, so that a caller who comes back is announced as trusted again.
GRACE = 3_600_000


class Rungs(NamedTuple):
    """A ladder in numbers: hits owed from which a step begins, and milliseconds."""

    watch: int
    hits: int
    ban_after: int
    regain: int
    cool_down: int
    longest_cool_down: int
    ban: int
    heaviest: int


class Account(NamedTuple):
    """What is kept of a caller; all 0 for one never heard of.

    `debt` is when nothing will be owed, `until` when a refusal ends, `step` the step last announced. `force` is
    PARDON, BAN or 0, said by an operator at `epoch` and good until `force_until`.
    """

    debt: int = 0
    until: int = 0
    step: int = TRUSTED
    force: int = 0
    force_until: int = 0
    epoch: int = 0


NEW = Account()


def forced(account: Account, now: int) -> int:
    """Say what an operator ordered that still holds: PARDON, BAN or 0."""
    return account.force if now < account.force_until else 0


def owed_hits(account: Account, now: int, rungs: Rungs) -> int:
    """Count the hits not yet earned back, a part of one as one."""
    owed = account.debt - max(now, account.until)
    return -(-owed // rungs.regain) if owed > 0 else 0


def step_of(account: Account, now: int, rungs: Rungs) -> int:
    """Find the step an account stands on; an operator's word beats the arithmetic."""
    order = forced(account, now)
    if order:
        return TRUSTED if order == PARDON else BANNED
    owed = owed_hits(account, now, rungs)
    if account.until > now:
        return BANNED if owed >= rungs.ban_after else COOLING
    return WATCHED if owed >= rungs.watch else TRUSTED


def weight_of(account: Account, now: int, rungs: Rungs) -> int:
    """Find what a request costs: 1 while trusted, then 2, 4, 8 … for each hit owed from `watch` on."""
    if forced(account, now):
        return 1 if account.force == PARDON else rungs.heaviest
    beyond = owed_hits(account, now, rungs) - rungs.watch + 1
    return min(1 << min(beyond, 32), rungs.heaviest) if beyond > 0 else 1


def time_left(account: Account, now: int, rungs: Rungs) -> int:
    """Find how long the present step lasts unless more happens; 0 for trusted, which ends by itself never."""
    if forced(account, now):
        return account.force_until - now
    if account.until > now:
        return account.until - now
    return max(0, account.debt - now - (rungs.watch - 1) * rungs.regain)


def charge(account: Account, now: int, rungs: Rungs, hits: int, ceiling: int) -> Account:
    """Add `hits` to what is owed, up to `ceiling` hits, and refuse for as long as that asks.

    Nothing happens to a pardoned account, nor to one that a ceiling below `ban_after` keeps from growing.
    """
    if not hits or forced(account, now) == PARDON:
        return account
    owed = max(0, account.debt - max(now, account.until))
    after = max(owed, min(owed + hits * rungs.regain, ceiling * rungs.regain))
    if after == owed and ceiling < rungs.ban_after:
        return account
    count = -(-after // rungs.regain)
    until = account.until
    if count >= rungs.ban_after:
        until = max(until, now + rungs.ban)
    elif count >= rungs.hits:
        cool_down = min(rungs.cool_down << (count - rungs.hits), rungs.longest_cool_down)
        until = max(until, now + cool_down)
    return account._replace(debt=max(now, until) + after, until=until)


def override(account: Account, now: int, order: int, lasts: int) -> Account:
    """Put an operator's word on an account; a pardon also wipes what was owed."""
    epoch = max(now, account.epoch + 1)
    debt, until = (0, 0) if order == PARDON else (account.debt, account.until)
    return Account(debt, until, account.step, order, now + lasts, epoch)


def forget_at(account: Account) -> int:
    """Find when an account may be dropped: never while it says anything, or sets an older copy aside."""
    remembered = account.epoch + LONGEST_OVERRIDE if account.epoch else 0
    return max(account.debt, account.until, account.force_until, remembered) + GRACE
