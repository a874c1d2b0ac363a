"""Request and Response, as everything behind the edge sees them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

VERSION_PREFIX: Final = "/v1"
"""What every path that is served begins with."""

JsonObject = dict[str, Any]
"""A JSON object as parsed. What is in it is the client's."""

_UNDECODED = re.compile("[\ud800-\udfff]")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON object as text: what is stored is answered without being parsed.

    Attributes:
        text: as `encoded` makes it.
    """

    text: str

    @property
    def parsed(self) -> JsonObject:
        """The object."""
        value: JsonObject = json.loads(self.text)
        return value


def encoded(value: Any) -> str:
    """JSON as it is sent: in UTF-8, and short."""
    return value.text if isinstance(value, JsonText) else _encode(value)


def is_utf8(text: str) -> bool:
    """Whether what was decoded of a path or query string is all UTF-8."""
    return _UNDECODED.search(text) is None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, free of the gateway that brought it.

    Attributes:
        method: in upper case.
        path: percent-decoded, from the version prefix on: `/v1/buckets/blog`.
        query: the parameters as decoded, repetitions included.
        headers: names in lower case.
        body: the bytes as sent, empty where there are none.
        base_url: scheme, host and any stage in front of `path`, without a slash at the end.
        id: names this request in logs and events.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = "http://localhost"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a Request.

    Attributes:
        status: the HTTP status code.
        body: an object that is sent as JSON, parsed or not; None where nothing is.
        headers: without those of the connection and the content.
        says_null: whether JSON's `null` is sent where there is no body.
        facts: what the log tells of it beside, by Kinto's names.
    """

    status: int
    body: JsonObject | JsonText | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    says_null: bool = False
    facts: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def parsed(self) -> JsonObject:
        """The body as an object; an empty one where there is none."""
        return self.body.parsed if isinstance(self.body, JsonText) else self.body or {}
