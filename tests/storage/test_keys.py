"""Keys: `chalicelib/storage/keys.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, MAX_ID_LENGTH, RECORD
from chalicelib.protocol.timestamps import MAX_TIMESTAMP
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.keys import (
    CLOCK_ID,
    MAX_PRINCIPAL_BYTES,
    Key,
    Position,
    access_object,
    clock_key,
    key_of_row,
    member_object,
    object_key,
    position_of,
    rows_prefix,
    time_key,
    time_range,
    uri_of,
)
from tests.storage.stand_ins import unhurried

MOST_HASH_BYTES = 2048
MOST_RANGE_BYTES = 1024
INCARNATIONS = ["0123456789abcdef", "0123456789abcdee", "0123456789abcdf0", "root"]

# Those next to each other in the order, and beginning with each other, are the ones to confuse.
IDS = st.text("AZaz09-_", min_size=1, max_size=3).filter(COLLECTION.is_id)
TIMES = st.integers(0, 12) | st.integers(0, MAX_TIMESTAMP)
BOUNDS = st.none() | st.integers(-3, 14) | st.integers(-(10**30), 10**30)
POSITIONS = st.none() | st.builds(Position, TIMES, IDS)

LONGEST_NAME = "a" * MAX_ID_LENGTH
LONGEST_BUCKET = ObjectUri(BUCKET, (LONGEST_NAME,))
LONGEST = [
    LONGEST_BUCKET,
    ObjectUri(COLLECTION, (LONGEST_NAME, LONGEST_NAME)),
    ObjectUri(GROUP, (LONGEST_NAME, LONGEST_NAME)),
    ObjectUri(RECORD, (LONGEST_NAME, LONGEST_NAME, "00000000-0000-4000-8000-000000000000")),
]


@unhurried
@given(st.sampled_from(INCARNATIONS), TIMES, IDS, BOUNDS, BOUNDS, POSITIONS, POSITIONS)
def test_a_range_holds_what_is_strictly_between_its_times_and_positions(
    within: str,
    time: int,
    id: str,
    since: int | None,
    before: int | None,
    above: Position | None,
    below: Position | None,
) -> None:
    place = (time, id)
    expected = (
        (since is None or time > since)
        and (before is None or time < before)
        and (above is None or place > (above.last_modified, above.id))
        and (below is None or place < (below.last_modified, below.id))
    )

    found = time_range(within, since=since, before=before, above=above, below=below)

    assert (time_key(within, time, id) in found) == expected


@unhurried
@given(TIMES, IDS, TIMES, IDS)
def test_a_position_splits_a_range(time: int, id: str, other_time: int, other_id: str) -> None:
    position = Position(other_time, other_id)
    place = time_key("root", time, id)

    in_each = [
        place in time_range("root", above=position),
        place in time_range("root", below=position),
        (time, id) == (other_time, other_id),
    ]

    assert in_each.count(True) == 1


@unhurried
@given(st.sampled_from(INCARNATIONS), st.sampled_from(INCARNATIONS), TIMES, IDS, BOUNDS, BOUNDS)
def test_a_range_never_holds_what_is_within_another_incarnation(
    within: str, other: str, time: int, id: str, since: int | None, before: int | None
) -> None:
    found = time_range(within, since=since, before=before)

    assert within == other or time_key(other, time, id) not in found


@unhurried
@given(TIMES, IDS, TIMES, IDS)
def test_range_keys_are_in_the_order_of_times_and_then_of_ids(
    time: int, id: str, other_time: int, other_id: str
) -> None:
    # DynamoDB compares the bytes, Python the characters.
    one, other = time_key("root", time, id), time_key("root", other_time, other_id)

    assert (one < other) == ((time, id) < (other_time, other_id))
    assert (one.encode() < other.encode()) == (one < other)


@unhurried
@given(st.sampled_from(INCARNATIONS), TIMES, IDS)
def test_a_position_comes_back_from_its_range_key(within: str, time: int, id: str) -> None:
    assert position_of(time_key(within, time, id)) == Position(time, id)


def test_nothing_but_a_key_is_in_a_range() -> None:
    assert 5 not in time_range("root")


@pytest.mark.parametrize("uri", LONGEST, ids=lambda uri: uri.kind.name)
def test_no_key_exceeds_dynamodbs_limits(uri: ObjectUri) -> None:
    assert uri.is_possible
    key = object_key(uri)

    assert len(key.parent) <= MOST_HASH_BYTES
    assert len(key.id) <= MOST_RANGE_BYTES
    assert len(time_key("0123456789abcdef", MAX_TIMESTAMP, uri.id)) <= MOST_RANGE_BYTES
    assert len(access_object(key)) <= MOST_RANGE_BYTES
    assert len(member_object(key)) <= MOST_RANGE_BYTES
    assert all(len(clock_key(below).parent) <= MOST_HASH_BYTES for below in uri.lists)
    assert MAX_PRINCIPAL_BYTES <= MOST_HASH_BYTES


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        (ObjectUri(BUCKET, ("blog",)), Key("#bucket:blog", "blog")),
        (ObjectUri(COLLECTION, ("blog", "posts")), Key("/buckets/blog#collection", "posts")),
        (ObjectUri(GROUP, ("blog", "posts")), Key("/buckets/blog#group", "posts")),
        (
            ObjectUri(RECORD, ("blog", "posts", "42")),
            Key("/buckets/blog/collections/posts#record", "42"),
        ),
    ],
    ids=str,
)
def test_an_object_is_under_its_list_and_each_bucket_under_a_parent_of_its_own(
    uri: ObjectUri, key: Key
) -> None:
    assert object_key(uri) == key


@pytest.mark.parametrize(
    ("uri", "parent"),
    [
        (ListUri(BUCKET, ()), "#bucket"),
        (ListUri(GROUP, ("blog",)), "/buckets/blog#group"),
        (ListUri(RECORD, ("blog", "posts")), "/buckets/blog/collections/posts#record"),
    ],
    ids=str,
)
def test_a_clock_is_beside_the_objects_of_its_list(uri: ListUri, parent: str) -> None:
    assert clock_key(uri) == Key(parent, CLOCK_ID)
    assert not uri.kind.is_id(CLOCK_ID)


def test_the_rows_of_a_list_are_one_range_and_those_of_members_apart() -> None:
    key = object_key(ObjectUri(GROUP, ("blog", "writers")))

    assert access_object(key) == "/buckets/blog#group/writers"
    assert member_object(key) == "member:/buckets/blog#group/writers"
    assert rows_prefix(key.parent) == "/buckets/blog#group/"


@pytest.mark.parametrize(
    "uri",
    [
        ObjectUri(BUCKET, ("blog",)),
        ObjectUri(COLLECTION, ("blog", "posts")),
        ObjectUri(GROUP, ("blog", "posts")),
        ObjectUri(RECORD, ("blog", "posts", "11111111-1111-4111-8111-111111111111")),
    ],
    ids=str,
)
def test_a_key_and_a_row_tell_the_address_again(uri: ObjectUri) -> None:
    key = object_key(uri)

    assert uri_of(key) == uri
    assert key_of_row(access_object(key)) == key
    assert key_of_row(member_object(key)) == key
    assert access_object(key).startswith(rows_prefix(clock_key(uri.list).parent))


def test_the_rows_of_a_list_don_t_begin_as_those_of_another() -> None:
    lists = [
        ListUri(BUCKET, ()),
        ListUri(GROUP, ("a",)),
        ListUri(GROUP, ("ab",)),
        ListUri(COLLECTION, ("a",)),
        ListUri(RECORD, ("a", "c")),
        ListUri(RECORD, ("a", "cd")),
    ]
    prefixes = [rows_prefix(clock_key(uri).parent) for uri in lists]

    for prefix in prefixes:
        assert [other for other in prefixes if other.startswith(prefix)] == [prefix]


@pytest.mark.parametrize(
    "key",
    [
        Key("#bucket", CLOCK_ID),
        Key("/buckets/blog#group", CLOCK_ID),
        Key("#heartbeat", "#heartbeat"),
        Key("#bucket:blog", "other"),
        Key("#bucket", "blog"),
        Key("", ""),
    ],
    ids=str,
)
def test_what_is_no_objects_key_has_no_address(key: Key) -> None:
    with pytest.raises(ValueError, match="is no object's key"):
        uri_of(key)
