"""Which version this is: `infra/version.py`."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra.version import ROOT, deployed_commit, main, version_of

PYPROJECT = '[project]\nname = "a-name"\nversion = "1.2.3"\n'
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]


def cloned(folder: Path) -> str:
    """Make a repository of a folder; gives its commit."""
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "One"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def test_the_version_is_that_of_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0

    told = json.loads(capsys.readouterr().out)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {name: told[name] for name in ("name", "version")} == {
        name: project[name] for name in ("name", "version")
    }
    assert told.keys() == {"name", "version", "commit"}


def test_the_commit_is_that_of_the_clone(folder: Path) -> None:
    commit = cloned(folder).strip()

    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert version_of(folder) == {"name": "a-name", "version": "1.2.3", "commit": commit}


def test_there_is_no_commit_outside_of_a_repository(folder: Path) -> None:
    assert version_of(folder)["commit"] is None


def test_there_is_no_commit_before_the_first(folder: Path) -> None:
    subprocess.run([*GIT, "init", "-q"], cwd=folder, check=True)

    assert version_of(folder)["commit"] is None


def test_the_commit_of_a_repository_around_it_does_not_count(folder: Path) -> None:
    cloned(folder)
    inside = folder / "inside"
    inside.mkdir()
    (inside / "pyproject.toml").write_text(PYPROJECT)

    assert version_of(inside)["commit"] is None


def test_there_is_no_commit_without_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloned(folder)
    monkeypatch.setenv("PATH", str(folder))

    assert version_of(folder)["commit"] is None


def test_a_deployed_commit_tells_of_local_changes_but_for_the_stream(folder: Path) -> None:
    config = folder / ".chalice" / "config.json"
    config.parent.mkdir()
    config.write_text("{}")
    assert deployed_commit(folder) is None
    commit = cloned(folder).strip()
    config.write_text('{"KINTO_OBJECTS_STREAM_ARN": "arn"}')
    (folder / "untracked").touch()
    clean = deployed_commit(folder)

    (folder / "pyproject.toml").write_text(f"{PYPROJECT}\n")

    assert clean == commit
    assert deployed_commit(folder) == f"{commit}-dirty"
