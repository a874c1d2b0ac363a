"""The local server from its start to its end."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import boto3
import pytest

from tests.infra.local_process import LocalProcess, refused, served

pytestmark = pytest.mark.emulator

STATE = Path(".local") / "state" / "dynamodb.json"


def kept(process: LocalProcess) -> str:
    _, body = process.ask("GET", "/v1/item")
    return str(json.loads(body)["item"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_data_outlive_every_end(tmp_path: Path, number: signal.Signals) -> None:
    first = LocalProcess(tmp_path)
    first.wait_until_ready()
    first.ask("PUT", "/v1/item", "written")
    first.send(number)
    first.end()

    with served(tmp_path) as process:
        assert kept(process) == "written"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_within_seconds(tmp_path: Path, number: signal.Signals) -> None:
    process = LocalProcess(tmp_path)
    process.wait_until_ready()
    idle = process.connect()
    idle.request("GET", "/v1")
    idle.getresponse().read()
    begun = time.monotonic()

    process.send(number)

    assert process.end() == (0, "", "")
    assert time.monotonic() - begun < 5
    idle.close()


def test_a_running_request_is_finished(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = LocalProcess(tmp_path, EPHEMERAL="1")
    process.wait_until_ready()
    connection = process.connect()
    connection.request("GET", f"/v1/wait?on={fifo}")

    with fifo.open("w"):
        process.send(signal.SIGTERM)
    answer = connection.getresponse()

    assert answer.status == 200
    assert answer.read()
    assert process.end() == (0, "", "")
    connection.close()


def test_ephemeral_keeps_nothing(tmp_path: Path) -> None:
    with served(tmp_path, EPHEMERAL="1") as process:
        process.ask("PUT", "/v1/item", "written")

    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_of_the_environment_is_used(tmp_path: Path, emulator_url: str) -> None:
    account = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    with served(tmp_path, AWS_ENDPOINT_URL=emulator_url, **account) as process:
        process.ask("PUT", "/v1/item", "written")

    client = boto3.client("dynamodb", endpoint_url=emulator_url)
    [item] = client.scan(TableName="kinto-dev-access")["Items"]
    assert item["text"] == {"S": "written"}
    assert list(tmp_path.iterdir()) == []


def test_tables_are_those_of_the_stage(tmp_path: Path) -> None:
    with served(tmp_path, KINTO_STAGE="other") as process:
        status, _ = process.ask("GET", "/v1/item")

    assert status == 500  # the stand-in looks into those of `dev`
    assert b"kinto-other-objects" in (tmp_path / STATE).read_bytes()


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        line = refused(tmp_path, PORT=str(port))

    assert line == f"kinto-serverless: port {port} can't be used: Address already in use\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("EPHEMERAL", "maybe"),
        ("KINTO_BATCH_MAX_REQUESTS", "many"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, variable: str, value: str) -> None:
    assert f"{variable}={value!r}" in refused(tmp_path, **{variable: value})


def test_unreadable_data_are_refused_and_stay(tmp_path: Path) -> None:
    file = tmp_path / STATE
    file.parent.mkdir(parents=True)
    file.write_text("{")

    assert str(STATE) in refused(tmp_path)
    assert file.read_text() == "{"


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    with served(tmp_path):
        assert "in use by another server" in refused(tmp_path)


def test_an_endpoint_that_nobody_answers_at_is_refused(tmp_path: Path) -> None:
    account = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-1"}
    endpoint = "http://127.0.0.1:9"

    line = refused(tmp_path, AWS_ENDPOINT_URL=endpoint, AWS_DEFAULT_REGION="eu-west-1", **account)

    assert "the tables can't be created" in line
    assert endpoint in line


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "boto3.py").write_text("raise ModuleNotFoundError('none', name='boto3')")

    line = refused(tmp_path, FIRST_PATH=str(shadow))

    assert "the Python module boto3 is missing" in line
