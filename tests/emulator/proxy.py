"""A proxy between the service and the emulator, on which connections fail as real ones do."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_UPSTREAM_S = 30.0
_OF_ONE_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class Fate(Enum):
    """What becomes of a call."""

    ANSWERED = auto()
    CUT_BEFORE = auto()  # it never arrives
    CUT_AFTER = auto()  # it is carried out, its answer lost
    HALF_ANSWERED = auto()  # likewise, in the middle of the answer
    SILENT = auto()  # it is carried out, and nothing is heard until the client gives up
    LATE = auto()  # it arrives only when the client has given up


Decide = Callable[[str], Fate]
Notify = Callable[[str], None]


class _Server(ThreadingHTTPServer):
    # Its threads are waited for at the end: until then what is LATE may not have arrived.
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, upstream: str, decide: Decide, carried_out: Notify) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.decide = decide
        self.carried_out = carried_out
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End all connections, as their clients may keep them for another call."""
        with self._lock:
            for connection in self._open:
                _shut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        fate = self.server.decide(operation)
        if fate is Fate.LATE:
            self._wait_for_end()
        if fate is not Fate.CUT_BEFORE:
            status, headers, answer = self._forward(body)
            self.server.carried_out(operation)
        if fate in (Fate.ANSWERED, Fate.HALF_ANSWERED):
            self._answer(status, headers, answer, is_whole=fate is Fate.ANSWERED)
        if fate is Fate.SILENT:
            self._wait_for_end()
        if fate is not Fate.ANSWERED:
            self._cut()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _wait_for_end(self) -> None:
        with suppress(ConnectionError):
            self.rfile.read(1)  # the client sends nothing more; this ends as its connection does

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=_UPSTREAM_S)
        headers = {n: v for n, v in self.headers.items() if n.lower() not in _OF_ONE_HOP}
        try:
            upstream.request("POST", self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, is_whole: bool
    ) -> None:
        with suppress(ConnectionError):  # the client may have been killed
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _OF_ONE_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if is_whole else body[: len(body) // 2])

    def _cut(self) -> None:
        self.close_connection = True
        _shut(self.connection)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other end was first
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(
    upstream: str, decide: Decide, carried_out: Notify = lambda _operation: None
) -> Iterator[str]:
    """Run a proxy; gives its URL. At the end every call has met its fate.

    Args:
        upstream: the emulator's URL.
        decide: the fate of the call that has come, of this operation; called by many threads.
        carried_out: told of each call that was carried out, before it is answered.
    """
    with _Server(upstream, decide, carried_out) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()
