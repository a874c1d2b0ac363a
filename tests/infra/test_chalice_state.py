"""What Chalice goes on from, as it is found on AWS."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from chalice.config import DeployedResources
from chalice.deploy import models
from chalice.deploy.planner import PlanStage, RemoteState
from chalice.deploy.sweeper import ResourceSweeper
from moto.awslambda.models import lambda_backends
from moto.core import DEFAULT_ACCOUNT_ID

from infra.chalice_state import Resource
from infra.stages import StageError
from tests.doubles import REGION
from tests.infra.chalice_stage import HANDLER, NAME, ChaliceStage, chalice_stage


@pytest.fixture
def there() -> Iterator[ChaliceStage]:
    with chalice_stage() as it:
        yield it


def streams(resources: list[Resource]) -> list[str]:
    return [it["stream_arn"] for it in resources if it["resource_type"] == "dynamodb_event"]


def names(resources: list[Resource]) -> list[str]:
    return [it["name"] for it in resources]


def test_chalice_goes_on_from_all_that_it_deployed(there: ChaliceStage) -> None:
    found = there.deployed.to_deploy_on(there.stream)

    assert names(found) == [
        *("api_handler_role", "api_handler", "changes_role", "changes"),
        *("purge_role", "purge", "deliver_role", "deliver", "retry_role", "retry"),
        "rest_api",
        "changes-dynamodb-event-source",
        "purge-sqs-event-source",
        "deliver-sqs-event-source",
        "retry-sqs-event-source",
    ]
    assert streams(found) == [there.stream]


def test_a_stream_of_before_is_not_gone_on_from(there: ChaliceStage) -> None:
    before = there.stream
    there.restore_table()

    found = there.deployed.to_deploy_on(there.stream)

    assert streams(found) == []
    assert [it["EventSourceArn"] for it in there.deployed.sources.others(there.stream)] == [before]


def test_a_queue_that_is_not_ours_is_not_gone_on_from(there: ChaliceStage) -> None:
    there.functions.delete_event_source_mapping(UUID=there.of("purge"))
    there.sqs.create_queue(QueueName="another", Attributes={"VisibilityTimeout": "900"})
    ours = there.stream.split(":")
    there.read("purge", f"arn:aws:sqs:{ours[3]}:{ours[4]}:another")

    assert "purge-sqs-event-source" not in names(there.deployed.to_deploy_on(there.stream))


def test_a_role_comes_before_its_function_so_that_it_is_deleted_after_it(
    there: ChaliceStage,
) -> None:
    there.functions.delete_function(FunctionName=f"{HANDLER}-purge")  # then it was stopped

    found = names(there.deployed.to_delete())

    assert "purge" not in found
    assert "purge_role" in found
    assert found.index("changes_role") < found.index("changes")


def test_a_role_that_is_gone_is_left_out(there: ChaliceStage) -> None:
    role = f"kinto-serverless-{NAME}-retry"
    there.iam.delete_role_policy(RoleName=role, PolicyName=role)
    there.iam.delete_role(RoleName=role)

    found = names(there.deployed.to_delete())

    assert "retry_role" not in found
    assert "retry" in found


def test_of_several_apis_none_is_taken(there: ChaliceStage) -> None:
    other = there.create_api()

    with pytest.raises(StageError) as raised:
        there.deployed.api_id()

    assert there.api_id in str(raised.value)
    assert other in str(raised.value)


def test_what_a_package_deployed_is_left_to_it(there: ChaliceStage) -> None:
    there.deployed.refuse_package()
    there.functions.delete_function(FunctionName=f"{HANDLER}-purge")
    there.create_function("purge", "kinto-dev-functions-PurgeRole-1")

    with pytest.raises(StageError, match=r"deployed from a package .*PurgeRole-1"):
        there.deployed.refuse_package()


def test_a_brake_that_deploying_releases_is_told(there: ChaliceStage) -> None:
    assert [*there.deployed.concurrency_changes()] == []
    there.functions.put_function_concurrency(
        FunctionName=f"{HANDLER}-deliver", ReservedConcurrentExecutions=0
    )

    released = [*there.deployed.concurrency_changes()]
    there.stage.own["lambda_functions"]["deliver"]["reserved_concurrency"] = 0
    kept = [*there.deployed.concurrency_changes()]
    there.stage.own["lambda_functions"]["deliver"]["reserved_concurrency"] = 5
    set_ = [*there.deployed.concurrency_changes()]

    assert released == [f"releases the reserved concurrency 0 of {HANDLER}-deliver"]
    assert kept == []
    assert set_ == [f"sets the reserved concurrency of {HANDLER}-deliver to 5"]


def test_functions_that_are_not_to_be_traced_any_more_are_not(there: ChaliceStage) -> None:
    for name in ("deliver", "retry"):  # moto lets nobody change it later
        function = there.stage.functions[name]
        kept = lambda_backends[DEFAULT_ACCOUNT_ID][REGION].get_function(function)
        kept.tracing_config = {"Mode": "Active"}
    there.stage.own["lambda_functions"]["retry"]["xray"] = True
    asked: list[Any] = []

    def take(params: Any, **_: Any) -> None:
        asked.append(params)

    event = "provide-client-params.lambda.UpdateFunctionConfiguration"
    there.functions.meta.events.register(event, take)
    told = [*there.deployed.stop_tracing()]
    there.functions.meta.events.unregister(event, take)

    assert told == [f"{HANDLER}-deliver is traced no more"]
    assert asked == [
        {"FunctionName": f"{HANDLER}-deliver", "TracingConfig": {"Mode": "PassThrough"}}
    ]


DOMAIN = "kinto.example"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/it"


def configure_domain(there: ChaliceStage) -> None:
    there.stage.own["api_gateway_custom_domain"] = {
        "domain_name": DOMAIN,
        "certificate_arn": CERTIFICATE,
    }


@pytest.fixture
def with_domain(there: ChaliceStage) -> ChaliceStage:
    configure_domain(there)
    there.gateway.create_domain_name(
        domainName=DOMAIN,
        regionalCertificateArn=CERTIFICATE,
        endpointConfiguration={"types": ["REGIONAL"]},
        securityPolicy="TLS_1_2",
    )
    return there


def lead(there: ChaliceStage, api_id: str) -> None:
    there.gateway.create_base_path_mapping(domainName=DOMAIN, restApiId=api_id, stage=NAME)


def planned(resources: list[Resource], *, leads_somewhere: bool) -> list[str]:
    """The calls that Chalice would make for the domain, going on from these."""
    client = Mock()
    client.domain_name_exists.return_value = True
    client.api_mapping_exists.return_value = leads_somewhere
    deployed = DeployedResources({"resources": resources})
    domain = models.DomainName(
        resource_name="api_gateway_custom_domain",
        domain_name=DOMAIN,
        protocol=models.APIType.HTTP,
        certificate_arn=CERTIFICATE,
        api_mapping=models.APIMapping(
            resource_name="api_mapping", mount_path="(none)", api_gateway_stage=NAME
        ),
    )
    planner = PlanStage(RemoteState(client, deployed), Mock())
    plan = models.Plan(planner._add_custom_domain_plan(domain, "REGIONAL"), {})
    plan.instructions = [it[0] if isinstance(it, tuple) else it for it in plan.instructions]
    of_domain = DeployedResources(
        {"resources": [it for it in resources if it["resource_type"] == "domain_name"]}
    )
    ResourceSweeper().execute(plan, Mock(deployed_resources=lambda _: of_domain))
    return [it.method_name for it in plan.instructions if isinstance(it, models.APICall)]


def test_a_domain_that_leads_here_is_kept(with_domain: ChaliceStage) -> None:
    lead(with_domain, with_domain.api_id)

    *_, found = with_domain.deployed.to_deploy_on(with_domain.stream)

    assert found["domain_name"] == DOMAIN
    assert found["certificate_arn"] == CERTIFICATE
    assert found["security_policy"] == "TLS_1_2"
    assert found["alias_domain_name"]
    assert found["hosted_zone_id"]
    assert planned([found], leads_somewhere=True) == ["update_domain_name"]
    assert [*with_domain.deployed.domain.leads_elsewhere(with_domain.api_id)] == []


def test_a_domain_that_leads_nowhere_is_led_here(with_domain: ChaliceStage) -> None:
    lead(with_domain, with_domain.api_id)
    with_domain.gateway.delete_base_path_mapping(domainName=DOMAIN, basePath="(none)")

    *_, found = with_domain.deployed.to_deploy_on(with_domain.stream)

    assert planned([found], leads_somewhere=False) == [
        "update_domain_name",
        "create_base_path_mapping",
    ]


def test_a_domain_that_leads_to_another_api_is_not_moved_but_told(
    with_domain: ChaliceStage,
) -> None:
    lead(with_domain, other := with_domain.create_api("another"))

    *_, found = with_domain.deployed.to_deploy_on(with_domain.stream)
    [told] = with_domain.deployed.domain.leads_elsewhere(with_domain.api_id)

    assert planned([found], leads_somewhere=True) == ["update_domain_name"]
    assert told.startswith(f"{DOMAIN} leads to the API {other}, stage {NAME}.")
    assert f"op=replace,path=/restapiId,value={with_domain.api_id}" in told


def test_a_domain_that_is_not_there_yet_is_not_gone_on_from(there: ChaliceStage) -> None:
    configure_domain(there)

    assert names(there.deployed.to_deploy_on(there.stream))[-1] == "retry-sqs-event-source"
    assert [*there.deployed.domain.leads_elsewhere(there.api_id)] == []
    assert [*there.deployed.domain.leave(there.api_id)] == []


def test_a_domain_outlives_the_stage_and_leads_nowhere(with_domain: ChaliceStage) -> None:
    lead(with_domain, with_domain.api_id)

    told = [*with_domain.deployed.domain.leave(with_domain.api_id)]

    assert told == [f"{DOMAIN} leads nowhere", f"the domain {DOMAIN} stays, as DNS may lead to it"]
    assert with_domain.gateway.get_base_path_mappings(domainName=DOMAIN).get("items", []) == []
    assert with_domain.gateway.get_domain_name(domainName=DOMAIN)["domainName"] == DOMAIN
    assert "api_gateway_custom_domain" not in names(with_domain.deployed.to_delete())


def test_another_stage_keeps_the_domain_when_one_is_removed(with_domain: ChaliceStage) -> None:
    lead(with_domain, other := with_domain.create_api("another"))

    told = [*with_domain.deployed.domain.leave(with_domain.api_id)]

    assert told == [f"the domain {DOMAIN} stays, as DNS may lead to it"]
    [mapping] = with_domain.gateway.get_base_path_mappings(domainName=DOMAIN)["items"]
    assert mapping["restApiId"] == other
