"""A POST that can't be led astray: `chalicelib/events/outbound.py`."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.events import outbound
from chalicelib.events.outbound import (
    Answer,
    ForbiddenAddressError,
    OutboundError,
    is_public,
    post,
)

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "8.8.8.8"
TIMEOUT_S = 5.0
SHORT_S = 0.15
"""For what hangs: the test takes as long."""

DROPS_S = 4.0
"""Of a dripping endpoint: it ends well, but far too late."""

DROPS = 400

Page = Callable[[BaseHTTPRequestHandler], None]


# Endpoints


@dataclass
class Endpoint:
    """A server on 127.0.0.1.

    Attributes:
        page: answers each request, whose body has not been read.
        asked: path and headers of each request.
        over: set when the test is: nothing waits any longer.
    """

    port: int
    page: Page
    asked: list[tuple[str, HTTPMessage]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.port}"


def answers(status: int, *headers: tuple[str, str]) -> Page:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()

    return page


def says(text: bytes) -> Page:
    """Answer this, whether it is HTTP or not."""
    return lambda handler: handler.wfile.write(text) and None


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing it waits for its connections

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client went away, which many of them shall."""


@contextmanager
def endpoint(certificate: Path | None = None, page: Page | None = None) -> Iterator[Endpoint]:
    """An endpoint while the context lasts, with TLS if there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.asked.append((self.path, self.headers))
            shown.page(self)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        shown = Endpoint(server.server_port, page or answers(200))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield shown
        finally:
            shown.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def hook() -> Iterator[Endpoint]:
    """An endpoint without TLS."""
    with endpoint() as shown:
        yield shown


# Certificates


class Authority:
    """Issues certificates, each a file with its key."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(self._name, self._key, is_authority=True))

    def issues(self, *hosts: str, days: int = 1) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = x509.SubjectAlternativeName(list(map(x509.DNSName, hosts)))
        file = self._folder / f"{self.file.stem} {hosts[0]} {days}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._signed(name, key, names, days=days)
        )
        return file

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *extensions: x509.ExtensionType,
        is_authority: bool = False,
        days: int = 1,
    ) -> bytes:
        now = datetime.now(UTC)
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        built = (
            x509.CertificateBuilder(self._name, name, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(constraints, critical=True)
        )
        for extension in extensions:
            built = built.add_extension(extension, critical=False)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "trusted")


@pytest.fixture
def trust(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this process trust the authority and no other."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    outbound._tls.cache_clear()
    yield
    outbound._tls.cache_clear()


# The network


class Network:
    """Names and addresses of our own.

    Attributes:
        names: the answers of the resolver for each name, one after the other.
        ports: where on this machine an address leads to; others refuse connections.
        resolved: names that were looked up.
        tried: addresses that were connected to.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.ports: dict[str, int] = {}
        self.resolved: list[str] = []
        self.tried: list[str] = []

    def look_up(self, host: str, port: int, **_: object) -> list[Any]:
        self.resolved.append(host)
        found = self.names[host]
        addresses = found.pop(0) if len(found) > 1 else found[0]
        return [_entry(address, port) for address in addresses]


def _entry(address: str, port: int) -> tuple[Any, ...]:
    """What `getaddrinfo` says of an address."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)


@contextmanager
def own_network() -> Iterator[Network]:
    made = Network()

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            made.tried.append(address[0])
            if address[0] not in made.ports:
                raise ConnectionRefusedError
            super().connect(("127.0.0.1", made.ports[address[0]]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbound.socket, "getaddrinfo", made.look_up)
        patch.setattr(outbound.socket, "socket", Socket)
        yield made


@pytest.fixture
def network() -> Iterator[Network]:
    with own_network() as made:
        yield made


def send(url: str, body: bytes = b"{}", *, timeout_s: float = TIMEOUT_S) -> Answer:
    return post(url, {"X-A": "b"}, body, timeout_s=timeout_s, allows_loopback=True)


def failure(url: str, body: bytes = b"{}", *, timeout_s: float = TIMEOUT_S) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        send(url, body, timeout_s=timeout_s)
    return caught.value


def hangs(url: str, body: bytes = b"{}") -> bool:
    """Whether this takes all of its time and hardly more, and says so."""
    began = time.monotonic()
    error = failure(url, body, timeout_s=SHORT_S)
    took_s = time.monotonic() - began
    is_told = str(error) == "takes longer than 0.15 s"
    return is_told and SHORT_S <= took_s < DROPS_S / 2


# What is sent, and what comes back


def test_a_body_is_posted_with_its_headers(hook: Endpoint) -> None:
    bodies: list[bytes] = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        bodies.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        answers(202)(handler)

    hook.page = page

    answer = send(f"{hook.url()}/a//b?c=d", b'{"e":"\xc3\xa9"}')

    [(path, headers)] = hook.asked
    assert answer == Answer(202, None)
    assert path == "/a//b?c=d"
    assert bodies == [b'{"e":"\xc3\xa9"}']
    assert sorted(headers.items()) == [
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("Content-Length", "10"),
        ("Host", f"localhost:{hook.port}"),
        ("X-A", "b"),
    ]


@pytest.mark.parametrize(("rest", "path"), [("", "/"), ("?a", "/?a"), ("/?", "/")])
def test_a_url_without_a_path_asks_for_the_root(hook: Endpoint, rest: str, path: str) -> None:
    send(hook.url() + rest)

    assert hook.asked[0][0] == path


def test_the_host_is_that_of_the_url_whatever_headers_say(hook: Endpoint) -> None:
    post(hook.url(), {"host": "a"}, b"", timeout_s=TIMEOUT_S, allows_loopback=True)

    assert hook.asked[0][1].get_all("Host") == [f"localhost:{hook.port}"]


@pytest.mark.parametrize("status", [200, 204, 400, 404, 410, 429, 500, 503])
def test_any_status_is_an_answer(hook: Endpoint, status: int) -> None:
    hook.page = answers(status)

    assert send(hook.url()) == Answer(status, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(hook: Endpoint, status: int) -> None:
    hook.page = answers(status, ("Location", f"{hook.url()}/other"))

    assert send(hook.url()).status == status
    assert [path for path, _ in hook.asked] == ["/"]


def test_the_body_of_an_answer_is_not_read(hook: Endpoint) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        answers(200, ("Content-Length", "1000000"))(handler)
        hook.over.wait(TIMEOUT_S)

    hook.page = page

    assert send(hook.url()).status == 200


def test_cookies_are_not_sent_back(hook: Endpoint) -> None:
    hook.page = answers(200, ("Set-Cookie", "a=b"))

    send(hook.url())
    send(hook.url())

    assert [headers["Cookie"] for _, headers in hook.asked] == [None, None]


def test_proxies_of_the_environment_are_passed_over(
    hook: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert send(hook.url()).status == 200


def test_neither_threads_nor_connections_are_left(hook: Endpoint) -> None:
    before = threading.active_count()
    gone = threading.Event()

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(2)
        answers(200)(handler)
        handler.rfile.read()  # until the client has closed
        gone.set()

    hook.page = page

    send(hook.url())

    assert gone.wait(TIMEOUT_S)
    assert _comes_to_be(lambda: threading.active_count() <= before)


def _comes_to_be(claim: Callable[[], bool]) -> bool:
    """Whether it does within a second: a thread of the server ends when it likes."""
    until = time.monotonic() + 1
    while not claim():
        if time.monotonic() > until:
            return False
    return True


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("999999999", 999_999_999.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("9" * 400, None),
        ("9" * 5000, None),
        ("12, 13", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("Tue, 14 Nov 2023 22:14:20 +9999", None),
    ],
)
def test_a_time_to_wait_is_told_in_seconds(
    hook: Endpoint, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float | None
) -> None:
    hook.page = answers(503, ("Retry-After", text))
    monkeypatch.setattr(outbound.time, "time", lambda: 1_700_000_000.0)

    assert send(hook.url()) == Answer(503, seconds)


def test_the_first_of_several_times_to_wait_counts(hook: Endpoint) -> None:
    hook.page = answers(503, ("Retry-After", "7"), ("Retry-After", "8"))

    assert send(hook.url()).retry_after_s == 7


@given(
    st.text(st.characters(max_codepoint=255), max_size=60)
    | st.datetimes(timezones=st.timezones()).map(format_datetime)
    | st.text("0123456789 :,+-GMTNov", max_size=60)
)
def test_any_time_to_wait_is_a_number_of_seconds_or_unreadable(text: str) -> None:
    seconds = outbound._retry_after_s(text)

    assert seconds is None or 0 <= seconds < 1e12


# Endpoints that fail


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "RemoteDisconnected"),
        (b"hello\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 abc\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 20", "BadStatusLine"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "BadStatusLine"),
        (b"HTTP/2 200 OK\r\n\r\n", "UnknownProtocol"),
        (b"HTTP/1.1 " + b"2" * 100_000, "LineTooLong"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000, "LineTooLong"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "HTTPException"),
    ],
)
def test_what_is_no_http_of_reasonable_size_is_no_answer(
    hook: Endpoint, text: bytes, why: str
) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(2)
        says(text)(handler)

    hook.page = page

    error = failure(hook.url())

    # The end of a long answer may be lost with the connection.
    assert str(error) in (f"not reached: {why}", "not reached: ConnectionResetError")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_refused_connection_is_told(closed_port: int) -> None:
    error = failure(f"http://127.0.0.1:{closed_port}/secret?token=1")

    assert str(error) == "not reached: ConnectionRefusedError"


def test_a_host_that_has_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(outbound.socket, "getaddrinfo", fail)

    assert str(failure("https://hooks.example/secret")) == "not resolved: gaierror"


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64 + ".org"])
def test_a_host_that_is_no_name_is_told(host: str) -> None:
    assert str(failure(f"https://{host}/")) == "not resolved: UnicodeError"


def test_a_mistake_of_the_resolver_is_not_hidden(network: Network) -> None:
    with pytest.raises(KeyError):
        send("https://unknown.example/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/secret", "the URL is neither https nor http on a loopback address"),
        ("https://user:secret@example.org/", "the URL has a user name or a password"),
        ("https:///secret", "the URL has no host"),
    ],
)
def test_what_is_no_url_to_post_to_is_not_even_resolved(
    network: Network, url: str, why: str
) -> None:
    assert str(failure(url)) == why
    assert network.resolved == []


# Endpoints that take their time


def drips(text: bytes, drop: bytes) -> Page:
    """Say something, and then this again and again, until nobody listens."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(text)
        over = threading.Event()
        for _ in range(DROPS):
            over.wait(DROPS_S / DROPS)
            handler.wfile.write(drop)
        handler.wfile.write(b"\r\n\r\n")

    return page


@pytest.mark.parametrize(
    ("text", "drop"),
    [
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
        (b"HTTP/1.1 200 OK\r\nRetry-After: 1", b"0"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.usefixtures("trust")
def test_nobody_waits_for_headers_that_come_in_drops(
    authority: Authority, scheme: str, text: bytes, drop: bytes
) -> None:
    certificate = authority.issues("localhost") if scheme == "https" else None
    with endpoint(certificate, drips(text, drop)) as slow:
        assert hangs(slow.url(scheme))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.usefixtures("trust")
def test_nobody_waits_for_an_endpoint_that_does_not_answer(
    authority: Authority, scheme: str
) -> None:
    certificate = authority.issues("localhost") if scheme == "https" else None
    with endpoint(certificate) as silent:
        silent.page = lambda _: silent.over.wait(TIMEOUT_S) and None

        assert hangs(silent.url(scheme))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.usefixtures("trust")
def test_nobody_waits_for_an_endpoint_that_hardly_reads(authority: Authority, scheme: str) -> None:
    certificate = authority.issues("localhost") if scheme == "https" else None
    with endpoint(certificate) as slow:

        def page(handler: BaseHTTPRequestHandler) -> None:
            for _ in range(DROPS):
                handler.connection.recv(16_384)
                if slow.over.wait(DROPS_S / DROPS):
                    return

        slow.page = page

        assert hangs(slow.url(scheme), b" " * 20_000_000)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_waits_for_a_connection_that_is_not_served(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert hangs(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/")


def test_nobody_waits_for_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    over, ended = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[Any]:
        over.wait(TIMEOUT_S)
        ended.set()
        return []

    monkeypatch.setattr(outbound.socket, "getaddrinfo", look_up)

    assert hangs("https://hooks.example/")

    over.set()
    assert ended.wait(TIMEOUT_S)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    hook: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts_s: list[float | None] = []

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            timeouts_s.append(self.gettimeout())
            if address[0] != "127.0.0.1":
                raise TimeoutError
            super().connect(address)

    found = [_entry(ip, hook.port) for ip in ("127.0.0.3", "127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(outbound.socket, "socket", Socket)

    assert send(hook.url(), timeout_s=30).status == 200
    assert timeouts_s == [pytest.approx(share, abs=2) for share in (10, 15, 30)]


def test_nobody_waits_for_a_connection_to_be_made(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.names["hooks.example"] = [[PUBLIC]]

    def connect(self: socket.socket, _: Any) -> None:
        threading.Event().wait(self.gettimeout())
        raise TimeoutError

    monkeypatch.setattr(outbound.socket.socket, "connect", connect)

    assert hangs("https://hooks.example/")


# Certificates


@pytest.mark.usefixtures("trust")
def test_an_endpoint_with_a_trusted_certificate_is_posted_to(authority: Authority) -> None:
    with endpoint(authority.issues("localhost")) as trusted:
        assert send(trusted.url("https")).status == 200
        assert trusted.asked[0][1]["Host"] == f"localhost:{trusted.port}"


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize(
    ("host", "days", "why"),
    [
        (
            "hooks.example",
            1,
            "Hostname mismatch, certificate is not valid for 'localhost'.",
        ),
        ("localhost", -1, "certificate has expired"),
    ],
)
def test_a_certificate_of_another_host_or_time_is_refused(
    authority: Authority, host: str, days: int, why: str
) -> None:
    with endpoint(authority.issues(host, days=days)) as other:
        error = failure(f"{other.url('https')}/secret")

    assert str(error) == f"its certificate is refused: {why}"
    assert other.asked == []


@pytest.mark.usefixtures("trust")
def test_a_certificate_of_an_unknown_authority_is_refused(folder: Path) -> None:
    with endpoint(Authority(folder, "unknown").issues("localhost")) as unknown:
        error = failure(unknown.url("https"))

    assert str(error).startswith("its certificate is refused: ")
    assert unknown.asked == []


def test_an_endpoint_without_tls_is_told(hook: Endpoint) -> None:
    error = failure(hook.url("https"))

    assert str(error).startswith("not reached: ")
    assert hook.asked == []


def test_versions_of_tls_before_1_2_are_refused() -> None:
    assert outbound._tls().minimum_version == ssl.TLSVersion.TLSv1_2


# Addresses


@pytest.fixture
def public_hook(authority: Authority, network: Network, trust: None) -> Iterator[Endpoint]:
    """What answers at a public address, for hooks.example."""
    with endpoint(authority.issues("hooks.example")) as shown:
        network.names["hooks.example"] = [[PUBLIC]]
        network.ports[PUBLIC] = shown.port
        yield shown


def test_a_public_address_is_connected_to_under_the_name_of_its_host(
    public_hook: Endpoint, network: Network
) -> None:
    answer = post("https://hooks.example/a", {}, b"", timeout_s=TIMEOUT_S)

    assert answer.status == 200
    assert network.tried == [PUBLIC]
    assert public_hook.asked[0][1]["Host"] == "hooks.example"


def test_a_name_that_is_bound_again_after_the_check_is_not_looked_up_again(
    public_hook: Endpoint, network: Network
) -> None:
    network.names["hooks.example"] = [[PUBLIC], ["127.0.0.1"]]

    send("https://hooks.example/")

    assert network.resolved == ["hooks.example"]
    assert network.tried == [PUBLIC]


def test_the_next_address_is_tried_where_one_takes_no_connection(
    public_hook: Endpoint, network: Network
) -> None:
    network.names["hooks.example"] = [["2600::1", OTHER_PUBLIC, PUBLIC, "1.1.1.1"]]

    assert send("https://hooks.example/").status == 200
    assert network.tried == ["2600::1", OTHER_PUBLIC, PUBLIC]


def test_a_kind_of_address_that_this_machine_lacks_is_passed_over(
    public_hook: Endpoint, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.names["hooks.example"] = [["2600::1", PUBLIC]]
    make = outbound.socket.socket

    def make_ipv4(family: int = -1, *rest: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError("not supported")
        return make(family, *rest, **options)

    monkeypatch.setattr(outbound.socket, "socket", make_ipv4)

    assert send("https://hooks.example/").status == 200


def test_a_host_without_addresses_is_told(network: Network) -> None:
    network.names["hooks.example"] = [[]]

    assert str(failure("https://hooks.example/")) == "it has no address"


FORBIDDEN = [
    "0.0.0.0",  # noqa: S104 - no address to bind to
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:808:808::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("position", [0, 1])
def test_no_host_with_an_address_that_is_not_public_is_connected_to(
    network: Network, address: str, position: int
) -> None:
    addresses = [PUBLIC]
    addresses.insert(position, address)
    network.names["hooks.example"] = [addresses]

    error = failure("https://hooks.example/secret")

    assert isinstance(error, ForbiddenAddressError)
    assert str(error) == "the host has an address that is not public"
    assert network.tried == []


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "2600::1", "2a05:d018::1", "2600::1%eth0", "64:ff9b::808:808"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "8.8.8", "134744072", "[2600::1]", "8.8.8.8/32"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


def _forms(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str]:
    """An address, and the addresses of IPv6 that lead to it somewhere."""
    if address.version == 6:
        return [str(address), f"{address}%eth0", address.exploded]
    number = int(address)
    holding = [
        number,
        (0xFFFF << 32) | number,  # mapped
        (0xFFFF << 48) | number,  # translated
        (0x0064_FF9B << 96) | number,  # NAT64
        (0x0064_FF9B_0001 << 80) | number,  # NAT64 of a network
        (0x2002 << 112) | (number << 80),  # 6to4
        (0x2001 << 112) | (number << 64),  # Teredo's server
        (0x2001 << 112) | (number ^ 0xFFFF_FFFF),  # Teredo's client
    ]
    return [str(address), *(str(ipaddress.IPv6Address(held)) for held in holding)]


@given(
    (st.ip_addresses() | st.sampled_from(FORBIDDEN[:20]).map(ipaddress.ip_address))
    .filter(lambda address: not address.is_global)
    .flatmap(lambda address: st.sampled_from(_forms(address)))
)
def test_no_address_that_is_not_global_is_ever_connected_to_in_any_form(address: str) -> None:
    with own_network() as network:
        network.names["hooks.example"] = [[address]]

        assert isinstance(failure("https://hooks.example/"), ForbiddenAddressError)
        assert network.tried == []


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"],
)
def test_odd_forms_of_a_number_are_the_address_that_they_resolve_to(host: str) -> None:
    assert isinstance(failure(f"https://{host}/"), ForbiddenAddressError)


# This machine


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_is_not_connected_to_unless_that_is_allowed(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        post(f"https://{host}/", {}, b"", timeout_s=TIMEOUT_S)


def test_http_is_refused_unless_loopback_hosts_are_allowed(hook: Endpoint) -> None:
    with pytest.raises(OutboundError, match=r"^the URL is not https$"):
        post(hook.url(), {}, b"", timeout_s=TIMEOUT_S)

    assert hook.asked == []


def test_another_name_of_this_machine_is_refused_where_loopback_hosts_are_allowed(
    network: Network,
) -> None:
    network.names["hooks.example"] = [["127.0.0.1"]]

    assert isinstance(failure("https://hooks.example/"), ForbiddenAddressError)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", PUBLIC])
def test_a_loopback_host_that_resolves_elsewhere_is_refused(network: Network, address: str) -> None:
    network.names["localhost"] = [["127.0.0.1", address]]

    assert isinstance(failure("http://localhost/"), ForbiddenAddressError)
    assert network.tried == []
