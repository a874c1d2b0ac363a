"""The operations that are priced, and what each uses: capacity units, round trips, CPU, bytes."""

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

from bench.__main__ import MEMBER, Bench, share
from bench.capacity import Call, recorded, steps_of, units_of
from bench.prices import Usage
from bench.seeding import fill
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import JsonObject, Response, encoded
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import stored_bytes as stored_item_bytes

RUNS = 30
"""A clock grows with each write, and is shortened at every twelfth or so: this is their average."""

FEW_RUNS = 3
OVERHEAD_BYTES = 100
"""What DynamoDB adds to an item, and to an index entry, when it counts what is stored."""

BUCKET = "/buckets/bench"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Operation(NamedTuple):
    """An operation to be measured.

    Attributes:
        name: as the page has it.
        status: of its answer.
        ask: carries it out, given the number of the run.
        runs: how often it is measured.
    """

    name: str
    status: int
    ask: Callable[[int], Response]
    runs: int = RUNS


class Measured(NamedTuple):
    """An operation, and what it used.

    Attributes:
        name: of the operation.
        size: how many records there were in the collection.
        body_bytes: of the JSON of a record, about.
        usage: of one request.
    """

    name: str
    size: int
    body_bytes: int
    usage: Usage


class LogMeter(logging.Handler):
    """Counts what the service logs, in bytes."""

    bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line."""
        self.bytes += len(self.format(record).encode()) + 1


def measured(bench: Bench, size: int, body_bytes: int) -> Iterator[Measured]:
    """What each operation uses, on a new collection of so many records of this size."""
    log = logging.getLogger("kinto")
    for operation in operations(bench, size, body_bytes):
        meter = LogMeter()
        log.addHandler(meter)
        try:
            usage = _usage(bench, operation, meter)
        finally:
            log.removeHandler(meter)
        yield Measured(operation.name, size, body_bytes, usage)


def _usage(bench: Bench, operation: Operation, meter: LogMeter) -> Usage:
    requests: list[list[Call]] = []
    sent = 0

    def ask(run: int) -> Response:
        nonlocal sent
        with recorded(bench.client) as calls:
            response = operation.ask(run)
        requests.append(calls)
        sent += _answer_bytes(response)
        return response

    runs = operation.runs
    figures = bench.measure(ask, operation.status, runs=runs)
    units = [units_of(calls) for calls in requests]
    steps = [steps_of(calls) for calls in requests]
    return Usage(
        read_units=sum(one.read for one in units) / runs,
        write_units=sum(one.write for one in units) / runs,
        reads=median(one.reads for one in steps),
        writes=median(one.writes for one in steps),
        cpu_ms=figures.cpu_ms,
        log_bytes=meter.bytes / runs,
        answer_bytes=sent / runs,
    )


def _answer_bytes(response: Response) -> int:
    headers = sum(len(f"{name}: {value}\r\n") for name, value in response.headers.items())
    return headers + (0 if response.body is None else len(encoded(response.body).encode()))


def data_of(body_bytes: int, seed: str = "") -> JsonObject:
    """Data of a record of about so many bytes as JSON, which compress as dense prose does."""
    words = (hashlib.sha256(f"{seed}{n}".encode()).hexdigest()[:7] for n in range(body_bytes))
    left = body_bytes - len(encoded({"title": "x" * 43, "done": False, "note": ""}))
    note = ""
    while len(note) < left:
        note += next(words) + " "
    return {"done": False, "note": note[:left]}


def stored_bytes(bench: Bench, body_bytes: int) -> int:
    """What DynamoDB stores of a record with so much JSON: its item, and the index's entry of it."""
    collection = f"{BUCKET}/collections/stored"
    bench.ask("PUT", collection)
    body = encoded({"data": {"title": "x" * 43, **data_of(body_bytes)}}).encode()
    with recorded(bench.client) as calls:
        bench.ask("POST", f"{collection}/records", body)
    actions = (action["Put"] for call in calls if not call.is_read for action in _actions(call))
    (item,) = (put["Item"] for put in actions if "live" in put["Item"])
    return stored_item_bytes(item) + 2 * OVERHEAD_BYTES


def _actions(call: Call) -> Iterator[Mapping[str, Any]]:
    return (action for action in call.arguments["TransactItems"] if "Put" in action)


def operations(bench: Bench, size: int, body_bytes: int) -> Iterator[Operation]:
    """Each operation, made ready when it is its turn."""
    name = f"of-{size}-{body_bytes}"
    collection = f"{BUCKET}/collections/{name}"
    records = f"{collection}/records"
    bench.ask("PUT", collection)
    data = data_of(body_bytes)
    ids = fill(bench.client, bench.tables, ListUri(RECORD, ("bench", name)), size, data=data)
    record = f"{records}/{ids[0]}"

    def body(run: int) -> bytes:
        return encoded({"data": {"title": "x" * 43, **data_of(body_bytes, str(run))}}).encode()

    def get(path: str, **headers: str) -> Callable[[int], Response]:
        return lambda _run: bench.ask("GET", path, b"", user_agent=AGENT, **headers)

    def write(method: str, path: Callable[[int], str]) -> Callable[[int], Response]:
        return lambda run: bench.ask(method, path(run), body(run), user_agent=AGENT)

    def new(run: int) -> str:
        return f"{records}/{_id(run)}"

    yield Operation("GET of a record", 200, get(record))
    etag = bench.ask("HEAD", record).headers["ETag"]
    yield Operation("GET of a record, 304", 304, get(record, if_none_match=etag))
    yield Operation("HEAD of a record", 200, lambda _run: bench.ask("HEAD", record))
    etag = bench.ask("HEAD", f"{records}?_limit=1").headers["ETag"]
    yield Operation("GET of the list, 304", 304, get(records, if_none_match=etag))
    yield Operation("GET of a page of 100", 200, get(f"{records}?_limit=100"))
    yield Operation("PUT, a new record", 201, write("PUT", new))
    yield Operation("PUT, over a record", 200, write("PUT", lambda _run: record))
    yield Operation("PATCH of a record", 200, write("PATCH", lambda _run: record))
    yield Operation("POST of a record", 201, write("POST", lambda _run: records))
    yield Operation("DELETE of a record", 200, lambda run: bench.ask("DELETE", new(run)))
    since = bench.ask("HEAD", f"{records}?_limit=1").headers["ETag"].strip('"')
    for run, id in enumerate(ids[:10]):
        bench.ask("PUT", f"{records}/{id}", body(run))
    yield Operation("Sync of 10 changes", 200, get(f"{records}?_since={since}"))
    share(bench, ids[:3], records)
    yield Operation("GET of a record, by a group", 200, get(record, authorization=MEMBER))
    yield Operation("GET of a list of 3 shared", 200, get(records, authorization=MEMBER))
    yield from _batches(bench, f"{collection}-in-batches", data)
    yield from _larger(bench, name, data)


def _batches(bench: Bench, collection: str, data: JsonObject) -> Iterator[Operation]:
    """25 writes at once: of new records, then over them."""
    bench.ask("PUT", collection)

    def ask(first: int) -> Response:
        paths = (f"{collection}/records/{_id(number)}" for number in range(first, first + 25))
        sent = [{"method": "PUT", "path": path, "body": {"data": data}} for path in paths]
        payload = json.dumps({"requests": sent}).encode()
        return bench.ask("POST", "/batch", payload, user_agent=AGENT)

    yield Operation("Batch of 25 new records", 200, lambda run: ask(run * 25), FEW_RUNS)
    yield Operation("Batch of 25, over records", 200, lambda run: ask(run * 25), FEW_RUNS)


def _larger(bench: Bench, name: str, data: JsonObject) -> Iterator[Operation]:
    """The DELETE of lists, and what makes buckets."""
    for run in range(FEW_RUNS):
        bench.ask("PUT", f"{BUCKET}/collections/{name}-to-{run}")
        uri = ListUri(RECORD, ("bench", f"{name}-to-{run}"))
        fill(bench.client, bench.tables, uri, 100, data=data)

    def delete(run: int) -> Response:
        return bench.ask("DELETE", f"{BUCKET}/collections/{name}-to-{run}/records")

    def begin(run: int) -> Response:
        user = base64.b64encode(f"{name}-{run}:secret".encode()).decode()
        body = encoded({"data": data}).encode()
        path = "/buckets/default/collections/mine/records"
        return bench.ask("POST", path, body, user_agent=AGENT, authorization=f"Basic {user}")

    yield Operation("DELETE of a list of 100", 200, delete, FEW_RUNS)
    yield Operation(
        "PUT, a new bucket", 201, lambda run: bench.ask("PUT", f"/buckets/{name}-{run}")
    )
    yield Operation("POST, the first in one's default bucket", 201, begin)


def _id(number: int) -> str:
    return f"{number:08}-ffff-4fff-8fff-ffffffffffff"
