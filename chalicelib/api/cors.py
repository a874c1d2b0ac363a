"""Which scripts of other origins may use what is answered.

Rule: spec, "The service around the resources", section 6.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from chalicelib.api.headers import exposed_names
from chalicelib.api.serves import Serves
from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings

PREFLIGHT = "OPTIONS"

_ANY = "*"
_REQUESTED_METHOD = "Access-Control-Request-Method"


def allowed_origin(
    headers: Mapping[str, str], settings: Settings, *, is_endpoint: bool
) -> dict[str, str]:
    """Whose scripts may see an answer.

    Args:
        headers: of the request.
        settings: of the service.
        is_endpoint: whether an endpoint is at the address; elsewhere an origin is always named.
    """
    # No shared cache may give what was answered to one origin, or to none, to another.
    answer = {"Vary": "Origin"}
    origin = _origin(headers)
    if origin and _is_allowed(origin, settings):
        names_all = is_endpoint and _ANY in settings.cors_origins
        answer["Access-Control-Allow-Origin"] = _ANY if names_all else origin
    return answer


def require_allowed_origin(headers: Mapping[str, str], settings: Settings) -> None:
    """Go on only for scripts of these origins, and for what is no script.

    Raises:
        ProtocolError: INVALID_PARAMETERS.
    """
    origin = _origin(headers)
    if origin and not _is_allowed(origin, settings):
        raise invalid([_not_allowed(origin)])


def preflight(
    request: Request, settings: Settings, methods: Sequence[str], serves: Serves
) -> Response:
    """What a browser may send to an address in the name of a script.

    Args:
        request: the preflight.
        settings: of the service.
        methods: that the address has.
        serves: what is there.

    Raises:
        ProtocolError: INVALID_PARAMETERS with all that the browser may not, or did not say.
    """
    if problems := [*_problems(request.headers, settings, methods)]:
        raise invalid(problems)
    headers = {
        "Access-Control-Allow-Methods": ",".join(methods),
        "Access-Control-Allow-Headers": ",".join(_allowed_headers(request.headers, serves)),
    }
    if settings.cors_max_age_seconds is not None:
        headers["Access-Control-Max-Age"] = str(settings.cors_max_age_seconds)
    return Response(200, headers=headers, says_null=True)


def _problems(
    headers: Mapping[str, str], settings: Settings, methods: Sequence[str]
) -> Iterator[Problem]:
    origin = _origin(headers)
    if origin is None:
        yield _mandatory("Origin")
    elif not _is_allowed(origin, settings):
        yield _not_allowed(origin)
    method = headers.get(_REQUESTED_METHOD.lower())
    if not method:
        yield _mandatory(_REQUESTED_METHOD)
    elif method not in methods:
        yield Problem("header", _REQUESTED_METHOD, "Method not allowed")


def _mandatory(header: str) -> Problem:
    return Problem("header", header, "this header is mandatory")


def _not_allowed(origin: str) -> Problem:
    return Problem("header", "Origin", f"{origin} not allowed")


def _allowed_headers(headers: Mapping[str, str], serves: Serves) -> Iterator[str]:
    """What the browser asks for, whatever it is, and what it sees of a GET."""
    asked = headers.get("access-control-request-headers", "")
    names = [name.strip() for name in asked.split(",") if name.strip()]
    taken = {name.lower() for name in names}
    yield from names
    yield from (name for name in exposed_names(serves, reads=True) if name.lower() not in taken)


def _origin(headers: Mapping[str, str]) -> str | None:
    return headers.get("origin") or None


def _is_allowed(origin: str, settings: Settings) -> bool:
    return any(_fits(pattern, origin) for pattern in settings.cors_origins)


def _fits(pattern: str, origin: str) -> bool:
    expression = ".*".join(map(re.escape, pattern.split(_ANY)))
    return re.fullmatch(expression, origin, re.DOTALL) is not None
