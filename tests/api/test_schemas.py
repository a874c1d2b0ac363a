"""`schema` and `cache_expires` of collections, and records that must fit the schema."""

from typing import Any

import pytest

from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    ID,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    state,
)
from tests.api.shelves import listed
from tests.api.test_server import client_with
from tests.doubles import SECRET, STAGE, Client, CountedCalls

TITLED: JsonObject = {"properties": {"title": {"type": "string"}, "rank": {"type": "integer"}}}
WASHER: JsonObject = {"type": "washer"}
WASHER_FAULT = "type: 'washer' is not valid under any of the given schemas"
NO_STRING = "1 is not of type 'string'"
OTHER = f"{COLLECTIONS}/other"
LIGHT = {"Response-Behavior": "light"}
DIFF = {"Response-Behavior": "diff"}


@pytest.fixture
def settings() -> Settings:
    """Validation is on."""
    return Settings(
        stage=STAGE, userid_hmac_secret=SECRET, experimental_collection_schema_validation=True
    )


def set_schema(client: Client, schema: Any = TITLED, path: str = COLLECTION) -> int:
    """Make the bucket and the collection with this schema; gives its version."""
    client.ask("PUT", BUCKET)
    answer = client.ask("PUT", path, {"data": {"schema": schema}})
    assert answer.status in (200, 201), answer
    assert answer.body is not None
    return int(answer.body["data"]["last_modified"])


def put(client: Client, path: str = RECORD, **data: Any) -> Response:
    return client.ask("PUT", path, {"data": data})


def data_of(answer: Response) -> JsonObject:
    """The properties in an answer, without `id` and `last_modified`."""
    assert answer.status in (200, 201), answer
    assert answer.body is not None
    data: JsonObject = answer.body["data"]
    return {name: data[name] for name in data.keys() - {"id", "last_modified"}}


# The attribute


@pytest.mark.parametrize("validates", [False, True])
def test_a_schema_is_checked_by_every_write_of_a_collection(
    dynamo: Dynamo, client: Client, validates: bool
) -> None:
    ours = client_with(dynamo, experimental_collection_schema_validation=validates)
    set_schema(ours, {}, OTHER)
    before = state(ours)

    for method, path, data in (
        ("PUT", COLLECTION, {"schema": WASHER}),
        ("PUT", OTHER, {"schema": WASHER}),
        ("POST", COLLECTIONS, {"schema": WASHER}),
        ("POST", COLLECTIONS, {"id": "new", "schema": WASHER}),
        ("PATCH", OTHER, {"schema": WASHER, "color": "red"}),
    ):
        answer = ours.ask(method, path, {"data": data})
        assert_invalid(answer, "body", "data.schema", WASHER_FAULT)
        assert body_of(answer, 400)["message"] == f"data.schema in body: {WASHER_FAULT}"

    assert state(ours) == before


@pytest.mark.parametrize("value", [None, "string", "", 3, 0, 1.5, False, True, [], [{}]])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_schema_is_an_object(client: Client, method: str, value: Any) -> None:
    set_schema(client, {})

    answer = client.ask(method, COLLECTION, {"data": {"schema": value}})

    assert_error(answer, 400, 107)
    (problem,) = body_of(answer, 400)["details"]
    assert problem["name"] == "data.schema"
    assert problem["description"].endswith("Does not implement dict-like functionality.")


@pytest.mark.parametrize(
    "schema",
    [
        {"exclusiveMinimum": True},
        {"required": [1]},
        {"properties": {"a": {"pattern": "("}}},
        {"patternProperties": {"[": {}}},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"definitions": {"a": {"allOf": [{"$ref": "#/definitions/a"}]}}},
        {"$ref": "http://localhost:1/schema#"},
    ],
)
def test_every_fault_of_a_schema_is_refused_alike(client: Client, schema: JsonObject) -> None:
    set_schema(client, {})

    answer = client.ask("PUT", COLLECTION, {"data": {"schema": schema}})

    assert_error(answer, 400, 107)
    assert [problem["name"] for problem in body_of(answer, 400)["details"]] == ["data.schema"]


SENT: JsonObject = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "title": "Météo",
    "description": "",
    "const": None,
    "x-anything": [{}, [], "", 1.5, 1.0, 12345678901234567],
    "properties": {
        "a.b": {"multipleOf": 0.25, "maximum": 1000.0},
        "é": {"$ref": "#/definitions/x"},
    },
    "definitions": {"x": {}},
}


@pytest.mark.parametrize("schema", [{}, SENT])
def test_a_schema_comes_back_as_it_was_sent(client: Client, schema: JsonObject) -> None:
    set_schema(client, schema)

    found = data_of(client.ask("GET", COLLECTION))["schema"]

    assert repr(found) == repr(schema)
    assert listed(client, path=COLLECTIONS)[0]["schema"] == schema


def test_patch_replaces_a_schema_as_a_whole_and_keeps_it_otherwise(client: Client) -> None:
    set_schema(client)

    kept = client.ask("PATCH", COLLECTION, {"data": {"color": "red"}})
    replaced = client.ask("PATCH", COLLECTION, {"data": {"schema": {"minProperties": 0}}})

    assert data_of(kept) == {"color": "red", "schema": TITLED}
    assert data_of(replaced) == {"color": "red", "schema": {"minProperties": 0}}


@pytest.mark.parametrize("body", [None, {}, {"data": None}, {"permissions": {}}, {"data": {}}])
def test_a_collection_made_without_a_schema_has_none(client: Client, body: Any) -> None:
    client.ask("PUT", BUCKET)

    assert data_of(client.ask("PUT", COLLECTION, body)) == {}
    assert data_of(client.ask("POST", COLLECTIONS, body)) == {}


def test_both_attributes_are_reported(client: Client) -> None:
    set_schema(client, {})
    data = {"schema": WASHER, "cache_expires": "soon"}
    ours = {
        "data.schema": WASHER_FAULT,
        "data.cache_expires": '"soon" is not a number',
    }

    for method, path in (("PUT", COLLECTION), ("POST", COLLECTIONS), ("PATCH", COLLECTION)):
        answer = client.ask(method, path, {"data": data})
        details = body_of(answer, 400)["details"]
        assert {problem["name"]: problem["description"] for problem in details} == ours


@pytest.mark.parametrize("path", [BUCKET, GROUP, RECORD])
def test_on_other_kinds_the_names_mean_nothing(client: Client, path: str) -> None:
    set_schema(client, {})
    data = {"schema": WASHER, "cache_expires": "soon", "members": []}

    answer = client.ask("PUT", path, {"data": data})

    assert data_of(answer) == ({"members": []} if path == GROUP else data)
    assert client.ask("PATCH", path, {"data": {"schema": None}}).status == 200


def test_who_may_not_write_hears_nothing_of_schemas(client: Client) -> None:
    set_schema(client)
    put(client, title="a")

    for path, data in ((COLLECTION, {"schema": WASHER}), (RECORD, {"title": 1})):
        assert_error(client.ask("PUT", path, {"data": data}, user="bob"), 403, 121)
        assert_error(client.ask("PATCH", path, {"data": data}, user=None), 401, 104)


# cache_expires


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (60, 60),
        (0, 0),
        (2147483647, 2147483647),
        ("60", 60),
        ("0", 0),
        (61.9, 61),
        (0.5, 0),
        (None, None),
        ("", None),
    ],
)
def test_cache_expires_is_stored_as_a_number(client: Client, sent: Any, stored: Any) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", OTHER, {"data": {"cache_expires": 5, "color": "red"}})
    expected = {} if stored is None else {"cache_expires": stored}
    body = {"data": {"cache_expires": sent}}

    answers = [client.ask("PUT", COLLECTION, body), client.ask("POST", COLLECTIONS, body)]
    patched = client.ask("PATCH", OTHER, body)

    assert list(map(data_of, answers)) == [expected, expected]
    assert data_of(patched) == {"color": "red", **expected}
    assert repr(data_of(client.ask("GET", COLLECTION))) == repr(expected)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("soon", '"soon"'),
        ("1.5", '"1.5"'),
        ("-1", '"-1"'),
        ("٣", '"٣"'),
        ([60], '"[60]"'),
        ([], '"[]"'),
        ({}, '"{}"'),
        (-1, '"-1"'),
        (-0.5, '"-0.5"'),
        (True, '"true"'),
        (False, '"false"'),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", COLLECTION), ("PATCH", COLLECTION), ("POST", COLLECTIONS)]
)
def test_what_is_no_number_of_seconds_is_refused(
    client: Client, method: str, path: str, value: Any, shown: str
) -> None:
    set_schema(client, {})
    before = state(client)

    answer = client.ask(method, path, {"data": {"cache_expires": value}})

    assert_invalid(answer, "body", "data.cache_expires", f"{shown} is not a number")
    message = body_of(answer, 400)["message"]
    assert message == f"data.cache_expires in body: {shown} is not a number"
    assert state(client) == before


@pytest.mark.parametrize("value", [2147483648, "2147483648", 1e300, "9" * 300])
def test_too_many_seconds_are_refused(client: Client, value: Any) -> None:
    set_schema(client, {})

    answer = client.ask("PUT", COLLECTION, {"data": {"cache_expires": value}})

    assert_invalid(
        answer,
        "body",
        "data.cache_expires",
        f'"{value}" is greater than maximum value 2147483647',
    )


def test_a_patch_answers_what_became_of_cache_expires(client: Client) -> None:
    set_schema(client, {})

    def patched(value: Any, headers: dict[str, str]) -> JsonObject:
        body = {"data": {"cache_expires": value}}
        return data_of(client.ask("PATCH", COLLECTION, body, headers=headers))

    assert patched("60", LIGHT) == {"cache_expires": 60}
    assert patched("60", LIGHT) == {}
    assert patched("61", DIFF) == {"cache_expires": 61}
    assert patched(62, DIFF) == {}
    assert patched(None, LIGHT) == {}


# Records


def test_without_the_setting_records_are_stored_as_they_come(dynamo: Dynamo) -> None:
    ours = client_with(dynamo)
    set_schema(ours)

    answers = [
        put(ours, title=1, schema="mine"),
        ours.ask("PATCH", RECORD, {"data": {"rank": "x"}}),
        ours.ask("POST", RECORDS, {"data": {"title": 1}}),
    ]

    assert list(map(data_of, answers)) == [
        {"title": 1, "schema": "mine"},
        {"title": 1, "schema": "mine", "rank": "x"},
        {"title": 1},
    ]


def test_a_record_that_fits_is_stored_with_the_version_of_its_schema(client: Client) -> None:
    version = set_schema(client)

    for answer in (
        put(client, title="a", rank=1, extra=[1.5, None]),
        put(client, title="a", schema="mine"),
        client.ask("POST", RECORDS, {"data": {"schema": 5}}),
        client.ask("POST", RECORDS, {"data": {"id": OTHER_ID}}),
        client.ask("PATCH", RECORD, {"data": {"schema": 7, "title": "b"}}),
        client.ask("PATCH", RECORD, {"permissions": {"read": ["system.Everyone"]}}),
        client.ask("PUT", RECORD, {"permissions": {"read": ["system.Everyone"]}}),
        client.ask("GET", RECORD),
    ):
        assert data_of(answer)["schema"] == version

    assert {entry["schema"] for entry in listed(client)} == {version}


@pytest.mark.parametrize("data", [{"title": 1}, {"title": 1, "rank": "x", "schema": 1}])
def test_a_record_that_does_not_fit_is_refused_and_nothing_moves(
    client: Client, data: JsonObject
) -> None:
    set_schema(client)
    put(client, title="a")
    before = state(client)

    for method, path, body in (
        ("POST", RECORDS, data),
        ("POST", RECORDS, {**data, "id": OTHER_ID}),
        ("PUT", f"{RECORDS}/{OTHER_ID}", data),
        ("PUT", RECORD, data),
        ("PATCH", RECORD, data),
    ):
        answer = client.ask(method, path, {"data": body})
        assert_invalid(answer, "body", "title", NO_STRING)
        assert body_of(answer, 400)["message"] == f"title in body: {NO_STRING}"

    assert state(client) == before


def test_a_message_that_has_the_name_already_is_the_description(client: Client) -> None:
    set_schema(client, {"required": ["title"]})

    answer = put(client)

    assert_invalid(answer, "body", "title", "'title' is a required property")
    assert body_of(answer, 400)["message"] == "'title' is a required property"


def test_an_empty_record_is_validated_like_any_other(client: Client) -> None:
    set_schema(client, {"required": ["title"]})

    for body in (None, {}, {"data": {}}, {"data": None}, {"permissions": {}}):
        for method, path in (("PUT", RECORD), ("POST", RECORDS)):
            answer = client.ask(method, path, body)
            assert_invalid(answer, "body", "title", "'title' is a required property")


def test_a_patch_validates_the_whole_record_as_it_will_be(client: Client) -> None:
    set_schema(client, {"required": ["a", "b"], "properties": {"a": {"properties": {"x": TITLED}}}})
    put(client, a={"x": {"title": "t"}}, b=1)

    ok = client.ask("PATCH", RECORD, {"data": {"b": 2}})
    bad = client.ask("PATCH", RECORD, {"data": {"a": {"x": {"title": 1}}}})

    assert data_of(ok)["b"] == 2
    assert_invalid(bad, "body", "title", NO_STRING)


def test_numbers_that_were_stored_fit_as_before(client: Client) -> None:
    schema = {
        "properties": {
            "count": {"type": "integer", "minimum": 1},
            "price": {"type": "number", "multipleOf": 0.25},
            "sizes": {"items": {"type": "integer"}},
            "kind": {"enum": [1, 2]},
            "float": {"not": {"type": "integer"}},
            "big": {"enum": [12345678901234567890]},
        }
    }
    set_schema(client, schema)
    numbers = {"count": 3, "price": 1.75, "sizes": [1], "kind": 2, "float": 1.0}
    put(client, **numbers, big=12345678901234567890)

    assert client.ask("PATCH", RECORD, {"data": {"note": "x"}}).status == 200
    assert_error(put(client, count=True), 400, 107)


def test_a_closed_record_can_be_put_patched_and_shared(client: Client) -> None:
    set_schema(
        client,
        {
            "properties": {"a": {}},
            "additionalProperties": False,
            "required": ["id", "last_modified", "schema"],
            "maxProperties": 1,
        },
    )

    created = client.ask("POST", RECORDS, {"data": {"id": ID, "a": 1}})
    read = body_of(client.ask("GET", RECORD))["data"]
    back = client.ask("PUT", RECORD, {"data": read})
    patched = client.ask("PATCH", RECORD, {"data": {"a": 2}})
    shared = client.ask("PATCH", RECORD, {"permissions": {"read": ["system.Everyone"]}})

    assert [answer.status for answer in (created, back, patched, shared)] == [201, 200, 200, 200]
    assert_invalid(
        client.ask("PATCH", RECORD, {"data": {"b": 2}}),
        "body",
        "b",
        "Additional properties are not allowed ('b' was unexpected)",
    )


def test_an_id_is_validated_where_it_is_known(client: Client) -> None:
    set_schema(client, {"properties": {"id": {"pattern": "^2"}}})
    description = f"'{ID}' does not match '^2'"

    assert_invalid(put(client), "body", "id", description)
    assert_invalid(client.ask("POST", RECORDS, {"data": {"id": ID}}), "body", "id", description)
    assert client.ask("POST", RECORDS, {"data": {}}).status == 201
    assert client.ask("POST", RECORDS, {"data": {"id": OTHER_ID}}).status == 201
    assert client.ask("PATCH", f"{RECORDS}/{OTHER_ID}", {"data": {"a": 1}}).status == 200


def test_a_post_of_an_existing_id_is_validated_first(client: Client) -> None:
    set_schema(client)
    put(client, title="a")
    before = state(client)

    bad = client.ask("POST", RECORDS, {"data": {"id": ID, "title": 1}})
    good = client.ask("POST", RECORDS, {"data": {"id": ID, "title": "b"}})

    assert_invalid(bad, "body", "title", NO_STRING)
    assert good.status == 200
    assert data_of(good)["title"] == "a"
    assert state(client) == before


def test_the_schema_comes_after_all_other_checks(client: Client) -> None:
    set_schema(client)
    put(client, title="a")
    stale = {"If-Match": '"1"'}
    bad = {"data": {"title": 1}}

    assert_error(client.ask("PUT", f"{OTHER}/records/{ID}", bad), 404, 111)
    assert_error(client.ask("PATCH", f"{RECORDS}/{OTHER_ID}", bad), 404, 111)
    assert_error(client.ask("PUT", RECORD, bad, headers=stale), 412, 114)
    assert_error(client.ask("PATCH", RECORD, bad, headers=stale), 412, 114)
    assert_error(client.ask("POST", RECORDS, bad, headers=stale), 412, 114)
    assert_error(
        client.ask("POST", RECORDS, {"data": {"id": ID, "title": 1}}, headers=stale), 412, 114
    )
    assert_invalid(client.ask("PUT", f"{RECORDS}/x", bad), "path", None, "Invalid record id")
    assert_invalid(
        client.ask("POST", RECORDS, {"data": {"id": "x", "title": 1}}),
        "path",
        None,
        "Invalid record id",
    )
    assert_invalid(
        client.ask("PUT", RECORD, {**bad, "foo": 1}), "body", "foo", "foo is not allowed"
    )
    for method in ("PUT", "PATCH"):
        answer = client.ask(method, RECORD, {"data": {"id": OTHER_ID, "title": 1}})
        assert_invalid(answer, "body", "id", "Record id does not match existing record")


def test_validation_costs_no_more_round_trips(
    client: Client, dynamo: Dynamo, calls: CountedCalls
) -> None:
    set_schema(client)
    off = client_with(dynamo)
    put(client, title="a")
    calls.take()

    for method, path in (("PUT", RECORD), ("PATCH", RECORD), ("POST", RECORDS)):
        client.ask(method, path, {"data": {"title": "b"}})
        costs = calls.take()
        off.ask(method, path, {"data": {"title": "b"}})
        assert costs == calls.take()


# The field `schema` of records


def test_every_change_of_the_collection_makes_a_new_version(client: Client) -> None:
    first = set_schema(client)
    put(client, title="a")
    changed = client.ask("PATCH", COLLECTION, {"data": {"color": "red"}})
    second = body_of(changed)["data"]["last_modified"]

    untouched = data_of(client.ask("GET", RECORD))["schema"]
    renewed = data_of(client.ask("PATCH", RECORD, {"data": {}}))["schema"]

    assert (untouched, renewed) == (first, second)


def test_records_are_filtered_and_sorted_by_the_version(client: Client) -> None:
    first = set_schema(client)
    put(client, title="a")
    second = set_schema(client, {**TITLED, "description": "two"})
    put(client, f"{RECORDS}/{OTHER_ID}", title="b")

    assert [entry["title"] for entry in listed(client, ("min_schema", str(second)))] == ["b"]
    assert [entry["title"] for entry in listed(client, ("schema", str(first)))] == ["a"]
    assert [entry["title"] for entry in listed(client, ("_sort", "schema"))] == ["a", "b"]
    assert [entry["title"] for entry in listed(client, ("_sort", "-schema"))] == ["b", "a"]


def test_the_version_is_no_change_of_the_clients(client: Client) -> None:
    set_schema(client)
    put(client, title="a")
    set_schema(client, {**TITLED, "title": "two"})

    def patched(headers: dict[str, str], **data: Any) -> JsonObject:
        return data_of(client.ask("PATCH", RECORD, {"data": data}, headers=headers))

    assert patched(LIGHT, title="b") == {"title": "b"}
    assert patched(DIFF, title="c") == {}
    third = set_schema(client)
    assert patched(LIGHT, title="d", schema=7) == {"title": "d", "schema": third}
    fourth = set_schema(client)
    assert patched(DIFF, title="e", schema=7) == {"schema": fourth}
    assert patched(LIGHT, schema=7) == {}


@pytest.mark.parametrize("data", [{}, {"schema": {}}])
def test_without_a_schema_the_field_is_the_clients(client: Client, data: JsonObject) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION, {"data": data})

    assert data_of(put(client, title=1, schema="mine")) == {"title": 1, "schema": "mine"}
    assert data_of(client.ask("PATCH", RECORD, {"data": {"a": 1}})) == {
        "title": 1,
        "schema": "mine",
        "a": 1,
    }
    assert data_of(client.ask("POST", RECORDS, {"data": {"title": 1}})) == {"title": 1}


# Life of a schema


def test_old_records_stay_and_are_validated_when_they_are_written(client: Client) -> None:
    set_schema(client, {"properties": {"a": {"type": "integer"}}})
    put(client, a=1)
    set_schema(client, {"properties": {"a": {"type": "string"}}})

    assert data_of(client.ask("GET", RECORD))["a"] == 1
    assert len(listed(client)) == 1
    for body in ({"data": {"b": 1}}, {"permissions": {"read": ["system.Everyone"]}}):
        assert_invalid(client.ask("PATCH", RECORD, body), "body", "a", NO_STRING)
    shared = client.ask("PUT", RECORD, {"permissions": {"read": ["system.Everyone"]}})
    assert_invalid(shared, "body", "a", NO_STRING)
    assert client.ask("PATCH", RECORD, {"data": {"a": "one"}}).status == 200


@pytest.mark.parametrize("path", [RECORD, RECORDS])
def test_a_record_that_no_longer_fits_can_be_deleted(client: Client, path: str) -> None:
    set_schema(client, {})
    put(client, a=1)
    set_schema(client, {"not": {}})

    assert client.ask("DELETE", path).status == 200
    assert listed(client) == []


@pytest.mark.parametrize("end", [("PUT", {}), ("PUT", None), ("PATCH", {"schema": {}})])
def test_without_its_schema_validation_ends(client: Client, end: tuple[str, Any]) -> None:
    version = set_schema(client)
    put(client, title="a")
    method, data = end

    assert client.ask(method, COLLECTION, {"data": data}).status == 200

    patched = client.ask("PATCH", RECORD, {"data": {"title": 1}})
    assert data_of(patched) == {"title": 1, "schema": version}
    assert data_of(put(client, title=2)) == {"title": 2}


def test_a_schema_ends_with_its_collection(client: Client) -> None:
    set_schema(client)
    client.ask("DELETE", COLLECTION)
    client.ask("PUT", COLLECTION)

    assert data_of(put(client, title=1)) == {"title": 1}


def test_a_schema_concerns_its_collection_alone(client: Client) -> None:
    set_schema(client)
    set_schema(client, {}, OTHER)

    assert data_of(put(client, f"{OTHER}/records/{ID}", title=1)) == {"title": 1}


def test_who_writes_records_is_bound_without_reading_the_collection(client: Client) -> None:
    set_schema(client)
    permissions = {"permissions": {"record:create": ["system.Everyone"]}}
    client.ask("PATCH", COLLECTION, permissions)

    bad = client.ask("POST", RECORDS, {"data": {"title": 1}}, user=None)
    good = client.ask("POST", RECORDS, {"data": {"title": "a"}}, user=None)

    assert_invalid(bad, "body", "title", NO_STRING)
    assert good.status == 201


def test_a_schema_that_was_stored_unchecked_refuses_records_until_it_is_mended(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.ask("PUT", BUCKET)
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.protocol.schemas.schema_fault", lambda _schema: None)
        client.ask("PUT", COLLECTION, {"data": {"schema": WASHER}})

    refused = put(client, title="a")

    description = f"The schema of the collection is invalid: {WASHER_FAULT}"
    assert_invalid(refused, "body", "schema", description)
    set_schema(client)
    assert put(client, title="a").status == 201


def test_an_exploding_pattern_is_a_refusal(client: Client) -> None:
    set_schema(client, {"properties": {"a": {"pattern": "(a|a)*$"}}})

    answer = put(client, a="a" * 40 + "!")

    assert_error(answer, 400, 107)
    assert body_of(answer, 400)["details"][0]["name"] == "data"


def test_in_a_batch_each_request_meets_the_schema_of_its_moment(client: Client) -> None:
    client.ask("PUT", BUCKET)

    def write(title: Any) -> JsonObject:
        return {"method": "POST", "path": RECORDS, "body": {"data": {"title": title}}}

    def define(schema: JsonObject) -> JsonObject:
        return {"method": "PUT", "path": COLLECTION, "body": {"data": {"schema": schema}}}

    other = {"properties": {"title": {"type": "integer"}}}
    requests = [define(TITLED), write(1), write("a"), define(other), write("a"), write(1)]

    answers = body_of(client.ask("POST", "/batch", {"requests": requests}))["responses"]

    assert [answer["status"] for answer in answers] == [201, 400, 201, 200, 400, 201]
    versions = [answers[n]["body"]["data"]["last_modified"] for n in (0, 3)]
    assert [answers[n]["body"]["data"]["schema"] for n in (2, 5)] == versions
