"""The order of a list: from `_sort`, as keys of objects, and as places that a page can begin at.

Rule: spec, "Lists", section 5.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.filters import Type
from chalicelib.protocol.kinds import Kind

Place: TypeAlias = tuple[Any, ...]
"""Where an entry is in an order: of each field that this goes by, the value, as plain JSON."""

SortKey: TypeAlias = tuple[Any, ...]
"""What sorts places; those of one order can be compared."""

MAX_PLACE_CHARACTERS: Final = 512
"""Of all strings but the id in a place: it must fit into an address. The rest sorts nothing."""

_PART: Final = re.compile(r"([+-]?)(\w+)")


class Sort(NamedTuple):
    """One field that an order goes by."""

    field: str
    descending: bool


class _Reversed:
    """A string that sorts the other way round."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __lt__(self, other: "_Reversed") -> bool:
        return other._text < self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and other._text == self._text

    __hash__ = None  # type: ignore[assignment]  # nothing looks these up


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of the entries of a list.

    Attributes:
        sorts: what it goes by, `id` at the end, so that no two entries are equal.
    """

    sorts: tuple[Sort, ...]
    _longest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Share the room for strings among the fields that may hold any."""
        fields = sum(sort.field not in ("id", "last_modified") for sort in self.sorts)
        object.__setattr__(self, "_longest", max(1, MAX_PLACE_CHARACTERS // max(1, fields)))

    @classmethod
    def by(cls, sorts: Sequence[Sort] = ()) -> "Order":
        """The order by these fields; what is equal in them comes newest first."""
        unique: dict[str, bool] = {}
        for name, descending in sorts:
            unique.setdefault(name, descending)
        unique.setdefault("last_modified", True)
        unique.setdefault("id", unique["last_modified"])
        names = [*unique]
        decisive = names[: names.index("id") + 1]
        return cls(tuple(Sort(name, unique[name]) for name in decisive))

    @property
    def is_by_time(self) -> bool:
        """Whether it is that of `last_modified` alone, either way."""
        return [sort.field for sort in self.sorts] == ["last_modified", "id"] and (
            self.sorts[0].descending is self.sorts[1].descending
        )

    @property
    def is_oldest_first(self) -> bool:
        """Of an order by time: which way."""
        return not self.sorts[0].descending

    def place_of(self, data: Mapping[str, Any]) -> Place:
        """The place of an object or tombstone, as an answer shows it."""
        return tuple(
            data["id"] if sort.field == "id" else _short(data.get(sort.field), self._longest)
            for sort in self.sorts
        )

    def key(self, place: Place) -> SortKey:
        """What sorts this place among others of the same order."""
        return tuple(
            _key(value, descending=sort.descending)
            for sort, value in zip(self.sorts, place, strict=True)
        )

    def to_text(self) -> str:
        """A value of `_sort` that asks for this order."""
        return ",".join("-" * sort.descending + sort.field for sort in self.sorts)


def parse_sort(text: str, kind: Kind) -> Order:
    """The order that `_sort` asks for; parts that name no field are skipped.

    Raises:
        ProtocolError: INVALID_PARAMETERS for a field that lists of this kind don't know.
    """
    sorts = []
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        if found is None:
            continue
        sign, field = found.groups()
        if not kind.lists_field(field):
            raise invalid([Problem("querystring", None, f"Unknown sort field '{field}'")])
        sorts.append(Sort(field, sign == "-"))
    return Order.by(sorts)


def _short(value: Any, longest: int) -> Any:
    """As much of a value as its place tells, as JSON of the same type."""
    match Type.of(value):
        case Type.STRING:
            return value[:longest]
        case Type.OTHER:
            return []
    return value


def _key(value: Any, *, descending: bool) -> tuple[int, Any]:
    type = Type.of(value)
    if type in (Type.OTHER, Type.MISSING):
        value = 0
    if not descending:
        return type.value, value
    return -type.value, _Reversed(value) if type is Type.STRING else -value
