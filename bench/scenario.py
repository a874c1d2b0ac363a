"""What is asked of Kinto and of us alike: the data, the operations, and when answers are the same.

The operations come in this order: what reads, before what changes the collection.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

SIZE: Final = 10_000
"""Records in the collection."""

BLOCK: Final = 20
BATCH: Final = 25
CHANGES: Final = 10

BUCKET: Final = "/buckets/bench"
RECORDS: Final = f"{BUCKET}/collections/tasks/records"
CHECKED: Final = f"{BUCKET}/collections/checked/records"
MANY: Final = f"{BUCKET}/collections/many/records"
"""What batches write. Kinto takes any path with "/batch" in it for a batch."""

OWNER: Final = "Basic YWxpY2U6c2VjcmV0"
MEMBER: Final = "Basic Ym9iOnNlY3JldA=="
"""Credentials of who may read by a group alone."""

_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
        "done": {"type": "boolean"},
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"type": "string", "maxLength": 1000},
    },
    "required": ["title", "done"],
    "additionalProperties": False,
}

_OUR_ID = re.compile(r"\d{8}-0000-4000-8000-0{12}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Request(NamedTuple):
    """A request, its path with the query string and without the version."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}


class Answer(NamedTuple):
    """What was answered, and the CPU seconds that it took."""

    status: int
    headers: Mapping[str, str]
    text: str
    cpu_s: float

    @property
    def etag(self) -> str:
        """Quoted, as it was sent."""
        return next(text for name, text in self.headers.items() if name.lower() == "etag")


class Known(NamedTuple):
    """What one server told of the data: ETags, which the others have otherwise."""

    record_etag: str
    list_etag: str
    since: str


class Operation(NamedTuple):
    """An operation to be measured.

    Attributes:
        name: as the page has it.
        status: of its answer.
        goal: the greatest share of Kinto's CPU time; None where there is no goal.
        request: the request of a run, by its number from 0.
        block: how often it is asked at once, before it is the other's turn.
    """

    name: str
    status: int
    goal: float | None
    request: Callable[[Known, int], Request]
    block: int = BLOCK


def prepared(ask: Callable[[Request], Answer]) -> Known:
    """Put the data, and give what is to be known of them."""
    member = json.loads(ask(Request("GET", "/", None, _as_member())).text)["user"]["id"]
    group = f"{BUCKET}/groups/readers"
    ask(Request("PUT", BUCKET, {}))
    ask(Request("PUT", group, {"data": {"members": [member]}}))
    readable = {"permissions": {"read": [group]}}
    ask(Request("PUT", RECORDS.removesuffix("/records"), readable))
    ask(Request("PUT", CHECKED.removesuffix("/records"), {"data": {"schema": _SCHEMA}}))
    ask(Request("PUT", MANY.removesuffix("/records"), {}))
    for first in range(0, SIZE, BATCH):
        ask(_batch(RECORDS, first))
    ask(Request("GET", record(SIZE - 1)))
    since = ask(Request("HEAD", RECORDS)).etag
    for number in range(CHANGES):
        ask(Request("PUT", record(number), {"data": data_of(number, done=True)}))
    return Known(
        record_etag=ask(Request("GET", record(0))).etag,
        list_etag=ask(Request("HEAD", RECORDS)).etag,
        since=since,
    )


def operations() -> Iterator[Operation]:
    """Each operation, in the order in which they are to be measured."""

    def read(run: int) -> str:
        return record(run % BLOCK)  # the same in each block, as only what is known comes at once

    yield Operation("GET of a record", 200, 0.45, lambda _, run: Request("GET", read(run)))
    yield Operation(
        "GET of a record, through a group",
        *(200, None),
        lambda _, run: Request("GET", read(run), None, _as_member()),
    )
    yield Operation(
        "GET of a record, 304",
        *(304, None),
        lambda known, _: Request("GET", record(0), None, {"If-None-Match": known.record_etag}),
    )
    yield Operation(
        "GET of the list, 304",
        *(304, None),
        lambda known, _: Request("GET", RECORDS, None, {"If-None-Match": known.list_etag}),
    )
    yield Operation(
        "GET of a list of 100",
        *(200, 0.7),
        lambda _known, _run: Request("GET", f"{RECORDS}?_limit=100"),
    )
    yield Operation(
        f"Sync of {CHANGES} changes in {SIZE:,}",
        *(200, 0.7),
        lambda known, _: Request("GET", f"{RECORDS}?_since={_quoted(known.since)}"),
    )
    yield from _writes()
    yield from _batches()


def _writes() -> Iterator[Operation]:
    yield Operation("PUT, a new record", 201, 0.6, lambda _, run: _put(SIZE + run))
    yield Operation("PUT, over a record", 200, 0.6, lambda _, run: _put(run))
    yield Operation(
        "PATCH of a record",
        *(200, 0.6),
        lambda _, run: Request("PATCH", record(run), {"data": {"note": f"Changed {run}"}}),
    )
    yield Operation("POST of a record", 201, 0.6, lambda _, run: _post(RECORDS, run))
    yield Operation(
        "DELETE of a record", 200, 0.6, lambda _, run: Request("DELETE", record(SIZE + run))
    )
    yield Operation(
        "PUT, checked by a schema",
        *(201, None),
        lambda _, run: Request("PUT", record(run, CHECKED), {"data": data_of(run)}),
    )
    yield Operation("POST, checked by a schema", 201, None, lambda _, run: _post(CHECKED, run))


def _batches() -> Iterator[Operation]:
    """They come last: what they write grows a collection of its own."""
    yield Operation(
        f"Batch of {BATCH} PUT, new records",
        *(200, 0.1),
        lambda _, run: _batch(MANY, run * BATCH),
        block=3,
    )
    yield Operation(
        f"Batch of {BATCH} PUT, over records",
        *(200, 0.1),
        lambda _, run: _batch(MANY, run * BATCH, done=True),
        block=3,
    )

    def posts(_: Known, run: int) -> Request:
        of = [_post(MANY, run * BATCH + number) for number in range(BATCH)]
        return Request("POST", "/batch", {"requests": [*map(_within, of)]})

    yield Operation(f"Batch of {BATCH} POST", 200, 0.1, posts, block=3)


def _put(number: int) -> Request:
    return Request("PUT", record(number), {"data": data_of(number, done=True)})


def _post(records: str, number: int) -> Request:
    return Request("POST", records, {"data": data_of(number)})


def _batch(records: str, first: int, *, done: bool = False) -> Request:
    """A batch of PUT of the records from this number on."""
    of = [
        Request("PUT", record(number, records), {"data": data_of(number, done=done)})
        for number in range(first, first + BATCH)
    ]
    return Request("POST", "/batch", {"requests": [*map(_within, of)]})


def _within(request: Request) -> dict[str, Any]:
    return {"method": request.method, "path": request.path, "body": request.body}


def _as_member() -> dict[str, str]:
    return {"Authorization": MEMBER}


def _quoted(etag: str) -> str:
    """In a query string."""
    return etag.replace('"', "%22")


def record(number: int, records: str = RECORDS) -> str:
    """The path of a record."""
    return f"{records}/{number:08}-0000-4000-8000-000000000000"


def data_of(number: int, *, done: bool = False) -> dict[str, Any]:
    """Of a record, about 300 bytes of JSON."""
    return {
        "title": f"Task {number}",
        "done": done,
        "priority": number % 10,
        "tags": ["home", f"week-{number % 52}"],
        "note": f"What has to be done for number {number}, and by whom. " * 4,
    }


def is_alike(ours: str, kinto: str) -> bool:
    """Whether two bodies say the same, but for times, and ids made by a server."""
    our, their = (_comparable(json.loads(text)) if text else {} for text in (ours, kinto))
    if their.get("permissions") == {}:  # today's Kinto tells them to those alone who may write
        our.pop("permissions", None)
        del their["permissions"]
    return bool(our == their)


def _comparable(value: Any) -> Any:
    match value:
        case {"status": status, "path": path, "body": body}:  # of a batch; headers are left out
            return {"status": status, "path": path, "body": _comparable(body)}
        case dict():
            return {
                name: "a time" if name in ("last_modified", "schema") else _comparable(inner)
                for name, inner in value.items()
            }
        case list():
            return [_comparable(inner) for inner in value]
        case str() if _UUID.fullmatch(value) and not _OUR_ID.fullmatch(value):
            return "an id"
    return value
