"""The rules that keep the promises under concurrency: a test for each.

Each shows the shortest way in which a promise breaks without its rule. Where moto can't show the
race (commits that become visible item by item, lost answers, late arrivals), the wire does.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.protocol.messages import Response
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.keys import CLOCK_ID, access_object, object_key
from chalicelib.storage.staging import Origin
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.doubles import START_MS, Client, SetClock
from tests.storage.stand_ins import (
    BLOG,
    POSTS,
    RECORDS,
    TRANSACT,
    WRITERS,
    MissingError,
    Requests,
    Wire,
    asked,
    cancelled,
    ids,
    load,
    record,
)


def data_of(response: Response) -> Any:
    """The `data` of an answer."""
    assert response.status == 200, response
    return (response.body or {})["data"]


PATH = "/buckets/blog/collections/posts/records"
TIMEOUT = ReadTimeoutError(endpoint_url="https://dynamodb")


def once_before(wire: Wire, call: Callable[[int, str], bool], action: Callable[[], Any]) -> None:
    """Do something between two calls of a request: before the first of which this holds."""

    def hook(number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if call(number, operation):
            wire.before = None
            action()

    wire.calls = 0
    wire.before = hook


def before_commit(wire: Wire, action: Callable[[], Any]) -> None:
    """Do something after a request has read and before it commits."""
    once_before(wire, lambda _number, operation: operation == TRANSACT, action)


def put_all(requests: Requests, *uris: ObjectUri) -> list[StoredObject]:
    """Write several objects in one request."""

    def work(unit: UnitOfWork) -> list[StoredObject]:
        load(unit, *uris)
        return [unit.put(uri, {}, {}, origin=Origin()) for uri in uris]

    stored: list[StoredObject] = requests.run(work)
    return stored


def body_of(response: Response) -> Any:
    assert response.body is not None
    return response.body["data"]


def etag(response: Response) -> str:
    return response.headers["ETag"]


# Sync


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("since", [False, True])
def test_rule_clock_first_a_list_reads_the_clock_before_its_queries(
    wire: Wire, client: Client, requests: Requests, rival: Requests, call: int, since: bool
) -> None:
    requests.make_posts()
    requests.put(record(1))
    query = {"_since": "0"} if since else {}
    once_before(wire, lambda number, _operation: number == call, lambda: rival.put(record(2)))

    first = client.ask("GET", PATH, **query)
    wire.quiet()
    rival.put(record(2)) if wire.stored(record(2)) is None else None
    synced = client.ask("GET", PATH, _since=etag(first))

    known = {entry["id"] for entry in [*body_of(first), *body_of(synced)]}
    assert known == {record(1).id, record(2).id}


def test_rule_clock_condition_a_timestamp_is_above_that_of_every_commit_before(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    rival.now = requests.now
    others: list[StoredObject] = []
    before_commit(wire, lambda: others.append(rival.put(record(2))))

    stored = requests.put(record(1))

    assert stored.last_modified > others[0].last_modified
    assert requests.list()[0] == stored.last_modified


def test_rule_first_time_the_first_of_several_timestamps_is_above_that_of_every_commit_before(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    others: list[StoredObject] = []
    before_commit(wire, lambda: others.append(rival.put(record(3))))

    stored = put_all(requests, record(1), record(2))

    assert min(each.last_modified for each in stored) > others[0].last_modified


def prepared_for_torn_writes(requests: Requests) -> None:
    requests.make_posts()
    put_all(requests, record(1), record(2), record(3))


def write_three_ways(requests: Requests) -> None:
    """One transaction that creates, replaces and deletes."""

    def work(unit: UnitOfWork) -> None:
        load(unit, record(1), record(2), record(4))
        unit.put(record(1), {"new": True}, {}, origin=Origin())
        unit.delete(record(2), origin=Origin())
        unit.put(record(4), {"new": True}, {}, origin=Origin())

    requests.run(work)


WRITTEN = [record(1).id, record(2).id, record(4).id]
SUBSETS = [set(chosen) for size in range(1, 4) for chosen in combinations(WRITTEN, size)]


@pytest.mark.parametrize("late_reads", [0, 2])
@pytest.mark.parametrize("hidden", SUBSETS, ids=lambda ids: "+".join(sorted(i[7] for i in ids)))
def test_rule_latest_a_list_shows_what_its_clock_names_though_it_is_not_visible_yet(
    wire: Wire, requests: Requests, hidden: set[str], late_reads: int
) -> None:
    prepared_for_torn_writes(requests)
    since = requests.list()[0]
    wire.torn, wire.late_reads = lambda id: id in hidden, late_reads
    write_three_ways(requests)

    page = requests.page()

    assert ids(page) == [record(4).id, record(1).id, record(3).id]
    assert [entry.to_json().get("new") for entry in page.entries] == [True, True, None]
    assert (page.total, page.next) == (3, None)
    wire.quiet()
    assert ids(requests.page(query=asked(_since=str(since)))) == WRITTEN[::-1]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("hidden", SUBSETS, ids=lambda ids: "+".join(sorted(i[7] for i in ids)))
def test_rule_latest_a_sync_sees_what_its_clock_names_on_each_of_its_pages(
    wire: Wire, requests: Requests, hidden: set[str], limit: int | None, oldest_first: bool
) -> None:
    prepared_for_torn_writes(requests)
    since = requests.list()[0]
    wire.torn = lambda id: id in hidden
    write_three_ways(requests)

    seen: list[str] = []
    after = None
    while True:
        query = asked(limit, _since=str(since), _sort="last_modified" if oldest_first else "")
        page = requests.page(RECORDS, query, after)
        assert page.total == 2
        seen += ids(page)
        after = page.next
        if after is None:
            break

    assert seen == (WRITTEN if oldest_first else WRITTEN[::-1])


def test_rule_latest_an_object_that_is_not_visible_at_its_new_place_is_not_shown_at_its_old_one(
    wire: Wire, requests: Requests
) -> None:
    prepared_for_torn_writes(requests)
    first = requests.page(query=asked(1))
    wire.torn = lambda id: id == record(1).id
    requests.put(record(1), {"new": True})

    second = requests.page(after=first.next)

    assert ids(second) == [record(2).id]


@pytest.mark.parametrize("late_reads", [1, 3])
@pytest.mark.parametrize("is_new", [False, True])
def test_rule_latest_what_the_clock_names_may_be_shared_though_it_is_not_visible_yet(
    client: Client, wire: Wire, requests: Requests, is_new: bool, late_reads: int
) -> None:
    put_all(requests, BLOG)
    requests.put(POSTS)
    answered = client.ask("GET", "/", user="bob").body or {}
    bob = {"read": (answered["user"]["id"],)}
    requests.put(record(1), {}, bob)
    if not is_new:
        requests.put(record(2))
    since = client.ask("GET", PATH, user="bob").headers["ETag"]
    wire.torn, wire.late_reads = lambda id: id == record(2).id, late_reads
    requests.put(record(2), {}, bob)

    answer = client.ask("GET", PATH, user="bob", _since=since.strip('"'))

    assert [entry["id"] for entry in data_of(answer)] == [record(2).id]
    assert answer.headers["Total-Records"] == "1"


def test_rule_latest_what_the_clock_names_may_be_shared_though_its_row_is_not_visible_yet(
    client: Client, wire: Wire, requests: Requests
) -> None:
    put_all(requests, BLOG)
    requests.put(POSTS)
    bob = (client.ask("GET", "/", user="bob").body or {})["user"]["id"]
    requests.put(record(1), {}, {"read": (bob,)})
    row = {"principal": {"S": bob}, "object": {"S": access_object(object_key(record(1)))}}
    wire.client.delete_item(TableName=wire.dynamo.tables.access, Key=row)

    answer = client.ask("GET", PATH, user="bob")

    assert [entry["id"] for entry in data_of(answer)] == [record(1).id]


def test_rule_latest_a_list_that_ends_meanwhile_keeps_nobody_waiting(
    client: Client, wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    wire.torn, wire.late_reads = lambda id: id == record(1).id, 10**6
    requests.put(record(1))
    wire.torn = None

    def end(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "Query":
            wire.after = None
            rival.delete(POSTS)

    wire.after = end

    assert client.ask("GET", PATH).status == 404


def test_rule_carried_on_the_clock_names_earlier_writes_too(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    wire.torn = lambda id: id == record(1).id
    requests.put(record(1))
    wire.torn = None
    requests.put(record(2))

    assert ids(requests.page()) == [record(2).id, record(1).id]


def test_rule_carried_on_a_writer_that_shortens_keeps_what_is_not_visible_yet(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    many = [record(number) for number in range(100, 116)]
    wire.torn, wire.late_reads = lambda id: id == many[0].id, 1
    put_all(requests, *many)
    wire.torn = None
    requests.put(record(1))

    page = requests.page()

    assert len(wire.clock(RECORDS).latest) == 2  # it was shortened
    assert set(ids(page)) == {record(1).id, *(uri.id for uri in many)}


def test_rule_first_etag_all_pages_of_a_walk_have_the_etag_of_the_first(
    client: Client, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    put_all(requests, record(1), record(2))

    first = client.ask("GET", PATH, _limit="1")
    rival.put(record(1), {"moved": "to the pages that have been read"})
    token = first.headers["Next-Page"].split("_token=")[1]
    second = client.ask("GET", PATH, _limit="1", _token=token)
    synced = client.ask("GET", PATH, _since=etag(second))

    assert etag(second) == etag(first)
    known = {entry["id"] for each in (first, second, synced) for entry in body_of(each)}
    assert known == {record(1).id, record(2).id}


# One object


def put_if_unchanged(client: Client, timestamp: str, **data: Any) -> Response:
    return client.ask(
        "PUT", f"{PATH}/{record(1).id}", {"data": data}, headers={"If-Match": timestamp}
    )


def test_rule_as_read_of_two_changes_on_one_if_match_one_is_refused(
    wire: Wire, client: Client, requests: Requests, clock: SetClock
) -> None:
    requests.make_posts()
    old = requests.put(record(1))
    match = f'"{old.last_modified}"'
    answers: list[int] = []

    def other() -> None:
        answers.append(put_if_unchanged(client, match, by="other").status)
        clock.now_ms += 1000

    clock.now_ms += 1000  # the first to read gives the later timestamp
    before_commit(wire, lambda: (setattr(clock, "now_ms", START_MS), other()))
    answers.append(put_if_unchanged(client, match, by="one").status)

    assert answers == [200, 412]
    found = requests.get(record(1))
    assert isinstance(found, StoredObject)
    assert found.data == {"by": "other"}


def test_rule_as_read_of_two_creations_one_replaces_the_other(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    requests.now = later(requests)
    before_commit(wire, lambda: rival.put(record(1)))

    requests.put(record(1))

    assert wire.clock(RECORDS).count == len(requests.page().entries) == 1


def later(requests: Requests) -> SetClock:
    """A clock so far ahead that no timestamp refuses a commit."""
    now = SetClock(START_MS + 10_000)
    requests.storage._now_ms = now
    return now


def test_rule_version_a_change_is_not_lost_where_clients_repeat_a_last_modified(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1), {"old": 1}, at=1000)
    later(requests)
    before_commit(wire, lambda: rival.put(record(1), {"new": 1}, at=1000))

    def patch(unit: UnitOfWork) -> StoredObject:
        load(unit, record(1))
        found = unit.find(record(1))
        assert isinstance(found, StoredObject)
        return unit.put(record(1), {**found.data, "patched": 1}, {}, origin=Origin())

    requests.run(patch)

    found = requests.get(record(1))
    assert isinstance(found, StoredObject)
    assert found.data == {"new": 1, "patched": 1}


def test_rule_one_item_there_is_an_object_or_its_tombstone_whoever_was_first(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    later(requests)

    def come_and_go() -> None:
        rival.put(record(1))
        rival.delete(record(1))

    before_commit(wire, come_and_go)

    stored = requests.put(record(1))

    entries = requests.page(query=asked(_since="0")).entries
    assert [(entry.id, entry.last_modified) for entry in entries] == [
        (record(1).id, stored.last_modified)
    ]
    in_list = [key for key in wire.items() if key.parent == object_key(record(1)).parent]
    assert sorted(key.id for key in in_list) == sorted([CLOCK_ID, record(1).id])


# Commits without an answer


@pytest.mark.parametrize("lost", [1, 3])
def test_rule_same_token_a_commit_without_an_answer_does_not_meet_itself(
    wire: Wire, client: Client, requests: Requests, lost: int
) -> None:
    requests.make_posts()
    old = requests.put(record(1))
    unanswered = iter(range(lost))

    def lose_answer(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and next(unanswered, None) is not None:
            raise TIMEOUT

    wire.after = lose_answer

    answer = put_if_unchanged(client, f'"{old.last_modified}"', by="one")

    assert answer.status == 200
    found = requests.get(record(1))
    assert isinstance(found, StoredObject)
    assert (found.data, found.last_modified) == ({"by": "one"}, body_of(answer)["last_modified"])


def test_rule_same_token_a_creation_without_an_answer_is_made_once(
    wire: Wire, client: Client, requests: Requests
) -> None:
    requests.make_posts()
    unanswered = iter([True])

    def lose_answer(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and next(unanswered, None):
            raise TIMEOUT

    wire.after = lose_answer

    answer = client.ask("POST", PATH, {"data": {"a": 1}})

    assert answer.status == 201
    assert ids(requests.page()) == [body_of(answer)["id"]]


def test_rule_token_to_the_end_a_conflict_after_no_answer_tells_nothing(
    wire: Wire, client: Client, requests: Requests
) -> None:
    requests.make_posts()
    old = requests.put(record(1))
    under_way: list[dict[str, Any]] = []
    attempts = 0

    def delay(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        nonlocal attempts
        if under_way and operation != TRANSACT:
            arrive(wire, under_way)
        if operation != TRANSACT:
            return
        attempts += 1
        if attempts == 1:
            under_way.append(dict(arguments))
            raise TIMEOUT
        if attempts == 2:
            raise cancelled("TransactionConflict", "None")
        arrive(wire, under_way)

    wire.before = delay

    answer = put_if_unchanged(client, f'"{old.last_modified}"', by="one")

    assert answer.status == 200
    found = requests.get(record(1))
    assert isinstance(found, StoredObject)
    assert found.data == {"by": "one"}


def arrive(wire: Wire, under_way: list[dict[str, Any]]) -> None:
    """What was long on its way is carried out, and nobody hears of it."""
    while under_way:
        wire.carry_out(TRANSACT, under_way.pop())


# Preconditions of a list


def test_rule_t_as_loaded_of_two_creations_on_one_if_match_of_the_list_one_is_refused(
    wire: Wire, client: Client, requests: Requests, clock: SetClock
) -> None:
    requests.make_posts()
    requests.put(record(9))
    match = {"If-Match": etag(client.ask("GET", PATH))}
    answers: list[int] = []

    def other() -> None:
        clock.now_ms = START_MS
        answers.append(client.ask("POST", PATH, {"data": {}}, headers=match).status)

    clock.now_ms += 10_000  # so that no timestamp refuses the one that began first
    before_commit(wire, other)
    answers.append(client.ask("POST", PATH, {"data": {}}, headers=match).status)

    assert answers == [201, 412]
    assert len(requests.page().entries) == 2


# Deletion and re-creation


@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_rule_within_nothing_of_a_dead_incarnation_shows(
    requests: Requests, deleted: ObjectUri
) -> None:
    requests.make_posts()
    requests.put(record(1), {"secret": 1}, {"read": ("bob",)})
    requests.put(record(2))
    requests.delete(record(2))
    requests.delete(deleted)
    requests.put(BLOG)
    requests.put(POSTS)

    def permissions(unit: UnitOfWork) -> Any:
        load(unit, record(1))
        return unit.permissions(record(1))

    assert requests.get(record(1)) is requests.get(record(2)) is None
    assert requests.run(permissions) is None
    page = requests.page(query=asked(_since="0"))
    assert (page.entries, page.total) == ([], 0)


@pytest.mark.parametrize("made_again", [False, True])
@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_rule_closed_clock_nothing_is_written_into_what_was_deleted_meanwhile(
    wire: Wire, requests: Requests, rival: Requests, deleted: ObjectUri, made_again: bool
) -> None:
    requests.make_posts()
    child = record(1) if deleted is POSTS else WRITERS
    later(requests)

    def delete() -> None:
        rival.delete(deleted)
        if made_again:
            rival.put(deleted)

    before_commit(wire, delete)

    if made_again:
        requests.put(child)
        assert ids(requests.page(child.list)) == [child.id]
        assert wire.clock(child.list).count == 1
    else:
        with pytest.raises(MissingError):
            requests.put(child)
        assert wire.stored(child) is None


@pytest.mark.parametrize("deleted", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_rule_clock_stays_a_list_made_again_goes_on_above_its_old_timestamps(
    wire: Wire, requests: Requests, deleted: ObjectUri
) -> None:
    requests.make_posts()
    requests.put(record(1), at=START_MS + 1_000_000)
    before = requests.list()[0]
    requests.delete(deleted)
    assert wire.clock(RECORDS).timestamp == before
    requests.put(BLOG)
    requests.put(POSTS)

    requests.put(record(1))
    timestamp, page = requests.list(query=asked(_since=str(before)))

    assert timestamp > before
    assert ids(page) == [record(1).id]


# Access rows


def named_principals(wire: Wire, uri: ObjectUri) -> set[str]:
    """Whom an object's permissions name."""
    item = wire.stored(uri)
    if item is None or not item.is_live:
        return set()
    return {name for names in (item.permissions or {}).values() for name in names}


def test_rule_rows_first_no_object_names_a_principal_that_has_no_row(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    many = tuple(f"reader{number}" for number in range(110))
    lacking: list[str] = []

    def look(*_call: Any) -> None:
        rows = {principal for principal, _object in wire.rows()}
        lacking.extend(named_principals(wire, record(1)) - rows)

    wire.before = wire.after = look

    requests.put(record(1), {}, {"read": many})

    assert named_principals(wire, record(1)) == set(many)
    assert lacking == []


def test_rule_row_as_read_a_row_is_put_again_though_there_is_one_that_may_be_removed_yet(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    requests.put(record(1))
    row = ("bob", access_object(object_key(record(1))))
    assert row in wire.rows()  # removed later, from the stream

    requests.put(record(1), {}, {"read": ("bob",)})

    item = wire.stored(record(1))
    assert item is not None
    assert wire.rows()[row] == item.version


@pytest.mark.parametrize("deleted", [BLOG, POSTS, record(1)], ids=lambda uri: uri.kind.name)
def test_rule_row_as_read_what_was_in_a_dead_incarnation_named_nobody(
    wire: Wire, requests: Requests, deleted: ObjectUri
) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    requests.delete(deleted)
    for parent in (BLOG, POSTS):
        if not isinstance(requests.get(parent), StoredObject):
            requests.put(parent)

    requests.put(record(1), {}, {"read": ("bob",)})

    item = wire.stored(record(1))
    assert item is not None
    assert wire.rows()["bob", access_object(object_key(record(1)))] == item.version


def test_rule_row_as_read_a_row_is_left_where_the_object_named_the_principal(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    before = wire.rows()

    requests.put(record(1), {"a": 1}, {"write": ("bob",)})

    assert wire.rows() == before
