"""A new stage: all that another has, under its own name."""

import json
import shutil
from pathlib import Path

import pytest

from infra import new_stage
from infra.new_stage import create
from infra.stages import CONFIG, STREAM, Stage, StageError


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
    config = json.loads((folder / "config.json").read_text())
    other = config["stages"]["prod"]
    other["api_gateway_custom_domain"] = {"domain_name": "kinto.example.org"}
    other["environment_variables"] |= {
        STREAM: "arn:of:the/stream",
        "KINTO_CORS_ORIGINS": "https://prod.example.org",
    }
    (folder / "config.json").write_text(json.dumps(config))

    create("prod-2_b", "prod", folder)

    stage = Stage.read("prod-2_b", folder / "config.json")
    assert "api_gateway_custom_domain" not in stage.own
    assert stage.own["environment_variables"] == {
        "KINTO_STAGE": "prod-2_b",
        "KINTO_CORS_ORIGINS": "https://prod.example.org",
    }
    assert stage.secret == "ssm:/kinto/prod-2_b/userid-hmac-secret"


@pytest.mark.parametrize(
    ("name", "like", "why"),
    [
        ("new", "", "which stage"),
        ("new", "nowhere", "no stage nowhere"),
        ("prod", "dev", "a stage prod already"),
        ("a.b", "dev", "at most 35"),
        ("", "dev", "at most 35"),
    ],
)
def test_what_cannot_be_is_refused_and_writes_nothing(
    name: str, like: str, why: str, folder: Path
) -> None:
    with pytest.raises(StageError, match=why):
        create(name, like, folder)

    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        file.name: file.read_text() for file in CONFIG.parent.glob("*.json")
    }


def test_a_refusal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIKE", "nowhere")

    assert new_stage.main("new") == 1
    assert capsys.readouterr().err.count("\n") == 1
