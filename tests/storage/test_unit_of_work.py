"""One attempt at a request, on moto: `chalicelib/storage/unit_of_work.py`."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.clock import CLOSED, MAX_LATEST_BYTES, Write
from chalicelib.storage.failures import ConflictError, UnavailableError
from chalicelib.storage.items import Item
from chalicelib.storage.keys import clock_key, object_key
from chalicelib.storage.staging import Origin
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.doubles import START_MS, CountedCalls, Patience, SetClock
from tests.storage.stand_ins import (
    BLOG,
    BUCKETS,
    COLLECTIONS,
    GROUPS,
    POSTS,
    RECORDS,
    WRITERS,
    MissingError,
    Requests,
    Wire,
    asked,
    fresh_wire,
    ids,
    load,
    record,
)

ONE_READ = {"BatchGetItem": 1}
READ_AND_COMMITTED = {"BatchGetItem": 1, "TransactWriteItems": 1}


def unit_of(wire: Wire, now: SetClock) -> UnitOfWork:
    return UnitOfWork(wire.dynamo, Patience().deadline(), now)


def item_of(wire: Wire, uri: ObjectUri) -> Item:
    item = wire.stored(uri)
    assert item is not None
    return item


# Round trips


def test_all_that_a_request_needs_is_read_in_one_call(
    requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    stored = requests.put(record(1), {"a": 1})
    calls.take()

    assert requests.get(record(1)) == stored
    assert calls.take() == ONE_READ


def test_what_was_read_is_not_read_again(
    wire: Wire, requests: Requests, calls: CountedCalls, clock: SetClock
) -> None:
    requests.make_posts()
    unit = unit_of(wire, clock)
    calls.take()

    unit.load([BLOG, POSTS], [RECORDS])
    unit.load([BLOG], [RECORDS])
    assert calls.take() == ONE_READ

    unit.load([BLOG, record(1)])
    assert calls.take() == ONE_READ


def test_what_can_not_be_there_is_not_asked_for(
    wire: Wire, calls: CountedCalls, clock: SetClock
) -> None:
    impossible = RECORDS.object("not a uuid")
    unit = unit_of(wire, clock)

    unit.load([impossible], [ListUri(COLLECTION, ("not possible",))])

    assert calls.take() == {}
    assert unit.find(impossible) is None
    assert unit.permissions(impossible) is None


@pytest.mark.parametrize("write", ["create", "replace", "delete", "re-create"])
@pytest.mark.parametrize("uri", [BLOG, POSTS, WRITERS, record(1)], ids=lambda uri: uri.kind.name)
def test_a_write_is_one_read_and_one_commit(
    requests: Requests, calls: CountedCalls, uri: ObjectUri, write: str
) -> None:
    for parent in uri.ancestors:
        requests.put(parent)
    if write != "create":
        requests.put(uri)
    if write == "re-create":
        requests.delete(uri)
    calls.take()

    if write == "delete":
        requests.delete(uri)
    else:
        requests.put(uri, {"a": 1}, {"read": ("alice", "bob")})

    assert calls.take() == READ_AND_COMMITTED


def test_25_writes_in_one_collection_are_one_read_and_one_commit(
    requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    calls.take()

    def work(unit: UnitOfWork) -> None:
        records = [record(number) for number in range(25)]
        load(unit, *records)
        for uri in records:
            unit.put(uri, {}, {"write": ("alice",)}, origin=Origin())

    requests.run(work)

    assert calls.take() == READ_AND_COMMITTED
    assert len(requests.page().entries) == 25


def test_nothing_is_committed_where_nothing_is_staged(
    requests: Requests, calls: CountedCalls
) -> None:
    requests.run(lambda unit: unit.load([BLOG], [BUCKETS]))

    assert calls.take() == ONE_READ


# Objects


def test_an_object_is_found_as_it_is_staged_and_then_as_it_was_committed(
    requests: Requests,
) -> None:
    requests.make_posts()

    def work(unit: UnitOfWork) -> StoredObject:
        load(unit, record(1))
        assert unit.find(record(1)) is None
        assert unit.permissions(record(1)) is None
        stored = unit.put(record(1), {"a": 1}, {"read": ("bob",)}, origin=Origin())
        assert unit.find(record(1)) == stored
        assert unit.permissions(record(1)) == {"read": ("bob",)}
        assert unit.timestamp(RECORDS) == stored.last_modified
        return stored

    stored = requests.run(work)

    assert (
        requests.get(record(1))
        == stored
        == StoredObject.of(record(1).id, stored.last_modified, {"a": 1}, {"read": ("bob",)})
    )


def test_a_deleted_object_is_a_tombstone_without_permissions(requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {"a": 1}, {"read": ("bob",)})

    tombstone = requests.delete(record(1))

    assert requests.get(record(1)) == tombstone == Tombstone(record(1).id, tombstone.last_modified)

    def work(unit: UnitOfWork) -> Any:
        load(unit, record(1))
        return unit.permissions(record(1))

    assert requests.run(work) is None


def test_an_object_and_its_tombstone_are_one_item(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {"a": 1}, {"read": ("bob",)})
    keys = wire.items().keys()

    requests.delete(record(1))

    assert wire.items().keys() == keys
    assert not item_of(wire, record(1)).is_live
    assert "body" not in wire.items()[object_key(record(1))]

    requests.put(record(1))

    assert wire.items().keys() == keys
    assert item_of(wire, record(1)).is_live


def test_an_object_made_again_is_above_its_tombstone(requests: Requests) -> None:
    requests.make_posts()
    first = requests.put(record(1), {"a": 1})
    tombstone = requests.delete(record(1))
    second = requests.put(record(1), {"b": 2})

    assert first.last_modified < tombstone.last_modified < second.last_modified
    assert requests.get(record(1)) == second


def test_one_request_may_create_replace_and_delete_an_object(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()

    def work(unit: UnitOfWork) -> Tombstone:
        load(unit, record(1), record(2))
        unit.put(record(1), {"a": 1}, {}, origin=Origin())
        unit.put(record(2), {"a": 1}, {}, origin=Origin())
        unit.put(record(2), {"a": 2}, {}, origin=Origin())
        return unit.delete(record(1), origin=Origin())

    tombstone = requests.run(work)

    assert requests.get(record(1)) == tombstone
    assert wire.clock(RECORDS).count == 1
    assert sorted(wire.clock(RECORDS).newest_writes) == [record(1).id, record(2).id]
    assert len(wire.clock(RECORDS).latest) == 2


def test_the_version_of_a_write_is_the_lists_timestamp_whatever_the_client_chose(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    dated = requests.put(record(1), at=1000)
    again = requests.put(record(1), at=1000)

    assert dated.last_modified == again.last_modified == 1000
    assert item_of(wire, record(1)).version == wire.clock(RECORDS).timestamp > START_MS


def test_a_write_says_where_it_comes_from(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    before = wire.clock(RECORDS).timestamp

    def work(unit: UnitOfWork) -> None:
        load(unit, record(1))
        unit.put(record(1), {}, {}, origin=Origin("basicauth:alice", "r1", by_list=True))

    requests.run(work)

    assert wire.items()[object_key(record(1))]["cause"]["M"] == {
        "user_id": {"S": "basicauth:alice"},
        "request_id": {"S": "r1"},
        "by_list": {"BOOL": True},
        "timestamp": {"N": str(before)},
        "silent": {"BOOL": False},
    }


# Clocks


def test_a_list_that_nobody_has_used_is_empty_and_at_zero(
    requests: Requests, calls: CountedCalls
) -> None:
    timestamp, page = requests.list(BUCKETS)

    assert (timestamp, page.entries, page.total, page.next) == (0, [], 0, None)
    assert calls.take() == ONE_READ


def test_a_hosts_clock_that_is_behind_does_not_set_a_list_back(
    requests: Requests, clock: SetClock
) -> None:
    requests.make_posts()
    first = requests.put(record(1))
    clock.now_ms -= 10_000
    second = requests.put(record(2))
    clock.now_ms += 20_000
    third = requests.put(record(3))

    assert second.last_modified == first.last_modified + 1
    assert third.last_modified == clock.now_ms


def test_writes_that_fit_together_get_their_timestamps_from_one_tick(requests: Requests) -> None:
    requests.make_posts()

    def work(unit: UnitOfWork) -> list[int]:
        records = [record(number) for number in range(3)]
        load(unit, *records)
        return [unit.put(uri, {}, {}, origin=Origin()).last_modified for uri in records]

    times = requests.run(work)

    assert times == [times[0], times[0] + 1, times[0] + 2]
    assert requests.list()[0] == times[-1]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "twice", "delete posts", "delete blog"]),
        st.integers(0, 2),
        st.sampled_from([None, 5, START_MS + 50]),
    ),
    max_size=8,
)


@hypothesis_settings(max_examples=8, deadline=None)
@given(STEPS)
def test_the_count_is_that_of_the_live_objects_after_any_requests(
    connection: Connection, steps: list[tuple[str, int, int | None]]
) -> None:
    with fresh_wire(connection) as fresh:
        requests = Requests(fresh.dynamo)
        requests.make_posts()
        live: set[str] = set()
        timestamp = 0
        for what, number, at in steps:
            uri = record(number)
            if what == "put":
                requests.put(uri, at=at)
                live.add(uri.id)
            elif what == "delete" and uri.id in live:
                requests.delete(uri, at=at)
                live.discard(uri.id)
            elif what == "twice":
                put_and_delete(requests, uri, record(number + 1))
                live = live - {uri.id} | {record(number + 1).id}
            elif what in ("delete posts", "delete blog"):
                requests.delete(POSTS if what == "delete posts" else BLOG)
                requests.put(BLOG)
                requests.put(POSTS)
                live.clear()

            now, page = requests.list()
            assert set(ids(page)) == live
            assert page.total == fresh.clock(RECORDS).count == len(live)
            assert now >= timestamp
            timestamp = now
        assert fresh.clock(COLLECTIONS).count == fresh.clock(BUCKETS).count == 1


def put_and_delete(requests: Requests, deleted: ObjectUri, kept: ObjectUri) -> None:
    def work(unit: UnitOfWork) -> None:
        load(unit, deleted, kept)
        unit.put(deleted, {}, {}, origin=Origin())
        unit.put(kept, {}, {}, origin=Origin())
        unit.delete(deleted, origin=Origin())

    requests.run(work)


def fill_latest(requests: Requests) -> None:
    """Write as many records at once as bring `latest` above its limit."""
    records = [record(number) for number in range(100, 116)]
    assert len(records) * len(Write(record(1).id, START_MS, START_MS, True).to_text()) > (
        MAX_LATEST_BYTES
    )

    def work(unit: UnitOfWork) -> None:
        load(unit, *records)
        for uri in records:
            unit.put(uri, {}, {}, origin=Origin())

    requests.run(work)


def test_a_writer_that_finds_much_in_latest_shortens_it_with_one_more_read(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    fill_latest(requests)
    calls.take()

    requests.put(record(1))

    assert calls.take() == {"BatchGetItem": 2, "TransactWriteItems": 1}
    assert list(wire.clock(RECORDS).newest_writes) == [record(1).id]
    calls.take()

    requests.put(record(2))

    assert calls.take() == READ_AND_COMMITTED
    assert list(wire.clock(RECORDS).newest_writes) == [record(1).id, record(2).id]


def test_latest_of_all_buckets_is_shortened_though_each_has_a_parent_of_its_own(
    wire: Wire, requests: Requests
) -> None:
    for number in range(30):
        requests.put(ObjectUri(BUCKET, (f"a-bucket-with-a-name-as-long-as-this-{number}",)))

    latest = wire.clock(BUCKETS).latest
    assert sum(map(len, latest)) < MAX_LATEST_BYTES + max(map(len, latest)) * 2


def test_shortening_keeps_what_is_not_visible_yet(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    wire.torn, wire.late_reads = lambda id: id == record(100).id, 2
    fill_latest(requests)
    wire.torn = None

    requests.put(record(1))
    assert list(wire.clock(RECORDS).newest_writes) == [record(100).id, record(1).id]

    assert sorted(ids(requests.page()))[:2] == [record(1).id, record(100).id]


def test_shortening_commits_only_on_the_timestamp_as_read(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    fill_latest(requests)
    requests.now.now_ms += 1000  # so that the timestamp alone does not refuse it
    wire.before = lambda number, operation, _arguments: (
        rival_put(wire) if operation == "TransactWriteItems" else None
    )

    requests.put(record(1))

    assert record(2).id in wire.clock(RECORDS).newest_writes
    assert sorted(ids(requests.page()))[:2] == [record(1).id, record(2).id]


def rival_put(wire: Wire) -> None:
    wire.before = None
    Requests(wire.rival, SetClock()).put(record(2))


def test_a_deletion_shortens_no_list_that_it_ends(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    fill_latest(requests)
    calls.take()

    requests.delete(POSTS)
    assert calls.take() == READ_AND_COMMITTED

    requests.put(POSTS)
    assert calls.take() == READ_AND_COMMITTED
    assert wire.clock(RECORDS).latest == ()


# Incarnations


def test_a_bucket_and_a_collection_get_an_incarnation_at_each_creation(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    first = item_of(wire, POSTS)
    requests.put(POSTS, {"a": 1})
    replaced = item_of(wire, POSTS)
    requests.delete(POSTS)
    dead = item_of(wire, POSTS)
    requests.put(POSTS)
    second = item_of(wire, POSTS)

    assert re.fullmatch("[0-9a-f]{16}", first.incarnation or "")
    assert replaced.incarnation == first.incarnation != second.incarnation
    assert dead.incarnation is None
    assert second.within == first.within == item_of(wire, BLOG).incarnation


def test_a_record_and_a_group_have_no_incarnation(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1))
    requests.put(WRITERS)

    assert item_of(wire, record(1)).incarnation is None
    assert item_of(wire, WRITERS).incarnation is None


@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_a_deletion_hides_everything_below(requests: Requests, deleted: ObjectUri) -> None:
    requests.make_posts()
    requests.put(record(1))

    requests.delete(deleted)

    with pytest.raises(MissingError):
        requests.get(record(1))
    with pytest.raises(MissingError):
        requests.page()
    with pytest.raises(MissingError):
        requests.put(record(2))


@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_what_is_made_again_starts_empty_and_above_its_old_timestamps(
    wire: Wire, requests: Requests, deleted: ObjectUri
) -> None:
    requests.make_posts()
    requests.put(record(1), at=START_MS + 1_000_000)
    requests.put(record(2))
    requests.delete(record(2))
    before = {uri: wire.clock(uri).timestamp for uri in (BUCKETS, COLLECTIONS, GROUPS, RECORDS)}

    requests.delete(deleted)
    requests.put(BLOG)
    requests.put(POSTS)

    timestamp, page = requests.list(RECORDS, asked(_since="0"))
    assert (page.entries, page.total) == ([], 0)
    assert timestamp > before[RECORDS]
    assert requests.get(record(1)) is None
    assert requests.put(record(1)).last_modified > timestamp
    assert all(wire.clock(uri).timestamp >= time for uri, time in before.items())
    assert wire.clock(RECORDS).count == 1


def test_a_deletion_closes_the_clocks_of_the_lists_below(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    before = {uri: wire.clock(uri).timestamp for uri in (COLLECTIONS, GROUPS)}

    requests.delete(BLOG)

    assert {wire.clock(uri).within for uri in before} == {CLOSED}
    assert {uri: wire.clock(uri).timestamp for uri in before} == before


def test_a_parent_may_be_made_filled_deleted_and_made_again_in_one_request(
    wire: Wire, requests: Requests
) -> None:
    def work(unit: UnitOfWork) -> None:
        unit.load([BLOG, POSTS, record(1)], [BUCKETS, COLLECTIONS, GROUPS, RECORDS])
        for _ in range(2):
            unit.put(BLOG, {}, {}, origin=Origin())
            unit.put(POSTS, {}, {}, origin=Origin())
            unit.put(record(1), {}, {}, origin=Origin())
            unit.delete(BLOG, origin=Origin())
        unit.put(BLOG, {}, {}, origin=Origin())
        unit.put(POSTS, {}, {}, origin=Origin())
        assert unit.find(record(1)) is None

    requests.run(work)

    assert requests.page().entries == []
    assert [wire.clock(uri).count for uri in (BUCKETS, COLLECTIONS, RECORDS)] == [1, 1, 0]
    assert requests.get(record(1)) is None


def test_a_bucket_made_and_deleted_in_one_request_is_a_tombstone(
    wire: Wire, requests: Requests
) -> None:
    def work(unit: UnitOfWork) -> None:
        load(unit, BLOG)
        unit.put(BLOG, {}, {}, origin=Origin())
        unit.delete(BLOG, origin=Origin())

    requests.run(work)

    assert isinstance(requests.get(BLOG), Tombstone)
    assert wire.clock(BUCKETS).count == 0
    assert wire.clock(GROUPS).within == CLOSED
    requests.make_posts()
    assert ids(requests.page(COLLECTIONS)) == ["posts"]


def test_a_clock_that_does_not_fit_its_parent_as_read_is_a_conflict(
    wire: Wire, requests: Requests, rival: Requests, clock: SetClock
) -> None:
    requests.make_posts()
    unit = unit_of(wire, clock)
    unit.load([BLOG, POSTS, record(1)])
    rival.delete(POSTS)
    unit.load([], [RECORDS])

    with pytest.raises(ConflictError):
        unit.timestamp(RECORDS)
    with pytest.raises(ConflictError):
        unit.put(record(1), {}, {}, origin=Origin())


# Limits


def test_a_request_is_a_transaction(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    before = wire.items(), wire.rows()

    def work(unit: UnitOfWork) -> None:
        load(unit, record(1), record(2))
        unit.put(record(1), {}, {"read": ("bob",)}, origin=Origin())
        unit.put(record(2), {}, {}, origin=Origin())
        raise MissingError

    with pytest.raises(MissingError):
        requests.run(work)

    assert (wire.items(), wire.rows()) == before


@pytest.mark.parametrize(("records", "fits"), [(99, True), (100, False)])
def test_100_actions_are_a_transaction_and_more_are_refused_before_anything_is_written(
    wire: Wire, requests: Requests, calls: CountedCalls, records: int, fits: bool
) -> None:
    requests.make_posts()
    before = wire.items(), wire.rows()
    calls.take()

    def work(unit: UnitOfWork) -> None:
        uris = [record(number) for number in range(records)]
        load(unit, *uris)
        for uri in uris:
            unit.put(uri, {}, {"read": ("bob",)}, origin=Origin())

    if fits:
        requests.run(work)
        assert wire.clock(RECORDS).count == records
        assert sum(1 for principal, _ in wire.rows() if principal == "bob") == records
    else:
        with pytest.raises(ProtocolError) as refused:
            requests.run(work)
        assert refused.value.kind is REQUEST_TOO_LARGE
        assert "TransactWriteItems" not in calls.take()
        assert (wire.items(), wire.rows()) == before


def test_more_than_4_mb_are_refused_before_anything_is_written(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    from tests.storage.test_items import random_text

    requests.make_posts()
    calls.take()
    text = random_text(500_000)

    def work(unit: UnitOfWork) -> None:
        uris = [record(number) for number in range(12)]
        load(unit, *uris)
        for uri in uris:
            unit.put(uri, {"text": text}, {}, origin=Origin())

    with pytest.raises(ProtocolError) as refused:
        requests.run(work)

    assert refused.value.kind is REQUEST_TOO_LARGE
    assert calls.take() == ONE_READ
    assert requests.page().entries == []


def test_groups_and_collections_of_one_name_are_apart(requests: Requests) -> None:
    requests.make_posts()
    requests.put(ListUri(GROUP, ("blog",)).object("posts"), {"members": []})

    assert ids(requests.page(COLLECTIONS)) == ids(requests.page(GROUPS)) == ["posts"]
    assert requests.page(COLLECTIONS).entries != requests.page(GROUPS).entries


def test_both_tables_are_checked_by_a_write_that_no_list_shows(
    wire: Wire, requests: Requests, calls: CountedCalls, clock: SetClock
) -> None:
    assert unit_of(wire, clock).check_tables() == (True, True)
    assert calls.take() == {"PutItem": 2, "BatchGetItem": 2}
    assert all("live" not in raw for raw in wire.items().values())


def test_a_table_that_fails_is_told_from_one_that_works(wire: Wire, clock: SetClock) -> None:
    def fail(_number: int, _operation: str, arguments: dict[str, Any]) -> None:
        if arguments.get("TableName") == wire.dynamo.tables.access:
            raise UnavailableError(may_repeat=True)

    wire.before = fail

    assert unit_of(wire, clock).check_tables() == (True, False)


def test_clocks_are_beside_their_objects_and_in_no_index(wire: Wire, requests: Requests) -> None:
    requests.make_posts()

    for uri in (BUCKETS, COLLECTIONS, GROUPS, RECORDS):
        assert not {"live", "dead"} & wire.items()[clock_key(uri)].keys()
