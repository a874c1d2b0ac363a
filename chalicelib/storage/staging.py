"""What a request has read, and what it makes of that: objects and clocks, as they will be.

Nothing here calls DynamoDB. Rule: `docs/architecture.md`, "The life of a request".
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Any, Final, TypeAlias

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path

from chalicelib.protocol.events import Operation
from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage import access
from chalicelib.storage.clock import ROOT, StagedClock, Write
from chalicelib.storage.connection import condition_of
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import Cause, Item, RawItem, checked_bytes, encode_body, to_raw
from chalicelib.storage.keys import Key, clock_key, key_if_possible, object_key
from chalicelib.storage.operations import operation_of

_NOWHERE = "removed"
"""What is within nothing is not there for anybody."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the writes of a request come from, for their causes.

    Attributes:
        user_id: None for the anonymous.
        request_id: of the request.
        by_list: whether its address is a list's.
        is_silent: whether no event tells of them.
    """

    user_id: str | None = None
    request_id: str = ""
    by_list: bool = False
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class StagedObject:
    """An object as it will be, and as it was read.

    Attributes:
        uri: its address.
        item: what it will be.
        raw: the same as DynamoDB stores it; None where nothing will be left of it.
        stored_bytes: what DynamoDB counts for that.
        read: as it was read; None where there was nothing.
        cause: what events tell of its writes, once they are committed; None as `raw`.
    """

    uri: ObjectUri
    item: Item
    raw: RawItem | None
    stored_bytes: int
    read: Item | None
    cause: Cause | None

    def to_action(self, table: str) -> dict[str, Any]:
        """Its write, under the condition that it is still as it was read."""
        condition = _MISSING if self.read is None else condition_of(as_read(self.read))
        if self.raw is not None:
            return {"Put": {"TableName": table, "Item": self.raw, **condition}}
        key = {"parent": {"S": self.item.key.parent}, "id": {"S": self.item.key.id}}
        return {"Delete": {"TableName": table, "Key": key, **condition}}

    @property
    def rows(self) -> list[access.Row]:
        """The rows that it needs and hasn't got."""
        if self.raw is None:
            return []
        read = self.read
        if read is not None and not (read.is_live and read.within == self.item.within):
            read = None
        return access.rows_to_put(self.uri, self.item, read)


def as_read(read: Item | None) -> Condition:
    """The condition that an item is as it was read, or still missing ("as read", "version").

    It covers the object and its tombstone, as both are one item ("one item").
    """
    if read is None:
        return Path("parent").does_not_exist()
    return Path("version") == read.version


_MISSING: Final = condition_of(as_read(None))
"""Of all that is new."""

Done: TypeAlias = Callable[[], Operation | None]
"""Gives an operation, or None for one that is not told of; made only where somebody listens."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """What was staged at some time."""

    objects: dict[Key, StagedObject]
    clocks: dict[Key, StagedClock]
    done: tuple[Done, ...]
    afterwards: tuple[Callable[[], None], ...]


class Staging:
    """Objects and clocks as read, and on top of them as staged: later steps see the earlier."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Begin with nothing read and nothing staged.

        Args:
            now_ms: this host's clock, in ms since the epoch.
        """
        self.now_ms = now_ms
        self._items: dict[Key, Item | None] = {}
        self._clocks: dict[Key, StagedClock] = {}
        self._staged: dict[Key, StagedObject] = {}
        self._done: tuple[Done, ...] = ()
        self._afterwards: tuple[Callable[[], None], ...] = ()
        self._written_ms = 0
        self._begun_ms: int | None = None

    # What is there

    def find(self, uri: ObjectUri) -> StoredObject | Tombstone | None:
        """The object or its tombstone, as read or as staged; None where there is neither.

        What was written within another incarnation of the parent is not there ("within").
        """
        item = self._visible(uri)
        return None if item is None else item.to_stored()

    def permissions(self, uri: ObjectUri) -> Permissions | None:
        """The permissions of the object; None where there is none."""
        item = self._visible(uri)
        return None if item is None or not item.is_live else item.permissions or {}

    def timestamp(self, uri: ListUri) -> int:
        """The list's timestamp, staged writes included; 0 of a list that nobody has used."""
        return self._clock(uri).timestamp

    def _item(self, uri: ObjectUri) -> Item | None:
        """The item as staged or read; the API asks only for what it has loaded."""
        key = key_if_possible(uri)
        if key is None:
            return None
        staged = self._staged.get(key)
        return staged.item if staged else self._items[key]

    def _visible(self, uri: ObjectUri) -> Item | None:
        item = self._item(uri)
        if item is None or item.within != self._within(uri.list):
            return None
        return item

    def _within(self, uri: ListUri) -> str | None:
        """The incarnation of a list's parent; None where that isn't there."""
        if uri.parent is None:
            return ROOT
        parent = self._visible(uri.parent)
        return parent.incarnation if parent is not None and parent.is_live else None

    def _clock(self, uri: ListUri) -> StagedClock:
        """The clock of a list whose parent is there.

        Raises:
            ConflictError: it is not within the parent as read; both were read while one changed.
        """
        clock = self._clocks[clock_key(uri)]
        if clock.within != self._within(uri):
            raise ConflictError(f"the clock of {uri} is not within its parent as read")
        return clock

    def _staged_in(self, uri: ListUri) -> dict[str, Item]:
        """What was staged in a list, by id: also what is not there any more."""
        return {
            staged.uri.id: staged.item for staged in self._staged.values() if staged.uri.list == uri
        }

    def _staged_groups(self) -> frozenset[ObjectUri]:
        return frozenset(staged.uri for staged in self._staged.values() if staged.uri.kind is GROUP)

    # What is to be there

    def assume_missing(self, uri: ObjectUri) -> None:
        """Take it that nothing is, or ever was, at an address just made up.

        The commit's conditions decide; where they fail, the request is run again.

        Raises:
            ConflictError: something is known to be there; run the request again.
        """
        key = object_key(uri)
        if self._items.get(key) or key in self._staged:
            raise ConflictError(f"{uri} was made up, and is in use")
        self._items[key] = None
        for below in map(clock_key, uri.lists):
            self._clocks[below] = StagedClock.of(below, None)

    def put(
        self,
        uri: ObjectUri,
        data: JsonObject,
        permissions: Permissions,
        *,
        origin: Origin,
        last_modified: int | None = None,
    ) -> StoredObject:
        """Stage an object, created or replaced, and give it as it will be.

        Its parents, its list's clock, itself and the clocks of its own lists must be loaded.

        Args:
            uri: the address.
            data: all of its properties.
            permissions: all of them.
            origin: where the write comes from.
            last_modified: the client's timestamp, where it is honoured.

        Raises:
            ProtocolError: REQUEST_TOO_LARGE where an item can't hold it.
            ConflictError: what was read doesn't fit together.
            LookupError: what is to hold it is not there.
        """
        if self._within(uri.list) is None:
            raise LookupError(f"there is no {uri.parent} that could hold {uri}")
        clock = self._clock(uri.list)
        old = self._visible(uri)
        is_new = old is None or not old.is_live
        before = clock.timestamp
        times = clock.tick(now_ms=self._next_ms(), given=last_modified)
        item = Item(
            key=object_key(uri),
            is_live=True,
            last_modified=times.last_modified,
            version=times.timestamp,
            within=clock.within,
            incarnation=self._incarnation(uri, None if is_new else old, at_ms=times.timestamp),
            permissions=permissions,
            body=encode_body(data),
        )
        self._stage(uri, item, clock, _cause(origin, before), old, grown=int(is_new))
        return StoredObject(uri.id, times.last_modified, item.text, permissions)

    def delete(
        self, uri: ObjectUri, *, origin: Origin, last_modified: int | None = None
    ) -> Tombstone:
        """Stage the tombstone of an object that is there, and end the lists that it holds.

        Raises:
            ConflictError: what was read doesn't fit together.
        """
        old = self._visible(uri)
        clock = self._end_lists(uri)
        before = clock.timestamp
        times = clock.tick(now_ms=self._next_ms(), given=last_modified)
        item = Item(
            key=object_key(uri),
            is_live=False,
            last_modified=times.last_modified,
            version=times.timestamp,
            within=clock.within,
        )
        self._stage(uri, item, clock, _cause(origin, before), old, grown=-1)
        return Tombstone(uri.id, times.last_modified)

    def remove(self, uri: ObjectUri) -> None:
        """Stage that nothing is left of an object or tombstone, and end the lists that it holds.

        Raises:
            ConflictError: what was read doesn't fit together.
        """
        visible = self._visible(uri)
        is_live = visible is not None and visible.is_live
        clock = self._end_lists(uri) if is_live else self._clock(uri.list)
        times = clock.tick(now_ms=self._next_ms(), given=None)
        key = object_key(uri)
        item = Item(
            key=key,
            is_live=False,
            last_modified=times.last_modified,
            version=times.timestamp,
            within=_NOWHERE,
        )
        self._staged[key] = StagedObject(uri, item, None, 0, self._items[key], None)
        clock.grown -= int(is_live)
        clock.forget(uri.id)

    def begin(self, uri: ListUri) -> None:
        """Stage a clock for the list of buckets where nobody has used it; others have one."""
        clock = self._clock(uri)
        if clock.timestamp == 0:
            # What a step that is rolled back has told of the list, the next ones tell as well.
            self._begun_ms = self._begun_ms or self._next_ms()
            clock.tick(now_ms=self._begun_ms, given=None)

    def advance(self, uri: ListUri) -> None:
        """Stage a timestamp of the list above all that it had."""
        self._clock(uri).tick(now_ms=self._next_ms(), given=None)

    def hold(self, uri: ListUri) -> None:
        """Commit only if the list's timestamp is then as it was read ("T as loaded")."""
        self._clock(uri).is_held = True

    def _next_ms(self) -> int:
        """The time of a write: behind those before it, in other lists as well."""
        self._written_ms = max(self.now_ms(), self._written_ms + 1)
        return self._written_ms

    def afterwards(self, do: Callable[[], None]) -> None:
        """Have something done once all is committed; it raises nothing."""
        self._afterwards = (*self._afterwards, do)

    def _incarnation(self, uri: ObjectUri, old: Item | None, *, at_ms: int) -> str | None:
        """That of what is there, or a new one, for which the lists below begin anew."""
        if not uri.lists:
            return None
        if old is not None:
            return old.incarnation
        incarnation = token_hex(8)
        for below in uri.lists:
            self._clocks[clock_key(below)].open(incarnation, at_ms)
        return incarnation

    def _end_lists(self, uri: ObjectUri) -> StagedClock:
        """Close the lists that an object holds, and give the clock of its own.

        What this unit has staged below stays where the parent it is within is stored: it is told
        of, and the purge finds it. Within a parent made in this unit, nothing would find it.
        """
        clock = self._clock(uri.list)
        if not uri.lists:
            return clock
        for below in uri.lists:
            self._clock(below).close()
        for staged in [each for each in self._staged.values() if uri in each.uri.ancestors]:
            if not self._is_within_stored(staged):
                del self._staged[staged.item.key]
                for below in staged.uri.lists:
                    self._clocks[clock_key(below)].abandon()
        return clock

    def _is_within_stored(self, staged: StagedObject) -> bool:
        parent = staged.uri.parent
        read = None if parent is None else self._items[object_key(parent)]
        return read is not None and read.incarnation == staged.item.within

    def _stage(
        self,
        uri: ObjectUri,
        item: Item,
        clock: StagedClock,
        cause: Cause,
        old: Item | None,
        *,
        grown: int,
    ) -> None:
        clock.grown += grown
        clock.name(Write(uri.id, item.version, item.last_modified, item.is_live))
        self._done = (*self._done, partial(operation_of, uri, old, item, cause))
        staged = self._staged.get(item.key)
        is_one_change = staged is not None and staged.item.within == item.within
        if staged and staged.cause and is_one_change and not staged.cause.silent:
            cause = staged.cause  # of the first of them: they are one change
        raw = to_raw(item, cause)
        read = self._items[item.key]
        self._staged[item.key] = StagedObject(uri, item, raw, checked_bytes(raw), read, cause)

    # What was done

    def tell(self, operation: Operation) -> None:
        """Add an operation that staged nothing: what was read."""
        self._done = (*self._done, lambda: operation)

    def take_operations(self) -> list[Operation]:
        """What was done since they were last taken, in order, but for what is silent."""
        done, self._done = self._done, ()
        return [operation for each in done if (operation := each()) is not None]

    # Steps

    def savepoint(self) -> Savepoint:
        """What is staged now, to go back to."""
        clocks = {key: clock.copy() for key, clock in self._clocks.items() if clock.is_touched}
        return Savepoint(dict(self._staged), clocks, self._done, self._afterwards)

    def roll_back(self, savepoint: Savepoint) -> None:
        """Forget what was staged since; what was read stays known."""
        self._staged = dict(savepoint.objects)
        self._done = savepoint.done
        self._afterwards = savepoint.afterwards
        for key, clock in self._clocks.items():
            before = savepoint.clocks.get(key)
            self._clocks[key] = before.copy() if before else StagedClock.of(key, clock.loaded)


def _cause(origin: Origin, before: int) -> Cause:
    return Cause(origin.user_id, origin.request_id, origin.by_list, before, silent=origin.is_silent)
