"""The one table of routes, for the gateway's registration and for the router."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from chalicelib.api import list_deletion, lists, objects, server
from chalicelib.api.calls import Answer, Call
from chalicelib.api.serves import Serves
from chalicelib.protocol.kinds import KINDS, Kind
from chalicelib.protocol.messages import Response
from chalicelib.protocol.uris import ListUri, ObjectUri

VERSION_PREFIX = "/v1"

Endpoint: TypeAlias = Callable[[Call, tuple[str, ...]], Answer]
"""Answers a call, given the ids in its path."""


@dataclass(frozen=True, slots=True)
class Route:
    """An address, and what answers there.

    Attributes:
        pattern: the path, with `{name}` for a segment that is an id.
        serves: what is there.
        endpoints: by method.
    """

    pattern: str
    serves: Serves
    endpoints: Mapping[str, Endpoint]

    @property
    def expression(self) -> re.Pattern[str]:
        """Matches the paths of this route; its groups are the ids."""
        return re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.pattern))


def _server_route(path: str, endpoint: Callable[[Call], Response]) -> Route:
    def answer(call: Call, _ids: tuple[str, ...]) -> Response:
        return endpoint(call)

    return Route(VERSION_PREFIX + path, Serves.SERVER, {"GET": answer, "HEAD": answer})


def _list_route(kind: Kind, endpoints: Mapping[str, Callable[[Call, ListUri], Answer]]) -> Route:
    def of(endpoint: Callable[[Call, ListUri], Answer]) -> Endpoint:
        return lambda call, ids: endpoint(call, ListUri(kind, ids))

    by_method = {method: of(endpoint) for method, endpoint in endpoints.items()}
    return Route(_list_pattern(kind), Serves.LIST, by_method)


def _object_route(
    kind: Kind, endpoints: Mapping[str, Callable[[Call, ObjectUri], Response]]
) -> Route:
    def of(endpoint: Callable[[Call, ObjectUri], Response]) -> Endpoint:
        return lambda call, ids: endpoint(call, ObjectUri(kind, ids))

    by_method = {method: of(endpoint) for method, endpoint in endpoints.items()}
    return Route(_object_pattern(kind), Serves.OBJECT, by_method)


def _list_pattern(kind: Kind) -> str:
    above = VERSION_PREFIX if kind.parent is None else _object_pattern(kind.parent)
    return f"{above}/{kind.plural}"


def _object_pattern(kind: Kind) -> str:
    return f"{_list_pattern(kind)}/{{{kind.name}_id}}"


_OBJECT = {
    "GET": objects.get_object,
    "HEAD": objects.get_object,
    "PUT": objects.put_object,
    "PATCH": objects.patch_object,
    "DELETE": objects.delete_object,
}
_LIST = {
    "GET": lists.get_list,
    "HEAD": lists.get_list,
    "POST": lists.post_list,
    "DELETE": list_deletion.delete_list,
}

ROUTES = (
    _server_route("/", server.hello),
    _server_route("/__heartbeat__", server.heartbeat),
    _server_route("/__lbheartbeat__", server.lbheartbeat),
    *(_list_route(kind, _LIST) for kind in KINDS),
    *(_object_route(kind, _OBJECT) for kind in KINDS),
)
"""Every address of the service."""
