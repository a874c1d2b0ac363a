"""Pages of a list, by time, with or without its tombstones; complete though commits are torn.

Rule: `docs/architecture.md`, "Lists". The clock was read before anything here is ("clock first").
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from chalicelib.protocol.pagination import Position
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.storage.clock import Clock, Write
from chalicelib.storage.connection import Deadline, Dynamo
from chalicelib.storage.items import (
    Item,
    RawItem,
    answer_bytes,
    decode_body,
    from_raw,
)
from chalicelib.storage.keys import TimeRange, listed_key, position_of, time_key, time_range
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED, RANGE_KEYS

MAX_PAGE_BYTES: Final = 4_500_000
"""Objects of one page, as they are in an answer: those of Lambda end at 6 MB."""

ENTRY_BYTES: Final = 120
"""What an entry takes beside its body and id: `last_modified`, the names, the quotes."""


@dataclass(frozen=True, slots=True)
class PageRange:
    """Which part of a list is wanted.

    Attributes:
        since: only what is newer, in ms.
        before: only what is older, in ms.
        oldest_first: the order; newest first otherwise.
        limit: entries at most; None for all that fit into an answer.
        after: where the page before ended.
        with_tombstones: whether deletions are wanted.
        with_data: whether the objects' data are; they are empty otherwise.
    """

    since: int | None = None
    before: int | None = None
    oldest_first: bool = False
    limit: int | None = None
    after: Position | None = None
    with_tombstones: bool = False
    with_data: bool = True


class Page(NamedTuple):
    """A part of a list.

    Attributes:
        entries: in the order asked for.
        total: live objects between `since` and `before`, on all pages.
        next: where the next page begins; None where no entries remain.
    """

    entries: list[StoredObject | Tombstone]
    total: int
    next: Position | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What one query found, and the range that it has covered."""

    is_live: bool
    items: dict[str, Item]
    covered: TimeRange

    def lacks(self, write: Write, place: str) -> bool:
        """Whether this write, with its place in the list, isn't visible here as it should be."""
        there = self.items.get(write.id)
        if there is not None:
            return there.version < write.version
        return write.is_live == self.is_live and place in self.covered


def read_page(
    dynamo: Dynamo, deadline: Deadline, *, parent: str, clock: Clock, wanted: PageRange
) -> Page:
    """A page of the list whose clock was read before.

    Raises:
        UnavailableError: the time left didn't allow to read all of it.
    """
    return _Reader(dynamo, deadline, parent, clock=clock, wanted=wanted).read()


class _Reader:
    """Reads one page."""

    def __init__(
        self, dynamo: Dynamo, deadline: Deadline, parent: str, *, clock: Clock, wanted: PageRange
    ) -> None:
        self._dynamo = dynamo
        self._deadline = deadline
        self._parent = parent
        self._clock = clock
        self._wanted = wanted
        bounds = partial(time_range, clock.within, since=wanted.since, before=wanted.before)
        self._all = bounds()
        self._asked = (
            bounds(above=wanted.after) if wanted.oldest_first else bounds(below=wanted.after)
        )

    def read(self) -> Page:
        shown, counted = self._query_all()
        late = self._read_late([*shown, *counted])
        covered = _common(part.covered for part in shown)
        items = _newest([*(part.items for part in shown), late])
        in_order = sorted(
            (item for item in items.values() if self._is_shown(item, covered)),
            key=_place,
            reverse=not self._wanted.oldest_first,
        )
        entries, following = self._cut(in_order, covered)
        total = self._total([*(part.items for part in counted or shown), late])
        return Page(entries, total, following)

    # Queries

    def _query_all(self) -> tuple[list[_Found], list[_Found]]:
        """What the page shows, and apart from it what counts where that is more."""
        queries = [self._query_live]
        if self._wanted.with_tombstones:
            queries.append(self._query_dead)
        if self._is_bounded and self._is_part:
            return self._parallel_with_count(queries)
        shown = self._dynamo.parallel(_call, queries)
        is_whole = shown[0].covered == self._asked
        return shown, [] if is_whole or not self._is_bounded else [self._query_count()]

    def _parallel_with_count(
        self, queries: list[Callable[[], _Found]]
    ) -> tuple[list[_Found], list[_Found]]:
        *shown, counted = self._dynamo.parallel(_call, [*queries, self._query_count])
        return shown, [counted]

    @property
    def _is_bounded(self) -> bool:
        """Whether it is another number of objects than the clock's that counts."""
        return self._wanted.since is not None or self._wanted.before is not None

    @property
    def _is_part(self) -> bool:
        return self._wanted.limit is not None or self._wanted.after is not None

    def _query_live(self) -> _Found:
        names = ("id", "live", "version", *(("body",) if self._wanted.with_data else ()))
        return self._query(BY_LAST_MODIFIED, names, self._asked, self._probe, MAX_PAGE_BYTES)

    def _query_dead(self) -> _Found:
        names = ("id", "dead", "version")
        return self._query(BY_DELETION, names, self._asked, self._probe, MAX_PAGE_BYTES)

    def _query_count(self) -> _Found:
        return self._query(BY_LAST_MODIFIED, ("id", "live", "version"), self._all, None, None)

    @property
    def _probe(self) -> int | None:
        """One more than the page takes, which tells whether entries remain."""
        return None if self._wanted.limit is None else self._wanted.limit + 1

    def _query(
        self,
        index: str,
        attributes: tuple[str, ...],
        asked: TimeRange,
        limit: int | None,
        most_bytes: int | None,
    ) -> _Found:
        is_live = index == BY_LAST_MODIFIED
        if asked.lowest > asked.highest:
            return _Found(is_live, {}, asked)
        entries = self._dynamo.query(
            index,
            self._parent,
            between=asked,
            ascending=self._wanted.oldest_first,
            limit=limit,
            attributes=attributes,
            deadline=self._deadline,
        )
        items: dict[str, Item] = {}
        size, place = 0, ""
        # An id may be met twice, if it was changed between two calls: the entries are counted.
        for number, raw in enumerate(entries, 1):
            item = self._from_entry(raw, RANGE_KEYS[index])
            size += _answer_bytes(item)
            if items and most_bytes is not None and size > most_bytes:
                return _Found(is_live, items, self._up_to(asked, place))
            items[item.key.id], place = item, _place(item)
            if number == limit:
                return _Found(is_live, items, self._up_to(asked, place))
        return _Found(is_live, items, asked)

    def _up_to(self, asked: TimeRange, place: str) -> TimeRange:
        if self._wanted.oldest_first:
            return asked._replace(highest=place)
        return asked._replace(lowest=place)

    def _from_entry(self, raw: RawItem, range_key: str) -> Item:
        """The item of an index entry, its body as text."""
        body = raw.get("body", {})
        return Item(
            key=listed_key(self._parent, raw["id"]["S"]),
            is_live=range_key == "live",
            last_modified=position_of(raw[range_key]["S"]).last_modified,
            version=int(raw["version"]["N"]),
            within=self._clock.within,
            body=None if "N" in body else decode_body(body.get("S", body.get("B"))).decode(),
            body_bytes=int(body.get("N", 0)),
        )

    # Torn commits

    def _read_late(self, found: Sequence[_Found]) -> dict[str, Item]:
        """What the clock names and the queries should have found, in that version or a newer one.

        Read by key until it is there ("latest"). Usually nothing.
        """
        late = {
            id: write
            for id, write in self._clock.newest_writes.items()
            if any(part.lacks(write, self._place_of(write)) for part in found)
        }
        items: dict[str, Item] = {}
        while len(items) < len(late):
            keys = [listed_key(self._parent, id) for id in late if id not in items]
            for key, raw in self._dynamo.get(keys, self._deadline).items():
                item = from_raw(raw)
                if item.version >= late[key.id].version:
                    items[key.id] = item
            if len(items) < len(late):
                self._deadline.wait()
        return items

    def _place_of(self, write: Write) -> str:
        return time_key(self._clock.within, write.last_modified, write.id)

    # Putting together

    def _is_shown(self, item: Item, covered: TimeRange) -> bool:
        return (item.is_live or self._wanted.with_tombstones) and _place(item) in covered

    def _cut(
        self, in_order: list[Item], covered: TimeRange
    ) -> tuple[list[StoredObject | Tombstone], Position | None]:
        """The entries of the page, with their bodies, and where the next one begins."""
        page = list(_fitting(in_order[: self._wanted.limit]))
        page = list(_fitting(self._with_bodies(page)))
        entries = [item.to_stored() for item in page if item is not None]
        if len(page) < len(in_order):
            return entries, position_of(_place(in_order[len(page) - 1]))
        if covered != self._asked:
            edge = covered.highest if self._wanted.oldest_first else covered.lowest
            return entries, position_of(edge)
        return entries, None

    def _with_bodies(self, page: Sequence[Item | None]) -> Iterator[Item | None]:
        """The page, with the bodies that the index lacks as they are large.

        These may be newer than the index was; None where one doesn't belong here any more.
        """
        large = [item.key for item in page if item is not None and _is_large(item)]
        found = self._dynamo.get(large, self._deadline) if large else {}
        for item in page:
            if item is not None and _is_large(item):
                yield self._still_there(found.get(item.key))
            else:
                yield item

    def _still_there(self, raw: "RawItem | None") -> Item | None:
        item = None if raw is None else from_raw(raw)
        return item if item and item.is_live and _place(item) in self._all else None

    def _total(self, parts: Iterable[dict[str, Item]]) -> int:
        if not self._is_bounded:
            return self._clock.count
        items = _newest(parts).values()
        return sum(item.is_live and _place(item) in self._all for item in items)


def _call(query: Callable[[], _Found]) -> _Found:
    return query()


def _place(item: Item) -> str:
    return time_key(item.within, item.last_modified, item.key.id)


def _is_large(item: Item) -> bool:
    return item.is_live and item.body is None


def _answer_bytes(item: Item) -> int:
    body = item.body_bytes if item.body is None else answer_bytes(decode_body(item.body))
    return ENTRY_BYTES + len(item.key.id) + body


def _fitting(page: Iterable[Item | None]) -> Iterator[Item | None]:
    """As much of a page as an answer can carry, one item at least; None is what is gone."""
    size = 0
    for number, item in enumerate(page):
        size += 0 if item is None else _answer_bytes(item)
        if size > MAX_PAGE_BYTES and number > 0:
            return
        yield item


def _newest(parts: Iterable[dict[str, Item]]) -> dict[str, Item]:
    """All items, each id once, in its newest version."""
    newest: dict[str, Item] = {}
    for items in parts:
        for id, item in items.items():
            if id not in newest or newest[id].version < item.version:
                newest[id] = item
    return newest


def _common(ranges: Iterable[TimeRange]) -> TimeRange:
    lowest, highest = zip(*ranges, strict=True)
    return TimeRange(max(lowest), min(highest))
