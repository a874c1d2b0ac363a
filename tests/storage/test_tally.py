"""What calls of DynamoDB have to tell beside their answers."""

from typing import Any

import pytest
from botocore.stub import Stubber

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import (
    ConflictError,
    NoAnswerError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from chalicelib.storage.tables import Tables
from tests.doubles import REGION, Patience
from tests.storage.stand_ins import Scripted, client_error

TABLES = Tables("kinto-prod-objects", "kinto-prod-access")
POSTS = "/buckets/blog/collections/posts#record"
ACTIONS = [
    {"Put": {"TableName": TABLES.objects, "Item": {"parent": {"S": POSTS}, "id": {"S": "id"}}}}
]


def sizes(*parents: tuple[str, list[float]]) -> dict[str, Any]:
    """What DynamoDB answers of a transaction, as AWS documents it; `access` has no such index."""
    return {
        "ItemCollectionMetrics": {
            TABLES.objects: [
                {"ItemCollectionKey": {"parent": {"S": parent}}, "SizeEstimateRangeGB": bounds}
                for parent, bounds in parents
            ]
        }
    }


def transact(answer: dict[str, Any]) -> Deadline:
    """The deadline of a transaction that DynamoDB answers so; it has to be asked for sizes."""
    connection = connect(REGION)
    deadline = Patience().deadline()
    asked = {
        "TransactItems": ACTIONS,
        "ClientRequestToken": "token",
        "ReturnItemCollectionMetrics": "SIZE",
        "ReturnConsumedCapacity": "TOTAL",
    }
    # It refuses answers that aren't of the shape that DynamoDB's description gives.
    with Stubber(connection.client) as stub:
        stub.add_response("transact_write_items", answer, asked)
        Dynamo(connection, TABLES).transact(ACTIONS, "token", deadline)
    return deadline


@pytest.mark.parametrize(
    ("answer", "parent", "size_gb"),
    [
        (sizes((POSTS, [8.0, 9.0])), POSTS, 9.0),
        (sizes(("/buckets/blog#group", [2.0, 3.0]), (POSTS, [4.0, 5.0])), POSTS, 5.0),
        (sizes((POSTS, [4.0, 5.0]), ("/buckets/blog#group", [2.0, 3.0])), POSTS, 5.0),
        (sizes((POSTS, [0.0, 1.0])), None, 0),
        (sizes(), None, 0),
        ({"ItemCollectionMetrics": {TABLES.objects: [{}]}}, None, 0),
        ({}, None, 0),
    ],
)
def test_a_transaction_tells_the_largest_parent_that_it_wrote_to(
    answer: dict[str, Any], parent: str | None, size_gb: float
) -> None:
    tally = transact(answer).tally

    assert (tally.parent, tally.parent_gb) == (parent, size_gb)


@pytest.mark.parametrize(
    ("because", "conflict_retries", "throttled_calls"),
    [
        (ConflictError("a condition failed"), 1, 0),
        (ConflictError("another transaction is under way", by_condition=False), 1, 0),
        (ThrottledError("ThrottlingException"), 0, 1),
        (NoAnswerError("ReadTimeoutError"), 0, 0),
        (None, 0, 0),
    ],
)
def test_attempts_are_counted_by_what_makes_them_necessary(
    because: StorageError | None, conflict_retries: int, throttled_calls: int
) -> None:
    deadline = Patience().deadline()

    deadline.wait(because)

    assert deadline.tally.conflict_retries == conflict_retries
    assert deadline.tally.throttled_calls == throttled_calls


def test_an_attempt_counts_though_there_is_no_time_for_another() -> None:
    deadline = Patience(0.0).deadline()

    with pytest.raises(UnavailableError):
        deadline.wait(ConflictError("a condition failed"))

    assert deadline.tally.conflict_retries == 1


def test_throttled_calls_are_counted_each() -> None:
    throttled = client_error("ThrottlingException")
    connection: Any = Scripted(throttled, throttled, {})
    deadline = Patience().deadline()

    Dynamo(connection, TABLES).transact(ACTIONS, "token", deadline)

    assert deadline.tally.throttled_calls == 2
