"""The one table of errors, and the exception that carries a row of it.

Rule: spec, "The service around the resources", section 5.
"""

from collections.abc import Sequence
from typing import NamedTuple

from chalicelib.protocol.messages import JsonObject


class ErrorKind(NamedTuple):
    """One row: HTTP status, Kinto's errno, the error's name, and the message if it has one."""

    status: int
    errno: int
    error: str
    message: str | None


_INVALID = "Invalid parameters"

INVALID_PARAMETERS = ErrorKind(400, 107, _INVALID, None)
NOT_ACCEPTABLE = ErrorKind(406, 107, _INVALID, None)
UNSUPPORTED_MEDIA_TYPE = ErrorKind(415, 107, _INVALID, None)
MISSING_AUTH_TOKEN = ErrorKind(
    401, 104, "Unauthorized", "Please authenticate yourself to use this endpoint."
)
FORBIDDEN = ErrorKind(403, 121, "Forbidden", "This user cannot access this resource.")
MISSING_RESOURCE = ErrorKind(
    404, 111, "Not Found", "The resource you are looking for could not be found."
)
VERSION_NOT_AVAILABLE = ErrorKind(
    404, 116, "Not Found", "The requested protocol version is not available on this server."
)
METHOD_NOT_ALLOWED = ErrorKind(
    405, 115, "Method Not Allowed", "Method not allowed on this endpoint."
)
SERVICE_DEPRECATED = ErrorKind(
    410, 202, "Gone", "The service you are trying to connect no longer exists at this location."
)
MODIFIED_MEANWHILE = ErrorKind(412, 114, "Precondition Failed", "Resource was modified meanwhile")
REQUEST_TOO_LARGE = ErrorKind(
    413, 113, "Request Entity Too Large", "The request is larger than this server can store."
)
UNDEFINED = ErrorKind(
    500,
    999,
    "Internal Server Error",
    "A programmatic error occured, developers have been informed.",
)
BACKEND = ErrorKind(
    503,
    201,
    "Service Unavailable",
    "Service temporary unavailable due to overloading or maintenance, please retry later.",
)

ERROR_KINDS = (
    INVALID_PARAMETERS,
    NOT_ACCEPTABLE,
    UNSUPPORTED_MEDIA_TYPE,
    MISSING_AUTH_TOKEN,
    FORBIDDEN,
    MISSING_RESOURCE,
    VERSION_NOT_AVAILABLE,
    METHOD_NOT_ALLOWED,
    SERVICE_DEPRECATED,
    MODIFIED_MEANWHILE,
    REQUEST_TOO_LARGE,
    UNDEFINED,
    BACKEND,
)

RESERVED_ERRNOS = frozenset({105, 106, 108, 109, 110, 112, 117, 122})
"""Numbers that have a meaning in the protocol, and none here: never to be given another."""


class Problem(NamedTuple):
    """One thing that is wrong with a request.

    Attributes:
        location: `body`, `querystring`, `path`, `header` or `headers`.
        name: what is wrong there; None where it is the whole.
        description: why.
    """

    location: str
    name: str | None
    description: str

    @property
    def message(self) -> str:
        """The problem in one line, as the error's `message` has it."""
        if self.name is None:
            return f"{self.location}: {self.description}"
        if self.name in self.description:
            return self.description
        return f"{self.name} in {self.location}: {self.description}"


class ProtocolError(Exception):
    """A client's fault, or the service's state, that ends a request with an error.

    Attributes:
        kind: its row.
        message: the row's, or what was said instead.
        details: Kinto's `details`, or None.
        timestamp: what a 412 was compared with, for its ETag, in ms.
        headers: what else the answer has: Location and the like.
    """

    def __init__(
        self,
        kind: ErrorKind,
        details: JsonObject | list[JsonObject] | None = None,
        *,
        message: str | None = None,
        timestamp: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Take a row, and what is particular to this case."""
        super().__init__(message or kind.message or kind.error)
        self.kind = kind
        self.message = message or kind.message
        self.details = details
        self.timestamp = timestamp
        self.headers = headers or {}


def invalid(problems: Sequence[Problem], kind: ErrorKind = INVALID_PARAMETERS) -> ProtocolError:
    """The error that lists these problems; its message is about the first by name.

    Rule: spec, "Records", section 7: alphabetical order, and null before all names.
    """
    first = min(problems, key=lambda problem: (problem.name is not None, problem.name or ""))
    return ProtocolError(kind, [problem._asdict() for problem in problems], message=first.message)
