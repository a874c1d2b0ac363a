"""What deploying would change: functions, what they read, and the API."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.settings import Settings
from infra import diff
from infra.api_gateway import Api, Gateway, Limits
from infra.gateway_answers import gateway_answers
from infra.stacks import Stack
from infra.stages import STREAM
from infra.template import logical_id
from tests.infra.chalice_stage import HANDLER, NAME, POLICY, ChaliceStage, chalice_stage

AT_ONCE = {"MaximumConcurrency": 20}


@pytest.fixture
def there() -> Iterator[ChaliceStage]:
    with chalice_stage() as it:
        yield it


def packaged(there: ChaliceStage) -> dict[str, Any]:
    """The template of a package that has just been deployed."""
    resources: dict[str, Any] = {}
    for name, function in there.stage.functions.items():
        role = f"{logical_id(name)}Role"
        configuration = there.functions.get_function_configuration(FunctionName=function)
        properties = {part: configuration.get(part) for part in diff._COMPARED}
        event = {"BatchSize": 1, "MaximumBatchingWindowInSeconds": 0}
        properties |= {
            "Tracing": "PassThrough",
            "Environment": {"Variables": {}},
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Events": {"Source": {"Properties": event}},
        }
        resources[logical_id(name)] = {"Properties": properties}
        resources[role] = {"Properties": {"Policies": [{"PolicyDocument": POLICY}]}}
    return {"Resources": resources}


@pytest.fixture
def template(there: ChaliceStage) -> dict[str, Any]:
    for function in there.stage.functions.values():
        there.functions.update_function_configuration(
            FunctionName=function, Environment={"Variables": {STREAM: there.stream}}
        )
    return packaged(there)


def differences(there: ChaliceStage, template: dict[str, Any]) -> list[str]:
    there_is = there.functions.get_function_configuration(FunctionName=HANDLER)["CodeSha256"]
    found = diff.of_functions(there.deployed, copy.deepcopy(template), there_is, there.stream)
    return [*found]


def test_what_is_as_it_would_be_is_not_told(there: ChaliceStage, template: dict[str, Any]) -> None:
    assert differences(there, template) == []


def test_a_source_that_is_missing_is_told(there: ChaliceStage, template: dict[str, Any]) -> None:
    uuid = there.of("purge")
    arn = there.mappings()[uuid]["EventSourceArn"]
    there.functions.delete_event_source_mapping(UUID=uuid)

    assert differences(there, template) == [f"functions: {HANDLER}-purge would read {arn}"]


def test_a_source_that_is_disabled_is_told(there: ChaliceStage, template: dict[str, Any]) -> None:
    uuid = there.of("deliver")
    arn = there.mappings()[uuid]["EventSourceArn"]
    there.functions.update_event_source_mapping(UUID=uuid, Enabled=False)

    assert differences(there, template) == [
        f"functions: {HANDLER}-deliver would read {arn} again, which is disabled"
    ]


def test_another_stream_is_told_with_that_of_before(
    there: ChaliceStage, template: dict[str, Any]
) -> None:
    before = there.stream
    after = there.restore_table()

    told = differences(there, template)

    assert told[:5] == [f"functions: {function}: {STREAM}" for function in functions(there)]
    assert told[5:] == [
        f"functions: {HANDLER}-changes would read {after}",
        f"functions: {before} would be read no more",
    ]


def functions(there: ChaliceStage) -> list[str]:
    return [*there.stage.functions.values()]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("BatchSize", 7), ("MaximumBatchingWindowInSeconds", 9), ("ScalingConfig", AT_ONCE)],
)
def test_how_a_source_is_read_is_compared(
    setting: str, value: Any, there: ChaliceStage, template: dict[str, Any]
) -> None:
    [event] = template["Resources"]["Retry"]["Properties"]["Events"].values()
    event["Properties"][setting] = value
    arn = there.mappings()[there.of("retry")]["EventSourceArn"]

    assert differences(there, template) == [
        f"functions: {HANDLER}-retry reads {arn} otherwise: {setting}"
    ]


@pytest.mark.parametrize(
    ("part", "value"), [("Layers", ["arn:of:a:layer"]), ("Tracing", "Active"), ("Timeout", 7)]
)
def test_a_functions_configuration_is_compared(
    part: str, value: Any, there: ChaliceStage, template: dict[str, Any]
) -> None:
    template["Resources"]["Retry"]["Properties"][part] = value

    assert differences(there, template) == [f"functions: {HANDLER}-retry: {part}"]


def test_a_policy_that_is_gone_differs(there: ChaliceStage, template: dict[str, Any]) -> None:
    role = f"kinto-serverless-{NAME}-retry"
    there.iam.delete_role_policy(RoleName=role, PolicyName=role)

    assert differences(there, template) == [f"functions: {HANDLER}-retry: policy"]


def test_a_brake_that_would_be_released_is_told(
    there: ChaliceStage, template: dict[str, Any]
) -> None:
    there.functions.put_function_concurrency(FunctionName=HANDLER, ReservedConcurrentExecutions=0)

    assert differences(there, template) == [
        f"functions: releases the reserved concurrency 0 of {HANDLER}"
    ]


def test_an_api_without_its_stage_gets_one(there: ChaliceStage) -> None:
    there.gateway.delete_stage(restApiId=there.api_id, stageName=NAME)
    gateway = Gateway(NAME, gateway_answers(Settings()), Limits())
    api = Api(there.gateway, there.iam, there.api_id, NAME)

    [change] = api.changes(gateway, "arn:of:the:log")
    change.make()

    assert change.tells == "a new gateway stage"
    stage = there.gateway.get_stage(restApiId=there.api_id, stageName=NAME)
    assert stage["deploymentId"]


def test_what_a_package_deployed_is_left_to_it(
    there: ChaliceStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.functions.delete_function(FunctionName=HANDLER)
    there.create_function("api_handler", "kinto-dev-functions-APIHandlerRole-1")
    monkeypatch.setattr(Stack, "diff", lambda *_, **__: [])

    *_, last = diff.differences(there.stage)

    assert last.startswith(f"functions: {HANDLER} was deployed from a package")
