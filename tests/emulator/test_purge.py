"""What the deleted leave behind is removed, and nothing else, whatever happens meanwhile."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event
from typing import Any

import pytest

from chalicelib.events.changes import Changes
from chalicelib.events.purging import Purge
from chalicelib.events.queues import Queues
from chalicelib.protocol.messages import JsonObject
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from infra.leftovers import Inspection, Report
from infra.pump import Clients, Pump
from infra.queues import create_queues
from tests.doubles import REGION, Client
from tests.emulator.hosts import BUCKET, Hosts, RealTime, data_of, seeded, together

pytestmark = pytest.mark.emulator

NAMES = ("a", "b", "c")


class Killed(BaseException):
    """What ends a function between two calls; no code of ours catches it."""


class Backstage:
    """The functions behind the API, and the pump that feeds them."""

    def __init__(self, hosts: Hosts, clients: Clients) -> None:
        self.hosts = hosts
        self.before_call: Callable[[], None] = lambda: None
        create_queues(clients.sqs, hosts.stage)
        self._dynamo = Dynamo(hosts.connect(), hosts.tables)
        queues = Queues(hosts.stage, REGION, hosts.url)
        self._changes = Changes(queues, {})
        self._purge = Purge(self._dynamo, queues)
        self.pump = Pump(hosts.stage, self._on_changes, {"purge": self._on_purge}, clients=clients)
        events = self._dynamo._connection.client.meta.events
        events.register("before-call.dynamodb.*", lambda **_: self.before_call())

    def _on_changes(self, event: JsonObject, _context: Any) -> None:
        self._changes.handle(event["Records"])

    def _on_purge(self, event: JsonObject, _context: Any) -> None:
        (message,) = event["Records"]
        while True:
            try:
                return self._purge.handle(message["body"], RealTime().deadline())
            except Killed:
                continue  # a message comes again, until it was handled to the end

    def report(self) -> Report:
        """What is in the tables, as an operator is told a day later."""
        tomorrow = time.time_ns() // 1_000_000 + 86_400_000
        forever = Deadline(lambda: float("inf"))
        dynamodb = self.hosts.dynamodb
        inspection = Inspection(dynamodb, self._dynamo, forever, now_ms=tomorrow, repairs=False)
        *_, report = inspection.run()
        return report


@pytest.fixture
def backstage(hosts: Hosts, clients: Clients) -> Iterator[Backstage]:
    backstage = Backstage(hosts, clients)
    yield backstage
    backstage.before_call = lambda: None


def filled(client: Client, records: int = 30) -> None:
    """A bucket with something of each kind in it, and tombstones."""
    members = {"data": {"members": [f"basicauth:{number}" for number in range(150)]}}
    client.ask("PUT", BUCKET)
    for name in NAMES:
        client.ask("PUT", f"{BUCKET}/groups/{name}", members)
        client.ask("PUT", f"{BUCKET}/collections/{name}", {"permissions": {"read": ["bob"]}})
        for number in range(records):
            body = {"data": {"n": number}, "permissions": {"read": ["bob", f"{BUCKET}/groups/a"]}}
            client.ask("POST", f"{BUCKET}/collections/{name}/records", body)
        client.ask("DELETE", f"{BUCKET}/collections/{name}/records", max_n="4")
    client.ask("DELETE", f"{BUCKET}/groups/c")


def clean(report: Report) -> dict[str, int]:
    """What is there, where nothing is left over and nothing missing."""
    assert (report.dead, report.needless, report.missing) == (0, 0, 0)
    return dict(report.there)


def test_of_a_deleted_bucket_only_clocks_and_its_tombstone_stay(
    hosts: Hosts, backstage: Backstage
) -> None:
    client = hosts.start()
    filled(client)
    backstage.pump.pump_until_quiet()
    before = clean(backstage.report())
    assert before["records"] == 75

    assert client.ask("DELETE", BUCKET).status == 200
    backstage.pump.pump_until_quiet()

    # One clock of each list; the row is that of the list of all buckets.
    assert clean(backstage.report()) == {"tombstones": 1, "clocks": 6, "rows": 1}


def test_of_a_deleted_collection_its_records_go_and_the_others_stay(
    hosts: Hosts, backstage: Backstage
) -> None:
    client = hosts.start()
    filled(client)

    client.ask("DELETE", f"{BUCKET}/collections/b")
    backstage.pump.pump_until_quiet()

    there = clean(backstage.report())
    assert (there["collections"], there["records"], there["groups"]) == (2, 50, 2)
    assert there["tombstones"] == 2 * 5 + 1 + 1  # of records, of a group, of the collection


def test_a_purge_that_is_killed_anywhere_goes_on_when_its_message_comes_again(
    hosts: Hosts, backstage: Backstage
) -> None:
    client = hosts.start()
    filled(client, records=8)
    client.ask("DELETE", BUCKET)
    chance = seeded(7)
    kills: Counter[str] = Counter()

    def kill_now_and_then() -> None:
        if chance.random() < 0.3 and kills["killed"] < 25:
            kills["killed"] += 1
            raise Killed

    backstage.before_call = kill_now_and_then
    backstage.pump.pump_until_quiet()
    backstage.before_call = lambda: None

    assert kills["killed"] > 5
    assert clean(backstage.report()) == {"tombstones": 1, "clocks": 6, "rows": 1}


def make_again(owner: Client, turns: int) -> None:
    """Delete the bucket and make it anew, with other things in it, so many times."""
    for turn in range(turns):
        assert owner.ask("DELETE", BUCKET).status == 200
        assert owner.ask("PUT", BUCKET).status == 201
        for name in NAMES[turn % 2 :]:
            owner.ask("PUT", f"{BUCKET}/collections/{name}", {"permissions": {"read": ["x"]}})
            owner.ask("PUT", f"{BUCKET}/groups/{name}", {"data": {"members": ["y"]}})
            for _ in range(3):
                owner.ask("POST", f"{BUCKET}/collections/{name}/records")


def records_of(client: Client, name: str) -> int:
    """How many records the collection has, which its list shows all."""
    answer = client.ask("GET", f"{BUCKET}/collections/{name}/records")
    if answer.status == 404:
        return 0
    listed = data_of(answer)
    assert answer.headers["Total-Records"] == str(len(listed))
    assert len(listed) >= 3
    return len(listed)


def test_what_is_made_again_during_the_purge_stays(hosts: Hosts, backstage: Backstage) -> None:
    owner, *writers = (hosts.start() for _ in range(3))
    filled(owner, records=12)
    is_over = Event()

    def again() -> None:
        make_again(owner, turns=4)
        is_over.set()

    def until_over(work: Callable[[], object]) -> None:
        while not is_over.is_set():
            work()

    def write(client: Client) -> None:
        for name in NAMES:
            client.ask("POST", f"{BUCKET}/collections/{name}/records")

    others = [backstage.pump.pump_once, *(partial(write, client) for client in writers)]
    together([again, *(partial(until_over, work) for work in others)])
    backstage.pump.pump_until_quiet()

    records = [records_of(owner, name) for name in NAMES]
    there = clean(backstage.report())
    assert there["records"] == sum(records)
    assert there["collections"] == sum(map(bool, records)) >= 2
