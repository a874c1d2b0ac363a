"""The end of the service. Rule: spec, "The service around the resources", section 7."""

import json
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import BUCKET, GROUPS, assert_error, body_for, body_of, made, sent, state
from tests.doubles import SECRET, STAGE, START_MS, Client, CountedCalls, SetClock

START = "2023-11-14T22:13:20"
"""What the clock shows, in UTC."""

BEFORE = "2023-11-14"
AFTER = "2023-11-15"

TOLD = {"eos_message": "Gone for good", "eos_url": "https://status.example.org/gone"}


def client_with(dynamo: Dynamo, eos: str, clock: SetClock | None = None, **settings: Any) -> Client:
    """A client of a service that ends then."""
    ours = Settings(stage=STAGE, userid_hmac_secret=SECRET, eos=eos, **settings)
    now_ms = clock or SetClock()
    storage = Storage(dynamo, now_ms)
    return Client(Service(ours, storage, [BasicPolicy(SECRET)], now_ms=now_ms))


def everything(client: Client) -> dict[str, Response]:
    """An answer of each kind."""
    origin = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    return {
        "root": client.ask("GET", "/"),
        "head": client.ask("HEAD", "/"),
        "write": client.ask("PUT", "/buckets/new", {"data": {"a": 1}}),
        "bad write": client.ask("PUT", "/buckets/new", body=b"{"),
        "object": client.ask("GET", BUCKET),
        "unchanged": client.ask("GET", BUCKET, headers={"If-None-Match": "*"}),
        "anonymous": client.ask("GET", BUCKET, user=None),
        "stranger": client.ask("GET", BUCKET, user="bob"),
        "list": client.ask("GET", GROUPS),
        "method": client.ask("PATCH", "/buckets"),
        "unknown": client.ask("GET", "/nowhere"),
        "version": sent(client, Request("GET", "/v2/")),
        "redirect": sent(client, Request("GET", "/buckets")),
        "slash": client.ask("GET", "/buckets/"),
        "preflight": client.ask("OPTIONS", BUCKET, user=None, headers=origin),
        "heartbeat": client.ask("GET", "/__heartbeat__"),
        "not utf-8": sent(client, Request("GET", "/v1/\udcff")),
    }


def test_without_an_end_nothing_is_announced(client: Client) -> None:
    assert not any("Alert" in answer.headers for answer in everything(client).values())


def test_the_end_is_announced_on_every_answer(dynamo: Dynamo) -> None:
    client = client_with(dynamo, AFTER, **TOLD)
    made(client)

    answers = everything(client)

    assert {answer.headers["Alert"] for answer in answers.values()} == {
        '{"code":"soft-eol","message":"Gone for good","url":"https://status.example.org/gone"}'
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "root": 200,
        "head": 200,
        "write": 201,
        "bad write": 400,
        "object": 200,
        "unchanged": 304,
        "anonymous": 401,
        "stranger": 403,
        "list": 200,
        "method": 405,
        "unknown": 404,
        "version": 404,
        "redirect": 307,
        "slash": 307,
        "preflight": 200,
        "heartbeat": 200,
        "not utf-8": 400,
    }


def test_after_the_end_nothing_else_is_answered_and_nothing_is_done(
    dynamo: Dynamo, calls: CountedCalls
) -> None:
    client = client_with(dynamo, BEFORE, **TOLD)
    made(client)
    before = state(client)
    calls.take()

    answers = everything(client)

    for name, answer in answers.items():
        assert answer.status == 410
        if name != "head":
            assert_error(answer, 410, 202)
            assert body_of(answer, 410) == {
                "code": 410,
                "errno": 202,
                "error": "Gone",
                "message": "The service you are trying to connect no longer exists at this"
                " location.",
            }
        assert answer.headers["Alert"] == (
            '{"code":"hard-eol","message":"Gone for good","url":"https://status.example.org/gone"}'
        )
        assert "Location" not in answer.headers
    assert answers["head"].body is None
    assert calls.take() == {}
    assert state(client) == before


@pytest.mark.parametrize(
    ("origins", "expected"),
    [(("*",), "*"), (("https://app.example.org",), "https://app.example.org"), (("b",), None)],
)
@pytest.mark.parametrize("path", ["/v1/", f"/v1{BUCKET}", "/v1/nowhere", "/"])
def test_scripts_learn_of_the_end(
    dynamo: Dynamo, origins: tuple[str, ...], expected: str | None, path: str
) -> None:
    client = client_with(dynamo, BEFORE, cors_origins=origins)

    answer = sent(client, Request("GET", path, headers={"origin": "https://app.example.org"}))

    assert answer.status == 410
    assert answer.headers.get("Access-Control-Allow-Origin") == expected
    assert "Alert" in answer.headers["Access-Control-Expose-Headers"]


def test_load_balancers_are_served_to_the_last(dynamo: Dynamo) -> None:
    client = client_with(dynamo, BEFORE)

    for method in ("GET", "HEAD"):
        answer = client.ask(method, "/__lbheartbeat__", user=None)
        assert answer.status == 200
        assert json.loads(answer.headers["Alert"])["code"] == "hard-eol"
    assert client.ask("GET", "/__lbheartbeat__/").status == 410


@pytest.mark.parametrize(
    ("eos", "is_over"),
    [
        (START, True),
        ("2023-11-14T22:13:20.001", False),
        ("2023-11-14 22:13:20", True),
        ("2023-11-14T22:13:21", False),
        ("2023-11-14T22:13:21Z", False),
        ("2023-11-14T23:13:20+01:00", True),
        ("2023-11-14T23:13:21+01:00", False),
        ("2023-11-14T22:13:20-01:00", False),
        ("20231114T221320Z", True),
        ("0001-01-01T00:00:00+14:00", True),
        ("9999-12-31T23:59:59-14:00", False),
    ],
)
def test_the_end_is_at_a_moment(dynamo: Dynamo, eos: str, is_over: bool) -> None:
    client = client_with(dynamo, eos)

    assert client.ask("GET", "/").status == (410 if is_over else 200)


def test_a_date_ends_the_service_as_it_begins(dynamo: Dynamo) -> None:
    clock = SetClock(START_MS)
    client = client_with(dynamo, AFTER, clock)
    midnight_ms = START_MS + 6_400_000

    clock.now_ms = midnight_ms - 1
    assert client.ask("GET", "/").status == 200
    clock.now_ms = midnight_ms
    assert client.ask("GET", "/").status == 410


def test_without_message_and_address_the_documentation_is_named(dynamo: Dynamo) -> None:
    plain = client_with(dynamo, AFTER).ask("GET", "/")
    other = client_with(dynamo, AFTER, project_docs="https://docs").ask("GET", "/")

    assert plain.headers["Alert"] == (
        '{"code":"soft-eol","message":null,"url":"https://kinto.readthedocs.org/"}'
    )
    assert json.loads(other.headers["Alert"])["url"] == "https://docs"


def test_any_message_fits_into_a_header(dynamo: Dynamo) -> None:
    message = 'Adieu, "été" \\ 😀'

    alert = client_with(dynamo, AFTER, eos_message=message).ask("GET", "/").headers["Alert"]

    assert alert.isascii()
    assert json.loads(alert)["message"] == message


def test_the_end_matters_more_than_what_else_is_announced(dynamo: Dynamo) -> None:
    client = client_with(dynamo, AFTER)
    made(client)

    for method in ("GET", "DELETE"):
        answer = client.ask(method, GROUPS, body_for(GROUPS), _to="1")
        assert answer.status == 200
        assert json.loads(answer.headers["Alert"])["message"] is None


def test_the_root_view_shows_the_end_as_it_is_set(dynamo: Dynamo, client: Client) -> None:
    assert body_of(client_with(dynamo, AFTER).ask("GET", "/"))["eos"] == AFTER
    assert "eos" not in body_of(client.ask("GET", "/"))


def test_clients_are_asked_to_back_off_after_the_end_too(dynamo: Dynamo) -> None:
    assert client_with(dynamo, BEFORE, backoff=10).ask("GET", "/").headers["Backoff"] == "10"
