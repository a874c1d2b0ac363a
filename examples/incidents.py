"""Two incidents, made on this machine, as the log and X-Ray tell of them.

docs/operations.md walks through what this prints. A process is a container of Lambda here: four
write to one list, a fifth is looked at. Then a webhook fails.

.venv/bin/python -m examples.incidents
"""

import base64
import contextlib
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from typing import Any
from uuid import uuid4

import boto3

from infra.emulator import emulator
from infra.queues import create_queues
from infra.serve import lead_to
from infra.stream import StreamReader
from infra.tables import create_tables

STAGE = "prod"
NOTES, DRAFTS = ("/v1/buckets/team/collections/" + name for name in ("notes", "drafts"))
PAGES = "/v1/buckets/site/collections/pages"
WRITERS = 4
MOST_WRITES = 1_000

Json = dict[str, Any]


class Container:
    """The application as Lambda runs it, and what it wrote to its log."""

    def __init__(self, daemon: str) -> None:
        """Start it, with the address of X-Ray's daemon."""
        os.environ |= {
            "AWS_LAMBDA_FUNCTION_NAME": f"kinto-serverless-{STAGE}",
            "AWS_XRAY_DAEMON_ADDRESS": daemon,
            "KINTO_STAGE": STAGE,
            "KINTO_USERID_HMAC_SECRET": "a secret of this machine",
        }
        self._log = io.StringIO()
        import app

        self._app = app.application

    @contextlib.contextmanager
    def _invoked(self, *, is_traced: bool) -> Iterator[None]:
        trace = f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"
        os.environ["_X_AMZN_TRACE_ID"] = (
            f"{trace};Parent={os.urandom(8).hex()};Sampled={int(is_traced)}"
        )
        with contextlib.redirect_stdout(self._log):
            yield

    def put(self, path: str, body: Json, *, is_traced: bool = True) -> None:
        """Answer a request, which Lambda has traced."""
        from chalicelib.protocol.messages import Request
        from chalicelib.storage.deadlines import Deadline

        credentials = base64.b64encode(b"alice:her password").decode()
        headers = {"authorization": f"Basic {credentials}", "user-agent": "notes/3.1"}
        request = Request(
            *("PUT", path, (), headers, json.dumps(body).encode()),
            *("https://kinto.example", str(uuid4())),
        )
        ends = time.monotonic() + 29
        with self._invoked(is_traced=is_traced):
            self._app.service.respond(request, Deadline(lambda: ends - time.monotonic()))

    def changes(self, records: Any) -> None:
        """Queue what follows these records of the stream."""
        with self._invoked(is_traced=False):
            self._app.background.changes.handle(records)

    def deliver(self, message: str) -> None:
        """Tell a listener, which Lambda has traced."""
        with self._invoked(is_traced=True):
            self._app.background.deliver.handle(message, 1)

    def lines(self) -> list[Json]:
        """What is in its log."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


class Daemon:
    """X-Ray's, which keeps what it is told."""

    def __init__(self) -> None:
        """Listen."""
        self.documents: list[Json] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            document = self._socket.recv(65536).decode().partition("\n")[2]
            self.documents.append(json.loads(document))

    def of(self, rid: str) -> list[str]:
        """The traces of a request and of its deliveries: part, its begin and time, how it ended."""
        roots = [it for it in self.documents if it.get("annotations", {}).get("rid") == rid]
        return [line for root in roots for line in self._tree(root, root["start_time"], 0)]

    def _tree(self, part: Json, begin: float, depth: int) -> Iterator[str]:
        name = "  " * depth + part.get("aws", {}).get("operation", part["name"])
        times = (part["start_time"] - begin, part["end_time"] - part["start_time"])
        ms = "".join(f"{seconds * 1000:8.1f}" for seconds in times)
        yield f"{name:<26}{ms}  {' '.join(_outcome(part))}".rstrip()
        children = [it for it in self.documents if it["parent_id"] == part["id"]]
        for child in sorted(children, key=lambda it: it["start_time"]):
            yield from self._tree(child, begin, depth + 1)


def _outcome(part: Json) -> Iterator[str]:
    yield from (flag for flag in ("error", "throttle", "fault") if part.get(flag))
    if part["name"] not in ("DynamoDB", "request") and "http" in part:
        yield str(part["http"]["response"]["status"])
    yield from (it["type"] for it in part.get("cause", {}).get("exceptions", []))
    yield from part.get("metadata", {}).get("kinto", {}).get("refused", [])


class Refuses(BaseHTTPRequestHandler):
    """A webhook that is down."""

    def do_POST(self) -> None:
        """Take the time that a load balancer takes to find nobody."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.4)
        self.send_error(503)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def write(stop: Any) -> None:
    """Be another container, with as many requests as it answers."""
    container = Container("127.0.0.1:0")
    while not stop.is_set():
        container.put(f"{NOTES}/records/{uuid4()}", {"data": {}}, is_traced=False)


def hot_collection(container: Container, daemon: Daemon) -> None:
    """Write to two collections, until one, which others write to as well, took four attempts."""
    container.put("/v1/buckets/team", {})
    container.put(NOTES, {})
    container.put(DRAFTS, {})
    processes = get_context("spawn")
    stop = processes.Event()
    writers = [processes.Process(target=write, args=(stop,)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(MOST_WRITES):
        for collection in (NOTES, DRAFTS):
            container.put(f"{collection}/records/{uuid4()}", {"data": {"title": "A note"}})
        slow = max(container.lines(), key=lambda line: line.get("conflict_retries", 0))
        if slow.get("conflict_retries", 0) >= 3:
            break
    stop.set()
    for writer in writers:
        writer.join()
    print("# A slow page\n\nlist, writes, attempts in vain, slowest")
    for collection in (NOTES, DRAFTS):
        written = [it for it in container.lines() if f"{collection}/" in it["Fields"]["path"]]
        in_vain = sum(line.get("conflict_retries", 0) for line in written)
        slowest = max(line["Fields"]["t"] for line in written)
        print(f"{collection:<38} {len(written):4} {in_vain:4} {slowest:5} ms")
    print("", json.dumps(slow), "", *daemon.of(slow["Fields"]["rid"]), sep="\n")


def failing_webhook(container: Container, daemon: Daemon, clients: tuple[Any, Any, Any]) -> None:
    """Write to what a webhook hears of, and have it told."""
    dynamodb, streams, sqs = clients
    container.put("/v1/buckets/site", {})
    container.put(PAGES, {})
    container.put(f"{PAGES}/records/{uuid4()}", {"data": {"title": "Opening hours"}})
    reader = StreamReader(dynamodb, streams, f"kinto-{STAGE}-objects", batch_size=100)
    while batches := [*reader.batches()]:
        for batch in batches:
            container.changes(batch.records)
            reader.advance(batch)
    url = sqs.get_queue_url(QueueName=f"kinto-{STAGE}-deliveries.fifo")["QueueUrl"]
    while received := sqs.receive_message(QueueUrl=url).get("Messages"):
        container.deliver(received[0]["Body"])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
    failed = [line for line in container.lines() if line["Type"] == "delivery"][-1]
    rid = failed["Fields"]["rid"]
    [asked] = [
        line
        for line in container.lines()
        if line["Type"] == "request.summary" and line["Fields"]["rid"] == rid
    ]
    print("\n# A failing webhook\n", json.dumps(failed), "", *daemon.of(rid), sep="\n")
    print("", json.dumps(asked), sep="\n")


def main(url: str) -> None:
    """Have both happen on this emulator."""
    lead_to(url, "test")
    webhook = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    os.environ |= {
        "KINTO_EVENT_LISTENERS": "search",
        "KINTO_EVENT_LISTENERS_SEARCH_USE": "webhook",
        "KINTO_EVENT_LISTENERS_SEARCH_URL": f"http://127.0.0.1:{webhook.server_address[1]}/",
        "KINTO_EVENT_LISTENERS_SEARCH_SECRET": "whsec_" + base64.b64encode(bytes(32)).decode(),
        "KINTO_EVENT_LISTENERS_SEARCH_URIS": f"{PAGES.removeprefix('/v1')}/*",
    }
    services = ("dynamodb", "dynamodbstreams", "sqs")
    dynamodb, streams, sqs = (boto3.client(service) for service in services)
    create_tables(dynamodb, STAGE)
    create_queues(sqs, STAGE)
    daemon = Daemon()
    container = Container(daemon.address)
    hot_collection(container, daemon)
    failing_webhook(container, daemon, (dynamodb, streams, sqs))


if __name__ == "__main__":
    with emulator(None) as there:
        main(there)
