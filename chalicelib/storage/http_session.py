"""HTTP over connections that are kept: what botocore's client sends DynamoDB's requests by.

Of a call, a fifth of the time went to what botocore and urllib3 do so that they can send anything,
by any proxy. `http.client`, which sends for those too, is enough for requests that are small.
"""

import select
import socket
import ssl
from collections import defaultdict
from contextlib import suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Final
from urllib.parse import SplitResult, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import get_cert_path

_PORTS: Final = {"http": 80, "https": 443}


class HttpSession:
    """In the place of botocore's URLLib3Session; any number of threads may send by it at once."""

    def __init__(self, *, connect_s: float, read_s: float, verify: str | bool) -> None:
        """Nothing is connected yet.

        Args:
            connect_s: seconds that a connection may take to be made, to each address of a host.
            read_s: seconds that may pass until something of an answer comes.
            verify: a file of certificates that are trusted; True for botocore's own.
        """
        self._connect_s = connect_s
        self._read_s = read_s
        self._verify = verify
        self._idle: defaultdict[str, list[HTTPConnection]] = defaultdict(list)

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to a request, whole.

        Raises:
            EndpointConnectionError: there is no connection, so nothing was sent.
            ConnectTimeoutError: likewise, as it took too long.
            SSLError: likewise, as the host could not prove who it is.
            ReadTimeoutError: the answer took too long.
            ConnectionClosedError: there was no answer, or a part of one.
        """
        url = urlsplit(request.url)
        origin = f"{url.scheme}://{url.netloc}"
        connection = self._kept(origin) or self._connected(url)
        try:
            answer, content = _exchanged(connection, url.path or "/", request)
        except BaseException as error:
            connection.close()
            self.close()  # those that are idle are older: after a sleep they are lost as well
            if isinstance(error, TimeoutError):
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            if isinstance(error, (OSError, HTTPException)):
                raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle[origin].append(connection)
        response = AWSResponse(request.url, answer.status, answer.headers, answer)
        response._content = content
        return response

    def __del__(self) -> None:
        """Leave no connection open."""
        self.close()

    def close(self) -> None:
        """Close all connections that are idle."""
        for idle in list(self._idle.values()):
            while connection := _last(idle):
                connection.close()

    def _kept(self, origin: str) -> HTTPConnection | None:
        """The one that was used last, as that is the least likely to be closed; None without."""
        while connection := _last(self._idle[origin]):
            if _is_open(connection.sock):
                return connection
            connection.close()
        return None

    def _connected(self, url: SplitResult) -> HTTPConnection:
        try:
            connection = self._connection(url)
            connection.connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=url.geturl(), error=error) from error
        except (ssl.SSLError, FileNotFoundError) as error:  # no such file of certificates
            raise SSLError(endpoint_url=url.geturl(), error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=url.geturl(), error=error) from error
        connection.sock.settimeout(self._read_s)
        return connection

    def _connection(self, url: SplitResult) -> HTTPConnection:
        host = url.hostname or ""
        port = url.port or _PORTS[url.scheme]
        if url.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._connect_s, context=self._tls_context)
        return HTTPConnection(host, port, timeout=self._connect_s)

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=get_cert_path(self._verify))


def _exchanged(
    connection: HTTPConnection, target: str, request: AWSPreparedRequest
) -> tuple[HTTPResponse, bytes]:
    """An answer, read to its end, and its content."""
    with suppress(BrokenPipeError):  # whoever refuses a body may have answered before its end
        connection.request(request.method, target, request.body, request.headers)
    with connection.getresponse() as answer:
        if answer.length is None and not answer.chunked:
            raise IncompleteRead(b"")  # its head was cut: only the length tells that all is there
        return answer, answer.read()


def _last(idle: list[HTTPConnection]) -> HTTPConnection | None:
    try:
        return idle.pop()  # not asked before whether there is one: another thread may be faster
    except IndexError:
        return None


def _is_open(sock: socket.socket) -> bool:
    """Whether nothing came while it was idle: that would be its end.

    While a function sleeps, DynamoDB closes connections.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)
