"""Bodies in: `chalicelib/protocol/bodies.py`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.bodies import Body, parse_body, parse_json, problems_of_properties
from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind
from tests.protocol.attempts import attempt

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)

# Enough of what a body may hold for a good part of the fuzz to be nearly right.
STRINGS = st.lists(st.text(max_size=3) | JSON, max_size=3) | JSON
DATA = (
    st.dictionaries(
        st.sampled_from(["id", "last_modified", "members", "title"]), STRINGS, max_size=4
    )
    | JSON
)
PERMISSIONS = (
    st.dictionaries(st.sampled_from(["read", "write", "record:create", "x"]), STRINGS) | JSON
)
BODIES = st.fixed_dictionaries(
    {}, optional={"data": DATA, "permissions": PERMISSIONS, "other": JSON}
)
QUERIES = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2)
NEARLY_JSON = st.text() | st.text(st.sampled_from('{}[]",:\\ \n\t0123456789.eE+-aunlrtsf'))

NO_MAPPING = "is not a mapping type: Does not implement dict-like functionality."
BUCKET_PERMISSIONS = "read, write, collection:create, group:create"


def refusal(raw: bytes, kind: Kind = RECORD, **arguments: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse_body(raw, kind, **arguments)
    assert caught.value.kind is INVALID_PARAMETERS
    return caught.value


def problems(body: Any, kind: Kind = RECORD, **arguments: Any) -> list[tuple[Any, Any, Any]]:
    """Location, name and description of everything that is wrong with this body."""
    details = refusal(json.dumps(body).encode(), kind, **arguments).details
    assert isinstance(details, list)
    return [(found["location"], found["name"], found["description"]) for found in details]


def parsed(body: Any, kind: Kind = RECORD, **arguments: Any) -> Body:
    return parse_body(json.dumps(body).encode(), kind, **arguments)


def nested(levels: int) -> bytes:
    """An object of this many levels, itself included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


# JSON


@given(OBJECTS, st.booleans())
def test_any_object_survives_its_way_in(value: dict[str, Any], escapes: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escapes).encode()

    # Their text, as True equals 1, and -0.0 equals 0.
    assert json.dumps(parse_json(raw)) == json.dumps(value)


@pytest.mark.parametrize(
    "number",
    [
        "12345678901234567890",
        "-9223372036854775808",
        "9223372036854775807",
        "-0.0",
        "0.1",
        "1e-07",
        "1.5e+300",
        "1.7976931348623157e+308",
        "5e-324",
        "1" + "0" * 308,  # the longest integers that are doubles as well
    ],
)
def test_a_number_is_kept_exactly(number: str) -> None:
    value = parse_json(b'{"n":%b}' % number.encode())["n"]

    assert json.dumps(value) == number


@pytest.mark.parametrize(
    "number",
    [
        "1e400",
        "-1e400",
        "1" + "0" * 309,
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 5000,
        "9" * 400 + ".5",
    ],
    ids=lambda number: f"{number[:6]}, {len(number)} characters",
)
def test_a_number_that_overflows_a_double_is_refused(number: str) -> None:
    error = refusal(b'{"data":{"n":%b}}' % number.encode())

    assert error.message is not None
    assert error.message.startswith("body: Invalid JSON request body: ")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"data": {"a": 1}',
        b"{'data': {}}",
        b'{"data": {"n": NaN}}',
        b'{"data": {"n": Infinity}}',
        b'{"data": {"n": -Infinity}}',
        b"{} trailing",
        b"{}{}",
        b"   ",
        b"\n",
        b"data",
        b'{"data": {"a": "\n"}}',
        b'{"data": {"a": 01}}',
        b'{"data": {"\xff": 1}}',
        b'{"data": {"a": "\xed\xa0\x80"}}',  # a surrogate in what would be UTF-8
        b'\xef\xbb\xbf{"data": {}}',
        '{"data": {}}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(raw: bytes) -> None:
    error = refusal(raw)

    assert isinstance(error.details, list)
    (problem,) = error.details
    assert (problem["location"], problem["name"]) == ("body", None)
    assert problem["description"].startswith("Invalid JSON request body: ")
    assert problem["description"] != "Invalid JSON request body: "
    assert error.message == f"body: {problem['description']}"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"[]", "[]"),
        (b'"text"', '"text"'),
        (b"42", "42"),
        (b"null", "null"),
        (b"true", "true"),
        (b'[{"a": null}]', '[{"a": null}]'),
    ],
)
def test_json_that_is_no_object_is_refused_and_shown_as_json(raw: bytes, shown: str) -> None:
    error = refusal(raw)

    description = f"Invalid JSON: Should be a JSON object, got {shown}"
    assert error.details == [{"location": "body", "name": None, "description": description}]
    assert error.message == f"body: {description}"


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"a": "\ud800"}',
        rb'{"a": "\udc00"}',
        rb'{"\udfff": 1}',
        rb'{"a": [{"b": "x\udbffy"}]}',
        rb'{"a": "\udc00\ud800"}',  # a pair in the wrong order
    ],
)
def test_half_a_surrogate_pair_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_json(raw)

    assert caught.value.kind is INVALID_PARAMETERS


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'{"a": "\ud83d\ude00"}', "\U0001f600"),
        (rb'{"a": "\u0000"}', "\0"),
        (rb'{"a": "\\ud800"}', r"\ud800"),
        ('{"a": "\U0001f600\u2028"}'.encode(), "\U0001f600\u2028"),
    ],
)
def test_all_unicode_is_accepted(raw: bytes, text: str) -> None:
    assert parse_json(raw) == {"a": text}


def test_the_last_of_duplicate_keys_counts() -> None:
    assert parse_json(b'{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}


def test_zero_bytes_are_an_empty_object() -> None:
    assert parse_json(b"") == {}


def test_a_body_of_500_levels_is_accepted() -> None:
    value = parse_json(nested(500))["a"]

    for _ in range(498):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    "raw",
    [
        nested(10_000),
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"\\"":[' * 5_000,
        b'{"a":"]]]]","b":' + b"[" * 10_000,
        b"[]" * 10 + b"[" * 10_000,
        nested(100_000),
    ],
    ids=["lists", "open lists", "open objects", "objects", "quotes", "strings", "after", "more"],
)
def test_a_body_that_is_nested_too_deeply_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_json(raw)

    assert caught.value.kind is INVALID_PARAMETERS


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"%b"}' % (b"[" * 10_000),
        b'{"a":"%b"}' % (rb"\"[" * 10_000),
        b'{"a":[%b]}' % b",".join([b"[]"] * 10_000),
        b'{"a":[%b]}' % b",".join([b'{"b":{}}'] * 10_000),
    ],
    ids=["in a string", "after an escaped quote", "lists", "objects"],
)
def test_many_brackets_that_are_not_nested_are_accepted(raw: bytes) -> None:
    assert parse_json(raw) == json.loads(raw)


@given(st.binary() | NEARLY_JSON.map(str.encode))
def test_arbitrary_bytes_are_an_object_or_refused(raw: bytes) -> None:
    result = attempt(lambda: parse_json(raw))

    assert isinstance(result, dict) or result.kind is INVALID_PARAMETERS


# What a body says


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, RECORD])
@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b'{"permissions": {}}', b'{"permissions": null}', b'{"data": null}'],
)
def test_a_body_may_say_nothing(kind: Kind, raw: bytes) -> None:
    body = parse_body(raw, kind)

    assert (body.data, body.permissions, body.has_id) == (None, {}, False)
    assert body.is_empty == (raw == b"")


def test_empty_data_is_told_from_none() -> None:
    assert parsed({"data": {}}).data == {}
    assert parsed({}).data is None


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_properties_are_kept_as_sent(properties: dict[str, Any]) -> None:
    sent = {**properties, "id": "one", "last_modified": 5}

    body = parsed({"data": sent})

    own = {name: value for name, value in sent.items() if name not in ("id", "last_modified")}
    assert json.dumps(body.data) == json.dumps(own)
    assert (body.id, body.has_id, body.last_modified) == ("one", True, 5)


@pytest.mark.parametrize(
    "name", ["__permissions__", "permissions", "deleted", "data", "message", "members", "", "a.b c"]
)
@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, RECORD])
def test_no_name_of_a_property_is_special(name: str, kind: Kind) -> None:
    assert parsed({"data": {name: True}}, kind) == Body(data={name: True}, permissions={})


@pytest.mark.parametrize("id", ["one", "", 12, None, True, [], {}])
def test_an_id_is_told_whatever_it_is(id: object) -> None:
    body = parsed({"data": {"id": id}})

    assert body.has_id
    assert body.id == id


def test_principals_are_kept_once_in_their_order() -> None:
    body = parsed({"permissions": {"write": ["b", "a", "b"], "read": []}})

    assert body.permissions == {"write": ("b", "a"), "read": ()}


@pytest.mark.parametrize("value", [0, 5, 1_457_433_600_000])
def test_an_integer_from_0_on_is_a_timestamp(value: int) -> None:
    assert parsed({"data": {"last_modified": value}}).last_modified == value


def test_a_timestamp_of_null_counts_as_left_out() -> None:
    assert parsed({"data": {"last_modified": None}}) == parsed({"data": {}})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("abc", "abc"),
        ("5", "5"),
        (1.5, "1.5"),
        (5.0, "5.0"),
        (True, "true"),
        ([], "[]"),
        ({}, "{}"),
        (-1, "-1"),
    ],
)
def test_any_other_timestamp_is_refused(value: object, shown: str) -> None:
    assert problems({"data": {"last_modified": value}}) == [
        ("body", "data.last_modified", f'"{shown}" is not a number')
    ]


@pytest.mark.parametrize("value", [253_402_300_800_000, 10**30])
def test_a_timestamp_that_no_http_date_can_show_is_refused(value: int) -> None:
    ((location, name, _description),) = problems({"data": {"last_modified": value}})

    assert (location, name) == ("body", "data.last_modified")


def test_a_group_keeps_its_members_alone() -> None:
    sent = {"members": ["b", "a", "b"], "title": "x", "last_modified": "no number", "id": "staff"}

    body = parsed({"data": sent}, GROUP)

    assert body.data == {"members": ["b", "a", "b"]}
    assert (body.id, body.last_modified) == ("staff", None)


# What is wrong with it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (42, "42"),
        ([], "[]"),
        ("x", "x"),
        (False, "false"),
        (0, "0"),
        ("", ""),
        ([{"a": None}], '[{"a": null}]'),
    ],
)
def test_data_that_is_no_object_is_refused(kind: Kind, data: object, shown: str) -> None:
    assert problems({"data": data}, kind) == [("body", "data", f'"{shown}" {NO_MAPPING}')]


@pytest.mark.parametrize(
    ("permissions", "name", "description"),
    [
        ({"create": []}, "permissions", f'"create" is not one of {BUCKET_PERMISSIONS}'),
        (
            {"record:create": ["a"]},
            "permissions",
            f'"record:create" is not one of {BUCKET_PERMISSIONS}',
        ),
        ([], "permissions", f'"[]" {NO_MAPPING}'),
        ("read", "permissions", f'"read" {NO_MAPPING}'),
        (0, "permissions", f'"0" {NO_MAPPING}'),
        (False, "permissions", f'"false" {NO_MAPPING}'),
        ({"read": "x"}, "permissions.read", '"x" is not iterable'),
        ({"read": None}, "permissions.read", '"null" is not iterable'),
        ({"read": {}}, "permissions.read", '"{}" is not iterable'),
        ({"read": 5}, "permissions.read", '"5" is not iterable'),
        ({"read": [None]}, "permissions.read.0", "Required"),
        ({"read": ["a", ""]}, "permissions.read.1", "Required"),
        ({"read": [0]}, "permissions.read.0", "Required"),
        ({"read": [False]}, "permissions.read.0", "Required"),
        ({"read": [[]]}, "permissions.read.0", "Required"),
        ({"read": [{}]}, "permissions.read.0", "Required"),
        ({"read": [12]}, "permissions.read.0", "12 is not a string"),
        ({"read": [True]}, "permissions.read.0", "true is not a string"),
        ({"read": [["a"]]}, "permissions.read.0", '["a"] is not a string'),
        ({"read": [{"a": None}]}, "permissions.read.0", '{"a": null} is not a string'),
    ],
)
def test_bad_permissions_are_refused(permissions: object, name: str, description: str) -> None:
    assert problems({"permissions": permissions}, BUCKET) == [("body", name, description)]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (BUCKET, BUCKET_PERMISSIONS),
        (COLLECTION, "read, write, record:create"),
        (GROUP, "read, write"),
        (RECORD, "read, write"),
    ],
)
def test_an_unknown_permission_is_told_those_of_the_kind(kind: Kind, names: str) -> None:
    body: dict[str, Any] = {"data": {"members": []}, "permissions": {"admin": []}}

    assert problems(body, kind) == [("body", "permissions", f'"admin" is not one of {names}')]


@pytest.mark.parametrize("body", [{}, {"data": None}, {"permissions": {}}, {"permissions": None}])
def test_a_group_needs_data(body: object) -> None:
    error = refusal(json.dumps(body).encode(), GROUP)

    assert error.details == [{"location": "body", "name": "data", "description": "data is missing"}]
    assert error.message == "data is missing"


def test_a_group_needs_data_where_there_is_no_body() -> None:
    assert refusal(b"", GROUP).message == "data is missing"


def test_permissions_alone_may_be_about_a_group_that_exists() -> None:
    body = parsed({"permissions": {"read": ["a"]}}, GROUP)

    assert (body.data, body.permissions) == (None, {"read": ("a",)})


MEMBERS = [
    ({}, [("data.members", "Required")]),
    ({"members": "x"}, [("data.members", '"x" is not iterable')]),
    ({"members": 5}, [("data.members", '"5" is not iterable')]),
    ({"members": None}, [("data.members", '"null" is not iterable')]),
    ({"members": {}}, [("data.members", '"{}" is not iterable')]),
    ({"members": [None]}, [("data.members.0", "Required")]),
    ({"members": [""]}, [("data.members.0", "Required")]),
    ({"members": [0]}, [("data.members.0", "Required")]),
    ({"members": [False]}, [("data.members.0", "Required")]),
    ({"members": [[]]}, [("data.members.0", "Required")]),
    ({"members": [{}]}, [("data.members.0", "Required")]),
    ({"members": [12]}, [("data.members.0", "12 is not a string")]),
    ({"members": [1.5]}, [("data.members.0", "1.5 is not a string")]),
    ({"members": [True]}, [("data.members.0", "true is not a string")]),
    ({"members": [["a"]]}, [("data.members.0", '["a"] is not a string')]),
    (
        {"members": ["a", 12, "b", None]},
        [("data.members.1", "12 is not a string"), ("data.members.3", "Required")],
    ),
    ({"members": []}, []),
    ({"members": ["a", "a", "system.Everyone"]}, []),
]


@pytest.mark.parametrize(("data", "found"), MEMBERS)
def test_members_are_non_empty_strings(data: dict[str, Any], found: list[tuple[str, str]]) -> None:
    expected = [("body", name, description) for name, description in found]

    assert [tuple(problem) for problem in problems_of_properties(data, GROUP)] == expected
    if found:
        assert problems({"data": data}, GROUP) == expected
    else:
        assert parsed({"data": data}, GROUP).data == data


@pytest.mark.parametrize("data", [data for data, _found in MEMBERS])
def test_a_patch_leaves_members_until_its_group_is_found(data: dict[str, Any]) -> None:
    assert parsed({"data": data}, GROUP, merges=True).data == data


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"data": null}'])
def test_a_patch_of_a_group_may_leave_out_data(raw: bytes) -> None:
    assert parse_body(raw, GROUP, merges=True).data is None


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_is_refused(kind: Kind) -> None:
    body: dict[str, Any] = {"data": {"members": []}, "datta": {}}

    assert problems(body, kind) == [("body", "datta", "datta is not allowed")]


@pytest.mark.parametrize("name", ["dry_run", "_fields", "_since", ""])
def test_a_parameter_is_refused(name: str) -> None:
    found = problems({"data": {}}, query=[(name, "1")])

    assert found == [("querystring", name, f"{name} is not allowed")]


def test_every_problem_is_listed_in_the_order_of_the_spec() -> None:
    body: dict[str, Any] = {
        "zebra": 1,
        "permissions": {"write": [0], "admin": [], "read": "x"},
        "apple": 2,
        "data": {"last_modified": "abc"},
    }

    found = problems(body, query=[("z", "1"), ("b", "2")])

    assert found == [
        ("body", "data.last_modified", '"abc" is not a number'),
        ("body", "permissions.write.0", "Required"),
        ("body", "permissions", '"admin" is not one of read, write'),
        ("body", "permissions.read", '"x" is not iterable'),
        ("body", "apple", "apple is not allowed"),
        ("body", "zebra", "zebra is not allowed"),
        ("querystring", "z", "z is not allowed"),
        ("querystring", "b", "b is not allowed"),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": {"last_modified": "x"}, "aa": 1}, "aa is not allowed"),
        (
            {"data": {"last_modified": "x"}, "zz": 1},
            'data.last_modified in body: "x" is not a number',
        ),
        ({"data": 42, "permissions": []}, f'data in body: "42" {NO_MAPPING}'),
        ({"permissions": {"read": [0]}, "zz": 1}, "permissions.read.0 in body: Required"),
        (
            {"permissions": {"read": [0], "admin": []}},
            'permissions in body: "admin" is not one of read, write',
        ),
    ],
)
def test_the_message_is_about_the_first_by_name(body: object, message: str) -> None:
    assert refusal(json.dumps(body).encode()).message == message


@given(BODIES | OBJECTS, st.sampled_from(KINDS), QUERIES, st.booleans())
def test_any_object_is_a_body_or_refused(
    sent: dict[str, Any], kind: Kind, query: list[tuple[str, str]], merges: bool
) -> None:
    raw = json.dumps(sent).encode()

    result = attempt(lambda: parse_body(raw, kind, query=query, merges=merges))

    if isinstance(result, ProtocolError):
        assert result.kind is INVALID_PARAMETERS
        assert result.details
        assert result.message
    else:
        assert not query
        assert sent.keys() <= {"data", "permissions"}
        assert set(result.permissions or {}) <= set(kind.permissions)
        assert result.last_modified is None or result.last_modified >= 0
