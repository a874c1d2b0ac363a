"""Which scripts of other origins may use what is answered. Rule: spec, "The service", section 6."""

from typing import Any

import pytest

from chalicelib.protocol.messages import Request, Response
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from tests.api.places import (
    BUCKET,
    COLLECTIONS,
    GROUP,
    GROUPS,
    LISTS,
    OBJECTS,
    RECORDS,
    assert_error,
    assert_invalid,
    body_for,
    body_of,
    made,
    sent,
    state,
)
from tests.api.test_errors import failing
from tests.api.test_server import client_with
from tests.doubles import Client

APP = "https://app.example.org"
EVIL = "https://evil.example.org"
ALLOW = "Access-Control-Allow-Origin"

ANSWERS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "the root": (200, "GET", "/", {}),
    "a heartbeat": (200, "GET", "/__lbheartbeat__", {}),
    "an object": (200, "GET", BUCKET, {}),
    "an object's headers": (200, "HEAD", BUCKET, {}),
    "a list": (200, "GET", GROUPS, {}),
    "something new": (201, "POST", RECORDS, {}),
    "what is known": (304, "GET", BUCKET, {"headers": {"If-None-Match": "*"}}),
    "a bad body": (400, "PUT", BUCKET, {"body": b"{"}),
    "the anonymous": (401, "GET", BUCKET, {"user": None}),
    "a stranger": (403, "GET", BUCKET, {"user": "bob"}),
    "what is missing": (404, "GET", f"{BUCKET}/groups/none", {}),
    "another method": (405, "PUT", GROUPS, {}),
    "another type": (406, "GET", BUCKET, {"headers": {"Accept": "text/html"}}),
    "what has changed": (412, "PATCH", BUCKET, {"headers": {"If-Match": '"1"'}}),
    "another content": (415, "PUT", BUCKET, {"headers": {"Content-Type": "text/plain"}}),
}

CHANGES = [
    *((method, path) for path in OBJECTS for method in ("PUT", "PATCH", "DELETE")),
    *((method, path) for path in LISTS for method in ("POST", "DELETE")),
    *(("PUT", f"{path}/new") for path in (GROUPS, COLLECTIONS, "/buckets")),
    ("POST", "/buckets"),
    ("DELETE", "/buckets"),
]
READS = [(method, path) for path in (*OBJECTS, *LISTS, "/buckets") for method in ("GET", "HEAD")]


def ask(client: Client, origin: str | None, method: str, path: str, **asked: Any) -> Response:
    """The answer to a request from a page of this origin."""
    headers = dict(asked.pop("headers", {}))
    if origin is not None:
        headers["Origin"] = origin
    return client.ask(method, path, headers=headers, **asked)


def asked_as(client: Client, answer: str, origin: str | None) -> Response:
    """One of the answers above."""
    status, method, path, asked = ANSWERS[answer]
    response = ask(client, origin, method, path, **asked)
    assert response.status == status, response
    return response


# Whom answers name


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_origin_is_let_in_by_default(client: Client, answer: str) -> None:
    made(client)

    response = asked_as(client, answer, APP)

    assert response.headers[ALLOW] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("answer", ANSWERS)
def test_who_is_no_script_is_told_nothing(client: Client, answer: str) -> None:
    made(client)

    assert ALLOW not in asked_as(client, answer, None).headers
    assert ALLOW not in asked_as(client, answer, "").headers


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_origin_of_the_list_is_named(dynamo: Dynamo, client: Client, answer: str) -> None:
    made(client)
    ours = client_with(dynamo, cors_origins=("https://other", APP))

    assert asked_as(ours, answer, APP).headers[ALLOW] == APP


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("origin", [APP, None])
def test_caches_keep_the_answers_of_origins_apart(
    client: Client, answer: str, origin: str | None
) -> None:
    made(client)

    assert asked_as(client, answer, origin).headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "path", ["/v1/nowhere", "/v2/", "/buckets", "/v1/buckets/", "/v1", "/v1/\udcff"], ids=ascii
)
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
@pytest.mark.parametrize("origins", [("*",), (APP,), ("https://*.example.org",)])
def test_where_there_is_no_endpoint_the_origin_itself_is_named(
    dynamo: Dynamo, path: str, method: str, origins: tuple[str, ...]
) -> None:
    client = client_with(dynamo, cors_origins=origins)

    answer = sent(client, Request(method, path, headers={"origin": APP}))

    assert answer.status in (307, 400, 404)
    assert answer.headers[ALLOW] == APP


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v2/", "/buckets", "/v1/buckets/"])
def test_where_there_is_no_endpoint_another_origin_is_not_named(dynamo: Dynamo, path: str) -> None:
    client = client_with(dynamo, cors_origins=(APP,))

    answer = sent(client, Request("GET", path, headers={"origin": EVIL}))

    assert answer.status in (307, 404)
    assert ALLOW not in answer.headers


@pytest.mark.parametrize("failure", [RuntimeError(), UnavailableError(may_repeat=True)])
def test_failures_name_the_origin(failure: Exception) -> None:
    answer = ask(failing(failure), APP, "GET", BUCKET)

    assert answer.status in (500, 503)
    assert answer.headers[ALLOW] == "*"


# Which origins are in the list


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        (APP, APP),
        ("https://*.example.org", APP),
        ("https://*.example.org", "https://a.b.example.org"),
        ("https://*", APP),
        ("*://app.example.org", "http://app.example.org"),
        ("http://localhost:*", "http://localhost:8080"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("null", "null"),
    ],
)
def test_an_origin_fits(dynamo: Dynamo, pattern: str, origin: str) -> None:
    client = client_with(dynamo, cors_origins=("https://first", pattern))

    answer = ask(client, origin, "GET", "/")

    assert (answer.status, answer.headers[ALLOW]) == (200, origin)


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        (APP, "http://app.example.org"),
        (APP, "https://app.example.org:8443"),
        (APP, "https://app.example.org.evil.org"),
        (APP, "https://appxexample.org"),
        (APP, "https://APP.example.org"),
        (APP, "null"),
        ("https://*.example.org", "https://example.org"),
        ("https://*.example.org", "https://app.example.org:8443"),
        ("https://*.example.org", "http://app.example.org"),
        ("https://ap?.example.org", APP),
        ("https://[a]pp.example.org", APP),
    ],
)
def test_an_origin_does_not_fit(dynamo: Dynamo, pattern: str, origin: str) -> None:
    client = client_with(dynamo, cors_origins=(pattern,))

    answer = ask(client, origin, "GET", "/")

    assert_invalid(answer, "header", "Origin", f"{origin} not allowed")
    assert body_of(answer, 400)["message"] == f"Origin in header: {origin} not allowed"
    assert ALLOW not in answer.headers


# Refusals


@pytest.fixture
def strict(dynamo: Dynamo) -> Client:
    """A client of a service that serves the scripts of one origin."""
    return client_with(dynamo, cors_origins=(APP,))


@pytest.mark.parametrize(("method", "path"), [*CHANGES, *READS, ("GET", "/"), ("HEAD", "/")])
def test_another_origin_is_refused_before_anything_is_written(
    client: Client, strict: Client, method: str, path: str
) -> None:
    made(client)
    before = state(client)

    answer = ask(strict, EVIL, method, path, data=body_for(path))

    if method == "HEAD":
        assert answer.status == 400
    else:
        assert_invalid(answer, "header", "Origin", f"{EVIL} not allowed")
    assert ALLOW not in answer.headers
    assert state(client) == before


@pytest.mark.parametrize("path", ["/__heartbeat__", "/__lbheartbeat__"])
def test_heartbeats_refuse_another_origin(strict: Client, path: str) -> None:
    assert_invalid(ask(strict, EVIL, "GET", path), "header", "Origin", f"{EVIL} not allowed")


@pytest.mark.parametrize(
    "answer",
    [
        "the anonymous",
        "a stranger",
        "another method",
        "another type",
        "another content",
    ],
)
def test_what_is_refused_anyway_is_refused_as_ever(
    client: Client, strict: Client, answer: str
) -> None:
    made(client)

    response = asked_as(strict, answer, EVIL)

    assert response.body == asked_as(strict, answer, None).body
    assert ALLOW not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("PUT", BUCKET, {"body": b"{"}),
        ("PUT", f"{BUCKET}/groups/g!", {}),
        ("GET", BUCKET, {"_fields": "a.b"}),
        ("GET", RECORDS, {"_since": "soon"}),
        ("GET", RECORDS, {"headers": {"If-None-Match": "*"}}),
        ("GET", f"{BUCKET}/groups/none", {}),
        ("GET", f"{COLLECTIONS}/none/records", {}),
        ("POST", f"{COLLECTIONS}/none/records", {}),
        ("PATCH", GROUP, {"headers": {"If-Match": '"1"'}, "data": {"data": {"a": 1}}}),
    ],
)
def test_another_origin_learns_nothing_of_what_is_there(
    client: Client, strict: Client, method: str, path: str, asked: dict[str, Any]
) -> None:
    made(client)

    answer = ask(strict, EVIL, method, path, **asked)

    assert_invalid(answer, "header", "Origin", f"{EVIL} not allowed")


def test_another_origin_is_refused_what_is_shared_object_by_object(
    client: Client, strict: Client
) -> None:
    made(client)
    client.ask("PATCH", GROUP, {"permissions": {"read": ["system.Everyone"]}})

    assert body_of(ask(strict, APP, "GET", GROUPS, user="bob"))["data"]
    answer = ask(strict, EVIL, "GET", GROUPS, user="bob")
    assert_invalid(answer, "header", "Origin", f"{EVIL} not allowed")
    assert_error(ask(strict, EVIL, "GET", COLLECTIONS, user="bob"), 403, 121)
