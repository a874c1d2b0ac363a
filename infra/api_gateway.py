"""API Gateway as a stage wants it, beyond what Chalice sets: its answers, access log and limits.

Two ways in. A package has it all in its template (`template_additions`). After `chalice deploy`,
which overwrites the gateway's answers each time, it is applied to the API (`Api`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from chalicelib.settings import Settings
from infra.gateway_answers import LOG_FORMAT, GatewayAnswer, gateway_answers
from infra.stages import API, APP, StageError

LOG_ROLE: Final = f"{APP}-api-gateway-logs"
"""The role that lets API Gateway write logs, where the account has given it none."""

_LOG_POLICY = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_NEW_ROLE_S = 60.0  # until another service sees a role that was just made
_NEW_ROLE_POLL_S = 3.0

_TLS = "TLS_1_2"  # Chalice's default
# Chalice's bounds end before Terraform 1.4, and before the provider knew Python 3.11.
_TERRAFORM = {
    "required_version": ">= 1.4",
    "required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.11"}},
}

_ALL_METHODS = "*/*"
_DETAILED_METRICS = False
"""By method, they are some 500 metrics, billed each. The access log tells the same by path."""


class Limits(NamedTuple):
    """What a stage takes before it answers 429.

    An account has 10,000 requests a second, in bursts of 5,000, for all of its APIs in a region:
    by default a stage takes no more than a tenth of both, and whoever runs wild costs no more.
    """

    rate_per_s: float = 1000.0
    burst: int = 500


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a stage's API is to have.

    Attributes:
        stage: of `.chalice/config.json`.
        answers: the gateway's own, by response type.
        limits: of all methods together.
        has_domain: whether it has a domain of its own.
        is_traced: whether X-Ray is told of its requests, and decides which.
    """

    stage: str
    answers: Mapping[str, GatewayAnswer]
    limits: Limits
    has_domain: bool = False
    is_traced: bool = False

    @classmethod
    def of_stage(cls, config: dict[str, Any], stage: str) -> "Gateway":
        """As Chalice's configuration has it.

        Its limits are the stage's `api_gateway_limits`, if there are any: `rate_per_s`, `burst`.

        Args:
            config: the content of `.chalice/config.json`.
            stage: one that it has.

        Raises:
            SettingsError: a setting of the stage can't be read; names the variable.
            StageError: its limits or its domain can't be.
        """
        settings = Settings.from_environment(_variables(config, stage))
        of_stage = config["stages"][stage]
        return cls(
            stage,
            gateway_answers(settings),
            _limits(of_stage),
            has_domain=_has_domain(config | of_stage),
            is_traced=(config | of_stage).get("xray", False),
        )

    @property
    def mark(self) -> str:
        """Describes a deployment with these answers, so that one without them is known."""
        answers = json.dumps(self.answers, sort_keys=True).encode()
        return f"gateway answers {hashlib.sha256(answers).hexdigest()[:16]}"


class Change(NamedTuple):
    """Something that isn't as it is to be.

    Attributes:
        tells: what, in one line.
        make: makes it so.
    """

    tells: str
    make: Callable[[], object]


def _limits(of_stage: Mapping[str, Any]) -> Limits:
    try:
        given = Limits(**of_stage.get("api_gateway_limits", {}))
        return Limits(float(given.rate_per_s), int(given.burst))
    except (TypeError, ValueError) as error:
        raise StageError(
            'api_gateway_limits in .chalice/config.json: {"rate_per_s": 1000, "burst": 500}, say'
        ) from error


def _has_domain(config: Mapping[str, Any]) -> bool:
    domain = config.get("api_gateway_custom_domain")
    if not domain:
        return False
    # Below a prefix no address would be known.
    if domain.get("url_prefix", "/") != "/" or domain.get("tls_version", _TLS) != _TLS:
        raise StageError(
            "api_gateway_custom_domain in .chalice/config.json: the service is at the domain's root"
            f' ("url_prefix": "/"), and speaks nothing older than TLS 1.2 ("tls_version": "{_TLS}")'
        )
    return True


def _variables(config: Mapping[str, Any], stage: str) -> dict[str, str]:
    """What the API's function has in its environment; the narrower scope comes last."""
    scopes = (config, config["stages"][stage])
    of_functions = [scope.get("lambda_functions", {}).get(API, {}) for scope in scopes]
    return {
        name: value
        for scope in (*scopes, *of_functions)
        for name, value in scope.get("environment_variables", {}).items()
    }


def access_log_group(stage: str) -> str:
    """The log group of a stage's access log; it must be there before the log is."""
    return f"/aws/apigateway/kinto-{stage}"


def template_additions(gateway: Gateway) -> dict[str, Any]:
    """What `chalice package --merge-template` is to merge into the template of SAM."""
    arn = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
    properties = {
        # Without it SAM makes another stage, `Stage`, that none of this holds for.
        "OpenApiVersion": "2.0",
        "AccessLogSetting": {
            "DestinationArn": {"Fn::Sub": arn + access_log_group(gateway.stage)},
            "Format": LOG_FORMAT,
        },
        "MethodSettings": [
            {
                "ResourcePath": "/*",
                "HttpMethod": "*",
                "ThrottlingRateLimit": gateway.limits.rate_per_s,
                "ThrottlingBurstLimit": gateway.limits.burst,
                "MetricsEnabled": _DETAILED_METRICS,
            }
        ],
        "TracingEnabled": gateway.is_traced,
    }
    resources: dict[str, Any] = {"RestAPI": {"Properties": properties}}
    if gateway.has_domain:
        # Chalice names the stage, by which CloudFormation doesn't see that it has to come before.
        resources["ApiGatewayCustomDomainMapping"] = {
            "Properties": {"Stage": {"Ref": "RestAPI.Stage"}}
        }
    return {"Resources": resources}


def terraform_additions(gateway: Gateway, gateway_stage: str) -> dict[str, Any]:
    """What is to be merged into Chalice's configuration of Terraform.

    Chalice has the deployment make the stage, which can't have settings then: so it becomes a
    resource of its own.
    """
    of_api = {"rest_api_id": "${aws_api_gateway_rest_api.rest_api.id}"}
    log_group = (
        "arn:${data.aws_partition.chalice.partition}:logs:${data.aws_region.chalice.name}"
        ":${data.aws_caller_identity.chalice.account_id}:log-group:"
    ) + access_log_group(gateway.stage)
    resources: dict[str, dict[str, Any]] = {
        "aws_api_gateway_deployment": {
            "stage_name": None,
            "stage_description": None,
            "triggers": {"definition": "${md5(local.chalice_api_swagger)}"},
        },
        "aws_api_gateway_stage": {
            **of_api,
            "stage_name": gateway_stage,
            "deployment_id": "${aws_api_gateway_deployment.rest_api.id}",
            "access_log_settings": {"destination_arn": log_group, "format": LOG_FORMAT},
            "xray_tracing_enabled": gateway.is_traced,
        },
        "aws_api_gateway_method_settings": {
            **of_api,
            "stage_name": "${aws_api_gateway_stage.rest_api.stage_name}",
            "method_path": _ALL_METHODS,
            "settings": {
                "throttling_rate_limit": gateway.limits.rate_per_s,
                "throttling_burst_limit": gateway.limits.burst,
                "metrics_enabled": _DETAILED_METRICS,
            },
        },
    }
    return {
        "terraform": _TERRAFORM,
        "resource": {kind: {"rest_api": resource} for kind, resource in resources.items()},
        "output": {"EndpointURL": {"value": "${aws_api_gateway_stage.rest_api.invoke_url}"}},
    }


class Api:
    """An API that is deployed, and the stage of it that is asked."""

    def __init__(self, client: Any, iam: Any, api_id: str, gateway_stage: str) -> None:
        """Nothing is called yet.

        Args:
            client: of boto3, for API Gateway. Let it retry patiently: of deployments AWS allows
                one in five seconds.
            iam: of boto3.
            api_id: names the API.
            gateway_stage: the first element of its addresses' paths.
        """
        self._client = client
        self._iam = iam
        self._stage = gateway_stage
        self._names = {"restApiId": api_id, "stageName": gateway_stage}
        self._id = {"restApiId": api_id}

    def changes(self, gateway: Gateway, log_group_arn: str) -> list[Change]:
        """What is to be made for it to be as it should, in this order; nothing is changed yet.

        Each can be made alone, and what wasn't is found again the next time.

        Args:
            gateway: what it is to have.
            log_group_arn: of the access log's group, with or without `:*` at its end.
        """
        try:
            stage = self._client.get_stage(**self._names)
        except self._client.exceptions.NotFoundException:  # the API was made, and no more
            return [self._deploy(gateway.mark, "a new gateway stage")]
        settings = _differing(stage, gateway, log_group_arn.removesuffix(":*"))
        return [
            *self._of_account(),
            *self._of_answers(gateway, stage["deploymentId"]),
            *([self._update(settings)] if settings else []),
        ]

    def _of_account(self) -> Iterator[Change]:
        if not self._client.get_account().get("cloudwatchRoleArn"):
            yield Change(
                f"API Gateway, in all of the account: writes its logs as the role {LOG_ROLE}",
                lambda: _set_log_role(self._client, self._iam),
            )

    def _of_answers(self, gateway: Gateway, deployment_id: str) -> list[Change]:
        """The answers that differ, and the deployment that they take effect with."""
        found = {
            answer["responseType"]: answer
            for answer in self._client.get_gateway_responses(**self._id, limit=500)["items"]
        }
        puts = [
            self._put(name, answer)
            for name, answer in gateway.answers.items()
            if any(found.get(name, {}).get(part) != value for part, value in answer.items())
        ]
        deployment = self._client.get_deployment(**self._id, deploymentId=deployment_id)
        # Were it for `puts` alone, a deployment that failed after them would never be made.
        if not puts and deployment.get("description") == gateway.mark:
            return []
        told = f"gateway stage {self._stage}: deployed with these answers"
        return [*puts, self._deploy(gateway.mark, told)]

    def _put(self, name: str, answer: GatewayAnswer) -> Change:
        return Change(
            f"gateway answer {name}: {answer['statusCode']}",
            lambda: self._client.put_gateway_response(**self._id, responseType=name, **answer),
        )

    def _deploy(self, mark: str, tells: str) -> Change:
        return Change(
            tells,
            lambda: self._client.create_deployment(**self._names, description=mark),
        )

    def _update(self, settings: Mapping[str, str]) -> Change:
        operations = [
            {"op": "replace", "path": path, "value": value} for path, value in settings.items()
        ]
        return Change(
            f"gateway stage {self._stage}: {', '.join(settings)}",
            lambda: self._client.update_stage(**self._names, patchOperations=operations),
        )


def _differing(stage: Mapping[str, Any], gateway: Gateway, log_group_arn: str) -> dict[str, str]:
    """Settings of a stage that aren't what they are to be; by the path that patches have."""
    limits = gateway.limits
    log = stage.get("accessLogSettings") or {}
    methods = stage.get("methodSettings", {}).get(_ALL_METHODS, {})
    of_all = f"/{_ALL_METHODS}"
    wanted: list[tuple[str, Any, Any]] = [
        ("/accessLogSettings/destinationArn", log.get("destinationArn"), log_group_arn),
        ("/accessLogSettings/format", log.get("format"), LOG_FORMAT),
        (f"{of_all}/throttling/rateLimit", methods.get("throttlingRateLimit"), limits.rate_per_s),
        (f"{of_all}/throttling/burstLimit", methods.get("throttlingBurstLimit"), limits.burst),
        (f"{of_all}/metrics/enabled", methods.get("metricsEnabled", False), _DETAILED_METRICS),
        ("/tracingEnabled", stage.get("tracingEnabled", False), gateway.is_traced),
    ]
    return {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, found, value in wanted
        if found != value
    }


def _set_log_role(client: Any, iam: Any) -> None:
    operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": _log_role(iam)}
    deadline = time.monotonic() + _NEW_ROLE_S
    while True:
        try:
            client.update_account(patchOperations=[operation])
        except client.exceptions.BadRequestException:  # it doesn't see the role yet
            if time.monotonic() > deadline:
                raise
            time.sleep(_NEW_ROLE_POLL_S)
        else:
            return


def _log_role(iam: Any) -> str:
    """The ARN of the role, which another region of the account may have made."""
    try:
        role = iam.create_role(RoleName=LOG_ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=LOG_ROLE)
    arn: str = role["Role"]["Arn"]
    partition = arn.split(":")[1]
    policy = f"arn:{partition}:iam::aws:policy/{_LOG_POLICY}"
    iam.attach_role_policy(RoleName=LOG_ROLE, PolicyArn=policy)
    return arn
