"""The queues on any endpoint, made from the template that production uses."""

import json
from typing import Any

from infra.tables import template_resources

PURGES = "Purges"
"""Logical id of the queue of what is to be purged."""

DELIVERIES = "Deliveries"
"""Logical id of the queue of first deliveries to listeners."""

RETRIES = "Retries"
"""Logical id of the queue of deliveries that failed."""

EVENTS = "Events"
"""Logical id of the queue that listeners of the kind `sqs` send to."""

DEAD_LETTERS = "DeadLetters"
"""Logical id of the queue of what couldn't be processed."""

_ATTRIBUTES = (
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "MaximumMessageSize",
    "FifoQueue",
    "DeduplicationScope",
    "FifoThroughputLimit",
)


def queue_resources(stage: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's queues by logical id, with the names of this stage."""
    return template_resources("AWS::SQS::Queue", "QueueName", stage)


def create_queues(client: Any, stage: str) -> dict[str, str]:
    """Create the queues of a stage where they are missing; gives their URLs by logical id.

    Existing ones stay as they are. What protects data in production is left out.

    Args:
        client: of boto3, for SQS.
        stage: names the queues.
    """
    resources = queue_resources(stage)
    urls: dict[str, str] = {}
    # Those first that others hand their messages on to.
    for logical_id in sorted(resources, key=lambda it: "RedrivePolicy" in resources[it]):
        urls[logical_id] = _create_queue(client, resources[logical_id], urls)
    return urls


def _create_queue(client: Any, properties: dict[str, Any], urls: dict[str, str]) -> str:
    name = properties["QueueName"]
    try:
        url: str = client.get_queue_url(QueueName=name)["QueueUrl"]
    except client.exceptions.QueueDoesNotExist:
        found = {key: properties[key] for key in _ATTRIBUTES if key in properties}
        attributes = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in found.items()
        }
        if "RedrivePolicy" in properties:
            attributes["RedrivePolicy"] = _redrive(client, properties["RedrivePolicy"], urls)
        url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url


def _redrive(client: Any, policy: dict[str, Any], urls: dict[str, str]) -> str:
    logical_id, _ = policy["deadLetterTargetArn"]["Fn::GetAtt"]
    return json.dumps({**policy, "deadLetterTargetArn": queue_arn(client, urls[logical_id])})


def queue_arn(client: Any, url: str) -> str:
    """The ARN of the queue at this URL."""
    asked = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn: str = asked["Attributes"]["QueueArn"]
    return arn
