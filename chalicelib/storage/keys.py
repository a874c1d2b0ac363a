"""Hash and range keys, from the addresses of objects and lists.

Rule: `docs/architecture.md`, "Data model".
"""

from functools import lru_cache
from typing import Final, NamedTuple

from chalicelib.protocol.kinds import BUCKET, KINDS, Kind
from chalicelib.protocol.uris import ListUri, ObjectUri, parse_object_uri

CLOCK_ID: Final = ".clock"
"""Range key of a list's clock. No object's id begins with a dot."""

MAX_PRINCIPAL_BYTES: Final = 1024
"""A longer string can be in permissions, but is nobody's name: it gets no access row."""

_BUCKETS: Final = f"#{BUCKET.name}"
_PLURALS: Final = {kind.name: kind.plural for kind in KINDS}
_FIRST: Final = "!"  # before all characters of ids
_LAST: Final = "~"  # behind them
_TIME_DIGITS: Final = 16
_END_OF_TIME: Final = 10**_TIME_DIGITS - 1


class Position(NamedTuple):
    """A place in an index: times, and where those are equal, ids."""

    last_modified: int
    id: str


class Key(NamedTuple):
    """The primary key of an item of `objects`."""

    parent: str
    id: str


@lru_cache(maxsize=4096)
def object_key(uri: ObjectUri) -> Key:
    """The key of an object or its tombstone.

    Each bucket has a parent of its own, as every request reads its bucket and one parent is one
    partition.
    """
    return listed_key(_parent(uri.kind, uri.ids[:-1]), uri.id)


def key_if_possible(uri: ObjectUri) -> Key | None:
    """The same; None where no object can have such an id: these may be long, and aren't kept."""
    return object_key(uri) if uri.is_possible else None


def listed_key(clock_parent: str, id: str) -> Key:
    """The key of the object with this id in the list whose clock has this parent."""
    return Key(f"{_BUCKETS}:{id}" if clock_parent == _BUCKETS else clock_parent, id)


def clock_key(uri: ListUri) -> Key:
    """The key of a list's clock."""
    return Key(_parent(uri.kind, uri.ids), CLOCK_ID)


@lru_cache(maxsize=1024)
def _parent(kind: Kind, ids: tuple[str, ...]) -> str:
    return f"{ListUri(kind, ids).parent or ''}#{kind.name}"


def uri_of(key: Key) -> ObjectUri:
    """The address of the object with this key.

    Raises:
        ValueError: it is no object's key.
    """
    above, _, kind = key.parent.partition("#")
    uri = parse_object_uri(f"{above}/{_PLURALS.get(kind.partition(':')[0])}/{key.id}")
    if uri is None or object_key(uri) != key:
        raise ValueError(f"{key} is no object's key")
    return uri


MEMBER: Final = "member:"
"""The range keys in `access` of a member's rows begin so; what follows is the group's."""


def access_object(key: Key) -> str:
    """The range key in `access` of the rows for this object."""
    return f"{key.parent}/{key.id}"


def member_object(key: Key) -> str:
    """The range key in `access` of the rows for the members of this group."""
    return f"{MEMBER}{access_object(key)}"


def key_of_row(object: str) -> Key:
    """The key of the object, or of the group, that a range key in `access` is about."""
    parent, _, id = object.removeprefix(MEMBER).rpartition("/")
    return Key(parent, id)


def rows_prefix(clock_parent: str) -> str:
    """What the range keys in `access` of all objects of a list begin with."""
    return f"{_BUCKETS}:" if clock_parent == _BUCKETS else f"{clock_parent}/"


def time_key(within: str, last_modified: int, id: str) -> str:
    """The range key in an index: what is within one incarnation, by time, and by id where equal.

    The id makes every place in the order one that a query can begin at.
    """
    return f"{within}#{last_modified:0{_TIME_DIGITS}}#{id}"


def position_of(time_key: str) -> Position:
    """The place in the list that a range key of an index marks."""
    _within, time, id = time_key.rsplit("#", 2)
    return Position(int(time), id)


class TimeRange(NamedTuple):
    """The range keys of an index from `lowest` to `highest`, both included."""

    lowest: str
    highest: str

    def __contains__(self, key: object) -> bool:
        """Whether this range key is in the range."""
        return isinstance(key, str) and self.lowest <= key <= self.highest

    def up_to(self, key: str, *, ascending: bool) -> "TimeRange":
        """The part of this range that was read when it was read up to this range key."""
        return TimeRange(self.lowest, key) if ascending else TimeRange(key, self.highest)


def time_range(
    within: str,
    *,
    since: int | None = None,
    before: int | None = None,
    above: Position | None = None,
    below: Position | None = None,
) -> TimeRange:
    """The range of what is strictly between these times, and these positions."""
    after_time = 0 if since is None else _in_time(since + 1)
    until_time = _END_OF_TIME if before is None else _in_time(before - 1)
    lowest, highest = time_key(within, after_time, ""), time_key(within, until_time, _LAST)
    if before is not None and before <= 0:
        highest = f"{within}#"  # before the first time there is
    if above is not None:
        lowest = max(lowest, time_key(within, above.last_modified, above.id) + _FIRST)
    if below is not None:
        highest = min(highest, _predecessor(time_key(within, below.last_modified, below.id)))
    return TimeRange(lowest, highest)


def _in_time(timestamp: int) -> int:
    return min(max(timestamp, 0), _END_OF_TIME)


def _predecessor(key: str) -> str:
    """A string below this key and above all keys that are."""
    return key[:-1] + chr(ord(key[-1]) - 1) + _LAST
