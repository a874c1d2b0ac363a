"""Many writers at once, on hosts whose clocks disagree: nothing is lost, times only grow."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

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
    seeded,
    together,
)
from tests.raw_records import record_id

pytestmark = pytest.mark.emulator

WRITERS = 16
OFFSETS_MS = (-3000, 0, 3000, 40)


@pytest.fixture
def writers(hosts: Hosts) -> list[Client]:
    """Sixteen hosts that disagree about the time, of a service with an empty collection."""
    writers = [
        hosts.start(offset_ms=OFFSETS_MS[number % len(OFFSETS_MS)]) for number in range(WRITERS)
    ]
    make_posts(writers[1])
    return writers


def test_no_update_is_lost_among_writers_that_send_if_match(writers: list[Client]) -> None:
    counter = f"{RECORDS}/{record_id(1)}"
    first = writers[0].ask("PUT", counter, {"data": {"count": 0}})
    log = Log()

    def count_up(client: Client) -> None:
        for _ in range(10):
            before = client.ask("GET", counter)
            seen = {"count": data_of(before)["count"] + 1, "based_on": before.headers["ETag"]}
            matching = {"If-Match": before.headers["ETag"]}
            log.ask(client, "PUT", counter, {"data": seen}, headers=matching)

    together([partial(count_up, client) for client in writers])

    assert set(log.statuses) == {200, 412}
    last = data_of(writers[0].ask("GET", counter))
    assert last["count"] == log.statuses[200] >= 10  # each round has a winner
    versions = [change.data for change in newest_first(log.changes)][::-1]
    assert [version["count"] for version in versions] == list(range(1, last["count"] + 1))
    times = [first.headers["ETag"], *(f'"{version["last_modified"]}"' for version in versions)]
    assert [version["based_on"] for version in versions] == times[:-1]


def test_times_in_a_list_grow_in_the_order_of_commits(writers: list[Client], hosts: Hosts) -> None:
    log = Log()

    together(
        [
            partial(write_this_and_that, client, log, seeded(seed))
            for seed, client in enumerate(writers)
        ]
    )

    assert set(log.statuses) <= {200, 201, 404}
    times = [change.last_modified for change in log.changes]
    assert len(set(times)) == len(times)
    assert_times_follow_answers(log.changes)
    committed = committed_times(hosts, f"{COLLECTION}#record")
    assert committed == sorted(set(committed))
    assert committed == sorted(times)  # what was answered is what was committed, each once


def test_the_list_agrees_with_its_count_and_with_the_answers(writers: list[Client]) -> None:
    log = Log()

    together(
        [
            partial(write_this_and_that, client, log, seeded(seed))
            for seed, client in enumerate(writers, start=100)
        ]
    )

    answer = writers[0].ask("GET", RECORDS)
    left = {id: change for id, change in newest(log.changes).items() if not change.is_deletion}
    assert {entry["id"]: entry for entry in data_of(answer)} == {
        id: change.data for id, change in left.items()
    }
    assert answer.headers["Total-Records"] == str(len(left))
    assert answer.headers["ETag"] == f'"{max(change.last_modified for change in log.changes)}"'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/buckets/raced", None),
        (f"{BUCKET}/collections/raced", None),
        (f"{BUCKET}/groups/raced", {"data": {"members": ["basicauth:bob"]}}),
        (f"{RECORDS}/{record_id(7)}", {"data": {}}),
    ],
)
def test_one_of_many_creators_wins(writers: list[Client], path: str, body: Any) -> None:
    if_new = {"If-None-Match": "*"}
    log = Log()

    for _ in range(2):  # the second time over the tombstone
        together(ask_each(writers, log, "PUT", path, body, headers=if_new))
        assert writers[0].ask("DELETE", path).status == 200

    assert log.statuses == {201: 2, 412: 2 * (WRITERS - 1)}


def test_one_of_many_posts_to_a_list_that_all_know_wins(writers: list[Client]) -> None:
    for winners in range(1, 4):
        known = writers[0].ask("GET", RECORDS).headers["ETag"]
        log = Log()

        matching = {"If-Match": known}
        together(ask_each(writers, log, "POST", RECORDS, {"data": {}}, headers=matching))

        assert log.statuses == {201: 1, 412: WRITERS - 1}
        answer = writers[0].ask("GET", RECORDS)
        assert answer.headers["Total-Records"] == str(winners)
        assert len(data_of(answer)) == winners


def test_posts_of_one_id_create_it_once(writers: list[Client]) -> None:
    body = {"data": {"id": record_id(3)}}
    log = Log()

    together(ask_each(writers, log, "POST", RECORDS, body))

    assert log.statuses == {201: 1, 200: WRITERS - 1}
    assert len({change.last_modified for change in log.changes}) == 1


def ask_each(
    clients: list[Client], log: Log, method: str, path: str, body: Any, **more: Any
) -> list[Callable[[], Any]]:
    """The same request by each of these clients."""
    return [partial(log.ask, client, method, path, body, **more) for client in clients]


def write_this_and_that(client: Client, log: Log, chance: random.Random) -> None:
    """Some writes, new records among them, and such to records that others write as well."""
    for number in range(8):
        shared = f"{RECORDS}/{record_id(chance.randrange(6))}"
        body = {"data": {"number": number, f"by-{chance.randrange(3)}": chance.random()}}
        method = chance.choice(["POST", "PUT", "PUT", "PATCH", "DELETE"])
        path = RECORDS if method == "POST" else shared
        log.ask(client, method, path, None if method == "DELETE" else body)


def newest_first(changes: list[Change]) -> list[Change]:
    return sorted(changes, key=lambda change: -change.last_modified)


def assert_times_follow_answers(changes: list[Change]) -> None:
    """A request that began after another was answered has the later time."""
    latest_answered = 0
    answered = sorted(changes, key=lambda change: change.ended)
    for change in sorted(changes, key=lambda change: change.began):
        while answered and answered[0].ended < change.began:
            latest_answered = max(latest_answered, answered.pop(0).last_modified)
        assert change.last_modified > latest_answered


def committed_times(hosts: Hosts, parent: str) -> list[int]:
    """`last_modified` of all writes in a list, in the order in which the stream tells of them."""
    return [
        int(image["last_modified"]["N"])
        for image in hosts.stream_images()
        if image["parent"]["S"] == parent and "last_modified" in image
    ]
