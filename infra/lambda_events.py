"""What Lambda hands to a function for records of a stream, and for messages of a queue."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Event = dict[str, Any]

_USER = {"PrincipalId": "principalId", "Type": "type"}


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """Lambda's second argument, as much of it as a handler looks at.

    Attributes:
        function_name: as deployed.
        aws_request_id: of this call.
        remaining_s: gives the seconds that are left.
    """

    function_name: str
    aws_request_id: str
    remaining_s: Callable[[], float]

    def get_remaining_time_in_millis(self) -> int:
        """The milliseconds until Lambda would end the call."""
        return max(0, int(self.remaining_s() * 1000))


def stream_event(records: Sequence[dict[str, Any]], stream_arn: str) -> Event:
    """The event of records as boto3 gives them."""
    return {"Records": [_stream_record(record, stream_arn) for record in records]}


def _stream_record(record: dict[str, Any], stream_arn: str) -> dict[str, Any]:
    converted: dict[str, Any] = as_json(record)
    if "userIdentity" in record:  # of what the time to live has removed
        user = converted["userIdentity"]
        converted["userIdentity"] = {_USER[name]: value for name, value in user.items()}
    return {**converted, "eventSourceARN": stream_arn}


def as_json(value: Any) -> Any:
    """What boto3 gives, as JSON has it: base64 for bytes, seconds since the epoch for times."""
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_json(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return value.timestamp()
    return value


def queue_event(messages: Sequence[dict[str, Any]], queue_arn: str) -> Event:
    """The event of messages as boto3 gives them, received with all of their attributes."""
    return {"Records": [_queue_record(message, queue_arn) for message in messages]}


def _queue_record(message: dict[str, Any], queue_arn: str) -> dict[str, Any]:
    attributes = message.get("MessageAttributes", {})
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    named = {name[0].lower() + name[1:]: each for name, each in as_json(value).items()}
    return {"stringListValues": [], "binaryListValues": [], **named}
