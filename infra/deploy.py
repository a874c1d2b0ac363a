"""Deploying a stage: `python -m infra.deploy prod`, with the operator's AWS credentials.

In this order, and each step can be run alone: `python -m infra.deploy prod functions`.

- `secret`: where the secret is a parameter of Systems Manager that isn't there yet, a random one.
- `data`: the stack of tables and queues.
- `operations`: the stack of log groups, alarms and the dashboard.
- `config`: the stream of the table, into `.chalice/config.json`. Chalice wants its whole ARN,
  which is known only once there is one.
- `functions`: `chalice deploy`, which creates roles, functions, sources of events and the API.
- `gateway`: what Chalice can't set at the API, or overwrites.
- `release`: the functions' versions, to go back to.
- `check`: whether all functions are called, and the service answers.

A step finds out by itself what is left to do. So what was stopped, or failed, is run again.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from chalice.config import Config as Configured

from chalicelib.settings import SettingsError
from chalicelib.storage.tables import Tables
from infra.account import Account
from infra.adoption import adopt_tables
from infra.api_gateway import Api, Change, Gateway
from infra.chalice_state import DeployedStage
from infra.checking import CheckError, check, check_sources, url_of
from infra.releases import Releases
from infra.stacks import Stack, StackError
from infra.stage_secret import create_secret
from infra.stage_stacks import (
    DATA,
    OPERATIONS,
    data_stack,
    operations_stack,
    stack_arguments,
    stack_outputs,
)
from infra.stages import CONFIG, ROOT, Stage, StageError
from infra.version import deployed_commit

_NOT_CONFIRMED = "PendingConfirmation"  # in place of a subscription's ARN


class DeployError(Exception):
    """Why a stage can't be deployed, in one line."""


ERRORS = (
    *(DeployError, StageError, StackError, CheckError, SettingsError),
    *(BotoCoreError, ClientError, WaiterError),
)
"""What ends a deployment with one line."""


def main(name: str = "", *steps: str) -> int:
    """Deploy this stage, or these steps of it; gives the exit status."""
    try:
        if unknown := set(steps) - STEPS.keys():
            raise DeployError(f"no step: {', '.join(sorted(unknown))}; {', '.join(STEPS)} are")
        stage = Stage.read(name, CONFIG)
        check_stage(stage)
        print(told_account(stage, Account.of_caller()), flush=True)
        for step in steps or STEPS:
            for line in STEPS[step](stage):
                print(f"{step}: {line}", flush=True)
    except ERRORS as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def check_stage(stage: Stage) -> None:
    """Refuse what mustn't be deployed.

    Raises:
        StageError: its secret is one that everybody knows, its API can't be as configured, or what
            it has would be another stage's.
        SettingsError: a setting can't be read.
    """
    stage.secret  # noqa: B018 - refuses
    Gateway.of_stage(stage.config, stage.name)
    named: dict[str, str | None] = {"api_gateway_stage": stage.gateway_stage}
    for function in stage.functions:
        configured = Configured(stage.name, function, config_from_disk=stage.config)
        named[f"KINTO_STAGE of {function}"] = configured.environment_variables.get("KINTO_STAGE")
    for what, name in named.items():
        if name != stage.name:
            raise StageError(
                f"{what} is {name or 'missing'} in .chalice/config.json: the stage {stage.name} has"
                " its own name there"
            )


def told_account(stage: Stage, here: Account) -> str:
    """Where this works, in a line; and where it worked last, if that was elsewhere.

    Raises:
        StageError: what the configuration names isn't the ARN of a stream.
    """
    stream = stage.stream
    if stream is None or (there := Account.of_arn(stream)) == here:
        return str(here)
    return f"{here}; .chalice/config.json has the stream of {stage.name} in {there}"


def stream_of(stage: Stage) -> str:
    """The ARN of the table's stream; from the table, as that may have been restored since.

    Raises:
        DeployError: there is no table yet.
    """
    client = boto3.client("dynamodb")
    try:
        table = client.describe_table(TableName=Tables.of_stage(stage.name).objects)["Table"]
    except client.exceptions.ResourceNotFoundException as error:
        raise DeployError(f"there are no tables of {stage.name} yet") from error
    return str(table["LatestStreamArn"])


def api_id_of(deployed: DeployedStage) -> str:
    """The API of a stage.

    Raises:
        DeployError: there is none.
    """
    found = deployed.api_id()
    if found is None:
        raise DeployError(f"the stage {deployed.stage.name} has no API yet")
    return found


def put_data(stage: Stage) -> Iterator[str]:
    """Create or update the stack of tables and queues; it takes in what is there without one."""
    yield from adopt_tables(boto3.client("cloudformation"), stage)
    yield from _put(data_stack(stage), **stack_arguments(stage, DATA))


def put_operations(stage: Stage) -> Iterator[str]:
    """Create or update the stack of log groups, alarms and the dashboard."""
    stack = operations_stack(stage)
    yield from _put(stack, **stack_arguments(stage, OPERATIONS))
    yield from unreached(stage, stack_outputs(stack)["AlarmsTopicArn"])


def unreached(stage: Stage, topic_arn: str) -> Iterator[str]:
    """Whom alarms don't reach, a line each."""
    if not stage.stack_parameters.get("AlarmEmail"):
        yield "alarms reach nobody: set AlarmEmail in stack_parameters"
    pages = boto3.client("sns").get_paginator("list_subscriptions_by_topic")
    for page in pages.paginate(TopicArn=topic_arn):
        for subscription in page["Subscriptions"]:
            if subscription["SubscriptionArn"] == _NOT_CONFIRMED:
                yield f"not confirmed yet: {subscription['Endpoint']}"


def write_stream(stage: Stage) -> Iterator[str]:
    """Write the stream's ARN into the stage's configuration."""
    arn = stream_of(stage)
    if stage.set_stream(arn):
        stage.write(CONFIG)
        yield f"the functions of {stage.name} read {arn}"


def deploy_functions(stage: Stage) -> Iterator[str]:
    """Have Chalice deploy; it prints what it does.

    Raises:
        DeployError: the configuration has the stream of another table, or Chalice failed.
        StageError: the stage was deployed from a package.
    """
    stream = stream_of(stage)
    if stage.stream != stream:
        raise DeployError(
            f"the stream of {stage.name} is {stream}, which isn't in .chalice/config.json: run the"
            " step config first"
        )
    deployed = DeployedStage.connect(stage)
    deployed.refuse_package()
    yield from deployed.concurrency_changes()
    yield from deployed.stop_tracing()
    deployed.sources.settle()
    deployed.remember(deployed.to_deploy_on(stream))
    chalice([stage.name, "deploy"])
    yield from deployed.sources.remove(deployed.sources.others(stream))
    yield from deployed.sources.enable(stream)


def set_up_gateway(stage: Stage) -> Iterator[str]:
    """Set what Chalice can't, or overwrites."""
    for change in gateway_changes(stage):
        change.make()
        yield change.tells
    deployed = DeployedStage.connect(stage)
    yield from deployed.domain.leads_elsewhere(api_id_of(deployed))


def publish(stage: Stage) -> Iterator[str]:
    """Keep what is deployed as a release."""
    releases = Releases(stage, boto3.client("lambda"))
    if changed := releases.publish(deployed_commit(ROOT)):
        yield f"{releases.names()[-1]}: {', '.join(changed)}"


def check_service(stage: Stage) -> Iterator[str]:
    """See whether all functions are called, and ask the service whether all is well."""
    deployed = DeployedStage.connect(stage)
    yield check_sources(deployed.sources, stream_of(stage))
    endpoint_url = deployed.gateway.meta.endpoint_url
    yield check(url_of(api_id_of(deployed), stage.gateway_stage, endpoint_url))


Step = Callable[[Stage], Iterator[str]]

STEPS: dict[str, Step] = {
    "secret": create_secret,
    "data": put_data,
    "operations": put_operations,
    "config": write_stream,
    "functions": deploy_functions,
    "gateway": set_up_gateway,
    "release": publish,
    "check": check_service,
}
"""What deploying consists of, in its order. Each gives what it has changed, a line each."""


def gateway_changes(stage: Stage) -> list[Change]:
    """What is not as it should be at the API."""
    patient = Config(retries={"mode": "standard", "max_attempts": 10})
    api = Api(
        boto3.client("apigateway", config=patient),
        boto3.client("iam"),
        api_id_of(DeployedStage.connect(stage)),
        stage.gateway_stage,
    )
    arn = stack_outputs(operations_stack(stage))["AccessLogGroupArn"]
    return api.changes(Gateway.of_stage(stage.config, stage.name), arn)


def chalice(arguments: Sequence[str]) -> None:
    """Run a command of Chalice; it prints what it does.

    Raises:
        DeployError: it failed.
    """
    command = [sys.executable, "-m", "infra.chalice_command", *arguments]
    status = subprocess.call(command, cwd=ROOT, env=_without_settings())  # noqa: S603  # our own
    if status:
        raise DeployError(f"chalice {' '.join(arguments)} ended with {status}")


def _put(stack: Stack, **arguments: Any) -> Iterator[str]:
    yield from stack.put(**arguments)
    for name, value in sorted(stack.outputs().items()):
        yield f"{name}: {value}"


def _without_settings() -> dict[str, str]:
    """Our environment, but for settings: the stage's are those of its configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KINTO_")}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
