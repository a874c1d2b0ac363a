"""Which timestamp a write gets, and how a list's timestamp moves on.

Rule: spec, "Records", section 4.
"""

from typing import NamedTuple

from chalicelib.protocol.stored import StoredObject, Tombstone

MAX_TIMESTAMP = 253_402_300_799_999
"""The last ms of the year 9999, and of HTTP dates."""

MAX_HONOURED = 253_370_764_800_000
"""The beginning of that year: what a client may set a list to, so that it can still move on."""


class Tick(NamedTuple):
    """The times of one write.

    Attributes:
        last_modified: of the object written.
        timestamp: of its list afterwards; above every earlier one, so it is the write's version.
    """

    last_modified: int
    timestamp: int


def tick(timestamp: int, *, now_ms: int, given: int | None) -> Tick:
    """The times of the write that follows `timestamp` in a list.

    Args:
        timestamp: the list's so far.
        now_ms: what this host's clock says.
        given: the client's `last_modified`, where it is honoured.
    """
    following = max(now_ms, timestamp + 1)
    if given is None:
        return Tick(following, following)
    return Tick(given, given if given > timestamp else following)


def honoured(given: int | None, existing: StoredObject | Tombstone | None) -> int | None:
    """The client's timestamp if this write takes it, else None.

    Args:
        given: what the client asked for.
        existing: what it must be later than; None where an object is made anew.
    """
    if given is None or given > MAX_HONOURED:
        return None
    return given if existing is None or given > existing.last_modified else None
