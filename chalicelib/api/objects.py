"""GET, PUT, PATCH and DELETE of an object, the same for all four kinds.

The order of the checks is the spec's ("Records" 9, "Buckets, collections and groups" 10).
"""

import json
import re
from typing import Any

from chalicelib.api.addresses import Needs
from chalicelib.api.caching import cache_headers
from chalicelib.api.calls import Call, ParsedBody, require_possible, shown
from chalicelib.api.headers import validators
from chalicelib.api.validation import validated
from chalicelib.protocol import bodies
from chalicelib.protocol.bodies import Body
from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.fields import parse_fields, select
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.permissions import Action, with_writer
from chalicelib.protocol.preconditions import Preconditions
from chalicelib.protocol.principals import writer
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.timestamps import MAX_TIMESTAMP, honoured
from chalicelib.protocol.uris import ObjectUri

_INTEGER = re.compile(r'-?[0-9]{1,20}|"-?[0-9]{1,20}"')


def needs_of_object(call: Call, uri: ObjectUri) -> Needs:
    """What each method needs: to change takes no list that it holds, nor to read the clock.

    But for those who hear of what is read: they are told the list's timestamp.
    """
    objects = [*uri.ancestors, uri]
    match call.request.method:
        case "GET" | "HEAD":
            return Needs(objects, [uri.list] if call.plugins.subscribers.hear_reads else ())
        case "PATCH":
            return Needs(objects, [uri.list])
        case _:
            return Needs(objects, [uri.list, *uri.lists])


def get_object(call: Call, uri: ObjectUri) -> Response:
    """The object, or 304."""
    call.require(Action.READ, uri)
    fields = parse_fields(dict(call.request.query).get("_fields", ""), uri.kind)
    stored = call.existing(uri)
    preconditions = Preconditions.from_headers(call.request.headers, reads=True)
    headers = validators(stored.last_modified)
    if preconditions.is_not_modified(stored.last_modified):
        return Response(304, headers=headers)
    preconditions.check_object(stored)
    call.tell_read(uri, [stored])
    body = shown(stored) if fields is None else {"data": select(stored.to_json(), fields)}
    return Response(200, body, headers | cache_headers(call, uri))


def put_object(call: Call, uri: ObjectUri) -> Response:
    """The object, created or replaced."""
    request = call.request
    parsed = ParsedBody.of(request, uri.kind)
    found = call.unit.find(uri)
    old = found if isinstance(found, StoredObject) else None
    call.require(Action.CREATE if old is None else Action.WRITE, uri)
    body = parsed.required()
    data = _replacement(body, uri, old)
    require_possible(uri)
    Preconditions.from_headers(request.headers, reads=False).check_object(found)
    _require_same_id(body, uri)
    data = validated(call, uri.list, data, id=uri.id)
    kept = {} if old is None else old.permissions
    stored = call.unit.put(
        uri,
        data,
        with_writer(body.permissions or kept, writer(call.user_id)),
        origin=call.origin(),
        last_modified=honoured(body.last_modified, found),
    )
    status = 201 if old is None else 200
    return Response(status, shown(stored), validators(stored.last_modified))


def _replacement(body: Body, uri: ObjectUri, old: StoredObject | None) -> JsonObject:
    """The data that a PUT stores; with permissions alone it keeps what is there (decision 2)."""
    if body.data is not None:
        return body.data
    if old is not None and body.permissions:
        return old.data
    if uri.kind.properties is not None:
        raise invalid([bodies.DATA_MISSING])
    return {}


def _require_same_id(body: Body, uri: ObjectUri) -> None:
    if body.has_id and body.id != uri.id:
        raise invalid([bodies.ID_MISMATCH])


def patch_object(call: Call, uri: ObjectUri) -> Response:
    """The object with some of its properties or permissions changed."""
    request = call.request
    parsed = ParsedBody.of(request, uri.kind, merges=True)
    call.require(Action.WRITE, uri)
    body = parsed.required()
    old = call.existing(uri)
    Preconditions.from_headers(request.headers, reads=False).check_object(old)
    if body.is_empty:
        raise invalid([bodies.NOTHING_TO_PATCH])
    data = _merged(body, uri, old)
    _require_same_id(body, uri)
    data = validated(call, uri.list, data, id=uri.id)
    stored = call.unit.put(
        uri,
        data,
        with_writer({**old.permissions, **(body.permissions or {})}, writer(call.user_id)),
        origin=call.origin(),
        last_modified=honoured(body.last_modified, old),
    )
    behavior = request.headers.get("response-behavior", "").strip().lower()
    if behavior in ("light", "diff"):
        changes = _changes(body, old, stored, only_differences=behavior == "diff")
        return Response(200, {"data": changes}, validators(stored.last_modified))
    return Response(200, shown(stored), validators(stored.last_modified))


def _merged(body: Body, uri: ObjectUri, old: StoredObject) -> JsonObject:
    """The data that a PATCH makes of what is there."""
    data = {**old.data, **(body.data or {})}
    if problems := [*bodies.problems_of_properties(data, uri.kind)]:
        raise invalid(problems)
    return bodies.kept_properties(data, uri.kind)


def _changes(
    body: Body, old: StoredObject, new: StoredObject, *, only_differences: bool
) -> JsonObject:
    """What a PATCH changed of what it named, as it was stored.

    Rule: spec, "Records", section 5; "Schema", section 4.
    """
    changes = {
        name: new.data[name]
        for name, value in (body.data or {}).items()
        if name in new.data
        and not _is_same(new.data[name], old.data.get(name))
        and not (only_differences and _is_same(new.data[name], value))
    }
    if body.last_modified not in (None, new.last_modified):
        changes["last_modified"] = new.last_modified
    return changes


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, where `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def delete_object(call: Call, uri: ObjectUri) -> Response:
    """The tombstone of the object."""
    call.require(Action.WRITE, uri)
    given = _deletion_time(dict(call.request.query).get("last_modified"))
    old = call.existing(uri)
    Preconditions.from_headers(call.request.headers, reads=False).check_object(old)
    tombstone = call.unit.delete(uri, origin=call.origin(), last_modified=honoured(given, old))
    return Response(200, {"data": tombstone.to_json()})


def _deletion_time(text: str | None) -> int | None:
    """The timestamp that a DELETE asks for."""
    if text is None:
        return None
    if not _INTEGER.fullmatch(text) or int(text.strip('"')) > MAX_TIMESTAMP:
        raise invalid([Problem("querystring", "last_modified", f"Invalid value for {text}")])
    return int(text.strip('"'))
