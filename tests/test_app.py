"""API Gateway's events through app.py: requests to ours, answers to Chalice's."""

import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import pytest
from moto import mock_aws

from app import AT_ONCE, METHODS, QUEUES, app, application, changes, deliver, purge, retry
from chalicelib.api.routes import ROUTES
from chalicelib.events.queues import Queue
from chalicelib.storage.client import connect
from chalicelib.storage.deadlines import Deadline
from chalicelib.wiring import is_chalice_local
from infra.tables import create_tables
from tests.doubles import REGION, basic
from tests.events.test_stream import stream_record

DEFAULT_DOMAIN = "abc123.execute-api.eu-west-1.amazonaws.com"
STAGE = "prod"


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    """The tables of the application, which connects at its first call."""
    with mock_aws():
        create_tables(connect(REGION).client, "dev")
        yield


def event(
    method: str,
    path: str,
    *,
    body: str | None = None,
    is_base64: bool = False,
    headers: dict[str, str] | None = None,
    query: dict[str, list[str]] | None = None,
    domain: str = DEFAULT_DOMAIN,
) -> dict[str, Any]:
    """What API Gateway sends for a request to this path, which is percent-encoded."""
    sent = {"Host": domain, "X-Forwarded-Proto": "https", "Authorization": basic("alice")}
    sent |= headers or {}
    resource, parameters = _resource(path)
    stage = f"/{STAGE}" if domain == DEFAULT_DOMAIN else ""
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: them[-1] for name, them in query.items()}
        if query
        else None,
        "multiValueQueryStringParameters": query,
        "pathParameters": parameters,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": stage + path,
            "protocol": "HTTP/1.1",
            "stage": STAGE,
            "domainName": domain,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _resource(path: str) -> tuple[str, dict[str, str] | None]:
    """The route that API Gateway finds, and its parameters."""
    for route in ROUTES:
        if found := route.expression.fullmatch(path):
            names = [part[1:-1] for part in route.pattern.split("/") if part.startswith("{")]
            pattern = route.pattern.rstrip("/")
            return pattern, dict(zip(names, found.groups(), strict=True)) or None
    return ("/", None) if path == "/" else ("/{proxy+}", {"proxy": path.removeprefix("/")})


def ask(*arguments: Any, **options: Any) -> tuple[int, Any, dict[str, str]]:
    """Status, body and headers of the application's answer."""
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 29_000)
    answer = app(event(*arguments, **options), context)
    assert not answer.get("isBase64Encoded")
    assert answer["headers"]["Content-Type"] == "application/json; charset=UTF-8"
    return answer["statusCode"], json.loads(answer["body"] or "null"), answer["headers"]


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        (DEFAULT_DOMAIN, f"https://{DEFAULT_DOMAIN}/prod/v1/"),
        ("kinto.example", "https://kinto.example/v1/"),
    ],
)
def test_the_stage_is_in_the_urls_of_the_default_domain_alone(domain: str, url: str) -> None:
    status, body, _ = ask("GET", "/v1/", domain=domain)
    redirected, _, headers = ask("GET", "/v1", domain=domain)
    to_version, _, others = ask("POST", "/", domain=domain)

    assert (status, body["url"]) == (200, url)
    assert (redirected, headers["Location"]) == (307, url)
    assert (to_version, others["Location"]) == (307, url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": ""},
        {"Host": "a b"},
        {"Host": "evil.example/x"},
        {"Host": "@evil.example"},
        {"X-Forwarded-Proto": "javascript"},
    ],
)
def test_what_is_no_origin_of_http_is_in_no_url(headers: dict[str, str]) -> None:
    status, _, answered = ask("GET", "/v1", headers=headers, domain="kinto.example")

    assert (status, answered["Location"]) == (307, "http://localhost/v1/")


def test_a_header_that_comes_twice_is_one_list() -> None:
    asked = event("GET", "/v1/buckets")
    asked["headers"]["Accept"] = "text/html"
    asked["multiValueHeaders"]["Accept"] = ["application/json", "text/html"]

    assert app(asked, context(29))["statusCode"] == 200


def test_a_bucket_that_is_named_like_the_stage_keeps_its_name() -> None:
    ask("PUT", f"/v1/buckets/{STAGE}", domain="kinto.example")

    status, body, _ = ask("GET", f"/v1/buckets/{STAGE}")

    assert (status, body["data"]["id"]) == (200, STAGE)


@pytest.mark.parametrize("is_base64", [False, True])
def test_a_body_comes_as_text_or_in_base64(is_base64: bool) -> None:
    text = json.dumps({"data": {"text": "é😀\0"}}, ensure_ascii=False)
    body = base64.b64encode(text.encode()).decode() if is_base64 else text

    _, answer, _ = ask("PUT", "/v1/buckets/text", body=body, is_base64=is_base64)

    assert answer["data"]["text"] == "é😀\0"


def test_bytes_that_are_no_utf8_are_refused_by_us() -> None:
    body = base64.b64encode(b'{"data": "\xff"}').decode()

    status, answer, _ = ask("PUT", "/v1/buckets/text", body=body, is_base64=True)

    assert (status, answer["errno"]) == (400, 107)


def test_an_escaped_path_is_decoded() -> None:
    ask("PUT", "/v1/buckets/%61bc")

    assert ask("GET", "/v1/buckets/abc")[0] == 200
    assert ask("GET", "/v1/buckets/%FF")[0] == 400
    assert ask("GET", f"/v1/buckets/{quote('é')}")[0] == 403
    assert ask("GET", "/v1/buckets/abc%2Fgroups")[0] == 200


def test_every_value_of_a_parameter_counts() -> None:
    ask("PUT", "/v1/buckets/many")
    for name in ("a", "b", "c"):
        ask("PUT", f"/v1/buckets/many/collections/{name}")
    path = "/v1/buckets/many/collections"
    times = [entry["last_modified"] for entry in ask("GET", path)[1]["data"]]

    _, body, headers = ask("GET", path, query={"_since": ["0", str(times[1])], "_limit": ["1"]})

    assert [entry["id"] for entry in body["data"]] == ["c"]
    assert headers["Total-Records"] == "1"


def test_next_page_leads_through_the_gateway() -> None:
    ask("PUT", "/v1/buckets/pages")
    for name in ("a", "b"):
        ask("PUT", f"/v1/buckets/pages/groups/{name}", body='{"data": {"members": []}}')
    path = "/v1/buckets/pages/groups"

    url = ask("GET", path, query={"_limit": ["1"]})[2]["Next-Page"]

    address, _, query = url.partition("?")
    assert address == f"https://{DEFAULT_DOMAIN}/{STAGE}{path}"
    parameters = {
        name: [unquote(it)] for name, it in (pair.split("=") for pair in query.split("&"))
    }
    assert [entry["id"] for entry in ask("GET", path, query=parameters)[1]["data"]] == ["a"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path",
    ["/", "/v1/", "/v1/buckets", "/v1/buckets/a", "/v1/nothing", "/v2/", "/v1/__heartbeat__"],
)
@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data", "x"])
def test_methods_and_content_types_never_meet_chalices_own_errors(
    method: str, path: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    _, body, headers = ask(method, path, headers=headers, body="{}")

    assert body is None or "Code" not in body
    assert headers.keys() >= {"Content-Type"}


def test_an_event_without_headers_is_anonymous() -> None:
    bare = event("GET", "/v1/buckets/bare") | {"headers": None, "multiValueHeaders": None}
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 29_000)

    answer = app(bare, context)

    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["errno"] == 104


def test_head_and_304_have_no_body() -> None:
    ask("PUT", "/v1/buckets/bodies")

    assert ask("HEAD", "/v1/buckets/bodies")[1] is None
    assert ask("GET", "/v1/buckets/bodies", headers={"If-None-Match": "*"})[:2] == (304, None)


def test_a_preflight_is_answered_as_json_without_a_user() -> None:
    asked = {"Origin": "https://a.org", "Access-Control-Request-Method": "PUT"}
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 29_000)

    answer = app(event("OPTIONS", "/v1/buckets/a", headers=asked), context)

    assert (answer["statusCode"], answer["body"]) == (200, "null")
    assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
    assert answer["headers"]["Access-Control-Allow-Methods"] == "GET,HEAD,PUT,PATCH,DELETE,OPTIONS"


def test_500_levels_of_nesting_pass() -> None:
    deep = "[" * 500 + "]" * 500

    status, body, _ = ask("PUT", "/v1/buckets/deep", body=f'{{"data": {{"a": {deep}}}}}')

    assert status == 201
    assert body["data"]["a"] == json.loads(deep)


def test_no_time_left_is_503() -> None:
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 1_000)

    answer = app(event("GET", "/v1/buckets/late"), context)

    assert answer["statusCode"] == 503
    assert answer["headers"]["Retry-After"] == "3"


def context(seconds: int) -> SimpleNamespace:
    return SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: seconds * 1_000)


def test_records_of_the_stream_are_handed_over_as_lambda_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handled: list[Any] = []
    monkeypatch.setattr(application.background.changes, "handle", handled.extend)
    records = [stream_record("deleted_bucket"), stream_record("shrunk_group")]

    answer = changes({"Records": records}, context(60))

    assert handled == [stream_record("deleted_bucket"), stream_record("shrunk_group")]
    assert answer is None  # a list of failures would be lost, as no mapping asks for it


def test_a_message_is_handed_over_with_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handled: list[tuple[str, float]] = []

    def handle(message: str, deadline: Deadline) -> None:
        handled.append((message, deadline.remaining_s()))

    monkeypatch.setattr(application.background.purge, "handle", handle)
    message = {"messageId": "1", "receiptHandle": "2", "body": '{"rows":[]}', "attributes": {}}

    answer = purge({"Records": [message]}, context(300))

    assert handled == [('{"rows":[]}', 300)]
    assert answer is None


@pytest.mark.parametrize(("function", "spares"), [(deliver, False), (retry, True)])
def test_a_delivery_is_handed_over_with_how_often_it_was_received(
    function: Any, spares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[tuple[str, int, bool]] = []
    monkeypatch.setattr(
        application.background.deliver,
        "handle",
        lambda message, starts, *, spares: handled.append((message, starts, spares)),
    )
    message = {"messageId": "1", "receiptHandle": "2", "body": '{"listener":"hook"}'}
    attributes = {"ApproximateReceiveCount": "3", "SentTimestamp": "1700000000000"}

    answer = function({"Records": [{**message, "attributes": attributes}]}, context(30))

    assert handled == [('{"listener":"hook"}', 3, spares)]
    assert answer is None


def test_what_a_function_of_a_queue_raises_reaches_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_message: str, _starts: int, *, spares: bool) -> None:
        raise OSError("no queue")

    monkeypatch.setattr(application.background.deliver, "handle", fail)
    attributes = {"ApproximateReceiveCount": "1"}
    message = {"body": "{}", "receiptHandle": "2", "attributes": attributes}

    with pytest.raises(OSError, match="no queue"):
        deliver({"Records": [message]}, context(30))


def test_functions_of_queues_take_one_message_at_a_time_each_of_its_queue() -> None:
    sources: list[Any] = [each for each in app.event_sources if hasattr(each, "queue")]

    taken = {each.name: (each.queue, each.batch_size, each.maximum_concurrency) for each in sources}

    assert taken == {
        "purge": ("kinto-dev-purges", 1, AT_ONCE),
        "deliver": ("kinto-dev-deliveries.fifo", 1, None),
        "retry": ("kinto-dev-retries", 1, AT_ONCE),
    }
    assert {queue: f"kinto-dev-{queue}" for queue in Queue} == QUEUES


@pytest.mark.parametrize(
    ("arguments", "is_local"),
    [
        ("local", True),
        ("local --port 9000 --stage prod", True),
        ("--debug local", True),
        ("--project-dir /srv/kinto --no-debug local", True),
        ("--project-dir=/srv/kinto local", True),
        ("deploy --stage local", False),
        ("--project-dir local deploy", False),
        ("package local", False),
        ("--project-dir", False),
        ("", False),
    ],
)
def test_what_chalice_local_lacks_is_known_from_its_arguments(
    arguments: str, is_local: bool
) -> None:
    command = ["/usr/bin/chalice", *arguments.split()]

    assert is_chalice_local({"AWS_CHALICE_CLI_MODE": "true"}, command) is is_local
    assert not is_chalice_local({}, command)
