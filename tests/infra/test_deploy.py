"""Deploying: what is refused, the stack, and what it has the functions know."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import deploy
from infra.deploy import CONFIG, DeployError, check_stage, deploy_data, set_stream

SECRET = "KINTO_USERID_HMAC_SECRET"
STREAM = "KINTO_OBJECTS_STREAM_ARN"


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
def test_the_stack_comes_before_the_functions_and_names_their_stream(
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

    first = capsys.readouterr().out
    written = config.read_text()
    arn = json.loads(written)["stages"]["prod"]["environment_variables"][STREAM]
    assert ":table/kinto-prod-objects/stream/" in arn
    assert "ObjectsTable: kinto-prod-objects" in first
    assert f"{STREAM} of the stage prod is set to this stream in {config}" in first

    assert deploy.main("prod") == 0

    assert STREAM not in capsys.readouterr().out
    assert config.read_text() == written
    assert [command[1:] for command in called] == [["deploy", "--stage", "prod"]] * 2


def test_the_stream_is_all_that_changes_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    before = CONFIG.read_text()
    file.write_text(before)

    assert set_stream(file, "prod", "arn:of:it")

    added = [line for line in file.read_text().splitlines() if line not in before.splitlines()]
    assert [line.strip() for line in added if "change-me" not in line] == [
        f'"{STREAM}": "arn:of:it"'
    ]
    config = json.loads(file.read_text())
    assert config["stages"]["prod"]["environment_variables"].pop(STREAM) == "arn:of:it"
    assert config == json.loads(before)
    assert not set_stream(file, "prod", "arn:of:it")


def test_the_configuration_is_formatted_as_it_would_be_written() -> None:
    text = CONFIG.read_text()

    assert json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n" == text
