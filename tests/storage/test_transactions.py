"""Requests as transactions, on moto: `chalicelib/storage/transactions.py`."""

import time
from typing import Any

import pytest

from chalicelib.protocol.errors import MISSING_RESOURCE, ProtocolError
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.stored import StoredObject
from chalicelib.storage.deadlines import ATTEMPT_S
from chalicelib.storage.failures import ConflictError, UnavailableError
from chalicelib.storage.staging import Origin
from chalicelib.storage.transactions import system_now_ms
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.storage.stand_ins import (
    BLOG,
    POSTS,
    RECORDS,
    TRANSACT,
    MissingError,
    Requests,
    Wire,
    cancelled,
    load,
    record,
)


def test_a_request_is_run_again_where_another_was_first(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    tokens: list[str] = []

    def interfere(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            tokens.append(arguments["ClientRequestToken"])
            if len(tokens) < 4:
                rival.put(record(len(tokens)))

    wire.before = interfere

    stored = requests.put(record(9))

    assert stored.last_modified == wire.clock(RECORDS).timestamp
    assert wire.clock(RECORDS).count == 4
    assert len(set(tokens)) == len(tokens) == 4  # a new one for each attempt
    assert len(requests.patience.pauses) == 3


def test_a_request_that_collides_is_run_again(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.now.now_ms += 1000
    refusals = iter([cancelled("None", "TransactionConflict")] * 3)
    operations: list[str] = []

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        operations.append(operation)
        if operation == TRANSACT and (refusal := next(refusals, None)):
            raise refusal

    wire.before = collide

    stored = requests.put(record(1))

    assert operations == ["BatchGetItem", *[TRANSACT] * 4]  # a collision tells of no change
    assert requests.get(record(1)) == stored


def test_a_request_that_has_read_a_list_reads_anew_after_a_collision(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    collisions = iter([True])

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and next(collisions, False):
            rival.put(record(1))
            raise cancelled("None", "TransactionConflict")

    def work(unit: UnitOfWork) -> int:
        load(unit, BLOG.list.object("shop"))
        unit.load([BLOG, POSTS], [RECORDS])
        unit.put(BLOG.list.object("shop"), {}, {}, origin=Origin())
        page = unit.read_page(RECORDS, ListQuery())
        assert page.total == len(page.entries)
        return page.total

    wire.before = collide

    assert requests.run(work) == 1


@pytest.mark.parametrize("hold", [True, False], ids=["T as loaded", "the list's time"])
def test_a_request_that_any_other_would_have_refused_reads_anew_after_a_collision(
    wire: Wire, requests: Requests, *, hold: bool
) -> None:
    requests.make_posts()
    requests.put(record(1))
    requests.now.now_ms += 1000 if hold else -1000  # a host that is behind takes the list's time
    operations: list[str] = []

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        operations.append(operation)
        if operations.count(TRANSACT) == 1 and operation == TRANSACT:
            raise cancelled("None", "TransactionConflict")

    def work(unit: UnitOfWork) -> None:
        load(unit, record(2))
        if hold:
            unit.hold(RECORDS)
        unit.put(record(2), {}, {}, origin=Origin())

    wire.before = collide

    requests.run(work)

    assert operations == ["BatchGetItem", TRANSACT] * 2


def test_what_has_changed_since_a_collision_is_found_by_the_next_attempt(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1), {"by": "nobody"})
    attempts: list[dict[str, Any]] = []

    def collide(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            attempts.append(arguments)
            if len(attempts) == 1:
                rival.put(record(1), {"by": "rival"})
                raise cancelled("TransactionConflict", "None")

    def work(unit: UnitOfWork) -> Any:
        load(unit, record(1))
        found = unit.find(record(1))
        assert isinstance(found, StoredObject)
        return unit.put(record(1), {"after": found.data["by"]}, {}, origin=Origin())

    wire.before = collide
    requests.now.now_ms += 1000

    stored = requests.run(work)

    assert len(attempts) == 3  # a collision, a condition, and then by what is there
    assert stored.data["after"] == "rival"


def test_nothing_is_written_below_what_was_deleted_since_a_collision(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    collisions = iter([True])

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and next(collisions, False):
            rival.delete(POSTS)
            raise cancelled("TransactionConflict", "None")

    wire.before = collide

    with pytest.raises(MissingError):
        requests.put(record(1))

    assert wire.stored(record(1)) is None


def test_a_request_for_which_others_are_always_first_is_unavailable(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            raise cancelled("TransactionConflict", "None")

    wire.before = collide

    with pytest.raises(UnavailableError) as over:
        requests.put(record(1))

    assert over.value.may_repeat
    assert requests.patience.remaining_s < ATTEMPT_S
    assert wire.stored(record(1)) is None


def test_each_attempt_reads_anew(requests: Requests) -> None:
    units: list[UnitOfWork] = []

    def work(unit: UnitOfWork) -> str:
        units.append(unit)
        if len(units) < 3:
            raise ConflictError("as if another had been first")
        return "done"

    assert requests.run(work) == "done"
    assert len({id(unit) for unit in units}) == 3


def test_an_error_of_the_protocol_ends_a_request(requests: Requests) -> None:
    attempts: list[UnitOfWork] = []

    def work(unit: UnitOfWork) -> None:
        attempts.append(unit)
        raise ProtocolError(MISSING_RESOURCE)

    with pytest.raises(ProtocolError):
        requests.run(work)

    assert len(attempts) == 1


def test_the_hosts_clock_is_in_milliseconds() -> None:
    assert abs(system_now_ms() - time.time() * 1000) < 60_000
