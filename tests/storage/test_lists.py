"""Pages of a list, on moto: `chalicelib/storage/lists.py`."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.protocol.pagination import Position
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.storage import lists
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.lists import Page, PageRange
from tests.doubles import START_MS, CountedCalls, Patience
from tests.storage.stand_ins import (
    GROUPS,
    POSTS,
    RECORDS,
    MissingError,
    Requests,
    Wire,
    client_error,
    fresh_wire,
    ids,
    record,
)
from tests.storage.test_items import random_text

TIMES = [5, 6, 7]


def walk(requests: Requests, wanted: PageRange) -> list[Page]:
    """All pages, each with the limit of the first."""
    pages = [requests.page(RECORDS, wanted)]
    while pages[-1].next is not None:
        pages.append(requests.page(RECORDS, replace(wanted, after=pages[-1].next)))
    return pages


# Round trips


@pytest.mark.parametrize(
    ("wanted", "queries"),
    [
        (PageRange(), 1),
        (PageRange(limit=2), 1),
        (PageRange(limit=2, oldest_first=True), 1),
        (PageRange(since=0), 1),
        (PageRange(since=0, with_tombstones=True), 2),
        (PageRange(before=10**15, with_tombstones=True), 2),
        (PageRange(since=0, limit=2, with_tombstones=True), 3),  # one of them counts
        (PageRange(limit=2, after=Position(START_MS + 2, record(2).id)), 1),
        (PageRange(since=10, before=5), 0),
    ],
    ids=str,
)
def test_a_page_is_the_clock_and_then_queries_in_parallel(
    requests: Requests, calls: CountedCalls, wanted: PageRange, queries: int
) -> None:
    requests.make_posts()
    for number in range(4):
        requests.put(record(number))
    calls.take()

    requests.page(RECORDS, wanted)

    expected = {"BatchGetItem": 1, "Query": queries}
    assert calls.take() == {name: number for name, number in expected.items() if number}


def test_a_lists_timestamp_alone_is_one_call(requests: Requests, calls: CountedCalls) -> None:
    requests.make_posts()
    calls.take()

    requests.run(lambda unit: unit.load(RECORDS.ancestors, [RECORDS]))

    assert calls.take() == {"BatchGetItem": 1}


# Pages


@dataclass
class Model:
    """A list as one would write it down."""

    entries: dict[str, tuple[int, bool]]

    def walk(self, wanted: PageRange) -> list[tuple[int, str, bool]]:
        there = [
            (time, id, is_live)
            for id, (time, is_live) in self.entries.items()
            if (is_live or wanted.with_tombstones)
            and (wanted.since is None or time > wanted.since)
            and (wanted.before is None or time < wanted.before)
        ]
        return sorted(there, reverse=not wanted.oldest_first)


WRITES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["put", "put", "delete"]), st.sampled_from(TIMES)),
    max_size=10,
)
RANGES = st.builds(
    PageRange,
    since=st.none() | st.sampled_from([-1, 4, 5, 6]),
    before=st.none() | st.sampled_from([5, 6, 7, 8]),
    oldest_first=st.booleans(),
    limit=st.none() | st.integers(1, 3),
    with_tombstones=st.booleans(),
)


@hypothesis_settings(max_examples=12, deadline=None)
@given(WRITES, st.lists(RANGES, min_size=3, max_size=6))
def test_a_walk_meets_each_entry_once_and_in_order(
    connection: Connection, writes: list[tuple[int, str, int]], ranges: list[PageRange]
) -> None:
    model = Model({})
    with fresh_wire(connection) as wire:
        requests = Requests(wire.dynamo)
        requests.make_posts()
        for number, what, time in writes:
            uri = record(number)
            if what == "put":
                requests.put(uri, at=time)
                model.entries[uri.id] = (time, True)
            elif model.entries.get(uri.id, (0, False))[1]:
                requests.delete(uri, at=time)
                model.entries[uri.id] = (time, False)

        for wanted in ranges:
            pages = walk(requests, wanted)

            met = [(e.last_modified, e.id, is_object(e)) for page in pages for e in page.entries]
            expected = model.walk(wanted)
            assert met == expected
            assert {page.total for page in pages} == {sum(is_live for *_, is_live in expected)}
            if wanted.limit is not None:
                assert all(len(page.entries) == wanted.limit for page in pages[:-1])


def is_object(entry: StoredObject | Tombstone) -> bool:
    return isinstance(entry, StoredObject)


def test_a_page_that_ends_with_the_list_has_no_next(requests: Requests) -> None:
    requests.make_posts()
    for number in range(4):
        requests.put(record(number))

    pages = walk(requests, PageRange(limit=2))

    assert [len(page.entries) for page in pages] == [2, 2]


def test_an_empty_list_is_one_empty_page(requests: Requests) -> None:
    requests.make_posts()

    assert requests.page(RECORDS, PageRange(limit=2)) == Page([], 0, None)
    assert requests.page(GROUPS, PageRange(since=3, with_tombstones=True)) == Page([], 0, None)


def test_a_limit_that_dynamodb_can_not_count_is_none(requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1))

    assert ids(requests.page(limit=10**17)) == [record(1).id]


# An answer's limit


def put_texts(requests: Requests, sizes: list[int]) -> None:
    requests.make_posts()
    for number, size in enumerate(sizes):
        requests.put(record(number), {"text": random_text(size)})


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("size", [2_000, 60_000], ids=["in the index", "large"])
def test_a_page_ends_where_an_answer_does(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    limit: int | None,
    oldest_first: bool,
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", int(2.5 * size))
    put_texts(requests, [size] * 5)

    pages = walk(requests, PageRange(limit=limit, oldest_first=oldest_first))

    met = [id for page in pages for id in ids(page)]
    expected = [record(number).id for number in range(5)]
    assert met == (expected if oldest_first else expected[::-1])
    assert [len(page.entries) for page in pages] == [2, 2, 1]
    assert {page.total for page in pages} == {5}


@pytest.mark.parametrize("with_tombstones", [False, True])
def test_a_sync_that_no_answer_holds_counts_all_of_it(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, with_tombstones: bool
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 5_000)
    put_texts(requests, [2_000] * 5)
    requests.delete(record(0))

    pages = walk(requests, PageRange(since=0, with_tombstones=with_tombstones))

    assert {page.total for page in pages} == {4}
    met = [id for page in pages for id in ids(page)]
    assert sorted(met) == sorted(
        record(number).id for number in range(0 if with_tombstones else 1, 5)
    )


def test_an_object_larger_than_a_page_is_a_page(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 100)
    put_texts(requests, [2_000, 60_000])

    assert [len(page.entries) for page in walk(requests, PageRange())] == [1, 1]


def test_a_page_reads_no_more_large_bodies_than_an_answer_may_hold(
    requests: Requests, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 100_000)
    put_texts(requests, [60_000] * 8)
    read: list[int] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "BatchGetItem":
            read.append(len(arguments["RequestItems"][wire.dynamo.tables.objects]["Keys"]))

    wire.before = look

    page = requests.page()

    assert len(page.entries) == 1
    assert read == [3, 1]


def test_a_list_without_data_reads_no_bodies_and_ends_at_its_limit_alone(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, calls: CountedCalls
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGE_BYTES", 100_000)
    put_texts(requests, [2_000, *[60_000] * 4])
    calls.take()

    page = requests.page(RECORDS, PageRange(with_data=False, limit=5, oldest_first=True))

    assert ids(page) == [record(number).id for number in range(5)]
    assert all(is_object(entry) and entry.data == {} for entry in page.entries)
    assert calls.take() == {"BatchGetItem": 1, "Query": 1}


# What changes while a list is read


def test_an_object_that_is_met_twice_as_it_moves_on_ends_no_page(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    for number in range(6):
        requests.put(record(number), at=number + 1)
    for number in range(50, 75):  # so that the clock names none of those
        requests.put(record(number))
        requests.delete(record(number))
    queries: list[int] = []

    def end_early(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "Query" and not queries:
            arguments["Limit"] = 3  # as where a megabyte is full

    def move(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "Query":
            queries.append(1)
        if len(queries) == 1:
            rival.put(record(0), at=4)

    wire.before, wire.after = end_early, move

    pages = walk(requests, PageRange(oldest_first=True, limit=4))

    assert {id for page in pages for id in ids(page)} == {record(n).id for n in range(6)}


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_large_object_deleted_while_a_page_is_read_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire, gone: int, limit: int | None
) -> None:
    put_texts(requests, [60_000] * 3)
    before_bodies(wire, lambda: rival.delete(record(gone)))

    pages = walk(requests, PageRange(limit=limit))

    kept = [record(number).id for number in (2, 1, 0) if number != gone]
    assert [id for page in pages for id in ids(page)] == kept
    assert all(is_object(entry) for page in pages for entry in page.entries)


def test_a_large_object_replaced_while_a_page_is_read_is_shown_as_it_is_now(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000] * 2)
    stored: list[StoredObject] = []
    before_bodies(wire, lambda: stored.append(rival.put(record(0), {"text": "new"})))

    page = requests.page()

    assert [entry.to_json()["text"][:3] for entry in page.entries] == [
        random_text(60_000)[:3],
        "new",
    ]
    assert page.entries[1].last_modified == stored[0].last_modified


def test_a_large_object_of_a_collection_made_again_meanwhile_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000])

    def make_again() -> None:
        rival.delete(POSTS)
        rival.put(POSTS)
        rival.put(record(0), {"secret": 1})

    before_bodies(wire, make_again)

    assert requests.page().entries == []


def test_a_large_object_that_left_the_range_meanwhile_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000])
    before_bodies(wire, lambda: rival.put(record(0)))

    assert requests.page(before=START_MS + 1).entries == []


def before_bodies(wire: Wire, action: Any) -> None:
    """Do something between a list's queries and the reading of its large bodies."""
    seen: list[str] = []

    def hook(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        seen.append(operation)
        if seen[-2:] == ["Query", "BatchGetItem"]:
            wire.before = None
            action()

    wire.before = hook


def test_a_list_that_never_shows_what_its_clock_names_is_unavailable(
    requests: Requests, wire: Wire
) -> None:
    requests.make_posts()
    wire.torn, wire.late_reads = lambda id: id == record(1).id, 10**6
    requests.put(record(1))

    with pytest.raises(UnavailableError) as over:
        requests.page()

    assert over.value.may_repeat


def test_a_list_that_is_throttled_goes_on_within_its_time(requests: Requests, wire: Wire) -> None:
    requests.make_posts()
    requests.put(record(1))
    refusals = iter(range(3))

    def throttle(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "Query" and next(refusals, None) is not None:
            raise client_error("ThrottlingException", operation="Query")

    wire.before = throttle

    assert ids(requests.page()) == [record(1).id]
    assert requests.patience.remaining_s < Patience().remaining_s


def test_a_list_of_what_is_missing_is_missing(requests: Requests) -> None:
    with pytest.raises(MissingError):
        requests.page()
