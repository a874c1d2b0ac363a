"""Objects to items and back: `chalicelib/storage/items.py`."""

import base64
import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.storage.items import (
    COMPRESSED_FROM_BYTES,
    INDEXED_BODY_BYTES,
    MAX_BODY_BYTES,
    MAX_ITEM_BYTES,
    Cause,
    Item,
    RawItem,
    answer_bytes,
    cause_from_raw,
    checked_bytes,
    decode_body,
    encode_body,
    from_raw,
    is_object,
    stored_bytes,
    to_raw,
)
from chalicelib.storage.keys import Key, object_key
from tests.doubles import CountedCalls
from tests.storage.stand_ins import RECORDS, Requests, Wire, record, unhurried

CAUSE = Cause("basicauth:alice", "r1", by_list=False, timestamp=7)
KEY = Key("/buckets/blog/collections/posts#record", "one")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)
PERMISSIONS = st.dictionaries(
    st.sampled_from(["read", "write", "record:create"]),
    st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True).map(tuple),
)


def random_text(size: int) -> str:
    """Text that compresses to three quarters, and no further."""
    return base64.b64encode(random.Random(1).randbytes(size)).decode()[:size]  # noqa: S311


def live(**changes: Any) -> Item:
    given: dict[str, Any] = {"is_live": True, "last_modified": 5, "version": 6, "within": "root"}
    return Item(KEY, **{"body": "{}", "permissions": {}, **given, **changes})


@unhurried
@given(OBJECTS, PERMISSIONS, st.sampled_from([None, "0123456789abcdef"]))
def test_any_object_comes_back_from_its_item(
    data: dict[str, Any], permissions: dict[str, tuple[str, ...]], incarnation: str | None
) -> None:
    item = live(body=encode_body(data), permissions=permissions, incarnation=incarnation)

    back = from_raw(to_raw(item, CAUSE))

    assert back == item
    assert json.dumps(back.data) == json.dumps(data)  # the order of names as well
    assert back.to_stored() == StoredObject.of("one", 5, data, permissions)


def test_a_tombstone_comes_back_from_its_item() -> None:
    item = Item(KEY, is_live=False, last_modified=5, version=6, within="root", permissions={})

    back = from_raw(to_raw(item, CAUSE))

    assert back == item
    assert back.to_stored() == Tombstone("one", 5)


def test_an_object_without_permissions_has_none() -> None:
    assert live(permissions=None).to_stored() == StoredObject.of("one", 5, {}, {})


def test_an_object_is_in_the_index_of_objects_and_a_tombstone_in_that_of_tombstones() -> None:
    dead = Item(KEY, is_live=False, last_modified=5, version=6, within="root")

    assert [name for name in ("live", "dead") if name in to_raw(live(), CAUSE)] == ["live"]
    assert [name for name in ("live", "dead") if name in to_raw(dead, CAUSE)] == ["dead"]


@pytest.mark.parametrize("user_id", [None, "basicauth:alice"])
def test_an_item_tells_what_caused_it(user_id: str | None) -> None:
    raw = to_raw(live(), Cause(user_id, "r1", by_list=True, timestamp=7, silent=True))

    assert raw["cause"]["M"] == {
        "request_id": {"S": "r1"},
        "by_list": {"BOOL": True},
        "timestamp": {"N": "7"},
        "silent": {"BOOL": True},
    } | ({"user_id": {"S": user_id}} if user_id else {})


CAUSES = st.builds(
    Cause,
    user_id=st.none() | st.text(min_size=1),
    request_id=st.text(),
    by_list=st.booleans(),
    timestamp=st.integers(0, 2**53),
    silent=st.booleans(),
)


@unhurried
@given(CAUSES, st.booleans())
def test_any_cause_comes_back_from_its_item(cause: Cause, is_live: bool) -> None:
    dead = Item(KEY, is_live=False, last_modified=5, version=6, within="root")

    assert cause_from_raw(to_raw(live() if is_live else dead, cause)) == cause


@pytest.mark.parametrize("name", [None, "request_id", "by_list", "timestamp", "silent"])
def test_an_item_without_a_whole_cause_is_refused(name: str | None) -> None:
    raw = to_raw(live(), CAUSE)
    if name is None:
        del raw["cause"]
    else:
        del raw["cause"]["M"][name]

    with pytest.raises(KeyError):
        cause_from_raw(raw)


def test_the_cause_does_not_change_what_is_stored_of_an_object() -> None:
    other = Cause(None, "another request", by_list=True, timestamp=9, silent=True)

    assert from_raw(to_raw(live(), CAUSE)) == from_raw(to_raw(live(), other))


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        (to_raw(live(), CAUSE), True),
        (to_raw(Item(KEY, is_live=False, last_modified=5, version=6, within="root"), CAUSE), True),
        ({"parent": {"S": KEY.parent}, "id": {"S": ".clock"}, "timestamp": {"N": "1"}}, False),
        ({"parent": {"S": "#heartbeat"}, "id": {"S": "#heartbeat"}}, False),
    ],
    ids=["object", "tombstone", "clock", "heartbeat"],
)
def test_clocks_and_heartbeats_are_no_objects(raw: RawItem, is_one: bool) -> None:
    assert is_object(raw) == is_one


@pytest.mark.parametrize("filler", ["x", "é", "\u2028"])
@pytest.mark.parametrize("size", [0, 1, COMPRESSED_FROM_BYTES, 100_000])
def test_the_text_of_a_body_is_counted_as_json(filler: str, size: int) -> None:
    body = encode_body({"text": filler * size})

    assert live(body=body).text_bytes == len('{"text":""}') + size * len(filler.encode())


def test_a_body_is_compressed_only_where_that_is_smaller_and_saves_something() -> None:
    short = encode_body({"text": "a" * (COMPRESSED_FROM_BYTES - 12)})
    long = encode_body({"text": "a" * (COMPRESSED_FROM_BYTES - 11)})

    assert isinstance(short, str)
    assert len(short) == COMPRESSED_FROM_BYTES - 1
    assert isinstance(long, bytes)


def test_an_entry_without_a_body_reads_as_an_empty_object() -> None:
    assert live(body=None).data == {}


@pytest.mark.parametrize("size", [INDEXED_BODY_BYTES, INDEXED_BODY_BYTES + 1])
def test_no_index_has_a_body_above_32_kb_but_its_size(size: int) -> None:
    plain = b'{"quotes":"' + b"x" * (size - 24) + b'"}'  # stored as it is, zlib adds 11 bytes
    body = zlib.compress(plain, 0)
    assert len(body) == size

    raw = to_raw(live(body=body), CAUSE)

    if size <= INDEXED_BODY_BYTES:
        assert raw["body"] == {"B": body}
        assert "large_body" not in raw
    else:
        assert raw["body"] == {"N": str(len(plain) + 4)}  # the four quotes take two bytes each
        assert raw["large_body"] == {"B": body}
    assert from_raw(raw).body == body


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        ({"cause": {"S": "abc"}}, 5 + 3),
        ({"cause": {"S": "é€😀"}}, 5 + 2 + 3 + 4),
        ({"é": {"S": ""}}, 2),
        ({"cause": {"B": b"abcd"}}, 5 + 4),
        ({"cause": {"BOOL": True}}, 5 + 1),
        ({"cause": {"NULL": True}}, 5 + 1),
        ({"cause": {"L": []}}, 5 + 3),
        ({"cause": {"L": [{"S": "a"}, {"S": "bc"}]}}, 5 + 3 + (1 + 1) + (1 + 2)),
        ({"cause": {"M": {}}}, 5 + 3),
        ({"cause": {"M": {"k": {"S": "ab"}}}}, 5 + 3 + 1 + 1 + 2),
        # What an index projects counts again.
        ({"parent": {"S": "p"}, "id": {"S": "i"}}, 2 * (6 + 1 + 2 + 1)),
        ({"body": {"S": "{}"}, "large_body": {"S": "{}"}}, 2 * (4 + 2) + 10 + 2),
        ({"live": {"S": "a"}, "dead": {"S": "a"}}, 2 * (4 + 1) + 2 * (4 + 1)),
    ],
)
def test_an_item_is_as_large_as_dynamodb_says(raw: RawItem, size: int) -> None:
    assert stored_bytes(raw) == size


@unhurried
@given(st.integers(0, 10**38 - 1))
def test_a_number_counts_a_byte_for_two_digits_and_one_more(number: int) -> None:
    documented = -(-len(str(number)) // 2) + 1

    assert documented <= stored_bytes({"n": {"N": str(number)}}) - 1 <= documented + 1


def incompressible_body(size: int) -> bytes:
    """So many bytes that can be decompressed."""
    length = size
    while len(body := zlib.compress(b"x" * length, 0)) > size:
        length -= len(body) - size
    assert len(body) == size
    return body


def test_an_item_ends_at_400_kb_with_its_index_entries() -> None:
    item = to_raw(live(body=incompressible_body(300_000)), CAUSE)
    room = MAX_ITEM_BYTES - stored_bytes(item) + 300_000

    most = to_raw(live(body=incompressible_body(room)), CAUSE)
    more = to_raw(live(body=incompressible_body(room + 1)), CAUSE)
    assert checked_bytes(most) == MAX_ITEM_BYTES
    with pytest.raises(ProtocolError) as refused:
        checked_bytes(more)
    assert refused.value.kind is REQUEST_TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        {"text": "a" * (MAX_BODY_BYTES - 10)},  # with {"text":""} one byte too many
        {"text": '"' * 1_500_000},  # 3 MB of JSON, 6 MB in an answer
        {"text": "\\" * 1_500_000},
    ],
)
def test_more_json_than_an_answer_carries_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as refused:
        encode_body(data)

    assert refused.value.kind is REQUEST_TOO_LARGE


def test_4_mb_of_json_are_not_too_many() -> None:
    data = {"text": "a" * (MAX_BODY_BYTES - 11)}

    assert json.loads(decode_body(encode_body(data))) == data


@unhurried
@given(st.text())
def test_an_answer_is_as_large_as_its_json_in_a_json_string(text: str) -> None:
    plain = json.dumps({"text": text}, ensure_ascii=False).encode()

    assert answer_bytes(plain) == len(json.dumps(plain.decode(), ensure_ascii=False).encode()) - 2


@pytest.mark.parametrize(
    "data",
    [{"text": "compressible " * 230_000}, {"text": random_text(300_000)}, {"text": "é" * 20_000}],
    ids=["3 MB compressible", "300 KB incompressible", "above 32 KB"],
)
def test_a_large_object_is_read_back_by_get_and_in_a_list(
    requests: Requests, data: dict[str, Any]
) -> None:
    requests.make_posts()
    stored = requests.put(record(1), data, {"read": ("alice",)})

    assert requests.get(record(1)) == stored
    assert [(entry.id, entry.to_json()["text"]) for entry in requests.page().entries] == [
        (record(1).id, data["text"])
    ]


@pytest.mark.parametrize(
    "text", [random_text(600_000), "a" * MAX_BODY_BYTES], ids=["of an item", "of JSON"]
)
def test_what_is_too_large_is_refused_and_nothing_is_written(
    requests: Requests, wire: Wire, calls: CountedCalls, text: str
) -> None:
    requests.make_posts()
    before = wire.items()
    calls.take()

    with pytest.raises(ProtocolError) as refused:
        requests.put(record(1), {"text": text})

    assert refused.value.kind is REQUEST_TOO_LARGE
    assert calls.take() == {"BatchGetItem": 1}
    assert wire.items() == before


def test_large_bodies_cost_a_list_one_more_call(requests: Requests, calls: CountedCalls) -> None:
    requests.make_posts()
    requests.put(record(1), {"text": random_text(60_000)})
    requests.put(record(2), {"text": "short"})
    assert is_large(requests, record(1).id)
    calls.take()

    page = requests.page(RECORDS)

    assert calls.take() == {"BatchGetItem": 2, "Query": 1}
    assert [len(entry.to_json()["text"]) for entry in page.entries] == [5, 60_000]


def is_large(requests: Requests, id: str) -> bool:
    """Whether a record's body is where no index projects it."""
    wire: Any = requests.storage._dynamo._connection
    return "large_body" in wire.items()[object_key(RECORDS.object(id))]
