"""Addresses of objects and lists, without the version prefix: `/buckets/blog/groups/writers`.

A request asks for the same parts of an address again and again, and many requests for those of
the same list: the addresses of lists are shared, and what is asked of them is made once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from chalicelib.protocol.kinds import MAX_ID_LENGTH, Kind, children

T = TypeVar("T")


class _once(Generic[T]):  # noqa: N801 - it is used like `property`
    """A property that is made once for each object.

    `functools.cached_property` has a lock for all objects together up to Python 3.11, and two
    properties that need each other may wait for each other there.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, of: Any, _owner: type) -> T:
        made: T = of.__dict__.setdefault(self._name, self._make(of))
        return made


@dataclass(frozen=True, slots=True)
class ObjectUri:
    """The address of one object.

    Attributes:
        kind: of the object.
        ids: from its bucket's down to its own.
    """

    kind: Kind
    ids: tuple[str, ...]

    @property
    def id(self) -> str:
        """The object's own id."""
        return self.ids[-1]

    @property
    def list(self) -> "ListUri":
        """The list that the object is in."""
        ids = self.ids[:-1]
        is_kept = sum(map(len, ids)) <= _KEPT_CHARACTERS
        return _list_uri(self.kind, ids) if is_kept else ListUri(self.kind, ids)

    @property
    def parent(self) -> "ObjectUri | None":
        """The object that holds it; None for buckets."""
        return self.list.parent

    @property
    def ancestors(self) -> "tuple[ObjectUri, ...]":
        """What holds it, from the bucket down."""
        return self.list.ancestors

    @property
    def lists(self) -> "tuple[ListUri, ...]":
        """The lists that it holds."""
        return tuple(ListUri(kind, self.ids) for kind in children(self.kind))

    @property
    def is_possible(self) -> bool:
        """Whether all its ids are such that an object can be there."""
        return self.kind.is_id(self.id) and self.list.is_possible

    def __str__(self) -> str:
        """The path below the version prefix."""
        return f"{self.list}/{self.id}"


@dataclass(frozen=True)
class ListUri:
    """The address of a list.

    Attributes:
        kind: of the objects in it.
        ids: of the objects that hold it, from the bucket down.
    """

    kind: Kind
    ids: tuple[str, ...]

    @_once
    def parent(self) -> ObjectUri | None:
        """The object that holds the list; None for the list of buckets."""
        return None if self.kind.parent is None else ObjectUri(self.kind.parent, self.ids)

    @_once
    def ancestors(self) -> tuple[ObjectUri, ...]:
        """What holds it, from the bucket down."""
        return () if self.parent is None else (*self.parent.ancestors, self.parent)

    @_once
    def is_possible(self) -> bool:
        """Whether all its ids are such that a list can be there."""
        return self.parent is None or self.parent.is_possible

    def object(self, id: str) -> ObjectUri:
        """The address of the object with this id."""
        return ObjectUri(self.kind, (*self.ids, id))

    @_once
    def _path(self) -> str:
        return f"{self.parent or ''}/{self.kind.plural}"

    def __str__(self) -> str:
        """The path below the version prefix."""
        return self._path


_list_uri: Final = lru_cache(maxsize=1024)(ListUri)

_KEPT_CHARACTERS: Final = 2 * MAX_ID_LENGTH
"""Of the ids in an address that may be kept; what a client makes up may have any number."""


def parse_object_uri(text: str) -> ObjectUri | None:
    """The address of an object that prints as this text; None where no object can be there."""
    root, *segments = text.split("/")
    plurals, ids = segments[::2], tuple(segments[1::2])
    kind = None
    for plural in plurals:
        kind = next((child for child in children(kind) if child.plural == plural), None)
        if kind is None:
            return None
    if kind is None or root or len(ids) < len(plurals):
        return None
    uri = ObjectUri(kind, ids)
    return uri if uri.is_possible else None
