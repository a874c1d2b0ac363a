"""`{"data": ..., "permissions": ...}` in: JSON to checked values, or every problem at once.

Rule: spec, "Records", section 7; "Buckets, collections and groups", sections 3 and 5;
"Users and permissions", section 4; "Schema", sections 2 and 7.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.kinds import COLLECTION, GROUP, Kind
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.timestamps import MAX_TIMESTAMP

MAX_DEPTH = 520
"""Levels of nesting in a body: 500 for clients, within what Python's JSON parser can do."""

MAX_CACHE_EXPIRES = 2_147_483_647
"""Seconds: 68 years, and what a client's 32 bits hold."""

NOT_A_MAPPING = "is not a mapping type: Does not implement dict-like functionality."
NOTHING_TO_PATCH = Problem("body", "data", "Provide at least one of data or permissions")
DATA_MISSING = Problem("body", "data", "data is missing")
ID_MISMATCH = Problem("body", "id", "Record id does not match existing record")
INVALID_ID = Problem("path", None, "Invalid record id")

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Body:
    """What a write asks for.

    Attributes:
        data: the properties without `id` and `last_modified`; None where there was no `data`.
        permissions: as given, each a set in order; empty where there were none.
        id: `data.id` of whatever type, or None where there was none and where it was null.
        has_id: whether `data` names an id, null included.
        last_modified: the timestamp that the client asks for, in ms.
        is_empty: whether the body had zero bytes.
    """

    data: JsonObject | None = None
    permissions: Mapping[str, tuple[str, ...]] | None = None
    id: Any = None
    has_id: bool = False
    last_modified: int | None = None
    is_empty: bool = False


def parse_json(raw: bytes) -> JsonObject:
    """The JSON object in these bytes; an empty one where there are none.

    Raises:
        ProtocolError: INVALID_PARAMETERS where they are no JSON, or no object; where a number is
            not finite as a double, a string holds half a surrogate pair, or it is nested deeper
            than MAX_DEPTH.
    """
    loaded = load_object(raw)
    if isinstance(loaded, Problem):
        raise invalid([loaded])
    return loaded


def load_object(raw: bytes) -> JsonObject | Problem:
    """The JSON object in these bytes, or why there is none, as `parse_json` says it."""
    if not raw:
        return {}
    try:
        value = _load(raw)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        return Problem("body", None, f"Invalid JSON request body: {error}")
    if not isinstance(value, dict):
        description = f"Invalid JSON: Should be a JSON object, got {json.dumps(value)}"
        return Problem("body", None, description)
    return value


def _load(raw: bytes) -> Any:
    text = raw.decode("utf-8")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    value = json.loads(
        text, parse_int=_finite_int, parse_float=_finite_float, parse_constant=_no_constant
    )
    if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("a string holds half a surrogate pair")
    return value


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_OPENED = {"[": 1, "{": 1, "]": -1, "}": -1}


def _depth(text: str) -> int:
    """The greatest number of brackets that are open at once, outside of strings."""
    brackets = _BRACKET.findall(_STRING.sub("", text))
    return max(accumulate(map(_OPENED.__getitem__, brackets)), default=0)


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} overflows")
    return value


def _finite_int(text: str) -> int:
    if len(text) > 300:  # 1e300 is well below the greatest double, so shorter ones need no look
        _finite_float(text)
    return int(text)


def _no_constant(text: str) -> None:
    raise ValueError(f"Expecting value, not {text}")


def as_text(value: Any) -> str:
    """A value as descriptions show it: a string as it is, all others as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def parse_body(
    raw: bytes, kind: Kind, *, query: Sequence[tuple[str, str]] = (), merges: bool = False
) -> Body:
    """The checked body of a POST, PUT or PATCH.

    Args:
        raw: the bytes.
        kind: of the object written.
        query: the request's parameters, of which writes allow none.
        merges: for a PATCH. The properties are checked when those that stay were found.

    Raises:
        ProtocolError: INVALID_PARAMETERS with every problem: of `data`, of `permissions`, then of
            other keys and parameters.
    """
    sent = parse_json(raw)
    problems = [
        *_problems_of_data(sent, kind, merges),
        *_problems_of_permissions(sent.get("permissions"), kind),
        *(
            Problem("body", name, f"{name} is not allowed")
            for name in sorted(sent.keys() - {"data", "permissions"})
        ),
        *(Problem("querystring", name, f"{name} is not allowed") for name, _value in query),
    ]
    if problems:
        raise invalid(problems)
    return _body_of(sent, kind, is_empty=not raw, merges=merges)


def _body_of(sent: JsonObject, kind: Kind, *, is_empty: bool, merges: bool) -> Body:
    data = sent.get("data")
    permissions = {
        name: tuple(dict.fromkeys(principals))
        for name, principals in (sent.get("permissions") or {}).items()
    }
    if data is None:
        return Body(permissions=permissions, is_empty=is_empty)
    own = {
        name: value
        for name, value in data.items()
        if name not in ("id", "last_modified")
        and (kind.properties is None or name in kind.properties)
    }
    return Body(
        data=own if merges else kept_properties(own, kind),
        permissions=permissions,
        id=data.get("id"),
        has_id="id" in data,
        last_modified=data.get("last_modified") if kind.properties is None else None,
    )


def _problems_of_data(sent: JsonObject, kind: Kind, merges: bool) -> Iterator[Problem]:
    data = sent.get("data")
    if data is None:
        if kind.properties is not None and not merges and not sent.get("permissions"):
            yield DATA_MISSING
    elif not isinstance(data, dict):
        yield Problem("body", "data", f'"{as_text(data)}" {NOT_A_MAPPING}')
    else:
        if kind.properties is None:
            yield from _problems_of_timestamp(data.get("last_modified"))
        if not merges:
            yield from problems_of_properties(data, kind)


def _problems_of_timestamp(value: Any) -> Iterator[Problem]:
    name = "data.last_modified"
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield Problem("body", name, f'"{as_text(value)}" is not a number')
    elif value > MAX_TIMESTAMP:
        yield Problem("body", name, f'"{value}" is greater than maximum value {MAX_TIMESTAMP}')


def problems_of_properties(data: JsonObject, kind: Kind) -> Iterator[Problem]:
    """What is wrong with the properties that objects of a kind are asked for, all at once.

    Rule: spec, "Buckets, collections and groups", section 5; "Schema", sections 2 and 7.

    Args:
        data: as it is about to be stored: of a PATCH, with what stays.
        kind: of the object.
    """
    if kind in _PROBLEMS_OF:
        yield from _PROBLEMS_OF[kind](data)


def kept_properties(data: JsonObject, kind: Kind) -> JsonObject:
    """The properties as they are stored: `cache_expires` of a collection is a number, or absent.

    Args:
        data: without problems.
        kind: of the object.
    """
    if kind is not COLLECTION or "cache_expires" not in data:
        return data
    seconds = data["cache_expires"]
    if seconds in (None, ""):
        return {name: value for name, value in data.items() if name != "cache_expires"}
    return {**data, "cache_expires": int(seconds)}


def _problems_of_members(data: JsonObject) -> Iterator[Problem]:
    if "members" not in data:
        yield Problem("body", "data.members", "Required")
    else:
        yield from _problems_of_strings(data["members"], "data.members")


def _problems_of_attributes(data: JsonObject) -> Iterator[Problem]:
    if "schema" in data:
        yield from _problems_of_schema(data["schema"])
    yield from _problems_of_cache_expires(data.get("cache_expires"))


def _problems_of_schema(value: Any) -> Iterator[Problem]:
    from chalicelib.protocol.schemas import schema_fault  # few services have schemas

    if not isinstance(value, dict):
        yield Problem("body", "data.schema", f'"{as_text(value)}" {NOT_A_MAPPING}')
    elif (fault := schema_fault(value)) is not None:
        yield Problem("body", "data.schema", fault)


def _problems_of_cache_expires(value: Any) -> Iterator[Problem]:
    name = "data.cache_expires"
    if value in (None, ""):
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if not is_number and not (isinstance(value, str) and _DIGITS.fullmatch(value)):
        yield Problem("body", name, f'"{as_text(value)}" is not a number')
    elif int(value) > MAX_CACHE_EXPIRES:
        description = f'"{as_text(value)}" is greater than maximum value {MAX_CACHE_EXPIRES}'
        yield Problem("body", name, description)


_DIGITS: Final = re.compile("[0-9]{1,300}")

_PROBLEMS_OF: Final[Mapping[Kind, Callable[[JsonObject], Iterator[Problem]]]] = {
    COLLECTION: _problems_of_attributes,
    GROUP: _problems_of_members,
}


def _problems_of_permissions(permissions: Any, kind: Kind) -> Iterator[Problem]:
    if permissions is None:
        return
    if not isinstance(permissions, dict):
        yield Problem("body", "permissions", f'"{as_text(permissions)}" {NOT_A_MAPPING}')
        return
    for name, principals in permissions.items():
        if name not in kind.permissions:
            description = f'"{name}" is not one of {", ".join(kind.permissions)}'
            yield Problem("body", "permissions", description)
        else:
            yield from _problems_of_strings(principals, f"permissions.{name}")


def _problems_of_strings(values: Any, name: str) -> Iterator[Problem]:
    if not isinstance(values, list):
        yield Problem("body", name, f'"{as_text(values)}" is not iterable')
        return
    for index, value in enumerate(values):
        if not value:
            yield Problem("body", f"{name}.{index}", "Required")
        elif not isinstance(value, str):
            yield Problem("body", f"{name}.{index}", f"{as_text(value)} is not a string")
