"""The end of a unit of work: all that was staged, in one transaction.

Rule: `docs/architecture.md`, "The life of a request".
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.storage import access
from chalicelib.storage.clock import MAX_LATEST_BYTES, StagedClock, Write
from chalicelib.storage.connection import MAX_ACTIONS, Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.items import Item, stored_bytes
from chalicelib.storage.keys import Key, listed_key
from chalicelib.storage.staging import StagedObject

MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024

MAX_NEW_ROWS: Final = 10_000
"""Access rows that one request may need: more would not be written in its time."""


class Commit:
    """One TransactWriteItems, all or nothing, with a new token."""

    def __init__(
        self,
        dynamo: Dynamo,
        deadline: Deadline,
        objects: Sequence[StagedObject],
        clocks: Sequence[StagedClock],
        read: Mapping[Key, Item | None],
    ) -> None:
        """Take what is to be written; nothing is called yet.

        Args:
            dynamo: the tables.
            deadline: of the request.
            objects: as staged.
            clocks: those that have changed.
            read: what the request has read, by key.
        """
        self._dynamo = dynamo
        self._deadline = deadline
        self._objects = objects
        self._clocks = clocks
        self._read = read

    def carry_out(self) -> None:
        """Write it. Access rows that don't fit in are put before it ("rows first").

        Raises:
            ConflictError: something was not as it was read; run the request again.
            ProtocolError: REQUEST_TOO_LARGE where it is more than a transaction can hold.
            UnavailableError: the time is over.
        """
        self._shorten_latest()
        tables = self._dynamo.tables
        actions = [
            *(staged.to_action(tables.objects) for staged in self._objects),
            *(clock.to_action(tables.objects) for clock in self._clocks),
        ]
        rows = [row for staged in self._objects for row in staged.rows]
        size = sum(staged.stored_bytes for staged in self._objects)
        size += sum(clock.max_stored_bytes for clock in self._clocks)
        if len(actions) > MAX_ACTIONS or len(rows) > MAX_NEW_ROWS or size > MAX_TRANSACTION_BYTES:
            raise ProtocolError(REQUEST_TOO_LARGE)
        puts = [access.put_action(tables.access, row) for row in rows]
        size += sum(stored_bytes(put["Put"]["Item"]) for put in puts)
        if len(actions) + len(puts) > MAX_ACTIONS or size > MAX_TRANSACTION_BYTES:
            self._put_before(rows)
        else:
            actions += puts
        self._dynamo.transact(actions, uuid.uuid4().hex, self._deadline)

    def _put_before(self, rows: Iterable[access.Row]) -> None:
        table = self._dynamo.tables.access
        puts = ([access.put_action(table, row, unless_newer=True)] for row in rows)
        try:
            self._dynamo.transact_possible(puts, self._deadline)
        except UnavailableError as error:  # of rows, which only propose: nothing is done yet
            raise UnavailableError(may_repeat=True) from error.__cause__

    def _shorten_latest(self) -> None:
        """Where a clock names much, keep only what isn't visible yet in that version.

        What the request has seen is. The rest is read by key: one more round trip, for all such
        clocks together.
        """
        long = [
            clock
            for clock in self._clocks
            if clock.first is not None and clock.as_read.latest_bytes > MAX_LATEST_BYTES
        ]
        unseen = {clock.key: self._unseen(clock) for clock in long}
        keys = [key for writes in unseen.values() for key in writes]
        found = self._dynamo.get(keys, self._deadline, attributes=["version"]) if keys else {}
        for clock in long:
            clock.kept = tuple(
                write.to_text()
                for key, write in unseen[clock.key].items()
                if key not in found or int(found[key]["version"]["N"]) < write.version
            )

    def _unseen(self, clock: StagedClock) -> dict[Key, Write]:
        """The writes that a clock names and the request hasn't seen, by the keys of their items."""
        named = clock.as_read.newest_writes.values()
        writes = {listed_key(clock.key.parent, write.id): write for write in named}
        return {
            key: write
            for key, write in writes.items()
            if (item := self._read.get(key)) is None or item.version < write.version
        }
