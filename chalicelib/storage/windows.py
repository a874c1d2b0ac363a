"""The first entries of a list in an order, as many as an answer holds, in whatever order they come.

Rule: `docs/architecture.md`, "Lists".
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chalicelib.protocol.sorting import Order, Place, SortKey
from chalicelib.storage.items import Item, answer_bytes, decode_body

MAX_PAGE_BYTES: Final = 4_500_000
"""Objects of one page, as they are in an answer: those of Lambda end at 6 MB."""

ENTRY_BYTES: Final = 120
"""What an entry takes beside its body and id: `last_modified`, the names, the quotes."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An item at its place in an order."""

    key: SortKey
    place: Place
    item: Item

    @classmethod
    def at(cls, order: Order, place: Place, item: Item) -> "Entry":
        """The item as an entry at this place of an order."""
        return cls(order.key(place), place, item)

    def __lt__(self, other: "Entry") -> bool:
        """Whether it comes later: a heap has its last entry on top."""
        return other.key < self.key


class Window:
    """The first entries behind a place: as many as a page holds, and one that tells of more.

    Attributes:
        edge: the last entry up to which nothing was left out; None where nothing was at all.
    """

    def __init__(self, order: Order, *, after: Place | None, limit: int | None) -> None:
        """Begin empty.

        Args:
            order: of the entries.
            after: the place that they are behind; None for the list's beginning.
            limit: entries of the page; None for all that an answer holds.
        """
        self.edge: Entry | None = None
        self._after = None if after is None else order.key(after)
        self._limit = limit
        self._heap: list[tuple[Entry, int]] = []
        self._bytes = 0

    def covers(self, key: SortKey) -> bool:
        """Whether an entry with this key is here, if it is in the list."""
        if self._after is not None and not self._after < key:
            return False
        return self.edge is None or not self.edge.key < key

    def add(self, entry: Entry) -> None:
        """Take in an entry, and give up those for which no page has room any more."""
        if not self.covers(entry.key):
            return
        size = page_bytes(entry.item)
        heapq.heappush(self._heap, (entry, size))
        self._bytes += size
        while self._has_too_many():
            _last, size = heapq.heappop(self._heap)
            self._bytes -= size
            self.edge, _size = self._heap[0]

    def end_at(self, entry: Entry) -> None:
        """What is behind this entry wasn't looked at; the window may end before it already."""
        if self.edge is None:
            self.edge = entry

    def _has_too_many(self) -> bool:
        if self._limit is not None and len(self._heap) > self._limit + 1:
            return True
        _last, size = self._heap[0]
        return len(self._heap) > 1 and self._bytes - size > MAX_PAGE_BYTES

    def __iter__(self) -> Iterator[Entry]:
        """The entries, in no order."""
        return (entry for entry, _size in self._heap)


def size_in_page(id: str, plain: bytes) -> int:
    """What an entry with this id, and JSON, takes in an answer."""
    return ENTRY_BYTES + len(id) + answer_bytes(plain)


def page_bytes(item: Item) -> int:
    """What an item takes in an answer."""
    if item.body is None:
        return ENTRY_BYTES + len(item.key.id) + item.body_bytes
    return size_in_page(item.key.id, decode_body(item.body))


def fitting(page: Iterable[Item | None]) -> Iterator[Item | None]:
    """As much of a page as an answer can carry, one item at least; None is what is gone."""
    size = 0
    for number, item in enumerate(page):
        size += 0 if item is None else page_bytes(item)
        if size > MAX_PAGE_BYTES and number > 0:
            return
        yield item
