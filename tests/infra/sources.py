"""Kintos to import from, over HTTP on loopback: our own service, and one like newer versions."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlencode

from chalicelib.api.service import Service
from chalicelib.protocol.messages import Request
from infra.server import LocalServer
from tests.doubles import Patience, parsed

NEWER_NOW_MS = 1_700_000_000_000
"""What time it is for a `NewerKinto`."""


class Kinto(Protocol):
    """What answers a request: status, headers and body."""

    def __call__(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], Any]: ...


def kinto_of(service: Service) -> Kinto:
    """Our own service."""

    def answer(
        method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], Any]:
        parameters = tuple(parse_qsl(query, keep_blank_values=True))
        lower = {name.lower(): value for name, value in headers.items()}
        base = f"http://{lower['host']}"
        request = Request(method, unquote(path), parameters, lower, body, base, "of a source")
        response = parsed(service.respond(request, Patience().deadline()))
        return response.status, response.headers, response.body

    return answer


class NewerKinto:
    """A Kinto that answers as newer ones do: any ids of records, any properties of groups.

    Lists tell their totals to HEAD alone, refuse times that are to come, and have no page that
    begins there. Permissions are told to who may write.

    Attributes:
        lists: entries by the list's path, oldest first.
        permissions: by the object's path.
        readable: paths of objects whose permissions this user isn't told.
        hidden: paths of objects that this user may not read.
    """

    def __init__(self) -> None:
        self.readable: set[str] = set()
        self.hidden: set[str] = set()
        self.lists: dict[str, list[dict[str, Any]]] = {"/buckets": []}
        self.permissions: dict[str, Any] = {}

    def put(self, path: str, data: dict[str, Any], permissions: Any = None) -> None:
        above, _, id = path.rpartition("/")
        entry = {"id": id, "last_modified": 1_500_000_000_000 + len(self.permissions), **data}
        self.lists.setdefault(above, []).append(entry)
        self.permissions[path] = permissions or {"write": ["account:admin"]}
        if above == "/buckets":
            self.lists |= {f"{path}/groups": [], f"{path}/collections": []}
        if above.endswith("/collections"):
            self.lists[f"{path}/records"] = []

    def __call__(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], Any]:
        path = unquote(path).removeprefix("/v1")
        if path == "/":
            return 200, {}, {"settings": {"batch_max_requests": 25}, "user": {"id": "account:a"}}
        if path == "/batch":
            requests = json.loads(body)["requests"]
            return 200, {}, {"responses": [self._answer(each["path"]) for each in requests]}
        if path not in self.lists:
            return 404, {}, {}
        seen = [it for it in self.lists[path] if f"{path}/{it['id']}" not in self.hidden]
        if method == "HEAD":
            return 200, {"Total-Objects": str(len(seen))}, {}
        asked = dict(parse_qsl(query))
        since, start = int(asked["min_last_modified"]), int(asked.get("_token", "0"))
        if since > NEWER_NOW_MS:
            return 400, {}, {"code": 400, "message": "Invalid value for min_last_modified"}
        found = [entry for entry in seen if entry["last_modified"] >= since][start:]
        limit = int(asked["_limit"])
        headers = {"ETag": f'"{max((it["last_modified"] for it in seen), default=1)}"'}
        if len(found) > limit:
            following = {**asked, "_token": str(start + limit)}
            headers["Next-Page"] = f"http://kinto.invalid/v1{path}?{urlencode(following)}"
        return 200, headers, {"data": found[:limit]}

    def _answer(self, path: str) -> dict[str, Any]:
        path = unquote(path)
        if path in self.hidden:
            body = {"code": 403, "message": "This user cannot access this resource."}
            return {"status": 403, "path": path, "headers": {}, "body": body}
        above, _, id = path.rpartition("/")
        for entry in self.lists.get(above, []):
            if entry["id"] == id and path in self.permissions:
                told = {} if path in self.readable else self.permissions[path]
                body = {"data": entry, "permissions": told}
                return {"status": 200, "path": path, "headers": {}, "body": body}
        return {"status": 404, "path": path, "headers": {}, "body": {}}


Before = Callable[[str, str], tuple[int, Mapping[str, str], Any] | None]
After = Callable[[str, str, tuple[int, Mapping[str, str], Any]], tuple[int, Mapping[str, str], Any]]


class Gateway:
    """Leads the requests of a local server to a Kinto, and remembers them.

    Attributes:
        asked: methods, and paths with their query strings.
        batched: how many objects were read in batches.
        before: answers in the Kinto's place, or raises; None lets it answer.
        after: what becomes of its answer.
    """

    def __init__(self, kinto: Kinto) -> None:
        self.kinto = kinto
        self.asked: list[tuple[str, str]] = []
        self.batched = 0
        self.before: Before = lambda _method, _path: None
        self.after: After = lambda _method, _path, answer: answer

    def handle_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> dict[str, Any]:
        self.asked.append((method, path))
        if method == "POST":
            self.batched += len(json.loads(body or b"{}")["requests"])
        answer = self.before(method, path)
        if answer is None:
            plain, _, query = path.partition("?")
            found = self.kinto(method, plain, query, headers, body or b"")
            answer = self.after(method, path, found)
        status, told, content = answer
        text = content if isinstance(content, str) else json.dumps(content)
        return {"statusCode": status, "headers": dict(told), "multiValueHeaders": {}, "body": text}


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """The URL of the API's root, for as long as it is served."""
    server = LocalServer(0)
    server.start(gateway)  # type: ignore[arg-type]  # all that it calls
    try:
        yield server.url.removesuffix("/")
    finally:
        server.stop(5)
