"""Method and path to an endpoint, or 404, 405, or a redirect.

Rule: spec, "The service around the resources", sections 1 and 4.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, urlencode

from chalicelib.api.routes import ROUTES, VERSION_PREFIX, Endpoint, Route
from chalicelib.api.serves import Serves
from chalicelib.protocol.errors import (
    METHOD_NOT_ALLOWED,
    MISSING_RESOURCE,
    VERSION_NOT_AVAILABLE,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.messages import Request, Response
from chalicelib.protocol.negotiation import require_json_accepted, require_json_content
from chalicelib.settings import Settings

_OTHER_VERSION = re.compile(r"/v[0-9]")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


class Match(NamedTuple):
    """Where a request leads.

    Attributes:
        route: the address.
        ids: those in the path.
    """

    route: Route
    ids: tuple[str, ...]


class Router:
    """Finds what answers a request."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the table of routes."""
        self._settings = settings
        self._routes = [(route.expression, route) for route in ROUTES]

    def find(self, request: Request) -> Match | Response:
        """Where the request's path leads, or the redirect to there.

        Raises:
            ProtocolError: MISSING_RESOURCE, VERSION_NOT_AVAILABLE; INVALID_PARAMETERS where the
                path or the query string is not UTF-8.
        """
        path = request.path
        if _NOT_UTF8.search(path):
            raise invalid([Problem("path", None, "Invalid path: it is not UTF-8")])
        if any(_NOT_UTF8.search(name + value) for name, value in request.query):
            raise invalid([Problem("querystring", None, "Invalid query string: it is not UTF-8")])
        for expression, route in self._routes:
            if found := expression.fullmatch(path):
                return Match(route, found.groups())
        return self._elsewhere(request)

    def _elsewhere(self, request: Request) -> Response:
        path = request.path
        if path == VERSION_PREFIX:
            return _redirect(request, f"{VERSION_PREFIX}/")
        if not path.startswith(f"{VERSION_PREFIX}/"):
            is_versioned = _OTHER_VERSION.match(path) is not None
            if is_versioned or not self._settings.version_prefix_redirect_enabled:
                raise ProtocolError(VERSION_NOT_AVAILABLE)
            return _redirect(request, VERSION_PREFIX + path)
        if path.endswith("/") and self._settings.trailing_slash_redirect_enabled:
            return _redirect(request, path.rstrip("/"))
        raise ProtocolError(MISSING_RESOURCE)


def endpoint_of(match: Match, request: Request) -> Endpoint:
    """What answers the request's method there, once its headers are such that it can.

    Raises:
        ProtocolError: METHOD_NOT_ALLOWED, NOT_ACCEPTABLE or UNSUPPORTED_MEDIA_TYPE.
    """
    endpoint = match.route.endpoints.get(request.method)
    if endpoint is None:
        allowed = ", ".join(match.route.endpoints)
        raise ProtocolError(METHOD_NOT_ALLOWED, headers={"Allow": allowed})
    if match.route.serves is not Serves.SERVER:
        require_json_accepted(request.headers)
        if request.method in ("POST", "PUT", "PATCH"):
            require_json_content(request.headers)
    return endpoint


def _redirect(request: Request, path: str) -> Response:
    query = f"?{urlencode(request.query)}" if request.query else ""
    return Response(307, headers={"Location": f"{request.base_url}{quote(path)}{query}"})
