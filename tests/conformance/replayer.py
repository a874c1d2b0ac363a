"""Replays exchanges recorded from Kinto 2.0.0, and tells every difference.

A scenario is a list of steps, each a request and what came back; `recorded/README.md` describes
the form. Only what clients decide on is compared: the wording of messages is not.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, unquote

Json: TypeAlias = Any
"""JSON as parsed."""

_EXACT: Final = (
    "ETag",
    "Location",
    "Total-Records",
    "Cache-Control",
    "Pragma",
    "Alert",
    "Retry-After",
    "Backoff",
    "WWW-Authenticate",
    "Access-Control-Allow-Origin",
    "Access-Control-Max-Age",
)
_PRESENT: Final = ("Last-Modified", "Expires")
_AS_SET: Final = (
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
)
_UNEXPECTED: Final = ("ETag", "Next-Page", "Total-Records", "Alert", "Backoff", "Retry-After")
_WORDING: Final = ("message", "description", "info", "url")

_KNOWN: Final = (("user", "id"), ("bucket", "bucket"))

_ORIGIN: Final = re.compile("^https?://[^/]+")
"""Of an absolute address, whichever host settings put into it."""

_REFERENCE: Final = re.compile(r"\$\{([^}]+)\}")
_SYMBOL: Final = re.compile(r"\{\{([^}]+)\}\}")
_SHAPES: Final = {"t": r"(\d+)", "id": r"([0-9a-f-]{36})"}
_TARGET_CHARACTERS: Final = "/?&=%:,\"'()*+~!@;$-._[]{}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Json = None


Ask: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], Answer]
"""Sends method, target from `/v1` on, headers and body."""


def replay(scenario: Json, ask: Ask, base_url: str) -> list[str]:
    """The differences to what was recorded, none where the server does the same."""
    run = Run(scenario, ask, base_url)
    matcher = Matcher(run.known())
    for number, step in enumerate(scenario["steps"], 1):
        answer = run.send(step)
        differences = list(matcher.differences(step["method"], step["expect"], answer))
        if differences:  # later steps depend on this one
            asked = f"step {number}, {step['method']} {step['path']}"
            return [f"{asked}: {difference}" for difference in differences]
    times = [matcher.bound[name] for name in scenario.get("order", []) if name in matcher.bound]
    if times != sorted(times, key=int):
        return [f"timestamps {scenario['order']} are out of order: {times}"]
    return []


class Run:
    """One scenario on one server: names that are its own, its users, every answer so far."""

    def __init__(self, scenario: Json, ask: Ask, base_url: str) -> None:
        self._ask = ask
        self._base_url = base_url
        self._salt = uuid.uuid4().hex[:8]
        self._names = {name: f"{name.lower()}-{self._salt}" for name in scenario.get("vars", ["B"])}
        self._answers: list[Answer] = []
        users = {step["as"] for step in scenario["steps"] if step.get("as")}
        self._users: dict[str, Json] = {name: self._user(name) for name in users}

    def send(self, step: Json) -> Answer:
        """The answer to a step's request."""
        headers = self._credentials(step["as"]) if step.get("as") else {}
        body = b""
        if "json" in step:
            body = json.dumps(self._filled(step["json"])).encode()
        elif "body" in step:
            body = self._filled(step["body"]).encode()
        if "json" in step or "body" in step:
            headers["Content-Type"] = "application/json"
        headers |= self._filled(step.get("headers", {}))
        sent = {name: str(value) for name, value in headers.items() if value is not None}
        target = _ORIGIN.sub("", self._filled(step["path"]))
        answer = self._ask(step["method"], quote(target, safe=_TARGET_CHARACTERS), sent, body)
        self._answers.append(answer)
        return answer

    def known(self) -> dict[str, str]:
        """What this run chose itself, by symbol."""
        known = {f"var:{name}": value for name, value in self._names.items()}
        for name, user in self._users.items():
            known |= {f"{kind}:{name}": user[key] for kind, key in _KNOWN if key in user}
        return known | {"base": self._base_url}

    def _credentials(self, user: str) -> dict[str, str]:
        token = base64.b64encode(f"{user}:{self._salt}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def _user(self, name: str) -> Json:
        # A service that has ended tells nobody who they are.
        return self._ask("GET", "/v1/", self._credentials(name), b"").body.get("user", {})

    def _filled(self, value: Json) -> Json:
        """A part of a request with what its references stand for."""
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if not isinstance(value, str):
            return value
        if whole := _REFERENCE.fullmatch(value):
            return self._referred(whole[1])
        return _REFERENCE.sub(lambda reference: str(self._referred(reference[1])), value)

    def _referred(self, name: str) -> Json:
        if name in self._names:
            return self._names[name]
        kind, _, rest = name.partition(":")
        if kind == "user":
            return self._users[rest]["id"]
        if kind == "bucket":
            return self._users[rest]["bucket"]
        if kind == "repeat":
            text, _, times = rest.rpartition(":")
            return text * int(times)
        if kind == "plus":
            path, _, offset = rest.rpartition(":")
            return int(self._referred(path)) + int(offset)
        return self._answered(name)

    def _answered(self, name: str) -> Json:
        number, *path = name.split(".")
        answer = self._answers[int(number) - 1]
        if path[0] == "header":
            return answer.headers.get(path[1].lower(), "")
        value = answer.body
        for part in path:
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value


@dataclass(slots=True)
class Matcher:
    """Holds answers against recorded ones, binding symbols as it meets them.

    Attributes:
        known: texts that the run chose, by symbol.
        bound: texts that the server chose, by symbol.
    """

    known: Mapping[str, str]
    bound: dict[str, str] = field(default_factory=dict)

    def differences(self, method: str, recorded: Json, answer: Answer) -> Iterator[str]:
        """What is not as it was recorded."""
        if answer.status != recorded["status"]:
            yield f"status {answer.status} for {recorded['status']}: {answer.body}"
            return
        yield from self._of_headers(method, recorded["headers"], answer.headers)
        if recorded.get("json") is not None:
            yield from self._of_json(recorded["json"], answer.body, ())

    def _of_headers(
        self, method: str, recorded: Mapping[str, str], got: Mapping[str, str]
    ) -> Iterator[str]:
        for name, wanted in recorded.items():
            actual = got.get(name.lower())
            if not self._is_header(name, wanted, actual):
                yield f"{name}: {actual} for {wanted}"
        for name in _UNEXPECTED:
            is_welcome = name == "ETag" and method not in ("GET", "HEAD")
            if name not in recorded and name.lower() in got and not is_welcome:
                yield f"{name}: {got[name.lower()]} where there was none"

    def _is_header(self, name: str, wanted: str, actual: str | None) -> bool:
        if name in _EXACT:
            return actual is not None and self._is_text(wanted, actual)
        if name in _PRESENT:
            return actual is not None
        if name in _AS_SET:
            return _parts(wanted) <= _parts(actual or "")
        if name == "Next-Page":
            return actual is not None and self._is_next_page(wanted, actual)
        return "json" not in wanted or "json" in (actual or "")  # Content-Type

    def _is_next_page(self, wanted: str, actual: str) -> bool:
        """The same address and parameters, whatever token."""
        (left, left_query), (right, right_query) = map(_address_and_query, (wanted, actual))
        return (
            self._is_text(left, right)
            and left_query.keys() == right_query.keys()
            and all(
                name == "_token" or self._is_text(value, right_query[name])
                for name, value in left_query.items()
            )
        )

    def _of_json(self, wanted: Json, actual: Json, path: tuple[str, ...]) -> Iterator[str]:
        if isinstance(wanted, dict) and isinstance(actual, dict):
            yield from self._of_objects(wanted, actual, path)
        elif isinstance(wanted, list) and isinstance(actual, list):
            yield from self._of_lists(wanted, actual, path)
        elif not self._is_value(wanted, actual) and not (path and path[-1] in _WORDING):
            yield f"{'.'.join(path)}: {actual!r} for {wanted!r}"

    def _of_objects(
        self, wanted: dict[str, Json], actual: dict[str, Json], path: tuple[str, ...]
    ) -> Iterator[str]:
        if path[-1:] == ("headers",) and path[-3:-2] == ("responses",):  # those of a sub-request
            lower = {name.lower(): value for name, value in actual.items()}
            yield from self._of_headers("", wanted, lower)
            return
        wanted = {self._symbols_known(name): value for name, value in wanted.items()}
        for name in sorted(wanted.keys() ^ actual.keys()):
            yield f"{'.'.join((*path, name))} is in one of both alone"
        for name in sorted(wanted.keys() & actual.keys()):
            yield from self._of_json(wanted[name], actual[name], (*path, name))

    def _of_lists(
        self, wanted: list[Json], actual: list[Json], path: tuple[str, ...]
    ) -> Iterator[str]:
        if len(wanted) != len(actual):
            yield f"{'.'.join(path)}: {len(actual)} entries for {len(wanted)}"
        elif path[-1] == "principals" or path[-2:-1] == ("permissions",):
            for principal in sorted(wanted):  # they are sets
                if not any(self._is_value(principal, other) for other in actual):
                    yield f"{'.'.join(path)}: {actual} lacks {principal}"
        else:
            for index, (left, right) in enumerate(zip(wanted, actual, strict=True)):
                yield from self._of_json(left, right, (*path, str(index)))

    def _is_value(self, wanted: Json, actual: Json) -> bool:
        if isinstance(wanted, str) and wanted.startswith("{{int:"):
            return type(actual) is int and self._binds(wanted[6:-2], str(actual))
        if isinstance(wanted, str) and isinstance(actual, str):
            return self._is_text(wanted, actual)
        is_boolean = isinstance(wanted, bool), isinstance(actual, bool)
        return bool(wanted == actual) and is_boolean[0] == is_boolean[1]  # true is not 1

    def _is_text(self, wanted: str, actual: str) -> bool:
        names = _SYMBOL.findall(wanted)
        texts = map(re.escape, _SYMBOL.split(wanted)[::2])
        shapes = [_SHAPES.get(name.partition(":")[0], "(.+?)") for name in names]
        pattern = next(texts) + "".join(
            shape + text for shape, text in zip(shapes, texts, strict=True)
        )
        found = re.fullmatch(pattern, actual, re.DOTALL)
        return found is not None and all(map(self._binds, names, found.groups()))

    def _binds(self, name: str, text: str) -> bool:
        """Whether the symbol stands for this text; a new one does from now on."""
        if name in self.known:
            return self.known[name] == text
        if name not in self.bound and name.startswith("id:") and text in self.bound.values():
            return False  # two objects, one generated id
        return self.bound.setdefault(name, text) == text

    def _symbols_known(self, text: str) -> str:
        return _SYMBOL.sub(lambda symbol: self.known.get(symbol[1], symbol[0]), text)


def _parts(header: str) -> set[str]:
    return {part.strip().lower() for part in header.split(",")}


def _address_and_query(url: str) -> tuple[str, dict[str, str]]:
    address, _, query = url.partition("?")
    return unquote(address), dict(parse_qsl(query))
