"""Method and path to an endpoint, or 404, 405, or a redirect.

Rule: spec, "The service around the resources", sections 1 and 4.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote, urlencode

from chalicelib.api.addresses import ANY_METHOD, Endpoint, Match, Route
from chalicelib.api.serves import Serves
from chalicelib.protocol.errors import (
    METHOD_NOT_ALLOWED,
    MISSING_RESOURCE,
    VERSION_NOT_AVAILABLE,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.messages import VERSION_PREFIX, Request, Response, is_utf8
from chalicelib.protocol.negotiation import require_json_accepted, require_json_content
from chalicelib.settings import Settings

_OTHER_VERSION = re.compile(r"/v[0-9]")
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Router:
    """Finds what answers a request."""

    def __init__(self, settings: Settings, routes: Iterable[Route]) -> None:
        """Prepare the table of routes, without what settings switch off.

        Args:
            settings: of the service.
            routes: the first that matches counts.
        """
        self._settings = settings
        self._routes = [(route.expression, _enabled(route, settings)) for route in routes]

    def find(self, request: Request) -> Match | Response:
        """Where the request's path leads, or the redirect to there.

        Raises:
            ProtocolError: MISSING_RESOURCE, VERSION_NOT_AVAILABLE; INVALID_PARAMETERS where the
                path is not UTF-8.
        """
        path = request.path
        if not is_utf8(path):
            raise invalid([Problem("path", None, "Invalid path: it is not UTF-8")])
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


def _enabled(route: Route, settings: Settings) -> Route:
    """The route without the methods that are switched off. Rule: section 9."""
    kind = route.kind
    if kind is None:
        return route
    endpoint = "collection" if route.serves is Serves.LIST else "record"

    def is_on(method: str) -> bool:
        name = "get" if method == "HEAD" else method.lower()
        is_refused = settings.readonly and method in _WRITES
        return not is_refused and f"{endpoint}_{kind.name}_{name}" not in settings.switched_off

    kept = {method: answer for method, answer in route.endpoints.items() if is_on(method)}
    return replace(route, endpoints=kept)


def endpoint_of(match: Match, request: Request) -> Endpoint:
    """What answers the request's method there, once its headers are such that it can.

    Raises:
        ProtocolError: METHOD_NOT_ALLOWED, NOT_ACCEPTABLE or UNSUPPORTED_MEDIA_TYPE.
    """
    endpoints = match.route.endpoints
    endpoint = endpoints.get(request.method) or endpoints.get(ANY_METHOD)
    if endpoint is None:
        raise ProtocolError(METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(match.route.methods)})
    if match.route.serves is not Serves.SERVER:
        require_json_accepted(request.headers)
        if request.method in ("POST", "PUT", "PATCH"):
            require_json_content(request.headers)
    return endpoint


def _redirect(request: Request, path: str) -> Response:
    query = f"?{urlencode(request.query, errors='surrogateescape')}" if request.query else ""
    return Response(307, headers={"Location": f"{request.base_url}{quote(path)}{query}"})
