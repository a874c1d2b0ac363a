"""SQS: `chalicelib/events/queues.py`."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from moto import mock_aws

from chalicelib.events.queues import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_DELAY_S,
    Queue,
    QueueError,
    Queues,
    to_text,
)
from infra.queues import DEAD_LETTERS, PURGES, create_queues
from tests.doubles import REGION, STAGE

URL = f"https://sqs.eu-west-1.amazonaws.com/123456789012/kinto-{STAGE}-purges"
SQS_LIMIT_BYTES = 262_144


@pytest.fixture
def sqs() -> Iterator[Any]:
    """A client of moto."""
    with mock_aws():
        yield boto3.client("sqs", REGION)


@pytest.fixture
def urls(sqs: Any) -> dict[str, str]:
    """The queues of a stage, empty."""
    return create_queues(sqs, STAGE)


def received(sqs: Any, url: str) -> list[Any]:
    """All messages of a queue, parsed."""
    found: list[Any] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"]) for message in messages]
    return found


class FakeSqs:
    """A client that takes everything, and remembers how it was called."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []
        self.batches: list[list[dict[str, Any]]] = []

    def get_queue_url(self, *, QueueName: str) -> dict[str, str]:  # noqa: N803
        self.asked_for.append(QueueName)
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == f"https://sqs/{self.asked_for[-1]}"
        self.batches.append(Entries)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


def queues_of(client: Any) -> Queues:
    """Queues that have made their client."""
    queues = Queues(STAGE, REGION)
    queues._client = client
    return queues


@pytest.mark.parametrize(
    ("queue", "logical_id"), [(Queue.PURGES, PURGES), (Queue.DEAD_LETTERS, DEAD_LETTERS)]
)
def test_messages_come_to_the_queue_of_the_stage_as_json(
    sqs: Any, urls: dict[str, str], queue: Queue, logical_id: str
) -> None:
    messages = [{"rows": [["é😀\x00", "object", number]]} for number in range(25)]

    Queues(STAGE, REGION).send(queue, messages)

    assert sorted(received(sqs, urls[logical_id]), key=lambda it: it["rows"][0][2]) == messages
    others = urls.keys() - {logical_id}
    assert [received(sqs, urls[other]) for other in others] == [[]]


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_at_most_ten_messages_go_at_once(number: int, sizes: list[int]) -> None:
    fake = FakeSqs()

    queues_of(fake).send(Queue.PURGES, range(number))

    assert [len(batch) for batch in fake.batches] == sizes
    for batch in fake.batches:
        assert len({entry["Id"] for entry in batch}) == len(batch) <= MAX_BATCH
    bodies = [json.loads(entry["MessageBody"]) for batch in fake.batches for entry in batch]
    assert bodies == [*range(number)]


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([MAX_BATCH_BYTES], [1]),
        ([MAX_BATCH_BYTES // 2] * 2, [2]),
        ([MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES // 2 + 1], [1, 1]),
        ([MAX_BATCH_BYTES, 10], [1, 1]),
        ([10, MAX_BATCH_BYTES, 10, 10], [1, 1, 2]),
        ([60_000] * 7, [3, 3, 1]),
        ([SQS_LIMIT_BYTES - 10, 10], [1, 1]),
    ],
)
def test_what_goes_at_once_is_below_the_limit_of_sqs(sizes: list[int], batches: list[int]) -> None:
    fake = FakeSqs()

    queues_of(fake).send(Queue.PURGES, ["x" * (size - 2) for size in sizes])  # and two quotes

    assert [len(batch) for batch in fake.batches] == batches
    for batch in fake.batches:
        assert sum(len(entry["MessageBody"].encode()) for entry in batch) < SQS_LIMIT_BYTES


def test_nothing_is_sent_without_a_call() -> None:
    fake = FakeSqs()

    queues_of(fake).send(Queue.PURGES, [])

    assert (fake.asked_for, fake.batches) == ([], [])


@pytest.mark.parametrize("delay_s", [0, 1, MAX_DELAY_S])
def test_each_message_is_kept_back_for_the_delay(delay_s: int) -> None:
    fake = FakeSqs()

    queues_of(fake).send(Queue.PURGES, range(12), delay_s=delay_s)

    assert {entry["DelaySeconds"] for batch in fake.batches for entry in batch} == {delay_s}


def test_the_longest_delay_is_one_that_sqs_takes(sqs: Any, urls: dict[str, str]) -> None:
    Queues(STAGE, REGION).send(Queue.PURGES, ["late"], delay_s=MAX_DELAY_S)

    assert MAX_DELAY_S == 15 * 60
    assert received(sqs, urls[PURGES]) == []
    asked = {"QueueUrl": urls[PURGES], "AttributeNames": ["ApproximateNumberOfMessagesDelayed"]}
    attributes = sqs.get_queue_attributes(**asked)["Attributes"]
    assert attributes == {"ApproximateNumberOfMessagesDelayed": "1"}


def test_the_url_of_a_queue_is_asked_for_once() -> None:
    fake = FakeSqs()
    queues = queues_of(fake)

    queues.send(Queue.PURGES, range(30))
    queues.send(Queue.PURGES, range(3))
    assert fake.asked_for == [f"kinto-{STAGE}-purges"]

    queues.send(Queue.DEAD_LETTERS, [1])
    assert fake.asked_for == [f"kinto-{STAGE}-purges", f"kinto-{STAGE}-dead-letters"]


def test_nothing_is_called_before_there_is_something_to_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr("botocore.session.get_session", refuse)

    Queues(STAGE, REGION)


@pytest.fixture
def stubbed(sqs: Any) -> Iterator[Stubber]:
    """A client that answers as it is told; its queue was found."""
    with Stubber(sqs) as stubber:
        stubber.add_response("get_queue_url", {"QueueUrl": URL})
        yield stubber


def test_messages_that_sqs_refuses_are_no_success(stubbed: Stubber) -> None:
    failed = [
        {"Id": "1", "SenderFault": False, "Code": "InternalError"},
        {"Id": "2", "SenderFault": False, "Code": "InternalError"},
    ]
    stubbed.add_response("send_message_batch", {"Successful": [], "Failed": failed})

    with pytest.raises(QueueError, match="2 messages for purges: InternalError"):
        queues_of(stubbed.client).send(Queue.PURGES, range(3))


def test_what_sqs_refuses_of_a_later_batch_is_no_success(stubbed: Stubber) -> None:
    failed = [{"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents"}]
    stubbed.add_response("send_message_batch", {"Successful": [], "Failed": []})
    stubbed.add_response("send_message_batch", {"Failed": failed, "Successful": []})

    with pytest.raises(QueueError, match="InvalidMessageContents"):
        queues_of(stubbed.client).send(Queue.PURGES, range(12))


def test_a_refusal_of_sqs_passes_through(stubbed: Stubber) -> None:
    stubbed.add_client_error("send_message_batch", "AccessDenied")

    with pytest.raises(ClientError, match="AccessDenied"):
        queues_of(stubbed.client).send(Queue.PURGES, [1])


def test_a_queue_that_is_not_there_passes_through(sqs: Any) -> None:
    with pytest.raises(ClientError, match=r"NonExistentQueue|does not exist"):
        Queues(STAGE, REGION).send(Queue.PURGES, [1])


def test_an_sqs_that_is_not_reached_passes_through() -> None:
    class Unreached(FakeSqs):
        def send_message_batch(self, **_arguments: Any) -> dict[str, Any]:
            raise EndpointConnectionError(endpoint_url="https://sqs")

    with pytest.raises(EndpointConnectionError):
        queues_of(Unreached()).send(Queue.PURGES, [1])


@pytest.mark.parametrize("text", ["é", "😀", "\x00", "\x7f", "\ud800", "\ufffe", '"'])
def test_a_body_has_only_characters_that_sqs_takes(text: str) -> None:
    body = to_text({"a": text})

    assert body.isascii()
    assert all(character >= " " for character in body)
    assert json.loads(body) == {"a": text}
