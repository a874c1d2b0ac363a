"""From records of the stream to what follows a change: events for listeners, leftovers to purge.

Rule: `docs/architecture.md`, "Events".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.events.deliveries import MAX_EVENT_BYTES, delivery_of
from chalicelib.events.purging import to_messages
from chalicelib.events.queues import MAX_BATCH_BYTES, InGroup, Queue, Queues, to_text
from chalicelib.events.stream import StreamRecord, images_of
from chalicelib.observability import log_failed_record
from chalicelib.protocol.events import Operation, Selection, to_events
from chalicelib.storage.items import cause_from_raw, from_raw, is_object
from chalicelib.storage.keys import uri_of
from chalicelib.storage.operations import operation_of, told_bytes
from chalicelib.storage.packing import packed
from chalicelib.storage.purge import Leftover, leftovers_of

MAX_PART_BYTES: Final = 4_000_000
"""JSON that is told at once: parsed, it takes up to thirty times as much of the memory."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of an item leads to.

    Attributes:
        record: that it is in.
        leftovers: what it leaves behind.
        operation: what listeners are told; None where that is nothing.
        text_bytes: what there is to tell, as JSON.
    """

    record: StreamRecord
    leftovers: list[Leftover]
    operation: Operation | None
    text_bytes: int = 0


def change_in(record: StreamRecord, *, is_told: bool = True) -> Change:
    """What a record of the stream leads to.

    Args:
        record: as Lambda hands it over.
        is_told: whether there is a listener.

    Raises:
        Exception: it is no record of our items.
    """
    old, new = images_of(record)
    leftovers = [*leftovers_of(old, new)]
    if not is_told or new is None or not is_object(new):
        return Change(record, leftovers, None)
    before = from_raw(old) if old is not None and is_object(old) else None
    after = from_raw(new)
    size = told_bytes(before, after)
    is_cut = size > MAX_EVENT_BYTES
    operation = operation_of(uri_of(after.key), before, after, cause_from_raw(new), is_cut=is_cut)
    return Change(record, leftovers, operation, 0 if is_cut else size)


class Changes:
    """What the function `changes` does."""

    def __init__(self, queues: Queues, listeners: Mapping[str, Selection]) -> None:
        """Keep the queues, and what each listener wants to hear of; nothing is called yet."""
        self._queues = queues
        self._listeners = listeners

    def handle(self, records: Iterable[StreamRecord]) -> None:
        """Queue a delivery of each event to each listener, and what these changes leave behind.

        A record that can't be read goes to the dead letters, whole: it never blocks the stream.
        Nor do many large ones: no more of them are in memory than is told at once.

        Raises:
            Exception: a queue can't be reached; the same records are to be handled again.
        """
        changes = (change for record in records if (change := self._read(record)) is not None)
        for part in packed(changes, size=lambda change: change.text_bytes, most=MAX_PART_BYTES):
            self._queue(part)

    def _read(self, record: StreamRecord) -> Change | None:
        try:
            return change_in(record, is_told=bool(self._listeners))
        except Exception as error:
            self._bury(record, error)
            return None

    def _queue(self, part: Sequence[Change]) -> None:
        """Queue what these lead to; of what we didn't think of, what doesn't go is a dead letter.

        It mustn't block the stream, either.
        """
        try:
            purges = [*to_messages(left for change in part for left in change.leftovers)]
            deliveries = self._deliveries(part)
        except Exception as error:
            if len(part) > 1:
                for change in part:
                    self._queue([change])
            else:
                self._bury(part[0].record, error)
            return
        self._queues.send(Queue.PURGES, purges)
        for of_listener in deliveries:
            self._queues.send_in_order(Queue.DELIVERIES, of_listener)

    def _deliveries(self, part: Sequence[Change]) -> list[list[InGroup]]:
        """The messages to each listener, in their order."""
        operations = [change.operation for change in part if change.operation is not None]
        return [
            [delivery_of(name, event).in_order() for event in to_events(selection.of(operations))]
            for name, selection in self._listeners.items()
        ]

    def _bury(self, record: StreamRecord, error: Exception) -> None:
        log_failed_record(str(record.get("eventID")), error)
        self._queues.send(Queue.DEAD_LETTERS, [_dead_letter(record)])


def _dead_letter(record: StreamRecord) -> Any:
    """The record; where a message can't hold it, what names it."""
    if len(to_text(record)) < MAX_BATCH_BYTES:
        return record
    whole = record.get("dynamodb", {})
    change = {name: whole.get(name) for name in ("Keys", "SequenceNumber")}
    return {"eventID": record.get("eventID"), "truncated": True, "dynamodb": change}
