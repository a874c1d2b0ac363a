"""PUT of an object."""

import base64
import hashlib
import json

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    GROUP,
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

NOT_A_MAPPING = "is not a mapping type: Does not implement dict-like functionality."
WITHOUT_SCHEMA = (BUCKET, COLLECTION, RECORD)


@pytest.mark.parametrize("path", OBJECTS)
def test_put_creates_then_replaces(client: Client, path: str) -> None:
    created = made(client)[path]

    replaced = client.ask("PUT", path, body_for(path))

    body = body_of(replaced)
    assert body["data"].keys() == {"id", "last_modified"} | (
        {"members"} if path == GROUP else set()
    )
    assert body["data"]["last_modified"] > created["data"]["last_modified"]
    assert replaced.headers["ETag"] == f'"{body["data"]["last_modified"]}"'
    assert body["permissions"] == created["permissions"] == {"write": [user_id(client, "alice")]}


@pytest.mark.parametrize("path", WITHOUT_SCHEMA)
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"data":{}}', b'{"data":null}', b'{"permissions":null}', b'{"permissions":{}}'],
)
def test_an_empty_body_makes_and_leaves_an_empty_object(
    client: Client, path: str, body: bytes
) -> None:
    made(client)

    replaced = client.ask("PUT", path, body=body)

    assert body_of(replaced)["data"].keys() == {"id", "last_modified"}
    client.ask("DELETE", RECORD)
    assert body_of(client.ask("PUT", RECORD, body=body), 201)["data"].keys() == {
        "id",
        "last_modified",
    }


@pytest.mark.parametrize("path", OBJECTS)
def test_permissions_alone_keep_the_data(client: Client, path: str) -> None:
    before = made(client)[path]

    answer = body_of(client.ask("PUT", path, {"permissions": {"read": ["x"]}}))

    after = answer["data"].pop("last_modified")
    assert after > before["data"].pop("last_modified")
    assert answer["data"] == before["data"]
    assert answer["permissions"] == {"read": ["x"], "write": [user_id(client, "alice")]}


def test_permissions_alone_create_an_empty_object(client: Client) -> None:
    answer = body_of(client.ask("PUT", BUCKET, {"permissions": {"read": ["x"]}}), 201)

    assert answer["data"].keys() == {"id", "last_modified"}


def test_members_of_a_group_are_kept_as_sent(client: Client) -> None:
    members = ["b", "a", "b", "system.Everyone", "é" * 2000]
    client.ask("PUT", BUCKET)

    client.ask("PUT", GROUP, {"data": {"members": members, "title": "x", "last_modified": 1}})

    stored = body_of(client.ask("GET", GROUP))["data"]
    assert stored.keys() == {"id", "last_modified", "members"}
    assert stored["members"] == members
    assert stored["last_modified"] != 1


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("body", "name", "description"),
    [
        (None, "data", "data is missing"),
        ({}, "data", "data is missing"),
        ({"data": None}, "data", "data is missing"),
        ({"permissions": {}}, "data", "data is missing"),
        ({"data": {}}, "data.members", "Required"),
        ({"data": {"title": "x"}}, "data.members", "Required"),
        ({"data": []}, "data", f'"[]" {NOT_A_MAPPING}'),
        ({"data": {"members": "x"}}, "data.members", '"x" is not iterable'),
        ({"data": {"members": 5}}, "data.members", '"5" is not iterable'),
        ({"data": {"members": None}}, "data.members", '"null" is not iterable'),
        ({"data": {"members": {}}}, "data.members", '"{}" is not iterable'),
        ({"data": {"members": [None]}}, "data.members.0", "Required"),
        ({"data": {"members": ["a", ""]}}, "data.members.1", "Required"),
        ({"data": {"members": [0]}}, "data.members.0", "Required"),
        ({"data": {"members": [False]}}, "data.members.0", "Required"),
        ({"data": {"members": [[]]}}, "data.members.0", "Required"),
        ({"data": {"members": [{}]}}, "data.members.0", "Required"),
        ({"data": {"members": [12]}}, "data.members.0", "12 is not a string"),
        ({"data": {"members": [True]}}, "data.members.0", "true is not a string"),
        ({"data": {"members": [["a"]]}}, "data.members.0", '["a"] is not a string'),
    ],
)
def test_members_are_checked(
    client: Client, exists: bool, body: object, name: str, description: str
) -> None:
    made(client)
    if not exists:
        client.ask("DELETE", GROUP)
    before = state(client)

    assert_invalid(client.ask("PUT", GROUP, body), "body", name, description)
    assert state(client) == before


def test_all_bad_members_are_told(client: Client) -> None:
    made(client)

    answer = client.ask("PUT", GROUP, {"data": {"members": [1, "a", None]}, "permissions": []})

    assert [problem["name"] for problem in body_of(answer, 400)["details"]] == [
        "data.members.0",
        "data.members.2",
        "permissions",
    ]
    assert body_of(answer, 400)["message"] == "data.members.0 in body: 1 is not a string"


def test_permissions_alone_do_not_create_a_group(client: Client) -> None:
    client.ask("PUT", BUCKET)

    answer = client.ask("PUT", GROUP, {"permissions": {"read": ["x"]}})

    assert_invalid(answer, "body", "data", "data is missing")
    assert_error(client.ask("GET", GROUP), 404, 111)


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("id", ["other", "", None, 12, True, [], {}])
def test_an_id_in_the_body_is_that_of_the_path(client: Client, path: str, id: object) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PUT", path, body_for(path, id=id))

    assert_invalid(answer, "body", "id", "Record id does not match existing record")
    assert state(client) == before


@pytest.mark.parametrize("path", OBJECTS)
def test_the_object_as_it_was_read_can_be_put(client: Client, path: str) -> None:
    stored = made(client)[path]

    answer = body_of(client.ask("PUT", path, stored))

    assert answer["data"].keys() == stored["data"].keys()


# Timestamps


@pytest.mark.parametrize("difference", [-1_000, 0, 1_000])
def test_a_timestamp_is_taken_where_an_object_is_created(
    client: Client, clock: SetClock, difference: int
) -> None:
    made(client)
    client.ask("DELETE", RECORD)
    other = f"{RECORDS}/22222222-2222-4222-8222-222222222222"
    given = clock.now_ms + difference

    created = body_of(client.ask("PUT", other, {"data": {"last_modified": given}}), 201)

    assert created["data"]["last_modified"] == given


@pytest.mark.parametrize(
    ("difference", "taken"), [(-1, False), (0, False), (1, True), (5_000, True)]
)
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_timestamp_must_be_later_than_what_is_there(
    client: Client, clock: SetClock, difference: int, taken: bool, is_deleted: bool
) -> None:
    there = made(client)[RECORD]["data"]["last_modified"]
    if is_deleted:
        there = body_of(client.ask("DELETE", RECORD))["data"]["last_modified"]
    clock.now_ms += 100

    put = client.ask("PUT", RECORD, {"data": {"last_modified": there + difference}})

    assert body_of(put, 201 if is_deleted else 200)["data"]["last_modified"] == (
        there + difference if taken else clock.now_ms
    )


def test_the_list_moves_on_with_every_write(client: Client, clock: SetClock) -> None:
    made(client)
    other = f"{RECORDS}/22222222-2222-4222-8222-222222222222"
    seen = [int(client.ask("GET", RECORDS).headers["ETag"].strip('"'))]

    def write(**data: int) -> int:
        assert client.ask("PUT", other, {"data": data}).status < 300
        seen.append(int(client.ask("GET", RECORDS).headers["ETag"].strip('"')))
        return seen[-1]

    write(last_modified=5)  # in the past: the list moves on nevertheless
    clock.now_ms += 1_000
    assert write() == clock.now_ms
    future = clock.now_ms + 60_000
    assert write(last_modified=future) == future
    assert write() == future + 1
    clock.now_ms -= 3_600_000  # a clock that goes back
    assert write() == future + 2
    assert write(last_modified=future + 1) == future + 3  # ignored: not later than what is there
    assert seen == sorted(set(seen))


def test_a_timestamp_of_null_counts_as_left_out(client: Client, clock: SetClock) -> None:
    answer = body_of(client.ask("PUT", BUCKET, {"data": {"last_modified": None}}), 201)

    assert answer["data"]["last_modified"] == clock.now_ms


@pytest.mark.parametrize("path", WITHOUT_SCHEMA)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", "abc"),
        ("123", "123"),
        (1.5, "1.5"),
        (True, "true"),
        ([], "[]"),
        ({}, "{}"),
        (-1, "-1"),
    ],
)
def test_a_timestamp_that_is_none_is_refused(
    client: Client, path: str, value: object, text: str
) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PUT", path, {"data": {"last_modified": value}})

    assert_invalid(answer, "body", "data.last_modified", f'"{text}" is not a number')
    assert state(client) == before


def test_a_timestamp_that_no_date_can_have_is_refused(client: Client) -> None:
    assert_error(client.ask("PUT", BUCKET, {"data": {"last_modified": 10**16}}), 400, 107)


def test_the_last_timestamp_that_is_taken_can_be_answered(client: Client) -> None:
    last = 253_370_764_800_000

    client.ask("PUT", BUCKET, {"data": {"last_modified": last}})

    answer = client.ask("GET", BUCKET)
    assert answer.headers["Last-Modified"] == "Fri, 01 Jan 9999 00:00:00 GMT"
    assert client.ask("PUT", BUCKET).status == 200


# Preconditions


@pytest.mark.parametrize("path", OBJECTS)
def test_a_stale_if_match_changes_nothing(client: Client, path: str) -> None:
    stored = made(client)[path]["data"]
    before = state(client)
    stale = {"If-Match": f'"{stored["last_modified"] - 1}"'}

    answer = client.ask("PUT", path, body_for(path), headers=stale)

    assert_error(answer, 412, 114)
    assert answer.body is not None
    assert answer.body["details"] == {"existing": stored}
    assert answer.headers["ETag"] == f'"{stored["last_modified"]}"'
    assert "Last-Modified" in answer.headers
    assert state(client) == before


@pytest.mark.parametrize("value", ['"99999999999999"', '"{}"'])
def test_a_current_or_future_if_match_goes_on(client: Client, value: str) -> None:
    current = made(client)[RECORD]["data"]["last_modified"]

    answer = client.ask("PUT", RECORD, headers={"If-Match": value.format(current)})

    assert answer.status == 200


def test_if_match_is_ignored_where_nothing_ever_was(client: Client) -> None:
    assert client.ask("PUT", BUCKET, headers={"If-Match": '"1"'}).status == 201


def test_if_match_is_held_against_the_tombstone(client: Client) -> None:
    made(client)
    tombstone = body_of(client.ask("DELETE", RECORD))["data"]
    time = tombstone["last_modified"]

    stale = client.ask("PUT", RECORD, headers={"If-Match": f'"{time - 1}"'})

    assert_error(stale, 412, 114)
    assert body_of(stale, 412)["details"] == {"existing": tombstone}
    assert client.ask("PUT", RECORD, headers={"If-Match": f'"{time}"'}).status == 201


@pytest.mark.parametrize("value", ["1", "*", '""', '"abc"', 'W/"1"', '"1.5"', ""])
@pytest.mark.parametrize("path", [RECORD, f"{RECORDS}/22222222-2222-4222-8222-222222222222"])
def test_a_malformed_if_match_is_refused_even_where_nothing_is(
    client: Client, path: str, value: str
) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PUT", path, headers={"If-Match": value})

    description = "Invalid value for If-Match. The value should be integer between double quotes."
    assert_invalid(answer, "headers", None, description)
    assert state(client) == before


def test_if_none_match_star_creates_once(client: Client) -> None:
    star = {"If-None-Match": "*"}

    assert client.ask("PUT", BUCKET, headers=star).status == 201
    again = client.ask("PUT", BUCKET, headers=star)

    assert_error(again, 412, 114)
    stored = body_of(client.ask("GET", BUCKET))["data"]
    assert body_of(again, 412)["details"] == {"existing": stored}


@pytest.mark.parametrize("value", ['"1"', "abc", ""])
def test_another_if_none_match_is_ignored(client: Client, value: str) -> None:
    made(client)

    assert client.ask("PUT", RECORD, headers={"If-None-Match": value}).status == 200


# Values


VALUES = {
    "integers": [12345678901234567890, -(2**63), 2**63 - 1, 0, 10**300],
    "doubles": [0.1, -0.0, 1e-7, 1.5e300, 5e-324, 1.7976931348623157e308],
    "booleans": [True, 1, 1.0, False, 0],
    "empty": [None, "", [], {}],
    "looks": ["42", "true", "null", "2016-10-11", "1.0"],
    "a.b c/$": {"": {"data": {}, "permissions": [], "message": None}},
    "__permissions__": {"read": ["x"]},
    "deleted": True,
    "control": "".join(map(chr, range(32))) + "\x7f\u2028\u2029\ufeff\uffff",
}


@pytest.mark.parametrize("path", WITHOUT_SCHEMA)
def test_values_come_back_exactly_as_sent(client: Client, path: str) -> None:
    made(client)

    client.ask("PUT", path, {"data": VALUES})

    stored = body_of(client.ask("GET", path))["data"]
    del stored["id"], stored["last_modified"]
    assert json.dumps(stored) == json.dumps(VALUES)  # tells 1 from 1.0 and true, and -0.0 from 0


def test_all_of_unicode_comes_back(client: Client) -> None:
    for plane in range(17):
        codes = range(plane << 16, (plane + 1) << 16)
        text = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)

        client.ask("PUT", BUCKET, {"data": {"text": text, text[-9:]: 1}})

        stored = body_of(client.ask("GET", BUCKET))["data"]
        assert (stored["text"], stored[text[-9:]]) == (text, 1)


@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_500_levels_of_nesting_come_back(client: Client, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    text = "{" + f'"deep": {opening * 500}{"1" if closing == "}" else ""}{closing * 500}' + "}"
    client.ask("PUT", BUCKET)

    assert client.ask("PUT", COLLECTION, body=f'{{"data": {text}}}'.encode()).status == 201

    stored = body_of(client.ask("GET", COLLECTION))["data"]
    assert stored["deep"] == json.loads(text)["deep"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {"v": 1e400}}',
        b'{"data": {"v": -1e400}}',
        b'{"data": {"v": NaN}}',
        b'{"data": {"v": Infinity}}',
        b'{"data": {"v": 1' + b"0" * 5000 + b"}}",
        b'{"data": {"v": "\\ud800"}}',
        b'{"data": {"\\udfff": 1}}',
        b'{"data": {"v": "\xff"}}',
        b'\xef\xbb\xbf{"data": {}}',
        b'{"data": {}',
        b"{'data': {}}",
        b'{"data": {}} x',
        b"  ",
        b'{"data": ' + b"[" * 100_000,
        b'{"data": {"v": ' + b"[" * 600 + b"]" * 600 + b"}}",
    ],
)
def test_what_is_not_json_is_refused(client: Client, body: bytes) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PUT", RECORD, body=body)

    assert_error(answer, 400, 107)
    (problem,) = body_of(answer, 400)["details"]
    assert (problem["location"], problem["name"]) == ("body", None)
    assert problem["description"].startswith("Invalid JSON request body: ")
    assert body_of(answer, 400)["message"] == f"body: {problem['description']}"
    assert state(client) == before


@pytest.mark.parametrize(
    ("body", "text"), [(b"[]", "[]"), (b"null", "null"), (b'"a"', '"a"'), (b"1", "1")]
)
def test_json_that_is_no_object_is_refused(client: Client, body: bytes, text: str) -> None:
    description = f"Invalid JSON: Should be a JSON object, got {text}"

    assert_invalid(client.ask("PUT", BUCKET, body=body), "body", None, description)


def test_of_duplicate_keys_the_last_counts(client: Client) -> None:
    client.ask("PUT", BUCKET, body=b'{"data": {"a": 1, "a": 2}}')

    assert body_of(client.ask("GET", BUCKET))["data"]["a"] == 2


def test_every_problem_is_listed(client: Client) -> None:
    body = {"b": 1, "data": 5, "permissions": {"admin": [], "read": [1]}, "a": 2}

    answer = client.ask("PUT", BUCKET, body, dry_run="1")

    assert [(it["location"], it["name"]) for it in body_of(answer, 400)["details"]] == [
        ("body", "data"),
        ("body", "permissions"),
        ("body", "permissions.read.0"),
        ("body", "a"),
        ("body", "b"),
        ("querystring", "dry_run"),
    ]
    assert body_of(answer, 400)["message"] == "a is not allowed"


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("name", ["_fields", "_since", "dry_run", "x y"])
def test_no_parameter_is_allowed(client: Client, path: str, name: str) -> None:
    made(client)

    answer = client.ask("PUT", path, body_for(path), **{name: "1"})

    assert_invalid(answer, "querystring", name, f"{name} is not allowed")


# Size


def test_three_megabytes_that_compress_come_back(client: Client) -> None:
    client.ask("PUT", BUCKET)
    text = "the same again " * 200_000

    assert client.ask("PUT", COLLECTION, {"data": {"text": text}}).status == 201

    assert body_of(client.ask("GET", COLLECTION))["data"]["text"] == text
    assert body_of(client.ask("GET", f"{BUCKET}/collections"))["data"][0]["text"] == text


def incompressible(size: int) -> str:
    """Text that compresses to about this many bytes."""
    return base64.b85encode(hashlib.shake_256(b"tests").digest(size)).decode()


def test_300_kilobytes_that_do_not_compress_come_back(client: Client) -> None:
    text = incompressible(300_000)

    assert client.ask("PUT", BUCKET, {"data": {"text": text}}).status == 201

    assert body_of(client.ask("GET", BUCKET))["data"]["text"] == text


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_more_than_an_item_holds_is_refused(client: Client, path: str, is_sparse: bool) -> None:
    made(client)
    before = state(client)
    text = "a" * 5_000_000 if is_sparse else incompressible(1_000_000)

    answer = client.ask("PUT", path, body_for(path) | {"data": {"text": text, "members": [text]}})

    assert_error(answer, 413, 113)
    assert state(client) == before


def test_principals_may_have_any_length_that_an_item_holds(client: Client) -> None:
    principals = ["p" * 1024, "q" * 1025, "é" * 50_000]

    answer = client.ask("PUT", BUCKET, {"permissions": {"read": principals}})

    assert body_of(answer, 201)["permissions"]["read"] == principals
    assert body_of(client.ask("GET", BUCKET))["permissions"]["read"] == principals


def test_too_many_principals_are_refused(client: Client) -> None:
    made(client)
    before = state(client)

    answer = client.ask("PUT", RECORD, {"permissions": {"read": ["p" * 500_000]}})

    assert_error(answer, 413, 113)
    assert state(client) == before


def test_what_a_list_gave_itself_at_the_end_of_time_can_be_put_back(client: Client) -> None:
    last = 253_370_764_800_000  # no client may set a later one
    assert client.ask("PUT", BUCKET, {"data": {"last_modified": last}}).status == 201
    read = body_of(client.ask("PUT", "/buckets/other"), 201)["data"]
    assert read["last_modified"] == last + 1

    answer = client.ask("PUT", "/buckets/other", {"data": read})
    beyond = client.ask("PUT", "/buckets/third", {"data": {"last_modified": last + 10_000}})

    assert body_of(answer)["data"]["last_modified"] == last + 2
    assert body_of(beyond, 201)["data"]["last_modified"] == last + 3
