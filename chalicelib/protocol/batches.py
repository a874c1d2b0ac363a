"""A batch's payload to the requests in it, or every problem at once.

Rule: spec, "Batch and transactions", sections 1 to 4 and 7.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from chalicelib.protocol.bodies import NOT_A_MAPPING, as_text, load_object
from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.messages import VERSION_PREFIX, JsonObject, Request, encoded
from chalicelib.protocol.negotiation import JSON, is_json

METHODS: Final = ("GET", "HEAD", "DELETE", "TRACE", "POST", "PUT", "PATCH")
PATH: Final = f"{VERSION_PREFIX}/batch"

MAX_PROBLEMS: Final = 200
"""Problems that are listed. A payload has room for millions of requests, an answer has not."""

MAX_SHOWN_CHARACTERS: Final = 1000
"""Of a value in a description, as each request that takes over a default shows it again."""

_MAX_SHOWN_HEADERS: Final = 50

_REQUESTS_MISSING = Problem("body", "requests", "requests is missing")
_RECURSION = Problem("body", "requests", "Recursive call on /batch endpoint is forbidden.")
_REQUIRED = "Required"


def parse_batch(request: Request, *, max_requests: int) -> list[Request]:
    """The requests in a batch, complete: each as if it had been sent alone.

    Args:
        request: the batch.
        max_requests: that it may hold; 0 for any number.

    Raises:
        ProtocolError: INVALID_PARAMETERS with every problem: of the payload as a whole, of
            `defaults`, then by position of the requests. Where there are none: more requests
            than may be, or a batch among them.
    """
    payload = _payload_of(request)
    defaults = _Defaults.of(payload.get("defaults"))
    problems = [*islice(_problems_of(payload, defaults), MAX_PROBLEMS)]
    if problems:
        raise invalid(problems)
    entries = payload["requests"]
    if max_requests and len(entries) > max_requests:
        description = f"Number of requests is limited to {max_requests}"
        raise invalid([Problem("body", "requests", description)])
    requests = [_completed(entry, defaults.attributes, request) for entry in entries]
    if any(each.path.rstrip("/") == PATH for each in requests):
        raise invalid([_RECURSION])
    return requests


def _payload_of(request: Request) -> JsonObject:
    """The JSON object that was sent; empty where nothing was sent, or something else than JSON."""
    if not is_json(request.headers.get("content-type", "")):
        return {}
    payload = load_object(request.body)
    if isinstance(payload, Problem):
        raise invalid([payload, _REQUESTS_MISSING])
    return payload


# Problems: nothing is merged for them, as without a bound on the number of requests, the defaults
# once for each are more than there is memory for.


def _problems_of(payload: JsonObject, defaults: "_Defaults") -> Iterator[Problem]:
    yield from defaults.problems
    if "requests" not in payload:
        yield _REQUESTS_MISSING
        return
    entries = payload["requests"]
    if not isinstance(entries, list):
        yield Problem("body", "requests", f'"{_shown(entries)}" is not iterable')
        return
    for position, entry in enumerate(entries):
        where = f"requests.{position}"
        if not isinstance(entry, dict):
            yield Problem("body", where, _no_mapping(entry))
            continue
        for name in _FAULTS:
            if fault := defaults.fault_in(entry, name):
                yield Problem("body", f"{where}.{name}", fault)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What completes each request.

    Attributes:
        attributes: by name, as sent.
        faults: what is wrong with an attribute, for those who take it over.
        wrong_headers: names, in lower case, of headers that are no texts.
        problems: of the defaults themselves.
    """

    attributes: JsonObject
    faults: Mapping[str, str]
    wrong_headers: frozenset[str]
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, value: Any) -> "_Defaults":
        """Look at `defaults`; null is none."""
        if not isinstance(value, dict):
            refused = () if value is None else (Problem("body", "defaults", _no_mapping(value)),)
            return cls({}, {}, frozenset(), refused)
        faults = {
            name: fault
            for name, fault_of in _FAULTS.items()
            if name in value and (fault := fault_of(value[name]))
        }
        headers = value.get("headers")
        wrong = _no_texts(headers) if isinstance(headers, dict) else ()
        problems = [
            Problem("body", f"defaults.{name}", fault)
            for name, fault in faults.items()
            if fault != _REQUIRED  # a path is required of requests alone
        ]
        return cls(value, faults, frozenset(map(str.lower, wrong)), tuple(problems))

    def fault_in(self, entry: JsonObject, name: str) -> str | None:
        """What is wrong with an attribute of a request, its own or taken over; None if nothing."""
        if name == "headers" and isinstance(entry.get(name), dict):
            return self._fault_in_headers(entry[name])
        if name in entry and not (name == "body" and entry[name] == {}):
            return _FAULTS[name](entry[name])
        if name in self.attributes:
            return self.faults.get(name)
        return _REQUIRED if name == "path" else None

    def _fault_in_headers(self, own: JsonObject) -> str | None:
        if not self.wrong_headers:
            return _fault_of_headers(own)
        names = set(map(str.lower, own))
        if self.wrong_headers <= names:
            return _fault_of_headers(own)
        inherited = self.attributes["headers"].items()
        others = ((name, text) for name, text in inherited if name.lower() not in names)
        return _no_texts_among(chain(own.items(), others))


def _fault_of_method(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return f"{_shown(value)} is not a string: {{'method': ''}}"
    if value not in METHODS:
        return f'"{_shown(value)}" is not one of {", ".join(METHODS)}'
    return None


def _fault_of_path(value: Any) -> str | None:
    if value is None or value == "":
        return _REQUIRED
    if not isinstance(value, str):
        return f"{_shown(value)} is not a string: {{'path': ''}}"
    if not value.startswith("/"):
        return "String does not match expected pattern"
    try:
        _address_of(value)
    except UnicodeDecodeError:
        return "String is not UTF-8 once decoded"
    return None


def _fault_of_headers(value: Any) -> str | None:
    if not isinstance(value, dict):
        return _no_mapping(value)
    return _no_texts_among(value.items()) if any(_no_texts(value)) else None


def _fault_of_body(value: Any) -> str | None:
    return None if isinstance(value, dict) else _no_mapping(value)


_FAULTS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "method": _fault_of_method,
    "path": _fault_of_path,
    "headers": _fault_of_headers,
    "body": _fault_of_body,
}


def _no_texts(headers: JsonObject) -> Iterator[str]:
    return (name for name, text in headers.items() if not isinstance(text, str))


def _no_texts_among(headers: Iterable[tuple[str, Any]]) -> str:
    shown = str(dict(islice(headers, _MAX_SHOWN_HEADERS)))  # as Python writes it, by the spec
    return f"{_cut(shown)} contains non string value"


def _no_mapping(value: Any) -> str:
    return f'"{_shown(value)}" {NOT_A_MAPPING}'


def _shown(value: Any) -> str:
    return _cut(as_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


# Completing: of what is known to be right


def _completed(entry: JsonObject, defaults: JsonObject, batch: Request) -> Request:
    """A request of a batch, on its own."""
    path, query = _address_of(entry.get("path") or defaults["path"])
    method = entry["method"] if "method" in entry else defaults.get("method")
    body = _merged(entry.get("body", {}), defaults.get("body", {}))
    own = {
        name.lower(): text
        for name, text in chain(
            defaults.get("headers", {}).items(), entry.get("headers", {}).items()
        )
    }
    headers = {
        name: text
        for name, text in {**batch.headers, **own}.items()
        if text or name not in own  # an empty text takes away what is inherited
    }
    if body:
        headers["content-type"] = JSON
    return Request(
        method=method or "GET",
        path=path,
        query=query,
        headers=headers,
        body=encoded(body).encode() if body else b"",
        base_url=batch.base_url,
        id=batch.id,
    )


def _address_of(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The path from the version prefix on, and the parameters, of what a request calls its path.

    Raises:
        UnicodeDecodeError: percent-encoded bytes are no UTF-8.
    """
    quoted, _, query = text.partition("?")
    path = unquote(quoted, errors="strict")
    if path != VERSION_PREFIX and not path.startswith(f"{VERSION_PREFIX}/"):
        path = VERSION_PREFIX + path
    return path, tuple(parse_qsl(query, keep_blank_values=True, errors="strict"))


def _merged(own: JsonObject, default: JsonObject) -> JsonObject:
    """An object completed at every depth where both have an object.

    Without recursion, as a client chooses how deep both are.
    """
    merged: JsonObject = {}
    waiting = [(own, default, merged)]
    while waiting:
        mine, others, both = waiting.pop()
        both.update(mine)
        for name, value in others.items():
            if name not in mine:
                both[name] = value
            elif isinstance(value, dict) and isinstance(mine[name], dict):
                both[name] = {}
                waiting.append((mine[name], value, both[name]))
    return merged
