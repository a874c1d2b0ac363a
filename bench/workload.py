"""The operations that are priced, and what each uses: capacity units, round trips, CPU, bytes."""

import base64
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import mean, median
from typing import Any, NamedTuple

from bench.capacity import Call, recorded, units_of, waited_for
from bench.latency import Latency
from bench.prices import Usage
from bench.seeding import fill
from bench.service import MEMBER, Bench, share
from chalicelib.observability import JsonFormatter
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import JsonObject, Response, encoded
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import stored_bytes as stored_item_bytes

RUNS = 30
"""A clock grows with each write, and is shortened at every twelfth or so: this is their average."""

FEW_RUNS = 3
_LINGER_S = 0.003
OVERHEAD_BYTES = 100
"""What DynamoDB adds to an item, and to an index entry, when it counts what is stored."""

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "done": {"type": "boolean"},
        "note": {"type": "string"},
    },
    "required": ["title"],
    "additionalProperties": False,
}

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


class Run(NamedTuple):
    """One run of an operation.

    Attributes:
        calls: of DynamoDB.
        cpu_ms: of this process.
        wall_ms: until the answer.
        answer_bytes: body and headers.
    """

    calls: Sequence[Call]
    cpu_ms: float
    wall_ms: float
    answer_bytes: int


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

    def __init__(self) -> None:
        """Count lines as they are on Lambda, from now on."""
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.bytes = 0

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
    runs = carried_out(bench, operation)
    units = [units_of(run.calls) for run in runs]
    return Usage(
        read_units=mean(one.read for one in units),
        write_units=mean(one.write for one in units),
        trips=median(len(waited_for(run.calls)) for run in runs),
        waited_ms=median(Latency().of_request(run.calls) for run in runs),
        cpu_ms=median(run.cpu_ms for run in runs),
        log_bytes=meter.bytes / len(runs),
        answer_bytes=mean(run.answer_bytes for run in runs),
    )


def carried_out(bench: Bench, operation: Operation, limit_s: float = math.inf) -> list[Run]:
    """The runs of an operation.

    Args:
        bench: the service.
        operation: what is run.
        limit_s: after so long no further run is begun.

    Raises:
        RuntimeError: see `run_of`.
    """
    runs: list[Run] = []
    until = time.monotonic() + limit_s
    while len(runs) < operation.runs and (not runs or time.monotonic() < until):
        runs.append(run_of(bench, operation, len(runs), _linger))
    return runs


def _linger(_call: Call) -> None:
    """Have calls in parallel overlap as they would: the emulator may answer one before the next."""
    time.sleep(_LINGER_S)


def run_of(
    bench: Bench,
    operation: Operation,
    number: int,
    pause: Callable[[Call], None] = lambda _call: None,
) -> Run:
    """One run of an operation.

    Raises:
        RuntimeError: the answer has another status.
    """
    with recorded(bench.client, pause) as calls:
        began, cpu_s = time.perf_counter(), time.process_time()
        response = operation.ask(number)
        cpu_s, ended = time.process_time() - cpu_s, time.perf_counter()
    if response.status != operation.status:
        raise RuntimeError(f"{operation.name}: answered {response.status} {response.body}")
    return Run(calls, cpu_s * 1000, (ended - began) * 1000, _answer_bytes(response))


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
    sync = get(f"{records}?_since={since}")
    yield Operation("Sync, nothing new", 200, sync)
    for run, id in enumerate(ids[:10]):
        bench.ask("PUT", f"{records}/{id}", body(run))
    yield Operation("Sync of 10 changes", 200, sync)
    bench.ask("DELETE", f"{records}/{ids[10]}")
    yield Operation("Sync of 10 changes and a deletion", 200, sync)
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


def unpriced(bench: Bench, size: int, body_bytes: int) -> Iterator[Operation]:
    """What the page of costs leaves out, on the collection of `operations`, and after these."""
    collection = f"{BUCKET}/collections/of-{size}-{body_bytes}"
    body = encoded({"data": {"title": "x" * 43, **data_of(body_bytes)}}).encode()

    def post(path: str) -> Callable[[int], Response]:
        return lambda _run: bench.ask("POST", path, body, user_agent=AGENT)

    bench.ask("PUT", f"{collection}-of-100")
    small = ListUri(RECORD, ("bench", f"of-{size}-{body_bytes}-of-100"))
    ids = fill(bench.client, bench.tables, small, 100, data=data_of(body_bytes))
    getting = partial(_getting, bench)
    yield Operation("GET of a whole list of 100", 200, getting(f"{collection}-of-100/records"))
    two = getting(f"{collection}/records?in_id={ids[0]},{ids[1]}")
    yield Operation("GET of 2 records by `in_id`", 200, two)
    bench.ask("PUT", f"{collection}-checked", encoded({"data": {"schema": SCHEMA}}).encode())
    yield Operation("POST of a record, schema-checked", 201, post(f"{collection}-checked/records"))
    mine = post("/buckets/default/collections/mine/records")
    mine(0)
    yield Operation("POST in one's default bucket", 201, mine)
    yield from _other_batches(bench, f"{collection}-in-batches", data_of(body_bytes))


def whole(bench: Bench, size: int, body_bytes: int) -> Iterator[Operation]:
    """What reads the whole collection of `operations`: it comes last, as it deletes the records."""
    records = f"{BUCKET}/collections/of-{size}-{body_bytes}/records"
    for name, query in (("filtered", "done=false"), ("sorted", "_sort=title")):
        path = f"{records}?_limit=100&{query}"
        yield Operation(f"GET of a page of 100, {name} by a field", 200, _getting(bench, path))
    yield Operation("DELETE of the list", 200, lambda _run: bench.ask("DELETE", records), 1)


def _getting(bench: Bench, path: str) -> Callable[[int], Response]:
    return lambda _run: bench.ask("GET", path, b"", user_agent=AGENT)


def _other_batches(bench: Bench, collection: str, data: JsonObject) -> Iterator[Operation]:
    """25 requests at once on the records that `_batches` made, the first ones deleted at last."""

    def batch(method: str, paths: Sequence[str], body: JsonObject) -> Response:
        sent = [{"method": method, "path": path, "body": body} for path in paths]
        payload = json.dumps({"requests": sent}).encode()
        return bench.ask("POST", "/batch", payload, user_agent=AGENT)

    records = f"{collection}/records"

    def paths(run: int) -> list[str]:
        return [f"{records}/{_id(number)}" for number in range(run * 25, run * 25 + 25)]

    def each(method: str, body: JsonObject) -> Operation:
        ask = lambda run: batch(method, paths(run), body)  # noqa: E731
        return Operation(f"Batch of 25 {method}", 200, ask, FEW_RUNS)

    yield each("GET", {})
    yield each("PATCH", {"data": data})
    yield each("DELETE", {})
    post = lambda _run: batch("POST", [records] * 25, {"data": data})  # noqa: E731
    yield Operation("Batch of 25 POST", 200, post, FEW_RUNS)


def _id(number: int) -> str:
    return f"{number:08}-ffff-4fff-8fff-ffffffffffff"
