"""What Chalice has to know of an earlier deployment, found on AWS itself.

Chalice keeps this in a file, `.chalice/deployed/STAGE.json`, which it writes at the very end: on
another machine, or after a deployment that was stopped, it would create a second API, and fail at
sources of events that exist. So the file is written anew before Chalice runs.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.stages import API, APP, CONFIG, Stage

_SQS = "sqs"
_RESOURCE_TYPES = {"dynamodb": "dynamodb_event", _SQS: "sqs_event"}


@dataclass(frozen=True, slots=True)
class DeployedStage:
    """The functions and the API of a stage, as far as they are deployed.

    Attributes:
        stage: whose they are.
        gateway: client of boto3, for API Gateway.
        functions: client of boto3, for Lambda.
    """

    stage: Stage
    gateway: Any
    functions: Any

    @classmethod
    def connect(cls, stage: Stage) -> "DeployedStage":
        """With clients of the operator's account and region."""
        return cls(stage, boto3.client("apigateway"), boto3.client("lambda"))

    def remember(self, folder: Path = CONFIG.parent) -> None:
        """Write what is deployed as Chalice does, for it to go on from there."""
        file = folder / "deployed" / f"{self.stage.name}.json"
        file.parent.mkdir(exist_ok=True)
        state = {"resources": self.resources(), "schema_version": "2.0", "backend": "api"}
        file.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    def resources(self) -> list[dict[str, str]]:
        """What is deployed, as Chalice writes it down."""
        return [*self._functions(), *self._sources(), *self._api()]

    def api_id(self) -> str | None:
        """The API whose requests the stage's function answers; None where there is none yet."""
        arn = f":function:{self.stage.functions[API]}/invocations"
        pages = self.gateway.get_paginator("get_rest_apis").paginate()
        for api in (api for page in pages for api in page["items"]):
            if api["name"] == APP and arn in self._integration_of(api["id"]):
                found: str = api["id"]
                return found
        return None

    def configuration_of(self, function: str) -> dict[str, Any] | None:
        """What Lambda knows of a function; None where there is none."""
        try:
            found: dict[str, Any] = self.functions.get_function_configuration(FunctionName=function)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        return found

    def remove_other_sources(self, stream_arn: str) -> list[str]:
        """Have `changes` read this stream alone: others are those of tables that are gone.

        Gives their ARNs.
        """
        others = [
            mapping
            for mapping in self._mappings(self.stage.functions["changes"])
            if mapping["EventSourceArn"] != stream_arn
        ]
        for mapping in others:
            self.functions.delete_event_source_mapping(UUID=mapping["UUID"])
        return [mapping["EventSourceArn"] for mapping in others]

    def _integration_of(self, api_id: str) -> str:
        """Where the API sends what asks for its root."""
        pages = self.gateway.get_paginator("get_resources").paginate(
            restApiId=api_id, embed=["methods"]
        )
        methods = (
            method
            for page in pages
            for resource in page["items"]
            for method in resource.get("resourceMethods", {}).values()
        )
        return next((method.get("methodIntegration", {}).get("uri", "") for method in methods), "")

    def _functions(self) -> Iterator[dict[str, str]]:
        for name, function in self.stage.functions.items():
            found = self.configuration_of(function)
            if found is not None:
                role = found["Role"]
                yield {
                    "name": name,
                    "resource_type": "lambda_function",
                    "lambda_arn": found["FunctionArn"],
                }
                yield {
                    "name": f"{name}_role",
                    "resource_type": "iam_role",
                    "role_arn": role,
                    "role_name": role.rpartition("/")[2],
                }

    def _sources(self) -> Iterator[dict[str, str]]:
        for name, function in self.stage.functions.items():
            for mapping in self._mappings(function):
                yield _source(name, mapping)

    def _mappings(self, function: str) -> list[dict[str, Any]]:
        pages = self.functions.get_paginator("list_event_source_mappings").paginate(
            FunctionName=function
        )
        return [mapping for page in pages for mapping in page["EventSourceMappings"]]

    def _api(self) -> Iterator[dict[str, str]]:
        if api_id := self.api_id():
            yield {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api_id}


def _source(name: str, mapping: dict[str, Any]) -> dict[str, str]:
    arn = mapping["EventSourceArn"]
    service = arn.split(":")[2]
    source = {
        "name": f"{name}-{service}-event-source",
        "resource_type": _RESOURCE_TYPES[service],
        "event_uuid": mapping["UUID"],
        "lambda_arn": mapping["FunctionArn"],
    }
    if service == _SQS:
        return source | {"queue_arn": arn, "queue": arn.rpartition(":")[2]}
    return source | {"stream_arn": arn}
