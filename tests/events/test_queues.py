"""SQS: `chalicelib/events/queues.py`."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from chalicelib.events.queues import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_DELAY_S,
    InGroup,
    Queue,
    QueueError,
    Queues,
    to_text,
)
from infra.queues import DEAD_LETTERS, DELIVERIES, PURGES, create_queues
from tests.doubles import REGION, STAGE

URL = f"https://sqs.eu-west-1.amazonaws.com/123456789012/kinto-{STAGE}-purges"
SQS_LIMIT_BYTES = 1_048_576

_stages = count()


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
        self.called: list[str] = []
        self.batches: list[list[dict[str, Any]]] = []

    def get_queue_url(self, *, QueueName: str) -> dict[str, str]:  # noqa: N803
        self.asked_for.append(QueueName)
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        self.called.append(QueueUrl)
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
    assert [received(sqs, urls[other]) for other in others] == [[]] * 4


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
        ([300_000] * 7, [3, 3, 1]),
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


@pytest.mark.parametrize("delay_s", [1, MAX_DELAY_S])
def test_each_message_is_kept_back_for_the_delay(delay_s: int) -> None:
    fake = FakeSqs()

    queues_of(fake).send(Queue.PURGES, range(12), delay_s=delay_s)

    assert {entry["DelaySeconds"] for batch in fake.batches for entry in batch} == {delay_s}


def test_without_a_delay_that_of_the_queue_holds() -> None:
    fake = FakeSqs()

    queues_of(fake).send("a queue of its own", range(2))

    assert ["DelaySeconds" in entry for batch in fake.batches for entry in batch] == [False] * 2


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
    assert fake.called == [f"https://sqs/{name}" for name in [fake.asked_for[0]] * 4] + [
        f"https://sqs/{fake.asked_for[1]}"
    ]


@pytest.mark.parametrize("queue", Queue)
def test_another_queue_may_be_called_as_one_of_ours_ends(queue: Queue) -> None:
    fake = FakeSqs()
    queues = queues_of(fake)

    queues.send(queue, [1])
    queues.send(str.__str__(queue), [2])
    queues.send(queue, [3])

    ours, theirs = f"https://sqs/kinto-{STAGE}-{queue}", f"https://sqs/{queue}"
    assert fake.called == [ours, theirs, ours]


def test_a_url_is_asked_of_nobody() -> None:
    fake = FakeSqs()

    queues_of(fake).send(URL, [1])

    assert (fake.asked_for, fake.called) == ([], [URL])


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


# In order


def message(number: int, group: str = "hook 1", size: int = 0) -> InGroup:
    return InGroup([number, "x" * size], group, f"hook evt_{number}")


def test_a_message_in_order_names_its_group_and_itself_as_sqs_takes_it() -> None:
    fake = FakeSqs()
    long, odd = "x" * 500, "é 😀\x00"

    queues_of(fake).send_in_order(
        Queue.DELIVERIES, [InGroup([1], long, odd), InGroup([2], odd, long)]
    )

    assert fake.asked_for == [f"kinto-{STAGE}-deliveries.fifo"]
    [[first, second]] = fake.batches
    assert first.keys() == {"Id", "MessageBody", "MessageGroupId", "MessageDeduplicationId"}
    assert first["MessageGroupId"] == second["MessageDeduplicationId"]
    assert first["MessageDeduplicationId"] == second["MessageGroupId"]
    for name in (first["MessageGroupId"], second["MessageGroupId"]):
        assert name.isascii()
        assert name.isalnum()
        assert len(name) <= 128


@given(
    st.lists(st.sampled_from([0, 1, 90_000, 333_000, 500_000, MAX_BATCH_BYTES - 20]), max_size=40)
)
def test_messages_in_order_stay_so_in_batches_that_sqs_takes(sizes: list[int]) -> None:
    fake = FakeSqs()
    messages = [message(number, size=size) for number, size in enumerate(sizes)]

    queues_of(fake).send_in_order(Queue.DELIVERIES, messages)

    bodies = [json.loads(entry["MessageBody"]) for batch in fake.batches for entry in batch]
    assert bodies == [each.value for each in messages]
    for batch in fake.batches:
        assert 0 < len(batch) <= MAX_BATCH
        assert sum(len(entry["MessageBody"]) for entry in batch) <= MAX_BATCH_BYTES
        assert len({entry["Id"] for entry in batch}) == len(batch)
    for batch, following in zip(fake.batches, fake.batches[1:], strict=False):
        size = sum(len(entry["MessageBody"]) for entry in [*batch, following[0]])
        assert len(batch) == MAX_BATCH or size > MAX_BATCH_BYTES


class Line:
    """A queue in order on any endpoint, as its sender and its receivers see it."""

    def __init__(self, client: Any, stage: str, url: str | None = None) -> None:
        self._client = client
        self._url = create_queues(client, stage)[DELIVERIES]
        self._queues = Queues(stage, REGION, url)

    def send(self, *messages: InGroup) -> None:
        self._queues.send_in_order(Queue.DELIVERIES, messages)

    def receive(self) -> tuple[Any, str] | None:
        """The next message, parsed, and what deletes it; None if there is none to be had."""
        found = self._client.receive_message(QueueUrl=self._url).get("Messages", [])
        return (json.loads(found[0]["Body"])[0], found[0]["ReceiptHandle"]) if found else None

    def delete(self, handle: str) -> None:
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)

    def give_back(self, handle: str) -> None:
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0
        )

    def take(self) -> Any:
        """Receive the next and delete it."""
        received = self.receive()
        if received is None:
            return None
        self.delete(received[1])
        return received[0]


EMULATOR = pytest.param("emulator", marks=pytest.mark.emulator)


@pytest.fixture(params=["moto", EMULATOR])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    if request.param == "moto":
        with mock_aws():
            yield Line(boto3.client("sqs", REGION), STAGE)
        return
    url = request.getfixturevalue("emulator_url")
    yield Line(boto3.client("sqs", REGION, endpoint_url=url), f"in-order-{next(_stages)}", url)


def test_messages_of_a_group_come_in_the_order_they_were_sent(line: Line) -> None:
    line.send(*map(message, range(25)))

    assert [line.take() for _ in range(26)] == [*range(25), None]


def test_one_message_of_a_group_is_on_its_way_and_others_are_not_held_up(line: Line) -> None:
    line.send(message(1), message(2), message(3, "hook 2"))

    first, third = line.receive(), line.receive()

    assert first is not None
    assert third is not None
    assert (first[0], third[0], line.receive()) == (1, 3, None)
    line.delete(first[1])
    assert line.take() == 2


def test_a_message_that_comes_again_comes_before_later_ones(line: Line) -> None:
    line.send(message(1), message(2))

    for _ in range(3):
        received = line.receive()
        assert received is not None
        assert received[0] == 1
        line.give_back(received[1])

    assert [line.take(), line.take()] == [1, 2]


def test_what_is_sent_again_is_taken_once(line: Line) -> None:
    line.send(message(1), message(2))
    line.send(message(1), message(2), message(3))

    assert [line.take() for _ in range(4)] == [1, 2, 3, None]


@pytest.mark.parametrize("line", [EMULATOR], indirect=True)
def test_what_is_sent_again_after_it_was_received_is_not_taken(line: Line) -> None:
    """As SQS does for five minutes; moto forgets what was deleted."""
    line.send(message(1))
    assert line.take() == 1

    line.send(message(1), message(2))

    assert [line.take(), line.take()] == [2, None]


def test_the_same_event_for_another_listener_is_another_message(line: Line) -> None:
    line.send(InGroup([1], "hook 1", "hook evt_1"), InGroup([2], "other 1", "other evt_1"))

    assert {line.take(), line.take()} == {1, 2}


def test_the_largest_message_is_one_that_sqs_takes(line: Line) -> None:
    size = MAX_BATCH_BYTES - len(to_text(message(1).value))

    line.send(message(1, size=size), message(2, size=size))

    assert [line.take(), line.take()] == [1, 2]


@pytest.mark.parametrize("is_refused", [True, False])
def test_messages_in_order_that_sqs_refuses_are_no_success(
    stubbed: Stubber, is_refused: bool
) -> None:
    failed = [{"Id": "0", "SenderFault": False, "Code": "InternalError"}] * is_refused
    stubbed.add_response("send_message_batch", {"Successful": [], "Failed": failed})
    queues = queues_of(stubbed.client)

    if not is_refused:
        queues.send_in_order(Queue.DELIVERIES, [message(1)])
        return
    with pytest.raises(QueueError, match=r"1 messages for deliveries\.fifo: InternalError"):
        queues.send_in_order(Queue.DELIVERIES, [message(1)])
