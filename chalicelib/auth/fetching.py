"""JSON documents of providers: https alone, no redirects, within limits of size and time."""

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from chalicelib.protocol.urls import problem_of_url

TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = 16 * 1024


class FetchError(Exception):
    """A document that can't be had; says why, without its URL.

    Attributes:
        status: the answer's, where there was one.
    """

    def __init__(self, why: str, status: int | None = None) -> None:
        """Say why."""
        super().__init__(why)
        self.status = status


def is_safe_url(url: str) -> bool:
    """Whether this is an https URL; http will do on a loopback address, for development."""
    return problem_of_url(url, allows_loopback=True, allows_fragment=True) is None


def fetch_json(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at a URL.

    Args:
        url: of https, or http on a loopback address.
        headers: sent along.

    Raises:
        FetchError: not reached within 3 s, another status than 200 (also a redirect: none is
            followed, as it would take the headers along), above 256 KB, or no JSON object.
    """
    if not is_safe_url(url):
        raise FetchError("not an https URL")
    sent = {"Accept": "application/json", "User-Agent": "kinto-serverless", **(headers or {})}
    try:
        with _opener().open(Request(url, headers=sent), timeout=TIMEOUT_S) as response:  # noqa: S310
            if response.status != HTTPStatus.OK:
                raise FetchError(f"answered {response.status}", response.status)
            content = _read(response)
    except HTTPError as error:
        error.close()
        raise FetchError(f"answered {error.code}", error.code) from None
    except URLError as error:
        raise FetchError(f"not reached: {type(error.reason).__name__}") from None
    except (OSError, HTTPException) as error:
        raise FetchError(f"not reached: {type(error).__name__}") from None
    return _parse(content)


def _opener() -> OpenerDirector:
    """An opener that knows http and https alone: no files, and no redirects."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _read(response: HTTPResponse) -> bytes:
    """The whole body. The socket's timeout is that of one read: drops may come in forever."""
    until = time.monotonic() + TIMEOUT_S
    content = b""
    while chunk := response.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_BYTES:
            raise FetchError(f"more than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise FetchError(f"takes longer than {TIMEOUT_S:g} s")
    return content


def _parse(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise FetchError("not JSON") from None
    if not isinstance(document, dict):
        raise FetchError("not a JSON object")
    return document
