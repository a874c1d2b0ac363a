"""Whatever is asked, Kinto's JSON is answered, and nothing of ours fails."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.messages import JsonObject, Request
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import COLLECTIONS, GROUPS, ID, LISTS, OBJECTS, RECORDS, body_of, made, sent
from tests.api.shelves import BASE_URL, asked, entries, shelved, walk
from tests.doubles import SECRET, STAGE, START_MS, Client, SetClock, basic

PIECES = [
    *("v1", "buckets", "collections", "groups", "records", "blog", "posts", "writers", ID),
    *("default", "batch", "__flush__", "__heartbeat__", "__lbheartbeat__"),
]
UTILITIES = ["/", "/batch", "/__flush__", "/__heartbeat__", "/__lbheartbeat__"]
DEFAULT = "/buckets/default"
MINE = [
    DEFAULT,
    f"{DEFAULT}/collections",
    f"{DEFAULT}/groups/writers",
    f"{DEFAULT}/collections/posts",
    f"{DEFAULT}/collections/posts/records",
    f"{DEFAULT}/collections/posts/records/{ID}",
]
RESERVED = [
    "",
    "%",
    "%2F",
    "?",
    "#",
    "+",
    "&",
    "=",
    ";",
    ":",
    "@",
    ".",
    "..",
    "\0",
    "\n",
    "é",
    "😀",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"]
HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "response-behavior",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "user-agent",
]
VALUES = [
    *('"1"', "*", "1", '"99999999999999"', "application/json", "text/*;q=0", "light", "Basic x"),
    *("", "PUT", "https://a.example", basic("alice"), basic("bob")),
]
PARAMETERS = ["_since", "_before", "_to", "_limit", "_token", "_fields", "_sort", "last_modified"]

text = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([ID, "blog", 10**400, -(10**20)]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(["data", "permissions", "id", "last_modified", "members", "read", "write"])
keywords = st.sampled_from(
    [
        *("type", "properties", "required", "pattern", "$ref", "items", "enum", "not", "allOf"),
        *("additionalProperties", "patternProperties", "dependencies", "multipleOf", "uniqueItems"),
    ]
)
schemas = st.recursive(
    values | st.sampled_from(["integer", "#", "#/properties/a", "(a+)+$", "[", "^a", 0.01]),
    lambda inner: st.dictionaries(keywords | st.just("a"), inner | st.lists(inner), max_size=3),
    max_leaves=10,
)
fields = st.dictionaries(names | text, values, max_size=4) | st.fixed_dictionaries(
    {"schema": schemas}, optional={"cache_expires": values}
)
bodies = st.one_of(
    st.binary(max_size=50),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {}, optional={"data": fields | values, "permissions": fields | values}
    ).map(lambda value: json.dumps(value).encode()),
)
places = st.sampled_from([*OBJECTS, "/buckets/blog/groups", *UTILITIES, *MINE])
paths = st.one_of(
    places.map("/v1{}".format),
    st.sampled_from(OBJECTS).map(lambda path: f"/v1{path.rpartition('/')[0]}"),
    st.lists(st.sampled_from([*PIECES, *RESERVED]) | text, max_size=8).map(
        lambda pieces: "/" + "/".join(pieces)
    ),
    st.binary(max_size=10).map(lambda raw: "/v1/" + raw.decode("utf-8", "surrogateescape")),
)
requests = st.builds(
    Request,
    method=st.sampled_from(METHODS),
    path=paths,
    query=st.lists(
        st.tuples(
            st.sampled_from(PARAMETERS) | text,
            st.sampled_from(["", "0", "1", '"2"', "-1", "last_modified", "a.b,c", "9" * 30]) | text,
        ),
        max_size=3,
    ).map(tuple),
    headers=st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES) | text, max_size=3),
    body=bodies,
    base_url=st.just("http://localhost"),
)


parts = st.fixed_dictionaries(
    {"path": places | places.map("/v1{}/?_limit=1&_since=0".format) | text},
    optional={
        "method": st.sampled_from(METHODS[:6]) | values,
        "headers": st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES), max_size=2)
        | values,
        "body": st.fixed_dictionaries({}, optional={"data": fields, "permissions": fields})
        | values,
    },
)
"""Requests of a batch, many of which are none."""


@pytest.fixture
def everything(dynamo: Dynamo, clock: SetClock) -> Client:
    """A client of a service with all that settings can switch on."""
    settings = Settings(
        stage=STAGE,
        userid_hmac_secret=SECRET,
        includes=("kinto.plugins.default_bucket",),
        flush_endpoint_enabled=True,
        experimental_collection_schema_validation=True,
    )
    policies = [BasicPolicy(SECRET)]
    return Client(Service(settings, Storage(dynamo, clock), policies, load_plugins(settings)))


def check_shape(response: JsonObject, *, is_head: bool) -> None:
    """Hold an answer of a batch to Kinto's shape."""
    assert response["status"] < 500
    assert all(isinstance(value, str) for value in response["headers"].values())
    if is_head:
        assert response["body"] == ""
    elif response["status"] >= 400:
        assert response["body"]["code"] == response["status"]
        assert isinstance(response["body"]["errno"], int)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=st.lists(parts, max_size=6), defaults=parts | st.none() | values)
def test_any_batch_is_answered_in_kintos_shape(
    everything: Client, requests: list[JsonObject], defaults: Any
) -> None:
    made(everything)

    answer = everything.ask("POST", "/batch", {"requests": requests, "defaults": defaults})

    assert answer.status in (200, 400)
    if answer.status == 400:
        assert body_of(answer, 400)["errno"] == 107
        return
    responses = body_of(answer)["responses"]
    assert len(responses) == len(requests)
    for request, response in zip(requests, responses, strict=True):
        default = defaults.get("method") if isinstance(defaults, dict) else None
        check_shape(response, is_head=request.get("method", default) == "HEAD")


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=requests, is_user=st.booleans())
def test_any_request_is_answered_in_kintos_shape(
    everything: Client, request: Request, is_user: bool
) -> None:
    client = everything
    made(client)
    if is_user:
        request = Request(
            request.method,
            request.path,
            request.query,
            {"authorization": basic("alice"), **request.headers},
            request.body,
            request.base_url,
        )

    answer = sent(client, request)

    assert answer.status < 500
    assert all(isinstance(value, str) for value in answer.headers.values())
    if answer.body is not None:
        json.dumps(answer.body, ensure_ascii=False).encode()  # no half of a surrogate pair
    if request.method == "HEAD" or answer.status in (304, 307):
        assert answer.body is None
    elif answer.says_null:
        assert (request.method, answer.status) == ("OPTIONS", 200)
    elif answer.status >= 400:
        assert answer.body is not None
        assert answer.body["code"] == answer.status
        assert isinstance(answer.body["errno"], int)
        assert isinstance(answer.body["error"], str)
    else:
        assert answer.body is not None
        assert "data" in answer.body or "/buckets" not in request.path
    if "Next-Page" in answer.headers:
        assert dict(parse_qsl(answer.headers["Next-Page"].partition("?")[2]))["_token"]


# Lists

PREFIXES = ["", "min_", "max_", "gt_", "lt_", "not_", "in_", "exclude_"]
KNOWN = {
    RECORDS: ["n", "v", "größe", "a.b", "", "none"],
    COLLECTIONS: ["schema", "cache_expires"],
    GROUPS: ["members"],
}
LOOKS = [
    *("", "0", "1", "-1", "01", "1.0", "1e3", "1e400", "-1e999999999", "-0", "NaN", ".5"),
    *("9" * 30, "9" * 300, "9" * 301, "-" + "9" * 5000, "0." + "3" * 400, "٣", "½"),
    *("true", "No", "on", "null", "x", "é", "a,b", ",", ",,1,x,", "[1]", '{"x": 1}'),
    *(
        '"1"',
        "'1'",
        '"',
        "'",
        '""',
        r'"\"',
        r'"\ud800"',
        r'"\u00e9,"',
        '"x\n"',
        "\0",
        "\x7f",
        "\u2028",
    ),
    *(
        ID,
        f"{ID},",
        "writers",
        "posts",
        str(START_MS),
        f'"{START_MS}"',
        f"{START_MS},{START_MS + 2}",
    ),
    *(
        "v",
        "-v,n",
        "+n,,-id",
        "last_modified,-größe",
        "!n",
        "deleted,a.b",
        "n.x,v",
        "\udcff",
        "\ud800",
    ),
]
looks = st.sampled_from(LOOKS) | text | st.lists(st.sampled_from(LOOKS), max_size=4).map(",".join)


def parameters_of(path: str) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Parameters of a list, most of which it knows."""
    known = st.sampled_from([*KNOWN[path], "id", "last_modified", "deleted"])
    filters = st.tuples(st.sampled_from(PREFIXES), known).map("".join)
    special = st.sampled_from(["_since", "_before", "_to", "_sort", "_fields", "_token", "_x", "_"])
    anything = st.tuples(st.sampled_from(PREFIXES), text).map("".join)
    any_name = st.one_of(filters, filters, special, anything)
    limits = st.tuples(st.just("_limit"), st.sampled_from(["1", "2", "3", "02"]) | looks)
    return st.lists(st.one_of(st.tuples(any_name, looks), limits), max_size=4)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), path=st.sampled_from([RECORDS, *LISTS]))
def test_any_parameters_of_a_list_are_answered_and_pages_together_are_the_list(
    client: Client, data: st.DataObject, path: str
) -> None:
    parameters = data.draw(parameters_of(path))
    objects = [
        {"name": "a", "v": 1, "n": 1, "members": ["x"], "größe": "x"},
        {"name": "b", "v": "x", "a.b": [], "members": [], "schema": {}},
        {"name": "c", "v": None, "": 1, "members": ["y"], "cache_expires": 1.5, "n": 10**300},
        {"name": "d", "v": True, "n": 1.0, "members": []},
        {"name": "e", "v": "x", "n": -(2**63), "members": []},
    ]
    if path == GROUPS:
        shelved(client, objects, path=path)
    else:
        shelved(client, objects, path=path, deleted="b d")

    got = asked(client, *parameters, path=path)
    head = asked(client, *parameters, path=path, method="HEAD")

    assert got.status in (200, 400)
    assert (head.status, head.body, head.headers) == (got.status, None, got.headers)
    json.dumps(got.body, ensure_ascii=False).encode()
    if got.status == 200:
        check_pages(client, got, parameters, path)
    deleted = asked(client, *parameters, path=path, method="DELETE")
    assert deleted.status == 200 or (deleted.status == got.status == 400)
    if deleted.status == 200:
        tombstones = body_of(deleted)["data"]
        left = int(asked(client, path=path).headers["Total-Records"])
        assert left + len(tombstones) == (5 if path == GROUPS else 3)
        if got.status == 200:
            assert str(len(tombstones)) == got.headers["Total-Records"]


def check_pages(client: Client, first: Any, parameters: list[tuple[str, str]], path: str) -> None:
    """Hold a page and those that follow to the list in one."""
    assert first.headers["Total-Records"].isdecimal()
    whole_query = [each for each in parameters if each[0] not in ("_limit", "_token")]
    whole = asked(client, *whole_query, path=path)
    assert "Next-Page" not in whole.headers
    pages = walk(client, first)
    assert entries(pages) == body_of(whole)["data"]
    assert {page.status for page in pages} == {200}
    for name in ("Total-Records", "ETag", "Alert"):
        assert {page.headers.get(name) for page in pages} == {whole.headers.get(name)}
    assert all(page.headers.get("Next-Page", BASE_URL).startswith(BASE_URL) for page in pages)
