"""Whatever is asked, Kinto's JSON is answered, and nothing of ours fails."""

import json
from urllib.parse import parse_qsl

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.protocol.messages import Request
from tests.api.places import ID, OBJECTS, made, sent
from tests.doubles import Client, basic

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
