"""Removing a stage: what it asks before, and what it removes itself."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import destroy
from tests.infra.chalice_stage import HANDLER, NAME, ChaliceStage, chalice_stage

ACCOUNT = "account 123456789012, region eu-west-1"


class Chalice:
    """Takes the place of its command; keeps what it was told of."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "deployed" / f"{NAME}.json"
        self.commands: list[Any] = []
        self.remembered: list[str] = []

    def __call__(self, arguments: Any) -> None:
        self.commands.append(arguments)
        self.remembered = [it["name"] for it in json.loads(self._file.read_text())["resources"]]


@pytest.fixture
def there() -> Iterator[ChaliceStage]:
    with chalice_stage() as it:
        yield it


@pytest.fixture
def chalice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Chalice:
    it = Chalice(tmp_path)
    remember = destroy.DeployedStage.remember
    monkeypatch.setattr(destroy, "chalice", it)
    monkeypatch.setattr(
        destroy.DeployedStage,
        "remember",
        lambda deployed, resources: remember(deployed, resources, tmp_path),
    )
    return it


def answering(text: str) -> tuple[Callable[[str], str], list[str]]:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return text

    return ask, asked


def test_what_functions_read_is_removed_before_them(there: ChaliceStage, chalice: Chalice) -> None:
    there.functions.delete_function(FunctionName=f"{HANDLER}-retry")  # it was stopped after this
    before = there.stream
    there.restore_table()
    there.read("changes", there.stream)

    told = [*destroy.destroy(there.stage, removes_data=False)]

    assert there.mappings() == {}
    assert chalice.commands == [[NAME, "delete"]]
    assert f"{HANDLER}-changes doesn't read {before} any more" in told
    assert f"{HANDLER}-changes doesn't read {there.stream} any more" in told
    assert "retry" not in chalice.remembered
    assert {"retry_role", "changes_role", "changes", "rest_api"} <= {*chalice.remembered}


@pytest.mark.parametrize(
    ("data", "gone"),
    [("", "logs and the address of its API will be gone"), ("remove", "records of dev will be")],
)
def test_the_account_is_told_before_a_name_is_typed(
    data: str,
    gone: str,
    there: ChaliceStage,
    chalice: Chalice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATA", data)
    ask, asked = answering("prod")

    assert destroy.main(NAME, ask=ask) == 1

    told = capsys.readouterr()
    assert told.out == f"{ACCOUNT}\n"
    assert told.err == "kinto-serverless: nothing was removed\n"
    assert gone in asked[0]
    assert ACCOUNT in asked[0]
    assert chalice.commands == []
    assert len(there.mappings()) == 4


def test_without_a_terminal_nothing_is_removed(
    there: ChaliceStage, chalice: Chalice, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_: str) -> str:
        raise EOFError

    assert destroy.main(NAME, ask=ask) == 1

    assert "nothing was removed" in capsys.readouterr().err
    assert chalice.commands == []


def test_what_a_package_deployed_is_left_to_it(
    there: ChaliceStage, chalice: Chalice, capsys: pytest.CaptureFixture[str]
) -> None:
    there.functions.delete_function(FunctionName=HANDLER)
    there.create_function("api_handler", "kinto-dev-functions-APIHandlerRole-1")
    ask, _ = answering(NAME)

    assert destroy.main(NAME, ask=ask) == 1

    assert "was deployed from a package" in capsys.readouterr().err
    assert chalice.commands == []
    assert len(there.mappings()) == 4
