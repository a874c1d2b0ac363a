"""Deploying: what is refused, and the stack of the tables."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import deploy
from infra.deploy import CONFIG, DeployError, check_stage, deploy_data

SECRET = "KINTO_USERID_HMAC_SECRET"


def config_with(**variables: str) -> dict[str, Any]:
    return {"stages": {"prod": {"environment_variables": variables}}}


@pytest.mark.parametrize(
    ("stage", "variables", "why"),
    [
        ("", {SECRET: "secret"}, "STAGE"),
        ("other", {SECRET: "secret"}, "no stage other"),
        ("prod", {}, SECRET),
        ("prod", {SECRET: ""}, SECRET),
        ("prod", {SECRET: "change-me"}, SECRET),
    ],
)
def test_a_stage_is_refused(stage: str, variables: dict[str, str], why: str) -> None:
    with pytest.raises(DeployError, match=why):
        check_stage(stage, config_with(**variables))


def test_a_stage_with_a_secret_is_deployed() -> None:
    check_stage("prod", config_with(**{SECRET: "secret"}))


@pytest.mark.parametrize("stage", json.loads(CONFIG.read_text())["stages"])
def test_no_stage_has_a_secret_in_the_repository(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(stage) == 1
    assert SECRET in capsys.readouterr().err


@pytest.mark.emulator
def test_the_stack_is_created_once_and_gives_the_tables(emulator_url: str) -> None:
    client = boto3.client("cloudformation", endpoint_url=emulator_url)

    created = deploy_data(client, "deployed")
    updated = deploy_data(client, "deployed")

    assert created["ObjectsTable"] == "kinto-deployed-objects"
    assert created["AccessTable"] == "kinto-deployed-access"
    assert "/stream/" in created["ObjectsStreamArn"]
    assert updated == created


@pytest.mark.emulator
def test_the_tables_come_before_the_functions(
    emulator_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_with(**{SECRET: "secret"})))
    called: list[list[Any]] = []
    monkeypatch.setattr(deploy, "CONFIG", config)
    monkeypatch.setattr("subprocess.call", lambda command: called.append(command) or 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)

    assert deploy.main("prod") == 0

    assert "ObjectsTable: kinto-prod-objects" in capsys.readouterr().out
    assert [command[1:] for command in called] == [["deploy", "--stage", "prod"]]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_policies_name_the_tables_and_nothing_else(stage: str) -> None:
    policy = json.loads((CONFIG.parent / f"policy-{stage}.json").read_text())

    named = [
        resource.rpartition(":")[2]
        for statement in policy["Statement"]
        for resource in statement["Resource"]
        if ":dynamodb:" in resource
    ]
    assert named == [
        f"table/kinto-{stage}-objects",
        f"table/kinto-{stage}-access",
        f"table/kinto-{stage}-objects/index/by_last_modified",
        f"table/kinto-{stage}-objects/index/by_deletion",
    ]
