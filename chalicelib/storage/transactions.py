"""Requests as transactions: run, commit, and run again where another was first."""

import time
from collections.abc import Callable
from typing import TypeVar

from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.unit_of_work import UnitOfWork

T = TypeVar("T")


def system_now_ms() -> int:
    """This host's clock, in ms since the epoch."""
    return time.time_ns() // 1_000_000


class Storage:
    """The storage of a stage."""

    def __init__(self, dynamo: Dynamo, now_ms: Callable[[], int] = system_now_ms) -> None:
        """Keep the tables and the clock; nothing is called yet."""
        self._dynamo = dynamo
        self._now_ms = now_ms

    def run(self, work: Callable[[UnitOfWork], T], deadline: Deadline) -> T:
        """The result of `work`, once all that it staged is committed.

        Args:
            work: reads and stages; called again, with a new unit, where another request was first.
                What the unit before has read and may still be so is not read again.
            deadline: of the request.

        Raises:
            UnavailableError: other requests were first until the time was over.
            ProtocolError: what `work` raises; nothing is written then.
        """
        read: UnitOfWork | None = None
        while True:
            unit = UnitOfWork(self._dynamo, deadline, self._now_ms, read)
            try:
                result = work(unit)
                unit.commit()
                return result
            except ConflictError as conflict:
                read = unit if unit.may_hold_after(conflict) else None
                deadline.wait(conflict)
