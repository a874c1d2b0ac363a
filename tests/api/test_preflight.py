"""OPTIONS: what a browser may send for a script. Rule: spec, "The service", section 6."""

import pytest

from chalicelib.api.routes import ROUTES
from chalicelib.api.service import Service
from chalicelib.auth.policies import PolicyUnavailableError
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import BUCKET, LISTS, OBJECTS, RECORDS, assert_error, body_of, made, state
from tests.api.test_server import ALWAYS, OF_LISTS, OF_OBJECTS, client_with
from tests.doubles import STAGE, Client, CountedCalls

APP = "https://app.example.org"
MANDATORY = "this header is mandatory"
METHOD = "Access-Control-Request-Method"
HEADERS = "Access-Control-Request-Headers"

OF_A_LIST = "GET,HEAD,POST,DELETE,OPTIONS"
OF_AN_OBJECT = "GET,HEAD,PUT,PATCH,DELETE,OPTIONS"
OF_A_UTILITY = "GET,HEAD,OPTIONS"

ADDRESSES = [
    *((path, OF_A_UTILITY, ALWAYS) for path in ("/", "/__heartbeat__", "/__lbheartbeat__")),
    ("/batch", "POST,OPTIONS", ALWAYS),
    *((path, OF_A_LIST, OF_LISTS) for path in ("/buckets", *LISTS)),
    *((path, OF_AN_OBJECT, OF_OBJECTS) for path in (*OBJECTS, "/buckets/default")),
]


def preflight(
    client: Client,
    path: str,
    method: str | None = "GET",
    *,
    origin: str | None = APP,
    headers: dict[str, str] | None = None,
    user: str | None = None,
) -> Response:
    """The answer to what a browser asks before it sends a script's request."""
    sent = {**({METHOD: method} if method else {}), **({"Origin": origin} if origin else {})}
    return client.ask("OPTIONS", path, user=user, headers=sent | (headers or {}))


def problems(answer: Response) -> list[tuple[str, str]]:
    """Names and descriptions of what a preflight was refused for."""
    assert_error(answer, 400, 107)
    details = body_of(answer, 400)["details"]
    assert {each["location"] for each in details} == {"header"}
    return [(each["name"], each["description"]) for each in details]


@pytest.mark.parametrize(("path", "methods", "exposed"), ADDRESSES)
def test_methods_and_headers_of_an_address_are_told(
    client: Client, calls: CountedCalls, path: str, methods: str, exposed: set[str]
) -> None:
    for method in methods.split(","):
        answer = preflight(client, path, method)

        assert (answer.status, answer.body, answer.says_null) == (200, None, True)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == methods
        assert set(answer.headers["Access-Control-Allow-Headers"].split(",")) == exposed
        assert answer.headers["Access-Control-Max-Age"] == "3600"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert calls.take() == {}


def test_every_route_has_its_preflight_tested() -> None:
    tested = {f"/v1{path}" for path, *_ in ADDRESSES}

    assert all(any(route.expression.fullmatch(path) for path in tested) for route in ROUTES)


def test_a_preflight_asks_neither_who_nor_what_and_leaves_nothing(client: Client) -> None:
    made(client)
    before = state(client)
    wrong = {"Accept": "text/html", "Content-Type": "text/plain", "If-Match": "x"}

    for user in (None, "alice", "bob"):
        assert preflight(client, BUCKET, "PUT", headers=wrong, user=user).status == 200
        assert preflight(client, "/buckets/none/groups/x!", "PUT", user=user).status == 200
    assert state(client) == before


class UnavailablePolicy:
    """Can't tell now who asks."""

    name = challenge = "unavailable"

    def user_id(self, request: Request) -> str | None:
        raise PolicyUnavailableError


def test_who_asks_is_found_out_only_where_it_matters(dynamo: Dynamo) -> None:
    client = Client(Service(Settings(stage=STAGE), Storage(dynamo), [UnavailablePolicy()]))

    assert preflight(client, BUCKET).status == 200
    assert client.ask("GET", "/nowhere").status == 404
    assert client.ask("GET", "/buckets/").status == 307
    assert client.ask("POST", BUCKET).status == 405
    assert client.ask("GET", BUCKET, headers={"Accept": "text/html"}).status == 406
    assert client.ask("GET", BUCKET).status == 503


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("authorization,content-type", ["authorization", "content-type"]),
        (" If-Match ,X-Custom,, response-behavior", ["If-Match", "X-Custom", "response-behavior"]),
        ("etag", ["etag"]),
        ("", []),
    ],
)
def test_all_headers_that_are_asked_for_are_allowed_once(
    client: Client, asked: str, allowed: list[str]
) -> None:
    answer = preflight(client, BUCKET, headers={HEADERS: asked})

    names = answer.headers["Access-Control-Allow-Headers"].split(",")
    assert names[: len(allowed)] == allowed
    lower = [name.lower() for name in names]
    assert sorted(lower) == sorted({each.lower() for each in OF_OBJECTS | {*allowed}})


@pytest.mark.parametrize(
    ("method", "origin", "missing"),
    [
        (None, None, ["Origin", METHOD]),
        (None, APP, [METHOD]),
        ("GET", None, ["Origin"]),
    ],
)
@pytest.mark.parametrize("path", ["/", "/buckets", BUCKET])
def test_a_header_that_is_missing_is_told(
    client: Client, path: str, method: str | None, origin: str | None, missing: list[str]
) -> None:
    answer = preflight(client, path, method, origin=origin)

    assert problems(answer) == [(name, MANDATORY) for name in missing]
    message = f"{min(missing)} in header: {MANDATORY}"
    assert body_of(answer, 400)["message"] == message
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed == (None if origin is None else "*")
    assert "Access-Control-Allow-Methods" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "DELETE"),
        ("/buckets", "PUT"),
        (BUCKET, "POST"),
        (RECORDS, "PATCH"),
        (BUCKET, "put"),
        (BUCKET, "BREW"),
        (BUCKET, "GET,PUT"),
    ],
)
def test_a_method_that_the_address_lacks_is_not_allowed(
    client: Client, path: str, method: str
) -> None:
    answer = preflight(client, path, method)

    assert problems(answer) == [(METHOD, "Method not allowed")]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/", "/buckets", BUCKET])
def test_an_origin_of_the_list_is_named_and_another_refused(dynamo: Dynamo, path: str) -> None:
    client = client_with(dynamo, cors_origins=(APP, "https://*.example.net"))

    for origin in (APP, "https://a.example.net"):
        answer = preflight(client, path, origin=origin)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)
    for origin in ("http://app.example.org", "https://example.net"):
        answer = preflight(client, path, origin=origin)
        assert problems(answer) == [("Origin", f"{origin} not allowed")]
        assert "Access-Control-Allow-Origin" not in answer.headers
        both = preflight(client, path, "BREW", origin=origin)
        assert problems(both) == [
            ("Origin", f"{origin} not allowed"),
            (METHOD, "Method not allowed"),
        ]


@pytest.mark.parametrize("seconds", [0, 42, None])
def test_browsers_keep_the_answer_as_long_as_the_setting_says(
    dynamo: Dynamo, seconds: int | None
) -> None:
    client = client_with(dynamo, cors_max_age_seconds=seconds)

    max_age = preflight(client, BUCKET).headers.get("Access-Control-Max-Age")

    assert max_age == (None if seconds is None else str(seconds))


def test_unknown_addresses_are_missing_for_preflights_too(client: Client) -> None:
    assert_error(preflight(client, "/nowhere"), 404, 111)
    assert_error(preflight(client, "/buckets/default/unknown"), 404, 111)
    assert preflight(client, "/buckets/").status == 307
