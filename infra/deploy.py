"""Deploying a stage: `python -m infra.deploy prod`. First its tables and queues, then functions.

Chalice wants to be told the whole ARN of the stream, which is known only once there is one: so it
is written into the stage's variables in between.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.tables import TEMPLATE

CONFIG = Path(__file__).parents[1] / ".chalice" / "config.json"

POLLS = {"Delay": 2, "MaxAttempts": 900}
"""Stacks are looked at as often as this, in seconds, and half an hour."""

_SECRET = "KINTO_USERID_HMAC_SECRET"  # noqa: S105  # the name of it
_EXAMPLE = "change-me"
_STREAM = "KINTO_OBJECTS_STREAM_ARN"


class DeployError(Exception):
    """Why a stage can't be deployed, in one line."""


def main(stage: str) -> int:
    """Deploy this stage; gives the exit status."""
    try:
        check_stage(stage, json.loads(CONFIG.read_text(encoding="utf-8")))
        outputs = deploy_data(boto3.client("cloudformation"), stage)
    except (DeployError, BotoCoreError, ClientError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    for name, value in sorted(outputs.items()):
        print(f"{name}: {value}", flush=True)
    if set_stream(CONFIG, stage, outputs["ObjectsStreamArn"]):
        print(f"{_STREAM} of the stage {stage} is set to this stream in {CONFIG}", flush=True)
    chalice = Path(sys.executable).with_name("chalice")
    return subprocess.call([chalice, "deploy", "--stage", stage])  # noqa: S603  # checked above


def check_stage(stage: str, config: dict[str, Any]) -> None:
    """Refuse what mustn't be deployed.

    Raises:
        DeployError: no stage is given, or it isn't configured, or has no secret of its own.
    """
    if not stage:
        raise DeployError("which stage? make deploy STAGE=prod")
    if stage not in config["stages"]:
        raise DeployError(f"there is no stage {stage} in .chalice/config.json")
    variables = config["stages"][stage].get("environment_variables", {})
    if variables.get(_SECRET, _EXAMPLE) in ("", _EXAMPLE):
        raise DeployError(f"set {_SECRET} of the stage {stage} in .chalice/config.json")


def deploy_data(client: Any, stage: str) -> dict[str, str]:
    """Create or update the stack of tables and queues, and wait for it; gives its outputs.

    Args:
        client: of boto3, for CloudFormation.
        stage: names the stack, its tables and its queues.
    """
    name = f"kinto-{stage}-data"
    arguments = {
        "StackName": name,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [{"ParameterKey": "Stage", "ParameterValue": stage}],
    }
    return put_stack(client, arguments, POLLS)


def put_stack(client: Any, arguments: dict[str, Any], polls: Mapping[str, float]) -> dict[str, str]:
    """Create or update a stack, and wait for it; gives its outputs.

    Args:
        client: of boto3, for CloudFormation.
        arguments: of both calls.
        polls: how often it is looked at, as boto3's waiters have it.
    """
    name = arguments["StackName"]
    if not _exists(client, name):
        client.create_stack(**arguments)
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=polls)
    elif _update(client, arguments):
        client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=polls)
    stack = client.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def set_stream(file: Path, stage: str, arn: str) -> bool:
    """Have the stage's variables in Chalice's configuration name the stream; False if they do."""
    config = json.loads(file.read_text(encoding="utf-8"))
    variables = config["stages"][stage]["environment_variables"]
    if variables.get(_STREAM) == arn:
        return False
    variables[_STREAM] = arn
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return True


def _exists(client: Any, name: str) -> bool:
    try:
        client.describe_stacks(StackName=name)
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    return True


def _update(client: Any, arguments: dict[str, Any]) -> bool:
    """Begin an update; False where there is nothing to update."""
    try:
        client.update_stack(**arguments)
    except ClientError as error:
        if "No updates" in str(error):
            return False
        raise
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
