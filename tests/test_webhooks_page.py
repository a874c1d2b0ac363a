"""docs/webhooks.md: its receivers take what is signed, its payload fits the schema, and so on."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.events.deliveries import (
    FIRST_DELAY_S,
    LANES,
    LONGEST_DELAY_S,
    MAX_AGE_S,
    MAX_EVENT_BYTES,
    SLOW_S,
)
from chalicelib.events.outlets import TIMEOUT_S
from chalicelib.events.webhooks import signed_headers
from chalicelib.plugins.listening import WAITED_S
from chalicelib.protocol.events import ACTIONS, READ, Event, Impact, Operation, to_events
from chalicelib.protocol.kinds import KINDS, Kind
from chalicelib.protocol.uris import ListUri

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
SCHEMA = json.loads((ROOT / "docs" / "event.schema.json").read_text("utf-8"))
EXAMPLES = ROOT / "examples"

SECRET = "whsec_" + "c2VjcmV0" * 5
OTHER = "whsec_" + "b3RoZXJz" * 5

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def block(language: str, containing: str) -> str:
    (found,) = (
        text
        for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        if containing in text
    )
    return str(found)


# The payload


def test_the_payload_of_the_page_fits_the_schema() -> None:
    VALIDATOR.validate(json.loads(block("json", "event_id")))


def list_of(kind: Kind) -> ListUri:
    depth = {"bucket": 0, "collection": 1, "group": 1, "record": 2}[kind.name]
    return ListUri(kind, ("blog", "posts")[:depth])


def operation(kind: Kind, action: str, by_list: bool, user_id: str | None) -> Operation:
    uri = list_of(kind).object("an-id")
    new = {"id": "an-id", "last_modified": 3, "any": ["thing"]}
    old = {"id": "an-id", "last_modified": 2}
    record: dict[str, Any] = {
        "create": {"new": new},
        "update": {"new": new, "old": old},
        "delete": {"old": {**old, "deleted": True}},
        "read": new,
    }[action]
    return Operation(
        action, uri.list if by_list else uri, 1, user_id, "1", (Impact(uri, 3, record),)
    )


OPERATIONS = st.builds(
    operation,
    st.sampled_from(KINDS),
    st.sampled_from(ACTIONS),
    st.booleans(),
    st.none() | st.just("basicauth:alice"),
)


def problems(told: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(told)]


@given(OPERATIONS, st.booleans())
def test_every_event_fits_the_schema(operation: Operation, is_truncated: bool) -> None:
    (event,) = to_events([operation])

    assert problems((event.truncated() if is_truncated else event).to_json()) == []


def test_a_read_of_an_empty_list_fits_the_schema() -> None:
    event = Event.of([Operation(READ, list_of(KINDS[3]), 1, None, "1", ())])

    assert problems(event.to_json()) == []


@given(OPERATIONS, st.data())
def test_the_schema_wants_all_fields_and_no_others(operation: Operation, data: Any) -> None:
    (event,) = to_events([operation])
    told = event.to_json()
    ids = {f"{kind.name}_id" for kind in KINDS}
    missing = data.draw(st.sampled_from(sorted(told.keys() - ids)))

    assert problems({name: value for name, value in told.items() if name != missing}) != []
    assert problems({**told, "more": 1}) != []


def test_the_page_names_every_field() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))

    assert SCHEMA["properties"].keys() <= named


# Its receivers


@pytest.mark.parametrize("name", ["webhook_receiver.py", "webhook_receiver.mjs"])
def test_the_page_shows_the_receivers_that_are_tested(name: str) -> None:
    assert (EXAMPLES / name).read_text("utf-8") in PAGE


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        assert "CI" not in os.environ, "CI needs Node to test the receiver in JavaScript"
        pytest.skip("there is no Node: the receiver in JavaScript is not tested")
    return found


@contextmanager
def receiver(*command: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A receiver's port, once it listens, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "SECRET": SECRET, "PORT": str(port)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        process.kill()
        process.communicate()


def _wait_for(port: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        connection = HTTPConnection("127.0.0.1", port)
        try:
            connection.connect()
        except ConnectionRefusedError:
            continue
        finally:
            connection.close()
        return
    raise AssertionError("the receiver does not listen")


def post(port: int, body: bytes, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


LANGUAGES = pytest.mark.parametrize("language", ["python", "javascript"])


def receiver_in(language: str) -> AbstractContextManager[tuple[int, "subprocess.Popen[str]"]]:
    if language == "python":
        return receiver(sys.executable, str(EXAMPLES / "webhook_receiver.py"))
    return receiver(_node(), str(EXAMPLES / "webhook_receiver.mjs"))


def ask(port: int, head: str) -> str:
    """The first line of the answer to a request that ends after its head; "" if there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile(encoding="latin-1").readline()


def abort(port: int) -> None:
    """Begin a request, and be gone."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")


@LANGUAGES
def test_a_receiver_takes_what_is_signed_and_nothing_else(language: str) -> None:
    (event,) = to_events([operation(KINDS[3], "update", False, None)])
    body = json.dumps(event.to_json()).encode()
    now_s = int(time.time())
    signed = signed_headers(event.id, body, [SECRET], now_s=now_s)

    with receiver_in(language) as (port, process):
        assert process.stdout is not None
        refused = [
            post(port, body, {}),
            post(port, body, signed_headers(event.id, body, [OTHER], now_s=now_s)),
            post(port, body, signed_headers(event.id, body, [SECRET], now_s=now_s - 301)),
            post(port, body, {**signed, "webhook-id": "evt_other"}),
            post(port, body.replace(b"thing", b"being"), signed),
            post(port, body, {**signed, "webhook-timestamp": "x"}),
        ]
        taken = [
            post(port, body, signed),
            post(port, body, signed_headers(event.id, body, [OTHER, SECRET], now_s=now_s)),
        ]
        line = process.stdout.readline()

    assert refused == [401] * 6
    assert taken == [204, 204]
    assert line.startswith(f"update {event.payload['uri']} ")


@LANGUAGES
@pytest.mark.parametrize("action", ["update", READ])
def test_a_receiver_serves_on_after_an_aborted_request(language: str, action: str) -> None:
    (event,) = to_events([operation(KINDS[3], action, False, None)])
    body = json.dumps(event.to_json()).encode()
    signed = signed_headers(event.id, body, [SECRET], now_s=int(time.time()))

    with receiver_in(language) as (port, process):
        assert process.stdout is not None
        abort(port)
        taken = [post(port, body, signed) for _ in range(2)]
        lines = [process.stdout.readline() for _ in taken]

    assert taken == [204, 204]
    assert all(line.startswith(f"{action} {event.payload['uri']} ") for line in lines)


@LANGUAGES
def test_a_receiver_refuses_what_is_too_large_or_of_no_known_size(language: str) -> None:
    heads = ["Content-Length: 1000001\r\n", "", "Content-Length: -1\r\n", "Content-Length: x\r\n"]

    with receiver_in(language) as (port, process):
        answers = [ask(port, head) for head in heads]
        is_serving = process.poll() is None

    assert [answer.split()[1] for answer in answers] == ["413", "411", "400", "400"]
    assert is_serving


@pytest.mark.parametrize("signature", ["v1", "v1,x", "v1,a,b", "é"])
def test_the_receiver_in_python_refuses_what_is_no_signature(signature: str) -> None:
    headers = signed_headers("evt_1", b"{}", [SECRET], now_s=int(time.time()))

    with receiver_in("python") as (port, _):
        refused = [
            post(port, b"{}", {**headers, "webhook-signature": signature}),
            post(port, b"\xff", headers),
        ]

    assert refused == [401, 401]


# What it says of numbers


def test_the_page_tells_the_numbers_that_are_so() -> None:
    assert (FIRST_DELAY_S, LONGEST_DELAY_S, MAX_AGE_S) == (2, 3600, 24 * 3600)
    assert (TIMEOUT_S, WAITED_S, SLOW_S, LANES, MAX_EVENT_BYTES) == (10, 5, 2, 16, 900_000)
    for text in (
        "within 10 seconds",
        "within 5 seconds",
        "at most 16 first deliveries",
        "above 900 KB",
        "after about 2 seconds",
        "up to an hour, for a day",
        "after more than 2 seconds",
    ):
        assert text in PAGE, text
