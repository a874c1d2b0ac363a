"""Batches: `chalicelib/protocol/batches.py`."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.batches import MAX_PROBLEMS, MAX_SHOWN_CHARACTERS, METHODS, parse_batch
from chalicelib.protocol.bodies import MAX_DEPTH
from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.messages import Request
from tests.protocol.attempts import attempt

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=4)
# Few keys, so that both sides have many in common.
NESTED = st.recursive(
    st.none() | st.integers(0, 3) | st.just([]) | st.just(""),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))
# Enough of what a batch may hold for a good part of the fuzz to be nearly right.
HEADERS = st.dictionaries(st.sampled_from(["If-Match", "if-match", "X"]), TEXTS | JSON, max_size=2)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from([*METHODS, "get", "", None]) | JSON,
        "path": TEXTS.map("/".__add__)
        | st.sampled_from(["/batch", "/%FF", "", None, "/?%FF"])
        | JSON,
        "headers": HEADERS | JSON,
        "body": OBJECTS | JSON,
        "other": JSON,
    },
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "defaults": ATTRIBUTES | JSON,
        "requests": st.lists(ATTRIBUTES | JSON, max_size=4) | JSON,
        "other": JSON,
    },
)

NO_MAPPING = "is not a mapping type: Does not implement dict-like functionality."
NO_METHOD = "is not one of GET, HEAD, DELETE, TRACE, POST, PUT, PATCH"
ROOT = {"path": "/"}


def batch_of(payload: Any, **headers: str) -> Request:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Request("POST", "/v1/batch", (("a", "1"),), named, raw, "https://host/api", "an id")


def parsed(payload: Any, max_requests: int = 25, **headers: str) -> list[Request]:
    return parse_batch(batch_of(payload, **headers), max_requests=max_requests)


def one(entry: Any, defaults: Any = None, **headers: str) -> Request:
    """The only request of a batch."""
    (request,) = parsed({"defaults": defaults, "requests": [entry]}, **headers)
    return request


def refusal(payload: Any, max_requests: int = 25, **headers: str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parsed(payload, max_requests, **headers)
    assert caught.value.kind is INVALID_PARAMETERS
    return caught.value


def problems(payload: Any, max_requests: int = 25, **headers: str) -> list[tuple[Any, Any]]:
    """Name and description of everything that is wrong with this batch."""
    details = refusal(payload, max_requests, **headers).details
    assert isinstance(details, list)
    assert all(found["location"] == "body" for found in details)
    return [(found["name"], found["description"]) for found in details]


# The payload


@pytest.mark.parametrize(
    "payload", [{"requests": []}, {"requests": [], "defaults": {}, "other": [1]}]
)
def test_a_batch_may_be_empty(payload: Any) -> None:
    assert parsed(payload) == []


@pytest.mark.parametrize("payload", [b"", {}, {"request": [ROOT]}, {"defaults": ROOT}])
def test_requests_are_required(payload: Any) -> None:
    assert problems(payload) == [("requests", "requests is missing")]
    assert refusal(payload).message == "requests is missing"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;a=b", "", " "],
)
def test_json_is_read(content_type: str) -> None:
    assert len(parsed({"requests": [ROOT]}, content_type=content_type)) == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/json-patch+json", ";", "json"])
@pytest.mark.parametrize("payload", [{"requests": [ROOT]}, b"no json"])
def test_what_is_said_to_be_something_else_is_not_read(content_type: str, payload: Any) -> None:
    expected = [("requests", "requests is missing")]

    assert problems(payload, content_type=content_type) == expected


@pytest.mark.parametrize(
    ("raw", "description"),
    [
        (
            b'{"requests": [',
            "Invalid JSON request body: Expecting value: line 1 column 15 (char 14)",
        ),
        (b"\xff", "Invalid JSON request body: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b'{"a": NaN}', "Invalid JSON request body: Expecting value, not NaN"),
        (b'{"requests":' + b"[" * 9999, "Invalid JSON request body: nested deeper than"),
        (b"[]", "Invalid JSON: Should be a JSON object, got []"),
        (b'"requests"', 'Invalid JSON: Should be a JSON object, got "requests"'),
        (b"42", "Invalid JSON: Should be a JSON object, got 42"),
        (b"null", "Invalid JSON: Should be a JSON object, got null"),
    ],
)
def test_what_is_no_json_object_is_refused_with_two_entries(raw: bytes, description: str) -> None:
    (name, found), second = problems(raw)

    assert name is None
    assert found.startswith(description)
    assert second == ("requests", "requests is missing")
    assert refusal(raw).message == f"body: {found}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({}, "{}"),
        ({"path": "/"}, '{"path": "/"}'),
        ("GET /", "GET /"),
        (None, "null"),
        (3, "3"),
        (False, "false"),
    ],
)
def test_requests_that_are_no_list_are_refused(value: Any, shown: str) -> None:
    assert problems({"requests": value}) == [("requests", f'"{shown}" is not iterable')]


@pytest.mark.parametrize("defaults", [None, {}, ROOT, {"body": {"a": 1}, "headers": {"a": "b"}}])
@pytest.mark.parametrize(
    ("entry", "shown"),
    [(12, "12"), ("/v1/", "/v1/"), (None, "null"), ([ROOT], '[{"path": "/"}]'), (True, "true")],
)
def test_an_entry_that_is_no_object_is_refused(defaults: Any, entry: Any, shown: str) -> None:
    payload = {"defaults": defaults, "requests": [ROOT, entry]}

    assert problems(payload) == [("requests.1", f'"{shown}" {NO_MAPPING}')]


# The attributes of a request, and of defaults

FAULTS = [
    ("path", "a", "String does not match expected pattern"),
    ("path", "http://localhost/v1/", "String does not match expected pattern"),
    ("path", "?a=b", "String does not match expected pattern"),
    ("path", " /", "String does not match expected pattern"),
    ("path", 12, "12 is not a string: {'path': ''}"),
    ("path", 0, "0 is not a string: {'path': ''}"),
    ("path", True, "true is not a string: {'path': ''}"),
    ("path", [], "[] is not a string: {'path': ''}"),
    ("path", {}, "{} is not a string: {'path': ''}"),
    ("path", "/%FF", "String is not UTF-8 once decoded"),
    ("path", "/a?b=%FF", "String is not UTF-8 once decoded"),
    ("path", "/é%C3", "String is not UTF-8 once decoded"),
    ("method", "get", f'"get" {NO_METHOD}'),
    ("method", "OPTIONS", f'"OPTIONS" {NO_METHOD}'),
    ("method", "FETCH", f'"FETCH" {NO_METHOD}'),
    ("method", " GET", f'" GET" {NO_METHOD}'),
    ("method", 12, "12 is not a string: {'method': ''}"),
    ("method", False, "false is not a string: {'method': ''}"),
    ("headers", [], f'"[]" {NO_MAPPING}'),
    ("headers", None, f'"null" {NO_MAPPING}'),
    ("headers", "If-Match: 1", f'"If-Match: 1" {NO_MAPPING}'),
    ("headers", {"If-Match": 12}, "{'If-Match': 12} contains non string value"),
    ("headers", {"A": "1", "B": None}, "{'A': '1', 'B': None} contains non string value"),
    ("headers", {"A": ["1"]}, "{'A': ['1']} contains non string value"),
    ("headers", {"A": {}}, "{'A': {}} contains non string value"),
    ("body", "text", f'"text" {NO_MAPPING}'),
    ("body", [], f'"[]" {NO_MAPPING}'),
    ("body", 3, f'"3" {NO_MAPPING}'),
    ("body", False, f'"false" {NO_MAPPING}'),
    ("body", None, f'"null" {NO_MAPPING}'),
    ("body", "", f'"" {NO_MAPPING}'),
]


@pytest.mark.parametrize(("name", "value", "description"), FAULTS)
def test_a_wrong_attribute_is_refused(name: str, value: Any, description: str) -> None:
    payload = {"requests": [ROOT, ROOT | {name: value}]}

    assert problems(payload) == [(f"requests.1.{name}", description)]


@pytest.mark.parametrize(
    "defaults", [None, {}, ROOT | {"method": "PUT", "headers": {"a": "b"}, "body": {"a": {}}}]
)
@pytest.mark.parametrize(("name", "value", "description"), FAULTS)
def test_right_defaults_do_not_hide_a_wrong_attribute(
    defaults: Any, name: str, value: Any, description: str
) -> None:
    payload = {"defaults": defaults, "requests": [ROOT | {name: value}]}

    assert problems(payload) == [(f"requests.0.{name}", description)]


@pytest.mark.parametrize(("name", "value", "description"), FAULTS)
def test_a_wrong_default_is_refused_and_again_for_each_that_took_it_over(
    name: str, value: Any, description: str
) -> None:
    own = {"method": "PUT", "path": "/", "headers": {"if-match": "1", "a": "", "b": ""}}
    whole = own | {"body": {"a": 1}}
    without = {attribute: whole[attribute] for attribute in whole if attribute != name}

    expected = [(where, description) for where in (f"defaults.{name}", f"requests.1.{name}")]
    assert problems({"defaults": {name: value}, "requests": [whole, without]}) == expected
    assert problems({"defaults": {name: value}, "requests": []}) == expected[:1]


@pytest.mark.parametrize("value", [42, [], "", "a", False, 0])
def test_defaults_that_are_no_object_are_refused(value: Any) -> None:
    shown = value if isinstance(value, str) else json.dumps(value)
    expected = [("defaults", f'"{shown}" {NO_MAPPING}')]

    assert problems({"defaults": value, "requests": [ROOT]}) == expected
    assert problems({"defaults": value}) == [*expected, ("requests", "requests is missing")]


@pytest.mark.parametrize("entry", [{}, {"method": "GET"}, {"path": None}, {"path": ""}])
def test_a_path_is_required(entry: Any) -> None:
    assert problems({"requests": [ROOT, entry]}) == [("requests.1.path", "Required")]
    assert refusal({"requests": [entry]}).message == "requests.0.path in body: Required"


@pytest.mark.parametrize("path", [None, ""])
def test_a_path_is_not_required_of_defaults(path: str | None) -> None:
    payload = {"defaults": {"path": path}, "requests": [ROOT, {}]}

    assert problems(payload) == [("requests.1.path", "Required")]


def test_a_default_body_of_a_wrong_type_is_taken_over_by_an_empty_one() -> None:
    payload = {"defaults": {"body": 1}, "requests": [ROOT | {"body": {}}]}

    assert [name for name, _ in problems(payload)] == ["defaults.body", "requests.0.body"]


@pytest.mark.parametrize("defaults", [[], None, 5])
@pytest.mark.parametrize("own", [{}, {"a": "b"}])
def test_default_headers_of_a_wrong_type_are_not_taken_over_by_others(
    defaults: Any, own: Any
) -> None:
    payload = {"defaults": {"headers": defaults}, "requests": [ROOT | {"headers": own}]}

    assert [name for name, _ in problems(payload)] == ["defaults.headers"]


def test_a_wrong_default_header_is_taken_over_under_another_name_alone() -> None:
    requests = [ROOT | {"headers": headers} for headers in ({"A": "1"}, {"B": "1"}, {"A": 2}, {})]
    payload = {"defaults": {"headers": {"a": 1}}, "requests": requests}

    assert problems(payload) == [
        ("defaults.headers", "{'a': 1} contains non string value"),
        ("requests.1.headers", "{'B': '1', 'a': 1} contains non string value"),
        ("requests.2.headers", "{'A': 2} contains non string value"),
        ("requests.3.headers", "{'a': 1} contains non string value"),
    ]


def test_every_problem_is_listed_in_order() -> None:
    wrong = {"body": 1, "headers": 1, "path": 1, "method": 1}
    order = ["method", "path", "headers", "body"]

    found = problems({"requests": [wrong, 2, ROOT, {}], "defaults": wrong})

    assert [name for name, _ in found] == [
        *(f"defaults.{name}" for name in order),
        *(f"requests.0.{name}" for name in order),
        "requests.1",
        *(f"requests.2.{name}" for name in order if name != "path"),
        *(f"requests.3.{name}" for name in order),
    ]


def test_the_message_is_about_the_first_name_in_alphabetical_order() -> None:
    requests = [*[ROOT] * 2, {}, *[ROOT] * 7, {"path": 1}]

    error = refusal({"requests": requests})

    assert error.message == "requests.10.path in body: 1 is not a string: {'path': ''}"


# Bounds: an answer has little room, a payload has much


def test_an_answer_lists_a_bounded_number_of_problems() -> None:
    assert len(problems({"requests": [{}] * (MAX_PROBLEMS + 1)})) == MAX_PROBLEMS


@pytest.mark.parametrize(
    ("name", "value"),
    [("path", ["x" * 9999]), ("headers", {"a": ["x" * 9999]}), ("body", "x" * 9999)],
)
def test_a_long_value_is_shown_in_part(name: str, value: Any) -> None:
    found = problems({"defaults": {name: value}, "requests": [{}]})

    assert len(found) >= 2
    assert all(len(shown) < MAX_SHOWN_CHARACTERS + 100 for _, shown in found)


def test_many_requests_and_many_defaults_do_not_multiply() -> None:
    names = {f"name-{number}": "1" for number in range(10_000)}
    defaults = {"path": "/", "headers": names, "body": names}

    found = problems({"defaults": defaults, "requests": [{"body": {"a": 1}}] * 10_000})

    assert found == [("requests", "Number of requests is limited to 25")]


def test_a_body_may_be_nested_as_deep_as_a_payload() -> None:
    levels = MAX_DEPTH - 3  # those of the payload, of its requests and of the one
    deep = b'{"a":' * levels + b"1" + b"}" * levels

    (request,) = parsed(
        b'{"defaults":{"path":"/","body":%b},"requests":[{"body":%b}]}' % (deep, deep)
    )

    assert request.body == deep


# Once all of that is right


@pytest.mark.parametrize(("limit", "count"), [(25, 25), (3, 3), (0, 26), (0, 0)])
def test_as_many_requests_as_the_limit_are_accepted(limit: int, count: int) -> None:
    assert len(parsed({"requests": [ROOT] * count}, limit)) == count


@pytest.mark.parametrize("limit", [1, 3, 25])
def test_more_requests_than_the_limit_are_refused(limit: int) -> None:
    description = f"Number of requests is limited to {limit}"
    requests = [*[ROOT] * limit, {"path": "/batch"}]

    assert problems({"requests": requests}, limit) == [("requests", description)]
    assert refusal({"requests": requests}, limit).message == description
    assert problems({"requests": [*requests, {}]}, limit) == [
        (f"requests.{limit + 1}.path", "Required")
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path",
    ["/batch", "/v1/batch", "/batch/", "/v1/batch//", "/batch?a=b", "/v1/batch/?a", "/%62atch"],
)
def test_a_batch_in_a_batch_is_refused(method: str, path: str) -> None:
    expected = [("requests", "Recursive call on /batch endpoint is forbidden.")]

    assert problems({"requests": [ROOT, {"method": method, "path": path}]}) == expected
    assert problems({"defaults": {"path": path}, "requests": [ROOT, {}]}) == expected


@pytest.mark.parametrize(
    "path",
    ["/buckets/batch", "/buckets/x/collections/batches", "/?x=/batch", "/batches", "/v1batch"],
)
def test_what_looks_like_a_batch_alone_is_not_refused(path: str) -> None:
    assert len(parsed({"requests": [{"path": path}]})) == 1


# Methods and paths


def test_a_request_has_the_address_of_the_batch_and_its_id() -> None:
    request = one(ROOT)

    assert request == Request("GET", "/v1/", (), {}, b"", "https://host/api", "an id")


@pytest.mark.parametrize("method", METHODS)
def test_a_request_has_its_method(method: str) -> None:
    assert one(ROOT | {"method": method}).method == method
    assert one(ROOT, {"method": method}).method == method
    assert one(ROOT | {"method": method}, {"method": "POST"}).method == method


@pytest.mark.parametrize("nothing", ["", None])
def test_a_method_that_is_nothing_is_get_whatever_the_default(nothing: str | None) -> None:
    assert one(ROOT | {"method": nothing}, {"method": "PUT"}).method == "GET"
    assert one(ROOT, {"method": nothing}).method == "GET"


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/", "/v1/"),
        ("/v1", "/v1"),
        ("/v1/", "/v1/"),
        ("/v1?a", "/v1"),
        ("/v1/buckets/a", "/v1/buckets/a"),
        ("/buckets/a/", "/v1/buckets/a/"),
        ("/v1buckets", "/v1/v1buckets"),
        ("/v10/", "/v1/v10/"),
        ("/v2/buckets", "/v1/v2/buckets"),
        ("/V1/", "/v1/V1/"),
        ("/%761/a", "/v1/a"),
        ("/v1%3Fa", "/v1/v1?a"),
        ("//v1/", "/v1//v1/"),
        ("/a%2Fb+c%20d", "/v1/a/b+c d"),
        ("/%C3%A9té", "/v1/été"),
        ("/100%", "/v1/100%"),
        ("/a#b", "/v1/a#b"),
    ],
)
def test_a_path_is_decoded_and_begins_with_the_version(sent: str, path: str) -> None:
    assert one({"path": sent}).path == path
    assert one({}, {"path": sent}).path == path
    assert one({"path": sent}, {"path": "/other"}).path == path


@pytest.mark.parametrize(
    ("sent", "query"),
    [
        ("?", ()),
        ("?a", (("a", ""),)),
        ("?a=&b=c", (("a", ""), ("b", "c"))),
        ("?a=1&a=2", (("a", "1"), ("a", "2"))),
        ("?title=été", (("title", "été"),)),
        ("?title=%C3%A9t%C3%A9", (("title", "été"),)),
        ("?a=b+c%2B%26", (("a", "b c+&"),)),
        ("?a=b;c=d", (("a", "b;c=d"),)),
        ("?a=?b=/", (("a", "?b=/"),)),
        ("?=a&&b==", (("", "a"), ("b", "="))),
    ],
)
def test_a_query_string_is_decoded(sent: str, query: Any) -> None:
    assert one({"path": f"/buckets{sent}"}).query == query


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=3), st.booleans())
def test_any_parameters_arrive(query: list[tuple[str, str]], encoded: bool) -> None:
    raw = "" if encoded else "é€ "
    text = "&".join(f"{quote(name, raw)}={quote(value, raw)}{raw}" for name, value in query)

    request = one({"path": f"/?{text}"})

    assert request.query == tuple((name, value + raw) for name, value in query)


# Headers


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    [
        ({}, {}, {"accept": "a", "if-match": "b"}),
        ({"Accept": "c"}, {}, {"accept": "c", "if-match": "b"}),
        ({}, {"ACCEPT": "c"}, {"accept": "c", "if-match": "b"}),
        ({"accept": "c"}, {"ACCEPT": "d"}, {"accept": "c", "if-match": "b"}),
        ({"X-New": "é"}, {}, {"accept": "a", "if-match": "b", "x-new": "é"}),
        ({"Accept": ""}, {}, {"if-match": "b"}),
        ({"X-New": ""}, {}, {"accept": "a", "if-match": "b"}),
        ({}, {"Accept": ""}, {"if-match": "b"}),
        ({"Accept": "c"}, {"accept": ""}, {"accept": "c", "if-match": "b"}),
        ({"Accept": ""}, {"accept": "c"}, {"if-match": "b"}),
    ],
)
def test_headers_are_the_batchs_replaced_by_name(own: Any, default: Any, expected: Any) -> None:
    request = one(ROOT | {"headers": own}, {"headers": default}, accept="a", if_match="b")

    assert request.headers == expected


@pytest.mark.parametrize("named", [None, "text/plain", "application/json; charset=utf-8", ""])
@pytest.mark.parametrize("inherited", [None, "application/json;a=b"])
@pytest.mark.parametrize("in_defaults", [True, False])
def test_what_has_a_body_is_json(
    named: str | None, inherited: str | None, in_defaults: bool
) -> None:
    headers = {} if inherited is None else {"content_type": inherited}
    content = {"headers": {} if named is None else {"Content-TYPE": named}, "body": {"a": 1}}

    own, default = ({}, content) if in_defaults else (content, {})

    request = one(ROOT | own, default, **headers)

    assert request.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, "application/json;a=b"), ("text/plain", "text/plain"), ("", None)],
)
def test_what_has_no_body_keeps_its_type(named: str | None, expected: str | None) -> None:
    headers = {} if named is None else {"Content-Type": named}

    request = one(ROOT | {"headers": headers, "body": {}}, content_type="application/json;a=b")

    assert request.headers.get("content-type") == expected


# Bodies


@pytest.mark.parametrize("empty", [{}, {"body": {}}])
@pytest.mark.parametrize("default", [{}, {"body": {}}])
def test_an_empty_body_is_none(empty: Any, default: Any) -> None:
    assert one(ROOT | empty, default).body == b""


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    [
        (
            {"data": {"meta": {"lang": "fr"}}},
            {"data": {"kind": "note", "meta": {"lang": "en", "draft": True}}},
            {"data": {"kind": "note", "meta": {"lang": "fr", "draft": True}}},
        ),
        ({}, {"data": {"a": 1}}, {"data": {"a": 1}}),
        ({"data": {}}, {"data": {"a": 1}}, {"data": {"a": 1}}),
        ({"data": 2}, {"data": {"a": 1}}, {"data": 2}),
        ({"data": {"a": 1}}, {"data": 2}, {"data": {"a": 1}}),
        ({"a": {"b": [1]}}, {"a": {"b": [2, 3]}}, {"a": {"b": [1]}}),
        *(
            ({"a": {"b": value}}, {"a": {"b": {"c": 1}, "d": 2}}, {"a": {"b": value, "d": 2}})
            for value in (None, 0, [], "", False)
        ),
    ],
)
def test_bodies_are_merged_at_every_depth(own: Any, default: Any, expected: Any) -> None:
    request = one(ROOT | {"body": own}, {"body": default})

    assert json.loads(request.body) == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_request_without_body_gets_the_default_one_on_every_method(method: str) -> None:
    assert one(ROOT | {"method": method}, {"body": {"a": 1}}).body == b'{"a":1}'


@given(NESTED, NESTED)
def test_merging_keeps_what_the_request_has_and_adds_the_rest(own: Any, default: Any) -> None:
    raw = one(ROOT | {"body": own}, {"body": default}).body
    merged = json.loads(raw) if raw else {}

    def assert_merged(mine: Any, other: Any, both: Any) -> None:
        assert both.keys() == mine.keys() | other.keys()
        for name in both:
            if name not in other or name not in mine:
                assert both[name] == mine.get(name, other.get(name))
            elif isinstance(mine[name], dict) and isinstance(other[name], dict):
                assert_merged(mine[name], other[name], both[name])
            else:
                assert both[name] == mine[name]

    assert_merged(own, default, merged)


@given(NESTED, NESTED)
def test_merging_with_itself_or_with_nothing_changes_nothing(own: Any, default: Any) -> None:
    requests = [ROOT | {"body": own}, ROOT | {"body": own}]

    first, second = parsed({"defaults": {"body": default}, "requests": requests})

    assert first == second  # merging one has not changed the defaults
    assert one(ROOT | {"body": own}, {"body": own}) == one(ROOT | {"body": own})
    assert one(ROOT, {"body": own}) == one(ROOT | {"body": own})


@given(OBJECTS.filter(bool))
def test_any_body_arrives_exactly(body: Any) -> None:
    # Their text, as True equals 1, and -0.0 equals 0.
    assert json.dumps(json.loads(one(ROOT | {"body": body}).body)) == json.dumps(body)


@pytest.mark.parametrize("number", ["12345678901234567890123", "1.5", "0.1", "1e+22", "-0.0"])
def test_numbers_arrive_as_they_are(number: str) -> None:
    raw = f'{{"requests": [{{"path": "/", "body": {{"é": {number}}}}}]}}'.encode()

    assert parsed(raw)[0].body == f'{{"é":{number}}}'.encode()


# Anything


@given(PAYLOADS | JSON, st.sampled_from([0, 1, 25]))
def test_any_payload_is_understood_or_refused(payload: Any, limit: int) -> None:
    found = attempt(lambda: parsed(payload, limit))

    if isinstance(found, ProtocolError):
        assert found.kind is INVALID_PARAMETERS
        assert found.details
    else:
        assert len(found) == len(payload["requests"])
        assert all(request.path.startswith("/v1") for request in found)
        assert all(request.method in METHODS for request in found)


@given(st.binary())
def test_any_bytes_are_understood_or_refused(raw: bytes) -> None:
    found = attempt(lambda: parsed(raw))

    assert found == [] or isinstance(found, ProtocolError)
