"""The rows of `access`, on moto: `chalicelib/storage/access.py`."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage import commits
from chalicelib.storage.access import ALL_BUCKETS
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.items import Item
from chalicelib.storage.keys import MAX_PRINCIPAL_BYTES
from tests.doubles import CountedCalls
from tests.storage.stand_ins import BLOG, BUCKETS, POSTS, TRANSACT, WRITERS, Requests, Wire, record

ROW_OF = {
    BLOG: "#bucket:blog/blog",
    POSTS: "/buckets/blog#collection/posts",
    WRITERS: "/buckets/blog#group/writers",
    record(1): f"/buckets/blog/collections/posts#record/{record(1).id}",
}
MEMBER_ROW = "member:/buckets/blog#group/writers"


def item_of(wire: Wire, uri: ObjectUri) -> Item:
    item = wire.stored(uri)
    assert item is not None
    return item


def rows_of(wire: Wire, *principals: str) -> dict[tuple[str, str], int]:
    return {row: version for row, version in wire.rows().items() if row[0] in principals}


@pytest.mark.parametrize("uri", ROW_OF, ids=lambda uri: uri.kind.name)
def test_each_principal_that_an_object_names_has_a_row_of_its_version(
    wire: Wire, requests: Requests, uri: ObjectUri
) -> None:
    for parent in uri.ancestors:
        requests.put(parent)

    requests.put(uri, {}, {"read": ("alice", "bob"), "write": ("alice",)})

    version = item_of(wire, uri).version
    assert rows_of(wire, "alice", "bob") == {
        ("alice", ROW_OF[uri]): version,
        ("bob", ROW_OF[uri]): version,
    }


def test_only_who_was_not_named_gets_a_row_of_the_new_version(
    wire: Wire, requests: Requests
) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("alice",)})
    first = item_of(wire, record(1)).version

    requests.put(record(1), {}, {"write": ("alice", "bob")})

    assert rows_of(wire, "alice", "bob") == {
        ("alice", ROW_OF[record(1)]): first,
        ("bob", ROW_OF[record(1)]): item_of(wire, record(1)).version,
    }


def test_rows_stay_when_a_principal_is_not_named_any_more(wire: Wire, requests: Requests) -> None:
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("alice",)})
    before = wire.rows()

    requests.put(record(1))
    requests.delete(record(1))

    assert wire.rows() == before


def test_each_member_of_a_group_has_a_row(wire: Wire, requests: Requests) -> None:
    requests.put(BLOG)

    requests.put(WRITERS, {"members": ["alice", "bob", "alice"]}, {"read": ("alice",)})

    version = item_of(wire, WRITERS).version
    assert rows_of(wire, "alice", "bob") == {
        ("alice", ROW_OF[WRITERS]): version,
        ("alice", MEMBER_ROW): version,
        ("bob", MEMBER_ROW): version,
    }


def test_members_are_those_of_groups_alone(wire: Wire, requests: Requests) -> None:
    requests.make_posts()

    requests.put(record(1), {"members": ["alice"]})

    assert rows_of(wire, "alice") == {}


def test_each_bucket_has_a_row_for_those_who_may_list_all(wire: Wire, requests: Requests) -> None:
    requests.put(BLOG)
    created = item_of(wire, BLOG).version
    requests.put(BUCKETS.object("shop"))

    assert rows_of(wire, ALL_BUCKETS) == {
        (ALL_BUCKETS, ROW_OF[BLOG]): created,
        (ALL_BUCKETS, "#bucket:shop/shop"): item_of(wire, BUCKETS.object("shop")).version,
    }

    requests.put(BLOG, {"a": 1})
    assert rows_of(wire, ALL_BUCKETS)[ALL_BUCKETS, ROW_OF[BLOG]] == created


def test_a_deleted_bucket_keeps_its_row_for_those_who_may_list_all(
    wire: Wire, requests: Requests
) -> None:
    requests.put(BLOG)

    requests.delete(BLOG)

    assert rows_of(wire, ALL_BUCKETS) == {
        (ALL_BUCKETS, ROW_OF[BLOG]): item_of(wire, BLOG).version - 1
    }

    requests.put(BLOG)

    assert rows_of(wire, ALL_BUCKETS) == {(ALL_BUCKETS, ROW_OF[BLOG]): item_of(wire, BLOG).version}


@pytest.mark.parametrize(
    ("principal", "has_row"),
    [
        ("a" * MAX_PRINCIPAL_BYTES, True),
        ("a" * (MAX_PRINCIPAL_BYTES + 1), False),
        ("é" * (MAX_PRINCIPAL_BYTES // 2), True),
        ("é" * (MAX_PRINCIPAL_BYTES // 2) + "a", False),
        ("", False),
    ],
    ids=["1 KB", "above", "1 KB of UTF-8", "above in UTF-8", "nothing"],
)
def test_what_can_be_no_principals_name_has_no_row(
    wire: Wire, requests: Requests, principal: str, has_row: bool
) -> None:
    requests.put(BLOG)

    requests.put(WRITERS, {"members": [principal]}, {"read": (principal,)})

    assert bool(rows_of(wire, principal)) == has_row
    stored = requests.get(WRITERS)
    assert isinstance(stored, StoredObject)
    assert stored.permissions == {"read": (principal,)}


# Rows first


def members(number: int) -> dict[str, Any]:
    return {"members": [f"member{index}" for index in range(number)]}


@pytest.mark.parametrize(
    ("number", "transactions"), [(98, 1), (99, 2), (101, 3), (250, 4)], ids=str
)
def test_rows_that_do_not_fit_in_come_first_100_a_transaction(
    wire: Wire, requests: Requests, calls: CountedCalls, number: int, transactions: int
) -> None:
    requests.put(BLOG)
    sent: list[set[str]] = []

    def look(_number: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            actions = [next(iter(action.values())) for action in arguments["TransactItems"]]
            sent.append({action["TableName"] for action in actions})
            assert len(actions) <= 100

    wire.before = look
    calls.take()

    requests.put(WRITERS, members(number))

    assert calls.take() == {"BatchGetItem": 1, TRANSACT: transactions}
    assert wire.dynamo.tables.objects in sent[-1]
    assert all(tables == {wire.dynamo.tables.access} for tables in sent[:-1])
    version = item_of(wire, WRITERS).version
    assert rows_of(wire, *members(number)["members"]) == {
        (member, MEMBER_ROW): version for member in members(number)["members"]
    }


def test_rows_that_come_first_spare_those_of_a_newer_version(
    wire: Wire, requests: Requests
) -> None:
    requests.put(BLOG)
    newer = 10**15
    for member in ("member3", "member120", "member249"):
        put_row(wire, member, newer)
    put_row(wire, "member4", 1)

    requests.put(WRITERS, members(250))

    version = item_of(wire, WRITERS).version
    versions = rows_of(wire, *members(250)["members"])
    assert len(versions) == 250
    assert {principal for (principal, _), v in versions.items() if v != version} == {
        "member3",
        "member120",
        "member249",
    }
    assert versions["member3", MEMBER_ROW] == newer


def test_more_rows_than_can_be_written_in_time_are_refused_before_the_first(
    wire: Wire, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MAX_NEW_ROWS", 150)
    requests.put(BLOG)
    before = wire.rows()

    with pytest.raises(ProtocolError) as refused:
        requests.put(WRITERS, members(151))
    assert refused.value.kind is REQUEST_TOO_LARGE
    assert wire.rows() == before
    assert wire.stored(WRITERS) is None


def test_rows_whose_fate_is_unknown_let_the_client_repeat_its_request(
    wire: Wire, requests: Requests
) -> None:
    requests.put(BLOG)

    def lose(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            raise ReadTimeoutError(endpoint_url="https://dynamodb")

    wire.before = lose

    with pytest.raises(UnavailableError) as over:
        requests.put(WRITERS, members(250))
    assert over.value.may_repeat


def test_where_all_rows_are_newer_the_object_is_written(wire: Wire, requests: Requests) -> None:
    requests.put(BLOG)
    requests.put(WRITERS, {"members": []})
    for member in members(99)["members"]:
        put_row(wire, member, 10**15)

    requests.put(WRITERS, members(99))

    assert item_of(wire, WRITERS).data == members(99)


def put_row(wire: Wire, principal: str, version: int) -> None:
    row = {
        "principal": {"S": principal},
        "object": {"S": MEMBER_ROW},
        "version": {"N": str(version)},
    }
    wire.client.put_item(TableName=wire.dynamo.tables.access, Item=row)
