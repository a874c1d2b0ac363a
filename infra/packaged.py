"""The application as it ships, deployed by CloudFormation: to an emulator, for tests and trials."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from infra.emulator import ROOT_KEYS
from infra.packaging import ARCHIVE, FORMATS
from infra.stacks import Stack, parameters
from infra.stage_stacks import DATA, OPERATIONS, stack_arguments
from infra.stages import Stage
from infra.template import STREAM_PARAMETER

TEMPLATE = FORMATS["cloudformation"].template

_POLLS = {"Delay": 0.2, "MaxAttempts": 600}


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

    def stack(self, name: str) -> Stack:
        """A stack of this name."""
        return Stack(self.cloudformation, name, _POLLS)


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


def deploy(clients: Clients, stage: str, package: Path, variables: Mapping[str, str]) -> Deployment:
    """Create or update the stacks of data, of operations and of functions.

    Args:
        clients: of the endpoint.
        stage: that was packaged.
        package: the folder with it.
        variables: what all functions have in their environment, beyond what their stage has.
    """
    configured = Stage.read(stage)
    data = clients.stack(f"kinto-{stage}-data")
    for stack, template in (
        (data, DATA),
        (clients.stack(f"kinto-{stage}-operations"), OPERATIONS),
    ):
        stack.put(**stack_arguments(configured, template))
    functions = clients.stack(f"kinto-{stage}-functions")
    stream = data.outputs()[STREAM_PARAMETER]
    functions.put(
        TemplateURL=_uploaded(clients.s3, stage, package, variables),
        Parameters=parameters({STREAM_PARAMETER: stream}),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    return Deployment(
        stage,
        functions.outputs()["RestAPIId"],
        configured.gateway_stage,
        _function_names(clients.cloudformation, functions.name),
    )


def _uploaded(client: Any, stage: str, package: Path, variables: Mapping[str, str]) -> str:
    """The address of the template: as a part of a request, it has 51,200 bytes at most."""
    bucket = f"kinto-{stage}-package"
    _create_bucket(client, bucket)
    code = (package / ARCHIVE).read_bytes()
    key = f"{hashlib.sha256(code).hexdigest()}.zip"  # another name is how it is known to change
    client.put_object(Bucket=bucket, Key=key, Body=code)
    template = json.loads((package / TEMPLATE).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{bucket}/{key}"
            resource["Properties"]["Environment"]["Variables"].update(variables)
    client.put_object(Bucket=bucket, Key=TEMPLATE, Body=json.dumps(template))
    return f"{client.meta.endpoint_url}/{bucket}/{TEMPLATE}"


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
