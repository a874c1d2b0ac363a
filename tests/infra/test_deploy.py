"""Deploying: what is refused before anything is touched, and the steps alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra import deploy
from infra.stages import CONFIG, SECRET, STREAM
from infra.tables import TEMPLATE


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration, to be changed."""
    file = tmp_path / "config.json"
    file.write_text(CONFIG.read_text())
    monkeypatch.setattr(deploy, "CONFIG", file)
    return file


def change(file: Path, stage: str, **changes: Any) -> None:
    config = json.loads(file.read_text())
    config["stages"][stage].update(changes)
    file.write_text(json.dumps(config))


def api_with(**variables: str) -> dict[str, Any]:
    return {"api_handler": {"environment_variables": variables}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lambda_functions": api_with(**{SECRET: "change-me"})}, SECRET),
        ({"environment_variables": {"KINTO_BATCH_MAX_REQUESTS": "many"}}, "BATCH_MAX_REQUESTS"),
        ({"api_gateway_limits": {"rate": 1}}, "api_gateway_limits"),
    ],
)
def test_a_stage_that_cannot_be_is_refused_in_one_line(
    changes: dict[str, Any], why: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(config, "prod", **changes)

    assert deploy.main("prod") == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert why in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "which stage"),
        (["elsewhere"], "no stage elsewhere"),
        (["prod", "functions", "everything"], "no step: everything"),
    ],
)
def test_what_is_not_there_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(*arguments) == 1
    assert why in capsys.readouterr().err


@pytest.mark.emulator
def test_steps_can_be_run_alone_and_again(
    emulator_url: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)

    assert deploy.main("dev", "config") == 1
    assert "there are no tables of dev yet" in capsys.readouterr().err
    assert deploy.main("dev", "data", "config") == 0
    first = capsys.readouterr().out
    assert deploy.main("dev", "data", "config") == 0
    second = capsys.readouterr().out

    written = json.loads(config.read_text())["stages"]["dev"]["environment_variables"][STREAM]
    assert ":table/kinto-dev-objects/stream/" in written
    assert "data: Add Objects (AWS::DynamoDB::Table)" in first
    assert "data: ObjectsTable: kinto-dev-objects" in first
    assert f"config: the functions of dev read {written}" in first
    assert "Add" not in second
    assert "config:" not in second


def test_a_stack_is_told_the_parameters_that_its_template_has(config: Path) -> None:
    change(config, "dev", stack_parameters={"KmsKeyArn": "arn:of:it", "LogRetentionDays": "7"})
    stage = deploy.Stage.read("dev", config)

    def given(template: Path) -> dict[str, str]:
        found = deploy.stack_arguments(stage, template)["Parameters"]
        return {it["ParameterKey"]: it["ParameterValue"] for it in found}

    assert given(TEMPLATE) == {"Stage": "dev", "KmsKeyArn": "arn:of:it"}
    assert given(deploy.OPERATIONS) == {
        "Stage": "dev",
        "KmsKeyArn": "arn:of:it",
        "LogRetentionDays": "7",
    }
