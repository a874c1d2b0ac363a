"""What follows the changes of the stream: `chalicelib/events/changes.py`."""

import base64
import json
import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.events import changes as changes_module
from chalicelib.events.changes import MAX_PART_BYTES, Changes, change_in
from chalicelib.events.deliveries import MAX_EVENT_BYTES, Delivery
from chalicelib.events.queues import MAX_BATCH_BYTES, Queue, QueueError, Queues, to_text
from chalicelib.protocol.events import (
    CREATE,
    DELETE,
    UPDATE,
    Event,
    Impact,
    Operation,
    Selection,
    to_events,
)
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.items import (
    INDEXED_BODY_BYTES,
    Cause,
    Item,
    RawItem,
    decode_body,
    encode_body,
    to_raw,
)
from chalicelib.storage.keys import clock_key, object_key
from tests.doubles import STAGE, heard_by
from tests.events.test_purging import DEAD_BLOG, DEAD_POSTS
from tests.events.test_stream import (
    ALICE,
    BLOG,
    LEFT_BEHIND,
    OF_BUCKET,
    OF_RECORD,
    POSTS,
    RECORD_URI,
    WRITERS,
    T,
    stream_record,
)
from tests.storage.test_items import random_text
from tests.test_observability import Lines

GROUPS: Final = WRITERS.list
RECORDS: Final = RECORD_URI.list
DRAFTS: Final = ListUri(RECORD, ("blog", "drafts"))

REQUEST: Final = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
"""Of all records in files."""

BAD: Final = {
    "eventID": "bad",
    "dynamodb": {"Keys": {"id": {"S": "a"}}, "OldImage": {"live": {"S": ""}}},
}


def lambda_record(old: RawItem | None, new: RawItem | None, number: int = 0) -> dict[str, Any]:
    """A record as Lambda hands it over, of any images: bytes are base64 in JSON."""
    record = stream_record("heartbeat")
    image = new or old or {}
    change = record["dynamodb"]
    change["Keys"] = {name: image[name] for name in ("parent", "id")}
    change["SequenceNumber"] = f"{4421584500000000017450439000 + number}"
    del change["NewImage"]
    change |= {"OldImage": old} if old is not None else {}
    change |= {"NewImage": new} if new is not None else {}
    record["eventID"] = f"{number:032x}"
    record["eventName"] = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    whole: dict[str, Any] = json.loads(json.dumps(record, default=_base64))
    return whole


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def operation_in(record: Mapping[str, Any]) -> Operation | None:
    return change_in(record).operation


# What an item's images tell

HERE: Final = "5f2d9c1b7a3e4860"
ELSEWHERE: Final = "9e107d9d372bb682"
CAUSE: Final = Cause(ALICE, "r1", by_list=False, timestamp=T)
LATER: Final = Cause(ALICE, "r2", by_list=False, timestamp=T + 4)

URIS: Final = [BLOG, POSTS, WRITERS, RECORD_URI]
DATA: Final[dict[str, JsonObject]] = {
    "old": {"members": ["bob"], "title": "Old"},
    "new": {"members": ["carol"], "title": "New"},
}


def item(
    uri: ObjectUri,
    version: int,
    *,
    is_live: bool = True,
    within: str = HERE,
    data: JsonObject | None = None,
) -> Item:
    return Item(
        object_key(uri),
        is_live,
        version,
        version,
        within,
        incarnation=HERE if is_live and uri.lists else None,
        permissions={"read": ("somebody",)} if is_live else None,
        body=encode_body(data or {}) if is_live else None,
    )


def image(name: str, uri: ObjectUri, *, is_new: bool, cause: Cause = CAUSE) -> RawItem | None:
    """One of the images of an item; what is not of this item can't be, and is told apart."""
    version = T + 5 if is_new else T
    data = DATA["new" if is_new else "old"]
    within = ELSEWHERE if name.startswith("other") else HERE
    if name in ("none", "removed"):
        return None
    if name == "clock":
        key = clock_key(uri.list)
        times = {"timestamp": {"N": str(version)}, "count": {"N": "1"}}
        return {
            "parent": {"S": key.parent},
            "id": {"S": key.id},
            **times,
            "within": {"S": HERE},
            "latest": {"L": []},
        }
    if name == "heartbeat":
        return {"parent": {"S": "#heartbeat"}, "id": {"S": "#heartbeat"}}
    is_live = name.endswith("live")
    return to_raw(item(uri, version, is_live=is_live, within=within, data=data), cause)


OLD_IMAGES: Final = [
    "none",
    "live",
    "tombstone",
    "other live",
    "other tombstone",
    "clock",
    "heartbeat",
]
NEW_IMAGES: Final = ["removed", "live", "tombstone", "clock", "heartbeat"]
ACTIONS: Final = {
    ("none", "live"): CREATE,
    ("live", "live"): UPDATE,
    ("tombstone", "live"): CREATE,
    ("other live", "live"): CREATE,
    ("other tombstone", "live"): CREATE,
    ("live", "tombstone"): DELETE,
}
"""What a pair of images tells; others tell nothing."""


def is_possible(old: str, new: str) -> bool:
    """An object, a clock and a heartbeat's item have different keys, and each record an image."""
    others, nothing = {"clock", "heartbeat"}, {"none", "removed"}
    images = {old, new} - nothing
    return len(images) == 1 or (len(images) == 2 and images.isdisjoint(others))


PAIRS: Final = [(old, new) for old in OLD_IMAGES for new in NEW_IMAGES if is_possible(old, new)]


@pytest.mark.parametrize("uri", URIS, ids=[uri.kind.name for uri in URIS])
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_pair_of_images_tells_what_was_done(uri: ObjectUri, old: str, new: str) -> None:
    images = image(old, uri, is_new=False), image(new, uri, is_new=True, cause=LATER)

    found = operation_in(lambda_record(*images))

    names = {"id": uri.id, "last_modified": T + 5}
    after = {**DATA["new"], **names}
    before = {**DATA["old"], "id": uri.id, "last_modified": T}
    record = {
        CREATE: {"new": after},
        UPDATE: {"new": after, "old": before},
        DELETE: {"old": {**names, "deleted": True}},
    }
    action = ACTIONS.get((old, new))
    assert found == (
        action and Operation(action, uri, T + 4, ALICE, "r2", (Impact(uri, T + 5, record[action]),))
    )


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_what_is_silent_is_never_told(old: str, new: str) -> None:
    silent = Cause(ALICE, "r1", by_list=False, timestamp=T, silent=True)
    images = (
        image(old, RECORD_URI, is_new=False),
        image(new, RECORD_URI, is_new=True, cause=silent),
    )

    assert operation_in(lambda_record(*images)) is None


@pytest.mark.parametrize(("old", "new"), ACTIONS)
def test_what_was_silent_before_does_not_matter(old: str, new: str) -> None:
    silent = Cause(None, "r0", by_list=True, timestamp=1, silent=True)
    images = (
        image(old, RECORD_URI, is_new=False, cause=silent),
        image(new, RECORD_URI, is_new=True, cause=LATER),
    )

    found = operation_in(lambda_record(*images))

    assert found is not None
    assert (found.action, found.request_id) == (ACTIONS[old, new], "r2")


@pytest.mark.parametrize("uri", URIS, ids=[uri.kind.name for uri in URIS])
@pytest.mark.parametrize(("old", "new"), ACTIONS)
@pytest.mark.parametrize("user_id", [None, ALICE])
def test_the_address_is_that_of_the_list_where_the_request_named_it(
    uri: ObjectUri, old: str, new: str, user_id: str | None
) -> None:
    cause = Cause(user_id, "r3", by_list=True, timestamp=T + 4)
    images = image(old, uri, is_new=False), image(new, uri, is_new=True, cause=cause)

    found = operation_in(lambda_record(*images))

    assert found is not None
    assert (found.address, found.user_id, found.timestamp) == (uri.list, user_id, T + 4)
    assert [impact.uri for impact in found.impacts] == [uri]


@pytest.mark.parametrize("uri", [BLOG, POSTS], ids=["bucket", "collection"])
def test_a_parent_deleted_and_made_again_at_once_is_an_update(uri: ObjectUri) -> None:
    old, new = image("live", uri, is_new=False), image("live", uri, is_new=True)
    assert new is not None
    new["incarnation"] = {"S": ELSEWHERE}

    found = operation_in(lambda_record(old, new))

    assert found is not None
    assert found.action == UPDATE
    assert change_in(lambda_record(old, new)).leftovers  # of what was in it


TOLD: Final[dict[str, tuple[str, ObjectUri] | None]] = {
    "created_record": (CREATE, RECORD_URI),
    "patched_record": (UPDATE, RECORD_URI),
    "shrunk_group": (UPDATE, WRITERS),
    "deleted_collection": (DELETE, POSTS),
    "deleted_bucket": (DELETE, BLOG),
    "bucket_made_again": (CREATE, BLOG),
    "purged_collection": None,
    "purged_large_record": None,
    "expired_bucket": None,
    "moved_clock": None,
    "heartbeat": None,
}
"""By the names of the files."""


def test_each_record_in_a_file_is_told_or_not() -> None:
    assert TOLD.keys() == LEFT_BEHIND.keys()


@pytest.mark.parametrize("name", TOLD)
def test_a_record_tells_what_was_done(name: str) -> None:
    change = change_in(stream_record(name))

    found = change.operation
    assert (found and (found.action, found.address)) == TOLD[name]
    assert change.leftovers == LEFT_BEHIND[name]


def test_a_record_is_told_as_the_api_shows_it() -> None:
    found = operation_in(stream_record("patched_record"))

    names = {"id": RECORD_URI.id, "last_modified": T + 2}
    assert found == Operation(
        UPDATE,
        RECORD_URI,
        T - 998,
        ALICE,
        REQUEST,
        (
            Impact(
                RECORD_URI,
                T + 2,
                {
                    "new": {"title": "Thé", **names},
                    "old": {"title": "Café", **names, "last_modified": T + 1},
                },
            ),
        ),
    )


def test_compressed_bodies_are_told_as_json() -> None:
    record = stream_record("shrunk_group")

    found = operation_in(record)

    assert found is not None
    [impact] = found.impacts
    for side, name in [("new", "NewImage"), ("old", "OldImage")]:
        body = base64.b64decode(record["dynamodb"][name]["body"]["B"])
        members = json.loads(decode_body(body))["members"]
        assert members == impact.record[side]["members"]
        assert len(members) > 20


def test_a_large_body_is_told_whole() -> None:
    data = {"text": random_text(60_000)}
    raw = to_raw(item(RECORD_URI, T, data=data), CAUSE)
    assert len(raw["large_body"]["B"]) > INDEXED_BODY_BYTES

    found = operation_in(lambda_record(None, raw))

    assert found is not None
    assert found.impacts[0].record["new"]["text"] == data["text"]


@pytest.mark.parametrize("name", [name for name, told in TOLD.items() if told])
def test_permissions_are_never_told(name: str) -> None:
    record = stream_record(name)
    for side in record["dynamodb"].keys() & {"OldImage", "NewImage"}:
        named = {"M": {"read": {"L": [{"S": "somebody"}]}}}
        record["dynamodb"][side] |= (
            {"permissions": named} if "live" in record["dynamodb"][side] else {}
        )

    found = operation_in(record)

    assert found is not None
    told = to_text(Event.of([found]).to_json())
    assert "somebody" not in told
    assert "permissions" not in told
    for internal in ("cause", "within", "incarnation", "version"):
        assert f'"{internal}"' not in told


def broken(how: str) -> dict[str, Any]:
    """A record that can't be read."""
    record = stream_record("created_record")
    new = record["dynamodb"]["NewImage"]
    if how == "no cause":
        del new["cause"]
    elif how == "half a cause":
        del new["cause"]["M"]["silent"]
    elif how == "no JSON":
        new["body"] = {"S": '{"title":'}
    elif how == "not compressed":
        new["body"] = {"B": "bm90IGNvbXByZXNzZWQ="}
    elif how == "no base64":
        new["body"] = {"B": "A"}
    elif how == "no object's key":
        new["parent"] = {"S": "/elsewhere#record"}
    elif how == "a number that is none":
        new["version"] = {"N": "many"}
    elif how == "an object that was a clock's":
        record["dynamodb"]["OldImage"] = new
        record["dynamodb"]["NewImage"] = stream_record("moved_clock")["dynamodb"]["NewImage"]
    return record


BROKEN: Final = [
    "no cause",
    "half a cause",
    "no JSON",
    "not compressed",
    "no base64",
    "no object's key",
    "a number that is none",
    "an object that was a clock's",
]


@pytest.mark.parametrize("how", BROKEN)
def test_a_record_that_cannot_be_told_is_refused(how: str) -> None:
    with pytest.raises((ValueError, KeyError, zlib.error)):
        change_in(broken(how))


# Queues


class Sent(NamedTuple):
    """A message that SQS has taken."""

    queue: str
    value: Any
    group: str | None = None
    id: str | None = None


class KilledError(BaseException):
    """The function was killed."""


Trouble = Callable[["FakeSqs", str, list[dict[str, Any]]], Any]


class FakeSqs:
    """SQS that remembers what it took, and that something can happen to at the n-th call."""

    def __init__(self, at_call: int = 0, trouble: Trouble | None = None) -> None:
        self.sent: list[Sent] = []
        self.calls = 0
        self._at_call = at_call
        self._trouble = trouble

    def get_queue_url(self, *, QueueName: str) -> dict[str, str]:  # noqa: N803
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        self.calls += 1
        if self._trouble and self.calls == self._at_call:
            return self._trouble(self, QueueUrl, Entries)
        return self.take(QueueUrl, Entries)

    def take(self, url: str, entries: list[dict[str, Any]]) -> Any:
        assert 1 <= len(entries) <= 10
        assert sum(len(entry["MessageBody"]) for entry in entries) <= 1024 * 1024
        queue = url.removeprefix(f"https://sqs/kinto-{STAGE}-")
        self.sent += [
            Sent(
                queue,
                json.loads(entry["MessageBody"]),
                entry.get("MessageGroupId"),
                entry.get("MessageDeduplicationId"),
            )
            for entry in entries
        ]
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}

    def of(self, queue: Queue) -> list[Any]:
        """The messages of a queue."""
        return [sent.value for sent in self.sent if sent.queue == queue]

    @property
    def deliveries(self) -> list[Sent]:
        """In order; what is sent again within five minutes is not taken twice."""
        found: dict[str | None, Sent] = {}
        for sent in self.sent:
            if sent.queue == Queue.DELIVERIES:
                found.setdefault(sent.id, sent)
        return [*found.values()]


def changes_of(sqs: FakeSqs, listeners: Mapping[str, Selection]) -> Changes:
    queues = Queues(STAGE)
    queues._client = sqs
    return Changes(queues, listeners)


ALL: Final = {"audit": Selection()}
NOBODY: Final[dict[str, Selection]] = {}


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def log() -> Iterator[Lines]:
    """What the service logs."""
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


# Leftovers


@pytest.mark.parametrize("listeners", [NOBODY, ALL], ids=["nobody", "a listener"])
def test_what_a_batch_of_changes_leaves_behind_is_queued(
    sqs: FakeSqs, listeners: dict[str, Selection]
) -> None:
    names = ["deleted_bucket", "created_record", "patched_record", "moved_clock", "heartbeat"]

    changes_of(sqs, listeners).handle(map(stream_record, names))

    rows = [[ALICE, OF_BUCKET, T + 5], ["bob", OF_RECORD, T + 2]]
    assert sqs.of(Queue.PURGES) == [DEAD_BLOG, {"rows": rows}]
    assert sqs.of(Queue.DEAD_LETTERS) == []


def test_changes_that_leave_nothing_behind_queue_nothing(sqs: FakeSqs) -> None:
    changes = changes_of(sqs, NOBODY)

    changes.handle(stream_record(name) for name, left in LEFT_BEHIND.items() if not left)
    changes.handle([])

    assert sqs.calls == 0


# Records that can't be read


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("listeners", [NOBODY, ALL], ids=["nobody", "a listener"])
def test_a_bad_record_goes_whole_to_the_dead_letters_and_the_others_go_on(
    sqs: FakeSqs, place: int, listeners: dict[str, Selection]
) -> None:
    records: list[Any] = [stream_record("deleted_bucket"), stream_record("deleted_collection")]
    records.insert(place, BAD)

    changes_of(sqs, listeners).handle(records)

    assert sqs.of(Queue.DEAD_LETTERS) == [BAD]
    assert sqs.of(Queue.PURGES)[:2] == [DEAD_BLOG, DEAD_POSTS]
    uris = [sent.value["event"]["uri"] for sent in sqs.deliveries]
    assert uris == ([str(BLOG), str(POSTS)] if listeners else [])


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_that_cannot_be_told_holds_up_no_other(sqs: FakeSqs, how: str, place: int) -> None:
    records = [stream_record("patched_record"), stream_record("shrunk_group")]
    records.insert(place, broken(how))

    changes_of(sqs, ALL).handle(records)

    assert sqs.of(Queue.DEAD_LETTERS) == [broken(how)]
    uris = [sent.value["event"]["uri"] for sent in sqs.deliveries]
    assert uris == [str(RECORD_URI), str(WRITERS)]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"eventID": "1"},
        {"eventID": "1", "dynamodb": {"OldImage": {"dead": {"S": "a"}}}},
        stream_record("deleted_bucket") | {"dynamodb": "none"},
    ],
    ids=["empty", "no change", "no whole image", "another form"],
)
@pytest.mark.parametrize("listeners", [NOBODY, ALL], ids=["nobody", "a listener"])
def test_no_record_blocks_the_stream(
    sqs: FakeSqs, bad: dict[str, Any], listeners: dict[str, Selection]
) -> None:
    changes_of(sqs, listeners).handle([bad, stream_record("deleted_bucket")])

    assert sqs.of(Queue.DEAD_LETTERS) == [bad]
    assert DEAD_BLOG in sqs.of(Queue.PURGES)


def test_a_group_whose_body_cannot_be_read_goes_to_the_dead_letters(sqs: FakeSqs) -> None:
    bad = stream_record("shrunk_group")
    bad["dynamodb"]["OldImage"]["body"] = {"B": "bm90IGNvbXByZXNzZWQ="}

    changes_of(sqs, NOBODY).handle([bad])

    assert sqs.of(Queue.DEAD_LETTERS) == [bad]
    assert sqs.of(Queue.PURGES) == []


def test_a_bad_record_that_no_message_can_hold_is_named_in_the_dead_letters(sqs: FakeSqs) -> None:
    bad = stream_record("shrunk_group")
    bad["dynamodb"]["OldImage"]["body"] = {"S": "no JSON" * 150_000}

    changes_of(sqs, NOBODY).handle([bad, stream_record("deleted_bucket")])

    assert sqs.of(Queue.DEAD_LETTERS) == [
        {
            "eventID": bad["eventID"],
            "truncated": True,
            "dynamodb": {
                "Keys": {"parent": {"S": "/buckets/blog#group"}, "id": {"S": "writers"}},
                "SequenceNumber": bad["dynamodb"]["SequenceNumber"],
            },
        }
    ]
    assert DEAD_BLOG in sqs.of(Queue.PURGES)


def test_a_failed_record_is_logged_without_its_content(sqs: FakeSqs, log: Lines) -> None:
    bad = stream_record("shrunk_group")
    bad["dynamodb"]["OldImage"]["body"] = {"S": "the secret"}

    changes_of(sqs, NOBODY).handle([bad])

    [logged] = log.messages
    assert bad["eventID"] in logged
    assert "secret" not in logged


# Deliveries


def test_each_listener_gets_what_it_wants_to_hear_of_in_order(sqs: FakeSqs) -> None:
    listeners = {
        "all": Selection(),
        "deletions": Selection(actions=frozenset([DELETE])),
        "records": Selection(resources=frozenset(["record"])),
        "posts": Selection(uris=("/buckets/blog/collections/posts*",)),
        "none": Selection(uris=("/buckets/shop/*",)),
    }
    names = ["created_record", "shrunk_group", "patched_record", "deleted_collection"]

    changes_of(sqs, listeners).handle(map(stream_record, names))

    heard: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for sent in sqs.deliveries:
        event = sent.value["event"]
        heard[sent.value["listener"]].append((event["action"], event["uri"]))
    created, patched = (CREATE, str(RECORD_URI)), (UPDATE, str(RECORD_URI))
    shrunk, deleted = (UPDATE, str(WRITERS)), (DELETE, str(POSTS))
    assert heard == {
        "all": [created, shrunk, patched, deleted],
        "deletions": [deleted],
        "records": [created, patched],
        "posts": [created, patched, deleted],
    }


def test_a_delivery_is_of_an_event_as_the_first_attempt_has_it(sqs: FakeSqs) -> None:
    changes_of(sqs, ALL).handle([stream_record("patched_record")])

    [sent] = sqs.deliveries
    assert sent.value.keys() == {"listener", "event"}
    delivery = Delivery.from_message(sent.value)
    operation = operation_in(stream_record("patched_record"))
    assert operation is not None
    assert delivery == Delivery("audit", Event.of([operation]))


def put(
    uri: ObjectUri,
    version: int,
    *,
    request: str = "r1",
    data: JsonObject | None = None,
    by_list: bool = False,
    old: RawItem | None = None,
) -> dict[str, Any]:
    """The record of a creation, or of an update where there is an old image."""
    cause = Cause(ALICE, request, by_list=by_list, timestamp=version - 1)
    new = to_raw(item(uri, version, data=data), cause)
    return lambda_record(old, new, version)


def new_record(number: int, in_list: ListUri = RECORDS) -> ObjectUri:
    return in_list.object(f"{number:08x}-0000-4000-8000-000000000000")


def test_alike_changes_of_a_batch_are_one_event(sqs: FakeSqs) -> None:
    records = [put(new_record(number), number + 1) for number in range(100)]

    changes_of(sqs, ALL).handle(records)

    [sent] = sqs.deliveries
    told = [record["new"]["id"] for record in sent.value["event"]["impacted_records"]]
    assert told == [new_record(number).id for number in range(100)]


def groups_by(sqs: FakeSqs) -> dict[tuple[str, ListUri], set[str | None]]:
    """The groups that the messages of each listener and list were in."""
    found: dict[tuple[str, ListUri], set[str | None]] = defaultdict(set)
    for sent in sqs.deliveries:
        delivery = Delivery.from_message(sent.value)
        found[delivery.listener, delivery.event.in_list].add(sent.group)
    return found


def test_changes_in_a_list_are_in_one_group_for_each_listener(sqs: FakeSqs) -> None:
    listeners = {f"listener{number}": Selection() for number in range(3)}
    lists = [RECORDS, DRAFTS, GROUPS, BLOG.list, POSTS.list]
    changes = changes_of(sqs, listeners)

    for version in range(1, 40, 10):
        changes.handle(
            put(in_list.object(id), version + n, request=f"r{version}", by_list=by_list)
            for n, (in_list, id, by_list) in enumerate(
                (in_list, id, by_list)
                for in_list in lists
                for id, by_list in [(new_record(1).id, False), (new_record(2).id, True)]
            )
        )

    found = groups_by(sqs)
    assert found.keys() == {(name, in_list) for name in listeners for in_list in lists}
    assert all(len(groups) == 1 for groups in found.values())
    of_listener = {
        name: {group for (one, _), groups in found.items() if one == name for group in groups}
        for name in listeners
    }
    everything = [group for groups in of_listener.values() for group in groups]
    assert len(everything) == len(set(everything))  # no group is shared by listeners
    assert all(len(groups) > 1 for groups in of_listener.values())  # lists don't wait for others


def test_the_same_batch_has_the_same_ids_and_each_message_its_own(sqs: FakeSqs) -> None:
    listeners = {"one": Selection(), "other": Selection()}
    records = [stream_record(name) for name in TOLD]
    again = FakeSqs()

    changes_of(sqs, listeners).handle(records)
    changes_of(again, listeners).handle(deepcopy(records))

    ids = [sent.id for sent in sqs.deliveries]
    assert ids == [sent.id for sent in again.deliveries]
    assert len({*ids}) == 2 * sum(told is not None for told in TOLD.values())
    everything = sum(sent.queue == Queue.DELIVERIES for sent in sqs.sent)
    assert everything == len(ids)


def test_ids_and_groups_are_such_that_sqs_takes_them(sqs: FakeSqs) -> None:
    changes_of(sqs, {"a" * 200: Selection()}).handle([stream_record("created_record")])

    [sent] = sqs.deliveries
    for name in (sent.group, sent.id):
        assert name is not None
        assert 1 <= len(name) <= 128
        assert name.isalnum()


def test_without_listeners_nothing_is_delivered_and_no_body_is_read(sqs: FakeSqs) -> None:
    """A body that can't be read shows whether somebody tries."""
    records = [stream_record("patched_record"), stream_record("deleted_collection")]
    for record in records:
        record["dynamodb"]["OldImage"]["body"] = {"B": "bm90IGNvbXByZXNzZWQ="}
    records[0]["dynamodb"]["NewImage"]["body"] = {"S": "no JSON"}

    changes_of(sqs, NOBODY).handle(records)

    assert sqs.of(Queue.DELIVERIES) == []
    assert sqs.of(Queue.DEAD_LETTERS) == []
    assert DEAD_POSTS in sqs.of(Queue.PURGES)


# Large events


def test_an_event_above_the_limit_is_truncated(sqs: FakeSqs) -> None:
    half = {"text": "x" * (MAX_EVENT_BYTES // 2)}
    records = [put(new_record(number), number + 1, data=half) for number in range(2)]

    changes_of(sqs, ALL).handle(records)

    [sent] = sqs.deliveries
    event = sent.value["event"]
    assert event["truncated"] is True
    assert event["impacted_records"] == [
        {"id": new_record(number).id, "last_modified": number + 1} for number in range(2)
    ]


def test_what_no_message_can_hold_is_not_even_parsed(sqs: FakeSqs) -> None:
    """Nothing else shows that a body is no JSON."""
    raw = to_raw(item(RECORD_URI, T), CAUSE)
    raw["body"] = {"B": zlib.compress(b"no JSON" * MAX_EVENT_BYTES)}

    changes_of(sqs, ALL).handle([lambda_record(None, raw)])

    [sent] = sqs.deliveries
    assert sqs.of(Queue.DEAD_LETTERS) == []
    assert sent.value["event"]["truncated"] is True
    named = {"id": RECORD_URI.id, "last_modified": T}
    assert sent.value["event"]["impacted_records"] == [named]


@pytest.mark.parametrize("text", ["x", "é", "😀", '"'])
@pytest.mark.parametrize("size", [0.1, 0.9, 1.1, 2.9])
def test_any_event_fits_into_a_message(sqs: FakeSqs, text: str, size: float) -> None:
    length = round(
        size * MAX_EVENT_BYTES / len(json.dumps(text, ensure_ascii=False).encode()[1:-1])
    )
    record = put(RECORD_URI, 1, data={"text": text * length})

    changes_of(sqs, ALL).handle([record])

    [sent] = sqs.deliveries
    assert len(to_text(sent.value)) < MAX_BATCH_BYTES
    assert sqs.of(Queue.DEAD_LETTERS) == []
    if "truncated" not in sent.value["event"]:
        assert sent.value["event"]["impacted_records"][0]["new"]["text"] == text * length


def test_a_truncated_event_of_a_whole_batch_with_the_longest_ids_fits(sqs: FakeSqs) -> None:
    groups = [GROUPS.object(f"{number:0400}") for number in range(100)]
    records = [
        put(uri, number + 1, data={"members": ["x" * 20_000]}) for number, uri in enumerate(groups)
    ]

    changes_of(sqs, ALL).handle(records)

    [sent] = sqs.deliveries
    assert sent.value["event"]["truncated"] is True
    told = [record["id"] for record in sent.value["event"]["impacted_records"]]
    assert told == [uri.id for uri in groups]


def test_a_deletion_tells_the_tombstone_however_large_the_object_was(sqs: FakeSqs) -> None:
    old = to_raw(item(RECORD_URI, T, data={"text": "x" * (MAX_EVENT_BYTES + 1)}), CAUSE)
    new = to_raw(item(RECORD_URI, T + 5, is_live=False), LATER)

    changes_of(sqs, ALL).handle([lambda_record(old, new)])

    [sent] = sqs.deliveries
    assert "truncated" not in sent.value["event"]
    assert sent.value["event"]["impacted_records"] == [
        {"old": {"id": RECORD_URI.id, "last_modified": T + 5, "deleted": True}}
    ]


def test_a_creation_over_a_large_object_of_another_incarnation_is_told_whole(sqs: FakeSqs) -> None:
    large = {"text": "x" * (MAX_EVENT_BYTES + 1)}
    old = to_raw(item(RECORD_URI, T, within=ELSEWHERE, data=large), CAUSE)

    changes_of(sqs, ALL).handle([put(RECORD_URI, T + 5, data={"a": 1}, old=old)])

    [sent] = sqs.deliveries
    assert "truncated" not in sent.value["event"]


def test_large_changes_are_told_before_all_of_them_are_read() -> None:
    """Parsed, all of a batch would take more memory than there is."""
    read: list[int] = []
    read_before: list[int] = []
    large = {"text": "x" * (MAX_EVENT_BYTES // 10 * 9)}
    whole = [put(new_record(number), number + 1, data=large) for number in range(20)]

    class Watched(FakeSqs):
        def take(self, url: str, entries: list[dict[str, Any]]) -> Any:
            read_before.append(len(read))
            return super().take(url, entries)

    def one_by_one() -> Iterator[Any]:
        for number, record in enumerate(whole):
            read.append(number)
            yield record

    sqs = Watched()
    changes_of(sqs, ALL).handle(one_by_one())

    at_once = MAX_PART_BYTES // len(large["text"])
    waiting = [number - told for told, number in zip([0, *read_before], read_before, strict=False)]
    assert max(waiting) <= at_once + 1
    assert read_before[-1] == len(whole)
    assert [one.version for one in heard(sqs)] == [number + 1 for number in range(20)]


# At least once, in order


class Heard(NamedTuple):
    """That a listener was told of a change."""

    listener: str
    uri: str
    version: int
    action: str


def heard(sqs: FakeSqs) -> list[Heard]:
    """What listeners are told, in order."""
    found = []
    for sent in sqs.deliveries:
        event = Delivery.from_message(sent.value).event
        for record in event.impacted_records:
            one = record.get("new") or record.get("old") or record
            uri = str(event.in_list.object(one["id"]))
            action = event.payload["action"]
            found.append(Heard(sent.value["listener"], uri, one["last_modified"], action))
    return found


def by_object(all_heard: Iterable[Heard]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in all_heard:
        found[one.listener, one.uri].append(one.version)
    return dict(found)


class Write(NamedTuple):
    """A step of a history.

    Attributes:
        uri: of what is written.
        is_deletion: of what is there; else it is put.
        request: which asked for it.
        by_list: whether it named the list.
        is_silent: whether nobody is told.
        is_large: whether it is more than an event can hold.
    """

    uri: ObjectUri
    is_deletion: bool = False
    request: str = "r1"
    by_list: bool = False
    is_silent: bool = False
    is_large: bool = False


class History(NamedTuple):
    """Records of a stream, and what they tell.

    Attributes:
        records: in order.
        told: address, version, action.
    """

    records: list[dict[str, Any]]
    told: list[tuple[ObjectUri, int, str]]


LARGE: Final = {"text": "x" * MAX_EVENT_BYTES}


def history_of(writes: Iterable[Write]) -> History:
    records: list[dict[str, Any]] = []
    told: list[tuple[ObjectUri, int, str]] = []
    raws: dict[ObjectUri, RawItem] = {}
    for version, write in enumerate(writes, T):
        old = raws.get(write.uri)
        was_live = old is not None and "live" in old
        if write.is_deletion and not was_live:
            continue
        cause = Cause(ALICE, write.request, write.by_list, version - 1, write.is_silent)
        data = LARGE if write.is_large else {"n": version}
        new = to_raw(item(write.uri, version, is_live=not write.is_deletion, data=data), cause)
        records.append(lambda_record(old, new, version - T))
        raws[write.uri] = new
        action = DELETE if write.is_deletion else UPDATE if was_live else CREATE
        told += [] if write.is_silent else [(write.uri, version, action)]
    return History(records, told)


OBJECTS: Final = [new_record(1), new_record(2), new_record(1, DRAFTS), WRITERS]
WRITES = st.builds(
    Write,
    uri=st.sampled_from(OBJECTS),
    is_deletion=st.booleans(),
    request=st.sampled_from(["r1", "r2"]),
    by_list=st.booleans(),
    is_silent=st.sampled_from([False, False, False, True]),
)
LISTENERS: Final = {
    "all": Selection(),
    "deletions": Selection(actions=frozenset([DELETE])),
    "posts": Selection(uris=("/buckets/blog/collections/posts/*", f"*/{WRITERS.id}")),
    "nothing": Selection(uris=("/buckets/shop",)),
}
WANTED: Final[dict[str, Callable[[ObjectUri, str], bool]]] = {
    "all": lambda uri, action: True,
    "deletions": lambda uri, action: action == DELETE,
    "posts": lambda uri, action: uri.list in (RECORDS, GROUPS),
    "nothing": lambda uri, action: False,
}


def wanted_of(history: History) -> set[Heard]:
    return {
        Heard(name, str(uri), version, action)
        for name, wants in WANTED.items()
        for uri, version, action in history.told
        if wants(uri, action)
    }


def in_parts(records: Sequence[Any], cuts: Iterable[int]) -> Iterator[Sequence[Any]]:
    """The records in batches, each as Lambda may cut them."""
    places = sorted({0, *cuts, len(records)})
    for first, last in pairwise(places):
        yield records[first:last]


HISTORIES = st.lists(WRITES, max_size=14).map(history_of)


@settings(max_examples=60)
@given(HISTORIES, st.sets(st.integers(0, 14)))
def test_however_batches_are_cut_all_is_told_once_and_each_objects_changes_in_order(
    history: History, cuts: set[int]
) -> None:
    sqs = FakeSqs()
    changes = changes_of(sqs, LISTENERS)

    for part in in_parts(history.records, {cut for cut in cuts if cut < len(history.records)}):
        changes.handle(part)

    found = heard(sqs)
    assert {*found} == wanted_of(history)
    assert len({*found}) == len(found)
    assert all(versions == sorted(versions) for versions in by_object(found).values())


@settings(max_examples=30)
@given(HISTORIES, st.data())
def test_no_bad_record_keeps_anything_else_from_being_told(
    history: History, data: st.DataObject
) -> None:
    records: list[Any] = [*history.records]
    for number in range(data.draw(st.integers(1, 3))):
        records.insert(data.draw(st.integers(0, len(records))), {**BAD, "eventID": str(number)})
    sqs = FakeSqs()

    changes_of(sqs, LISTENERS).handle(records)

    assert {*heard(sqs)} == wanted_of(history)
    assert sqs.of(Queue.DEAD_LETTERS) == [
        record for record in records if len(record["eventID"]) == 1
    ]


@settings(max_examples=30)
@given(HISTORIES, st.sets(st.integers(0, 14)), st.sets(st.integers(0, 14)))
def test_cut_otherwise_the_same_changes_are_told(
    history: History, cuts: set[int], others: set[int]
) -> None:
    """A batch that is retried may come in parts: what was told again is known by its version."""
    once, again = FakeSqs(), FakeSqs()

    for sqs, places in ((once, cuts), (again, others)):
        for part in in_parts(history.records, {at for at in places if at < len(history.records)}):
            changes_of(sqs, LISTENERS).handle(part)

    assert {*heard(once)} == {*heard(again)}
    assert by_object(heard(once)) == by_object(heard(again))


# Failures

BUSY: Final = history_of(
    [
        *(Write(uri, request="r1") for uri in OBJECTS),
        *(Write(uri, request="r2", is_large=uri is OBJECTS[0]) for uri in OBJECTS),
        *(Write(uri, is_deletion=True, request="r3", by_list=True) for uri in OBJECTS),
        *(Write(uri, request=f"r{n + 4}") for n, uri in enumerate(OBJECTS * 3)),
        Write(OBJECTS[0], is_silent=True),
    ]
)
"""A batch with much to tell, among what leaves something behind and what can't be read."""

BATCH: Final[list[Any]] = [
    *BUSY.records[:9],
    BAD,
    stream_record("purged_collection"),
    *BUSY.records[9:],
    stream_record("purged_large_record"),
    {**BAD, "eventID": "worse"},
]


def unreached(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    raise ConnectionError("SQS is out of reach")


def lost_answer(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    sqs.take(url, entries)
    raise ConnectionError("no answer came")


def killed_before(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    raise KilledError


def killed_after(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    sqs.take(url, entries)
    raise KilledError


def refused_last(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    """All but the last message of a call are taken."""
    if entries[:-1]:
        sqs.take(url, entries[:-1])
    return {"Failed": [{"Id": entries[-1]["Id"], "SenderFault": False, "Code": "InternalError"}]}


def refused_first(sqs: FakeSqs, url: str, entries: list[dict[str, Any]]) -> Any:
    """All but the first message of a call are taken."""
    if entries[1:]:
        sqs.take(url, entries[1:])
    return {"Failed": [{"Id": entries[0]["Id"], "SenderFault": False, "Code": "InternalError"}]}


def calls_for(batch: Sequence[Any]) -> int:
    sqs = FakeSqs()
    changes_of(sqs, LISTENERS).handle(batch)
    return sqs.calls


def test_what_nobody_thought_of_goes_to_the_dead_letters_and_blocks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Any:
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(changes_module, "to_events", fail)
    sqs = FakeSqs()

    changes_of(sqs, LISTENERS).handle(BATCH)

    assert Counter(map(to_text, sqs.of(Queue.DEAD_LETTERS))) == Counter(map(to_text, BATCH))
    assert sqs.of(Queue.DELIVERIES) == []
    assert left_of(sqs) == set()  # it is in the dead letters, too


def test_where_one_change_can_not_be_told_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    poison = change_in(BATCH[0]).operation
    assert poison is not None
    merge = to_events

    def fail(operations: Iterable[Operation]) -> list[Event]:
        operations = [*operations]
        if poison in operations:
            raise LookupError("a mistake of ours")
        return merge(operations)

    monkeypatch.setattr(changes_module, "to_events", fail)
    sqs = FakeSqs()

    changes_of(sqs, {"all": Selection()}).handle(BATCH)

    letters = sqs.of(Queue.DEAD_LETTERS)
    assert to_text(BATCH[0]) in map(to_text, letters)
    undisturbed = FakeSqs()
    changes_of(undisturbed, {"all": Selection()}).handle(BATCH[1:])
    assert len(letters) == len(undisturbed.of(Queue.DEAD_LETTERS)) + 1
    assert told_by(sqs) == told_by(undisturbed)


def told_by(sqs: FakeSqs) -> set[tuple[str, int]]:
    """All changes that are told, however they are grouped."""
    records = [
        record.get("new") or record.get("old") or record
        for message in sqs.of(Queue.DELIVERIES)
        for record in message["event"]["impacted_records"]
    ]
    return {(record["id"], record["last_modified"]) for record in records}


def left_of(sqs: FakeSqs) -> set[str]:
    """What is to be purged."""
    return {to_text(message) for message in sqs.of(Queue.PURGES)}


TROUBLES: Final = [
    unreached,
    lost_answer,
    killed_before,
    killed_after,
    refused_last,
    refused_first,
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_batch_that_failed_at_any_call_is_told_whole_when_it_comes_again(
    trouble: Trouble,
) -> None:
    undisturbed = FakeSqs()
    changes_of(undisturbed, LISTENERS).handle(BATCH)
    assert undisturbed.calls > 8

    for number in range(1, undisturbed.calls + 1):
        sqs = FakeSqs(number, trouble)
        changes = changes_of(sqs, LISTENERS)
        with pytest.raises((ConnectionError, KilledError, QueueError)):
            changes.handle(BATCH)
        changes.handle(BATCH)

        assert {*heard(sqs)} == wanted_of(BUSY)
        assert len(heard(sqs)) == len(wanted_of(BUSY))  # within five minutes
        assert left_of(sqs) == left_of(undisturbed)
        letters = [record["eventID"] for record in sqs.of(Queue.DEAD_LETTERS)]
        assert {*letters} == {"bad", "worse"}


@pytest.mark.parametrize(
    "trouble", TROUBLES[:5], ids=[trouble.__name__ for trouble in TROUBLES[:5]]
)
def test_a_batch_that_failed_at_any_call_is_told_in_order(trouble: Trouble) -> None:
    for number in range(1, calls_for(BATCH) + 1):
        sqs = FakeSqs(number, trouble)
        changes = changes_of(sqs, LISTENERS)
        with pytest.raises((ConnectionError, KilledError, QueueError)):
            changes.handle(BATCH)
        changes.handle(BATCH)

        found = by_object(heard(sqs)).values()
        assert all(versions == sorted(versions) for versions in found)


@settings(max_examples=40)
@given(st.integers(1, 40), st.sampled_from(TROUBLES), st.sets(st.integers(1, len(BATCH) - 1)))
def test_a_batch_that_failed_and_comes_again_in_parts_is_told_whole(
    number: int, trouble: Trouble, cuts: set[int]
) -> None:
    sqs = FakeSqs(number, trouble)
    changes = changes_of(sqs, LISTENERS)
    try:
        changes.handle(BATCH)
    except (ConnectionError, KilledError, QueueError):
        for part in in_parts(BATCH, cuts):
            changes.handle(part)

    assert {*heard(sqs)} == wanted_of(BUSY)
