"""The memory store under a crowd: bounded whatever comes, and never a sweep."""

import asyncio

import pytest

from seawall.defense.limits import MemoryStore, Quota, Take, Window

BOUND = 2_000
BUCKET, WINDOW = Quota.of(10, 100.0, 10), Window.of(10, 100.0, 5)


def test_a_million_keys_stay_within_the_bound() -> None:
    """A million callers, a thousand a second, never make the store hold more than its bound, and it goes on admitting."""

    async def scenario() -> tuple[int, int]:
        store, quota, admitted, most = MemoryStore(max_keys=BOUND), Quota.of(2, 2.0, 2), 0, 0
        for number in range(1_000_000):
            decision = await store.take([Take(f"caller {number}", quota, "n")], number / 1000)
            admitted += decision.ok
            if number % 97 == 0:
                most = max(most, len(store))
        return admitted, most

    admitted, most = asyncio.run(scenario())
    assert most <= BOUND
    assert admitted == 1_000_000


@pytest.mark.parametrize("rule", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_reservations_of_a_crowd_stay_within_the_bound(rule: Quota | Window) -> None:
    """Fifty thousand reservations, settled below, beyond or never, keep to the bound; known callers are served on."""
    store = MemoryStore(max_keys=BOUND)
    known = Take("known", rule, "n")
    assert (await store.take([known], 0.0)).ok
    for number in range(50_000):
        now = number / 1000
        held = await store.reserve([Take(f"caller {number}", rule, "n", 2)], now)
        if held.receipt is not None and number % 3:
            await store.settle(held.receipt, [number % 3 * 2 - 1], now)
        assert len(store) <= BOUND
    assert store.full_refusals > 0
    assert (await store.take([known], 50.0)).ok
    assert (await store.take([Take("stranger", rule, "n")], 10_000.0)).ok


async def test_a_window_of_a_busy_caller_stays_small() -> None:
    """Whatever passes through a window, it holds at most one pair of numbers more than it has slices."""
    store = MemoryStore()
    for number in range(20_000):
        await store.take([Take("k", Window.of(10**6, 100.0, 5), "n")], number / 50)
    (log,) = vars(store)["_states"].values()
    assert len(log.slots) <= 6
