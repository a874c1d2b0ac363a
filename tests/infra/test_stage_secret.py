"""A stage's secret: made once, and with the data never another."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from infra import stages
from infra.stage_secret import copy_secret, create_secret
from infra.stages import Stage, StageError
from infra.tables import create_tables

PROD, DRILL = "/kinto/prod/userid-hmac-secret", "/kinto/drill/userid-hmac-secret"
VALUE, OTHER = "the users of prod", "the users of another"


@pytest.fixture(scope="module", autouse=True)
def clients() -> Iterator[None]:
    """One of each service for all: making one takes longer than most tests."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", cache(boto3.client))
        create_tables(boto3.client("dynamodb"), "filled")
        yield


@pytest.fixture(autouse=True)
def no_parameters() -> None:
    client = boto3.client("ssm")
    for found in client.describe_parameters()["Parameters"]:
        client.delete_parameter(Name=found["Name"])


def stage(name: str, secret: str | None = None) -> Stage:
    reference = secret or f"ssm:/kinto/{name}/userid-hmac-secret"
    return Stage(name, {"stages": {name: {"environment_variables": {stages.SECRET: reference}}}})


def put(name: str, value: str) -> None:
    boto3.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")


def parameters() -> dict[str, tuple[str, str, int]]:
    """Type, value and version, by name."""
    client = boto3.client("ssm")
    names = [it["Name"] for it in client.describe_parameters()["Parameters"]]
    found = [client.get_parameter(Name=name, WithDecryption=True)["Parameter"] for name in names]
    return {it["Name"]: (it["Type"], it["Value"], it["Version"]) for it in found}


# Making one


def test_a_first_deployment_makes_a_random_one_and_the_next_ones_none() -> None:
    (line,) = create_secret(stage("prod"))
    there = parameters()

    assert [*create_secret(stage("prod"))] == []

    kind, value, _ = there[PROD]
    assert (kind, len(value)) == ("SecureString", 64)
    assert line == f"created a random one, the parameter {PROD}"
    assert parameters() == there


def test_with_the_data_there_a_lost_one_is_asked_for() -> None:
    lost = "/kinto/filled/userid-hmac-secret"

    with pytest.raises(StageError, match=f"kinto-filled-objects is there, .* {lost}: put the old"):
        [*create_secret(stage("filled"))]

    assert parameters() == {}
    put(lost, VALUE)
    assert [*create_secret(stage("filled"))] == []


@pytest.mark.parametrize("secret", ["secretsmanager:kinto/prod/secret", "of forty characters"])
def test_what_is_kept_otherwise_is_not_made(secret: str) -> None:
    assert [*create_secret(stage("filled", secret))] == []
    assert parameters() == {}


def test_a_secret_that_is_on_another_page_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    put(PROD, VALUE)
    call = BaseClient._make_api_call

    def paged(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "DescribeParameters" and "NextToken" not in arguments:
            return {"Parameters": [], "NextToken": "another"}
        arguments.pop("NextToken", None)
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", paged)
        assert [*create_secret(stage("prod"))] == []

    assert parameters()[PROD][1] == VALUE


# Taking one over


def test_that_of_another_stage_is_taken_over_once() -> None:
    put(PROD, VALUE)

    told = [*copy_secret(stage("drill"), stage("prod"))]
    again = [*copy_secret(stage("drill"), stage("prod"))]

    assert told == [f"the secret is that of prod, the parameter {DRILL}"]
    assert again == []
    assert parameters()[DRILL] == ("SecureString", VALUE, 1)


def test_another_value_is_refused_and_neither_is_told() -> None:
    put(PROD, VALUE)
    put(DRILL, OTHER)
    there = parameters()

    with pytest.raises(StageError, match=f"{DRILL} has another value than {PROD}") as refusal:
        [*copy_secret(stage("drill"), stage("prod"))]

    assert VALUE not in str(refusal.value)
    assert OTHER not in str(refusal.value)
    assert parameters() == there


LITERAL = "of the users, and nobody else's"


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (None, "secretsmanager:kinto/prod/secret"),
        ("secretsmanager:kinto/drill/secret", None),
        (None, LITERAL),
        (LITERAL, None),
        (None, None),  # the parameter of prod isn't there
    ],
)
def test_what_can_not_be_copied_is_to_be_copied_by_hand(own: str | None, other: str | None) -> None:
    if own:
        put(PROD, VALUE)
    there = parameters()

    told = [*copy_secret(stage("drill", own), stage("prod", other))]

    assert told == ["copy the secret of prod by hand, before deploying drill"]
    assert parameters() == there


def test_the_same_reference_is_the_same_secret() -> None:
    shared = "secretsmanager:kinto/shared"

    assert [*copy_secret(stage("drill", shared), stage("prod", shared))] == []
