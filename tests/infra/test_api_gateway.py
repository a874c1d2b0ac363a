"""API Gateway's settings: what changes an API needs, that they are made once, and packaged."""

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError
from chalice.package import TemplateDeepMerger
from moto import mock_aws

from chalicelib.settings import Settings, SettingsError
from infra import api_gateway
from infra.api_gateway import (
    LOG_ROLE,
    Api,
    Gateway,
    Limits,
    access_log_group,
    template_additions,
    terraform_additions,
)
from infra.gateway_answers import LOG_FORMAT, gateway_answers
from infra.stages import CONFIG, ROOT, StageError

STAGE = "prod"
GROUP = access_log_group(STAGE)
LOG_GROUP_ARN = f"arn:aws:logs:eu-west-1:123456789012:log-group:{GROUP}"
GATEWAY = Gateway(STAGE, gateway_answers(Settings()), Limits())

ROLE_IS_SET = f"API Gateway, in all of the account: writes its logs as the role {LOG_ROLE}"
DEPLOYED = f"gateway stage {STAGE}: deployed with these answers"


class Deployed:
    """An API on moto as `chalice deploy` leaves it, and what is done to it."""

    def __init__(self) -> None:
        self.client = boto3.client("apigateway")
        self.iam = boto3.client("iam")
        self.id = self.client.create_rest_api(name="kinto-serverless")["id"]
        self._put_a_method()
        self.client.create_deployment(restApiId=self.id, stageName=STAGE)
        self.api = Api(self.client, self.iam, self.id, STAGE)

    def _put_a_method(self) -> None:
        [root] = self.client.get_resources(restApiId=self.id)["items"]
        method = {"restApiId": self.id, "resourceId": root["id"], "httpMethod": "GET"}
        self.client.put_method(**method, authorizationType="NONE")
        self.client.put_integration(**method, type="MOCK")

    def tells(self, gateway: Gateway = GATEWAY, arn: str = LOG_GROUP_ARN) -> list[str]:
        return [change.tells for change in self.api.changes(gateway, arn)]

    def apply(self, gateway: Gateway = GATEWAY) -> list[str]:
        changes = self.api.changes(gateway, LOG_GROUP_ARN)
        for change in changes:
            change.make()
        return [change.tells for change in changes]

    def stage(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_stage(restApiId=self.id, stageName=STAGE)
        return found

    def answers(self) -> dict[str, Any]:
        found = self.client.get_gateway_responses(restApiId=self.id)["items"]
        parts = ("statusCode", "responseParameters", "responseTemplates")
        return {answer["responseType"]: {part: answer[part] for part in parts} for answer in found}

    def account_role(self) -> str | None:
        role: str | None = self.client.get_account().get("cloudwatchRoleArn")
        return role


@pytest.fixture(scope="module")
def _aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # moto imports it for definitions of APIs, of which there are none here.
        for name in ("", ".validation", ".validation.exceptions"):
            patch.setitem(sys.modules, f"openapi_spec_validator{name}", Mock())
        with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):  # takes its time
            yield


@pytest.fixture
def deployed(_aws: None) -> Iterator[Deployed]:
    it = Deployed()
    yield it
    operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": ""}
    it.client.update_account(patchOperations=[operation])
    for role in it.iam.list_roles()["Roles"]:
        names = {"RoleName": role["RoleName"]}
        for policy in it.iam.list_attached_role_policies(**names)["AttachedPolicies"]:
            it.iam.detach_role_policy(**names, PolicyArn=policy["PolicyArn"])
        it.iam.delete_role(**names)


def test_an_api_gets_its_answers_its_log_and_its_limits(deployed: Deployed) -> None:
    told = deployed.apply()

    assert deployed.answers() == GATEWAY.answers
    stage = deployed.stage()
    assert stage["accessLogSettings"] == {"destinationArn": LOG_GROUP_ARN, "format": LOG_FORMAT}
    of_all = stage["methodSettings"]["*/*"]
    assert (of_all["throttlingRateLimit"], of_all["throttlingBurstLimit"]) == (1000.0, 500)
    assert not of_all["metricsEnabled"]
    assert told[0] == ROLE_IS_SET
    assert "gateway answer THROTTLED: 429" in told
    assert DEPLOYED in told


def test_an_api_is_traced_where_the_configuration_says_so_and_no_longer(
    deployed: Deployed,
) -> None:
    deployed.apply()
    traced = Gateway.of_stage({"stages": {STAGE: {"xray": True}}}, STAGE)

    assert deployed.apply(traced) == [f"gateway stage {STAGE}: /tracingEnabled"]
    assert deployed.stage()["tracingEnabled"]

    assert deployed.apply() == [f"gateway stage {STAGE}: /tracingEnabled"]
    assert not deployed.stage()["tracingEnabled"]


def test_what_is_as_it_should_be_is_left_alone(deployed: Deployed) -> None:
    deployed.apply()
    deployment = deployed.stage()["deploymentId"]

    assert deployed.apply() == []
    assert deployed.stage()["deploymentId"] == deployment


def test_telling_what_would_change_changes_nothing(deployed: Deployed) -> None:
    before = deployed.stage()

    told = deployed.tells()

    assert told == deployed.tells()
    assert deployed.answers() == {}
    assert not deployed.account_role()
    assert deployed.stage()["deploymentId"] == before["deploymentId"]
    assert told == deployed.apply()


def test_answers_that_differ_are_put_and_deployed(deployed: Deployed) -> None:
    deployed.apply()
    client, id_ = deployed.client, deployed.id
    client.delete_gateway_response(restApiId=id_, responseType="THROTTLED")
    client.put_gateway_response(restApiId=id_, responseType="DEFAULT_5XX", statusCode="500")

    assert sorted(deployed.apply()) == [
        "gateway answer DEFAULT_5XX: 503",
        "gateway answer THROTTLED: 429",
        DEPLOYED,
    ]
    assert deployed.answers() == GATEWAY.answers


def test_another_setting_of_the_service_is_another_answer(deployed: Deployed) -> None:
    deployed.apply()
    other = replace(GATEWAY, answers=gateway_answers(Settings(retry_after_seconds=9)))

    assert deployed.apply(other) == ["gateway answer THROTTLED: 429", DEPLOYED]


def test_answers_are_deployed_even_if_that_failed_before(deployed: Deployed) -> None:
    for change in deployed.api.changes(GATEWAY, LOG_GROUP_ARN):
        if change.tells != DEPLOYED:
            change.make()

    assert deployed.tells() == [DEPLOYED]


def test_a_deployment_by_another_hand_is_followed_by_ours(deployed: Deployed) -> None:
    deployed.apply()
    deployed.client.create_deployment(restApiId=deployed.id, stageName=STAGE)

    assert DEPLOYED in deployed.tells()


def test_only_settings_that_differ_are_set(deployed: Deployed) -> None:
    deployed.apply()
    limited = replace(GATEWAY, limits=Limits(rate_per_s=20.0))

    assert deployed.apply(limited) == [f"gateway stage {STAGE}: /*/*/throttling/rateLimit"]
    assert deployed.stage()["methodSettings"]["*/*"]["throttlingRateLimit"] == 20.0
    assert deployed.stage()["methodSettings"]["*/*"]["throttlingBurstLimit"] == 500


def test_the_log_groups_arn_may_be_as_cloudformation_has_it(deployed: Deployed) -> None:
    deployed.apply()

    assert deployed.tells(arn=f"{LOG_GROUP_ARN}:*") == []


def test_the_account_gets_a_role_that_may_write_logs(deployed: Deployed) -> None:
    deployed.apply()

    role = deployed.iam.get_role(RoleName=LOG_ROLE)["Role"]
    policies = deployed.iam.list_attached_role_policies(RoleName=LOG_ROLE)["AttachedPolicies"]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert deployed.account_role() == role["Arn"]
    assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
    assert [policy["PolicyName"] for policy in policies] == ["AmazonAPIGatewayPushToCloudWatchLogs"]


def test_the_accounts_own_role_stays(deployed: Deployed) -> None:
    own = "arn:aws:iam::123456789012:role/own"
    operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": own}
    deployed.client.update_account(patchOperations=[operation])

    assert ROLE_IS_SET not in deployed.apply()
    assert deployed.account_role() == own


def test_a_role_that_another_region_made_is_used(deployed: Deployed) -> None:
    api_gateway._log_role(deployed.iam)

    assert ROLE_IS_SET in deployed.apply()
    assert (deployed.account_role() or "").endswith(f":role/{LOG_ROLE}")


class Unseeing:
    """A client of an API Gateway that doesn't see a new role the first times."""

    def __init__(self, client: Any, times: int) -> None:
        self.exceptions = client.exceptions
        self._client = client
        self._times = times

    def update_account(self, **arguments: Any) -> Any:
        if self._times:
            self._times -= 1
            code = {"Error": {"Code": "BadRequestException", "Message": "no permissions"}}
            raise self._client.exceptions.BadRequestException(code, "UpdateAccount")
        return self._client.update_account(**arguments)


def test_a_role_that_is_not_seen_yet_is_set_again(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_gateway, "_NEW_ROLE_POLL_S", 0)

    api_gateway._set_log_role(Unseeing(deployed.client, 3), deployed.iam)

    assert deployed.account_role()


def test_a_role_that_is_never_seen_is_an_error(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_gateway, "_NEW_ROLE_S", 0)
    monkeypatch.setattr(api_gateway, "_NEW_ROLE_POLL_S", 0)

    with pytest.raises(ClientError, match="no permissions"):
        api_gateway._set_log_role(Unseeing(deployed.client, 10**9), deployed.iam)


def config_with(**of_stage: Any) -> dict[str, Any]:
    return {"stages": {STAGE: of_stage}}


def test_the_narrowest_variable_decides() -> None:
    def variables(seconds: str) -> dict[str, Any]:
        return {"environment_variables": {"KINTO_RETRY_AFTER_SECONDS": seconds}}

    config = {**variables("1"), **config_with(**variables("2"))}
    of_function = {"lambda_functions": {"api_handler": variables("3")}}
    narrower = {**config, **config_with(**variables("2"), **of_function)}

    def answered(config: dict[str, Any]) -> Any:
        return Gateway.of_stage(config, STAGE).answers

    assert answered(config) == gateway_answers(Settings(retry_after_seconds=2))
    assert answered(narrower) == gateway_answers(Settings(retry_after_seconds=3))


def test_a_stage_may_have_limits_of_its_own() -> None:
    config = config_with(api_gateway_limits={"rate_per_s": 50})

    assert Gateway.of_stage(config, STAGE).limits == Limits(50.0, 500)
    assert Gateway.of_stage(config_with(), STAGE).limits == Limits()


@pytest.mark.parametrize("limits", [{"rate": 5}, {"burst": "many"}, {"burst": None}, 5])
def test_limits_that_are_none_are_refused_in_one_line(limits: Any) -> None:
    with pytest.raises(StageError, match=r"^api_gateway_limits in .chalice/config.json: .*$"):
        Gateway.of_stage(config_with(api_gateway_limits=limits), STAGE)


DOMAIN = {
    "domain_name": "kinto.example",
    "certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/it",
}


@pytest.mark.parametrize("more", [{}, {"url_prefix": "/", "tls_version": "TLS_1_2"}])
def test_a_stage_may_have_a_domain(more: dict[str, str]) -> None:
    domain = {"api_gateway_custom_domain": DOMAIN | more}

    assert Gateway.of_stage(config_with(**domain), STAGE).has_domain
    assert Gateway.of_stage(domain | config_with(), STAGE).has_domain
    assert not Gateway.of_stage(config_with(), STAGE).has_domain


@pytest.mark.parametrize(
    "other", [{"url_prefix": "kinto"}, {"tls_version": "TLS_1_0"}, {"tls_version": None}]
)
def test_a_domain_is_served_at_its_root_and_by_tls_1_2(other: dict[str, Any]) -> None:
    config = config_with(api_gateway_custom_domain=DOMAIN | other)

    with pytest.raises(StageError, match=r"url_prefix.*TLS_1_2"):
        Gateway.of_stage(config, STAGE)


def test_a_setting_that_cannot_be_read_is_named() -> None:
    config = config_with(environment_variables={"KINTO_BACKOFF": "soon"})

    with pytest.raises(SettingsError, match="KINTO_BACKOFF"):
        Gateway.of_stage(config, STAGE)


@pytest.mark.parametrize("stage", json.loads(CONFIG.read_text())["stages"])
def test_every_stage_has_answers(stage: str) -> None:
    gateway = Gateway.of_stage(json.loads(CONFIG.read_text()), stage)

    assert gateway.answers == gateway_answers(Settings())


# What `chalice package` writes of an API, as far as it matters here.
PACKAGED = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "RestAPI": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "EndpointConfiguration": "REGIONAL",
                "StageName": STAGE,
                "MinimumCompressionSize": 1024,
                "DefinitionBody": {
                    "swagger": "2.0",
                    "info": {"version": "1.0", "title": "kinto-serverless"},
                    "paths": {"/": {"get": {}}},
                },
            },
        }
    },
}


def translated(gateway: Gateway, packaged: Any = PACKAGED) -> dict[str, dict[str, Any]]:
    """The properties of CloudFormation's resources by type, as SAM makes them of the package."""
    from samtranslator.translator.transform import transform

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    merged = TemplateDeepMerger().merge(template_additions(gateway), copy.deepcopy(packaged))
    resources = transform(merged, {}, NoPolicies())["Resources"].values()
    return {resource["Type"]: resource["Properties"] for resource in resources}


def test_a_package_has_the_log_and_the_limits_at_its_one_stage() -> None:
    resources = translated(GATEWAY)

    stage = resources["AWS::ApiGateway::Stage"]
    assert stage["AccessLogSetting"]["Format"] == LOG_FORMAT
    assert stage["AccessLogSetting"]["DestinationArn"]["Fn::Sub"].endswith(f":log-group:{GROUP}")
    assert stage["MethodSettings"] == [
        {
            "ResourcePath": "/*",
            "HttpMethod": "*",
            "ThrottlingRateLimit": 1000.0,
            "ThrottlingBurstLimit": 500,
            "MetricsEnabled": False,
        }
    ]
    assert "StageName" not in resources["AWS::ApiGateway::Deployment"]  # SAM's own, unlimited


@pytest.mark.parametrize("is_traced", [True, False])
def test_a_package_says_whether_its_stage_is_traced(is_traced: bool) -> None:
    gateway = replace(GATEWAY, is_traced=is_traced)

    of_terraform = terraform_additions(gateway, STAGE)["resource"]["aws_api_gateway_stage"]

    assert translated(gateway)["AWS::ApiGateway::Stage"]["TracingEnabled"] is is_traced
    assert of_terraform["rest_api"]["xray_tracing_enabled"] is is_traced


def test_a_packaged_domain_leads_to_the_stage_once_it_is_there() -> None:
    mapping = {
        "Type": "AWS::ApiGateway::BasePathMapping",
        "Properties": {"BasePath": "(none)", "RestApiId": {"Ref": "RestAPI"}, "Stage": STAGE},
    }
    packaged = copy.deepcopy(PACKAGED)
    packaged["Resources"]["ApiGatewayCustomDomainMapping"] = mapping

    resources = translated(replace(GATEWAY, has_domain=True), packaged)
    assert resources["AWS::ApiGateway::BasePathMapping"]["Stage"] == {"Ref": "RestAPIprodStage"}


def test_terraform_makes_the_stage_of_the_deployment_with_log_and_limits() -> None:
    additions = terraform_additions(GATEWAY, STAGE)

    resources = {kind: named["rest_api"] for kind, named in additions["resource"].items()}
    deployment = resources["aws_api_gateway_deployment"]
    assert deployment["stage_name"] is None  # as there can be one of that name only
    stage = resources["aws_api_gateway_stage"]
    assert stage["stage_name"] == STAGE
    assert stage["access_log_settings"]["format"] == LOG_FORMAT
    assert stage["access_log_settings"]["destination_arn"].endswith(f":log-group:{GROUP}")
    settings = resources["aws_api_gateway_method_settings"]["settings"]
    assert (settings["throttling_rate_limit"], settings["throttling_burst_limit"]) == (1000.0, 500)


def test_the_log_is_in_the_group_that_is_made_for_it() -> None:
    template = (ROOT / "infra" / "operations.yaml").read_text()

    assert access_log_group("${Stage}") in template
