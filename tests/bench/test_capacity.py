"""Capacity units: `bench/capacity.py`, and the emulator that tells those of writes.

The figures are those of the DynamoDB Developer Guide, except where it says nothing of entries of
local indexes in a transaction.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity import (
    Call,
    Units,
    item_bytes,
    recorded,
    units_of,
    units_to_read,
    waited_for,
)

KB = 1024
KEYS = {"parent": {"S": "p"}, "id": {"S": "i"}}


def item_of(size: int, **attributes: Any) -> dict[str, Any]:
    """An item of exactly so many bytes."""
    item = {**KEYS, **attributes, "body": {"S": ""}}
    return {**item, "body": {"S": "x" * (size - item_bytes(item))}}


# Sizes


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"name": {"S": "value"}}, 9),
        ({"é": {"S": "é"}}, 4),
        ({"n": {"N": "5"}}, 3),
        ({"n": {"N": "1234"}}, 4),
        ({"n": {"N": "-12.34"}}, 4),
        ({"n": {"N": "1000000"}}, 3),
        ({"b": {"B": b"1234"}}, 5),
        ({"t": {"BOOL": True}}, 2),
        ({"t": {"NULL": True}}, 2),
        ({"l": {"L": []}}, 4),
        ({"l": {"L": [{"S": "ab"}, {"S": "c"}]}}, 9),
        ({"m": {"M": {}}}, 4),
        ({"m": {"M": {"k": {"S": "v"}}}}, 7),
        ({"one": {"S": "1"}, "two": {"S": "2"}}, 8),
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(item: Any, size: int) -> None:
    assert item_bytes(item) == size


@pytest.mark.parametrize(
    ("size", "units"), [(0, 1), (1, 1), (3_500, 1), (4 * KB, 1), (4 * KB + 1, 2), (8 * KB, 2)]
)
def test_a_consistent_read_takes_a_unit_for_each_4_kb(size: int, units: int) -> None:
    assert units_to_read(size) == units


@given(st.lists(st.integers(1, 100 * KB), min_size=1))
def test_items_together_never_take_more_units_than_one_by_one(sizes: list[int]) -> None:
    assert units_to_read(sum(sizes)) <= sum(map(units_to_read, sizes))


# Reads


def test_items_read_by_key_are_rounded_one_by_one() -> None:
    items = [item_of(int(1.5 * KB)), item_of(int(6.5 * KB))]

    assert units_of([batch_get(items, asked=2)]) == Units(read=1 + 2, write=0)


def test_an_item_that_is_not_there_takes_a_unit() -> None:
    assert units_of([batch_get([], asked=3)]) == Units(read=3, write=0)


def test_an_item_that_is_asked_for_again_takes_units_once() -> None:
    first = batch_get([item_of(KB)], asked=2, unprocessed=1)

    assert units_of([first, batch_get([item_of(KB)], asked=1)]) == Units(read=2, write=0)


def test_what_a_query_meets_is_rounded_together() -> None:
    answer = {"Items": [item_of(64)] * 1500}  # 96,000 bytes, which the guide calls 96 KB

    assert units_of([Call("Query", {}, answer, 0, 1)]) == Units(read=24, write=0)


def batch_get(items: list[Any], *, asked: int, unprocessed: int = 0) -> Call:
    answer = {
        "Responses": {"objects": items},
        "UnprocessedKeys": {"objects": {"Keys": [KEYS] * unprocessed}} if unprocessed else {},
    }
    return Call(
        "BatchGetItem", {"RequestItems": {"objects": {"Keys": [KEYS] * asked}}}, answer, 0, 1
    )


# Round trips


def test_reads_at_the_same_time_are_one_round_trip() -> None:
    calls = [made("BatchGetItem", 0, 2), made("Query", 3, 5), made("Query", 4, 6)]
    write = made("TransactWriteItems", 7, 8)

    assert waited_for([*calls, write]) == (*calls[:2], write)


def test_a_call_that_waited_for_one_of_two_in_parallel_is_a_round_trip_more() -> None:
    calls = [made("Query", 0, 2), made("Query", 1, 6), made("Query", 3, 5)]

    assert waited_for(calls) == (calls[0], calls[2])


def test_a_request_without_calls_has_no_round_trip() -> None:
    assert waited_for([]) == ()


def test_of_calls_in_parallel_the_longest_is_waited_for() -> None:
    first, longest, last = made("Query", 0, 1), made("Query", 2, 5), made("Query", 6, 7)
    calls = [last, longest, made("Query", 2, 3), first]

    assert waited_for(calls, lambda call: call.ended - call.began) == (first, longest, last)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1))
def test_what_is_waited_for_takes_no_longer_than_all_of_it(spans: list[tuple[int, int]]) -> None:
    calls = [made("Query", began, began + length) for began, length in spans]

    chain = waited_for(calls, lambda call: call.ended - call.began)

    assert all(one.ended <= other.began for one, other in pairwise(chain))
    took = max(call.ended for call in calls) - min(call.began for call in calls)
    longest_alone = max(call.ended - call.began for call in calls)
    assert longest_alone <= sum(call.ended - call.began for call in chain) <= took


def made(operation: str, began: float, ended: float) -> Call:
    return Call(operation, {}, {}, began, ended)


# Writes, as the emulator tells them


@pytest.fixture(scope="module")
def client(emulator_url: str) -> Iterator[Any]:
    """A client of a table with an index on `live` that holds `body`."""
    client = boto3.client("dynamodb", endpoint_url=emulator_url)
    client.create_table(
        TableName="capacity",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("parent", "id", "live")
        ],
        KeySchema=[
            {"AttributeName": "parent", "KeyType": "HASH"},
            {"AttributeName": "id", "KeyType": "RANGE"},
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by_live",
                "KeySchema": [
                    {"AttributeName": "parent", "KeyType": "HASH"},
                    {"AttributeName": "live", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["body"]},
            }
        ],
    )
    yield client
    client.delete_table(TableName="capacity")


def in_transaction(client: Any, item: Any) -> Units:
    """What it consumes to put an item in a transaction."""
    put = {"Put": {"TableName": "capacity", "Item": item}}
    with recorded(client) as calls:
        client.transact_write_items(TransactItems=[put], ReturnConsumedCapacity="TOTAL")
    return units_of(calls)


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("size", "units"), [(500, 2), (KB, 2), (KB + 1, 4), (3 * KB, 6), (4 * KB, 8)]
)
def test_a_transaction_takes_two_units_for_each_kb(client: Any, size: int, units: int) -> None:
    written = in_transaction(client, item_of(size, id={"S": f"plain-{size}"}))

    assert written == Units(read=0, write=units)


@pytest.mark.emulator
def test_the_larger_of_the_old_and_the_new_item_counts(client: Any) -> None:
    in_transaction(client, item_of(3 * KB, id={"S": "shrinking"}))

    assert in_transaction(client, item_of(500, id={"S": "shrinking"})).write == 6


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        pytest.param(None, {"live": "1"}, 1, id="a new entry is put"),
        pytest.param({"live": "1"}, {"live": "2"}, 2, id="a moved entry is removed and put"),
        pytest.param({"live": "1"}, {"live": "1", "body": "new"}, 1, id="a changed entry is put"),
        pytest.param({"live": "1"}, {"live": "1", "cause": "new"}, 0, id="the same entry stays"),
        pytest.param({"live": "1"}, {}, 1, id="an entry is removed"),
        pytest.param({}, {"cause": "new"}, 0, id="there is none"),
    ],
)
def test_an_index_takes_units_for_what_changes_in_it(
    client: Any, request: pytest.FixtureRequest, before: Any, after: Any, units: int
) -> None:
    """In a transaction as well it is one for each KB, not two."""
    key = {"parent": {"S": "p"}, "id": {"S": request.node.callspec.id}}
    if before is not None:
        in_transaction(client, key | {name: {"S": text} for name, text in before.items()})

    written = in_transaction(client, key | {name: {"S": text} for name, text in after.items()})

    assert written.write == 2 + units


@pytest.mark.emulator
def test_a_query_of_an_index_takes_the_size_of_its_whole_entries(client: Any) -> None:
    parent = {"S": "whole"}
    for number in range(2):
        item = item_of(3 * KB, parent=parent, id={"S": f"{number}"}, live={"S": f"{number}"})
        in_transaction(client, item)

    with recorded(client) as calls:
        client.query(
            TableName="capacity",
            IndexName="by_live",
            ConsistentRead=True,
            KeyConditionExpression="#0 = :parent",
            ProjectionExpression="#1",
            ExpressionAttributeNames={"#0": "parent", "#1": "id"},
            ExpressionAttributeValues={":parent": parent},
        )

    assert units_of(calls) == Units(read=2, write=0)


@pytest.mark.emulator
def test_calls_are_recorded_only_as_long_as_it_is_asked_for(client: Any) -> None:
    with recorded(client) as calls:
        pass
    client.list_tables()

    assert calls == []


@pytest.mark.emulator
def test_a_call_lasts_until_its_pause_is_over(client: Any) -> None:
    paused: list[Call] = []

    with recorded(client, paused.append) as calls:
        client.list_tables()

    assert [call.operation for call in paused] == ["ListTables"]
    assert calls[0].ended > paused[0].ended
