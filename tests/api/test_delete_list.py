"""DELETE of a list: in one transaction where it fits, else by chunks.

Rule: spec, "Lists", section 8.
"""

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore import exceptions as botocore

from chalicelib.api import list_deletion
from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol import kinds
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.uris import ListUri
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.staging import Origin
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.api.filling import fill
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUPS,
    LISTS,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    made,
    state,
    user_id,
)
from tests.api.shelves import asked, listed, names, shelved
from tests.doubles import SECRET, START_MS, Client, Patience, SetClock
from tests.shared_moto import empty_streams
from tests.storage.stand_ins import TRANSACT, Hook, Wire, cancelled, client_error

READ = "BatchGetItem"


@pytest.fixture
def wire(dynamo: Dynamo) -> Wire:
    """The way to the tables, on which something may happen."""
    return Wire(dynamo._connection, dynamo.tables)


@pytest.fixture
def client(wire: Wire, clock: SetClock, settings: Settings) -> Client:
    """A client of a service at the end of this way."""
    return client_of(Storage(wire.dynamo, clock), settings)


@pytest.fixture
def ahead(wire: Wire, settings: Settings) -> Client:
    """The same, its clock before all others: what they write gets no time that is too late."""
    return client_of(
        Storage(wire.dynamo, itertools.count(START_MS + 10_000, 1_000).__next__), settings
    )


@pytest.fixture
def rival(wire: Wire, clock: SetClock, settings: Settings) -> Client:
    """A client of another container, to which nothing happens."""
    return client_of(Storage(wire.rival, clock), settings)


def client_of(storage: Storage, settings: Settings) -> Client:
    """A client of a service over this storage."""
    return Client(Service(settings, storage, [BasicPolicy(SECRET)]))


@pytest.fixture
def by_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions take three records, or a collection, beside the list's clock."""
    monkeypatch.setattr(list_deletion, "MAX_ACTIONS", 4)


def lettered(client: Client, letters: str = "abcdefgh") -> list[JsonObject]:
    """A record for each letter, with its number, the oldest first."""
    return shelved(client, [{"name": name, "n": n} for n, name in enumerate(letters)])


def uri_of(record: JsonObject) -> str:
    """The address of a record."""
    return f"{RECORDS}/{record['id']}"


def ids_of(entries: list[JsonObject]) -> list[str]:
    """The ids of these objects or tombstones."""
    return [entry["id"] for entry in entries]


def tombstones_of(answer: Response) -> list[JsonObject]:
    """What an answer says was deleted."""
    found: list[JsonObject] = body_of(answer)["data"]
    times = [tombstone["last_modified"] for tombstone in found]
    assert times == sorted(set(times))
    assert all(tombstone["deleted"] is True for tombstone in found)
    return found


def buried(client: Client, path: str = RECORDS) -> list[JsonObject]:
    """All tombstones of a list, the oldest first."""
    return listed(
        client, ("_since", "0"), ("deleted", "true"), ("_sort", "last_modified"), path=path
    )


def at(operation: str, number: int, act: Callable[[], object]) -> Hook:
    """What acts at the n-th call of this operation, and at no other."""
    seen: list[int] = []

    def hook(call: int, found: str, _arguments: dict[str, Any]) -> None:
        if found == operation:
            seen.append(call)
            if len(seen) == number:
                act()

    return hook


def from_on(operation: str, number: int, act: Callable[[], object]) -> Hook:
    """What acts at the n-th call of this operation and at all that follow."""
    seen: list[int] = []

    def hook(call: int, found: str, _arguments: dict[str, Any]) -> None:
        if found == operation:
            seen.append(call)
            if len(seen) >= number:
                act()

    return hook


def raises(error: BaseException) -> Callable[[], object]:
    """What fails so."""

    def act() -> None:
        raise error

    return act


def test_every_object_is_deleted_the_one_changed_longest_ago_first(client: Client) -> None:
    made(client)
    ids = [RECORD[-36:]]
    ids += [body_of(client.ask("POST", RECORDS), 201)["data"]["id"] for _ in range(4)]
    client.ask("PATCH", RECORD, {})

    answer = client.ask("DELETE", RECORDS)

    tombstones = body_of(answer)["data"]
    assert [tombstone["id"] for tombstone in tombstones] == [*ids[1:], ids[0]]
    assert all(tombstone.keys() == {"id", "last_modified", "deleted"} for tombstone in tombstones)
    times = [tombstone["last_modified"] for tombstone in tombstones]
    assert times == sorted(set(times))
    assert not {"Total-Records", "Next-Page"} & answer.headers.keys()
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{times[-1]}"'
    assert body_of(client.ask("GET", RECORDS, _since="0"))["data"] == tombstones[::-1]


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_does_not_move(client: Client, path: str) -> None:
    made(client)
    if path == COLLECTIONS:
        client.ask("DELETE", COLLECTION)
    else:
        client.ask("DELETE", path)
    before = client.ask("GET", path).headers["ETag"]

    assert body_of(client.ask("DELETE", path)) == {"data": []}
    assert client.ask("GET", path).headers["ETag"] == before


def test_what_is_below_goes_too(client: Client) -> None:
    made(client)

    client.ask("DELETE", COLLECTIONS)
    client.ask("PUT", COLLECTION)

    assert_error(client.ask("GET", RECORD), 404, 111)
    assert body_of(client.ask("GET", RECORDS, _since="0"))["data"] == []


def test_only_what_the_times_let_through_is_deleted(client: Client) -> None:
    made(client)
    records = [body_of(client.ask("POST", RECORDS), 201)["data"] for _ in range(4)]
    since, before = records[0]["last_modified"], records[3]["last_modified"]

    answer = client.ask("DELETE", RECORDS, _since=str(since), _before=f'"{before}"')

    assert [it["id"] for it in body_of(answer)["data"]] == [it["id"] for it in records[1:3]]
    left = [it["id"] for it in body_of(client.ask("GET", RECORDS))["data"]]
    assert left == [records[3]["id"], records[0]["id"], RECORD[-36:]]


def test_to_is_answered_with_an_alert(client: Client) -> None:
    made(client)

    answer = client.ask("DELETE", RECORDS, _to="1")

    assert body_of(answer) == {"data": []}
    assert "_to is now deprecated" in answer.headers["Alert"]


def test_other_parameters_of_lists_have_no_effect(client: Client) -> None:
    made(client)

    answer = client.ask(
        "DELETE", GROUPS, _limit="x", _token="abc", _sort="-last_modified", _fields="colour"
    )

    assert len(body_of(answer)["data"]) == 1


@pytest.mark.parametrize("name", ["_since", "_before", "_to"])
def test_a_time_that_is_none_deletes_nothing(client: Client, name: str) -> None:
    made(client)
    before = state(client)

    answer = client.ask("DELETE", RECORDS, **{name: "abc"})

    assert_invalid(answer, "querystring", name, f"Invalid value for {name}")
    assert state(client) == before


@pytest.mark.parametrize("query", [{}, {"_since": "x"}, {"_before": "0"}])
def test_a_stale_if_match_comes_before_anything_else(client: Client, query: dict[str, str]) -> None:
    made(client)
    current = client.ask("GET", RECORDS).headers["ETag"]
    before = state(client)

    answer = client.ask("DELETE", RECORDS, headers={"If-Match": '"1"'}, **query)

    assert_error(answer, 412, 114)
    assert body_of(answer, 412)["details"] == {}
    assert answer.headers["ETag"] == current
    assert state(client) == before


@pytest.mark.parametrize("value", ["{}", '"99999999999999"'])
def test_a_current_or_future_if_match_goes_on(client: Client, value: str) -> None:
    made(client)
    current = client.ask("GET", RECORDS).headers["ETag"]

    answer = client.ask("DELETE", RECORDS, headers={"If-Match": value.format(current)})

    assert len(body_of(answer)["data"]) == 1


def test_a_malformed_if_match_deletes_nothing(client: Client) -> None:
    made(client)
    before = state(client)

    assert_error(client.ask("DELETE", RECORDS, headers={"If-Match": "*"}), 400, 107)
    assert state(client) == before


def test_large_records_are_deleted_like_others(client: Client) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    for _ in range(3):
        client.ask("POST", RECORDS, {"data": {"text": "the same again " * 150_000}})

    assert len(body_of(client.ask("DELETE", RECORDS))["data"]) == 3


def test_as_much_as_a_transaction_takes_is_deleted(client: Client, dynamo: Dynamo) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, 99)

    tombstones = body_of(client.ask("DELETE", RECORDS))["data"]

    assert len(tombstones) == 99
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "0"


# Filters


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("n", "3")], "d"),
        ([("n", '"3"')], ""),
        ([("not_n", "3")], "abcefgh"),
        ([("min_n", "2"), ("lt_n", "6.5")], "cdefg"),
        ([("gt_n", "2"), ("max_n", "6"), ("not_n", "4")], "dfg"),
        ([("in_name", "h,a,x,c,b,")], "abch"),
        ([("exclude_name", "h,a")], "bcdefg"),
        ([("none", "1")], ""),
        ([("not_none", "1")], "abcdefgh"),
        ([("n.x", "1")], ""),
        ([("deleted", "true")], ""),
        ([("not_deleted", "true")], "abcdefgh"),
        ([("_since", "0"), ("deleted", "true")], ""),
        ([("_since", "0"), ("min_n", "6")], "gh"),
        ([("_unknown", "1"), ("_limit", "2"), ("_sort", "-n"), ("_token", "x")], "abcdefgh"),
    ],
    ids=str,
)
def test_what_the_filters_let_through_is_deleted_and_nothing_else(
    client: Client, parameters: list[tuple[str, str]], expected: str
) -> None:
    records = {record["name"]: record for record in lettered(client)}
    before = client.ask("GET", RECORDS).headers["ETag"]

    tombstones = tombstones_of(asked(client, *parameters, method="DELETE"))

    assert ids_of(tombstones) == [records[name]["id"] for name in expected]
    left = listed(client, ("_sort", "n"))
    assert names(left) == [name for name in records if name not in expected]
    assert buried(client) == tombstones
    newest = f'"{tombstones[-1]["last_modified"]}"' if tombstones else before
    assert client.ask("GET", RECORDS).headers["ETag"] == newest


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("name", "places", "expected"),
    [
        ("_since", [3], "efgh"),
        ("_before", [4], "abcd"),
        ("_to", [1], "a"),
        ("last_modified", [2], "c"),
        ("not_last_modified", [2], "abdefgh"),
        ("min_last_modified", [2], "cdefgh"),
        ("in_last_modified", [6, 2, 0, 4], "aceg"),
        ("exclude_last_modified", [6, 2, 0, 4], "bdfh"),
        ("id", [5], "f"),
        ("not_id", [5], "abcdegh"),
        ("in_id", [0, 3, 5], "adf"),
        ("exclude_id", [1, 2, 3, 4], "afgh"),
    ],
)
def test_times_and_ids_select_what_is_deleted(
    client: Client, name: str, places: list[int], expected: str
) -> None:
    records = lettered(client)
    field = "id" if name.endswith("id") else "last_modified"
    value = ",".join(str(records[place][field]) for place in places)

    tombstones = tombstones_of(client.ask("DELETE", RECORDS, **{name: value}))

    letters = {record["id"]: record["name"] for record in records}
    assert "".join(letters[tombstone["id"]] for tombstone in tombstones) == expected
    assert buried(client) == tombstones


@pytest.mark.parametrize(
    ("path", "name", "text", "expected"),
    [
        (COLLECTIONS, "cache_expires", "60", "b"),
        (COLLECTIONS, "not_cache_expires", "60", "ac"),
        (COLLECTIONS, "in_id", "a,c,none,!", "ac"),
        (COLLECTIONS, "schema", "x", ""),
        (GROUPS, "not_members", "x", "abc"),
        (GROUPS, "gt_id", "a", "bc"),
        (GROUPS, "id", '"a"', "a"),
    ],
)
def test_filters_of_other_objects(
    client: Client, path: str, name: str, text: str, expected: str
) -> None:
    objects = [{"id": id, "members": []} for id in "abc"]
    objects[1]["cache_expires"] = 60
    shelved(client, objects, path=path)

    answer = client.ask("DELETE", path, **{name: text})

    assert "".join(ids_of(tombstones_of(answer))) == expected
    left = [id for id in "abc" if id not in expected]
    assert ids_of(listed(client, ("_sort", "id"), path=path)) == left


@pytest.mark.parametrize(
    ("path", "name", "text", "problem"),
    [
        (COLLECTIONS, "min_title", "1", (None, "Unknown filter field 'min_title'")),
        (GROUPS, "title", "1", (None, "Unknown filter field 'title'")),
        (RECORDS, "in_last_modified", "1,x", ("in_last_modified", "Invalid value for {}")),
        (GROUPS, "last_modified", "x", ("last_modified", "Invalid value for {}")),
    ],
)
def test_a_filter_that_is_none_deletes_nothing(
    client: Client, path: str, name: str, text: str, problem: tuple[str | None, str]
) -> None:
    made(client)
    before = state(client)

    answer = asked(
        client, ("_limit", "x"), (name, text), ("_sort", "title"), method="DELETE", path=path
    )

    assert_invalid(answer, "querystring", problem[0], problem[1].format(name))
    assert "ETag" not in answer.headers
    assert state(client) == before


def test_permissions_end_with_the_objects(client: Client) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"permissions": {"read": ["system.Everyone"]}})

    client.ask("DELETE", RECORDS)
    again = body_of(client.ask("PUT", RECORD), 201)

    assert again["permissions"] == {"write": [user_id(client, "alice")]}


@pytest.mark.usefixtures("by_three")
def test_ids_are_deleted_in_the_order_of_time_whatever_they_are(client: Client) -> None:
    records = lettered(client)
    by_id = sorted(records, key=lambda record: record["id"])
    for record in by_id[:3]:  # what comes first by its id is the newest
        client.ask("PATCH", uri_of(record), {})
    in_order = ids_of(listed(client, ("_sort", "last_modified")))

    answer = client.ask("DELETE", RECORDS, in_id=",".join(in_order[::-1]))

    assert ids_of(tombstones_of(answer)) == in_order


@pytest.mark.usefixtures("by_three")
def test_large_records_are_deleted_in_the_order_of_time(client: Client) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    for number in range(5):
        text = "".join(f"{n * n:x}" for n in range(25_000)) if number == 0 else ""
        client.ask("POST", RECORDS, {"data": {"text": text}})
    in_order = ids_of(listed(client, ("_sort", "last_modified")))

    answer = client.ask("DELETE", RECORDS, not_text="none")

    assert ids_of(tombstones_of(answer)) == in_order


# By chunks


def test_more_than_a_transaction_takes_is_deleted_by_chunks(
    client: Client, rival: Client, wire: Wire, dynamo: Dynamo
) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, 101)
    in_order = ids_of(listed(client, ("_sort", "last_modified")))
    left: list[str] = []
    sizes: list[int] = []

    def look(_call: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            empty_streams()
            sizes.append(len(arguments["TransactItems"]))
            left.append(rival.ask("HEAD", RECORDS).headers["Total-Records"])

    wire.after = look
    answer = client.ask("DELETE", RECORDS)

    tombstones = tombstones_of(answer)
    assert sizes == [100, 3]
    assert left == ["2", "0"]
    assert ids_of(tombstones) == in_order
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{tombstones[-1]["last_modified"]}"'
    assert buried(client) == tombstones
    assert not {"Total-Records", "Next-Page", "ETag", "Retry-After"} & answer.headers.keys()


def test_many_collections_are_deleted_with_all_that_is_below(
    client: Client, wire: Wire, clock: SetClock
) -> None:
    client.ask("PUT", BUCKET)
    ids = [f"c{number}" for number in range(51)]
    for some in (ids[:30], ids[30:]):
        make_collections(Storage(wire.rival, clock), some)
        empty_streams()
    inhabited = [f"{COLLECTIONS}/{id}/records" for id in (ids[0], ids[50])]
    for path in inhabited:
        body_of(client.ask("POST", path), 201)
    sizes: list[int] = []

    def note(_call: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            sizes.append(len(arguments["TransactItems"]))
            empty_streams()

    wire.before = note
    tombstones = tombstones_of(client.ask("DELETE", COLLECTIONS))
    wire.quiet()

    assert sizes == [2 * 49 + 1, 2 * 2 + 1]
    assert ids_of(tombstones) == ids
    assert buried(client, COLLECTIONS) == tombstones
    for path in inhabited:
        assert_error(client.ask("GET", path), 404, 111)
        client.ask("PUT", path.removesuffix("/records"))
        assert body_of(client.ask("GET", path, _since="0"))["data"] == []


def make_collections(storage: Storage, ids: list[str]) -> None:
    """Make empty collections, all in one transaction."""
    uris = [ListUri(kinds.COLLECTION, ("blog",)).object(id) for id in ids]

    def work(unit: UnitOfWork) -> None:
        lists = [below for uri in uris for below in uri.lists]
        unit.load([*uris[0].ancestors, *uris], [uris[0].list, *lists])
        for uri in uris:
            unit.put(uri, {}, {}, origin=Origin())

    storage.run(work, Patience().deadline())


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize("count", [2, 3, 4, 6, 7])
def test_chunks_of_any_number_are_deleted(client: Client, wire: Wire, count: int) -> None:
    records = lettered(client, "abcdefgh"[:count])
    transactions: list[int] = []
    wire.after = lambda call, operation, _: (
        transactions.append(call) if operation == TRANSACT else None
    )

    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    assert ids_of(tombstones) == ids_of(records)
    assert len(transactions) == -(-count // 3)
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "0"


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize("path", LISTS)
def test_every_kind_of_list_is_deleted_by_chunks(client: Client, path: str) -> None:
    objects = shelved(client, [{"members": ["a"]} for _ in range(5)], path=path)

    tombstones = tombstones_of(client.ask("DELETE", path))

    assert ids_of(tombstones) == ids_of(objects)
    assert buried(client, path) == tombstones
    assert client.ask("GET", path).headers["ETag"] == f'"{tombstones[-1]["last_modified"]}"'
    assert body_of(client.ask("DELETE", path)) == {"data": []}


@pytest.mark.usefixtures("by_three")
def test_whoever_looks_on_sees_whole_chunks(client: Client, rival: Client, wire: Wire) -> None:
    records = lettered(client)
    seen: list[list[JsonObject]] = []

    def look(_call: int, _operation: str, _arguments: dict[str, Any]) -> None:
        seen.append(listed(rival, ("_since", "0"), ("_sort", "last_modified")))

    wire.before = wire.after = look
    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    for entries in seen:
        done = len(entries) - sum("name" in entry for entry in entries)
        assert entries == [*records[done:], *tombstones[:done]]
        assert done in (0, 3, 6, 8)
    assert seen[0] == records
    assert seen[-1] == tombstones


# If-Match, by chunks

FROM_THE_FUTURE = {"If-Match": '"99999999999999"'}


def new(rival: Client) -> Callable[[], object]:
    """What makes a record that no filter on `name` finds."""
    return lambda: rival.ask("POST", RECORDS, {"data": {}})


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize("value", ["{}", '"99999999999999"'])
def test_if_match_holds_from_chunk_to_chunk(client: Client, value: str) -> None:
    records = lettered(client)
    current = client.ask("GET", RECORDS).headers["ETag"]

    answer = client.ask("DELETE", RECORDS, headers={"If-Match": value.format(current)})

    assert ids_of(tombstones_of(answer)) == ids_of(records)
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "0"


MOMENTS = [
    # once two chunks are done, before the third is read; when it was; when it is to be written
    pytest.param("after", TRANSACT, 2, id="between chunks"),
    pytest.param("after", READ, 4, id="chunk read"),
    pytest.param("before", TRANSACT, 3, id="chunk decided"),
]


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
def test_with_if_match_a_write_of_others_ends_it_with_what_was_done(
    client: Client,
    ahead: Client,
    rival: Client,
    wire: Wire,
    when: str,
    operation: str,
    number: int,
) -> None:
    records = lettered(client)
    current = client.ask("GET", RECORDS).headers["ETag"]
    setattr(wire, when, at(operation, number, new(rival)))

    answer = ahead.ask("DELETE", RECORDS, headers=FROM_THE_FUTURE)

    wire.quiet()
    tombstones = tombstones_of(answer)
    assert ids_of(tombstones) == ids_of(records[:6])
    assert buried(client) == tombstones
    left = listed(client, ("_sort", "n"))
    assert left[:2] == records[6:]
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{left[2]["last_modified"]}"'
    again = client.ask("DELETE", RECORDS, headers={"If-Match": current})
    assert_error(again, 412, 114)


@pytest.mark.usefixtures("by_three")
def test_with_if_match_a_write_before_the_first_chunk_is_412(
    client: Client, ahead: Client, rival: Client, wire: Wire
) -> None:
    lettered(client)
    current = client.ask("GET", RECORDS).headers["ETag"]
    wire.before = at(TRANSACT, 1, new(rival))

    answer = ahead.ask("DELETE", RECORDS, headers={"If-Match": current})

    assert_error(answer, 412, 114)
    assert buried(client) == []
    assert answer.headers["ETag"] == client.ask("GET", RECORDS).headers["ETag"] != current


@pytest.mark.usefixtures("by_three")
def test_with_if_match_writes_elsewhere_do_not_matter(
    client: Client, rival: Client, wire: Wire
) -> None:
    records = lettered(client)
    current = client.ask("GET", RECORDS).headers["ETag"]
    wire.before = from_on(TRANSACT, 1, lambda: rival.ask("PATCH", COLLECTION, {"data": {"a": 1}}))

    answer = client.ask("DELETE", RECORDS, headers={"If-Match": current})

    assert ids_of(tombstones_of(answer)) == ids_of(records)


# Others write meanwhile


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
@pytest.mark.parametrize(
    ("data", "is_deleted"),
    [({"n": 60}, True), ({"n": -1}, False)],
    ids=str,
)
def test_what_changes_meanwhile_is_held_against_the_filters_again(
    client: Client,
    rival: Client,
    wire: Wire,
    *,
    when: str,
    operation: str,
    number: int,
    data: JsonObject,
    is_deleted: bool,
) -> None:
    records = lettered(client)
    seventh = uri_of(records[6])
    setattr(wire, when, at(operation, number, lambda: rival.ask("PATCH", seventh, {"data": data})))

    tombstones = tombstones_of(client.ask("DELETE", RECORDS, min_n="0"))

    wire.quiet()
    in_order = [*records[:6], records[7], *([records[6]] if is_deleted else [])]
    assert ids_of(tombstones) == ids_of(in_order)
    assert buried(client) == tombstones
    assert ids_of(listed(client)) == ([] if is_deleted else [records[6]["id"]])


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
def test_what_others_delete_meanwhile_is_theirs(
    client: Client, rival: Client, wire: Wire, when: str, operation: str, number: int
) -> None:
    records = lettered(client)
    setattr(wire, when, at(operation, number, lambda: rival.ask("DELETE", uri_of(records[6]))))

    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    wire.quiet()
    assert ids_of(tombstones) == ids_of([*records[:6], records[7]])
    theirs = [each for each in buried(client) if each not in tombstones]
    assert ids_of(theirs) == [records[6]["id"]]
    assert listed(client) == []


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
def test_what_others_make_again_meanwhile_is_left(
    client: Client, rival: Client, wire: Wire, when: str, operation: str, number: int
) -> None:
    records = lettered(client)
    first = uri_of(records[0])
    setattr(wire, when, at(operation, number, lambda: rival.ask("PUT", first, {"data": {"n": 0}})))

    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    wire.quiet()
    assert ids_of(tombstones) == ids_of(records)
    assert ids_of(listed(client)) == [records[0]["id"]]


def test_a_record_that_is_met_before_and_after_its_change_is_deleted_once(
    client: Client, wire: Wire
) -> None:
    records = lettered(client)
    wire.torn = lambda id: id == records[1]["id"]  # lists show its change later than the others
    client.ask("PATCH", uri_of(records[1]), {"data": {"n": 10}})
    wire.torn = None

    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    assert ids_of(tombstones) == ids_of([records[0], *records[2:], records[1]])
    assert buried(client) == tombstones


CONFLICT = cancelled("TransactionConflict")


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (1, CONFLICT),
        (2, CONFLICT),
        (3, CONFLICT),
        (2, cancelled("ThrottlingError")),
        (2, client_error("ThrottlingException")),
    ],
    ids=str,
)
def test_a_refused_chunk_is_written_again_and_nothing_twice(
    client: Client, wire: Wire, number: int, error: BaseException
) -> None:
    records = lettered(client)
    seen: list[int] = []

    def refuse(call: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            seen.append(call)
            if number <= len(seen) < number + 3:
                raise error

    wire.before = refuse
    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    wire.quiet()
    assert ids_of(tombstones) == ids_of(records)
    assert buried(client) == tombstones
    assert len(seen) == 3 + 3


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize("number", range(1, 9))
def test_a_writer_at_any_call_makes_nothing_lost_or_done_twice(
    client: Client, rival: Client, wire: Wire, number: int
) -> None:
    records = lettered(client)
    happened: list[int] = []

    def change(call: int, _operation: str, _arguments: dict[str, Any]) -> None:
        if call == number:
            happened.append(call)
            rival.ask("PATCH", uri_of(records[7]), {"data": {"n": 70}})
            rival.ask("PATCH", uri_of(records[1]), {"data": {"n": 10}})

    wire.before = change
    tombstones = tombstones_of(client.ask("DELETE", RECORDS))

    wire.quiet()
    assert happened
    assert sorted(ids_of(tombstones)) == sorted(ids_of(records))
    assert buried(client) == tombstones
    assert listed(client) == []
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{tombstones[-1]["last_modified"]}"'


# Rights and places that end meanwhile


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
@pytest.mark.parametrize(
    ("gone", "again"), [(COLLECTION, False), (COLLECTION, True), (BUCKET, False), (BUCKET, True)]
)
def test_where_the_place_is_deleted_meanwhile_it_ends_with_what_was_done(
    client: Client,
    rival: Client,
    wire: Wire,
    *,
    gone: str,
    again: bool,
    when: str,
    operation: str,
    number: int,
) -> None:
    records = lettered(client)

    def end() -> None:
        rival.ask("DELETE", gone)
        for path in (BUCKET, COLLECTION) if again else ():
            rival.ask("PUT", path)
        if again:
            rival.ask("POST", RECORDS, {"data": {"name": "after"}})

    setattr(wire, when, at(operation, number, end))

    answer = client.ask("DELETE", RECORDS)

    wire.quiet()
    # A deletion of the bucket closes its own lists alone: what overlaps with it comes before it.
    is_before = gone == BUCKET and not again and (when, operation) != ("after", TRANSACT)
    assert ids_of(tombstones_of(answer)) == ids_of(records[: 8 if is_before else 6])
    if again:
        assert names(listed(client, ("_since", "0"))) == ["after"]


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("when", "operation", "number"), MOMENTS)
def test_where_the_right_ends_meanwhile_it_ends_with_what_was_done(
    client: Client,
    rival: Client,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    when: str,
    operation: str,
    number: int,
) -> None:
    records = lettered(client)
    bob = user_id(client, "bob")
    client.ask("PATCH", COLLECTION, {"permissions": {"write": [bob]}})
    nobody: JsonObject = {"permissions": {"write": []}}
    setattr(wire, when, at(operation, number, lambda: rival.ask("PATCH", COLLECTION, nobody)))

    answer = client.ask("DELETE", RECORDS, user="bob")

    wire.quiet()
    # A right that was there when the chunk was read is enough for that chunk.
    done = 6 if (when, operation) == ("after", TRANSACT) else 8
    assert ids_of(tombstones_of(answer)) == ids_of(records[:done])
    assert len(listed(client)) == 8 - done
    assert ("stopped on its way" in caplog.text) is (done == 6)


@pytest.mark.usefixtures("by_three")
def test_of_shared_ones_what_is_withdrawn_meanwhile_stays(
    client: Client, rival: Client, wire: Wire
) -> None:
    records = lettered(client)
    shared = {"permissions": {"write": [user_id(client, "bob")]}}
    for record in records:
        client.ask("PATCH", uri_of(record), shared)
    withdrawn: JsonObject = {"permissions": {"write": []}}
    wire.after = at(TRANSACT, 1, lambda: rival.ask("PATCH", uri_of(records[4]), withdrawn))

    answer = client.ask("DELETE", RECORDS, user="bob")

    wire.quiet()
    assert ids_of(tombstones_of(answer)) == ids_of([*records[:4], *records[5:]])
    assert [record["id"] for record in listed(client)] == [records[4]["id"]]


# Time


def hurried(client: Client, patience: Patience) -> Client:
    """The same client, with so much time for all its requests."""
    return Client(client.service, lambda: patience)


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("number", "count", "headers"),
    [
        *((number, None, {}) for number in (1, 2, 3)),
        *((number, 3, {}) for number in (4, 5)),
        *((number, 6, {}) for number in (6, 7)),
        (8, 8, {}),
        (3, None, FROM_THE_FUTURE),
        (4, 3, FROM_THE_FUTURE),
        (7, 6, FROM_THE_FUTURE),
    ],
    ids=str,
)
def test_where_time_ends_at_any_call_what_was_done_is_answered(
    client: Client, wire: Wire, number: int, count: int | None, headers: dict[str, str]
) -> None:
    records = lettered(client)
    before = state(client)
    patience = Patience()

    def end(call: int, _operation: str, _arguments: dict[str, Any]) -> None:
        if call == number:
            patience.remaining_s = 1

    wire.after = end
    answer = hurried(client, patience).ask("DELETE", RECORDS, headers=headers)

    wire.quiet()
    assert check_outcome(client, answer, records, before) == count


def check_outcome(
    client: Client, answer: Response, records: list[JsonObject], before: dict[str, Any]
) -> int | None:
    """Hold an answer to what was done, and let it be finished; how many, or None with 503."""
    if answer.status == 503:
        assert_error(answer, 503, 201)
        assert answer.headers["Retry-After"] == "3"
        assert state(client) == before
        count, done = None, []
    else:
        done = tombstones_of(answer)
        count = len(done)
        assert "Retry-After" not in answer.headers
        assert buried(client) == done
        assert listed(client, ("_sort", "n")) == records[count:]
    rest = tombstones_of(client.ask("DELETE", RECORDS))
    assert ids_of([*done, *rest]) == ids_of(records)
    assert buried(client) == [*done, *rest]
    return count


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("number", "count"),
    [(1, None), (3, None), (4, None), (5, 3), (6, 3), (8, 6)],
)
def test_where_dynamodb_is_throttled_from_a_call_on_what_was_done_is_answered(
    client: Client, wire: Wire, number: int, count: int | None
) -> None:
    records = lettered(client)
    before = state(client)

    def refuse(call: int, _operation: str, _arguments: dict[str, Any]) -> None:
        if call >= number:
            raise client_error("ThrottlingException")

    wire.before = refuse
    answer = hurried(client, Patience(6.0)).ask("DELETE", RECORDS)

    wire.quiet()
    assert check_outcome(client, answer, records, before) == count


@pytest.mark.usefixtures("by_three")
def test_a_chunk_without_an_answer_to_the_end_is_not_claimed(
    client: Client, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    records = lettered(client)
    timeout = botocore.ReadTimeoutError(endpoint_url="https://dynamodb")
    wire.after = from_on(TRANSACT, 2, raises(timeout))

    answer = hurried(client, Patience(6.0)).ask("DELETE", RECORDS)

    wire.quiet()
    done = tombstones_of(answer)
    assert ids_of(done) == ids_of(records[:3])
    assert "Retry-After" not in answer.headers
    assert buried(client)[:3] == done
    assert ids_of(buried(client)) == ids_of(records[:6])  # carried out all the same
    assert "outcome unknown" in caplog.text
    rest = tombstones_of(client.ask("DELETE", RECORDS))
    assert ids_of(rest) == ids_of(records[6:])


@pytest.mark.usefixtures("by_three")
def test_a_first_chunk_without_an_answer_to_the_end_is_503_that_nobody_repeats(
    client: Client, wire: Wire
) -> None:
    lettered(client)
    timeout = botocore.ReadTimeoutError(endpoint_url="https://dynamodb")
    wire.after = from_on(TRANSACT, 1, raises(timeout))

    answer = hurried(client, Patience(6.0)).ask("DELETE", RECORDS)

    wire.quiet()
    assert_error(answer, 503, 201)
    assert "Retry-After" not in answer.headers


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(
    ("when", "number", "headers"),
    [
        ("before", 1, FROM_THE_FUTURE),
        ("before", 2, FROM_THE_FUTURE),
        ("after", 1, FROM_THE_FUTURE),
        ("after", 2, FROM_THE_FUTURE),
        ("after", 3, FROM_THE_FUTURE),
        ("after", 2, {}),
    ],
    ids=str,
)
def test_a_chunk_that_is_answered_late_is_done_once(
    client: Client, wire: Wire, when: str, number: int, headers: dict[str, str]
) -> None:
    records = lettered(client)
    lost = botocore.ConnectionClosedError(endpoint_url="https://dynamodb")
    setattr(wire, when, at(TRANSACT, number, raises(lost)))

    tombstones = tombstones_of(client.ask("DELETE", RECORDS, headers=headers))

    wire.quiet()
    assert ids_of(tombstones) == ids_of(records)
    assert buried(client) == tombstones


# What is told


@pytest.mark.usefixtures("by_three")
def test_an_answer_that_would_be_too_large_ends_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = lettered(client)
    one = list_deletion.ENTRY_BYTES + len(records[0]["id"])

    for most, count in ((0, 3), (3 * one - 1, 3), (3 * one, 6), (6 * one, 8)):
        lettered(client)
        monkeypatch.setattr(list_deletion, "MAX_PAGE_BYTES", most)
        done = tombstones_of(client.ask("DELETE", RECORDS))
        assert len(done) == count
        assert buried(client) == done
        monkeypatch.setattr(list_deletion, "MAX_PAGE_BYTES", 10**6)
        rest = tombstones_of(client.ask("DELETE", RECORDS))
        assert ids_of([*done, *rest]) == ids_of(records)


@pytest.mark.usefixtures("by_three")
@pytest.mark.parametrize(("number", "count"), [(1, 3), (3, 8)])
def test_the_alert_comes_with_several_chunks_and_with_what_was_done(
    client: Client, wire: Wire, number: int, count: int
) -> None:
    lettered(client)
    patience = Patience()
    wire.after = at(TRANSACT, number, lambda: setattr(patience, "remaining_s", 1))

    answer = hurried(client, patience).ask("DELETE", RECORDS, _to="9" * 15)

    assert len(tombstones_of(answer)) == count
    assert "_to is now deprecated" in answer.headers["Alert"]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log warns of."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.usefixtures("by_three")
def test_the_log_says_that_time_ended_it(
    client: Client, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    lettered(client)
    patience = Patience()
    wire.after = at(TRANSACT, 1, lambda: setattr(patience, "remaining_s", 1))

    hurried(client, patience).ask("DELETE", RECORDS)

    assert warnings(caplog) == [
        f"DELETE /v1{RECORDS} (request request of alice) stopped on its way: no time left"
    ]


@pytest.mark.usefixtures("by_three")
def test_the_log_says_that_a_write_of_others_ended_it(
    client: Client, rival: Client, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    lettered(client)
    wire.after = at(TRANSACT, 1, new(rival))

    client.ask("DELETE", RECORDS, headers=FROM_THE_FUTURE)

    (warning,) = warnings(caplog)
    assert warning.startswith(f"DELETE /v1{RECORDS} (request request of alice) stopped on its way")


@pytest.mark.usefixtures("by_three")
def test_the_log_says_that_the_size_of_the_answer_ended_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lettered(client)
    monkeypatch.setattr(list_deletion, "MAX_PAGE_BYTES", 1)

    client.ask("DELETE", RECORDS)

    (warning,) = warnings(caplog)
    assert warning.startswith(f"DELETE /v1{RECORDS} (request request of alice) stopped on its way")


@pytest.mark.usefixtures("by_three")
def test_what_is_finished_is_no_warning(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    lettered(client)

    client.ask("DELETE", RECORDS)

    assert warnings(caplog) == []
