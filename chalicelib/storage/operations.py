"""What a write of an item did, to whom it is told: the same in its transaction and after it.

Rule: `docs/architecture.md`, "Events".
"""

from chalicelib.protocol.events import CREATE, DELETE, UPDATE, Impact, Operation
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.items import Cause, Item


def operation_of(
    uri: ObjectUri, before: Item | None, after: Item, cause: Cause, *, is_cut: bool = False
) -> Operation | None:
    """The operation that a write was; None where it is not told of.

    Args:
        uri: the object's address.
        before: its item, whatever it was; what is no object within the same incarnation of the
            parent was not there.
        after: its item, an object or a tombstone.
        cause: of the write.
        is_cut: whether to tell of the objects no more than what names them.
    """
    if cause.silent:
        return None
    old = _seen_before(before, after)
    if after.is_live:
        action = CREATE if old is None else UPDATE
    elif old is None:
        return None  # created and deleted in one transaction
    else:
        action = DELETE
    return Operation(
        action,
        uri.list if cause.by_list else uri,
        cause.timestamp,
        cause.user_id,
        cause.request_id,
        (Impact(uri, after.version, _named(after) if is_cut else _record(action, old, after)),),
        is_cut,
    )


def told_bytes(before: Item | None, after: Item) -> int:
    """What the bodies take, as JSON, that the operation of a write tells."""
    old = _seen_before(before, after)
    told = (after, old) if after.is_live else ()  # of a deletion, it is the tombstone
    return sum(item.text_bytes for item in told if item is not None)


def _seen_before(before: Item | None, after: Item) -> Item | None:
    """The object that was there, within the same incarnation of the parent."""
    return before if before and before.is_live and before.within == after.within else None


def _named(item: Item) -> JsonObject:
    return {"id": item.key.id, "last_modified": item.last_modified}


def _record(action: str, old: Item | None, after: Item) -> JsonObject:
    if action == DELETE or old is None:
        return {"old" if action == DELETE else "new": after.to_stored().to_json()}
    return {"new": after.to_stored().to_json(), "old": old.to_stored().to_json()}
