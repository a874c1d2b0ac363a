"""What is done about leftovers: `changes` finds and queues them, `purge` removes them.

Rule: `docs/architecture.md`, "The purge".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from chalicelib.events.queues import MAX_DELAY_S, Queue, Queues, to_text
from chalicelib.events.stream import StreamRecord, images_of
from chalicelib.observability import log_done, log_failed_record
from chalicelib.protocol.uris import parse_object_uri
from chalicelib.storage.access import Row
from chalicelib.storage.connection import Deadline, Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.purge import (
    DeadParent,
    Leftover,
    NeedlessRows,
    leftovers_of,
    remove_rows,
    sweep,
)

MAX_ROWS_BYTES: Final = 100_000
"""Of the rows in one message."""

_CONTINUE_AFTER_S: Final = 1


class Changes:
    """What the function `changes` does."""

    def __init__(self, queues: Queues) -> None:
        """Keep the queues; nothing is called yet."""
        self._queues = queues

    def handle(self, records: Iterable[StreamRecord]) -> None:
        """Queue what these changes leave behind.

        A record that can't be read goes to the dead letters, whole: it never blocks the stream.

        Raises:
            Exception: a queue can't be reached; the same records are to be handled again.
        """
        leftovers: list[Leftover] = []
        for record in records:
            try:
                leftovers += leftovers_of(*images_of(record))
            except Exception as error:
                log_failed_record(str(record.get("eventID")), error)
                self._queues.send(Queue.DEAD_LETTERS, [_dead_letter(record)])
        self._queues.send(Queue.PURGES, to_messages(leftovers))


def _dead_letter(record: StreamRecord) -> Any:
    """The record; where a message can't hold it, what names it."""
    if len(to_text(record)) < MAX_ROWS_BYTES:
        return record
    whole = record.get("dynamodb", {})
    change = {name: whole.get(name) for name in ("Keys", "SequenceNumber")}
    return {"eventID": record.get("eventID"), "truncated": True, "dynamodb": change}


class Purge:
    """What the function `purge` does."""

    def __init__(self, dynamo: Dynamo, queues: Queues) -> None:
        """Keep tables and queues; nothing is called yet."""
        self._dynamo = dynamo
        self._queues = queues

    def handle(self, message: str, deadline: Deadline) -> None:
        """Remove the leftover that a message names.

        What isn't done in the time left is queued again. After the first sweep of what was
        within a dead parent, a second one is queued, for writes that become visible late.

        Raises:
            Exception: the message is to be received again.
        """
        leftover = from_message(json.loads(message))
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
