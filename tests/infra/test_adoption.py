"""What is there already on the emulator, and its data stack: `infra/adoption.py`."""

from itertools import count
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.tables import Tables
from infra.adoption import adopt_tables
from infra.deploy import put_data
from infra.queues import PURGES, create_queues, queue_resources
from infra.restore import Restoration, Source
from infra.stacks import StackError
from infra.stage_stacks import data_stack, stack_arguments
from infra.stages import Stage
from infra.tables import TEMPLATE, create_tables
from tests.doubles import REGION, START_MS
from tests.storage.stand_ins import Requests, ids, record

pytestmark = pytest.mark.emulator

POLLS = {"Delay": 0, "MaxAttempts": 600}
RESOURCES = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
LATER_MS = START_MS + 3_600_000

_stages = count()


@pytest.fixture
def restored(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage restored from another one, in which there is a collection with a record."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    number = next(_stages)
    old, new = f"whole-{number}", f"again-{number}"
    create_tables(boto3.client("dynamodb"), old)
    requests = requests_to(old, emulator_url)
    requests.make_posts()
    requests.put(record(1), {"n": 1})
    stage = Stage(new, {"stages": {new: {}}})
    source = Source(table=Tables.of_stage(old).objects)

    assert [*Restoration(stage, source, polls=POLLS, now_ms=lambda: LATER_MS).run()]

    return stage


def requests_to(name: str, url: str) -> Requests:
    return Requests(Dynamo(connect(REGION, url), Tables.of_stage(name)))


def objects_of(stage: Stage) -> dict[str, Any]:
    name = Tables.of_stage(stage.name).objects
    described: dict[str, Any] = boto3.client("dynamodb").describe_table(TableName=name)["Table"]
    return described


def test_the_data_stack_of_a_restored_stage_takes_its_tables_as_they_are(
    restored: Stage, emulator_url: str
) -> None:
    stream = objects_of(restored)["LatestStreamArn"]

    changes = data_stack(restored).put(**stack_arguments(restored, TEMPLATE))

    assert not [change for change in changes if "AWS::DynamoDB::Table" in change]
    assert data_stack(restored).outputs()["ObjectsStreamArn"] == stream
    assert objects_of(restored)["LatestStreamArn"] == stream
    timestamp, page = requests_to(restored.name, emulator_url).list()
    assert timestamp > LATER_MS
    assert (ids(page), page.total) == ([record(1).id], 1)


def test_a_stack_that_is_there_is_left_alone(restored: Stage) -> None:
    cloudformation = boto3.client("cloudformation")
    stack = data_stack(restored).name
    before = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]

    assert not adopt_tables(cloudformation, restored, POLLS)

    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0] == before


def test_a_stack_can_begin_after_a_change_set_that_was_not_carried_out(restored: Stage) -> None:
    cloudformation = boto3.client("cloudformation")
    name = f"{restored.name}-x"
    create_tables(boto3.client("dynamodb"), name)
    stage = Stage(name, {"stages": {name: {}}})
    cloudformation.create_change_set(
        StackName=data_stack(stage).name,
        ChangeSetName="killed",
        ChangeSetType="CREATE",
        **stack_arguments(stage, TEMPLATE),
    )

    assert adopt_tables(cloudformation, stage, POLLS)


@pytest.fixture
def stage(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage of which nothing is there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    name = f"new-{next(_stages)}"
    return Stage(name, {"stages": {name: {}}})


def adopt(stage: Stage) -> list[str]:
    return adopt_tables(boto3.client("cloudformation"), stage, POLLS)


def resources_of(stage: Stage) -> set[str]:
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources")
    found = pages.paginate(StackName=data_stack(stage).name)
    return {it["LogicalResourceId"] for page in found for it in page["StackResourceSummaries"]}


def tables_of(stage: Stage) -> set[str]:
    pages = boto3.client("dynamodb").get_paginator("list_tables").paginate()
    found = {name for page in pages for name in page["TableNames"]}
    return {name for name in found if name.startswith(f"kinto-{stage.name}-")}


def queues_of(stage: Stage) -> list[str]:
    found = boto3.client("sqs").list_queues(QueueNamePrefix=f"kinto-{stage.name}-")
    urls: list[str] = found.get("QueueUrls", [])
    return urls


def test_nothing_is_adopted_where_nothing_is(stage: Stage) -> None:
    assert adopt(stage) == []
    assert not data_stack(stage).is_usable()


@pytest.mark.parametrize(("there", "missing"), [("objects", "access"), ("access", "objects")])
def test_one_table_without_the_other_is_refused(stage: Stage, there: str, missing: str) -> None:
    client = boto3.client("dynamodb")
    create_tables(client, stage.name)
    client.delete_table(TableName=f"kinto-{stage.name}-{missing}")

    with pytest.raises(StackError, match=rf"{there} is there, but kinto-\S+-{missing} isn't"):
        adopt(stage)

    assert not data_stack(stage).is_usable()


def test_deploying_takes_in_what_a_stack_left(stage: Stage, emulator_url: str) -> None:
    create_tables(boto3.client("dynamodb"), stage.name)
    requests_to(stage.name, emulator_url).make_posts()
    sqs = boto3.client("sqs")
    kept = create_queues(sqs, stage.name)
    sqs.send_message(QueueUrl=kept[PURGES], MessageBody="kept")

    told = [*put_data(stage)]

    assert "Import Objects (AWS::DynamoDB::Table)" in told
    assert "Import Purges (AWS::SQS::Queue)" in told
    assert resources_of(stage) == RESOURCES.keys()
    assert [it["Body"] for it in sqs.receive_message(QueueUrl=kept[PURGES])["Messages"]] == ["kept"]
    assert requests_to(stage.name, emulator_url).list()[1].total == 0
    assert not [it for it in put_data(stage) if it.startswith(("Add", "Modify", "Import"))]


def test_deploying_takes_in_queues_alone_and_gives_them_dead_letters(stage: Stage) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=queue_resources(stage.name)[PURGES]["QueueName"])["QueueUrl"]

    assert [*put_data(stage)]

    assert resources_of(stage) == RESOURCES.keys()
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert data_stack(stage).outputs()["DeadLettersQueueArn"] in found["RedrivePolicy"]


def a_creation_fails(stage: Stage) -> None:
    """Have the data stack's creation fail by the queue that comes last."""
    arguments = stack_arguments(stage, TEMPLATE)
    template = yaml.safe_load(arguments["TemplateBody"])
    template["Resources"][PURGES]["Properties"]["DelaySeconds"] = 99_999
    with pytest.raises(StackError, match=r"Purges: .*DelaySeconds"):
        data_stack(stage).put(**arguments | {"TemplateBody": yaml.safe_dump(template)})


def test_a_creation_that_failed_leaves_nothing_in_the_way_of_the_next(stage: Stage) -> None:
    a_creation_fails(stage)

    assert (tables_of(stage), queues_of(stage)) == (set(), [])
    assert [*put_data(stage)]
    assert tables_of(stage) == {*Tables.of_stage(stage.name)}


def test_tables_are_adopted_after_a_creation_that_failed(stage: Stage) -> None:
    a_creation_fails(stage)
    create_tables(boto3.client("dynamodb"), stage.name)

    assert len(adopt(stage)) == len(Tables._fields)

    assert data_stack(stage).is_usable()


def test_a_table_that_is_going_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    going = [Tables.of_stage(stage.name).objects]

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if not going or going[0].encode() not in params["body"]:
            return None
        going.clear()  # from now on the emulator tells that there is none
        return SimpleNamespace(status_code=200), {"Table": {"TableStatus": "DELETING"}}

    session = boto3.Session()
    session.events.register("before-call.dynamodb.DescribeTable", answer)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)

    assert adopt(stage) == []
    assert going == []
