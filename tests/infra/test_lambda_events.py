"""Events as Lambda hands them over."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.lambda_events import LambdaContext, as_json, queue_event, stream_event

STREAM = "arn:aws:dynamodb:eu-west-1:000000000000:table/kinto-test-objects/stream/label"
QUEUE = "arn:aws:sqs:eu-west-1:000000000000:kinto-test-purges"


def a_record(**more: Any) -> dict[str, Any]:
    return {
        "eventID": "1",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": datetime(2020, 1, 1, tzinfo=UTC),
            "Keys": {"parent": {"S": "p"}, "id": {"S": "i"}},
            "NewImage": {"body": {"B": b"\x00\xff"}, "all": {"M": {"of": {"BS": [b"a", b"b"]}}}},
            "SequenceNumber": "1",
            "SizeBytes": 7,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        **more,
    }


def test_a_record_of_a_stream_is_json() -> None:
    [record] = stream_event([a_record()], STREAM)["Records"]

    assert json.loads(json.dumps(record)) == {
        **a_record(),
        "eventSourceARN": STREAM,
        "dynamodb": {
            **a_record()["dynamodb"],
            "ApproximateCreationDateTime": 1577836800,
            "NewImage": {"body": {"B": "AP8="}, "all": {"M": {"of": {"BS": ["YQ==", "Yg=="]}}}},
        },
    }


def test_who_removed_an_expired_item_is_named_as_lambda_does() -> None:
    user = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}

    [record] = stream_event([a_record(userIdentity=user)], STREAM)["Records"]

    assert record["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


@pytest.mark.parametrize("value", [None, True, 1, "text", [], {}])
def test_what_is_json_stays(value: Any) -> None:
    assert as_json(value) == value


def test_a_message_has_the_names_of_lambda() -> None:
    message = {
        "MessageId": "id",
        "ReceiptHandle": "handle",
        "Body": "{}",
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1"},
        "MessageAttributes": {
            "text": {"StringValue": "a", "DataType": "String"},
            "bytes": {"BinaryValue": b"a", "DataType": "Binary"},
        },
        "MD5OfMessageAttributes": "md5 of these",
    }

    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert queue_event([message], QUEUE) == {
        "Records": [
            {
                "messageId": "id",
                "receiptHandle": "handle",
                "body": "{}",
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {
                    "text": {"stringValue": "a", "dataType": "String", **lists},
                    "bytes": {"binaryValue": "YQ==", "dataType": "Binary", **lists},
                },
                "md5OfBody": "md5",
                "md5OfMessageAttributes": "md5 of these",
                "eventSource": "aws:sqs",
                "eventSourceARN": QUEUE,
                "awsRegion": "eu-west-1",
            }
        ]
    }


@pytest.mark.parametrize(("seconds", "milliseconds"), [(1.5, 1500), (0, 0), (-1, 0)])
def test_the_context_tells_the_time_that_is_left(seconds: float, milliseconds: int) -> None:
    context = LambdaContext("purge", "id", lambda: seconds)

    assert context.get_remaining_time_in_millis() == milliseconds
