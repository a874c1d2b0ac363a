"""What was done to objects, as Kinto tells of it.

Rule: spec, "The service around the resources", section 12.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from chalicelib.protocol.kinds import KINDS, Kind
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ListUri, ObjectUri

CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"
READ: Final = "read"

CHANGES: Final = (CREATE, UPDATE, DELETE)
ACTIONS: Final = (*CHANGES, READ)
MAX_NAMED_READS: Final = 1_000
"""Objects that a truncated event of what was read names. A change names all."""

RESOURCES: Final = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Impact:
    """What was done to one object.

    Attributes:
        uri: its address.
        version: the list's timestamp at this write; of what was read, its `last_modified`.
        record: `{"new": …, "old": …}` of a change; the object itself where it was read.
    """

    uri: ObjectUri
    version: int
    record: JsonObject


@dataclass(frozen=True, slots=True)
class Operation:
    """A successful operation on an object or a list.

    Attributes:
        action: one of ACTIONS.
        address: the object's, or the list's where the request named that.
        timestamp: of the list before the operation, in ms.
        user_id: who asked for it, with prefix; None for the anonymous.
        request_id: of the request, or of the batch around it.
        impacts: on objects; none where a list was read that shows nothing.
        is_cut: whether the records are too large to be told, and have no more than `id` and
            `last_modified`.
    """

    action: str
    address: ObjectUri | ListUri
    timestamp: int
    user_id: str | None
    request_id: str
    impacts: tuple[Impact, ...]
    is_cut: bool = False

    @property
    def in_list(self) -> ListUri:
        """The list that it was about, or that the object is in."""
        return self.address if isinstance(self.address, ListUri) else self.address.list


@dataclass(frozen=True)
class Event:
    """Operations of one request that are alike: in one list, by the same action.

    Attributes:
        id: the same for the same changes, whenever they are told of.
        payload: Kinto's: that of the first operation; and the id of its request.
        records: `{"new": …, "old": …}` of each object that was changed, or the objects that were
            read. Of a truncated payload, just their `id` and `last_modified`.
    """

    id: str
    payload: JsonObject
    records: tuple[JsonObject, ...]

    @classmethod
    def of(cls, operations: Sequence[Operation]) -> "Event":
        """The event of operations that are alike, at least one."""
        first = operations[0]
        impacts = [impact for operation in operations for impact in operation.impacts]
        holders = first.address.ancestors
        named = holders if isinstance(first.address, ListUri) else (*holders, first.address)
        payload = {
            "timestamp": first.timestamp,
            "action": first.action,
            "uri": str(first.address),
            "user_id": first.user_id,
            "resource_name": first.in_list.kind.name,
            "request_id": first.request_id,
            **{f"{uri.kind.name}_id": uri.id for uri in named},
        }
        told = [first.request_id, first.action, str(first.address)]
        told += [f"{impact.uri} {impact.version}" for impact in impacts]
        digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
        event = cls(f"evt_{digest[:32]}", payload, tuple(impact.record for impact in impacts))
        return event.truncated() if any(each.is_cut for each in operations) else event

    @classmethod
    def from_json(cls, told: JsonObject) -> "Event":
        """The event that `to_json` gave.

        Raises:
            KeyError: it is none.
        """
        payload = {**told}
        return cls(payload.pop("event_id"), payload, tuple(payload.pop(_records(payload))))

    def to_json(self) -> JsonObject:
        """The message about it that leaves the service: its id, the payload and the records."""
        return {"event_id": self.id, **self.payload, _records(self.payload): [*self.records]}

    def truncated(self) -> "Event":
        """The same with no more of the records than what names them."""
        named = [
            record.get("new") or record.get("old") or record for record in self.impacted_records
        ]
        objects = (*named, *self.read_records[:MAX_NAMED_READS])
        records = ({name: one[name] for name in ("id", "last_modified")} for one in objects)
        return replace(self, payload={**self.payload, "truncated": True}, records=tuple(records))

    @property
    def request_id(self) -> str | None:
        """Of the request that led to it; None in messages of versions that didn't tell."""
        return self.payload.get("request_id")

    @property
    def impacted_records(self) -> tuple[JsonObject, ...]:
        """What was changed; nothing where it was read."""
        return () if self.payload["action"] == READ else self.records

    @property
    def read_records(self) -> tuple[JsonObject, ...]:
        """What was read; nothing where it was changed."""
        return self.records if self.payload["action"] == READ else ()

    @property
    def in_list(self) -> ListUri:
        """The list that all of it was done in."""
        kind = next(kind for kind in KINDS if kind.name == self.payload["resource_name"])
        return ListUri(kind, tuple(self.payload[f"{each.name}_id"] for each in _above(kind)))


def _records(payload: JsonObject) -> str:
    return "read_records" if payload["action"] == READ else "impacted_records"


def _above(kind: Kind) -> list[Kind]:
    return [] if kind.parent is None else [*_above(kind.parent), kind.parent]


def to_events(operations: Iterable[Operation]) -> list[Event]:
    """Operations merged by request, list and action, in the order of their first ones.

    Nothing is merged over what happened to the same object in between: whoever takes the events
    in their order sees the changes of each object in theirs.
    """
    merged: list[list[Operation]] = []
    number_of: dict[tuple[str, ListUri, str], int] = {}
    last_of: dict[ObjectUri, int] = {}
    for operation in operations:
        key = (operation.request_id, operation.in_list, operation.action)
        uris = [impact.uri for impact in operation.impacts]
        number = number_of.get(key, -1)
        if number < max((last_of.get(uri, 0) for uri in uris), default=0):
            number = number_of[key] = len(merged)
            merged.append([])
        merged[number].append(operation)
        last_of.update(dict.fromkeys(uris, number))
    return [Event.of(operations) for operations in merged]


@dataclass(frozen=True)
class Selection:
    """Which operations somebody wants to hear of.

    Attributes:
        actions: those of ACTIONS.
        resources: names of kinds.
        uris: patterns of the addresses of objects, where `*` is any text; none selects all.
    """

    actions: frozenset[str] = frozenset(CHANGES)
    resources: frozenset[str] = frozenset(RESOURCES)
    uris: tuple[str, ...] = ()

    def of(self, operations: Iterable[Operation]) -> list[Operation]:
        """These operations, as far as they are wanted."""
        found = map(self._part_of, operations)
        return [operation for operation in found if operation is not None]

    def _part_of(self, operation: Operation) -> Operation | None:
        if (
            operation.action not in self.actions
            or operation.in_list.kind.name not in self.resources
        ):
            return None
        if self._pattern is None:
            return operation
        if not operation.impacts:
            return operation if self._pattern.fullmatch(str(operation.address)) else None
        impacts = tuple(
            impact for impact in operation.impacts if self._pattern.fullmatch(str(impact.uri))
        )
        return replace(operation, impacts=impacts) if impacts else None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        if not self.uris:
            return None
        alternatives = (".*".join(map(re.escape, uri.split("*"))) for uri in self.uris)
        return re.compile("|".join(alternatives))
