"""A page straight from the entries of an index that are in its order, where none of them moves.

That is how most lists are read. Whatever else there is to a list is `lists`' business.
Rule: `docs/architecture.md`, "Lists".
"""

from collections.abc import Iterable
from typing import NamedTuple

from chalicelib.protocol.sorting import Place
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.storage import windows
from chalicelib.storage.clock import Clock
from chalicelib.storage.items import RawItem, decode_body
from chalicelib.storage.keys import TimeRange, position_of


class Page(NamedTuple):
    """A part of a list.

    Attributes:
        entries: in the order asked for.
        total: live objects that the filters admit, on all pages.
        next: the place that the next page begins behind; None where no entries remain.
    """

    entries: list[StoredObject | Tombstone]
    total: int
    next: Place | None


def still_page(
    raws: Iterable[RawItem],
    read: list[RawItem],
    *,
    clock: Clock,
    total: int,
    between: TimeRange,
    ascending: bool,
    limit: int | None,
) -> Page | None:
    """The page that these entries make; None where more must be read to tell.

    That is where an entry was written after the clock was read, or lacks its body, or where what
    the clock names isn't visible yet in that version.

    Args:
        raws: entries of the index by time, with `live`, `version` and `body`.
        read: gets those that were taken from there.
        clock: of the list, read before.
        total: live objects that the filters admit.
        between: the range of the index that they are from.
        ascending: their order.
        limit: of the page; None for all that an answer holds.
    """
    named = clock.newest_writes
    entries: list[StoredObject | Tombstone] = []
    size, next_place, last = 0, None, ""
    for raw in raws:
        read.append(raw)
        key = raw["live"]["S"]
        time, id = position_of(key)
        version = int(raw["version"]["N"])
        body = raw["body"]
        if version > clock.timestamp or "N" in body:
            return None
        if id in named and named.pop(id).version > version:
            return None
        plain = decode_body(body.get("S", body.get("B")))
        size += windows.size_in_page(id, plain)
        if entries and (len(entries) == limit or size > windows.MAX_PAGE_BYTES):
            next_place = (entries[-1].last_modified, entries[-1].id)
            break
        entries.append(StoredObject(id, time, plain.decode()))
        last = key
    covered = between if next_place is None else between.up_to(last, ascending=ascending)
    if any(each.is_live and each.to_key(clock.within) in covered for each in named.values()):
        return None
    return Page(entries, total, next_place)
