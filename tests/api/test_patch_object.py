"""PATCH of an object."""

from typing import Any

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    GROUP,
    OBJECTS,
    RECORD,
    assert_error,
    assert_invalid,
    body_of,
    made,
    state,
    user_id,
)
from tests.doubles import Client, SetClock


@pytest.mark.parametrize("path", [BUCKET, COLLECTION, RECORD])
def test_patch_merges_top_level_properties(client: Client, path: str) -> None:
    made(client)
    client.ask("PATCH", path, {"data": {"a": {"x": 1, "y": 2}, "b": [1, 2]}})

    answer = client.ask("PATCH", path, {"data": {"a": {"x": 2}, "b": None}})

    data = body_of(answer)["data"]
    assert {name: data[name] for name in ("a", "b", "title")} == {
        "a": {"x": 2},
        "b": None,
        "title": "One",
    }
    assert answer.headers["ETag"] == f'"{data["last_modified"]}"'
    assert body_of(client.ask("GET", path))["data"] == data


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": None}, {"permissions": {}}])
def test_a_patch_that_changes_nothing_is_a_write(client: Client, path: str, body: Any) -> None:
    before = made(client)[path]["data"]

    after = body_of(client.ask("PATCH", path, body))["data"]

    assert after.pop("last_modified") > before.pop("last_modified")
    assert after == before


@pytest.mark.parametrize("path", OBJECTS)
def test_zero_bytes_are_refused_after_the_preconditions(client: Client, path: str) -> None:
    made(client)
    before = state(client)

    refused = client.ask("PATCH", path)
    stale = client.ask("PATCH", path, headers={"If-Match": '"1"'})

    assert_invalid(refused, "body", "data", "Provide at least one of data or permissions")
    assert_error(stale, 412, 114)
    assert state(client) == before


@pytest.mark.parametrize(
    ("members", "name", "description"),
    [
        ("x", "data.members", '"x" is not iterable'),
        (None, "data.members", '"null" is not iterable'),
        (["a", 0], "data.members.1", "Required"),
        ([12], "data.members.0", "12 is not a string"),
    ],
)
def test_members_are_checked_once_the_group_is_found(
    client: Client, members: Any, name: str, description: str
) -> None:
    made(client)
    before = state(client)
    body = {"data": {"members": members}}

    assert_invalid(client.ask("PATCH", GROUP, body), "body", name, description)
    assert_error(client.ask("PATCH", f"{GROUP}s", body), 404, 111)
    assert state(client) == before


def test_a_patch_that_names_no_members_keeps_them(client: Client) -> None:
    made(client)
    client.ask("PATCH", GROUP, {"data": {"members": ["a", "a"]}})

    answer = client.ask("PATCH", GROUP, {"data": {"title": "x"}, "permissions": {"read": ["x"]}})

    assert body_of(answer)["data"].keys() == {"id", "last_modified", "members"}
    assert body_of(answer)["data"]["members"] == ["a", "a"]


def test_of_permissions_the_named_ones_are_replaced(client: Client) -> None:
    made(client)
    alice, bob = user_id(client, "alice"), user_id(client, "bob")
    client.ask("PATCH", RECORD, {"permissions": {"read": ["x", "x"], "write": [bob]}})

    answer = body_of(client.ask("GET", RECORD))
    emptied = body_of(client.ask("PATCH", RECORD, {"permissions": {"read": []}}))

    assert answer["permissions"]["read"] == ["x"]
    assert set(answer["permissions"]["write"]) == {alice, bob}
    assert emptied["permissions"].keys() == {"write"}
    assert emptied["data"]["title"] == "One"


def test_whoever_changes_an_object_becomes_a_writer_and_others_may_be_taken_out(
    client: Client,
) -> None:
    made(client)
    bob = user_id(client, "bob")
    client.ask("PATCH", BUCKET, {"permissions": {"write": [bob]}})

    answer = client.ask("PATCH", BUCKET, {"permissions": {"write": [bob]}}, user="bob")

    assert body_of(answer)["permissions"] == {"write": [bob]}
    assert_error(client.ask("GET", BUCKET), 403, 121)


@pytest.mark.parametrize(("given", "taken"), [(-1, False), (0, False), (1, True)])
def test_a_timestamp_must_be_later(
    client: Client, clock: SetClock, given: int, taken: bool
) -> None:
    there = made(client)[RECORD]["data"]["last_modified"]
    clock.now_ms += 100

    answer = client.ask("PATCH", RECORD, {"data": {"last_modified": there + given}})

    expected = there + given if taken else clock.now_ms
    assert body_of(answer)["data"]["last_modified"] == expected


@pytest.mark.parametrize("behavior", ["light", "LIGHT", " Light "])
def test_light_answers_what_changed(client: Client, behavior: str) -> None:
    made(client)
    sent = {"title": "One", "n": 1, "missing": None, "id": RECORD[-36:]}

    answer = client.ask("PATCH", RECORD, {"data": sent}, headers={"Response-Behavior": behavior})

    assert body_of(answer) == {"data": {"n": 1}}
    assert "ETag" in answer.headers


def test_light_tells_true_from_1_and_looks_at_whole_values(client: Client) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"data": {"a": {"x": 1, "y": 2}, "b": 1}})
    sent = {"a": {"y": 2, "x": 1}, "b": True}

    answer = client.ask("PATCH", RECORD, {"data": sent}, headers={"Response-Behavior": "light"})

    assert body_of(answer)["data"] == {"b": True}


def test_diff_answers_what_differs_from_what_was_sent(client: Client, clock: SetClock) -> None:
    made(client)
    diff = {"Response-Behavior": "diff"}

    same = client.ask("PATCH", RECORD, {"data": {"n": 1}}, headers=diff)
    ignored = client.ask("PATCH", RECORD, {"data": {"n": 2, "last_modified": 1}}, headers=diff)

    assert body_of(same) == {"data": {}}
    stored = body_of(client.ask("GET", RECORD))["data"]
    assert body_of(ignored) == {"data": {"last_modified": stored["last_modified"]}}


@pytest.mark.parametrize("behavior", ["full", "", "other"])
def test_any_other_behavior_answers_the_whole(client: Client, behavior: str) -> None:
    made(client)

    answer = client.ask("PATCH", RECORD, {}, headers={"Response-Behavior": behavior})

    assert body_of(answer) == body_of(client.ask("GET", RECORD))


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("id", ["other", None, 1])
def test_the_id_cannot_be_changed(client: Client, path: str, id: Any) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PATCH", path, {"data": {"id": id}})

    assert_invalid(answer, "body", "id", "Record id does not match existing record")
    assert state(client) == before


def test_problems_of_the_body_come_before_existence_and_it_before_preconditions(
    client: Client,
) -> None:
    made(client)
    missing = f"{COLLECTION}s"

    assert client.ask("PATCH", missing, {"foo": 1}).status == 400
    assert client.ask("PATCH", missing, {"data": {}}, headers={"If-Match": "x"}).status == 404
    assert client.ask("PATCH", f"{BUCKET}/collections/_x", {"data": {}}).status == 400


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("headers", [{"If-Match": '"1"'}, {"If-None-Match": "*"}])
def test_a_failed_precondition_changes_nothing(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    stored = made(client)[path]["data"]
    before = state(client)

    answer = client.ask("PATCH", path, {"permissions": {"read": ["x"]}}, headers=headers)

    assert_error(answer, 412, 114)
    assert body_of(answer, 412)["details"] == {"existing": stored}
    assert state(client) == before


def test_what_grows_too_large_is_refused(client: Client) -> None:
    made(client)
    before = state(client)

    assert_error(client.ask("PATCH", RECORD, {"data": {"t": "x" * 5_000_000}}), 413, 113)
    assert state(client) == before
