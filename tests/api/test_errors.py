"""What every endpoint's errors look like, and what becomes of what isn't a client's fault."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import ThrottledError, UnavailableError
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.api.places import LISTS, OBJECTS, assert_error, body_of
from tests.doubles import SECRET, STAGE, Client, Patience

METHODS = ("GET", "PUT", "PATCH", "DELETE", "POST")
ENDPOINTS = [
    *((method, path) for path in OBJECTS for method in ("GET", "PUT", "PATCH", "DELETE")),
    *((method, path) for path in LISTS for method in ("GET", "POST", "DELETE")),
    ("POST", "/buckets"),
]


class FailingStorage(Storage):
    """Raises instead of running anything."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def run(self, work: Callable[[UnitOfWork], Any], deadline: Deadline) -> Any:
        raise self._failure


class FailingPolicy:
    """Can't tell who asks."""

    name = challenge = "failing"

    def user_id(self, request: Request) -> str | None:
        raise RuntimeError("a mistake of ours")


def failing(failure: Exception, **settings: Any) -> Client:
    """A client of a service whose storage fails."""
    ours = Settings(stage=STAGE, **settings)
    return Client(Service(ours, FailingStorage(failure), [BasicPolicy(SECRET)]))


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, ("GET", "/"), ("GET", "/__heartbeat__")])
def test_an_unexpected_exception_is_500_without_its_text(
    method: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = failing(RuntimeError("a mistake of ours"))

    answer = client.ask(method, path, {"data": {"members": []}})

    assert_error(answer, 500, 999)
    body = body_of(answer, 500)
    assert body["info"] == "https://github.com/Kinto/kinto/issues/"
    assert "mistake" not in str(answer)
    assert "Retry-After" not in answer.headers
    assert "RuntimeError: a mistake of ours" in caplog.text


def test_the_info_of_500_is_a_setting() -> None:
    client = failing(RuntimeError(), error_info_link="https://info")

    assert body_of(client.ask("GET", "/"), 500)["info"] == "https://info"


def test_a_policy_that_fails_is_500(dynamo: Dynamo) -> None:
    service = Service(Settings(stage=STAGE), Storage(dynamo), [FailingPolicy()])

    answer = Client(service).ask("GET", "/")

    assert_error(answer, 500, 999)
    assert "mistake" not in str(answer)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("may_repeat", [False, True])
def test_unavailable_is_503_and_repeated_only_where_nothing_was_carried_out(
    method: str, path: str, may_repeat: bool
) -> None:
    client = failing(UnavailableError(may_repeat=may_repeat), retry_after_seconds=7)

    answer = client.ask(method, path, {"data": {"members": []}})

    assert_error(answer, 503, 201)
    assert answer.headers.get("Retry-After") == ("7" if may_repeat else None)


def test_what_was_in_the_way_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    error = UnavailableError(may_repeat=True)
    error.__cause__ = ThrottledError("ThrottlingException")

    failing(error).ask("GET", "/buckets/blog")

    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.getMessage() == (
        "GET /v1/buckets/blog (request request of alice): "
        "no time left, ThrottledError('ThrottlingException')"
    )


def test_the_log_tells_the_errno_of_an_answer_without_body(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kinto"):
        assert client.ask("HEAD", "/buckets/blog").body is None

    assert "errno=121" in caplog.text


def test_no_time_left_is_503(client: Client) -> None:
    hurried = Client(client.service, lambda: Patience(1.0))

    answer = hurried.ask("GET", "/buckets/blog")

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_anonymous_are_asked_to_authenticate(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path, {"data": {"members": []}}, user=None)

    assert_error(answer, 401, 104)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Realm"'
    assert body_of(answer, 401)["message"] == "Please authenticate yourself to use this endpoint."


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_strangers_are_refused_whatever_else_is_wrong(
    client: Client, method: str, path: str
) -> None:
    client.ask("PUT", "/buckets/blog")
    headers = {"If-Match": "x", "If-None-Match": "*"}
    if path == "/buckets":
        return  # anybody may create one

    answer = client.ask(method, path, user="bob", headers=headers, body=b"{", _limit="x")

    assert_error(answer, 403, 121)
    assert "WWW-Authenticate" not in answer.headers
    assert "ETag" not in answer.headers
