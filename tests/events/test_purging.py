"""Leftovers as messages, and how `purge` removes them: `chalicelib/events/purging.py`."""

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.events import purging
from chalicelib.events.changes import Changes
from chalicelib.events.purging import MAX_ROWS_BYTES, Purge, from_message, to_messages
from chalicelib.events.queues import MAX_BATCH_BYTES, MAX_DELAY_S, Queue, QueueError, to_text
from chalicelib.protocol.kinds import BUCKET, COLLECTION
from chalicelib.protocol.uris import ListUri
from chalicelib.storage import purge
from chalicelib.storage.access import Row
from chalicelib.storage.deadlines import ATTEMPT_S
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.keys import MAX_PRINCIPAL_BYTES
from chalicelib.storage.purge import DeadParent, Leftover, NeedlessRows
from tests.doubles import Patience, heard_by
from tests.events.test_stream import (
    BLOG,
    BUCKET_INCARNATION,
    OF_BUCKET,
    OF_RECORD,
    POSTS,
    POSTS_INCARNATION,
    T,
    stream_record,
)
from tests.storage.stand_ins import Requests, Wire, record
from tests.storage.test_rules import put_all
from tests.test_observability import Lines


class Sent(NamedTuple):
    """A message that was queued."""

    queue: Queue
    message: Any
    delay_s: int


class RecordingQueues:
    """Queues that keep what they were sent, as JSON has it; or that are out of reach."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.failing: set[Queue] = set()

    def send(self, queue: Queue, messages: Iterable[Any], *, delay_s: int = 0) -> None:
        for message in messages:
            if queue in self.failing:
                raise QueueError(queue)
            self.sent.append(Sent(queue, json.loads(to_text(message)), delay_s))

    def purges(self) -> list[Any]:
        """The messages of what is to be purged."""
        return [sent.message for sent in self.sent if sent.queue is Queue.PURGES]


@pytest.fixture
def queues() -> RecordingQueues:
    return RecordingQueues()


@pytest.fixture
def log() -> Iterator[Lines]:
    """What the service logs."""
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


@pytest.fixture
def changes(queues: RecordingQueues) -> Changes:
    """What finds leftovers, and tells nobody of changes."""
    return Changes(queues, {})  # type: ignore[arg-type]  # all that it calls


DEAD_BLOG = {"dead": "/buckets/blog", "incarnation": BUCKET_INCARNATION, "again": False}
DEAD_POSTS = {
    "dead": "/buckets/blog/collections/posts",
    "incarnation": POSTS_INCARNATION,
    "again": False,
}


# Messages


def test_each_dead_parent_is_a_message_and_rows_share_one() -> None:
    leftovers: list[Leftover] = [
        NeedlessRows((Row("alice", "a", 1), Row("bob", "b", 2))),
        DeadParent(BLOG, BUCKET_INCARNATION),
        NeedlessRows((Row("carol", "c", 3),)),
        DeadParent(POSTS, POSTS_INCARNATION),
    ]

    *parents, rows = to_messages(leftovers)

    assert parents == [DEAD_BLOG, DEAD_POSTS]
    assert [tuple(row) for row in rows["rows"]] == [
        ("alice", "a", 1),
        ("bob", "b", 2),
        ("carol", "c", 3),
    ]


def test_the_second_sweep_says_so() -> None:
    [message] = to_messages([DeadParent(BLOG, "1").again])

    assert message == {"dead": "/buckets/blog", "incarnation": "1", "again": True}


def test_no_leftovers_are_no_messages() -> None:
    assert [*to_messages([])] == [*to_messages([NeedlessRows(())])] == []


@pytest.mark.parametrize("character", ["a", "é", "😀", "\x00", '"'])
def test_rows_are_as_many_messages_as_they_need(character: str) -> None:
    principal = character * (MAX_PRINCIPAL_BYTES // len(character.encode()))
    rows = tuple(Row(principal, f"object{number}", number) for number in range(500))

    messages = [*to_messages([NeedlessRows(rows)])]

    assert [row for message in messages for row in message["rows"]] == [*rows]
    sizes = [len(to_text(message)) for message in messages]
    assert max(sizes) < MAX_BATCH_BYTES
    assert min(sizes[:-1]) >= MAX_ROWS_BYTES


NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,30}", fullmatch=True)
PARENTS = st.one_of(
    st.builds(ListUri(BUCKET, ()).object, NAMES),
    st.builds(lambda bucket, id: ListUri(COLLECTION, (bucket,)).object(id), NAMES, NAMES),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.builds(Row, TEXTS, TEXTS, st.integers(0, 10**16))
LEFTOVERS = st.one_of(
    st.builds(DeadParent, PARENTS, TEXTS, st.booleans()),
    st.builds(NeedlessRows, st.lists(ROWS, max_size=5).map(tuple)),
)


@given(st.lists(LEFTOVERS, max_size=5))
def test_leftovers_come_back_from_their_messages(leftovers: list[Leftover]) -> None:
    messages = [json.loads(to_text(message)) for message in to_messages(leftovers)]
    found = [from_message(message) for message in messages]

    assert parents_and_rows(found) == parents_and_rows(leftovers)


def parents_and_rows(leftovers: Iterable[Leftover]) -> tuple[list[DeadParent], list[Row]]:
    given = [*leftovers]
    parents = [each for each in given if isinstance(each, DeadParent)]
    return parents, [row for each in given if isinstance(each, NeedlessRows) for row in each.rows]


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        None,
        7,
        "text",
        {"dead": "/buckets/blog"},
        {"dead": "/buckets/blog", "incarnation": "1"},
        {"dead": "/buckets/", "incarnation": "1", "again": False},
        {"dead": "elsewhere", "incarnation": "1", "again": False},
        {"rows": [["alice", "a"]]},
        {"rows": 7},
    ],
    ids=json.dumps,
)
def test_a_message_that_names_nothing_is_refused(message: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_message(message)


# `purge`


@pytest.fixture
def purger(wire: Wire, queues: RecordingQueues) -> Purge:
    return Purge(wire.dynamo, queues)  # type: ignore[arg-type]  # all that it calls


def dead_posts(wire: Wire, requests: Requests, number: int) -> dict[str, Any]:
    """The message of a collection that is deleted, with so many records."""
    requests.make_posts()
    put_all(requests, *map(record, range(number)))
    posts = wire.stored(POSTS)
    assert posts is not None
    requests.delete(POSTS)
    return {**DEAD_POSTS, "incarnation": posts.incarnation}


def records_in(wire: Wire) -> int:
    return sum(key.parent.endswith("#record") and key.id != ".clock" for key in wire.items())


def put_row(wire: Wire, row: Row) -> None:
    raw = {"principal": {"S": row.principal}, "object": {"S": row.object}}
    raw["version"] = {"N": str(row.version)}
    wire.client.put_item(TableName=wire.dynamo.tables.access, Item=raw)


def test_rows_of_a_message_are_removed_unless_they_are_newer(
    wire: Wire, purger: Purge, queues: RecordingQueues
) -> None:
    put_row(wire, Row("alice", "a", 1))
    put_row(wire, Row("bob", "b", 3))

    purger.handle('{"rows":[["alice","a",1],["bob","b",2]]}', Patience().deadline())

    assert wire.rows() == {("bob", "b"): 3}
    assert queues.sent == []


def test_a_row_that_two_changes_of_a_batch_made_needless_is_removed(
    wire: Wire, requests: Requests, purger: Purge, changes: Changes, queues: RecordingQueues
) -> None:
    twice = [stream_record("patched_record"), stream_record("patched_record")]
    for name in ("OldImage", "NewImage"):
        twice[1]["dynamodb"][name]["version"] = {"N": str(T + 9)}
    put_row(wire, Row("bob", OF_RECORD, T + 8))
    changes.handle(twice)

    for message in queues.purges():
        purger.handle(to_text(message), Patience().deadline())

    assert wire.rows() == {}


def test_rows_without_the_time_for_them_come_again(wire: Wire, purger: Purge) -> None:
    put_row(wire, Row("alice", "a", 1))

    with pytest.raises(UnavailableError):
        purger.handle('{"rows":[["alice","a",1]]}', Patience(1).deadline())

    assert wire.rows() == {("alice", "a"): 1}


def test_after_the_first_sweep_a_second_one_is_queued_for_15_minutes_later(
    wire: Wire, requests: Requests, purger: Purge, queues: RecordingQueues
) -> None:
    message = dead_posts(wire, requests, 3)

    purger.handle(to_text(message), Patience().deadline())

    assert records_in(wire) == 0
    assert queues.sent == [Sent(Queue.PURGES, {**message, "again": True}, 900)]
    assert MAX_DELAY_S == 900


def test_after_the_second_sweep_nothing_is_queued(
    wire: Wire, requests: Requests, purger: Purge, queues: RecordingQueues
) -> None:
    message = dead_posts(wire, requests, 3)

    purger.handle(to_text({**message, "again": True}), Patience().deadline())

    assert records_in(wire) == 0
    assert queues.sent == []


@pytest.mark.parametrize("again", [False, True])
def test_a_sweep_that_has_no_time_left_is_queued_again_as_it_was(
    wire: Wire,
    requests: Requests,
    purger: Purge,
    queues: RecordingQueues,
    monkeypatch: pytest.MonkeyPatch,
    again: bool,
) -> None:
    monkeypatch.setattr(purge, "ITEMS_AT_ONCE", 2)
    message = {**dead_posts(wire, requests, 5), "again": again}

    purger.handle(to_text(message), Patience(ATTEMPT_S + 0.03).deadline())

    assert records_in(wire) == 3
    [sent] = queues.sent
    assert sent == Sent(Queue.PURGES, message, purging._CONTINUE_AFTER_S)
    assert sent.delay_s > 0

    purger.handle(to_text(sent.message), Patience().deadline())
    assert records_in(wire) == 0


@pytest.mark.parametrize("remaining_s", [29.0, ATTEMPT_S + 0.001])
def test_where_the_next_sweep_cannot_be_queued_this_message_comes_again(
    wire: Wire, requests: Requests, purger: Purge, queues: RecordingQueues, remaining_s: float
) -> None:
    message = dead_posts(wire, requests, 3)
    queues.failing = {Queue.PURGES}

    with pytest.raises(QueueError):
        purger.handle(to_text(message), Patience(remaining_s).deadline())


def test_a_sweep_tells_the_log_what_it_has_removed(
    wire: Wire,
    requests: Requests,
    purger: Purge,
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge, "ITEMS_AT_ONCE", 2)
    message = to_text(dead_posts(wire, requests, 5))

    purger.handle(message, Patience(ATTEMPT_S + 0.03).deadline())
    purger.handle(message, Patience().deadline())

    address = "/buckets/blog/collections/posts"
    assert log.messages == [
        f"purge of {address} goes on later, 2 items so far: no time left",
        f"purge of {address} is done, 3 items",
    ]


@pytest.mark.parametrize("message", ["", "no JSON", "{}", "[]", '{"dead":"/","incarnation":""}'])
def test_a_bad_message_is_refused_so_that_sqs_moves_it_to_the_dead_letters(
    wire: Wire, purger: Purge, message: str
) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        purger.handle(message, Patience().deadline())

    assert wire.calls == 0


def test_from_the_deletion_of_a_bucket_to_its_last_item(
    wire: Wire, requests: Requests, purger: Purge, changes: Changes, queues: RecordingQueues
) -> None:
    """Only clocks stay, and what tells of the bucket."""
    requests.make_posts()
    put_all(requests, *map(record, range(3)))
    seen = wire.items()
    requests.delete(BLOG)
    waiting: list[Any] = []

    while True:
        old, seen = seen, wire.items()
        changes.handle(
            stream_record("heartbeat") | {"dynamodb": {"OldImage": raw, "NewImage": seen.get(key)}}
            for key, raw in old.items()
            if raw != seen.get(key)
        )
        waiting += queues.purges()
        queues.sent.clear()
        if not waiting:
            break
        purger.handle(to_text(waiting.pop(0)), Patience().deadline())

    assert {key.id for key in seen} == {".clock", "blog"}
    assert wire.rows().keys() == {("#buckets", OF_BUCKET)}
