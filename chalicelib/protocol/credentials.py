"""The Authorization header: what it holds, and its removal from what others read."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from chalicelib.protocol.messages import Request

HIDDEN = "***"
"""What stands in the place of a credential."""

_UNESCAPED = re.compile("[A-Za-z0-9]+")

_SHORT = 4
"""Credentials below this length occur in any text; they are hidden where they stand alone."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An Authorization header.

    Attributes:
        scheme: in lower case, as it is read in any: `basic`, `bearer`.
        token: all that follows, without the blanks around it; never empty.
    """

    scheme: str
    token: str


def credentials_of(request: Request) -> Credentials | None:
    """What the request's Authorization header holds; None without header, or token in it."""
    return _credentials_in(request.headers.get("authorization", ""))


def _credentials_in(authorization: str) -> Credentials | None:
    parts = authorization.split(maxsplit=1)
    return Credentials(parts[0].lower(), parts[1].rstrip()) if len(parts) == 2 else None


def decode_basic(token: str) -> str | None:
    """`name:password` of the scheme `basic`, whatever it is; None for what is no base64."""
    try:
        decoded = base64.b64decode(token, validate=True)
    except (ValueError, binascii.Error):
        return None
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        return decoded.decode("latin-1")


def redacted(request: Request, text: str) -> str:
    """The text without the credentials of the request, however they are spelled in it."""
    return hiding(request)(text)


def hiding(request: Request) -> Callable[[str], str]:
    """What makes texts such as `redacted` gives, for several of them."""
    return _hiding_in(request.headers.get("authorization", ""))


@lru_cache(maxsize=1)  # for the requests of a batch
def _hiding_in(authorization: str) -> Callable[[str], str]:
    return _hiding(_secrets_in(authorization))


def without(secrets: Iterable[str], text: str) -> str:
    """The text without these, however they are spelled in it: as they are, escaped, quoted."""
    return _hiding(secrets)(text)


def _hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    sought = {secret for secret in secrets if secret}
    signs = {_sign_of(secret) for secret in sought}

    def hide(text: str) -> str:
        for sign in signs:
            if sign in text:
                return _hidden(sought, text)
        return text

    return hide


def _sign_of(secret: str) -> str:
    """What every spelling of a secret has in it, so that most texts need no closer look."""
    if secret.isalnum() and secret.isascii():
        return secret
    return max(_UNESCAPED.findall(secret), key=len, default="")


def _hidden(secrets: Iterable[str], text: str) -> str:
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)} - {""}
    for spelling in sorted(spellings, key=lambda spelling: (-len(spelling), spelling)):
        if spelling in text:
            text = _replaced(spelling, text)
    return text


def _replaced(secret: str, text: str) -> str:
    if len(secret) >= _SHORT:  # no regular expression: it takes milliseconds to compile a token
        return text.replace(secret, HIDDEN)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)


def _secrets_in(authorization: str) -> Iterator[str]:
    credentials = _credentials_in(authorization)
    if credentials is None:
        yield authorization.strip()  # without scheme: all of it
        return
    yield credentials.token
    yield credentials.token.rstrip("=")  # base64 decodes without them, and `=` splits parameters
    if credentials.scheme == "basic" and (text := decode_basic(credentials.token)):
        yield text
        yield text.partition(":")[2]


def _spellings(secret: str) -> Iterator[str]:
    """The secret, and as exceptions, logs and URLs show it."""
    yield secret
    if re.fullmatch("[A-Za-z0-9_.~-]*", secret):
        return  # as most are, and tokens, which are long: nothing escapes these characters
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    for encoding in ("utf-8", "latin-1"):
        with suppress(UnicodeEncodeError):
            encoded = secret.encode(encoding)
            yield repr(encoded)[2:-1]
            yield quote(encoded)
            yield quote(encoded, safe="")
