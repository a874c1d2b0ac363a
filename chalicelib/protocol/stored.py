"""An object or a tombstone, as the storage keeps it and the API shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.protocol.messages import JsonObject, JsonText, encoded

Permissions = Mapping[str, tuple[str, ...]]
"""Principals by the permission's name; never an empty list, no principal twice in one."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A bucket, collection, group or record.

    Attributes:
        id: unique in its list.
        last_modified: ms since the epoch.
        text: JSON of its properties but `id` and `last_modified`.
        permissions: its own, without what it inherits. Objects of a list have none.
    """

    id: str
    last_modified: int
    text: str
    permissions: Permissions = field(default_factory=dict)

    @classmethod
    def of(
        cls, id: str, last_modified: int, data: JsonObject, permissions: Permissions | None = None
    ) -> "StoredObject":
        """An object with these properties."""
        return cls(id, last_modified, encoded(data), permissions or {})

    @property
    def data(self) -> JsonObject:
        """Its properties but `id` and `last_modified`, parsed."""
        return JsonText(self.text).parsed

    def to_json(self) -> JsonObject:
        """`data` of an answer."""
        return {**self.data, "id": self.id, "last_modified": self.last_modified}

    def to_text(self) -> str:
        """The same as JSON; no id has a character that would be escaped."""
        own = f'{{"id":"{self.id}","last_modified":{self.last_modified}'
        return f"{own}}}" if self.text == "{}" else f"{own},{self.text[1:]}"


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

    def to_text(self) -> str:
        """The same as JSON."""
        return encoded(self.to_json())
