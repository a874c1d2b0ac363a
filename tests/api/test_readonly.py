"""A service that refuses all writes. Rule: spec, "The service", section 9."""

import pytest

from chalicelib.protocol.messages import Response
from chalicelib.storage.connection import Dynamo
from tests.api.places import LISTS, OBJECTS, assert_error, body_of, made, state
from tests.api.test_preflight import METHOD, preflight, problems
from tests.api.test_server import client_with
from tests.doubles import Client, CountedCalls

ALL_LISTS = ("/buckets", *LISTS)
WRITES = [
    *(("POST", path) for path in ALL_LISTS),
    *(("DELETE", path) for path in ALL_LISTS),
    *((method, path) for path in OBJECTS for method in ("PUT", "PATCH", "DELETE")),
]


@pytest.fixture
def readonly(dynamo: Dynamo) -> Client:
    """A client of a service that is only read."""
    return client_with(dynamo, readonly=True)


def refused(answer: Response) -> None:
    """Hold an answer to be the refusal of a method."""
    assert_error(answer, 405, 115)
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert "Access-Control-Expose-Headers" not in answer.headers


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writes_are_refused_before_all_else(
    client: Client, readonly: Client, calls: CountedCalls, method: str, path: str
) -> None:
    made(client)
    before = state(client)
    calls.take()

    refused(readonly.ask(method, path, {"data": {"members": []}}))
    refused(readonly.ask(method, path, user=None))
    wrong = {"Accept": "text/html", "Content-Type": "text/plain", "Origin": "x"}
    refused(readonly.ask(method, path, body=b"{", headers=wrong))
    assert calls.take() == {}
    assert state(client) == before


@pytest.mark.parametrize("path", [*ALL_LISTS, *OBJECTS])
def test_all_is_read_as_ever(client: Client, readonly: Client, path: str) -> None:
    made(client)

    for method in ("GET", "HEAD"):
        assert readonly.ask(method, path) == client.ask(method, path)


@pytest.mark.parametrize("path", [*ALL_LISTS, *OBJECTS])
def test_scripts_are_told_that_they_can_only_read(readonly: Client, path: str) -> None:
    allowed = preflight(readonly, path).headers["Access-Control-Allow-Methods"]

    assert allowed == "GET,HEAD,OPTIONS"
    assert problems(preflight(readonly, path, "DELETE")) == [(METHOD, "Method not allowed")]


def test_utilities_work(readonly: Client) -> None:
    assert body_of(readonly.ask("GET", "/"))["settings"]["readonly"] is True
    for path in ("/__heartbeat__", "/__lbheartbeat__"):
        assert readonly.ask("GET", path).status == 200


def test_unknown_addresses_and_redirects_are_as_ever(readonly: Client) -> None:
    assert_error(readonly.ask("PUT", "/nowhere"), 404, 111)
    assert readonly.ask("PUT", "/buckets/").status == 307
