"""If-Match and If-None-Match: go on, 304, or 412.

Rule: spec, "Records", section 6.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.protocol.errors import MODIFIED_MEANWHILE, Problem, ProtocolError, invalid
from chalicelib.protocol.stored import StoredObject, Tombstone

_QUOTED_INTEGER = re.compile(r'"(-?[0-9]{1,300})"')


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a request asks of the object or list that it meets.

    Attributes:
        unmodified_since: If-Match: "<ms>".
        modified_since: If-None-Match: "<ms>" of a read.
        must_be_new: If-None-Match: *
    """

    unmodified_since: int | None = None
    modified_since: int | None = None
    must_be_new: bool = False

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, reads: bool) -> "Preconditions":
        """Read both headers; names are in lower case.

        Args:
            headers: of the request.
            reads: for GET and HEAD; on writes any If-None-Match but `*` is ignored.

        Raises:
            ProtocolError: INVALID_PARAMETERS where one is malformed.
        """
        if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
        must_be_new = if_none_match == "*"
        modified_since = None
        if reads and if_none_match is not None and not must_be_new:
            modified_since = _quoted_integer(if_none_match)
            if modified_since is None:
                raise invalid([Problem("headers", None, "Invalid value for If-None-Match")])
        unmodified_since = None
        if if_match is not None:
            unmodified_since = _quoted_integer(if_match)
            if unmodified_since is None:
                description = (
                    "Invalid value for If-Match. The value should be integer between double quotes."
                )
                raise invalid([Problem("headers", None, description)])
        return cls(unmodified_since, modified_since, must_be_new)

    def is_not_modified(self, timestamp: int) -> bool:
        """Whether a read of what exists, and has this timestamp, is answered 304."""
        if self.modified_since is not None:
            return timestamp <= self.modified_since
        return self.must_be_new

    def check_object(self, existing: StoredObject | Tombstone | None) -> None:
        """Refuse a request for an object that is newer than the client knows.

        Raises:
            ProtocolError: MODIFIED_MEANWHILE, with the object or tombstone in `details.existing`.
        """
        if existing is None:
            return
        is_there = isinstance(existing, StoredObject)
        if (self.must_be_new and is_there) or self._is_newer(existing.last_modified):
            raise ProtocolError(
                MODIFIED_MEANWHILE,
                {"existing": existing.to_json()},
                timestamp=existing.last_modified,
            )

    def check_list(self, timestamp: int) -> None:
        """Refuse a request for a list that is newer than the client knows.

        Raises:
            ProtocolError: MODIFIED_MEANWHILE, without `existing`.
        """
        if self._is_newer(timestamp):
            raise ProtocolError(MODIFIED_MEANWHILE, {}, timestamp=timestamp)

    def _is_newer(self, timestamp: int) -> bool:
        return self.unmodified_since is not None and timestamp > self.unmodified_since


def _quoted_integer(text: str) -> int | None:
    found = _QUOTED_INTEGER.fullmatch(text)
    return int(found[1]) if found else None
