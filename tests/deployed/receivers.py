"""Receivers of webhooks on loopback, that behave as their tests want."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook

Change = tuple[str, str, int]
"""What was done, the address of the object, and its timestamp then."""


class Post(NamedTuple):
    """What a receiver got, and how it answered; None where it did not, or not yet."""

    id: str
    event: Any
    status: int | None


def changes_in(event: Any) -> list[Change]:
    """The changes that an event tells of."""
    parents = f"/buckets/{event['bucket_id']}/collections/{event['collection_id']}/records"
    objects = [record.get("new") or record["old"] for record in event["impacted_records"]]
    return [(event["action"], f"{parents}/{one['id']}", one["last_modified"]) for one in objects]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver.

    Attributes:
        id: of the event.
        number: 1 for the first.
    """

    id: str
    number: int


class Receiver:
    """Takes what is signed with its secret, as its answer to each attempt says.

    Attributes:
        posts: all that came, in order.
        unsigned: how many posts were not signed.
    """

    def __init__(self, secret: str, answer: Callable[[Attempt], int | None]) -> None:
        """Say how to answer: a status, or None to keep the other side waiting."""
        self.posts: list[Post] = []
        self.unsigned = 0
        self._answer = answer
        self._webhook = Webhook(secret)
        self._attempts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self._ended.set()
            self.stop()

    def start(self) -> None:
        """Listen, at the same port as before."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._take(body, dict(self.headers))
                if status is not None:
                    self.send_response(status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be out of reach."""
        if self._server is not None:
            self._server.shutdown()
            self._server.socket.close()
            self._server = None

    def _take(self, body: bytes, headers: dict[str, str]) -> int | None:
        try:
            self._webhook.verify(body, headers)
        except Exception:
            self.unsigned += 1
            return 401
        event = json.loads(body)
        with self._changed:
            self._attempts[event["event_id"]] += 1
            attempt = Attempt(headers["webhook-id"], self._attempts[event["event_id"]])
        status = self._answer(attempt)
        with self._changed:
            self.posts.append(Post(attempt.id, event, status))
            self._changed.notify_all()
        if status is None:
            self._ended.wait()
        return status

    def wait_for(self, is_enough: Callable[[], bool], within_s: float) -> bool:
        """Whether this becomes true with what comes in time."""
        with self._changed:
            return self._changed.wait_for(is_enough, within_s)

    @property
    def taken(self) -> list[Change]:
        """The changes in what was answered with success, in order, repetitions as well."""
        return [
            change
            for post in self.posts
            if post.status is not None and post.status < 300
            for change in changes_in(post.event)
        ]
