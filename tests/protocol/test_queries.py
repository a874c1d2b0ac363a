"""The query string of a list: `chalicelib/protocol/queries.py`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.kinds import COLLECTION, GROUP, KINDS, RECORD, Kind
from chalicelib.protocol.pagination import Position, Token, open_token
from chalicelib.protocol.queries import ListQuery, describe, parse_filters, parse_list_query
from tests.protocol.attempts import attempt

Query = list[tuple[str, str]]

PARAMETERS = st.tuples(
    st.sampled_from(
        ["_since", "_before", "_to", "_limit", "_sort", "_fields", "_token", "_x", "id", "n", ""]
    )
    | st.text(),
    st.sampled_from(["", "5", '"5"', "abc", "last_modified", "-last_modified", "a.b"]) | st.text(),
)


def parsed(*query: tuple[str, str], kind: Kind = RECORD, at_most: int | None = None) -> ListQuery:
    return parse_list_query(query, kind, at_most)


def problem(*query: tuple[str, str], kind: Kind = RECORD) -> tuple[Any, Any, Any]:
    """Location, name and description of the one problem that is answered."""
    with pytest.raises(ProtocolError) as caught:
        parse_list_query(query, kind, None)
    assert caught.value.kind is INVALID_PARAMETERS
    assert isinstance(caught.value.details, list)
    (found,) = caught.value.details
    return found["location"], found["name"], found["description"]


def test_no_parameters_ask_for_the_whole_list_newest_first() -> None:
    assert parsed() == ListQuery()


@pytest.mark.parametrize("name", ["_x", "_unknown", "__", "_", "_sinc"])
def test_unknown_parameters_with_an_underscore_are_ignored(name: str) -> None:
    assert parsed((name, "abc")) == ListQuery()


# Timestamps


@pytest.mark.parametrize(
    ("query", "admitted"),
    [
        ([], [0, 1, 4, 5, 6, 9]),
        ([("_since", "5")], [6, 9]),
        ([("_since", '"5"')], [6, 9]),
        ([("_since", "0")], [1, 4, 5, 6, 9]),
        ([("_since", "-1")], [0, 1, 4, 5, 6, 9]),
        ([("_before", "5")], [0, 1, 4]),
        ([("_before", '"5"')], [0, 1, 4]),
        ([("_to", "5")], [0, 1, 4]),
        ([("_before", "-1")], []),
        ([("_since", "1"), ("_before", "6")], [4, 5]),
        ([("_since", "1"), ("_since", "5")], [6, 9]),
        ([("_since", "5"), ("_since", "1")], [6, 9]),
        ([("_before", "1"), ("_to", "5")], [0]),
        ([("_to", "5"), ("_before", "1")], [0]),
        ([("_since", "9"), ("_before", "1")], []),
    ],
)
def test_timestamps_filter_strictly_and_all_count(query: Query, admitted: list[int]) -> None:
    for asked in (parsed(*query), parse_filters(query)):
        assert [time for time in [0, 1, 4, 5, 6, 9] if asked.admits(time)] == admitted
        assert asked.wants_tombstones == bool(query)


@pytest.mark.parametrize("name", ["_since", "_before", "_to"])
@pytest.mark.parametrize(
    "value",
    ["abc", "1.5", "", '"abc"', '""', '"1', '1"', "true", "1e3", " 1", "1\n", "\u0663", "null"],
)
def test_a_timestamp_that_is_no_integer_is_refused(name: str, value: str) -> None:
    assert problem((name, value)) == ("querystring", name, f"Invalid value for {name}")
    with pytest.raises(ProtocolError) as caught:
        parse_filters([(name, value)])
    assert caught.value.message == f"Invalid value for {name}"


@pytest.mark.parametrize(
    ("query", "uses_to"),
    [([("_to", "5")], True), ([("_before", "5")], False), ([("_before", "5"), ("_to", "9")], True)],
)
def test_the_deprecated_parameter_is_noticed(query: Query, uses_to: bool) -> None:
    assert parsed(*query).uses_to == uses_to
    assert parse_filters(query).uses_to == uses_to


@given(st.integers(0, 10**14), st.lists(st.integers(-5, 10**14)), st.lists(st.integers(-5, 10**14)))
def test_an_object_is_admitted_if_it_matches_every_filter(
    time: int, after: list[int], before: list[int]
) -> None:
    query = [*(("_since", str(bound)) for bound in after)]
    query += [("_before", f'"{bound}"') for bound in before]

    expected = all(time > bound for bound in after) and all(time < bound for bound in before)
    assert parse_filters(query).admits(time) == expected


@pytest.mark.parametrize("name", ["n", "id", "min_n", "last_modified", "gt_last_modified", ""])
def test_a_filter_that_is_not_served_yet_is_refused_and_not_ignored(name: str) -> None:
    location, named, _description = problem((name, "1"))

    assert (location, named) == ("querystring", name)


# Pages


@pytest.mark.parametrize(
    ("value", "at_most", "limit"),
    [
        (None, None, None),
        (None, 10, 10),
        ("5", None, 5),
        ("5", 10, 5),
        ("10", 10, 10),
        ("11", 10, 10),
        ("1", 10, 1),
        ("007", None, 7),
        ("", None, None),
        ("", 10, 10),
        ("999999999999999999", 10, 10),
    ],
)
def test_the_limit_in_force_is_the_smaller_one(
    value: str | None, at_most: int | None, limit: int | None
) -> None:
    query = [] if value is None else [("_limit", value)]

    assert parsed(*query, at_most=at_most).limit == limit


@pytest.mark.parametrize(
    "value", ["abc", "1.5", "1e2", "0", "00", "-1", '"5"', "5\n", "\u0663", "true"]
)
def test_a_limit_that_is_no_integer_from_1_on_is_refused(value: str) -> None:
    assert problem(("_limit", value)) == ("querystring", None, "_limit should be an integer")


@pytest.mark.parametrize(("value", "token"), [("abc", "abc"), ("", None)])
def test_the_token_is_kept_as_sent_and_an_empty_one_ignored(value: str, token: str | None) -> None:
    assert parsed(("_token", value)).token == token


# Order


@pytest.mark.parametrize(
    ("value", "oldest_first"),
    [
        ("", False),
        ("-last_modified", False),
        ("last_modified", True),
        ("+last_modified", True),
        (" last_modified", True),  # a plus of the URL is a space
        (" last_modified , id", True),
        ("last_modified,-last_modified", True),
        ("-last_modified,last_modified", False),
        (" ", False),
    ],
)
def test_the_order_is_by_time(value: str, oldest_first: bool) -> None:
    assert parsed(("_sort", value)).oldest_first == oldest_first


@pytest.mark.parametrize("value", ["title", "-id", "id,last_modified"])
def test_an_order_that_is_not_served_yet_is_refused_and_not_ignored(value: str) -> None:
    location, name, _description = problem(("_sort", value))

    assert (location, name) == ("querystring", None)


# Fields, and all together


def test_fields_are_parsed() -> None:
    assert parsed(("_fields", "a,b.c")).fields == {
        "id": None,
        "last_modified": None,
        "a": None,
        "b": {"c": None},
    }


def test_the_last_of_repeated_parameters_counts() -> None:
    query = [
        ("_limit", "abc"),
        ("_sort", "title"),
        ("_token", "x"),
        ("_fields", "a"),
        ("_limit", "5"),
        ("_sort", "last_modified"),
        ("_token", "y"),
        ("_fields", ""),
    ]

    assert parsed(*query) == ListQuery(oldest_first=True, limit=5, token="y")


def test_problems_are_answered_in_the_order_of_the_spec() -> None:
    query = [
        ("_fields", "colour"),
        ("_sort", "!title!,title"),
        ("_limit", "abc"),
        ("_before", "abc"),
        ("_since", "abc"),
    ]
    names = ["Invalid _fields parameter", None, None, "_before", "_since"]
    descriptions = ["Fields colour do not exist", None, "_limit should be an integer", None, None]

    # From the last on, each is answered where those before it in the order are right.
    assert problem(*query, kind=GROUP)[1] == "_before"
    assert problem(*query[:3], query[4], kind=GROUP)[1] == "_since"
    assert problem(*query[:3], kind=GROUP)[2] == descriptions[2]
    assert problem(*query[:2], kind=GROUP)[:2] == ("querystring", names[1])
    assert problem(*query[:1], kind=GROUP)[1:] == (names[0], descriptions[0])


@pytest.mark.parametrize("name", ["_limit", "_sort", "_fields", "_token"])
def test_deletion_looks_at_the_filters_alone(name: str) -> None:
    assert parse_filters([(name, "!bad!")]) == ListQuery()


@given(st.lists(PARAMETERS, max_size=4), st.sampled_from(KINDS), st.none() | st.integers(1, 9))
def test_any_query_is_parsed_or_refused(query: Query, kind: Kind, at_most: int | None) -> None:
    result = attempt(lambda: parse_list_query(query, kind, at_most))

    if isinstance(result, ProtocolError):
        assert result.kind is INVALID_PARAMETERS
        assert result.message
    else:
        assert at_most is None or (result.limit is not None and 1 <= result.limit <= at_most)


# What a page token is good for


def test_the_next_pages_query_has_the_same_description() -> None:
    walk = [("_since", "5"), ("_sort", "last_modified"), ("_fields", "a")]

    first = parsed(*walk, ("_limit", "9"))
    second = parsed(*walk, ("_limit", "3"), ("_token", "abc"))

    assert describe(first) == describe(second)


@pytest.mark.parametrize(
    "other", [("_since", "6"), ("_before", "9"), ("_to", "9"), ("_sort", "last_modified")]
)
def test_another_query_has_another_description(other: tuple[str, str]) -> None:
    assert describe(parsed(("_since", "5"), other)) != describe(parsed(("_since", "5")))


def test_a_token_can_be_made_however_deep_the_fields_go() -> None:
    bound_to = describe(parsed(("_fields", ".".join(["a"] * 5_000)), kind=COLLECTION))
    token = Token(Position(1, "one"), 2)

    assert open_token(token.seal(b"key", bound_to), b"key", bound_to) == token
