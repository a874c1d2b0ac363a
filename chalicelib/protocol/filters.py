"""The filters of a list: from a query's parameters, and applied to objects.

Rule: spec, "Lists", sections 3 and 4.
"""

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import Enum, IntEnum
from typing import Any, Final, NamedTuple, TypeAlias

from chalicelib.protocol.errors import Problem, ProtocolError, invalid
from chalicelib.protocol.kinds import Kind

Scalar: TypeAlias = bool | int | float | str
"""What a filter compares with. Lists and objects equal none of these."""

_PREFIXED: Final = re.compile(r"(min|max|gt|lt|not|in|exclude)_(\w+)")
_TIMES: Final = {"_since": "gt", "_before": "lt", "_to": "lt"}
_INTEGER: Final = re.compile(r'-?[0-9]{1,300}|"-?[0-9]{1,300}"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_QUOTED: Final = re.compile(r"\".*\"|'.*'", re.DOTALL)
_WORDS: Final = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(
    ("false", "no", "off"), False
)
_MAX_DIGITS: Final = 400
"""Stored numbers are finite as doubles: a longer integer is greater than all of them."""


class Type(IntEnum):
    """Which values can be compared with one another, in the order in which they are sorted."""

    BOOLEAN = 0
    NUMBER = 1
    STRING = 2
    OTHER = 3
    MISSING = 4

    @classmethod
    def of(cls, value: Any) -> "Type":
        """The type of a field's value; null is as missing."""
        if value is None:
            return cls.MISSING
        if isinstance(value, bool):
            return cls.BOOLEAN
        if isinstance(value, int | float):
            return cls.NUMBER
        return cls.STRING if isinstance(value, str) else cls.OTHER


class Comparison(Enum):
    """How a filter compares; the value is the prefix of its parameter."""

    EQUAL = ""
    NOT = "not"
    MIN = "min"
    MAX = "max"
    GREATER = "gt"
    LESS = "lt"
    IN = "in"
    EXCLUDE = "exclude"


_NEGATIVE: Final = (Comparison.NOT, Comparison.EXCLUDE)
_OF_LISTS: Final = (Comparison.IN, Comparison.EXCLUDE)
_TESTS: Final[Mapping[Comparison, Callable[[Any, Any], bool]]] = {
    Comparison.MIN: operator.ge,
    Comparison.MAX: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.LESS: operator.lt,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one field.

    Attributes:
        comparison: how the field is compared.
        field: the name of a top-level field.
        values: with what; several only of `in_` and `exclude_`.
    """

    comparison: Comparison
    field: str
    values: tuple[Scalar, ...]
    _typed: frozenset[tuple[Type, Scalar]] = dataclass_field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep the values by their types, where `true` is not 1, and 1 is 1.0."""
        typed = frozenset((Type.of(value), value) for value in self.values)
        object.__setattr__(self, "_typed", typed)

    def admits(self, data: Mapping[str, Any]) -> bool:
        """Whether an object or tombstone, as an answer shows it, matches."""
        found = data.get(self.field)
        type = Type.of(found)
        if self.comparison in _TESTS:
            (value,) = self.values
            return type is Type.of(value) and _TESTS[self.comparison](found, value)
        is_one = type < Type.OTHER and (type, found) in self._typed
        return is_one is not (self.comparison in _NEGATIVE)

    def to_parameter(self) -> tuple[str, str]:
        """Name and value of a parameter that is parsed to this filter."""
        prefix = self.comparison.value
        name = f"{prefix}_{self.field}" if prefix else self.field
        reads = _reader_of(self.field)
        return name, ",".join(_to_text(value, reads) for value in self.values)


class Times(NamedTuple):
    """A range of timestamps, in ms, both ends excluded; None for an open end."""

    since: int | None = None
    before: int | None = None


_BOUNDS: Final[Mapping[Comparison, Times]] = {
    Comparison.GREATER: Times(since=0),
    Comparison.MIN: Times(since=-1),
    Comparison.LESS: Times(before=0),
    Comparison.MAX: Times(before=1),
    Comparison.EQUAL: Times(-1, 1),
    Comparison.IN: Times(-1, 1),
}
"""How far from a filter's values its range ends."""


def times_of(filters: Iterable[Filter]) -> Times:
    """A range that has every `last_modified` that these filters together admit."""
    since: list[int] = []
    before: list[int] = []
    for filter in filters:
        if filter.field != "last_modified":
            continue
        values = [int(value) for value in filter.values]
        ends = _BOUNDS.get(filter.comparison, Times())
        if ends.since is not None:
            since.append(min(values) + ends.since)
        if ends.before is not None:
            before.append(max(values) + ends.before)
    return Times(max(since, default=None), min(before, default=None))


def parse_filter(name: str, text: str, kind: Kind) -> Filter | None:
    """The filter that a parameter of a list asks for; None where it is no filter.

    Args:
        name: of the parameter.
        text: its value, decoded.
        kind: of the list's objects.

    Raises:
        ProtocolError: INVALID_PARAMETERS for a field that the list doesn't know, and for a
            `last_modified` that is no integer.
    """
    if name in _TIMES:
        prefix, field = _TIMES[name], "last_modified"
    elif name.startswith("_"):
        return None
    else:
        prefix, field = _split_name(name)
    if not kind.lists_field(field):
        raise _refused(None, f"Unknown filter field '{name}'")
    comparison = Comparison(prefix)
    parts = text.split(",") if comparison in _OF_LISTS else [text]
    if field == "last_modified" and not all(map(_INTEGER.fullmatch, parts)):
        raise _refused(name, f"Invalid value for {name}")
    return Filter(comparison, field, tuple(map(_reader_of(field), parts)))


def _split_name(name: str) -> tuple[str, str]:
    """The prefix, taken off once, and the field."""
    found = _PREFIXED.fullmatch(name)
    return (found[1], found[2]) if found else ("", name)


def _reader_of(field: str) -> Callable[[str], Scalar]:
    """What makes values of a parameter's text: an id is a string whatever it looks like."""
    if field == "last_modified":
        return _read_integer
    return _without_quotes if field == "id" else read_value


def read_value(text: str) -> Scalar:
    """A value, typed by its looks."""
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    number = _NUMBER.fullmatch(text)
    if number is None:
        return _without_quotes(text)
    fraction, exponent = number.groups()
    is_whole = fraction is None and exponent is None
    return int(text) if is_whole and len(text) <= _MAX_DIGITS else float(text)


def _read_integer(text: str) -> int:
    return int(text.strip('"'))


def _without_quotes(text: str) -> str:
    """Text in quotes without them, escapes read where it is JSON; any other text as it is."""
    if not _QUOTED.fullmatch(text):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _to_text(value: Scalar, reads: Callable[[str], Scalar]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value).replace("inf", "1e999")
    if "," not in value and reads(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False).replace(",", "\\u002c")


def _refused(name: str | None, description: str) -> ProtocolError:
    return invalid([Problem("querystring", name, description)])
