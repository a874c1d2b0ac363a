"""Single endpoints that are switched off. Rule: spec, "The service", section 9."""

import pytest

from chalicelib.settings import SWITCHES
from chalicelib.storage.connection import Dynamo
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    LISTS,
    OBJECTS,
    RECORD,
    RECORDS,
    assert_error,
    body_for,
    body_of,
    made,
    state,
)
from tests.api.test_preflight import METHOD, OF_A_LIST, OF_AN_OBJECT, preflight, problems
from tests.api.test_server import client_with
from tests.doubles import Client, CountedCalls

PATHS = {
    "collection_bucket": "/buckets",
    "collection_collection": COLLECTIONS,
    "collection_group": GROUPS,
    "collection_record": RECORDS,
    "record_bucket": BUCKET,
    "record_collection": COLLECTION,
    "record_group": GROUP,
    "record_record": RECORD,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def parts(switch: str) -> tuple[str, list[str], list[str]]:
    """The path of a switch, the methods that it switches off, and those that are left."""
    name, _, word = switch.rpartition("_")
    method = word.upper()
    off = ["GET", "HEAD"] if method == "GET" else [method]
    every = OF_A_LIST if name.startswith("collection") else OF_AN_OBJECT
    return PATHS[name], off, [each for each in every.split(",") if each not in off]


def test_each_method_of_each_address_has_a_switch() -> None:
    lists = {f"{name}_{it}" for name in PATHS for it in ("get", "post", "delete")}
    objects = {f"{name}_{it}" for name in PATHS for it in ("get", "put", "patch", "delete")}

    assert set(SWITCHES) == {it for it in lists if it.startswith("collection")} | {
        it for it in objects if it.startswith("record")
    }


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_method_that_is_switched_off_is_refused_before_all_else(
    dynamo: Dynamo, client: Client, calls: CountedCalls, switch: str
) -> None:
    made(client)
    ours = client_with(dynamo, switched_off=frozenset({switch}))
    path, off, left = parts(switch)
    before = state(client)
    calls.take()

    for method in off:
        for user in ("alice", None):
            wrong = {"Accept": "text/html", "Content-Type": "text/plain"}
            answer = ours.ask(method, path, user=user, headers=wrong, body=b"{")
            assert answer.status == 405
            assert answer.headers["Allow"] == ", ".join(left)
            if method != "HEAD":
                assert_error(answer, 405, 115)
    assert calls.take() == {}
    assert state(client) == before


@pytest.mark.parametrize("switch", SWITCHES)
def test_all_others_go_on(dynamo: Dynamo, client: Client, switch: str) -> None:
    made(client)
    ours = client_with(dynamo, switched_off=frozenset({switch}))
    path, off, _ = parts(switch)

    for other in ("/buckets", *LISTS, *OBJECTS):
        for method in METHODS:
            if (other, method) != (path, off[0]):
                answer = ours.ask(method, other, headers={"Accept": "text/html"})
                expected = client.ask(method, other, headers={"Accept": "text/html"})
                assert answer.status == expected.status


@pytest.mark.parametrize("switch", SWITCHES)
def test_scripts_are_told_what_is_left(dynamo: Dynamo, switch: str) -> None:
    client = client_with(dynamo, switched_off=frozenset({switch}))
    path, off, left = parts(switch)

    answer = preflight(client, path, "OPTIONS")

    assert answer.headers["Access-Control-Allow-Methods"] == ",".join(left)
    for method in off:
        assert problems(preflight(client, path, method)) == [(METHOD, "Method not allowed")]


def test_what_can_not_be_put_can_still_be_posted(dynamo: Dynamo) -> None:
    client = client_with(dynamo, switched_off=frozenset({"record_bucket_put"}))

    assert_error(client.ask("PUT", BUCKET), 405, 115)
    created = body_of(client.ask("POST", "/buckets", {"data": {"id": "blog"}}), 201)
    assert created["data"]["id"] == "blog"
    assert client.ask("PUT", COLLECTION, body_for(COLLECTION)).status == 201


def test_several_are_switched_off_at_once(dynamo: Dynamo) -> None:
    off = frozenset({"collection_group_get", "collection_group_post", "collection_group_delete"})
    client = client_with(dynamo, switched_off=off, readonly=True)

    assert client.ask("GET", GROUPS).headers["Allow"] == "OPTIONS"
    assert client.ask("PUT", GROUP).headers["Allow"] == "GET, HEAD, OPTIONS"
