"""Lists by what is asked of them: pages, and all that matches; complete though commits are torn.

Rule: `docs/architecture.md`, "Lists". The clock was read before anything here is ("clock first").
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Final

from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.sorting import Place
from chalicelib.storage.clock import Clock, Write, clock_from_raw
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import ANSWER_S, Deadline
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import Item, RawItem
from chalicelib.storage.keyed import Keyed, read_keys
from chalicelib.storage.keys import (
    CLOCK_ID,
    Key,
    Position,
    TimeRange,
    listed_key,
    position_of,
    time_range,
)
from chalicelib.storage.still_pages import Page, still_page
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED, RANGE_KEYS
from chalicelib.storage.windows import Entry, Window, fitting

LARGE_AT_ONCE: Final = 16
"""Large bodies read at once, to be filtered by: about what one BatchGetItem answers."""

AT_ONCE: Final = 500
"""Entries of a range that are kept, to be counted and shown in the other order."""

WAITING_AT_ONCE: Final = 100
"""Entries that wait for them at most, as the order stays."""


@dataclass(slots=True)
class _Part:
    """What came from one source.

    Attributes:
        window: the entries that a page may show, of all that stays as it is.
        moving: what was written since the clock was read, or isn't visible everywhere yet, and so
            may be met twice: by id, in its newest version.
        counted: hashes of the ids of live objects that the filters admit, of all that stays.
    """

    window: Window
    moving: dict[str, Item] = field(default_factory=dict)
    counted: "array[int]" = field(default_factory=partial(array, "q"))


class ListReader:
    """Reads one list for one query."""

    def __init__(
        self,
        dynamo: Dynamo,
        deadline: Deadline,
        parent: str,
        *,
        clock: Clock,
        staged: dict[str, Item],
        query: ListQuery,
        keyed: Keyed | None,
        with_tombstones: bool,
    ) -> None:
        """Prepare to read; nothing is called yet.

        Args:
            dynamo: the tables.
            deadline: of the request.
            parent: the hash key of the list's clock.
            clock: as it was read, with the count that the staged objects make.
            staged: what the request has staged in the list, by id: newer than all that is read.
            query: what is wanted.
            keyed: the only objects that count; None for all that are in the index.
            with_tombstones: whether deletions are wanted as well.
        """
        self._dynamo = dynamo
        self._deadline = deadline
        self._parent = parent
        self._clock = clock
        self._staged = staged
        self._query = query
        self._keyed = keyed
        self._needs_data = query.needs_data
        self._with_tombstones = with_tombstones
        self._named = clock.newest_writes
        times = query.times
        self._range = time_range(clock.within, since=times.since, before=times.before)
        # An index can stop at the limit only in its own order, where the clock has counted.
        self._is_counted = not query.filters and keyed is None
        self._stops_early = self._is_counted and query.order.is_by_time

    def page(self, after: Place | None = None) -> Page:
        """The page that begins behind this place.

        Raises:
            UnavailableError: the time left didn't allow to read all that decides on it.
        """
        if self._has_nothing_new and not self._staged:
            return Page([], 0, None)
        if self._stops_early:
            between, raws = self._first_entries(after)
            read: list[RawItem] = []
            page = self._still(raws, read, between, total=self._clock.count)
        elif after is None and self._is_one_range:
            raws = self._query_index(BY_LAST_MODIFIED, self._range)
            # From the oldest on, as what is written meanwhile is met again then; and all, to count.
            read = [*islice(raws, AT_ONCE + 1)]
            in_order = read if self._query.order.is_oldest_first else reversed(read)
            page = None
            if len(read) <= AT_ONCE:
                page = self._still(in_order, [], self._range, total=len(read))
            if page is not None and page.next is not None:
                page = None  # behind its end, what moves or isn't visible yet may be counted wrong
        else:
            return self._page_of(self._sources(), after)
        if page is not None:
            return page
        items = (self._from_entry(raw, BY_LAST_MODIFIED) for raw in chain(read, raws))
        return self._page_of([items], after)

    @property
    def _is_one_range(self) -> bool:
        """Whether it is a range of the index by time in its order that is asked for, and there."""
        query = self._query
        return (
            self._keyed is None
            and query.order.is_by_time
            and query.is_of_times
            and not self._clock.has_deletions(query.times.since)
        )

    @property
    def _has_nothing_new(self) -> bool:
        """Whether what is newer than is asked for is newer than this answer, too."""
        since = self._query.times.since
        return self._keyed is None and since is not None and since >= self._clock.timestamp

    def _still(
        self, raws: Iterable[RawItem], read: list[RawItem], between: TimeRange, *, total: int
    ) -> Page | None:
        if self._staged:
            return None
        query = self._query
        return still_page(
            raws,
            read,
            clock=self._clock,
            total=total,
            between=between,
            ascending=query.order.is_oldest_first,
            limit=query.limit,
        )

    def _page_of(self, sources: Sequence[Iterator[Item]], after: Place | None) -> Page:
        parts = self._dynamo.parallel(partial(self._gather, after=after), sources)
        windows = [part.window for part in parts]
        moving = _newest(part.moving for part in parts) | self._staged
        moving |= self._read_late(moving, windows)
        moved = [entry for item in moving.values() if (entry := self._entry(item)) is not None]
        entries = [entry for window in windows for entry in window]
        stayed = [entry for entry in entries if entry.item.key.id not in moving]
        shown = [
            entry
            for entry in (*stayed, *moved)
            if all(window.covers(entry.key) for window in windows)
        ]
        edges = [window.edge for window in windows if window.edge is not None]
        return self._cut(
            sorted(shown, key=lambda entry: entry.key),
            edge=min(edges, key=lambda entry: entry.key, default=None),
            total=self._total(parts, moving, moved),
        )

    def matches(self) -> Iterator[str]:
        """The ids of what the filters admit, from the one changed longest ago on.

        Lazy: what is further behind is read as it is asked for. What changes meanwhile may come
        twice, or at the end, and may not match any more.

        Raises:
            UnavailableError: the time left didn't allow to go on.
        """
        moving: dict[str, Item] = {}
        met = self._met(moving)
        for place in met if self._keyed is None else sorted(met):
            yield place.id
        late = self._staged | self._read_late(moving | self._staged, ())
        yield from (id for id, item in late.items() if self._entry(item) is not None)

    def _met(self, moving: dict[str, Item]) -> Iterator[Position]:
        """The places of what the filters admit, from the one changed longest ago on by index."""
        for item in self._read_live(with_body=self._needs_data):
            self._deadline.check(needed_s=ANSWER_S)
            if self._may_move(item):
                _keep_newest(moving, item)
            if item.key.id not in self._staged and self._entry(item) is not None:
                yield Position(item.last_modified, item.key.id)

    # Sources

    def _sources(self) -> list[Iterator[Item]]:
        sources = [self._read_live(with_body=True)]
        has_deletions = self._with_tombstones and self._clock.has_deletions(self._query.times.since)
        if has_deletions and self._keyed is None:
            sources.append(self._read_index(BY_DELETION, self._range))
        return sources

    def _first_entries(self, after: Place | None) -> tuple[TimeRange, Iterator[RawItem]]:
        """The entries of a page, and one that tells of more, in the order of the index."""
        oldest_first = self._query.order.is_oldest_first
        place = None if after is None else Position(*after)
        above, below = (place, None) if oldest_first else (None, place)
        between = time_range(self._clock.within, above=above, below=below)
        raws = self._query_index(
            BY_LAST_MODIFIED, between, ascending=oldest_first, limit=self._probe
        )
        return between, raws

    @property
    def _probe(self) -> int | None:
        """Entries that tell of a further page, whichever of them are staged otherwise."""
        return None if self._query.limit is None else self._query.limit + 1 + len(self._staged)

    def _read_live(self, *, with_body: bool) -> Iterator[Item]:
        """All objects that the filters may admit, with their bodies where those decide."""
        if self._keyed is not None:
            return iter(self._keyed)
        items = self._read_index(BY_LAST_MODIFIED, self._range, with_body=with_body)
        return self._with_large_bodies(items) if self._needs_data else items

    def _read_keys(self, ids: Iterable[str]) -> Iterator[Item]:
        return read_keys(self._dynamo, self._deadline, self._parent, ids)

    def _read_index(
        self, index: str, between: TimeRange, *, with_body: bool = True
    ) -> Iterator[Item]:
        """A range of an index. The oldest first, what moves on meanwhile comes again."""
        raws = self._query_index(index, between, with_body=with_body)
        return (self._from_entry(raw, index) for raw in raws)

    def _query_index(
        self,
        index: str,
        between: TimeRange,
        *,
        ascending: bool = True,
        limit: int | None = None,
        with_body: bool = True,
    ) -> Iterator[RawItem]:
        if between.lowest > between.highest:
            return iter(())
        has_body = with_body and index == BY_LAST_MODIFIED
        return self._dynamo.query(
            index,
            self._parent,
            between=between,
            ascending=ascending,
            limit=limit,
            attributes=("id", RANGE_KEYS[index], "version", *(("body",) if has_body else ())),
            deadline=self._deadline,
        )

    def _from_entry(self, raw: RawItem, index: str) -> Item:
        """The item of an index entry, without its body where that is large."""
        body = raw.get("body", {})
        last_modified, id = position_of(raw[RANGE_KEYS[index]]["S"])
        return Item(
            key=listed_key(self._parent, id),
            is_live=index == BY_LAST_MODIFIED,
            last_modified=last_modified,
            version=int(raw["version"]["N"]),
            within=self._clock.within,
            body=body.get("S", body.get("B")),
            body_bytes=int(body.get("N", 0)),
        )

    def _with_large_bodies(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same, in that order, with the bodies that the index lacks as they are large."""
        waiting: list[Item] = []
        for item in items:
            if not waiting and not _is_large(item):
                yield item
                continue
            waiting.append(item)
            large = sum(map(_is_large, waiting))
            if large == LARGE_AT_ONCE or len(waiting) == WAITING_AT_ONCE:
                yield from filter(None, self._with_bodies(waiting))
                waiting.clear()
        yield from filter(None, self._with_bodies(waiting))

    def _with_bodies(self, items: Sequence[Item | None]) -> Iterator[Item | None]:
        """The same, where the index lacks the body as they are by now; None where none is left."""
        large = [item.key.id for item in items if item is not None and _is_large(item)]
        found = {item.key.id: item for item in self._read_keys(large)}
        for item in items:
            yield found.get(item.key.id) if item is not None and _is_large(item) else item

    # From items to a page

    def _gather(self, items: Iterator[Item], *, after: Place | None) -> _Part:
        part = _Part(Window(self._query.order, after=after, limit=self._query.limit))
        for number, item in enumerate(items, 1):
            self._deadline.check(needed_s=ANSWER_S)
            entry = self._entry(item)
            if self._may_move(item):
                _keep_newest(part.moving, item)
            elif entry is not None:
                part.window.add(entry)
                if item.is_live:
                    part.counted.append(hash(item.key.id))
            if self._stops_early and entry is not None:
                if number == self._probe:
                    part.window.end_at(entry)
                if part.window.edge is not None:
                    break
        return part

    def _may_move(self, item: Item) -> bool:
        """Whether an item may be met in another version as well."""
        id = item.key.id
        return item.version > self._clock.timestamp or id in self._named or id in self._staged

    def _entry(self, item: Item) -> Entry | None:
        """The item as an entry of the list; None where it isn't there, or filtered out."""
        if item.within != self._clock.within:
            return None
        if self._keyed is not None and not self._keyed.counts(item):
            return None
        if not (item.is_live or self._with_tombstones):
            return None
        data = self._data(item)
        if not self._query.admits(data):
            return None
        order = self._query.order
        return Entry.at(order, order.place_of(data), item)

    def _data(self, item: Item) -> JsonObject:
        """As much of an item as filters and order look at."""
        if item.is_live and not self._needs_data:
            return {"id": item.key.id, "last_modified": item.last_modified}
        return item.to_stored().to_json()

    def _total(self, parts: Iterable[_Part], moving: Iterable[str], moved: Iterable[Entry]) -> int:
        """All live objects that the filters admit: of what stayed, and of what moved."""
        if self._is_counted:
            return self._clock.count
        again = {hash(id) for id in moving}
        stayed = sum(id not in again for part in parts for id in part.counted)
        return stayed + sum(entry.item.is_live for entry in moved)

    def _cut(self, in_order: Sequence[Entry], *, edge: Entry | None, total: int) -> Page:
        """The page, with its bodies, and where the next one begins."""
        items = list(fitting(entry.item for entry in in_order[: self._query.limit]))
        items = list(fitting(map(self._if_listed, self._with_bodies(items))))
        entries = [item.to_stored() for item in items if item is not None]
        if len(items) < len(in_order):
            return Page(entries, total, in_order[len(items) - 1].place)
        return Page(entries, total, None if edge is None else edge.place)

    def _if_listed(self, item: Item | None) -> Item | None:
        """The item, unless it left the list when its body was read."""
        return None if item is None or self._entry(item) is None else item

    # Torn commits

    def _read_late(self, moving: dict[str, Item], windows: Sequence[Window]) -> dict[str, Item]:
        """What the clock names and should have been met, in that version or a newer one.

        Read by key until it is there ("latest"). Usually nothing.

        Raises:
            ConflictError: the list has ended meanwhile, and with it what was to come.
        """
        late = {
            id: write
            for id, write in self._named.items()
            if (
                moving[id].version < write.version
                if id in moving
                else self._should_be_met(write, windows)
            )
        }
        items: dict[str, Item] = {}
        while len(items) < len(late):
            for item in self._read_keys([id for id in late if id not in items]):
                if item.version >= late[item.key.id].version:
                    items[item.key.id] = item
            if len(items) < len(late):
                self._require_same_list()
                self._deadline.wait()
        return items

    def _require_same_list(self) -> None:
        key = Key(self._parent, CLOCK_ID)
        raw = self._dynamo.get([key], self._deadline).get(key)
        if raw is None or clock_from_raw(raw).within != self._clock.within:
            raise ConflictError("the list has ended meanwhile")

    def _should_be_met(self, write: Write, windows: Sequence[Window]) -> bool:
        if not (write.is_live or self._with_tombstones):
            return False
        if self._keyed is not None:
            return write.id in self._keyed.ids
        if self._stops_early:
            key = self._query.order.key((write.last_modified, write.id))
            return all(window.covers(key) for window in windows)
        return write.to_key(self._clock.within) in self._range


def _keep_newest(items: dict[str, Item], item: Item) -> None:
    """Add an item, unless it is there in a newer version."""
    known = items.get(item.key.id)
    if known is None or known.version < item.version:
        items[item.key.id] = item


def _newest(parts: Iterable[dict[str, Item]]) -> dict[str, Item]:
    """All items, each id once, in its newest version."""
    newest: dict[str, Item] = {}
    for items in parts:
        for item in items.values():
            _keep_newest(newest, item)
    return newest


def _is_large(item: Item) -> bool:
    return item.is_live and item.body is None
