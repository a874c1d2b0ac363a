"""Connections that fail on the way to DynamoDB: every request ends with the truth, or says so."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from chalicelib.protocol.messages import Response
from chalicelib.storage.deadlines import ATTEMPT_S
from tests.doubles import Client
from tests.emulator.hosts import (
    RECORDS,
    Hosts,
    data_of,
    make_posts,
    seeded,
    together,
)
from tests.emulator.lines import READ, WRITE, Line
from tests.emulator.proxy import Fate
from tests.raw_records import record_id

pytestmark = pytest.mark.emulator

SHORT_S = ATTEMPT_S + 0.7
"""A request's time with room for a few attempts."""

FAULTS = [fate for fate in Fate if fate is not Fate.ANSWERED]
CARRIED_OUT = {Fate.CUT_AFTER, Fate.HALF_ANSWERED, Fate.SILENT, Fate.LATE}
COUNTER = f"{RECORDS}/{record_id(1)}"


@pytest.fixture
def direct(hosts: Hosts) -> Client:
    """A host whose line is sound, of a service with an empty collection."""
    client = hosts.start()
    make_posts(client)
    return client


@pytest.mark.parametrize("fate", FAULTS)
@pytest.mark.parametrize("operation", [READ, WRITE])
def test_one_lost_call_is_not_seen_from_outside(
    line: Line, direct: Client, operation: str, fate: Fate
) -> None:
    line.fail_once(operation, fate)

    with line.client() as client:
        created = client.ask("PUT", COUNTER, {"data": {"n": 1}}, headers={"If-None-Match": "*"})
        posted = client.ask("POST", RECORDS, {"data": {"n": 2}})
        changed = client.ask(
            "PUT", COUNTER, {"data": {"n": 3}}, headers={"If-Match": created.headers["ETag"]}
        )

    assert [created.status, posted.status, changed.status] == [201, 201, 200]
    answer = direct.ask("GET", RECORDS)
    assert sorted(entry["n"] for entry in data_of(answer)) == [2, 3]
    assert answer.headers["Total-Records"] == "2"
    assert int(answer.headers["ETag"].strip('"')) == data_of(changed)["last_modified"]


@pytest.mark.parametrize("fate", FAULTS)
def test_a_write_that_is_never_answered_may_be_either_and_says_so(
    line: Line, direct: Client, fate: Fate
) -> None:
    line.fail_always(WRITE, fate)

    with line.client(seconds=SHORT_S) as client:
        answer = client.ask("POST", RECORDS, {"data": {}})

    assert answer.status == 503
    assert "Retry-After" not in answer.headers
    found = direct.ask("GET", RECORDS)
    assert len(data_of(found)) == (1 if fate in CARRIED_OUT else 0)
    assert found.headers["Total-Records"] == str(len(data_of(found)))


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.HALF_ANSWERED, Fate.SILENT])
def test_a_read_that_is_never_answered_may_be_asked_again(
    line: Line, direct: Client, fate: Fate
) -> None:
    line.fail_always(READ, fate)

    with line.client(seconds=SHORT_S) as client:
        answer = client.ask("POST", RECORDS, {"data": {}})

    assert answer.status == 503
    assert "Retry-After" in answer.headers
    assert data_of(direct.ask("GET", RECORDS)) == []


@pytest.mark.parametrize("fate", [Fate.CUT_AFTER, Fate.HALF_ANSWERED, Fate.SILENT])
def test_a_carried_out_write_stays_true_though_another_went_over_it(
    line: Line, direct: Client, fate: Fate
) -> None:
    first = direct.ask("PUT", COUNTER, {"data": {"by": "nobody"}})
    line.fail_once(WRITE, fate)
    over = once(lambda: direct.ask("PUT", COUNTER, {"data": {"by": "rival"}}))
    line.carried_out = lambda operation: over() if operation == WRITE else None

    with line.client() as client:
        answer = client.ask(
            "PUT", COUNTER, {"data": {"by": "client"}}, headers={"If-Match": first.headers["ETag"]}
        )

    assert answer.status == 200
    left = data_of(direct.ask("GET", COUNTER))
    assert left["by"] == "rival"
    assert left["last_modified"] > data_of(answer)["last_modified"]


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.LATE])
def test_a_lost_write_is_refused_once_another_was_first(
    line: Line, direct: Client, fate: Fate
) -> None:
    first = direct.ask("PUT", COUNTER, {"data": {"by": "nobody"}})
    line.fail_once(WRITE, fate)
    fails = line.fate_of
    first_by = once(lambda: direct.ask("PUT", COUNTER, {"data": {"by": "rival"}}))

    def decide(operation: str, number: int) -> Fate:
        if operation == WRITE:
            first_by()
        return fails(operation, number)

    line.fate_of = decide

    with line.client() as client:
        answer = client.ask(
            "PUT", COUNTER, {"data": {"by": "client"}}, headers={"If-Match": first.headers["ETag"]}
        )

    assert answer.status == 412
    assert data_of(direct.ask("GET", COUNTER))["by"] == "rival"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request with its mark, and how it ended."""

    mark: str
    answer: Response

    @property
    def is_open(self) -> bool:
        """Whether it may have been carried out or not."""
        return self.answer.status == 503 and "Retry-After" not in self.answer.headers


@pytest.mark.parametrize("seed", [1, 2])
def test_requests_over_a_bad_line_end_with_the_truth(line: Line, direct: Client, seed: int) -> None:
    chance = seeded(seed)
    usual = [*FAULTS, *[Fate.ANSWERED] * 12]
    line.fate_of = lambda _operation, _number: chance.choice(usual)
    direct.ask("PUT", COUNTER, {"data": {"count": 0, "marks": []}})

    with line.clients(5, seconds=SHORT_S) as clients:
        works = [
            partial(ask_over_bad_line, client, f"host-{number}")
            for number, client in enumerate(clients)
        ]
        outcomes = [outcome for found in together(works) for outcome in found]

    assert {outcome.answer.status for outcome in outcomes} <= {200, 201, 412, 503}
    listed = direct.ask("GET", RECORDS)
    entries = data_of(listed)
    (counter,) = [entry for entry in entries if "count" in entry]
    marks = Counter([*counter["marks"], *(entry["mark"] for entry in entries if "mark" in entry)])
    assert listed.headers["Total-Records"] == str(len(entries))
    assert counter["count"] == len(counter["marks"])
    for outcome in outcomes:
        is_there = marks.pop(outcome.mark, 0)
        if outcome.is_open:
            assert is_there in (0, 1), outcome
        else:
            assert is_there == (1 if outcome.answer.status in (200, 201) else 0), outcome
    assert not marks
    assert sum(outcome.answer.status in (200, 201) for outcome in outcomes) > 20


def ask_over_bad_line(client: Client, name: str) -> list[Outcome]:
    """New records, and marks added to what others add theirs to."""
    outcomes = []
    for number in range(8):
        mark = f"{name}:{number}:new"
        outcomes.append(Outcome(mark, client.ask("POST", RECORDS, {"data": {"mark": mark}})))
        before = client.ask("GET", COUNTER)
        if before.status != 200:
            assert "Retry-After" in before.headers
            continue
        mark = f"{name}:{number}:added"
        known = data_of(before)
        data = {"count": known["count"] + 1, "marks": [*known["marks"], mark]}
        matching = {"If-Match": before.headers["ETag"]}
        outcomes.append(Outcome(mark, client.ask("PUT", COUNTER, {"data": data}, headers=matching)))
    return outcomes


def test_no_request_outlasts_its_time(line: Line, direct: Client) -> None:
    line.fate_of = lambda _operation, _number: Fate.SILENT
    began = time.monotonic()

    with line.client(seconds=SHORT_S) as client:
        answer = client.ask("POST", RECORDS, {"data": {}})
    took = time.monotonic() - began

    assert answer.status == 503
    # One attempt may begin just before its time is over; no pause is longer than 0.6 s.
    assert took < SHORT_S


def once(work: Callable[[], Any]) -> Callable[[], None]:
    """Do this at the first call alone."""
    left = threading.Semaphore(1)

    def run() -> None:
        if left.acquire(blocking=False):
            work()

    return run
