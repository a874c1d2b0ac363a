"""Ids that the server chooses. Rule: spec, "Records" 3, "Buckets, collections and groups" 2."""

import string
import uuid

from chalicelib.protocol.kinds import RECORD, Kind

_FIRST = string.ascii_letters + string.digits
_OTHERS = _FIRST + "-_"


def id_from_random(kind: Kind, random: bytes) -> str:
    """A new id: a version 4 UUID for records, a name of 8 characters for all others.

    Args:
        kind: of the object.
        random: 16 bytes.
    """
    if kind is RECORD:
        return str(uuid.UUID(bytes=random, version=4))
    first, *others = random[:8]
    return _FIRST[first % len(_FIRST)] + "".join(_OTHERS[byte % len(_OTHERS)] for byte in others)
