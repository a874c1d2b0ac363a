"""The filters of a list: `chalicelib/protocol/filters.py`."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.filters import Comparison, Filter, Times, parse_filter, times_of
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind
from chalicelib.protocol.stored import StoredObject, Tombstone
from tests.protocol.attempts import attempt

ABSENT = object()
PREFIXES = ["", "min_", "max_", "gt_", "lt_", "not_", "in_", "exclude_"]
FORMS_OF_TIMES = [*(f"{prefix}last_modified" for prefix in PREFIXES), "_since", "_before", "_to"]
GREATEST = 1.7976931348623157e308
"""No stored number is greater."""


def parsed(name: str, text: str, kind: Kind = RECORD) -> Filter:
    filter = parse_filter(name, text, kind)
    assert filter is not None
    return filter


def problem(name: str, text: str, kind: Kind) -> tuple[Any, Any, Any, Any]:
    """Location, name and description of the one problem that is answered, and the message."""
    with pytest.raises(ProtocolError) as caught:
        parse_filter(name, text, kind)
    assert caught.value.kind is INVALID_PARAMETERS
    assert isinstance(caught.value.details, list)
    (found,) = caught.value.details
    return found["location"], found["name"], found["description"], caught.value.message


def admitted(name: str, text: str, values: list[Any], field: str = "v") -> list[Any]:
    """Those of the values with which an object matches."""
    filter = parsed(name, text)
    objects = [{} if value is ABSENT else {field: value} for value in values]
    return typed(value for value, data in zip(values, objects, strict=True) if filter.admits(data))


def typed(values: Any) -> list[Any]:
    """Values to compare with others, so that 1, 1.0 and true differ."""
    return [(type(value), value) for value in values]


# Comparisons


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("v", "2", [2]),
        ("not_v", "2", [1, 3, ABSENT]),
        ("min_v", "2", [2, 3]),
        ("max_v", "2", [1, 2]),
        ("gt_v", "2", [3]),
        ("lt_v", "2", [1]),
        ("in_v", "2", [2]),
        ("in_v", "3,1", [1, 3]),
        ("in_v", "3,4,3", [3]),
        ("exclude_v", "2", [1, 3, ABSENT]),
        ("exclude_v", "3,1", [2, ABSENT]),
        ("exclude_v", "4", [1, 2, 3, ABSENT]),
    ],
)
def test_a_filter_compares_by_its_prefix(name: str, text: str, expected: list[Any]) -> None:
    assert admitted(name, text, [1, 2, 3, ABSENT]) == typed(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v", ["b"]),
        ("not_v", ["", "B", "a", "ba", "é", "\uffff", "\U0001f600"]),
        ("min_v", ["b", "ba", "é", "\uffff", "\U0001f600"]),
        ("max_v", ["", "B", "a", "b"]),
        ("gt_v", ["ba", "é", "\uffff", "\U0001f600"]),
        ("lt_v", ["", "B", "a"]),
    ],
)
def test_strings_compare_by_code_point(name: str, expected: list[Any]) -> None:
    values = ["", "B", "a", "b", "ba", "é", "\uffff", "\U0001f600"]

    assert admitted(name, "b", values) == typed(expected)


@pytest.mark.parametrize(
    ("text", "other"), [("Go", "go"), ("go", "Go"), ("e\u0301", "é"), ("go", "go "), ("e", "é")]
)
def test_strings_are_equal_only_exactly(text: str, other: str) -> None:
    assert admitted("v", text, [text, other]) == typed([text])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("v", [True]), ("min_v", [True]), ("max_v", [False, True]), ("lt_v", [False]), ("gt_v", [])],
)
def test_false_is_less_than_true(name: str, expected: list[Any]) -> None:
    assert admitted(name, "true", [False, True]) == typed(expected)


# Names


@pytest.mark.parametrize(
    ("name", "comparison", "field"),
    [
        ("stock", Comparison.EQUAL, "stock"),
        ("not_stock", Comparison.NOT, "stock"),
        ("min_stock", Comparison.MIN, "stock"),
        ("max_stock", Comparison.MAX, "stock"),
        ("gt_stock", Comparison.GREATER, "stock"),
        ("lt_stock", Comparison.LESS, "stock"),
        ("in_stock", Comparison.IN, "stock"),
        ("exclude_stock", Comparison.EXCLUDE, "stock"),
        ("not_in_stock", Comparison.NOT, "in_stock"),
        ("in_in_stock", Comparison.IN, "in_stock"),
        ("min_max_min_", Comparison.MIN, "max_min_"),
        ("min__stock", Comparison.MIN, "_stock"),
        ("min__", Comparison.MIN, "_"),
        ("min_5", Comparison.MIN, "5"),
        ("min_größe", Comparison.MIN, "größe"),
        ("min_размер_2", Comparison.MIN, "размер_2"),
        ("min_大小", Comparison.MIN, "大小"),
        # No prefixes:
        ("minstock", Comparison.EQUAL, "minstock"),
        ("min_", Comparison.EQUAL, "min_"),
        ("min", Comparison.EQUAL, "min"),
        ("MIN_stock", Comparison.EQUAL, "MIN_stock"),
        ("like_stock", Comparison.EQUAL, "like_stock"),
        ("stock_min", Comparison.EQUAL, "stock_min"),
        (" min_stock", Comparison.EQUAL, " min_stock"),
        ("min_first-name", Comparison.EQUAL, "min_first-name"),
        ("min_address.city", Comparison.EQUAL, "min_address.city"),
        ("min_stock ", Comparison.EQUAL, "min_stock "),
        ("min_stock\n", Comparison.EQUAL, "min_stock\n"),
        ("address.city", Comparison.EQUAL, "address.city"),
        ("first-name", Comparison.EQUAL, "first-name"),
        ("", Comparison.EQUAL, ""),
    ],
)
def test_a_prefix_is_taken_off_once_before_letters_digits_and_underscores(
    name: str, comparison: Comparison, field: str
) -> None:
    assert parsed(name, "1") == Filter(comparison, field, (1,))


@pytest.mark.parametrize("name", ["_x", "__", "_", "_sinc", "_id", "_min_v", "_limit", "_sort"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_names_with_an_underscore_in_front_are_no_filters(name: str, kind: Kind) -> None:
    assert parse_filter(name, "abc", kind) is None


def test_a_dot_is_part_of_the_name() -> None:
    filter = parsed("address.city", "Oslo")

    assert filter.admits({"address.city": "Oslo"})
    assert not filter.admits({"address": {"city": "Oslo"}})


KNOWN = [
    *((kind, name) for kind in KINDS for name in ("id", "last_modified", "deleted")),
    *((COLLECTION, name) for name in ("schema", "cache_expires")),
    *((GROUP, name) for name in ("members",)),
    *((RECORD, name) for name in ("schema", "members", "colour", "a.b", "first-name", "")),
]
UNKNOWN = [
    *((BUCKET, name) for name in ("schema", "cache_expires", "members")),
    *((COLLECTION, name) for name in ("members", "schema.type")),
    *((GROUP, name) for name in ("schema", "cache_expires", "member")),
    *((kind, name) for kind in KINDS if kind is not RECORD for name in ("colour", "ID", "first-n")),
    *((kind, name) for kind in KINDS if kind is not RECORD for name in ("a.b", "permissions", "")),
]


@pytest.mark.parametrize(("kind", "field"), KNOWN)
def test_a_list_knows_its_fields(kind: Kind, field: str) -> None:
    assert parsed(field, "1", kind).field == field


@pytest.mark.parametrize(("kind", "field"), UNKNOWN)
def test_a_field_that_the_list_does_not_know_is_refused(kind: Kind, field: str) -> None:
    for prefix in PREFIXES:
        name = prefix + field
        description = f"Unknown filter field '{name}'"
        answered = ("querystring", None, description, f"querystring: {description}")
        assert problem(name, "1", kind) == answered


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("data", [{}, {"v": None}, {"w": 1}])
def test_without_a_value_the_negative_filters_alone_match(
    prefix: str, data: dict[str, Any]
) -> None:
    for text in ("1", "go", "true", "", "null", "None", "0", "no"):
        assert parsed(f"{prefix}v", text).admits(data) == (prefix in ("not_", "exclude_"))


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "yes", "on", "True", "YES", "oN")),
        *((word, False) for word in ("false", "no", "off", "False", "NO", "oFf")),
        ("42", 42),
        ("-3", -3),
        ("0", 0),
        ("-0", 0),
        ("42.5", 42.5),
        ("-0.25", -0.25),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("1e+3", 1000.0),
        ("25e-1", 2.5),
        ("-1.5e2", -150.0),
        ("9007199254740993", 9007199254740993),
        ("1e-999", 0.0),
        ("1e999", math.inf),
        ("-1e999", -math.inf),
        # In quotes:
        ('"42"', "42"),
        ("'42'", "42"),
        ('"true"', "true"),
        ("'no'", "no"),
        ('""', ""),
        ("''", ""),
        ('"a b"', "a b"),
        ('"a"b"', 'a"b'),
        ("'a'b'", "a'b"),
        ("'\"'", '"'),
        ('"\'"', "'"),
        ('"a\nb"', "a\nb"),
        ("'a\nb'", "a\nb"),
        ('""a""', '"a"'),
        ("\"'a'\"", "'a'"),
        ('"a","b"', 'a","b'),
        ('"\\u002c\\n"', ",\n"),
        ('"\\"', "\\"),
        ("'\\n'", "\\n"),
        # Anything else:
        ("", ""),
        ("go", "go"),
        ("2016-10-11", "2016-10-11"),
        ("1.2.3", "1.2.3"),
        ("01234", "01234"),
        ("-01", "-01"),
        ("+5", "+5"),
        ("--5", "--5"),
        ("-", "-"),
        (".5", ".5"),
        ("5.", "5."),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        (" 5", " 5"),
        ("5 ", "5 "),
        ("5\n", "5\n"),
        ("true ", "true "),
        ("truee", "truee"),
        ("\u0663", "\u0663"),
        ("1\u0663", "1\u0663"),
        ("\uff11", "\uff11"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("null", "null"),
        ("None", "None"),
        ("[]", "[]"),
        ('{"a": 1}', '{"a": 1}'),
        ("1,2", "1,2"),
        ('"', '"'),
        ("'", "'"),
        ('"a', '"a'),
        ("a'", "a'"),
        ("\"a'", "\"a'"),
        (' "a"', ' "a"'),
        ('"a"\n', '"a"\n'),
    ],
)
def test_a_value_is_typed_by_its_looks(text: str, value: Any) -> None:
    assert typed(parsed("v", text).values) == typed([value])


@pytest.mark.parametrize("name", ["in_v", "exclude_v"])
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", [1]),
        ("1,go,true,1.5", [1, "go", True, 1.5]),
        ("", [""]),
        (",", ["", ""]),
        ("a,,b", ["a", "", "b"]),
        ("1, 2", [1, " 2"]),
        ("\"1\",'2'", ["1", "2"]),
        ('"a,b"', ['"a', 'b"']),
        ("a,1", ["a", 1]),
    ],
)
def test_several_values_are_split_at_every_comma_and_then_typed(
    name: str, text: str, values: list[Any]
) -> None:
    assert typed(parsed(name, text).values) == typed(values)


@pytest.mark.parametrize("prefix", ["", "not_", "min_", "max_", "gt_", "lt_"])
def test_a_comma_is_part_of_a_single_value(prefix: str) -> None:
    assert parsed(f"{prefix}v", "1,2").values == ("1,2",)


ALL_TYPES = [
    *(ABSENT, None, False, True, 0, 1, 1.0, 1.5, 2, "", "1", "1.0", "true", "null", "[]"),
    *([], [1], ["1"], {}, {"v": 1}),
]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("v", "1", [1, 1.0]),
        ("v", "1.0", [1, 1.0]),
        ("v", '"1"', ["1"]),
        ("v", '"1.0"', ["1.0"]),
        ("v", "true", [True]),
        ("v", "off", [False]),
        ("v", '"true"', ["true"]),
        ("v", "0", [0]),
        ("v", "", [""]),
        ("v", "null", ["null"]),
        ("v", "[]", ["[]"]),
        ("v", "[1]", []),
        ("v", "{}", []),
        ("in_v", "1,true", [True, 1, 1.0]),
        ("in_v", '"1",', ["", "1"]),
        ("min_v", "1", [1, 1.0, 1.5, 2]),
        ("max_v", "1", [0, 1, 1.0]),
        ("gt_v", "1", [1.5, 2]),
        ("lt_v", "1", [0]),
        ("min_v", "false", [False, True]),
        ("gt_v", "no", [True]),
        ("max_v", '"1"', ["", "1"]),
        ("min_v", "", ["", "1", "1.0", "true", "null", "[]"]),
        ("gt_v", "", ["1", "1.0", "true", "null", "[]"]),
        ("lt_v", "", []),
        ("gt_v", "-1e999", [0, 1, 1.0, 1.5, 2]),
    ],
)
def test_types_are_not_mixed(name: str, text: str, expected: list[Any]) -> None:
    assert admitted(name, text, ALL_TYPES) == typed(expected)


@pytest.mark.parametrize(
    ("negative", "positive"), [("not_v", "v"), ("exclude_v", "in_v"), ("exclude_v", "v")]
)
@pytest.mark.parametrize("text", ["1", "true", '"1"', "", "null", "[]", "no", "1.5"])
def test_a_negative_filter_admits_what_its_opposite_refuses(
    negative: str, positive: str, text: str
) -> None:
    refused = admitted(positive, text, ALL_TYPES)

    expected = [value for value in typed(ALL_TYPES) if value not in refused]
    assert admitted(negative, text, ALL_TYPES) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("v", "9" * 5_000, []),
        ("not_v", "9" * 5_000, [-GREATEST, -(10**300), 0, 10**300, 10**300 + 1, GREATEST]),
        ("lt_v", "9" * 5_000, [-GREATEST, -(10**300), 0, 10**300, 10**300 + 1, GREATEST]),
        ("gt_v", "9" * 5_000, []),
        ("lt_v", "-" + "9" * 5_000, []),
        ("gt_v", "-" + "9" * 5_000, [-GREATEST, -(10**300), 0, 10**300, 10**300 + 1, GREATEST]),
        ("gt_v", "9" * 400, []),
        ("gt_v", "9" * 401, []),
        ("gt_v", "1e999", []),
        ("max_v", "1e999", [-GREATEST, -(10**300), 0, 10**300, 10**300 + 1, GREATEST]),
        ("v", "1e999", []),
        ("v", "0." + "0" * 5_000 + "1", [0]),
        ("v", "1" + "0" * 300, [10**300]),
        ("gt_v", "1" + "0" * 300, [10**300 + 1, GREATEST]),
        ("in_v", f"{'9' * 5_000},0", [0]),
    ],
)
def test_numbers_of_any_length_are_compared(name: str, text: str, expected: list[Any]) -> None:
    values = [-GREATEST, -(10**300), 0, 10**300, 10**300 + 1, GREATEST]

    assert admitted(name, text, values) == typed(expected)


# Ids


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("id", "42", ["42"]),
        ("id", '"42"', ["42"]),
        ("id", "'42'", ["42"]),
        ("id", "true", ["true"]),
        ("id", "042", []),
        ("id", "42.0", []),
        ("not_id", "42", ["100", "5", "true", "x-1"]),
        ("min_id", "42", ["42", "5", "true", "x-1"]),
        ("max_id", "42", ["100", "42"]),
        ("gt_id", "42", ["5", "true", "x-1"]),
        ("lt_id", "5", ["100", "42"]),
        ("in_id", "5,true,x-1", ["5", "true", "x-1"]),
        ("in_id", "'5',\"42\"", ["42", "5"]),
        ("exclude_id", "5,true,x-1", ["100", "42"]),
    ],
)
def test_ids_compare_as_strings(name: str, text: str, expected: list[Any]) -> None:
    assert admitted(name, text, ["100", "42", "5", "true", "x-1"], "id") == typed(expected)


# Timestamps


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("_since", "5", [6, 9]),
        ("_since", '"5"', [6, 9]),
        ("_since", "0", [4, 5, 6, 9]),
        ("_since", "-1", [0, 4, 5, 6, 9]),
        ("_since", '"-1"', [0, 4, 5, 6, 9]),
        ("_since", "005", [6, 9]),
        ("_since", "9" * 300, []),
        ("_before", "5", [0, 4]),
        ("_before", '"5"', [0, 4]),
        ("_before", "0", []),
        ("_before", "9" * 300, [0, 4, 5, 6, 9]),
        ("_to", "5", [0, 4]),
        ("_to", '"5"', [0, 4]),
        ("last_modified", "5", [5]),
        ("last_modified", '"5"', [5]),
        ("last_modified", "7", []),
        ("not_last_modified", '"5"', [0, 4, 6, 9]),
        ("min_last_modified", '"5"', [5, 6, 9]),
        ("max_last_modified", '"5"', [0, 4, 5]),
        ("gt_last_modified", '"5"', [6, 9]),
        ("gt_last_modified", "5", [6, 9]),
        ("lt_last_modified", '"5"', [0, 4]),
        ("in_last_modified", '4,"6",7', [4, 6]),
        ("exclude_last_modified", '"4","6",7', [0, 5, 9]),
    ],
)
def test_timestamps_are_integers_with_or_without_quotes(
    name: str, text: str, expected: list[Any]
) -> None:
    assert admitted(name, text, [0, 4, 5, 6, 9], "last_modified") == typed(expected)


@pytest.mark.parametrize(
    ("name", "same"),
    [("_since", "gt_last_modified"), ("_before", "lt_last_modified"), ("_to", "lt_last_modified")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_polling_has_short_names(name: str, same: str, kind: Kind) -> None:
    assert parsed(name, '"5"', kind) == parsed(same, "5", kind)


@pytest.mark.parametrize(
    "text",
    [
        *("abc", "1.5", "", '"abc"', '""', '"1', '1"', "'1'", '""1""', "true", "1e3", "1.0"),
        *(" 1", "1 ", "1\n", '"1"\n', '" 1"', "\u0663", "null", "-", "--1", "+1", "1_0", "0x1"),
        *("9" * 5_000, "-" + "9" * 5_000, "1e999", "1,", ",1", "1,abc", '"1,2"', "1;2"),
    ],
)
def test_a_timestamp_that_is_no_integer_is_refused(text: str) -> None:
    for name in FORMS_OF_TIMES:
        description = f"Invalid value for {name}"
        answered = ("querystring", name, description, description)
        assert problem(name, text, RECORD) == answered


@pytest.mark.parametrize("name", [name for name in FORMS_OF_TIMES if name[:2] not in ("in", "ex")])
def test_a_single_timestamp_is_not_split(name: str) -> None:
    assert problem(name, "1,2", RECORD)[2] == f"Invalid value for {name}"


# Tombstones


@pytest.mark.parametrize(
    ("name", "text", "live", "dead"),
    [
        ("deleted", "true", False, True),
        ("deleted", "yes", False, True),
        ("not_deleted", "true", True, False),
        ("deleted", "false", False, False),
        ("not_deleted", "false", True, True),
        ("deleted", "1", False, False),
        ("in_deleted", "true,false", False, True),
        ("exclude_deleted", "true", True, False),
        ("min_deleted", "false", False, True),
        ("n", "1", True, False),
        ("not_n", "1", False, True),
        ("not_n", "2", True, True),
        ("min_n", "0", True, False),
        ("exclude_n", "1,2", False, True),
        ("_since", "4", True, True),
        ("_since", "5", False, True),
        ("_before", "6", True, False),
        ("last_modified", "6", False, True),
        ("id", "gone", False, True),
        ("not_id", "gone", True, False),
    ],
)
def test_a_tombstone_is_filtered_by_its_three_fields(
    name: str, text: str, live: bool, dead: bool
) -> None:
    filter = parsed(name, text)

    assert filter.admits(StoredObject.of("here", 5, {"n": 1}).to_json()) == live
    assert filter.admits(Tombstone("gone", 6).to_json()) == dead


# Laws

FIELDS = st.sampled_from(["v", "w", "id", "last_modified", "in_v", "first-name", "größe"])
PLAIN_STRINGS = st.text(st.sampled_from("aB1,\"' é\n.-"), max_size=4)
NUMBERS = st.integers(-3, 3) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | PLAIN_STRINGS | st.sampled_from([[], [1], {}])
SCALARS = st.booleans() | NUMBERS | PLAIN_STRINGS


def written(value: Any) -> st.SearchStrategy[str]:
    """Texts that ask for a value."""
    if isinstance(value, bool):
        return st.sampled_from(["true", "YES", "on"] if value else ["false", "No", "off"])
    if isinstance(value, int | float):
        return st.sampled_from([json.dumps(value), json.dumps(float(value)), f'"{value}"'])
    text = value if isinstance(value, str) else json.dumps(value)
    return st.sampled_from([text, f'"{text}"', f"'{text}'"])


TEXTS = SCALARS.flatmap(written) | st.text()
TIMES = st.integers(-3, 10**14).flatmap(lambda time: st.sampled_from([f"{time}", f'"{time}"']))
PARAMETERS = (
    st.tuples(st.sampled_from(PREFIXES).flatmap(lambda prefix: FIELDS.map(prefix.__add__)), TEXTS)
    | st.tuples(st.sampled_from(["in_v", "exclude_id"]), st.lists(TEXTS).map(",".join))
    | st.tuples(st.just("in_last_modified"), st.lists(TIMES, min_size=1).map(",".join))
    | st.tuples(st.sampled_from(FORMS_OF_TIMES), TIMES)
    | st.tuples(st.text(), st.text())
)


@given(PARAMETERS)
def test_a_printed_filter_is_parsed_to_itself(parameter: tuple[str, str]) -> None:
    filter = attempt(lambda: parse_filter(*parameter, RECORD))
    event(type(filter).__name__)
    if not isinstance(filter, Filter):
        return

    again = parsed(*filter.to_parameter())

    assert again == filter
    assert typed(again.values) == typed(filter.values)


@pytest.mark.parametrize(
    ("name", "text", "printed"),
    [
        ("v", "yes", ("v", "true")),
        ("v", "'yes'", ("v", '"yes"')),
        ("v", '"42"', ("v", '"42"')),
        ("v", "'go'", ("v", "go")),
        ("v", "1e3", ("v", "1000.0")),
        ("v", "-1e999", ("v", "-1e999")),
        ("v", "9" * 5_000, ("v", "1e999")),
        ("v", "a,b", ("v", '"a\\u002cb"')),
        ("v", '""a""', ("v", '"\\"a\\""')),
        ("in_v", "1,no,'x'", ("in_v", "1,false,x")),
        ("in_v", '"\\u002c",é', ("in_v", '"\\u002c",é')),
        ("in_id", "42,'true'", ("in_id", "42,true")),
        ("_to", '"5"', ("lt_last_modified", "5")),
        ("in_last_modified", '"5",06', ("in_last_modified", "5,6")),
    ],
)
def test_filters_that_ask_for_the_same_are_printed_alike(
    name: str, text: str, printed: tuple[str, str]
) -> None:
    assert parsed(name, text).to_parameter() == printed


@given(st.text(), st.text(), st.sampled_from(KINDS))
def test_any_parameter_is_parsed_ignored_or_refused(name: str, text: str, kind: Kind) -> None:
    result = attempt(lambda: parse_filter(name, text, kind))

    if isinstance(result, ProtocolError):
        assert result.kind is INVALID_PARAMETERS
    else:
        assert result is not None or name.startswith("_")


def plain_value(field: str, text: str) -> Any:
    """The value that a text asks for, as section 3 of the spec has it."""
    if field == "last_modified":
        return int(text.replace('"', ""))
    if field != "id":
        if text.lower() in ("true", "yes", "on"):
            return True
        if text.lower() in ("false", "no", "off"):
            return False
        if re.match("-?[0-9]", text) and not text[-1].isspace():
            try:
                return json.loads(text)
            except ValueError:
                return text
    for quote in "\"'":
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote):
            return text[1:-1]
    return text


def plainly_matches(prefix: str, field: str, text: str, data: Mapping[str, Any]) -> bool:
    """Whether an object matches, as the first two tables of section 3 have it."""
    if prefix == "not_":
        return not plainly_matches("", field, text, data)
    if prefix == "exclude_":
        return not plainly_matches("in_", field, text, data)
    if prefix == "in_":
        return any(plainly_matches("", field, part, data) for part in text.split(","))
    found, wanted = data.get(field), plain_value(field, text)
    are_numbers = {type(found), type(wanted)} <= {int, float}
    if not are_numbers and type(found) is not type(wanted):
        return False
    match prefix:
        case "min_":
            return bool(found >= wanted)
        case "max_":
            return bool(found <= wanted)
        case "gt_":
            return bool(found > wanted)
        case "lt_":
            return bool(found < wanted)
    return bool(found == wanted)


def assert_as_the_spec_says(field: str, values: list[Any], texts: list[str]) -> None:
    """That filters by these texts admit the right ones among objects with these values."""
    objects = [{} if value is ABSENT else {field: value} for value in values]
    for prefix in PREFIXES:
        text = ",".join(texts) if prefix in ("in_", "exclude_") else texts[0]
        filter = parsed(prefix + field, text)
        for data in objects:
            expected = plainly_matches(prefix, field, text, data)
            assert filter.admits(data) == expected, (prefix, text, data)


PLAIN_TEXTS = st.sampled_from(
    [
        "",
        "1",
        "-0",
        "1.0",
        "1e0",
        "true",
        "No",
        '"1"',
        "'1'",
        "null",
        "[]",
        "01",
        '"true"',
        '"',
        "a",
    ]
) | st.text(st.characters(exclude_characters="\\"), max_size=3)


def with_texts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, list[str]]]:
    """A value, and texts some of which ask for it, without escapes."""
    return values.flatmap(
        lambda value: st.tuples(
            st.just(value),
            st.lists(written(value) | PLAIN_TEXTS, min_size=1, max_size=3),
        )
    )


@given(with_texts(VALUES))
def test_a_filter_admits_what_the_spec_says(drawn: tuple[Any, list[str]]) -> None:
    value, texts = drawn

    assert_as_the_spec_says("v", [*ALL_TYPES, value], texts)


@given(with_texts(PLAIN_STRINGS | st.integers().map(str)))
def test_a_filter_on_ids_admits_what_the_spec_says(drawn: tuple[Any, list[str]]) -> None:
    id, texts = drawn

    assert_as_the_spec_says("id", ["", "1", "10", "9", "a", "true", "null", id], texts)


@given(st.integers(0, 10**14), st.lists(TIMES, min_size=1, max_size=3))
def test_a_filter_on_times_admits_what_the_spec_says(time: int, texts: list[str]) -> None:
    near = [int(text.strip('"')) + away for text in texts for away in (-1, 0, 1)]

    assert_as_the_spec_says("last_modified", [time, *near], texts)


# Ranges of timestamps


@pytest.mark.parametrize(
    ("filters", "times"),
    [
        ([], Times(None, None)),
        ([("_since", "5")], Times(5, None)),
        ([("gt_last_modified", "5")], Times(5, None)),
        ([("min_last_modified", "5")], Times(4, None)),
        ([("_before", "5")], Times(None, 5)),
        ([("max_last_modified", "5")], Times(None, 6)),
        ([("last_modified", "5")], Times(4, 6)),
        ([("in_last_modified", "7,3,5")], Times(2, 8)),
        ([("not_last_modified", "5")], Times(None, None)),
        ([("exclude_last_modified", "5,6")], Times(None, None)),
        ([("_since", "2"), ("_since", "5"), ("_since", "3")], Times(5, None)),
        ([("_before", "9"), ("_to", "5"), ("_before", "7")], Times(None, 5)),
        ([("_since", "2"), ("_before", "9")], Times(2, 9)),
        ([("_since", "2"), ("in_last_modified", "3,5")], Times(2, 6)),
        ([("_since", "9"), ("_before", "2")], Times(9, 2)),
        ([("v", "5"), ("min_id", "5"), ("gt_deleted", "1")], Times(None, None)),
    ],
)
def test_filters_on_time_bound_it(filters: list[tuple[str, str]], times: Times) -> None:
    assert times_of(parsed(*each) for each in filters) == times


@given(
    st.lists(
        st.tuples(st.sampled_from(PREFIXES), st.lists(st.integers(-1, 12), min_size=1, max_size=3)),
        max_size=3,
    )
)
def test_all_that_the_filters_admit_is_within_their_times(
    drawn: list[tuple[str, list[int]]],
) -> None:
    filters = [
        parsed(f"{prefix}last_modified", ",".join(map(str, times)))
        if prefix in ("in_", "exclude_")
        else parsed(f"{prefix}last_modified", str(times[0]))
        for prefix, times in drawn
    ]

    since, before = times_of(filters)

    for time in range(-3, 15):
        if all(filter.admits({"last_modified": time}) for filter in filters):
            assert since is None or since < time
            assert before is None or time < before
