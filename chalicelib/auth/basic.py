"""Basic authentication: any name with any password is a user. Rule: spec, "Users", section 1."""

import base64
import binascii
import hashlib
import hmac

from chalicelib.protocol.messages import Request

NAME = "basicauth"


class BasicPolicy:
    """Derives user ids from names and passwords; there are no accounts."""

    def __init__(self, secret: str) -> None:
        """Take the setting `userid_hmac_secret`; another one means other users."""
        self._key = secret.encode()

    def user_id(self, request: Request) -> str | None:
        """The user id with its prefix; None where the header is missing or makes no sense."""
        credentials = _credentials(request.headers.get("authorization", ""))
        if credentials is None:
            return None
        digest = hmac.digest(self._key, credentials.encode(), hashlib.sha256)
        return f"{NAME}:{digest.hex()}"


def _credentials(header: str) -> str | None:
    """`name:password` from an Authorization header."""
    parts = header.split(maxsplit=1)
    if len(parts) != 2 or parts[0].lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(parts[1].rstrip(), validate=True)
    except (ValueError, binascii.Error):
        return None
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        text = decoded.decode("latin-1")
    name, colon, _password = text.partition(":")
    return text if name and colon else None
