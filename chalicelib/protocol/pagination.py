"""The token that a page hands to the next: where it ended, and what the first page said.

Rule: spec, "Lists", section 6, and decision 12: all pages of a walk have the ETag of the first.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from chalicelib.protocol.errors import Problem, ProtocolError, invalid
from chalicelib.protocol.sorting import Place

_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Token:
    """What a page hands to the next.

    Attributes:
        after: the place to go on from, in the order of the query.
        timestamp: the list's, as on the first page of the walk.
    """

    after: Place
    timestamp: int

    def seal(self, key: bytes, query: object) -> str:
        """The token as text that only this service can make.

        Args:
            key: the service's secret.
            query: what the token is good for, as plain JSON.
        """
        content = json.dumps([self.after, self.timestamp], ensure_ascii=False).encode()
        return _to_text(_mac(key, query, content) + content)


def open_token(text: str, key: bytes, query: object) -> Token:
    """The token that was sealed as this text, for this query.

    Raises:
        ProtocolError: INVALID_PARAMETERS where it was made for another query, or elsewhere.
    """
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _refused() from error
    mac, content = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    # Base64 has several texts for the same bytes; only one of them was made here.
    if _to_text(sealed) != text or not hmac.compare_digest(mac, _mac(key, query, content)):
        raise _refused()
    after, timestamp = json.loads(content)
    return Token(tuple(after), timestamp)


def derive_key(secret: str) -> bytes:
    """The key of tokens, from the service's secret."""
    return hmac.digest(secret.encode(), b"kinto page tokens", hashlib.sha256)


def _to_text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _mac(key: bytes, query: object, content: bytes) -> bytes:
    message = json.dumps(query, sort_keys=True).encode() + b"\0" + content
    return hmac.digest(key, message, hashlib.sha256)[:_MAC_BYTES]


def _refused() -> ProtocolError:
    return invalid([Problem("querystring", None, "_token has invalid content")])
