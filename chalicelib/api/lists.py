"""GET and POST of a list, the same for all four kinds.

Rule: spec, "Lists"; "Records", section 5 (POST).
"""

from typing import Final
from urllib.parse import quote, urlencode

from chalicelib.api.addresses import Needs
from chalicelib.api.caching import cache_headers
from chalicelib.api.calls import Call, ParsedBody, shown
from chalicelib.api.headers import TO_IS_DEPRECATED, validators
from chalicelib.api.validation import validated
from chalicelib.protocol import bodies
from chalicelib.protocol.bodies import Body
from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError, invalid
from chalicelib.protocol.fields import select
from chalicelib.protocol.messages import JsonText, Response, encoded
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
    call.tell_read(uri, page.entries)
    first_timestamp = before.timestamp if before else timestamp  # "first ETag"
    headers = validators(first_timestamp) | cache_headers(call, uri)
    headers["Total-Records"] = str(page.total)
    if page.next is not None:
        headers["Next-Page"] = pages.url_of(Token(page.next, first_timestamp))
    headers |= TO_IS_DEPRECATED if query.uses_to else {}
    entries = ",".join(_entry(entry, query) for entry in page.entries)
    facts = {"nb_records": len(page.entries), "limit": query.limit}
    return Response(200, JsonText(f'{{"data":[{entries}]}}'), headers, facts=facts)


def _entry(entry: StoredObject | Tombstone, query: ListQuery) -> str:
    """An entry as it is shown; a tombstone stays whole."""
    if query.fields is None or isinstance(entry, Tombstone):
        return entry.to_text()
    return encoded(select(entry.to_json(), query.fields))


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
    target = _target(call, uri, parsed.body)
    call.require(Action.CREATE, uri)
    body = parsed.required()
    if body.data is None and uri.kind.properties is not None:
        raise invalid([bodies.DATA_MISSING])
    if body.has_id and not (uri.kind.is_id(body.id) and call.is_free(target)):
        raise invalid([bodies.INVALID_ID])
    preconditions = Preconditions.from_headers(request.headers, reads=False)
    found = call.unit.find(target)
    if isinstance(found, StoredObject):
        if not call.may(Action.READ, target):
            raise call.forbidden()
        preconditions.check_object(found)
    else:
        preconditions.check_list(call.unit.timestamp(uri))
    data = validated(call, uri, body.data or {}, id=body.id)
    if isinstance(found, StoredObject):
        call.tell_read(uri, [found])
        return Response(200, {"data": found.to_json()})
    if preconditions.unmodified_since is not None:
        call.unit.hold(uri)
    stored = call.unit.put(
        target,
        data,
        with_writer(body.permissions or {}, writer(call.user_id)),
        origin=call.origin(by_list=True),
        last_modified=honoured(body.last_modified, None),
    )
    return Response(201, shown(stored))


def _target(call: Call, uri: ListUri, body: Body | None) -> ObjectUri:
    """The address that a POST is about: of the id that it gives, or of one just made up."""
    if body is not None and uri.kind.is_id(body.id):
        target = uri.object(body.id)
        call.unit.load([target], target.lists)
        return target
    target = uri.object(call.new_id(uri.kind))
    call.unit.assume_missing(target)
    return target


def needs_of_list(call: Call, uri: ListUri) -> Needs:
    """What decides on a list, and what else a POST needs."""
    target = _named_in(call.request.body, uri) if call.request.method == "POST" else None
    if target is None:
        return Needs(uri.ancestors, [uri])
    return Needs([*uri.ancestors, target], [uri, *target.lists])


def _named_in(body: bytes, uri: ListUri) -> ObjectUri | None:
    """The address that a body names; None where it names none, or can't be read."""
    if b'"id"' not in body:
        return None
    sent = bodies.load_object(body)
    data = sent.get("data") if isinstance(sent, dict) else None
    id = data.get("id") if isinstance(data, dict) else None
    return uri.object(id) if isinstance(id, str) and uri.kind.is_id(id) else None
