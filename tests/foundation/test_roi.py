"""Whether it pays: the arithmetic, by hand and by property; where it breaks even; what contradicts itself."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.economics.infrastructure import DEFAULT_STACK, as_toml, month_of, read_stack
from seawall.foundation.economics.measured import measure
from seawall.foundation.economics.roi import Inputs, break_even, compute, interval, tornado, warnings
from seawall.foundation.errors import ConfigError
from tests.edge.desk import transaction

numbers = st.decimals(min_value=0, max_value=10_000, places=2)
shares = st.decimals(min_value=0, max_value=1, places=3)
cases = st.builds(
    Inputs,
    contracts=st.decimals(min_value=1, max_value=100_000, places=0),
    minutes=st.decimals(min_value=1, max_value=600, places=0),
    cost_per_contract=numbers,
    months=st.decimals(min_value=1, max_value=60, places=0),
    infrastructure_month=numbers,
    model_usd=numbers,
    review_share=shares,
    review_minutes=numbers,
    error_rate=shares,
    error_usd=numbers,
)


def test_the_case_to_beat() -> None:
    """2,847 contracts at $48 are $136,656 by hand; the other side adds up to the cent."""
    result = compute(Inputs())
    assert result.manual_usd == 136_656
    by_hand = Decimal(24000) + Decimal("341.64") + Decimal("27331.20") + Decimal("2429.44") + Decimal(5694)
    assert result.ai_usd.quantize(Decimal("0.01")) == by_hand
    assert sum(step.usd for step in result.steps) == result.ai_usd
    assert Inputs().infrastructure_month == month_of(DEFAULT_STACK)


@given(cases)
def test_both_sides_add_up(case: Inputs) -> None:
    """Fixed and variable are the whole, steps are its parts, and the saving is the difference."""
    result = compute(case)
    assert result.fixed_usd + result.variable_usd == result.ai_usd
    assert result.saving_usd == result.manual_usd - result.ai_usd
    assert abs(sum(step.usd for step in result.steps) - result.ai_usd) < Decimal("1e-6")


@given(cases)
def test_it_pays_from_where_it_breaks_even(case: Inputs) -> None:
    """At that many contracts it does, at one fewer it does not; where there is none, no number helps."""
    even = break_even(case)
    if even is None:
        assert compute(replace(case, contracts=Decimal(10**9))).saving_usd <= 0
        return
    least = Decimal("-1e-6") * max(even, 1)
    if even:
        assert compute(replace(case, contracts=Decimal(even))).saving_usd >= least
    if even > 1:
        assert compute(replace(case, contracts=Decimal(even - 1))).saving_usd <= -least


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"cost_per_contract": Decimal(4000)}, "nobody's rate"),
        ({"review_share": Decimal(1)}, "saves nothing"),
        ({"review_share": Decimal(1)}, "no effect"),
        ({"review_minutes": Decimal(90)}, "for what was not"),
        ({"contracts": Decimal(10)}, "does not pay for 10 contracts"),
        ({"model_usd": Decimal(100)}, "never pays"),
        ({"contracts": Decimal(10_000_000)}, "people all the time"),
        (
            {"review_share": Decimal(0), "glance_minutes": Decimal(0), "error_rate": Decimal(0)},
            "no such reviewer",
        ),
    ],
)
def test_what_contradicts_itself_is_said(given_: dict[str, Any], said: str) -> None:
    """In words that name the numbers."""
    assert any(said in one for one in warnings(replace(Inputs(), **given_)))


def test_the_defaults_contradict_nothing() -> None:
    """45 minutes at $64 an hour are $48, and at $90 they are not."""
    assert warnings(Inputs()) == []
    assert warnings(Inputs(), hourly_usd=Decimal(64)) == []
    (said,) = warnings(Inputs(), hourly_usd=Decimal(90))
    assert "$67.50" in said


@pytest.mark.parametrize("name", ["contracts", "review_share", "minutes", "model_usd"])
def test_what_no_calculation_takes_is_refused(name: str) -> None:
    """Negative, no number, a share above one, nothing to divide by."""
    for value in (Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        told: dict[str, Any] = {name: value}
        with pytest.raises(ConfigError, match=name):
            Inputs(**told)
    with pytest.raises(ConfigError, match="share"):
        Inputs(review_share=Decimal("1.1"))


def test_what_matters_most_comes_first() -> None:
    """Bars are in order, each around the saving, and zero where an input does nothing."""
    bars = tornado(Inputs())
    assert [bar.swing for bar in bars] == sorted((bar.swing for bar in bars), reverse=True)
    saving = compute(Inputs()).saving_usd
    assert all(
        min(bar.saving_low, bar.saving_high) <= saving <= max(bar.saving_low, bar.saving_high) for bar in bars
    )


def test_the_interval_is_as_wide_as_what_is_unknown() -> None:
    """Known inputs leave none; a normal error leaves about twice its size on both sides; seeds repeat."""
    saving = compute(Inputs()).saving_usd
    assert interval(Inputs(), {}) == (saving.quantize(Decimal("0.01")),) * 2
    low, high = interval(Inputs(), {"model_usd": 0.01})
    assert abs(float(high - low) - 2 * 1.96 * 0.01 * 2847) < 6
    assert interval(Inputs(), {"model_usd": 0.01}) == (low, high)


def test_a_stack_is_edited_as_toml(tmp_path: Path) -> None:
    """What is printed is read back; what is no component is refused with its name."""
    file = tmp_path / "stack.toml"
    file.write_text(as_toml(DEFAULT_STACK))
    assert read_stack(file) == DEFAULT_STACK
    for text, said in (
        ("", "no \\[\\[component"),
        ("x", "TOML"),
        ('[[component]]\nname = "db"', "usd_month"),
        ('[[component]]\nname = "db"\nusd_month = -1', "negative"),
        ('[[component]]\nname = "db"\nusd_month = 1\nprice = 2', "price"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_stack(file)


def test_a_ledger_says_what_an_answer_costs() -> None:
    """Refusals and failures are paid for with the answers; rows without a price are in no sum, and are counted."""
    rows = [
        replace(
            transaction("acme", "s-1", 0.0), cost_usd=None if cost is None else Decimal(cost), outcome=outcome
        )
        for cost, outcome in (("0.10", "ok"), ("0.30", "ok"), ("0.20", "failed"), (None, "ok"))
    ]
    found = measure(rows)
    assert (found.transactions, found.answered, found.unpriced, found.usd) == (4, 3, 1, Decimal("0.60"))
    assert found.usd_per_outcome == Decimal("0.60") / 3 * 4 / 3
    assert measure(rows, agent="other").usd_per_outcome is None
