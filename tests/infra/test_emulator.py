"""The emulator: it keeps its data however we end, and never overwrites what it can't read."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import emulator as module
from infra.emulator import CHILD, EmulatorError, emulator
from infra.tables import create_tables

pytestmark = pytest.mark.emulator

TABLE = "kinto-test-access"
ITEM = {"principal": {"S": "alice"}, "object": {"S": "/buckets/blog"}}


def client_of(url: str) -> Any:
    return boto3.client("dynamodb", endpoint_url=url)


def fill(folder: Path) -> None:
    with emulator(folder) as url:
        create_tables(client_of(url), "test")
        client_of(url).put_item(TableName=TABLE, Item=ITEM)


def child_pid(folder: Path) -> int:
    [file] = (folder / "tmp").glob("ministack-*.pid")
    return int(file.read_text())


def test_data_are_there_after_a_gentle_end(tmp_path: Path) -> None:
    fill(tmp_path)

    with emulator(tmp_path) as url:
        assert client_of(url).scan(TableName=TABLE)["Items"] == [ITEM]


def test_nothing_is_kept_without_a_folder() -> None:
    with emulator(None) as url:
        create_tables(client_of(url), "test")

    with emulator(None) as url:
        assert client_of(url).list_tables()["TableNames"] == []


def test_it_listens_on_the_port_that_is_given(tmp_path: Path) -> None:
    port = module._free_port()

    with emulator(tmp_path, port) as url:
        assert url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"__ministack_format__": 2, "payl',
        b"[]",
        b"\xff\xfe\x00",
        b'{"tables": {}}',
        b'{"__ministack_format__": 2, "payload": null}',
        b'{"__ministack_format__": 99, "payload": {}}',  # of a newer version
        # Only the emulator can tell:
        b'{"__ministack_format__": 2, "payload": {"tables": {"__scoped__": 1, "data": 5}}}',
    ],
)
def test_unreadable_data_are_refused_and_stay(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state" / "dynamodb.json"
    file.parent.mkdir()
    file.write_bytes(content)

    with pytest.raises(EmulatorError, match=r"(?i)can't read its data|can't be read"):
        emulator(tmp_path).__enter__()

    assert file.read_bytes() == content


def test_a_folder_is_for_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_S", 0)

    with emulator(tmp_path), pytest.raises(EmulatorError, match="in use by another server"):
        emulator(tmp_path).__enter__()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(EmulatorError, match="can't be written to"):
        emulator(file).__enter__()


def test_a_port_in_use_is_told_with_the_last_lines(tmp_path: Path, emulator_url: str) -> None:
    port = int(emulator_url.rpartition(":")[2])

    with pytest.raises(EmulatorError, match="already in use"):
        emulator(tmp_path, port).__enter__()


def test_an_end_by_itself_is_told(tmp_path: Path) -> None:
    running = emulator(tmp_path)
    running.__enter__()
    os.kill(child_pid(tmp_path), signal.SIGKILL)

    with pytest.raises(EmulatorError, match="what was written is lost"):
        running.__exit__(None, None, None)


def test_data_that_cannot_be_saved_are_told(tmp_path: Path) -> None:
    running = emulator(tmp_path)
    create_tables(client_of(running.__enter__()), "test")
    (tmp_path / "state").write_text("a file where the folder should be")

    with pytest.raises(EmulatorError, match="couldn't save"):
        running.__exit__(None, None, None)


def test_a_missing_emulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModuleNotFoundError, match="ministack"):
        emulator(None).__enter__()


def test_a_parent_that_is_gone_at_the_start_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    file = tmp_path / "state" / "dynamodb.json"
    before = file.read_bytes()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(module._free_port()),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(file.parent),
        "TMPDIR": str(tmp_path / "tmp"),
    }

    subprocess.run(
        [sys.executable, "-P", CHILD],
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
        capture_output=True,
    )

    assert file.read_bytes() == before
