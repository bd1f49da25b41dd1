"""Rows written in groups, by a thread of their own: one commit costs one fsync, however many rows it holds."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    StatementError,
)

from seawall.foundation.errors import StoreError
from seawall.foundation.events import EventBus, StoreChanged

T = TypeVar("T")
_SHORTEST_REST = 0.1
_LONGEST_REST = 30.0


class GroupWriter(Generic[T]):
    """Hands what is appended to `write`, in groups at most `group_seconds` apart, on its own thread.

    A power cut can lose what the last group would have held, and nothing else. Appending never touches the disk.

    While `write` fails rows are kept and tried again, after 0.1 s at first and 30 s at most: `state` is `open` until one
    succeeds, and `events` hear of both changes, on the writer's thread. At most `capacity` rows wait: beyond, appending
    raises StoreError rather than forget silently. A row that no disk would take, such as one with a number beyond 64
    bits, is left out, counted in `unfit` and logged by what `named` says of it, so that it does not hold up the others.
    `name` is what the store is called in errors and events.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], None],
        *,
        named: Callable[[T], str],
        events: EventBus | None = None,
        group_seconds: float = 0.05,
        capacity: int = 50_000,
    ) -> None:
        self._name = name
        self._write_rows = write
        self._named = named
        self._events = events or EventBus()
        self._group_seconds = group_seconds
        self._capacity = capacity
        self._log = logging.getLogger(f"seawall.{name}")
        self._waiting: deque[T] = deque()
        self._work = threading.Condition()
        self._closing = False
        self._writing = 0
        self.unfit = 0
        self._error: str | None = None
        self._writer = threading.Thread(target=self._write_groups, name=f"seawall-{name}", daemon=True)
        self._writer.start()

    @property
    def state(self) -> Literal["closed", "open"]:
        """`closed` while rows reach the disk, `open` from a failed write to the next that succeeds."""
        return "closed" if self._error is None else "open"

    @property
    def why(self) -> str:
        """The name of the error that keeps it open; empty while it is closed."""
        return self._error or ""

    @property
    def behind(self) -> int:
        """How many rows are not on disk yet."""
        return len(self._waiting) + self._writing

    def append(self, row: T) -> None:
        """Queue a row; StoreError if the disk is `capacity` rows behind, or this is closed."""
        with self._work:
            if self._closing:
                raise StoreError(f"the {self._name} is closed; append before it is, or open another")
            if len(self._waiting) + self._writing >= self._capacity:
                why = "" if self._error is None else f" ({self._error})"
                raise StoreError(
                    f"the {self._name} is {self._capacity} rows behind its disk{why}; refusing to forget one: free the disk"
                )
            self._waiting.append(row)
            self._work.notify_all()

    def flush(self) -> None:
        """Return when every row appended so far is on disk; StoreError where a write fails meanwhile."""
        with self._work:
            self._work.wait_for(lambda: self._error is not None or not (self._waiting or self._writing))
            if self._error is not None:
                raise StoreError(
                    f"the {self._name} could not be written: {self._error}; its rows are kept, and tried again"
                )

    def close(self) -> None:
        """Write what is waiting; StoreError where rows are lost, as they cannot be written."""
        with self._work:
            self._closing = True
            self._work.notify_all()
        self._writer.join()
        if self._waiting:
            raise StoreError(
                f"{len(self._waiting)} {self._name} rows are lost: the file could not be written ({self._error})"
            )

    def _write_groups(self) -> None:
        rest = 0.0
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting or self._closing)
                if rest and not self._closing:
                    self._work.wait_for(lambda: self._closing, timeout=rest * random.uniform(0.5, 1))  # noqa: S311
                if not self._waiting:
                    return
                closing = self._closing
            if not closing and not rest:
                # Gathering a little longer turns many fsyncs into one.
                time.sleep(self._group_seconds)
            error = self._write_group()
            rest = 0.0 if error is None else min(max(2 * rest, _SHORTEST_REST), _LONGEST_REST)
            if error is not None and closing:
                return

    def _write_group(self) -> str | None:
        with self._work:
            group = list(self._waiting)
            self._waiting.clear()
            self._writing = len(group)
        error = self._write(group)
        with self._work:
            changed = (error is None) != (self._error is None)
            self._writing = 0
            self._error = error
            if error is not None:
                self._waiting.extendleft(reversed(group))
            self._work.notify_all()
        if changed:
            healthy = error is None
            self._log.log(
                logging.INFO if healthy else logging.ERROR,
                "%s: %s",
                self._name,
                error or "rows reach the disk again",
            )
            self._events.publish(StoreChanged(self._name, healthy, error or "a write succeeded"))
        return error

    def _write(self, group: list[T]) -> str | None:
        """Write them all or none; return what kept them from the disk."""
        try:
            self._write_rows(group)
        except Exception as error:  # noqa: BLE001  whatever it is, a writer that died would write nothing ever after
            if not _says_of_the_row(error):
                return type(error).__name__
            if len(group) > 1:
                half = len(group) // 2
                return self._write(group[:half]) or self._write(group[half:])
            self.unfit += 1
            self._log.error(
                "%s: %s is left out, no disk takes it (%s)",
                self._name,
                self._named(group[0]),
                type(error).__name__,
            )
        return None


def _says_of_the_row(error: Exception) -> bool:
    """Whether a write failed by what was to be written, whatever the disk."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError | InterfaceError)
    return isinstance(error, StatementError | ValueError | TypeError | ArithmeticError)
