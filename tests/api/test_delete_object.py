"""DELETE of an object."""

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    ID,
    OBJECTS,
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

INNER = (COLLECTION, GROUP, RECORD)


def listed(client: Client, path: str) -> list[dict[str, object]]:
    """All that the object's list has, deletions included."""
    entries = body_of(client.ask("GET", path.rpartition("/")[0], _since="0"))["data"]
    assert isinstance(entries, list)
    return entries


@pytest.mark.parametrize("path", INNER)
def test_delete_leaves_one_tombstone_that_since_returns(client: Client, path: str) -> None:
    made(client)

    tombstone = body_of(client.ask("DELETE", path))["data"]

    assert tombstone.keys() == {"id", "last_modified", "deleted"}
    assert tombstone["deleted"] is True
    assert listed(client, path) == [tombstone]
    assert body_of(client.ask("GET", path.rpartition("/")[0]))["data"] == []
    for method in ("GET", "PATCH", "DELETE"):
        assert_error(client.ask(method, path, {"data": {}}), 404, 111)
    assert listed(client, path) == [tombstone]


@pytest.mark.parametrize("path", INNER)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_created_again_it_is_fresh(client: Client, path: str, method: str) -> None:
    made(client)
    client.ask("PATCH", path, {"permissions": {"read": ["system.Everyone"]}})
    tombstone = body_of(client.ask("DELETE", path))["data"]
    parent, _, id = path.rpartition("/")
    target = path if method == "PUT" else parent

    again = body_of(client.ask(method, target, body_for(path, id=id)), 201)

    assert again["permissions"] == {"write": [user_id(client, "alice")]}
    assert again["data"]["last_modified"] > tombstone["last_modified"]
    assert listed(client, path) == [again["data"]]


@pytest.mark.parametrize("path", OBJECTS)
def test_if_none_match_star_creates_what_was_deleted(client: Client, path: str) -> None:
    made(client)
    client.ask("DELETE", path)

    answer = client.ask("PUT", path, body_for(path), headers={"If-None-Match": "*"})

    assert answer.status == 201


def test_a_deleted_bucket_is_forbidden_to_all(client: Client) -> None:
    made(client)

    assert body_of(client.ask("DELETE", BUCKET))["data"]["deleted"] is True

    for path in (*OBJECTS, COLLECTIONS, GROUPS, RECORDS):
        assert_error(client.ask("GET", path), 403, 121)
        assert_error(client.ask("GET", path, user=None), 401, 104)


@pytest.mark.parametrize("clock_back_ms", [0, 3_600_000])
def test_a_bucket_made_again_shows_nothing_of_the_former(
    client: Client, clock: SetClock, clock_back_ms: int
) -> None:
    made(client)
    client.ask("PATCH", COLLECTION, {"permissions": {"read": ["system.Everyone"]}})
    client.ask("POST", RECORDS, {"data": {"last_modified": clock.now_ms + 5_000}})
    client.ask("DELETE", RECORD)
    paths = (COLLECTIONS, GROUPS, RECORDS)
    before = [client.ask("GET", path).headers["ETag"] for path in paths]
    client.ask("DELETE", BUCKET)
    clock.now_ms -= clock_back_ms

    client.ask("PUT", BUCKET, user="bob")

    assert_error(client.ask("GET", BUCKET), 403, 121)
    for path in (COLLECTION, GROUP, RECORD, RECORDS):
        assert_error(client.ask("GET", path, user="bob"), 404, 111)
    client.ask("PUT", COLLECTION, user="bob")
    assert_error(client.ask("GET", COLLECTION, user=None), 401, 104)
    for path, old in zip(paths, before, strict=True):
        answer = client.ask("GET", path, user="bob", _since="0")
        assert len(body_of(answer)["data"]) == (1 if path == COLLECTIONS else 0)
        assert int(answer.headers["ETag"].strip('"')) > int(old.strip('"'))


def test_a_collection_made_again_shows_nothing_of_the_former(client: Client) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"permissions": {"read": ["system.Everyone"]}})
    before = client.ask("GET", RECORDS).headers["ETag"]
    client.ask("DELETE", COLLECTION)

    assert client.ask("PUT", COLLECTION).status == 201

    answer = client.ask("GET", RECORDS, _since="0")
    assert body_of(answer)["data"] == []
    assert answer.headers["Total-Records"] == "0"
    assert int(answer.headers["ETag"].strip('"')) > int(before.strip('"'))
    assert_error(client.ask("GET", RECORD), 404, 111)
    assert_error(client.ask("GET", RECORD, user=None), 401, 104)
    again = body_of(client.ask("PUT", RECORD), 201)
    assert again["permissions"] == {"write": [user_id(client, "alice")]}


def test_a_group_that_is_deleted_leaves_its_address_in_permissions(client: Client) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"permissions": {"read": [GROUP]}})

    client.ask("DELETE", GROUP)

    assert body_of(client.ask("GET", RECORD))["permissions"]["read"] == [GROUP]


@pytest.mark.parametrize(
    ("text", "honoured"),
    [
        ("{later}", True),
        ('"{later}"', True),
        ("{same}", False),
        ("{earlier}", False),
        ("-5", False),
    ],
)
def test_a_later_timestamp_is_taken(
    client: Client, clock: SetClock, text: str, honoured: bool
) -> None:
    stored = made(client)[RECORD]["data"]["last_modified"]
    given = text.format(later=stored + 500, same=stored, earlier=stored - 500)
    clock.now_ms += 100

    tombstone = body_of(client.ask("DELETE", RECORD, last_modified=given))["data"]

    expected = stored + 500 if honoured else clock.now_ms
    assert tombstone["last_modified"] == expected
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{expected}"'


@pytest.mark.parametrize("text", ["abc", "12.5", "", "true", '"', '""', "1e3", "٣", "1" * 19])
def test_a_timestamp_that_is_none_is_refused(client: Client, text: str) -> None:
    made(client)
    before = state(client)

    answer = client.ask("DELETE", RECORD, last_modified=text)

    description = f"Invalid value for {text}"
    assert_invalid(answer, "querystring", "last_modified", description)
    assert state(client) == before


def test_other_parameters_and_bodies_are_ignored(client: Client) -> None:
    made(client)

    answer = client.ask("DELETE", RECORD, {"foo": 1}, dry_run="1", headers={"Content-Type": "x/y"})

    assert body_of(answer)["data"]["id"] == ID


@pytest.mark.parametrize("path", OBJECTS)
def test_a_stale_if_match_deletes_nothing(client: Client, path: str) -> None:
    stored = made(client)[path]["data"]
    before = state(client)

    answer = client.ask("DELETE", path, headers={"If-Match": '"1"'})

    assert_error(answer, 412, 114)
    assert answer.body is not None
    assert answer.body["details"] == {"existing": stored}
    assert answer.headers["ETag"] == f'"{stored["last_modified"]}"'
    assert state(client) == before


def test_if_none_match_star_deletes_nothing(client: Client) -> None:
    made(client)
    before = state(client)

    assert_error(client.ask("DELETE", RECORD, headers={"If-None-Match": "*"}), 412, 114)
    assert state(client) == before
