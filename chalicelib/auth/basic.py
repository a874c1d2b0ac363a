"""Basic authentication: any name with any password is a user. Rule: spec, "Users", section 1."""

import hashlib
import hmac

from chalicelib.protocol.credentials import credentials_of, decode_basic
from chalicelib.protocol.messages import Request

NAME = "basicauth"


class BasicPolicy:
    """Derives user ids from names and passwords; there are no accounts."""

    challenge = 'Basic realm="Realm"'

    def __init__(self, secret: str, name: str = NAME) -> None:
        """Take the setting `userid_hmac_secret`; another one means other users."""
        self.name = name
        self._key = secret.encode()

    def user_id(self, request: Request) -> str | None:
        """The user id; None where the header is missing or makes no sense."""
        text = _name_and_password(request)
        if text is None:
            return None
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()


def _name_and_password(request: Request) -> str | None:
    credentials = credentials_of(request)
    if credentials is None or credentials.scheme != "basic":
        return None
    text = decode_basic(credentials.token)
    name, colon, _password = (text or "").partition(":")
    return text if name and colon else None
