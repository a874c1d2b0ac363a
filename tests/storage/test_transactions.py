"""Requests as transactions, on moto: `chalicelib/storage/transactions.py`."""

import time
from typing import Any

import pytest

from chalicelib.protocol.errors import MISSING_RESOURCE, ProtocolError
from chalicelib.storage.deadlines import ATTEMPT_S
from chalicelib.storage.failures import ConflictError, UnavailableError
from chalicelib.storage.transactions import system_now_ms
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.storage.stand_ins import RECORDS, TRANSACT, Requests, Wire, cancelled, record


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
    refusals = iter([cancelled("None", "TransactionConflict")] * 3)

    def collide(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and (refusal := next(refusals, None)):
            raise refusal

    wire.before = collide

    stored = requests.put(record(1))

    assert requests.get(record(1)) == stored


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
