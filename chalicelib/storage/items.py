"""An object to an item and back, without loss. Rule: `docs/architecture.md`, "Data model"."""

import zlib
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.messages import JsonObject, JsonText, encoded
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.storage.keys import Key, time_key

RawItem: TypeAlias = dict[str, dict[str, Any]]
"""An item as DynamoDB's API has it: attribute values by name."""

MAX_ITEM_BYTES: Final = 400 * 1024
"""DynamoDB's limit of an item together with its entries in local indexes. No emulator checks."""

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""JSON of one object before compression."""

MAX_ANSWER_BYTES: Final = 5_500_000
"""JSON of one object as a string in JSON: an answer of Lambda is one, and ends at 6 MB."""

INDEXED_BODY_BYTES: Final = 32 * 1024
"""A greater body is in an attribute that no index projects, as its copy would count again."""

COMPRESSED_FROM_BYTES: Final = 1024
"""Below one write unit, compression saves nothing; from there on it makes any UTF-8 smaller."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What an event must tell of a write, beside the images.

    Attributes:
        user_id: who asked for it; None for the anonymous.
        request_id: of the request, or of the batch around it.
        by_list: whether the request's address was the list's.
        timestamp: the list's before the write, in ms.
        silent: whether no event tells of it.
    """

    user_id: str | None
    request_id: str
    by_list: bool
    timestamp: int
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """An object or tombstone as stored.

    Attributes:
        key: where.
        is_live: whether it is an object, and no tombstone.
        last_modified: ms since the epoch.
        version: the list's timestamp at this write; no two writes of an item share it.
        within: the incarnation of its parent that it was written in.
        incarnation: its own, of a bucket or collection that is live.
        permissions: of an object.
        body: its JSON text, compressed if it is bytes; None where an index lacks it.
        body_bytes: what a body takes in an answer that an index lacks, as it is large.
    """

    key: Key
    is_live: bool
    last_modified: int
    version: int
    within: str
    incarnation: str | None = None
    permissions: Permissions | None = None
    body: str | bytes | None = None
    body_bytes: int = 0

    @property
    def text(self) -> str:
        """The body as JSON text."""
        return decode_body(self.body).decode()

    @property
    def data(self) -> JsonObject:
        """The parsed body."""
        return JsonText(self.text).parsed

    @property
    def text_bytes(self) -> int:
        """What that takes."""
        return len(decode_body(self.body))

    def to_stored(self) -> StoredObject | Tombstone:
        """The object or tombstone in this item."""
        if not self.is_live:
            return Tombstone(self.key.id, self.last_modified)
        return StoredObject(self.key.id, self.last_modified, self.text, self.permissions or {})


def encode_body(data: JsonObject) -> str | bytes:
    """JSON text, or the same compressed where that saves something.

    Raises:
        ProtocolError: REQUEST_TOO_LARGE for more JSON than an answer can carry.
    """
    text = encoded(data)
    plain = text.encode()
    if len(plain) < COMPRESSED_FROM_BYTES:
        return text
    if len(plain) > MAX_BODY_BYTES or answer_bytes(plain) > MAX_ANSWER_BYTES:
        raise ProtocolError(REQUEST_TOO_LARGE)
    return zlib.compress(plain)


def decode_body(body: str | bytes | None) -> bytes:
    """The JSON that was encoded so, in UTF-8; none makes an empty object."""
    if isinstance(body, bytes):
        return zlib.decompress(body)
    return (body or "{}").encode()


def answer_bytes(plain: bytes) -> int:
    """What this JSON takes in an answer of Lambda, a string in JSON: a quote takes two bytes.

    Control characters are escaped in JSON already.
    """
    return len(plain) + plain.count(b'"') + plain.count(b"\\")


def to_raw(item: Item, cause: Cause) -> RawItem:
    """The item as DynamoDB stores it."""
    raw: RawItem = {
        "parent": {"S": item.key.parent},
        "id": {"S": item.key.id},
        "last_modified": {"N": str(item.last_modified)},
        "version": {"N": str(item.version)},
        "within": {"S": item.within},
        "cause": {"M": _cause_to_raw(cause)},
        "live" if item.is_live else "dead": {
            "S": time_key(item.within, item.last_modified, item.key.id)
        },
    }
    if item.is_live:
        raw |= _body_to_raw(item.body)
        raw["permissions"] = {
            "M": {
                name: {"L": [{"S": principal} for principal in principals]}
                for name, principals in (item.permissions or {}).items()
            }
        }
    if item.incarnation is not None:
        raw["incarnation"] = {"S": item.incarnation}
    return raw


def _body_to_raw(body: str | bytes | None) -> RawItem:
    """The body; a large one under another name, with its size in the place that indexes project."""
    if isinstance(body, str):
        return {"body": {"S": body}}  # short, or it would be compressed
    value = {"B": body or b""}
    if len(value["B"]) <= INDEXED_BODY_BYTES:
        return {"body": value}
    return {"body": {"N": str(answer_bytes(decode_body(body)))}, "large_body": value}


def _cause_to_raw(cause: Cause) -> RawItem:
    raw: RawItem = {
        "request_id": {"S": cause.request_id},
        "by_list": {"BOOL": cause.by_list},
        "timestamp": {"N": str(cause.timestamp)},
        "silent": {"BOOL": cause.silent},
    }
    if cause.user_id is not None:
        raw["user_id"] = {"S": cause.user_id}
    return raw


def cause_from_raw(raw: RawItem) -> Cause:
    """The cause of the write that left this item.

    Raises:
        KeyError: it has none.
    """
    cause = raw["cause"]["M"]
    return Cause(
        user_id=cause["user_id"]["S"] if "user_id" in cause else None,
        request_id=cause["request_id"]["S"],
        by_list=cause["by_list"]["BOOL"],
        timestamp=int(cause["timestamp"]["N"]),
        silent=cause["silent"]["BOOL"],
    )


def is_object(raw: RawItem) -> bool:
    """Whether this is an object or tombstone, and neither a clock nor a heartbeat's item."""
    return "live" in raw or "dead" in raw


def from_raw(raw: RawItem) -> Item:
    """The item that DynamoDB answered, of the table."""
    body = raw.get("large_body") or raw.get("body", {})
    return Item(
        key=Key(raw["parent"]["S"], raw["id"]["S"]),
        is_live="live" in raw,
        last_modified=int(raw["last_modified"]["N"]),
        version=int(raw["version"]["N"]),
        within=raw["within"]["S"],
        incarnation=raw["incarnation"]["S"] if "incarnation" in raw else None,
        permissions=_permissions_from_raw(raw.get("permissions")),
        body=body.get("S", body.get("B")),
    )


def _permissions_from_raw(raw: dict[str, Any] | None) -> Permissions:
    return {
        name: tuple(principal["S"] for principal in principals["L"])
        for name, principals in (raw or {"M": {}})["M"].items()
    }


_INDEXED: Final = frozenset({"parent", "id", "live", "dead", "version", "body"})


def stored_bytes(raw: RawItem) -> int:
    """What DynamoDB counts for an item: its attributes, and again what its index holds of it."""
    return sum(
        _attribute_bytes(name, value) * (2 if name in _INDEXED else 1)
        for name, value in raw.items()
    )


def checked_bytes(raw: RawItem) -> int:
    """The same, of what is to be written.

    Raises:
        ProtocolError: REQUEST_TOO_LARGE where it is more than an item can hold.
    """
    size = stored_bytes(raw)
    if size > MAX_ITEM_BYTES:
        raise ProtocolError(REQUEST_TOO_LARGE)
    return size


def _attribute_bytes(name: str, value: dict[str, Any]) -> int:
    return len(name.encode()) + _value_bytes(value)


def _value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "B":
        return len(content)
    if kind == "N":
        return len(content) // 2 + 2
    if kind == "L":
        return 3 + sum(1 + _value_bytes(element) for element in content)
    if kind == "M":
        return 3 + sum(1 + _attribute_bytes(name, element) for name, element in content.items())
    return 1
