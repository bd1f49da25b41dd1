"""`seawall roi`: whether it pays, with its arithmetic, from assumptions or from a ledger."""

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from seawall.edge.roi_page import as_page
from seawall.foundation.economics.infrastructure import (
    DEFAULT_STACK,
    Component,
    as_toml,
    month_of,
    read_stack,
)
from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.economics.measured import Measured, measure
from seawall.foundation.economics.roi import (
    Bar,
    Inputs,
    as_numbers,
    break_even,
    compute,
    interval,
    tornado,
    warnings,
)
from seawall.foundation.errors import ConfigError

_WIDTH = 36


def roi(  # noqa: PLR0913  each is an option of the command line
    *,
    contracts: Annotated[str | None, typer.Option(help="How many there are. Default 2847.")] = None,
    minutes: Annotated[str | None, typer.Option(help="Reading one by hand. Default 45.")] = None,
    cost_per_contract: Annotated[str | None, typer.Option(help="Dollars, by hand. Default 48.")] = None,
    months: Annotated[str | None, typer.Option(help="Over how long. Default 6.")] = None,
    infrastructure_month: Annotated[
        str | None, typer.Option(help="Dollars a month. Default: the sum of the stack.")
    ] = None,
    model_usd: Annotated[
        str | None, typer.Option(help="Models, a contract. Default: the ledger's, else 0.12.")
    ] = None,
    review_share: Annotated[
        str | None, typer.Option(help="Share that still goes to a lawyer. Default 0.2.")
    ] = None,
    review_minutes: Annotated[
        str | None, typer.Option(help="A lawyer's time for one of these. Default 45.")
    ] = None,
    glance_minutes: Annotated[
        str | None, typer.Option(help="Anybody's time for one of the others. Default 1.")
    ] = None,
    error_rate: Annotated[
        str | None, typer.Option(help="Share of the others that is wrong. Default 0.005.")
    ] = None,
    error_usd: Annotated[str | None, typer.Option(help="What one of these costs. Default 500.")] = None,
    setup_usd: Annotated[str | None, typer.Option(help="Paid once. Default 0.")] = None,
    hourly_usd: Annotated[str | None, typer.Option(help="By hand, to check the others against.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="A ledger to take measured costs from.", dir_okay=False)
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Of the ledger, this agent's rows only.")] = None,
    infrastructure: Annotated[
        Path | None, typer.Option(help="TOML with the stack's components.", dir_okay=False)
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Print the default stack as TOML, to begin with.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page.", dir_okay=False)] = None,
) -> None:
    """Compare reading contracts by hand with agents and the people that they still take."""
    components = DEFAULT_STACK if infrastructure is None else read_stack(infrastructure)
    if stack:
        typer.echo(as_toml(components))
        return
    told = {
        "contracts": contracts, "minutes": minutes, "cost_per_contract": cost_per_contract, "months": months,
        "infrastructure_month": infrastructure_month, "model_usd": model_usd, "review_share": review_share,
        "review_minutes": review_minutes, "glance_minutes": glance_minutes, "error_rate": error_rate,
        "error_usd": error_usd, "setup_usd": setup_usd,
    }  # fmt: skip
    numbers = {name: _number(name, text) for name, text in told.items() if text is not None}
    measured = None if ledger is None else _measured(ledger, agent)
    told_month = "infrastructure_month" in numbers
    case = Case(_inputs(numbers, components, measured), components, measured, told_month=told_month)
    document = case.document(None if hourly_usd is None else _number("hourly_usd", hourly_usd))
    if page is not None:
        page.write_text(as_page(document))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        _draw(document)


class Case:
    """One calculation: its inputs, where they come from, and everything that is said of it."""

    def __init__(
        self, inputs: Inputs, stack: Sequence[Component], measured: Measured | None, *, told_month: bool
    ) -> None:
        self.inputs = inputs
        self._stack = stack
        self._measured = measured
        self._told_month = told_month

    def document(self, hourly_usd: Decimal | None) -> dict[str, Any]:
        """Return it all as JSON."""
        given = self.inputs
        result = compute(given)
        said = warnings(given, hourly_usd=hourly_usd)
        if self._told_month and given.infrastructure_month != month_of(self._stack):
            said.append(
                f"infrastructure_month was given as ${float(given.infrastructure_month):,.0f}; the components listed come to "
                f"${float(month_of(self._stack)):,.0f}"
            )
        if self._measured is not None and self._measured.unpriced:
            said.append(
                f"{self._measured.unpriced} transactions of the ledger have no known price, and are in no sum"
            )
        low, high = interval(given, self._spread())
        return {
            "manual_total_usd": float(result.manual_usd),
            "ai_total_usd": _money(result.ai_usd),
            "saving_usd": _money(result.saving_usd),
            "saving_percent": round(float(result.saving_percent), 2),
            "saving_usd_95": [float(low), float(high)],
            "break_even_contracts": break_even(given),
            "cost_per_outcome_usd": _money(result.ai_usd / given.contracts),
            "manual_hours": round(float(given.contracts * given.minutes / 60), 1),
            "assumptions": as_numbers(given),
            "measured": _shown(self._measured),
            "steps": [{"what": one.what, "how": one.how, "usd": _money(one.usd)} for one in result.steps],
            "infrastructure": [
                {"name": one.name, "quantity": float(one.quantity), "usd_month": float(one.usd_month),
                 "total_usd_month": float(one.total), "why": one.why}
                for one in self._stack
            ],
            "tornado": [_bar(bar) for bar in tornado(given)],
            "warnings": said,
        }  # fmt: skip

    def _spread(self) -> dict[str, float]:
        """Return standard errors: of the models' cost as measured, of what a pilot of a hundred contracts would leave open."""
        given = self.inputs
        share, wrong = float(given.review_share), float(given.error_rate)
        spread = {
            "review_share": (share * (1 - share) / 100) ** 0.5,
            "error_rate": (wrong * (1 - wrong) / 100) ** 0.5,
        }
        if self._measured is not None and self._measured.usd_per_outcome is not None:
            spread["model_usd"] = self._measured.usd_error
        return spread


def _inputs(
    numbers: dict[str, Decimal], components: Sequence[Component], measured: Measured | None
) -> Inputs:
    base = Inputs(infrastructure_month=month_of(components))
    each = None if measured is None else measured.usd_per_outcome
    if each is not None:
        base = replace(base, model_usd=each)
    return replace(base, **numbers)  # type: ignore[arg-type]


def _measured(path: Path, agent: str | None) -> Measured:
    if not path.exists():
        raise ConfigError(
            f"no ledger at {path}; a service keeps its own in its state folder, a review in DIR/.seawall"
        )
    ledger = Ledger(path)
    try:
        return measure(ledger.rows(), agent=agent)
    finally:
        ledger.close()


def _number(name: str, text: str) -> Decimal:
    try:
        return Decimal(text.replace(",", "").replace("$", ""))
    except InvalidOperation:
        raise ConfigError(f"--{name.replace('_', '-')} {text!r}: expected a number") from None


def _money(value: Decimal) -> float:
    return float(value.quantize(Decimal("0.01")))


def _bar(bar: Bar) -> dict[str, Any]:
    return {
        "input": bar.name,
        "values": [float(bar.low), float(bar.high)],
        "saving_usd": [_money(bar.saving_low), _money(bar.saving_high)],
    }


def _shown(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    each = measured.usd_per_outcome
    return {
        "transactions": measured.transactions,
        "answered": measured.answered,
        "unpriced": measured.unpriced,
        "usd": float(measured.usd),
        "usd_per_outcome": None if each is None else float(each),
        "tokens_saved": measured.tokens_saved,
    }


def _draw(told: dict[str, Any]) -> None:
    console = Console()
    table = Table("", "", "$", title="Whether it pays", box=None)
    given = told["assumptions"]
    by_hand = f"{given['contracts']:,.0f} x ${given['cost_per_contract']:,.2f}"
    table.add_row("[bold]by hand", by_hand, f"{told['manual_total_usd']:,.2f}")
    for one in told["steps"]:
        table.add_row(f"  {one['what']}", one["how"], f"{one['usd']:,.2f}")
    table.add_row("[bold]with agents", "", f"{told['ai_total_usd']:,.2f}")
    colour = "green" if told["saving_usd"] > 0 else "red"
    table.add_row(
        f"[bold {colour}]saved",
        f"{told['saving_percent']:.1f} %",
        f"[bold {colour}]{told['saving_usd']:,.2f}",
    )
    console.print(table)
    low, high = told["saving_usd_95"]
    even = told["break_even_contracts"]
    console.print(
        f"95 %: ${low:,.0f} to ${high:,.0f}; pays from {'no number of' if even is None else f'{even:,}'} contracts on"
    )
    console.print(_tornado(told["tornado"]))
    for one in told["warnings"]:
        console.print(f"[yellow]note[/] {one}", soft_wrap=True)


def _tornado(bars: Sequence[dict[str, Any]]) -> Table:
    ends = [value for bar in bars for value in bar["saving_usd"]]
    least, most = min(ends), max(ends)
    scale = _WIDTH / ((most - least) or 1)
    table = Table("input", "from, to", "saving", "", title="What it depends on", box=None)
    for bar in bars:
        low, high = sorted(bar["saving_usd"])
        before = round((low - least) * scale)
        length = max(1, round((high - low) * scale))
        values = ", ".join(f"{value:,.6g}" for value in bar["values"])
        table.add_row(
            bar["input"], values, f"{low:,.0f} … {high:,.0f}", " " * before + f"[blue]{'█' * length}[/]"
        )
    return table
