"""Parents that are deleted and made again while others write below them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from chalicelib.protocol.messages import Response
from tests.doubles import Client
from tests.emulator.hosts import (
    BUCKET,
    COLLECTION,
    RECORDS,
    Change,
    Hosts,
    Log,
    data_of,
    make_posts,
    newest,
    together,
)
from tests.emulator.lines import WRITE, Line
from tests.emulator.proxy import Fate
from tests.raw_records import record_id

pytestmark = pytest.mark.emulator

OFFSETS_MS = (0, -3000, 3000, 20, -500, 500)
REMAKINGS = 6
MAX_WRITES = 400


@dataclass(slots=True)
class Remakings:
    """When the parent was deleted and made again, in seconds of the monotonic clock.

    Attributes:
        deletions: when each was asked for.
        remade: when each new parent was answered.
        etags: of the list of records in each new parent, at first sight.
    """

    deletions: list[float] = field(default_factory=list)
    remade: list[float] = field(default_factory=list)
    etags: list[int] = field(default_factory=list)


@pytest.mark.parametrize("deleted", [BUCKET, COLLECTION], ids=["bucket", "collection"])
def test_nothing_of_a_deleted_parent_is_in_its_successor(hosts: Hosts, deleted: str) -> None:
    owner = hosts.start()
    writers = [hosts.start(offset_ms=offset) for offset in OFFSETS_MS]
    make_posts(owner)
    log, ended = Log(), threading.Event()

    def write(number: int, client: Client) -> Remakings | None:
        for turn in range(MAX_WRITES):
            if ended.is_set():
                break
            if turn % 2:
                log.ask(client, "PUT", f"{RECORDS}/{record_id(number % 3)}", {"data": {"t": turn}})
            else:
                log.ask(client, "POST", RECORDS, {"data": {"turn": turn}})
        return None

    def remake() -> Remakings | None:
        try:
            return remake_again_and_again(owner, deleted, log)
        finally:
            ended.set()

    works: list[Callable[[], Remakings | None]] = [remake]
    for number, client in enumerate(writers):
        works.append(partial(write, number, client))
    remakings = together(works)[0]
    # One more write to each, so that there are some that began after all was made.
    for number, client in enumerate(writers):
        answer = log.ask(client, "PUT", f"{RECORDS}/{record_id(100 + number)}", {"data": {}})
        assert answer.status == 201

    assert remakings is not None
    assert set(log.statuses) <= {200, 201, 403, 404}  # 403: below a bucket that isn't there
    assert_only_the_new(owner, log, remakings)
    assert_all_within_one_incarnation(hosts, owner)
    assert_times_above(log.changes, remakings)


def test_a_list_that_was_deleted_is_empty_at_once(hosts: Hosts) -> None:
    owner, others = hosts.start(), [hosts.start(offset_ms=offset) for offset in OFFSETS_MS]
    make_posts(owner)
    for _ in range(3):
        log = Log()
        works: list[Callable[[], Response]] = [partial(owner.ask, "DELETE", COLLECTION)]
        works += [partial(log.ask, client, "POST", RECORDS, {"data": {}}) for client in others]

        deleted = together(works)[0]
        remade = owner.ask("PUT", COLLECTION)
        answer = owner.ask("GET", RECORDS, _since="0")

        assert (deleted.status, remade.status) == (200, 201)
        assert set(log.statuses) <= {201, 404}
        assert data_of(answer) == []
        assert answer.headers["Total-Records"] == "0"
        assert int(answer.headers["ETag"].strip('"')) > max(
            (change.last_modified for change in log.changes), default=0
        )


@pytest.mark.parametrize(
    ("deleted", "is_remade", "status"),
    [
        (COLLECTION, False, 404),
        (COLLECTION, True, 201),
        # Deleting a bucket closes its own lists, not all that are below: this write counts as one
        # of before the deletion, which it has met, and is gone with the others.
        (BUCKET, False, 201),
        (BUCKET, True, 201),
    ],
)
def test_a_write_on_its_way_is_in_the_new_list_or_in_none(
    hosts: Hosts, line: Line, deleted: str, *, is_remade: bool, status: int
) -> None:
    owner = hosts.start()
    make_posts(owner)
    owner.ask("POST", RECORDS, {"data": {}})

    def decide(operation: str, number: int) -> Fate:
        if (operation, number) == (WRITE, 1):
            remade = {BUCKET, COLLECTION} if deleted == BUCKET else {COLLECTION}
            assert owner.ask("DELETE", deleted).status == 200
            for path in sorted(remade) if is_remade else ():
                assert owner.ask("PUT", path).status == 201
        return Fate.ANSWERED

    line.fate_of = decide
    with line.client() as client:
        answer = client.ask("POST", RECORDS, {"data": {"late": True}})

    assert answer.status == status
    for path in (BUCKET, COLLECTION):
        owner.ask("PUT", path)  # of which some are there
    listed = owner.ask("GET", RECORDS, _since="0")
    assert data_of(listed) == ([data_of(answer)] if is_remade else [])
    assert listed.headers["Total-Records"] == str(int(is_remade))


def remake_again_and_again(owner: Client, deleted: str, log: Log) -> Remakings:
    """Delete the parent and make it again, each time once there is something in it."""
    remakings = Remakings()
    for _ in range(REMAKINGS):
        assert_is_written_to(owner, log)
        remakings.deletions.append(time.monotonic())
        assert owner.ask("DELETE", deleted).status == 200
        if deleted == BUCKET:
            assert owner.ask("PUT", BUCKET).status == 201
        assert owner.ask("PUT", COLLECTION).status == 201
        remakings.remade.append(time.monotonic())
        answer = owner.ask("GET", RECORDS, _limit="1")
        remakings.etags.append(int(answer.headers["ETag"].strip('"')))
    return remakings


def assert_is_written_to(client: Client, log: Log) -> None:
    """Go on only when others have written some more, so that a deletion meets writes."""
    wanted = len(log.changes) + 8
    for _ in range(MAX_WRITES):
        if len(log.changes) >= wanted:
            return
        client.ask("GET", COLLECTION)
    pytest.fail("nobody writes")


def assert_only_the_new(client: Client, log: Log, remakings: Remakings) -> None:
    """What was answered before the last deletion is gone; what began after it all is there.

    Of what was asked for in between either may be true; but what is there is as it was answered.
    """
    answer = client.ask("GET", RECORDS)
    entries = {entry["id"]: entry for entry in data_of(answer)}
    gone = [change for change in log.changes if change.ended < remakings.deletions[-1]]
    kept = [change for change in log.changes if change.began > remakings.remade[-1]]
    assert gone
    assert kept
    answered = [change.data for change in log.changes if change not in gone]
    assert all(entry in answered for entry in entries.values())
    assert all(change.data not in entries.values() for change in gone)
    for id, change in newest(kept).items():
        assert entries[id]["last_modified"] >= change.last_modified
    assert answer.headers["Total-Records"] == str(len(entries))
    since_ever = data_of(client.ask("GET", RECORDS, _since="0"))
    assert {entry["id"]: entry for entry in since_ever} == entries  # no tombstones of the old
    for id in {change.id for change in gone} - entries.keys():
        assert client.ask("GET", f"{RECORDS}/{id}").status == 404


def assert_all_within_one_incarnation(hosts: Hosts, client: Client) -> None:
    """What is stored within the collection that is there now is what its list shows."""
    stored = hosts.dynamodb.get_paginator("scan").paginate(
        TableName=hosts.tables.objects, ConsistentRead=True
    )
    items = [item for page in stored for item in page["Items"]]
    (collection,) = [item for item in items if item["id"]["S"] == "posts" and "incarnation" in item]
    (clock,) = [
        item
        for item in items
        if item["id"]["S"] == ".clock" and item["parent"]["S"] == f"{COLLECTION}#record"
    ]
    assert clock["within"] == collection["incarnation"]
    within = {
        item["id"]["S"]
        for item in items
        if item["within"] == collection["incarnation"] and item["id"]["S"] != ".clock"
    }
    assert within == {entry["id"] for entry in data_of(client.ask("GET", RECORDS))}
    assert clock["count"]["N"] == str(len(within))


def assert_times_above(changes: list[Change], remakings: Remakings) -> None:
    """The list of a new parent is newer than all that was ever in the old one."""
    for deletion, etag in zip(remakings.deletions, remakings.etags, strict=True):
        assert etag > max(change.last_modified for change in changes if change.ended < deletion)
    assert remakings.etags == sorted(set(remakings.etags))
    times = [change.last_modified for change in changes]
    assert len(set(times)) == len(times)
