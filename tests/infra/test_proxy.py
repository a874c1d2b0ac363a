"""The gateway to a deployed API, in front of a server that stands in for the emulator."""

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from infra.packaged import Deployment
from infra.proxy import DeployedGateway
from infra.server import MAX_BODY_BYTES, LocalServer

DEPLOYMENT = Deployment("dev", "1a2b3c4d", "dev", {})
API = "/_aws/execute-api/1a2b3c4d/dev"


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class StandIn:
    """What arrived, and what is answered."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b"{}"
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def answering(stand_in: StandIn) -> Iterator[str]:
    """The URL of a server that answers as it is told."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            names = {name.lower(): value for name, value in self.headers.items()}
            stand_in.asked.append(Asked(self.command, self.path, names, body))
            self.send_response(stand_in.status)
            for name, value in stand_in.headers:
                self.send_header(name, value)
            if stand_in.status not in (204, 304):
                self.send_header("Content-Length", str(len(stand_in.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(stand_in.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxied(url: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server in front of the API at this URL."""
    server = LocalServer(0)
    server.start(DeployedGateway(DEPLOYMENT, url))
    address = f"127.0.0.1:{server.server_address[1]}"
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        try:
            yield connection
        finally:
            server.stop(5)


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def connection(stand_in: StandIn) -> Iterator[http.client.HTTPConnection]:
    with answering(stand_in) as url, proxied(url) as connection:
        yield connection


def ask(
    connection: http.client.HTTPConnection, method: str, target: str, **more: Any
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection.request(method, target, **more)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE", "FOO"])
@pytest.mark.parametrize("target", ["/", "/v1/", "//v1//", "/v1/a%2Fb%20c%2525?q=%C3%A9&q=a+b&e="])
def test_requests_arrive_as_they_were_sent(
    connection: http.client.HTTPConnection, stand_in: StandIn, method: str, target: str
) -> None:
    ask(connection, method, target)

    [asked] = stand_in.asked
    assert (asked.method, asked.target, asked.body) == (method, API + target, b"")


def test_the_host_that_was_asked_and_other_headers_arrive(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    ask(connection, "GET", "/v1/", headers={"Host": "kinto.example.org", "If-Match": '"1"'})

    [asked] = stand_in.asked
    assert asked.headers["host"] == "kinto.example.org"
    assert asked.headers["if-match"] == '"1"'


def test_a_header_that_came_twice_arrives_as_a_list(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    connection.putrequest("GET", "/v1/")
    connection.putheader("If-None-Match", '"1"')
    connection.putheader("If-None-Match", '"2"')
    connection.endheaders()
    connection.getresponse().read()

    assert stand_in.asked[0].headers["if-none-match"] == '"1", "2"'


@pytest.mark.parametrize("is_chunked", [True, False])
def test_bodies_arrive_whole(
    connection: http.client.HTTPConnection, stand_in: StandIn, is_chunked: bool
) -> None:
    body = b"{}" + b" " * (MAX_BODY_BYTES - 2)

    ask(
        connection,
        "POST",
        "/v1/batch",
        body=iter([body]) if is_chunked else body,
        encode_chunked=is_chunked,
        headers={"Transfer-Encoding": "chunked"} if is_chunked else {},
    )

    [asked] = stand_in.asked
    assert asked.body == body
    assert "transfer-encoding" not in asked.headers


@pytest.mark.parametrize("status", [200, 204, 304, 412, 502])
def test_answers_come_back_as_they_are(
    connection: http.client.HTTPConnection, stand_in: StandIn, status: int
) -> None:
    stand_in.status = status
    stand_in.body = '{"é": 1}'.encode()
    stand_in.headers = [("X-Several", "a"), ("X-Several", "b"), ("ETag", '"1"')]

    answered, headers, body = ask(connection, "GET", "/v1/")

    assert answered == status
    assert headers.get_all("X-Several") == ["a", "b"]
    assert headers["ETag"] == '"1"'
    assert len(headers.get_all("Date", [])) == 1
    assert body == (b"" if status in (204, 304) else stand_in.body)


def test_a_packed_answer_stays_packed(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    stand_in.body = gzip.compress(b"{}")
    stand_in.headers = [("Content-Encoding", "gzip")]

    _, headers, body = ask(connection, "GET", "/v1/", headers={"Accept-Encoding": "gzip"})

    assert stand_in.asked[0].headers["accept-encoding"] == "gzip"
    assert headers["Content-Encoding"] == "gzip"
    assert body == stand_in.body


def test_head_has_no_body_and_the_connection_goes_on(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    stand_in.headers = [("Total-Records", "3")]

    heads = [ask(connection, "HEAD", "/v1/buckets") for _ in range(2)]

    assert [(status, it["Total-Records"], body) for status, it, body in heads] == [
        (200, "3", b"")
    ] * 2


def test_an_emulator_that_is_gone_is_told_as_kinto_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    with proxied(f"http://127.0.0.1:{port}") as connection:
        status, headers, body = ask(connection, "GET", "/v1/")

    assert status == 503
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["errno"] == 201


def test_an_answer_that_is_cut_off_is_told_as_kinto_does(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    stand_in.headers = [("Content-Length", "1000"), ("Connection", "close")]

    status, _, body = ask(connection, "GET", "/v1/")

    assert (status, json.loads(body)["errno"]) == (503, 201)


def test_a_method_that_can_not_be_handed_on_is_refused_as_kinto_does(
    connection: http.client.HTTPConnection, stand_in: StandIn
) -> None:
    with socket.create_connection((connection.host, connection.port), timeout=30) as it:
        it.sendall(b"G\x01T / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b"".join(iter(lambda: it.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 400 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["errno"] == 107
    assert stand_in.asked == []


@pytest.mark.parametrize(("method", "value"), [("G(T", "a"), ("GET", "a\x00b"), ("GET", "\x1f")])
def test_what_is_not_http_is_refused_before_it_is_sent(method: str, value: str) -> None:
    gateway = DeployedGateway(DEPLOYMENT, "http://127.0.0.1:9")

    with pytest.raises(ProtocolError) as refused:
        gateway.handle_request(method, "/v1/", {"X-Any": value}, None)

    assert refused.value.kind is INVALID_PARAMETERS
