"""What the deleted leave behind, and its removal: `chalicelib/storage/purge.py`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final, TypeAlias

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.stored import Permissions, StoredObject
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage import purge
from chalicelib.storage.access import ALL_BUCKETS, Row, named
from chalicelib.storage.clock import CLOSED, ROOT
from chalicelib.storage.deadlines import ATTEMPT_S
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.items import Cause, Item, RawItem, encode_body, from_raw, to_raw
from chalicelib.storage.keys import (
    CLOCK_ID,
    MAX_PRINCIPAL_BYTES,
    Key,
    access_object,
    clock_key,
    member_object,
    object_key,
    uri_of,
)
from chalicelib.storage.purge import (
    ITEMS_A_SECOND,
    DeadParent,
    Leftover,
    NeedlessRows,
    leftovers_of,
    remove_rows,
    sweep,
)
from chalicelib.storage.staging import Origin
from chalicelib.storage.unit_of_work import PROBE, UnitOfWork
from tests.doubles import CountedCalls, Patience, SetClock
from tests.shared_moto import restore, saved
from tests.storage.stand_ins import (
    BLOG,
    BUCKETS,
    COLLECTIONS,
    GROUPS,
    POSTS,
    RECORDS,
    TRANSACT,
    WRITERS,
    MissingError,
    Requests,
    Wire,
    cancelled,
    client_error,
    ids,
    load,
    record,
)
from tests.storage.test_rules import before_commit, put_all

Image: TypeAlias = RawItem | None

KINDS: Final = {uri.kind.name: uri for uri in (BLOG, POSTS, WRITERS, record(1))}
ALL_THE_TIME: Final = 1e9

NOTHING: Final = None
FIRST, SECOND = "first", "second"
"""Incarnations."""


def live(
    uri: ObjectUri,
    incarnation: str = FIRST,
    *,
    version: int = 10,
    within: str = "parent",
    permissions: Permissions | None = None,
    data: Mapping[str, Any] | None = None,
) -> RawItem:
    """The image of an object; only buckets and collections have an incarnation."""
    return to_raw(
        Item(
            key=object_key(uri),
            is_live=True,
            last_modified=version,
            version=version,
            within=within,
            incarnation=incarnation if uri.lists else None,
            permissions=permissions or {},
            body=encode_body(dict(data or {})),
        ),
        Cause("basicauth:alice", "request", by_list=False, timestamp=1),
    )


def tombstone(uri: ObjectUri, *, version: int = 20, within: str = "parent") -> RawItem:
    item = Item(object_key(uri), False, last_modified=version, version=version, within=within)
    return to_raw(item, Cause(None, "request", by_list=False, timestamp=1))


def clock_image(list_uri: ListUri, within: str) -> RawItem:
    key = clock_key(list_uri)
    return {
        "parent": {"S": key.parent},
        "id": {"S": key.id},
        "timestamp": {"N": "10"},
        "count": {"N": "1"},
        "within": {"S": within},
        "latest": {"L": []},
    }


def dead_parents(old: Image, new: Image) -> list[DeadParent]:
    return [each for each in leftovers_of(old, new) if isinstance(each, DeadParent)]


def needless(old: Image, new: Image) -> list[Row]:
    """The rows that a change leaves behind, in a fixed order."""
    found = [each.rows for each in leftovers_of(old, new) if isinstance(each, NeedlessRows)]
    return sorted(row for rows in found for row in rows)


# What a change leaves behind


@pytest.mark.parametrize("uri", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
@pytest.mark.parametrize(
    ("old", "new", "dead"),
    [
        (NOTHING, live, None),
        (NOTHING, tombstone, None),
        (live, live, None),
        (live, tombstone, FIRST),
        (live, NOTHING, FIRST),
        (live, lambda uri: live(uri, SECOND, version=30), FIRST),
        (live, lambda uri: live(uri, SECOND, version=30, within="another"), FIRST),
        (tombstone, live, None),
        (tombstone, lambda uri: live(uri, SECOND, version=30, within="another"), None),
        (tombstone, tombstone, None),
        (tombstone, NOTHING, None),
    ],
    ids=[
        "created",
        "created and deleted at once",
        "changed",
        "deleted",
        "purged",
        "deleted and made again at once",
        "made again over what was dead",
        "made again",
        "made again over a dead tombstone",
        "deleted again",
        "tombstone purged",
    ],
)
def test_a_parent_is_dead_once_its_incarnation_is_gone(
    uri: ObjectUri,
    old: Callable[[ObjectUri], RawItem] | None,
    new: Callable[[ObjectUri], RawItem] | None,
    dead: str | None,
) -> None:
    found = dead_parents(old and old(uri), new and new(uri))

    assert found == ([DeadParent(uri, dead)] if dead else [])


@pytest.mark.parametrize("uri", [WRITERS, record(1)], ids=lambda uri: uri.kind.name)
@pytest.mark.parametrize("new", [live, tombstone, lambda _uri: None], ids=["live", "dead", "gone"])
def test_what_holds_nothing_leaves_no_dead_parent(
    uri: ObjectUri, new: Callable[[ObjectUri], Image]
) -> None:
    assert dead_parents(live(uri), new(uri)) == []


@pytest.mark.parametrize("uri", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    ("old", "new", "version"),
    [
        (lambda uri: live(uri, permissions=NAMING_BOB), tombstone, 20),
        (lambda uri: live(uri, permissions=NAMING_BOB), lambda _uri: None, 10),
        (lambda uri: live(uri, permissions=NAMING_BOB), lambda uri: live(uri, version=11), 11),
        (
            lambda uri: live(uri, permissions=NAMING_BOB, version=40),
            lambda uri: live(uri, SECOND, version=30, within="another"),
            40,
        ),
    ],
    ids=["deleted", "purged", "taken away", "made again by a slow clock"],
)
def test_a_row_is_needless_up_to_the_newest_version_that_the_images_tell_of(
    uri: ObjectUri,
    old: Callable[[ObjectUri], RawItem],
    new: Callable[[ObjectUri], Image],
    version: int,
) -> None:
    rows = [row for row in needless(old(uri), new(uri)) if row.principal != ALL_BUCKETS]

    assert rows == [Row("bob", access_object(object_key(uri)), version)]


NAMING_BOB: Final[Permissions] = {"read": ("bob",)}


@pytest.mark.parametrize("uri", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    ("before", "after", "principals"),
    [
        ({}, {}, []),
        ({}, {"read": ("bob",)}, []),
        ({"read": ("bob",)}, {"read": ("bob",)}, []),
        ({"read": ("bob",)}, {"write": ("bob",)}, []),
        ({"read": ("bob",), "write": ("bob",)}, {"write": ("bob",)}, []),
        ({"read": ("bob",), "write": ("bob",)}, {}, ["bob"]),
        ({"read": ("bob", "carol")}, {"read": ("carol", "dave")}, ["bob"]),
        ({"read": ("bob", "carol")}, {}, ["bob", "carol"]),
        ({"read": ("a" * MAX_PRINCIPAL_BYTES,)}, {}, ["a" * MAX_PRINCIPAL_BYTES]),
        ({"read": ("a" * (MAX_PRINCIPAL_BYTES + 1), "")}, {}, []),
    ],
    ids=[
        "nobody",
        "given",
        "kept",
        "moved",
        "named twice, then once",
        "named twice, then not",
        "one of two",
        "all",
        "of 1 KB",
        "no principal's name",
    ],
)
def test_whom_a_change_does_not_name_any_more_has_a_needless_row(
    uri: ObjectUri, before: Permissions, after: Permissions, principals: list[str]
) -> None:
    object = access_object(object_key(uri))

    found = needless(live(uri, permissions=before), live(uri, version=11, permissions=after))

    assert found == [Row(principal, object, 11) for principal in principals]


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        (["bob"], ["bob"], []),
        ([], ["bob"], []),
        (["bob", "carol"], ["carol", "dave"], ["bob"]),
        (["bob", "bob"], [], ["bob"]),
        (["a" * (MAX_PRINCIPAL_BYTES + 1), ""], [], []),
    ],
)
def test_who_is_no_member_any_more_has_a_needless_row(
    before: list[str], after: list[str], gone: list[str]
) -> None:
    old = live(WRITERS, data={"members": before})
    new = live(WRITERS, version=11, data={"members": after})

    object = member_object(object_key(WRITERS))
    assert needless(old, new) == [Row(member, object, 11) for member in gone]


def test_a_member_and_a_principal_are_rows_apart() -> None:
    old = live(WRITERS, data={"members": ["bob"]}, permissions=NAMING_BOB)
    kept = live(WRITERS, version=11, permissions=NAMING_BOB)

    assert needless(old, kept) == [Row("bob", member_object(object_key(WRITERS)), 11)]
    assert [row.object for row in needless(old, tombstone(WRITERS))] == [
        access_object(object_key(WRITERS)),
        member_object(object_key(WRITERS)),
    ]


def test_members_of_what_is_no_group_have_no_rows() -> None:
    assert needless(live(record(1), data={"members": ["bob"]}), None) == []


def test_a_group_of_many_members_leaves_a_row_of_each() -> None:
    members = [f"member{number:04}" for number in range(1000)]  # compressed

    found = needless(live(WRITERS, data={"members": members}), tombstone(WRITERS))

    assert [row.principal for row in found] == members


@pytest.mark.parametrize("uri", KINDS.values(), ids=KINDS)
def test_what_is_made_again_over_what_was_dead_needs_the_rows_that_it_names(
    uri: ObjectUri,
) -> None:
    old = live(uri, permissions={"read": ("bob", "carol")})
    new = live(uri, SECOND, version=30, within="another", permissions={"write": ("carol",)})

    assert needless(old, new) == [Row("bob", access_object(object_key(uri)), 30)]


@pytest.mark.parametrize(
    ("old", "new", "goes"),
    [
        (live, live, False),
        (live, tombstone, False),
        (live, lambda uri: live(uri, SECOND, version=30), False),
        (tombstone, tombstone, False),
        (tombstone, live, False),
        (tombstone, lambda _uri: None, True),
        (live, lambda _uri: None, True),
    ],
)
def test_the_row_of_all_buckets_goes_with_the_last_of_a_bucket(
    old: Callable[[ObjectUri], RawItem], new: Callable[[ObjectUri], Image], goes: bool
) -> None:
    image = old(BLOG)

    found = needless(image, new(BLOG))

    row = Row(ALL_BUCKETS, access_object(object_key(BLOG)), int(image["version"]["N"]))
    assert found == ([row] if goes else [])


PROBE_IMAGE: Final[RawItem] = {"parent": {"S": PROBE}, "id": {"S": PROBE}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, clock_image(RECORDS, FIRST)),
        (clock_image(RECORDS, FIRST), clock_image(RECORDS, CLOSED)),
        (clock_image(RECORDS, CLOSED), clock_image(RECORDS, SECOND)),
        (clock_image(BUCKETS, ROOT), None),
        (None, PROBE_IMAGE),
        (PROBE_IMAGE, PROBE_IMAGE),
        (PROBE_IMAGE, None),
        (None, None),
    ],
)
def test_clocks_and_heartbeats_leave_nothing_behind(old: Image, new: Image) -> None:
    assert [*leftovers_of(old, new)] == []


@pytest.mark.parametrize("uri", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("new", [live, tombstone], ids=["live", "dead"])
def test_a_creation_leaves_nothing_behind(
    uri: ObjectUri, new: Callable[[ObjectUri], RawItem]
) -> None:
    assert [*leftovers_of(None, new(uri))] == []


def test_a_key_of_no_object_is_refused() -> None:
    raw = live(record(1)) | {"parent": {"S": "elsewhere"}}

    with pytest.raises(ValueError, match="elsewhere"):
        list(leftovers_of(raw, None))


# Sweeps


class Changes:
    """The changes of `objects`, as its stream has them: images before and after, by item."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._seen = wire.items()

    def take(self) -> list[tuple[Image, Image]]:
        """Those since the last time; of each item, what was between isn't known."""
        old, self._seen = self._seen, self._wire.items()
        keys = dict.fromkeys([*old, *self._seen])
        pairs = [(old.get(key), self._seen.get(key)) for key in keys]
        return [(before, after) for before, after in pairs if before != after]

    def leftovers(self) -> list[Leftover]:
        """What those since the last time have left behind."""
        return [leftover for images in self.take() for leftover in leftovers_of(*images)]


def carry_out(wire: Wire, leftover: Leftover, patience: Patience | None = None) -> list[int]:
    """Remove a leftover; gives how many items, for each chunk."""
    deadline = (patience or Patience(ALL_THE_TIME)).deadline()
    if isinstance(leftover, NeedlessRows):
        remove_rows(wire.dynamo, leftover.rows, deadline)
        return []
    return [*sweep(wire.dynamo, leftover, deadline)]


def settle(wire: Wire, changes: Changes, waiting: list[Leftover] | None = None) -> None:
    """Carry out all that was left behind, and what that leaves behind."""
    waiting = [*(waiting or []), *changes.leftovers()]
    while waiting:
        carry_out(wire, waiting.pop(0))
        waiting += changes.leftovers()


def die(wire: Wire, requests: Requests, uri: ObjectUri) -> DeadParent:
    """Delete a bucket or collection."""
    item = wire.stored(uri)
    assert item is not None
    assert item.incarnation is not None
    requests.delete(uri)
    return DeadParent(uri, item.incarnation)


def within(wire: Wire, incarnation: str) -> set[str]:
    """The ids of the objects and tombstones that are within an incarnation."""
    return {
        key.id
        for key, raw in wire.items().items()
        if key.id != CLOCK_ID and raw["within"]["S"] == incarnation
    }


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "ITEMS_AT_ONCE", 2)


@pytest.mark.usefixtures("two_at_once")
def test_objects_and_tombstones_of_a_dead_collection_go_in_chunks(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_all(requests, *map(record, range(5)))
    requests.delete(record(1))
    requests.delete(record(3))
    dead = die(wire, requests, POSTS)

    assert carry_out(wire, dead) == [2, 2, 1]

    assert set(wire.items()) == {
        object_key(BLOG),
        object_key(POSTS),
        *map(clock_key, (BUCKETS, COLLECTIONS, GROUPS, RECORDS)),
    }
    assert carry_out(wire, dead) == []


@pytest.mark.usefixtures("two_at_once")
def test_collections_and_groups_of_a_dead_bucket_go_in_chunks(
    wire: Wire, requests: Requests
) -> None:
    requests.put(BLOG)
    put_all(requests, *(COLLECTIONS.object(f"collection{number}") for number in range(3)))
    put_all(requests, *(GROUPS.object(f"group{number}") for number in range(3)))
    requests.delete(COLLECTIONS.object("collection1"))
    requests.delete(GROUPS.object("group1"))
    dead = die(wire, requests, BLOG)

    assert carry_out(wire, dead) == [2, 1, 2, 1]

    assert within(wire, dead.incarnation) == set()
    assert wire.stored(BLOG) is not None


def test_a_chunk_of_collections_with_their_clocks_is_one_transaction(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.put(BLOG)
    for start in range(0, 60, 30):
        uris = (COLLECTIONS.object(f"c{number}") for number in range(start, start + 30))
        put_all(requests, *uris)
    dead = die(wire, requests, BLOG)
    calls.take()

    assert carry_out(wire, dead) == [50, 10]

    assert calls.take() == {"Query": 4, "BatchGetItem": 2, TRANSACT: 2}
    clocks = [raw for key, raw in wire.items().items() if key.id == CLOCK_ID]
    closed = [raw for raw in clocks if raw["within"]["S"] == CLOSED]
    assert len(closed) == 60 + len(BLOG.lists)


def test_records_below_a_dead_bucket_are_found_by_the_sweep_of_their_collection(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_all(requests, record(1), record(2))
    requests.delete(record(2))
    changes = Changes(wire)
    dead = die(wire, requests, BLOG)
    posts = wire.stored(POSTS)
    assert posts is not None
    assert posts.incarnation is not None
    assert changes.leftovers()[0] == dead

    carry_out(wire, dead)

    assert within(wire, posts.incarnation) == {record(1).id, record(2).id}
    assert changes.leftovers() == [DeadParent(POSTS, posts.incarnation)]
    assert carry_out(wire, DeadParent(POSTS, posts.incarnation)) == [2]
    assert within(wire, posts.incarnation) == set()


def write_again(requests: Requests, dead: ObjectUri) -> None:
    """What was within the dead, in a new one of the same name."""
    requests.put(dead)
    if dead == BLOG:
        put_all(requests, *map(COLLECTIONS.object, "abcdef"))
        put_all(requests, *map(GROUPS.object, "abcdef"))
    else:
        put_all(requests, *map(record, range(6)))


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("chunks", [0, 1, 2, 3, None], ids=str)
@pytest.mark.parametrize("uri", [BLOG, POSTS], ids=lambda uri: uri.kind.name)
def test_namesakes_that_are_made_before_between_or_after_the_chunks_stay(
    wire: Wire, requests: Requests, uri: ObjectUri, chunks: int | None
) -> None:
    requests.make_posts()
    requests.delete(POSTS)
    write_again(requests, uri)
    dead = die(wire, requests, uri)
    sweeping = sweep(wire.dynamo, dead, Patience().deadline())
    for _chunk in range(chunks) if chunks is not None else sweeping:
        next(sweeping, None)

    write_again(requests, uri)
    for _chunk in sweeping:
        pass

    assert within(wire, dead.incarnation) == set()
    for below in uri.lists:
        assert len(requests.page(below).entries) == requests.page(below).total == 6


@pytest.mark.usefixtures("two_at_once")
def test_what_was_written_again_over_some_of_the_dead_leaves_the_others_to_go(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_all(requests, *map(record, range(6)))
    dead = die(wire, requests, POSTS)
    requests.put(POSTS)
    put_all(requests, record(1), record(4))
    requests.delete(record(4))

    assert carry_out(wire, dead) == [2, 2]

    assert ids(requests.page()) == [record(1).id]
    tombstoned = wire.stored(record(4))
    assert tombstoned is not None
    assert not tombstoned.is_live


def test_nothing_is_swept_where_nothing_is_left(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    dead = die(wire, requests, POSTS)
    calls.take()

    assert carry_out(wire, dead) == []
    assert calls.take() == {"Query": 2}


def test_what_holds_nothing_is_swept_without_a_call(
    wire: Wire, requests: Requests, calls: CountedCalls
) -> None:
    requests.make_posts()
    calls.take()

    assert carry_out(wire, DeadParent(record(1), FIRST)) == []
    assert calls.take() == {}


def test_the_second_sweep_is_of_the_same_parent() -> None:
    dead = DeadParent(POSTS, FIRST)

    assert dead.again == DeadParent(POSTS, FIRST, is_again=True)
    assert dead.again.again == dead.again


def test_the_second_sweep_removes_what_became_visible_after_the_first(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_all(requests, record(1), record(2), record(3))
    late = wire.items()[object_key(record(3))]
    table, key = wire.dynamo.tables.objects, {"parent": late["parent"], "id": late["id"]}
    wire.client.delete_item(TableName=table, Key=key)
    dead = die(wire, requests, POSTS)

    assert carry_out(wire, dead) == [2]

    wire.client.put_item(TableName=table, Item=late)
    assert within(wire, dead.incarnation) == {record(3).id}
    assert carry_out(wire, dead.again) == [1]
    assert within(wire, dead.incarnation) == set()


def test_a_collection_that_was_deleted_before_its_bucket_goes_without_its_clock(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    requests.delete(POSTS)
    timestamp = wire.clock(RECORDS).timestamp
    dead = die(wire, requests, BLOG)

    carry_out(wire, dead)

    assert wire.stored(POSTS) is None
    assert (wire.clock(RECORDS).within, wire.clock(RECORDS).timestamp) == (CLOSED, timestamp)


# The pace, and the end of the time


def test_no_list_loses_more_than_100_items_a_second(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    for start in range(0, 120, 40):
        put_all(requests, *map(record, range(start, start + 40)))
    dead = die(wire, requests, POSTS)
    patience = Patience()

    assert carry_out(wire, dead, patience) == [50, 50, 20]

    assert ITEMS_A_SECOND == 100
    assert patience.pauses == [0.5, 0.5, 0.2]


@pytest.mark.usefixtures("two_at_once")
def test_each_chunk_is_followed_by_its_pause(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    put_all(requests, *map(record, range(6)))
    dead = die(wire, requests, POSTS)
    patience = Patience()
    removed = [0, 0]

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            assert sum(removed) <= 100 * sum(patience.pauses) + 1e-6
            removed.append(len(arguments["TransactItems"]))

    wire.before = look

    carry_out(wire, dead, patience)

    assert removed[2:] == [2, 2, 2]


@pytest.mark.usefixtures("two_at_once")
def test_a_sweep_ends_with_the_time_and_another_one_finishes(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    put_all(requests, *map(record, range(6)))
    dead = die(wire, requests, POSTS)
    hurried = Patience(ATTEMPT_S + 0.05)  # for two pauses of 20 ms, and not for a third
    removed: list[int] = []

    with pytest.raises(UnavailableError):
        removed.extend(sweep(wire.dynamo, dead, hurried.deadline()))
    assert removed == [2, 2]
    assert len(within(wire, dead.incarnation)) == 2

    assert carry_out(wire, dead) == [2]
    assert within(wire, dead.incarnation) == set()


@pytest.mark.parametrize("remaining_s", [0.0, ATTEMPT_S - 0.01, ATTEMPT_S + 0.01])
def test_no_chunk_is_begun_without_the_time_for_it_and_its_pause(
    wire: Wire, requests: Requests, remaining_s: float
) -> None:
    requests.make_posts()
    put_all(requests, record(1), record(2))
    dead = die(wire, requests, POSTS)

    with pytest.raises(UnavailableError):
        carry_out(wire, dead, Patience(remaining_s))

    assert within(wire, dead.incarnation) == {record(1).id, record(2).id}


# Failures at any call


class KilledError(BaseException):
    """The container ends: nothing catches it, nothing goes on."""


Failure: TypeAlias = Callable[[str, dict[str, Any]], BaseException | None]
"""What goes wrong with a call, if it is one that this can happen to."""


def kill(_operation: str, _arguments: dict[str, Any]) -> BaseException:
    return KilledError()


def throttle(operation: str, _arguments: dict[str, Any]) -> BaseException:
    return client_error("ThrottlingException", operation=operation)


def answer_nothing(_operation: str, _arguments: dict[str, Any]) -> BaseException:
    return ReadTimeoutError(endpoint_url="https://dynamodb")


def conflict(operation: str, arguments: dict[str, Any]) -> BaseException | None:
    if operation != TRANSACT:
        return None
    reasons = ["None"] * (len(arguments["TransactItems"]) - 1)
    return cancelled("TransactionConflict", *reasons)


def throttle_action(operation: str, arguments: dict[str, Any]) -> BaseException | None:
    if operation != TRANSACT:
        return None
    reasons = ["None"] * (len(arguments["TransactItems"]) - 1)
    return cancelled(*reasons, "ThrottlingError")


@pytest.fixture
def deletion(wire: Wire, requests: Requests) -> list[Leftover]:
    """A bucket was deleted and made again, with much below it; this is what it leaves behind."""
    requests.put(BLOG, {}, {"read": ("bob",)})
    put_all(requests, *map(COLLECTIONS.object, ("dead", "other")))
    requests.put(POSTS, {}, {"read": ("bob",)})
    requests.put(WRITERS, {"members": ["bob", "carol"]})
    requests.put(record(1), {}, {"read": ("bob", "carol")})
    put_all(requests, record(2), record(3))
    requests.delete(record(3))
    requests.delete(COLLECTIONS.object("dead"))
    changes = Changes(wire)
    requests.delete(BLOG)
    leftovers = changes.leftovers()
    requests.put(BLOG)
    requests.put(POSTS)
    requests.put(WRITERS, {"members": ["carol"]})
    requests.put(record(1), {"new": True}, {"read": ("carol",)})
    return leftovers + changes.leftovers()


def purged(wire: Wire, leftovers: list[Leftover], changes: Changes) -> Any:
    """The tables once everything is carried out; what is killed is carried out again."""
    waiting = [*leftovers]
    while waiting:
        with suppress(KilledError):
            carry_out(wire, waiting[0])
            waiting.pop(0)
        waiting += changes.leftovers()
    return wire.items(), wire.rows()


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize(
    ("failure", "is_done"),
    [
        (kill, False),
        (kill, True),
        (throttle, False),
        (throttle_action, False),
        (conflict, False),
        (answer_nothing, False),
        (answer_nothing, True),
    ],
    ids=[
        "killed before",
        "killed after",
        "throttled",
        "throttled in an action",
        "conflict",
        "not arrived",
        "no answer",
    ],
)
def test_whatever_happens_to_any_call_all_of_the_dead_goes_and_nothing_else(
    wire: Wire, deletion: list[Leftover], failure: Failure, is_done: bool
) -> None:
    before, wire.calls = saved(), 0
    undisturbed = purged(wire, deletion, Changes(wire))
    calls = wire.calls
    assert calls > 10

    for failing in range(1, calls + 1):

        def hook(
            number: int, operation: str, arguments: dict[str, Any], failing: int = failing
        ) -> None:
            if number == failing and (error := failure(operation, arguments)) is not None:
                raise error

        restore(before)
        wire.quiet()
        wire.calls = 0
        changes = Changes(wire)
        setattr(wire, "after" if is_done else "before", hook)

        assert purged(wire, deletion, changes) == undisturbed


def test_of_what_was_dead_nothing_is_left_and_of_what_is_made_again_all(
    wire: Wire, requests: Requests, deletion: list[Leftover]
) -> None:
    items, rows = purged(wire, deletion, Changes(wire))

    uris = {uri_of(key) for key in items if key.id != CLOCK_ID}
    assert uris == {BLOG, POSTS, WRITERS, record(1)}
    assert rows.keys() == {
        (ALL_BUCKETS, access_object(object_key(BLOG))),
        ("carol", member_object(object_key(WRITERS))),
        ("carol", access_object(object_key(record(1)))),
    }


@pytest.mark.usefixtures("two_at_once")
def test_no_list_goes_on_for_a_moment_without_its_collection(
    wire: Wire, deletion: list[Leftover]
) -> None:
    transactions: list[bool] = []

    def look(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            transactions.append(clocks_fit(wire))

    wire.after = look
    purged(wire, deletion, Changes(wire))

    assert len(transactions) > 3
    assert all(transactions)


def clocks_fit(wire: Wire) -> bool:
    """Whether each clock is closed, or within what is there: visible, or yet to be purged."""
    items = wire.items()
    incarnations = {raw["incarnation"]["S"] for raw in items.values() if "incarnation" in raw}
    found = {raw["within"]["S"] for key, raw in items.items() if key.id == CLOCK_ID}
    return found <= {CLOSED, ROOT, *incarnations}


# Rules


@pytest.mark.parametrize("again", [POSTS, WRITERS, record(1)], ids=lambda uri: uri.kind.name)
def test_rule_purge_checks_what_is_written_again_while_the_purge_runs_stays(
    wire: Wire, requests: Requests, rival: Requests, again: ObjectUri
) -> None:
    for uri in (*again.ancestors, again):
        requests.put(uri)
    requests.delete(again)  # without a list that had to be ended with it
    parent = again.parent
    assert parent is not None
    dead = die(wire, requests, parent)
    rival.put(parent)
    before_commit(wire, lambda: rival.put(again))

    carry_out(wire, dead)

    assert wire.before is None
    assert isinstance(requests.get(again), StoredObject)
    assert ids(requests.page(again.list)) == [again.id]


def test_a_collection_that_is_written_again_while_the_purge_runs_keeps_its_list(
    wire: Wire, requests: Requests, rival: Requests
) -> None:
    requests.make_posts()
    dead = die(wire, requests, BLOG)

    def make() -> None:
        rival.put(BLOG)
        rival.put(POSTS)
        rival.put(record(1))

    before_commit(wire, make)

    carry_out(wire, dead)
    requests.put(record(2))

    assert ids(requests.page()) == [record(2).id, record(1).id]


@pytest.mark.parametrize("is_made_again", [False, True])
def test_rule_purge_closes_nothing_is_written_behind_the_sweep_of_a_collection(
    wire: Wire, requests: Requests, rival: Requests, is_made_again: bool
) -> None:
    requests.make_posts()
    requests.put(record(1))
    posts = wire.stored(POSTS)
    assert posts is not None
    assert posts.incarnation is not None
    changes = Changes(wire)

    def delete_and_purge() -> None:
        rival.delete(BLOG)
        settle(wire, changes)
        if is_made_again:
            rival.put(BLOG)

    before_commit(wire, delete_and_purge)

    with pytest.raises(MissingError):
        requests.put(record(2))  # which has read its bucket and collection, and their clock

    assert within(wire, posts.incarnation) == set()


def test_rule_row_version_a_row_that_is_needed_again_stays(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    changes = Changes(wire)
    requests.put(record(1))
    late = changes.leftovers()
    requests.put(record(1), {}, {"read": ("bob",)})
    row = ("bob", access_object(object_key(record(1))))
    assert late == [NeedlessRows((Row(*row, wire.rows()[row] - 1),))]

    carry_out(wire, late[0])

    assert row in wire.rows()


@pytest.mark.parametrize("uri", KINDS.values(), ids=KINDS)
def test_rule_row_version_a_row_of_what_was_made_again_stays(
    wire: Wire, requests: Requests, uri: ObjectUri
) -> None:
    for parent in uri.ancestors:
        requests.put(parent)
    requests.put(uri, {}, {"read": ("bob",)})
    changes = Changes(wire)
    requests.delete(uri)
    late = changes.leftovers()
    requests.put(uri, {}, {"read": ("bob",)})

    settle(wire, changes, late)

    item = wire.stored(uri)
    assert item is not None
    assert wire.rows()["bob", access_object(object_key(uri))] == item.version


# Rows


def put_rows(wire: Wire, rows: list[Row]) -> None:
    for row in rows:
        raw = {
            "principal": {"S": row.principal},
            "object": {"S": row.object},
            "version": {"N": str(row.version)},
        }
        wire.client.put_item(TableName=wire.dynamo.tables.access, Item=raw)


def rows_of(number: int, *, version: int) -> list[Row]:
    return [Row(f"principal{index}", "object", version) for index in range(number)]


@pytest.mark.parametrize(
    ("there", "stays"), [(4, False), (5, False), (6, True)], ids=["older", "the same", "newer"]
)
def test_a_row_goes_unless_it_is_newer(wire: Wire, there: int, stays: bool) -> None:
    put_rows(wire, [Row("bob", "object", there)])

    remove_rows(wire.dynamo, [Row("bob", "object", 5)], Patience().deadline())

    assert wire.rows() == ({("bob", "object"): there} if stays else {})


def test_rows_go_100_a_transaction_and_those_that_are_gone_or_newer_stop_nobody(
    wire: Wire, calls: CountedCalls
) -> None:
    put_rows(wire, rows_of(250, version=5)[10:])
    put_rows(wire, rows_of(250, version=7)[120:130])

    remove_rows(wire.dynamo, rows_of(250, version=5), Patience().deadline())

    assert wire.rows() == {row[:2]: 7 for row in rows_of(130, version=7)[120:]}
    taken = calls.take()
    assert taken[TRANSACT] == 5  # two of them run again, without the rows that aren't to go


def test_no_rows_are_removed_without_a_call(wire: Wire, calls: CountedCalls) -> None:
    remove_rows(wire.dynamo, [], Patience().deadline())

    assert calls.take() == {}


def test_a_row_that_became_needless_twice_goes_once(wire: Wire) -> None:
    put_rows(wire, [Row("bob", "object", 7), Row("carol", "object", 1)])
    needless_rows = [
        Row("bob", "object", 5),
        Row("carol", "object", 5),
        Row("bob", "object", 7),
        Row("bob", "object", 6),
    ]

    remove_rows(wire.dynamo, needless_rows, Patience().deadline())

    assert wire.rows() == {}


def test_rows_end_with_the_time_and_another_call_removes_the_rest(wire: Wire) -> None:
    rows = rows_of(150, version=5)
    put_rows(wire, rows)

    def throttle_last(_number: int, _operation: str, arguments: dict[str, Any]) -> None:
        if len(arguments["TransactItems"]) == 50:
            raise client_error("ThrottlingException")

    wire.before = throttle_last

    with pytest.raises(UnavailableError):
        remove_rows(wire.dynamo, rows, Patience().deadline())
    wire.quiet()
    assert wire.rows().keys() >= {row[:2] for row in rows[100:]}
    remove_rows(wire.dynamo, rows, Patience().deadline())
    assert wire.rows() == {}


# The law: in the end there is what shows, and what that needs, and nothing else


class World:
    """Requests at random, and their leftovers carried out in any order, some twice, some late.

    Attributes:
        wire: to the tables.
        shown: what requests have made and not deleted: data and permissions by address.
        buried: what they have deleted since its parent was made.
    """

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire = wire
        self.shown: dict[ObjectUri, tuple[Any, Permissions]] = {}
        self.buried: set[ObjectUri] = set()
        self._random = Random(seed)  # noqa: S311
        self._clock = SetClock()
        self._requests = Requests(wire.dynamo, self._clock)
        self._rival = Requests(wire.rival, self._clock)
        self._changes = Changes(wire)
        self._untold: list[tuple[Image, Image]] = []
        self._waiting: list[Leftover] = []
        self._running: list[tuple[DeadParent, Iterator[int]]] = []
        self._shall_write = True
        wire.after = self._look
        for uri in ADDRESSES:
            new = self._content(uri)
            self._requests.put(uri, *new)
            self._has_put(uri, new)

    def _look(self, _number: int, operation: str, _arguments: dict[str, Any]) -> None:
        """After each transaction: its changes are in the stream, and what shows is what should."""
        if operation == TRANSACT:
            self._untold += self._changes.take()

    def step(self) -> None:
        purging = [self._tell, self._tell, self._begin, self._begin, *[self._go_on] * 4]
        self._random.choice([self._write] * 6 + purging)()
        self.check_that_all_shows()

    def finish(self) -> None:
        """Carry out all there is, second sweeps included."""
        while self._untold or self._waiting or self._running:
            self._random.choice([self._tell, self._begin, self._go_on])()
            self.check_that_all_shows()

    # Requests

    def _write(self, requests: Requests | None = None) -> None:
        self._clock.now_ms += self._random.randrange(2)
        write = self._random.choice([self._put, self._put, self._put, self._delete, self._both])
        write(requests or self._requests)

    def _put(self, requests: Requests) -> None:
        possible = [uri for uri in ADDRESSES if uri.parent is None or uri.parent in self.shown]
        uri = self._random.choice(possible)
        new = self._content(uri)
        requests.put(uri, *new)
        self._has_put(uri, new)

    def _delete(self, requests: Requests) -> None:
        if self.shown:
            uri = self._random.choice(list(self.shown))
            requests.delete(uri)
            self._has_deleted(uri)

    def _both(self, requests: Requests) -> None:
        """Delete what is there and make it again, with something within it, in one request."""
        uri = self._random.choice([uri for uri in self.shown if uri.lists] or [None])
        if uri is None:
            return
        child = self._random.choice([each for each in ADDRESSES if each.parent == uri])
        new, within_new = self._content(uri), self._content(child)

        def work(unit: UnitOfWork) -> None:
            load(unit, uri, child)
            unit.delete(uri, origin=Origin())
            unit.put(uri, *new, origin=Origin())
            unit.put(child, *within_new, origin=Origin())

        requests.run(work)
        self._has_deleted(uri)
        self._has_put(uri, new)
        self._has_put(child, within_new)

    def _has_put(self, uri: ObjectUri, new: tuple[Any, Permissions]) -> None:
        self.shown[uri] = new
        self.buried.discard(uri)

    def _has_deleted(self, uri: ObjectUri) -> None:
        below = {each for each in ADDRESSES if uri in each.ancestors}
        for gone in (uri, *below):
            self.shown.pop(gone, None)
        self.buried = (self.buried - below) | {uri}

    def _content(self, uri: ObjectUri) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
        data = {"members": self._some()} if uri.kind is GROUP else {"a": self._random.random()}
        names = ("read", "write")
        return data, {name: tuple(self._some()) for name in names if self._random.random() < 0.6}

    def _some(self) -> list[str]:
        return self._random.sample(PRINCIPALS, self._random.randrange(len(PRINCIPALS)))

    # Leftovers

    def _tell(self) -> None:
        """The next changes, some of them again, are told of; what they leave is carried out."""
        number = self._random.randrange(1, 6)
        told = self._untold[:number]
        if self._random.random() < 0.8:
            del self._untold[:number]
        for images in told:
            self._waiting += leftovers_of(*images)

    def _begin(self) -> None:
        """Begin to carry out something, whether now or again later."""
        if not self._waiting:
            return
        leftover = self._random.choice(self._waiting)
        if self._random.random() < 0.8:
            self._waiting.remove(leftover)
        if isinstance(leftover, NeedlessRows):
            carry_out(self.wire, leftover)
        else:
            deadline = Patience(ALL_THE_TIME).deadline()
            self._running.append((leftover, sweep(self.wire.dynamo, leftover, deadline)))

    def _go_on(self) -> None:
        """A chunk of a sweep, maybe with a request between its calls; or it is killed."""
        if not self._running:
            return
        running = self._random.choice(self._running)
        leftover, sweeping = running
        chance = self._random.random()
        if chance < 0.1:
            self._running.remove(running)
            self._waiting.append(leftover)
            return
        if chance < 0.7 and self._shall_write:
            before_commit(self.wire, lambda: self._interrupt(leftover.uri))
        if next(sweeping, None) is None:
            self._running.remove(running)
            if not leftover.is_again:
                self._waiting.append(leftover.again)
        self.wire.before = None

    def _interrupt(self, dead: ObjectUri) -> None:
        """Some other request, or what is being purged is made again, and some of its content."""
        if self._random.random() < 0.3:
            self._write(self._rival)
            self._untold += self._changes.take()
            return
        below = [uri for uri in ADDRESSES if uri.parent == dead and self._random.random() < 0.7]
        for uri in (*dead.ancestors, dead, *below):
            if uri not in self.shown or uri in below:
                new = self._content(uri)
                self._rival.put(uri, *new)
                self._has_put(uri, new)
                self._untold += self._changes.take()

    def rest(self) -> None:
        """No more requests."""
        self._shall_write = False

    # What must hold

    def check_that_all_shows(self) -> None:
        """Nothing that shows was ever taken, and nothing has come back."""
        shown, tombstones = visible(self.wire.items())
        assert {uri: (item.data, item.permissions) for uri, item in shown.items()} == self.shown
        assert tombstones == self.buried

    def check_that_nothing_else_is_there(self) -> None:
        """Only what shows, tombstones, clocks, and the rows that they need."""
        items = self.wire.items()
        shown, tombstones = visible(items)
        there = {uri_of(key) for key in items if key.id != CLOCK_ID}
        assert there == {*shown, *tombstones}
        stored = [item for uri in there if (item := self.wire.stored(uri)) is not None]
        needed = {row for item in stored for row in named(uri_of(item.key), item)}
        assert set(self.wire.rows()) == needed
        assert clocks_fit(self.wire)
        for below in (BUCKETS, *(each for uri in shown for each in uri.lists)):
            members = {uri.id for uri in shown if uri.list == below}
            assert set(ids(self._requests.page(below))) == members
            assert self.wire.clock(below).count == len(members)


PRINCIPALS: Final = ["alice", "bob", "system.Everyone", "a" * (MAX_PRINCIPAL_BYTES + 1)]
SHELVES: Final = [BLOG, BUCKETS.object("shop")]
ADDRESSES: Final = [
    *SHELVES,
    *(
        ListUri(kind.kind, (shelf.id,)).object(kind.id)
        for shelf in SHELVES
        for kind in (POSTS, WRITERS)
    ),
    COLLECTIONS.object("drafts"),
    *(
        ListUri(record(1).kind, parent).object(record(number).id)
        for parent in (("blog", "posts"), ("blog", "drafts"), ("shop", "posts"))
        for number in range(3)
    ),
]


def visible(items: dict[Key, RawItem]) -> tuple[dict[ObjectUri, Item], set[ObjectUri]]:
    """The objects that show, and the addresses of the tombstones, by the incarnations alone."""
    parsed = [from_raw(raw) for key, raw in items.items() if key.id != CLOCK_ID]
    by_uri = {uri_of(item.key): item for item in parsed}
    shown: dict[ObjectUri, Item] = {}
    tombstones: set[ObjectUri] = set()
    for uri in sorted(by_uri, key=lambda uri: len(uri.ids)):
        item, parent = by_uri[uri], uri.parent
        above = shown.get(parent) if parent is not None else None
        if item.within != (ROOT if parent is None else above and above.incarnation):
            continue
        if item.is_live:
            shown[uri] = item
        else:
            tombstones.add(uri)
    return shown, tombstones


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("seed", range(2))
def test_once_all_leftovers_are_carried_out_there_is_what_shows_and_nothing_else(
    wire: Wire, seed: int
) -> None:
    world = World(wire, seed)

    for _ in range(30):
        world.step()
    world.rest()
    world.finish()

    world.check_that_nothing_else_is_there()
