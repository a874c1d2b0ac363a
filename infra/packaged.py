"""The application as it ships: packaged by Chalice, deployed by CloudFormation.

What `chalice package` writes is the same for all deployments of a stage, but for the stream: so it
is packaged once, and each deployment puts its own stream and settings into the template.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from infra.deploy import deploy_data, put_stack
from infra.emulator import ROOT_KEYS

ROOT = Path(__file__).parents[1]
SHIPPED = ("app.py", "chalicelib", "requirements.txt", ".chalice")

TEMPLATE = "sam.json"
ARCHIVE = "deployment.zip"

_STREAM = "KINTO_OBJECTS_STREAM_ARN"
_ANY_STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/any/stream/any"
_NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
_POLLS = {"Delay": 0.2, "MaxAttempts": 600}


class PackageError(Exception):
    """The application can't be packaged; says why."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of boto3 that a deployment needs."""

    cloudformation: Any
    s3: Any

    @classmethod
    def connect(cls, url: str) -> "Clients":
        """Clients of an emulator that deploys."""
        connect = partial(boto3.client, endpoint_url=url, **ROOT_KEYS)
        return cls(*map(connect, ("cloudformation", "s3")))


@dataclass(frozen=True, slots=True)
class Deployment:
    """An application that is deployed.

    Attributes:
        stage: of the tables, the queues and the functions.
        api_id: names the API, and so its host.
        api_stage: the first element of its addresses' paths.
        functions: their names by logical id; the API's is `APIHandler`.
    """

    stage: str
    api_id: str
    api_stage: str
    functions: Mapping[str, str]

    def url(self, port: int) -> str:
        """Where the API is on an emulator that listens on this port."""
        return f"http://{self.api_id}.execute-api.localhost:{port}/{self.api_stage}"


def package(out: Path, stage: str, *, build: Path) -> Path:
    """Package what ships for a stage of `.chalice/config.json`; gives `out`, with template and zip.

    Args:
        out: the folder to write to.
        stage: whose policies and settings it has.
        build: a folder that is kept: as long as the requirements are the same, the wheels in it
            are used again. Others that use it meanwhile are waited for.

    Raises:
        PackageError: there is no such stage, or Chalice can't: it says what Chalice says.
    """
    with _locked(build):
        _copy_shipped(build)
        _name_any_stream(build / ".chalice" / "config.json", stage)
        chalice = Path(sys.executable).with_name("chalice")
        done = subprocess.run(  # noqa: S603  # our own program
            [chalice, "package", "--stage", stage, out.absolute()],
            cwd=build,
            env=_environment(),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise PackageError(f"chalice package: {done.stdout}{done.stderr}".strip())
    return out


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy_shipped(build: Path) -> None:
    shutil.rmtree(build / "chalicelib", ignore_errors=True)  # what it has no more, mustn't ship
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, build / name, ignore=_NOT_SHIPPED, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, build / name)


def _name_any_stream(config_file: Path, stage: str) -> None:
    config = json.loads(config_file.read_text(encoding="utf-8"))
    if stage not in config["stages"]:
        raise PackageError(f"there is no stage {stage} in .chalice/config.json")
    config["stages"][stage].setdefault("environment_variables", {})[_STREAM] = _ANY_STREAM
    config_file.write_text(json.dumps(config), encoding="utf-8")


def _environment() -> dict[str, str]:
    """Our own, but for what would change what is packaged, or measure the coverage of a copy."""
    others = ("AWS_", "COVERAGE_", "KINTO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"AWS_DEFAULT_REGION": "us-east-1"}


def deploy(clients: Clients, stage: str, package: Path, variables: Mapping[str, str]) -> Deployment:
    """Create or update the stacks of data and of functions.

    Args:
        clients: of the endpoint.
        stage: that was packaged.
        package: the folder with it.
        variables: what all functions have in their environment, beyond what their stage has.
    """
    stream = deploy_data(clients.cloudformation, stage)["ObjectsStreamArn"]
    template = json.loads(
        (package / TEMPLATE).read_text(encoding="utf-8").replace(_ANY_STREAM, stream)
    )
    bucket = f"kinto-{stage}-package"
    _create_bucket(clients.s3, bucket)
    clients.s3.upload_file(str(package / ARCHIVE), bucket, ARCHIVE)
    for function in _functions(template).values():
        function["CodeUri"] = f"s3://{bucket}/{ARCHIVE}"
        function["Environment"]["Variables"].update(variables)
    clients.s3.put_object(Bucket=bucket, Key=TEMPLATE, Body=json.dumps(template))
    name = f"kinto-{stage}-functions"
    url = f"{clients.s3.meta.endpoint_url}/{bucket}/{TEMPLATE}"
    arguments = {
        "StackName": name,
        "TemplateURL": url,  # as a body, it has 51,200 bytes at most
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    outputs = put_stack(clients.cloudformation, arguments, _POLLS)
    return Deployment(
        stage,
        outputs["RestAPIId"],
        outputs["EndpointURL"].rstrip("/").rpartition("/")[2],
        _function_names(clients.cloudformation, name),
    )


def _functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _create_bucket(client: Any, name: str) -> None:
    region = client.meta.region_name
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=name, **({} if region == "us-east-1" else place))


def _function_names(client: Any, stack: str) -> dict[str, str]:
    resources = client.describe_stack_resources(StackName=stack)["StackResources"]
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
