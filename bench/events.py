"""What events take: CPU time of the functions, and how late webhooks come."""

import base64
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from bench.report import Section, table
from bench.service import STAGE
from bench.spread import spread_of
from chalicelib.events.changes import Changes
from chalicelib.events.deliveries import Deliver, delivery_of
from chalicelib.events.outlets import Outlets
from chalicelib.events.queues import Queues
from chalicelib.protocol.events import Selection, to_events
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import Cause, Item, encode_body, to_raw
from chalicelib.storage.keys import object_key
from chalicelib.storage.operations import operation_of
from infra.emulator import emulator
from infra.queues import create_queues

RECORDS = ListUri(RECORD, ("bench", "events"))
SECRET = "whsec_" + base64.b64encode(b"measured here, and never kept").decode()
RECEIVER = Path(__file__).parents[1] / "examples" / "webhook_receiver.py"
RUNS = 50
CHANGES = 300
NOW_MS = 1_700_000_000_000


class Row(NamedTuple):
    """A line of a table: what, and its figures."""

    name: str
    figures: tuple[float, ...]


def measure(tell: Callable[[str], None]) -> Section:
    """What follows a change: the functions' CPU time, and how late webhooks come."""
    with emulator(None) as url:
        rows = [*_told(functions(url, STAGE), tell)]
    late = [
        Row("alone", lateness(beside_dead=False)),
        Row("beside one that never answers", lateness(beside_dead=True)),
    ]
    return Section("Events", text(rows, [*_told(iter(late), tell)]))


def _told(rows: Iterator[Row], tell: Callable[[str], None]) -> Iterator[Row]:
    for row in rows:
        tell(f"{row.name}: {row.figures[0]:.2f} ms")
        yield row


def text(rows: Sequence[Row], late: Sequence[Row]) -> str:
    """The section's text, from the figures of functions and of webhooks."""
    return f"""The functions that follow a change, in one process against the embedded emulator: its
CPU time, as the median and the distance between the quartiles. The records are small.

{table(("function", "CPU, ms", "spread, ms"), _lines(rows, 2))}

How long after its answer a change comes to a webhook of the local server, where
{CHANGES} changes are made one after the other in four collections:

{table(("the webhook is", "median, ms", "95 of 100, ms", "latest, ms"), _lines(late, 0))}"""


def _lines(rows: Sequence[Row], digits: int) -> Iterator[tuple[str, ...]]:
    return ((row.name, *(f"{figure:.{digits}f}" for figure in row.figures)) for row in rows)


def functions(url: str, stage: str) -> Iterator[Row]:
    """CPU time of the functions, in ms: median, and the distance between the quartiles."""
    create_queues(boto3.client("sqs", "us-east-1", endpoint_url=url), stage)
    queues = Queues(stage, "us-east-1", url)
    records = [*map(_stream_record, range(100))]
    nobody, one = Changes(queues, {}), Changes(queues, {"hook": Selection()})
    yield Row("`changes`: 100 records, no listener", _cpu(lambda: nobody.handle(records)))
    yield Row(
        "`changes`: 100 records of one request, a listener", _cpu(lambda: one.handle(records))
    )
    of_many = [_stream_record(number, request_id=str(number)) for number in range(100)]
    yield Row("`changes`: 100 records of 100 requests", _cpu(lambda: one.handle(of_many)))
    with _receiver() as hook:
        outlets = Outlets(stage, queues, "us-east-1", allows_loopback=True)
        post = outlets.webhook("hook", {"url": hook, "secret": SECRET})
        deliver = Deliver({"hook": post}.get, queues)
        operation = operation_of(RECORDS.object(_id(1)), None, _item(1), _cause("1"))
        (event,) = to_events([] if operation is None else [operation])
        message = json.dumps(delivery_of("hook", event).to_message())
        yield Row("`deliver`: a webhook", _cpu(lambda: deliver.handle(message, 1)))


def _cpu(do: Callable[[], object]) -> tuple[float, ...]:
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        do()
        times.append((time.process_time() - started) * 1000)
    median, lower, upper = spread_of(times)
    return median, upper - lower


def _id(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


def _item(number: int) -> Item:
    return Item(
        key=object_key(RECORDS.object(_id(number))),
        is_live=True,
        last_modified=NOW_MS + number,
        version=NOW_MS + number,
        within="9e107d9d372bb682",
        permissions={},
        body=encode_body({"title": f"Number {number}", "done": False}),
    )


def _cause(request_id: str) -> Cause:
    return Cause("basicauth:alice", request_id, by_list=False, timestamp=NOW_MS)


def _stream_record(number: int, request_id: str = "1") -> dict[str, Any]:
    image = to_raw(_item(number), _cause(request_id))
    return {"eventID": str(number), "eventName": "INSERT", "dynamodb": {"NewImage": image}}


@contextmanager
def _receiver() -> Iterator[str]:
    """The URL of the example's receiver, in a process of its own."""
    port = _free_port()
    environment = {**os.environ, "SECRET": SECRET, "PORT": str(port)}
    command = [sys.executable, str(RECEIVER)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:  # noqa: S603
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url)
        try:
            yield url
        finally:
            process.kill()


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


def _wait_for(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=1)  # noqa: S310
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)


class Arrivals:
    """A receiver that notes when each change came; or that never answers."""

    def __init__(self, *, hangs: bool) -> None:
        """Listen on any free port."""
        arrivals, over = self, threading.Event()
        self.times: dict[tuple[str, int], float] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hangs:
                    over.wait()
                for record in body["impacted_records"]:
                    new = record["new"]
                    arrivals.times[new["id"], new["last_modified"]] = time.monotonic()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._over = over
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Listen no more."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def lateness(*, beside_dead: bool) -> tuple[float, ...]:
    """How late webhooks of the local server come after the answer, in ms.

    Gives the median, the 95th percentile and the latest of all changes.
    """
    healthy, dead = Arrivals(hangs=False), Arrivals(hangs=True)
    try:
        listeners = {"healthy": healthy.url, **({"dead": dead.url} if beside_dead else {})}
        with _serving(listeners) as url:
            answered = dict(_written(url))
            while not answered.keys() <= healthy.times.keys():
                time.sleep(0.05)
    finally:
        healthy.end()
        dead.end()
    late = sorted((healthy.times[change] - when) * 1000 for change, when in answered.items())
    return statistics.median(late), late[int(len(late) * 0.95)], late[-1]


@contextmanager
def _serving(listeners: dict[str, str]) -> Iterator[str]:
    port = _free_port()
    variables = {"PORT": str(port), "EPHEMERAL": "1", "KINTO_EVENT_LISTENERS": " ".join(listeners)}
    for name, url in listeners.items():
        prefix = f"KINTO_EVENT_LISTENERS_{name.upper()}"
        variables |= {f"{prefix}_USE": "webhook", f"{prefix}_URL": url, f"{prefix}_SECRET": SECRET}
        variables |= {f"{prefix}_RESOURCES": "record"}
    environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "infra.serve"]
    with subprocess.Popen(  # noqa: S603
        command, env=environment | variables, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = iter(process.stdout or ())
        next(lines)
        threading.Thread(target=lambda: [*lines], daemon=True).start()
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait()  # while its output is read, which it would miss


def _written(url: str) -> Iterator[tuple[tuple[str, int], float]]:
    """Changes of records in four collections, about twenty a second, and when each was answered."""
    _put(f"{url}/buckets/bench")
    for collection in range(4):
        _put(f"{url}/buckets/bench/collections/c{collection}")
    for number in range(CHANGES):
        path = f"/buckets/bench/collections/c{number % 4}/records/{_id(number % 40)}"
        data = _put(f"{url}{path}")
        yield (data["id"], data["last_modified"]), time.monotonic()
        time.sleep(0.05)


def _put(url: str) -> Any:
    headers = {"Authorization": "Basic YWxpY2U6c2VjcmV0", "Content-Type": "application/json"}
    request = urllib.request.Request(url, b'{"data": {}}', headers, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)["data"]
