"""Lists of what is shared object by object: spec, "Users and permissions", section 7."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.protocol.messages import JsonObject
from chalicelib.storage import keyed
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.keys import clock_key
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    RECORDS,
    assert_error,
    body_for,
    body_of,
    made,
    user_id,
)
from tests.api.test_server import client_with
from tests.doubles import START_MS, Client, CountedCalls, Meter, Patience
from tests.raw_records import POSTS, raw_records
from tests.shared_moto import put_directly

LISTS = {"/buckets": "bucket", COLLECTIONS: "collection", GROUPS: "group", RECORDS: "record"}
BELOW = [COLLECTIONS, GROUPS, RECORDS]


def ids(client: Client, path: str = RECORDS, user: str | None = "bob", **query: str) -> list[str]:
    answer = body_of(client.ask("GET", path, user=user, **query))
    return [entry["id"] for entry in answer["data"]]


def create(client: Client, path: str, user: str = "alice", **permissions: list[str]) -> str:
    """Make an object of this list, shared so; gives its id."""
    body = body_for(f"{path}/x") | ({"permissions": permissions} if permissions else {})
    return str(body_of(client.ask("POST", path, body, user=user), 201)["data"]["id"])


@pytest.fixture
def bob(client: Client) -> str:
    made(client)
    return user_id(client, "bob")


@pytest.mark.parametrize("path", BELOW)
def test_what_is_shared_is_listed_and_nothing_else(client: Client, bob: str, path: str) -> None:
    create(client, path)
    read = create(client, path, read=[bob])
    written = create(client, path, write=[bob])
    create(client, path, read=[user_id(client, "carol")])

    answer = client.ask("GET", path, user="bob")

    assert [entry["id"] for entry in body_of(answer)["data"]] == [written, read]
    assert answer.headers["Total-Records"] == "2"
    assert answer.headers["ETag"] == client.ask("GET", path).headers["ETag"]
    head = client.ask("HEAD", path, user="bob")
    assert (head.status, head.headers) == (200, answer.headers)


@pytest.mark.parametrize("path", BELOW)
@pytest.mark.parametrize("principal", ["system.Authenticated", "system.Everyone", "group"])
def test_any_principal_of_the_user_shares(
    client: Client, bob: str, path: str, principal: str
) -> None:
    client.ask("PUT", "/buckets/other", user="carol")
    group = "/buckets/other/groups/friends"
    client.ask("PUT", group, {"data": {"members": [bob]}}, user="carol")
    shared = create(client, path, read=[group if principal == "group" else principal])

    assert ids(client, path) == [shared]
    if principal == "system.Everyone":
        assert ids(client, path, user=None) == [shared]
    else:
        assert_error(client.ask("GET", path, user=None), 401, 104)


@pytest.mark.parametrize("path", BELOW)
def test_where_nothing_is_shared_the_list_is_closed(client: Client, bob: str, path: str) -> None:
    hidden = create(client, path)
    for query in ({}, {"id": hidden}, {"_since": "0"}, {"_limit": "x"}, {"unknown": "1"}):
        assert_error(client.ask("GET", path, user="bob", **query), 403, 121)
        assert_error(client.ask("GET", path, user=None, **query), 401, 104)
    for headers in ({"If-None-Match": "*"}, {"If-Match": '"1"'}, {"If-Match": "x"}):
        assert_error(client.ask("GET", path, user="bob", headers=headers), 403, 121)
        assert_error(client.ask("DELETE", path, user="bob", headers=headers), 403, 121)


@pytest.mark.parametrize("path", BELOW)
def test_it_opens_with_the_first_and_closes_with_the_last_object(
    client: Client, bob: str, path: str
) -> None:
    endings: list[tuple[str, Any]] = [
        ("PATCH", {"permissions": {"read": []}}),
        ("PUT", body_for(f"{path}/x") | {"permissions": {"write": []}}),
        ("DELETE", None),
    ]
    for method, body in endings:
        assert client.ask("GET", path, user="bob").status == 403
        shared = create(client, path, read=[bob])
        assert ids(client, path) == [shared]

        assert client.ask(method, f"{path}/{shared}", body).status == 200

        assert client.ask("GET", path, user="bob").status == 403


def test_with_the_collection_or_bucket_what_was_shared_is_gone(client: Client, bob: str) -> None:
    for parent in (COLLECTION, BUCKET):
        shared = create(client, RECORDS, read=[bob])
        assert shared in ids(client)

        client.ask("DELETE", parent)
        assert_error(client.ask("GET", RECORDS, user="bob"), 403, 121)
        client.ask("PUT", BUCKET)
        client.ask("PUT", COLLECTION)
        assert_error(client.ask("GET", RECORDS, user="bob"), 403, 121)

        anew = create(client, RECORDS, read=[bob])
        assert ids(client) == [anew]


@pytest.fixture
def numbered(client: Client, bob: str) -> list[JsonObject]:
    """Ten records, of which bob may read those with odd numbers; as answered, oldest first."""
    found = []
    for number in range(10):
        body = {"data": {"n": number, "parity": number % 2}}
        shared = {"permissions": {"read": [bob]}} if number % 2 else {}
        found.append(body_of(client.ask("POST", RECORDS, body | shared), 201)["data"])
    return found


def test_filters_sorting_and_fields_work_on_what_is_shared(
    client: Client, numbered: list[JsonObject]
) -> None:
    def numbers(**query: str) -> list[int]:
        answer = client.ask("GET", RECORDS, user="bob", **query)
        found = [entry["n"] for entry in body_of(answer)["data"]]
        assert answer.headers["Total-Records"] == str(len(found))
        return found

    assert numbers() == [9, 7, 5, 3, 1]
    assert numbers(_sort="n") == [1, 3, 5, 7, 9]
    assert numbers(_sort="parity,-n") == [9, 7, 5, 3, 1]
    assert numbers(min_n="4", max_n="8") == [7, 5]
    assert numbers(parity="0") == []
    assert numbers(id=numbered[3]["id"]) == [3]
    assert numbers(id=numbered[4]["id"]) == []
    assert numbers(in_id=",".join(each["id"] for each in numbered[2:6])) == [5, 3]
    assert numbers(not_id=numbered[3]["id"]) == [9, 7, 5, 1]
    assert numbers(_since=str(numbered[5]["last_modified"])) == [9, 7]
    assert numbers(_before=str(numbered[5]["last_modified"]), _sort="last_modified") == [1, 3]
    shown = body_of(client.ask("GET", RECORDS, user="bob", _fields="n"))["data"]
    assert [set(entry) for entry in shown] == [{"id", "last_modified", "n"}] * 5


@pytest.mark.usefixtures("numbered")
@pytest.mark.parametrize("sort", ["", "last_modified", "n", "-n", "parity"])
def test_pages_show_each_of_them_once(client: Client, sort: str) -> None:
    whole = ids(client, _sort=sort)
    query = {"_sort": sort, "_limit": "2"}
    walked: list[str] = []
    totals = []
    while query:
        answer = client.ask("GET", RECORDS, user="bob", **query)
        totals.append(answer.headers["Total-Records"])
        walked += [entry["id"] for entry in body_of(answer)["data"]]
        query = dict(parse_qsl(urlsplit(answer.headers.get("Next-Page", "")).query))

    assert walked == whole
    assert totals == ["5"] * 3


def test_tombstones_are_not_among_them(client: Client, numbered: list[JsonObject]) -> None:
    gone = numbered[3]["id"]
    client.ask("DELETE", f"{RECORDS}/{gone}")

    assert gone not in ids(client, _since="0")
    assert gone in ids(client, user="alice", _since="0")
    assert ids(client, _since="0", deleted="true") == []


def test_etag_and_304_are_about_the_whole_list(client: Client, numbered: list[JsonObject]) -> None:
    etag = client.ask("GET", RECORDS, user="bob").headers["ETag"]
    known = {"If-None-Match": etag}
    assert client.ask("GET", RECORDS, user="bob", headers=known).status == 304

    client.ask("PATCH", f"{RECORDS}/{numbered[0]['id']}", {})  # which bob can't see

    answer = client.ask("GET", RECORDS, user="bob", headers=known)
    assert answer.status == 200
    stale = client.ask("GET", RECORDS, user="bob", headers={"If-Match": etag})
    assert_error(stale, 412, 114)
    assert stale.headers["ETag"] == answer.headers["ETag"]


def test_preconditions_come_before_what_is_wrong_with_the_query(
    client: Client, numbered: list[JsonObject]
) -> None:
    star = {"If-None-Match": "*"}
    assert client.ask("GET", RECORDS, user="bob", headers=star, _limit="x").status == 304
    assert_error(client.ask("GET", RECORDS, user="bob", _limit="x"), 400, 107)
    assert numbered


def test_who_may_read_the_parent_sees_it_all(client: Client, numbered: list[JsonObject]) -> None:
    client.ask("PATCH", COLLECTION, {"permissions": {"read": [user_id(client, "bob")]}})

    assert len(ids(client)) == len(numbered) + 1


# DELETE


@pytest.mark.parametrize("path", BELOW)
@pytest.mark.parametrize("is_reader", [False, True])
def test_deletion_takes_what_one_may_write_and_nothing_else(
    client: Client, bob: str, path: str, is_reader: bool
) -> None:
    if is_reader:
        client.ask("PATCH", BUCKET, {"permissions": {"read": [bob]}})
    first, second = (create(client, path, write=[bob]) for _ in range(2))
    create(client, path, read=[bob])
    before = ids(client, path, user="alice")

    assert body_of(client.ask("DELETE", path, user="bob", id="none"))["data"] == []
    deleted = body_of(client.ask("DELETE", path, user="bob"))["data"]

    assert [each["id"] for each in deleted] == [first, second]
    after = ids(client, path, user="alice")
    assert after == [id for id in before if id not in (first, second)]
    assert_error(client.ask("DELETE", path, user="bob"), 403, 121)
    assert_error(client.ask("DELETE", path, user=None), 401, 104)


def test_deletion_takes_filters_within_what_one_may_write(client: Client, bob: str) -> None:
    made_ids = [create(client, RECORDS, write=[bob]) for _ in range(3)]
    hidden = create(client, RECORDS)

    wanted = ",".join([made_ids[0], hidden, made_ids[2]])
    deleted = body_of(client.ask("DELETE", RECORDS, user="bob", in_id=wanted))["data"]

    assert [each["id"] for each in deleted] == [made_ids[0], made_ids[2]]
    assert ids(client, user="alice")[:2] == [hidden, made_ids[1]]


def test_a_large_deletion_goes_on_in_order_and_spares_the_others(
    client: Client, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.api.list_deletion.MAX_ACTIONS", 3)
    mine = [create(client, RECORDS, write=[bob]) for _ in range(5)]
    client.ask("PATCH", f"{RECORDS}/{mine[1]}", {})
    client.ask("PATCH", f"{RECORDS}/{mine[3]}", {"permissions": {"write": []}})

    deleted = body_of(client.ask("DELETE", RECORDS, user="bob"))["data"]

    assert [each["id"] for each in deleted] == [mine[0], mine[2], mine[4], mine[1]]
    assert mine[3] in ids(client, user="alice")


# The list of buckets


def test_the_list_of_buckets_holds_those_that_one_may_read(client: Client, bob: str) -> None:
    for id, permissions in {
        "open": {"read": ["system.Everyone"]},
        "team": {"write": [bob]},
        "made": {"collection:create": [bob]},
        "shut": {},
    }.items():
        client.ask("PUT", f"/buckets/{id}", {"permissions": permissions})
    client.ask("PUT", "/buckets/own", user="bob")

    assert ids(client, "/buckets") == ["own", "team", "open"]
    assert ids(client, "/buckets", user=None) == ["open"]
    assert ids(client, "/buckets", user="carol") == ["open"]
    assert ids(client, "/buckets", _sort="id", _limit="2") == ["open", "own"]
    assert ids(client, "/buckets", id="team") == ["team"]
    assert ids(client, "/buckets", id="shut") == []


def test_without_any_bucket_users_see_an_empty_list_and_the_anonymous_401(client: Client) -> None:
    answer = client.ask("GET", "/buckets", user="bob")
    assert body_of(answer) == {"data": []}
    assert answer.headers["Total-Records"] == "0"
    assert answer.headers["ETag"] == f'"{START_MS}"'  # of its first use
    assert client.ask("GET", "/buckets", user="bob").headers == answer.headers
    assert_error(client.ask("GET", "/buckets", user=None), 401, 104)
    assert_error(client.ask("DELETE", "/buckets", user=None), 401, 104)
    assert_error(client.ask("DELETE", "/buckets", user="bob"), 403, 121)
    made(client)
    assert body_of(client.ask("GET", "/buckets", user="bob")) == {"data": []}
    assert_error(client.ask("GET", "/buckets", user=None), 401, 104)


def test_deletion_of_buckets_takes_those_that_one_may_write(client: Client, bob: str) -> None:
    client.ask("PUT", "/buckets/mine", user="bob")
    client.ask("PUT", "/buckets/mine/collections/c", user="bob")
    client.ask("PUT", "/buckets/ours", {"permissions": {"write": [bob]}})
    client.ask("PUT", "/buckets/seen", {"permissions": {"read": [bob]}})

    deleted = body_of(client.ask("DELETE", "/buckets", user="bob"))["data"]

    assert [each["id"] for each in deleted] == ["mine", "ours"]
    assert ids(client, "/buckets") == ["seen"]
    assert ids(client, "/buckets", user="alice") == ["seen", "blog"]
    assert ids(client, "/buckets", _since="0") == ["seen"]
    assert_error(client.ask("GET", "/buckets/mine/collections/c", user="bob"), 403, 121)
    assert_error(client.ask("DELETE", "/buckets", user="bob"), 403, 121)


def test_a_setting_opens_the_whole_list_of_buckets_with_its_tombstones(
    client: Client, dynamo: Dynamo, bob: str
) -> None:
    reader = client_with(dynamo, bucket_read_principals=frozenset({bob}))
    writer = client_with(dynamo, bucket_write_principals=frozenset({bob}))
    for id in ("a", "b", "c"):
        client.ask("PUT", f"/buckets/{id}", {"data": {"x": id}})
    client.ask("DELETE", "/buckets/b")

    assert ids(reader, "/buckets") == ["c", "a", "blog"]
    assert reader.ask("GET", "/buckets", user="bob").headers["Total-Records"] == "3"
    assert ids(reader, "/buckets", _since="0") == ["b", "c", "a", "blog"]
    assert ids(reader, "/buckets", _sort="id", _limit="2") == ["a", "blog"]
    assert ids(reader, "/buckets", in_id="a,b,z") == ["a"]
    assert ids(reader, "/buckets", user="alice") == ["c", "a", "blog"]  # her own
    assert body_of(reader.ask("GET", "/buckets", user="carol"))["data"] == []
    deleted = body_of(writer.ask("DELETE", "/buckets", user="bob", not_id="a"))["data"]
    assert [each["id"] for each in deleted] == ["blog", "c"]
    assert ids(reader, "/buckets") == ["a"]


# What it costs

PAGE_OF_SHARED = {"BatchGetItem": 2, "Query": 5}
"""Parents and clock; rows by four principals, and the groups of the user; the objects."""


def test_a_shared_list_costs_what_is_shared(client: Client, dynamo: Dynamo, bob: str) -> None:
    shared = [create(client, RECORDS, read=[bob]) for _ in range(3)]
    client.ask("PATCH", f"{RECORDS}/{shared[0]}", {})
    raws = raw_records(range(5_000), within=within_of(dynamo))
    put_directly(dynamo.tables.objects, raws)
    meter = Meter(dynamo._connection.client)

    queries: list[dict[str, str]] = [{}, {"_limit": "2"}, {"_since": "0"}, {"title": "x"}]
    for query in queries:
        client.ask("GET", RECORDS, user="bob", **query)
        cost = meter.take()
        assert cost.calls == PAGE_OF_SHARED
        # Parents and clock; three rows; three objects, and one that the clock names.
        assert cost.items_read == 3 + 3 + 4
    assert ids(client) == [shared[0], shared[2], shared[1]]


def within_of(dynamo: Dynamo) -> str:
    """The incarnation of the collection."""
    key = clock_key(POSTS)
    return str(dynamo.get([key], Patience().deadline())[key]["within"]["S"])


def depth(client: Client, dynamo: Dynamo, calls: CountedCalls, path: str) -> int:
    """How many round trips a request takes: calls that are made together are one."""
    together = dynamo.parallel
    is_within = False
    trips = 0

    def counted(call: Any, arguments: Any) -> Any:
        nonlocal is_within, trips
        if is_within:
            return together(call, arguments)
        is_within, before = True, calls.by_operation.total()
        try:
            return together(call, arguments)
        finally:
            is_within = False
            trips += calls.by_operation.total() > before

    dynamo.parallel = counted  # type: ignore[method-assign]
    try:
        assert client.ask("GET", path, user="bob").status == 200
    finally:
        del dynamo.parallel  # type: ignore[method-assign]
    return trips


@pytest.mark.parametrize("path", [RECORDS, "/buckets"])
def test_each_look_at_groups_takes_a_shared_page_one_round_trip_more(
    client: Client, dynamo: Dynamo, calls: CountedCalls, bob: str, path: str
) -> None:
    groups = [f"{BUCKET}/groups/g{number}" for number in range(3)]
    for group in groups:
        client.ask("PUT", group, {"data": {"members": [bob]}})
        create(client, path, read=[group])
    create(client, path, read=[bob])
    client.ask("PATCH", COLLECTION, {"permissions": {"read": [GROUP]}})  # bob isn't in that one
    calls.take()

    assert depth(client, dynamo, calls, path) == 5 - (path == "/buckets")

    # Parents and clock; GROUP; the groups of the user, and rows of four principals; rows of three
    # groups, and these themselves; the objects.
    assert calls.take() == {"BatchGetItem": 4 - (path == "/buckets"), "Query": 1 + 7}
    assert len(ids(client, path)) == 4


def test_what_names_the_user_often_is_read_in_parts(
    client: Client, bob: str, monkeypatch: pytest.MonkeyPatch, calls: CountedCalls
) -> None:
    monkeypatch.setattr(keyed, "KEYS_AT_ONCE", 2)
    shared = [create(client, RECORDS, read=[bob]) for _ in range(7)]
    etag = client.ask("GET", RECORDS).headers["ETag"]
    assert sorted(ids(client)) == sorted(shared)
    calls.take()

    assert client.ask("GET", RECORDS, user="bob", headers={"If-None-Match": etag}).status == 304
    assert calls.take()["BatchGetItem"] <= 3  # up to the first that is shared


@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.sampled_from(["read", "write", "none", "gone", "revoked"]), max_size=6))
def test_rows_only_propose_and_permissions_decide(client: Client, fates: list[str]) -> None:
    made(client)
    bob = user_id(client, "bob")
    expected = []
    for fate in fates:
        granted = {} if fate == "none" else {"write" if fate == "write" else "read": [bob]}
        id = create(client, RECORDS, **granted)
        if fate == "gone":
            client.ask("DELETE", f"{RECORDS}/{id}")
        elif fate == "revoked":
            client.ask("PATCH", f"{RECORDS}/{id}", {"permissions": {"read": []}})
        elif fate != "none":
            expected.append(id)

    answer = client.ask("GET", RECORDS, user="bob")

    if expected:
        assert sorted(each["id"] for each in body_of(answer)["data"]) == sorted(expected)
    else:
        assert_error(answer, 403, 121)
