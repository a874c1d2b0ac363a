"""Listeners of the settings and subscribers of plugins: `chalicelib/plugins/listening.py`.

Rule: spec, "The service around the resources", section 12; `docs/webhooks.md`, `docs/plugins.md`.
"""

import base64
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from standardwebhooks import Webhook

from chalicelib.api.plugins import Plugins
from chalicelib.api.service import Service
from chalicelib.api.subscribers import (
    AfterResourceChanged,
    AfterResourceRead,
    ResourceChanged,
    ResourceRead,
)
from chalicelib.auth.basic import BasicPolicy
from chalicelib.events.changes import Changes as ChangesHandler
from chalicelib.events.deliveries import Deliver, Delivery
from chalicelib.events.listeners import listeners_of
from chalicelib.events.outlets import Outlets
from chalicelib.events.queues import InGroup, Queue, QueueError, Queues
from chalicelib.plugins import listening as listening_module
from chalicelib.plugins.listening import Listening
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.errors import FORBIDDEN, ProtocolError
from chalicelib.protocol.events import Event
from chalicelib.settings import Settings, SettingsError
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import ATTEMPT_S
from chalicelib.storage.transactions import Storage
from chalicelib.wiring import application_from_environment
from tests.api.places import (
    BUCKET,
    COLLECTION,
    ID,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_of,
    made,
    state,
)
from tests.api.test_batch import answers as batch_answers
from tests.api.test_batch import batch, to
from tests.doubles import (
    REGION,
    SECRET,
    STAGE,
    Client,
    CountedCalls,
    Patience,
    SetClock,
    heard_by,
)
from tests.events.test_outbound import Endpoint, Page, answers, endpoint, says
from tests.plugins.clients import client_of
from tests.storage.stand_ins import TRANSACT, Wire
from tests.storage.test_purge import Changes
from tests.test_observability import Lines

OTHER = f"{RECORDS}/{OTHER_ID}"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


# A service with listeners


class KeptQueues(Queues):
    """Queues that keep what they are sent.

    Attributes:
        sent: the queue of each message, and the message.
        fails: whether they can't be reached.
    """

    def __init__(self) -> None:
        super().__init__(STAGE, REGION)
        self.sent: list[tuple[str, Any]] = []
        self.fails = False

    def send(self, queue: Queue | str, messages: Iterable[Any], *, delay_s: int = 0) -> None:
        if self.fails:
            raise QueueError("not reached")
        self.sent += [(str(queue), json.loads(json.dumps(each))) for each in messages]

    def send_in_order(self, queue: Queue | str, messages: Iterable[InGroup]) -> None:
        self.send(queue, [message.value for message in messages])


@dataclass(frozen=True)
class Site:
    """A service with listeners, and what its functions have in common."""

    client: Client
    listening: Listening
    queues: KeptQueues = field(default_factory=KeptQueues)

    def deliveries(self) -> list[Delivery]:
        """What was queued for listeners since the last time."""
        messages = [message for queue, message in self.queues.sent if queue == Queue.DELIVERIES]
        assert len(messages) == len(self.queues.sent)
        self.queues.sent.clear()
        return [Delivery.from_message(message) for message in messages]


def site(
    dynamo: Dynamo,
    names: str = "",
    *,
    include: Callable[[Plugins], Any] | None = None,
    settings: dict[str, str] | None = None,
    **options: str,
) -> Site:
    """A service with these listeners, whose options are `NAME_OPTION`."""
    environment = {
        "KINTO_STAGE": STAGE,
        "KINTO_USERID_HMAC_SECRET": SECRET,
        "KINTO_EVENT_LISTENERS": names,
        **{f"KINTO_EVENT_LISTENERS_{name.upper()}": text for name, text in options.items()},
        **(settings or {}),
    }
    ours = Settings.from_environment(environment)
    app = load_plugins(ours)
    if include is not None:
        include(app)
    queues = KeptQueues()
    outlets = Outlets(STAGE, queues, REGION, allows_loopback=True)
    listening = Listening(app, listeners_of(ours), outlets, queues)
    service = Service(ours, Storage(dynamo, SetClock()), [BasicPolicy(SECRET)], app)
    return Site(Client(service), listening, queues)


@pytest.fixture
def plain(dynamo: Dynamo) -> Client:
    """A client of a service without listeners."""
    return client_of(dynamo)


@pytest.fixture
def log() -> Iterator[Lines]:
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


class Heard(list[Any]):
    """What a listener of a module has heard, whose options it was given, and what it does then."""

    def __init__(self) -> None:
        super().__init__()
        self.options: list[dict[str, str]] = []
        self.act: Callable[[Any], Any] = lambda _event: None

    def load_listener(self, settings: Any) -> Callable[[Any], Any]:
        self.options.append(dict(settings))
        return self.hear

    def hear(self, event: Any) -> None:
        self.append(event)
        self.act(event)


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """What the listener of the module `lib.guard` has heard."""
    heard = Heard()
    for name in ("lib", "lib.guard"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=name == "lib")
        module.__path__ = []
        module.load_listener = heard.load_listener  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    return heard


# A webhook that may refuse


@dataclass
class Receiver:
    """What receives a webhook.

    Attributes:
        endpoint: where.
        bodies: that came.
        headers: of each.
    """

    endpoint: Endpoint
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def answers(self, page: Page) -> None:
        """Have it answer so, once it has read what came."""

        def read(handler: BaseHTTPRequestHandler) -> None:
            self.bodies.append(handler.rfile.read(int(handler.headers["Content-Length"])))
            self.headers.append({name.lower(): text for name, text in handler.headers.items()})
            page(handler)

        self.endpoint.page = read

    @property
    def told(self) -> list[Any]:
        """What came."""
        return [json.loads(body) for body in self.bodies]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with endpoint() as shown:
        found = Receiver(shown)
        found.answers(answers(204))
        yield found


def asking(dynamo: Dynamo, url: str, **options: str) -> Site:
    """A service that asks a webhook before it stores anything."""
    named = {"use": "webhook", "event": "ResourceChanged", "url": url, "secret": KEY} | options
    return site(dynamo, "hook", **{f"hook_{name}": text for name, text in named.items()})


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_webhook_is_asked_before_the_commit_and_admits_with_any_2xx(
    dynamo: Dynamo, plain: Client, receiver: Receiver, calls: CountedCalls, status: int
) -> None:
    made(plain)
    committed: list[int] = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        committed.append(calls.by_operation[TRANSACT])
        answers(status)(handler)

    receiver.answers(page)
    ours = asking(dynamo, receiver.endpoint.url())
    calls.take()

    created = body_of(ours.client.ask("PUT", OTHER), 201)["data"]

    assert body_of(plain.ask("GET", OTHER))["data"] == created
    assert committed == [0]
    [told] = receiver.told
    assert told["uri"] == OTHER
    assert told["action"] == "create"
    assert told["impacted_records"] == [{"new": created}]
    assert ours.queues.sent == []


def test_what_it_is_asked_is_signed(dynamo: Dynamo, receiver: Receiver) -> None:
    asking(dynamo, receiver.endpoint.url()).client.ask("PUT", BUCKET)

    [body], [headers] = receiver.bodies, receiver.headers
    assert Webhook(KEY).verify(body, headers) == json.loads(body)
    assert headers["webhook-id"] == json.loads(body)["event_id"]


@pytest.mark.parametrize(("status", "errno"), [(400, 107), (403, 121)])
def test_it_refuses_with_400_and_403(
    dynamo: Dynamo, plain: Client, receiver: Receiver, log: Lines, status: int, errno: int
) -> None:
    made(plain)
    before = state(plain)
    receiver.answers(answers(status))
    client = asking(dynamo, receiver.endpoint.url()).client

    for method, path in (("PUT", OTHER), ("PATCH", RECORD), ("DELETE", BUCKET)):
        answer = client.ask(method, path, {"data": {}})

        assert_error(answer, status, errno)
        assert body_of(answer, status)["message"] == "The listener hook refuses it."
        assert "Retry-After" not in answer.headers
    assert state(plain) == before
    event_id = receiver.told[0]["event_id"].removeprefix("asked_")
    told = [each for each in log.records if each.getMessage().startswith("delivery of")]
    assert [each.levelno for each in told] == [logging.INFO] * 3
    assert told[0].getMessage() == (
        f"delivery of {event_id} to hook: before the commit: answered {status}"
    )


@pytest.mark.parametrize(
    "page",
    [
        *map(answers, (302, 401, 404, 409, 410, 429, 500, 503)),
        answers(503, ("Retry-After", "999")),
        says(b"no HTTP\r\n\r\n"),
        says(b""),
    ],
)
def test_all_else_that_it_says_is_503_and_nothing_is_written(
    dynamo: Dynamo, plain: Client, receiver: Receiver, page: Page
) -> None:
    made(plain)
    before = state(plain)
    receiver.answers(page)

    answer = asking(dynamo, receiver.endpoint.url()).client.ask("PUT", OTHER)

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"
    assert state(plain) == before
    assert len(receiver.told) == 1


def test_where_nobody_answers_it_is_503_and_nothing_is_written(
    dynamo: Dynamo, plain: Client, log: Lines
) -> None:
    made(plain)
    before = state(plain)
    with endpoint() as gone:
        url = f"{gone.url()}/a-secret-path"

    answer = asking(dynamo, url).client.ask("PUT", OTHER)

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"
    assert state(plain) == before
    assert "to hook: before the commit: " in "\n".join(log.messages)
    assert "a-secret-path" not in "\n".join(log.messages) + repr(answer)


def test_one_that_hangs_is_not_waited_for(
    dynamo: Dynamo, plain: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(plain)
    before = state(plain)
    monkeypatch.setattr(listening_module, "WAITED_S", 0.15)
    receiver.answers(lambda _handler: receiver.endpoint.over.wait() and None)

    answer = asking(dynamo, receiver.endpoint.url()).client.ask("PUT", OTHER)

    assert_error(answer, 503, 201)
    assert state(plain) == before


def test_nobody_is_asked_where_no_time_would_be_left_to_store_it(
    dynamo: Dynamo, plain: Client, receiver: Receiver
) -> None:
    made(plain)
    before = state(plain)
    ours = asking(dynamo, receiver.endpoint.url()).client
    hasty = Client(ours.service, lambda: Patience(listening_module.WAITED_S + ATTEMPT_S - 0.1))

    answer = hasty.ask("PUT", OTHER)

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"
    assert state(plain) == before
    assert receiver.told == []


def test_a_batch_that_it_refuses_leaves_nothing(
    dynamo: Dynamo, plain: Client, receiver: Receiver
) -> None:
    made(plain)
    before = state(plain)

    def page(handler: BaseHTTPRequestHandler) -> None:
        answers(403 if receiver.told[-1]["action"] == "update" else 200)(handler)

    receiver.answers(page)
    client = asking(dynamo, receiver.endpoint.url()).client
    requests = [to("PUT", OTHER, {}), to("POST", RECORDS, {}), to("PATCH", RECORD, {"n": 1})]

    assert_error(batch(client, *requests), 403, 121)
    assert [len(told["impacted_records"]) for told in receiver.told] == [2, 1]
    assert state(plain) == before

    assert batch(client, *requests[:2]).status == 200
    assert plain.ask("GET", OTHER).status == 200


def test_it_is_asked_of_what_it_wants_to_hear_of_alone(
    dynamo: Dynamo, plain: Client, receiver: Receiver
) -> None:
    made(plain)
    receiver.answers(answers(403))
    url = receiver.endpoint.url()
    client = asking(
        dynamo, url, actions="create delete", resources="record", uris=f"{COLLECTION}/*"
    ).client

    assert client.ask("PATCH", RECORD, {"data": {}}).status == 200
    assert client.ask("PUT", "/buckets/other").status == 201
    assert client.ask("GET", RECORD).status == 200
    assert receiver.told == []
    assert client.ask("DELETE", RECORD).status == 403


def test_its_time_is_in_the_summary_of_the_request(
    dynamo: Dynamo, receiver: Receiver, log: Lines
) -> None:
    asking(dynamo, receiver.endpoint.url()).client.ask("PUT", BUCKET)

    [line] = [each for each in log.messages if " request.summary " in each]
    assert ' listeners_ms={"hook": ' in line


# A module that may refuse


def test_a_module_may_refuse_and_knows_the_event_and_its_own_options(
    dynamo: Dynamo, plain: Client, guard: Heard
) -> None:
    made(plain)
    before = state(plain)

    def act(event: ResourceChanged) -> None:
        if event.impacted_records[0]["new"].get("bad"):
            raise ProtocolError(FORBIDDEN, message="It is bad.")

    guard.act = act
    client = site(
        dynamo,
        "lib.guard",
        guard_event="ResourceChanged",
        guard_resources="record",
        guard_level="5",
    ).client

    refused = client.ask("PUT", OTHER, {"data": {"bad": True}})
    assert_error(refused, 403, 121)
    assert body_of(refused, 403)["message"] == "It is bad."
    assert state(plain) == before
    assert client.ask("PUT", OTHER, {"data": {"bad": False}}).status == 201
    assert {type(event) for event in guard} == {ResourceChanged}
    assert guard.options == [{"level": "5"}]


def test_a_module_that_fails_there_fails_the_request(
    dynamo: Dynamo, plain: Client, guard: Heard
) -> None:
    made(plain)
    before = state(plain)
    guard.act = lambda _event: 1 / 0

    client = site(dynamo, "lib.guard", guard_event="ResourceChanged").client

    assert_error(client.ask("PUT", OTHER), 500, 999)
    assert state(plain) == before


def test_those_of_plugins_come_before_those_of_the_settings(dynamo: Dynamo, guard: Heard) -> None:
    order: list[str] = []
    guard.act = lambda _event: order.append("settings")

    def include(app: Plugins) -> None:
        app.add_subscriber(lambda _event: order.append("plugin"), ResourceChanged)

    site(dynamo, "lib.guard", include=include, guard_event="ResourceChanged").client.ask(
        "PUT", BUCKET
    )

    assert order == ["plugin", "settings"]


def test_one_after_the_commit_is_not_told_in_the_request(
    dynamo: Dynamo, guard: Heard, receiver: Receiver
) -> None:
    ours = site(
        dynamo,
        "lib.guard hook",
        hook_use="webhook",
        hook_url=receiver.endpoint.url(),
        hook_secret=KEY,
    )

    assert ours.client.ask("PUT", BUCKET).status == 201

    assert (guard, guard.options, receiver.told, ours.queues.sent) == ([], [], [], [])


# Reads


@pytest.mark.parametrize(
    "options",
    [
        {"audit_event": "ResourceRead"},
        {"audit_actions": "read"},
        {"audit_actions": "create read"},
    ],
    ids=str,
)
@pytest.mark.parametrize("use", ["webhook", "sqs", "eventbridge"])
def test_one_that_comes_with_the_service_is_told_of_reads_by_a_delivery(
    dynamo: Dynamo, plain: Client, use: str, options: dict[str, str]
) -> None:
    made(plain)
    hook = {"audit_url": "https://hooks.example.org/", "audit_secret": KEY}
    own = hook if use == "webhook" else {}
    ours = site(dynamo, "audit", audit_use=use, **options, **own)

    shown = body_of(ours.client.ask("GET", RECORD))["data"]

    [delivery] = ours.deliveries()
    assert delivery.listener == "audit"
    assert delivery.event.payload["action"] == "read"
    assert delivery.event.payload["uri"] == RECORD
    assert delivery.event.read_records == (shown,)
    ours.client.ask("PATCH", RECORD, {"data": {}})
    assert ours.deliveries() == []


def test_reads_of_a_batch_are_one_delivery_for_each_list(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    ours = site(dynamo, "sqs", sqs_event="ResourceRead", sqs_resources="record collection")

    batch_answers(
        ours.client,
        to("GET", RECORD),
        to("GET", COLLECTION),
        to("GET", BUCKET),
        to("GET", RECORDS),
    )

    told = [(each.event.payload["uri"], len(each.event.records)) for each in ours.deliveries()]
    assert told == [(RECORD, 2), (COLLECTION, 1)]


def test_what_is_refused_is_not_delivered(dynamo: Dynamo, plain: Client, guard: Heard) -> None:
    made(plain)

    def act(_event: ResourceRead) -> None:
        raise ProtocolError(FORBIDDEN)

    guard.act = act
    ours = site(dynamo, "sqs lib.guard", sqs_event="ResourceRead", guard_event="ResourceRead")

    assert_error(ours.client.ask("GET", RECORD), 403, 121)

    assert {type(event) for event in guard} == {ResourceRead}
    assert ours.deliveries() == []


def test_where_the_queue_is_not_reached_the_read_is_answered_and_it_is_logged(
    dynamo: Dynamo, plain: Client, log: Lines
) -> None:
    made(plain)
    ours = site(dynamo, "sqs", sqs_actions="read")
    ours.queues.fails = True

    assert ours.client.ask("GET", RECORD).status == 200

    failed = [each for each in log.records if each.levelno == logging.ERROR]
    assert [each.getMessage() for each in failed] == [
        "the subscriber sqs of AfterResourceRead failed"
    ]


def test_a_read_that_no_message_can_hold_is_delivered_without_its_contents(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    plain.ask("PUT", RECORD, {"data": {"text": "x" * 900_000}})
    ours = site(dynamo, "sqs", sqs_actions="read")

    shown = body_of(ours.client.ask("GET", RECORD))["data"]

    [delivery] = ours.deliveries()
    assert delivery.event.payload["truncated"] is True
    assert delivery.event.read_records == ({"id": ID, "last_modified": shown["last_modified"]},)


def test_nothing_is_looked_up_for_reads_where_nobody_hears_of_them(
    dynamo: Dynamo, guard: Heard
) -> None:
    heard = [
        site(dynamo, "lib.guard", guard_event=event, guard_actions=actions)
        for event, actions in (
            ("AfterResourceChanged", "create"),
            ("ResourceChanged", "create update delete"),
            ("ResourceChanged", "create read"),
            ("AfterResourceChanged", "read"),
        )
    ]

    hear = [each.listening._app.subscribers.hear_reads for each in heard]

    assert hear == [False, False, True, True]


def test_a_module_that_hears_of_both_is_made_once(
    dynamo: Dynamo, plain: Client, guard: Heard
) -> None:
    made(plain)
    ours = site(dynamo, "lib.guard", guard_event="ResourceChanged", guard_actions="create read")

    ours.client.ask("PUT", OTHER)
    ours.client.ask("GET", OTHER)
    ours.client.ask("DELETE", OTHER)

    assert [type(event) for event in guard] == [ResourceChanged, ResourceRead]
    assert ours.listening.receiver_of("guard") == guard.hear
    assert guard.options == [{}]


# Who hears after the commit


def test_those_after_the_commit_are_listeners_and_subscribers_by_name(
    dynamo: Dynamo, guard: Heard
) -> None:
    def include(app: Plugins) -> None:
        app.add_subscriber(print, AfterResourceChanged, name="mirror", for_resources=["group"])
        app.add_subscriber(print, AfterResourceChanged, for_actions=["create", "read"])
        app.add_subscriber(print, AfterResourceRead, name="reads")
        app.add_subscriber(print, ResourceChanged, name="during")

    ours = site(
        dynamo,
        "sqs eventbridge lib.guard other",
        include=include,
        sqs_uris="/buckets/blog/*",
        eventbridge_actions="read",
        guard_event="ResourceChanged",
        other_use="sqs",
        other_event="ResourceRead",
    )

    found = ours.listening.after_commits

    assert found.keys() == {"mirror", "builtins.print", "sqs"}
    assert found["mirror"].resources == {"group"}
    assert found["builtins.print"].actions == {"create"}
    assert found["sqs"].uris == ("/buckets/blog/*",)


def test_a_receiver_takes_deliveries_and_is_loaded_once(dynamo: Dynamo, guard: Heard) -> None:
    ours = site(dynamo, "lib.guard sqs", guard_level="5")
    event = Event("evt_1", {"action": "create", "resource_name": "bucket"}, ())
    assert guard.options == []

    for _ in range(2):
        take = ours.listening.receiver_of("guard")
        assert take is not None
        take(event)
    to_queue = ours.listening.receiver_of("sqs")
    assert to_queue is not None
    to_queue(event)

    assert guard == [event, event]
    assert guard.options == [{"level": "5"}]
    assert ours.queues.sent == [(Queue.EVENTS, event.to_json())]


def test_there_is_no_receiver_of_another_name(dynamo: Dynamo) -> None:
    listening = site(dynamo, "sqs").listening

    assert listening.receiver_of("eventbridge") is None
    assert listening.receiver_of("") is None


def test_a_module_that_makes_no_listener_is_told_at_its_first_delivery(
    dynamo: Dynamo, guard: Heard
) -> None:
    sys.modules["lib.guard"].load_listener = lambda _settings: 1 / 0  # type: ignore[attr-defined]
    listening = site(dynamo, "lib.guard").listening

    for _ in range(2):
        with pytest.raises(SettingsError, match=r"_GUARD_USE=lib\.guard makes no listener"):
            listening.receiver_of("guard")


def test_what_is_committed_comes_to_a_plugins_subscriber(
    dynamo: Dynamo, wire: Wire, plain: Client
) -> None:
    heard: list[Any] = []

    def include(app: Plugins) -> None:
        app.add_subscriber(
            heard.append, AfterResourceChanged, for_uris=[f"{COLLECTION}/*"], name="mirror"
        )

    ours = site(dynamo, include=include)
    made(plain)
    changes = Changes(wire)
    created = body_of(ours.client.ask("POST", RECORDS, {"data": {"id": OTHER_ID}}), 201)["data"]
    ours.client.ask("PATCH", COLLECTION, {"data": {}})
    assert heard == []

    images = (
        {name: image for name, image in zip(("OldImage", "NewImage"), pair, strict=True) if image}
        for pair in changes.take()
    )
    handler = ChangesHandler(ours.queues, ours.listening.after_commits)
    handler.handle({"eventID": "1", "dynamodb": each} for each in images)  # type: ignore[misc]
    [(queue, message)] = [each for each in ours.queues.sent if each[0] != Queue.PURGES]
    Deliver(ours.listening.receiver_of, ours.queues).handle(json.dumps(message), 1)

    assert queue == Queue.DELIVERIES
    [event] = heard
    assert type(event) is AfterResourceChanged
    assert event.payload["uri"] == RECORDS
    assert event.payload["collection_id"] == "posts"
    assert event.impacted_records == ({"new": created},)


# Names


def subscribed(*names: str | None) -> Callable[[Plugins], None]:
    """Adds a subscriber of each name."""

    def include(app: Plugins) -> None:
        for name in names:
            app.add_subscriber(print, AfterResourceChanged, name=name)

    return include


def test_a_listener_under_the_name_of_a_subscriber_stops_the_start(dynamo: Dynamo) -> None:
    with pytest.raises(SettingsError) as caught:
        site(dynamo, "sqs", include=subscribed("other", "sqs"))

    assert str(caught.value) == (
        "KINTO_EVENT_LISTENERS: sqs is the name of a plugin's subscriber, too"
    )


@pytest.mark.parametrize(
    ("names", "taken"), [(("one", "two", "one"), "one"), ((None, None), "builtins.print")]
)
def test_two_subscribers_under_one_name_stop_the_start(
    dynamo: Dynamo, names: tuple[str | None, ...], taken: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        site(dynamo, include=subscribed(*names))

    assert str(caught.value) == (
        f"KINTO_INCLUDES: two subscribers have the name {taken}: change one"
    )


def test_names_of_subscribers_before_the_commit_may_be_the_same(
    dynamo: Dynamo, guard: Heard
) -> None:
    def include(app: Plugins) -> None:
        for _ in range(2):
            app.add_subscriber(guard.append, ResourceChanged, name="guard")

    site(dynamo, "lib.guard", include=include, guard_event="ResourceChanged").client.ask(
        "PUT", BUCKET
    )

    assert len(guard) == 3


# The start


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Starts the application with these listeners."""

    def start(names: str, **options: str) -> Any:
        monkeypatch.setenv("KINTO_EVENT_LISTENERS", names)
        for name, text in options.items():
            monkeypatch.setenv(f"KINTO_EVENT_LISTENERS_{name.upper()}", text)
        return application_from_environment()

    return start


LOCAL = {"hook_use": "webhook", "hook_url": "http://localhost:8000/", "hook_secret": KEY}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("hook", LOCAL, "KINTO_EVENT_LISTENERS_HOOK_URL"),
        ("hook", {**LOCAL, "hook_event": "ResourceChanged"}, "KINTO_EVENT_LISTENERS_HOOK_URL"),
        ("hook", {**LOCAL, "hook_event": "ResourceRead"}, "KINTO_EVENT_LISTENERS_HOOK_URL"),
        (
            "hook",
            {**LOCAL, "hook_url": "https://a.example", "hook_secret": "b"},
            "KINTO_EVENT_LISTENERS_HOOK_SECRET",
        ),
        ("sqs", {"sqs_url": "https://a"}, "KINTO_EVENT_LISTENERS_SQS_URL is no option"),
        ("sqs sqs", {}, "KINTO_EVENT_LISTENERS='sqs sqs' is not a list of different names"),
        ("cliquet.listeners.redis", {}, "KINTO_EVENT_LISTENERS_REDIS_USE: there is no Redis"),
        ("nowhere", {}, "KINTO_EVENT_LISTENERS_NOWHERE_USE=nowhere is not webhook"),
        ("tests.doubles", {"doubles_event": "ResourceChanged"}, "_DOUBLES_USE=tests.doubles makes"),
        ("tests.doubles", {"doubles_actions": "read"}, "_DOUBLES_USE=tests.doubles makes no list"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_listener_stops_the_start(
    started: Callable[..., Any], names: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        started(names, **options)

    assert message in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_admitted"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://[::1]:4566", True),
        ("https://sqs.eu-west-1.amazonaws.com", False),
        ("http://10.0.0.1:4566", False),
        ("", False),
    ],
)
def test_a_webhook_may_be_on_this_machine_where_aws_is(
    started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, url: str, is_admitted: bool
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)

    if is_admitted:
        assert started("hook", **LOCAL).settings.event_listeners == ("hook",)
    else:
        with pytest.raises(SettingsError, match=r"KINTO_EVENT_LISTENERS_HOOK_URL.* is not https"):
            started("hook", **LOCAL)
