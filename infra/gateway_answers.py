"""What API Gateway answers by itself, in Kinto's form. Pure: from the protocol's own errors.

All paths and all of Kinto's methods have an integration, and none an authorizer, a key or a
validator. So the gateway answers by itself what is no method of its own, what is too much, too
large or can't be unpacked, and where the function didn't answer. All types are there nonetheless:
one that were not would have AWS's own form.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from chalicelib.api.headers import exposed, retry_after
from chalicelib.api.refusals import refusal
from chalicelib.api.routes import ROUTES
from chalicelib.api.serves import Serves
from chalicelib.protocol.errors import (
    BACKEND,
    FORBIDDEN,
    INVALID_PARAMETERS,
    METHOD_NOT_ALLOWED,
    MISSING_AUTH_TOKEN,
    MISSING_RESOURCE,
    REQUEST_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    ErrorKind,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.messages import encoded
from chalicelib.settings import Settings

GatewayAnswer: TypeAlias = dict[str, Any]
"""`statusCode`, `responseParameters` and `responseTemplates`, as API Gateway has them: what
`put_gateway_response` takes, and `x-amazon-apigateway-gateway-responses` in a definition."""

# The protocol's number for it; the service itself never answers so, thus no row of its table.
TOO_MANY_REQUESTS: Final = ErrorKind(
    429, 117, "Too Many Requests", "There are too many requests, please retry later."
)

LOG_FORMAT: Final = encoded(
    {
        "requestId": "$context.requestId",
        "functionRequestId": "$context.integration.requestId",
        "time": "$context.requestTime",
        "ip": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "path": "$context.path",
        "status": "$context.status",
        "latencyMs": "$context.responseLatency",
        "functionLatencyMs": "$context.integrationLatency",
        "functionStatus": "$context.integrationStatus",
        "functionError": "$context.integrationErrorMessage",
        "answeredBy": "$context.error.responseType",
        "responseBytes": "$context.responseLength",
    }
)
"""A line of the access log. `functionRequestId` is the id in the function's own log.

No query string, as it may name a token, and not `$context.error.message`: it quotes the
Authorization header that the gateway couldn't read.
"""

_METHODS = sorted({method for route in ROUTES for method in route.methods if method.isalpha()})


def gateway_answers(settings: Settings) -> dict[str, GatewayAnswer]:
    """The answer of each of API Gateway's response types.

    Args:
        settings: of the stage.
    """
    return {name: _answer(error, settings) for name, error in _errors(settings).items()}


def _errors(settings: Settings) -> Mapping[str, ProtocolError]:
    """What each response type means for a client of Kinto."""
    # Credentials for AWS are looked for only where there is no method. What isn't such, as the
    # Authorization of any client of Kinto, is none of the types that have a name.
    no_method = ProtocolError(METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(_METHODS)})
    # The function was asked, and may have done it: no Retry-After, as clients repeat what has one.
    outcome_unknown = ProtocolError(BACKEND)
    forbidden = ProtocolError(FORBIDDEN)
    return {
        "ACCESS_DENIED": forbidden,
        "API_CONFIGURATION_ERROR": outcome_unknown,
        "AUTHORIZER_CONFIGURATION_ERROR": outcome_unknown,
        "AUTHORIZER_FAILURE": outcome_unknown,
        "BAD_REQUEST_BODY": _invalid(INVALID_PARAMETERS, "body", None, "It can't be read"),
        "BAD_REQUEST_PARAMETERS": _invalid(
            INVALID_PARAMETERS, "querystring", None, "It can't be read"
        ),
        "DEFAULT_4XX": no_method,
        "DEFAULT_5XX": outcome_unknown,
        "EXPIRED_TOKEN": no_method,
        "INTEGRATION_FAILURE": outcome_unknown,
        "INTEGRATION_TIMEOUT": outcome_unknown,
        "INVALID_API_KEY": forbidden,
        "INVALID_SIGNATURE": no_method,
        "MISSING_AUTHENTICATION_TOKEN": no_method,
        "QUOTA_EXCEEDED": ProtocolError(TOO_MANY_REQUESTS),
        "REQUEST_TOO_LARGE": ProtocolError(REQUEST_TOO_LARGE),
        "RESOURCE_NOT_FOUND": ProtocolError(MISSING_RESOURCE),
        "THROTTLED": ProtocolError(TOO_MANY_REQUESTS, headers=retry_after(settings)),
        "UNAUTHORIZED": ProtocolError(MISSING_AUTH_TOKEN),
        "UNSUPPORTED_MEDIA_TYPE": _invalid(
            UNSUPPORTED_MEDIA_TYPE,
            "header",
            "Content-Encoding",
            "Content-Encoding header should be one of ['gzip', 'deflate', 'identity'],"
            " and say how the body is encoded",
        ),
        "WAF_FILTERED": forbidden,
    }


def _invalid(kind: ErrorKind, location: str, name: str | None, description: str) -> ProtocolError:
    return invalid([Problem(location, name, description)], kind)


def _answer(error: ProtocolError, settings: Settings) -> GatewayAnswer:
    response = refusal(error)
    headers = {**dict(_literal(response.headers)), **_of_all(response.status, settings)}
    return {
        "statusCode": str(response.status),
        "responseParameters": {
            f"gatewayresponse.header.{name}": value for name, value in headers.items()
        },
        "responseTemplates": {"application/json": encoded(response.body)},
    }


def _of_all(status: int, settings: Settings) -> dict[str, str]:
    """The headers that all answers have, where the gateway can tell them."""
    headers = {"Vary": "Origin"}
    if status != METHOD_NOT_ALLOWED.status:
        headers |= exposed(Serves.SERVER, reads=False)
    if settings.backoff is not None:
        headers["Backoff"] = str(settings.backoff)
    return {**dict(_literal(headers)), "Access-Control-Allow-Origin": _allowed_origin(settings)}


def _allowed_origin(settings: Settings) -> str:
    """Whose scripts may see the answer.

    The gateway compares nothing: what it can say is one text, or the origin that was sent. So of
    several origins any is named, allowed or not. That shows nothing: these answers are the same
    for everybody, and no credentials are allowed with them.
    """
    origins = settings.cors_origins
    if "*" in origins:
        return "'*'"
    if len(origins) == 1 and "*" not in origins[0]:
        return f"'{origins[0]}'"
    return "method.request.header.Origin"


def _literal(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, f"'{value}'") for name, value in headers.items())
