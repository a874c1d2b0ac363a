"""The queues made from the template."""

import json
from typing import Any

import boto3
import pytest

from chalicelib.events.queues import MAX_BATCH_BYTES, Queue
from infra.pump import QUEUES
from infra.queues import (
    DEAD_LETTERS,
    DELIVERIES,
    EVENTS,
    PURGES,
    RETRIES,
    create_queues,
    queue_resources,
)
from infra.stacks import Stack, parameters
from infra.tables import TEMPLATE

TWO_WEEKS = str(14 * 24 * 60 * 60)


@pytest.fixture
def client(emulator_url: str) -> Any:
    return boto3.client("sqs", endpoint_url=emulator_url)


def attributes(client: Any, url: str) -> dict[str, str]:
    asked = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    found: dict[str, str] = asked["Attributes"]
    return found


def test_queues_are_named_by_their_stage() -> None:
    names = {queue["QueueName"] for queue in queue_resources("test").values()}

    assert names == {queue.of_stage("test") for queue in Queue}


@pytest.mark.parametrize("function", QUEUES)
def test_a_message_comes_again_after_six_times_of_what_its_function_has(function: str) -> None:
    logical_id, timeout_s, _ = QUEUES[function]

    assert queue_resources("test")[logical_id]["VisibilityTimeout"] == 6 * timeout_s


def test_a_queue_takes_what_is_sent_at_once() -> None:
    for queue in queue_resources("test").values():
        assert MAX_BATCH_BYTES < queue["MaximumMessageSize"] == 1_048_576


@pytest.mark.emulator
def test_queues_are_what_the_template_says(client: Any) -> None:
    urls = create_queues(client, "queues")

    assert urls.keys() == {PURGES, DELIVERIES, RETRIES, EVENTS, DEAD_LETTERS}
    made = {name: attributes(client, url) for name, url in urls.items()}
    assert made[PURGES]["VisibilityTimeout"] == "1800"
    assert made[DELIVERIES]["VisibilityTimeout"] == made[RETRIES]["VisibilityTimeout"] == "180"
    assert {each["MessageRetentionPeriod"] for each in made.values()} == {TWO_WEEKS}
    assert {each["MaximumMessageSize"] for each in made.values()} == {"1048576"}
    redrive = {"deadLetterTargetArn": made[DEAD_LETTERS]["QueueArn"], "maxReceiveCount": 10}
    assert {
        name: json.loads(each["RedrivePolicy"])
        for name, each in made.items()
        if "RedrivePolicy" in each
    } == {PURGES: redrive, RETRIES: {**redrive, "maxReceiveCount": 1000}}


@pytest.mark.emulator
def test_deliveries_are_in_order_in_each_group_and_groups_in_parallel(client: Any) -> None:
    made = attributes(client, create_queues(client, "fifo-queues")[DELIVERIES])

    assert made["QueueArn"].endswith(":kinto-fifo-queues-deliveries.fifo")
    assert made["FifoQueue"] == "true"
    assert made["DeduplicationScope"] == "messageGroup"
    assert made["FifoThroughputLimit"] == "perMessageGroupId"


@pytest.mark.emulator
def test_existing_queues_stay(client: Any) -> None:
    urls = create_queues(client, "kept-queues")
    client.send_message(QueueUrl=urls[PURGES], MessageBody="kept")
    client.set_queue_attributes(QueueUrl=urls[PURGES], Attributes={"VisibilityTimeout": "5"})

    assert create_queues(client, "kept-queues") == urls

    assert attributes(client, urls[PURGES])["VisibilityTimeout"] == "5"
    assert attributes(client, urls[PURGES])["ApproximateNumberOfMessages"] == "1"


@pytest.mark.emulator
def test_the_stack_has_the_same_queues_and_they_are_encrypted(
    client: Any, emulator_url: str
) -> None:
    stacks = boto3.client("cloudformation", endpoint_url=emulator_url)

    stack = Stack(stacks, "kinto-stacked-data", {"Delay": 0.1, "MaxAttempts": 300})

    stack.put(
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=parameters({"Stage": "stacked"}),
    )

    outputs = stack.outputs()

    purges = attributes(client, outputs["PurgesQueueUrl"])
    letters = attributes(client, outputs["DeadLettersQueueUrl"])
    assert purges["QueueArn"] == outputs["PurgesQueueArn"]
    assert letters["QueueArn"] == outputs["DeadLettersQueueArn"]
    assert purges["SqsManagedSseEnabled"] == letters["SqsManagedSseEnabled"] == "true"
    assert purges["VisibilityTimeout"] == "1800"
    assert json.loads(purges["RedrivePolicy"]) == {
        "deadLetterTargetArn": outputs["DeadLettersQueueArn"],
        "maxReceiveCount": 10,
    }
    deliveries, retries, events = (
        attributes(client, outputs[f"{name}QueueUrl"]) for name in (DELIVERIES, RETRIES, EVENTS)
    )
    assert deliveries["FifoQueue"] == "true"
    assert deliveries["DeduplicationScope"] == "messageGroup"
    assert deliveries["FifoThroughputLimit"] == "perMessageGroupId"
    assert json.loads(retries["RedrivePolicy"])["maxReceiveCount"] == 1000
    assert events["QueueArn"].endswith(":kinto-stacked-events")
