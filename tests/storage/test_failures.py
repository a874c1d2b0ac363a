"""The border of DynamoDB's failures: `chalicelib/storage/failures.py`."""

from typing import Any

import pytest
from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import CancellationReason, VerboseClientError

from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.storage.failures import (
    ConflictError,
    NoAnswerError,
    StorageError,
    ThrottledError,
    UnavailableError,
    translated_failures,
)
from tests.storage.stand_ins import cancelled, client_error

ERRORS: list[tuple[botocore.ClientError, type[StorageError]]] = [
    *(
        (client_error(code), ThrottledError)
        for code in [
            "ProvisionedThroughputExceededException",
            "ProvisionedThroughputExceeded",
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "ThrottlingError",
            "LimitExceededException",
            "ReplicatedWriteConflictException",
        ]
    ),
    (client_error("TransactionConflictException"), ConflictError),
    (client_error("TransactionInProgressException"), NoAnswerError),
    (client_error("InternalServerError", status=500), NoAnswerError),
    (client_error("ServiceUnavailable", status=503), NoAnswerError),
    (client_error("", status=502), NoAnswerError),
    (cancelled("None", "ConditionalCheckFailed"), ConflictError),
    (cancelled("TransactionConflict", "None"), ConflictError),
    (cancelled("TransactionConflict", "ThrottlingError"), ConflictError),
    (cancelled("None", "ThrottlingError"), ThrottledError),
    (cancelled("ProvisionedThroughputExceeded", "None"), ThrottledError),
]
UNKNOWN = [
    client_error("ValidationException"),
    client_error("AccessDeniedException"),
    client_error("ResourceNotFoundException"),
    client_error("IdempotentParameterMismatchException"),
    cancelled("ValidationError", "None"),
    cancelled(),
    client_error("TransactionCanceledException"),
    botocore.NoCredentialsError(),
    botocore.ParamValidationError(report="a mistake of ours"),
]
URL = "https://dynamodb.eu-west-1.amazonaws.com/"
WITHOUT_ANSWER = [
    botocore.ConnectTimeoutError(endpoint_url=URL),
    botocore.ReadTimeoutError(endpoint_url=URL),
    botocore.EndpointConnectionError(endpoint_url=URL),
    botocore.ConnectionClosedError(endpoint_url=URL),
    botocore.ProxyConnectionError(proxy_url=URL),
    botocore.SSLError(endpoint_url=URL, error="reset"),
    botocore.HTTPClientError(error="reset"),
    botocore.ResponseStreamingError(error="reset"),
    botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ResponseParserError("half an answer"),
]


def as_pynamodb_raises(error: botocore.ClientError) -> VerboseClientError:
    """Botocore's exception in the form that pynamodb gives it, which drops the response."""
    reasons = error.response.get("CancellationReasons", [])
    wrapped = VerboseClientError(
        {"Error": error.response["Error"]},
        error.operation_name,
        {"request_id": "1", "table_name": "objects"},
        cancellation_reasons=(
            CancellationReason(code=reason["Code"]) if reason["Code"] != "None" else None
            for reason in reasons
        ),
    )
    wrapped.__cause__ = error
    return wrapped


def translated(error: Exception) -> StorageError:
    with pytest.raises(StorageError) as raised, translated_failures():
        raise error
    return raised.value


def describe(error: Any) -> str:
    if isinstance(error, botocore.ClientError):
        reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
        return f"{error.response['Error']['Code']} {reasons}"
    return error.__name__ if isinstance(error, type) else type(error).__name__


@pytest.mark.parametrize(
    "message",
    [
        "Transaction request exceeds the 4MB transaction size limit",
        "Item size has exceeded the maximum allowed size",
    ],
)
def test_what_dynamodb_finds_too_large_is_too_large(message: str) -> None:
    error = client_error("ValidationException")
    error.response["Error"]["Message"] = message

    with pytest.raises(ProtocolError) as raised, translated_failures():
        raise error

    assert raised.value.kind is REQUEST_TOO_LARGE


@pytest.mark.parametrize(("error", "ours"), ERRORS, ids=describe)
@pytest.mark.parametrize("wrap", [lambda error: error, as_pynamodb_raises], ids=["bare", "wrapped"])
def test_an_error_of_dynamodb_becomes_ours(
    error: botocore.ClientError, ours: type[StorageError], wrap: Any
) -> None:
    raised = wrap(error)

    found = translated(raised)

    assert type(found) is ours
    assert found.__cause__ is raised


@pytest.mark.parametrize("error", WITHOUT_ANSWER, ids=describe)
def test_a_lost_connection_is_no_answer(error: Exception) -> None:
    found = translated(error)

    assert type(found) is NoAnswerError
    assert found.__cause__ is error
    assert str(found) == type(error).__name__


@pytest.mark.parametrize("error", UNKNOWN, ids=describe)
def test_a_mistake_of_ours_passes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, translated_failures():
        raise error

    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "by_condition", "failed"),
    [
        (
            cancelled("None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"),
            True,
            {1, 3},
        ),
        (cancelled("TransactionConflict", "ConditionalCheckFailed"), True, {1}),
        (cancelled("TransactionConflict", "None"), False, set()),
        (client_error("TransactionConflictException"), False, set()),
    ],
    ids=describe,
)
def test_a_conflict_tells_a_failed_condition_from_a_collision(
    error: botocore.ClientError, by_condition: bool, failed: set[int]
) -> None:
    found = translated(as_pynamodb_raises(error))

    assert isinstance(found, ConflictError)
    assert (found.by_condition, found.failed) == (by_condition, failed)


def test_a_list_that_can_not_grow_any_more_is_a_413() -> None:
    full = cancelled("None", "ItemCollectionSizeLimitExceeded")

    with pytest.raises(ProtocolError) as raised, translated_failures():
        raise as_pynamodb_raises(full)

    assert raised.value.kind is REQUEST_TOO_LARGE


def test_what_is_not_botocores_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), translated_failures():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("may_repeat", "text"), [(True, "no time left"), (False, "no time left, outcome unknown")]
)
def test_unavailable_says_whether_the_outcome_is_known(may_repeat: bool, text: str) -> None:
    error = UnavailableError(may_repeat=may_repeat)

    assert error.may_repeat == may_repeat
    assert str(error) == text
