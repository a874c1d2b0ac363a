"""What one unit of work makes of all that is staged in it: `chalicelib/storage/staging.py`."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.events import CREATE, DELETE, READ, UPDATE, Impact, Operation
from chalicelib.protocol.kinds import GROUP, RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage import items, staging
from chalicelib.storage.access import ALL_BUCKETS, named
from chalicelib.storage.clock import CLOSED, Clock, StagedClock
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import RawItem, cause_from_raw, from_raw
from chalicelib.storage.keys import CLOCK_ID, Key, access_object, clock_key, object_key, uri_of
from chalicelib.storage.operations import operation_of
from chalicelib.storage.purge import Leftover
from chalicelib.storage.staging import Origin, Staging
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.doubles import START_MS, CountedCalls, Patience, SetClock
from tests.shared_moto import restore, saved
from tests.storage.stand_ins import (
    BLOG,
    BUCKETS,
    COLLECTIONS,
    GROUPS,
    POSTS,
    RECORDS,
    TRANSACT,
    WRITERS,
    MissingError,
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
from tests.storage.test_items import random_text
from tests.storage.test_purge import Changes, clocks_fit, settle, visible
from tests.storage.test_rules import before_commit

READ_AND_COMMITTED: Final = {"BatchGetItem": 1, TRANSACT: 1}

# Steps at random, each as one request of a batch would take it

SHOP: Final = BUCKETS.object("shop")
DRAFTS: Final = COLLECTIONS.object("drafts")
SHOP_POSTS: Final = ListUri(POSTS.kind, ("shop",)).object("posts")
SHOP_RECORDS: Final = ListUri(RECORD, ("shop", "posts"))
SHOP_WRITERS: Final = ListUri(GROUP, ("shop",)).object("writers")

ADDRESSES: Final = [
    BLOG,
    POSTS,
    *map(record, range(4)),
    WRITERS,
    DRAFTS,
    ListUri(RECORD, DRAFTS.ids).object(record(0).id),
    SHOP,
    SHOP_POSTS,
    SHOP_WRITERS,
    SHOP_RECORDS.object(record(0).id),
]
LISTS: Final = [BUCKETS, *(below for uri in ADDRESSES for below in uri.lists)]

LONG: Final = {"pad": "x" * items.COMPRESSED_FROM_BYTES}
"""Compressed, where a short body is text."""

PRINCIPALS: Final = ["alice", "system.Everyone", str(WRITERS), str(SHOP_WRITERS)]


class Step(NamedTuple):
    """What one request of a batch asks for; nothing, where a parent or the object is missing.

    Attributes:
        what: to do.
        uri: where; of a POST, beside which other object.
        data: what it becomes, unless it is a group.
        members: what it becomes if it is a group.
        permissions: of it.
        at: its `last_modified`, where a client gives one.
    """

    what: str
    uri: ObjectUri
    data: JsonObject | None = None
    members: Sequence[str] = ()
    permissions: Permissions | None = None
    at: int | None = None

    @property
    def content(self) -> tuple[JsonObject, Permissions]:
        data = {"members": [*self.members]} if self.uri.kind is GROUP else self.data
        return data or {}, self.permissions or {}

    def posted(self, number: int) -> ObjectUri:
        """Where a POST makes its object: an id that nobody else has."""
        id = f"{number:08x}-ffff-4000-8000-000000000000"
        return self.uri.list.object(id)


class RefusedError(Exception):
    """A request of a batch that was refused, after it had staged something."""


def is_there(unit: UnitOfWork, uri: ObjectUri) -> bool:
    return isinstance(unit.find(uri), StoredObject)


def take(unit: UnitOfWork, step: Step, number: int, origin: Origin | None = None) -> None:
    """Take a step as the API would: load, look, stage. The number makes the id of a POST."""
    uri, at, origin = step.uri, step.at, origin or Origin()
    unit.load(uri.ancestors, [uri.list])
    if not all(is_there(unit, parent) for parent in uri.ancestors):
        return
    if step.what == "post":
        posted = step.posted(number)
        unit.assume_missing(posted)
        unit.put(posted, *step.content, origin=origin, last_modified=at)
        for below in posted.lists:  # of a collection, so that more than itself is in what is made
            child = below.object(record(0).id if below.kind is RECORD else "child")
            unit.assume_missing(child)
            unit.put(child, *step.content, origin=origin)
        return
    unit.load([uri], uri.lists)
    if step.what == "put":
        unit.put(uri, *step.content, origin=origin, last_modified=at)
    elif step.what == "remove" and unit.find(uri) is not None:
        unit.remove(uri)
    elif step.what in ("delete", "renew") and is_there(unit, uri):
        unit.delete(uri, origin=origin, last_modified=at)
        if step.what == "renew":
            unit.put(uri, *step.content, origin=origin)


VALUES = st.sampled_from([None, True, 0, 1, 1.5, -2, "", "a", "1", [1]])
DATA = st.dictionaries(st.sampled_from(["n", "s", "deleted"]), VALUES, max_size=2)
SOME = st.lists(st.sampled_from(PRINCIPALS), unique=True, min_size=1, max_size=2).map(tuple)
TIMES = st.none() | st.none() | st.sampled_from([5, 6, START_MS + 40, START_MS + 5000])
PARENTS = st.sampled_from([BLOG, BLOG, POSTS, POSTS, SHOP, DRAFTS])

STEPS = st.builds(
    Step,
    what=st.sampled_from(["put", "put", "put", "put", "post", "delete", "delete", "remove"]),
    uri=st.sampled_from(ADDRESSES),
    data=DATA | DATA | DATA.map(lambda data: data | LONG),
    members=st.lists(st.sampled_from(["alice", "bob"]), unique=True),
    permissions=st.dictionaries(st.sampled_from(["read", "write"]), SOME, max_size=2),
    at=TIMES,
) | st.tuples(st.sampled_from(["renew", "put", "delete"]), PARENTS).map(lambda each: Step(*each))


def all_put(*uris: ObjectUri) -> list[Step]:
    data = {"a": 1}
    return [Step("put", uri, data, ["alice"], {"read": ("alice",)}) for uri in uris]


STATES = st.builds(
    lambda there, steps: [*there, *steps],
    st.sampled_from([[], all_put(BLOG, POSTS, *map(record, range(4)), WRITERS)]),
    st.lists(STEPS, max_size=4),
)
"""Steps that make a stored state."""

SEQUENCES = st.builds(
    lambda there, steps: [*there, *steps],
    st.sampled_from([[], all_put(BLOG, POSTS, record(0), WRITERS)]),
    st.lists(STEPS, min_size=1, max_size=9),
)
"""Steps of one unit."""

THAT_OF_STATES: Final = 1000
"""Numbers of steps from here on are those that make states."""


def store(requests: Requests, steps: Iterable[Step], first: int = THAT_OF_STATES) -> None:
    """Take each of these steps in a request of its own."""
    for number, step in enumerate(steps, first):
        requests.run(partial(take, step=step, number=number))


def unit_of(wire: Wire, now: SetClock | None = None) -> UnitOfWork:
    return UnitOfWork(wire.dynamo, Patience().deadline(), now or SetClock())


def addresses(steps: Sequence[Step]) -> list[ObjectUri]:
    """All that steps, with states of at most so many, may have made."""
    posted = [step.posted(number) for number, step in enumerate(steps) if step.what == "post"]
    return [*ADDRESSES, *posted]


def state_of(unit: UnitOfWork, uris: Sequence[ObjectUri]) -> dict[str, Any]:
    """All that a unit tells of these objects and the lists that hold and are held by them."""
    lists = dict.fromkeys([*LISTS, *(below for uri in uris for below in uri.lists)])
    unit.load([each for uri in uris for each in (*uri.ancestors, uri)], lists)
    told: dict[str, Any] = {}
    for uri in uris:
        told[str(uri)] = unit.find(uri), unit.permissions(uri)
    for below in lists:
        if all(is_there(unit, parent) for parent in below.ancestors):
            page = unit.read_page(below, asked(_since="0"))
            entries = [entry.to_json() for entry in page.entries]
            told[str(below)] = unit.timestamp(below), page.total, entries
    return told


# One unit is as good as many


class Ticking(SetClock):
    """A host's clock that goes on at each write, whichever request it is of."""

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms


@settings(unhurried, max_examples=8)
@given(STATES, SEQUENCES)
def test_steps_in_one_unit_leave_what_they_leave_in_requests_of_their_own(
    connection: Connection, state: list[Step], steps: list[Step]
) -> None:
    uris = addresses(steps)
    with fresh_wire(connection) as one, fresh_wire(connection) as many:
        store(Requests(one.dynamo), state)
        store(Requests(many.dynamo), state)
        unit = unit_of(one, Ticking())
        for number, step in enumerate(steps):
            take(unit, step, number)
        store(Requests(many.dynamo, Ticking()), steps, 0)
        expected = state_of(unit_of(many), uris)

        assert state_of(unit, uris) == expected
        unit.commit()
        assert state_of(unit_of(one), uris) == expected


# Savepoints


class Incarnations:
    """Makes them up by counting, so that what two units make of one state can be compared."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, size: int) -> str:
        self.made += 1
        return f"{self.made:0{2 * size}x}"


class Attempt(NamedTuple):
    """A request of a batch.

    Attributes:
        steps: what it stages.
        looks_at: lists that it reads at its end.
        end: how it ends.
    """

    steps: list[Step]
    looks_at: list[ListUri]
    end: str

    def time(self, number: int) -> int:
        """When it begins: late enough that its times don't depend on who was before it."""
        return START_MS + 10_000 + number * 100

    def run(self, unit: UnitOfWork, number: int) -> None:
        for place, step in enumerate(self.steps):
            take(unit, step, number * MOST_STEPS + place)
        for below in self.looks_at:
            unit.load(below.ancestors, [below])
            if all(is_there(unit, parent) for parent in below.ancestors):
                unit.hold(below)
                unit.read_page(below, asked(2, n="1"))
        if self.end == "refused":
            raise RefusedError
        if self.end == "too large":
            load(unit, BLOG)
            unit.put(BLOG, {"text": random_text(TOO_LARGE)}, {}, origin=Origin())


MOST_STEPS: Final = 3
TOO_LARGE: Final = 6000
ROOM: Final = 3000

ATTEMPTS = st.builds(
    Attempt,
    steps=st.lists(STEPS, max_size=MOST_STEPS),
    looks_at=st.lists(st.sampled_from(LISTS), max_size=2),
    end=st.sampled_from(["fine", "fine", "refused", "too large"]),
)


@settings(unhurried, max_examples=9)
@given(STATES, st.lists(ATTEMPTS, min_size=1, max_size=6))
def test_what_was_rolled_back_was_never_staged(
    connection: Connection, state: list[Step], attempts: list[Attempt]
) -> None:
    uris = addresses([step for attempt in attempts for step in attempt.steps])
    incarnations = Incarnations()
    with fresh_wire(connection) as wire, pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "token_hex", incarnations)
        patch.setattr(items, "MAX_ITEM_BYTES", ROOM)
        store(Requests(wire.dynamo), state)
        before, made = saved(), incarnations.made
        clock = SetClock()

        all_of_them = unit_of(wire, clock)
        for number, attempt in enumerate(attempts):
            clock.now_ms = attempt.time(number)
            savepoint, at_first = all_of_them.savepoint(), incarnations.made
            try:
                attempt.run(all_of_them, number)
            except (RefusedError, ProtocolError):
                assert attempt.end != "fine"
                all_of_them.roll_back(savepoint)
                incarnations.made = at_first
            else:
                assert attempt.end == "fine"
        told = state_of(all_of_them, uris)
        all_of_them.commit()
        left = wire.items(), wire.rows()

        restore(before)
        incarnations.made = made
        without = unit_of(wire, clock)
        for number, attempt in enumerate(attempts):
            clock.now_ms = attempt.time(number)
            if attempt.end == "fine":
                attempt.run(without, number)
        assert told == state_of(without, uris)
        without.commit()
        assert left == (wire.items(), wire.rows())


def test_a_savepoint_may_be_gone_back_to_more_than_once(wire: Wire, requests: Requests) -> None:
    requests.make_posts()

    def work(unit: UnitOfWork) -> None:
        load(unit, *map(record, range(4)))
        unit.put(record(0), {"kept": True}, {}, origin=Origin())
        outer = unit.savepoint()
        for number in (1, 2):
            unit.put(record(number), {}, {}, origin=Origin())
            unit.delete(record(0), origin=Origin())
            inner = unit.savepoint()
            unit.put(record(3), {}, {}, origin=Origin())
            unit.roll_back(inner)
            assert unit.find(record(3)) is None
            assert unit.find(record(number)) is not None
            unit.roll_back(outer)

    requests.run(work)

    assert ids(requests.page()) == [record(0).id]
    assert wire.clock(RECORDS).count == 1
    assert list(wire.clock(RECORDS).newest_writes)[-1] == record(0).id
    assert not {record(1).id, record(2).id} & wire.clock(RECORDS).newest_writes.keys()


def test_nothing_is_committed_where_all_was_rolled_back(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    before = wire.items(), wire.rows()
    calls.take()

    def work(unit: UnitOfWork) -> None:
        savepoint = unit.savepoint()
        load(unit, record(1), WRITERS)
        unit.put(record(1), {}, {"read": ("bob",)}, origin=Origin())
        unit.delete(POSTS, origin=Origin())
        unit.remove(BLOG)
        unit.roll_back(savepoint)

    def load_first(unit: UnitOfWork) -> None:
        unit.load([BLOG, POSTS], [BUCKETS, *BLOG.lists, *POSTS.lists])
        work(unit)

    requests.run(load_first)

    assert calls.take() == {"BatchGetItem": 2}
    assert (wire.items(), wire.rows()) == before


@pytest.mark.parametrize("is_rolled_back", [False, True])
def test_what_was_held_by_a_request_that_was_refused_is_held_no_more(
    requests: Requests, wire: Wire, is_rolled_back: bool
) -> None:
    requests.make_posts()
    rival = Requests(wire.rival, SetClock())
    requests.now.now_ms += 1000  # so that the timestamp alone refuses nothing
    before_commit(wire, lambda: rival.put(record(9)))
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> None:
        attempts.append(len(attempts))
        load(unit, record(1))
        unit.put(record(1), {}, {}, origin=Origin())
        savepoint = unit.savepoint()
        unit.hold(RECORDS)
        if is_rolled_back:
            unit.roll_back(savepoint)

    requests.run(work)

    assert len(attempts) == (1 if is_rolled_back else 2)
    assert sorted(ids(requests.page())) == [record(1).id, record(9).id]


def test_what_was_held_before_a_savepoint_is_held_after_it_too(
    requests: Requests, wire: Wire
) -> None:
    requests.make_posts()
    rival = Requests(wire.rival, SetClock())
    requests.now.now_ms += 1000
    before_commit(wire, lambda: rival.put(record(9)))
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> None:
        attempts.append(len(attempts))
        load(unit, record(1), record(2))
        unit.hold(RECORDS)
        savepoint = unit.savepoint()
        unit.put(record(2), {}, {}, origin=Origin())
        unit.roll_back(savepoint)
        unit.put(record(1), {}, {}, origin=Origin())

    requests.run(work)

    assert len(attempts) == 2


def test_a_list_closed_or_begun_after_a_savepoint_goes_on_where_it_is_rolled_back(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1))
    before = wire.stored(POSTS), wire.stored(BLOG)

    def work(unit: UnitOfWork) -> list[str]:
        load(unit, POSTS, BLOG, record(1), record(2))
        unit.put(record(2), {}, {}, origin=Origin())
        savepoint = unit.savepoint()
        unit.delete(BLOG, origin=Origin())
        unit.put(BLOG, {}, {}, origin=Origin())
        unit.put(POSTS, {}, {}, origin=Origin())
        unit.put(record(2), {}, {}, origin=Origin())
        unit.delete(BLOG, origin=Origin())
        unit.roll_back(savepoint)
        return ids(unit.read_page(RECORDS, asked()))

    assert sorted(requests.run(work)) == [record(1).id, record(2).id]

    assert sorted(ids(requests.page())) == [record(1).id, record(2).id]
    assert (wire.stored(POSTS), wire.stored(BLOG)) == before
    assert [wire.clock(uri).count for uri in (BUCKETS, COLLECTIONS, RECORDS)] == [1, 1, 2]


# What is left behind


class Purged:
    """A wire whose changes are told of transaction by transaction, to be purged at the end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._changes = Changes(wire)
        self._leftovers: list[Leftover] = []
        wire.after = self._look

    def _look(self, _number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            self._leftovers += self._changes.leftovers()

    def settle(self) -> None:
        """Purge all that is left behind."""
        self._wire.after = None
        settle(self._wire, self._changes, self._leftovers)


def require_nothing_hidden(wire: Wire) -> None:
    """Only what shows, tombstones, clocks, and the rows that they need, are there."""
    found = wire.items()
    shown, tombstones = visible(found)
    there = {uri_of(key) for key in found if key.id != CLOCK_ID}
    assert there == {*shown, *tombstones}
    stored = [item for uri in there if (item := wire.stored(uri)) is not None]
    assert set(wire.rows()) == {row for item in stored for row in named(uri_of(item.key), item)}
    assert clocks_fit(wire)
    for below in (BUCKETS, *(each for uri in shown for each in uri.lists)):
        if clock_key(below) in found:
            assert wire.clock(below).count == sum(uri.list == below for uri in shown)


@settings(unhurried, max_examples=9)
@given(STATES, SEQUENCES)
def test_a_purge_after_a_unit_leaves_what_shows_and_nothing_else(
    connection: Connection, state: list[Step], steps: list[Step]
) -> None:
    with fresh_wire(connection) as wire:
        purged = Purged(wire)
        store(Requests(wire.dynamo), state)
        unit = unit_of(wire)
        for number, step in enumerate(steps):
            take(unit, step, number)
        unit.commit()
        shown = visible(wire.items())

        purged.settle()

        assert visible(wire.items()) == shown
        require_nothing_hidden(wire)


def put_all(unit: UnitOfWork, *uris: ObjectUri) -> None:
    for uri in uris:
        load(unit, uri)
        unit.put(uri, {"members": ["bob"]}, {"read": ("bob",)}, origin=Origin())


def delete(unit: UnitOfWork, uri: ObjectUri) -> None:
    load(unit, uri)
    unit.delete(uri, origin=Origin())


def a_child_of_a_stored_parent(unit: UnitOfWork) -> None:
    put_all(unit, record(1), record(2))
    delete(unit, POSTS)


def a_child_of_a_stored_parent_of_a_stored_bucket(unit: UnitOfWork) -> None:
    put_all(unit, record(1), record(2), WRITERS)
    delete(unit, BLOG)


def a_child_of_a_new_parent(unit: UnitOfWork) -> None:
    put_all(unit, DRAFTS, ListUri(RECORD, DRAFTS.ids).object(record(0).id))
    delete(unit, DRAFTS)


def a_new_collection_of_a_stored_bucket(unit: UnitOfWork) -> None:
    put_all(unit, DRAFTS, ListUri(RECORD, DRAFTS.ids).object(record(0).id))
    delete(unit, BLOG)


def a_new_bucket_with_contents(unit: UnitOfWork) -> None:
    put_all(unit, SHOP, SHOP_WRITERS, SHOP_POSTS, SHOP_RECORDS.object(record(0).id))
    delete(unit, SHOP)


def a_bucket_made_again_and_deleted_again(unit: UnitOfWork) -> None:
    put_all(unit, record(1), record(2))
    delete(unit, BLOG)
    put_all(unit, BLOG, POSTS, record(1), record(3), WRITERS)
    delete(unit, BLOG)


def a_collection_made_again_before_its_bucket_was_deleted(unit: UnitOfWork) -> None:
    put_all(unit, record(2))
    delete(unit, POSTS)
    put_all(unit, POSTS, record(1), record(3))
    delete(unit, BLOG)


def a_tombstone_within_what_is_made_and_deleted(unit: UnitOfWork) -> None:
    delete(unit, BLOG)
    put_all(unit, BLOG, POSTS, record(1))
    delete(unit, POSTS)
    delete(unit, BLOG)


def a_removal_within_what_is_deleted(unit: UnitOfWork) -> None:
    load(unit, record(1), POSTS)
    unit.remove(record(1))
    unit.remove(POSTS)
    delete(unit, BLOG)


SPARING: Final = [a_child_of_a_new_parent, a_new_bucket_with_contents]
"""These delete neither POSTS nor its bucket."""

ENDINGS: Final = [
    a_child_of_a_stored_parent,
    a_child_of_a_stored_parent_of_a_stored_bucket,
    a_child_of_a_new_parent,
    a_new_collection_of_a_stored_bucket,
    a_new_bucket_with_contents,
    a_bucket_made_again_and_deleted_again,
    a_collection_made_again_before_its_bucket_was_deleted,
    a_tombstone_within_what_is_made_and_deleted,
    a_removal_within_what_is_deleted,
]


@pytest.mark.parametrize("is_made_again", [False, True])
@pytest.mark.parametrize("was_there_before", [False, True], ids=["", "over what was dead"])
@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_what_was_staged_below_what_is_deleted_is_found_by_the_purge(
    wire: Wire,
    requests: Requests,
    end: Callable[[UnitOfWork], None],
    was_there_before: bool,
    is_made_again: bool,
) -> None:
    purged = Purged(wire)
    if was_there_before:
        requests.run(
            lambda unit: put_all(unit, BLOG, POSTS, DRAFTS, WRITERS, *map(record, range(4)))
        )
        requests.run(lambda unit: put_all(unit, SHOP, SHOP_POSTS, SHOP_WRITERS))
        requests.run(lambda unit: delete(unit, BLOG))
        requests.run(lambda unit: delete(unit, SHOP))
    requests.run(lambda unit: put_all(unit, BLOG, POSTS, record(1)))
    unit = unit_of(wire, requests.now)

    end(unit)
    if is_made_again:
        for uri in (BLOG, POSTS, DRAFTS):
            load(unit, uri)
            if not is_there(unit, uri):
                put_all(unit, uri)
        was_ended = record(1).id not in ids(unit.read_page(RECORDS, asked()))
        assert was_ended is (end not in SPARING)
        put_all(unit, record(3))
    unit.commit()

    shown = visible(wire.items())
    purged.settle()
    assert visible(wire.items()) == shown
    require_nothing_hidden(wire)
    if is_made_again:
        assert record(3) in shown[0]
        assert (record(1) in shown[0]) is (end in SPARING)


def test_nothing_is_written_of_what_is_within_a_parent_made_and_deleted_in_one_unit(
    wire: Wire, requests: Requests
) -> None:
    def work(unit: UnitOfWork) -> None:
        put_all(unit, BLOG, POSTS, record(1), WRITERS)
        delete(unit, BLOG)

    requests.run(work)

    assert {key for key in wire.items() if key.id != CLOCK_ID} == {object_key(BLOG)}
    assert wire.rows().keys() == {(ALL_BUCKETS, access_object(object_key(BLOG)))}
    clocks = [wire.clock(uri) for uri in (COLLECTIONS, GROUPS, RECORDS)]
    assert {(clock.within, clock.count, clock.latest) for clock in clocks} == {(CLOSED, 0, ())}


def test_what_was_changed_in_a_stored_parent_before_that_was_deleted_is_written(
    wire: Wire, requests: Requests
) -> None:
    """As the stream tells of it, as it would of requests one by one."""
    requests.make_posts()
    requests.put(record(1))
    posts = wire.stored(POSTS)

    def work(unit: UnitOfWork) -> None:
        load(unit, record(1), POSTS)
        unit.put(record(1), {"a": 2}, {}, origin=Origin())
        unit.delete(POSTS, origin=Origin())

    requests.run(work)

    changed = wire.stored(record(1))
    assert changed is not None
    assert posts is not None
    assert (changed.data, changed.within) == ({"a": 2}, posts.incarnation)


# Removal


def remove(unit: UnitOfWork, uri: ObjectUri) -> None:
    load(unit, uri)
    unit.remove(uri)


def test_of_a_bucket_that_is_removed_and_of_its_contents_the_purge_leaves_clocks(
    wire: Wire, requests: Requests
) -> None:
    purged = Purged(wire)
    requests.run(lambda unit: put_all(unit, BLOG, SHOP, POSTS, WRITERS, record(1), SHOP_POSTS))
    before, _page = requests.list(BUCKETS)

    requests.run(lambda unit: remove(unit, BLOG))

    after, page = requests.list(BUCKETS, asked(_since="0"))
    assert after > before
    assert (ids(page), page.total) == (["shop"], 1)
    assert requests.get(BLOG) is None
    assert object_key(BLOG) not in wire.items()
    assert {wire.clock(uri).within for uri in BLOG.lists} == {CLOSED}
    purged.settle()
    require_nothing_hidden(wire)
    left = {key for key in wire.items() if key.id != CLOCK_ID}
    assert left == {object_key(SHOP), object_key(SHOP_POSTS)}


def test_a_tombstone_that_is_removed_was_counted_already(wire: Wire, requests: Requests) -> None:
    purged = Purged(wire)
    requests.run(lambda unit: put_all(unit, BLOG, POSTS, SHOP))
    requests.delete(BLOG)
    before, _page = requests.list(BUCKETS)

    requests.run(lambda unit: remove(unit, BLOG))

    after, page = requests.list(BUCKETS, asked(_since="0"))
    assert after > before
    assert (ids(page), page.total, wire.clock(BUCKETS).count) == (["shop"], 1, 1)
    purged.settle()
    require_nothing_hidden(wire)
    assert wire.rows().keys() == {
        ("bob", access_object(object_key(SHOP))),
        (ALL_BUCKETS, access_object(object_key(SHOP))),
    }


def test_what_is_staged_in_a_unit_may_be_removed_in_it(wire: Wire, requests: Requests) -> None:
    purged = Purged(wire)

    def work(unit: UnitOfWork) -> None:
        put_all(unit, SHOP, BLOG, POSTS, record(1), WRITERS)
        remove(unit, BLOG)
        assert unit.find(BLOG) is None
        assert unit.permissions(BLOG) is None
        page = unit.read_page(BUCKETS, asked(_since="0"))
        assert (ids(page), page.total) == (["shop"], 1)

    requests.run(work)

    assert ids(requests.page(BUCKETS, asked(_since="0"))) == ["shop"]
    assert {key for key in wire.items() if key.id != CLOCK_ID} == {object_key(SHOP)}
    assert wire.clock(BUCKETS).count == 1
    purged.settle()
    require_nothing_hidden(wire)


@pytest.mark.parametrize("was", ["live", "deleted", "missing"])
def test_what_is_removed_may_be_made_again_in_the_same_unit(
    wire: Wire, requests: Requests, was: str
) -> None:
    purged = Purged(wire)
    if was != "missing":
        requests.run(lambda unit: put_all(unit, BLOG, POSTS, record(1), WRITERS))
    if was == "deleted":
        requests.delete(BLOG)

    def work(unit: UnitOfWork) -> None:
        remove(unit, BLOG)
        put_all(unit, BLOG, POSTS, record(2))
        assert ids(unit.read_page(BUCKETS, asked(_since="0"))) == ["blog"]
        assert unit.read_page(BUCKETS, asked()).total == 1
        load(unit, record(1))
        assert unit.find(record(1)) is None

    requests.run(work)

    assert wire.clock(BUCKETS).count == 1
    assert ids(requests.page(BUCKETS, asked(_since="0"))) == ["blog"]
    assert ids(requests.page(RECORDS, asked(_since="0"))) == [record(2).id]
    purged.settle()
    assert ids(requests.page(RECORDS, asked(_since="0"))) == [record(2).id]
    require_nothing_hidden(wire)


@pytest.mark.parametrize("was_deleted", [False, True])
def test_no_reader_waits_for_a_write_that_was_removed(
    wire: Wire, requests: Requests, calls: CountedCalls, was_deleted: bool
) -> None:
    requests.make_posts()
    requests.put(record(1))
    requests.put(record(2))
    if was_deleted:
        requests.delete(record(1))
    assert record(1).id in wire.clock(RECORDS).newest_writes

    requests.run(lambda unit: remove(unit, record(1)))

    calls.take()
    assert ids(requests.page(RECORDS, asked(_since="0"))) == [record(2).id]
    assert calls.take() == {"BatchGetItem": 1, "Query": 1 + was_deleted}
    assert list(wire.clock(RECORDS).newest_writes) == [record(2).id]
    assert wire.clock(RECORDS).count == 1


@pytest.mark.parametrize("was_deleted", [False, True])
def test_a_removal_that_a_rival_was_faster_than_meets_a_conflict(
    wire: Wire, requests: Requests, rival: Requests, was_deleted: bool
) -> None:
    requests.put(BLOG)
    if was_deleted:
        requests.delete(BLOG)
    unit = unit_of(wire, SetClock(START_MS + 1000))  # the timestamp alone would let it through
    remove(unit, BLOG)
    rival.put(BLOG, {"a": 1})
    rival.put(POSTS)
    before = wire.items()

    with pytest.raises(ConflictError):
        unit.commit()

    assert wire.items() == before


def test_a_removal_is_carried_out_on_the_clocks_timestamp_as_read(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    """Else it would take a write out of `latest` that came to it meanwhile."""
    requests.put(BLOG)
    unit = unit_of(wire, SetClock(START_MS + 1000))
    remove(unit, BLOG)
    rival.put(SHOP)

    with pytest.raises(ConflictError):
        unit.commit()

    assert "shop" in wire.clock(BUCKETS).newest_writes
    requests.run(lambda again: remove(again, BLOG))
    assert list(wire.clock(BUCKETS).newest_writes) == ["shop"]


def test_a_removal_that_was_rolled_back_removes_nothing(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    before = wire.items()

    def work(unit: UnitOfWork) -> None:
        load(unit, BLOG)
        savepoint = unit.savepoint()
        unit.remove(BLOG)
        unit.roll_back(savepoint)
        assert is_there(unit, BLOG)
        assert is_there(unit, POSTS)

    def load_posts(unit: UnitOfWork) -> None:
        load(unit, POSTS)
        work(unit)

    requests.run(load_posts)

    assert wire.items() == before


# Round trips


def new_id(number: int) -> str:
    return f"{number:08x}-ffff-4000-8000-000000000000"


def test_25_creations_of_new_ids_are_one_read_and_one_commit(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    calls.take()

    def work(unit: UnitOfWork) -> None:
        for number in range(25):
            load_list(unit, RECORDS)
            uri = RECORDS.object(new_id(number))
            unit.assume_missing(uri)
            assert unit.find(uri) is None
            unit.put(uri, {}, {"write": ("alice",)}, origin=Origin())

    requests.run(work)

    assert calls.take() == READ_AND_COMMITTED
    assert wire.clock(RECORDS).count == len(requests.page().entries) == 25


def test_25_collections_with_new_ids_are_one_read_and_one_commit(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.put(BLOG)
    calls.take()

    def work(unit: UnitOfWork) -> None:
        for number in range(25):
            load_list(unit, COLLECTIONS)
            uri = COLLECTIONS.object(f"new{number}")
            unit.assume_missing(uri)
            unit.put(uri, {}, {}, origin=Origin())

    requests.run(work)

    assert calls.take() == READ_AND_COMMITTED
    assert wire.clock(COLLECTIONS).count == 25
    assert wire.clock(ListUri(RECORD, ("blog", "new24"))).count == 0


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("uri", [BLOG, POSTS, record(1)], ids=lambda uri: uri.kind.name)
def test_an_id_that_was_taken_after_all_is_a_conflict(
    wire: Wire, requests: Requests, uri: ObjectUri, is_deleted: bool
) -> None:
    for each in (*uri.ancestors, uri):
        requests.put(each)
    if is_deleted:
        requests.delete(uri)
    before = wire.items()
    unit = unit_of(wire, SetClock(START_MS + 1000))
    load_list(unit, uri.list)
    unit.assume_missing(uri)
    unit.put(uri, {"a": 2}, {}, origin=Origin())

    with pytest.raises(ConflictError):
        unit.commit()

    assert wire.items() == before


@pytest.mark.parametrize("is_staged", [False, True])
def test_an_id_that_is_known_to_be_taken_is_a_conflict_at_once(
    wire: Wire, requests: Requests, is_staged: bool
) -> None:
    requests.make_posts()
    if not is_staged:
        requests.put(record(1))
    unit = unit_of(wire, requests.now)
    load(unit, record(1))
    if is_staged:
        unit.put(record(1), {}, {}, origin=Origin())

    with pytest.raises(ConflictError):
        unit.assume_missing(record(1))


# Sizes


def fresh_record(unit: UnitOfWork, number: int, data: JsonObject) -> None:
    uri = record(number)
    load(unit, uri)
    unit.put(uri, data, {}, origin=Origin())


def test_an_object_that_is_too_large_is_refused_alone(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    before = wire.clock(RECORDS).timestamp
    text = random_text(items.MAX_ITEM_BYTES * 2)

    def work(unit: UnitOfWork) -> None:
        fresh_record(unit, 0, {})
        savepoint = unit.savepoint()
        with pytest.raises(ProtocolError) as refused:
            fresh_record(unit, 1, {"text": text})
        assert refused.value.kind is REQUEST_TOO_LARGE
        unit.roll_back(savepoint)
        fresh_record(unit, 2, {})
        assert unit.find(record(1)) is None
        assert unit.read_page(RECORDS, asked(_since="0")).total == 2

    requests.run(work)

    timestamp, page = requests.list(RECORDS, asked(_since="0"))
    assert sorted(ids(page)) == [record(0).id, record(2).id]
    assert timestamp == max(before + 1, START_MS) + 1  # no time was given to what was refused
    assert wire.clock(RECORDS).count == 2
    assert record(1).id not in wire.clock(RECORDS).newest_writes


def test_what_is_more_than_4_mb_together_is_refused_as_a_whole(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    before = wire.items(), wire.rows()
    text = random_text(500_000)
    calls.take()

    def work(unit: UnitOfWork) -> None:
        for number in range(12):
            savepoint = unit.savepoint()
            with suppress(ProtocolError):
                fresh_record(unit, number, {"text": text})
                savepoint = unit.savepoint()
            unit.roll_back(savepoint)
        assert unit.read_page(RECORDS, asked(1)).total == 12

    with pytest.raises(ProtocolError) as refused:
        requests.run(work)

    assert refused.value.kind is REQUEST_TOO_LARGE
    assert TRANSACT not in calls.take()
    assert (wire.items(), wire.rows()) == before


def test_what_was_rolled_back_takes_no_room(requests: Requests) -> None:
    requests.make_posts()
    text = random_text(500_000)

    def work(unit: UnitOfWork) -> None:
        for number in range(12):
            savepoint = unit.savepoint()
            fresh_record(unit, number, {"text": text})
            if number > 3:
                unit.roll_back(savepoint)

    requests.run(work)

    assert sorted(ids(requests.page())) == [record(number).id for number in range(4)]


def test_rows_that_have_no_room_beside_what_a_batch_writes_come_first(
    wire: Wire, requests: Requests
) -> None:
    buckets = [BUCKETS.object(f"b{number}") for number in range(25)]
    operations: list[int] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            operations.append(len(arguments["TransactItems"]))

    wire.before = look

    requests.run(lambda unit: put_all(unit, *buckets))

    assert operations == [50, 76]  # two rows each; a bucket and two clocks each, and their own
    assert wire.clock(BUCKETS).count == 25
    assert len(wire.rows()) == 50


@pytest.mark.parametrize("is_too_much", [False, True])
def test_more_than_100_objects_and_clocks_are_refused_before_anything_is_written(
    wire: Wire, requests: Requests, calls: CountedCalls, is_too_much: bool
) -> None:
    buckets = [BUCKETS.object(f"b{number}") for number in range(33)]
    calls.take()

    def work(unit: UnitOfWork) -> None:
        put_all(unit, *buckets)
        if is_too_much:
            unit.load([SHOP], SHOP.lists)
            unit.put(SHOP, {}, {}, origin=Origin())

    if not is_too_much:
        requests.run(work)  # 33 buckets, their 66 clocks, and that of all buckets
        assert requests.page(BUCKETS).total == 33
        return
    with pytest.raises(ProtocolError) as refused:
        requests.run(work)
    assert refused.value.kind is REQUEST_TOO_LARGE
    assert TRANSACT not in calls.take()
    assert (wire.items(), wire.rows()) == ({}, {})


def test_one_object_changed_by_many_steps_is_one_action(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    calls.take()

    def work(unit: UnitOfWork) -> list[int]:
        times = []
        for number in range(120):
            load(unit, record(1))
            stored = unit.put(record(1), {"n": number}, {}, origin=Origin())
            times.append(stored.last_modified)
        return times

    times = requests.run(work)

    assert times == [times[0] + number for number in range(120)]
    assert calls.take() == READ_AND_COMMITTED
    found = requests.get(record(1))
    assert isinstance(found, StoredObject)
    assert found.data == {"n": 119}
    assert len(wire.clock(RECORDS).latest) == 1


# What is told of a unit


class InMemory:
    """The table of objects without DynamoDB, for units that nothing disturbs."""

    def __init__(self) -> None:
        self.items: dict[Key, RawItem] = {}
        self.clocks: dict[Key, Clock] = {}
        self.now = Ticking()

    def unit(self) -> Any:
        """One that has read nothing yet; it has of a unit of work what a step needs."""
        return UnitInMemory(self)

    def store(self, steps: Iterable[Step], first: int = THAT_OF_STATES) -> None:
        """Take each of these steps in a request of its own."""
        for number, step in enumerate(steps, first):
            unit = self.unit()
            take(unit, step, number)
            unit.commit()

    def shown(self, uri: ObjectUri) -> JsonObject | None:
        """The object as anybody sees it."""
        unit = self.unit()
        try:
            load(unit, uri)
        except MissingError:
            return None
        found = unit.find(uri)
        return found.to_json() if isinstance(found, StoredObject) else None


class UnitInMemory(Staging):
    """Stages on what is in memory."""

    def __init__(self, tables: InMemory) -> None:
        super().__init__(tables.now)
        self._tables = tables

    def load(self, objects: Iterable[ObjectUri], lists: Iterable[ListUri] = ()) -> None:
        for key in {object_key(uri) for uri in objects} - self._items.keys():
            raw = self._tables.items.get(key)
            self._items[key] = from_raw(raw) if raw else None
        for key in {clock_key(uri) for uri in lists} - self._clocks.keys():
            self._clocks[key] = StagedClock.of(key, self._tables.clocks.get(key))

    def commit(self) -> list[tuple[RawItem | None, RawItem | None]]:
        """Write all; gives the images of each item before and after."""
        images = []
        for key, staged in self._staged.items():
            images.append((self._tables.items.pop(key, None), staged.raw))
            if staged.raw is not None:
                self._tables.items[key] = staged.raw
        for key, clock in self._clocks.items():
            if clock.is_changed:
                self._tables.clocks[key] = Clock(clock.timestamp, 0, clock.within)
        return images


def in_stream(images: Iterable[tuple[RawItem | None, RawItem | None]]) -> list[Operation]:
    """What the stream tells of these changes."""
    found = [
        operation_of(
            uri_of(from_raw(new).key), from_raw(old) if old else None, from_raw(new), cause
        )
        for old, new in images
        if new is not None
        for cause in [cause_from_raw(new)]
    ]
    return [each for each in found if each is not None]


def by_address(operations: Iterable[Operation]) -> dict[ObjectUri, list[Operation]]:
    found: dict[ObjectUri, list[Operation]] = {}
    for each in operations:
        for impact in each.impacts:
            found.setdefault(impact.uri, []).append(each)
    return found


def record_of(operation: Operation) -> JsonObject:
    [impact] = operation.impacts
    return impact.record


def origin_of(number: int) -> Origin:
    """Another one for each step."""
    return Origin(f"user{number}" if number % 3 else None, f"r{number}", bool(number % 2))


def without_removals(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.what != "remove"]


@settings(unhurried, max_examples=150)
@given(STATES, SEQUENCES.map(without_removals))
def test_a_unit_and_the_stream_of_its_commit_tell_the_same_in_the_net(
    state: list[Step], steps: list[Step]
) -> None:
    tables = InMemory()
    tables.store(state)
    before = {uri: tables.shown(uri) for uri in addresses(steps)}
    unit = tables.unit()
    for number, step in enumerate(steps):
        take(unit, step, number, origin_of(number))

    told = by_address(unit.take_operations())
    stream = by_address(in_stream(unit.commit()))

    assert stream.keys() <= told.keys()
    assert all(len(operations) == 1 for operations in stream.values())
    for uri, operations in told.items():
        if shown := tables.shown(uri):
            [net] = stream[uri]
            assert record_of(net)["new"] == record_of(operations[-1])["new"] == shown
            assert net.impacts[0].version == operations[-1].impacts[0].version
    if not any(uri.lists and each.action == DELETE for uri in told for each in told[uri]):
        require_net(told, stream, before)


def require_net(
    told: dict[ObjectUri, list[Operation]],
    stream: dict[ObjectUri, list[Operation]],
    before: dict[ObjectUri, JsonObject | None],
) -> None:
    """No parent was deleted: of each object, the first step and the last make the whole."""
    for uri, operations in told.items():
        first, last = operations[0], operations[-1]
        was, is_there = first.action != CREATE, last.action != DELETE
        action = {(0, 1): CREATE, (1, 1): UPDATE, (1, 0): DELETE}.get((was, is_there))
        found = stream.get(uri, [])
        assert [each.action for each in found] == ([action] if action else [])
        for net in found:
            assert (net.address, net.timestamp) == (first.address, first.timestamp)
            assert (net.user_id, net.request_id) == (first.user_id, first.request_id)
            if action == UPDATE:
                assert record_of(net)["old"] == before.get(uri)
            if action == DELETE:
                assert record_of(net) == record_of(last)


@settings(unhurried, max_examples=60)
@given(STATES, SEQUENCES, SEQUENCES)
def test_what_is_rolled_back_was_never_told(
    state: list[Step], kept: list[Step], forgotten: list[Step]
) -> None:
    told = []
    for is_attempted in (True, False):
        tables = InMemory()
        tables.store(state)
        unit = tables.unit()
        for number, step in enumerate(kept):
            take(unit, step, number, origin_of(number))
        savepoint = unit.savepoint()
        for number, step in enumerate(forgotten if is_attempted else [], len(kept)):
            take(unit, step, number, origin_of(number))
        unit.roll_back(savepoint)
        told.append(unit.take_operations())

    assert told[0] == told[1]


@settings(unhurried, max_examples=60)
@given(STATES, SEQUENCES, st.sets(st.integers(0, 9)))
def test_taken_in_parts_the_same_operations_are_told_in_the_same_order(
    state: list[Step], steps: list[Step], pauses: set[int]
) -> None:
    told: list[list[Operation]] = []
    for taken_at in (set(), pauses):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(staging, "token_hex", Incarnations())
            tables = InMemory()
            tables.store(state)
            unit = tables.unit()
            found: list[Operation] = []
            for number, step in enumerate(steps):
                take(unit, step, number, origin_of(number))
                found += unit.take_operations() if number in taken_at else []
            told.append(found + unit.take_operations())

    assert told[0] == told[1]


ALICE: Final = Origin("basicauth:alice", "r1")
BOB: Final = Origin("basicauth:bob", "r2", by_list=True)
SILENTLY: Final = Origin("basicauth:alice", "r0", is_silent=True)


@pytest.fixture
def posts() -> InMemory:
    """A bucket with a collection."""
    tables = InMemory()
    tables.store(all_put(BLOG, POSTS))
    return tables


def loaded(tables: InMemory, *uris: ObjectUri) -> Any:
    unit = tables.unit()
    load(unit, *uris)
    return unit


def test_each_write_is_told_with_what_was_before_it(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    times = [unit.timestamp(RECORDS)]

    def done(stored: StoredObject | Tombstone) -> JsonObject:
        times.append(unit.timestamp(RECORDS))
        return stored.to_json()

    made = done(unit.put(record(1), {"n": 1}, {"read": ("bob",)}, origin=ALICE))
    changed = done(unit.put(record(1), {"n": 2}, {}, origin=BOB))
    gone = done(unit.delete(record(1), origin=ALICE))
    again = done(unit.put(record(1), {"n": 3}, {}, origin=BOB))

    def told(number: int, action: str, origin: Origin, told: JsonObject) -> Operation:
        address = RECORDS if origin.by_list else record(1)
        impact = Impact(record(1), times[number + 1], told)
        user_id, request_id = origin.user_id, origin.request_id
        return Operation(action, address, times[number], user_id, request_id, (impact,))

    assert unit.take_operations() == [
        told(0, CREATE, ALICE, {"new": made}),
        told(1, UPDATE, BOB, {"new": changed, "old": made}),
        told(2, DELETE, ALICE, {"old": gone}),
        told(3, CREATE, BOB, {"new": again}),
    ]


def test_what_was_told_is_not_told_again(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    unit.put(record(1), {}, {}, origin=ALICE)

    assert len(unit.take_operations()) == 1
    assert unit.take_operations() == []

    unit.put(record(1), {}, {}, origin=ALICE)
    assert [each.action for each in unit.take_operations()] == [UPDATE]


def test_silent_writes_removals_and_clocks_are_not_told(posts: InMemory) -> None:
    posts.store(all_put(record(2)))
    unit = loaded(posts, record(1), record(2))
    unit.put(record(1), {}, {}, origin=SILENTLY)
    unit.delete(record(1), origin=SILENTLY)
    unit.remove(record(2))
    unit.advance(RECORDS)

    assert unit.take_operations() == []


def test_what_was_read_is_told_where_it_was_read(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    read = Operation(READ, RECORDS, 7, None, "r1", ())
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.tell(read)
    unit.delete(record(1), origin=ALICE)

    told = unit.take_operations()

    assert [each.action for each in told] == [CREATE, READ, DELETE]
    assert told[1] is read


def test_after_what_was_told_was_rolled_back_nothing_is_left_to_tell(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.take_operations()
    savepoint = unit.savepoint()
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.tell(Operation(READ, RECORDS, 7, None, "r1", ()))

    unit.roll_back(savepoint)

    assert unit.take_operations() == []


def test_nothing_is_made_of_a_write_before_somebody_asks(
    posts: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[ObjectUri] = []

    def noted(uri: ObjectUri, *rest: Any) -> None:
        asked_for.append(uri)

    monkeypatch.setattr(staging, "operation_of", noted)
    unit = loaded(posts, record(1))

    unit.put(record(1), {}, {}, origin=ALICE)
    unit.commit()
    assert asked_for == []

    unit.take_operations()
    assert asked_for == [record(1)]


@pytest.mark.parametrize(
    ("writers", "teller"),
    [
        ("a", 0),
        ("s", 0),
        ("ab", 0),
        ("as", 0),
        ("sa", 1),
        ("ss", 1),
        ("abs", 0),
        ("asb", 0),
        ("sab", 1),
        ("sas", 1),
        ("ssa", 2),
    ],
)
@pytest.mark.parametrize("is_deleted", [False, True])
def test_several_writes_of_an_object_are_one_change_asked_for_by_the_first_that_is_not_silent(
    posts: InMemory, writers: str, teller: int, is_deleted: bool
) -> None:
    """The last letter is the write that is a deletion, if one is."""
    posts.store(all_put(record(1)))
    unit = loaded(posts, record(1))
    times = []
    for number, writer in enumerate(writers):
        origin = {"a": ALICE, "b": BOB, "s": SILENTLY}[writer]
        times.append(unit.timestamp(RECORDS))
        if is_deleted and number == len(writers) - 1:
            unit.delete(record(1), origin=origin)
        else:
            unit.put(record(1), {"n": number}, {}, origin=origin)
    told = unit.take_operations()

    [(_old, new)] = unit.commit()

    origin = {"a": ALICE, "b": BOB, "s": SILENTLY}[writers[teller]]
    assert new is not None
    assert cause_from_raw(new) == items.Cause(
        origin.user_id, origin.request_id, origin.by_list, times[teller], origin.is_silent
    )
    assert len(told) == sum(writer != "s" for writer in writers)


def test_what_is_made_in_the_place_of_what_was_removed_has_its_own_cause(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.remove(record(1))
    before = unit.timestamp(RECORDS)
    unit.put(record(1), {}, {}, origin=BOB)

    [(_old, new)] = unit.commit()

    assert new is not None
    assert cause_from_raw(new) == items.Cause("basicauth:bob", "r2", True, before)


def test_what_nothing_would_hold_is_not_staged(posts: InMemory) -> None:
    unit = loaded(posts, record(1), POSTS)
    unit.delete(POSTS, origin=ALICE)

    with pytest.raises(LookupError, match="/buckets/blog/collections/posts"):
        unit.put(record(1), {}, {}, origin=ALICE)


@pytest.mark.parametrize("origin", [BOB, SILENTLY])
def test_what_is_written_in_a_collection_made_again_has_its_own_cause(
    posts: InMemory, origin: Origin
) -> None:
    unit = loaded(posts, record(1), POSTS)
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.delete(POSTS, origin=ALICE)
    unit.put(POSTS, {}, {}, origin=SILENTLY)
    before = unit.timestamp(RECORDS)
    unit.put(record(1), {}, {}, origin=origin)

    committed = unit.commit()

    causes = [cause_from_raw(new) for _old, new in committed if new and new["id"]["S"] != "posts"]
    assert causes == [
        items.Cause(
            origin.user_id, origin.request_id, origin.by_list, before, silent=origin.is_silent
        )
    ]


def test_a_cause_that_was_rolled_back_tells_nothing(posts: InMemory) -> None:
    unit = loaded(posts, record(1))
    savepoint = unit.savepoint()
    unit.put(record(1), {}, {}, origin=ALICE)
    unit.roll_back(savepoint)
    unit.put(record(1), {}, {}, origin=BOB)

    [(_old, new)] = unit.commit()

    assert new is not None
    assert cause_from_raw(new).user_id == "basicauth:bob"


def test_nothing_is_told_of_what_goes_with_its_parent(posts: InMemory) -> None:
    posts.store(all_put(record(1), record(2), WRITERS))
    unit = loaded(posts, BLOG)
    unit.load([POSTS, record(1)], [*BLOG.lists, *POSTS.lists])
    unit.delete(BLOG, origin=ALICE)

    told = unit.take_operations()

    assert [(each.action, each.address) for each in told] == [(DELETE, BLOG)]
    assert in_stream(unit.commit()) == told
