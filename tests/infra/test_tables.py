"""The template, and the tables made from it."""

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from chalicelib.setting_values import parse_stage
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED, Tables
from infra.stages import Stage
from infra.tables import TEMPLATE, create_tables, table_resources, template_resources

STAGE = "test"
NAMES = Tables.of_stage(STAGE)
RESOURCES = yaml.safe_load(TEMPLATE.read_text())["Resources"]


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("dynamodb")


def described(client: Any, table: str) -> dict[str, Any]:
    description: dict[str, Any] = client.describe_table(TableName=table)["Table"]
    return description


def test_template_names_the_tables_as_storage_does() -> None:
    names = {table["TableName"] for table in table_resources(STAGE).values()}

    assert names == set(NAMES)


def test_template_names_the_indexes_as_storage_does() -> None:
    indexes = table_resources(STAGE)["Objects"]["LocalSecondaryIndexes"]

    assert {index["IndexName"] for index in indexes} == {BY_LAST_MODIFIED, BY_DELETION}


@pytest.mark.parametrize(
    ("stage", "is_name"),
    [
        ("prod", True),
        ("a-b-C9", True),
        ("x" * 35, True),
        ("x" * 36, False),
        ("", False),
        ("a.b", False),
        ("a_b", False),
        ("é", False),
    ],
)
def test_template_takes_the_stages_that_the_setting_takes(stage: str, is_name: bool) -> None:
    pattern = yaml.safe_load(TEMPLATE.read_text())["Parameters"]["Stage"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, stage)) is is_name
    if is_name:
        assert parse_stage(stage) == stage
    else:
        with pytest.raises(ValueError, match="at most 35"):
            parse_stage(stage)


@pytest.mark.parametrize("function", Stage.read("prod").functions)
def test_the_longest_stage_leaves_room_for_the_names_of_functions_and_roles(function: str) -> None:
    assert len(f"kinto-serverless-{'x' * 35}-{function}") <= 64  # Lambda's limit, and IAM's


@pytest.mark.parametrize("resource", RESOURCES)
def test_template_keeps_everything(resource: str) -> None:
    assert RESOURCES[resource]["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate")
    assert RESOURCES[resource]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("logical_id", ["Objects", "Access"])
def test_template_protects_every_table(logical_id: str) -> None:
    table = table_resources(STAGE)[logical_id]

    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_template_encrypts_and_keeps_messages_for_two_weeks() -> None:
    for queue in template_resources("AWS::SQS::Queue", "QueueName", STAGE).values():
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 60 * 60


@pytest.mark.parametrize("logical_id", ["Objects", "Access"])
def test_tables_are_what_the_template_says(client: Any, logical_id: str) -> None:
    wanted = table_resources(STAGE)[logical_id]

    create_tables(client, STAGE)

    made = described(client, wanted["TableName"])
    assert made["KeySchema"] == wanted["KeySchema"]
    assert made["AttributeDefinitions"] == wanted["AttributeDefinitions"]
    assert made["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"]
    assert [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in made["LocalSecondaryIndexes"]
    ] == wanted.get("LocalSecondaryIndexes", [])


def test_objects_have_a_stream_of_both_images(client: Any) -> None:
    create_tables(client, STAGE)

    assert described(client, NAMES.objects)["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_objects_expire_by_their_attribute(client: Any) -> None:
    create_tables(client, STAGE)

    state = client.describe_time_to_live(TableName=NAMES.objects)["TimeToLiveDescription"]
    assert state == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}


def test_existing_tables_stay(client: Any) -> None:
    item = {"principal": {"S": "alice"}, "object": {"S": "/buckets#bucket/blog"}}
    create_tables(client, STAGE)
    client.put_item(TableName=NAMES.access, Item=item)

    create_tables(client, STAGE)

    assert client.scan(TableName=NAMES.access)["Items"] == [item]
