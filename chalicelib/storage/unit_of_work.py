"""The unit of work: load in one call, decide, stage, commit in one.

A request is a transaction: all that it stages is written, or nothing
(`docs/architecture.md`, "The life of a request").
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Any, Final, TypeVar

from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.principals import principals_of
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.sorting import Place
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage import access
from chalicelib.storage.clock import ROOT, StagedClock, Write, clock_from_raw
from chalicelib.storage.commits import Commit, StagedObject
from chalicelib.storage.connection import Deadline, Dynamo
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import Cause, Item, encode_body, from_raw
from chalicelib.storage.keyed import Keyed, read_keys
from chalicelib.storage.keys import (
    MEMBER,
    Key,
    clock_key,
    key_of_row,
    object_key,
    rows_prefix,
    uri_of,
)
from chalicelib.storage.lists import ListReader, Page

T = TypeVar("T")

PROBE: Final = "#heartbeat"
"""Key of the item that heartbeats write, in both tables; it is in no index."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the writes of a request come from, for their causes.

    Attributes:
        user_id: None for the anonymous.
        request_id: of the request.
        by_list: whether its address is a list's.
    """

    user_id: str | None = None
    request_id: str = ""
    by_list: bool = False


class UnitOfWork:
    """What one attempt to carry out a request has read, and will write."""

    def __init__(self, dynamo: Dynamo, deadline: Deadline, now_ms: Callable[[], int]) -> None:
        """Begin with nothing read and nothing staged.

        Args:
            dynamo: the tables.
            deadline: of the request.
            now_ms: this host's clock, in ms since the epoch.
        """
        self._dynamo = dynamo
        self._deadline = deadline
        self._now_ms = now_ms
        self._items: dict[Key, Item | None] = {}
        self._clocks: dict[Key, StagedClock] = {}
        self._staged: dict[Key, StagedObject] = {}
        self._proposed_groups: dict[str, frozenset[ObjectUri]] = {}

    # Reading

    def load(
        self,
        objects: Iterable[ObjectUri],
        lists: Iterable[ListUri] = (),
        *,
        groups_of: str | None = None,
    ) -> None:
        """Read these objects, and the clocks of these lists, in one round trip.

        What was read before is not read again, and what can't be there is not asked for.

        Args:
            objects: their addresses.
            lists: their addresses.
            groups_of: a user of whom it is read, at the same time, in which groups he may be.

        Raises:
            UnavailableError: there was no answer in the time left.
        """
        calls = [partial(self._load_items, objects, lists)]
        if groups_of is not None and groups_of not in self._proposed_groups:
            calls.append(partial(self._load_groups_of, groups_of))
        self._dynamo.parallel(_call, calls)

    def _load_items(self, objects: Iterable[ObjectUri], lists: Iterable[ListUri]) -> None:
        items = {object_key(uri) for uri in objects if uri.is_possible} - self._items.keys()
        clocks = {clock_key(uri) for uri in lists if uri.is_possible} - self._clocks.keys()
        if not items and not clocks:
            return
        found = self._dynamo.get(sorted(items | clocks), self._deadline)
        for key in items:
            self._items[key] = from_raw(found[key]) if key in found else None
        for key in clocks:
            loaded = clock_from_raw(found[key]) if key in found else None
            self._clocks[key] = StagedClock.of(key, loaded)

    def _load_groups_of(self, user_id: str) -> None:
        rows = self._dynamo.query_access(user_id, MEMBER, self._deadline)
        self._proposed_groups[user_id] = frozenset(uri_of(key_of_row(row)) for row in rows)

    def groups_of(self, user_id: str | None, among: Iterable[ObjectUri]) -> frozenset[ObjectUri]:
        """Those of these groups that the user is in: their own members decide.

        They are read, in one more round trip, but for those of which it is known already that
        they have no such member ("members decide", "group's bucket").

        Raises:
            UnavailableError: there was no answer in the time left.
        """
        if user_id is None:
            return frozenset()
        asked = frozenset(among)
        asked &= self._proposed_groups.get(user_id, asked)
        self.load([uri for group in asked for uri in (*group.ancestors, group)])
        return frozenset(group for group in asked if self._has_member(group, user_id))

    def _has_member(self, group: ObjectUri, user_id: str) -> bool:
        item = self._visible(group)
        return item is not None and item.is_live and user_id in access.members_of(item)

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

    def shared(
        self,
        uri: ListUri,
        user_id: str | None,
        granted_by: Callable[[Permissions], frozenset[str]],
    ) -> Keyed:
        """The objects of a list that name the user, or a group that he is in.

        Rows propose them; their own permissions decide. The list's clock and the user's groups
        were loaded before ("clock first").

        Args:
            uri: of a list whose parent is there.
            user_id: of the user; None for the anonymous.
            granted_by: the principals to which an object's own permissions give what is needed.

        Raises:
            UnavailableError: not all rows came in the time left.
        """
        principals = principals_of(user_id)
        groups = self._proposed_groups[user_id] if user_id is not None else frozenset()
        calls: list[Callable[[], frozenset[Any]]] = [partial(self.groups_of, user_id, groups)]
        for principal in sorted({*principals, *map(str, groups)}):
            calls.append(partial(self._proposed_ids, uri, principal))
        verified, *proposed = self._dynamo.parallel(_call, calls)
        mine = principals.union(map(str, verified))
        return self._read_by_key(
            uri,
            frozenset().union(*proposed, self._clock(uri).named_ids),
            is_shared_by=lambda permissions: not mine.isdisjoint(granted_by(permissions)),
        )

    def _proposed_ids(self, uri: ListUri, principal: str) -> frozenset[str]:
        """The ids of a list's objects that may name a principal."""
        prefix = rows_prefix(clock_key(uri).parent)
        rows = self._dynamo.query_access(principal, prefix, self._deadline)
        return frozenset(key_of_row(row).id for row in rows)

    def _read_by_key(
        self,
        uri: ListUri,
        ids: frozenset[str],
        is_shared_by: Callable[[Permissions], bool] | None = None,
    ) -> Keyed:
        clock = self._clock(uri)
        items = read_keys(self._dynamo, self._deadline, clock.key.parent, sorted(ids))
        return Keyed(items, ids, is_shared_by=is_shared_by, within=clock.within)

    def read_page(
        self,
        uri: ListUri,
        query: ListQuery,
        after: Place | None = None,
        *,
        shared: Keyed | None = None,
    ) -> Page:
        """A page of a list whose clock was loaded before ("clock first").

        Args:
            uri: of the list.
            query: what is wanted of it.
            after: the place that the page begins behind; None for the first.
            shared: the part of the list that the user may see; None for the whole.

        Raises:
            UnavailableError: the time left didn't allow to read all that decides on it.
        """
        reader = self._reader(uri, query, shared, with_tombstones=query.wants_tombstones)
        return Page([], 0, None) if reader is None else reader.page(after)

    def find_matches(
        self, uri: ListUri, query: ListQuery, shared: Keyed | None = None
    ) -> Iterator[ObjectUri]:
        """The live objects that the filters admit, as `ListReader.matches` gives them.

        Raises:
            UnavailableError: the time left didn't allow to go on.
        """
        reader = self._reader(uri, query, shared, with_tombstones=False)
        return iter(()) if reader is None else map(uri.object, reader.matches())

    def _reader(
        self, uri: ListUri, query: ListQuery, shared: Keyed | None, *, with_tombstones: bool
    ) -> ListReader | None:
        """What reads a list; None for one that nobody has used."""
        clock = self._clock(uri)
        if clock.loaded is None:
            return None
        return ListReader(
            self._dynamo,
            self._deadline,
            clock.key.parent,
            clock=clock.loaded,
            query=query,
            with_tombstones=with_tombstones,
            keyed=shared or self._keyed(uri, query),
        )

    def _keyed(self, uri: ListUri, query: ListQuery) -> Keyed | None:
        """What is read by key of a whole list: what ids ask for, and buckets; None for others."""
        if query.ids is not None:
            return self._read_by_key(uri, frozenset(filter(uri.kind.is_id, query.ids)))
        if uri.parent is None:
            ids = self._proposed_ids(uri, access.ALL_BUCKETS) | self._clock(uri).named_ids
            return self._read_by_key(uri, ids)
        return None

    def check_tables(self) -> tuple[bool, bool]:
        """Whether `objects`, and `access`, take a small write and give it back."""
        tables = self._dynamo.tables
        probes = [
            (tables.objects, {"parent": {"S": PROBE}, "id": {"S": PROBE}}),
            (tables.access, {"principal": {"S": PROBE}, "object": {"S": PROBE}}),
        ]
        storage, permission = self._dynamo.parallel(
            lambda probe: self._dynamo.keeps(*probe, self._deadline), probes
        )
        return storage, permission

    def _item(self, uri: ObjectUri) -> Item | None:
        """The item as staged or read; the API asks only for what it has loaded."""
        if not uri.is_possible:
            return None
        key = object_key(uri)
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

    # Staging

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
        """
        clock = self._clock(uri.list)
        old = self._visible(uri)
        is_new = old is None or not old.is_live
        before = clock.timestamp
        times = clock.tick(now_ms=self._now_ms(), given=last_modified)
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
        self._stage(uri, item, clock, before, origin, grown=int(is_new))
        return StoredObject(uri.id, times.last_modified, data, permissions)

    def delete(
        self, uri: ObjectUri, *, origin: Origin, last_modified: int | None = None
    ) -> Tombstone:
        """Stage the tombstone of an object that is there, and end the lists that it holds.

        Raises:
            ConflictError: what was read doesn't fit together.
        """
        clock = self._clock(uri.list)
        for below in uri.lists:
            self._clock(below).close()
        before = clock.timestamp
        times = clock.tick(now_ms=self._now_ms(), given=last_modified)
        item = Item(
            key=object_key(uri),
            is_live=False,
            last_modified=times.last_modified,
            version=times.timestamp,
            within=clock.within,
        )
        self._stage(uri, item, clock, before, origin, grown=-1)
        return Tombstone(uri.id, times.last_modified)

    def begin(self, uri: ListUri) -> None:
        """Stage a clock for the list of buckets where nobody has used it; others have one."""
        clock = self._clock(uri)
        if clock.timestamp == 0:
            clock.tick(now_ms=self._now_ms(), given=None)

    def hold(self, uri: ListUri) -> None:
        """Commit only if the list's timestamp is then as it was read ("T as loaded")."""
        self._clock(uri).is_held = True

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

    def _stage(
        self,
        uri: ObjectUri,
        item: Item,
        clock: StagedClock,
        before: int,
        origin: Origin,
        *,
        grown: int,
    ) -> None:
        clock.grown += grown
        clock.writes = [write for write in clock.writes if write.id != uri.id]
        clock.writes.append(Write(uri.id, item.version, item.last_modified, item.is_live))
        cause = Cause(origin.user_id, origin.request_id, origin.by_list, before)
        self._staged[item.key] = StagedObject(uri, item, cause, self._items[item.key])

    # Committing

    def commit(self) -> None:
        """Write all that was staged, each object only if it is still as it was read.

        Raises:
            ConflictError: something was not as it was read; run the request again.
            ProtocolError: REQUEST_TOO_LARGE where it is more than a transaction can hold.
            UnavailableError: the time is over.
        """
        clocks = [clock for clock in self._clocks.values() if clock.is_changed]
        if clocks:
            Commit(self._dynamo, self._deadline, [*self._staged.values()], clocks).carry_out()


def _call(function: Callable[[], T]) -> T:
    return function()
