"""The functions' policies as documents, and what else each function has.

What they grant is held against what the functions call in `test_needed_actions.py`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from moto import mock_aws

from infra.pump import CHANGES_S, QUEUES
from infra.stages import API, CONFIG
from tests.infra.iam_rights import FUNCTIONS, config_of, granted, policy_of, policy_text, stages

STAGES = stages()

MOST_CHARACTERS = 10_240
"""Of the policies within a role, white space not counted."""

KNOWN_BY = {
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "events": ("events",),
    "logs": ("logs",),
    "secretsmanager": ("secretsmanager",),
    "sqs": ("sqs",),
    "ssm": ("ssm",),
    "xray": ("xray",),
}
"""The APIs whose operations are called as the actions of a service."""

NARROW = r"arn:\*:[a-z]+:\*:\*:([\w/:-]*\b{stage}\b[\w./-]*|event-bus/default)([/:]\*)?"
"""A resource of the stage, or all that is below one: of its streams, secrets and log streams.

Partition, region and account may be any, as the same policy serves several of them.
"""

each_policy = pytest.mark.parametrize("function", FUNCTIONS)
each_stage = pytest.mark.parametrize("stage", STAGES)


@pytest.fixture(scope="module")
def iam() -> Iterator[Any]:
    """A client of moto, which refuses what is no policy as IAM does."""
    with mock_aws():
        yield boto3.client("iam")


@pytest.fixture(scope="module")
def known_actions() -> set[str]:
    """What policies may name, as far as an operation is called so."""
    session = botocore.session.get_session()
    return {
        f"{prefix}:{operation}"
        for prefix, apis in KNOWN_BY.items()
        for api in apis
        for operation in session.get_service_model(api).operation_names
    }


@each_stage
@each_policy
def test_iam_takes_a_policy_as_it_is(function: str, stage: str, iam: Any) -> None:
    text = policy_text(function, stage)

    created = iam.create_policy(PolicyName=f"{stage}-{function}", PolicyDocument=text)["Policy"]

    kept = iam.get_policy_version(PolicyArn=created["Arn"], VersionId=created["DefaultVersionId"])
    assert kept["PolicyVersion"]["Document"] == json.loads(text)
    assert len("".join(text.split())) <= MOST_CHARACTERS


@each_policy
def test_a_policy_only_allows_and_says_of_each_statement_what_it_is_for(function: str) -> None:
    policy = policy_of(function, STAGES[0])

    statements = policy["Statement"]
    sids = [statement["Sid"] for statement in statements]
    assert policy.keys() == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"  # an earlier one knows fewer elements
    assert all(it.keys() == {"Sid", "Effect", "Action", "Resource"} for it in statements)
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    assert sorted(set(sids)) == sorted(sids)


@each_policy
def test_a_policy_names_actions_that_there_are(function: str, known_actions: set[str]) -> None:
    actions = {right.action for right in granted(policy_of(function, STAGES[0]))}

    assert actions <= known_actions


@each_stage
@each_policy
def test_a_policy_is_about_its_stage_alone(function: str, stage: str) -> None:
    rights = granted(policy_of(function, stage))
    resources = {right.resource for right in rights if not right.action.startswith("xray:")}

    assert [it for it in resources if not re.fullmatch(NARROW.format(stage=stage), it)] == []


@pytest.mark.parametrize("stage", STAGES[1:])
@each_policy
def test_the_policies_of_two_stages_differ_by_the_stages_name(function: str, stage: str) -> None:
    first = policy_text(function, STAGES[0])

    assert policy_text(function, stage) == re.sub(rf"\b{STAGES[0]}\b", stage, first)


def test_every_policy_belongs_to_a_function_and_none_is_made_by_chalice() -> None:
    configs = [config_of(function, stage) for function in FUNCTIONS for stage in STAGES]

    files = [config.iam_policy_file for config in configs]
    assert {file.name for file in CONFIG.parent.glob("policy-*.json")} == set(files)
    assert len(set(files)) == len(files)
    assert {config.autogen_policy for config in configs} == {False}


@each_stage
@pytest.mark.parametrize(
    ("function", "timeout_s", "memory_mb"),
    [
        (API, 29, 1024),
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
