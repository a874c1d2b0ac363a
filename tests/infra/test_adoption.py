"""A restored stage on the emulator, and its data stack: `infra/adoption.py`."""

from itertools import count
from typing import Any

import boto3
import pytest

from chalicelib.storage.connection import Dynamo, connect
from chalicelib.storage.tables import Tables
from infra.adoption import adopt_tables
from infra.deploy import data_stack, stack_arguments
from infra.restore import Restoration, Source
from infra.stacks import StackError
from infra.stages import Stage
from infra.tables import TEMPLATE, create_tables
from tests.doubles import REGION, START_MS
from tests.storage.stand_ins import Requests, ids, record

pytestmark = pytest.mark.emulator

POLLS = {"Delay": 0, "MaxAttempts": 600}
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


def test_tables_that_are_not_there_are_refused_with_the_reason(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    stage = Stage("nowhere", {"stages": {"nowhere": {}}})

    with pytest.raises(StackError, match="kinto-nowhere-objects"):
        adopt_tables(boto3.client("cloudformation"), stage, POLLS)
