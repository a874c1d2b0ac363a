"""The first entries of a list in an order: `chalicelib/storage/windows.py`."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.sorting import Order, Place, parse_sort
from chalicelib.storage.clock import ROOT
from chalicelib.storage.items import Item, answer_bytes, encode_body
from chalicelib.storage.keys import object_key
from chalicelib.storage.windows import MAX_PAGE_BYTES, Entry, Window, page_bytes
from tests.storage.stand_ins import record, unhurried
from tests.storage.test_items import OBJECTS

EACH_BYTES: Final = page_bytes(Item(object_key(record(0)), True, 0, 0, ROOT))
"""What an entry takes whose body is empty, without its two braces: as large ones are counted."""


class Made(NamedTuple):
    """What an entry is made from."""

    value: Any
    last_modified: int
    body_bytes: int


SIZES = st.sampled_from([0, 1_000, MAX_PAGE_BYTES // 3, MAX_PAGE_BYTES]) | st.integers(0, 10**7)
VALUES = st.sampled_from([None, False, 0, 1, 1.5, "", "a", "b", [], {}])
MADE = st.lists(st.builds(Made, VALUES, st.integers(0, 3), SIZES), max_size=12)
ORDERS = st.sampled_from(
    ["", "last_modified", "n", "-n", "n,last_modified", "id", "-id", "-n,id", "last_modified,-id"]
).map(lambda text: parse_sort(text, RECORD))
LIMITS = st.none() | st.integers(1, 4)


def entry(order: Order, number: int, made: Made) -> Entry:
    """The entry of an object whose body an index lacks."""
    item = Item(
        key=object_key(record(number)),
        is_live=True,
        last_modified=made.last_modified,
        version=number,
        within=ROOT,
        body_bytes=made.body_bytes,
    )
    data = {"n": made.value, "id": item.key.id, "last_modified": item.last_modified}
    return Entry.at(order, order.place_of(data), item)


def entries_of(order: Order, made: Sequence[Made]) -> list[Entry]:
    return [entry(order, number, each) for number, each in enumerate(made)]


def by_key(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.key)


def numbers(entries: Sequence[Entry] | Window) -> list[int]:
    """Which ones, in their order."""
    return [entry.item.version for entry in by_key([*entries])]


def behind(order: Order, after: Place | None, entries: Sequence[Entry]) -> list[Entry]:
    """The entries behind a place, in their order."""
    return by_key([e for e in entries if after is None or order.key(after) < e.key])


def page_of(entries: Sequence[Entry], limit: int | None) -> int:
    """How many of these an answer holds: one at least."""
    size = 0
    for number, each in enumerate(entries[:limit]):
        size += page_bytes(each.item)
        if size > MAX_PAGE_BYTES and number > 0:
            return number
    return len(entries[:limit])


@settings(unhurried, max_examples=200)
@given(ORDERS, MADE, LIMITS, st.none() | st.integers(0, 11))
def test_a_window_has_the_first_entries_and_knows_where_it_ends(
    order: Order, made: list[Made], limit: int | None, place: int | None
) -> None:
    entries = entries_of(order, made)
    after = None if place is None or place >= len(entries) else entries[place].place
    window = Window(order, after=after, limit=limit)

    for met, each in enumerate(entries, 1):
        window.add(each)

        expected = behind(order, after, entries[:met])
        kept = by_key([*window])
        assert kept == expected[: len(kept)]
        assert window.edge is (None if len(kept) == len(expected) else kept[-1])
        covered = [e for e in entries if window.covers(e.key)]
        assert by_key([e for e in covered if e in entries[:met]]) == kept


@settings(unhurried, max_examples=200)
@given(ORDERS, MADE, LIMITS)
def test_a_window_tells_a_page_and_whether_more_remains_and_keeps_nothing_else(
    order: Order, made: list[Made], limit: int | None
) -> None:
    entries = entries_of(order, made)
    window = Window(order, after=None, limit=limit)

    for each in entries:
        window.add(each)

        sizes = [page_bytes(e.item) for e in by_key([*window])]
        assert limit is None or len(sizes) <= limit + 1
        assert sum(sizes[:-1]) <= MAX_PAGE_BYTES

    kept, in_order = by_key([*window]), by_key(entries)
    shown = page_of(kept, limit)
    assert shown == page_of(in_order, limit)
    tells_of_more = shown < len(kept) or window.edge is not None
    assert tells_of_more == (shown < len(in_order))


def test_a_window_takes_up_what_comes_before_its_edge_and_moves_it() -> None:
    order = Order.by()  # newest first
    window = Window(order, after=None, limit=1)
    made = [Made(0, time, 0) for time in (3, 5, 4, 2, 6)]
    edges = []

    for each in entries_of(order, made):
        window.add(each)
        edges.append(window.edge and window.edge.item.last_modified)

    assert edges == [None, None, 4, 4, 5]
    assert [e.item.last_modified for e in by_key([*window])] == [6, 5]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([100, 100, 100], 3),  # all of a page
        ([200, 100, 1], 3),
        ([200, 101, 1], 2),  # one that doesn't fit any more tells of more
        ([150, 50, 1, 1], 4),
        ([100, 100, 100, 1, 1], 4),
        ([301, 1, 1], 1),  # an object larger than a page is one
        ([1, 10_000, 1], 2),
        ([10_000], 1),
    ],
)
def test_a_window_ends_behind_what_an_answer_holds(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], kept: int
) -> None:
    hundredth = 10 * EACH_BYTES
    monkeypatch.setattr("chalicelib.storage.windows.MAX_PAGE_BYTES", 300 * hundredth)
    order = Order.by()
    made = [
        Made(0, 100 - number, size * hundredth - EACH_BYTES) for number, size in enumerate(sizes)
    ]
    for shuffled in (entries_of(order, made), entries_of(order, made)[::-1]):
        window = Window(order, after=None, limit=None)

        for each in shuffled:
            window.add(each)

        assert numbers(window) == [*range(kept)]
        assert (window.edge is None) == (kept == len(sizes))


def test_a_window_can_be_told_where_it_ends() -> None:
    order = Order.by()
    first, second, third = entries_of(order, [Made(0, time, 0) for time in (3, 2, 1)])
    window = Window(order, after=None, limit=5)
    window.add(first)

    window.end_at(second)

    assert window.edge is second
    assert [window.covers(each.key) for each in (first, second, third)] == [True, True, False]
    assert numbers(window) == [0]


@given(OBJECTS)
def test_an_entry_takes_no_more_of_an_answer_than_was_counted(data: dict[str, Any]) -> None:
    data = {name: value for name, value in data.items() if name not in ("id", "last_modified")}
    latest = 253_402_300_799_999
    item = Item(object_key(record(1)), True, latest, latest, ROOT, body=encode_body(data))

    shown = json.dumps(item.to_stored().to_json(), ensure_ascii=False, separators=(",", ":"))

    assert answer_bytes(f"{shown},".encode()) <= page_bytes(item)


@pytest.mark.parametrize("body", ['{"a":"b"}', encode_body({"a": "b" * 2_000})])
def test_an_entry_counts_the_same_whether_an_index_has_its_body_or_not(body: str | bytes) -> None:
    key = object_key(record(1))
    size = 4 + len('{"a":"b"}') if isinstance(body, str) else 4 + len('{"a":""}') + 2_000

    whole = Item(key, True, 0, 0, ROOT, body=body)
    lacking = Item(key, True, 0, 0, ROOT, body_bytes=size)

    assert page_bytes(whole) == page_bytes(lacking)
