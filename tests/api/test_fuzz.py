"""Whatever is asked, Kinto's JSON is answered, and nothing of ours fails."""

import json
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.protocol.messages import Request
from tests.api.places import COLLECTIONS, GROUPS, ID, LISTS, OBJECTS, RECORDS, body_of, made, sent
from tests.api.shelves import BASE_URL, asked, entries, shelved, walk
from tests.doubles import START_MS, Client, basic

PIECES = ["v1", "buckets", "collections", "groups", "records", "blog", "posts", "writers", ID]
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
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]
HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "response-behavior",
    "origin",
    "user-agent",
]
VALUES = ['"1"', "*", "1", '"99999999999999"', "application/json", "text/*;q=0", "light", "Basic x"]
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
fields = st.dictionaries(names | text, values, max_size=4)
bodies = st.one_of(
    st.binary(max_size=50),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {}, optional={"data": fields | values, "permissions": fields | values}
    ).map(lambda value: json.dumps(value).encode()),
)
paths = st.one_of(
    st.sampled_from([f"/v1{path}" for path in (*OBJECTS, "/buckets/blog/groups")]),
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


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=requests, is_user=st.booleans())
def test_any_request_is_answered_in_kintos_shape(
    client: Client, request: Request, is_user: bool
) -> None:
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


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
