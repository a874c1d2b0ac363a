"""The queues made from the template."""

import json
from typing import Any

import boto3
import pytest

from infra.deploy import deploy_data
from infra.pump import PURGE_S
from infra.queues import DEAD_LETTERS, PURGES, create_queues, queue_resources

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

    assert names == {"kinto-test-purges", "kinto-test-dead-letters"}


def test_a_message_comes_again_after_six_times_of_what_its_function_has() -> None:
    assert queue_resources("test")[PURGES]["VisibilityTimeout"] == 6 * PURGE_S


@pytest.mark.emulator
def test_queues_are_what_the_template_says(client: Any) -> None:
    urls = create_queues(client, "queues")

    purges, letters = (attributes(client, urls[name]) for name in (PURGES, DEAD_LETTERS))
    assert purges["VisibilityTimeout"] == "1800"
    assert purges["MessageRetentionPeriod"] == letters["MessageRetentionPeriod"] == TWO_WEEKS
    assert json.loads(purges["RedrivePolicy"]) == {
        "deadLetterTargetArn": letters["QueueArn"],
        "maxReceiveCount": 10,
    }


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

    outputs = deploy_data(stacks, "stacked")

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
