"""`_fields`: `chalicelib/protocol/fields.py`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.fields import parse_fields, select
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind

NAMES = st.sampled_from(["a", "b", "c", "id"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=4)


def selected(data: dict[str, Any], text: str, kind: Kind = RECORD) -> dict[str, Any]:
    tree = parse_fields(text, kind)
    assert tree is not None
    return select(data, tree)


def by_recursion(value: Any, paths: list[list[str]]) -> Any:
    """What these paths show of a value, as one would explain it."""
    if [] in paths or not isinstance(value, dict):
        return value
    return {
        name: by_recursion(below, [path[1:] for path in paths if path[0] == name])
        for name, below in value.items()
        if any(path[0] == name for path in paths)
    }


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": "innermost"}
    for _ in range(levels - 1):
        value = {"a": value, "b": 1}
    return value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"x": 1, "y": 2}, {"x": 1}),
        ({"y": 2}, {}),
        ({}, {}),
        ("text", "text"),
        (None, None),
        (False, False),
        ([{"x": 1}], [{"x": 1}]),
        ({"x": None}, {"x": None}),
        ({"x": False, "y": 1}, {"x": False}),
    ],
)
def test_dots_go_into_objects_alone(value: object, shown: object) -> None:
    assert selected({"a": value, "b": 1}, "a.x") == {"a": shown}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("title", {"title": "Hello"}),
        ("missing", {}),
        ("missing.too", {}),
        ("title,address.city", {"title": "Hello", "address": {"city": "Oslo"}}),
        ("address.city,address.zip", {"address": {"city": "Oslo", "zip": "0150"}}),
        ("address.at.lat,address.at.lon", {"address": {"at": {"lat": 1, "lon": 2}}}),
        ("address.at.lat,address.city", {"address": {"at": {"lat": 1}, "city": "Oslo"}}),
        (
            "address.city,address",
            {"address": {"city": "Oslo", "zip": "0150", "at": {"lat": 1, "lon": 2}}},
        ),
        (
            "address,address.city",
            {"address": {"city": "Oslo", "zip": "0150", "at": {"lat": 1, "lon": 2}}},
        ),
        ("address.city.name", {"address": {"city": "Oslo"}}),
        ("id", {}),
        ("id.part,last_modified", {}),
        (",title,,", {"title": "Hello"}),
        ("a.b", {}),  # not the key that has a dot in it
    ],
)
def test_the_named_fields_are_shown_and_always_id_and_last_modified(
    text: str, shown: dict[str, Any]
) -> None:
    data = {
        "id": "one",
        "last_modified": 5,
        "title": "Hello",
        "address": {"city": "Oslo", "zip": "0150", "at": {"lat": 1, "lon": 2}},
        "a.b": 1,
    }

    assert selected(data, text) == {"id": "one", "last_modified": 5, **shown}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", ",", ",,"])
def test_an_empty_parameter_is_none(kind: Kind, text: str) -> None:
    assert parse_fields(text, kind) is None


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, RECORD])
def test_unknown_fields_are_left_out(kind: Kind) -> None:
    assert selected({"id": "one", "last_modified": 5}, "colour", kind) == {
        "id": "one",
        "last_modified": 5,
    }


@pytest.mark.parametrize("text", ["id", "last_modified", "deleted", "members", "members.x,id"])
def test_groups_know_their_fields(text: str) -> None:
    assert parse_fields(text, GROUP) is not None


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("colour", "colour"),
        ("members,colour.of.it", "colour"),
        ("size,colour,size.x", "colour,size"),
    ],
)
def test_groups_refuse_unknown_fields_in_alphabetical_order(text: str, unknown: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_fields(text, GROUP)

    assert caught.value.kind is INVALID_PARAMETERS
    assert caught.value.details == [
        {
            "location": "body",
            "name": "Invalid _fields parameter",
            "description": f"Fields {unknown} do not exist",
        }
    ]
    assert caught.value.message == (
        f"Invalid _fields parameter in body: Fields {unknown} do not exist"
    )


@given(OBJECTS, PATHS)
def test_any_selection_is_that_of_the_explanation(
    data: dict[str, Any], paths: list[list[str]]
) -> None:
    text = ",".join(".".join(path) for path in paths)

    expected = by_recursion(data, [*paths, ["id"], ["last_modified"]])
    assert selected(data, text) == expected


def test_what_is_selected_from_stays_as_it_is() -> None:
    data = {"a": {"x": 1, "y": 2}}

    selected(data, "a.x")

    assert data == {"a": {"x": 1, "y": 2}}


@pytest.mark.parametrize("levels", [1, 5_000, 10_000])
def test_a_path_of_thousands_of_parts_is_followed_as_far_as_objects_go(levels: int) -> None:
    value: Any = selected(nested(levels), ".".join(["a"] * 5_000))

    for _ in range(min(levels, 5_000) - 1):
        assert list(value) == ["a"]
        value = value["a"]
    # Not the values themselves: where they differ, pytest would write them down by recursion.
    assert list(value) == ["a"]
    assert (value["a"] == "innermost") if levels <= 5_000 else ("b" in value["a"])
