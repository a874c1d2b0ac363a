"""The listeners that come with the service: `chalicelib/events/outlets.py`."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event as Flag
from threading import Semaphore, Thread
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.events.deliveries import Deliver, DeliveryError, Receiver, delivery_of
from chalicelib.events.outlets import EVENTBRIDGE, SQS, TIMEOUT_S, WEBHOOK, Outlets
from chalicelib.events.queues import Queue, Queues, to_text
from chalicelib.protocol.events import CREATE, READ
from chalicelib.secret_references import SecretError
from chalicelib.settings import SettingsError
from infra.queues import EVENTS, create_queues
from tests.doubles import REGION, STAGE, heard_by
from tests.events.test_deliveries import FakeQueues, event_about
from tests.events.test_webhooks import secret

OLD, NEW, OTHER = secret(1), secret(2), secret(3)
REFERENCE = "ssm:/kinto/test/hook"
EVENT = event_about(title="é😀\x00")


@dataclass
class Site:
    """A receiver of webhooks on this machine.

    Attributes:
        port: of 127.0.0.1.
        status: that it answers.
        headers: that it answers.
        asked: headers and body of each request.
        may_answer: unless this is set, it hangs.
    """

    port: int
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    may_answer: Flag = field(default_factory=Flag)
    _came: Semaphore = field(default_factory=lambda: Semaphore(0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/path/that-is-secret?token=secret-too"

    def ask(self, headers: dict[str, str], body: bytes) -> None:
        """Keep a request."""
        self.asked.append((headers, body))
        self._came.release()

    def wait_for(self, number: int) -> None:
        """Wait for so many more requests."""
        for _ in range(number):
            assert self._came.acquire(timeout=30), "nothing came"

    def verified(self, by: str) -> Any:
        """What came last, as a receiver with this secret verifies it; None if it does not."""
        headers, body = self.asked[-1]
        try:
            return Webhook(by).verify(body, headers)
        except WebhookVerificationError:
            return None


@contextmanager
def opened_site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            opened.ask({name.lower(): it for name, it in self.headers.items()}, body)
            opened.may_answer.wait(30)
            self.send_response_only(opened.status)
            for name, value in opened.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        opened = Site(server.server_port)
        opened.may_answer.set()
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield opened
        finally:
            opened.may_answer.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with opened_site() as site:
        yield site


class StubSecrets:
    """Secrets by their references."""

    def __init__(self, **values: str) -> None:
        self.values = {REFERENCE: NEW, **values}

    def value_of(self, text: str) -> str:
        if text.startswith("ssm:") and text not in self.values:
            raise SecretError(f"{text} can't be had: ParameterNotFound")
        return self.values.get(text, text)


def outlets_of(queues: Queues | None = None, *, allows_loopback: bool = True) -> Outlets:
    return Outlets(STAGE, queues or FakeQueues(), REGION, allows_loopback=allows_loopback)


def webhook(site: Site, secrets: str, *, of: Outlets | None = None, **more: Any) -> Receiver:
    return (of or outlets_of()).webhook("hook", {"url": site.url, "secret": secrets}, **more)


# Webhooks


def test_a_webhook_gets_the_event_signed(site: Site) -> None:
    webhook(site, NEW)(EVENT)

    [(received_headers, body)] = site.asked
    headers = dict(received_headers)
    assert json.loads(body) == EVENT.to_json()
    assert headers.pop("host") == f"127.0.0.1:{site.port}"
    assert abs(int(headers.pop("webhook-timestamp")) - time.time()) < 60
    assert headers.pop("webhook-signature").startswith("v1,")
    assert headers == {
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "user-agent": "kinto-serverless",
        "webhook-id": EVENT.id,
        "x-request-id": EVENT.request_id,
    }
    assert site.verified(NEW) == EVENT.to_json()
    assert site.verified(OTHER) is None


def test_each_attempt_has_the_same_id_and_body(site: Site) -> None:
    hook = webhook(site, NEW)

    hook(EVENT)
    hook(EVENT)

    (first, body), (second, same_body) = site.asked
    assert first["webhook-id"] == second["webhook-id"]
    assert body == same_body


def test_two_secrets_sign_twice(site: Site) -> None:
    webhook(site, f"{NEW} {OLD}")(EVENT)

    assert site.asked[0][0]["webhook-signature"].count("v1,") == 2
    assert site.verified(NEW) == site.verified(OLD) == EVENT.to_json()
    assert site.verified(OTHER) is None


def test_a_secret_may_be_kept_elsewhere_and_replaced_there(site: Site) -> None:
    outlets = outlets_of()
    stub = StubSecrets()
    outlets._secrets = stub  # type: ignore[assignment]  # as much of it as is asked
    hook = webhook(site, REFERENCE, of=outlets)

    hook(EVENT)
    assert site.verified(NEW)
    stub.values[REFERENCE] = f"{OTHER} {NEW}"
    hook(EVENT)
    assert site.verified(NEW)
    assert site.verified(OTHER)
    stub.values[REFERENCE] = OTHER
    hook(EVENT)
    assert site.verified(NEW) is None
    assert site.verified(OTHER)


def test_a_reference_may_stand_beside_a_secret(site: Site) -> None:
    outlets = outlets_of()
    outlets._secrets = StubSecrets()  # type: ignore[assignment]  # as much of it as is asked

    webhook(site, f"{REFERENCE} {OLD}", of=outlets)(EVENT)

    assert site.verified(NEW)
    assert site.verified(OLD)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "0 secrets"),
        ("plain-and-secret", "does not begin with whsec_"),
        ("whsec_c2VjcmV0", "a secret of 6 bytes"),
        (f"{NEW} {OLD} {OTHER}", "3 secrets"),
        (f"{NEW}\n{OLD[:-3]}", "is not base64"),
    ],
)
def test_wrong_secrets_behind_a_reference_fail_and_are_not_shown(
    site: Site, value: str, why: str
) -> None:
    outlets = outlets_of()
    outlets._secrets = StubSecrets(**{REFERENCE: value})  # type: ignore[assignment]  # its shape

    with pytest.raises(DeliveryError, match=why) as raised:
        webhook(site, REFERENCE, of=outlets)(EVENT)

    assert not any(part in str(raised.value) for part in value.split())
    assert not raised.value.is_final
    assert site.asked == []


def test_a_secret_that_can_not_be_had_is_named_by_its_reference(site: Site) -> None:
    outlets = outlets_of()
    outlets._secrets = StubSecrets()  # type: ignore[assignment]  # as much of it as is asked

    with pytest.raises(DeliveryError, match="ssm:missing can't be had"):
        webhook(site, "ssm:missing", of=outlets)(EVENT)

    assert site.asked == []


@mock_aws
def test_a_parameter_is_looked_up(site: Site) -> None:
    boto3.client("ssm", REGION).put_parameter(
        Name="/kinto/test/hook", Value=NEW, Type="SecureString"
    )

    webhook(site, REFERENCE)(EVENT)

    assert site.verified(NEW)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_success_is_one(site: Site, status: int) -> None:
    site.status = status

    webhook(site, NEW)(EVENT)

    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(410, True), *((status, False) for status in (301, 307, 400, 401, 404, 429, 500, 503))],
)
def test_all_else_is_a_failure_and_gone_is_one_for_good(
    site: Site, status: int, is_final: bool
) -> None:
    site.status = status
    site.headers = {"Location": site.url}

    with pytest.raises(DeliveryError) as raised:
        webhook(site, NEW)(EVENT)

    error = raised.value
    assert (str(error), error.status) == (f"answered {status}", status)
    assert (error.is_final, error.retry_after_s) == (is_final, None)
    assert len(site.asked) == 1  # no redirect is followed


def test_how_long_to_wait_is_told(site: Site) -> None:
    site.status, site.headers = 503, {"Retry-After": "120"}

    with pytest.raises(DeliveryError) as raised:
        webhook(site, NEW)(EVENT)

    assert raised.value.retry_after_s == 120


def test_an_endpoint_that_hangs_is_told(site: Site) -> None:
    site.may_answer.clear()

    with pytest.raises(DeliveryError, match=r"takes longer than 0\.1 s") as raised:
        webhook(site, NEW, timeout_s=0.1)(EVENT)

    assert raised.value.status is None
    assert TIMEOUT_S == 10


@pytest.fixture
def nowhere() -> Site:
    """A site that is closed."""
    with opened_site() as site:
        return site


def test_an_endpoint_that_is_down_is_told(nowhere: Site) -> None:
    with pytest.raises(DeliveryError, match="not reached: ConnectionRefusedError") as raised:
        webhook(nowhere, NEW)(EVENT)

    assert not raised.value.is_final


def test_the_address_is_looked_at_at_each_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (2, 1, 6, "", ("169.254.169.254", 443))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [entry])
    options = {"url": "https://hooks.example/", "secret": NEW}
    hook = outlets_of(allows_loopback=False).webhook("hook", options)

    with pytest.raises(DeliveryError, match="an address that is not public"):
        hook(EVENT)


@pytest.mark.parametrize("status", [500, 410])
def test_neither_log_nor_queues_hold_url_or_secret(site: Site, nowhere: Site, status: int) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    site.status = status
    queues = FakeQueues()
    hooks = {
        "hook": webhook(site, NEW),
        "down": webhook(nowhere, f"{NEW} {OLD}"),
        "wrong": webhook(site, f"{REFERENCE} {NEW}", of=outlets_with(f"{OLD} {OTHER}")),
    }
    function = Deliver(hooks.get, queues)

    with heard_by(Kept(), logging.DEBUG):
        for name in hooks:
            function.handle(to_text(delivery_of(name, EVENT).to_message()), 1)

    told = "\n".join([*lines, to_text(queues.sent)])
    assert len(lines) == 3
    assert sum(map(len, queues.sent.values())) == 3
    for hidden in ("127.0.0.1", "secret-too", "that-is-secret", *(it[6:] for it in (NEW, OLD))):
        assert hidden not in told


def outlets_with(value: str) -> Outlets:
    """Outlets that find this behind the reference."""
    outlets = outlets_of()
    outlets._secrets = StubSecrets(**{REFERENCE: value})  # type: ignore[assignment]  # its shape
    return outlets


@pytest.mark.parametrize(
    ("options", "variable"),
    [
        ({"secret": NEW}, "URL"),
        ({"url": "", "secret": NEW}, "URL"),
        ({"url": "ftp://hooks.example", "secret": NEW}, "URL"),
        ({"url": "http://hooks.example", "secret": NEW}, "URL"),
        ({"url": "http://127.0.0.1", "secret": NEW}, "URL"),
        ({"url": "https://10.0.0.1/", "secret": NEW}, "URL"),
        ({"url": "https://169.254.169.254/latest", "secret": NEW}, "URL"),
        ({"url": "https://[::1]:8443/", "secret": NEW}, "URL"),
        ({"url": "https://[::ffff:8.8.8.8]/", "secret": NEW}, "URL"),
        ({"url": "https://user:word@hooks.example", "secret": NEW}, "URL"),
        ({"url": "https://hooks.example"}, "SECRET"),
        ({"url": "https://hooks.example", "secret": "plain-and-secret"}, "SECRET"),
        ({"url": "https://hooks.example", "secret": f"{NEW} {OLD} {OTHER}"}, "SECRET"),
        ({"url": "https://hooks.example", "secret": NEW, "timeout": "3"}, "TIMEOUT"),
    ],
)
def test_a_wrong_option_of_a_webhook_is_named_and_not_shown(
    options: dict[str, str], variable: str
) -> None:
    with pytest.raises(SettingsError, match=f"KINTO_EVENT_LISTENERS_HOOK_{variable}") as raised:
        outlets_of(allows_loopback=False).webhook("hook", options)

    assert not any(value and value in str(raised.value) for value in options.values())


@pytest.mark.parametrize(
    "url", ["https://8.8.8.8/hook", "https://[2606:4700::1111]/", "https://hooks.example/"]
)
def test_a_public_address_and_any_name_will_do(url: str) -> None:
    outlets_of(allows_loopback=False).webhook("hook", {"url": url, "secret": NEW})


@pytest.mark.parametrize("option", ["url", "secret"])
def test_an_option_that_is_missing_is_told_so(option: str) -> None:
    options = {"url": "https://hooks.example", "secret": NEW}
    del options[option]

    with pytest.raises(SettingsError, match=f"HOOK_{option.upper()} is not set$"):
        outlets_of().webhook("hook", options)


@pytest.mark.parametrize("queue", ["bad queue!", "", "a/b", "x" * 81, "ftp://sqs.example/q"])
def test_what_can_be_no_queue_is_refused(queue: str) -> None:
    with pytest.raises(SettingsError, match="KINTO_EVENT_LISTENERS_HOOK_QUEUE is no queue's"):
        outlets_of().sqs("hook", {"queue": queue})


# Queues


@pytest.fixture
def sqs() -> Iterator[Any]:
    """A client of moto, with the queues of the stage."""
    with mock_aws():
        client = boto3.client("sqs", REGION)
        create_queues(client, STAGE)
        yield client


def received(sqs: Any, url: str) -> list[Any]:
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
    found: list[Any] = sqs.receive_message(**asked).get("Messages", [])
    return found


@pytest.mark.parametrize("action", [CREATE, READ])
def test_events_go_to_the_queue_of_the_stage(sqs: Any, action: str) -> None:
    event = event_about(action=action)

    outlets_of(Queues(STAGE, REGION)).sqs("audit", {})(event)

    [message] = received(sqs, create_queues(sqs, STAGE)[EVENTS])
    told = json.loads(message["Body"])
    assert told == event.to_json()
    assert told.keys() == {
        "event_id",
        *("timestamp", "action", "uri", "user_id", "resource_name"),  # Kinto's
        "request_id",
        *("bucket_id", "collection_id", "record_id"),
        "impacted_records" if action == CREATE else "read_records",
    }


@pytest.mark.parametrize("by", ["name", "url"])
def test_events_go_to_another_queue(sqs: Any, by: str) -> None:
    url = sqs.create_queue(QueueName="mine")["QueueUrl"]
    queue = url if by == "url" else "mine"

    outlets_of(Queues(STAGE, REGION)).sqs("audit", {"queue": queue})(EVENT)

    [message] = received(sqs, url)
    assert json.loads(message["Body"]) == EVENT.to_json()


@pytest.mark.parametrize("ending", list(Queue))
def test_another_queue_may_be_called_as_ours_end(sqs: Any, ending: Queue) -> None:
    attributes = {"FifoQueue": "true"} if ending.endswith(".fifo") else {}
    url = sqs.create_queue(QueueName=str(ending), Attributes=attributes)["QueueUrl"]
    queues = Queues(STAGE, REGION)
    for queue in Queue:
        queues._url(queue)

    outlets_of(queues).sqs("audit", {"queue": str(ending)})(EVENT)

    [message] = received(sqs, url)
    assert json.loads(message["Body"]) == EVENT.to_json()


@pytest.mark.parametrize("by", ["name", "url"])
def test_a_queue_in_order_gets_events_by_list_and_each_once(sqs: Any, by: str) -> None:
    url = sqs.create_queue(QueueName="mine.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    outlet = outlets_of(Queues(STAGE, REGION)).sqs(
        "audit", {"queue": url if by == "url" else "mine.fifo"}
    )
    events = [event_about(1), event_about(2), event_about(1, collection="others")]

    for event in [*events, events[0]]:
        outlet(event)

    messages = received(sqs, url)
    assert [json.loads(message["Body"]) for message in messages] == [it.to_json() for it in events]
    groups = [message["Attributes"]["MessageGroupId"] for message in messages]
    assert groups[0] == groups[1] != groups[2]


def test_a_queue_that_is_not_there_is_a_failure(sqs: Any) -> None:
    with pytest.raises(ClientError, match=r"NonExistentQueue|does not exist"):
        outlets_of(Queues(STAGE, REGION)).sqs("audit", {"queue": "none"})(EVENT)


def test_a_wrong_option_of_a_queue_is_named() -> None:
    with pytest.raises(SettingsError, match="KINTO_EVENT_LISTENERS_AUDIT_URL"):
        outlets_of().sqs("audit", {"url": "https://sqs"})


# Buses


@pytest.mark.parametrize(
    ("options", "bus"),
    [
        ({}, "default"),
        ({"bus": "mine"}, "mine"),
        ({"bus": "arn:aws:events:eu-west-1:123456789012:event-bus/a.b_c"},) * 2,
    ],
)
def test_events_go_to_a_bus_from_the_stage(options: dict[str, str], bus: Any) -> None:
    name = bus["bus"] if isinstance(bus, dict) else bus
    outlets = outlets_of()
    entry = {
        "EventBusName": name,
        "Source": f"kinto-serverless.{STAGE}",
        "DetailType": "AfterResourceChanged",
        "Detail": to_text(EVENT.to_json()),
    }
    with Stubber(boto3.client("events", REGION)) as stubber:
        outlets._buses._client = stubber.client
        taken = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
        stubber.add_response("put_events", taken, {"Entries": [entry]})

        outlets.eventbridge("bus", options)(EVENT)

        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("options", "variable"),
    [
        ({"bus": "a b"}, "BUS"),
        ({"bus": "x" * 1601}, "BUS"),
        ({"bus": "é"}, "BUS"),
        ({"queue": "x"}, "QUEUE"),
    ],
)
def test_a_wrong_option_of_a_bus_is_named(options: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=f"KINTO_EVENT_LISTENERS_MY_BUS_{variable}"):
        outlets_of().eventbridge("my-bus", options)


def test_each_outlet_is_found_by_its_use() -> None:
    by_use = outlets_of().by_use

    assert by_use.keys() == {WEBHOOK, SQS, EVENTBRIDGE} == {"webhook", "sqs", "eventbridge"}
    assert {use: outlet.__name__ for use, outlet in by_use.items()} == {use: use for use in by_use}
