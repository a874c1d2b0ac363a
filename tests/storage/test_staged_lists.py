"""Lists as a unit of work reads them that has staged something in them itself."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.stored import Permissions
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.keyed import Keyed
from chalicelib.storage.keys import clock_key
from chalicelib.storage.lists import Page
from chalicelib.storage.staging import Origin
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.doubles import START_MS, CountedCalls, SetClock
from tests.storage.stand_ins import (
    ALL,
    BLOG,
    BUCKETS,
    COLLECTIONS,
    GROUPS,
    POSTS,
    RECORDS,
    WRITERS,
    Requests,
    Wire,
    asked,
    fresh_wire,
    ids,
    load,
    load_list,
    record,
    unhurried,
)
from tests.storage.test_lists import (
    MOST_PAGES,
    fill,
    forget_latest,
    next_place,
    no_index_has_long_bodies,
    number_of,
    numbers,
    queries,
    some_ids,
)
from tests.storage.test_staging import (
    LISTS,
    SEQUENCES,
    SHOP_WRITERS,
    STATES,
    Step,
    addresses,
    delete,
    is_there,
    put_all,
    state_of,
    store,
    take,
    unit_of,
)

# What is read before the commit is what is read after it


def who_is_named(permissions: Permissions) -> frozenset[str]:
    """The principals that may read an object."""
    return frozenset().union(*permissions.values())


class Look(NamedTuple):
    """A way to read a list.

    Attributes:
        uri: of the list.
        query: what is asked for.
        part: that of this user, of the anonymous where it is None, or the whole.
    """

    uri: ListUri
    query: ListQuery
    part: str | None

    def at(self, unit: UnitOfWork) -> Any:
        """All that can be seen so; None where the list isn't there."""
        unit.load(self.uri.ancestors, [self.uri])
        if not all(is_there(unit, parent) for parent in self.uri.ancestors):
            return None
        matches = sorted(
            each.id for each in unit.find_matches(self.uri, self.query, self._of(unit))
        )
        return [*self._pages(unit)], matches

    def _pages(self, unit: UnitOfWork) -> Iterator[tuple[int, Any]]:
        after = None
        for _ in range(MOST_PAGES):
            page = unit.read_page(self.uri, self.query, after, shared=self._of(unit))
            yield page.total, [entry.to_json() for entry in page.entries]
            after = next_place(page)
            if after is None:
                return
        raise AssertionError("the walk has no end")

    def _of(self, unit: UnitOfWork) -> Keyed | None:
        return None if self.part == WHOLE else unit.shared(self.uri, self.part, who_is_named)


WHOLE = "the whole list"

OF_ANY_LIST = st.sampled_from(
    [
        asked(),
        asked(1),
        asked(1, _sort="last_modified"),
        asked(1, _since="0"),
        asked(2, _sort="-id"),
        asked(in_id="blog,posts,writers,drafts"),
        asked(1, exclude_id="blog,posts"),
        asked(_before=str(START_MS)),
    ]
)
OF_RECORDS = queries(
    st.sampled_from(["4", "5", "6", str(START_MS), str(START_MS + 9), str(START_MS + 4999)])
)
PARTS = st.sampled_from([WHOLE, WHOLE, WHOLE, "alice", "bob", None])
LOOKS = st.builds(Look, st.just(RECORDS), OF_RECORDS, PARTS) | st.builds(
    Look, st.sampled_from(LISTS), OF_ANY_LIST, PARTS
)


@settings(unhurried, max_examples=15)
@given(
    STATES,
    SEQUENCES,
    st.lists(LOOKS, min_size=3, max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_what_a_unit_reads_before_its_commit_others_read_after_it(
    connection: Connection,
    state: list[Step],
    steps: list[Step],
    looks: list[Look],
    looks_between: bool,
    is_named: bool,
) -> None:
    uris = addresses(steps)
    groups = [uri for uri in uris if uri.kind is GROUP]
    with no_index_has_long_bodies(), fresh_wire(connection) as wire:
        requests = Requests(wire.dynamo)
        store(requests, state)
        if not is_named:
            forget_latest_where_it_is(requests, wire)
        unit = unit_of(wire, SetClock(START_MS + 20))
        for number, step in enumerate(steps):
            take(unit, step, number)
            if looks_between:  # so that something is read, and known, of what is changed later
                looks[number % len(looks)].at(unit)

        before = [look.at(unit) for look in looks]
        told = state_of(unit, uris)
        of_alice = unit.groups_of("alice", groups)
        unit.commit()

        after = unit_of(wire)
        assert before == [look.at(unit_of(wire)) for look in looks]
        assert told == state_of(after, uris)
        assert of_alice == after.groups_of("alice", groups)


def forget_latest_where_it_is(requests: Requests, wire: Wire) -> None:
    if clock_key(RECORDS) in wire.items():
        forget_latest(requests)


# Pages


def staged(unit: UnitOfWork, *changes: tuple[int, dict[str, Any] | None]) -> None:
    """Stage records with this data; None deletes."""
    for number, data in changes:
        load(unit, record(number))
        if data is None:
            unit.delete(record(number), origin=Origin())
        else:
            unit.put(record(number), data, {}, origin=Origin())


def pages_of(unit: UnitOfWork, query: ListQuery) -> list[Page]:
    load_list(unit, RECORDS)
    pages = [unit.read_page(RECORDS, query)]
    while (after := next_place(pages[-1])) is not None:
        pages.append(unit.read_page(RECORDS, query, after))
        assert len(pages) < MOST_PAGES
    return pages


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (asked(2), [[1, 9], [4, 2]]),
        (asked(2, _sort="last_modified"), [[2, 4], [9, 1]]),
        (asked(2, _since="0"), [[1, 9], [3, 0], [4, 2]]),
        (asked(3, n="7"), [[1, 9]]),
        (asked(1, not_n="7"), [[4], [2]]),
        (asked(2, _sort="n"), [[2, 4], [1, 9]]),
        (asked(in_id=some_ids(0, 1, 2, 9)), [[1, 9, 2]]),
        (asked(exclude_id=some_ids(1, 2)), [[9, 4]]),
    ],
)
def test_pages_show_what_is_staged_at_its_place_and_what_it_takes_away_nowhere(
    requests: Requests, query: ListQuery, expected: list[list[int]], is_named: bool
) -> None:
    fill(requests, *({"n": number} for number in range(5)), is_named=is_named)

    def work(unit: UnitOfWork) -> list[list[int]]:
        staged(unit, (0, None), (3, None), (9, {"n": 7}), (1, {"n": 7}))
        pages = pages_of(unit, query)
        live = sum(map(len, (numbers(page) for page in pages)))
        deleted = 2 if query.wants_tombstones else 0
        assert {page.total for page in pages} == {live - deleted}
        return [numbers(page) for page in pages]

    assert requests.run(work) == expected


def test_a_place_of_before_is_one_that_a_later_page_of_the_unit_begins_behind(
    requests: Requests,
) -> None:
    fill(requests, *[{}] * 5)

    def work(unit: UnitOfWork) -> tuple[list[int], list[int]]:
        load_list(unit, RECORDS)
        first = unit.read_page(RECORDS, asked(2))
        staged(unit, (2, None), (1, {}), (8, {}))
        return numbers(first), numbers(unit.read_page(RECORDS, asked(2), next_place(first)))

    assert requests.run(work) == ([4, 3], [0])


def test_more_may_be_taken_away_than_a_page_shows(requests: Requests, calls: CountedCalls) -> None:
    fill(requests, *[{}] * 12)
    calls.take()

    def work(unit: UnitOfWork) -> list[list[int]]:
        staged(unit, *((number, None) for number in range(2, 12)))
        calls.take()
        page = unit.read_page(RECORDS, asked(1))
        assert page.total == 2
        assert calls.take() == {"Query": 1}
        return [numbers(page) for page in pages_of(unit, asked(1))]

    assert requests.run(work) == [[1], [0]]


def test_a_list_that_is_as_it_was_after_all_shows_it_in_its_newest_version(
    requests: Requests,
) -> None:
    fill(requests, {"n": 1}, {"n": 2})

    def work(unit: UnitOfWork) -> list[tuple[int, list[Any]]]:
        staged(unit, (0, None), (0, {"n": 5}), (1, {"n": 1}), (1, {"n": 6}))
        pages = [unit.read_page(RECORDS, query) for query in (ALL, asked(n="1"), asked(n="6"))]
        return [(page.total, [entry.to_json()["n"] for entry in page.entries]) for page in pages]

    assert requests.run(work) == [(2, [6, 5]), (0, []), (1, [6])]


# Matches


@pytest.mark.parametrize("query", [asked(), asked(n="1"), asked(in_id=some_ids(*range(10)))])
def test_matches_are_what_is_staged_as_well_each_once(requests: Requests, query: ListQuery) -> None:
    fill(requests, *[{"n": 1}] * 4, is_named=True)

    def work(unit: UnitOfWork) -> list[int]:
        staged(unit, (0, {"n": 1}), (1, None), (7, {"n": 1}), (8, {"n": 1}), (8, None))
        return [number_of(uri.id) for uri in unit.find_matches(RECORDS, query)]

    assert sorted(requests.run(work)) == [0, 2, 3, 7]


def test_what_was_matched_and_deleted_matches_no_more(requests: Requests) -> None:
    fill(requests, *[{}] * 3)

    def work(unit: UnitOfWork) -> list[int]:
        staged(unit, (5, {}))
        matches = [*unit.find_matches(RECORDS, ALL)]
        for uri in matches:
            load(unit, uri)
            unit.delete(uri, origin=Origin())
        assert [*unit.find_matches(RECORDS, ALL)] == []
        page = unit.read_page(RECORDS, asked(_since="0"))
        return [page.total, *sorted(numbers(page))]

    assert requests.run(work) == [0, 0, 1, 2, 5]
    assert requests.page().entries == []


# What is shared, and groups


def shared_ids(unit: UnitOfWork, uri: ListUri, user: str | None) -> list[str]:
    unit.load(uri.ancestors, [uri])
    shared = unit.shared(uri, user, who_is_named)
    page = unit.read_page(uri, ALL, shared=shared)
    assert page.total == len(page.entries)
    return sorted(ids(page))


def test_what_is_shared_in_a_unit_is_seen_in_it(requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    requests.put(record(2), {}, {"read": ("bob",)})
    requests.put(record(3), {}, {})

    def work(unit: UnitOfWork) -> list[str]:
        assert shared_ids(unit, RECORDS, "bob") == [record(1).id, record(2).id]
        load(unit, *map(record, range(5)))
        unit.put(record(1), {}, {}, origin=Origin())  # taken away
        unit.put(record(3), {}, {"write": ("bob",)}, origin=Origin())
        unit.put(record(4), {}, {"read": ("system.Authenticated",)}, origin=Origin())
        unit.delete(record(2), origin=Origin())
        assert shared_ids(unit, RECORDS, None) == []
        return shared_ids(unit, RECORDS, "bob")

    assert requests.run(work) == [record(3).id, record(4).id]


def members(unit: UnitOfWork, *users: str) -> None:
    load(unit, WRITERS)
    unit.put(WRITERS, {"members": [*users]}, {}, origin=Origin())


@pytest.mark.parametrize("asked_before", [False, True])
def test_who_comes_into_a_group_or_leaves_it_has_its_part_from_then_on(
    requests: Requests, asked_before: bool
) -> None:
    requests.make_posts()
    requests.put(WRITERS, {"members": ["carol"]})
    requests.put(record(1), {}, {"read": (str(WRITERS),)})

    def work(unit: UnitOfWork) -> None:
        if asked_before:
            assert shared_ids(unit, RECORDS, "bob") == []
            assert shared_ids(unit, RECORDS, "carol") == [record(1).id]
        members(unit, "bob")
        assert shared_ids(unit, RECORDS, "bob") == [record(1).id]
        assert shared_ids(unit, RECORDS, "carol") == []
        load(unit, record(2))
        unit.put(record(2), {}, {"read": (str(WRITERS),)}, origin=Origin())
        assert shared_ids(unit, RECORDS, "bob") == [record(1).id, record(2).id]
        delete(unit, WRITERS)
        assert shared_ids(unit, RECORDS, "bob") == []

    requests.run(work)


def test_a_group_ends_with_its_bucket_and_is_another_one_in_the_next(requests: Requests) -> None:
    requests.make_posts()
    requests.put(WRITERS, {"members": ["bob"]})

    def work(unit: UnitOfWork) -> list[frozenset[Any]]:
        found = [unit.groups_of("bob", [WRITERS, SHOP_WRITERS])]
        delete(unit, BLOG)
        found.append(unit.groups_of("bob", [WRITERS]))
        load(unit, BLOG)
        unit.put(BLOG, {}, {}, origin=Origin())
        found.append(unit.groups_of("bob", [WRITERS]))
        members(unit, "bob")
        found.append(unit.groups_of("bob", [WRITERS]))
        return found

    there, nothing = frozenset({WRITERS}), frozenset[Any]()
    assert requests.run(work) == [there, nothing, nothing, there]


def test_a_group_that_was_rolled_back_has_no_members(requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": (str(WRITERS),)})

    def work(unit: UnitOfWork) -> list[list[str]]:
        load(unit, WRITERS)
        savepoint = unit.savepoint()
        members(unit, "bob")
        seen = [shared_ids(unit, RECORDS, "bob")]
        unit.roll_back(savepoint)
        return [*seen, shared_ids(unit, RECORDS, "bob")]

    assert requests.run(work) == [[record(1).id], []]


# Round trips


@pytest.mark.parametrize(
    "query", [ALL, asked(1), asked(_since="0"), asked(a="1", _sort="-a"), asked(id=record(1).id)]
)
@pytest.mark.parametrize("was_there_before", [False, True])
def test_a_list_that_begins_in_a_unit_is_read_without_a_call(
    requests: Requests, calls: CountedCalls, was_there_before: bool, query: ListQuery
) -> None:
    if was_there_before:
        requests.make_posts()
        requests.put(record(0), {"a": 1})
        requests.put(record(1), {"a": 1})

    def work(unit: UnitOfWork) -> list[Any]:
        unit.load([BLOG, POSTS, WRITERS, record(1)], [BUCKETS, *BLOG.lists, *POSTS.lists])
        if was_there_before:
            unit.delete(BLOG, origin=Origin())
        put_all(unit, BLOG, POSTS, WRITERS)
        unit.put(record(1), {"a": 1}, {}, origin=Origin())
        calls.take()
        page = unit.read_page(RECORDS, query)
        found = [ids(page), page.total, [*unit.find_matches(RECORDS, query)]]
        others = [ids(unit.read_page(uri, asked(2))) for uri in (COLLECTIONS, GROUPS)]
        assert calls.take() == {}
        return [*found, others]

    expected = [[record(1).id], 1, [record(1)], [["posts"], ["writers"]]]
    assert requests.run(work) == expected


def test_the_first_buckets_of_all_are_listed_without_a_call(
    requests: Requests, calls: CountedCalls
) -> None:
    def work(unit: UnitOfWork) -> list[str]:
        put_all(unit, BLOG)
        calls.take()
        page = unit.read_page(BUCKETS, asked(_since="0"))
        assert calls.take() == {}
        return ids(page)

    assert requests.run(work) == ["blog"]


def stage_one(unit: UnitOfWork) -> None:
    staged(unit, (1, {"a": 1}))


def stage_ten(unit: UnitOfWork) -> None:
    staged(unit, *((number, {"a": 1}) for number in range(10)))


@pytest.mark.parametrize("stage", [stage_one, stage_ten])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (asked(2), {"Query": 1}),
        (asked(2, _since="0"), {"Query": 1}),
        (asked(2, a="1"), {"Query": 1}),
        (asked(in_id=some_ids(1)), {}),
        (asked(in_id=some_ids(1, 77)), {"BatchGetItem": 1}),
    ],
)
def test_what_is_staged_costs_a_page_no_further_call(
    requests: Requests,
    calls: CountedCalls,
    stage: Callable[[UnitOfWork], None],
    query: ListQuery,
    expected: dict[str, int],
) -> None:
    fill(requests, *[{"a": 1}] * 12)

    def work(unit: UnitOfWork) -> dict[str, int]:
        stage(unit)
        calls.take()
        unit.read_page(RECORDS, query)
        return calls.take()

    assert requests.run(work) == expected
