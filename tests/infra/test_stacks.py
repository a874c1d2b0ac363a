"""Stacks: created, updated, left alone; and gone on with where an attempt was stopped."""

import json
import uuid
from types import SimpleNamespace
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


class Answers:
    """A client whose calls are answered by what is given for them, the last of it for good."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.calls: list[str] = []
        self.tokens: list[str] = []
        self._answers = answers
        self.client = boto3.client("cloudformation")
        self.client.meta.events.register("before-call.cloudformation", self._answer)

    def stack(self) -> Stack:
        return Stack(self.client, "answered", {"Delay": 0, "MaxAttempts": 3})

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        self.calls.append(model.name)
        if "ClientRequestToken" in params["body"]:
            self.tokens.append(params["body"]["ClientRequestToken"])
        left = self._answers.get(model.name, [{}])
        answer = left.pop(0) if len(left) > 1 else left[0]
        for event in answer.get("StackEvents", []):
            if event.get("ClientRequestToken") == "this":
                event["ClientRequestToken"] = self.tokens[-1]
        return SimpleNamespace(status_code=200), answer


def described(status: str) -> dict[str, Any]:
    return {"Stacks": [{"StackName": "answered", "StackStatus": status}]}


def change_set(*changes: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Answers about a change set that was made with these changes of resources."""
    given = [{"Type": "Resource", "ResourceChange": it} for it in changes]
    return {
        "CreateChangeSet": [{"Id": "arn:of:it"}],
        "DescribeChangeSet": [{"Status": "CREATE_COMPLETE", "Changes": given}],
    }


def failed(name: str, why: str, token: str) -> dict[str, Any]:
    return {
        "LogicalResourceId": name,
        "ResourceStatus": "UPDATE_FAILED",
        "ResourceStatusReason": why,
        "ClientRequestToken": token,
    }


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


def test_a_diff_leaves_a_creation_that_failed_as_it_is(stack: Stack, client: Any) -> None:
    with pytest.raises(StackError):
        stack.put(TemplateBody=template(Bad=queue(DelaySeconds=99999)))
    before = client.describe_stacks(StackName=stack.name)["Stacks"][0]

    told = stack.diff(TemplateBody=template(Good=queue()))

    assert told == [f"Create {stack.name} again, as its creation failed"]
    assert client.describe_stacks(StackName=stack.name)["Stacks"][0] == before


def change_set_of_another(client: Any, name: str) -> str:
    made: str = client.create_change_set(
        StackName=name,
        ChangeSetName=f"other-{uuid.uuid4().hex}",
        ChangeSetType="CREATE",
        TemplateBody=template(Other=queue()),
    )["Id"]
    return made


def test_a_diff_leaves_the_stack_that_another_is_about_to_create(stack: Stack, client: Any) -> None:
    other = change_set_of_another(client, stack.name)

    assert stack.diff(TemplateBody=template(One=queue())) == ["Add One (AWS::SQS::Queue)"]

    (left,) = client.list_change_sets(StackName=stack.name)["Summaries"]
    assert left["ChangeSetId"] == other
    assert client.describe_stacks(StackName=stack.name)["Stacks"]


def test_a_diff_leaves_the_stack_that_another_begins_meanwhile(
    stack: Stack, client: Any, emulator_url: str
) -> None:
    another = boto3.client("cloudformation", endpoint_url=emulator_url)
    made: list[str] = []
    client.meta.events.register(
        "after-call.cloudformation.CreateChangeSet",
        lambda **_: made.append(change_set_of_another(another, stack.name)),
    )

    stack.diff(TemplateBody=template(One=queue()))

    (left,) = client.list_change_sets(StackName=stack.name)["Summaries"]
    assert [left["ChangeSetId"]] == made
    assert client.describe_stacks(StackName=stack.name)["Stacks"]


def test_an_attempt_is_told_its_own_reasons_only(stack: Stack) -> None:
    def bad(name: str) -> str:
        return template(Good=queue(), **{name: queue(DelaySeconds=99999)})

    stack.put(TemplateBody=template(Good=queue()))
    with pytest.raises(StackError, match="First"):
        stack.put(TemplateBody=bad("First"))

    with pytest.raises(StackError, match=r": Second: ") as refused:
        stack.put(TemplateBody=bad("Second"))

    assert "First" not in str(refused.value)


def test_what_was_cancelled_is_no_reason() -> None:
    events = [
        failed("Late", "Resource update cancelled", "this"),
        failed("Bad", "it is bad", "this"),
        failed("Old", "it was bad", "before"),
    ]
    answers = Answers(
        **change_set({"Action": "Modify", "LogicalResourceId": "Bad", "ResourceType": "T"}),
        DescribeStacks=[*[described("UPDATE_COMPLETE")] * 2, described("UPDATE_ROLLBACK_COMPLETE")],
        DescribeStackEvents=[{"StackEvents": events}],
    )

    with pytest.raises(StackError) as refused:
        answers.stack().put(TemplateBody="{}")

    assert str(refused.value) == "answered: Bad: it is bad"


def test_outputs_are_changed_where_nothing_else_is() -> None:
    answers = Answers(**change_set(), DescribeStacks=[described("UPDATE_COMPLETE")])

    assert answers.stack().diff(TemplateBody="{}") == ["Modify outputs"]
    assert "ExecuteChangeSet" not in answers.calls
    assert answers.stack().put(TemplateBody="{}") == ["Modify outputs"]
    assert "ExecuteChangeSet" in answers.calls


@pytest.mark.parametrize(
    ("replacement", "told"),
    [
        ("True", "Modify One (T) (replaced)"),
        ("Conditional", "Modify One (T) (perhaps replaced)"),
        ("False", "Modify One (T)"),
    ],
)
def test_a_replacement_is_told(replacement: str, told: str) -> None:
    change = {"Action": "Modify", "LogicalResourceId": "One", "ResourceType": "T"}
    answers = Answers(
        **change_set({**change, "Replacement": replacement}),
        DescribeStacks=[described("UPDATE_COMPLETE")],
    )

    assert answers.stack().diff(TemplateBody="{}") == [told]


def test_a_stack_that_cannot_be_gone_on_with_is_refused_with_its_status() -> None:
    answers = Answers(DescribeStacks=[described("UPDATE_ROLLBACK_FAILED")])

    with pytest.raises(StackError, match="answered is UPDATE_ROLLBACK_FAILED"):
        answers.stack().put(TemplateBody="{}")

    assert {*answers.calls} == {"DescribeStacks"}


def test_a_stack_that_never_settles_is_refused_with_its_status() -> None:
    answers = Answers(DescribeStacks=[described("UPDATE_IN_PROGRESS")])

    with pytest.raises(StackError, match="answered is UPDATE_IN_PROGRESS"):
        answers.stack().diff(TemplateBody="{}")


@pytest.mark.parametrize(
    ("status_of_queue", "is_usable"),
    [("IMPORT_ROLLBACK_COMPLETE", False), ("UPDATE_COMPLETE", True)],
)
def test_a_stack_whose_import_failed_is_usable_if_it_has_anything(
    status_of_queue: str, *, is_usable: bool
) -> None:
    answers = Answers(
        DescribeStacks=[described("IMPORT_ROLLBACK_COMPLETE")],
        ListStackResources=[{"StackResourceSummaries": [{"ResourceStatus": status_of_queue}]}],
    )

    assert answers.stack().is_usable() is is_usable


def test_a_stack_that_is_there_adopts_nothing(stack: Stack) -> None:
    stack.put(TemplateBody=template(One=queue()))

    with pytest.raises(StackError, match="is there already"):
        stack.adopt([], TemplateBody=template(Two=queue()))

    assert stack.outputs().keys() == {"One"}


def test_a_stack_is_deleted_once(stack: Stack) -> None:
    stack.put(TemplateBody=template(One=queue()))

    assert stack.delete()
    assert not stack.delete()
    assert stack.outputs() == {}
