"""DELETE of a list that no transaction holds: in chunks, each whole, and told as it was done."""

from functools import partial
from typing import Any

import pytest

from chalicelib.storage.deadlines import ATTEMPT_S
from tests.doubles import Client, CountedCalls
from tests.emulator.filling import fill
from tests.emulator.hosts import RECORDS, Hosts, Log, data_of, make_posts, together
from tests.emulator.lines import WRITE, Line
from tests.emulator.proxy import Fate
from tests.raw_records import LONG_AGO_MS, record_id

pytestmark = pytest.mark.emulator

CHUNK = 99
SHORT_S = ATTEMPT_S + 2.5
"""A request's time with room for a few chunks."""


@pytest.fixture
def direct(hosts: Hosts) -> Client:
    """A host of a service with an empty collection."""
    client = hosts.start()
    make_posts(client)
    return client


def times_of(tombstones: list[dict[str, Any]]) -> list[int]:
    return [tombstone["last_modified"] for tombstone in tombstones]


def live_ids(client: Client) -> set[str]:
    return {entry["id"] for entry in data_of(client.ask("GET", RECORDS))}


def test_five_thousand_records_are_deleted_by_one_request(hosts: Hosts, direct: Client) -> None:
    fill(hosts, 0, 5_000)
    before = direct.ask("GET", RECORDS, _limit="1").headers["ETag"]
    calls = CountedCalls(hosts.dynamodb)

    tombstones = data_of(direct.ask("DELETE", RECORDS))

    transactions = calls.take()[WRITE]
    assert [tombstone["id"] for tombstone in tombstones] == [record_id(n) for n in range(5_000)]
    assert times_of(tombstones) == sorted(set(times_of(tombstones)))
    assert transactions == -(-5_000 // CHUNK)
    after = direct.ask("GET", RECORDS)
    assert (data_of(after), after.headers["Total-Records"]) == ([], "0")
    assert after.headers["ETag"] == f'"{tombstones[-1]["last_modified"]}"'
    assert data_of(direct.ask("GET", RECORDS, _since=before)) == tombstones[::-1]


def test_filters_delete_their_part_of_a_large_list(hosts: Hosts, direct: Client) -> None:
    fill(hosts, 0, 600)

    by_field = data_of(direct.ask("DELETE", RECORDS, min_n="350"))
    by_time = data_of(direct.ask("DELETE", RECORDS, _before=str(LONG_AGO_MS + 150)))

    assert [tombstone["id"] for tombstone in by_field] == [record_id(n) for n in range(350, 600)]
    assert [tombstone["id"] for tombstone in by_time] == [record_id(n) for n in range(150)]
    assert live_ids(direct) == {record_id(n) for n in range(150, 350)}


@pytest.mark.parametrize(
    ("fate", "is_carried_out"), [(Fate.CUT_BEFORE, False), (Fate.SILENT, True)], ids=str
)
def test_what_was_not_answered_is_not_claimed_and_repeating_finishes(
    hosts: Hosts, line: Line, direct: Client, fate: Fate, is_carried_out: bool
) -> None:
    fill(hosts, 0, 500)
    line.fate_of = lambda operation, number: (
        fate if operation == WRITE and number > 2 else Fate.ANSWERED
    )

    with line.client(seconds=SHORT_S) as client:
        answer = client.ask("DELETE", RECORDS)

    claimed = {tombstone["id"] for tombstone in data_of(answer)}
    assert claimed == {record_id(n) for n in range(2 * CHUNK)}
    chunks = 3 if is_carried_out else 2
    assert live_ids(direct) == {record_id(n) for n in range(chunks * CHUNK, 500)}
    rest = data_of(direct.ask("DELETE", RECORDS))
    assert [each["id"] for each in rest] == [record_id(n) for n in range(chunks * CHUNK, 500)]
    assert live_ids(direct) == set()


def test_each_object_is_deleted_by_one_of_those_that_delete_the_list(hosts: Hosts) -> None:
    clients = [hosts.start(offset_ms=offset) for offset in (-2000, 0, 2000)]
    make_posts(clients[0])
    fill(hosts, 0, 400)
    log = Log()

    together([partial(log.ask, client, "DELETE", RECORDS) for client in clients])

    assert set(log.statuses) == {200}
    assert sorted(change.id for change in log.changes) == [record_id(n) for n in range(400)]
    times = [change.last_modified for change in log.changes]
    assert len(set(times)) == 400
    assert clients[0].ask("GET", RECORDS).headers["ETag"] == f'"{max(times)}"'


def test_records_that_are_written_meanwhile_are_told_as_they_are(hosts: Hosts) -> None:
    deleting, *writers = [hosts.start(offset_ms=offset) for offset in (0, -2000, 2000)]
    make_posts(deleting)
    fill(hosts, 0, 400)
    log = Log()

    def write(client: Client, numbers: range) -> None:
        for number in numbers:
            path = f"{RECORDS}/{record_id(number)}"
            log.ask(client, "PUT", path, {"data": {"n": number, "is_new": True}})

    together(
        [
            partial(log.ask, deleting, "DELETE", RECORDS),
            partial(write, writers[0], range(390, 410)),
            partial(write, writers[1], range(200, 400, 10)),
        ]
    )

    assert set(log.statuses) <= {200, 201}
    newest = {each.id: each for each in sorted(log.changes, key=lambda each: each.last_modified)}
    expected = {id for id, change in newest.items() if not change.is_deletion}
    assert live_ids(deleting) == expected
    assert deleting.ask("HEAD", RECORDS).headers["Total-Records"] == str(len(expected))
