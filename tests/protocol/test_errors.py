"""The table of errors: `chalicelib/protocol/errors.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol import errors
from chalicelib.protocol.errors import (
    ERROR_KINDS,
    INVALID_PARAMETERS,
    MISSING_RESOURCE,
    NOT_ACCEPTABLE,
    RESERVED_ERRNOS,
    ErrorKind,
    Problem,
    ProtocolError,
    invalid,
)

# The spec's table, "The service around the resources", section 5; None where it has no message.
TABLE: list[tuple[str, int, int, str, str | None]] = [
    ("INVALID_PARAMETERS", 400, 107, "Invalid parameters", None),
    (
        "MISSING_AUTH_TOKEN",
        401,
        104,
        "Unauthorized",
        "Please authenticate yourself to use this endpoint.",
    ),
    ("FORBIDDEN", 403, 121, "Forbidden", "This user cannot access this resource."),
    (
        "MISSING_RESOURCE",
        404,
        111,
        "Not Found",
        "The resource you are looking for could not be found.",
    ),
    (
        "VERSION_NOT_AVAILABLE",
        404,
        116,
        "Not Found",
        "The requested protocol version is not available on this server.",
    ),
    ("METHOD_NOT_ALLOWED", 405, 115, "Method Not Allowed", "Method not allowed on this endpoint."),
    ("NOT_ACCEPTABLE", 406, 107, "Invalid parameters", None),
    (
        "SERVICE_DEPRECATED",
        410,
        202,
        "Gone",
        "The service you are trying to connect no longer exists at this location.",
    ),
    ("MODIFIED_MEANWHILE", 412, 114, "Precondition Failed", "Resource was modified meanwhile"),
    ("UNSUPPORTED_MEDIA_TYPE", 415, 107, "Invalid parameters", None),
    (
        "UNDEFINED",
        500,
        999,
        "Internal Server Error",
        "A programmatic error occured, developers have been informed.",
    ),
    (
        "BACKEND",
        503,
        201,
        "Service Unavailable",
        "Service temporary unavailable due to overloading or maintenance, please retry later.",
    ),
]


@pytest.mark.parametrize(("name", "status", "errno", "error", "message"), TABLE)
def test_a_row_is_that_of_the_spec(
    name: str, status: int, errno: int, error: str, message: str | None
) -> None:
    assert getattr(errors, name) == ErrorKind(status, errno, error, message)


def test_the_row_of_what_is_too_large_has_a_message_of_its_own() -> None:
    # The spec leaves it to implementations that have a limit.
    assert errors.REQUEST_TOO_LARGE[:3] == (413, 113, "Request Entity Too Large")
    assert errors.REQUEST_TOO_LARGE.message


def test_the_table_has_all_rows_and_no_others() -> None:
    declared = [value for value in vars(errors).values() if isinstance(value, ErrorKind)]

    assert set(ERROR_KINDS) == set(declared)
    assert len(set(ERROR_KINDS)) == len(ERROR_KINDS)
    assert {kind[:2] for kind in ERROR_KINDS} == {row[1:3] for row in TABLE} | {(413, 113)}


def test_reserved_numbers_are_not_in_use() -> None:
    assert sorted(RESERVED_ERRNOS) == [105, 106, 108, 109, 110, 112, 117, 122]
    assert RESERVED_ERRNOS.isdisjoint(kind.errno for kind in ERROR_KINDS)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem("body", "datta", "datta is not allowed"), "datta is not allowed"),
        (
            Problem("body", "data.members.0", "Required"),
            "data.members.0 in body: Required",
        ),
        (Problem("path", None, "Invalid record id"), "path: Invalid record id"),
        (
            Problem("querystring", "last_modified", "Invalid value for abc"),
            "last_modified in querystring: Invalid value for abc",
        ),
        (
            Problem("body", "id", "Record id does not match existing record"),
            "Record id does not match existing record",
        ),
    ],
)
def test_a_problem_is_told_in_one_line(problem: Problem, message: str) -> None:
    assert problem.message == message


def test_all_problems_are_listed_as_given_and_the_message_is_about_the_first_by_name() -> None:
    problems = [
        Problem("body", "zebra", "Required"),
        Problem("body", "apple", "Required"),
        Problem("querystring", "mango", "Required"),
    ]

    error = invalid(problems)

    assert error.kind is INVALID_PARAMETERS
    assert error.message == "apple in body: Required"
    assert error.details == [
        {"location": "body", "name": "zebra", "description": "Required"},
        {"location": "body", "name": "apple", "description": "Required"},
        {"location": "querystring", "name": "mango", "description": "Required"},
    ]


@given(st.permutations([None, "", "a", "b"]))
def test_null_is_before_all_names(names: list[str | None]) -> None:
    error = invalid([Problem("body", name, f"{len(name or '')}") for name in names])

    assert error.message == "body: 0"


def test_problems_may_be_of_another_row() -> None:
    assert invalid([Problem("header", "Accept", "no")], NOT_ACCEPTABLE).kind is NOT_ACCEPTABLE


def test_an_error_has_the_message_of_its_row() -> None:
    error = ProtocolError(MISSING_RESOURCE)

    assert error.message == str(error) == MISSING_RESOURCE.message
    assert (error.details, error.timestamp, error.headers) == (None, None, {})


def test_an_error_may_say_something_else() -> None:
    error = ProtocolError(
        MISSING_RESOURCE, {"a": 1}, message="Elsewhere", timestamp=5, headers={"Location": "/"}
    )

    assert error.message == str(error) == "Elsewhere"
    assert (error.details, error.timestamp) == ({"a": 1}, 5)
    assert error.headers == {"Location": "/"}


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_every_error_says_something_in_a_trace(kind: ErrorKind) -> None:
    assert str(ProtocolError(kind))
