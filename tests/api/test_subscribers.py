"""Who hears of what is done, in its transaction and after it: `api/subscribers.py`.

Rule: spec, "The service around the resources", section 12; `docs/plugins.md`.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import boto3
import pytest

from chalicelib.api import list_deletion, subscribers
from chalicelib.api.plugins import Plugins
from chalicelib.api.service import Service
from chalicelib.api.subscribers import (
    AfterResourceRead,
    EventInTransaction,
    ResourceChanged,
    ResourceRead,
    ServerFlushed,
)
from chalicelib.auth.basic import BasicPolicy
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.errors import (
    BACKEND,
    FORBIDDEN,
    MISSING_AUTH_TOKEN,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.events import Event
from chalicelib.protocol.kinds import BUCKET as BUCKET_KIND
from chalicelib.protocol.kinds import COLLECTION as COLLECTION_KIND
from chalicelib.protocol.kinds import RECORD as RECORD_KIND
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.filling import fill
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    ID,
    OBJECTS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_for,
    body_of,
    made,
    state,
    user_id,
)
from tests.api.test_batch import answers, batch, to
from tests.api.test_delete_list import at, from_on, raises
from tests.doubles import REGION, SECRET, STAGE, Client, CountedCalls, SetClock, heard_by
from tests.plugins.clients import DEFAULT_BUCKET
from tests.storage.stand_ins import TRANSACT, Wire, client_error
from tests.test_observability import Lines

OTHER = f"{RECORDS}/{OTHER_ID}"
POSTS = ListUri(RECORD_KIND, ("blog", "posts"))
DRAFTS = f"{COLLECTIONS}/drafts"
READ = {"BatchGetItem": 1}
WRITTEN = {"BatchGetItem": 1, TRANSACT: 1}
STAR = {"If-None-Match": "*"}

Include = Callable[[Plugins], Any]
Act = Callable[[Any], Any]


def serving(dynamo: Dynamo, include: Include, **settings: Any) -> Client:
    """A client of a service with these settings, to which a plugin has added."""
    ours = Settings(**({"stage": STAGE, "userid_hmac_secret": SECRET} | settings))
    plugins = load_plugins(ours)
    include(plugins)
    storage = Storage(dynamo, SetClock())
    return Client(Service(ours, storage, [BasicPolicy(SECRET)], plugins))


class Ear:
    """A subscriber that keeps what it hears, and does something then."""

    def __init__(self, *events: type, act: Act | None = None, **options: Any) -> None:
        self.heard: list[Any] = []
        self._events = events or (ResourceChanged,)
        self._act = act
        self._options = options

    def __call__(self, app: Plugins) -> None:
        """Subscribe, as a plugin."""
        for event in self._events:
            app.add_subscriber(self.hear, event, **self._options)

    def hear(self, event: Any) -> None:
        self.heard.append(event)
        if self._act is not None:
            self._act(event)

    @property
    def told(self) -> list[JsonObject]:
        """What was heard since the last time, as JSON would have it."""
        told = [_told(event) for event in self.heard]
        self.heard.clear()
        return told

    @property
    def actions(self) -> list[tuple[str, list[str]]]:
        """The actions of what was heard since the last time, and the ids of what it was about."""
        return [
            (each["payload"]["action"], [_id_of(record) for record in each["records"]])
            for each in self.told
        ]


def all_of(*includes: Include) -> Include:
    """A plugin that adds what these do, in their order."""
    return lambda app: [include(app) for include in includes]


def _told(event: Event) -> JsonObject:
    is_read = event.payload["action"] == "read"
    assert (event.impacted_records if is_read else event.read_records) == ()
    records = event.read_records if is_read else event.impacted_records
    found: JsonObject = json.loads(json.dumps({"payload": event.payload, "records": records}))
    return found


def _id_of(record: JsonObject) -> str:
    shown = record.get("new") or record.get("old") or record
    return str(shown["id"])


@pytest.fixture
def ear() -> Ear:
    """Hears of all that is changed."""
    return Ear()


@pytest.fixture
def client(dynamo: Dynamo, ear: Ear) -> Client:
    """A client of a service that tells it."""
    return serving(dynamo, ear)


@pytest.fixture
def plain(dynamo: Dynamo) -> Client:
    """A client of a service at the same tables that tells nobody."""
    return serving(dynamo, lambda _app: None)


@pytest.fixture
def wire(dynamo: Dynamo) -> Wire:
    """The way to the tables, on which something may happen."""
    return Wire(dynamo._connection, dynamo.tables)


@pytest.fixture
def log() -> Iterator[Lines]:
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


def failures(log: Lines) -> list[str]:
    """What was logged as failed."""
    return [each.getMessage() for each in log.records if each.levelno >= logging.ERROR]


def list_of(path: str) -> str:
    return path.rpartition("/")[0]


def timestamp(plain: Client, path: str) -> int:
    """That of a list, as its ETag."""
    return int(plain.ask("HEAD", path).headers["ETag"].strip('"'))


def payload(
    plain: Client, action: str, path: str, timestamp: int, user: str | None = "alice"
) -> JsonObject:
    """The payload that the spec wants of an operation on this address."""
    parts = path.split("/")[1:]
    ids = {f"{name[:-1]}_id": id for name, id in zip(parts[::2], parts[1::2], strict=False)}
    return {
        "action": action,
        "resource_name": parts[-1 - (len(parts) + 1) % 2][:-1],
        "timestamp": timestamp,
        "uri": path,
        "user_id": None if user is None else user_id(plain, user),
        "request_id": f"request of {user}",  # Kinto's has none
        **ids,
    }


def test_the_tests_own_payload_is_that_of_the_spec(plain: Client) -> None:
    alice = user_id(plain, "alice")

    assert alice.startswith("basicauth:")
    assert payload(plain, "create", "/buckets/blog/collections/posts", 5) == {
        "action": "create",
        "resource_name": "collection",
        "timestamp": 5,
        "uri": "/buckets/blog/collections/posts",
        "user_id": alice,
        "request_id": "request of alice",
        "bucket_id": "blog",
        "collection_id": "posts",
    }
    assert payload(plain, "delete", "/buckets/blog/groups", 7, None) == {
        "action": "delete",
        "resource_name": "group",
        "timestamp": 7,
        "uri": "/buckets/blog/groups",
        "user_id": None,
        "request_id": "request of None",
        "bucket_id": "blog",
    }


# ResourceChanged


@pytest.mark.parametrize("path", OBJECTS)
def test_a_put_that_creates_is_a_create(client: Client, plain: Client, ear: Ear, path: str) -> None:
    made(plain)
    new = f"{list_of(path)}/{OTHER_ID}"
    before = timestamp(plain, list_of(path))

    created = body_of(client.ask("PUT", new, body_for(path, n=1)), 201)

    [event] = ear.heard
    assert type(event) is ResourceChanged
    assert ear.told == [
        {"payload": payload(plain, "create", new, before), "records": [{"new": created["data"]}]}
    ]


@pytest.mark.parametrize("path", OBJECTS)
def test_a_post_that_creates_is_a_create_at_the_address_of_the_list(
    client: Client, plain: Client, ear: Ear, path: str
) -> None:
    made(plain)
    listed = list_of(path)
    before = timestamp(plain, listed)

    created = body_of(client.ask("POST", listed, body_for(path, n=1)), 201)

    assert ear.told == [
        {"payload": payload(plain, "create", listed, before), "records": [{"new": created["data"]}]}
    ]


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {}),
        ("PATCH", {}),
        ("PATCH", {"Response-Behavior": "light"}),
        ("PATCH", {"Response-Behavior": "diff"}),
    ],
    ids=str,
)
def test_what_changes_an_object_is_an_update_from_whole_to_whole(
    client: Client, plain: Client, ear: Ear, path: str, method: str, headers: dict[str, str]
) -> None:
    old = made(plain)[path]["data"]
    before = timestamp(plain, list_of(path))

    body = {"data": {"members": ["other"]} if path == GROUP else {"n": 2}}
    assert client.ask(method, path, body, headers=headers).status == 200

    new = body_of(plain.ask("GET", path))["data"]
    assert new.items() >= body["data"].items()
    assert not old.items() >= body["data"].items()
    assert ear.told == [
        {
            "payload": payload(plain, "update", path, before),
            "records": [{"new": new, "old": old}],
        }
    ]


@pytest.mark.parametrize("path", OBJECTS)
def test_a_delete_of_an_object_is_a_delete_and_its_contents_are_not_told_of(
    client: Client, plain: Client, ear: Ear, path: str
) -> None:
    made(plain)
    before = timestamp(plain, list_of(path))

    tombstone = body_of(client.ask("DELETE", path))["data"]

    assert tombstone.keys() == {"id", "last_modified", "deleted"}
    assert ear.told == [
        {"payload": payload(plain, "delete", path, before), "records": [{"old": tombstone}]}
    ]


@pytest.mark.parametrize("path", OBJECTS)
def test_a_delete_of_a_list_is_one_delete_of_all_that_it_deletes(
    client: Client, plain: Client, ear: Ear, path: str
) -> None:
    made(plain)
    plain.ask("PUT", f"{list_of(path)}/{OTHER_ID}", body_for(path))
    before = timestamp(plain, list_of(path))

    tombstones = body_of(client.ask("DELETE", list_of(path)))["data"]

    assert len(tombstones) == 2
    assert ear.told == [
        {
            "payload": payload(plain, "delete", list_of(path), before),
            "records": [{"old": tombstone} for tombstone in tombstones],
        }
    ]


def test_the_first_object_ever_has_a_list_without_a_timestamp(client: Client, ear: Ear) -> None:
    client.ask("PUT", BUCKET)

    assert [each["payload"]["timestamp"] for each in ear.told] == [0]


def test_permissions_are_not_told(client: Client, ear: Ear) -> None:
    client.ask("PUT", BUCKET, {"permissions": {"read": ["bob"]}})
    client.ask("PATCH", BUCKET, {"permissions": {"read": ["system.Everyone"]}})

    told = ear.told
    assert [each["payload"]["action"] for each in told] == ["create", "update"]
    assert "permissions" not in repr(told)


def test_the_anonymous_have_no_id(client: Client, plain: Client, ear: Ear) -> None:
    made(plain)
    plain.ask("PATCH", COLLECTION, {"permissions": {"write": ["system.Everyone"]}})
    before = timestamp(plain, RECORDS)

    client.ask("PATCH", RECORD, {"data": {"n": 1}}, user=None)

    [told] = ear.told
    assert told["payload"] == payload(plain, "update", RECORD, before, None)


@pytest.mark.parametrize("again", ["PUT", "POST"])
def test_what_is_created_again_is_a_create(
    client: Client, plain: Client, ear: Ear, again: str
) -> None:
    made(plain)
    client.ask("DELETE", RECORD)
    ear.heard.clear()

    path = RECORD if again == "PUT" else RECORDS
    created = body_of(client.ask(again, path, {"data": {"id": ID}}), 201)["data"]

    [told] = ear.told
    assert told["payload"]["action"] == "create"
    assert told["records"] == [{"new": created}]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", RECORD, {}, 200),
        ("HEAD", RECORDS, {}, 200),
        ("GET", RECORD, {"headers": STAR}, 304),
        ("POST", RECORDS, {"data": {"data": {"id": ID}}}, 200),
        ("DELETE", RECORDS, {"title": "Two"}, 200),
        ("PUT", RECORD, {"data": {"data": {}}, "headers": STAR}, 412),
        ("PATCH", RECORD, {"data": {}, "headers": {"If-Match": '"1"'}}, 412),
        ("DELETE", RECORD, {"user": "bob"}, 403),
        ("PUT", RECORD, {"user": None}, 401),
        ("PUT", RECORD, {"body": b"{"}, 400),
        ("DELETE", OTHER, {}, 404),
        ("PATCH", RECORDS, {}, 405),
        ("GET", "/", {}, 200),
        ("GET", "/__heartbeat__", {}, 200),
    ],
)
def test_nobody_hears_where_nothing_changes(
    client: Client,
    plain: Client,
    ear: Ear,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    made(plain)

    assert client.ask(method, path, **options).status == status

    assert ear.heard == []


# In a batch


def test_what_is_alike_in_a_batch_is_one_event_with_the_payload_of_the_first(
    client: Client, plain: Client, ear: Ear
) -> None:
    old = made(plain)
    before = {path: timestamp(plain, path) for path in (RECORDS, GROUPS)}

    found = answers(
        client,
        to("PUT", OTHER, {"n": 1}),
        to("PATCH", RECORD, {"n": 2}),
        to("POST", GROUPS, {"id": "readers", "members": []}),
        to("POST", RECORDS, {"n": 3}),
        to("PATCH", RECORD, {"n": 4}),
        to("DELETE", GROUP),
    )

    data = [each["body"]["data"] for each in found]
    told = ear.told
    assert [each["payload"] for each in told] == [
        payload(plain, "create", OTHER, before[RECORDS]),
        payload(plain, "update", RECORD, data[0]["last_modified"]),
        payload(plain, "create", GROUPS, before[GROUPS]),
        payload(plain, "delete", GROUP, data[2]["last_modified"]),
    ]
    assert [each["records"] for each in told] == [
        [{"new": data[0]}, {"new": data[3]}],
        [{"new": data[1], "old": old[RECORD]["data"]}, {"new": data[4], "old": data[1]}],
        [{"new": data[2]}],
        [{"old": data[5]}],
    ]


def test_what_is_in_other_parents_is_another_event(client: Client, plain: Client, ear: Ear) -> None:
    made(plain)
    plain.ask("PUT", DRAFTS)

    answers(
        client,
        to("PUT", f"{DRAFTS}/records/{ID}", {}),
        to("PUT", OTHER, {}),
        to("POST", f"{DRAFTS}/records", {"id": OTHER_ID}),
    )

    told = ear.told
    assert [each["payload"]["collection_id"] for each in told] == ["drafts", "posts"]
    assert [[_id_of(one) for one in each["records"]] for each in told] == [
        [ID, OTHER_ID],
        [OTHER_ID],
    ]


def test_changes_of_one_object_are_told_in_their_order(
    client: Client, plain: Client, ear: Ear
) -> None:
    made(plain)

    answers(
        client,
        to("PUT", OTHER, {}),
        to("DELETE", OTHER),
        to("PUT", OTHER, {}),
        to("PATCH", OTHER, {"n": 1}),
    )

    assert ear.actions == [
        ("create", [OTHER_ID]),
        ("delete", [OTHER_ID]),
        ("create", [OTHER_ID]),
        ("update", [OTHER_ID]),
    ]


def test_what_a_batch_takes_back_is_not_told(client: Client, plain: Client, ear: Ear) -> None:
    made(plain)

    found = answers(
        client,
        to("PUT", RECORD, {}, If_None_Match="*"),
        to("DELETE", f"{DRAFTS}/records"),
        to("GET", RECORD, If_None_Match="*"),
        to("PATCH", RECORD, {"n": 1}, user="bob"),
        to("PATCH", RECORD, {"n": 2}),
    )

    assert [each["status"] for each in found] == [412, 404, 304, 403, 200]
    [told] = ear.told
    assert told["payload"]["action"] == "update"
    assert [record["new"]["n"] for record in told["records"]] == [2]


def test_each_in_a_batch_is_told_with_who_has_asked_for_it(
    client: Client, plain: Client, ear: Ear
) -> None:
    answers(client, to("PUT", BUCKET, user="bob"), to("PUT", "/buckets/other"))

    [told] = ear.told
    assert told["payload"]["user_id"] == user_id(plain, "bob")


def test_an_object_is_told_of_though_its_bucket_is_deleted_later_in_the_batch(
    client: Client, plain: Client, ear: Ear
) -> None:
    made(plain)

    answers(client, to("PATCH", RECORD, {"n": 1}), to("DELETE", BUCKET))

    assert ear.actions == [("update", [ID]), ("delete", ["blog"])]


# The default bucket


@pytest.fixture
def personal(dynamo: Dynamo, ear: Ear) -> Client:
    """A client of a service with default buckets."""
    return serving(dynamo, ear, includes=(DEFAULT_BUCKET,))


TASKS = "/buckets/default/collections/tasks"


def real(client: Client) -> str:
    """Alice's default bucket."""
    return f"/buckets/{body_of(client.ask('GET', '/'))['user']['bucket']}"


@pytest.mark.parametrize(
    ("method", "path", "uri", "action"),
    [
        ("PUT", f"{TASKS}/records/{ID}", f"collections/tasks/records/{ID}", "create"),
        ("POST", f"{TASKS}/records", "collections/tasks/records", "create"),
        ("PUT", TASKS, "collections/tasks", "create"),
        ("PATCH", TASKS, "collections/tasks", "update"),
        ("DELETE", TASKS, "collections/tasks", "delete"),
    ],
)
def test_what_is_asked_for_in_a_default_bucket_is_told_with_its_real_id_and_no_more(
    personal: Client, ear: Ear, method: str, path: str, uri: str, action: str
) -> None:
    assert personal.ask(method, path, {"data": {"n": 1}}).status in (200, 201)

    [told] = ear.told
    assert told["payload"]["uri"] == f"{real(personal)}/{uri}"
    assert told["payload"]["bucket_id"] == real(personal).removeprefix("/buckets/")
    assert told["payload"]["action"] == action
    assert len(told["records"]) == 1


def test_a_default_bucket_itself_is_told_of_where_it_is_put(personal: Client, ear: Ear) -> None:
    personal.ask("PUT", "/buckets/default")

    [told] = ear.told
    assert (told["payload"]["uri"], told["payload"]["action"]) == (real(personal), "create")


@pytest.mark.parametrize("path", ["/buckets/default", TASKS, f"{TASKS}/records"])
def test_to_read_a_default_bucket_creates_it_silently(
    personal: Client, ear: Ear, path: str
) -> None:
    assert personal.ask("GET", path).status == 200

    assert ear.heard == []
    assert personal.ask("GET", real(personal)).status == 200


def test_a_batch_in_a_default_bucket_is_told_of_as_far_as_it_was_asked_for(
    personal: Client, ear: Ear
) -> None:
    answers(
        personal,
        to("POST", f"{TASKS}/records", {"id": ID}),
        to("GET", "/buckets/default"),
        to("PUT", f"{TASKS}/records/{OTHER_ID}", {}),
    )

    assert ear.actions == [("create", [ID, OTHER_ID])]


# Which of them


EVERYTHING = [
    to("PUT", BUCKET),
    to("PUT", COLLECTION),
    to("PUT", f"{COLLECTION}2"),
    to("PUT", GROUP, {"members": []}),
    to("PUT", RECORD, {}),
    to("PUT", f"{COLLECTION}2/records/{OTHER_ID}", {}),
    to("PATCH", RECORD, {"n": 1}),
    to("DELETE", GROUP),
]


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({"for_actions": ["update"]}, [("update", [ID])]),
        ({"for_actions": ("delete", "update")}, [("update", [ID]), ("delete", ["writers"])]),
        ({"for_actions": ["read"]}, []),
        ({"for_resources": ["bucket"]}, [("create", ["blog"])]),
        (
            {"for_resources": ["group", "collection"]},
            [
                ("create", ["posts", "posts2"]),
                ("create", ["writers"]),
                ("delete", ["writers"]),
            ],
        ),
        ({"for_resources": ["record"], "for_actions": ["delete"]}, []),
        ({"for_uris": [RECORD]}, [("create", [ID]), ("update", [ID])]),
        ({"for_uris": [f"{COLLECTION}2/*"]}, [("create", [OTHER_ID])]),
        (
            {"for_uris": [f"{COLLECTION}*"], "for_resources": ["collection"]},
            [("create", ["posts", "posts2"])],
        ),
        ({"for_uris": ["*/posts"]}, [("create", ["posts"])]),
        (
            {"for_uris": [BUCKET, GROUP], "for_actions": ["create"]},
            [("create", ["blog"]), ("create", ["writers"])],
        ),
        ({"for_uris": ["/buckets/b.og"]}, []),
        ({"for_uris": ["/buckets"]}, []),
    ],
    ids=str,
)
def test_a_subscriber_hears_of_what_it_has_asked_for(
    dynamo: Dynamo, options: dict[str, Any], heard: list[tuple[str, list[str]]]
) -> None:
    ear = Ear(**options)

    answers(serving(dynamo, ear), *EVERYTHING)

    assert ear.actions == heard


def test_one_event_has_those_of_its_objects_that_were_asked_for(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    ear = Ear(for_uris=[OTHER])

    answers(serving(dynamo, ear), to("POST", RECORDS, {}), to("PUT", OTHER, {}), to("PUT", RECORD))
    tombstones = body_of(serving(dynamo, ear).ask("DELETE", RECORDS))["data"]

    created, deleted = ear.told
    assert created["payload"]["uri"] == OTHER
    assert [_id_of(record) for record in created["records"]] == [OTHER_ID]
    assert deleted["payload"]["uri"] == RECORDS
    assert deleted["records"] == [{"old": one} for one in tombstones if one["id"] == OTHER_ID]
    assert len(tombstones) == 3


def test_subscribers_hear_in_the_order_in_which_they_were_added(dynamo: Dynamo) -> None:
    order: list[str] = []
    ears = [Ear(act=lambda _event, name=name: order.append(name)) for name in ("b", "a", "c")]

    serving(dynamo, all_of(*ears)).ask("PUT", BUCKET)

    assert order == ["b", "a", "c"]


# More is staged


def put(event: EventInTransaction, uri: ObjectUri, data: JsonObject) -> None:
    """Stage an object, as a subscriber would."""
    call = event.call
    call.unit.load([*uri.ancestors, uri], [uri.list, *uri.lists])
    call.unit.put(uri, data, {}, origin=call.origin())


def copies(event: ResourceChanged) -> None:
    """Stage a copy of each record in the collection `drafts`."""
    for record in event.impacted_records:
        uri = ListUri(RECORD_KIND, ("blog", "drafts")).object(record["new"]["id"])
        put(event, uri, {"copy_of": event.payload["collection_id"]})


def test_what_a_subscriber_stages_is_stored_in_the_same_transaction(
    dynamo: Dynamo, plain: Client, calls: CountedCalls
) -> None:
    made(plain)
    plain.ask("PUT", DRAFTS)
    copier = Ear(act=copies, for_uris=[f"{COLLECTION}/*"], for_actions=["create"])
    client = serving(dynamo, copier)
    calls.take()

    assert client.ask("PUT", OTHER).status == 201

    assert calls.take() == {"BatchGetItem": 2, TRANSACT: 1}
    copy = body_of(plain.ask("GET", f"{DRAFTS}/records/{OTHER_ID}"))["data"]
    assert copy["copy_of"] == "posts"


def test_what_a_subscriber_stages_is_told_in_turn_to_all(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    plain.ask("PUT", DRAFTS)
    before = timestamp(plain, f"{DRAFTS}/records")
    first, last = Ear(), Ear()
    copier = Ear(act=copies, for_uris=[f"{COLLECTION}/*"], for_actions=["create"])
    client = serving(dynamo, all_of(first, copier, last))

    client.ask("POST", RECORDS, {"data": {"id": OTHER_ID}})

    copy = f"{DRAFTS}/records/{OTHER_ID}"
    found = body_of(plain.ask("GET", copy))["data"]
    told = first.told
    assert told == last.told
    assert [each["payload"]["uri"] for each in told] == [RECORDS, copy]
    assert told[1] == {
        "payload": payload(plain, "create", copy, before),
        "records": [{"new": found}],
    }
    assert len(copier.heard) == 1


def test_a_subscriber_may_change_what_it_is_told_of(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    listener = Ear()
    mark = Ear(
        act=lambda event: put(event, POSTS.object(ID), {"marked": True}), for_actions=["delete"]
    )

    assert serving(dynamo, all_of(mark, listener)).ask("DELETE", RECORD).status == 200

    assert body_of(plain.ask("GET", RECORD))["data"]["marked"] is True
    assert listener.actions == [("delete", [ID]), ("create", [ID])]


def counts_to(last: int) -> Act:
    """Stage a record with the next number, up to this one."""

    def act(event: ResourceChanged) -> None:
        (record,) = event.impacted_records
        n = record["new"].get("n", 0)
        if n < last:
            put(event, POSTS.object(ID), {"n": n + 1})

    return act


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_chain_of_subscribers_may_be_so_long(
    dynamo: Dynamo,
    plain: Client,
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
    rounds: int,
) -> None:
    monkeypatch.setattr(subscribers, "MAX_ROUNDS", rounds)
    made(plain)

    answer = serving(dynamo, Ear(act=counts_to(rounds))).ask("PUT", RECORD, {"data": {}})
    assert answer.status == 200
    assert body_of(plain.ask("GET", RECORD))["data"]["n"] == rounds

    before = state(plain)
    answer = serving(dynamo, Ear(act=counts_to(rounds + 1))).ask("PUT", RECORD, {"data": {}})
    assert_error(answer, 500, 999)
    assert state(plain) == before
    [failed] = [each for each in log.records if each.levelno == logging.ERROR]
    assert f"subscribers change more and more, {rounds} times" in str(failed.exc_text)


def test_an_endless_chain_writes_nothing(
    dynamo: Dynamo, plain: Client, calls: CountedCalls
) -> None:
    made(plain)
    numbers = count()
    ear = Ear(act=lambda event: put(event, POSTS.object(ID), {"n": next(numbers)}))
    client = serving(dynamo, ear)
    before = state(plain)
    calls.take()

    assert_error(client.ask("PUT", OTHER), 500, 999)

    assert calls.take() == {"BatchGetItem": 2}
    assert state(plain) == before
    assert len(ear.heard) == subscribers.MAX_ROUNDS + 1


# The answer


def teapot(event: EventInTransaction) -> None:
    event.alter_response(
        lambda answer: Response(
            418, {**(answer.body or {}), "short": "stout"}, {**answer.headers, "X-Tea": "yes"}
        )
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", OTHER), ("PATCH", RECORD), ("DELETE", RECORD), ("POST", RECORDS), ("DELETE", RECORDS)],
)
def test_a_subscriber_alters_the_answer(
    dynamo: Dynamo, plain: Client, method: str, path: str
) -> None:
    made(plain)
    headers = {"Origin": "https://app.example.org"}

    answer = serving(dynamo, Ear(act=teapot)).ask(method, path, {"data": {}}, headers=headers)

    assert answer.status == 418
    assert answer.body is not None
    assert answer.body["short"] == "stout"
    assert "data" in answer.body
    assert answer.headers["X-Tea"] == "yes"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_alterations_follow_one_another(dynamo: Dynamo) -> None:
    def adds(name: str) -> Ear:
        def add(answer: Response) -> Response:
            return replace(answer, body={"by": [*(answer.body or {}).get("by", ()), name]})

        return Ear(act=lambda event: event.alter_response(add))

    answer = serving(dynamo, all_of(adds("one"), adds("two"))).ask("PUT", BUCKET)

    assert (answer.status, answer.body) == (201, {"by": ["one", "two"]})


def test_of_a_batch_its_own_answer_is_altered(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    ear = Ear(act=teapot, for_actions=["create"])

    answer = batch(serving(dynamo, ear), to("PATCH", RECORD, {}), to("PUT", OTHER, {}))

    assert (answer.status, answer.headers["X-Tea"]) == (418, "yes")
    assert answer.body is not None
    assert answer.body["short"] == "stout"
    assert [each["status"] for each in answer.body["responses"]] == [200, 201]
    assert all("X-Tea" not in each["headers"] for each in answer.body["responses"])


def test_an_answer_that_has_become_too_large_is_refused_and_nothing_written(
    dynamo: Dynamo, plain: Client
) -> None:
    def with_text(length: int) -> Client:
        def add(answer: Response) -> Response:
            return replace(answer, body={"text": "x" * length})

        return serving(dynamo, Ear(act=lambda event: event.alter_response(add)))

    made(plain)
    before = state(plain)

    assert_error(with_text(5_500_000).ask("PUT", OTHER), 413, 113)
    assert state(plain) == before
    assert with_text(5_400_000).ask("PUT", OTHER).status == 201


def test_an_alteration_that_fails_is_a_mistake_and_nothing_written(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    before = state(plain)
    ear = Ear(act=lambda event: event.alter_response(lambda _answer: 1 / 0))

    assert_error(serving(dynamo, ear).ask("PUT", OTHER), 500, 999)

    assert state(plain) == before


def alters(alteration: Callable[[Response], Response]) -> Act:
    return lambda event: event.alter_response(alteration)


def test_an_answer_altered_in_its_place_is_measured_as_well(dynamo: Dynamo, plain: Client) -> None:
    def add(answer: Response) -> Response:
        assert answer.body is not None
        answer.body["text"] = "x" * 5_500_000
        return answer

    made(plain)
    before = state(plain)

    assert_error(serving(dynamo, Ear(act=alters(add))).ask("PUT", OTHER), 413, 113)
    assert state(plain) == before


# Refusals


def refuses(error: Exception) -> Act:
    def act(_event: Any) -> None:
        raise error

    return act


WRITES: list[tuple[str, str, JsonObject | None]] = [
    ("PUT", OTHER, None),
    ("POST", GROUPS, {"data": {"members": []}}),
    ("PUT", RECORD, {"data": {"n": 1}}),
    ("PATCH", COLLECTION, {"data": {"n": 1}}),
    ("DELETE", BUCKET, None),
    ("DELETE", COLLECTIONS, None),
]


@pytest.mark.parametrize(("method", "path", "data"), WRITES)
def test_a_subscriber_refuses_with_the_error_that_it_chooses(
    dynamo: Dynamo,
    plain: Client,
    calls: CountedCalls,
    method: str,
    path: str,
    data: JsonObject | None,
) -> None:
    made(plain)
    before = state(plain)
    later = Ear(ResourceChanged, AfterResourceRead)
    errors: list[tuple[ProtocolError, int, int]] = [
        (ProtocolError(FORBIDDEN, message="Not on Sundays."), 403, 121),
        (invalid([Problem("body", "title", "Too short")]), 400, 107),
        (ProtocolError(BACKEND, headers={"Retry-After": "9"}), 503, 201),
    ]
    found: list[Response] = []
    calls.take()

    for error, status, errno in errors:
        client = serving(dynamo, all_of(Ear(act=refuses(error)), later))
        found.append(client.ask(method, path, data))
        assert_error(found[-1], status, errno)

    assert TRANSACT not in calls.take()
    assert state(plain) == before
    assert later.heard == []
    forbidden, bad, unavailable = found
    assert body_of(forbidden, 403)["message"] == "Not on Sundays."
    assert body_of(bad, 400)["details"][0]["name"] == "title"
    assert unavailable.headers["Retry-After"] == "9"


def test_a_refusal_for_want_of_credentials_has_the_challenge(dynamo: Dynamo, plain: Client) -> None:
    plain.ask("PUT", BUCKET, {"permissions": {"write": ["system.Everyone"]}})
    client = serving(dynamo, Ear(act=refuses(ProtocolError(MISSING_AUTH_TOKEN))))

    answer = client.ask("PATCH", BUCKET, {"data": {}}, user=None)

    assert_error(answer, 401, 104)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Realm"'


@pytest.mark.parametrize(("method", "path", "data"), WRITES)
def test_a_subscriber_that_fails_is_500_without_its_text_and_nothing_written(
    dynamo: Dynamo,
    plain: Client,
    log: Lines,
    method: str,
    path: str,
    data: JsonObject | None,
) -> None:
    made(plain)
    before = state(plain)

    answer = serving(dynamo, Ear(act=refuses(KeyError("the mistake")))).ask(method, path, data)

    assert_error(answer, 500, 999)
    assert "mistake" not in repr(answer)
    assert state(plain) == before
    [failed] = [each for each in log.records if each.levelno == logging.ERROR]
    assert "KeyError: 'the mistake'" in str(failed.exc_text)


def test_what_another_has_staged_is_not_written_either(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    plain.ask("PUT", DRAFTS)
    before = state(plain)
    copier = Ear(act=copies, for_uris=[f"{COLLECTION}/*"])
    guard = Ear(act=refuses(ProtocolError(FORBIDDEN)), for_uris=[f"{DRAFTS}/*"])

    assert_error(serving(dynamo, all_of(copier, guard)).ask("PUT", OTHER), 403, 121)

    assert (len(copier.heard), len(guard.heard)) == (1, 1)
    assert state(plain) == before


TEN = [f"{RECORDS}/{number:08x}-0000-4000-8000-000000000000" for number in range(10)]


def stream_records(dynamo: Dynamo) -> list[str]:
    """The ids of what the stream of the objects has told of so far."""
    streams = boto3.client("dynamodbstreams", REGION)
    described = dynamo._connection.client.describe_table(TableName=dynamo.tables.objects)
    arn = described["Table"]["LatestStreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]


@pytest.mark.parametrize(
    ("error", "status", "errno"),
    [(ProtocolError(FORBIDDEN), 403, 121), (RuntimeError("a mistake"), 500, 999)],
    ids=str,
)
def test_one_that_refuses_in_the_middle_of_a_batch_of_ten_leaves_nothing(
    dynamo: Dynamo,
    plain: Client,
    calls: CountedCalls,
    error: Exception,
    status: int,
    errno: int,
) -> None:
    made(plain)
    before, streamed = state(plain), stream_records(dynamo)
    guard = Ear(act=refuses(error), for_uris=[TEN[5]])
    earlier, later = Ear(), Ear()
    reader = Ear(AfterResourceRead, ServerFlushed)
    client = serving(dynamo, all_of(earlier, guard, later, reader), flush_endpoint_enabled=True)
    requests = [*(to("PUT", path, {}) for path in TEN[:9]), to("GET", RECORD)]
    calls.take()

    answer = batch(client, *requests)

    assert_error(answer, status, errno)
    assert "responses" not in body_of(answer, status)
    assert TRANSACT not in calls.take()
    assert state(plain) == before
    assert stream_records(dynamo) == streamed
    assert [len(each.heard) for each in (earlier, guard, later, reader)] == [1, 1, 0, 0]
    assert batch(plain, *requests).status == 200
    assert len(stream_records(dynamo)) > len(streamed)  # so it does tell of what is written


def test_a_flush_in_a_batch_that_is_refused_is_not_told_of(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    before = state(plain)
    ear = Ear(ServerFlushed)
    guard = Ear(act=refuses(ProtocolError(FORBIDDEN)), for_uris=["/buckets/new"])
    client = serving(dynamo, all_of(guard, ear), flush_endpoint_enabled=True)

    refused = batch(client, to("POST", "/__flush__"), to("PUT", "/buckets/new"))
    assert refused.status == 403
    assert (ear.heard, state(plain)) == ([], before)

    assert batch(client, to("POST", "/__flush__"), to("PUT", "/buckets/old")).status == 200
    assert ear.heard == [ServerFlushed()]


# Each request of a batch on its own


def test_where_each_request_is_stored_at_once_each_is_told_of_on_its_own(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    there: list[int] = []
    ear = Ear(act=lambda _event: there.append(plain.ask("GET", TEN[0]).status))
    client = serving(dynamo, ear, transaction_per_request=False)

    answers(client, *(to("PUT", path, {}) for path in TEN[:3]))

    assert [len(each["records"]) for each in ear.told] == [1, 1, 1]
    assert there == [404, 200, 200]


def test_there_a_refusal_leaves_what_was_stored_before(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    guard = Ear(act=refuses(ProtocolError(FORBIDDEN)), for_uris=[TEN[1]])
    ear = Ear()
    client = serving(dynamo, all_of(guard, ear), transaction_per_request=False)

    assert_error(batch(client, *(to("PUT", path, {}) for path in TEN[:3])), 403, 121)

    assert [plain.ask("GET", path).status for path in TEN[:3]] == [200, 404, 404]
    assert ear.actions == [("create", [TEN[0][-36:]])]


def test_there_a_client_is_not_told_to_repeat_what_was_stored(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    error = ProtocolError(BACKEND, headers={"Retry-After": "3"})
    guard = Ear(act=refuses(error), for_uris=[TEN[1]])
    client = serving(dynamo, guard, transaction_per_request=False)

    answer = batch(client, *(to("PUT", path, {}) for path in TEN[:3]))

    assert_error(answer, 503, 201)
    assert plain.ask("GET", TEN[0]).status == 200
    assert "Retry-After" not in answer.headers


def test_there_the_answer_has_the_alterations_of_all(dynamo: Dynamo, plain: Client) -> None:
    made(plain)

    def act(event: ResourceChanged) -> None:
        (id,) = [record["new"]["id"] for record in event.impacted_records]
        event.alter_response(
            lambda answer: replace(answer, headers={**answer.headers, f"X-{id[:8]}": "1"})
        )

    client = serving(dynamo, Ear(act=act), transaction_per_request=False)

    answer = batch(client, *(to("PUT", path, {}) for path in TEN[:3]))

    assert answer.status == 200
    assert {name for name in answer.headers if name.startswith("X-")} == {
        f"X-{number:08x}" for number in range(3)
    }


# Conflicts


def test_where_another_was_first_they_hear_again_and_nothing_piles_up(
    wire: Wire, plain: Client
) -> None:
    made(plain)

    def add(answer: Response) -> Response:
        return replace(
            answer, body={**(answer.body or {}), "by": (answer.body or {}).get("by", 0) + 1}
        )

    ear = Ear(act=lambda event: event.alter_response(add))
    after = Ear(AfterResourceRead)
    client = serving(wire.dynamo, all_of(ear, after))
    wire.before = at(TRANSACT, 1, lambda: plain.ask("PATCH", RECORD, {"data": {"n": 1}}))

    answer = batch(client, to("PATCH", RECORD, {"m": 2}), to("GET", RECORD))

    assert body_of(answer)["by"] == 1
    first, second = ear.told
    assert first["records"][0]["old"].get("n") is None
    assert second["records"][0]["old"]["n"] == 1
    assert second["records"][0]["new"] == body_of(plain.ask("GET", RECORD))["data"]
    assert [each["records"][0]["n"] for each in after.told] == [1]


def test_where_the_storage_is_unavailable_nobody_hears_afterwards(
    wire: Wire, plain: Client
) -> None:
    made(plain)
    after = Ear(AfterResourceRead, ServerFlushed)
    client = serving(wire.dynamo, after, flush_endpoint_enabled=True)
    throttled = client_error("ThrottlingException")
    wire.before = from_on(TRANSACT, 1, raises(throttled))

    answer = batch(client, to("GET", RECORD), to("POST", "/__flush__"))

    assert_error(answer, 503, 201)
    assert after.heard == []


# A list that is deleted in several transactions


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction takes the deletions of two records."""
    monkeypatch.setattr(list_deletion, "MAX_ACTIONS", 3)


def filled(plain: Client, dynamo: Dynamo, number: int) -> None:
    plain.ask("PUT", BUCKET)
    plain.ask("PUT", COLLECTION)
    fill(dynamo, number)


@pytest.mark.usefixtures("small")
def test_of_a_long_list_each_transaction_is_told_of(dynamo: Dynamo, plain: Client) -> None:
    filled(plain, dynamo, 5)
    ear = Ear()

    tombstones = body_of(serving(dynamo, ear).ask("DELETE", RECORDS))["data"]

    told = ear.told
    assert [len(each["records"]) for each in told] == [2, 2, 1]
    assert {each["payload"]["uri"] for each in told} == {RECORDS}
    assert [record["old"] for each in told for record in each["records"]] == tombstones


def second_time(act: Act) -> Act:
    """Does something when it hears for the second time."""
    numbers = count(1)
    return lambda event: act(event) if next(numbers) == 2 else None


@pytest.mark.usefixtures("small")
def test_a_refusal_of_a_later_one_ends_with_what_was_done(
    dynamo: Dynamo, plain: Client, log: Lines
) -> None:
    filled(plain, dynamo, 5)
    ear = Ear(act=second_time(refuses(ProtocolError(FORBIDDEN))))

    tombstones = body_of(serving(dynamo, ear).ask("DELETE", RECORDS))["data"]

    assert len(tombstones) == 2
    left = body_of(plain.ask("GET", RECORDS))["data"]
    assert len(left) == 3
    assert {each["id"] for each in left}.isdisjoint(each["id"] for each in tombstones)
    assert any("stopped on its way: This user cannot" in each for each in log.messages)


@pytest.mark.usefixtures("small")
def test_a_refusal_of_the_first_one_leaves_all(dynamo: Dynamo, plain: Client) -> None:
    filled(plain, dynamo, 5)
    before = state(plain)

    client = serving(dynamo, Ear(act=refuses(ProtocolError(FORBIDDEN))))
    assert_error(client.ask("DELETE", RECORDS), 403, 121)

    assert state(plain) == before


def first_time(act: Act) -> Act:
    numbers = count(1)
    return lambda event: act(event) if next(numbers) == 1 else None


@pytest.mark.usefixtures("small")
def test_an_alteration_that_the_first_one_has_led_to_is_in_the_answer_to_all(
    dynamo: Dynamo, plain: Client
) -> None:
    filled(plain, dynamo, 5)

    answer = serving(dynamo, Ear(act=first_time(teapot))).ask("DELETE", RECORDS)

    assert (answer.status, answer.headers["X-Tea"]) == (418, "yes")
    assert answer.body is not None
    assert len(answer.body["data"]) == 5


@pytest.mark.usefixtures("small")
def test_it_is_so_where_a_later_one_is_refused(dynamo: Dynamo, plain: Client) -> None:
    filled(plain, dynamo, 5)
    guard = Ear(act=second_time(refuses(ProtocolError(FORBIDDEN))))

    client = serving(dynamo, all_of(Ear(act=first_time(teapot)), guard))
    answer = client.ask("DELETE", RECORDS)

    assert answer.body is not None
    assert len(answer.body["data"]) == 2
    assert (answer.status, answer.headers.get("X-Tea")) == (418, "yes")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("mistake", "done"), [("a subscriber", 2), ("an alteration", 4)])
def test_a_mistake_in_a_later_one_ends_it_with_what_was_done(
    dynamo: Dynamo, plain: Client, log: Lines, mistake: str, done: int
) -> None:
    filled(plain, dynamo, 5)

    def fail(_response: Response) -> Response:
        raise LookupError

    act = refuses(LookupError()) if mistake == "a subscriber" else alters(fail)
    client = serving(dynamo, Ear(act=second_time(act)))
    answer = client.ask("DELETE", RECORDS)

    assert answer.status == 200
    assert answer.body is not None
    assert len(answer.body["data"]) == done
    assert len(body_of(plain.ask("GET", RECORDS))["data"]) == 5 - done
    assert failures(log)


@pytest.mark.usefixtures("small")
def test_an_alteration_that_can_not_be_made_of_what_was_done_is_passed_over(
    dynamo: Dynamo, plain: Client
) -> None:
    filled(plain, dynamo, 5)

    def fail(_response: Response) -> Response:
        raise LookupError

    guard = Ear(act=second_time(refuses(ProtocolError(FORBIDDEN))))
    client = serving(dynamo, all_of(Ear(act=first_time(alters(fail))), guard))
    answer = client.ask("DELETE", RECORDS)

    assert answer.status == 200
    assert answer.body is not None
    assert len(answer.body["data"]) == 2


# Reads


class Keys:
    """How many items were asked for by key."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._asked = 0
        events = dynamo._connection.client.meta.events
        events.register("provide-client-params.dynamodb.BatchGetItem", self._add)

    def _add(self, params: dict[str, Any], **_: Any) -> None:
        self._asked += sum(len(each["Keys"]) for each in params["RequestItems"].values())

    def take(self) -> int:
        taken, self._asked = self._asked, 0
        return taken


@pytest.mark.parametrize("path", OBJECTS)
def test_an_object_costs_one_key_more_where_somebody_hears_of_reads(
    dynamo: Dynamo, client: Client, plain: Client, calls: CountedCalls, path: str
) -> None:
    made(plain)
    keys = Keys(dynamo)
    clients = {
        "nobody": plain,
        "of changes": client,
        "of reads": serving(dynamo, Ear(ResourceRead)),
        "afterwards": serving(dynamo, Ear(AfterResourceRead)),
    }
    calls.take()
    costs = {}

    for name, each in clients.items():
        for method in ("GET", "HEAD"):
            assert each.ask(method, path).status == 200
            assert calls.take() == READ
            costs[name] = keys.take()

    above = len(path.split("/")) // 2
    assert costs == {
        "nobody": above,
        "of changes": above,
        "of reads": above + 1,
        "afterwards": above + 1,
    }


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", RECORDS, {}),
        ("HEAD", COLLECTIONS, {}),
        ("POST", RECORDS, {"data": {"data": {"id": ID}}}),
        ("DELETE", RECORDS, {"title": "None"}),
        ("POST", "/batch", {"data": {"requests": [{"path": RECORD}, {"path": GROUP}]}}),
    ],
)
def test_nothing_costs_a_call_more_where_somebody_hears_of_reads(
    dynamo: Dynamo,
    plain: Client,
    calls: CountedCalls,
    method: str,
    path: str,
    options: dict[str, Any],
) -> None:
    made(plain)
    reader = Ear(ResourceRead, AfterResourceRead)
    client = serving(dynamo, reader)
    calls.take()

    assert plain.ask(method, path, **options).status == 200
    cost = calls.take()

    assert client.ask(method, path, **options).status == 200
    assert calls.take() == cost
    assert len(reader.heard) == (4 if path == "/batch" else 2)


@pytest.fixture
def reader() -> Ear:
    """Hears of all that is read, in its transaction."""
    return Ear(ResourceRead)


@pytest.fixture
def read(dynamo: Dynamo, plain: Client, reader: Ear) -> Client:
    """A client of a service that tells it, with an object of each kind."""
    made(plain)
    return serving(dynamo, reader)


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_to_get_an_object_is_to_read_it(
    read: Client, plain: Client, reader: Ear, path: str, method: str
) -> None:
    shown = body_of(plain.ask("GET", path))["data"]
    before = timestamp(plain, list_of(path))

    assert read.ask(method, path, _fields="id").status == 200

    [event] = reader.heard
    assert type(event) is ResourceRead
    assert reader.told == [{"payload": payload(plain, "read", path, before), "records": [shown]}]


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_to_get_a_list_is_to_read_what_is_on_the_page(
    read: Client, plain: Client, reader: Ear, path: str, method: str
) -> None:
    listed = list_of(path)
    plain.ask("PUT", f"{listed}/{OTHER_ID}", body_for(path))
    shown = body_of(plain.ask("GET", listed, _limit="1"))["data"]
    before = timestamp(plain, listed)

    assert read.ask(method, listed, _limit="1", _fields="id").status == 200

    assert len(shown) == 1
    assert reader.told == [{"payload": payload(plain, "read", listed, before), "records": shown}]


def test_tombstones_are_read_as_well(read: Client, plain: Client, reader: Ear) -> None:
    plain.ask("PUT", OTHER)
    tombstone = body_of(plain.ask("DELETE", RECORD))["data"]

    found = body_of(read.ask("GET", RECORDS, _since="0"))["data"]

    assert tombstone in found
    assert [each["records"] for each in reader.told] == [found]


def test_an_empty_list_is_read_too(read: Client, plain: Client, reader: Ear) -> None:
    before = timestamp(plain, RECORDS)

    assert body_of(read.ask("GET", RECORDS, title="None"))["data"] == []

    assert reader.told == [{"payload": payload(plain, "read", RECORDS, before), "records": []}]


def test_a_post_of_what_is_there_is_to_read_it(read: Client, plain: Client, reader: Ear) -> None:
    before = timestamp(plain, RECORDS)
    shown = body_of(plain.ask("GET", RECORD))["data"]

    assert body_of(read.ask("POST", RECORDS, {"data": {"id": ID}}))["data"] == shown

    assert reader.told == [{"payload": payload(plain, "read", RECORDS, before), "records": [shown]}]


@pytest.mark.parametrize("query", [{"title": "None"}, {"id": OTHER_ID}])
def test_a_delete_of_a_list_that_deletes_nothing_is_to_read_nothing_of_it(
    read: Client, plain: Client, reader: Ear, query: dict[str, str]
) -> None:
    before = timestamp(plain, RECORDS)

    assert body_of(read.ask("DELETE", RECORDS, **query))["data"] == []

    assert reader.told == [{"payload": payload(plain, "read", RECORDS, before), "records": []}]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", RECORD, {"headers": STAR}, 304),
        ("GET", RECORDS, {"headers": STAR}, 304),
        ("GET", RECORD, {"headers": {"If-Match": '"1"'}}, 412),
        ("GET", RECORDS, {"headers": {"If-Match": '"1"'}}, 412),
        ("GET", OTHER, {}, 404),
        ("GET", RECORD, {"user": "bob"}, 403),
        ("GET", RECORDS, {"_since": "soon"}, 400),
        ("GET", "/", {}, 200),
        ("PUT", OTHER, {}, 201),
        ("PATCH", RECORD, {"data": {}}, 200),
        ("DELETE", RECORDS, {}, 200),
    ],
)
def test_nothing_else_is_to_read(
    read: Client, reader: Ear, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    assert read.ask(method, path, **options).status == status

    assert reader.heard == []


def test_reads_of_a_batch_are_merged_and_changes_are_another_matter(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    reader, ear, after = Ear(ResourceRead), Ear(), Ear(AfterResourceRead)
    client = serving(dynamo, all_of(reader, ear, after))

    answers(
        client,
        to("GET", RECORD),
        to("GET", OTHER),
        to("PUT", OTHER, {}),
        to("HEAD", OTHER),
        to("GET", COLLECTIONS),
    )

    assert ear.actions == [("create", [OTHER_ID])]
    assert reader.actions == after.actions == [("read", [ID, OTHER_ID]), ("read", ["posts"])]


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({"for_actions": ["create"]}, []),
        ({"for_resources": ["collection"]}, [("read", ["posts"])]),
        ({"for_uris": [f"{COLLECTION}/*"]}, [("read", [ID, ID])]),
        ({"for_uris": [RECORDS]}, [("read", [])]),
        ({"for_uris": [GROUPS]}, []),
    ],
    ids=str,
)
def test_reads_are_filtered_as_changes_are(
    dynamo: Dynamo, plain: Client, options: dict[str, Any], heard: list[tuple[str, list[str]]]
) -> None:
    made(plain)
    reader = Ear(ResourceRead, **options)

    answers(
        serving(dynamo, reader),
        to("GET", RECORD),
        to("GET", COLLECTIONS),
        to("GET", RECORDS),
        to("GET", f"{RECORDS}?title=None"),
    )

    assert reader.actions == heard


def test_a_read_of_a_default_bucket_is_told_with_its_real_id(dynamo: Dynamo) -> None:
    reader = Ear(ResourceRead)
    client = serving(dynamo, reader, includes=(DEFAULT_BUCKET,))
    client.ask("PUT", f"{TASKS}/records/{ID}")

    for path in ("/buckets/default", TASKS, f"{TASKS}/records", f"{TASKS}/records/{ID}"):
        assert client.ask("GET", path).status == 200

    assert [each["payload"]["uri"] for each in reader.told] == [
        path.replace("/buckets/default", real(client))
        for path in ("/buckets/default", TASKS, f"{TASKS}/records", f"{TASKS}/records/{ID}")
    ]


def test_who_hears_of_a_read_may_alter_its_answer(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    client = serving(dynamo, Ear(ResourceRead, act=teapot))

    for path in (RECORD, RECORDS):
        answer, head = (client.ask(method, path) for method in ("GET", "HEAD"))
        assert (answer.status, answer.headers["X-Tea"]) == (418, "yes")
        assert (head.status, head.headers, head.body) == (418, answer.headers, None)


def test_who_hears_of_a_read_may_write(dynamo: Dynamo, plain: Client, calls: CountedCalls) -> None:
    made(plain)
    ear = Ear()
    views = Ear(ResourceRead, act=lambda event: put(event, POSTS.object(ID), {"views": 1}))
    client = serving(dynamo, all_of(views, ear))
    calls.take()

    assert client.ask("GET", RECORD).status == 200

    assert calls.take() == WRITTEN
    assert body_of(plain.ask("GET", RECORD))["data"]["views"] == 1
    assert ear.actions == [("update", [ID])]


@pytest.mark.parametrize(
    ("error", "status", "errno"),
    [(ProtocolError(FORBIDDEN), 403, 121), (RuntimeError("a mistake"), 500, 999)],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", RECORD), ("GET", RECORDS), ("POST", RECORDS), ("DELETE", RECORDS)]
)
def test_who_hears_of_a_read_may_refuse_it(
    dynamo: Dynamo,
    plain: Client,
    error: Exception,
    status: int,
    errno: int,
    method: str,
    path: str,
) -> None:
    made(plain)
    after = Ear(AfterResourceRead)
    client = serving(dynamo, all_of(after, Ear(ResourceRead, act=refuses(error))))
    data = {"data": {"id": ID}} if method == "POST" else None
    query = {"title": "None"} if method == "DELETE" else {}

    assert_error(client.ask(method, path, data, **query), status, errno)

    assert after.heard == []


# Afterwards


def test_who_hears_afterwards_hears_the_same(dynamo: Dynamo, plain: Client) -> None:
    made(plain)
    reader, after = Ear(ResourceRead), Ear(AfterResourceRead)
    client = serving(dynamo, all_of(after, reader))

    client.ask("GET", RECORD)
    client.ask("GET", RECORDS)

    assert {type(event) for event in after.heard} == {AfterResourceRead}
    assert [each.id for each in after.heard] == [each.id for each in reader.heard]
    assert after.told == reader.told


def test_who_fails_afterwards_is_logged_and_hinders_nothing(
    dynamo: Dynamo, plain: Client, log: Lines
) -> None:
    made(plain)
    failing = Ear(AfterResourceRead, act=refuses(ProtocolError(FORBIDDEN)), name="audit")
    last = Ear(AfterResourceRead)
    client = serving(dynamo, all_of(failing, last))

    shown = body_of(client.ask("GET", RECORD))
    answers(client, to("GET", RECORD), to("GET", COLLECTION), to("PUT", OTHER, {}))

    assert shown == body_of(plain.ask("GET", RECORD))
    assert plain.ask("GET", OTHER).status == 200
    assert failures(log) == ["the subscriber audit of AfterResourceRead failed"] * 3
    assert len(failing.heard) == len(last.heard) == 3  # one, and two of the batch


def test_after_a_write_in_the_same_batch_they_hear_once_it_is_there(
    dynamo: Dynamo, plain: Client
) -> None:
    made(plain)
    there: list[int] = []
    after = Ear(AfterResourceRead, act=lambda _event: there.append(plain.ask("GET", OTHER).status))

    answers(serving(dynamo, after), to("GET", RECORD), to("PUT", OTHER, {}))

    assert there == [200]


# Times, and names


def summaries(log: Lines) -> list[str]:
    return [each for each in log.messages if " request.summary " in each]


def times(line: str) -> dict[str, float]:
    """How long who has heard of a request took, in ms; nothing where the line has none."""
    _, found, rest = line.partition(" listeners_ms=")
    if not found:
        return {}
    told: dict[str, float] = json.JSONDecoder().raw_decode(rest)[0]
    return told


def test_the_summary_has_the_time_of_each_that_has_heard(
    dynamo: Dynamo, plain: Client, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(plain)
    now = [1000.0]
    monkeypatch.setattr(subscribers.time, "monotonic", lambda: now[0])

    def takes(seconds: float, *events: type, **options: Any) -> Ear:
        def act(_event: Any) -> None:
            now[0] += seconds

        return Ear(*events, act=act, **options)

    include = all_of(
        takes(0.5, name="slow"),
        takes(0.25, name="audit", for_resources=["record"]),
        takes(0.25, name="groups", for_resources=["group"]),
        takes(0.125, ResourceRead, name="reads"),
        takes(9, AfterResourceRead, name="later"),
    )
    client = serving(dynamo, include)

    client.ask("PATCH", RECORD, {"data": {}})
    batch(client, to("PATCH", RECORD, {}), to("PATCH", COLLECTION, {}), to("GET", RECORD))
    client.ask("GET", "/")

    assert [times(line) for line in summaries(log)] == [
        {"slow": 500, "audit": 250},
        {"slow": 1000, "audit": 250, "reads": 125},
        {},
    ]


def test_the_time_of_one_that_refuses_is_in_the_summary(dynamo: Dynamo, log: Lines) -> None:
    client = serving(dynamo, Ear(act=refuses(ProtocolError(FORBIDDEN)), name="guard"))

    client.ask("PUT", BUCKET)

    [line] = summaries(log)
    assert times(line).keys() == {"guard"}


def test_without_a_name_a_subscriber_has_that_of_its_function(dynamo: Dynamo, log: Lines) -> None:
    serving(dynamo, Ear()).ask("PUT", BUCKET)

    [line] = summaries(log)
    assert times(line).keys() == {f"{__name__}.Ear.hear"}


# Identity


def test_the_same_change_has_the_same_id_for_all_and_another_has_another(
    dynamo: Dynamo, plain: Client
) -> None:
    one, other = Ear(), Ear(for_resources=["record"])
    client = serving(dynamo, all_of(one, other))
    made(plain)

    client.ask("PATCH", RECORD, {"data": {"n": 1}})
    client.ask("PATCH", RECORD, {"data": {"n": 1}})

    ids = [event.id for event in one.heard]
    assert ids == [event.id for event in other.heard]
    assert len(set(ids)) == 2
    assert all(id.startswith("evt_") for id in ids)


def test_a_subscriber_may_make_what_its_objects_are_within(dynamo: Dynamo, plain: Client) -> None:
    def act(event: ResourceChanged) -> None:
        put(event, ListUri(BUCKET_KIND, ()).object("new"), {})
        put(event, ListUri(COLLECTION_KIND, ("new",)).object("notes"), {})

    ear = Ear()
    client = serving(dynamo, all_of(Ear(act=act, for_uris=[BUCKET]), ear))

    assert client.ask("PUT", BUCKET).status == 201

    assert ear.actions == [("create", ["blog"]), ("create", ["new"]), ("create", ["notes"])]
    everyone = frozenset({"system.Everyone"})
    seer = serving(dynamo, lambda _app: None, collection_read_principals=everyone)
    assert seer.ask("GET", "/buckets/new/collections/notes").status == 200
