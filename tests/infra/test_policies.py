"""What each function may do: what it needs, and nothing else."""

import json
from typing import Any

import pytest
from chalice.config import Config

from infra.deploy import CONFIG
from infra.pump import CHANGES_S, QUEUES
from infra.queues import queue_resources

RECEIVING = [
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
]
SECRETS = {
    "ssm:*:*:parameter/kinto/{}/*": ["ssm:GetParameter"],
    "secretsmanager:*:*:secret:kinto/{}/*": ["secretsmanager:GetSecretValue"],
}
SENDING = ["sqs:GetQueueUrl", "sqs:SendMessage"]
TAKING_AND_SENDING = [*RECEIVING, "sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:SendMessage"]
TELLING = {
    "events:*:*:event-bus/default": ["events:PutEvents"],
    "sqs:*:*:kinto-{}-events": SENDING,
    "sqs:*:*:kinto-{}-dead-letters": SENDING,
    **SECRETS,
}
LOGS = {
    "logs:*:*:*": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
}

ALLOWED = {
    "api_handler": {
        "dynamodb:*:*:table/kinto-{}-objects": [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
        "dynamodb:*:*:table/kinto-{}-access": [
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
        ],
        "dynamodb:*:*:table/kinto-{}-objects/index/by_last_modified": ["dynamodb:Query"],
        "dynamodb:*:*:table/kinto-{}-objects/index/by_deletion": ["dynamodb:Query"],
        "sqs:*:*:kinto-{}-deliveries.fifo": SENDING,
        **SECRETS,
        **LOGS,
    },
    "changes": {
        "dynamodb:*:*:table/kinto-{}-objects/stream/*": [
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ],
        "sqs:*:*:kinto-{}-purges": SENDING,
        "sqs:*:*:kinto-{}-deliveries.fifo": SENDING,
        "sqs:*:*:kinto-{}-dead-letters": SENDING,
        **LOGS,
    },
    "deliver": {
        "sqs:*:*:kinto-{}-deliveries.fifo": [*RECEIVING, "sqs:ReceiveMessage"],
        "sqs:*:*:kinto-{}-retries": SENDING,
        **TELLING,
        **LOGS,
    },
    "retry": {"sqs:*:*:kinto-{}-retries": TAKING_AND_SENDING, **TELLING, **LOGS},
    "purge": {
        "dynamodb:*:*:table/kinto-{}-objects": [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
        "dynamodb:*:*:table/kinto-{}-objects/index/by_last_modified": ["dynamodb:Query"],
        "dynamodb:*:*:table/kinto-{}-objects/index/by_deletion": ["dynamodb:Query"],
        "dynamodb:*:*:table/kinto-{}-access": ["dynamodb:DeleteItem"],
        "sqs:*:*:kinto-{}-purges": TAKING_AND_SENDING,
        "sqs:*:*:kinto-{}-dead-letters": SENDING,
        **LOGS,
    },
}

STAGES = json.loads(CONFIG.read_text())["stages"]


def config_of(function: str, stage: str) -> Config:
    """Chalice's own reading of the configuration."""
    return Config(stage, function, config_from_disk=json.loads(CONFIG.read_text()))


def granted(policy: dict[str, Any]) -> dict[str, list[str]]:
    """Actions by resource."""
    found: dict[str, list[str]] = {}
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        for resource in statement["Resource"]:
            found.setdefault(resource, []).extend(statement["Action"])
    return {resource: sorted(actions) for resource, actions in found.items()}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("function", ALLOWED)
def test_a_function_may_do_exactly_this(function: str, stage: str) -> None:
    config = config_of(function, stage)

    policy = json.loads((CONFIG.parent / config.iam_policy_file).read_text())

    assert config.autogen_policy is False
    assert granted(policy) == {
        f"arn:*:{resource.format(stage)}": actions
        for resource, actions in ALLOWED[function].items()
    }


def test_every_policy_belongs_to_a_function() -> None:
    used = {config_of(function, stage).iam_policy_file for function in ALLOWED for stage in STAGES}

    assert {file.name for file in CONFIG.parent.glob("policy-*.json")} == used


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("function", "timeout_s", "memory_mb"),
    [
        ("api_handler", 29, 1024),
        ("changes", CHANGES_S, 512),
        *((function, taken.timeout_s, 256) for function, taken in QUEUES.items()),
    ],
)
def test_a_function_has_time_and_memory(
    function: str, timeout_s: float, memory_mb: int, stage: str
) -> None:
    config = config_of(function, stage)

    assert (config.lambda_timeout, config.lambda_memory_size) == (timeout_s, memory_mb)


def test_the_pump_feeds_every_function_that_a_queue_feeds() -> None:
    functions = json.loads(CONFIG.read_text())["lambda_functions"]

    assert functions.keys() == {"changes", *QUEUES}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("function", QUEUES)
def test_a_function_may_take_messages_of_the_queue_that_the_pump_feeds_it_from(
    function: str, stage: str
) -> None:
    queue = queue_resources("{}")[QUEUES[function].logical_id]["QueueName"]
    policy = json.loads((CONFIG.parent / config_of(function, stage).iam_policy_file).read_text())

    takes = [
        resource for resource, actions in granted(policy).items() if "sqs:ReceiveMessage" in actions
    ]

    assert takes == [f"arn:*:sqs:*:*:{queue.format(stage)}"]
