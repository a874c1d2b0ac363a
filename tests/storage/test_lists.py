"""Pages of a list, and all that matches: `chalicelib/storage/lists.py`."""

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.protocol.kinds import BUCKET, RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.queries import ListQuery, parse_list_query
from chalicelib.protocol.sorting import Place
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.storage import items, lists, windows
from chalicelib.storage.clock import ROOT, Clock, Write
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.items import Cause, Item, RawItem, answer_bytes, to_raw
from chalicelib.storage.keyed import Keyed, read_keys
from chalicelib.storage.keys import CLOCK_ID, Key, clock_key, object_key
from chalicelib.storage.lists import LARGE_AT_ONCE, ListReader, Page
from chalicelib.storage.staging import Origin
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED, RANGE_KEYS, Tables
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.doubles import START_MS, CountedCalls, Patience
from tests.storage.stand_ins import (
    ALL,
    BLOG,
    BUCKETS,
    GROUPS,
    POSTS,
    RECORDS,
    MissingError,
    Requests,
    Wire,
    asked,
    client_error,
    fresh_wire,
    ids,
    load,
    load_list,
    record,
    unhurried,
)
from tests.storage.test_items import random_text
from tests.storage.test_rules import put_all, write_three_ways

Listed: TypeAlias = StoredObject | Tombstone

MOST_PAGES: Final = 50
"""No walk here has more: it would never end."""

LONG: Final = {"pad": "x" * items.COMPRESSED_FROM_BYTES}
"""Compressed it is short: in the index, or not, as `INDEXED_BODY_BYTES` is set."""


def some_ids(*numbers: int) -> str:
    """The ids of these records, as a filter takes them."""
    return ",".join(record(number).id for number in numbers)


def numbers(page: Page) -> list[int]:
    """Which records a page has, in its order."""
    return [number_of(id) for id in ids(page)]


def number_of(id: str) -> int:
    return int(id[:8], 16)


def is_object(entry: Any) -> bool:
    return isinstance(entry, StoredObject)


def next_place(page: Page) -> Place | None:
    """Where the next page begins, as a token carries it."""
    return None if page.next is None else tuple(json.loads(json.dumps(page.next)))


def walk(requests: Requests, query: ListQuery = ALL) -> list[Page]:
    """All pages, one after the other."""
    pages = [requests.page(RECORDS, query)]
    while pages[-1].next is not None:
        pages.append(requests.page(RECORDS, query, next_place(pages[-1])))
        assert len(pages) < MOST_PAGES
    return pages


class Change(NamedTuple):
    """A write of one record.

    Attributes:
        number: of the record.
        data: what it becomes; None deletes it, where it is there.
        at: its `last_modified`, where a client gives one.
    """

    number: int
    data: JsonObject | None
    at: int | None = None


def write(requests: Requests, *changes: Change) -> dict[int, Listed]:
    """What several changes, made in one request, have left of their records."""

    def work(unit: UnitOfWork) -> dict[int, Listed]:
        load(unit, *(record(change.number) for change in changes))
        left: dict[int, Listed] = {}
        for number, data, at in changes:
            uri = record(number)
            if data is not None:
                left[number] = unit.put(uri, data, {}, origin=Origin(), last_modified=at)
            elif is_object(unit.find(uri)):
                left[number] = unit.delete(uri, origin=Origin(), last_modified=at)
        return left

    written: dict[int, Listed] = requests.run(work)
    return written


def fill(requests: Requests, *data: JsonObject, is_named: bool = False) -> None:
    """A collection with one record for each of these, from 0 on, made in one request.

    `is_named` says whether the clock still names these writes, as they may not be visible yet.
    """
    made = {BLOG: {}, POSTS: {}} | {record(number): each for number, each in enumerate(data)}

    def work(unit: UnitOfWork) -> None:
        unit.load(made, [BUCKETS, *BLOG.lists, *POSTS.lists])
        for uri, each in made.items():
            unit.put(uri, each, {}, origin=Origin())

    requests.run(work)
    if not is_named:
        forget_latest(requests)


def raw_key(key: Key) -> RawItem:
    return {"parent": {"S": key.parent}, "id": {"S": key.id}}


def forget_latest(requests: Requests) -> None:
    """Let the clock name no write: a writer has found that all are visible."""
    dynamo = requests.storage._dynamo
    dynamo._connection.client.update_item(
        TableName=dynamo.tables.objects,
        Key=raw_key(clock_key(RECORDS)),
        UpdateExpression="SET latest = :none",
        ExpressionAttributeValues={":none": {"L": []}},
    )


def shrink_pages(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let an answer hold so many bytes."""
    monkeypatch.setattr(windows, "MAX_PAGE_BYTES", size)


def name_of(value: Any) -> str | None:
    """A query as a test's name has it."""
    if not isinstance(value, ListQuery):
        return None
    *filters, sort = value.to_parameters()
    order = [] if value.order == ALL.order else [sort]
    limit = [("_limit", str(value.limit))] if value.limit else []
    text = "&".join("=".join(each) for each in (*filters, *order, *limit)) or "all"
    return text.replace("-0000-4000-8000-000000000000", "")


def in_parts(wire: Wire, size: int, *actions: Callable[[], Any]) -> list[str]:
    """Let a Query answer so many entries, as where a megabyte is full.

    Before each further part of the objects one of these actions is taken. What is given is the
    index of each Query, as they are made.
    """
    coming = iter(actions)
    made: list[str] = []

    def hook(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation != "Query":
            return
        arguments["Limit"] = min(size, arguments.get("Limit", size))
        if arguments["IndexName"] == BY_LAST_MODIFIED and BY_LAST_MODIFIED in made:
            next(coming, lambda: None)()
        made.append(arguments["IndexName"])

    wire.before = hook
    return made


def keys_read(wire: Wire) -> list[int]:
    """How many keys each BatchGetItem asks for, from now on, as they are made."""
    read: list[int] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "BatchGetItem":
            read.append(len(arguments["RequestItems"][wire.dynamo.tables.objects]["Keys"]))

    wire.before = look
    return read


# Round trips


@pytest.fixture(scope="module")
def four(connection: Connection) -> Iterator[Wire]:
    """A list to be read only: records 0 to 3, the last of them deleted, as the clock names it."""
    with fresh_wire(connection) as wire:
        requests = Requests(wire.dynamo)
        fill(requests, *({"n": number} for number in range(4)), is_named=True)
        requests.delete(record(3))
        yield wire


SINCE: Final = {"_since": "0"}
ONE, TWO = some_ids(1), some_ids(1, 2)


@pytest.mark.parametrize(
    ("query", "after", "queries"),
    [
        (asked(), None, 1),
        (asked(2), None, 1),
        (asked(2, _sort="last_modified"), None, 1),
        (asked(2), (START_MS + 3, record(2).id), 1),
        (asked(**SINCE), None, 2),
        (asked(_before=str(10**15)), None, 2),
        (asked(2, **SINCE), None, 2),
        (asked(2, **SINCE), (START_MS + 3, record(2).id), 2),
        (asked(not_last_modified="5"), None, 2),
        (asked(n="1"), None, 1),
        (asked(2, n="1"), None, 1),
        (asked(not_n="1", in_s="a,b"), None, 1),
        (asked(not_id=ONE), None, 1),
        (asked(min_id=ONE, _sort="id"), None, 1),
        (asked(2, _sort="n"), None, 1),
        (asked(2, _sort="-last_modified,id"), None, 1),
        (asked(n="1", **SINCE), None, 2),
        (asked(_since="10", _before="5"), None, 0),
        (asked(_since="5", _before="6"), None, 0),
        (asked(last_modified="5", min_last_modified="6"), None, 0),
        (asked(_before="0", n="1"), None, 0),
    ],
    ids=name_of,
)
def test_a_page_is_the_clock_and_then_queries_in_parallel(
    four: Wire, query: ListQuery, after: Place | None, queries: int
) -> None:
    calls = CountedCalls(four.client)

    Requests(four.dynamo).page(RECORDS, query, after)

    expected = {"BatchGetItem": 1, "Query": queries}
    assert calls.take() == {name: number for name, number in expected.items() if number}


@pytest.mark.parametrize(
    ("query", "read", "expected"),
    [
        (asked(id=ONE), [1], [1]),
        (asked(2, in_id=some_ids(0, 1, 2)), [3], [2, 1]),
        (asked(in_id=TWO, _sort="id"), [2], [1, 2]),
        (asked(in_id=TWO, id=ONE), [1], [1]),
        (asked(in_id=TWO, id=some_ids(0)), [], []),
        (asked(in_id=f"{ONE},nonsense,.clock,{ONE}"), [1], [1]),
        (asked(id=".clock"), [], []),
        (asked(id=""), [], []),
        (asked(in_id=some_ids(3, 9), n="3"), [2], []),
        (asked(in_id=TWO, not_id=ONE), [2], [2]),
        (asked(in_id=TWO, n="2"), [2], [2]),
        (asked(in_id=TWO, exclude_n="2"), [2], [1]),
        (asked(in_id=some_ids(0, 3), **SINCE), [2], [3, 0]),
        (asked(in_id=some_ids(0, 3), _before="5"), [2], []),
    ],
    ids=name_of,
)
def test_objects_that_are_asked_for_by_their_ids_are_got_by_them(
    four: Wire, query: ListQuery, read: list[int], expected: list[int]
) -> None:
    calls = CountedCalls(four.client)
    asked_for = keys_read(four)

    page = Requests(four.dynamo).page(RECORDS, query)

    assert numbers(page) == expected
    assert asked_for == [3, *read]  # the bucket, the collection and the clock
    assert calls.take() == {"BatchGetItem": 1 + len(read)}


def test_more_ids_than_one_call_takes_are_got_in_parallel(
    requests: Requests, calls: CountedCalls
) -> None:
    fill(requests)
    put_all(requests, *map(record, range(0, 300, 25)))
    calls.take()

    page = requests.page(query=asked(5, in_id=some_ids(*range(250)), _sort="id"))

    assert numbers(page) == [0, 25, 50, 75, 100]
    assert page.total == 10
    assert calls.take() == {"BatchGetItem": 1 + 3}


def test_a_bucket_is_got_by_its_id_though_it_has_a_parent_of_its_own(requests: Requests) -> None:
    requests.put(BLOG, {"n": 1})

    page = requests.page(BUCKETS, parse_list_query([("in_id", "blog,other")], BUCKET, None))

    assert (ids(page), page.total) == (["blog"], 1)


def test_a_lists_timestamp_alone_is_one_call(requests: Requests, calls: CountedCalls) -> None:
    fill(requests)
    calls.take()

    requests.run(lambda unit: unit.load(RECORDS.ancestors, [RECORDS]))

    assert calls.take() == {"BatchGetItem": 1}


# Pages, by what they should be

PAST: Final = [5, 6, 7]
VALUES = st.sampled_from([None, True, False, 0, 1, 1.5, -2, "", "a", "b", "1", [1], {"a": 1}])
DATA = st.dictionaries(st.sampled_from(["n", "s", "deleted"]), VALUES, max_size=2)

TEXTS = st.sampled_from(["0", "1.0", "true", "a", '"1"', "", "aa"])
FIELDS = st.sampled_from(["n", "s", "deleted", "missing"])
IDS = st.sampled_from([record(number).id for number in range(6)])


def several(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(texts, min_size=1, max_size=3).map(",".join)


def parameters(times: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    """Filters of all kinds, as parameters."""
    one = ["", "not_", "min_", "max_", "gt_", "lt_"]
    of_fields = st.builds("{}{}".format, st.sampled_from(one), FIELDS)
    of_lists = st.builds("{}{}".format, st.sampled_from(["in_", "exclude_"]), FIELDS)
    of_time = st.sampled_from(["_since", "_before", *(f"{each}last_modified" for each in one)])
    of_times = st.sampled_from(["in_last_modified", "exclude_last_modified"])
    return st.one_of(
        st.tuples(of_fields, TEXTS),
        st.tuples(of_lists, several(TEXTS)),
        st.tuples(of_time, times),
        st.tuples(of_times, several(times)),
        st.tuples(st.sampled_from([f"{each}id" for each in one]), IDS),
        st.tuples(st.sampled_from(["in_id", "exclude_id"]), several(IDS)),
    )


SORTS = st.lists(
    st.builds(
        "{}{}".format,
        st.sampled_from(["", "-"]),
        st.sampled_from(["last_modified", "id", "n", "s", "deleted"]),
    ),
    max_size=3,
).map(",".join)


def queries(times: st.SearchStrategy[str]) -> st.SearchStrategy[ListQuery]:
    """Queries of all kinds: filters, orders, limits; many of them admit nearly everything."""
    return st.builds(
        lambda limit, broad, filters, sort: asked(limit, **dict([*broad, *filters, sort])),
        st.none() | st.integers(1, 3),
        st.sampled_from([[], [("_since", "0")], [("not_missing", "a")]]),
        st.lists(parameters(times), max_size=1) | st.lists(parameters(times), max_size=2),
        st.tuples(st.just("_sort"), SORTS),
    )


def in_order(query: ListQuery, entries: Iterable[Listed]) -> list[Listed]:
    """What the query admits of these, in its order, as one would sort by hand."""
    found = [entry for entry in entries if is_admitted(query, entry)]
    for field, descending in reversed(query.order.sorts):
        found.sort(key=lambda entry: rank(entry.to_json().get(field)), reverse=descending)
    return found


def is_admitted(query: ListQuery, entry: Listed) -> bool:
    return query.admits(entry.to_json()) and (query.wants_tombstones or is_object(entry))


def rank(value: Any) -> tuple[int, Any]:
    match value:
        case bool():
            return 0, value
        case int() | float():
            return 1, value
        case str():
            return 2, value
        case None:
            return 4, 0
    return 3, 0


CHANGES = st.builds(
    Change,
    number=st.integers(0, 5),
    data=st.none() | DATA | DATA | DATA.map(lambda data: data | LONG),
    at=st.none() | st.sampled_from(PAST),
)
QUERIES = queries(st.sampled_from(["4", "5", "6", "7", "8", str(START_MS), str(START_MS + 9)]))


@contextmanager
def no_index_has_long_bodies() -> Iterator[None]:
    """What has LONG in it is a large body."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "INDEXED_BODY_BYTES", 0)
        yield


@settings(unhurried, max_examples=15)
@given(
    st.lists(st.lists(CHANGES, max_size=6), max_size=3),
    st.lists(QUERIES, min_size=2, max_size=4),
    st.booleans(),
    st.sampled_from([2, 100]),
)
def test_a_walk_meets_each_entry_that_is_admitted_once_and_in_order(
    connection: Connection,
    written: list[list[Change]],
    queries: list[ListQuery],
    is_named: bool,
    part: int,
) -> None:
    there: dict[int, Listed] = {}
    with no_index_has_long_bodies(), fresh_wire(connection) as wire:
        requests = Requests(wire.dynamo)
        fill(requests)
        for changes in written:
            there |= write(requests, *changes)
        if not is_named:
            forget_latest(requests)
        in_parts(wire, part)

        for query in queries:
            pages = walk(requests, query)

            expected = in_order(query, there.values())
            assert [entry for page in pages for entry in page.entries] == expected
            assert {page.total for page in pages} == {sum(map(is_object, expected))}
            if query.limit is not None:
                assert all(len(page.entries) == query.limit for page in pages[:-1])
            assert pages[-1].entries or len(pages) == 1


@settings(unhurried, max_examples=15)
@given(
    st.lists(CHANGES, min_size=4, max_size=10),
    st.lists(st.lists(CHANGES, max_size=3), max_size=4),
    QUERIES,
    st.booleans(),
)
def test_a_walk_meets_once_and_in_order_what_is_not_touched_between_its_pages(
    connection: Connection,
    before: list[Change],
    between: list[list[Change]],
    query: ListQuery,
    is_named: bool,
) -> None:
    met: list[Listed] = []
    with no_index_has_long_bodies(), fresh_wire(connection) as wire:
        requests = Requests(wire.dynamo)
        fill(requests)
        there = write(requests, *before)
        at_first = list(there.values())
        ever = list(there.values())
        coming = iter(between)
        after = None
        for _ in range(MOST_PAGES):
            if not is_named:
                forget_latest(requests)
            page = requests.page(RECORDS, query, after)

            met += page.entries
            assert page.total == sum(map(is_object, in_order(query, there.values())))
            assert page.entries == in_order(query, page.entries)
            assert all(entry in ever for entry in page.entries)
            after = next_place(page)
            if after is None:
                break
            changed = write(requests, *next(coming, ()))
            there |= changed
            ever += changed.values()
        assert after is None

    untouched = [entry for entry in at_first if entry in there.values()]
    assert [entry for entry in met if entry in untouched] == in_order(query, untouched)


@pytest.mark.parametrize("is_named", [False, True])
def test_a_page_that_ends_with_the_list_has_no_next(requests: Requests, is_named: bool) -> None:
    fill(requests, *[{}] * 4, is_named=is_named)

    pages = walk(requests, asked(2))

    assert [len(page.entries) for page in pages] == [2, 2]


@pytest.mark.parametrize("query", [asked(2), asked(2, **SINCE), asked(2, n="1")], ids=name_of)
def test_an_empty_list_is_one_empty_page(requests: Requests, query: ListQuery) -> None:
    fill(requests)

    assert requests.page(RECORDS, query) == Page([], 0, None)
    assert requests.page(GROUPS, query) == Page([], 0, None)


def test_a_list_that_nobody_has_used_is_empty(requests: Requests) -> None:
    assert requests.page(BUCKETS) == Page([], 0, None)
    assert requests.matches(BUCKETS) == []


@pytest.mark.parametrize("filters", [{}, {"not_n": "5"}, SINCE], ids=name_of)
def test_a_limit_that_dynamodb_can_not_count_is_none(
    requests: Requests, filters: dict[str, str]
) -> None:
    fill(requests, {})

    assert numbers(requests.page(query=asked(10**17, **filters))) == [0]


def test_a_list_that_is_throttled_goes_on_within_its_time(requests: Requests, wire: Wire) -> None:
    fill(requests, {})
    refusals = iter(range(3))

    def throttle(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "Query" and next(refusals, None) is not None:
            raise client_error("ThrottlingException", operation="Query")

    wire.before = throttle

    assert numbers(requests.page()) == [0]
    assert requests.patience.remaining_s < Patience().remaining_s


@pytest.mark.parametrize(
    ("reads", "query"),
    [("read_page", asked(n="1")), ("find_matches", asked()), ("find_matches", asked(n="1"))],
    ids=str,
)
def test_a_list_that_takes_longer_than_there_is_time_is_unavailable(
    requests: Requests, calls: CountedCalls, reads: str, query: ListQuery
) -> None:
    fill(requests, *[{"n": 1}] * 6)
    calls.take()
    seconds = iter([10.0, 9.0, 8.0, 0.2])

    def work(unit: UnitOfWork) -> Any:
        load_list(unit, RECORDS)
        return list(getattr(unit, reads)(RECORDS, query))

    with pytest.raises(UnavailableError) as over:
        requests.storage.run(work, Deadline(lambda: next(seconds)))

    assert over.value.may_repeat
    assert calls.take() == {"BatchGetItem": 1, "Query": 1}  # it is what is read that takes long


def test_a_list_of_what_is_missing_is_missing(requests: Requests) -> None:
    with pytest.raises(MissingError):
        requests.page()


# An answer's limit


def put_texts(requests: Requests, sizes: Sequence[int]) -> None:
    fill(requests, *({"text": random_text(size)} for size in sizes))


@pytest.mark.parametrize("sort", ["", "last_modified", "-text"])
@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("size", [2_000, 60_000], ids=["in the index", "large"])
def test_a_page_ends_where_an_answer_does(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    limit: int | None,
    sort: str,
) -> None:
    shrink_pages(monkeypatch, int(2.5 * size))
    put_texts(requests, [size] * 5)

    pages = walk(requests, asked(limit, _sort=sort))

    met = [number for page in pages for number in numbers(page)]
    assert met == (list(range(5)) if sort == "last_modified" else [4, 3, 2, 1, 0])
    assert [len(page.entries) for page in pages] == [2, 2, 1]
    assert {page.total for page in pages} == {5}


@pytest.mark.parametrize(
    ("filters", "met"),
    [(SINCE, [0, 4, 3, 2, 1]), ({"min_text": ""}, [4, 3, 2, 1])],
    ids=["a sync", "a filter"],
)
def test_a_list_that_no_answer_holds_is_counted_as_a_whole(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
    met: list[int],
) -> None:
    shrink_pages(monkeypatch, 5_000)
    put_texts(requests, [2_000] * 5)
    requests.delete(record(0))

    pages = walk(requests, asked(**filters))

    assert len(pages) > 1
    assert {page.total for page in pages} == {4}
    assert [number for page in pages for number in numbers(page)] == met


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (asked(), [[1], [0]]),
        (asked(1), [[1], [0]]),
        (asked(1, _sort="last_modified"), [[0], [1]]),
        (asked(2), [[1], [0]]),
        (asked(min_text=""), [[1], [0]]),
        (asked(1, min_text=""), [[1], [0]]),
        (asked(1, **SINCE, _sort="id"), [[0], [1]]),
    ],
    ids=name_of,
)
def test_an_object_larger_than_a_page_is_a_page(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    query: ListQuery,
    expected: list[list[int]],
) -> None:
    shrink_pages(monkeypatch, 100)
    put_texts(requests, [2_000, 60_000])

    assert [numbers(page) for page in walk(requests, query)] == expected


@pytest.mark.parametrize("sort", ["", "id"])
def test_a_page_reads_no_more_large_bodies_than_an_answer_may_hold(
    requests: Requests, wire: Wire, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    shrink_pages(monkeypatch, 100_000)
    put_texts(requests, [60_000] * 8)
    read = keys_read(wire)

    page = requests.page(query=asked(_sort=sort))

    assert len(page.entries) == 1
    assert read == [3, 1]


@pytest.mark.parametrize("query", [asked(), asked(n="1"), asked(_sort="n")], ids=name_of)
@pytest.mark.parametrize(("spare", "sizes"), [(0, [2, 1]), (-1, [1, 1, 1])])
def test_a_page_is_as_full_as_an_answer_allows(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    query: ListQuery,
    spare: int,
    sizes: list[int],
) -> None:
    each = windows.ENTRY_BYTES + len(record(0).id) + answer_bytes(b'{"n":1}')
    shrink_pages(monkeypatch, 2 * each + spare)
    fill(requests, *[{"n": 1}] * 3)

    assert [len(page.entries) for page in walk(requests, query)] == sizes


def test_neither_objects_nor_tombstones_are_passed_by_pages_of_one_entry(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_pages(monkeypatch, 100)
    fill(requests, *[{}] * 6)
    write(requests, *(Change(number, None) for number in (4, 1, 3)))
    forget_latest(requests)

    pages = walk(requests, asked(_since="0", _sort="id"))

    assert [numbers(page) for page in pages] == [[0], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize("sort", ["", "last_modified"])
def test_a_page_reads_one_entry_more_than_it_shows(
    requests: Requests, wire: Wire, sort: str
) -> None:
    fill(requests, *[{}] * 4)
    limits: list[int] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "Query":
            limits.append(arguments["Limit"])

    wire.before = look

    requests.page(query=asked(2, _sort=sort))

    assert limits == [3]


def test_a_page_reads_no_further_than_an_answer_holds(
    requests: Requests, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_pages(monkeypatch, 5_000)
    put_texts(requests, [2_000] * 8)
    made = in_parts(wire, 2)

    assert len(requests.page().entries) == 2
    assert len(made) == 2


# What changes while a list is read


def test_an_object_that_is_met_twice_as_it_moves_on_ends_no_page(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests)
    write(requests, *(Change(number, {}, number + 1) for number in range(6)))
    forget_latest(requests)
    in_parts(wire, 3, lambda: rival.put(record(0), at=4))

    pages = walk(requests, asked(4, _sort="last_modified"))

    assert {number for page in pages for number in numbers(page)} == set(range(6))


SORTED: Final = ["", "last_modified", "-n,id"]


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("sort", SORTED)
def test_an_object_that_is_met_at_its_old_and_its_new_place_counts_once_in_its_newest_version(
    wire: Wire, requests: Requests, rival: Requests, sort: str, limit: int | None
) -> None:
    fill(requests, *[{"n": 1}] * 6)
    new = []
    made = in_parts(wire, 2, lambda: new.append(rival.put(record(1), {"n": 2})))
    query = asked(limit, in_n="1,2", _sort=sort)

    pages = walk(requests, query)

    assert made[:4] == [BY_LAST_MODIFIED] * 4  # it was met twice
    assert pages[0].total == 6
    entries = [entry for page in pages for entry in page.entries]
    assert sorted(entry.id for entry in entries) == [record(number).id for number in range(6)]
    assert [entry for entry in entries if entry.id == record(1).id] == new
    assert entries == in_order(query, entries)


@pytest.mark.parametrize("sort", SORTED)
def test_an_object_that_leaves_the_filter_when_it_was_met_is_neither_shown_nor_counted(
    wire: Wire, requests: Requests, rival: Requests, sort: str
) -> None:
    fill(requests, *[{"n": 1}] * 6)
    in_parts(wire, 2, lambda: rival.put(record(1), {"n": 2}))

    page = requests.page(query=asked(n="1", _sort=sort))

    assert sorted(numbers(page)) == [0, 2, 3, 4, 5]
    assert page.total == 5


@pytest.mark.parametrize("sort", SORTED)
def test_an_object_that_comes_into_the_filter_when_it_was_passed_is_shown_and_counted(
    wire: Wire, requests: Requests, rival: Requests, sort: str
) -> None:
    fill(requests, *[{"n": 1}, {"n": 2}] * 3)
    in_parts(wire, 2, lambda: rival.put(record(1), {"n": 1}))

    page = requests.page(query=asked(n="1", _sort=sort))

    assert sorted(numbers(page)) == [0, 1, 2, 4]
    assert page.total == 4


def test_an_object_that_is_met_at_three_places_is_shown_in_its_newest_version(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{"n": 1}] * 3)
    moves = [
        lambda: None,
        lambda: write(rival, Change(0, {"n": 2}), Change(9, {"n": 1})),
        lambda: None,
        lambda: rival.put(record(0), {"n": 3}),
    ]
    made = in_parts(wire, 1, *moves)

    page = requests.page(query=asked(min_n="1", _sort="-n,id"))

    assert len(made) == 6  # for 0, 1, 2, 0, 9, and 0 again
    assert [(number_of(entry.id), entry.to_json()["n"]) for entry in page.entries] == [
        (0, 3),
        (1, 1),
        (2, 1),
        (9, 1),
    ]
    assert page.total == 4


def test_a_page_whose_entries_have_all_moved_on_does_not_pass_what_is_behind_them(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{}] * 4)
    requests.delete(record(3))
    forget_latest(requests)
    in_parts(wire, 2, lambda: (rival.put(record(0)), rival.put(record(1))))

    pages = walk(requests, asked(1, _since="0", _sort="last_modified"))

    assert [number for page in pages for number in numbers(page)] == [2, 3, 0, 1]


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("limit", [None, 1, 2])
def test_an_object_that_is_deleted_when_it_was_met_is_one_entry_its_tombstone(
    wire: Wire, requests: Requests, rival: Requests, limit: int | None, is_named: bool
) -> None:
    fill(requests, *[{}] * 4)
    requests.delete(record(3))  # or the list's clock would tell that there are no tombstones
    if not is_named:
        forget_latest(requests)
    between_the_indexes(wire, BY_LAST_MODIFIED, lambda: rival.delete(record(1)))

    pages = walk(requests, asked(limit, _since="0", _sort="last_modified"))

    assert pages[0].total == 2
    entries = [entry for page in pages for entry in page.entries]
    assert [number_of(entry.id) for entry in entries] == [0, 2, 3, 1]
    assert entries[3] == requests.get(record(1))


@pytest.mark.parametrize("is_named", [False, True])
def test_an_object_that_is_made_again_when_its_tombstone_was_met_is_one_entry(
    wire: Wire, requests: Requests, rival: Requests, is_named: bool
) -> None:
    fill(requests, *[{}] * 3)
    requests.delete(record(1))
    if not is_named:
        forget_latest(requests)
    between_the_indexes(wire, BY_DELETION, lambda: rival.put(record(1), {"new": True}))

    page = requests.page(query=asked(_since="0"))

    assert (numbers(page), page.total) == ([1, 2, 0], 3)
    assert page.entries[0] == requests.get(record(1))


def test_an_object_that_is_deleted_when_the_tombstones_were_read_is_in_the_next_sync(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{}] * 4)
    requests.delete(record(3))
    between_the_indexes(wire, BY_DELETION, lambda: rival.delete(record(1)))

    timestamp, page = requests.list(query=asked(_since="0"))
    synced = requests.page(query=asked(_since=str(timestamp)))

    assert (numbers(page), page.total) == ([3, 2, 0], 2)
    assert synced.entries == [requests.get(record(1))]


def test_an_object_that_is_made_again_when_the_objects_were_read_is_in_the_next_sync(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{}] * 3)
    requests.delete(record(1))
    forget_latest(requests)
    between_the_indexes(wire, BY_LAST_MODIFIED, lambda: rival.put(record(1), {"new": True}))

    timestamp, page = requests.list(query=asked(_since="0"))
    synced = requests.page(query=asked(_since=str(timestamp)))

    assert (numbers(page), page.total) == ([2, 0], 2)
    assert synced.entries == [requests.get(record(1))]


def between_the_indexes(wire: Wire, first: str, action: Callable[[], Any]) -> None:
    """Read this index as a whole, do something, and only then read the other, once."""
    is_read = threading.Event()
    taken: list[str] = []

    def before(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "Query" and arguments["IndexName"] != first and not taken:
            taken.append(operation)
            assert is_read.wait(30)
            action()

    def after(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "Query" and arguments["IndexName"] == first:
            is_read.set()

    wire.before, wire.after = before, after


def test_an_object_that_is_deleted_before_it_is_met_is_neither_shown_nor_counted(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{"n": 1}] * 4)
    in_parts(wire, 2, lambda: [rival.delete(record(number)) for number in (1, 3)])

    page = requests.page(query=asked(n="1", _sort="n,id"))

    assert numbers(page) == [0, 1, 2]  # the first of them was met as it was when the clock was read
    assert page.total == 3


def test_what_is_made_while_a_list_is_read_counts_if_it_is_met(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{"n": 1}] * 4)
    made = lambda: (rival.put(record(5), {"n": 1}, at=1), rival.put(record(6), {"n": 1}))  # noqa: E731
    in_parts(wire, 2, made)

    page = requests.page(query=asked(n="1", _sort="id"))

    assert numbers(page) == [0, 1, 2, 3, 6]
    assert page.total == 5


# Large bodies


def before_bodies(wire: Wire, action: Callable[[], Any]) -> None:
    """Do something between a list's queries and the reading of its large bodies."""
    seen: list[str] = []

    def hook(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        seen.append(operation)
        if operation == "BatchGetItem" and "Query" in seen:
            wire.before = None
            action()

    wire.before = hook


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_large_object_deleted_while_a_page_is_read_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire, gone: int, limit: int | None
) -> None:
    put_texts(requests, [60_000] * 3)
    before_bodies(wire, lambda: rival.delete(record(gone)))

    pages = walk(requests, asked(limit))

    assert [number for page in pages for number in numbers(page)] == [
        number for number in (2, 1, 0) if number != gone
    ]
    assert all(is_object(entry) for page in pages for entry in page.entries)


def test_a_large_object_replaced_while_a_page_is_read_is_shown_as_it_is_now(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000] * 2)
    stored: list[StoredObject] = []
    before_bodies(wire, lambda: stored.append(rival.put(record(0), {"text": "new"})))

    page = requests.page()

    assert [number_of(entry.id) for entry in page.entries] == [1, 0]
    assert page.entries[1] == stored[0]


def test_a_large_object_that_has_grown_beyond_the_page_meanwhile_is_on_the_next_one(
    requests: Requests, rival: Requests, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_pages(monkeypatch, 150_000)
    put_texts(requests, [60_000] * 2)
    before_bodies(wire, lambda: rival.put(record(1), {"text": random_text(120_000)}))

    pages = walk(requests, asked(_sort="last_modified"))

    assert [numbers(page) for page in pages] == [[0], [1]]


def test_a_large_object_of_a_collection_made_again_meanwhile_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000])
    before_bodies(wire, lambda: make_posts_again(rival))

    assert requests.page().entries == []


def make_posts_again(rival: Requests) -> None:
    rival.delete(POSTS)
    rival.put(POSTS)
    rival.put(record(0), {"secret": 1, "tag": "a"})


def test_a_large_object_that_left_the_range_meanwhile_is_not_shown(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_texts(requests, [60_000])
    before_bodies(wire, lambda: rival.put(record(0)))

    assert requests.page(query=asked(_before=str(START_MS + 2))).entries == []


def put_large(requests: Requests, *tags: str, is_named: bool = False) -> None:
    """Large records with these tags, from 0 on."""
    with no_index_has_long_bodies():
        fill(requests, *({"tag": tag, **LONG} for tag in tags), is_named=is_named)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (asked(tag="a"), [3, 1, 0]),
        (asked(2, tag="a", _sort="last_modified"), [0, 1, 3]),
        (asked(not_tag="a", **SINCE), [4, 2]),
        (asked(_sort="tag,id"), [0, 1, 3, 2, 4]),
        (asked(1, _sort="-tag,id"), [4, 2, 0, 1, 3]),
        (asked(pad="x"), []),
        (asked(in_id=some_ids(0, 2), tag="a"), [0]),
    ],
    ids=name_of,
)
def test_large_bodies_are_filtered_and_sorted_by(
    requests: Requests, query: ListQuery, expected: list[int]
) -> None:
    put_large(requests, "a", "a", "b", "a")
    requests.put(record(4), {"tag": "c"})

    pages = walk(requests, query)

    assert [number for page in pages for number in numbers(page)] == expected
    assert {page.total for page in pages} == {len(expected)}
    assert all("pad" in entry.data or entry.id == record(4).id for entry in pages[0].entries)


def test_only_so_many_large_bodies_are_read_at_once_to_be_filtered_by(
    requests: Requests, wire: Wire
) -> None:
    put_large(requests, *["a", "b"] * 10)
    read = keys_read(wire)

    page = requests.page(query=asked(1, tag="a"))

    assert (numbers(page), page.total) == ([18], 10)
    assert read == [3, LARGE_AT_ONCE, 20 - LARGE_AT_ONCE]


def test_large_bodies_that_the_clock_names_are_read_once(
    requests: Requests, calls: CountedCalls
) -> None:
    put_large(requests, "a", "b", "a", is_named=True)
    calls.take()

    assert numbers(requests.page(query=asked(tag="a"))) == [2, 0]
    assert calls.take() == {"BatchGetItem": 1 + 1, "Query": 1}


def test_large_bodies_are_read_only_where_a_page_shows_them_or_its_query_looks_at_them(
    requests: Requests, wire: Wire
) -> None:
    put_large(requests, *"ab" * 2)
    read = keys_read(wire)

    requests.page(query=asked(1, _since="0", not_id=ONE, _sort="id"))

    assert read == [3, 1]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (lambda rival: rival.put(record(0), {"tag": "a", "new": True}), [0, 1]),
        (lambda rival: rival.put(record(0), {"tag": "b"}), [1]),
        (lambda rival: rival.put(record(2), {"tag": "a"}), [2, 1, 0]),
        (lambda rival: rival.delete(record(0)), [1]),
        (lambda rival: (rival.delete(record(0)), rival.put(record(0), {"tag": "a"})), [0, 1]),
    ],
    ids=["changed", "changed, out", "changed, in", "deleted", "deleted and made again"],
)
@pytest.mark.parametrize("sort", ["", "tag,-last_modified"])
def test_a_large_object_is_filtered_as_it_is_when_its_body_is_read(
    requests: Requests,
    rival: Requests,
    wire: Wire,
    action: Callable[[Requests], Any],
    expected: list[int],
    sort: str,
) -> None:
    put_large(requests, "a", "a", "b")
    before_bodies(wire, lambda: action(rival))

    page = requests.page(query=asked(tag="a", _sort=sort))

    assert numbers(page) == expected
    assert page.total == len(expected)
    assert page.entries == [requests.get(record(number)) for number in expected]


def test_a_large_object_that_is_deleted_before_its_body_is_read_is_a_tombstone_to_a_sync(
    requests: Requests, rival: Requests, wire: Wire
) -> None:
    put_large(requests, "a", "a", "b")
    before_bodies(wire, lambda: rival.delete(record(0)))

    page = requests.page(query=asked(not_tag="b", _since="0"))

    assert page.entries == [requests.get(record(0)), requests.get(record(1))]
    assert page.total == 1


@pytest.mark.parametrize("query", [asked(), asked(tag="a"), asked(_sort="tag")], ids=name_of)
def test_a_large_object_that_is_purged_before_its_body_is_read_is_gone(
    requests: Requests, wire: Wire, query: ListQuery
) -> None:
    put_large(requests, "a", "a")
    purged = {"TableName": wire.dynamo.tables.objects, "Key": raw_key(object_key(record(0)))}
    before_bodies(wire, lambda: wire.client.delete_item(**purged))

    assert numbers(requests.page(query=query)) == [1]


@pytest.mark.parametrize("filters", [{"tag": "a"}, {"in_tag": "a,b", "_since": "0"}], ids=str)
def test_a_large_object_of_another_incarnation_matches_nothing(
    requests: Requests, rival: Requests, wire: Wire, filters: dict[str, str]
) -> None:
    put_large(requests, "a")
    before_bodies(wire, lambda: make_posts_again(rival))

    page = requests.page(query=asked(**filters))

    assert (page.entries, page.total) == ([], 0)


@pytest.mark.parametrize("query", [asked(), asked(tag="a"), asked(in_id=TWO)], ids=name_of)
@pytest.mark.parametrize("is_named", [False, True])
def test_a_list_of_a_collection_made_again_meanwhile_shows_nothing_of_the_new_one(
    requests: Requests, rival: Requests, wire: Wire, query: ListQuery, is_named: bool
) -> None:
    fill(requests, *[{"tag": "a"}] * 3, is_named=is_named)

    def between(number: int, _operation: str, _arguments: dict[str, Any]) -> None:
        if number == 2:
            rival.delete(POSTS)
            rival.put(POSTS)
            write(rival, *(Change(number, {"tag": "a", "secret": 1}) for number in (0, 1)))

    wire.calls, wire.before = 0, between

    page = requests.page(query=query)

    assert all("secret" not in entry.to_json() for entry in page.entries)
    assert set(numbers(page)) <= {2}  # as the items of the others are made anew
    assert requests.patience.pauses == []


@pytest.mark.parametrize("large", [False, True])
def test_an_object_of_another_incarnation_is_not_got_by_its_id(
    requests: Requests, rival: Requests, large: bool
) -> None:
    put_large(requests, "a") if large else fill(requests, {"tag": "a"})
    requests.delete(POSTS)
    requests.put(POSTS)

    page = requests.page(query=asked(id=some_ids(0), _since="0"))

    assert (page.entries, page.total) == ([], 0)
    assert requests.matches(query=asked(id=some_ids(0))) == []


# Torn commits

TORN: Final = [
    (asked(), [4, 1, 3, 0], 4),
    (asked(new="true"), [4, 1], 2),
    (asked(1, new="true", _sort="id"), [1, 4], 2),
    (asked(not_new="true"), [3, 0], 2),
    (asked(3, _sort="-new,id"), [0, 3, 1, 4], 4),
    (asked(id=ONE), [1], 1),
    (asked(id=some_ids(2)), [], 0),
    (asked(in_id=some_ids(1, 2, 3, 4), new="true"), [4, 1], 2),
    (asked(1, in_id=some_ids(1, 2, 4), _since="0"), [4, 2, 1], 2),
    (asked(deleted="true", _since="0"), [2], 0),
    (asked(2, not_deleted="true", _since="0", _sort="last_modified"), [0, 3, 1, 4], 4),
    (asked(_before=str(START_MS + 6)), [3, 0], 2),
]
"""What is asked of records 0 to 3 when one transaction has changed 1, deleted 2, and made 4."""


@pytest.mark.parametrize("hidden", [(2,), (1, 4)], ids=str)
@pytest.mark.parametrize(("query", "expected", "total"), TORN, ids=name_of)
def test_a_list_shows_what_its_clock_names_though_it_is_not_visible_yet(
    wire: Wire,
    requests: Requests,
    query: ListQuery,
    expected: list[int],
    total: int,
    hidden: tuple[int, ...],
) -> None:
    fill(requests, *[{}] * 4)
    wire.torn = lambda id: id in {record(number).id for number in hidden}
    write_three_ways(requests)

    pages = walk(requests, query)

    entries = [entry for page in pages for entry in page.entries]
    assert [number_of(entry.id) for entry in entries] == expected
    assert {page.total for page in pages} == {total}
    assert all(entry.to_json().get("new") for entry in entries if number_of(entry.id) in (1, 4))


@pytest.mark.parametrize("limit", [None, 1, 2])
@pytest.mark.parametrize("sort", ["last_modified", "-last_modified"])
@pytest.mark.parametrize("hidden", [(1,), (4,), (1, 4)], ids=str)
def test_a_sync_counts_what_is_not_visible_yet(
    wire: Wire, requests: Requests, limit: int | None, sort: str, hidden: tuple[int, ...]
) -> None:
    fill(requests, *[{}] * 4)
    wire.torn = lambda id: id in {record(number).id for number in hidden}

    def write(unit: UnitOfWork) -> None:
        load(unit, record(1), record(4))
        for number in (1, 4):
            unit.put(record(number), {"new": True}, {}, origin=Origin())

    requests.run(write)

    pages = walk(requests, asked(limit, _since="0", _sort=sort))

    entries = [entry for page in pages for entry in page.entries]
    in_order = [0, 2, 3, 1, 4]
    assert [number_of(entry.id) for entry in entries] == (
        in_order if sort == "last_modified" else in_order[::-1]
    )
    assert {page.total for page in pages} == {5}


@pytest.mark.parametrize(
    ("query", "pauses"),
    [
        (asked(), 3),
        (asked(1), 3),
        (asked(n="1"), 3),
        (asked(_sort="n"), 3),
        (asked(_since="0"), 3),
        (asked(in_id=TWO), 2),  # it was read once before
    ],
    ids=name_of,
)
@pytest.mark.parametrize("was_there", [False, True])
def test_a_list_reads_by_key_until_it_has_what_its_clock_names(
    wire: Wire, requests: Requests, query: ListQuery, pauses: int, was_there: bool
) -> None:
    fill(requests, {"n": 1})
    if was_there:
        requests.put(record(1), {"n": 1})
    wire.torn, wire.late_reads = lambda id: id == record(1).id, 3
    new = requests.put(record(1), {"n": 1})

    page = requests.page(query=query)

    assert new in page.entries
    assert len(requests.patience.pauses) == pauses


@pytest.mark.parametrize(
    "query",
    [asked(), asked(1, _sort="last_modified", n="1"), asked(id=ONE)],
    ids=name_of,
)
def test_a_list_that_never_shows_what_its_clock_names_is_unavailable(
    requests: Requests, wire: Wire, query: ListQuery
) -> None:
    fill(requests)
    wire.torn, wire.late_reads = lambda id: id == record(1).id, 10**6
    requests.put(record(1), {"n": 1})

    with pytest.raises(UnavailableError) as over:
        requests.page(query=query)

    assert over.value.may_repeat
    with pytest.raises(UnavailableError):
        requests.matches(query=query)


@pytest.mark.parametrize(
    "query",
    [asked(n="1", last_modified="5"), asked(id=some_ids(0)), asked(_before="9", _since="8")],
    ids=name_of,
)
def test_what_a_query_can_not_admit_is_not_waited_for(
    requests: Requests, wire: Wire, query: ListQuery
) -> None:
    fill(requests, {"n": 1})
    wire.torn, wire.late_reads = lambda id: id == record(1).id, 10**6
    requests.put(record(1), {"n": 1})

    assert numbers(requests.page(query=query)) == ([0] if query.ids else [])
    assert requests.patience.pauses == []


@pytest.mark.parametrize("query", [asked(), asked(n="2"), asked(_sort="n"), asked(in_id=ONE)])
def test_what_the_clock_names_may_be_newer_by_now(
    requests: Requests, rival: Requests, wire: Wire, query: ListQuery
) -> None:
    fill(requests, {"n": 2}, {"n": 2}, is_named=True)
    new: list[StoredObject] = []
    made: list[str] = []

    def change(number: int, operation: str, _arguments: dict[str, Any]) -> None:
        made.append(operation)
        if number == 2:
            new.append(rival.put(record(1), {"n": 2, "new": True}))

    wire.calls, wire.before = 0, change

    page = requests.page(query=query)

    assert [entry for entry in page.entries if entry.id == record(1).id] == new
    assert len(made) == 2


# What DELETE of a list goes by


def matching(requests: Requests, query: ListQuery = ALL) -> list[int]:
    """Which records match, in their order."""
    return [number_of(uri.id) for uri in requests.matches(RECORDS, query)]


@pytest.mark.parametrize(
    ("query", "expected", "called"),
    [
        (asked(), [0, 1, 3, 4], {"BatchGetItem": 1, "Query": 1}),
        (asked(n="1"), [1, 3], {"BatchGetItem": 1, "Query": 1}),
        (asked(not_n="1"), [0, 4], {"BatchGetItem": 1, "Query": 1}),
        (asked(_since=str(START_MS + 3)), [3, 4], {"BatchGetItem": 1, "Query": 1}),
        (asked(_before=str(START_MS + 3), n="0"), [0], {"BatchGetItem": 1, "Query": 1}),
        (asked(deleted="true", _since="0"), [], {"BatchGetItem": 1, "Query": 1}),
        (asked(id=ONE), [1], {"BatchGetItem": 2}),
        (asked(in_id=some_ids(1, 2, 4)), [1, 4], {"BatchGetItem": 2}),
        (asked(in_id=some_ids(1, 2, 4), n="1"), [1], {"BatchGetItem": 2}),
        (asked(in_id=TWO, _since="0"), [1], {"BatchGetItem": 2}),
        (asked(id="nonsense"), [], {"BatchGetItem": 1}),
        (asked(_since="9", _before="9"), [], {"BatchGetItem": 1}),
    ],
    ids=name_of,
)
def test_matches_are_the_live_objects_that_the_filters_admit_the_oldest_first(
    requests: Requests,
    calls: CountedCalls,
    query: ListQuery,
    expected: list[int],
    called: dict[str, int],
) -> None:
    fill(requests, {"n": 0}, {"n": 1}, {"n": 1}, {"n": 1}, {"n": 0})
    requests.delete(record(2))
    forget_latest(requests)
    calls.take()

    assert matching(requests, query) == expected
    assert calls.take() == called


@pytest.mark.parametrize("query", [asked(), asked(n="1"), asked(_since="0")], ids=name_of)
def test_matches_are_read_as_they_are_asked_for(
    requests: Requests, wire: Wire, query: ListQuery
) -> None:
    fill(requests, *[{"n": 1}] * 6)
    made = in_parts(wire, 2)

    def work(unit: UnitOfWork) -> list[tuple[int, int]]:
        load_list(unit, RECORDS)
        matches = unit.find_matches(RECORDS, query)
        assert made == []
        return [(number_of(uri.id), len(made)) for uri in matches]

    assert requests.run(work) == [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]


@pytest.mark.parametrize(
    ("query", "reads_bodies"),
    [(asked(), False), (asked(_since="0", not_id=ONE), False), (asked(text="a"), True)],
    ids=name_of,
)
def test_matches_read_bodies_only_where_the_filters_look_at_them(
    requests: Requests, wire: Wire, query: ListQuery, reads_bodies: bool
) -> None:
    with no_index_has_long_bodies():
        fill(requests, {"text": "a"}, {"text": "a", **LONG})
    operations: list[tuple[str, bool]] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        names = arguments.get("ExpressionAttributeNames", {})
        operations.append((operation, "body" in names.values()))

    wire.before = look

    matches = matching(requests, query)

    assert matches == ([0] if query.wants_tombstones else [0, 1])
    expected = [("BatchGetItem", False), ("Query", reads_bodies)]
    assert operations == expected + [("BatchGetItem", False)] * reads_bodies


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (asked(), {0, 1, 3, 4}),
        (asked(new="true"), {1, 4}),
        (asked(in_id=some_ids(1, 2, 4)), {1, 4}),
        (asked(_since=str(START_MS + 5)), {1, 4}),
    ],
    ids=name_of,
)
@pytest.mark.parametrize("hidden", [(1,), (4,)], ids=str)
def test_matches_have_what_the_clock_names_though_it_is_not_visible_yet(
    wire: Wire,
    requests: Requests,
    query: ListQuery,
    expected: set[int],
    hidden: tuple[int, ...],
) -> None:
    fill(requests, *[{}] * 4)
    wire.torn = lambda id: id in {record(number).id for number in hidden}
    write_three_ways(requests)

    assert set(matching(requests, query)) == expected


@pytest.mark.parametrize("query", [asked(), asked(not_new="true"), asked(in_id=TWO)], ids=name_of)
def test_matches_end_though_a_deletion_is_not_visible_yet(
    wire: Wire, requests: Requests, query: ListQuery
) -> None:
    fill(requests, *[{}] * 4)
    wire.torn = lambda id: id == record(2).id
    requests.delete(record(2))

    assert set(matching(requests, query)) - {2} == ({1} if query.ids else {0, 1, 3})


def test_matches_go_on_where_something_moves(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    fill(requests, *[{"n": 1}] * 4)
    in_parts(wire, 2, lambda: (rival.put(record(0), {"n": 1}), rival.delete(record(2))))

    assert matching(requests, asked(n="1")) == [0, 1, 3, 0]


def test_matches_got_by_their_ids_come_the_oldest_first(requests: Requests) -> None:
    fill(requests)
    write(requests, Change(2, {}), Change(1, {}))

    assert matching(requests, asked(in_id=TWO)) == [2, 1]


def test_matches_with_large_bodies_come_the_oldest_first(requests: Requests) -> None:
    put_large(requests, "a", "b", "a", is_named=True)
    requests.put(record(3), {"tag": "a"})
    requests.put(record(2), {"tag": "a"})

    assert matching(requests, asked(tag="a")) == [0, 3, 2]


def test_only_so_many_matches_wait_for_a_large_body(
    requests: Requests, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "WAITING_AT_ONCE", 3)
    put_large(requests, "a")
    write(requests, *(Change(number, {"tag": "a"}) for number in range(1, 6)))
    made = in_parts(wire, 1)

    def work(unit: UnitOfWork) -> list[tuple[int, int]]:
        load_list(unit, RECORDS)
        matches = unit.find_matches(RECORDS, asked(tag="a"))
        return [(number_of(uri.id), len(made)) for uri in matches]

    assert requests.run(work) == [(0, 3), (1, 3), (2, 3), (3, 4), (4, 5), (5, 6)]


@pytest.mark.parametrize("query", [asked(_since="0"), asked(_before=str(10**15))], ids=name_of)
def test_matches_need_no_call_for_the_deletions_that_the_clock_names(
    requests: Requests, calls: CountedCalls, query: ListQuery
) -> None:
    fill(requests, {}, {})
    requests.delete(record(0))
    calls.take()

    assert matching(requests, query) == [1]
    assert calls.take() == {"BatchGetItem": 1, "Query": 1}


def test_matches_have_nothing_that_the_filters_never_admitted(
    requests: Requests, wire: Wire
) -> None:
    fill(requests, {"n": 1})
    wire.torn = lambda id: id == record(1).id
    requests.put(record(1), {"n": 2})

    assert matching(requests, asked(n="1")) == [0]


# Others write between the calls, as they like


class Commit(NamedTuple):
    """A write of one record, and how it becomes visible.

    Attributes:
        number: of the record.
        data: what it becomes; None deletes it, where it is there.
        past: how far in the past its client dates it, where that is later than what was there.
        late: how often it is read by its key before it is visible; None where it is at once.
        is_large: whether the index lacks its body.
    """

    number: int
    data: JsonObject | None
    past: int = 0
    late: int | None = None
    is_large: bool = False


class BusyList:
    """One list, in memory, to which others write between the calls of its reader.

    Each call sees one moment, and what was committed may be visible later than its clock; a Query
    answers as much as it likes.
    """

    def __init__(self, entries_at_once: int) -> None:
        self.versions: dict[str, list[Item]] = {}
        self.clock = Clock(START_MS, 0, ROOT)
        self.coming: Iterator[list[Commit]] = iter(())
        self._entries_at_once = entries_at_once
        self._visible: dict[str, RawItem] = {}
        self._late: dict[str, RawItem] = {}
        self._reads: dict[str, int] = {}

    def commit(self, commit: Commit) -> None:
        key = object_key(record(commit.number))
        versions = self.versions.get(key.id, [])
        was_live = bool(versions) and versions[-1].is_live
        is_live = commit.data is not None
        if not (is_live or was_live):
            return
        self._show(key.id)  # until then it is a conflict
        version = time = self.clock.timestamp + 1
        if not versions or version - commit.past > versions[-1].last_modified:
            time -= commit.past
        item = Item(key, is_live, time, version, ROOT)
        if is_live:
            item = replace(item, permissions={}, body=json.dumps(commit.data))
        self.versions[key.id] = [*versions, item]
        latest = (*self.clock.latest, Write(key.id, version, time, is_live).to_text())
        self.clock = Clock(version, self.clock.count + is_live - was_live, ROOT, latest)
        self._late[key.id] = _raw(item, is_large=commit.is_large)
        self._reads[key.id] = commit.late or 0
        if commit.late is None:
            self._show(key.id)

    def shorten(self) -> None:
        """Let the clock name only what is not visible yet."""
        named = self.clock.newest_writes.values()
        kept = tuple(write.to_text() for write in named if write.id in self._late)
        self.clock = replace(self.clock, latest=kept)

    def since(self, timestamp: int) -> dict[str, list[Item]]:
        """The versions of each record, by its id, that there have been from this time on."""
        return {
            id: [
                version
                for version, following in zip(versions, [*versions[1:], None], strict=True)
                if following is None or following.version > timestamp
            ]
            for id, versions in self.versions.items()
        }

    def dispatch(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        for commit in next(self.coming, ()):
            self.commit(commit)
        return self._query(arguments) if operation == "Query" else self._get(arguments)

    def _show(self, id: str) -> None:
        if id in self._late:
            self._visible[id] = self._late.pop(id)

    def _get(self, arguments: dict[str, Any]) -> dict[str, Any]:
        ((table, asked),) = arguments["RequestItems"].items()
        ids = [key["id"]["S"] for key in asked["Keys"]]
        for id in ids:
            if self._reads.get(id, 0) == 0:
                self._show(id)
            else:
                self._reads[id] -= 1
        there = {**self._visible, CLOCK_ID: self._raw_clock()}
        return {"Responses": {table: [there[id] for id in ids if id in there]}}

    def _raw_clock(self) -> RawItem:
        return {
            "parent": {"S": object_key(record(0)).parent},
            "id": {"S": CLOCK_ID},
            "timestamp": {"N": str(self.clock.timestamp)},
            "count": {"N": str(self.clock.count)},
            "within": {"S": self.clock.within},
            "latest": {"L": [{"S": write} for write in self.clock.latest]},
        }

    def _query(self, arguments: dict[str, Any]) -> dict[str, Any]:
        range_key = RANGE_KEYS[arguments["IndexName"]]
        _, lowest, highest = (it["S"] for it in arguments["ExpressionAttributeValues"].values())
        assert lowest <= highest  # else DynamoDB refuses it
        start = arguments.get("ExclusiveStartKey")
        is_ascending = arguments["ScanIndexForward"]
        found = [
            raw
            for raw in self._visible.values()
            if range_key in raw
            and lowest <= (place := raw[range_key]["S"]) <= highest
            and (start is None or (place > start if is_ascending else place < start))
        ]
        found.sort(key=lambda raw: raw[range_key]["S"], reverse=not is_ascending)
        number = min(self._entries_at_once, arguments.get("Limit", self._entries_at_once))
        names = arguments["ExpressionAttributeNames"].values()
        part = [{name: raw[name] for name in names if name in raw} for raw in found[:number]]
        more = {"LastEvaluatedKey": part[-1][range_key]["S"]} if len(found) > number else {}
        return {"Items": part} | more


def _raw(item: Item, *, is_large: bool) -> RawItem:
    """The item as it is stored, its body large or not."""
    raw = to_raw(item, Cause(None, "", by_list=False, timestamp=0))
    if item.is_live and is_large:
        plain = str(item.body).encode()
        raw["body"] = {"N": str(answer_bytes(plain))}
        raw["large_body"] = {"B": zlib.compress(plain)}
    return raw


class OneByOne(Dynamo):
    """Calls that others make in parallel: in this order, or the other way round."""

    def __init__(self, there: BusyList, *, backwards: bool) -> None:
        super().__init__(there, Tables.of_stage("memory"))  # type: ignore[arg-type]
        self._step = -1 if backwards else 1

    def parallel(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        return [call(argument) for argument in arguments[:: self._step]][:: self._step]


COMMITS = st.builds(
    Commit,
    number=st.integers(0, 4),
    data=st.none() | DATA | DATA | DATA,
    past=st.sampled_from([0, 0, 0, 1, 3, 900]),
    late=st.sampled_from([None, None, None, 0, 1, 2]),
    is_large=st.sampled_from([False, False, True]),
)
BUSY_QUERIES = queries(st.sampled_from(["0", "5", *(str(START_MS + n) for n in range(-2, 12))]))


@settings(unhurried, max_examples=300)
@given(
    first=st.lists(DATA, max_size=5),
    before=st.lists(COMMITS, max_size=6),
    meanwhile=st.lists(st.lists(COMMITS, max_size=2), max_size=8),
    shortens=st.booleans(),
    query=BUSY_QUERIES,
    entries_at_once=st.integers(1, 4),
    backwards=st.booleans(),
    page_bytes=st.sampled_from([100, 200, 400, 10**6, 10**6]),
)
def test_whatever_others_write_between_its_calls_a_list_shows_what_stays_and_nothing_that_never_was(
    first: list[JsonObject],
    before: list[Commit],
    meanwhile: list[list[Commit]],
    shortens: bool,
    query: ListQuery,
    entries_at_once: int,
    backwards: bool,
    page_bytes: int,
) -> None:
    there = BusyList(entries_at_once)
    for number, data in enumerate(first):
        there.commit(Commit(number, data))
    for commit in before:
        there.commit(commit)
    there.coming = iter(meanwhile)
    dynamo = OneByOne(there, backwards=backwards)
    at_first = there.clock.timestamp
    pages: list[Page] = []
    after = None
    with pytest.MonkeyPatch.context() as patch:
        shrink_pages(patch, page_bytes)
        patch.setattr(lists, "LARGE_AT_ONCE", 2)
        while not pages or after is not None:
            if shortens:
                there.shorten()
            clock = there.clock
            wants = query.wants_tombstones
            page = reader(dynamo, clock, query, with_tombstones=wants).page(after)

            check_page(page, query, clock, there.since(clock.timestamp))
            pages.append(page)
            assert len(pages) < MOST_PAGES
            after = next_place(page)
        clock = there.clock
        matches = [*reader(dynamo, clock, query, with_tombstones=False).matches()]

    untouched = [
        versions[0].to_stored()
        for versions in there.since(at_first).values()
        if versions[-1].version <= at_first
    ]
    met = [entry for page in pages for entry in page.entries]
    assert [entry for entry in met if entry in untouched] == in_order(query, untouched)
    assert set(matches) >= certain(query, clock, there.since(clock.timestamp)).keys()
    assert all(was_ever_a_match(query, there.versions[id]) for id in matches)


def check_page(
    page: Page, query: ListQuery, clock: Clock, there_were: dict[str, list[Item]]
) -> None:
    """Hold a page to what there was while it was read."""
    assert query.limit is None or len(page.entries) <= query.limit
    assert len({entry.id for entry in page.entries}) == len(page.entries)
    shown = {
        id: [entry for version in versions if is_admitted(query, entry := version.to_stored())]
        for id, versions in there_were.items()
    }
    assert all(entry in shown[entry.id] for entry in page.entries)
    stayed = [entry for entry in page.entries if len(there_were[entry.id]) == 1]
    assert stayed == in_order(query, stayed)
    if query.filters:
        possible = sum(any(map(is_object, entries)) for entries in shown.values())
        assert len(certain(query, clock, there_were)) <= page.total <= possible
    else:
        assert page.total == clock.count


def was_ever_a_match(query: ListQuery, versions: Sequence[Item]) -> bool:
    return any(
        version.is_live and query.admits(version.to_stored().to_json()) for version in versions
    )


def certain(
    query: ListQuery, clock: Clock, there_were: dict[str, list[Item]]
) -> dict[str, list[Item]]:
    """The objects that were there and admitted all the time."""
    return {
        id: versions
        for id, versions in there_were.items()
        if versions[0].version <= clock.timestamp
        and all(v.is_live and is_admitted(query, v.to_stored()) for v in versions)
    }


def reader(dynamo: Dynamo, clock: Clock, query: ListQuery, *, with_tombstones: bool) -> ListReader:
    parent, deadline = object_key(record(0)).parent, Patience().deadline()
    ids = frozenset(filter(RECORD.is_id, query.ids or ()))
    by_key = Keyed(read_keys(dynamo, deadline, parent, ids), ids, within=clock.within)
    return ListReader(
        dynamo,
        deadline,
        parent,
        clock=clock,
        staged={},
        query=query,
        keyed=None if query.ids is None else by_key,
        with_tombstones=with_tombstones,
    )
