"""If-Match and If-None-Match: `chalicelib/protocol/preconditions.py`."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, MODIFIED_MEANWHILE, ProtocolError
from chalicelib.protocol.preconditions import Preconditions
from chalicelib.protocol.stored import StoredObject, Tombstone
from tests.protocol.attempts import attempt

STORED = StoredObject.of("one", 100, {"title": "Hello"}, {"write": ("basicauth:alice",)})
DELETED = Tombstone("one", 100)

Existing = StoredObject | Tombstone | None
Outcome = Literal["go on", 304, 412]

MALFORMED_IF_MATCH = (
    "Invalid value for If-Match. The value should be integer between double quotes."
)


def outcome(headers: dict[str, str], existing: Existing, *, reads: bool) -> Outcome:
    """What becomes of a request that meets this object, in the order of the spec."""
    preconditions = Preconditions.from_headers(headers, reads=reads)
    if reads and existing and preconditions.is_not_modified(existing.last_modified):
        return 304
    try:
        preconditions.check_object(existing)
    except ProtocolError:
        return 412
    return "go on"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "go on"),
        ({"if-none-match": '"99"'}, "go on"),
        ({"if-none-match": '"100"'}, 304),
        ({"if-none-match": '"101"'}, 304),
        ({"if-none-match": '"99999999999999"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-match": '"99"'}, 412),
        ({"if-match": '"100"'}, "go on"),
        ({"if-match": '"101"'}, "go on"),
        ({"if-match": '"0"'}, 412),
        ({"if-match": '"-1"'}, 412),
        # If-None-Match is looked at before If-Match.
        ({"if-none-match": '"100"', "if-match": '"99"'}, 304),
        ({"if-none-match": '"99"', "if-match": '"99"'}, 412),
        ({"if-none-match": '"99"', "if-match": '"100"'}, "go on"),
        ({"if-modified-since": "Mon, 01 Jan 2035 00:00:00 GMT"}, "go on"),
        ({"if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, "go on"),
    ],
)
def test_a_read_goes_on_or_is_304_or_412(headers: dict[str, str], expected: Outcome) -> None:
    assert outcome(headers, STORED, reads=True) == expected


@pytest.mark.parametrize(
    ("headers", "existing", "expected"),
    [
        ({}, STORED, "go on"),
        ({"if-match": '"99"'}, STORED, 412),
        ({"if-match": '"100"'}, STORED, "go on"),
        ({"if-match": '"101"'}, STORED, "go on"),
        ({"if-match": '"99"'}, DELETED, 412),
        ({"if-match": '"100"'}, DELETED, "go on"),
        ({"if-match": '"99"'}, None, "go on"),
        ({"if-none-match": "*"}, STORED, 412),
        ({"if-none-match": "*"}, DELETED, "go on"),
        ({"if-none-match": "*"}, None, "go on"),
        ({"if-none-match": "*", "if-match": '"100"'}, STORED, 412),
        ({"if-none-match": "*", "if-match": '"99"'}, DELETED, 412),
        ({"if-none-match": '"100"'}, STORED, "go on"),
        ({"if-none-match": '"1"'}, STORED, "go on"),
        ({"if-none-match": "W/nonsense"}, STORED, "go on"),
        ({"if-none-match": ""}, STORED, "go on"),
        ({"if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, STORED, "go on"),
    ],
)
def test_a_write_goes_on_or_is_412(
    headers: dict[str, str], existing: Existing, expected: Outcome
) -> None:
    assert outcome(headers, existing, reads=False) == expected


@pytest.mark.parametrize(
    ("existing", "shown"),
    [
        (STORED, {"id": "one", "last_modified": 100, "title": "Hello"}),
        (DELETED, {"id": "one", "last_modified": 100, "deleted": True}),
    ],
)
def test_412_has_what_exists_without_its_permissions(
    existing: Existing, shown: dict[str, object]
) -> None:
    preconditions = Preconditions(unmodified_since=99)

    with pytest.raises(ProtocolError) as caught:
        preconditions.check_object(existing)

    assert caught.value.kind is MODIFIED_MEANWHILE
    assert caught.value.details == {"existing": shown}
    assert caught.value.timestamp == 100


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "go on"),
        ({"if-match": '"99"'}, 412),
        ({"if-match": '"100"'}, "go on"),
        ({"if-match": '"101"'}, "go on"),
        ({"if-none-match": "*"}, "go on"),  # POST of a new id
    ],
)
def test_a_list_is_compared_by_its_timestamp(headers: dict[str, str], expected: Outcome) -> None:
    preconditions = Preconditions.from_headers(headers, reads=False)

    if expected == "go on":
        preconditions.check_list(100)
        return
    with pytest.raises(ProtocolError) as caught:
        preconditions.check_list(100)
    assert (caught.value.kind, caught.value.details) == (MODIFIED_MEANWHILE, {})
    assert caught.value.timestamp == 100


MALFORMED = [
    "123",
    "",
    '""',
    '"abc"',
    '"1.5"',
    '"1',
    '1"',
    "'1'",
    'W/"123"',
    '"1"\n',
    '"\u0663"',  # a digit, but none of ASCII
    '"1","2"',
]


@pytest.mark.parametrize("value", [*MALFORMED, "*"])
@pytest.mark.parametrize("reads", [True, False])
def test_a_malformed_if_match_is_refused(value: str, reads: bool) -> None:
    with pytest.raises(ProtocolError) as caught:
        Preconditions.from_headers({"if-match": value}, reads=reads)

    assert caught.value.kind is INVALID_PARAMETERS
    assert caught.value.details == [
        {"location": "headers", "name": None, "description": MALFORMED_IF_MATCH}
    ]
    assert caught.value.message == f"headers: {MALFORMED_IF_MATCH}"


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_if_none_match_of_a_read_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Preconditions.from_headers({"if-none-match": value, "if-match": "bad too"}, reads=True)

    assert caught.value.kind is INVALID_PARAMETERS
    assert caught.value.details == [
        {
            "location": "headers",
            "name": None,
            "description": "Invalid value for If-None-Match",
        }
    ]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_if_none_match_of_a_write_is_ignored(value: str) -> None:
    assert Preconditions.from_headers({"if-none-match": value}, reads=False) == Preconditions()


@given(st.text(), st.text(), st.booleans())
def test_any_headers_are_read_or_refused(if_match: str, if_none_match: str, reads: bool) -> None:
    headers = {"if-match": if_match, "if-none-match": if_none_match}

    result = attempt(lambda: Preconditions.from_headers(headers, reads=reads))

    assert isinstance(result, Preconditions) or result.kind is INVALID_PARAMETERS


@given(st.integers(0, 10**14), st.integers(0, 10**14))
def test_a_value_lets_exactly_one_of_if_match_and_if_none_match_through(
    timestamp: int, value: int
) -> None:
    stored = StoredObject.of("one", timestamp, {})

    changed = outcome({"if-none-match": f'"{value}"'}, stored, reads=True) == "go on"
    unchanged = outcome({"if-match": f'"{value}"'}, stored, reads=True) == "go on"

    assert changed != unchanged
