"""Ids that the server chooses. Rule: spec, "Records" 3, "Buckets, collections and groups" 2."""

import string
import uuid

RANDOM_BYTES = 16
"""That an id is made of."""

_FIRST = string.ascii_letters + string.digits
_OTHERS = _FIRST + "-_"


def uuid_from_random(random: bytes) -> str:
    """A version 4 UUID, as records have it, of 16 bytes."""
    return str(uuid.UUID(bytes=random, version=4))


def name_from_random(random: bytes) -> str:
    """A name of 8 characters, as all other kinds have it, of 16 bytes."""
    first, *others = random[:8]
    return _FIRST[first % len(_FIRST)] + "".join(_OTHERS[byte % len(_OTHERS)] for byte in others)
