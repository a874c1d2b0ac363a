"""DELETE of a list."""

import pytest

from chalicelib.storage.connection import Dynamo
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
)
from tests.doubles import Client


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


@pytest.mark.parametrize("count", [100, 101, 300])
def test_more_than_one_transaction_takes_is_refused_whole(
    client: Client, dynamo: Dynamo, count: int
) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, count)
    before = client.ask("GET", RECORDS)

    answer = client.ask("DELETE", RECORDS)

    assert_error(answer, 413, 113)
    after = client.ask("GET", RECORDS)
    assert (after.body, after.headers) == (before.body, before.headers)


def test_as_much_as_a_transaction_takes_is_deleted(client: Client, dynamo: Dynamo) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, 99)

    tombstones = body_of(client.ask("DELETE", RECORDS))["data"]

    assert len(tombstones) == 99
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "0"
