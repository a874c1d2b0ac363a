"""What X-Ray is told: `chalicelib/tracing.py`, and where parts begin and end."""

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from chalicelib import tracing
from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.events.deliveries import Deliver, Delivery, DeliveryError
from chalicelib.protocol.events import Event
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.traced_calls import watch
from chalicelib.storage.transactions import Storage
from infra.stages import ROOT
from tests.doubles import SECRET, Client, basic
from tests.events.test_deliveries import FakeQueues, event_about
from tests.shared_moto import dynamo, moto_tables
from tests.test_app import event

__all__ = ["dynamo", "moto_tables"]

TRACE, OF_LAMBDA = "1-65536a00-0123456789abcdef01234567", "53995c3f42cd8ad8"
SAMPLED = f"Root={TRACE};Parent={OF_LAMBDA};Sampled=1"

BUCKET = "/buckets/blog"
POSTS = f"{BUCKET}/collections/posts"
RECORD = f"{POSTS}/records/f5a1c6f0-0000-4000-8000-000000000001"

Document = dict[str, Any]


class Daemon:
    """X-Ray's daemon, and the Lambda that decides what it is to be told."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.header = ""

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def received(self) -> list[Document]:
        """What came since the last time, in its order: each as soon as it was sent."""
        return [json.loads(text.partition("\n")[2]) for text in self.texts()]

    def texts(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def xray(moto_tables: Dynamo) -> Iterator[Daemon]:
    daemon = Daemon()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_tracer", tracing._tracer)  # what was there comes back
        client = moto_tables._connection.client
        tracing.configure("test", lambda: daemon.header, daemon.address, lambda: watch(client))
        yield daemon
        tracing._tracer.close()
    daemon.close()


@pytest.fixture
def daemon(xray: Daemon, client: Client) -> Iterator[Daemon]:
    """One that has nothing yet, of invocations that are traced."""
    client.ask("PUT", BUCKET)
    client.ask("PUT", POSTS)
    xray.header = SAMPLED
    yield xray
    xray.header = ""
    xray.texts()


@pytest.fixture
def client(dynamo: Dynamo) -> Client:
    settings = Settings(stage="test", userid_hmac_secret=SECRET)
    return Client(Service(settings, Storage(dynamo), [BasicPolicy(SECRET)]))


On = Callable[[str, Callable[..., Any]], None]


@pytest.fixture
def on(dynamo: Dynamo) -> Iterator[On]:
    """Registers what happens to calls of DynamoDB, by botocore's names, for the test's time."""
    events = dynamo._connection.client.meta.events
    with ExitStack() as stack:

        def register(name: str, hook: Callable[..., Any]) -> None:
            events.register_first(name, hook)
            stack.callback(events.unregister, name, hook)

        yield register


def tree_of(documents: list[Document], parent: str = OF_LAMBDA) -> Any:
    """The parts below one, by their names, in the order in which they began."""
    children = [each for each in documents if each["parent_id"] == parent]
    children.sort(key=lambda each: each["start_time"])
    return [(_name(each), tree_of(documents, each["id"])) for each in children]


def _name(document: Document) -> str:
    return document.get("aws", {}).get("operation") or document["name"]


def only(documents: list[Document], name: str) -> Document:
    [found] = [each for each in documents if _name(each) == name]
    return found


def flags(document: Document) -> set[str]:
    return {flag for flag in ("error", "throttle", "fault") if document.get(flag)}


def refused(code: str, *reasons: str) -> Any:
    """What botocore is to take for DynamoDB's answer."""
    parsed = {
        "Error": {"Code": code, "Message": "no"},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
        "ResponseMetadata": {"RequestId": "of DynamoDB", "HTTPStatusCode": 400},
    }
    return SimpleNamespace(status_code=400), parsed


def once(answer: Any) -> Callable[..., Any]:
    """Gives it to the first call alone."""
    answers = iter([answer])
    return lambda **_: next(answers, None)


def test_a_read_is_its_authentication_its_load_and_its_endpoint(
    client: Client, daemon: Daemon
) -> None:
    client.ask("GET", POSTS)

    documents = daemon.received()
    assert tree_of(documents) == [
        ("request", [("authentication", []), ("load", [("BatchGetItem", [])]), ("endpoint", [])])
    ]
    assert {each["trace_id"] for each in documents} == {TRACE}
    assert {each["type"] for each in documents} == {"subsegment"}
    assert all(each["start_time"] <= each["end_time"] for each in documents)


def test_a_request_is_found_by_its_id_its_route_and_its_status(
    client: Client, daemon: Daemon
) -> None:
    client.ask("GET", POSTS)

    request = only(daemon.received(), "request")
    assert request["annotations"] == {
        "stage": "test",
        "rid": "request of alice",
        "method": "GET",
        "route": "/v1/buckets/{bucket_id}/collections/{collection_id}",
        "status": 200,
    }
    assert request["http"] == {"response": {"status": 200}}
    assert flags(request) == set()


def test_a_write_ends_with_its_commit_which_names_the_tables(
    client: Client, daemon: Daemon
) -> None:
    client.ask("PUT", RECORD, {"data": {"title": "one"}})

    documents = daemon.received()
    [(_, parts)] = tree_of(documents)
    assert parts[-1] == ("commit", [("TransactWriteItems", [])])
    call = only(documents, "TransactWriteItems")
    assert call["name"] == "DynamoDB"
    assert call["namespace"] == "aws"
    assert call["aws"].keys() == {"operation", "table_names", "request_id"}
    assert call["aws"]["table_names"] == ["kinto-test-access", "kinto-test-objects"]
    assert flags(call) == set()


def test_in_a_batch_each_request_is_a_part_and_what_all_need_is_loaded_once(
    client: Client, daemon: Daemon
) -> None:
    requests = [
        {"method": "PUT", "body": {"data": {}}, "path": f"{RECORD[:-1]}{digit}"} for digit in "12"
    ]

    client.ask("POST", "/batch", {"requests": requests})

    documents = daemon.received()
    [(_, parts)] = tree_of(documents)
    assert [name for name, _ in parts] == ["authentication", "endpoint", "commit"]
    inner = dict(parts)["endpoint"]
    assert Counter(name for name, _ in inner) == Counter(load=1, authentication=2, endpoint=2)
    routes = [each["metadata"]["kinto"]["route"] for each in documents if "metadata" in each]
    of_record = "/v1/buckets/{bucket_id}/collections/{collection_id}/records/{record_id}"
    assert routes == [of_record, of_record, "/v1/batch"]


@pytest.mark.parametrize(
    ("path", "user", "status"), [("/buckets/none", "alice", 403), (POSTS, None, 401)]
)
def test_what_a_client_does_wrong_is_an_error_and_no_fault(
    path: str, user: str | None, status: int, client: Client, daemon: Daemon
) -> None:
    client.ask("GET", path, user=user)

    documents = daemon.received()
    for name in ("request", "endpoint"):
        part = only(documents, name)
        assert part["http"]["response"]["status"] == status
        assert flags(part) == {"error"}


def test_an_attempt_that_lost_shows_on_which_item_and_the_next_one_follows(
    client: Client, daemon: Daemon, on: On
) -> None:
    lost = refused("TransactionCanceledException", "None", "ConditionalCheckFailed")
    on("before-call.dynamodb.TransactWriteItems", once(lost))

    client.ask("PUT", RECORD, {"data": {}})

    documents = daemon.received()
    [(_, parts)] = tree_of(documents)
    attempt = ["load", "endpoint", "commit"]
    assert [name for name, _ in parts] == ["authentication", *attempt, *attempt]
    commit, _ = [each for each in documents if each["name"] == "commit"]
    call, _ = [each for each in documents if _name(each) == "TransactWriteItems"]
    assert flags(commit) == flags(call) == {"error"}
    assert commit["cause"]["exceptions"][0]["type"] == "ConflictError"
    assert call["metadata"]["kinto"] == {
        "refused": [f"ConditionalCheckFailed: {POSTS}#record .clock"]
    }
    assert call["aws"]["request_id"] == "of DynamoDB"
    assert flags(only(documents, "request")) == set()


@pytest.mark.parametrize(
    "answer",
    [
        refused("ProvisionedThroughputExceededException"),
        refused("ThrottlingException"),
        refused("TransactionCanceledException", "ThrottlingError"),
    ],
    ids=lambda answer: answer[1]["Error"]["Code"],
)
def test_a_call_that_is_refused_for_load_is_a_throttle(
    answer: Any, client: Client, daemon: Daemon, on: On
) -> None:
    on("before-call.dynamodb.TransactWriteItems", once(answer))

    client.ask("PUT", RECORD, {"data": {}})

    first, second = [each for each in daemon.received() if _name(each) == "TransactWriteItems"]
    assert flags(first) == {"error", "throttle"}
    assert flags(second) == set()


def test_a_storage_that_does_not_answer_is_a_fault_of_each_call_and_all_around_it(
    client: Client, daemon: Daemon, on: On
) -> None:
    def time_out(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url="https://dynamodb.example")

    on("before-send.dynamodb.BatchGetItem", time_out)

    response = client.ask("GET", POSTS)

    assert response.status == 503
    documents = daemon.received()
    calls = [each for each in documents if _name(each) == "BatchGetItem"]
    assert len(calls) > 1
    for part in (*calls, only(documents, "load"), only(documents, "request")):
        assert flags(part) == {"fault"}
    assert {call["cause"]["exceptions"][0]["type"] for call in calls} == {"ConnectTimeoutError"}


def test_calls_that_are_made_at_once_are_parts_of_what_made_them(
    client: Client, daemon: Daemon
) -> None:
    client.ask("GET", "/buckets", user="bob")

    documents = daemon.received()
    queries = [each for each in documents if _name(each) == "Query"]
    assert len(queries) > 2
    assert {each["parent_id"] for each in queries} == {only(documents, "endpoint")["id"]}


@pytest.mark.parametrize(
    "header",
    ["", f"Root={TRACE};Parent={OF_LAMBDA};Sampled=0", f"Root={TRACE}", "Sampled=1", "nonsense"],
)
def test_what_lambda_does_not_trace_is_not_told(
    header: str, client: Client, daemon: Daemon
) -> None:
    daemon.header = header

    client.ask("PUT", RECORD, {"data": {}})

    assert daemon.texts() == []


def test_nothing_that_a_client_sends_to_be_kept_secret_is_told(
    client: Client, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_policy: BasicPolicy, request: Request) -> str:
        raise RuntimeError(f"what came is {request.headers['authorization']}")

    client.ask("PUT", RECORD, {"data": {"title": "of nobody's business"}})
    monkeypatch.setattr(BasicPolicy, "user_id", fail)
    assert client.ask("GET", RECORD).status == 500

    told = "".join(daemon.texts())
    assert "RuntimeError" in told
    for secret in (basic("alice"), basic("alice").split()[1], "alice:secret", "nobody's business"):
        assert secret not in told


def deliver(receiver: Callable[[Event], Any]) -> Event:
    """Have an event delivered to the listener `audit`; gives the event."""
    delivery = Delivery("audit", event_about(), attempts=2, failing_since_ms=1)
    Deliver(lambda _name: receiver, FakeQueues()).handle(json.dumps(delivery.to_message()), 1)
    return delivery.event


def test_a_delivery_is_found_by_the_request_that_led_to_it(daemon: Daemon) -> None:
    event = deliver(lambda _event: None)

    [delivery] = daemon.received()
    assert delivery["name"] == "audit"
    assert delivery["namespace"] == "remote"
    assert delivery["annotations"] == {
        "stage": "test",
        "rid": "request",
        "listener": "audit",
        "event_id": event.id,
        "attempt": 3,
    }
    assert flags(delivery) == set()


@pytest.mark.parametrize(
    ("error", "flag", "status"),
    [
        (DeliveryError("it answered 503", status=503), "fault", 503),
        (DeliveryError("it answered 410", status=410, is_final=True), "error", 410),
        (DeliveryError("no answer"), "fault", None),
        (ZeroDivisionError("by https://hooks.example/secret"), "fault", None),
    ],
    ids=str,
)
def test_a_delivery_that_fails_shows_how(
    error: Exception, flag: str, status: int | None, daemon: Daemon
) -> None:
    def fail(_event: Event) -> None:
        raise error

    deliver(fail)

    [delivery] = daemon.received()
    assert flags(delivery) == {flag}
    assert delivery.get("http", {}).get("response", {}).get("status") == status
    assert "secret" not in json.dumps(delivery)


FUNCTION = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
import app
from types import SimpleNamespace
context = SimpleNamespace(aws_request_id="R", get_remaining_time_in_millis=lambda: 29000)
answer = app.app(json.load(sys.stdin), context)
print(json.dumps([answer["statusCode"], "chalicelib.storage.traced_calls" in sys.modules]))
"""


@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_function_watches_its_calls_from_the_first_request_on_that_is_traced(
    is_sampled: bool, xray: Daemon
) -> None:
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_NAME": "kinto-serverless-dev",
        "AWS_XRAY_DAEMON_ADDRESS": xray.address,
        "KINTO_USERID_HMAC_SECRET": "a secret",
        "_X_AMZN_TRACE_ID": SAMPLED if is_sampled else SAMPLED.replace("Sampled=1", "Sampled=0"),
    }

    done = subprocess.run(
        [sys.executable, "-I", "-c", FUNCTION],
        env=variables,
        input=json.dumps(event("GET", "/v1/")),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [200, is_sampled]
    told = [each["annotations"] for each in xray.received() if "annotations" in each]
    assert (
        told
        == [{"stage": "dev", "rid": "R", "method": "GET", "route": "/v1/", "status": 200}]
        * is_sampled
    )
