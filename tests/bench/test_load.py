"""The load test as its user starts it, against our own service and against ones that fail."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

import pytest

from bench.load.options import LoadError, Options
from bench.load.replica import Replica, WrongAnswerError
from bench.load.stage import Stage
from tests.infra.local_process import ROOT

KINDS = (
    "batch of 25",
    "checked write",
    "checked write, invalid (400)",
    "create",
    "delete",
    "full sync, a page",
    "hello",
    "invitation",
    "merge",
    "poll, changes",
    "poll, nothing new (304)",
    "read through a group",
    "update",
    "update, outdated (412)",
)
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def started(folder: Path, url: str, **options: str) -> "subprocess.Popen[str]":
    """A load test without pauses and without a page."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.load"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "URL": url,
            "HEADLESS": "1",
            "PAUSE": "0",
            "RATE": "100",
            "TIME": "90s",
            **options,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def loaded(folder: Path, url: str, **options: str) -> tuple[int, str, str]:
    """The exit status of a load test, what it printed, and what to stderr."""
    process = started(folder, url, **options)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


# Our own service


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[str]:
    """The root of a local server, with all buckets to be seen. Its log is read, and left."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "infra.serve"],
        cwd=tmp_path_factory.mktemp("service"),
        env={
            **{name: it for name, it in os.environ.items() if not name.startswith("AWS_")},
            **ACCOUNT,
            "AWS_ENDPOINT_URL": emulator_url,
            "KINTO_STAGE": "load",
            "KINTO_EXPERIMENTAL_COLLECTION_SCHEMA_VALIDATION": "true",
            "KINTO_BUCKET_READ_PRINCIPALS": "system.Everyone",
            "PORT": "0",
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        reading = threading.Thread(target=process.stdout.read)
        reading.start()
        yield first.removeprefix("Serving on ")
        process.terminate()
        reading.join()


def buckets_at(url: str) -> Any:
    with urlopen(f"{url}buckets", timeout=30) as answer:  # noqa: S310 - ours
        return json.load(answer)["data"]


@pytest.mark.emulator
def test_users_live_a_day_and_leave_nothing(tmp_path: Path, url: str) -> None:
    status, output, errors = loaded(tmp_path, url, USERS="2", DAYS="1", SHARED="0.3")

    assert (status, errors) == (0, ""), output
    counted = {line[:40].strip() for line in output.splitlines()}
    assert {kind for kind in KINDS if not any(it.startswith(kind) for it in counted)} == set()
    assert "failures:" not in output
    assert buckets_at(url) == []
    [report] = (tmp_path / ".local" / "load").iterdir()
    assert {file.name for file in report.iterdir()} == {
        "failures.txt",
        "report.html",
        "requests.csv",
    }


@pytest.mark.emulator
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_ended_leaves_nothing(tmp_path: Path, url: str, number: signal.Signals) -> None:
    process = started(tmp_path, url, USERS="1")
    assert process.stdout is not None
    first = process.stdout.readline()
    assert [it["id"] for it in buckets_at(url)] == [first.split("/")[-1].strip()]

    process.send_signal(number)
    output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, ""), output
    assert buckets_at(url) == []


# Others


class Stub(BaseHTTPRequestHandler):
    """A service that says hello, takes the organizer's first batch, and then fails."""

    hello: ClassVar[Any] = {
        "project_name": "kinto",
        "http_api_version": "1.4",
        "settings": {"batch_max_requests": 25},
        "capabilities": {},
        "user": {"id": "someone"},
    }

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, self.hello)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        made = [{"status": 201, "body": {"data": {}}}] * len(body["requests"])
        if len(made) > 3:  # an invitation has three
            self._answer(200, {"responses": made})
        else:
            self._answer(500, {"message": "a bug"})

    def do_DELETE(self) -> None:
        self._answer(200, {})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def stub(**attributes: Any) -> Iterator[str]:
    """The URL of a stub that differs in this."""
    handler = type("Differing", (Stub,), attributes)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_failures_are_named_and_fail_it(tmp_path: Path) -> None:
    with stub() as url:
        status, output, _ = loaded(tmp_path, url, USERS="1", TIME="1s", PAUSE="0.1")

    assert status == 1
    assert "x POST invitation: answers 500 (a bug)\n" in output
    [report] = (tmp_path / ".local" / "load").iterdir()
    assert "/v1/batch: answers 500 (a bug): " in (report / "failures.txt").read_text()


@pytest.mark.parametrize(
    ("hello", "line"),
    [
        ({"title": "another service"}, "is no Kinto: it answers 200, without Kinto's hello"),
        ([], "is no Kinto: it answers 200, without Kinto's hello"),
        ({**Stub.hello, "settings": {"readonly": True}}, "is read-only"),
        (
            {name: it for name, it in Stub.hello.items() if name != "user"},
            "doesn't know a user of Basic authentication; name one that it knows: KINTO_LOAD_AUTH",
        ),
    ],
)
def test_what_takes_no_load_is_refused(hello: Any, line: str) -> None:
    with stub(hello=hello) as url, pytest.raises(LoadError) as error:
        Stage(url, None).check()

    assert str(error.value) == f"{url} {line}"


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    with stub(hello={"title": "another service"}) as url:
        told = loaded(tmp_path, url)

    line = f"{url} is no Kinto: it answers 200, without Kinto's hello"
    assert told == (1, "", f"kinto-serverless: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with stub() as url:
        pass

    status, output, errors = loaded(tmp_path, url)

    assert (status, output) == (1, "")
    assert errors == f"kinto-serverless: {url} can't be reached (NewConnectionError), at GET /\n"


URL = "https://kinto.example.org/v1"


@pytest.mark.parametrize("given", ["https://kinto.example.org", f"{URL}", f"{URL}/"])
def test_the_version_need_not_be_in_the_url(given: str) -> None:
    assert Options.from_environment({"URL": given}).url == URL


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2h", 7200)]
)
def test_a_time_has_units(text: str, seconds: float) -> None:
    assert Options.from_environment({"URL": URL, "TIME": text}).time_s == seconds


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"URL": ""}, "which stage? make load URL=https://kinto.example.org/v1"),
        ({"USERS": "many"}, "USERS='many' is no whole number from 1"),
        ({"SHARED": "2"}, "SHARED='2' is no number from 0 to 1"),
        ({"TIME": "long"}, "TIME='long' is no time such as 90s, 5m or 1h30m"),
        ({"HEADLESS": "yes"}, "HEADLESS='yes' is neither 1 nor 0"),
        ({"KINTO_LOAD_AUTH": "nobody"}, "KINTO_LOAD_AUTH is neither user:password nor a whole"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(options: dict[str, str], line: str) -> None:
    with pytest.raises(LoadError, match=re.escape(line)):
        Options.from_environment({"URL": URL, **options})


# What a user notices

WRITTEN = {"id": "a", "title": "One", "last_modified": 5}
OTHER = {"id": "b", "title": "Two", "last_modified": 6}


@pytest.fixture
def replica() -> Replica:
    """One that was empty at its last sync, and has written a record since."""
    replica = Replica("/records", is_alone=True)
    replica.synced_from_scratch([], '"4"', 0)
    replica.wrote({"title": "One"}, WRITTEN)
    return replica


def test_a_sync_with_all_that_was_written_is_right(replica: Replica) -> None:
    replica.synced([WRITTEN], '"5"')
    replica.synced([], '"5"')
    replica.synced_from_scratch([WRITTEN], '"5"', 1)

    assert replica.own == {"a": WRITTEN}


@pytest.mark.parametrize(
    ("entries", "etag", "reason"),
    [
        ([], '"5"', "a sync misses a change"),
        ([{**WRITTEN, "title": "?"}], '"5"', "a sync misses a change"),
        ([WRITTEN, OTHER], '"6"', "a sync tells what nobody wrote"),
        ([WRITTEN], '"4"', "an ETag is older than what is known"),
    ],
)
def test_a_sync_that_is_wrong_is_noticed(
    replica: Replica, entries: Sequence[dict[str, Any]], etag: str, reason: str
) -> None:
    with pytest.raises(WrongAnswerError, match=reason):
        replica.synced(entries, etag)


@pytest.mark.parametrize(
    ("entries", "total", "reason"),
    [
        ([], 0, "a list lacks a record"),
        ([WRITTEN, OTHER], 2, "a list has what is deleted, or nobody wrote"),
        ([WRITTEN], 2, "Total-Records isn't the number of records"),
    ],
)
def test_a_list_that_is_wrong_is_noticed(
    replica: Replica, entries: Sequence[dict[str, Any]], total: int, reason: str
) -> None:
    with pytest.raises(WrongAnswerError, match=reason):
        replica.synced_from_scratch(entries, '"6"', total)


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        ({**OTHER, "title": "Three"}, "a write answers other data than were sent"),
        ({**OTHER, "last_modified": 5}, "last_modified doesn't grow"),
    ],
)
def test_a_write_that_is_wrong_is_noticed(
    replica: Replica, answered: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WrongAnswerError, match=reason):
        replica.wrote({"title": "Two"}, answered)


def test_a_deletion_without_a_tombstone_is_noticed(replica: Replica) -> None:
    with pytest.raises(WrongAnswerError, match="a deletion answers no tombstone"):
        replica.deleted("a", {"id": "a", "last_modified": 6})


def test_what_was_deleted_and_is_still_listed_is_noticed(replica: Replica) -> None:
    replica.deleted("a", {"id": "a", "last_modified": 6, "deleted": True})

    with pytest.raises(WrongAnswerError, match="a list has what is deleted"):
        replica.synced_from_scratch([WRITTEN], '"6"', 1)
