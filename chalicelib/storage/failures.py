"""DynamoDB's failures as ours: the border where botocore's exceptions end.

    StorageError
     +-- ConflictError      another request was first: run this one again
     +-- ThrottledError     DynamoDB refused for load: ask again
     +-- NoAnswerError      nobody knows whether it was carried out
     +-- UnavailableError   what is left when the time is over: 503

A list that has come to DynamoDB's 10 GB is the protocol's REQUEST_TOO_LARGE. Anything else that
botocore raises is a mistake of ours (a bad expression, a missing right) and
passes through, to be logged and answered 500.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotocoreConnectionError
from botocore.parsers import ResponseParserError

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError

_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottlingError",
        "LimitExceededException",
        "ReplicatedWriteConflictException",
    }
)
_CONFLICTS: Final = frozenset({"TransactionConflict", "TransactionConflictException"})
_NO_ANSWER: Final = frozenset({"TransactionInProgressException", "InternalServerError"})
_CONDITION: Final = "ConditionalCheckFailed"
_WITHOUT_ANSWER: Final = (
    BotocoreConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
)
_FULL: Final = "ItemCollectionSizeLimitExceeded"
_TOO_LARGE: Final = re.compile("size.*exceed|exceed.*(size|limit)", re.IGNORECASE | re.DOTALL)
"""Of a ValidationException that refuses what was to be written for its size."""


class StorageError(Exception):
    """What storage may raise beside errors of the protocol."""


class ConflictError(StorageError):
    """Another request was first.

    Attributes:
        by_condition: whether what was read has changed; a mere collision otherwise.
        failed: the positions of the actions whose conditions failed.
    """

    def __init__(
        self, message: str, *, by_condition: bool = True, failed: frozenset[int] = frozenset()
    ) -> None:
        """Say what refused."""
        super().__init__(message)
        self.by_condition = by_condition
        self.failed = failed


class ThrottledError(StorageError):
    """DynamoDB refused a call for load, and did nothing."""


class NoAnswerError(StorageError):
    """A call ended without an answer: it may have been carried out, or may still be."""


class UnavailableError(StorageError):
    """The time is over.

    Attributes:
        may_repeat: whether nothing of the request was, or will be, carried out.
    """

    def __init__(self, *, may_repeat: bool) -> None:
        """Say whether the client may repeat its request."""
        super().__init__("no time left" if may_repeat else "no time left, outcome unknown")
        self.may_repeat = may_repeat


@contextmanager
def translated_failures() -> Iterator[None]:
    """Turn botocore's exceptions into those above.

    Raises:
        ConflictError: a transaction was cancelled by a condition or another transaction.
        ThrottledError: throttled, wholly or in one action of a transaction.
        ProtocolError: REQUEST_TOO_LARGE where a list can't grow any more, or where DynamoDB counts
            more than we did.
        NoAnswerError: timeout, lost connection, failure inside DynamoDB, or still in progress.
    """
    try:
        yield
    except ClientError as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error
    except _WITHOUT_ANSWER as error:
        raise NoAnswerError(type(error).__name__) from error


def _translate(error: ClientError) -> StorageError | ProtocolError | None:
    response = _response(error)
    code = response.get("Error", {}).get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "TransactionCanceledException":
        reasons = response.get("CancellationReasons", [])
        return _translate_reasons([reason.get("Code", "None") for reason in reasons])
    if code == "ValidationException" and _TOO_LARGE.search(response["Error"].get("Message", "")):
        return ProtocolError(REQUEST_TOO_LARGE)
    if code in _CONFLICTS:
        return ConflictError(code, by_condition=False)
    if code in _THROTTLED:
        return ThrottledError(code)
    if code in _NO_ANSWER or status >= 500:
        return NoAnswerError(code)
    return None


def _response(error: ClientError) -> dict[str, Any]:
    cause = error.__cause__  # pynamodb keeps botocore's own exception there
    return dict(cause.response if isinstance(cause, ClientError) else error.response)


def _translate_reasons(codes: list[str]) -> StorageError | ProtocolError | None:
    """A transaction's failure: a condition tells most, as it can never hold again."""
    failed = frozenset(index for index, code in enumerate(codes) if code == _CONDITION)
    if failed:
        return ConflictError("a condition failed", failed=failed)
    if _FULL in codes:
        return ProtocolError(REQUEST_TOO_LARGE, message="The list is as large as it can be.")
    if not _CONFLICTS.isdisjoint(codes):
        return ConflictError("another transaction is under way", by_condition=False)
    if not {"ThrottlingError", "ProvisionedThroughputExceeded"}.isdisjoint(codes):
        return ThrottledError("a transaction was throttled")
    return None
