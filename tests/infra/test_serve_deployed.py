"""Serving the package, from its start to its end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deployed.conftest import eventually
from tests.infra.local_process import ROOT

pytestmark = pytest.mark.emulator


@pytest.fixture
def build(pytestconfig: pytest.Config) -> Path:
    """The folder of wheels that all tests of packages share."""
    return Path(pytestconfig.cache.mkdir("package"))


@contextmanager
def started(build: Path, temporary: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The server, on any free port unless PORT is given. It is killed if it doesn't end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "infra.serve_deployed", build],
        env={
            **os.environ,
            "PORT": "0",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(temporary),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: "subprocess.Popen[str]", beginning: str) -> str:
    """The rest of the line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line.removeprefix(beginning).strip()
    raise AssertionError(process.communicate())


def refused(build: Path, temporary: Path, **environment: str) -> str:
    """What it says instead of starting, which is one line."""
    with started(build, temporary, **environment) as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Deploying" not in output
    assert errors.count("\n") == 1
    return errors


def root_of(url: str) -> Any:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=60)
    connection.request("GET", "/v1/")
    root = json.loads(connection.getresponse().read())
    connection.close()
    return root


def running_in(folder: Path) -> list[str]:
    """The commands of processes that run with this folder for temporary files, or from it."""
    return [
        command
        for process in Path("/proc").glob("[0-9]*")
        if str(folder) in (command := _read(process / "cmdline")) + _read(process / "environ")
    ]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:  # it is another user's, or it has ended
        return ""


def test_the_package_is_served_with_the_settings_of_the_environment(
    build: Path, tmp_path: Path
) -> None:
    settings = {"KINTO_BATCH_MAX_REQUESTS": "7", "KINTO_STAGE": "other"}

    with started(build, tmp_path, AWS_PROFILE="nobody", **settings) as process:
        url = wait_for(process, "Serving on ")
        way = wait_for(process, "AWS services: ")
        root = root_of(url)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)

    assert root["url"] == url
    assert root["settings"]["batch_max_requests"] == 7
    assert (process.returncode, errors) == (0, "")
    assert way.startswith("AWS_ENDPOINT_URL=http://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not running_in(tmp_path))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("step", ["Packaging", "Deploying"])
def test_signals_end_what_was_begun(
    build: Path, tmp_path: Path, step: str, number: signal.Signals, status: int
) -> None:
    with started(build, tmp_path) as process:
        wait_for(process, step)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (status, "")
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not running_in(tmp_path))


def test_a_port_in_use_is_refused(build: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        line = refused(build, tmp_path, PORT=str(port))

    assert line == f"kinto-serverless: port {port} can't be used: Address already in use\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "http"), ("KINTO_BATCH_MAX_REQUESTS", "many"), ("KINTO_INCLUDES", "no.such.plugin")],
)
def test_a_bad_setting_is_named(build: Path, tmp_path: Path, variable: str, value: str) -> None:
    line = refused(build, tmp_path, **{variable: value})

    assert variable in line
    assert value in line


def test_more_settings_than_lambda_takes_are_refused(build: Path, tmp_path: Path) -> None:
    line = refused(build, tmp_path, KINTO_EOS_MESSAGE="é" * 2000)

    assert line.startswith("kinto-serverless: the settings have 4")
    assert line.endswith("bytes, and functions take 4096\n")


def test_what_can_not_be_packaged_is_told_in_a_line(tmp_path: Path) -> None:
    nobody = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}

    line = refused(tmp_path / "build", tmp_path, **nobody)

    assert line.startswith("kinto-serverless: chalice package: ")
