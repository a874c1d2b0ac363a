"""What API Gateway answers by itself: Kinto's errors, to scripts as well, and nothing else."""

import json
from typing import Any

import boto3
import pytest

from chalicelib.api.cors import allowed_origin
from chalicelib.protocol.errors import ERROR_KINDS, RESERVED_ERRNOS, UNSUPPORTED_MEDIA_TYPE
from chalicelib.settings import Settings
from infra.gateway_answers import LOG_FORMAT, TOO_MANY_REQUESTS, gateway_answers

ORIGIN = "Access-Control-Allow-Origin"
ECHO = "method.request.header.Origin"

TYPES = (
    boto3.client("apigateway", region_name="eu-west-1")
    .meta.service_model.shape_for("GatewayResponseType")
    .enum
)

# Clients repeat what has Retry-After: only what certainly wasn't carried out may have it.
TABLE = [
    ("MISSING_AUTHENTICATION_TOKEN", 405, 115, None),
    ("DEFAULT_4XX", 405, 115, None),
    ("INVALID_SIGNATURE", 405, 115, None),
    ("EXPIRED_TOKEN", 405, 115, None),
    ("RESOURCE_NOT_FOUND", 404, 111, None),
    ("ACCESS_DENIED", 403, 121, None),
    ("INVALID_API_KEY", 403, 121, None),
    ("WAF_FILTERED", 403, 121, None),
    ("UNAUTHORIZED", 401, 104, None),
    ("BAD_REQUEST_BODY", 400, 107, None),
    ("BAD_REQUEST_PARAMETERS", 400, 107, None),
    ("REQUEST_TOO_LARGE", 413, 113, None),
    ("UNSUPPORTED_MEDIA_TYPE", 415, 107, None),
    ("THROTTLED", 429, 117, "'7'"),
    ("QUOTA_EXCEEDED", 429, 117, None),
    ("INTEGRATION_TIMEOUT", 503, 201, None),
    ("INTEGRATION_FAILURE", 503, 201, None),
    ("DEFAULT_5XX", 503, 201, None),
    ("API_CONFIGURATION_ERROR", 503, 201, None),
    ("AUTHORIZER_CONFIGURATION_ERROR", 503, 201, None),
    ("AUTHORIZER_FAILURE", 503, 201, None),
]


def body_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The body as it is sent: nothing in it is the gateway's to fill in."""
    [(content_type, template)] = answer["responseTemplates"].items()
    assert content_type == "application/json"
    assert "$" not in template
    body: dict[str, Any] = json.loads(template)
    return body


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    return {
        name.removeprefix("gatewayresponse.header."): value
        for name, value in answer["responseParameters"].items()
    }


def test_every_type_that_there_is_has_an_answer() -> None:
    assert sorted(gateway_answers(Settings())) == sorted(TYPES)


@pytest.mark.parametrize(("name", "status", "errno", "retry_after"), TABLE)
def test_an_answer_is_an_error_of_kinto(
    name: str, status: int, errno: int, retry_after: str | None
) -> None:
    answer = gateway_answers(Settings(retry_after_seconds=7))[name]

    body = body_of(answer)
    assert (answer["statusCode"], body["code"], body["errno"]) == (str(status), status, errno)
    assert headers_of(answer).get("Retry-After") == retry_after


def test_the_table_has_every_type() -> None:
    assert sorted(name for name, *_ in TABLE) == sorted(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_status_number_and_name_are_those_of_the_protocol(name: str) -> None:
    body = body_of(gateway_answers(Settings())[name])

    known = {(kind.status, kind.errno, kind.error) for kind in (*ERROR_KINDS, TOO_MANY_REQUESTS)}
    assert (body["code"], body["errno"], body["error"]) in known
    assert body["message"]


def test_too_many_requests_have_the_number_that_the_protocol_reserves() -> None:
    assert TOO_MANY_REQUESTS.errno in RESERVED_ERRNOS


@pytest.mark.parametrize("name", TYPES)
def test_scripts_may_see_every_answer_and_its_headers(name: str) -> None:
    answer = gateway_answers(Settings())[name]

    headers = headers_of(answer)
    assert headers[ORIGIN] == "'*'"
    assert headers["Vary"] == "'Origin'"
    exposed = headers.get("Access-Control-Expose-Headers", "")
    assert ("Retry-After" in exposed) is (answer["statusCode"] != "405")  # as Kinto's have it


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (("*",), "'*'"),
        (("https://a.example", "*"), "'*'"),
        (("https://a.example:8443",), "'https://a.example:8443'"),
        (("https://*.example",), ECHO),
        (("https://a.example", "https://b.example"), ECHO),
    ],
)
def test_the_origin_is_what_the_settings_allow(origins: tuple[str, ...], expected: str) -> None:
    answers = gateway_answers(Settings(cors_origins=origins))

    assert {headers_of(answer)[ORIGIN] for answer in answers.values()} == {expected}


def test_a_single_origin_is_named_as_the_service_names_it() -> None:
    settings = Settings(cors_origins=("https://a.example",))

    ours = allowed_origin({"origin": "https://a.example"}, settings, is_endpoint=True)
    answer = gateway_answers(settings)["THROTTLED"]
    assert headers_of(answer)[ORIGIN] == f"'{ours[ORIGIN]}'"


def test_no_answer_allows_credentials() -> None:
    for answer in gateway_answers(Settings(cors_origins=("https://*.example",))).values():
        assert "Access-Control-Allow-Credentials" not in headers_of(answer)


@pytest.mark.parametrize(("backoff", "expected"), [(None, None), (30, "'30'")])
def test_every_answer_has_the_backoff_that_is_set(backoff: int | None, expected: str) -> None:
    answers = gateway_answers(Settings(backoff=backoff))

    assert {headers_of(answer).get("Backoff") for answer in answers.values()} == {expected}


def test_an_unknown_method_is_told_those_that_there_are() -> None:
    answer = gateway_answers(Settings())["MISSING_AUTHENTICATION_TOKEN"]

    allowed = headers_of(answer)["Allow"].strip("'").split(", ")
    assert allowed == ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def test_what_cannot_be_unpacked_is_a_header_s_fault() -> None:
    body = body_of(gateway_answers(Settings())["UNSUPPORTED_MEDIA_TYPE"])

    assert body["code"] == UNSUPPORTED_MEDIA_TYPE.status
    [problem] = body["details"]
    assert (problem["location"], problem["name"]) == ("header", "Content-Encoding")
    assert body["message"] == problem["description"]


def test_all_header_values_are_literals_but_the_origin() -> None:
    settings = Settings(cors_origins=("https://*.example",), backoff=5)

    for answer in gateway_answers(settings).values():
        for name, value in headers_of(answer).items():
            assert name == ORIGIN or (value[0], value.count("'"), value[-1]) == ("'", 2, "'")


def test_a_line_of_the_access_log_is_json_without_what_may_be_secret() -> None:
    line = json.loads(LOG_FORMAT)

    assert all(value.startswith("$context.") for value in line.values())
    assert {"requestId", "ip", "method", "path", "status", "latencyMs", "responseBytes"} <= set(
        line
    )
    assert "$context.error.message" not in LOG_FORMAT  # it quotes the Authorization header
    assert "query" not in LOG_FORMAT.lower()
    assert "authorizer" not in LOG_FORMAT
