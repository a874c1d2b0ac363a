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
from chalice.config import Config

from infra.domains import Domain
from infra.event_sources import EventSources
from infra.stages import API, APP, CONFIG, Stage, StageError

_SQS = "sqs"
_RESOURCE_TYPES = {"dynamodb": "dynamodb_event", _SQS: "sqs_event"}

Resource = dict[str, Any]
"""Something that is deployed, as Chalice writes it down."""


@dataclass(frozen=True, slots=True)
class DeployedStage:
    """The functions and the API of a stage, as far as they are deployed.

    Attributes:
        stage: whose they are.
        gateway: client of boto3, for API Gateway.
        functions: client of boto3, for Lambda.
        iam: client of boto3.
    """

    stage: Stage
    gateway: Any
    functions: Any
    iam: Any

    @classmethod
    def connect(cls, stage: Stage) -> "DeployedStage":
        """With clients of the operator's account and region."""
        return cls(stage, *map(boto3.client, ("apigateway", "lambda", "iam")))

    @property
    def sources(self) -> EventSources:
        """What the functions read."""
        return EventSources(self.stage, self.functions)

    @property
    def domain(self) -> Domain:
        """Where clients find the API, if that isn't its own address."""
        return Domain(self.stage, self.gateway)

    def remember(self, resources: list[Resource], folder: Path = CONFIG.parent) -> None:
        """Write this down as Chalice does, for it to go on from there."""
        file = folder / "deployed" / f"{self.stage.name}.json"
        file.parent.mkdir(exist_ok=True)
        state = {"resources": resources, "schema_version": "2.0", "backend": "api"}
        file.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    def to_deploy_on(self, stream_arn: str) -> list[Resource]:
        """What `chalice deploy` is to go on from.

        Of sources those alone that are to stay: Chalice would take one that reads another stream
        for this, and create none.

        Args:
            stream_arn: of the table's stream.
        """
        sources = self.sources.wanted(stream_arn).items()
        return [
            *self.to_delete(),
            *(_source(name, mapping) for name, mapping in sources),
            *self.domain.remembered(self.api_id()),
        ]

    def to_delete(self) -> list[Resource]:
        """What `chalice delete` is to delete, the last first: roles, functions and the API."""
        return [*self._roles_and_functions(), *self._api()]

    def api_id(self) -> str | None:
        """The API whose requests the stage's function answers; None where there is none yet.

        Raises:
            StageError: there are several, and no way to know which of them clients use.
        """
        function = self.stage.functions[API]
        arn = f":function:{function}/invocations"
        pages = self.gateway.get_paginator("get_rest_apis").paginate()
        found: list[str] = [
            api["id"]
            for page in pages
            for api in page["items"]
            if api["name"] == APP and arn in self._integration_of(api["id"])
        ]
        if len(found) > 1:
            raise StageError(
                f"several APIs lead to {function}: {', '.join(found)}; delete those that nobody"
                " uses (aws apigateway delete-rest-api)"
            )
        return found[0] if found else None

    def configuration_of(self, function: str) -> dict[str, Any] | None:
        """What Lambda knows of a function; None where there is none."""
        try:
            found: dict[str, Any] = self.functions.get_function_configuration(FunctionName=function)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        return found

    def role_name(self, name: str) -> str:
        """What Chalice calls a function's role, and the policy in it.

        Args:
            name: of the function, as Chalice calls it.
        """
        return f"{APP}-{self.stage.name}-{name}"

    def refuse_package(self) -> None:
        """Have what CloudFormation deployed be left to it.

        Raises:
            StageError: a function has a role that Chalice hasn't made.
        """
        for name, function in self.stage.functions.items():
            found = self.configuration_of(function)
            role = found["Role"].rpartition("/")[2] if found else self.role_name(name)
            if role != self.role_name(name):
                raise StageError(
                    f"{function} was deployed from a package (its role is {role}): deploy the next"
                    " package there, or delete the stack of the package first"
                )

    def concurrency_changes(self) -> Iterator[str]:
        """What deploying does to reserved concurrencies, which may brake a function; a line each.

        Chalice removes one that isn't configured.
        """
        for name, function in self.stage.functions.items():
            if self.configuration_of(function) is None:
                continue
            asked = self.functions.get_function_concurrency(FunctionName=function)
            found = asked.get("ReservedConcurrentExecutions")
            config = Config(self.stage.name, name, config_from_disk=self.stage.config)
            wanted = config.reserved_concurrency
            if found == wanted:
                continue
            if wanted is None:
                yield f"releases the reserved concurrency {found} of {function}"
            else:
                yield f"sets the reserved concurrency of {function} to {wanted}"

    def stop_tracing(self) -> Iterator[str]:
        """Have no function traced that isn't to be: Chalice turns it on, but never off."""
        for name, function in self.stage.functions.items():
            found = self.configuration_of(function)
            config = Config(self.stage.name, name, config_from_disk=self.stage.config)
            if found is None or config.xray_enabled or not _is_traced(found):
                continue
            self.functions.update_function_configuration(
                FunctionName=function, TracingConfig={"Mode": "PassThrough"}
            )
            self.functions.get_waiter("function_updated_v2").wait(FunctionName=function)
            yield f"{function} is traced no more"

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

    def _roles_and_functions(self) -> Iterator[Resource]:
        """A role before its function: stopped in between, Chalice would leave a role otherwise."""
        for name, function in self.stage.functions.items():
            role = self._role(self.role_name(name))
            if role is not None:
                yield {
                    "name": f"{name}_role",
                    "resource_type": "iam_role",
                    "role_arn": role["Arn"],
                    "role_name": role["RoleName"],
                }
            found = self.configuration_of(function)
            if found is not None:
                yield {
                    "name": name,
                    "resource_type": "lambda_function",
                    "lambda_arn": found["FunctionArn"],
                }

    def _role(self, name: str) -> dict[str, Any] | None:
        try:
            role: dict[str, Any] = self.iam.get_role(RoleName=name)["Role"]
        except self.iam.exceptions.NoSuchEntityException:
            return None
        return role

    def _api(self) -> Iterator[Resource]:
        if api_id := self.api_id():
            yield {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api_id}


def _is_traced(configuration: dict[str, Any]) -> bool:
    return bool(configuration.get("TracingConfig", {}).get("Mode") == "Active")


def _source(name: str, mapping: dict[str, Any]) -> Resource:
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
