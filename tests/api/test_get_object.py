"""GET and HEAD of an object."""

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
    body_of,
    made,
)
from tests.doubles import Client


@pytest.mark.parametrize("path", OBJECTS)
def test_get_answers_data_permissions_and_headers(client: Client, path: str) -> None:
    expected = made(client)[path]

    answer = client.ask("GET", path)

    assert body_of(answer) == expected
    assert answer.headers["ETag"] == f'"{expected["data"]["last_modified"]}"'
    assert answer.headers["Last-Modified"].endswith(" GMT")
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize(
    "headers", [{}, {"If-None-Match": "*"}, {"If-Match": '"1"'}, {"If-Match": "x"}]
)
def test_head_answers_as_get_without_a_body(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    made(client)

    got = client.ask("GET", path, headers=headers)
    head = client.ask("HEAD", path, headers=headers)

    assert (head.status, head.headers, head.body) == (got.status, got.headers, None)


@pytest.mark.parametrize(
    ("header", "difference", "status"),
    [
        ("If-None-Match", -1, 200),
        ("If-None-Match", 0, 304),
        ("If-None-Match", 10**14, 304),
        ("If-Match", -1, 412),
        ("If-Match", 0, 200),
        ("If-Match", 10**14, 200),
    ],
)
@pytest.mark.parametrize("path", OBJECTS)
def test_preconditions_compare_the_timestamp(
    client: Client, path: str, header: str, difference: int, status: int
) -> None:
    stored = made(client)[path]["data"]
    value = f'"{stored["last_modified"] + difference}"'

    answer = client.ask("GET", path, headers={header: value})

    assert answer.status == status
    assert answer.headers["ETag"] == f'"{stored["last_modified"]}"'
    if status == 304:
        assert answer.body is None
        assert "Cache-Control" not in answer.headers
    if status == 412:
        assert_error(answer, 412, 114)
        assert answer.body is not None
        assert answer.body["details"] == {"existing": stored}


def test_if_none_match_star_is_304_where_the_object_exists(client: Client) -> None:
    made(client)

    assert client.ask("GET", RECORD, headers={"If-None-Match": "*"}).status == 304
    missing = client.ask("GET", f"{COLLECTION}s", headers={"If-None-Match": "*"})
    assert_error(missing, 404, 111)


def test_if_none_match_is_looked_at_before_if_match(client: Client) -> None:
    made(client)

    answer = client.ask("GET", RECORD, headers={"If-None-Match": "*", "If-Match": '"1"'})

    assert answer.status == 304


@pytest.mark.parametrize("value", ["1", '"abc"', '""', 'W/"123"', '"1.5"', "'1'", '"1', '"1" '])
def test_malformed_if_none_match_is_refused(client: Client, value: str) -> None:
    made(client)

    answer = client.ask("GET", RECORD, headers={"If-None-Match": value})

    assert_invalid(answer, "headers", None, "Invalid value for If-None-Match")
    assert "ETag" not in answer.headers


def test_dates_in_preconditions_are_ignored(client: Client) -> None:
    made(client)
    date = "Fri, 31 Dec 1999 23:59:59 GMT"

    answer = client.ask(
        "GET", RECORD, headers={"If-Modified-Since": date, "If-Unmodified-Since": date}
    )

    assert answer.status == 200


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("title", {"title": "T"}),
        ("address.city,none", {"address": {"city": "Oslo"}}),
        ("address.city,address.zip", {"address": {"city": "Oslo", "zip": None}}),
        ("address.none", {"address": {}}),
        ("title.x", {"title": "T"}),
        ("tags.x", {"tags": [{"x": 1}]}),
        (",,title,", {"title": "T"}),
        ("id", {}),
    ],
)
def test_fields_select_parts(client: Client, fields: str, expected: dict[str, object]) -> None:
    made(client)
    data = {"title": "T", "address": {"city": "Oslo", "zip": None, "x": 1}, "tags": [{"x": 1}]}
    stored = body_of(client.ask("PUT", RECORD, {"data": data}))["data"]

    answer = body_of(client.ask("GET", RECORD, _fields=fields))

    kept = {"id": stored["id"], "last_modified": stored["last_modified"]}
    assert answer == {"data": {**kept, **expected}}


def test_an_empty_fields_parameter_is_none(client: Client) -> None:
    expected = made(client)[RECORD]

    assert body_of(client.ask("GET", RECORD, _fields="")) == expected


def test_unknown_fields_of_groups_are_refused_in_alphabetical_order(client: Client) -> None:
    made(client)

    answer = client.ask("GET", GROUP, _fields="members,title,colour.x")

    name, description = "Invalid _fields parameter", "Fields colour,title do not exist"
    assert_invalid(answer, "body", name, description)
    assert answer.body is not None
    assert answer.body["message"] == f"{name} in body: {description}"


def test_other_parameters_are_ignored(client: Client) -> None:
    expected = made(client)[RECORD]

    assert body_of(client.ask("GET", RECORD, dry_run="1", _expected="2", _since="x")) == expected


@pytest.mark.parametrize(
    "path",
    [
        f"{RECORDS}/{'A' * 36}",
        f"{RECORDS}/x",
        f"{COLLECTION}/records/11111111111141118111111111111111",
    ],
)
def test_an_id_that_cannot_be_one_is_refused(client: Client, path: str) -> None:
    made(client)

    answer = client.ask("GET", path)

    assert_invalid(answer, "path", None, "Invalid record id")
    assert answer.body is not None
    assert answer.body["message"] == "path: Invalid record id"


@pytest.mark.parametrize("name", ["a b", "a.b", "_x", "-x", "é", "a\n", "x" * 401])
@pytest.mark.parametrize("plural", ["collections", "groups"])
def test_a_name_that_cannot_be_one_is_refused(client: Client, name: str, plural: str) -> None:
    made(client)

    assert_invalid(
        client.ask("GET", f"{BUCKET}/{plural}/{name}"), "path", None, "Invalid record id"
    )


@pytest.mark.parametrize("length", [1, 200, 400])
def test_long_names_are_ordinary(client: Client, length: int) -> None:
    name = "n" * length
    bucket = f"/buckets/{name}"
    collection = f"{bucket}/collections/{name}"
    group = f"{bucket}/groups/{name}"
    record = f"{collection}/records/{RECORD[-36:]}"

    for path, data in ((bucket, {}), (collection, {}), (group, {"members": []}), (record, {})):
        assert client.ask("PUT", path, {"data": data}).status == 201

    for path in (bucket, collection, group, record):
        assert body_of(client.ask("GET", path))["data"]["id"] == path.rpartition("/")[2]
    assert len(body_of(client.ask("GET", f"{collection}/records", _since="0"))["data"]) == 1


@pytest.mark.parametrize("name", ["my-records", "records", "collections", "groups", "batch", "new"])
def test_names_that_look_like_parts_of_addresses_are_ordinary(client: Client, name: str) -> None:
    path = f"/buckets/{name}/collections/{name}"
    client.ask("PUT", f"/buckets/{name}")
    client.ask("PUT", path)

    record = body_of(client.ask("POST", f"{path}/records", {"data": {"a": 1}}), 201)["data"]

    assert body_of(client.ask("GET", f"{path}/records"))["data"] == [record]
