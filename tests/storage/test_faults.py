"""Every call of a write fails, in every way: all of it is there afterwards, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore import exceptions as botocore
from pynamodb.connection import Connection

from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.uris import ObjectUri
from tests.storage.stand_ins import (
    BLOG,
    GROUPS,
    TRANSACT,
    MissingError,
    Requests,
    Wire,
    cancelled,
    client_error,
    fresh_wire,
    record,
)

MEMBERS = [f"member{number}" for number in range(250)]


class KilledError(BaseException):
    """The container ends: nothing catches it, nothing goes on."""


@dataclass(frozen=True)
class Write:
    """A write of one object.

    Attributes:
        carry_out: makes the request.
        uri: of the object, another for each number.
        exists: whether the object is there before.
        grown: how many live objects it adds.
        rows: how many rows it adds.
        calls: which of its calls may fail; those that are like another are left out.
    """

    carry_out: Callable[[Requests, ObjectUri], Any]
    uri: Callable[[int], ObjectUri]
    exists: bool
    grown: int
    rows: int
    calls: tuple[int, ...] = (1, 2)


def put(requests: Requests, uri: ObjectUri) -> Any:
    return requests.put(uri, {"by": "the request that fails"}, {"read": ("bob",)})


def delete(requests: Requests, uri: ObjectUri) -> Any:
    return requests.delete(uri)


def put_group(requests: Requests, uri: ObjectUri) -> Any:
    return requests.put(uri, {"members": MEMBERS})


def group(number: int) -> ObjectUri:
    return GROUPS.object(f"writers{number}")


CREATE = Write(put, record, exists=False, grown=1, rows=1)
REPLACE = Write(put, record, exists=True, grown=0, rows=1)
DELETE = Write(delete, record, exists=True, grown=-1, rows=0)
ROWS_FIRST = Write(put_group, group, exists=False, grown=1, rows=250, calls=(3, 5))

# What DynamoDB answers where it did nothing, and what may come whether it did or not.
REFUSALS = {
    "throttled": client_error("ThrottlingException"),
    "conflict": cancelled("TransactionConflict"),
    "throttled in an action": cancelled("ThrottlingError"),
}
LOSSES = {
    "reset": botocore.ConnectionClosedError(endpoint_url="https://dynamodb"),
    "timeout": botocore.ReadTimeoutError(endpoint_url="https://dynamodb"),
    "killed": KilledError(),
}
FAULTS = [
    *(("before", name) for name in REFUSALS | LOSSES),
    *(("after", name) for name in LOSSES),
]
CASES = [
    *((write, *fault) for write in (CREATE, REPLACE, DELETE) for fault in FAULTS),
    # 250 rows take moto long: each fault only where it matters most.
    (replace(ROWS_FIRST, calls=(3,)), "before", "conflict"),
    (replace(ROWS_FIRST, calls=(5,)), "after", "timeout"),
    (ROWS_FIRST, "after", "killed"),
]


def is_possible(fault: BaseException, operation: str) -> bool:
    """Whether this operation can be answered so: only transactions are cancelled."""
    return operation == TRANSACT or fault not in (
        REFUSALS["conflict"],
        REFUSALS["throttled in an action"],
    )


@pytest.mark.parametrize(
    ("write", "when", "name"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else value.carry_out.__name__,
)
def test_a_fault_at_any_call_leaves_all_or_nothing_and_a_repetition_ends_right(
    wire: Wire, requests: Requests, write: Write, when: str, name: str
) -> None:
    requests.make_posts()

    for number in write.calls:
        fail_at(wire, requests, write, number=number, when=when, name=name)


def fail_at(
    wire: Wire, requests: Requests, write: Write, *, number: int, when: str, name: str
) -> None:
    """Let a write fail at its n-th call."""
    uri, fault = write.uri(number), (REFUSALS | LOSSES)[name]
    if write.exists:
        requests.put(uri, {"by": "another"})
    before = state(wire, uri)
    happened: list[str] = []

    def hook(call: int, operation: str, _arguments: dict[str, Any]) -> None:
        if call == number:
            happened.append(operation)
            if is_possible(fault, operation):
                raise fault

    wire.calls = 0
    setattr(wire, when, hook)
    try:
        answer = write.carry_out(requests, uri)
    except KilledError:
        answer = None
    wire.quiet()

    assert happened
    done = check_whole(wire, requests, write, uri=uri, before=before)
    if answer is not None:
        assert done
        assert requests.get(uri) == answer
        assert wire.clock(uri.list).timestamp == answer.last_modified  # carried out once
    repeat(requests, write, uri=uri, done=done)
    assert check_whole(wire, requests, write, uri=uri, before=before)


def state(wire: Wire, uri: ObjectUri) -> tuple[int | None, int, int]:
    """The object's version, its list's timestamp and its count."""
    item = wire.stored(uri)
    clock = wire.clock(uri.list)
    return item and item.version, clock.timestamp, clock.count


def check_whole(
    wire: Wire,
    requests: Requests,
    write: Write,
    *,
    uri: ObjectUri,
    before: tuple[int | None, int, int],
) -> bool:
    """Whether the write was carried out; fails where it was in part."""
    version, timestamp, count = state(wire, uri)
    done = version != before[0]
    if done:
        assert version == timestamp > before[1]
        assert count == before[2] + write.grown
        assert sum(1 for _, object in wire.rows() if object.endswith(f"/{uri.id}")) == write.rows
        assert isinstance(requests.get(uri), Tombstone if write.grown < 0 else StoredObject)
    else:
        assert (timestamp, count) == before[1:]
    assert len(requests.page(uri.list).entries) == count
    return done


def repeat(requests: Requests, write: Write, *, uri: ObjectUri, done: bool) -> None:
    """What a client does that was not answered."""
    if done and write.grown < 0:
        with pytest.raises(MissingError):
            write.carry_out(requests, uri)
    else:
        write.carry_out(requests, uri)


def test_a_fault_in_a_bucket_with_its_clocks_leaves_all_or_nothing(
    connection: Connection,
) -> None:
    for when in ("before", "after"):
        for number in (1, 2):
            with fresh_wire(connection) as wire:
                requests = Requests(wire.dynamo)

                def kill(call: int, *_: Any, number: int = number) -> None:
                    if call == number:
                        raise KilledError

                setattr(wire, when, kill)
                with pytest.raises(KilledError):
                    requests.put(BLOG)
                wire.quiet()

                assert len(wire.items()) == (4 if (when, number) == ("after", 2) else 0)
                requests.put(BLOG)
                assert wire.clock(BLOG.list).count == 1
