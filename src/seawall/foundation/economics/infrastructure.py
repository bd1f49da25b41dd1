"""What a highly available stack costs a month: every component and price an assumption, to be edited in TOML."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from seawall.foundation.errors import ConfigError

_FIELDS = {"name", "quantity", "usd_month", "why"}


@dataclass(frozen=True, slots=True)
class Component:
    """One line: how many of what, at how many dollars a month each, and why it is there."""

    name: str
    quantity: Decimal
    usd_month: Decimal
    why: str

    @property
    def total(self) -> Decimal:
        """Dollars a month for all of them."""
        return self.quantity * self.usd_month


def _component(name: str, quantity: str, usd_month: str, why: str) -> Component:
    return Component(name, Decimal(quantity), Decimal(usd_month), why)


# Round prices of a large cloud provider on demand, without discounts, as of 2026; yours differ.
DEFAULT_STACK = (
    _component("service, 2 vCPU, 4 GB", "3", "62", "three replicas in two zones: one may fail while one is replaced"),
    _component("Postgres, 4 vCPU, 16 GB, with a standby", "1", "610", "runs, people, ledger, audit log"),
    _component("Postgres storage and backups, 500 GB", "1", "75", "point-in-time recovery for 30 days"),
    _component("Redis, 2 GB, with a replica", "1", "150", "limits, trust and circuits that replicas share"),
    _component("load balancer and web firewall", "1", "95", "TLS, one address"),
    _component("key management", "1", "12", "the master key"),
    _component("metrics, logs, alerts", "1", "240", "dashboards and somebody who is woken"),
    _component("network out, 500 GB", "1", "45", ""),
    _component("a second environment, smaller", "1", "387", "where changes are tried"),
    _component("operations, hours of an engineer", "20", "110", "updates, incidents, drills"),
)  # fmt: skip


def month_of(stack: Sequence[Component]) -> Decimal:
    """Return what a stack costs a month."""
    return sum((one.total for one in stack), Decimal(0))


def read_stack(path: Path) -> tuple[Component, ...]:
    """Read `[[component]]` tables (`name`, `quantity`, `usd_month`, `why`) from TOML; ConfigError for what is none."""
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"cannot read {path} as TOML: {type(error).__name__}; see `seawall roi --stack`"
        ) from error
    rows: Any = told.get("component")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path} has no [[component]]; `seawall roi --stack` prints one to begin with")
    return tuple(_read(path, row) for row in rows)  # type: ignore[arg-type]


def as_toml(stack: Sequence[Component]) -> str:
    """Return a stack as `read_stack` reads it."""
    return "\n".join(
        f'[[component]]\nname = "{one.name}"\nquantity = {one.quantity}\nusd_month = {one.usd_month}\nwhy = "{one.why}"\n'
        for one in stack
    )


def _read(path: Path, row: Mapping[str, Any]) -> Component:
    unknown = set(row) - _FIELDS
    try:
        made = Component(
            str(row["name"]),
            Decimal(str(row.get("quantity", 1))),
            Decimal(str(row["usd_month"])),
            str(row.get("why", "")),
        )
    except (KeyError, InvalidOperation) as error:
        raise ConfigError(
            f"{path}: a component needs a name and usd_month, a number; {row.get('name', '?')} has not"
        ) from error
    if unknown or made.quantity < 0 or made.usd_month < 0:
        raise ConfigError(
            f"{path}: component {made.name!r} has {', '.join(sorted(unknown)) or 'a negative number'}"
        )
    return made
