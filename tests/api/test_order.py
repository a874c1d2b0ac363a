"""The order of a list. Rule: spec, "Lists", section 5."""

from typing import Any

import pytest

from chalicelib.protocol.messages import JsonObject
from tests.api.places import COLLECTIONS, GROUPS, RECORDS, assert_invalid, body_of, made
from tests.api.shelves import asked, listed, names, shelved
from tests.doubles import START_MS, Client

ASCENDING: dict[str, Any] = {
    "false": False,
    "true": True,
    "-2": -2,
    "-0.5": -0.5,
    "0": 0,
    "1.5": 1.5,
    "10": 10,
    "1e300": 1e300,
    "empty": "",
    "digits": "10",
    "Banana": "Banana",
    "apple": "apple",
    "éclair": "éclair",
    "😀": "😀",
    "object": {"a": 1},
    "list": [0],
    "null": None,
    "missing": ...,
}
"""By `v`; what is neither boolean, number nor string comes newest first, so does what has none."""

DESCENDING = [
    *("null", "missing", "object", "list", "😀", "éclair", "apple", "Banana", "digits", "empty"),
    *("1e300", "10", "1.5", "0", "-0.5", "-2", "true", "false"),
]

WRITTEN = [
    *("list", "10", "apple", "missing", "true", "-2", "object", "1e300", "empty", "null", "0"),
    *("😀", "false", "digits", "1.5", "éclair", "-0.5", "Banana"),
]
"""The order in which they were made: by nothing that can be sorted by."""


def mixed(client: Client) -> None:
    """Make a record of each value."""
    values = {name: {} if ASCENDING[name] is ... else {"v": ASCENDING[name]} for name in WRITTEN}
    shelved(client, [{"name": name, **data} for name, data in values.items()])


def sorted_by(client: Client, sort: str, *others: tuple[str, str]) -> list[str]:
    """The names of the records in this order."""
    return names(listed(client, ("_sort", sort), *others))


def shelve_letters(client: Client, *letters: str, **fields: list[Any]) -> None:
    """Make records with these names, the oldest first, with these values of each field in turn."""
    objects: list[JsonObject] = [{"name": letter} for letter in letters]
    for field, values in fields.items():
        for each, value in zip(objects, values, strict=True):
            if value is not ...:
                each[field] = value
    shelved(client, objects)


# Values


def test_values_of_all_types_have_their_order(client: Client) -> None:
    mixed(client)

    ascending = sorted_by(client, "v")
    assert ascending[:-4] == [*ASCENDING][:-4]
    assert ascending[-4:] == ["object", "list", "null", "missing"]
    assert sorted_by(client, "-v") == DESCENDING


def test_what_is_asked_by_no_field_comes_newest_first(client: Client) -> None:
    mixed(client)

    newest_first = WRITTEN[::-1]
    for sort in ("", "none", "-none", "last_modified.x", "-last_modified"):
        assert sorted_by(client, sort) == newest_first
    assert sorted_by(client, "last_modified") == WRITTEN


def test_numbers_are_sorted_by_value_whatever_they_are(client: Client) -> None:
    values = [2**53 + 1, 2**53, 2.0**53 + 2, -(2**63) + 1, -(2**63), 2**63 - 1, 10**20, 1e21]
    shelve_letters(client, *"badGFsxy", v=values)

    assert "".join(sorted_by(client, "v")) == "FGabdsxy"
    assert "".join(sorted_by(client, "-v")) == "yxsdbaGF"


def test_a_number_equals_itself_with_a_fraction(client: Client) -> None:
    shelve_letters(client, *"abcd", v=[1, 1.0, 0.5, 1])

    assert "".join(sorted_by(client, "v")) == "cdba"
    assert "".join(sorted_by(client, "-v")) == "dbac"


@pytest.mark.parametrize("sort", ["v", "-v", "v,v", "v,-last_modified", "+v,none"])
def test_what_is_equal_comes_newest_first(client: Client, sort: str) -> None:
    shelve_letters(client, *"abcdefg", v=["x", 1, "x", ..., 1, "x", None])

    found = "".join(sorted_by(client, sort))

    assert found == ("gdfcaeb" if sort.startswith("-") else "ebfcagd")


def test_tombstones_lack_every_field_but_three(client: Client) -> None:
    objects = [
        {"name": "a", "v": 2},
        {"name": "b", "v": 1},
        {"name": "c"},
        {"name": "d", "v": 3},
        {"name": "e", "v": 0},
    ]
    *_live, first, second = shelved(client, objects, deleted="d b")
    since = ("_since", "0")

    for sort, expected in (
        ("v", "ea21c"),
        ("-v", "21cae"),
        ("deleted", "21eca"),
        ("-v,v", "21cae"),
    ):
        entries = listed(client, ("_sort", sort), since)
        found = [
            {first["id"]: "1", second["id"]: "2"}.get(each["id"], each.get("name"))
            for each in entries
        ]
        assert "".join(map(str, found)) == expected
    assert listed(client, ("_sort", "-deleted"), since)[-2:] == [second, first]


# Fields


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("x,y", "dacbfe"),
        ("x,-y", "cbadef"),
        ("-x,y", "fedacb"),
        ("-x,-y", "efcbad"),
        ("y,x", "dafcbe"),
        ("-y,x", "cbeafd"),
        ("y,-x", "dfaecb"),
        ("x,name", "abcdef"),
        ("x,-name", "dcbafe"),
        ("x,last_modified", "abcdef"),
        ("x", "dcbafe"),
    ],
)
def test_several_fields_decide_one_after_the_other(
    client: Client, sort: str, expected: str
) -> None:
    shelve_letters(client, *"abcdef", x=[1, 1, 1, 1, 2, 2], y=["b", "c", "c", "a", "c", "b"])

    assert "".join(sorted_by(client, sort)) == expected


def test_behind_an_id_nothing_is_left_to_decide(client: Client) -> None:
    shelve_letters(client, *"abcd", x=[1, 1, 2, 1])

    entries = listed(client, ("_sort", "-x,id,-name"))

    assert entries == sorted(entries, key=lambda entry: (-entry["x"], entry["id"]))


@pytest.mark.parametrize(
    "sort",
    [
        "x",
        "+x",
        "x,-x",
        "x,+x",
        " x ",
        "\tx\n",
        ",x,,",
        "!n,x",
        "a.b,x",
        "-a.b,x",
        "first-name,x",
        "--x,x",
        "+-y,x",
        "- y,x",
        "-,+,x",
        "x y,x",
        "y;y,x",
        "'y',x",
        "😀,x",
        "none,x",
        "x,name.z",
    ],
)
def test_signs_spaces_repetitions_and_parts_that_name_no_field(client: Client, sort: str) -> None:
    shelve_letters(client, *"abc", x=[2, 3, 1], y=[1, 3, 2])

    assert "".join(sorted_by(client, sort)) == "cab"


@pytest.mark.parametrize("sort", ["-x", " -x ", "-x,x", "-x,+x,x", "no-name,-x,x"])
def test_a_minus_sorts_the_other_way_round_and_the_first_of_a_field_decides(
    client: Client, sort: str
) -> None:
    shelve_letters(client, *"abc", x=[2, 3, 1])

    assert "".join(sorted_by(client, sort)) == "bac"


@pytest.mark.parametrize("field", ["größe", "価格", "_v", "2", "a_1", "in_stock", "min_v"])
def test_names_are_of_letters_of_any_script_digits_and_underscores(
    client: Client, field: str
) -> None:
    shelve_letters(client, *"abc", **{field: [2, 3, 1]})

    assert "".join(sorted_by(client, field)) == "cab"
    assert "".join(sorted_by(client, f"-{field}")) == "bac"


def test_the_last_sort_counts(client: Client) -> None:
    shelve_letters(client, *"abc", x=[2, 3, 1], y=[1, 3, 2])

    assert "".join(sorted_by(client, "y", ("_sort", "x"))) == "cab"
    assert "".join(sorted_by(client, "y", ("_sort", ""))) == "cba"


def test_times_and_ids_are_fields_like_others(client: Client) -> None:
    ids = [f"{letter * 8}-0000-4000-8000-000000000000" for letter in "cab"]
    times = [START_MS + 30, START_MS + 10, START_MS + 20]
    objects = [
        {"id": id, "name": id[0], "last_modified": time, "n": 1}
        for id, time in zip(ids, times, strict=True)
    ]
    shelved(client, objects)

    assert "".join(sorted_by(client, "")) == "cba"
    assert "".join(sorted_by(client, "last_modified")) == "abc"
    assert "".join(sorted_by(client, "-last_modified,name")) == "cba"
    assert "".join(sorted_by(client, "id")) == "abc"
    assert "".join(sorted_by(client, "-id")) == "cba"
    assert "".join(sorted_by(client, "n,last_modified")) == "abc"
    assert "".join(sorted_by(client, "n,-id,none")) == "cba"


def test_the_same_time_is_no_reason_to_lose_an_object(client: Client) -> None:
    objects = [{"name": name, "last_modified": START_MS} for name in "abcd"]
    records = shelved(client, objects)

    ids = sorted(record["id"] for record in records)

    for sort in ("last_modified", "-last_modified", "none"):
        assert sorted(entry["id"] for entry in listed(client, ("_sort", sort))) == ids


# Kinds


@pytest.mark.parametrize("sign", ["", "-", "+"])
@pytest.mark.parametrize(
    ("path", "known", "unknown"),
    [
        (
            COLLECTIONS,
            ["id", "last_modified", "deleted", "schema", "cache_expires"],
            ["title", "members"],
        ),
        (GROUPS, ["id", "last_modified", "deleted", "members"], ["title", "schema"]),
    ],
)
def test_lists_of_other_objects_are_sorted_by_some_fields(
    client: Client, path: str, sign: str, known: list[str], unknown: list[str]
) -> None:
    made(client)

    for field in known:
        assert asked(client, ("_sort", f"!,a.b,{sign}{field}"), path=path).status == 200
    for field in unknown:
        answer = asked(client, ("_sort", f"id,{sign}{field},other"), path=path)
        description = f"Unknown sort field '{field}'"
        assert_invalid(answer, "querystring", None, description)
        assert body_of(answer, 400)["message"] == f"querystring: {description}"


def test_collections_are_sorted_by_their_fields(client: Client) -> None:
    objects = [
        {"id": "a", "cache_expires": 60, "schema": {"type": "object"}},
        {"id": "c"},
        {"id": "b", "cache_expires": 5},
    ]
    shelved(client, objects, path=COLLECTIONS)

    for sort, expected in (
        ("cache_expires", "bac"),
        ("-cache_expires", "cab"),
        ("schema", "abc"),
        ("-schema", "bca"),
        ("id", "abc"),
        ("-id", "cba"),
    ):
        entries = listed(client, ("_sort", sort), path=COLLECTIONS)
        assert "".join(entry["id"] for entry in entries) == expected


def test_all_members_are_equal_in_an_order(client: Client) -> None:
    groups = shelved(client, [{"members": ["b"]}, {"members": ["a"]}, {"members": []}], path=GROUPS)

    for sort in ("members", "-members"):
        assert listed(client, ("_sort", sort), path=GROUPS) == groups[::-1]


def test_head_refuses_what_get_refuses(client: Client) -> None:
    made(client)

    answer = asked(client, ("_sort", "colour"), path=GROUPS, method="HEAD")

    assert (answer.status, answer.body) == (400, None)
    assert asked(client, ("_sort", "colour"), path=RECORDS, method="HEAD").status == 200
