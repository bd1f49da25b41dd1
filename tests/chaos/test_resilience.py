"""The short chaos run fails where a promise is broken, and only there."""

from collections import Counter
from collections.abc import Callable

import pytest

from chaos.resilience import FAULTS, Tally, _judged

CLOSED = {"model primary": "closed", "model backup": "closed"}


def kept() -> Tally:
    """Make a tally of a run in which every promise was kept."""
    tally = Tally(trips=3, longest=0.5)
    names = [f"{name} {fault.kind}" for name in ("provider", "redis") for fault in FAULTS]
    for phase in ("before provider", *names, "after"):
        tally.phases[phase] = Counter({"full": 5, "degraded": 5, "refused": 2})
    return tally


def test_a_run_that_kept_its_promises_is_told() -> None:
    """What is printed counts every request."""
    told = _judged(kept(), CLOSED, 0)
    assert (told["requests"], told["circuits_opened"], told["hung"]) == (12 * 14, 3, 0)


def _hang(tally: Tally) -> None:
    tally.phases["redis reset"]["hung"] = 1


def _fail(tally: Tally) -> None:
    tally.phases["redis reset"]["other"] = 1
    tally.others.add("KeyError")


def _refuse(tally: Tally) -> None:
    tally.phases["provider hang"]["refused"] = 50


def _skip(tally: Tally) -> None:
    del tally.phases["provider cut"]


def _never_trip(tally: Tally) -> None:
    tally.trips = 0


def _stay_degraded(tally: Tally) -> None:
    tally.phases["after"] = Counter({"degraded": 5})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_hang, "outlasted their deadline in redis reset"),
        (_fail, "redis reset: .*KeyError"),
        (_refuse, "hardly anything was answered in provider hang"),
        (_skip, "provider cut"),
        (_never_trip, "no circuit ever opened"),
        (_stay_degraded, "no full answer in the end"),
    ],
)
def test_each_promise_is_seen_to(spoil: Callable[[Tally], None], said: str) -> None:
    """A request that hung, an error that is no refusal, a phase without answers or requests: each ends the run."""
    tally = kept()
    spoil(tally)
    with pytest.raises(AssertionError, match=said):
        _judged(tally, CLOSED, 0)


def test_what_is_left_is_seen() -> None:
    """A circuit that stays open, and a task that is left, end the run too."""
    with pytest.raises(AssertionError, match="not every circuit"):
        _judged(kept(), CLOSED | {"model primary": "open"}, 0)
    with pytest.raises(AssertionError, match="2 tasks"):
        _judged(kept(), CLOSED, 2)
