"""Chalice's local gateway, where it differs from API Gateway: paths, methods and threads."""

import threading
from typing import Any
from urllib.parse import parse_qs

from chalice.app import Chalice, RouteEntry
from chalice.config import Config
from chalice.local import (
    LambdaEventConverter,
    LocalChalice,
    LocalGateway,
    MatchResult,
    RouteMatcher,
)

CATCH_ALL = "/{proxy+}"


def local_gateway(app: Chalice, config: Config) -> LocalGateway:
    """The gateway to this app, which any number of threads may use at once.

    Any path reaches the app, through its route `/{proxy+}` at last, and any method: it answers
    404 and 405 itself. `requestContext.path` is the path as it was sent.
    """
    app.__class__ = type("LocalApp", (_ThreadsApart, type(app)), {})
    for path, views in app.routes.items():
        app.routes[path] = _AnyMethod(views)
    gateway = LocalGateway(app, config)
    gateway.event_converter = LambdaEventConverter(PathMatcher(list(app.routes)))
    return gateway


class PathMatcher(RouteMatcher):
    """Routes as API Gateway matches them: `/{proxy+}` takes whatever no other route does."""

    def match_route(self, url: str) -> MatchResult:
        """The route of a path with its query string, the path's values not decoded."""
        path, _, query = url.partition("?")
        parameters = parse_qs(query, keep_blank_values=True, errors="surrogateescape")
        for route in self.route_urls:
            captured = _captured(route, path)
            if captured is not None:
                return MatchResult(route, captured, parameters)
        return MatchResult(CATCH_ALL, {"proxy": path.removeprefix("/")}, parameters)


def _captured(route: str, path: str) -> dict[str, str] | None:
    """What a path has for the route's names; None where it isn't on that route."""
    names = route.split("/")
    values = path.split("/") if path == "/" else path.removesuffix("/").split("/")
    if route == CATCH_ALL or len(names) != len(values):
        return None
    captured = {}
    for name, value in zip(names, values, strict=True):
        if name.startswith("{") and value:
            captured[name[1:-1]] = value
        elif name != value:
            return None
    return captured


class _AnyMethod(dict[str, RouteEntry]):
    """The views of a path: those of a method that it doesn't know are those of another."""

    def __contains__(self, method: object) -> bool:
        return True

    def __missing__(self, method: str) -> RouteEntry:
        return next(iter(self.values()))


class _ThreadsApart(LocalChalice):
    """Gives each thread its own Lambda context: LocalChalice does so for requests alone."""

    _thread = threading.local()

    @property
    def lambda_context(self) -> Any:
        return self._thread.lambda_context

    @lambda_context.setter
    def lambda_context(self, context: Any) -> None:
        self._thread.lambda_context = context
