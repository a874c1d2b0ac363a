"""GET and POST of a list, the same for all four kinds.

Rule: spec, "Lists"; "Records", section 5 (POST).
"""

import secrets
from typing import Final
from urllib.parse import quote, urlencode

from chalicelib.api.calls import Call, ParsedBody, shown
from chalicelib.api.headers import NO_CACHE, TO_IS_DEPRECATED, validators
from chalicelib.protocol import bodies
from chalicelib.protocol.bodies import Body
from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError, invalid
from chalicelib.protocol.fields import select
from chalicelib.protocol.ids import id_from_random
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.pagination import Token, derive_key, open_token
from chalicelib.protocol.permissions import Action, with_writer
from chalicelib.protocol.preconditions import Preconditions
from chalicelib.protocol.principals import writer
from chalicelib.protocol.queries import ListQuery, parse_list_query
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.timestamps import honoured
from chalicelib.protocol.uris import ListUri, ObjectUri

MAX_NEXT_PAGE_CHARACTERS: Final = 8192
"""The API gateway has 10,240 bytes for all headers of an answer, or of a request with its line."""


def get_list(call: Call, uri: ListUri) -> Response:
    """A page of the list, or 304."""
    call.load_list(uri)
    shared = call.require_part(Action.READ, uri)
    call.unit.begin(uri)
    timestamp = call.unit.timestamp(uri)
    preconditions = Preconditions.from_headers(call.request.headers, reads=True)
    if preconditions.is_not_modified(timestamp):
        return Response(304, headers=validators(timestamp))
    preconditions.check_list(timestamp)
    query = parse_list_query(call.request.query, uri.kind, call.settings.paginate_by)
    pages = _Pages(call, uri, query)
    before = pages.opened()
    after = before.after if before else None
    page = call.unit.read_page(uri, query, after, shared=shared)
    first_timestamp = before.timestamp if before else timestamp  # "first ETag"
    headers = validators(first_timestamp) | NO_CACHE | {"Total-Records": str(page.total)}
    if page.next is not None:
        headers["Next-Page"] = pages.url_of(Token(page.next, first_timestamp))
    headers |= TO_IS_DEPRECATED if query.uses_to else {}
    return Response(200, {"data": [_entry(entry, query) for entry in page.entries]}, headers)


def _entry(entry: StoredObject | Tombstone, query: ListQuery) -> JsonObject:
    """An entry as it is shown; a tombstone stays whole."""
    if query.fields is None or isinstance(entry, Tombstone):
        return entry.to_json()
    return select(entry.to_json(), query.fields)


class _Pages:
    """The tokens of a walk over a list, good for this list and query alone."""

    def __init__(self, call: Call, uri: ListUri, query: ListQuery) -> None:
        self._call = call
        self._query = query
        self._key = derive_key(call.settings.userid_hmac_secret)
        self._bound_to = [str(uri), query.to_parameters()]

    def opened(self) -> Token | None:
        """What the page before handed on; None on a first page."""
        if self._query.token is None:
            return None
        return open_token(self._query.token, self._key, self._bound_to)

    def url_of(self, token: Token) -> str:
        """The address of the page that begins there: this one's, with its limit and the token.

        Raises:
            ProtocolError: REQUEST_TOO_LARGE where it doesn't fit into a header.
        """
        request = self._call.request
        parameters = [
            (name, value) for name, value in request.query if name not in ("_limit", "_token")
        ]
        if self._query.limit is not None:
            parameters.append(("_limit", str(self._query.limit)))
        parameters.append(("_token", token.seal(self._key, self._bound_to)))
        url = f"{request.base_url}{quote(request.path)}?{urlencode(parameters, safe=',')}"
        if len(url) > MAX_NEXT_PAGE_CHARACTERS:
            message = "The query is too long for the address of a next page."
            raise ProtocolError(REQUEST_TOO_LARGE, message=message)
        return url


def post_list(call: Call, uri: ListUri) -> Response:
    """A new object; or the one that has the id already, unchanged."""
    request = call.request
    parsed = ParsedBody.of(request, uri.kind)
    target = _load_target(call, uri, parsed.body)
    call.require(Action.CREATE, uri)
    body = parsed.required()
    if body.data is None and uri.kind.properties is not None:
        raise invalid([bodies.DATA_MISSING])
    if body.has_id and not uri.kind.is_id(body.id):
        raise invalid([bodies.INVALID_ID])
    preconditions = Preconditions.from_headers(request.headers, reads=False)
    found = call.unit.find(target)
    if isinstance(found, StoredObject):
        if not call.may(Action.READ, target):
            raise call.forbidden()
        preconditions.check_object(found)
        return Response(200, {"data": found.to_json()})
    preconditions.check_list(call.unit.timestamp(uri))
    if preconditions.unmodified_since is not None:
        call.unit.hold(uri)
    stored = call.unit.put(
        target,
        body.data or {},
        with_writer(body.permissions or {}, writer(call.user_id)),
        origin=call.origin(by_list=True),
        last_modified=honoured(body.last_modified, None),
    )
    return Response(201, shown(stored))


def _load_target(call: Call, uri: ListUri, body: Body | None) -> ObjectUri:
    """Load what a POST needs, and give the address it is about: of its id, or of an unused one."""
    is_given = body is not None and uri.kind.is_id(body.id)
    while True:
        id = body.id if body and is_given else id_from_random(uri.kind, secrets.token_bytes(16))
        target = uri.object(id)
        call.unit.load([*uri.ancestors, target], [uri, *target.lists])
        if is_given or call.unit.find(target) is None:
            return target
