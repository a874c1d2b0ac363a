"""How long clients may cache what they read.

Rule: spec, "Collection schemas and client caching", section 7.
"""

from email.utils import formatdate
from typing import Any, Final

from chalicelib.api.calls import Call
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ListUri, ObjectUri

_NO_CACHE: Final = {"Cache-Control": "no-cache"}
_NO_STORE: Final = {
    "Cache-Control": "max-age=0, must-revalidate, no-cache, no-store",
    "Pragma": "no-cache",
}
_MAX_SECONDS: Final = 2**31 - 1


def cache_headers(call: Call, uri: ObjectUri | ListUri) -> dict[str, str]:
    """What a successful GET or HEAD of an object or list says about caching.

    Args:
        call: has loaded the parent.
        uri: of what is read.
    """
    if call.user_id is not None:
        return _NO_CACHE
    seconds = _seconds_of_parent(call, uri)
    if seconds is None:
        # Not to be kept is what a client is told anyway: 0 of a kind changes nothing.
        seconds = getattr(call.settings, f"{uri.kind.name}_cache_expires_seconds") or None
    if seconds is None:
        return _NO_CACHE
    cache = {"Cache-Control": f"max-age={seconds}"} if seconds else _NO_STORE
    expires_s = call.unit.now_ms() // 1000 + seconds
    return {**cache, "Expires": formatdate(expires_s, usegmt=True)}


def _seconds_of_parent(call: Call, uri: ObjectUri | ListUri) -> int | None:
    """What is set for records of this collection, or of this bucket; None for other kinds."""
    collection = uri.parent
    if uri.kind is not RECORD or collection is None:
        return None
    stored = call.unit.find(collection)
    own = stored.data.get("cache_expires") if isinstance(stored, StoredObject) else None
    candidates = (
        own if _is_seconds(own) else None,
        call.settings.cache_expires_of_records(*collection.ids),
        call.settings.cache_expires_of_records(*collection.ids[:1]),
    )
    return next((seconds for seconds in candidates if seconds is not None), None)


def _is_seconds(value: Any) -> bool:
    """Collections that were written before this was checked may hold anything."""
    return type(value) is int and 0 <= value <= _MAX_SECONDS
