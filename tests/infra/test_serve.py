"""The local server from its start to its end."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import boto3
import pytest

from infra.emulator import emulator
from tests.doubles import basic
from tests.events.test_outlets import Site, opened_site
from tests.events.test_webhooks import secret
from tests.infra.local_process import ROOT, LocalProcess, refused, served

pytestmark = pytest.mark.emulator

ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
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
    with served(tmp_path, AWS_ENDPOINT_URL=emulator_url, **ACCOUNT) as process:
        process.ask("PUT", "/v1/item", "written")
        assert process.aws == f"AWS services: AWS_ENDPOINT_URL={emulator_url}\n"

    client = boto3.client("dynamodb", endpoint_url=emulator_url)
    [item] = client.scan(TableName="kinto-dev-access")["Items"]
    assert item["text"] == {"S": "written"}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def purged(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Waits for what the stand-in's `purge` is called with next, and gives it."""
    fifo = tmp_path / "purged"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDWR), "rb", buffering=0) as pipe:

        def next_one() -> str:
            assert select.select([pipe], [], [], 30)[0], "nothing was purged"
            return pipe.readline().decode().strip()

        yield next_one


def test_what_was_pumped_does_not_come_again(tmp_path: Path, purged: Callable[[], str]) -> None:
    for text in ("first", "second"):
        with served(tmp_path) as process:
            process.ask("PUT", "/v1/object", text)
            assert purged() == text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_changes_right_before_the_end_are_not_lost(
    tmp_path: Path, purged: Callable[[], str], number: signal.Signals
) -> None:
    process = LocalProcess(tmp_path)
    process.wait_until_ready()
    process.ask("PUT", "/v1/object", "last words")
    process.send(number)
    process.end()

    with served(tmp_path):
        assert purged() == "last words"


def test_a_handler_that_fails_is_told_in_a_line_and_serving_goes_on(
    tmp_path: Path, purged: Callable[[], str]
) -> None:
    process = LocalProcess(tmp_path, EPHEMERAL="1")
    process.wait_until_ready()
    process.ask("PUT", "/v1/object", "fail")
    process.ask("PUT", "/v1/object", "after it")
    assert purged() == "after it"
    process.send(signal.SIGTERM)

    status, _, errors = process.end()
    assert status == 0
    assert errors == (
        "kinto-serverless: purge failed, goes on in 1 s: ValueError: as it was asked for\n"
    )


def listener(name: str, site: Site) -> dict[str, str]:
    """The variables of a webhook."""
    prefix = f"KINTO_EVENT_LISTENERS_{name.upper()}"
    return {
        f"{prefix}_USE": "webhook",
        f"{prefix}_URL": site.url,
        f"{prefix}_SECRET": secret(1),
        f"{prefix}_RESOURCES": "record",
    }


COLLECTION = "/v1/buckets/blog/collections/posts"
IDS = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(5)]


def put(process: LocalProcess, path: str, **data: str) -> None:
    body = json.dumps({"data": data})
    status, text = process.ask("PUT", path, body, Authorization=basic("alice"))
    assert status == 201, text


@contextmanager
def our_own(folder: Path, **listeners: Site) -> Iterator[LocalProcess]:
    """Our own application, with a collection and these listeners."""
    variables = {"FIRST_PATH": str(ROOT), "KINTO_EVENT_LISTENERS": " ".join(listeners)}
    for name, site in listeners.items():
        variables |= listener(name, site)
    with served(folder, EPHEMERAL="1", **variables) as process:
        put(process, "/v1/buckets/blog")
        put(process, COLLECTION)
        yield process


def test_a_webhook_is_told_of_a_record_with_a_signature(tmp_path: Path) -> None:
    with opened_site() as site, our_own(tmp_path, hook=site) as process:
        put(process, f"{COLLECTION}/records/{IDS[0]}", title="é")
        site.wait_for(1)

        event = site.verified(secret(1))
        assert site.verified(secret(2)) is None
    assert (event["action"], event["uri"]) == (
        "create",
        f"/buckets/blog/collections/posts/records/{IDS[0]}",
    )
    assert event["user_id"].startswith("basicauth:")
    [record] = event["impacted_records"]
    assert record == {
        "new": {"id": IDS[0], "title": "é", "last_modified": record["new"]["last_modified"]}
    }
    assert len(site.asked) == 1


def test_a_listener_that_hangs_or_is_down_holds_up_no_other(tmp_path: Path) -> None:
    with opened_site() as down:
        pass
    with (
        opened_site() as hanging,
        opened_site() as healthy,
        our_own(tmp_path, hanging=hanging, down=down, healthy=healthy) as process,
    ):
        hanging.may_answer.clear()
        for id in IDS:
            put(process, f"{COLLECTION}/records/{id}")

        healthy.wait_for(5)
        hanging.wait_for(1)

        hanging.may_answer.set()  # so that the server ends soon
    assert [json.loads(body)["record_id"] for _, body in healthy.asked] == IDS


@pytest.fixture
def tables_only() -> Iterator[str]:
    """The URL of an endpoint that has DynamoDB, and neither its streams nor SQS."""
    with (
        mock.patch("infra.emulator.SERVICES", "dynamodb"),
        emulator(None) as url,
    ):
        yield url


def test_an_endpoint_without_queues_is_told_in_a_line_and_served(
    tmp_path: Path, tables_only: str
) -> None:
    process = LocalProcess(tmp_path, AWS_ENDPOINT_URL=tables_only, **ACCOUNT)
    process.wait_until_ready()
    answer, _ = process.ask("PUT", "/v1/item", "written")
    process.send(signal.SIGTERM)

    status, _, errors = process.end()
    assert (answer, status) == (200, 0)
    assert errors.startswith("kinto-serverless: without stream or queues, so that nothing follows")
    assert errors.count("\n") == 1


def test_the_way_to_the_emulator_is_told(tmp_path: Path) -> None:
    with served(tmp_path) as process:
        process.ask("PUT", "/v1/item", "written")
        assert process.aws.startswith("AWS services: AWS_ENDPOINT_URL=http://127.0.0.1:")
        told = dict(pair.split("=") for pair in process.aws.split()[2:])

        client = boto3.client(
            "dynamodb",
            endpoint_url=told["AWS_ENDPOINT_URL"],
            region_name=told["AWS_DEFAULT_REGION"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        )
        assert client.scan(TableName="kinto-dev-access")["Count"] == 1


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


UNREAD = "nothing is read from the stream and the queues here"


def chalice(url: str, *arguments: str) -> "subprocess.Popen[str]":
    """A command of Chalice, with our own application, on AWS's services at this URL."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("chalice"), "--project-dir", ROOT, *arguments],
        env={**os.environ, **ACCOUNT, "AWS_ENDPOINT_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_chalice_local_tells_what_it_does_not_do(emulator_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    process = chalice(emulator_url, "local", "--no-autoreload", "--port", str(port))
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "Serving on" in line:
                break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/v1/")
        status = connection.getresponse().status
        connection.close()
    finally:
        process.kill()
        process.communicate()

    assert status == 200, lines
    [told] = [line for line in lines if UNREAD in line]
    assert told == (
        f"{UNREAD}: listeners of what is committed, webhooks and the purge don't run;"
        " `make serve` runs them; and a secret that is kept elsewhere isn't looked up,"
        " so that users are others\n"
    )


def test_other_commands_of_chalice_do_not(emulator_url: str) -> None:
    output, _ = chalice(emulator_url, "generate-models").communicate(timeout=60)

    assert "/v1/buckets" in json.loads(output)["paths"]
    assert UNREAD not in output
