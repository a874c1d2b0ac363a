"""Deploying: what is refused before anything is touched, and the steps alone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra import deploy
from infra.account import Account
from infra.new_stage import create
from infra.stage_stacks import OPERATIONS, stack_arguments
from infra.stages import CONFIG, SECRET
from infra.tables import TEMPLATE
from tests.infra.chalice_stage import HANDLER, NAME, ChaliceStage, chalice_stage


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration, to be changed."""
    file = tmp_path / "config.json"
    file.write_text(CONFIG.read_text())
    monkeypatch.setattr(deploy, "CONFIG", file)
    return file


def change(file: Path, stage: str, **changes: Any) -> None:
    config = json.loads(file.read_text())
    config["stages"][stage].update(changes)
    file.write_text(json.dumps(config))


HERE = Account("123456789012", "eu-west-1")
ELSEWHERE = "arn:aws:dynamodb:us-east-1:210987654321:table/kinto-dev-objects/stream/1"
OF_DEV = {"environment_variables": {"KINTO_STAGE": "dev"}}


def api_with(**variables: str) -> dict[str, Any]:
    return {"api_handler": {"environment_variables": variables}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lambda_functions": api_with(**{SECRET: "change-me"})}, SECRET),
        ({"environment_variables": {"KINTO_BATCH_MAX_REQUESTS": "many"}}, "BATCH_MAX_REQUESTS"),
        ({"api_gateway_limits": {"rate": 1}}, "api_gateway_limits"),
        ({"api_gateway_stage": "dev"}, "api_gateway_stage is dev"),
        ({"environment_variables": {"KINTO_STAGE": "dev"}}, "KINTO_STAGE of api_handler is dev"),
        ({"environment_variables": {}}, "KINTO_STAGE of api_handler is missing"),
        (
            {"lambda_functions": api_with(**{SECRET: "ssm:/kinto/prod/a"}) | {"purge": OF_DEV}},
            "KINTO_STAGE of purge is dev",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_refused_in_one_line(
    changes: dict[str, Any], why: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(config, "prod", **changes)

    assert deploy.main("prod") == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert why in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "which stage"),
        (["elsewhere"], "no stage elsewhere"),
        (["prod", "functions", "everything"], "no step: everything"),
    ],
)
def test_what_is_not_there_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(*arguments) == 1
    assert why in capsys.readouterr().err


@pytest.mark.emulator
def test_steps_can_be_run_alone_and_again(
    emulator_url: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    monkeypatch.setattr(deploy.Account, "of_caller", lambda: HERE)  # there is no STS
    for policy in CONFIG.parent.glob("policy-dev*.json"):
        shutil.copy(policy, config.parent)
    create("alone", "dev", config.parent)  # servers under test leave dev's tables in the emulator

    assert deploy.main("alone", "config") == 1
    refused = capsys.readouterr()
    assert refused.out == f"{HERE}\n"
    assert "there are no tables of alone yet" in refused.err
    assert deploy.main("alone", "data", "config") == 0
    first = capsys.readouterr().out
    assert deploy.main("alone", "data", "config") == 0
    second = capsys.readouterr().out

    written = deploy.Stage.read("alone", config).stream
    assert written is not None
    assert ":table/kinto-alone-objects/stream/" in written
    assert "data: Add Objects (AWS::DynamoDB::Table)" in first
    assert "data: ObjectsTable: kinto-alone-objects" in first
    assert f"config: the functions of alone read {written}" in first
    assert "Add" not in second
    assert "config:" not in second


def test_a_stack_is_told_the_parameters_that_its_template_has(config: Path) -> None:
    change(config, "dev", stack_parameters={"KmsKeyArn": "arn:of:it", "LogRetentionDays": "7"})
    stage = deploy.Stage.read("dev", config)

    def given(template: Path) -> dict[str, str]:
        found = stack_arguments(stage, template)["Parameters"]
        return {it["ParameterKey"]: it["ParameterValue"] for it in found}

    assert given(TEMPLATE) == {"Stage": "dev", "KmsKeyArn": "arn:of:it"}
    assert given(OPERATIONS) == {
        "Stage": "dev",
        "KmsKeyArn": "arn:of:it",
        "LogRetentionDays": "7",
    }


def test_where_it_works_is_told_and_where_it_worked_before() -> None:
    stage = deploy.Stage.read("dev")
    new = deploy.told_account(stage, HERE)
    stage.set_stream(ELSEWHERE.replace("us-east-1:210987654321", f"{HERE.region}:{HERE.id}"))
    again = deploy.told_account(stage, HERE)
    stage.set_stream(ELSEWHERE)
    elsewhere = deploy.told_account(stage, HERE)

    stage.set_stream("any")

    with pytest.raises(deploy.StageError, match="no ARN: any"):
        deploy.told_account(stage, HERE)
    assert new == again == "account 123456789012, region eu-west-1"
    assert elsewhere == (
        "account 123456789012, region eu-west-1; .chalice/config.json has the stream of dev in"
        " account 210987654321, region us-east-1"
    )


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChaliceStage]:
    """A stage that was deployed, and a Chalice that does nothing."""
    remember = deploy.DeployedStage.remember
    monkeypatch.setattr(deploy, "chalice", lambda _: None)
    monkeypatch.setattr(
        deploy.DeployedStage,
        "remember",
        lambda deployed, resources: remember(deployed, resources, tmp_path),
    )
    with chalice_stage() as it:
        yield it


@pytest.mark.parametrize("configured", [None, ELSEWHERE])
def test_functions_are_not_deployed_to_read_another_stream(
    configured: str | None, there: ChaliceStage
) -> None:
    if configured:
        there.stage.set_stream(configured)

    with pytest.raises(deploy.DeployError, match="run the step config first"):
        [*deploy.deploy_functions(there.stage)]


def test_functions_of_a_package_are_not_deployed(there: ChaliceStage) -> None:
    there.stage.set_stream(there.stream)
    there.functions.delete_function(FunctionName=HANDLER)
    there.create_function("api_handler", "kinto-dev-functions-APIHandlerRole-1")

    with pytest.raises(deploy.StageError, match="was deployed from a package"):
        [*deploy.deploy_functions(there.stage)]


def test_deploying_tells_what_it_releases_enables_and_removes(
    there: ChaliceStage, tmp_path: Path
) -> None:
    before = there.stream
    there.stage.set_stream(there.restore_table())
    there.read("changes", there.stream)  # which Chalice does
    retry = there.of("retry")
    there.functions.update_event_source_mapping(UUID=retry, Enabled=False)
    there.functions.put_function_concurrency(FunctionName=HANDLER, ReservedConcurrentExecutions=0)

    told = [*deploy.deploy_functions(there.stage)]

    queue = there.mappings()[retry]["EventSourceArn"]
    assert told == [
        f"releases the reserved concurrency 0 of {HANDLER}",
        f"{HANDLER}-changes doesn't read {before} any more",
        f"{HANDLER}-retry reads {queue} again, which was disabled",
    ]
    assert there.mappings()[there.of("changes")]["EventSourceArn"] == there.stream
    remembered = (tmp_path / "deployed" / f"{NAME}.json").read_text()
    assert before not in remembered
    assert there.stream in remembered


@pytest.fixture
def topic() -> Iterator[str]:
    with mock_aws():
        yield boto3.client("sns").create_topic(Name="alarms")["TopicArn"]


def test_that_alarms_reach_nobody_is_told(topic: str) -> None:
    stage = deploy.Stage.read("dev")

    assert [*deploy.unreached(stage, topic)] == [
        "alarms reach nobody: set AlarmEmail in stack_parameters"
    ]


def test_whoever_has_not_confirmed_is_told(topic: str) -> None:
    stage = deploy.Stage.read("dev")
    stage.stack_parameters["AlarmEmail"] = "new@kinto.example"
    client = boto3.client("sns")
    ends = [{"Endpoint": "new@kinto.example", "SubscriptionArn": "PendingConfirmation"}]
    ends += [{"Endpoint": "old@kinto.example", "SubscriptionArn": f"{topic}:1"}]

    with Stubber(client) as stubber, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy.boto3, "client", lambda _: client)
        stubber.add_response("list_subscriptions_by_topic", {"Subscriptions": ends})
        told = [*deploy.unreached(stage, topic)]

    assert told == ["not confirmed yet: new@kinto.example"]
