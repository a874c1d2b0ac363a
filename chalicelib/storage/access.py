"""The rows of `access`: which objects name a principal, which groups have a member.

They propose; the objects' own permissions, and the groups' own members, decide.
Rule: `docs/architecture.md`, "The access index".
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pynamodb.expressions.operand import Path

from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.connection import condition_of
from chalicelib.storage.items import Item
from chalicelib.storage.keys import (
    MAX_PRINCIPAL_BYTES,
    access_object,
    member_object,
    object_key,
)

ALL_BUCKETS: Final = "#buckets"
"""Each bucket has a row under this principal, for those who may list all of them."""


class Row(NamedTuple):
    """A row of `access`: this principal is named by that object, in that version of it."""

    principal: str
    object: str
    version: int


def rows_to_put(uri: ObjectUri, new: Item, read: Item | None) -> list[Row]:
    """The rows that an object needs beside those that it has.

    One is left alone only where the object, as read, names the principal already
    ("row as read"); whether a row is there tells nothing, as it may be about to be removed.

    Args:
        uri: of the object.
        new: as it will be.
        read: as it was read; None where that was not live in the same incarnation.
    """
    return [Row(*each, new.version) for each in _named_only_by(uri, new, read)]


def rows_to_remove(uri: ObjectUri, old: Item, new: Item | None) -> list[Row]:
    """The rows that an object had and does not need any more, up to this version of it.

    A newer one was put by a newer write, and stays ("row version").

    Args:
        uri: of the object.
        old: as it was.
        new: as it has become; None where nothing is left.
    """
    version = old.version if new is None else max(old.version, new.version)
    return [Row(*each, version) for each in _named_only_by(uri, old, new)]


def _named_only_by(uri: ObjectUri, item: Item, other: Item | None) -> list[tuple[str, str]]:
    """The keys of the rows that one state of an object needs, and the other one doesn't."""
    besides = set(named(uri, other)) if other is not None else set()
    return [each for each in dict.fromkeys(named(uri, item)) if each not in besides]


def named(uri: ObjectUri, item: Item) -> Iterator[tuple[str, str]]:
    """The hash and range keys of the rows that an item needs, some of them perhaps twice."""
    key = object_key(uri)
    if uri.kind.parent is None:
        yield ALL_BUCKETS, access_object(key)
    if not item.is_live:
        return
    for principals in (item.permissions or {}).values():
        for principal in filter(_is_possible, principals):
            yield principal, access_object(key)
    if uri.kind is GROUP:
        for member in filter(_is_possible, members_of(item)):
            yield member, member_object(key)


def members_of(item: Item) -> list[str]:
    """The members of a group."""
    members: list[str] = item.data.get("members", [])
    return members


def _is_possible(principal: str) -> bool:
    return 0 < len(principal.encode()) <= MAX_PRINCIPAL_BYTES


def put_action(table: str, row: Row, *, unless_newer: bool = False) -> dict[str, Any]:
    """The action of a transaction that puts a row.

    Args:
        table: the name of `access`.
        row: what to put.
        unless_newer: for a row that comes before its object's transaction, and so without its
            condition: a newer version's row is kept.
    """
    version = Path("version")
    older = version.does_not_exist() | (version < row.version) if unless_newer else None
    return {
        "Put": {
            "TableName": table,
            "Item": {
                "principal": {"S": row.principal},
                "object": {"S": row.object},
                "version": {"N": str(row.version)},
            },
            **condition_of(older),
        }
    }


def removal_action(table: str, row: Row) -> dict[str, Any]:
    """The action of a transaction that removes a row, unless a newer version's is there."""
    return {
        "Delete": {
            "TableName": table,
            "Key": {"principal": {"S": row.principal}, "object": {"S": row.object}},
            **condition_of(Path("version") <= row.version),
        }
    }
