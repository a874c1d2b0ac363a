"""A stage on moto as `chalice deploy` leaves it, with what a test does to it."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from moto import mock_aws

from infra.chalice_state import DeployedStage
from infra.event_sources import wanted_sources
from infra.queues import queue_resources
from infra.stages import API, Stage

NAME = "dev"
TABLE = f"kinto-{NAME}-objects"
HANDLER = f"kinto-serverless-{NAME}"
TRUST = {"Version": "2012-10-17", "Statement": []}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
}


def _code() -> bytes:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), "")
    return code.getvalue()


CODE = _code()  # the same for all functions, whenever they are made
_client = cache(boto3.client)  # making one takes longer than all that is done with it


class ChaliceStage:
    """Table, queues, roles, functions, what they read, and the API."""

    def __init__(self) -> None:
        self.stage = Stage.read(NAME)
        self.dynamodb, self.sqs = _client("dynamodb"), _client("sqs")
        self.functions, self.iam = _client("lambda"), _client("iam")
        self.gateway = _client("apigateway")
        self.deployed = DeployedStage(self.stage, self.gateway, self.functions, self.iam)
        self.stream = self.create_table()
        for queue in queue_resources(NAME).values():
            fifo = {"FifoQueue": "true"} if queue.get("FifoQueue") else {}
            attributes = {"VisibilityTimeout": "900", **fifo}
            self.sqs.create_queue(QueueName=queue["QueueName"], Attributes=attributes)
        for name in self.stage.functions:
            self.create_function(name)
        for name, arn in wanted_sources(self.stage, self.stream).items():
            self.read(name, arn)
        self.api_id = self.create_api()

    def create_table(self) -> str:
        """Create the table of objects; gives its stream."""
        table = self.dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        stream: str = table["TableDescription"]["LatestStreamArn"]
        return stream

    def create_function(self, name: str, role: str | None = None) -> None:
        """Create a function with its role, of this name instead of Chalice's."""
        role = role or f"kinto-serverless-{NAME}-{name}"
        document = json.dumps(TRUST)
        created = self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)
        self.iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(POLICY))
        self.functions.create_function(
            FunctionName=self.stage.functions[name],
            Runtime="python3.11",
            Role=created["Role"]["Arn"],
            Handler="app.app",
            Code={"ZipFile": CODE},
        )

    def read(self, name: str, arn: str) -> str:
        """Have a function read this; gives the id of the mapping."""
        position = {} if ":sqs:" in arn else {"StartingPosition": "TRIM_HORIZON"}
        created = self.functions.create_event_source_mapping(
            FunctionName=self.stage.functions[name], EventSourceArn=arn, BatchSize=1, **position
        )
        uuid: str = created["UUID"]
        return uuid

    def create_api(self, name: str = "kinto-serverless") -> str:
        """Create an API that leads to the stage's function; gives its id."""
        api_id: str = self.gateway.create_rest_api(name=name)["id"]
        [root] = self.gateway.get_resources(restApiId=api_id)["items"]
        method = {"restApiId": api_id, "resourceId": root["id"], "httpMethod": "GET"}
        self.gateway.put_method(**method, authorizationType="NONE")
        function = self.functions.get_function_configuration(FunctionName=self.stage.functions[API])
        self.gateway.put_integration(
            **method,
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=(
                "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
                f"{function['FunctionArn']}/invocations"
            ),
        )
        self.gateway.create_deployment(restApiId=api_id, stageName=NAME)
        return api_id

    def mappings(self) -> dict[str, dict[str, Any]]:
        """All event source mappings there are, by their ids."""
        found = self.functions.list_event_source_mappings()["EventSourceMappings"]
        return {it["UUID"]: it for it in found}

    def of(self, name: str) -> str:
        """The id of a function's only mapping."""
        [found] = [
            uuid
            for uuid, it in self.mappings().items()
            if it["FunctionArn"].endswith(f":{self.stage.functions[name]}")
        ]
        return found

    def restore_table(self) -> str:
        """Have the table be another one; gives its stream."""
        self.dynamodb.delete_table(TableName=TABLE)
        self.stream = self.create_table()
        return self.stream


@contextmanager
def chalice_stage() -> Iterator[ChaliceStage]:
    """One that is there as long as this is."""
    with pytest.MonkeyPatch.context() as patch:
        # moto imports it for definitions of APIs, of which there are none here.
        for name in ("", ".validation", ".validation.exceptions"):
            patch.setitem(sys.modules, f"openapi_spec_validator{name}", Mock())
        with mock_aws():
            yield ChaliceStage()
