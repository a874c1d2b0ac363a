"""The query string of a list, parsed once. Rule: spec, "Lists", sections 3 to 7."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.fields import FieldTree, parse_fields
from chalicelib.protocol.filters import Comparison, Filter, Times, parse_filter, times_of
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.sorting import Order, parse_sort

_LIMIT = re.compile(r"0*[1-9][0-9]{0,300}")
_OF_TIMES = frozenset(
    (Comparison.GREATER, Comparison.MIN, Comparison.LESS, Comparison.MAX, Comparison.EQUAL)
)

_ALWAYS_KNOWN = frozenset({"id", "last_modified"})


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What is wanted of a list.

    Attributes:
        filters: an entry is listed if it matches them all.
        order: of the entries.
        limit: entries of a page, None where it is not bounded.
        token: the place to go on from, as the client sent it; None on a first page.
        fields: the wanted part of each object; None for the whole.
        uses_to: whether it has the deprecated `_to` for `_before`.
    """

    filters: tuple[Filter, ...] = ()
    order: Order = field(default_factory=Order.by)
    limit: int | None = None
    token: str | None = None
    fields: FieldTree | None = None
    uses_to: bool = False

    def admits(self, data: Mapping[str, Any]) -> bool:
        """Whether the filters let through an object or tombstone, as an answer shows it."""
        return all(filter.admits(data) for filter in self.filters)

    @property
    def wants_tombstones(self) -> bool:
        """Whether deletions are listed: wherever `last_modified` is asked about (section 4)."""
        return any(filter.field == "last_modified" for filter in self.filters)

    @property
    def needs_data(self) -> bool:
        """Whether filters or order look at more of an object than its id and time."""
        fields = {filter.field for filter in self.filters}
        return not _ALWAYS_KNOWN.issuperset(fields.union(sort.field for sort in self.order.sorts))

    @property
    def ids(self) -> frozenset[str] | None:
        """The only ids that the filters can admit; None for any."""
        named = [
            frozenset(map(str, filter.values))
            for filter in self.filters
            if filter.field == "id" and filter.comparison in (Comparison.EQUAL, Comparison.IN)
        ]
        return frozenset.intersection(*named) if named else None

    @property
    def times(self) -> Times:
        """What the filters can admit is strictly between these."""
        return times_of(self.filters)

    @property
    def is_of_times(self) -> bool:
        """Whether the filters admit all that is within `times`."""
        return all(
            filter.field == "last_modified"
            and filter.comparison in _OF_TIMES
            and all(type(value) is int for value in filter.values)
            for filter in self.filters
        )

    def to_parameters(self) -> list[tuple[str, str]]:
        """Parameters that ask for the same entries in the same order."""
        filters = sorted(filter.to_parameter() for filter in self.filters)
        return [*filters, ("_sort", self.order.to_text())]


def parse_list_query(
    query: Sequence[tuple[str, str]], kind: Kind, paginate_by: int | None
) -> ListQuery:
    """The query of GET or HEAD of a list of this kind.

    Args:
        query: the parameters as decoded. Unknown ones that begin with `_` are ignored.
        kind: of the list's objects.
        paginate_by: the setting: entries of the greatest page.

    Raises:
        ProtocolError: INVALID_PARAMETERS with the first problem: of filters, then `_limit`,
            `_sort` and `_fields`.
    """
    filters = parse_filters(query, kind)
    last = dict(query)
    limit = _parse_limit(last.get("_limit", ""))
    return replace(
        filters,
        limit=min((size for size in (limit, paginate_by) if size), default=None),
        order=parse_sort(last.get("_sort", ""), kind),
        fields=parse_fields(last.get("_fields", ""), kind),
        token=last.get("_token") or None,
    )


def parse_filters(query: Sequence[tuple[str, str]], kind: Kind) -> ListQuery:
    """The filters alone, which are all that DELETE of a list looks at (section 8).

    Raises:
        ProtocolError: INVALID_PARAMETERS with the first problem.
    """
    filters = (parse_filter(name, value, kind) for name, value in query)
    return ListQuery(
        tuple(filter for filter in filters if filter is not None),
        uses_to=any(name == "_to" for name, _value in query),
    )


def _parse_limit(text: str) -> int | None:
    if not text:
        return None
    if not _LIMIT.fullmatch(text):
        raise invalid([Problem("querystring", None, "_limit should be an integer")])
    return int(text.lstrip("0"))  # int() takes no more than 4,300 digits
