"""HTTP to one host, over connections that are kept: what botocore's client sends requests by.

Of a call, a fifth of the time went to what botocore and urllib3 do so that they can send to any
host, by any proxy. DynamoDB is one, so `http.client`, which sends for those too, is enough.
"""

import select
import socket
import ssl
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.httpsession import get_cert_path

_PORTS: Final = {"http": 80, "https": 443}


class HttpSession:
    """In the place of botocore's URLLib3Session; any number of threads may send by it at once."""

    def __init__(self, url: str, *, connect_s: float, read_s: float, verify: str | bool) -> None:
        """Keep where to; nothing is connected yet.

        Args:
            url: of the host.
            connect_s: seconds that a connection may take to be made.
            read_s: seconds that may pass until something of an answer comes.
            verify: a file of certificates that are trusted; True for botocore's own.
        """
        self._url = urlsplit(url)
        self._connect_s = connect_s
        self._read_s = read_s
        self._verify = verify
        self._idle: list[HTTPConnection] = []

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to a request, whole.

        Raises:
            EndpointConnectionError: there is no connection, so nothing was sent.
            ReadTimeoutError: the answer took too long.
            ConnectionClosedError: there was no answer, or a part of one.
        """
        connection = self._connection()
        try:
            connection.request(request.method, self._url.path or "/", request.body, request.headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            if isinstance(error, (OSError, HTTPException)):
                raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        response = AWSResponse(request.url, answer.status, answer.headers, answer)
        response._content = content
        return response

    def close(self) -> None:
        """Close all connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> HTTPConnection:
        """The last one that was used, as that is the least likely to be closed; or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection.sock):
                return connection
            connection.close()
        return self._connected()

    def _connected(self) -> HTTPConnection:
        host = self._url.hostname or ""
        port = self._url.port or _PORTS[self._url.scheme]
        connection: Any
        if self._url.scheme == "https":
            connection = HTTPSConnection(
                host, port, timeout=self._connect_s, context=self._tls_context
            )
        else:
            connection = HTTPConnection(host, port, timeout=self._connect_s)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise EndpointConnectionError(endpoint_url=self._url.geturl(), error=error) from error
        connection.sock.settimeout(self._read_s)
        made: HTTPConnection = connection
        return made

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=get_cert_path(self._verify))


def _is_open(sock: socket.socket) -> bool:
    """Whether nothing came while it was idle: that would be its end.

    While a function sleeps, DynamoDB closes connections.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)
