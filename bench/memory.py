"""The pace of DynamoDB, for what is read again: a process between the handler and the emulator.

The emulator takes up to half a second for a query, on the very CPUs on which time is measured, and
meanwhile their caches forget the handler: its next steps take it twice the CPU time. DynamoDB
answers within a few milliseconds, from elsewhere. So what a read was answered is remembered until
the next write, and the same read gets the same bytes, at once.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

_LOOPBACK: Final = "127.0.0.1"
_ROOT: Final = Path(__file__).parents[1]
_READS: Final = (".BatchGetItem", ".Query")
_OF_ONE_HOP: Final = ("connection", "host", "keep-alive")
_OF_DYNAMODB: Final = ("Date", "Content-Type", "Content-Length", "x-amzn-RequestId", "x-amz-crc32")
"""The headers of its answers, beside `Server` and `Connection`; the emulator has more."""


class Memory:
    """The emulator's answers; those of reads are given again until something is written.

    Any number of threads may use it at once.
    """

    def __init__(self, url: str) -> None:
        """Remember nothing yet of the emulator at this URL."""
        self._host = url.removeprefix("http://")
        self._remembered: dict[tuple[str, bytes], bytes] = {}

    def answer(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """The whole answer to a call, from the status line on.

        Args:
            headers: as sent; `X-Amz-Target` names the operation.
            body: likewise.
        """
        target = headers["X-Amz-Target"]
        remembered = self._remembered
        if (target, body) in remembered:
            return remembered[target, body]
        status, answer = self._forwarded(headers, body)
        if not target.endswith(_READS):
            self._remembered = {}  # reads that are under way still fill the one that is dropped
        elif status == HTTPStatus.OK:
            remembered[target, body] = answer
        return answer

    def _forwarded(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        sent = {name: it for name, it in headers.items() if name.lower() not in _OF_ONE_HOP}
        with closing(HTTPConnection(self._host)) as connection:
            connection.request("POST", "/", body, sent)
            answer = connection.getresponse()
            return answer.status, _as_of_dynamodb(answer) + answer.read()


def _as_of_dynamodb(answer: HTTPResponse) -> bytes:
    """The status line and the headers, as DynamoDB has them."""
    named = [(name, answer.headers[name]) for name in _OF_DYNAMODB if name in answer.headers]
    headers = [("Server", "Server"), ("Connection", "keep-alive"), *named]
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{''.join(lines)}\r\n".encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    memory: Memory

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.memory.answer(dict(self.headers.items()), body))


@contextmanager
def remembering(url: str) -> Iterator[str]:
    """A process that remembers what the emulator at this URL answers; gives its own URL."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "bench.memory", url],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://{_LOOPBACK}:{port}"
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serve the emulator at the URL that is given; tells the port on standard output."""
    _Handler.memory = Memory(sys.argv[1])
    with ThreadingHTTPServer((_LOOPBACK, 0), _Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
