"""Round trips, items read and CPU time of each operation, to docs/benchmarks.md."""

import json
import logging
import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from bench import events
from bench.seeding import fill
from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import Request, Response
from chalicelib.protocol.uris import ListUri
from chalicelib.settings import Settings
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage
from infra.emulator import emulator
from infra.tables import create_tables

SIZES = (10, 1_000, 10_000)
RUNS = 100
BATCH_RUNS = 20
FEW_RUNS = 5
REPORT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
STAGE = "bench"
MEMBER = "Basic Ym9iOnNlY3JldA=="
"""Credentials of who has rights by a group alone."""

SCHEMA = json.dumps(
    {
        "data": {
            "schema": {
                "type": "object",
                "properties": {
                    "title": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
                    "done": {"type": "boolean"},
                },
                "required": ["title"],
                "additionalProperties": False,
            }
        }
    }
).encode()


class Figures(NamedTuple):
    """What one operation takes.

    Attributes:
        runs: how often it was measured.
        calls: of DynamoDB, by operation.
        items: read by these calls.
        cpu_ms: of this process, median.
        spread_ms: from the lower to the upper quartile.
    """

    runs: int
    calls: str
    items: int
    cpu_ms: float
    spread_ms: float


class Meter:
    """Counts the calls of a botocore client, and the items that they read."""

    def __init__(self, client: Any) -> None:
        """Count from now on."""
        self.calls: Counter[str] = Counter()
        self.items = 0
        client.meta.events.register("after-call.dynamodb.*", self._count)

    def _count(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self.calls[model.name] += 1
        tables = parsed.get("Responses", {}).values()
        self.items += parsed.get("ScannedCount", 0) + sum(len(items) for items in tables)

    def take(self) -> tuple[str, int]:
        """What was counted since the last time."""
        taken = (
            ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items())),
            self.items,
        )
        self.calls.clear()
        self.items = 0
        return taken


class Bench:
    """A service on the emulator, and a collection of some size in it."""

    def __init__(self, url: str) -> None:
        """Create the tables and the service."""
        connection = connect("us-east-1", url)
        create_tables(connection.client, STAGE)
        self.tables = Tables.of_stage(STAGE)
        self.client: Any = connection.client
        self.meter = Meter(self.client)
        settings = Settings(
            stage=STAGE,
            includes=("kinto.plugins.default_bucket",),
            experimental_collection_schema_validation=True,
        )
        storage = Storage(Dynamo(connection, self.tables))
        plugins = load_plugins(settings)
        self._service = Service(settings, storage, [BasicPolicy("")], plugins)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """The answer of the service."""
        path, _, query = path.partition("?")
        parameters = tuple(tuple(part.split("=")) for part in query.split("&") if part)
        sent = {"authorization": "Basic YWxpY2U6c2VjcmV0"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = Request(method, f"/v1{path}", parameters, sent, body)  # type: ignore[arg-type]
        return self._service.respond(request, Deadline(lambda: 29.0))

    def measure(self, ask: Callable[[int], Response], status: int, *, runs: int = RUNS) -> Figures:
        """The figures of an operation; `ask` is called with the number of the run."""
        times = []
        for run in range(runs):
            self.meter.take()
            started = time.process_time()
            response = ask(run)
            times.append((time.process_time() - started) * 1000)
            if response.status != status:
                raise RuntimeError(f"answered {response.status} {response.body}")
        lower, median, upper = statistics.quantiles(times if runs > 1 else times * 2, n=4)
        return Figures(runs, *self.meter.take(), median, upper - lower)


def operations(bench: Bench, size: int) -> Iterator[tuple[str, Figures]]:
    """Each operation on a collection that holds this many records."""
    collection = f"/buckets/bench/collections/of-{size}"
    records = f"{collection}/records"
    bench.ask("PUT", collection)
    ids = fill(bench.client, bench.tables, ListUri(RECORD, ("bench", f"of-{size}")), size)
    record = f"{records}/{ids[0]}"
    body = b'{"data": {"title": "Changed", "done": true}}'

    def measured(method: str, path: str, status: int, body: bytes = b"", **headers: str) -> Figures:
        return bench.measure(lambda _run: bench.ask(method, path, body, **headers), status)

    yield "GET a record", measured("GET", record, 200)
    share(bench, ids[:3], records)
    by_group = measured("GET", f"{records}/{ids[0]}", 200, authorization=MEMBER)
    yield "GET a record, by a group", by_group
    yield "GET the list of 3 shared by a group", measured("GET", records, 200, authorization=MEMBER)
    etag = bench.ask("HEAD", records).headers["ETag"]
    yield "GET the list, 304", measured("GET", records, 304, if_none_match=etag)
    yield "GET a page of 25", measured("GET", f"{records}?_limit=25", 200)
    yield "PUT a record", measured("PUT", record, 200, body)
    yield "PATCH a record", measured("PATCH", record, 200, body)
    since = bench.ask("HEAD", records).headers["ETag"].strip('"')
    for id in ids[:3]:
        bench.ask("PUT", f"{records}/{id}", body)
    yield "Sync of 3 changes", measured("GET", f"{records}?_since={since}", 200)
    made: list[str] = []

    def create(_run: int) -> Response:
        response = bench.ask("POST", records, body)
        made.append((response.body or {})["data"]["id"])
        return response

    yield "POST a record", bench.measure(create, 201)
    delete = lambda run: bench.ask("DELETE", f"{records}/{made[run]}")  # noqa: E731
    yield "DELETE a record", bench.measure(delete, 200)

    yield from batches(bench, f"{collection}-in-batches")
    bench.ask("PUT", f"{collection}-checked", SCHEMA)
    checked = f"{collection}-checked/records"
    yield "POST a record, checked by a schema", measured("POST", checked, 201, body)
    mine = "/buckets/default/collections/bench/records"
    yield "POST a record, in the default bucket", measured("POST", mine, 201, body)

    def read(query: str) -> Figures:
        return bench.measure(
            lambda _run: bench.ask("GET", f"{records}?{query}"), 200, runs=FEW_RUNS
        )

    yield "GET 2 records by `in_id`", read(f"in_id={ids[0]},{ids[1]}")
    yield "GET a page of 25, filtered by a field", read("_limit=25&done=true")
    yield "GET a page of 25, sorted by a field", read("_limit=25&_sort=title")
    whole = bench.measure(lambda _run: bench.ask("DELETE", records), 200, runs=1)
    yield "DELETE of the whole list", whole


def batches(bench: Bench, collection: str) -> Iterator[tuple[str, Figures]]:
    """25 requests at once, of each kind, in a collection of their own."""

    def measured(method: str, requests: Sequence[tuple[str, Any]]) -> Figures:
        sent = [{"method": method, "path": path, "body": body} for path, body in requests]
        payload = json.dumps({"requests": sent}).encode()
        return bench.measure(
            lambda _run: bench.ask("POST", "/batch", payload), 200, runs=BATCH_RUNS
        )

    changed = {"data": {"title": "Changed", "done": True}}
    bench.ask("PUT", collection)
    records = f"{collection}/records"
    paths = [f"{records}/{number:08}-0000-4000-8000-000000000000" for number in range(25)]
    yield "A batch of 25 PUT", measured("PUT", [(path, changed) for path in paths])
    yield "A batch of 25 GET", measured("GET", [(path, {}) for path in paths])
    yield "A batch of 25 POST", measured("POST", [(records, changed)] * 25)


def share(bench: Bench, ids: Sequence[str], records: str) -> None:
    """Have these records shared with a group of one member."""
    answer = bench.ask("GET", "/", authorization=MEMBER)
    member = (answer.body or {})["user"]["id"]
    group = "/buckets/bench/groups/readers"
    bench.ask("PUT", group, json.dumps({"data": {"members": [member]}}).encode())
    shared = json.dumps({"permissions": {"read": [group]}}).encode()
    for id in ids:
        bench.ask("PATCH", f"{records}/{id}", shared)


def report(
    rows: list[tuple[int, str, Figures]], functions: list[events.Row], late: list[events.Row]
) -> str:
    """The page, from the figures by size and operation, and those of events."""
    table = "\n".join(
        f"| {name} | {size:,} | {it.calls} | {it.items:,} | {it.cpu_ms:.2f} | {it.spread_ms:.2f} |"
        f" {it.runs} |"
        for size, name, it in sorted(rows, key=lambda row: (row[1], row[0]))
    )
    names = ("chalice", "pynamodb", "botocore", "ministack")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"""# Benchmarks

Written by `make bench`, on Python {platform.python_version()}, {platform.machine()},
{os.cpu_count()} cores, with {versions}.

Each operation ran in one process against the embedded emulator, which runs in another.
The CPU time is that of the handler's process, botocore included: median, and the distance between
the quartiles. Of the emulator's own speed nothing is said here.

| operation | records there | DynamoDB calls | items read | CPU, ms | spread, ms | runs |
|---|---|---|---|---|---|---|
{table}

## Events

The functions that follow a change, measured likewise. The records are small.

| function | CPU, ms | spread, ms |
|---|---|---|
{_lines(functions, 2)}

How long after its answer a change comes to a webhook of the local server, where
{events.CHANGES} changes are made one after the other in four collections:

| | median, ms | 95 of 100, ms | latest, ms |
|---|---|---|---|
{_lines(late, 0)}
"""


def _lines(rows: list[events.Row], digits: int) -> str:
    return "\n".join(
        f"| {row.name} | " + " | ".join(f"{figure:.{digits}f}" for figure in row.figures) + " |"
        for row in rows
    )


def main() -> None:
    """Measure, and write the report."""
    logging.getLogger("kinto").setLevel(logging.WARNING)
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    rows = []
    with emulator(None) as url:
        bench = Bench(url)
        bench.ask("PUT", "/buckets/bench")
        for size in SIZES:
            for name, figures in operations(bench, size):
                sys.stdout.write(f"{size:>7,}  {name}: {figures.cpu_ms:.2f} ms\n")
                rows.append((size, name, figures))
        functions = []
        for row in events.functions(url, STAGE):
            sys.stdout.write(f"{row.name}: {row.figures[0]:.2f} ms\n")
            functions.append(row)
    late = [
        events.Row("alone", events.lateness(beside_dead=False)),
        events.Row("beside one that never answers", events.lateness(beside_dead=True)),
    ]
    REPORT.write_text(report(rows, functions, late), encoding="utf-8")


if __name__ == "__main__":
    main()
