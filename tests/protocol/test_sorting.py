"""The order of a list: `chalicelib/protocol/sorting.py`."""

import json
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, MAX_ID_LENGTH, RECORD, Kind
from chalicelib.protocol.sorting import MAX_PLACE_CHARACTERS, Order, Sort, SortKey, parse_sort
from chalicelib.protocol.stored import StoredObject, Tombstone
from tests.protocol.attempts import attempt

Data = Mapping[str, Any]

NEWEST_FIRST = [("last_modified", True), ("id", True)]
OLDEST_FIRST = [("last_modified", False), ("id", False)]


def fields_of(order: Order) -> list[tuple[str, bool]]:
    """What an order goes by, and whether it descends there."""
    return [(sort.field, sort.descending) for sort in order.sorts]


def key_of(order: Order, data: Data) -> SortKey:
    return order.key(order.place_of(data))


def in_order(sort: str, entries: Sequence[Data]) -> list[Any]:
    """The ids of these entries as `_sort` puts them."""
    order = parse_sort(sort, RECORD)
    return [entry["id"] for entry in sorted(entries, key=lambda entry: key_of(order, entry))]


def with_values(values: Sequence[Any]) -> list[Data]:
    """Objects that have these values, each the older the further back; the ids are their places."""
    return [
        StoredObject.of(f"{place:04}", 1_000_000 - place, {"v": value}).to_json()
        for place, value in enumerate(values)
    ]


def sorted_values(sort: str, values: Sequence[Any]) -> list[Any]:
    """These values as `_sort` puts them; what is equal stays in this order."""
    return [values[int(id)] for id in in_order(sort, with_values(values))]


# What is asked for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NEWEST_FIRST),
        ("-last_modified", NEWEST_FIRST),
        ("last_modified", OLDEST_FIRST),
        ("+last_modified", OLDEST_FIRST),
        ("a", [("a", False), *NEWEST_FIRST]),
        ("+a", [("a", False), *NEWEST_FIRST]),
        ("-a", [("a", True), *NEWEST_FIRST]),
        ("a,-b", [("a", False), ("b", True), *NEWEST_FIRST]),
        ("-b,a", [("b", True), ("a", False), *NEWEST_FIRST]),
        ("a,last_modified", [("a", False), *OLDEST_FIRST]),
        ("last_modified,a", [("last_modified", False), ("a", False), ("id", False)]),
        ("id", [("id", False)]),
        ("-id", [("id", True)]),
        ("a,-id", [("a", False), ("id", True)]),
        ("-last_modified,id", [("last_modified", True), ("id", False)]),
        # What comes after an id decides nothing:
        ("id,a,last_modified", [("id", False)]),
        ("a,-id,b", [("a", False), ("id", True)]),
        # The first of several decides:
        ("a,-a", [("a", False), *NEWEST_FIRST]),
        ("-a,b,a,-b", [("a", True), ("b", False), *NEWEST_FIRST]),
        ("last_modified,-last_modified", OLDEST_FIRST),
        ("-last_modified,last_modified", NEWEST_FIRST),
        # Names:
        ("größe,-размер_2", [("größe", False), ("размер_2", True), *NEWEST_FIRST]),
        ("_x,7", [("_x", False), ("7", False), *NEWEST_FIRST]),
        # Spaces around, such as a plus of the URL:
        (" a , -b ", [("a", False), ("b", True), *NEWEST_FIRST]),
        (" last_modified", OLDEST_FIRST),
    ],
)
def test_an_order_goes_by_the_named_fields_then_newest_first(
    text: str, expected: list[tuple[str, bool]]
) -> None:
    assert fields_of(parse_sort(text, RECORD)) == expected


@pytest.mark.parametrize(
    "part",
    [
        *("", " ", "-", "+", "!n", "a.b", "first-name", "n!", "a b", "- a", "--a", "+-a", "-+a"),
        *("a\nb", "a-", '"a"', "'a'", "-a.b", "é!", "a;b", "-!", "%2Ba", "last-modified"),
    ],
)
@pytest.mark.parametrize("kind", [GROUP, RECORD])
def test_a_part_that_names_no_field_is_skipped(part: str, kind: Kind) -> None:
    assert parse_sort(part, kind) == Order.by()
    assert parse_sort(f"{part},id", kind) == parse_sort("id", kind)
    assert parse_sort(f"-deleted,{part},-id", kind) == parse_sort("-deleted,-id", kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((kind, "id,-last_modified,deleted") for kind in KINDS),
        *((kind, "-deleted") for kind in KINDS),
        (COLLECTION, "schema,-cache_expires"),
        (GROUP, "-members"),
        (RECORD, "colour,-schema,members"),
    ],
)
def test_a_list_is_sorted_by_the_fields_it_knows(kind: Kind, text: str) -> None:
    assert parse_sort(text, kind) == parse_sort(text, RECORD)


@pytest.mark.parametrize(
    ("kind", "text", "unknown"),
    [
        (BUCKET, "colour", "colour"),
        (GROUP, "-colour", "colour"),
        (COLLECTION, "+colour", "colour"),
        (COLLECTION, " colour ", "colour"),
        (BUCKET, "schema", "schema"),
        (BUCKET, "members", "members"),
        (COLLECTION, "members", "members"),
        (GROUP, "cache_expires", "cache_expires"),
        (GROUP, "id,!n,size,colour", "size"),
        (COLLECTION, "schema,cache_expires,-größe", "größe"),
    ],
)
def test_a_field_that_the_list_does_not_know_is_refused(
    kind: Kind, text: str, unknown: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_sort(text, kind)

    description = f"Unknown sort field '{unknown}'"
    assert caught.value.kind is INVALID_PARAMETERS
    assert caught.value.message == f"querystring: {description}"
    assert caught.value.details == [
        {"location": "querystring", "name": None, "description": description}
    ]


@pytest.mark.parametrize(
    ("text", "by_time", "oldest_first"),
    [
        ("", True, False),
        ("-last_modified", True, False),
        ("last_modified", True, True),
        ("last_modified,id", True, True),
        ("-last_modified,-id", True, False),
        ("last_modified,-id", False, True),
        ("-last_modified,id", False, False),
        ("id", False, True),
        ("-id", False, False),
        ("id,last_modified", False, True),
        ("a", False, True),
        ("last_modified,a", False, True),
        ("deleted,last_modified", False, True),
    ],
)
def test_an_order_by_time_alone_is_noticed(text: str, by_time: bool, oldest_first: bool) -> None:
    order = parse_sort(text, RECORD)

    assert order.is_by_time == by_time
    assert order.is_oldest_first == oldest_first


# Entries in order

OTHERS: list[Any] = [[], {}, [1], {"a": 1}]


@pytest.mark.parametrize(
    "values",
    [
        [-(10**300), -5, -4.5, -1e-300, 0, 0.5, 1, 2, 10, 10.5, 1e300],
        ["", " ", "1", "10", "9", "Banana", "a", "apple", "apples", "b", "e\u0301", "éclair"],
        ["\uffff", "\U00010000", "\U0001f600"],
        [False, True],
        [2**63 - 1, 2**63, 2**63 + 1, 10**300, 10**300 + 1],
        [-(2**63), 1 - 2**63, 2 - 2**63],
        [9007199254740992.0, 9007199254740993, 9007199254740994.0],
        [False, True, -1e300, 0, 10**300, "", "a", [1]],
        [False, "0", []],
        [False, True, 1, "1", {"a": 1}, None],
    ],
)
def test_values_ascend_and_descend(values: list[Any]) -> None:
    assert sorted_values("v", values) == values
    assert sorted_values("v", values[::-1]) == values
    assert sorted_values("-v", values) == values[::-1]
    assert sorted_values("-v", values[::-1]) == values[::-1]


@pytest.mark.parametrize(
    "values",
    [
        ["a", "a"],
        [1, 1.0],
        [0, -0.0, 0.0],
        OTHERS,
        [2**63, 2.0**63],
    ],
)
@pytest.mark.parametrize("sort", ["v", "-v", "v,w", "-v,v", "-v,-last_modified"])
def test_equal_values_come_newest_first(values: list[Any], sort: str) -> None:
    newest_first = [f"{place:04}" for place in range(len(values))]

    assert in_order(sort, with_values(values)) == newest_first
    assert in_order(sort, with_values(values)[::-1]) == newest_first


ENTRIES = [
    StoredObject.of("a", 5, {"n": 1, "s": "x"}).to_json(),
    StoredObject.of("b", 6, {"n": 2}).to_json(),
    StoredObject.of("c", 7, {"n": None, "s": "y"}).to_json(),
    StoredObject.of("d", 8, {"s": ""}).to_json(),
    Tombstone("e", 9).to_json(),
]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", "edcba"),
        ("last_modified", "abcde"),
        ("id", "abcde"),
        ("-id", "edcba"),
        ("nobody_has_it", "edcba"),
        ("-nobody_has_it", "edcba"),
        ("nobody_has_it,last_modified", "abcde"),
        # Missing and null are the same: last ascending, first descending.
        ("n", "abedc"),
        ("-n", "edcba"),
        ("-n,last_modified", "cdeba"),
        ("n,last_modified", "abcde"),
        ("s", "daceb"),
        ("-s", "ebcad"),
        ("n,s", "abdce"),
        ("n,-s", "abecd"),
        ("-n,s,id", "dceba"),
        ("deleted", "edcba"),
        ("-deleted", "dcbae"),
        ("-deleted,last_modified", "abcde"),
    ],
)
def test_entries_without_the_field_come_last_or_first(sort: str, expected: str) -> None:
    assert "".join(in_order(sort, ENTRIES)) == expected
    assert "".join(in_order(sort, ENTRIES[::-1])) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", "cba"),
        ("last_modified", "abc"),
        ("v", "cba"),
        ("v,last_modified", "abc"),
        ("last_modified,-id", "cba"),
        ("v,id", "abc"),
    ],
)
def test_entries_of_the_same_time_are_in_an_order_too(sort: str, expected: str) -> None:
    entries = [StoredObject.of(id, 5, {}).to_json() for id in "bca"]

    assert "".join(in_order(sort, entries)) == expected


@pytest.mark.parametrize("others", [0, 1, 2, 5])
def test_long_strings_are_sorted_by_their_beginning(others: int) -> None:
    sort = ",".join(["v", *(f"other_{number}" for number in range(others))])
    told_apart = MAX_PLACE_CHARACTERS // (1 + others)
    beginning = "é" * (told_apart - 1)

    assert sorted_values(sort, [f"{beginning}b", f"{beginning}a"])[0].endswith("a")
    assert sorted_values(sort, [f"{beginning}éb", f"{beginning}éa"])[0].endswith("b")


def test_ids_are_sorted_to_their_last_character() -> None:
    beginning = "a" * (MAX_ID_LENGTH - 1)
    ids = [f"{beginning}{last}" for last in "acb"]
    entries = [StoredObject.of(id, 5, {}).to_json() for id in ids]

    assert in_order("v,w,x,id", entries) == sorted(ids)


# Laws

FIELDS = st.sampled_from(["a", "b", "c", "id", "last_modified"])
SORTS = st.lists(st.builds(Sort, FIELDS, st.booleans()), max_size=4)
TIE: st.SearchStrategy[Any] = st.sampled_from(
    [None, False, True, 0, 1, 1.0, "", "a", "ab", "é", [], {"a": 1}]
)
NUMBERS = st.integers(-(10**308), 10**308) | st.floats(allow_nan=False, allow_infinity=False)
OTHER = st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(), st.text(), max_size=2)
VALUES = TIE | NUMBERS | st.text(max_size=MAX_PLACE_CHARACTERS // 5) | OTHER
ENTRY = st.fixed_dictionaries({}, optional={"a": VALUES, "b": TIE, "c": TIE})


@st.composite
def entries(draw: st.DrawFn) -> list[Data]:
    """Objects and tombstones with distinct ids, some of them of the same time."""
    ids = draw(st.lists(st.text("ab-1", min_size=1), min_size=2, max_size=4, unique=True))
    return [
        {**draw(ENTRY | st.just({"deleted": True})), "id": id, "last_modified": time}
        for id, time in zip(ids, draw(st.permutations([1, 2, 2, 3])), strict=False)
    ]


def rank(value: Any) -> int:
    """Where the type of a value comes, as section 5 of the spec has it."""
    ranks = {bool: 0, int: 1, float: 1, str: 2, list: 3, dict: 3}
    return ranks.get(type(value), 4)


def compare(one: Any, other: Any) -> int:
    """Negative where one value comes before the other, 0 where they are equal."""
    if rank(one) != rank(other) or rank(one) > 2:
        return rank(one) - rank(other)
    return int(one > other) - int(one < other)


def plainly_sorted(sorts: Sequence[Sort], entries: Sequence[Data]) -> list[Data]:
    """The entries by the last sort, then by the one before it, and so on."""
    by_time = next((sort for sort in sorts if sort.field == "last_modified"), None)
    newest_first = by_time is None or by_time.descending
    fallback = [Sort("last_modified", True), Sort("id", newest_first)]
    in_order = list(entries)
    for field, descending in reversed([*sorts, *fallback]):
        by_value = cmp_to_key(compare)
        in_order.sort(key=lambda entry: by_value(entry.get(field)), reverse=descending)
    return in_order


@given(SORTS, entries())
def test_entries_are_sorted_as_the_spec_says(sorts: list[Sort], entries: list[Data]) -> None:
    order = Order.by(sorts)

    in_order = sorted(entries, key=lambda entry: key_of(order, entry))

    assert in_order == plainly_sorted(sorts, entries)


@given(SORTS, entries())
def test_of_two_entries_one_comes_first(sorts: list[Sort], entries: list[Data]) -> None:
    order = Order.by(sorts)
    in_order = sorted(key_of(order, entry) for entry in entries)

    for before, after in combinations(in_order, 2):
        assert before < after
        assert after > before
        assert not after < before
        assert before != after


@given(SORTS, entries())
def test_an_entry_is_found_again_by_its_place(sorts: list[Sort], entries: list[Data]) -> None:
    order = Order.by(sorts)

    for entry in entries:
        place = order.place_of(entry)
        again = tuple(json.loads(json.dumps(place)))
        assert again == place
        assert list(map(type, again)) == list(map(type, place))
        assert order.key(again) == key_of(order, entry)
        assert not order.key(again) < key_of(order, entry)
        assert not key_of(order, entry) < order.key(again)


ANYTHING = (
    st.integers(-(10**308), 10**308)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3).map(lambda text: text * 2_000)
    | st.sampled_from([None, True, ["long" * 1_000], {"long" * 1_000: [[1]]}])
)


@given(st.lists(ANYTHING, max_size=12), st.sampled_from(["a", "a" * MAX_ID_LENGTH]))
def test_a_place_fits_into_an_address(values: list[Any], id: str) -> None:
    data = {f"field_{number}": value for number, value in enumerate(values)}
    order = Order.by([Sort(field, number % 2 == 0) for number, field in enumerate(data)])

    *place, last = order.place_of({**data, "id": id, "last_modified": 253_402_300_799_999})

    texts = [value for value in place if isinstance(value, str)]
    others = [value for value in place if not isinstance(value, str)]
    assert last == id
    assert len("".join(texts)) <= MAX_PLACE_CHARACTERS
    assert all(len(json.dumps(value)) <= 310 for value in others)


@given(SORTS)
def test_a_printed_order_is_parsed_to_itself(sorts: list[Sort]) -> None:
    order = Order.by(sorts)

    assert parse_sort(order.to_text(), RECORD) == order


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", "-last_modified,-id"),
        ("last_modified", "last_modified,id"),
        (" a,-b,a", "a,-b,-last_modified,-id"),
        ("-id,a", "-id"),
    ],
)
def test_an_order_is_printed_in_full(text: str, printed: str) -> None:
    assert parse_sort(text, RECORD).to_text() == printed


@given(st.text() | st.lists(st.text("ab_-+ .", max_size=4)).map(",".join), st.sampled_from(KINDS))
def test_any_text_is_parsed_or_refused(text: str, kind: Kind) -> None:
    result = attempt(lambda: parse_sort(text, kind))

    if isinstance(result, ProtocolError):
        assert result.kind is INVALID_PARAMETERS
        assert kind is not RECORD
    else:
        assert parse_sort(result.to_text(), kind) == result
