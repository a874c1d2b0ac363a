"""The query string of a list: `chalicelib/protocol/queries.py`."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.filters import Filter, Times
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind
from chalicelib.protocol.pagination import Token, open_token
from chalicelib.protocol.queries import ListQuery, parse_filters, parse_list_query
from chalicelib.protocol.sorting import Order, parse_sort
from tests.protocol.attempts import attempt

Query = list[tuple[str, str]]

FILTER_NAMES = [
    *("_since", "_before", "_to", "last_modified", "in_last_modified", "not_last_modified"),
    *("id", "in_id", "not_id", "min_id", "n", "in_n", "exclude_n", "gt_n", "deleted", "a.b"),
]
NAMES = st.sampled_from([*FILTER_NAMES, "_limit", "_sort", "_fields", "_token", "_x", ""])
TEXTS = st.sampled_from(
    ["", "5", '"5"', "5,6", "1.5", "true", '"true"', "a", "a,b", "'a'", "-id", "last_modified,-n"]
)
PARAMETERS = st.tuples(NAMES | st.text(), TEXTS | st.text())
FILTERS = st.tuples(
    st.sampled_from(FILTER_NAMES), (st.integers(-9, 9) | st.integers()).map(str)
) | st.tuples(
    st.sampled_from(["n", "in_n", "not_n", "exclude_n", "id", "in_id", "a.b"]), TEXTS | st.text()
)
SORT = st.tuples(st.just("_sort"), TEXTS)


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


def as_multiset(filters: Sequence[Filter]) -> Counter[tuple[Filter, tuple[type, ...]]]:
    """Filters whatever their order; 1 and true are as different as they are."""
    return Counter((filter, tuple(map(type, filter.values))) for filter in filters)


def test_no_parameters_ask_for_the_whole_list_newest_first() -> None:
    query = parsed()

    assert query == ListQuery(filters=(), order=Order.by(), limit=None, token=None, fields=None)
    assert query.admits({"id": "a", "last_modified": 1})
    assert query.order.is_by_time
    assert not query.order.is_oldest_first


@pytest.mark.parametrize("name", ["_x", "_unknown", "__", "_", "_sinc", "_id", "_Limit", "_min_n"])
def test_unknown_parameters_with_an_underscore_are_ignored(name: str) -> None:
    assert parsed((name, "abc")) == ListQuery()


# Filters


@pytest.mark.parametrize(
    ("query", "admitted"),
    [
        ([], [1, 2, 3, 4, 5]),
        ([("min_n", "2")], [2, 3, 4, 5]),
        ([("min_n", "2"), ("max_n", "4")], [2, 3, 4]),
        ([("min_n", "2"), ("min_n", "4")], [4, 5]),
        ([("min_n", "4"), ("min_n", "2")], [4, 5]),
        ([("n", "2"), ("n", "3")], []),
        ([("not_n", "2"), ("not_n", "3")], [1, 4, 5]),
        ([("in_n", "1,2,3"), ("exclude_n", "2"), ("even", "off")], [1, 3]),
        ([("_since", "102"), ("lt_n", "5")], [3, 4]),
        ([("_since", "102"), ("_since", "104"), ("_since", "103")], [5]),
        ([("_before", "102"), ("_to", '"104"')], [1]),
        ([("_to", "104"), ("last_modified", "103")], [3]),
        ([("_since", "104"), ("_before", "102")], []),
        ([("_limit", "1"), ("n", "3"), ("_x", "2"), ("_token", "n")], [3]),
    ],
)
def test_an_entry_is_listed_if_it_matches_every_filter(query: Query, admitted: list[int]) -> None:
    entries = [
        {"id": f"{n}", "last_modified": 100 + n, "n": n, "even": n % 2 == 0} for n in range(1, 6)
    ]

    for asked in (parsed(*query), parse_filters(query, RECORD)):
        assert [entry["n"] for entry in entries if asked.admits(entry)] == admitted


@given(st.lists(FILTERS, max_size=3), st.integers(-9, 9))
def test_filters_combine_as_each_alone(query: Query, n: int) -> None:
    entry = {"id": f"{n}", "last_modified": n, "n": n}

    expected = all(parsed(each).admits(entry) for each in query)
    event(f"admitted: {expected}")
    assert parsed(*query).admits(entry) == expected


@pytest.mark.parametrize(
    ("query", "uses_to"),
    [
        ([("_to", "5")], True),
        ([("_before", "5"), ("_to", "9")], True),
        ([("_to", "9"), ("_since", "5")], True),
        ([("_before", "5")], False),
        ([("lt_last_modified", "5"), ("to", "5")], False),
    ],
)
def test_the_deprecated_parameter_is_noticed(query: Query, uses_to: bool) -> None:
    assert parsed(*query).uses_to == uses_to
    assert parse_filters(query, RECORD).uses_to == uses_to


# What the filters tell before anything is read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ([("_since", "5")], True),
        ([("_before", "5")], True),
        ([("_to", "5")], True),
        ([("last_modified", "5")], True),
        ([("not_last_modified", "5")], True),
        ([("min_last_modified", "5")], True),
        ([("max_last_modified", "5")], True),
        ([("gt_last_modified", "5")], True),
        ([("lt_last_modified", "5")], True),
        ([("in_last_modified", "5,6")], True),
        ([("exclude_last_modified", "5,6")], True),
        ([("deleted", "true"), ("id", "a"), ("_since", "0")], True),
        ([], False),
        ([("deleted", "true")], False),
        ([("not_deleted", "true"), ("id", "a")], False),
        ([("_sort", "last_modified"), ("_fields", "last_modified")], False),
    ],
)
def test_tombstones_are_listed_exactly_with_a_filter_on_last_modified(
    query: Query, wanted: bool, kind: Kind
) -> None:
    assert parsed(*query, kind=kind).wants_tombstones == wanted
    assert parse_filters(query, kind).wants_tombstones == wanted


@pytest.mark.parametrize(
    ("query", "needed"),
    [
        ([], False),
        ([("_since", "5"), ("in_id", "a,b"), ("not_last_modified", "6")], False),
        ([("_sort", "id")], False),
        ([("_sort", "last_modified,-id")], False),
        ([("_sort", "id,n")], False),
        ([("_fields", "n")], False),
        ([("n", "1")], True),
        ([("_since", "5"), ("not_n", "1")], True),
        ([("deleted", "true")], True),
        ([("_sort", "n")], True),
        ([("_sort", "last_modified,n")], True),
        ([("id", "a"), ("_sort", "-deleted")], True),
    ],
)
def test_data_is_needed_where_filters_or_order_go_by_it(query: Query, needed: bool) -> None:
    assert parsed(*query).needs_data == needed


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ([], None),
        ([("n", "a"), ("_since", "5")], None),
        ([("not_id", "a")], None),
        ([("exclude_id", "a,b")], None),
        ([("min_id", "a"), ("lt_id", "c")], None),
        ([("id", "a")], {"a"}),
        ([("id", "42")], {"42"}),
        ([("id", '"42"')], {"42"}),
        ([("id", "a,b")], {"a,b"}),
        ([("in_id", "a,'b',true,a")], {"a", "b", "true"}),
        ([("in_id", "a,b,c"), ("in_id", "b,c,d"), ("not_id", "c")], {"b", "c"}),
        ([("in_id", "a,b"), ("id", "b"), ("n", "1")], {"b"}),
        ([("id", "a"), ("id", "b")], set()),
    ],
)
def test_the_only_possible_ids_are_known(query: Query, ids: set[str] | None) -> None:
    assert parsed(*query).ids == ids


@given(st.lists(FILTERS, max_size=3))
def test_what_is_admitted_has_a_possible_id_and_time(query: Query) -> None:
    asked = parsed(*query)
    ids, (since, before) = asked.ids, asked.times

    for id, time in product(["", "5", "-3", "a", "a,b", "true"], range(-10, 11)):
        if asked.admits({"id": id, "last_modified": time}):
            assert ids is None or id in ids
            assert since is None or since < time
            assert before is None or time < before


def test_the_times_are_those_of_the_filters() -> None:
    query = [("_since", "2"), ("n", "7"), ("max_last_modified", '"9"'), ("min_last_modified", "5")]

    assert parsed(*query).times == Times(since=4, before=10)
    assert parsed().times == Times(None, None)


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
        ("0" * 5_000 + "7", None, 7),
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
    "value",
    [
        *("abc", "1.5", "1e2", "0", "00", "-1", '"5"', "5\n", " 5", "\u0663", "true", "1_0"),
        *("9" * 5_000, "0" * 5_000),
    ],
)
@pytest.mark.parametrize("at_most", [None, 10])
def test_a_limit_that_is_no_integer_from_1_on_is_refused(value: str, at_most: int | None) -> None:
    assert problem(("_limit", value)) == ("querystring", None, "_limit should be an integer")
    with pytest.raises(ProtocolError):
        parsed(("_limit", value), at_most=at_most)


@pytest.mark.parametrize(("value", "token"), [("abc", "abc"), ("", None)])
def test_the_token_is_kept_as_sent_and_an_empty_one_ignored(value: str, token: str | None) -> None:
    assert parsed(("_token", value)).token == token


# Order, fields, and all together


@pytest.mark.parametrize("text", ["", "last_modified", "-n,a", " n , !, -id", "id,n"])
def test_the_order_is_that_of_sort(text: str) -> None:
    assert parsed(("_sort", text)).order == parse_sort(text, RECORD)


def test_fields_are_parsed() -> None:
    assert parsed(("_fields", "a,b.c")).fields == {
        "id": None,
        "last_modified": None,
        "a": None,
        "b": {"c": None},
    }


def test_the_last_of_repeated_parameters_counts() -> None:
    first = [("_limit", "abc"), ("_sort", "colour"), ("_token", "x"), ("_fields", "colour")]
    last = [("_limit", "5"), ("_sort", "members"), ("_token", "y"), ("_fields", "members")]

    assert parsed(*first, *last, kind=GROUP) == parsed(*last, kind=GROUP)
    assert parsed(*last, *(("_limit", ""), ("_sort", ""), ("_token", ""), ("_fields", ""))) == (
        ListQuery()
    )


UNKNOWN = ("querystring", None, "Unknown filter field 'min_colour'")
NO_TIME = ("querystring", "_since", "Invalid value for _since")
NO_LIMIT = ("querystring", None, "_limit should be an integer")
NO_SORT = ("querystring", None, "Unknown sort field 'size'")
NO_FIELD = ("body", "Invalid _fields parameter", "Fields weight do not exist")


@pytest.mark.parametrize(
    "filters",
    [
        [(("min_colour", "1"), UNKNOWN), (("_since", "abc"), NO_TIME)],
        [(("_since", "abc"), NO_TIME), (("min_colour", "1"), UNKNOWN)],
    ],
)
def test_problems_are_answered_in_the_order_of_the_spec(
    filters: list[tuple[tuple[str, str], tuple[Any, Any, Any]]],
) -> None:
    checks = [
        *filters,
        (("_limit", "abc"), NO_LIMIT),
        (("_sort", "!id!,size"), NO_SORT),
        (("_fields", "weight"), NO_FIELD),
    ]

    # With those before it put right, each is answered, wherever in the query it is.
    for number, (_parameter, expected) in enumerate(checks):
        of_filters = [parameter for parameter, _problem in checks[number:2]]
        others = [parameter for parameter, _problem in checks[max(number, 2) :]]
        assert problem(*of_filters, *others, kind=GROUP) == expected
        assert problem(*others[::-1], *of_filters, kind=GROUP) == expected


@pytest.mark.parametrize("name", ["_limit", "_sort", "_fields", "_token"])
def test_deletion_looks_at_the_filters_alone(name: str) -> None:
    assert parse_filters([(name, "!bad!,colour")], GROUP) == ListQuery()


@pytest.mark.parametrize(
    ("parameter", "expected"), [(("min_colour", "1"), UNKNOWN), (("_since", "abc"), NO_TIME)]
)
def test_deletion_refuses_the_same_filters(
    parameter: tuple[str, str], expected: tuple[Any, Any, Any]
) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_filters([("_limit", "abc"), parameter], COLLECTION)

    assert problem(parameter, kind=COLLECTION) == expected
    assert caught.value.details == [
        dict(zip(["location", "name", "description"], expected, strict=True))
    ]


@given(st.lists(PARAMETERS, max_size=4), st.sampled_from(KINDS), st.none() | st.integers(1, 9))
def test_any_query_is_parsed_or_refused(query: Query, kind: Kind, at_most: int | None) -> None:
    result = attempt(lambda: parse_list_query(query, kind, at_most))

    event(type(result).__name__)
    if isinstance(result, ProtocolError):
        assert result.kind is INVALID_PARAMETERS
        assert result.message
    else:
        assert at_most is None or (result.limit is not None and 1 <= result.limit <= at_most)
        assert result.filters == parse_filters(query, kind).filters


# What a page token is good for


def test_the_next_page_asks_for_the_same() -> None:
    walk = [("_since", "5"), ("in_n", "1,'2'"), ("_sort", "n")]

    first = parsed(*walk, ("_limit", "9"), ("_fields", "a"))
    second = parsed(*walk, ("_limit", "3"), ("_fields", "b"), ("_x", "1"), ("_token", "abc"))

    assert first.to_parameters() == second.to_parameters()


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ([("_to", "5")], [("_before", '"5"')]),
        ([("_since", "5")], [("gt_last_modified", "05")]),
        ([("n", "1"), ("_before", "5")], [("_before", "5"), ("n", "1")]),
        ([("n", "yes")], [("n", "TRUE")]),
        ([("n", "go")], [("n", "'go'")]),
        ([("_sort", "")], [("_sort", "-last_modified")]),
        ([("_sort", "n,n,!")], [("_sort", "+n")]),
    ],
)
def test_what_means_the_same_asks_for_the_same(query: Query, same: Query) -> None:
    assert parsed(*query).to_parameters() == parsed(*same).to_parameters()


@pytest.mark.parametrize(
    "other",
    [
        *([("_since", "6")], [("_since", "5"), ("_before", "9")], [("_since", "5"), ("_to", "9")]),
        *(
            [("min_last_modified", "5")],
            [("_since", "5"), ("n", "1")],
            [("_since", "5"), ("n", "")],
        ),
        *([("_since", "5"), ("_sort", "last_modified")], [("_since", "5"), ("_sort", "n")], []),
        *([("_since", "5"), ("_sort", "id")], [("_since", "5"), ("_sort", "-id")]),
    ],
)
def test_another_query_asks_for_something_else(other: Query) -> None:
    assert parsed(*other).to_parameters() != parsed(("_since", "5")).to_parameters()


def test_values_of_other_types_ask_for_something_else() -> None:
    texts = ["1", '"1"', "true", '"true"', "1.5", '"1.5"', "a,b", "", "1e999", '"1e999"']
    queries = [parsed((name, text)) for name in ("n", "in_n", "not_n", "m") for text in texts]
    queries.append(parsed(("in_n", "1,true")))

    assert len({json.dumps(query.to_parameters()) for query in queries}) == len(queries)


@given(st.lists(FILTERS | SORT, max_size=4))
def test_the_parameters_of_a_query_ask_for_the_same(query: Query) -> None:
    asked = parsed(*query)

    again = parsed(*asked.to_parameters())

    assert as_multiset(again.filters) == as_multiset(asked.filters)
    assert again.order == asked.order
    assert again.to_parameters() == asked.to_parameters()


@given(st.lists(FILTERS, max_size=4))
def test_the_order_of_filters_makes_no_difference(query: Query) -> None:
    expected = parsed(*query).to_parameters()

    assert parsed(*query[::-1]).to_parameters() == expected
    assert parsed(*query[1:], *query[:1]).to_parameters() == expected


def test_a_token_can_be_made_however_long_the_query_is() -> None:
    query = [("n", "9" * 5_000), ("_sort", ",".join("abc")), ("a." * 5_000, "é" * 5_000)]
    bound_to = parsed(*query, ("_fields", ".".join(["a"] * 5_000))).to_parameters()
    token = Token((1, "one"), 2)

    assert open_token(token.seal(b"key", bound_to), b"key", bound_to) == token


def test_a_bucket_is_found_by_an_id_that_looks_like_a_number() -> None:
    query = parsed(("id", "42"), kind=BUCKET)

    assert query.admits({"id": "42", "last_modified": 1})
    assert query.ids == frozenset({"42"})
