"""What the deleted leave behind: told by an item's images, removed in chunks, again at any time.

Rule: `docs/architecture.md`, "The purge".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Final, TypeAlias

from pynamodb.expressions.operand import Path

from chalicelib.protocol.kinds import children
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.access import Row, removal_action, rows_to_remove
from chalicelib.storage.clock import CLOSED
from chalicelib.storage.connection import Dynamo, condition_of
from chalicelib.storage.deadlines import ATTEMPT_S, Deadline
from chalicelib.storage.items import Item, RawItem, from_raw, is_object
from chalicelib.storage.keys import Key, clock_key, listed_key, time_range, uri_of
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED

ITEMS_AT_ONCE: Final = 50
"""Items that one transaction removes; a collection takes two of its actions."""

ITEMS_A_SECOND: Final = 100
"""Removed of one list, which is one partition, and has its users."""


@dataclass(frozen=True, slots=True)
class DeadParent:
    """A bucket or collection that is gone: what was within it is to be removed.

    Attributes:
        uri: its address, where another one may be by now.
        incarnation: what nothing is within any more.
        is_again: whether this is the second sweep, for writes that became visible late.
    """

    uri: ObjectUri
    incarnation: str
    is_again: bool = False

    @property
    def again(self) -> "DeadParent":
        """Its second sweep."""
        return replace(self, is_again=True)


@dataclass(frozen=True, slots=True)
class NeedlessRows:
    """Rows whose objects don't name their principals any more, each up to a version."""

    rows: tuple[Row, ...]


Leftover: TypeAlias = DeadParent | NeedlessRows


def leftovers_of(old: RawItem | None, new: RawItem | None) -> Iterator[Leftover]:
    """What a change of an item leaves behind.

    Args:
        old: the item before; None where there was none.
        new: the item after; None where it was removed.
    """
    if old is None or not is_object(old):
        return
    before = from_raw(old)
    after = from_raw(new) if new is not None else None
    uri = uri_of(before.key)
    if before.incarnation not in (None, after and after.incarnation):
        yield DeadParent(uri, before.incarnation)
    if rows := rows_to_remove(uri, before, after):
        yield NeedlessRows(tuple(rows))


def remove_rows(dynamo: Dynamo, rows: Iterable[Row], deadline: Deadline) -> None:
    """Remove these rows, each unless a newer version's is there.

    Raises:
        UnavailableError: not all could be removed in the time left.
    """
    table = dynamo.tables.access
    newest = {row[:2]: row for row in sorted(rows, key=lambda row: row.version)}
    dynamo.transact_possible(([removal_action(table, row)] for row in newest.values()), deadline)


def sweep(dynamo: Dynamo, dead: DeadParent, deadline: Deadline) -> Iterator[int]:
    """Remove what is within a dead incarnation; gives, for each chunk, how many items that was.

    What is below collections is left to their own sweeps, as their removal is a change that
    leaves a DeadParent behind.

    Raises:
        UnavailableError: the time is over; what is left can be removed by another sweep.
    """
    for uri in dead.uri.lists:
        keys = _keys_within(dynamo, uri, dead.incarnation, deadline)
        while chunk := [*islice(keys, ITEMS_AT_ONCE)]:
            pause_s = len(chunk) / ITEMS_A_SECOND
            deadline.check(needed_s=pause_s + ATTEMPT_S)
            groups = _removals(dynamo, uri, chunk, dead.incarnation, deadline)
            dynamo.transact_possible(groups, deadline)
            yield len(groups)
            deadline.pause(pause_s)


def _keys_within(
    dynamo: Dynamo, uri: ListUri, incarnation: str, deadline: Deadline
) -> Iterator[Key]:
    """The keys of a list's objects and tombstones that are within an incarnation."""
    parent = clock_key(uri).parent
    between = time_range(incarnation)
    entries = (
        dynamo.query(
            index,
            parent,
            between=between,
            ascending=True,
            limit=None,
            attributes=("id",),
            deadline=deadline,
        )
        for index in (BY_LAST_MODIFIED, BY_DELETION)
    )
    for raw in chain.from_iterable(entries):
        yield listed_key(parent, raw["id"]["S"])


def _removals(
    dynamo: Dynamo, uri: ListUri, keys: list[Key], incarnation: str, deadline: Deadline
) -> list[list[dict[str, Any]]]:
    """The actions that remove these items, each if it is still within the incarnation."""
    table = dynamo.tables.objects
    if not children(uri.kind):
        return [[_removal(table, key, incarnation)] for key in dict.fromkeys(keys)]
    items = map(from_raw, dynamo.get(keys, deadline).values())
    return [removal_of(table, item) for item in items if item.within == incarnation]


def removal_of(table: str, item: Item) -> list[dict[str, Any]]:
    """The actions that remove an item, if it is still within this incarnation of its parent.

    With a collection its list ends: only then all of its records can be found ("purge closes").

    Args:
        table: the name of `objects`.
        item: as it was read.
    """
    actions = [_removal(table, item.key, item.within)]
    if item.incarnation is not None:
        within = Path("within")
        ended = condition_of(within == item.incarnation, [within.set(CLOSED)])
        lists = uri_of(item.key).lists
        actions += [{"Update": {**_item(table, clock_key(below)), **ended}} for below in lists]
    return actions


def _removal(table: str, key: Key, within: str) -> dict[str, Any]:
    unless_new = condition_of(Path("within") == within)  # "purge checks"
    return {"Delete": {**_item(table, key), **unless_new}}


def _item(table: str, key: Key) -> dict[str, Any]:
    return {"TableName": table, "Key": {"parent": {"S": key.parent}, "id": {"S": key.id}}}
