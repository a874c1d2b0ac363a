"""HTTP on loopback, in front of the gateway."""

import json
import re
import socket
import string
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.errors import MissingHeaderBodySeparatorDefect
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Protocol
from urllib.parse import quote

from chalicelib.api.refusals import refusal
from chalicelib.protocol.errors import (
    BACKEND,
    INVALID_PARAMETERS,
    REQUEST_TOO_LARGE,
    ProtocolError,
)

HOST = "127.0.0.1"
MAX_BODY_BYTES = 6 * 1024 * 1024
"""What Lambda takes."""

_LINE_BYTES = 65536
_IDLE_S = 75.0
_LINGER_S = 2.0


class Gateway(Protocol):
    """What leads to the application, from several threads at once."""

    def handle_request(
        self, method: str, path: str, headers: dict[str, Any], body: bytes | None
    ) -> dict[str, Any]:
        """The answer, as Lambda's proxy integration has it; its body may be bytes.

        Raises:
            ProtocolError: there is none.
        """


class LocalServer(ThreadingMixIn, TCPServer):
    """Serves each connection in a thread. It listens once it is made, on any free port if 0."""

    allow_reuse_address = True
    daemon_threads = True  # idle connections keep nobody from ending
    request_queue_size = 128
    gateway: Gateway

    def __init__(self, port: int) -> None:
        """Listen.

        Raises:
            OSError: the port is in use.
        """
        super().__init__((HOST, port), RequestHandler)
        self._running = 0
        self._is_stopping = False
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        """The root of the API."""
        return f"http://{HOST}:{self.server_address[1]}/v1/"

    def start(self, gateway: Gateway) -> None:
        """Serve what this gateway leads to, in the background."""
        self.gateway = gateway
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self, timeout_s: float) -> int:
        """Accept nothing more, and wait for the running requests; gives how many still run."""
        self.shutdown()
        self.server_close()
        with self._changed:
            self._is_stopping = True
            self._changed.wait_for(lambda: not self._running, timeout_s)
            return self._running

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the end wait for what is done within.

        Raises:
            ProtocolError: BACKEND (503), where the end has begun.
        """
        with self._changed:
            if self._is_stopping:
                raise ProtocolError(BACKEND)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that have gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RequestHandler(BaseHTTPRequestHandler):
    """A connection: requests to the gateway's events, its answers back."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    wbufsize = -1  # buffered, and no delay: an answer is one segment, sent at once
    disable_nagle_algorithm = True
    server: LocalServer

    def __getattr__(self, name: str) -> Any:
        """Handle every method, those as well that HTTP doesn't know."""
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def handle_expect_100(self) -> bool:
        """Let the client go on at once."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what isn't HTTP."""
        kind = INVALID_PARAMETERS._replace(status=int(code))
        self._refuse(ProtocolError(kind, message=message or HTTPStatus(code).phrase))

    def version_string(self) -> str:
        """The Server header."""
        return "kinto-serverless"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the application logs its requests itself."""

    def _handle(self) -> None:
        try:
            with self.server.running():
                self._answer()
                self.wfile.flush()
        except ProtocolError as error:
            self._refuse(error)

    def _answer(self) -> None:
        body = self._body()
        answer = self.server.gateway.handle_request(
            method=self.command,
            path=_target(self.requestline),
            headers={name: ", ".join(self.headers.get_all(name, ())) for name in self.headers},
            body=body or None,
        )
        headers = answer["headers"] | answer["multiValueHeaders"]
        content = answer["body"]
        sent = content.encode() if isinstance(content, str) else content
        self._send(answer["statusCode"], headers, sent)

    def _body(self) -> bytes:
        if any(isinstance(it, MissingHeaderBodySeparatorDefect) for it in self.headers.defects):
            raise _malformed("a header line has no colon")
        if any(re.search("[\r\n]", value) for value in self.headers.values()):
            raise _malformed("a header goes on in another line")
        encoding = self.headers.get("Transfer-Encoding")
        if encoding is not None:
            if encoding.strip().lower() != "chunked":
                raise _malformed("Transfer-Encoding isn't chunked")
            return b"".join(self._chunks())
        lengths = set(self.headers.get_all("Content-Length", ["0"]))
        length = lengths.pop().strip()
        if lengths or not re.fullmatch("[0-9]{1,18}", length):
            raise _malformed("Content-Length isn't a number")
        return self._read(int(length))

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while size := self._chunk_size():
            total += size
            yield self._read(size, total)
            if self._line():
                raise _malformed("a chunk is longer than its size")
        while self._line():
            pass  # trailers

    def _chunk_size(self) -> int:
        size = self._line().partition(b";")[0].strip()
        if not re.fullmatch(b"[0-9A-Fa-f]{1,16}", size):
            raise _malformed("a chunk has no size")
        return int(size, 16)

    def _line(self) -> bytes:
        line = self.rfile.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise _malformed("the body is incomplete")
        return line.rstrip(b"\r\n")

    def _read(self, size: int, total: int | None = None) -> bytes:
        if (total or size) > MAX_BODY_BYTES:
            raise ProtocolError(REQUEST_TOO_LARGE)
        read = self.rfile.read(size)
        if len(read) < size:
            raise _malformed("the body is incomplete")
        return read

    def _refuse(self, error: ProtocolError) -> None:
        self.request_version = "HTTP/1.1"  # else there are no headers where there was no version
        self.close_connection = True
        answer = refusal(error)
        self._send(answer.status, answer.headers, json.dumps(answer.body).encode())
        self.wfile.flush()
        with suppress(OSError):  # it has gone away
            self._linger()

    def _linger(self) -> None:
        """Read what the client still sends: closed before, it would lose our answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_LINGER_S)
        deadline = time.monotonic() + _LINGER_S
        while time.monotonic() < deadline and self.connection.recv(_LINE_BYTES):
            pass

    def _send(self, status: int, headers: Mapping[str, str | list[str]], body: bytes) -> None:
        has_content = status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        is_head = self.command == "HEAD"
        self.send_response(status)
        for name, values in headers.items():
            for value in [values] if isinstance(values, str) else values:
                if name.lower() != "content-length":
                    self.send_header(name, value)
        if has_content and (body or not is_head):
            if "content-type" not in map(str.lower, headers):
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self.end_headers()
        if has_content and not is_head:
            self.wfile.write(body)


def _malformed(why: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMETERS, message=why)


def _target(requestline: str) -> str:
    """The path with its query string, as it was sent, but for what needs percent-encoding."""
    sent = requestline.split()[1]
    target = re.sub("^https?://[^/?]*", "", sent, flags=re.IGNORECASE)
    encoded = quote(target, safe=string.punctuation, encoding="latin-1")
    return encoded if encoded.startswith("/") else f"/{encoded}"
