"""The one table of routes, for the gateway's registration and for the router."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from chalicelib.api import batch, list_deletion, lists, objects, server
from chalicelib.api.addresses import Endpoint, Needs, Route
from chalicelib.api.calls import Answer, Call
from chalicelib.api.serves import Serves
from chalicelib.protocol import batches
from chalicelib.protocol.kinds import KINDS, Kind
from chalicelib.protocol.messages import VERSION_PREFIX, Response
from chalicelib.protocol.uris import ListUri, ObjectUri

LBHEARTBEAT: Final = f"{VERSION_PREFIX}/__lbheartbeat__"
"""What a load balancer asks, to the last: by the end of the service it would take it for dead."""


def _server_route(pattern: str, methods: Mapping[str, Callable[[Call], Answer]]) -> Route:
    def of(endpoint: Callable[[Call], Answer]) -> Endpoint:
        return lambda call, _ids: endpoint(call)

    by_method = {method: of(endpoint) for method, endpoint in methods.items()}
    return Route(pattern, Serves.SERVER, by_method)


def _reading(endpoint: Callable[[Call], Response]) -> dict[str, Callable[[Call], Answer]]:
    return {"GET": endpoint, "HEAD": endpoint}


def _list_route(kind: Kind, methods: Mapping[str, Callable[[Call, ListUri], Answer]]) -> Route:
    def of(endpoint: Callable[[Call, ListUri], Answer]) -> Endpoint:
        return lambda call, ids: endpoint(call, ListUri(kind, ids))

    def needs(call: Call, ids: tuple[str, ...]) -> Needs:
        return lists.needs_of_list(call, ListUri(kind, ids))

    by_method = {method: of(endpoint) for method, endpoint in methods.items()}
    return Route(_list_pattern(kind), Serves.LIST, by_method, kind, needs=needs)


def _object_route(
    kind: Kind, methods: Mapping[str, Callable[[Call, ObjectUri], Response]]
) -> Route:
    def of(endpoint: Callable[[Call, ObjectUri], Response]) -> Endpoint:
        return lambda call, ids: endpoint(call, ObjectUri(kind, ids))

    def needs(call: Call, ids: tuple[str, ...]) -> Needs:
        return objects.needs_of_object(call, ObjectUri(kind, ids))

    by_method = {method: of(endpoint) for method, endpoint in methods.items()}
    return Route(_object_pattern(kind), Serves.OBJECT, by_method, kind, needs=needs)


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

ROUTES: Final = (
    _server_route(f"{VERSION_PREFIX}/", _reading(server.hello)),
    _server_route(f"{VERSION_PREFIX}/__heartbeat__", _reading(server.heartbeat)),
    replace(_server_route(LBHEARTBEAT, _reading(server.lbheartbeat)), asks_who=False),
    _server_route(batches.PATH, {"POST": batch.post_batch}),
    *(_list_route(kind, _LIST) for kind in KINDS),
    *(_object_route(kind, _OBJECT) for kind in KINDS),
)
"""Every address of the service; plugins may add others."""
