"""An object or a tombstone, as the storage keeps it and the API shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.protocol.messages import JsonObject

Permissions = Mapping[str, tuple[str, ...]]
"""Principals by the permission's name; never an empty list, no principal twice in one."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A bucket, collection, group or record.

    Attributes:
        id: unique in its list.
        last_modified: ms since the epoch.
        data: its properties but `id` and `last_modified`.
        permissions: its own, without what it inherits. Objects of a list have none.
    """

    id: str
    last_modified: int
    data: JsonObject
    permissions: Permissions = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """`data` of an answer."""
        return {**self.data, "id": self.id, "last_modified": self.last_modified}


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What a deletion leaves in its list.

    Attributes:
        id: of what was deleted.
        last_modified: when, in ms since the epoch.
    """

    id: str
    last_modified: int

    def to_json(self) -> JsonObject:
        """`data` of an answer."""
        return {"id": self.id, "last_modified": self.last_modified, "deleted": True}
