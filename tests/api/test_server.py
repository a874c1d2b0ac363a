"""The root view and the heartbeats."""

import logging
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.policies import authenticate
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import OBJECTS, body_of, made, sent
from tests.doubles import SECRET, STAGE, Client, CountedCalls, SetClock, heard_by
from tests.test_observability import Lines

ALWAYS = {"Alert", "Backoff", "Content-Length", "Retry-After"}
OF_OBJECTS = ALWAYS | {"Cache-Control", "ETag", "Expires", "Last-Modified", "Pragma"}
OF_LISTS = OF_OBJECTS | {"Next-Page", "Total-Records"}


def client_with(dynamo: Dynamo, **settings: Any) -> Client:
    """A client of a service with these settings."""
    ours = Settings(stage=STAGE, userid_hmac_secret=SECRET, **settings)
    storage = Storage(dynamo, SetClock())
    return Client(Service(ours, storage, [BasicPolicy(SECRET)], load_plugins(ours)))


def test_the_root_view_tells_what_the_service_is(client: Client) -> None:
    answer = client.ask("GET", "/", user=None)

    assert body_of(answer) == {
        "project_name": "kinto",
        "project_version": "2.0.0",
        "http_api_version": "1.4",
        "cliquet_protocol_version": "2",
        "project_docs": "https://kinto.readthedocs.org/",
        "url": "http://localhost/v1/",
        "settings": {
            "batch_max_requests": 25,
            "cliquet.batch_max_requests": 25,
            "readonly": False,
        },
        "capabilities": {},
    }
    assert not {"ETag", "Cache-Control"} & answer.headers.keys()


def test_the_root_view_tells_users_who_they_are(client: Client) -> None:
    answer = body_of(client.ask("GET", "/"))

    assert answer["user"].keys() == {"id"}
    assert answer["user"]["id"].startswith("basicauth:")


@pytest.mark.parametrize(
    "header",
    ["Bearer x", "Basic", "Basic !", "Basic YQ==", "Basic Og==", "Basic OnM=", "Basic é", ""],
)
def test_credentials_that_make_no_sense_are_as_none(client: Client, header: str) -> None:
    answer = client.ask("GET", "/", user=None, headers={"Authorization": header})

    assert "user" not in body_of(answer)


@pytest.mark.parametrize(
    ("header", "digest"),
    [
        (
            "Basic YWxpY2U6c2VjcmV0",
            "97b9de4692598e206a21666d0c2a2d243f8e434a16aacd2955773853a650671d",
        ),
        ("basic  YWxpY2U6 ", "93f7fbd57d9202a6ee3ae4b14c0df9d8f71c5ce99af0bbe5a9f286611caa3c60"),
        (
            "BASIC YWxpY2U6c2U6Y3I6ZXQ=",
            "436a0fac5291d585d750ca13ef6dbffa3011a17313a6b66f38f4e4a82649ca31",
        ),
        (
            "Basic w6lsb2RpZTptb3RkZXBhc3PDqQ==",
            "bb33e9885f401288c5c5ab5fdb5aee4eb14960b7a733bb1d31f9c56d8e9c5765",
        ),
        (
            "Basic 6WxvZGllOm1vdGRlcGFzc+k=",
            "bb33e9885f401288c5c5ab5fdb5aee4eb14960b7a733bb1d31f9c56d8e9c5765",
        ),
    ],
)
def test_the_user_id_is_a_hash_of_name_and_password(header: str, digest: str) -> None:
    policy = BasicPolicy("b4c96a8692291d88fe5a97dd91846eb4")

    request = Request("GET", "/v1/", headers={"authorization": header})

    assert authenticate(request, [policy]).user_id == f"basicauth:{digest}"


@pytest.mark.parametrize("path", ["/", "/__heartbeat__", "/__lbheartbeat__"])
def test_utilities_ignore_headers_and_query(client: Client, path: str) -> None:
    plain = client.ask("GET", path)
    headers = {
        "Accept": "text/html",
        "If-None-Match": "*",
        "If-Match": '"1"',
        "Content-Type": "x/y",
    }

    answer = client.ask("GET", path, headers=headers, _since="x", a="b")
    head = client.ask("HEAD", path, headers=headers)

    assert (answer.status, answer.body) == (200, plain.body)
    assert (head.status, head.body, head.headers) == (200, None, answer.headers)


def test_settings_change_the_root_view(dynamo: Dynamo) -> None:
    client = client_with(
        dynamo, project_version="9", project_docs="https://docs", batch_max_requests=3
    )

    body = body_of(client.ask("GET", "/"))

    assert (body["project_version"], body["project_docs"]) == ("9", "https://docs")
    assert body["settings"]["batch_max_requests"] == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"readonly": True}, {"readonly": True}),
        ({"batch_max_requests": 0}, {"batch_max_requests": 0, "cliquet.batch_max_requests": 0}),
    ],
)
def test_settings_in_force_are_shown(
    dynamo: Dynamo, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    shown = body_of(client_with(dynamo, **settings).ask("GET", "/"))["settings"]

    usual = {"batch_max_requests": 25, "cliquet.batch_max_requests": 25, "readonly": False}
    assert shown == {**usual, **expected}


@pytest.mark.parametrize(
    ("setting", "name", "capability"),
    [
        (
            "flush_endpoint_enabled",
            "flush_endpoint",
            {
                "description": "The __flush__ endpoint can be used to remove all data from all"
                " backends.",
                "url": "http://kinto.readthedocs.org/en/latest/configuration/settings.html"
                "#activating-the-flush-endpoint",
            },
        ),
        (
            "experimental_collection_schema_validation",
            "schema",
            {
                "description": "Validates collection records with JSON schemas.",
                "url": "http://kinto.readthedocs.org/en/latest/api/1.x/collections.html"
                "#collection-json-schema",
            },
        ),
        (
            "basicauth_capability",
            "basicauth",
            {
                "description": "Very basic authentication sessions. Not for production use.",
                "url": "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
            },
        ),
    ],
)
def test_a_setting_brings_its_capability(
    dynamo: Dynamo, setting: str, name: str, capability: dict[str, str]
) -> None:
    for user in ("alice", None):
        answer = client_with(dynamo, **{setting: True}).ask("GET", "/", user=user)

        assert body_of(answer)["capabilities"] == {name: capability}


def test_plugins_add_capabilities_to_those_of_settings(dynamo: Dynamo) -> None:
    settings = Settings(stage=STAGE, flush_endpoint_enabled=True)
    plugins = load_plugins(settings)
    plugins.add_capability("changes", description="Changes.", url="https://changes", version=1)
    service = Service(settings, Storage(dynamo), [], plugins)

    capabilities = body_of(Client(service).ask("GET", "/"))["capabilities"]

    assert capabilities.keys() == {"changes", "flush_endpoint"}
    assert capabilities["changes"] == {
        "description": "Changes.",
        "url": "https://changes",
        "version": 1,
    }


def test_scheme_and_host_settings_hold_for_all_urls(dynamo: Dynamo) -> None:
    client = client_with(dynamo, http_scheme="https", http_host="kinto.example:444")
    made(client)
    client.ask("POST", "/buckets/blog/collections/posts/records")

    root = body_of(client.ask("GET", "/"))["url"]
    page = client.ask("GET", "/buckets/blog/collections/posts/records", _limit="1")
    redirect = sent(client, Request("GET", "/buckets"))

    assert root == "https://kinto.example:444/v1/"
    assert page.headers["Next-Page"].startswith("https://kinto.example:444/v1/buckets/")
    assert redirect.headers["Location"] == "https://kinto.example:444/v1/buckets"


def test_backoff_is_on_every_answer(dynamo: Dynamo) -> None:
    client = client_with(dynamo, backoff=10)

    answers = [
        client.ask("GET", "/"),
        client.ask("PUT", "/buckets/a"),
        client.ask("GET", "/buckets/b"),
        client.ask("TRACE", "/"),
        client.ask("GET", "/nothing"),
        sent(client, Request("GET", "/")),
    ]

    assert {answer.status for answer in answers} == {200, 201, 403, 405, 404, 307}
    assert {answer.headers["Backoff"] for answer in answers} == {"10"}


def test_the_heartbeat_tries_both_tables(client: Client, calls: CountedCalls) -> None:
    answer = client.ask("GET", "/__heartbeat__", user=None)

    assert body_of(answer) == {"storage": True, "permission": True, "cache": True}
    assert calls.take() == {"PutItem": 2, "BatchGetItem": 2}


def test_the_heartbeat_of_a_read_only_service_writes_nothing(
    dynamo: Dynamo, calls: CountedCalls
) -> None:
    answer = client_with(dynamo, readonly=True).ask("GET", "/__heartbeat__", user=None)

    assert body_of(answer) == {"storage": True, "permission": True, "cache": True}
    assert calls.take() == {"BatchGetItem": 2}


@pytest.mark.parametrize("readonly", [False, True])
def test_the_heartbeat_logs_which_table_does_not_work(moto_tables: Dynamo, readonly: bool) -> None:
    tables = moto_tables.tables._replace(access="no-such-table")
    client = client_with(Dynamo(moto_tables._connection, tables), readonly=readonly)
    log = Lines()

    with heard_by(log, logging.ERROR):
        assert client.ask("GET", "/__heartbeat__").status == 503

    (record,) = log.records
    assert record.levelno == logging.ERROR
    assert "the table no-such-table does not work: " in record.getMessage()


def test_the_heartbeat_is_503_where_a_table_is_missing(moto_tables: Dynamo) -> None:
    tables = moto_tables.tables._replace(access="no-such-table")
    client = client_with(Dynamo(moto_tables._connection, tables))

    answer = client.ask("GET", "/__heartbeat__")

    assert body_of(answer, 503) == {"storage": True, "permission": False, "cache": True}
    assert answer.headers["Retry-After"] == "3"


def test_the_heartbeat_is_in_no_list(client: Client) -> None:
    made(client)
    client.ask("GET", "/__heartbeat__")

    assert client.ask("GET", "/buckets/blog/groups").headers["Total-Records"] == "1"


def test_the_load_balancers_heartbeat_touches_nothing(client: Client, calls: CountedCalls) -> None:
    assert body_of(client.ask("GET", "/__lbheartbeat__", user=None)) == {}
    assert calls.take() == {}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ALWAYS),
        ("GET", "/nothing", ALWAYS),
        *(("GET", path, OF_OBJECTS) for path in OBJECTS),
        ("HEAD", OBJECTS[0], OF_OBJECTS),
        ("GET", "/buckets/other", OF_OBJECTS),
        ("PUT", OBJECTS[0], ALWAYS),
        ("GET", "/buckets/blog/groups", OF_LISTS),
        ("HEAD", "/buckets/blog/groups", OF_LISTS),
        ("POST", "/buckets/blog/groups", ALWAYS),
        ("DELETE", "/buckets/blog/groups", ALWAYS),
    ],
)
def test_headers_are_exposed_to_browsers(
    client: Client, method: str, path: str, expected: set[str]
) -> None:
    made(client)

    for headers in ({}, {"If-None-Match": "*"}, {"Accept": "text/html"}):
        answer = client.ask(method, path, headers=headers)
        names = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert set(names) == expected
