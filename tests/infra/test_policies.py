"""What each function may do: what it needs, and nothing else."""

import json
from typing import Any

import pytest
from chalice.config import Config

from infra.deploy import CONFIG
from infra.pump import CHANGES_S, PURGE_S

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
        **LOGS,
    },
    "changes": {
        "dynamodb:*:*:table/kinto-{}-objects/stream/*": [
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ],
        "sqs:*:*:kinto-{}-purges": ["sqs:GetQueueUrl", "sqs:SendMessage"],
        "sqs:*:*:kinto-{}-dead-letters": ["sqs:GetQueueUrl", "sqs:SendMessage"],
        **LOGS,
    },
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
        "sqs:*:*:kinto-{}-purges": [
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        ],
        "sqs:*:*:kinto-{}-dead-letters": ["sqs:GetQueueUrl", "sqs:SendMessage"],
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
    [("api_handler", 29, 1024), ("changes", CHANGES_S, 512), ("purge", PURGE_S, 256)],
)
def test_a_function_has_time_and_memory(
    function: str, timeout_s: float, memory_mb: int, stage: str
) -> None:
    config = config_of(function, stage)

    assert (config.lambda_timeout, config.lambda_memory_size) == (timeout_s, memory_mb)
