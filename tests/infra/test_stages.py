"""Stages: which there are, what is refused, and what is written down."""

import json
from pathlib import Path
from typing import Any

import pytest
from chalice.config import Config

from infra.stages import API, CONFIG, SECRET, STREAM, Stage, StageError

ALL = json.loads(CONFIG.read_text())["stages"]


def stage_with(secret: str | None) -> Stage:
    variables = {} if secret is None else {SECRET: secret}
    functions = {API: {"environment_variables": variables}}
    return Stage("prod", {"stages": {"prod": {"lambda_functions": functions}}})


@pytest.mark.parametrize(("name", "why"), [("", "which stage"), ("other", "no stage other")])
def test_a_stage_that_is_not_configured_is_refused(name: str, why: str) -> None:
    with pytest.raises(StageError, match=why):
        Stage.read(name)


@pytest.mark.parametrize(
    "secret", [None, "", "change-me", "b4c96a8692291d88fe5a97dd91846eb4", "too short"]
)
def test_a_secret_that_others_know_or_guess_is_refused(secret: str | None) -> None:
    with pytest.raises(StageError, match=SECRET):
        stage_with(secret).secret  # noqa: B018


@pytest.mark.parametrize("secret", ["sixteen letters!", "ssm:/kinto/prod/userid-hmac-secret"])
def test_a_secret_of_ones_own_is_taken(secret: str) -> None:
    assert stage_with(secret).secret == secret


@pytest.mark.parametrize("name", ALL)
def test_the_repository_has_no_secret_only_where_it_is_kept(name: str) -> None:
    assert Stage.read(name).secret == f"ssm:/kinto/{name}/userid-hmac-secret"


@pytest.mark.parametrize("name", ALL)
def test_no_function_but_the_api_is_told_where_the_secret_is(name: str) -> None:
    disk = json.loads(CONFIG.read_text())

    told = {
        function
        for function in Stage.read(name).functions
        if SECRET in Config(name, function, config_from_disk=disk).environment_variables
    }

    assert told == {API}


@pytest.mark.parametrize("name", ALL)
def test_a_stage_is_named_in_all_that_it_has(name: str) -> None:
    stage = Stage.read(name)

    assert stage.gateway_stage == name
    assert stage.functions == {
        "api_handler": f"kinto-serverless-{name}",
        "changes": f"kinto-serverless-{name}-changes",
        "purge": f"kinto-serverless-{name}-purge",
        "deliver": f"kinto-serverless-{name}-deliver",
        "retry": f"kinto-serverless-{name}-retry",
    }


def test_stages_differ_in_names_in_traces_and_for_how_long_logs_are_kept() -> None:
    def unnamed(name: str) -> Any:
        text = json.dumps(ALL[name]).replace(name, "STAGE")
        stage = json.loads(text)
        differs = stage["stack_parameters"].pop("LogRetentionDays"), stage.pop("xray", False)
        return differs, stage

    assert [unnamed(name)[1] for name in ALL] == [unnamed("dev")[1]] * len(ALL)
    assert [unnamed(name)[0] for name in ALL] == [("30", False), ("30", True), ("90", True)]


def test_the_stream_is_all_that_changes_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    before = CONFIG.read_text()
    file.write_text(before)
    stage = Stage.read("prod", file)

    assert stage.set_stream("arn:of:it")
    stage.write(file)

    written = json.loads(file.read_text())
    assert written["stages"]["prod"]["environment_variables"].pop(STREAM) == "arn:of:it"
    assert written == json.loads(before)
    assert not Stage.read("prod", file).set_stream("arn:of:it")


def test_the_configuration_is_formatted_as_it_would_be_written(tmp_path: Path) -> None:
    file = tmp_path / "config.json"

    Stage.read("prod").write(file)

    assert file.read_text() == CONFIG.read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{\n  "stages": {},\n}', "line 3, column 1: "),
        ("{}", "has no stages"),
        ("[]", "has no stages"),
        ('{"stages": {}}', "has no lambda_functions"),
        (
            '{"stages": {"dev": {}}, "lambda_functions": {}}',
            "the stage dev has no api_gateway_stage",
        ),
        (None, "can't be read: No such file"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused_in_one_line(
    text: str | None, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(StageError) as raised:
        Stage.read("dev", file)

    assert why in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
