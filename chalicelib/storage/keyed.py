"""Objects of a list that are read by key: those with given ids, or those that are shared.

Rule: `docs/architecture.md`, "Lists".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from chalicelib.protocol.stored import Permissions
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.items import Item, from_raw
from chalicelib.storage.keys import listed_key

KEYS_AT_ONCE: Final = 400
"""Keys that are asked for together: four calls in parallel, and at worst 160 MB that come."""


class Keyed:
    """The only objects of a list that count, read as they are asked for, and once.

    Attributes:
        ids: of these objects; there may be none with some of them.
    """

    def __init__(
        self,
        items: Iterable[Item],
        ids: frozenset[str],
        *,
        is_shared_by: Callable[[Permissions], bool] | None = None,
        within: str,
    ) -> None:
        """Prepare to read; nothing is called yet.

        Args:
            items: those with these ids, in any order.
            ids: of them all.
            is_shared_by: whether an object with these permissions of its own is among those that
                the user may see; None where all are, and the deleted ones as well.
            within: the incarnation of the list's parent.
        """
        self.ids = ids
        self._items = iter(items)
        self._read: list[Item] = []
        self._is_shared_by = is_shared_by
        self._within = within

    def has_any(self) -> bool:
        """Whether there is any; reads up to the first."""
        for item in self._items:
            if self.counts(item):
                self._read.append(item)
                return True
            self._read.append(replace(item, body=None))  # there may be many, for their ids alone
        return False

    def counts(self, item: Item) -> bool:
        """Whether this item is one of them."""
        if item.within != self._within:
            return False
        return self._is_shared_by is None or (item.is_live and self.names(item.permissions or {}))

    def names(self, permissions: Permissions) -> bool:
        """Whether an object with these permissions of its own is one of them."""
        return self._is_shared_by is None or self._is_shared_by(permissions)

    def __iter__(self) -> Iterator[Item]:
        """The items, in no order; those may be among them that don't count."""
        yield from self._read
        yield from self._items


def read_keys(
    dynamo: Dynamo, deadline: Deadline, parent: str, ids: Iterable[str]
) -> Iterator[Item]:
    """The objects and tombstones of a list that have these ids, in no order.

    Lazy: the next ones are read only if they are asked for.

    Args:
        dynamo: the tables.
        deadline: of the request.
        parent: the hash key of the list's clock.
        ids: such that objects can have them.

    Raises:
        UnavailableError: not all came in the time left.
    """
    keys = [listed_key(parent, id) for id in ids]
    for start in range(0, len(keys), KEYS_AT_ONCE):
        raws = dynamo.get(keys[start : start + KEYS_AT_ONCE], deadline)
        yield from map(from_raw, raws.values())
