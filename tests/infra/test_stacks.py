"""Stacks: created, updated, left alone; and gone on with where an attempt was stopped."""

import json
import uuid
from typing import Any

import boto3
import pytest

from infra.stacks import Stack, StackError, parameters

pytestmark = pytest.mark.emulator

POLLS = {"Delay": 0.05, "MaxAttempts": 200}


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def template(**resources: Any) -> str:
    outputs = {name: {"Value": {"Ref": name}} for name in resources}
    given = {"Parameters": {"Seconds": {"Type": "String", "Default": "30"}}}
    return json.dumps({**given, "Resources": resources, "Outputs": outputs})


@pytest.fixture
def client(emulator_url: str) -> Any:
    return boto3.client("cloudformation", endpoint_url=emulator_url)


@pytest.fixture
def stack(client: Any) -> Stack:
    return Stack(client, f"stack-{uuid.uuid4().hex}", POLLS)


def test_a_stack_is_created_then_left_alone_then_updated(stack: Stack) -> None:
    assert stack.outputs() == {}

    created = stack.put(TemplateBody=template(One=queue()))
    same = stack.put(TemplateBody=template(One=queue()))
    first = stack.outputs()
    updated = stack.put(TemplateBody=template(One=queue(DelaySeconds=5), Two=queue()))

    assert created == ["Add One (AWS::SQS::Queue)"]
    assert same == []
    assert first.keys() == {"One"}
    assert sorted(change.partition(":")[0] for change in updated) == [
        "Add Two (AWS",
        "Modify One (AWS",
    ]
    assert stack.outputs().keys() == {"One", "Two"}


def test_parameters_reach_the_template(stack: Stack, emulator_url: str) -> None:
    waits = queue(DelaySeconds={"Ref": "Seconds"})

    stack.put(TemplateBody=template(One=waits), Parameters=parameters({"Seconds": "7"}))

    sqs = boto3.client("sqs", endpoint_url=emulator_url)
    found = sqs.get_queue_attributes(QueueUrl=stack.outputs()["One"], AttributeNames=["All"])
    assert found["Attributes"]["DelaySeconds"] == "7"


def test_a_diff_tells_and_changes_nothing(stack: Stack, client: Any) -> None:
    new = stack.diff(TemplateBody=template(One=queue()))
    assert stack.outputs() == {}
    stack.put(TemplateBody=template(One=queue()))
    before = client.describe_stacks(StackName=stack.name)["Stacks"][0]

    nothing = stack.diff(TemplateBody=template(One=queue()))
    more = stack.diff(TemplateBody=template(One=queue(), Two=queue()))

    assert new == ["Add One (AWS::SQS::Queue)"]
    assert nothing == []
    assert more == ["Add Two (AWS::SQS::Queue)"]
    assert client.describe_stacks(StackName=stack.name)["Stacks"][0] == before
    assert client.list_change_sets(StackName=stack.name)["Summaries"] == []


def test_what_was_stopped_before_its_change_set_was_carried_out_is_gone_on_with(
    stack: Stack, client: Any
) -> None:
    for _ in range(2):  # killed twice
        client.create_change_set(
            StackName=stack.name,
            ChangeSetName=f"left-{uuid.uuid4().hex}",
            ChangeSetType="CREATE",
            TemplateBody=template(Other=queue()),
        )

    assert stack.put(TemplateBody=template(One=queue())) == ["Add One (AWS::SQS::Queue)"]
    assert stack.outputs().keys() == {"One"}


def test_a_creation_that_failed_is_told_and_can_be_tried_again(stack: Stack) -> None:
    with pytest.raises(StackError, match=r"Bad: .*DelaySeconds"):
        stack.put(TemplateBody=template(Good=queue(), Bad=queue(DelaySeconds=99999)))

    assert stack.put(TemplateBody=template(Good=queue())) == ["Add Good (AWS::SQS::Queue)"]


def test_a_stack_is_deleted_once(stack: Stack) -> None:
    stack.put(TemplateBody=template(One=queue()))

    assert stack.delete()
    assert not stack.delete()
    assert stack.outputs() == {}
