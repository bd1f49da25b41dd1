"""A desk in each worker process: the whole way of a contract, tiers and all, on that process's core.

With the local reviewer every step of a review is computation, so that one process for the tiers would be the
bottleneck of all others. With a remote model the desk stays in the main process, where one bulkhead, one breaker and one
rate limit see all calls.
"""

import asyncio
from functools import partial

from seawall import (
    Event,
    EventBus,
    Json,
    Transaction,
    TransactionFinished,
    harden,
    local_principal,
    open_keyring,
)
from seawall_contracts.agent import build_agent, build_policy
from seawall_contracts.job import Desk, Terms
from seawall_contracts.local_model import LocalModel
from seawall_contracts.workers import Inline, Workers


class _WorkerDesk:
    """The desk of this process, its event loop, and the transactions that the main process has not been told of."""

    def __init__(self, terms: Terms) -> None:
        self.transactions: list[Transaction] = []
        self.loop = asyncio.new_event_loop()
        policy = build_policy(concurrency=1, retention=terms.retention, processes=terms.processes)
        agent = harden(
            build_agent(LocalModel(Inline())),
            policy,
            events=EventBus(self._collect),
            keyring=open_keyring(terms.master_key),
        )
        self.desk = Desk(agent, Inline(), local_principal(), terms)

    def _collect(self, event: Event) -> None:
        if isinstance(event, TransactionFinished):
            self.transactions.append(event.transaction)


# One a process, made before its first contract: a worker process has no other place to keep it.
_mine: _WorkerDesk | None = None


def open_workers(count: int, terms: Terms) -> Workers:
    """Start workers that have a desk each."""
    return Workers(count, prepare=partial(_open_desk, terms))


def _open_desk(terms: Terms) -> None:
    global _mine  # noqa: PLW0603
    _mine = _WorkerDesk(terms)


def review_here(path: str, sha256: str) -> tuple[Json, list[Transaction]]:
    """Review one contract in this worker; the record, and the ledger rows that the main process has to write."""
    assert _mine is not None, "workers are made by open_workers"
    result = _mine.loop.run_until_complete(_mine.desk.review(path, sha256))
    finished, _mine.transactions = _mine.transactions, []
    return result.to_json(), finished
