"""What is left over in a stage's tables, found and repaired: `infra/leftovers.py`."""

from typing import Any

import pytest

from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.access import ALL_BUCKETS
from chalicelib.storage.clock import CLOSED
from chalicelib.storage.keys import access_object, member_object, object_key, uri_of
from chalicelib.storage.unit_of_work import UnitOfWork
from infra.leftovers import GRACE_MS, Inspection, Report
from tests.doubles import START_MS, CountedCalls, Patience
from tests.storage.stand_ins import (
    BLOG,
    BUCKETS,
    COLLECTIONS,
    GROUPS,
    POSTS,
    RECORDS,
    WRITERS,
    Requests,
    Wire,
    ids,
    record,
)
from tests.storage.test_rules import put_all

LATER = START_MS + 10 * GRACE_MS
"""When all that the tests write is old."""


def inspect(wire: Wire, *, now_ms: int = LATER, repairs: bool = False) -> Report:
    """The whole report."""
    deadline = Patience(1e9).deadline()
    inspection = Inspection(wire.client, wire.dynamo, deadline, now_ms=now_ms, repairs=repairs)
    *_, last = inspection.run()
    return last


def fill(requests: Requests) -> None:
    """A bucket with a group, a collection, records, a tombstone of each kind, and permissions."""
    requests.put(BLOG, {}, {"write": ("alice",)})
    requests.put(BUCKETS.object("shop"))
    requests.delete(BUCKETS.object("shop"))
    requests.put(POSTS, {}, {"read": ("bob", "carol")})
    requests.put(WRITERS, {"members": ["bob", "carol"]}, {"read": ("bob",)})
    put_all(requests, COLLECTIONS.object("drafts"), GROUPS.object("readers"))
    requests.delete(COLLECTIONS.object("drafts"))
    requests.delete(GROUPS.object("readers"))
    put_all(requests, record(1), record(2), record(3))
    requests.put(record(1), {}, {"read": ("carol",)})
    requests.delete(record(2))


def put_row(wire: Wire, principal: str, object: str, version: int = START_MS) -> None:
    row = {"principal": {"S": principal}, "object": {"S": object}, "version": {"N": str(version)}}
    wire.client.put_item(TableName=wire.dynamo.tables.access, Item=row)


def drop_row(wire: Wire, principal: str, object: str) -> None:
    key = {"principal": {"S": principal}, "object": {"S": object}}
    wire.client.delete_item(TableName=wire.dynamo.tables.access, Key=key)


def row_of(uri: ObjectUri) -> str:
    return access_object(object_key(uri))


def rows_of_records(wire: Wire) -> set[str]:
    return {principal for principal, object in wire.rows() if "#record/" in object}


def objects_in(wire: Wire) -> set[ObjectUri]:
    return {uri_of(key) for key in wire.items() if key.id != ".clock"}


# What is there


def test_a_healthy_stage_has_nothing_left_over_and_lacks_nothing(
    wire: Wire, requests: Requests
) -> None:
    fill(requests)

    report = inspect(wire)

    assert (report.dead, report.needless, report.missing, report.young) == (0, 0, 0, 0)
    assert report.there == {
        "buckets": 1,
        "collections": 1,
        "groups": 1,
        "records": 2,
        "tombstones": 4,
        "clocks": 7,
        "rows": 9,
    }


def test_empty_tables_are_healthy(wire: Wire) -> None:
    assert inspect(wire) == Report()


def test_heartbeats_are_neither_items_nor_rows(wire: Wire, requests: Requests) -> None:
    def check(unit: UnitOfWork) -> Any:
        return unit.check_tables()

    assert requests.run(check) == (True, True)

    assert inspect(wire) == Report()


def test_a_repair_of_a_healthy_stage_changes_nothing(wire: Wire, requests: Requests) -> None:
    fill(requests)
    before = wire.items(), wire.rows()

    inspect(wire, repairs=True)

    assert (wire.items(), wire.rows()) == before


def test_a_report_writes_nothing(wire: Wire, requests: Requests) -> None:
    fill(requests)
    requests.delete(BLOG)
    calls = CountedCalls(wire.client)

    inspect(wire)

    assert calls.take().keys() == {"Scan", "BatchGetItem"}


# What is left over


@pytest.mark.parametrize("made_again", [False, True])
def test_what_was_within_a_deleted_collection_is_left_over_tombstones_too(
    wire: Wire, requests: Requests, made_again: bool
) -> None:
    fill(requests)
    requests.delete(POSTS)
    if made_again:
        requests.put(POSTS)

    report = inspect(wire)

    assert report.dead == 3
    assert report.needless == 3  # one of a record, two of the collection
    assert report.there["records"] == 0
    assert report.there["tombstones"] == (4 if not made_again else 3)


@pytest.mark.parametrize("made_again", [False, True])
def test_all_below_a_deleted_bucket_is_left_over(
    wire: Wire, requests: Requests, made_again: bool
) -> None:
    fill(requests)
    requests.delete(BLOG)
    if made_again:
        requests.put(BLOG)

    report = inspect(wire)

    assert report.dead == 3 + 2 + 2  # records, collections, groups
    assert report.needless == 7
    assert report.there["rows"] == 2  # of all buckets
    assert report.missing == 0


def test_what_is_within_a_namesake_of_the_dead_is_none_of_it(
    wire: Wire, requests: Requests
) -> None:
    fill(requests)
    requests.delete(BLOG)
    requests.put(BLOG)
    requests.put(POSTS)
    requests.put(record(1), {}, {"read": ("carol",)})

    report = inspect(wire)

    assert report.dead == 7 - 2
    assert (report.there["collections"], report.there["records"]) == (1, 1)
    assert report.missing == 0


def test_rows_that_their_objects_do_not_need_are_left_over(wire: Wire, requests: Requests) -> None:
    fill(requests)
    requests.put(record(1))
    requests.put(WRITERS, {"members": ["bob"]})

    report = inspect(wire)

    assert report.needless == 3
    assert report.there["rows"] == 9 - 3


@pytest.mark.parametrize(
    "object",
    [
        row_of(record(9)),
        row_of(BUCKETS.object("nowhere")),
        member_object(object_key(GROUPS.object("nobody"))),
        member_object(object_key(record(1))),
    ],
)
def test_rows_of_what_is_not_there_are_left_over(
    wire: Wire, requests: Requests, object: str
) -> None:
    fill(requests)
    put_row(wire, "dave", object)

    assert inspect(wire).needless == 1
    inspect(wire, repairs=True)
    assert inspect(wire).needless == 0


def test_rows_that_are_missing_are_counted(wire: Wire, requests: Requests) -> None:
    fill(requests)
    drop_row(wire, "carol", row_of(record(1)))
    drop_row(wire, "bob", member_object(object_key(WRITERS)))
    drop_row(wire, ALL_BUCKETS, row_of(BUCKETS.object("shop")))

    report = inspect(wire)

    assert report.missing == 3
    assert (report.there["rows"], report.needless, report.dead) == (6, 0, 0)


def test_the_dead_lack_no_rows(wire: Wire, requests: Requests) -> None:
    fill(requests)
    drop_row(wire, "carol", row_of(record(1)))
    requests.delete(POSTS)

    assert inspect(wire).missing == 0


# Repairs


@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_a_repair_removes_what_is_left_over_and_nothing_else(
    wire: Wire, requests: Requests, deleted: ObjectUri
) -> None:
    fill(requests)
    requests.delete(deleted)
    for uri in (BLOG, POSTS):
        requests.put(uri, {}, {"read": ("carol",)})
    requests.put(record(3), {"new": True}, {"read": ("carol",)})
    shown = [requests.page(uri) for uri in (COLLECTIONS, GROUPS, RECORDS)]

    told = inspect(wire, repairs=True)

    assert told.dead > 0
    after = inspect(wire)
    assert (after.dead, after.needless, after.missing) == (0, 0, 0)
    assert [requests.page(uri) for uri in (COLLECTIONS, GROUPS, RECORDS)] == shown
    assert rows_of_records(wire) == {"carol"}
    assert record(1) not in objects_in(wire)


def test_a_repair_closes_the_list_of_a_collection_that_it_removes(
    wire: Wire, requests: Requests
) -> None:
    fill(requests)
    requests.delete(BLOG)
    assert wire.clock(RECORDS).within != CLOSED
    timestamp = wire.clock(RECORDS).timestamp

    inspect(wire, repairs=True)

    assert objects_in(wire) == {BLOG, BUCKETS.object("shop")}
    assert (wire.clock(RECORDS).within, wire.clock(RECORDS).timestamp) == (CLOSED, timestamp)


def test_a_repair_puts_the_rows_that_are_missing_in_the_versions_of_their_objects(
    wire: Wire, requests: Requests
) -> None:
    fill(requests)
    object = row_of(record(1))
    drop_row(wire, "carol", object)

    assert inspect(wire, repairs=True).missing == 1

    item = wire.stored(record(1))
    assert item is not None
    assert wire.rows()["carol", object] == item.version
    assert inspect(wire).missing == 0


def test_more_than_a_transaction_holds_is_repaired(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    members = [f"member{number}" for number in range(130)]
    requests.put(WRITERS, {"members": members})
    for start in range(0, 120, 40):
        put_all(requests, *map(record, range(start, start + 40)))
    requests.delete(POSTS)
    object = member_object(object_key(WRITERS))
    for member in members[:120]:
        drop_row(wire, member, object)
    for number in range(130):
        put_row(wire, f"stranger{number}", object)

    told = inspect(wire, repairs=True)

    assert (told.dead, told.missing, told.needless) == (120, 120, 130)
    after = inspect(wire)
    assert (after.dead, after.missing, after.needless) == (0, 0, 0)
    assert {principal for principal, of in wire.rows() if of == object} == {*members}


@pytest.mark.parametrize(
    ("age_ms", "is_young"),
    [(0, True), (GRACE_MS - 1, True), (GRACE_MS, True), (GRACE_MS + 1, False)],
)
def test_what_is_younger_than_the_time_of_grace_is_left_to_the_purge(
    wire: Wire, requests: Requests, age_ms: int, is_young: bool
) -> None:
    requests.make_posts()
    requests.now.now_ms += 1_000
    requests.put(record(1))
    item = wire.stored(record(1))
    assert item is not None
    requests.delete(POSTS)
    put_row(wire, "dave", row_of(record(1)), item.version)

    report = inspect(wire, now_ms=item.version + age_ms, repairs=True)

    assert (report.dead, report.needless) == (1, 1)
    assert report.young == (2 if is_young else 0)
    assert (wire.stored(record(1)) is not None) == is_young
    assert ("dave" in rows_of_records(wire)) == is_young


def test_the_old_goes_and_the_young_stays(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1))
    requests.now.now_ms += GRACE_MS
    requests.put(record(2))
    requests.delete(POSTS)

    report = inspect(wire, now_ms=requests.now.now_ms + 1_000, repairs=True)

    assert (report.dead, report.young) == (2, 1)
    assert wire.stored(record(1)) is None
    assert wire.stored(record(2)) is not None


def test_a_young_row_of_an_object_that_is_about_to_be_written_stays(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_row(wire, "dave", row_of(record(1)), START_MS + 2_000)

    inspect(wire, now_ms=START_MS + 3_000, repairs=True)

    assert "dave" in rows_of_records(wire)


def test_what_is_written_again_while_a_repair_runs_stays(wire: Wire, requests: Requests) -> None:
    fill(requests)
    requests.delete(POSTS)
    requests.put(POSTS)
    rival = Requests(wire.rival, requests.now)

    def write(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            wire.before = None
            put_all(rival, record(1), record(3))

    wire.before = write

    inspect(wire, repairs=True)

    assert set(ids(requests.page())) == {record(1).id, record(3).id}
    assert inspect(wire).dead == 0


def test_a_row_that_is_needed_again_while_a_repair_runs_stays(
    wire: Wire, requests: Requests
) -> None:
    fill(requests)
    requests.put(record(1))
    rival = Requests(wire.rival, requests.now)

    def write(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            wire.before = None
            rival.put(record(1), {}, {"read": ("carol",)})

    wire.before = write

    assert inspect(wire, repairs=True).needless == 1

    assert "carol" in rows_of_records(wire)


# Pages


class SmallPages:
    """A client that scans two items at a time, and leaves half of each batch unprocessed."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_paginator(self, operation: str) -> Any:
        paginator = self._client.get_paginator(operation)

        class Paginator:
            def paginate(self, **arguments: Any) -> Any:
                return paginator.paginate(**arguments, PaginationConfig={"PageSize": 2})

        return Paginator()

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, asked),) = RequestItems.items()
        keys = asked["Keys"]
        now, later = keys[: len(keys) // 2 + 1], keys[len(keys) // 2 + 1 :]
        answer = self._client.batch_get_item(RequestItems={table: {**asked, "Keys": now}})
        unprocessed = {table: {**asked, "Keys": later}} if later else {}
        return {**answer, "UnprocessedKeys": unprocessed}


def test_pages_and_unprocessed_keys_make_no_difference(wire: Wire, requests: Requests) -> None:
    fill(requests)
    drop_row(wire, "bob", member_object(object_key(WRITERS)))
    requests.delete(POSTS)
    whole = inspect(wire)
    deadline = Patience(1e9).deadline()
    inspection = Inspection(
        SmallPages(wire.client), wire.dynamo, deadline, now_ms=LATER, repairs=False
    )

    sums = [sum(report.there.values()) for report in inspection.run()]
    *_, last = inspection.run()

    assert last == whole
    assert sums == sorted(sums)
    assert len(sums) > 8
