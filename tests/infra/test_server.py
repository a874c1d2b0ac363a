"""HTTP as clients see it, in front of an application that stands in for ours."""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chalice.config import Config

from infra.gateway import local_gateway
from infra.server import MAX_BODY_BYTES, LocalServer

CLOSE = b"Host: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def gateway() -> Any:
    from tests.infra.stand_in.app import app

    return local_gateway(app, Config(config_from_disk={"lambda_timeout": 29}))


@pytest.fixture
def server(gateway: Any) -> Iterator[LocalServer]:
    server = LocalServer(0)
    server.start(gateway)
    yield server
    server.stop(5)


def connect(server: LocalServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)


def exchange(server: LocalServer, sent: bytes, *, ends: bool = False) -> tuple[int, bytes, bytes]:
    """Send these bytes; gives status, headers and body of all that comes until the end."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as it:
        it.sendall(sent)
        if ends:
            it.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: it.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def echo(server: LocalServer, method: str, target: str) -> dict[str, Any]:
    _, _, body = exchange(server, f"{method} {target} HTTP/1.1\r\n".encode() + CLOSE)
    answer: dict[str, Any] = json.loads(body)
    return answer


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/v1/", "/v1/"),
        ("/v1/buckets/a%2Fb%20c/", "/v1/buckets/a%2Fb%20c/"),
        ("/no/such/path/at/any/depth", "/no/such/path/at/any/depth"),
        ("//v1//buckets", "//v1//buckets"),
        ("/v1/é", "/v1/%C3%A9"),
        ("http://localhost:8888/v1/buckets", "/v1/buckets"),
        ("*", "/*"),
    ],
)
def test_application_sees_the_path_as_it_was_sent(
    server: LocalServer, target: str, path: str
) -> None:
    assert echo(server, "GET", f"{target}?q=é&q=%C3%A9")["path"] == path


def test_query_values_are_decoded(server: LocalServer) -> None:
    assert echo(server, "GET", "/v1?q=é&q=%C3%A9+x&empty=")["query"] == {
        "q": ["é", "é x"],
        "empty": [""],
    }


def test_application_has_the_time_that_lambda_gives(server: LocalServer) -> None:
    assert 28_000 < echo(server, "GET", "/")["remaining_ms"] <= 29_000


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "FOO"])
@pytest.mark.parametrize("path", ["/", "/v1/buckets/blog", "/no/such/path"])
def test_every_method_reaches_the_application(server: LocalServer, method: str, path: str) -> None:
    answer = echo(server, method, path)

    assert (answer["method"], answer["path"]) == (method, path)


@pytest.mark.parametrize(
    "request_line",
    [b"HEAD / HTTP/1.1", b"GET /v1/status/204 HTTP/1.1", b"GET /v1/status/304 HTTP/1.1"],
)
def test_answers_without_a_body_have_none(server: LocalServer, request_line: bytes) -> None:
    _, _, body = exchange(server, request_line + b"\r\n" + CLOSE)

    assert body == b""


def test_a_header_may_have_several_values(server: LocalServer) -> None:
    _, head, _ = exchange(server, b"GET / HTTP/1.1\r\n" + CLOSE)

    assert b"\r\nX-Several: a\r\nX-Several: b\r\n" in head


def test_a_connection_serves_several_requests(server: LocalServer) -> None:
    connection = connect(server)
    for path in ("/v1", "/v1/status/304", "/v1/buckets/blog"):
        connection.request("POST" if path == "/v1" else "GET", path, body="{}")
        answer = connection.getresponse()
        answer.read()

        assert answer.getheader("Connection") == "keep-alive"
    connection.close()


def test_chunked_bodies_are_read(server: LocalServer) -> None:
    connection = connect(server)
    for _ in range(2):
        connection.request("POST", "/v1", body=iter([b"ab", b"c" * 70_000]), encode_chunked=True)
        answer = connection.getresponse()

        assert json.loads(answer.read())["body"] == "ab" + "c" * 70_000
    connection.close()


def test_chunks_may_have_extensions_and_trailers(server: LocalServer) -> None:
    head = b"POST /v1 HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    _, _, body = exchange(server, head + b"3;a=b\r\nabc\r\n0\r\nTrailer: x\r\n\r\n")

    assert json.loads(body)["body"] == "abc"


def test_a_client_that_waits_to_continue_goes_on(server: LocalServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as it:
        it.sendall(b"PUT /v1 HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert it.recv(100).startswith(b"HTTP/1.1 100 ")
        it.sendall(b"{}")

        assert it.recv(100).startswith(b"HTTP/1.1 200 ")


POST = b"POST /v1 HTTP/1.1\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "errno"),
    [
        (b"NONSENSE\r\n\r\n", 400, 107),
        (b"GET / HTTX\r\n\r\n", 400, 107),
        (b"GET / HTTP/9.9\r\n\r\n", 505, 107),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + CLOSE, 414, 107),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431, 107),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431, 107),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, 107),
        (b"GET / HTTP/1.1\r\nOrigin: a\r\n b\r\n\r\n", 400, 107),
        (POST + b"Content-Length: many\r\n\r\n{}", 400, 107),
        (POST + b"Content-Length: -1\r\n\r\n{}", 400, 107),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400, 107),
        (POST + b"Content-Length: 3\r\n\r\n{}", 400, 107),
        (POST + f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode(), 413, 113),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, 107),
        (CHUNKED + b"many\r\nabc\r\n", 400, 107),
        (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400, 107),
        (CHUNKED + b"3\r\nab", 400, 107),
        (CHUNKED + b"3\r\nabc\r\n", 400, 107),
        (CHUNKED + f"3\r\nabc\r\n{MAX_BODY_BYTES:x}\r\n".encode(), 413, 113),
    ],
)
def test_what_is_not_http_gets_kintos_error(
    server: LocalServer, sent: bytes, status: int, errno: int, capfd: pytest.CaptureFixture[str]
) -> None:
    answer, head, body = exchange(server, sent, ends=True)

    assert answer == status
    assert b"\r\nContent-Type: application/json" in head
    assert json.loads(body).keys() == {"code", "errno", "error", "message"}
    assert (json.loads(body)["code"], json.loads(body)["errno"]) == (status, errno)
    assert capfd.readouterr() == ("", "")


def test_a_client_that_still_sends_gets_its_refusal(server: LocalServer) -> None:
    size = 8 * MAX_BODY_BYTES
    head = POST + f"Content-Length: {size}\r\n\r\n".encode()

    status, _, _ = exchange(server, head + b"a" * size)

    assert status == 413


def test_a_client_that_goes_away_is_passed_over(
    server: LocalServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1])) as it:
        it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends by a reset
        it.sendall(b"NONSENSE")

    assert echo(server, "GET", "/v1")["path"] == "/v1"
    assert capfd.readouterr() == ("", "")


def test_clients_are_served_at_once(server: LocalServer) -> None:
    together = threading.Barrier(16)

    def ask(number: int) -> list[str]:
        together.wait(10)
        connection = connect(server)
        paths = []
        for turn in range(20):
            connection.request("GET", f"/v1/buckets/{number}-{turn}")
            paths.append(json.loads(connection.getresponse().read())["values"]["bucket"])
        connection.close()
        return paths

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))

    assert answers == [[f"{number}-{turn}" for turn in range(20)] for number in range(16)]


def wait_in_application(server: LocalServer, fifo: Path) -> http.client.HTTPConnection:
    """A request that the application has begun, and will answer when the FIFO is written to."""
    os.mkfifo(fifo)
    connection = connect(server)
    connection.request("GET", f"/v1/wait?on={fifo}")
    return connection


def wait_until_closed(server: LocalServer) -> None:
    deadline = time.monotonic() + 10
    while server.socket.fileno() != -1:
        assert time.monotonic() < deadline


def test_the_end_waits_for_running_requests(gateway: Any, tmp_path: Path) -> None:
    server = LocalServer(0)
    server.start(gateway)
    connection = wait_in_application(server, tmp_path / "fifo")
    with ThreadPoolExecutor() as threads, (tmp_path / "fifo").open("w"):  # opens once it is read
        ending = threads.submit(server.stop, 10)
        wait_until_closed(server)
    answer = connection.getresponse()

    assert answer.status == 200
    assert json.loads(answer.read())["path"] == "/v1/wait"
    assert ending.result() == 0
    connection.close()


def test_the_end_does_not_wait_for_ever(gateway: Any, tmp_path: Path) -> None:
    server = LocalServer(0)
    server.start(gateway)
    connection = wait_in_application(server, tmp_path / "fifo")
    with (tmp_path / "fifo").open("w"):
        assert server.stop(0) == 1
    connection.close()


def test_a_request_after_the_end_has_begun_is_refused(server: LocalServer) -> None:
    connection = connect(server)
    connection.request("GET", "/v1")
    connection.getresponse().read()
    server.stop(5)

    connection.request("GET", "/v1")

    assert connection.getresponse().status == 503
    connection.close()
