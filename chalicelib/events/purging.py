"""What is done about leftovers that `changes` has found: they are queued, and `purge` removes them.

Rule: `docs/architecture.md`, "The purge".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from chalicelib.events.queues import MAX_DELAY_S, Queue, Queues, to_text
from chalicelib.metrics import SILENT, Metrics
from chalicelib.observability import log_done, log_metrics
from chalicelib.protocol.uris import parse_object_uri
from chalicelib.storage.access import Row
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.purge import (
    DeadParent,
    Leftover,
    NeedlessRows,
    remove_rows,
    sweep,
)

MAX_ROWS_BYTES: Final = 100_000
"""Of the rows in one message."""

_CONTINUE_AFTER_S: Final = 1


class Purge:
    """What the function `purge` does."""

    def __init__(self, dynamo: Dynamo, queues: Queues, metrics: Metrics = SILENT) -> None:
        """Keep tables, queues and metrics; nothing is called yet."""
        self._dynamo = dynamo
        self._queues = queues
        self._metrics = metrics

    def handle(self, message: str, deadline: Deadline) -> None:
        """Remove the leftover that a message names.

        What isn't done in the time left is queued again. After the first sweep of what was
        within a dead parent, a second one is queued, for writes that become visible late.

        Raises:
            Exception: the message is to be received again.
        """
        try:
            self._handle(from_message(json.loads(message)), deadline)
        finally:
            log_metrics(self._metrics.members(deadline.tally))

    def _handle(self, leftover: Leftover, deadline: Deadline) -> None:
        if isinstance(leftover, NeedlessRows):
            remove_rows(self._dynamo, leftover.rows, deadline)
        elif not self._sweep(leftover, deadline):
            messages = to_messages([leftover])
            self._queues.send(Queue.PURGES, messages, delay_s=_CONTINUE_AFTER_S)
        elif not leftover.is_again:
            messages = to_messages([leftover.again])
            self._queues.send(Queue.PURGES, messages, delay_s=MAX_DELAY_S)

    def _sweep(self, dead: DeadParent, deadline: Deadline) -> bool:
        """Whether nothing is left."""
        removed = 0
        try:
            for number in sweep(self._dynamo, dead, deadline):
                removed += number
        except UnavailableError as error:
            log_done(f"purge of {dead.uri} goes on later, {removed} items so far: {error}")
            return False
        log_done(f"purge of {dead.uri} is done, {removed} items")
        return True


def to_messages(leftovers: Iterable[Leftover]) -> Iterator[Any]:
    """Leftovers as JSON values; rows together, as many as a message holds."""
    rows: list[Row] = []
    for leftover in leftovers:
        if isinstance(leftover, NeedlessRows):
            rows += leftover.rows
        else:
            yield {
                "dead": str(leftover.uri),
                "incarnation": leftover.incarnation,
                "again": leftover.is_again,
            }
    for part in _parts(rows):
        yield {"rows": part}


def _parts(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(to_text(row))
        if size > MAX_ROWS_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def from_message(message: Any) -> Leftover:
    """What a message names.

    Raises:
        ValueError, KeyError, TypeError: it names nothing.
    """
    if "rows" in message:
        return NeedlessRows(tuple(Row(*row) for row in message["rows"]))
    uri = parse_object_uri(message["dead"])
    if uri is None:
        raise ValueError(f"{message['dead']!r} is no object's address")
    return DeadParent(uri, message["incarnation"], message["again"])
