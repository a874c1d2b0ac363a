"""A POST that can't be led astray: to a public address, within its time, and no further.

Whoever chooses a URL, or answers for its name in the DNS, must not make us ask what only we can
reach: this machine, the network around it, or the metadata service with its credentials.
"""

import ipaddress
import math
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from chalicelib.protocol.urls import is_loopback, problem_of_url

_PORTS: Final = {"https": 443, "http": 80}
_SECONDS: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{0,9})?")

_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""The IPv6 addresses that are given out. Outside are, among others, all that hold an IPv4 one."""

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""NAT64: so a DNS64 resolver tells hosts without IPv6 to a subnet without IPv4."""

_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # relays of 6to4
            "2001::/23",  # protocol assignments, Teredo in them
            "2002::/16",  # 6to4: it leads to any IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
"""What `ipaddress` takes for global, wholly or in some versions of Python."""


class OutboundError(Exception):
    """No answer came; says why in one line, without the URL's path, query, or any secret."""


class ForbiddenAddressError(OutboundError):
    """The host resolves to an address that is not public; nothing was connected to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said."""

    status: int
    retry_after_s: float | None  # of Retry-After, from now; None without one that can be read


class _Address(NamedTuple):
    family: socket.AddressFamily
    ip: str
    where: tuple[str | int | bytes, ...]  # what `connect` takes


class _Deadline:
    """The end of an exchange."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._until_s = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """How long a step may take, above 0.

        Raises:
            OutboundError: it is over.
        """
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise self._passed()
        return left_s

    def failure(self, why: str) -> OutboundError:
        """What to tell of a failure: after the end, a lack of time, which has caused it."""
        is_over = self._until_s <= time.monotonic()
        return self._passed() if is_over else OutboundError(why)

    def _passed(self) -> OutboundError:
        return OutboundError(f"takes longer than {self._timeout_s:g} s")

    @contextmanager
    def tells_failures(self) -> Iterator[None]:
        """Tell what goes wrong as ours, and nothing of what a peer has sent."""
        try:
            yield
        except (OSError, HTTPException) as error:
            raise self.failure(_reason(error)) from None

    @contextmanager
    def shuts(self, sock: socket.socket) -> Iterator[None]:
        """Shut this connection in the end, whatever it waits for.

        A socket's own timeout is that of one read: drops may come in forever.

        Raises:
            OutboundError: it is over, even if all went well: to http.client, headers that end
                as the connection is shut are headers.
        """
        sock.settimeout(self.left_s())
        timer = threading.Timer(self.left_s(), self._shut, [sock])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        self.left_s()

    def _shut(self, sock: socket.socket) -> None:
        self._until_s = -math.inf
        with suppress(OSError):
            # The method of a TLS socket would have its reads go on without TLS.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_s: float,
    allows_loopback: bool = False,
) -> Answer:
    """The answer to a POST, whatever its status. Its body is not read, no redirect followed.

    Args:
        url: of https to a public address.
        headers: sent besides those of HTTP itself; a Host among them is passed over.
        body: sent as it is.
        timeout_s: of all of it, from resolving the host to the last header of the answer.
        allows_loopback: also of http or https to a loopback host, for development.

    Raises:
        ForbiddenAddressError: one of the host's addresses is not public.
        OutboundError: another URL, no connection, no trusted certificate, no HTTP, or too late.
    """
    if problem := problem_of_url(url, allows_loopback=allows_loopback):
        raise OutboundError(f"the URL {problem}")
    parts = urlsplit(url)
    host = parts.hostname or ""
    deadline = _Deadline(timeout_s)
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    addresses = _resolved(host, port, deadline)
    _check(addresses, wants_loopback=allows_loopback and is_loopback(host))
    with _connected(addresses, deadline) as plain, deadline.tells_failures():
        if parts.scheme == "http":
            return _exchanged(plain, parts, headers, body, deadline)
        # The handshake waits until somebody ends it.
        with _tls().wrap_socket(
            plain, server_hostname=host, do_handshake_on_connect=False
        ) as secured:
            return _exchanged(secured, parts, headers, body, deadline)


def is_address(host: str) -> bool:
    """Whether the host of a URL is an address itself, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether this address is one of the Internet's, and leads nowhere else.

    Addresses of IPv6 that hold one of IPv4 are not, but for those of NAT64, as the DNS of a
    subnet without IPv4 gives them: they are what they hold.

    Args:
        address: as the resolver gives it, perhaps with a zone.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.version == 6:
        if ip in _TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip not in _UNICAST:
            return False
    if ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global


def _resolved(host: str, port: int, deadline: _Deadline) -> list[_Address]:
    """All addresses of a host, looked up once: another look may find others."""
    outcome: queue.SimpleQueue[list[_Address] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            outcome.put([_Address(entry[0], str(entry[4][0]), entry[4]) for entry in found])
        except Exception as error:
            outcome.put(error)

    # The C library's look-up can't be ended: it is left behind, and ends by itself.
    threading.Thread(target=look_up, daemon=True).start()
    try:
        found = outcome.get(timeout=deadline.left_s())
    except queue.Empty:
        found = TimeoutError()
    # Labels that are empty or too long are a UnicodeError.
    if isinstance(found, (OSError, UnicodeError)):
        raise deadline.failure(f"not resolved: {type(found).__name__}")
    if isinstance(found, Exception):
        raise found
    return found


def _check(addresses: Sequence[_Address], *, wants_loopback: bool) -> None:
    for address in addresses:
        if not (is_loopback(address.ip) if wants_loopback else is_public(address.ip)):
            raise ForbiddenAddressError("the host has an address that is not public")


def _connected(addresses: Sequence[_Address], deadline: _Deadline) -> socket.socket:
    """A connection to the first of these that takes one; each has its share of the time."""
    why = "it has no address"
    for position, address in enumerate(addresses):
        share_s = deadline.left_s() / (len(addresses) - position)
        try:
            return _connection(address, share_s)
        except OSError as error:
            why = _reason(error)
    raise deadline.failure(why)


def _connection(address: _Address, timeout_s: float) -> socket.socket:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        sock.settimeout(timeout_s)
        sock.connect(address.where)
        # The body follows the headers at once, not with their acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stack.pop_all()  # it stays open
    return sock


@cache
def _tls() -> ssl.SSLContext:
    """What verifies certificates; reading those of all authorities takes some time."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _exchanged(
    sock: socket.socket,
    parts: SplitResult,
    headers: Mapping[str, str],
    body: bytes,
    deadline: _Deadline,
) -> Answer:
    connection = HTTPConnection(parts.hostname or "")
    connection.sock = sock
    connection.auto_open = 0  # it would resolve the host again
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {name: value for name, value in headers.items() if name.lower() != "host"}
    sent |= {"Host": parts.netloc, "Connection": "close"}
    with closing(connection), ExitStack() as opened:
        with deadline.shuts(sock):
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection.request("POST", target, body, sent)
            response = opened.enter_context(connection.getresponse())
        # Of several, the first; `getheader` would join them.
        return Answer(response.status, _retry_after_s(response.headers.get("Retry-After")))


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return f"not reached: {type(error).__name__}"


def _retry_after_s(text: str | None) -> float | None:
    """How long to wait: Retry-After has seconds or a date. Rule: RFC 9110, 10.2.3."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        return max(0.0, float(text))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A date without a zone is one of GMT, as all are by the rule.
    at = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - time.time())
