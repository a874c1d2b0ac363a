"""POST on a list."""

import re
from typing import Any

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUPS,
    ID,
    LISTS,
    OBJECTS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_for,
    body_of,
    made,
    state,
    user_id,
)
from tests.doubles import Client, SetClock

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{7}")
ALL_LISTS = ("/buckets", *LISTS)


@pytest.mark.parametrize("path", ALL_LISTS)
def test_a_post_without_id_makes_another_object_each_time(client: Client, path: str) -> None:
    made(client)

    answers = [body_of(client.ask("POST", path, body_for(path)), 201) for _ in range(3)]

    ids = {answer["data"]["id"] for answer in answers}
    assert len(ids) == 3
    assert all((UUID4 if path == RECORDS else NAME).fullmatch(id) for id in ids)
    for id in ids:
        assert client.ask("GET", f"{path}/{id}").status == 200
    assert answers[0]["permissions"] == {"write": [user_id(client, "alice")]}


@pytest.mark.parametrize("path", OBJECTS)
def test_a_post_of_an_id_in_use_answers_what_is_there_and_writes_nothing(
    client: Client, path: str
) -> None:
    stored = made(client)[path]["data"]
    before = state(client)
    body = body_for(path, id=stored["id"], title="Two") | {"permissions": {"read": ["x"]}}

    answer = client.ask("POST", path.rpartition("/")[0], body)

    assert body_of(answer) == {"data": stored}
    assert state(client) == before


@pytest.mark.parametrize("path", OBJECTS[1:])
def test_it_is_not_shown_to_who_may_only_create(client: Client, path: str) -> None:
    made(client)
    grants = {"collection:create": ["system.Everyone"], "group:create": ["system.Everyone"]}
    client.ask("PATCH", BUCKET, {"permissions": grants})
    client.ask("PATCH", COLLECTION, {"permissions": {"record:create": ["system.Everyone"]}})
    before = state(client)
    body = body_for(path, id=path.rpartition("/")[2])

    refused = client.ask("POST", path.rpartition("/")[0], body, user="bob")
    anonymous = client.ask("POST", path.rpartition("/")[0], body, user=None)

    assert_error(refused, 403, 121)
    assert_error(anonymous, 401, 104)
    assert state(client) == before


def test_a_bucket_in_use_is_not_shown_to_others(client: Client) -> None:
    made(client)

    assert_error(client.ask("POST", "/buckets", {"data": {"id": "blog"}}, user="bob"), 403, 121)


@pytest.mark.parametrize("path", ALL_LISTS)
@pytest.mark.parametrize("id", [None, 12, True, [], {}, "", "a b", "_x", "a.b", "a\n", "x" * 401])
def test_an_id_that_cannot_be_one_is_refused(client: Client, path: str, id: Any) -> None:
    made(client)
    before = state(client)

    answer = client.ask("POST", path, body_for(path, id=id))

    assert_invalid(answer, "path", None, "Invalid record id")
    assert state(client) == before


@pytest.mark.parametrize("id", [ID.upper().replace("1", "A"), ID.replace("-", ""), "name"])
def test_a_record_id_is_a_uuid_in_lower_case(client: Client, id: str) -> None:
    made(client)

    answer = client.ask("POST", RECORDS, {"data": {"id": id}})

    assert_invalid(answer, "path", None, "Invalid record id")


@pytest.mark.parametrize("path", ["/buckets", COLLECTIONS, RECORDS])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": {}}', b'{"data": null}'])
def test_an_empty_body_makes_an_empty_object(client: Client, path: str, body: bytes) -> None:
    made(client)

    answer = body_of(client.ask("POST", path, body=body), 201)

    assert answer["data"].keys() == {"id", "last_modified"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (None, "data"),
        ({}, "data"),
        ({"permissions": {"read": ["x"]}}, "data"),
        ({"data": {}}, "data.members"),
    ],
)
def test_a_group_needs_members(client: Client, body: Any, name: str) -> None:
    made(client)
    before = state(client)

    answer = client.ask("POST", GROUPS, body)

    description = "data is missing" if name == "data" else "Required"
    assert_invalid(answer, "body", name, description)
    assert state(client) == before


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_timestamp_is_taken_as_it_is(client: Client, is_deleted: bool) -> None:
    made(client)
    if is_deleted:
        client.ask("PUT", f"{RECORDS}/{OTHER_ID}")
        client.ask("DELETE", f"{RECORDS}/{OTHER_ID}")
    before = int(client.ask("GET", RECORDS).headers["ETag"].strip('"'))

    answer = client.ask("POST", RECORDS, {"data": {"id": OTHER_ID, "last_modified": 5}})

    assert body_of(answer, 201)["data"]["last_modified"] == 5
    assert int(client.ask("GET", RECORDS).headers["ETag"].strip('"')) > before


def test_if_match_is_held_against_the_list_for_a_new_id(client: Client) -> None:
    made(client)
    current = client.ask("GET", RECORDS).headers["ETag"]
    before = state(client)

    stale = client.ask("POST", RECORDS, headers={"If-Match": '"1"'})

    assert_error(stale, 412, 114)
    assert body_of(stale, 412)["details"] == {}
    assert stale.headers["ETag"] == current
    assert state(client) == before
    assert client.ask("POST", RECORDS, headers={"If-Match": current}).status == 201
    assert client.ask("POST", RECORDS, headers={"If-Match": '"99999999999999"'}).status == 201


def test_if_match_is_held_against_the_object_for_an_id_in_use(client: Client) -> None:
    stored = made(client)[RECORD]["data"]
    client.ask("POST", RECORDS)
    body = {"data": {"id": ID}}

    stale = client.ask("POST", RECORDS, body, headers={"If-Match": '"1"'})
    current = {"If-Match": f'"{stored["last_modified"]}"'}

    assert body_of(stale, 412)["details"] == {"existing": stored}
    assert client.ask("POST", RECORDS, body, headers=current).status == 200


def test_if_none_match_star_refuses_an_id_in_use_alone(client: Client) -> None:
    stored = made(client)[RECORD]["data"]
    star = {"If-None-Match": "*"}

    refused = client.ask("POST", RECORDS, {"data": {"id": ID}}, headers=star)

    assert_error(refused, 412, 114)
    assert body_of(refused, 412)["details"] == {"existing": stored}
    assert client.ask("POST", RECORDS, {"data": {"id": OTHER_ID}}, headers=star).status == 201
    assert client.ask("POST", RECORDS, headers=star).status == 201


@pytest.mark.parametrize("value", ["1", "*", '""'])
def test_a_malformed_if_match_is_refused(client: Client, value: str) -> None:
    made(client)
    before = state(client)

    assert_error(client.ask("POST", RECORDS, headers={"If-Match": value}), 400, 107)
    assert state(client) == before


def test_a_parameter_is_refused(client: Client) -> None:
    made(client)

    answer = client.ask("POST", RECORDS, _since="1")

    assert_invalid(answer, "querystring", "_since", "_since is not allowed")


def test_what_no_item_holds_is_refused(client: Client) -> None:
    made(client)
    before = state(client)

    assert_error(client.ask("POST", RECORDS, {"data": {"t": "x" * 5_000_000}}), 413, 113)
    assert state(client) == before


def test_an_anonymous_creator_is_everyone(client: Client) -> None:
    made(client)
    client.ask("PATCH", COLLECTION, {"permissions": {"record:create": ["system.Everyone"]}})

    answer = body_of(client.ask("POST", RECORDS, user=None), 201)

    assert answer["permissions"] == {"write": ["system.Everyone"]}
    path = f"{RECORDS}/{answer['data']['id']}"
    assert client.ask("PATCH", path, {"data": {"n": 1}}, user=None).status == 200
    assert client.ask("GET", path, user="bob").status == 200


def test_posted_in_the_same_millisecond_each_has_a_time_of_its_own(
    client: Client, clock: SetClock
) -> None:
    last = made(client)[RECORD]["data"]["last_modified"]

    times = [body_of(client.ask("POST", RECORDS), 201)["data"]["last_modified"] for _ in range(3)]

    assert last >= clock.now_ms
    assert times == [last + 1, last + 2, last + 3]
