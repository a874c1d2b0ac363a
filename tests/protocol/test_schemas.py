"""Schemas, and records that fit them or not: `chalicelib/protocol/schemas.py` and its parts."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from chalicelib.protocol.errors import INVALID_PARAMETERS
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.schema_graphs import (
    MAX_PATTERN_NODES,
    SchemaError,
    canonical,
    nodes_of_pattern,
)
from chalicelib.protocol.schemas import (
    MAX_DESCRIPTION,
    MAX_SCHEMA_CHARACTERS,
    require_fit,
    schema_fault,
)
from tests.protocol.attempts import attempt
from tests.protocol.test_bodies import JSON

METASCHEMA = "http://json-schema.org/draft-04/schema"
ID = "11111111-1111-4111-8111-111111111111"
TOO_MUCH = "Validation by the schema of the collection takes too much time or depth"


def no_time() -> float:
    """A clock that stands still, so that no machine is too slow."""
    return 0.0


def problem(
    schema: Any, data: JsonObject, id: str | None = None, clock: Callable[[], float] = no_time
) -> tuple[str, str] | None:
    """Name and description of what is wrong with a record; None where it fits."""
    refused = attempt(lambda: require_fit(schema, data, id=id, clock=clock))
    if refused is None:
        return None
    assert refused.kind is INVALID_PARAMETERS
    assert isinstance(refused.details, list)
    (detail,) = refused.details
    assert detail["location"] == "body"
    return detail["name"], detail["description"]


def name(schema: Any, data: JsonObject, id: str | None = None) -> str | None:
    """The name of what is wrong with a record that a valid schema is asked about."""
    assert schema_fault(schema) is None
    found = problem(schema, data, id)
    return found and found[0]


def nested(levels: int, around: Callable[[Any], Any], core: Any) -> Any:
    for _ in range(levels):
        core = around(core)
    return core


# What is a schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["string", "null"]},
        {"required": ["a"]},
        {"minimum": 1, "exclusiveMinimum": True},
        {"const": 1, "x-anything": {"type": "washer"}, "readOnly": True},
        {"$schema": "http://json-schema.org/draft-07/schema#", "if": 5},
        {"$schema": "", "title": "", "description": "", "default": None, "format": "no-such"},
        {"enum": [1, True, "1", None, [], {}]},
        {"enum": [[1], [True]]},
        {"items": [{}, {"type": "string"}], "additionalItems": False},
        {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        {"properties": {"$ref": {"type": "string"}, "é.a": {}, "": {}, "required": {}}},
        {"properties": {"a": {"$ref": "#"}}},
        {
            "properties": {"a": {"$ref": "#/definitions/b", "type": "string"}},
            "definitions": {"b": {}},
        },
        {"properties": {"a": {"$ref": f"{METASCHEMA}#"}, "b": {"$ref": METASCHEMA}}},
        {"properties": {"a": {"$ref": f"{METASCHEMA}#/definitions/stringArray"}}},
        {"id": "http://x/y#", "properties": {"a": {"$ref": "http://x/y#/properties/b"}, "b": {}}},
        {
            "properties": {"a": {"id": "http://[", "$ref": "#/definitions/b"}},
            "definitions": {"b": {}},
        },
        {"x": [{"y": {"type": "string"}}], "items": {"$ref": "#/x/0/y"}},
        {"not": {"$ref": "#/definitions/a"}, "definitions": {"a": {"items": {"$ref": "#"}}}},
    ],
)
def test_these_are_schemas(schema: JsonObject) -> None:
    text = json.dumps(schema)

    assert schema_fault(schema) is None
    assert json.dumps(schema) == text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "washer"},
        {"type": []},
        {"type": ["string", "string"]},
        {"type": None},
        {"required": True},
        {"required": []},
        {"required": "a"},
        {"required": ["a", "a"]},
        {"required": [1]},
        {"enum": []},
        {"enum": [1, 1.0]},
        {"enum": {}},
        {"exclusiveMinimum": True},
        {"exclusiveMaximum": True},
        {"minimum": 1, "exclusiveMinimum": 1},
        {"minimum": True},
        {"minLength": -1},
        {"minLength": 1.0},
        {"multipleOf": 0},
        {"uniqueItems": 1},
        {"title": 5},
        {"description": None},
        {"$schema": 5},
        {"id": 5},
        {"format": 5},
        {"allOf": []},
        {"anyOf": {}},
        {"oneOf": [1]},
        {"not": []},
        {"not": True},
        {"items": True},
        {"items": []},
        {"additionalItems": 0},
        {"additionalProperties": "no"},
        {"properties": []},
        {"properties": {"a": "string"}},
        {"properties": {"a": {"properties": {"b": {"type": "strin"}}}}},
        {"definitions": {"x": {"type": "nothing"}}},
        {"dependencies": {"a": []}},
        {"dependencies": {"a": "b"}},
        {"patternProperties": {"a": 1}},
        # Patterns
        {"pattern": "("},
        {"pattern": 5},
        {"patternProperties": {"[": {}}},
        {"properties": {"a": {"items": [{"pattern": "*"}]}}},
        {"$ref": "#/definitions/a", "pattern": "(", "definitions": {"a": {}}},
        {"pattern": r"\L<x>"},
        {"pattern": "(?V1)a"},
        {"pattern": "(" * 3000 + ")" * 3000},
        {"pattern": "(?x) a"},
        {"pattern": "a{99999}"},
        {"pattern": "((a{50}){50}){50}"},
        {"pattern": "(a{9}){9999999999}"},
        {"pattern": "a" * (MAX_PATTERN_NODES + 1)},
        {"patternProperties": {"a{6000}": {}, "b{6000}": {}}},
        # References
        {"$ref": 5},
        {"$ref": None},
        {"$ref": "#/nope"},
        {"$ref": "#nope"},
        {"$ref": "nope"},
        {"$ref": "nope#"},
        {"$ref": "http://example.com/schema#"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "http://json-schema.org/draft-07/schema#"},
        {"$ref": f"{METASCHEMA}#/nope"},
        {"$ref": "http://["},
        {"$ref": "#/%ff"},
        {"$ref": "#/type", "type": "string"},
        {"$ref": "#/required/0", "required": ["a"]},
        {"items": {"$ref": "#/enum/01"}, "enum": [{}, {}, 1]},
        {"items": {"$ref": "#/enum/-1"}, "enum": [{}]},
        {"items": {"$ref": "#/enum/1"}, "enum": [{}]},
        {"items": {"$ref": "#/enum/a"}, "enum": [{}]},
        {"items": {"$ref": "#/title/a"}, "title": "a"},
        {"x": {"type": "foo"}, "properties": {"a": {"$ref": "#/x"}}},
        {"x": {"items": {"pattern": "("}}, "properties": {"a": {"$ref": "#/x"}}},
        {"x": {"items": {"$ref": "#/nope"}}, "properties": {"a": {"$ref": "#/x"}}},
        {"properties": {"type": {"type": "string"}, "a": {"$ref": "#/properties"}}},
        {"$ref": "#/definitions/a", "definitions": {"a": {}}, "items": {"$ref": "http://x/"}},
        # Circles
        {"$ref": "#"},
        {"definitions": {"a": {"$ref": "#/definitions/a"}}},
        {"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}},
        {"allOf": [{}, {"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}]},
        {"oneOf": [{"oneOf": [{"$ref": "#"}]}]},
        {"not": {"$ref": "#"}},
        {"dependencies": {"a": {"$ref": "#"}}},
        {"items": {"$ref": "#/x"}, "x": {"not": {"$ref": "#/x"}}},
        # Bounds
        {"title": "a" * MAX_SCHEMA_CHARACTERS},
        nested(250, lambda inner: {"not": inner}, {}),
        {"default": nested(2000, lambda inner: [inner], {})},
    ],
)
def test_these_are_none(schema: JsonObject) -> None:
    fault = schema_fault(schema)

    assert fault
    assert len(fault) <= MAX_DESCRIPTION


def test_a_fault_says_where_and_what() -> None:
    fault = schema_fault({"properties": {"a": {"type": "washer"}}})

    assert fault == "type: 'washer' is not valid under any of the given schemas"


def test_a_schema_that_costs_too_much_to_check_is_refused() -> None:
    """References into what is no schema position, each to a part of the next one's target."""
    wide = nested(60, lambda inner: {"not": inner, "allOf": [{}] * 700}, {})
    targets = [{"$ref": "#/x" + "/not" * depth} for depth in reversed(range(60))]

    fault = schema_fault(
        {"x": wide, "definitions": dict(zip(map(str, range(60)), targets, strict=True))}
    )

    assert fault == "too large or nested too deep"


@pytest.mark.parametrize(
    ("pattern", "nodes"),
    [
        ("abc", 3),
        ("a{3}", 4 + 3),
        ("a{2,5}", 6 + 2),
        ("[0-9a-f]{8}-[0-9a-f]{4}", 23 + 8 + 4),
        ("(a{3}b){4}", (10 + 3) * 4),
        ("(a){0}", 6),
        (r"^\(?x\)?$", 9),
    ],
)
def test_the_nodes_of_a_pattern_are_estimated(pattern: str, nodes: int) -> None:
    assert nodes_of_pattern(pattern) == nodes


@pytest.mark.parametrize("pattern", ["(?x)a", "(?ix)a", "(?i-x:a)", r"\\(?x)", "a(?msx:b)"])
def test_the_verbose_flag_is_refused_however_it_is_set(pattern: str) -> None:
    with pytest.raises(SchemaError):
        nodes_of_pattern(pattern)


# Draft 4: a value of the field `f`, by a schema that is asked about it


FITS: list[tuple[JsonObject, list[Any], list[Any]]] = [
    ({"type": "integer"}, [1, -1, 0, 10**30], [1.0, 1e2, 1.5, True, False, "1", None]),
    ({"type": "number"}, [1, 1.0, -0.5, 1e300], [True, False, "1", None]),
    ({"type": "boolean"}, [True, False], [1, 0, "true"]),
    ({"type": "null"}, [None], [0, "", False, [], {}]),
    ({"type": "array"}, [[], [1]], [{}, "a"]),
    ({"type": "object"}, [{}, {"a": 1}], [[], "a"]),
    ({"type": ["string", "null"]}, ["", None], [1]),
    ({"enum": [1, "a", None, [1, {"b": 2}]]}, [1, 1.0, "a", None, [1, {"b": 2.0}]], [True, "1"]),
    ({"enum": [True, [False]]}, [True, [False]], [1, [0], "True"]),
    ({"enum": [0]}, [0, 0.0, -0.0], [False, None, ""]),
    ({"enum": [12345678901234567]}, [12345678901234567], [12345678901234568]),
    ({"enum": [{"a": 1, "b": 2}]}, [{"b": 2, "a": 1}], [{"a": 1}, {"a": 1, "b": True}]),
    ({"minimum": 1}, [1, 2, 1.0, "a", None, True], [0, 0.99]),
    ({"minimum": 1, "exclusiveMinimum": True}, [1.01, 2], [1, 1.0]),
    ({"minimum": 1, "exclusiveMinimum": False}, [1], [0]),
    ({"maximum": 10}, [10, -1, []], [11, 10.5]),
    ({"maximum": 10, "exclusiveMaximum": True}, [9], [10]),
    ({"maximum": 12345678901234567}, [12345678901234567], [12345678901234568]),
    ({"multipleOf": 0.01}, [0.07, 19.99, 4.35, 1, "x", 1e300], [0.075, 0.001]),
    ({"multipleOf": 0.5}, [2, 0.5, -1.5, 0], [0.75]),
    ({"multipleOf": 3}, [0, 9, 9.0, 3 * 10**20], [1, 10**20, 4.5]),
    ({"multipleOf": 1e-300}, [1e300, 1], []),
    ({"minLength": 2, "maxLength": 3}, ["ab", "éàü", "😀😀😀", 1, None, []], ["a", "😀", "abcd"]),
    ({"pattern": "b+"}, ["abbc", "b", 1, None], ["xyz", ""]),
    ({"pattern": "^[a-z]+$"}, ["abc"], ["abC", "", "a b"]),
    ({"pattern": r"^\d{4}-\d{2}$"}, ["2024-01"], ["2024-1", "x2024-01"]),
    ({"pattern": r"^\p{L}+$"}, ["é"], ["1"]),
    ({"items": {"type": "integer"}}, [[], [1, 2], "a", {}], [["a"], [1, None]]),
    ({"items": [{"type": "integer"}]}, [[], [1], [1, "a"]], [["a"]]),
    ({"items": [{}], "additionalItems": False}, [[], [1]], [[1, 2]]),
    ({"items": [{}], "additionalItems": {"type": "string"}}, [[1, "a"]], [[1, 2]]),
    ({"items": {}, "additionalItems": False}, [[1, 2]], []),
    ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], "abc"], [[], [1, 2, 3]]),
    (
        {"uniqueItems": True},
        [[], [1, True, "1", None], [[1], [True]], [{"a": 0}, {"a": False}], "aa"],
        [[1, 1], [1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [[], []]],
    ),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"required": ["a", "b"]}, [{"a": 1, "b": None}, "a", []], [{}, {"a": 1}]),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}, []], [{}, {"a": 1, "b": 1, "c": 1}]),
    ({"properties": {"a": {"type": "string"}}}, [{}, {"a": "x"}, {"b": 1}, 5], [{"a": 1}]),
    ({"patternProperties": {"^n_": {"type": "number"}}}, [{"n_a": 1, "xn_": ""}, 5], [{"n_a": ""}]),
    (
        {
            "properties": {"a": {}},
            "patternProperties": {"^n_": {}},
            "additionalProperties": {"type": "boolean"},
        },
        [{"a": 1, "n_a": 1, "c": True}, [], 5],
        [{"c": 1}],
    ),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{}, {"a": 1}, 5], [{"b": 1}]),
    ({"additionalProperties": True}, [{"b": 1}], []),
    ({"dependencies": {"a": ["b", "c"]}}, [{}, {"b": 1}, {"a": 1, "b": 1, "c": 1}, 5], [{"a": 1}]),
    ({"dependencies": {"a": {"required": ["b"]}}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [2], [0, 4]),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [1]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [1, 5.5], [5, 0.5]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    ({"format": "email"}, ["nobody", 1], []),
    ({"default": 5, "type": "integer"}, [1], ["a"]),
    ({"const": 1, "contains": {}, "if": {}, "$schema": "http://json-schema.org/schema#"}, [2], []),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "const": 1}, [1, 2], []),
    ({"$ref": "#/definitions/short", "type": "string"}, [[1]], [[1, 2]]),
    ({"$ref": "#/definitions/a~1b"}, [1], ["a"]),
    ({"$ref": "#/definitions/c~0d"}, ["a"], [1]),
    ({"$ref": "#/definitions/%C3%A9%25~01"}, [None], [1]),
    ({"$ref": "#/definitions/chain"}, [1], ["a"]),
    ({"$ref": "#/definitions/tree"}, [[], [[[], []]]], [[[1]]]),
    ({"$ref": "#/definitions/"}, [True], [1]),
    ({"$ref": f"{METASCHEMA}#"}, [{}, {"not": {}}], [{"not": {"type": "washer"}}, 5]),
    ({"$ref": f"{METASCHEMA}#/definitions/positiveInteger"}, [0], [-1, 1.0]),
]
DEFINITIONS: JsonObject = {
    "short": {"maxItems": 1},
    "a/b": {"type": "integer"},
    "c~d": {"type": "string"},
    "é%~1": {"type": "null"},
    "chain": {"$ref": "#/definitions/a~1b"},
    "tree": {"type": "array", "items": {"$ref": "#/definitions/tree"}},
    "": {"type": "boolean"},
}


def about_f(schema: JsonObject) -> JsonObject:
    return {"definitions": DEFINITIONS, "properties": {"f": schema}}


@pytest.mark.parametrize(
    ("schema", "value"), [(schema, value) for schema, good, _ in FITS for value in good]
)
def test_a_value_fits(schema: JsonObject, value: Any) -> None:
    assert name(about_f(schema), {"f": value}) is None


@pytest.mark.parametrize(
    ("schema", "value"), [(schema, value) for schema, _, bad in FITS for value in bad]
)
def test_a_value_does_not_fit(schema: JsonObject, value: Any) -> None:
    assert name(about_f(schema), {"f": value}) is not None


@pytest.mark.parametrize("schema", [schema for schema, _, _ in FITS])
def test_an_empty_record_has_no_field_to_fit(schema: JsonObject) -> None:
    assert name(about_f(schema), {}) is None


def test_a_nested_schema_of_another_draft_stays_in_this_one() -> None:
    draft_7 = "http://json-schema.org/draft-07/schema#"
    schema = {"$schema": draft_7, "properties": {"a": {"$schema": draft_7, "pattern": "a{1}"}}}

    assert name(schema, {"a": "b"}) == "a"
    assert name({"properties": {"a": {"$schema": draft_7, "const": 5}}}, {"a": 1}) is None


# Names


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string"}, 1, "f"),
        ({"properties": {"street": {"type": "string"}}}, {"street": 3}, "street"),
        (
            {"properties": {"g": {"properties": {"lat": {"type": "number"}}}}},
            {"g": {"lat": ""}},
            "lat",
        ),
        ({"items": {"properties": {"n": {"type": "string"}}}}, [{"n": ""}, {"n": 5}], "n"),
        ({"items": {"type": "string"}}, [1], "f"),
        ({"items": {"items": {"type": "string"}}}, [[], [1]], "f"),
        ({"items": {"properties": {"0": {"type": "string"}}}}, [{"0": 1}], "0"),
        ({"minItems": 1}, [], "f"),
        ({"maxItems": 0}, [1], "f"),
        ({"uniqueItems": True}, [1, 1], "f"),
        ({"items": [{}], "additionalItems": False}, [1, 2], "f"),
        ({"required": ["street"]}, {}, "f"),
        ({"items": {"required": ["a"]}}, [{}], "f"),
        ({"additionalProperties": False}, {"b": 1}, "f"),
        ({"minProperties": 1}, {}, "f"),
        ({"maxProperties": 0}, {"a": 1}, "f"),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}, "f"),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, "f"),
        ({"patternProperties": {"^n": {"type": "string"}}}, {"no": 1}, "no"),
        ({"additionalProperties": {"type": "string"}}, {"x": 1}, "x"),
        ({"anyOf": [{"properties": {"a": {"type": "string"}}}]}, {"a": 1}, "f"),
        ({"oneOf": [{}, {}]}, 1, "f"),
        ({"not": {}}, 1, "f"),
        ({"allOf": [{"properties": {"a": {"type": "string"}}}]}, {"a": 1}, "a"),
        ({"$ref": "#/definitions/chain"}, "x", "f"),
    ],
)
def test_an_error_below_the_record_names_the_innermost_field(
    schema: JsonObject, value: Any, expected: str
) -> None:
    assert name(about_f(schema), {"f": value}) == expected


@pytest.mark.parametrize(
    ("schema", "data", "expected"),
    [
        ({"required": ["a"]}, {}, "a"),
        ({"required": ["a", "b", "c"]}, {"a": 1, "c": 1}, "b"),
        ({"allOf": [{"required": ["a"]}]}, {}, "a"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "c": 1, "b": 1}, "c"),
        ({"additionalProperties": {"type": "string"}}, {"x": 1}, "x"),
        ({"patternProperties": {"^n": {"type": "string"}}}, {"no": 1}, "no"),
        ({"dependencies": {"a": ["b", "c"]}}, {"a": 1, "b": 1}, "c"),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, "b"),
        ({"minProperties": 1}, {}, "minProperties"),
        ({"maxProperties": 1}, {"a": 1, "b": 1}, "maxProperties"),
        ({"type": "array"}, {}, "type"),
        ({"enum": [{"a": 1}]}, {"a": 2}, "enum"),
        ({"not": {}}, {}, "not"),
        ({"anyOf": [{"required": ["a"]}]}, {}, "anyOf"),
        ({"oneOf": [{}, {}]}, {}, "oneOf"),
        (
            {"$ref": "#/definitions/a", "definitions": {"a": {"minProperties": 1}}},
            {},
            "minProperties",
        ),
    ],
)
def test_an_error_of_the_record_itself_names_the_field_or_the_keyword(
    schema: JsonObject, data: JsonObject, expected: str
) -> None:
    assert name(schema, data) == expected


def test_the_first_error_by_the_order_of_the_schema_is_told() -> None:
    schema = {"properties": {"b": {"type": "string"}, "a": {"type": "string"}}, "required": ["c"]}
    other = {"required": ["c"], "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}

    assert problem(schema, {"a": 1, "b": 1}) == ("b", "1 is not of type 'string'")
    assert problem(other, {"a": 1, "b": 1}) == ("c", "'c' is a required property")


def test_a_description_is_cut() -> None:
    found = problem({"properties": {"a": {"type": "string"}}}, {"a": ["x" * 100_000]})

    assert found is not None
    assert len(found[1]) == MAX_DESCRIPTION


# The server's fields


SERVER_DATA: JsonObject = {"a": 1, "schema": "mine", "last_modified": 5}


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a", "id", "last_modified", "schema"]},
        {"allOf": [{"$ref": "#/definitions/all"}], "definitions": {"all": {"required": ["id"]}}},
        {"properties": {"a": {}}, "additionalProperties": False},
        {"anyOf": [{"properties": {"a": {}}, "additionalProperties": False}]},
        {"additionalProperties": {"type": "integer"}},
        {"minProperties": 1, "maxProperties": 1},
        {"patternProperties": {"": {"type": "integer"}}},
        {"properties": {"schema": {"type": "null"}, "last_modified": {"type": "string"}}},
        {"dependencies": {"a": ["id", "schema", "last_modified"]}},
        {"dependencies": {"id": ["b"], "schema": ["b"], "last_modified": {"required": ["b"]}}},
        {"enum": [{"a": 1}]},
        {"properties": {"id": {"pattern": "^1"}, "a": {}}, "additionalProperties": False},
    ],
)
@pytest.mark.parametrize("id", [None, ID])
def test_the_servers_fields_are_passed_over(schema: JsonObject, id: str | None) -> None:
    assert name(schema, SERVER_DATA, id) is None


def test_they_alone_are_no_properties() -> None:
    assert name({"minProperties": 1}, {"schema": 1}, ID) == "minProperties"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"id": {"pattern": "^2"}}},
        {
            "allOf": [{"$ref": "#/definitions/a"}],
            "definitions": {"a": {"properties": {"id": {"type": "null"}}}},
        },
        {"additionalProperties": False, "properties": {"id": {"type": "integer"}, "a": {}}},
    ],
)
def test_an_id_is_validated_where_it_is_known(schema: JsonObject) -> None:
    assert name(schema, SERVER_DATA, ID) == "id"
    assert name(schema, SERVER_DATA) is None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"additionalProperties": False}, "f"),
        ({"properties": {"id": {"type": "string"}}}, "id"),
        ({"properties": {"schema": {"type": "string"}}}, "schema"),
        ({"maxProperties": 1}, "f"),
    ],
)
def test_in_nested_objects_they_are_fields_like_any_other(
    schema: JsonObject, expected: str
) -> None:
    assert name(about_f(schema), {"f": {"id": 1, "schema": 1}}, ID) == expected
    assert name(about_f({"required": ["id"]}), {"f": {}}, ID) == "f"


# Bounds


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 40 + "!"),
        ("(a|a)*$", "a" * 40 + "!"),
        ("(a|aa)+$", "a" * 60 + "!"),
        ("(.*a){25}$", "a" * 200 + "!"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 50),
        ("(?R)a|b", "a" * 1000),
    ],
)
def test_a_pattern_that_explodes_ends(pattern: str, text: str) -> None:
    # Unbounded, the searches would outlive the test run.
    for schema, data in (
        ({"properties": {"f": {"pattern": pattern}}}, {"f": text}),
        ({"patternProperties": {pattern: {"type": "null"}}}, {text: 1}),
    ):
        # The library sees through some of these, and finds nothing.
        assert problem(schema, data, clock=time.monotonic) in (
            None,
            ("f", f"{text!r} does not match {pattern!r}"),
            ("data", TOO_MUCH),
        )


def test_a_search_that_takes_too_long_is_told_as_such() -> None:
    schema = {"properties": {"f": {"pattern": "(a|a)*$"}}}

    assert problem(schema, {"f": "a" * 40 + "!"}) == ("data", TOO_MUCH)


def test_time_is_bounded_by_the_clock() -> None:
    seconds = count()
    schema = {"properties": {name: {"type": "integer"} for name in "abc"}}

    assert problem(schema, {"a": 1, "b": 1, "c": 1}, clock=lambda: next(seconds)) == (
        "data",
        TOO_MUCH,
    )


def test_steps_are_bounded() -> None:
    doubling = {f"d{n + 1}": {"allOf": [{"$ref": f"#/definitions/d{n}"}] * 2} for n in range(40)}
    schema = {
        "definitions": {"d0": {}, **doubling},
        "properties": {"f": {"$ref": "#/definitions/d40"}},
    }

    assert name(schema, {"f": 1}) == "data"
    assert name(schema, {}) is None


def test_depth_is_bounded() -> None:
    schema = {"properties": {"a": {"$ref": "#"}}}

    assert name(schema, nested(40, lambda inner: {"a": inner}, {})) is None
    assert name(schema, nested(500, lambda inner: {"a": inner}, {})) == "data"


def test_a_deep_value_that_no_schema_asks_about_is_none_of_its_business() -> None:
    deep = nested(500, lambda inner: [inner], [])

    assert name({"properties": {"a": {"type": "array"}}}, {"a": deep, "b": deep}) is None


def test_integers_that_collide_are_told_apart_without_comparing_each_with_each() -> None:
    # Which would outlive the test run: all of them have the same hash.
    colliding = [factor * (2**61 - 1) for factor in range(100_000)]

    assert name(about_f({"uniqueItems": True}), {"f": colliding}) is None


def test_a_large_list_is_no_problem() -> None:
    entry = {"x": "abc", "y": 1, "z": True}
    schema = about_f(
        {"items": {"properties": {"x": {"type": "string"}, "y": {"minimum": 0}}, "required": ["x"]}}
    )

    assert name(schema, {"f": [entry] * 12_000}) is None


# Schemas that were stored before they were checked


@pytest.mark.parametrize("schema", [{"type": "washer"}, {"pattern": "("}, "none", 5, [1], True])
def test_what_is_no_schema_refuses_all_records(schema: Any) -> None:
    found = problem(schema, {})

    assert found is not None
    assert found[0] == "schema"


# Laws


SMALL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "ab", 0.5, 2.5, 1.0]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from("abc"), SMALL, max_size=3)
TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"]
SIZES = st.integers(0, 3)
NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    sizes = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
    return st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(sizes, SIZES),
            "type": st.sampled_from(TYPES)
            | st.lists(st.sampled_from(TYPES), min_size=1, unique=True),
            "enum": st.lists(SMALL, min_size=1, max_size=3, unique_by=canonical),
            "minimum": st.integers(-2, 2),
            "maximum": st.sampled_from([-1, 0.5, 2]),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "pattern": st.sampled_from(["a", "^b", "a$", "^$"]),
            "uniqueItems": st.booleans(),
            "required": NAMES,
            "properties": named,
            "patternProperties": st.dictionaries(
                st.sampled_from(["a", "^b", ""]), inner, max_size=2
            ),
            "additionalProperties": st.booleans() | inner,
            "items": inner | several,
            "additionalItems": st.booleans() | inner,
            "dependencies": st.dictionaries(st.sampled_from("abc"), NAMES | inner, max_size=2),
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "$ref": st.sampled_from(["#/definitions/a", "#/definitions/b"]),
        },
    )


SCHEMAS = st.recursive(_keywords(st.just({})), _keywords, max_leaves=4)
ROOTS = st.builds(
    lambda root, a, b: {**root, "definitions": {"a": a, "b": b}}, SCHEMAS, SCHEMAS, SCHEMAS
)


@given(ROOTS, RECORDS)
def test_a_record_fits_where_plain_draft_4_says_so(schema: Any, data: JsonObject) -> None:
    assume(schema_fault(schema) is None)

    fits = problem(schema, data) is None

    assert fits == Draft4Validator(schema).is_valid(data)


@given(ROOTS)
def test_a_schema_is_one_where_draft_4_says_so_but_for_circles(schema: Any) -> None:
    fault = schema_fault(schema)

    Draft4Validator.check_schema(schema)
    assert fault in (None, "a reference leads back to itself in a circle")


WILD = st.recursive(
    JSON | SCHEMAS,
    lambda inner: st.dictionaries(
        st.sampled_from(["properties", "items", "$ref", "pattern", "enum", "allOf", "not", "type"])
        | st.text(max_size=3),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)


@given(WILD, st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_nothing_but_a_refusal_comes_of_any_json(schema: Any, data: JsonObject) -> None:
    if isinstance(schema, dict):
        fault = schema_fault(schema)
        found = problem(schema, data, ID)

        assert fault is None or (found is not None and found[0] == "schema")
    else:
        assert problem(schema, data) is not None


@given(
    st.text(max_size=12) | st.text("(a|b)*+?{1,2}[^-]\\$.:<P=!>", max_size=14), st.text(max_size=9)
)
def test_any_pattern_is_refused_or_searched(pattern: str, text: str) -> None:
    schema = {"properties": {"f": {"pattern": pattern}}}

    problem(schema, {"f": text})


@given(
    st.decimals(-1000, 1000, places=3, allow_nan=False), st.sampled_from([0.1, 0.01, 0.25, 3, 1.5])
)
def test_multiples_are_those_of_decimal_fractions(value: Any, divisor: float) -> None:
    exact = (Fraction(str(float(value))) / Fraction(str(divisor))).denominator == 1

    assert (problem(about_f({"multipleOf": divisor}), {"f": float(value)}) is None) == exact


@given(JSON, JSON)
def test_equal_values_alone_have_one_text(one: Any, other: Any) -> None:
    same = Draft4Validator({"enum": [one]}).is_valid(other)

    assert (canonical(one) == canonical(other)) == same
    assert canonical(one) == canonical(json.loads(json.dumps(one, sort_keys=True)))


def test_nothing_is_imported_before_the_first_schema() -> None:
    program = """
import sys
import chalicelib.wiring
from chalicelib.protocol.schemas import schema_fault

def loaded():
    return [name in sys.modules for name in ("jsonschema", "regex")]

assert loaded() == [False, False], loaded()
schema_fault({"type": "object"})
assert loaded() == [True, False], loaded()
schema_fault({"pattern": "a"})
assert loaded() == [True, True], loaded()
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
