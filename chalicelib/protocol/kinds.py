"""What tells buckets, collections, groups and records apart, as data."""

import re
from dataclasses import dataclass

MAX_ID_LENGTH = 400
"""Characters of an id. Two ids and a record's fit into a range key of DynamoDB (1,024 bytes)."""

_NAME = re.compile(rf"[a-zA-Z0-9][a-zA-Z0-9_-]{{0,{MAX_ID_LENGTH - 1}}}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One of the four kinds of objects.

    Attributes:
        name: `record`, as settings, events and errors call it.
        plural: the path segment of its lists.
        parent: the kind that holds it; None for buckets.
        permissions: the names that its objects' permissions may have, in the spec's order.
        id_pattern: what an id must match as a whole.
        properties: the only ones that are kept; None keeps all.
        listed_by: the properties that a list can be filtered and sorted by; None for any.
    """

    name: str
    plural: str
    parent: "Kind | None"
    permissions: tuple[str, ...]
    id_pattern: re.Pattern[str] = _NAME
    properties: tuple[str, ...] | None = None
    listed_by: tuple[str, ...] | None = ()

    def is_id(self, text: object) -> bool:
        """Whether this can be an id of this kind. Rule: spec, "Records" 3 and "Objects" 2."""
        return isinstance(text, str) and self.id_pattern.fullmatch(text) is not None

    def lists_field(self, field: str) -> bool:
        """Whether lists can be filtered and sorted by this field. Rule: spec, "Lists"."""
        if self.listed_by is None or field in self.listed_by:
            return True
        return field in ("id", "last_modified", "deleted")

    def __repr__(self) -> str:
        """The kind's name, for traces."""
        return f"<{self.name}>"


BUCKET = Kind("bucket", "buckets", None, ("read", "write", "collection:create", "group:create"))
COLLECTION = Kind(
    "collection",
    "collections",
    BUCKET,
    ("read", "write", "record:create"),
    listed_by=("schema", "cache_expires"),
)
GROUP = Kind(
    "group",
    "groups",
    BUCKET,
    ("read", "write"),
    properties=("members",),
    listed_by=("members",),
)
RECORD = Kind("record", "records", COLLECTION, ("read", "write"), id_pattern=_UUID, listed_by=None)

KINDS = (BUCKET, COLLECTION, GROUP, RECORD)


def children(kind: Kind | None) -> tuple[Kind, ...]:
    """The kinds that one of this kind holds: none for groups and records; of None, buckets."""
    return tuple(other for other in KINDS if other.parent is kind)
