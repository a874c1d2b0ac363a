"""`{"data": ..., "permissions": ...}` in: JSON to checked values, or every problem at once.

Rule: spec, "Records", section 7; "Buckets, collections and groups", sections 3 and 5;
"Users and permissions", section 4.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.timestamps import MAX_TIMESTAMP

MAX_DEPTH = 520
"""Levels of nesting in a body: 500 for clients, within what Python's JSON parser can do."""

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
    if not raw:
        return {}
    try:
        value = _load(raw)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        raise invalid([Problem("body", None, f"Invalid JSON request body: {error}")]) from error
    if not isinstance(value, dict):
        description = f"Invalid JSON: Should be a JSON object, got {json.dumps(value)}"
        raise invalid([Problem("body", None, description)])
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
        merges: for a PATCH. What it says of a group's members is checked when that was found.

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
    return _body_of(sent, kind, is_empty=not raw)


def _body_of(sent: JsonObject, kind: Kind, *, is_empty: bool) -> Body:
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
        data=own,
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
    elif kind.properties is None:
        yield from _problems_of_timestamp(data.get("last_modified"))
    elif not merges:
        yield from problems_of_members(data)


def _problems_of_timestamp(value: Any) -> Iterator[Problem]:
    name = "data.last_modified"
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield Problem("body", name, f'"{as_text(value)}" is not a number')
    elif value > MAX_TIMESTAMP:
        yield Problem("body", name, f'"{value}" is greater than maximum value {MAX_TIMESTAMP}')


def problems_of_members(data: JsonObject) -> Iterator[Problem]:
    """What is wrong with the members that a group's data names, or with there being none.

    Rule: spec, "Buckets, collections and groups", section 5.
    """
    if "members" not in data:
        yield Problem("body", "data.members", "Required")
    else:
        yield from _problems_of_strings(data["members"], "data.members")


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
