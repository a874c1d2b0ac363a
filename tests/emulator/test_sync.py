"""Clients that sync while many write: they never miss a change (`docs/architecture.md`)."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.doubles import Client
from tests.emulator.hosts import (
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

OFFSETS_MS = (-3000, 3000, 0, -1500, 1500, 7, -20, 400)
QUERIES: tuple[dict[str, str], ...] = (
    {},
    {"_limit": "3"},
    {"_sort": "last_modified"},
    {"_sort": "last_modified", "_limit": "2"},
)
CHANGES_OF_EACH = 24
CHANGES_A_SYNC = 18
MAX_SYNCS = 2000
MAX_PAGES = 200


@dataclass(slots=True)
class Copy:
    """What a client keeps of the list, and how it brings that up to date.

    Attributes:
        hosts: which answer it in turn, as those of Lambda do.
        query: of each request, beside `_since`.
        entries: by id, tombstones as well.
        etag: of the list, as the last sync found it.
        shown: all that any answer showed.
    """

    hosts: Sequence[Client]
    query: dict[str, str]
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    etag: str | None = None
    shown: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0

    def sync(self) -> None:
        """All that has changed since the last time."""
        query = self.query if self.etag is None else {**self.query, "_since": self.etag}
        headers = {} if self.etag is None else {"If-None-Match": self.etag}
        answer = self._get(query, headers)
        if answer.status == 304:
            return
        entries = data_of(answer)
        etag = answer.headers["ETag"]
        for _ in range(MAX_PAGES):
            if "Next-Page" not in answer.headers:
                break
            following = urlsplit(answer.headers["Next-Page"])
            answer = self._get(dict(parse_qsl(following.query)), {})
            assert answer.headers["ETag"] == etag
            entries += data_of(answer)
        assert "Next-Page" not in answer.headers, "a walk without an end"
        # An object that changes during a walk may be met twice, in any order.
        for entry in sorted(entries, key=lambda entry: entry["last_modified"]):
            if entry["last_modified"] >= self.time_of(entry["id"]):
                self.entries[entry["id"]] = entry
        self.etag = etag

    def time_of(self, id: str) -> int:
        return self.entries[id]["last_modified"] if id in self.entries else 0

    def live(self) -> dict[str, dict[str, Any]]:
        return {id: entry for id, entry in self.entries.items() if not entry.get("deleted")}

    def _get(self, query: dict[str, Any], headers: dict[str, str]) -> Any:
        self.requests += 1
        host = self.hosts[self.requests % len(self.hosts)]
        answer = host.ask("GET", RECORDS, headers=headers, **query)
        assert answer.status in (200, 304)
        if answer.status == 200:
            ids = [entry["id"] for entry in data_of(answer)]
            assert len(ids) == len(set(ids)), "an answer shows an object twice"
            self.shown += data_of(answer)
        return answer


@dataclass(frozen=True, slots=True)
class Synced:
    """One sync: what was answered to writers before it began, the copy after it, and when that was.

    The time is that of changes: seconds of this machine's monotonic clock.
    """

    answered: int
    etag: int
    times: dict[str, int]
    ended: float


@pytest.mark.parametrize("seed", range(2))
def test_clients_that_sync_while_others_write_miss_nothing(hosts: Hosts, seed: int) -> None:
    writers = [hosts.start(offset_ms=offset) for offset in OFFSETS_MS]
    copies = [
        Copy([hosts.start(offset_ms=offset) for offset in OFFSETS_MS[:2]], query)
        for query in QUERIES
    ]
    make_posts(writers[0])
    log, ended = Log(), threading.Event()
    syncs: dict[int, list[Synced]] = {number: [] for number in range(len(copies))}
    # The writers wait for a sync of each now and then: or else one by pages, oldest first, would
    # have no end where they are faster, and where they are much faster there would hardly be any.
    allowed = [threading.Semaphore(CHANGES_A_SYNC) for _ in copies]
    left = threading.Semaphore(len(writers) - 1)

    def write(client: Client, chance: random.Random) -> None:
        try:
            for number in range(CHANGES_OF_EACH):
                for allowance in allowed:
                    assert allowance.acquire(timeout=60), "a client doesn't sync any more"
                write_this_or_that(client, log, chance, number)
        finally:
            if not left.acquire(blocking=False):
                ended.set()

    def read(number: int) -> None:
        while not ended.is_set() and len(syncs[number]) < MAX_SYNCS:
            syncs[number].append(synced(copies[number], log))
            allowed[number].release(CHANGES_A_SYNC)
        syncs[number].append(synced(copies[number], log))

    works: list[Callable[[], None]] = [partial(read, number) for number in syncs]
    for number, client in enumerate(writers):
        works.append(partial(write, client, seeded(100 * seed + number)))
    together(works)

    assert set(log.statuses) <= {200, 201, 404}
    assert any(change.is_deletion for change in log.changes)
    for number, copy in enumerate(copies):
        assert len(syncs[number]) >= len(writers) * CHANGES_OF_EACH // CHANGES_A_SYNC
        assert_all_was_committed(copy.shown, log.changes)
        assert_nothing_missed(syncs[number], log.changes, is_one_answer="_limit" not in copy.query)
        assert_same_as_list(copy, writers[0], log.changes)


def synced(copy: Copy, log: Log) -> Synced:
    """The copy once more up to date."""
    answered = len(log.changes)
    copy.sync()
    times = {id: entry["last_modified"] for id, entry in copy.entries.items()}
    return Synced(answered, int((copy.etag or "").strip('"')), times, time.monotonic())


def assert_all_was_committed(shown: Sequence[dict[str, Any]], changes: Sequence[Change]) -> None:
    """Whatever was shown is what a commit made of that object at that time."""
    committed = {(change.id, change.last_modified): change.data for change in changes}
    for entry in shown:
        assert committed[entry["id"], entry["last_modified"]] == entry


def assert_nothing_missed(
    syncs: Sequence[Synced], changes: Sequence[Change], *, is_one_answer: bool
) -> None:
    """Each sync has each object as the commits up to its ETag left it, or as a later one did.

    What was answered before it began is among those. Only on a walk over pages an object may slip
    away, or from one index to the other while these are read: by a change that the next sync tells
    of. And no copy goes back in time.
    """
    last = newest(changes)
    known: dict[str, int] = {}
    for sync in syncs:
        until = [change for change in changes if change.last_modified <= sync.etag]
        for change in (*newest(until).values(), *newest(changes[: sync.answered]).values()):
            is_there = sync.times.get(change.id, 0) >= change.last_modified
            comes_next = last[change.id].last_modified > sync.etag
            may_slip = turns(change, changes, sync) if is_one_answer else comes_next
            if not is_there and not may_slip:
                # The first sync tells of no deletions: what was deleted by then is just missing.
                assert change.id not in sync.times, change
                told_from = None if sync is syncs[0] else syncs[0].etag
                assert was_deleted(change, changes, until=told_from), change
        assert all(sync.times[id] >= time for id, time in known.items())
        known = sync.times


def turns(change: Change, changes: Sequence[Change], sync: Synced) -> bool:
    """Whether what this change left was deleted, or made again, while this sync read."""
    later = [it for it in changes if it.id == change.id and it.last_modified > sync.etag]
    before = [it for it in changes if it.id == change.id and it.last_modified <= sync.etag]
    states = sorted([newest(before)[change.id], *later], key=lambda it: it.last_modified)
    return any(
        one.is_deletion != other.is_deletion and other.began < sync.ended
        for one, other in pairwise(states)
    )


def was_deleted(change: Change, changes: Sequence[Change], *, until: int | None) -> bool:
    """Whether this is a deletion or one came after it, up to this time (None: at any)."""
    return any(
        each.is_deletion
        and each.id == change.id
        and each.last_modified >= change.last_modified
        and (until is None or each.last_modified <= until)
        for each in changes
    )


def assert_same_as_list(copy: Copy, client: Client, changes: Sequence[Change]) -> None:
    """The copy is the list; the list is what the answers have told; deletions have come as such."""
    whole = {entry["id"]: entry for entry in data_of(client.ask("GET", RECORDS))}
    assert copy.live() == whole
    assert whole == {
        id: change.data for id, change in newest(changes).items() if not change.is_deletion
    }
    since_ever = data_of(client.ask("GET", RECORDS, _since="0"))
    assert {entry["id"]: entry for entry in since_ever} == {
        id: change.data for id, change in newest(changes).items()
    }


def write_this_or_that(client: Client, log: Log, chance: random.Random, number: int) -> None:
    """A change of a new record, of one that others change as well, or of several by list."""
    shared = f"{RECORDS}/{record_id(chance.randrange(8))}"
    body = {"data": {"number": number}}
    match chance.choice(["POST", "PUT", "PUT", "PUT", "PATCH", "DELETE", "DELETE some"]):
        case "POST":
            log.ask(client, "POST", RECORDS, body)
        case "DELETE":
            log.ask(client, "DELETE", shared)
        case "DELETE some":
            some = {"in_number": f"{number},{number - 1}"} if number % 6 else {}
            log.ask(client, "DELETE", RECORDS, **some)
        case method:
            log.ask(client, method, shared, body)
