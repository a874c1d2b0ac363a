"""The query string of a list, parsed once. Rule: spec, "Lists", sections 3 to 7."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chalicelib.protocol.errors import Problem, ProtocolError, invalid
from chalicelib.protocol.fields import FieldTree, parse_fields
from chalicelib.protocol.kinds import Kind

_TIMESTAMP = re.compile(r'-?[0-9]{1,300}|"-?[0-9]{1,300}"')
_LIMIT = re.compile(r"0*[1-9][0-9]{0,300}")
_OLDEST_FIRST = frozenset({"last_modified", "+last_modified"})
_NEWEST_FIRST = frozenset({"", "-last_modified"})


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What is wanted of a list.

    Attributes:
        since: only what is newer than this, in ms.
        before: only what is older than this, in ms.
        oldest_first: the order; newest first otherwise.
        limit: entries of a page, None where it is not bounded.
        token: the place to go on from, as the client sent it; None on a first page.
        fields: the wanted part of each object; None for the whole.
        uses_to: whether it has the deprecated `_to` for `_before`.
    """

    since: int | None = None
    before: int | None = None
    oldest_first: bool = False
    limit: int | None = None
    token: str | None = None
    fields: FieldTree | None = None
    uses_to: bool = False

    def admits(self, last_modified: int) -> bool:
        """Whether the filters let through an object with this timestamp."""
        return (self.since is None or last_modified > self.since) and (
            self.before is None or last_modified < self.before
        )

    @property
    def wants_tombstones(self) -> bool:
        """Whether deletions are listed: wherever `last_modified` is asked about (section 4)."""
        return self.since is not None or self.before is not None


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
    filters = parse_filters(query)
    last = dict(query)
    limit = _parse_limit(last.get("_limit", ""))
    return replace(
        filters,
        limit=min((size for size in (limit, paginate_by) if size), default=None),
        oldest_first=_parse_sort(last.get("_sort", "")),
        fields=parse_fields(last.get("_fields", ""), kind),
        token=last.get("_token") or None,
    )


def parse_filters(query: Sequence[tuple[str, str]]) -> ListQuery:
    """The filters alone, which are all that DELETE of a list looks at (section 8).

    Raises:
        ProtocolError: INVALID_PARAMETERS with the first problem.
    """
    since, before = _parse_bounds(query)
    return ListQuery(since, before, uses_to=any(name == "_to" for name, _value in query))


def _parse_bounds(query: Sequence[tuple[str, str]]) -> tuple[int | None, int | None]:
    since: int | None = None
    before: int | None = None
    for name, value in query:
        if name == "_since":
            later = _parse_timestamp(name, value)
            since = later if since is None else max(since, later)
        elif name in ("_before", "_to"):
            earlier = _parse_timestamp(name, value)
            before = earlier if before is None else min(before, earlier)
        elif not name.startswith("_"):
            raise _unsupported(name, "Filters are not supported by this version")
    return since, before


def _parse_timestamp(name: str, text: str) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise invalid([Problem("querystring", name, f"Invalid value for {name}")])
    return int(text.strip('"'))


def _parse_limit(text: str) -> int | None:
    if not text:
        return None
    if not _LIMIT.fullmatch(text):
        raise _unsupported(None, "_limit should be an integer")
    return int(text)


def _parse_sort(text: str) -> bool:
    """Whether the oldest come first."""
    first = text.split(",")[0].strip()
    if first in _OLDEST_FIRST:
        return True
    if text.strip() in _NEWEST_FIRST or first == "-last_modified":
        return False
    raise _unsupported(None, "Sorting by other fields is not supported by this version")


def _unsupported(name: str | None, description: str) -> ProtocolError:
    return invalid([Problem("querystring", name, description)])


def describe(query: ListQuery) -> Mapping[str, object]:
    """What a page token is good for: all that decides which entries come, and in which order."""
    return {"since": query.since, "before": query.before, "oldest_first": query.oldest_first}
