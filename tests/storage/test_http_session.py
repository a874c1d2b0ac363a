"""Requests over connections that are kept, to hosts that do as they like."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
from botocore import exceptions as botocore
from botocore.awsrequest import AWSRequest, AWSResponse
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.storage.client import connect
from chalicelib.storage.failures import NoAnswerError, translated_failures
from chalicelib.storage.http_session import HttpSession

PATIENCE_S = 10.0
AT_ONCE_S = 0.05
"""For what never comes."""

ANSWER = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"
IN_PARTS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER


class KilledError(BaseException):
    """The container ends."""


class Caller:
    """A connection, as its host has it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = sock.makefile("rb")

    def read_head(self) -> bytes:
        """Up to the body of the next request; nothing where the other side is done."""
        return b"".join(iter(self._reader.readline, b"\r\n")) if self._reader.peek(1) else b""

    def read(self) -> tuple[bytes, bytes]:
        head = self.read_head()
        _, _, length = head.lower().partition(b"content-length: ")
        return head, self._reader.read(int(length.split()[0]))

    def say(self, answer: bytes) -> None:
        self._sock.sendall(answer)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self._sock.close()

    def close(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._reader.close()
        self._sock.close()

    def is_left(self) -> bool:
        """Whether the other side ends it; waits until it does."""
        return self._reader.read() == b""


Serve = Callable[[Caller], Any]


class Host:
    """Serves its first connection by the first function, the second by the second; no more."""

    def __init__(self, serves: tuple[Serve, ...], *, address: str, tls: SSLContext | None) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self._listener.settimeout(PATIENCE_S)
        self._tls = tls
        self.port = self._listener.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._pool = ThreadPoolExecutor(max(len(serves), 1))
        self._next = threading.Condition()
        self._accepted = 0
        self.served = [self._pool.submit(self._serve, *it) for it in enumerate(serves)]

    def _accept(self, number: int) -> socket.socket:
        with self._next:
            self._next.wait_for(lambda: self._accepted == number)
            try:
                return self._listener.accept()[0]
            finally:
                self._accepted += 1
                self._next.notify_all()

    def _serve(self, number: int, serve: Serve) -> Any:
        sock = self._accept(number)
        sock.settimeout(PATIENCE_S)
        with sock:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            caller = Caller(sock)
            try:
                return serve(caller)
            finally:
                caller.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # nobody waits any longer for a connection
        self._pool.shutdown()
        self._listener.close()


@contextmanager
def host(*serves: Serve, address: str = "127.0.0.1", tls: SSLContext | None = None) -> Any:
    made = Host(serves, address=address, tls=tls)
    try:
        yield made
    finally:
        made.close()


def answering(*answers: bytes) -> Callable[[Caller], list[tuple[bytes, bytes]]]:
    """Read a request before each answer, and end; gives the requests."""

    def serve(caller: Caller) -> list[tuple[bytes, bytes]]:
        asked = []
        for answer in answers:
            asked.append(caller.read())
            caller.say(answer)
        return asked

    return serve


def until_left(caller: Caller) -> bool:
    return caller.is_left()


@pytest.fixture
def session() -> Iterator[HttpSession]:
    made = HttpSession(connect_s=PATIENCE_S, read_s=PATIENCE_S, verify=True)
    yield made
    made.close()


def send(session: HttpSession, url: str, body: Any = b"{}", **headers: str) -> AWSResponse:
    request = AWSRequest("POST", url, {"X-Amz-Target": b"ListTables", **headers}, body)
    return session.send(request.prepare())


def failure(session: HttpSession, url: str) -> BaseException | None:
    """Of a request that fails, as storage has to understand it."""
    with pytest.raises(NoAnswerError) as error, translated_failures():
        send(session, url)
    return error.value.__cause__


# Answers


def test_requests_follow_each_other_on_one_connection(session: HttpSession) -> None:
    with host(answering(ANSWER, ANSWER)) as there:
        first = send(session, there.url, b'{"n":1}')
        send(session, f"{there.url}/base", b'{"n":2}')
        (head, body), (next_head, next_body) = there.served[0].result()

    assert (first.status_code, first.content, first.headers["x-a"]) == (200, b"{}", "b")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST / HTTP/1.1"
    assert {f"Host: 127.0.0.1:{there.port}", "Accept-Encoding: identity"} < set(lines)
    assert {"X-Amz-Target: ListTables", "Content-Length: 7"} < set(lines)
    assert b"Expect" not in head
    assert next_head.startswith(b"POST /base HTTP/1.1\r\n")
    assert (body, next_body) == (b'{"n":1}', b'{"n":2}')


@pytest.mark.parametrize("answer", [ANSWER, IN_PARTS, CONTINUED], ids=str)
def test_an_answer_is_read_to_its_end_so_that_another_can_follow(
    session: HttpSession, answer: bytes
) -> None:
    with host(answering(answer, ANSWER)) as there:
        contents = [send(session, there.url).content, send(session, there.url).content]

    assert contents == [b"{}", b"{}"]


@pytest.mark.parametrize("answer", [LAST, OLD], ids=str)
def test_a_host_may_want_a_connection_for_each_request(session: HttpSession, answer: bytes) -> None:
    def serve(caller: Caller) -> bool:
        caller.read()
        caller.say(answer)
        return caller.is_left()

    with host(serve, serve) as there:
        contents = [send(session, there.url).content, send(session, there.url).content]

        assert contents == [b"{}", b"{}"]
        assert all(served.result() for served in there.served)


def test_an_error_is_an_answer(session: HttpSession) -> None:
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nno..."

    with host(answering(refusal, ANSWER)) as there:
        refused = send(session, there.url)
        send(session, there.url)

    assert (refused.status_code, refused.content) == (400, b"no...")


def test_a_body_may_be_refused_before_its_end(session: HttpSession) -> None:
    def refuse(caller: Caller) -> None:
        caller.read_head()
        caller.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with host(refuse, answering(ANSWER)) as there:
        assert send(session, there.url, bytes(50_000_000)).status_code == 413
        assert send(session, there.url).status_code == 200


def test_each_host_gets_its_own_requests(session: HttpSession) -> None:
    with host(answering(ANSWER, ANSWER)) as one, host(answering(ANSWER)) as other:
        for url in (one.url, other.url, one.url):
            send(session, url)

        assert [len(it.served[0].result()) for it in (one, other)] == [2, 1]


def test_an_address_may_be_of_ipv6(session: HttpSession) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")

    with host(answering(ANSWER), address="::1") as there:
        assert send(session, there.url).content == b"{}"
        [(head, _)] = there.served[0].result()

    assert f"Host: [::1]:{there.port}".encode() in head


def test_threads_get_each_its_own_answers(session: HttpSession) -> None:
    threads, calls = 8, 25

    def echo(caller: Caller) -> None:
        while head := caller.read_head():
            number = head.partition(b"X-Number: ")[2].split()[0]
            caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(number), number))

    def ask(thread: int) -> list[bytes]:
        numbers = [f"{thread}-{call}" for call in range(calls)]
        answers = [send(session, there.url, b"", **{"X-Number": it}).content for it in numbers]
        return [number.encode() for number in numbers if number.encode() not in answers]

    with host(*[echo] * threads) as there, ThreadPoolExecutor(threads) as pool:
        lost = list(pool.map(ask, range(threads)))
        session.close()

    assert lost == [[]] * threads


# Connections that end


def test_a_connection_that_was_closed_while_it_was_idle_is_not_used(session: HttpSession) -> None:
    with host(answering(ANSWER), answering(ANSWER)) as there:
        send(session, there.url)
        there.served[0].result()  # it is closed

        assert send(session, there.url).content == b"{}"


def test_a_connection_on_which_something_came_unasked_is_not_used(session: HttpSession) -> None:
    said = threading.Event()

    def say_more(caller: Caller) -> bool:
        caller.read()
        caller.say(ANSWER)
        assert asked.wait(PATIENCE_S)
        caller.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        said.set()
        return caller.is_left()

    asked = threading.Event()
    with host(say_more, answering(ANSWER)) as there:
        send(session, there.url)
        asked.set()
        assert said.wait(PATIENCE_S)

        assert send(session, there.url).status_code == 200


def test_a_connection_that_ends_under_a_request_leaves_it_unanswered(session: HttpSession) -> None:
    def close_under_the_second(caller: Caller) -> None:
        caller.read()
        caller.say(ANSWER)
        caller.read()

    with host(close_under_the_second, answering(ANSWER)) as there:
        send(session, there.url)

        assert type(failure(session, there.url)) is botocore.ConnectionClosedError
        assert send(session, there.url).content == b"{}"


def test_a_connection_that_is_reset_leaves_a_request_unanswered(session: HttpSession) -> None:
    def reset(caller: Caller) -> None:
        caller.read()
        caller.say(ANSWER[:-1])
        caller.reset()

    with host(reset, answering(ANSWER)) as there:
        assert type(failure(session, there.url)) is botocore.ConnectionClosedError
        assert send(session, there.url).content == b"{}"


CUTS = [ANSWER[:5], ANSWER[:20], ANSWER[:30], ANSWER[:-1], IN_PARTS[:-9], IN_PARTS[:-5], b"SSH-2"]


@pytest.mark.parametrize("part", [*CUTS, b"HTTP/1.1 200 OK\r\n\r\n{}"], ids=str)
def test_a_part_of_an_answer_is_none(session: HttpSession, part: bytes) -> None:
    with host(answering(part), answering(ANSWER)) as there:
        assert type(failure(session, there.url)) is botocore.ConnectionClosedError
        assert send(session, there.url).content == b"{}"


def test_after_a_loss_no_older_connection_is_used(session: HttpSession) -> None:
    together = threading.Barrier(2, timeout=PATIENCE_S)

    def serve(caller: Caller) -> str:
        caller.read()
        together.wait()
        caller.say(ANSWER)
        if caller.read_head():
            return "asked again, and gone"
        return "left"

    with host(serve, serve, answering(ANSWER)) as there:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: send(session, there.url), range(2)))
        failure(session, there.url)

        assert send(session, there.url).content == b"{}"
        ends = sorted(served.result() for served in there.served[:2])

    assert ends == ["asked again, and gone", "left"]


def test_a_killed_request_leaves_its_connection(session: HttpSession) -> None:
    def body() -> Iterator[bytes]:
        yield b"{"
        raise KilledError

    with host(until_left, answering(ANSWER)) as there:
        request = AWSRequest("POST", there.url, {"Content-Length": "2"}).prepare()
        request.body = body()
        with pytest.raises(KilledError):
            session.send(request)

        assert send(session, there.url).content == b"{}"


# Time


def test_an_answer_is_waited_for_as_long_as_was_said() -> None:
    session = HttpSession(connect_s=PATIENCE_S, read_s=AT_ONCE_S, verify=True)

    with host(until_left) as there:
        assert type(failure(session, there.url)) is botocore.ReadTimeoutError


def test_the_rest_of_an_answer_is_waited_for_likewise() -> None:
    def say_half(caller: Caller) -> bool:
        caller.say(ANSWER[:-1])
        return caller.is_left()

    session = HttpSession(connect_s=PATIENCE_S, read_s=AT_ONCE_S, verify=True)

    with host(say_half) as there:
        assert type(failure(session, there.url)) is botocore.ReadTimeoutError


def test_a_connection_is_waited_for_as_long_as_was_said() -> None:
    session = HttpSession(connect_s=AT_ONCE_S, read_s=2 * PATIENCE_S, verify=True)

    with host(until_left) as there:  # it never greets, and gives up before `read_s`
        url = there.url.replace("http:", "https:")

        assert type(failure(session, url)) is botocore.ConnectTimeoutError


def test_where_nobody_listens_nothing_is_sent(session: HttpSession) -> None:
    with host() as there:
        url = there.url

    assert type(failure(session, url)) is botocore.EndpointConnectionError


# Whom to trust


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the certificate of `localhost`, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )
    return file


@pytest.fixture
def tls(certificate: Path) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting(file: Path | bool) -> HttpSession:
    verify = file if isinstance(file, bool) else str(file)
    return HttpSession(connect_s=PATIENCE_S, read_s=PATIENCE_S, verify=verify)


def by_name(there: Host) -> str:
    return there.url.replace("127.0.0.1", "localhost")


def test_a_host_that_proves_its_name_is_trusted(certificate: Path, tls: SSLContext) -> None:
    session = trusting(certificate)

    with host(answering(ANSWER, ANSWER), answering(ANSWER), tls=tls) as there:
        answers = [send(session, by_name(there)).content for _ in range(2)]
        there.served[0].result()  # it is closed
        answers.append(send(session, by_name(there)).content)
        session.close()

    assert answers == [b"{}"] * 3


def test_a_host_that_nobody_vouches_for_is_sent_nothing(tls: SSLContext) -> None:
    with host(until_left, tls=tls) as there:
        assert type(failure(trusting(True), by_name(there))) is botocore.SSLError
        assert there.served[0].exception() is not None  # it did not get as far as to a request


def test_a_host_of_another_name_is_sent_nothing(certificate: Path, tls: SSLContext) -> None:
    with host(until_left, tls=tls) as there:
        error = failure(trusting(certificate), there.url)

    assert type(error) is botocore.SSLError
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_file_of_certificates_trusts_nobody(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "bundle.pem"
    if content is not None:
        file.write_text(content)

    assert type(failure(trusting(file), "https://localhost:1")) is botocore.SSLError


# botocore's client


TABLES = b'{"TableNames":["objects"]}'
LISTED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TABLES), TABLES)


BUNDLES = ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]


@pytest.mark.parametrize("variable", BUNDLES)
def test_the_client_trusts_whom_botocore_would(
    certificate: Path, tls: SSLContext, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(certificate))

    with host(answering(LISTED), tls=tls) as there:
        client = connect("eu-west-1", by_name(there)).client
        assert client.list_tables()["TableNames"] == ["objects"]
        client.close()
        [(head, body)] = there.served[0].result()

    assert b"X-Amz-Target: DynamoDB_20120810.ListTables\r\n" in head
    assert b"Authorization: AWS4-HMAC-SHA256" in head
    assert body == b"{}"


def test_the_client_sends_by_a_proxy_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def refuse(caller: Caller) -> bytes:
        head = caller.read_head()
        caller.say(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        return head

    with host(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(botocore.ProxyConnectionError):
            connect("eu-west-1").client.list_tables()
        head = proxy.served[0].result()

    assert head.startswith(b"CONNECT dynamodb.eu-west-1.amazonaws.com:443 ")


def test_a_hook_may_answer_in_the_place_of_the_host() -> None:
    client = connect("eu-west-1", "http://127.0.0.1:1").client
    answer = AWSResponse("http://hook", 200, {}, None)
    answer._content = TABLES
    client.meta.events.register("before-send.dynamodb", lambda **_: answer)

    assert client.list_tables()["TableNames"] == ["objects"]
