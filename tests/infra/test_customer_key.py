"""The key that an operator may give: what is encrypted with it, and that all else goes without."""

from typing import Any

import boto3
import pytest
import yaml

from infra.queues import queue_resources
from infra.stacks import Stack, parameters
from infra.tables import TEMPLATE, table_resources

KEY = "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
POLLS = {"Delay": 0.1, "MaxAttempts": 300}
RESOURCES: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["Resources"]


def test_nothing_is_left_open_where_tables_and_queues_are_made_without_a_key() -> None:
    made = {**table_resources("test"), **queue_resources("test")}

    assert made.keys() == RESOURCES.keys()
    assert "Fn::If" not in str(made)
    assert "NoValue" not in str(made)
    assert not any("KmsMasterKeyId" in properties for properties in made.values())


@pytest.mark.parametrize("table", ["Objects", "Access"])
def test_tables_take_the_key_where_one_is_given(table: str) -> None:
    condition, with_key, without = RESOURCES[table]["Properties"]["SSESpecification"]["Fn::If"]

    assert condition == "HasKey"
    assert with_key == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": {"Ref": "KmsKeyArn"},
    }
    assert without == {"Ref": "AWS::NoValue"}  # AWS's own, of which KMS makes no bill


@pytest.mark.emulator
def test_queues_take_the_key_once_it_is_given(emulator_url: str) -> None:
    stack = Stack(
        boto3.client("cloudformation", endpoint_url=emulator_url), "kinto-keyed-data", POLLS
    )
    queues = boto3.client("sqs", endpoint_url=emulator_url)

    def encryption(**given: str) -> list[tuple[str | None, str]]:
        stack.put(
            TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
            Parameters=parameters({"Stage": "keyed", **given}),
        )
        urls = queues.list_queues(QueueNamePrefix="kinto-keyed-")["QueueUrls"]
        described = [
            queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            for url in urls
        ]
        return [(it.get("KmsMasterKeyId"), it["SqsManagedSseEnabled"]) for it in described]

    assert encryption() == [(None, "true")] * 5
    assert encryption(KmsKeyArn=KEY) == [(KEY, "false")] * 5
