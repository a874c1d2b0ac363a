"""The unit of work: load in one call, decide, stage, commit in one.

A request is a transaction: all that it stages is written, or nothing
(`docs/architecture.md`, "The life of a request").
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

from chalicelib.protocol.principals import principals_of
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.sorting import Place
from chalicelib.protocol.stored import Permissions
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage import access
from chalicelib.storage.clock import ROOT, StagedClock, clock_from_raw
from chalicelib.storage.commits import Commit
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import ATTEMPT_S, Deadline
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import from_raw
from chalicelib.storage.keyed import Keyed, read_keys
from chalicelib.storage.keys import (
    MEMBER,
    clock_key,
    key_if_possible,
    key_of_row,
    rows_prefix,
    uri_of,
)
from chalicelib.storage.lists import ListReader
from chalicelib.storage.staging import Staging
from chalicelib.storage.still_pages import Page
from chalicelib.tracing import part

T = TypeVar("T")

PROBE: Final = "#heartbeat"
"""Key of the item that heartbeats write, in both tables; it is in no index."""


class UnitOfWork(Staging):
    """What one attempt to carry out a request has read, and will write."""

    def __init__(
        self,
        dynamo: Dynamo,
        deadline: Deadline,
        now_ms: Callable[[], int],
        read: "UnitOfWork | None" = None,
    ) -> None:
        """Begin with nothing staged.

        Args:
            dynamo: the tables.
            deadline: of the request.
            now_ms: this host's clock, in ms since the epoch.
            read: the attempt before, if what it has read is to do for this one.
        """
        super().__init__(now_ms)
        self._dynamo = dynamo
        self._deadline = deadline
        self._has_read_lists = False
        if read is not None:
            self._items |= read._items
            self._clocks |= {
                key: StagedClock.of(key, clock.loaded) for key, clock in read._clocks.items()
            }

    # Reading

    def load(self, objects: Iterable[ObjectUri], lists: Iterable[ListUri] = ()) -> None:
        """Read these objects, and the clocks of these lists, in one round trip.

        What was read before is not read again, and what can't be there is not asked for.

        Args:
            objects: their addresses.
            lists: their addresses.

        Raises:
            UnavailableError: there was no answer in the time left.
        """
        items = {key for uri in objects if (key := key_if_possible(uri))} - self._items.keys()
        clocks = {clock_key(uri) for uri in lists if uri.is_possible} - self._clocks.keys()
        if not items and not clocks:
            return
        with part("load"):
            found = self._dynamo.get(sorted(items | clocks), self._deadline)
        for key in items:
            self._items[key] = from_raw(found[key]) if key in found else None
        for key in clocks:
            loaded = clock_from_raw(found[key]) if key in found else None
            self._clocks[key] = StagedClock.of(key, loaded)

    def groups_of(self, user_id: str | None, among: Iterable[ObjectUri]) -> frozenset[ObjectUri]:
        """Those of these groups that the user is in: their own members decide.

        They are read, in one more round trip ("members decide", "group's bucket").

        Raises:
            UnavailableError: there was no answer in the time left.
        """
        if user_id is None:
            return frozenset()
        asked = frozenset(among)
        self.load([uri for group in asked for uri in (*group.ancestors, group)])
        return frozenset(group for group in asked if self._has_member(group, user_id))

    def _has_member(self, group: ObjectUri, user_id: str) -> bool:
        item = self._visible(group)
        return item is not None and item.is_live and user_id in access.members_of(item)

    def shared(
        self,
        uri: ListUri,
        user_id: str | None,
        granted_by: Callable[[Permissions], frozenset[str]],
    ) -> Keyed:
        """The objects of a list that name the user, or a group that he is in.

        Rows propose them, and groups; their own permissions, and members, decide. The list's
        clock was loaded before ("clock first").

        Args:
            uri: of a list whose parent is there.
            user_id: of the user; None for the anonymous.
            granted_by: the principals to which an object's own permissions give what is needed.

        Raises:
            UnavailableError: not all rows came in the time left.
        """
        principals = principals_of(user_id)
        proposed, groups = self._proposed(uri, principals, partial(self._groups_with, user_id))
        by_groups, verified = self._proposed(
            uri, map(str, groups), partial(self.groups_of, user_id, groups)
        )
        mine = principals.union(map(str, verified))
        return self._read_by_key(
            uri,
            proposed | by_groups | self._clock(uri).as_read.newest_writes.keys(),
            is_shared_by=lambda permissions: not mine.isdisjoint(granted_by(permissions)),
        )

    def _proposed(
        self,
        uri: ListUri,
        principals: Iterable[str],
        groups: Callable[[], frozenset[ObjectUri]],
    ) -> tuple[frozenset[str], frozenset[ObjectUri]]:
        """The ids of a list's objects that may name a principal; and, at the same time, groups."""
        asked = () if self._clock(uri).begins else sorted(principals)
        calls: list[Callable[[], frozenset[Any]]] = [groups]
        calls += (partial(self._proposed_ids, uri, principal) for principal in asked)
        found, *ids = self._dynamo.parallel(_call, calls)
        return frozenset().union(*ids), found

    def _groups_with(self, user_id: str | None) -> frozenset[ObjectUri]:
        """The groups that the user may be in."""
        if user_id is None:
            return frozenset()
        rows = self._dynamo.query_access(user_id, MEMBER, self._deadline)
        return self._staged_groups().union(uri_of(key_of_row(row)) for row in rows)

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
        """What is in a list of these ids, and whatever is staged there."""
        self._has_read_lists = True
        clock = self._clock(uri)
        staged = self._staged_in(uri)
        unknown = () if clock.begins else sorted(ids - staged.keys())
        items = read_keys(self._dynamo, self._deadline, clock.key.parent, unknown)
        return Keyed(
            chain(staged.values(), items), ids, is_shared_by=is_shared_by, within=clock.within
        )

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
        return reader.page(after)

    def find_matches(
        self, uri: ListUri, query: ListQuery, shared: Keyed | None = None
    ) -> Iterator[ObjectUri]:
        """The live objects that the filters admit, as `ListReader.matches` gives them.

        Raises:
            UnavailableError: the time left didn't allow to go on.
        """
        reader = self._reader(uri, query, shared, with_tombstones=False)
        return map(uri.object, reader.matches())

    def _reader(
        self, uri: ListUri, query: ListQuery, shared: Keyed | None, *, with_tombstones: bool
    ) -> ListReader:
        self._has_read_lists = True
        clock = self._clock(uri)
        return ListReader(
            self._dynamo,
            self._deadline,
            clock.key.parent,
            clock=clock.as_read,
            staged=self._staged_in(uri),
            query=query,
            with_tombstones=with_tombstones,
            keyed=shared or self._keyed(uri, query),
        )

    def _keyed(self, uri: ListUri, query: ListQuery) -> Keyed | None:
        """What is read by key of a whole list: what ids ask for, and buckets; None for others.

        Of a list that begins in this unit, that is what is staged, and nothing is read.
        """
        if self._clock(uri).begins:
            return self._read_by_key(uri, frozenset())
        if query.ids is not None:
            return self._read_by_key(uri, frozenset(filter(uri.kind.is_id, query.ids)))
        if uri.parent is None:
            return self._read_by_key(uri, self._ids_of_buckets(uri))
        return None

    def find_stored(self, uri: ListUri) -> Iterator[ObjectUri]:
        """The buckets and tombstones in a list of buckets whose clock was loaded before.

        Lazy: the next ones are read only if they are asked for.

        Raises:
            UnavailableError: not all came in the time left.
        """
        for item in self._read_by_key(uri, self._ids_of_buckets(uri)):
            if item.within == ROOT:
                yield uri.object(item.key.id)

    def _ids_of_buckets(self, uri: ListUri) -> frozenset[str]:
        proposed = self._proposed_ids(uri, access.ALL_BUCKETS)
        return proposed.union(self._clock(uri).as_read.newest_writes)

    def check_tables(self, *, reads_only: bool = False) -> tuple[bool, bool]:
        """Whether `objects`, and `access`, take a small write and give it back.

        Args:
            reads_only: for a service that writes nothing: whether they can be read.
        """
        tables = self._dynamo.tables
        probes = [
            (tables.objects, {"parent": {"S": PROBE}, "id": {"S": PROBE}}),
            (tables.access, {"principal": {"S": PROBE}, "object": {"S": PROBE}}),
        ]
        storage, permission = self._dynamo.parallel(
            lambda probe: self._dynamo.keeps(*probe, self._deadline, reads_only=reads_only), probes
        )
        return storage, permission

    def require_time(self, seconds: float) -> None:
        """Go on only if there is time for something that takes so long, and the commit after it.

        Raises:
            UnavailableError: there isn't.
        """
        self._deadline.check(needed_s=seconds + ATTEMPT_S)

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
            commit = Commit(
                self._dynamo, self._deadline, [*self._staged.values()], clocks, self._items
            )
            with part("commit", refusals=(ConflictError,)):
                commit.carry_out()
        for do in self._afterwards:
            do()

    def may_hold_after(self, conflict: ConflictError) -> bool:
        """Whether what was read will do for another attempt.

        A collision tells of no change, and leaves nothing behind. So the same reads, committed
        later, are those of a request that took longer on its way, and the commit's conditions are
        there for that. They would fail where nothing may have come in between.
        """
        if conflict.by_condition or self._has_read_lists:  # these have gone on since
            return False
        clocks = [clock for clock in self._clocks.values() if clock.is_touched]
        return not any(clock.is_refused_after_any for clock in clocks)


def _call(function: Callable[[], T]) -> T:
    return function()
