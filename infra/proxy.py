"""The gateway to an application that is deployed to the emulator, as a custom domain leads to it.

`infra.server` serves it as it does the local one: the API is at the address of the server, without
the gateway's stage, and its answers name no other.
"""

import re
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from chalicelib.protocol.errors import BACKEND, INVALID_PARAMETERS, ProtocolError
from infra.packaged import Deployment

_TIMEOUT_S = 60.0
_OF_ONE_HOP = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding", "upgrade"}
)
_METHOD = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f]")
_OF_THE_SERVER = frozenset({"date", "server"})


class DeployedGateway:
    """Hands requests on; any number of threads may use it at once."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        """Lead to a deployment on the emulator at this URL."""
        self._host = url.removeprefix("http://")
        # By its path, as the host stays the client's: addresses in answers have it.
        self._path = f"/_aws/execute-api/{deployment.api_id}/{deployment.api_stage}"

    def handle_request(
        self, method: str, path: str, headers: dict[str, Any], body: bytes | None
    ) -> dict[str, Any]:
        """What the deployed API answers, in the form of Lambda's proxy integration.

        Args:
            method: any.
            path: as it was sent, with its query string.
            headers: one that came several times is a list with commas.
            body: None where there is none.

        Raises:
            ProtocolError: BACKEND (503) where the emulator doesn't answer; INVALID_PARAMETERS
                (400) for a method or a header that can't be sent.
        """
        if not _METHOD.fullmatch(method) or _CONTROL.search("".join(headers.values())):
            raise ProtocolError(INVALID_PARAMETERS, message="it isn't HTTP")
        sent = {name: it for name, it in headers.items() if name.lower() not in _OF_ONE_HOP}
        try:
            with closing(HTTPConnection(self._host, timeout=_TIMEOUT_S)) as connection:
                connection.request(method, self._path + path, body, sent)
                return _read(connection.getresponse())
        except (OSError, HTTPException) as error:
            raise ProtocolError(BACKEND) from error
        except ValueError as error:
            raise ProtocolError(INVALID_PARAMETERS, message=str(error)) from error


def _read(answer: HTTPResponse) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in answer.getheaders():
        if name.lower() not in _OF_ONE_HOP | _OF_THE_SERVER:
            headers.setdefault(name, []).append(value)
    return {
        "statusCode": answer.status,
        "headers": {},
        "multiValueHeaders": headers,
        "body": answer.read(),
    }
