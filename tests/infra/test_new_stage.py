"""A new stage: all that another has, under its own name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import new_stage
from infra.new_stage import create, taken_over
from infra.stages import CONFIG, SECRET, STREAM, Stage, StageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / ".chalice"
    shutil.copytree(CONFIG.parent, copy, ignore=shutil.ignore_patterns("deploy*"))
    return copy


def test_it_is_the_other_but_for_the_name(folder: Path) -> None:
    written = create("staging", "prod", _without(folder, "staging"))

    config = json.loads((folder / "config.json").read_text())
    before = json.loads(CONFIG.read_text())
    expected = before["stages"]["staging"]
    expected["stack_parameters"] = before["stages"]["prod"]["stack_parameters"]
    assert config["stages"]["staging"] == expected
    assert {file.name for file in written} == {
        "config.json",
        *(file.name for file in CONFIG.parent.glob("policy-staging*.json")),
    }
    for policy in CONFIG.parent.glob("policy-staging*.json"):
        assert (folder / policy.name).read_text() == policy.read_text()


def _without(folder: Path, stage: str) -> Path:
    config = json.loads((folder / "config.json").read_text())
    del config["stages"][stage]
    (folder / "config.json").write_text(json.dumps(config))
    for policy in folder.glob(f"policy-{stage}*.json"):
        policy.unlink()
    return folder


def test_what_only_the_other_can_have_is_left_out_and_settings_stay(folder: Path) -> None:
    other, save = _editing(folder, "prod")
    other["api_gateway_custom_domain"] = {"domain_name": "kinto.example.org"}
    other["environment_variables"] |= {
        STREAM: "arn:of:the/stream",
        "KINTO_CORS_ORIGINS": "https://prod.example.org",
    }
    save()

    create("prod-2", "prod", folder)

    stage = Stage.read("prod-2", folder / "config.json")
    assert "api_gateway_custom_domain" not in stage.own
    assert stage.own["environment_variables"] == {
        "KINTO_STAGE": "prod-2",
        "KINTO_CORS_ORIGINS": "https://prod.example.org",
    }
    assert stage.secret == "ssm:/kinto/prod-2/userid-hmac-secret"
    assert taken_over(stage) == ["KINTO_CORS_ORIGINS"]


def _editing(folder: Path, stage: str) -> tuple[dict[str, Any], Callable[[], object]]:
    """A stage's block, and what saves it."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    return config["stages"][stage], lambda: file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "secret",
    [
        "ssm:/shared/by-all/stages",
        "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:kinto/prod/secret-AbCdEf",
        "of the users, and nobody else's",
    ],
)
def test_whatever_the_others_is_the_secret_is_its_own(folder: Path, secret: str) -> None:
    other, save = _editing(folder, "prod")
    other["lambda_functions"]["api_handler"]["environment_variables"][SECRET] = secret
    save()

    create("new", "prod", folder)

    stage = Stage.read("new", folder / "config.json")
    assert stage.secret == "ssm:/kinto/new/userid-hmac-secret"
    assert Stage.read("prod", folder / "config.json").secret == secret


def test_policies_that_functions_share_are_left_alone(folder: Path) -> None:
    shared = (folder / "policy-prod.json").rename(folder / "policy.json")
    was = shared.read_text()
    other, save = _editing(folder, "prod")
    other["iam_policy_file"] = "policy.json"
    other["lambda_functions"]["purge"]["iam_policy_file"] = "policy.json"
    save()

    create("new", "prod", folder)

    stage = Stage.read("new", folder / "config.json")
    assert stage.own["iam_policy_file"] == "policy-new.json"
    assert stage.own["lambda_functions"]["purge"]["iam_policy_file"] == "policy-new-purge.json"
    assert (folder / "policy-new.json").read_text() == was.replace("prod", "new")
    assert shared.read_text() == was


def test_only_names_that_begin_with_ours_are_the_new_stages(folder: Path) -> None:
    """A stage may be called like anything else that is in a policy."""
    create("table", "prod", folder)
    other, save = _editing(folder, "table")
    other["iam_policy_file"] = "of-table.json"
    save()
    text = (folder / "policy-table.json").read_text()
    bus = '"arn:*:events:*:*:event-bus/table-changes"'
    (folder / "of-table.json").write_text(text.replace("[", f"[{bus}, ", 1))

    create("new", "table", folder)

    text = (folder / "policy-prod.json").read_text().replace("[", f"[{bus}, ", 1)
    assert (folder / "policy-new.json").read_text() == text.replace("prod", "new")


def _texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "like", "why"),
    [
        ("new", "", "like which stage"),
        ("new", "nowhere", "no stage nowhere"),
        ("prod", "dev", "a stage prod already"),
        ("a.b", "dev", "at most 35"),
        ("", "dev", "at most 35"),
        ("prod_2", "dev", "at most 35"),
        ("prod-purge", "dev", "the stage prod has kinto-serverless-prod-purge: take another"),
    ],
)
def test_what_cannot_be_is_refused_and_writes_nothing(
    name: str, like: str, why: str, folder: Path
) -> None:
    before = _texts(folder)

    with pytest.raises(StageError, match=why):
        create(name, like, folder)

    assert _texts(folder) == before


def test_no_file_that_is_there_is_written_over(folder: Path) -> None:
    (folder / "policy-new-retry.json").write_text("of somebody")
    before = _texts(folder)

    with pytest.raises(StageError, match=r"policy-new-retry.json is there already"):
        create("new", "prod", folder)

    assert _texts(folder) == before


def test_a_policy_that_the_other_lacks_is_a_line_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policy-prod-retry.json").unlink()
    before = _texts(folder)
    monkeypatch.setenv("LIKE", "prod")
    monkeypatch.setattr(new_stage, "CONFIG", folder / "config.json")

    assert new_stage.main("new") == 1

    error = capsys.readouterr().err
    assert "policy-prod-retry.json" in error
    assert error.count("\n") == 1
    assert _texts(folder) == before


def test_a_refusal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIKE", "nowhere")

    assert new_stage.main("new") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_tells_files_and_whose_settings_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, save = _editing(folder, "prod")
    other["environment_variables"]["KINTO_EVENT_LISTENERS"] = "audit"
    save()
    config = folder / "config.json"
    monkeypatch.setattr(new_stage, "CONFIG", config)
    monkeypatch.setenv("LIKE", "prod")

    assert new_stage.main("new") == 0

    *files, settings = capsys.readouterr().out.splitlines()
    assert f"wrote {config}" in files
    assert len(files) == 6
    assert settings == "these settings are those of prod, look them over: KINTO_EVENT_LISTENERS"
