"""Addresses, redirects, methods, and the headers that every endpoint looks at first."""

import pytest

from chalicelib.api.routes import ROUTES
from chalicelib.protocol.messages import Request
from chalicelib.storage.connection import Dynamo
from tests.api.places import (
    BUCKET,
    GROUP,
    LISTS,
    OBJECTS,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    made,
    sent,
    state,
)
from tests.api.test_server import client_with
from tests.doubles import Client, CountedCalls

BASE_URL = "https://kinto.example:8443/stage"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
OBJECT_METHODS = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
LIST_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
READS = "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/v1/"),
        ("/v1", "/v1/"),
        ("/buckets", "/v1/buckets"),
        ("/anything/é b", "/v1/anything/%C3%A9%20b"),
        ("/vx", "/v1/vx"),
        ("/v", "/v1/v"),
        ("//evil.example/", "/v1//evil.example/"),
        ("/v1/buckets/", "/v1/buckets"),
        ("/v1/buckets/a///", "/v1/buckets/a"),
        ("/v1/nowhere/", "/v1/nowhere"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_path_is_redirected(client: Client, method: str, path: str, location: str) -> None:
    answer = sent(client, Request(method, path, body=b"{", base_url=BASE_URL))

    assert (answer.status, answer.body) == (307, None)
    assert answer.headers["Location"] == BASE_URL + location


def test_a_redirect_keeps_the_query(client: Client) -> None:
    query = (("_limit", "1"), ("a", "x y&é"), ("a", ""))

    answer = sent(client, Request("GET", "/buckets", query, base_url=BASE_URL))

    assert answer.headers["Location"] == f"{BASE_URL}/v1/buckets?_limit=1&a=x+y%26%C3%A9&a="


@pytest.mark.parametrize("path", ["/v0/", "/v2", "/v42/buckets", "/v10/", "/v10"])
@pytest.mark.parametrize("method", METHODS)
def test_another_version_is_missing(client: Client, method: str, path: str) -> None:
    answer = sent(client, Request(method, path))

    assert answer.status == 404
    if method != "HEAD":
        assert_error(answer, 404, 116)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/Buckets",
        "/buckets/b/nothing",
        "/buckets/b/groups/g/members",
        "/buckets/b/collections/c/groups",
        "/buckets//collections",
        "//buckets",
        f"{RECORD}/x",
    ],
)
@pytest.mark.parametrize("method", [method for method in METHODS if method != "HEAD"])
@pytest.mark.parametrize("user", [None, "alice"])
def test_an_unknown_address_is_missing_for_everybody(
    client: Client, calls: CountedCalls, method: str, path: str, user: str | None
) -> None:
    headers = {"Accept": "text/html", "Content-Type": "x/y", "If-Match": "x"}

    answer = client.ask(method, path, user=user, headers=headers, body=b"{")

    assert_error(answer, 404, 111)
    assert calls.take() == {}


def test_redirects_can_be_switched_off(dynamo: Dynamo) -> None:
    client = client_with(
        dynamo, version_prefix_redirect_enabled=False, trailing_slash_redirect_enabled=False
    )

    assert_error(sent(client, Request("GET", "/")), 404, 116)
    assert_error(sent(client, Request("GET", "/buckets")), 404, 116)
    assert_error(client.ask("GET", "/buckets/"), 404, 111)
    assert client.ask("GET", "/").status == 200


@pytest.mark.parametrize("path", ["/v1/\udcff", "/v1/buckets/\udcff", "/\udcff", "/v1/\udcff/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "BREW"])
def test_a_path_that_is_not_utf8_is_refused(client: Client, method: str, path: str) -> None:
    answer = sent(client, Request(method, path))

    assert_invalid(answer, "path", None, "Invalid path: it is not UTF-8")


@pytest.mark.parametrize("query", [{"_x": "\udcff"}, {"\udcff": ""}], ids=ascii)
@pytest.mark.parametrize("path", [BUCKET, RECORDS, f"{BUCKET}/collections/none/records"])
def test_a_query_string_that_is_not_utf8_is_refused_where_it_is_read(
    client: Client, path: str, query: dict[str, str]
) -> None:
    made(client)

    answer = client.ask("GET", path, **query)

    assert_invalid(answer, "querystring", None, "Invalid query string: it is not UTF-8")
    assert client.ask("GET", path, user="bob", **query).status == 403
    assert client.ask("GET", "/", **query).status == 200
    assert client.ask("GET", "/nowhere", **query).status == 404


def test_a_redirect_keeps_a_query_that_is_not_utf8(client: Client) -> None:
    answer = sent(client, Request("GET", "/buckets", (("a", "\udcff"),), base_url=BASE_URL))

    assert answer.headers["Location"] == f"{BASE_URL}/v1/buckets?a=%FF"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", READS),
        ("/__heartbeat__", READS),
        ("/__lbheartbeat__", READS),
        ("/batch", "POST, OPTIONS"),
        ("/buckets", LIST_METHODS),
        *((path, LIST_METHODS) for path in LISTS),
        *((path, OBJECT_METHODS) for path in OBJECTS),
    ],
)
@pytest.mark.parametrize("user", [None, "alice"])
def test_a_method_that_an_address_lacks_is_refused_before_all_else(
    client: Client, calls: CountedCalls, path: str, allowed: str, user: str | None
) -> None:
    for method in METHODS:
        if method in allowed.split(", ") or method == "HEAD":
            continue
        headers = {"Accept": "text/html", "Content-Type": "x/y"}
        answer = client.ask(method, path, user=user, headers=headers, body=b"{")
        assert_error(answer, 405, 115)
        assert answer.headers["Allow"] == allowed
        assert "Access-Control-Expose-Headers" not in answer.headers
    assert calls.take() == {}


def test_every_route_has_its_methods_tested() -> None:
    assert len(ROUTES) == 4 + 1 + len(LISTS) + len(OBJECTS)


@pytest.mark.parametrize(
    "accept", ["text/html", "text/*", "application/json;q=0", "application/xml, text/plain", "x"]
)
@pytest.mark.parametrize("path", [RECORD, RECORDS, BUCKET])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"])
def test_an_accept_without_json_is_refused(
    client: Client, calls: CountedCalls, method: str, path: str, accept: str
) -> None:
    answer = client.ask(method, path, user=None, headers={"Accept": accept, "Content-Type": "x/y"})

    assert answer.status in (405, 406)
    if answer.status == 406 and method != "HEAD":
        description = "Accept header should be one of ['application/json']"
        assert_error(answer, 406, 107)
        assert body_of(answer, 406)["message"] == description
        assert body_of(answer, 406)["details"] == [
            {"location": "header", "name": "Accept", "description": description}
        ]
    assert calls.take() == {}


@pytest.mark.parametrize(
    "accept",
    [
        "",
        " ",
        "*/*",
        "application/*",
        "APPLICATION/JSON",
        "text/html, */*;q=0.01",
        "application/json; q=0.5",
    ],
)
def test_an_accept_with_json_goes_on(client: Client, accept: str) -> None:
    assert client.ask("PUT", BUCKET, headers={"Accept": accept}).status == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/merge-patch+json",
        "application/json-patch+json",
        "x",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("PUT", GROUP), ("PATCH", BUCKET), ("POST", RECORDS)])
def test_another_content_type_is_refused_even_without_a_body(
    client: Client, method: str, path: str, content_type: str
) -> None:
    made(client)
    before = state(client)

    answer = client.ask(method, path, user=None, headers={"Content-Type": content_type})

    description = "Content-Type header should be one of ['application/json']"
    assert_error(answer, 415, 107)
    assert body_of(answer, 415)["details"] == [
        {"location": "header", "name": "Content-Type", "description": description}
    ]
    assert state(client) == before


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "Application/JSON; charset=utf-8", "application/json;"]
)
def test_json_or_nothing_is_taken_as_content_type(client: Client, content_type: str) -> None:
    headers = {"Content-Type": content_type}

    answer = client.ask("PUT", BUCKET, {"data": {"a": 1}}, headers=headers)

    assert body_of(answer, 201)["data"]["a"] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_content_type_and_body_are_ignored_where_none_is_read(client: Client, method: str) -> None:
    made(client)

    answer = client.ask(method, RECORD, headers={"Content-Type": "x/y"}, body=b"{")

    assert answer.status == 200
