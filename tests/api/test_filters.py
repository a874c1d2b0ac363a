"""Filters of a list, those of `last_modified` and what they say of tombstones among them.

Rule: spec, "Lists", sections 3 and 4.
"""

from typing import Any

import pytest

from chalicelib.protocol.messages import JsonObject
from tests.api.places import (
    COLLECTIONS,
    GROUPS,
    LISTS,
    RECORD,
    RECORDS,
    assert_invalid,
    body_of,
    made,
)
from tests.api.shelves import asked, listed, names, shelved
from tests.doubles import START_MS, Client

PREFIXES = ("", "min_", "max_", "gt_", "lt_", "not_", "in_", "exclude_")

VALUES: dict[str, Any] = {
    "missing": ...,
    "null": None,
    "true": True,
    "false": False,
    "-3": -3,
    "1": 1,
    "42": 42,
    "42.5": 42.5,
    "empty": "",
    "text 42": "42",
    "go": "go",
    "Go": "Gö 2016-10-11",
    "comma": "a,b",
    "list": [42, "go"],
    "object": {"42": "go"},
}
ALL = [*VALUES]


def values_shelved(client: Client, values: dict[str, Any] = VALUES) -> None:
    """Make a record of each of these values, in a field `v`; the newest is the first of them."""
    objects = [
        {"name": name} if value is ... else {"name": name, "v": value}
        for name, value in values.items()
    ]
    shelved(client, reversed(objects))


def found(client: Client, *parameters: tuple[str, str]) -> list[str]:
    """The names of the records that match, in the order of VALUES."""
    return names(listed(client, *parameters))


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", "true"),
        ("Yes", "true"),
        ("ON", "true"),
        ("FALSE", "false"),
        ("no", "false"),
        ("oFf", "false"),
        ("42", "42"),
        ("42.0", "42"),
        ("4.2e1", "42"),
        ("420E-1", "42"),
        ("42.5", "42.5"),
        ("-3", "-3"),
        ("-3.0", "-3"),
        ("1", "1"),
        ("1e0", "1"),
        ('"42"', "text 42"),
        ("'42'", "text 42"),
        ("go", "go"),
        ('"go"', "go"),
        ("'go'", "go"),
        (r'"\u0067o"', "go"),
        ("Gö 2016-10-11", "Go"),
        ("a,b", "comma"),
        ("", "empty"),
        ('""', "empty"),
    ],
)
def test_a_value_is_typed_by_its_looks(client: Client, text: str, expected: str) -> None:
    values_shelved(client)

    assert found(client, ("v", text)) == [expected]


@pytest.mark.parametrize(
    ("text", "unequal"),
    [("42.0", "42"), ("yes", "true"), ('"42"', "text 42"), ("go", "go"), ("", "empty")],
)
def test_not_lists_all_others_and_those_without_the_field(
    client: Client, text: str, unequal: str
) -> None:
    values_shelved(client)

    assert found(client, ("not_v", text)) == [name for name in ALL if name != unequal]


@pytest.mark.parametrize(
    "text", ["GO", "g", "go ", "Go\u0308 2016-10-11", '[42, "go"]', "[]", "null", "None", "0"]
)
def test_what_no_field_equals_is_found_nowhere(client: Client, text: str) -> None:
    values_shelved(client)

    assert found(client, ("v", text)) == []
    assert found(client, ("not_v", text)) == ALL


ODD = [
    "01234",
    "1.2.3",
    "+1",
    ".5",
    "0x1F",
    "1_000",
    "--1",
    "NaN",
    "Infinity",
    "٣",
    "'",
    '"',
    "\0",
    "😀",
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_what_is_no_number_word_or_quotation_is_that_string(client: Client, text: str) -> None:
    others = {f"other {value}": value for value in (1, 3, 0.5, 31, 1000, 1234)}
    values_shelved(client, others | dict(zip(ODD, ODD, strict=True)))

    assert found(client, ("v", text)) == [text]


def test_integers_compare_exactly(client: Client) -> None:
    values_shelved(client, {str(n): n for n in (2**53, 2**53 + 1, 2**63 - 1, -(2**63))})

    assert found(client, ("v", str(2**53 + 1))) == [str(2**53 + 1)]
    assert found(client, ("gt_v", f"{2**53}.0")) == [str(2**53 + 1), str(2**63 - 1)]
    assert found(client, ("v", str(2**63))) == []
    assert found(client, ("min_v", str(2**63 - 1))) == [str(2**63 - 1)]
    assert found(client, ("max_v", str(-(2**63)))) == [str(-(2**63))]


# Comparisons


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("min_v", "1", ["1", "42", "42.5"]),
        ("gt_v", "1", ["42", "42.5"]),
        ("max_v", "1", ["-3", "1"]),
        ("lt_v", "1", ["-3"]),
        ("min_v", "42.25", ["42.5"]),
        ("lt_v", "-2.5", ["-3"]),
        ("gt_v", "1e400", []),
        ("lt_v", "1e400", ["-3", "1", "42", "42.5"]),
        ("lt_v", "9" * 5000, ["-3", "1", "42", "42.5"]),
        ("gt_v", "-" + "9" * 5000, ["-3", "1", "42", "42.5"]),
        ("min_v", "go", ["go"]),
        ("gt_v", "go", []),
        ("max_v", "Gö 2016-10-11", ["empty", "text 42", "Go"]),
        ("lt_v", "Gö 2016-10-11", ["empty", "text 42"]),
        ("gt_v", "Gz", ["go", "Go", "comma"]),
        ("min_v", '"42"', ["text 42", "go", "Go", "comma"]),
        ("min_v", "", ["empty", "text 42", "go", "Go", "comma"]),
        ("gt_v", "", ["text 42", "go", "Go", "comma"]),
        ("lt_v", "", []),
        ("gt_v", "no", ["true"]),
        ("in_v", "1,go,true", ["true", "1", "go"]),
        ("in_v", '42,"42"', ["42", "text 42"]),
        ("in_v", "42,", ["42", "empty"]),
        ("in_v", "", ["empty"]),
        ("in_v", "a,b", []),
        ("in_v", '"a,b"', []),
        ("in_v", "null,[42]", []),
    ],
    ids=ascii,
)
def test_comparisons_find_what_has_the_type_of_the_value(
    client: Client, name: str, text: str, expected: list[str]
) -> None:
    values_shelved(client)

    assert found(client, (name, text)) == expected
    if name == "in_v":
        assert found(client, ("exclude_v", text)) == [n for n in ALL if n not in expected]


def test_every_filter_counts_repeated_ones_as_well(client: Client) -> None:
    values_shelved(client)

    assert found(client, ("min_v", "-3"), ("lt_v", "42.5"), ("not_v", "1")) == ["-3", "42"]
    assert found(client, ("not_v", "1"), ("not_v", "42"), ("min_v", "0")) == ["42.5"]
    assert found(client, ("min_v", "42"), ("min_v", "0")) == ["42", "42.5"]
    assert found(client, ("v", "42"), ("v", "1")) == []
    assert found(client, ("in_v", "42,1"), ("in_v", "go,42")) == ["42"]
    assert found(client, ("v", "42"), ("name", '"42"')) == ["42"]
    assert found(client, ("v", "42"), ("name", "go")) == []
    assert found(client, ("v", "42"), ("_v", "1"), ("_in_v", "1")) == ["42"]


# Names


NAMES = [
    ("in_stock", "stock", "w,s", "w,x"),
    ("in_in_stock", "in_stock", "w,x", "w"),
    ("not_in_stock", "in_stock", "w", "x"),
    ("not_not_v", "not_v", "w", "x"),
    ("exclude__v", "_v", "w", "w,x"),
    ("min_min_", "min_", "x", "y"),
    ("max_größe", "größe", "x", "w"),
    ("gt_価格2", "価格2", "w", "x"),
    ("lt_2", "2", "y", "x"),
    *(
        (name, name, "x", "w")
        for name in (
            "address.city",
            "min_address.city",
            "min_first-name",
            "max_a b",
            "minstock",
            "min_",
            "MIN_v",
            "like_v",
            "has_v",
            " v",
            "min_v\n",
            "",
            "\0",
            "since",
            "gt",
            "data",
            "😀",
        )
    ),
]
"""A parameter's name; the field that it is about; a text that matches it; one that does not."""


@pytest.mark.parametrize(("name", "field", "matching", "other"), NAMES, ids=ascii)
def test_a_prefix_is_taken_off_once_and_any_other_name_is_a_field(
    client: Client, name: str, field: str, matching: str, other: str
) -> None:
    fields = dict.fromkeys((field for _name, field, *_texts in NAMES), "x")
    (record,) = shelved(client, [fields | {"stock": "s", "v": 1, "address": {"city": "w"}}])

    assert field in record
    assert listed(client, (name, matching)) == [record]
    assert listed(client, (name, other)) == []


def test_filters_do_not_look_into_objects(client: Client) -> None:
    _nested, flat = shelved(
        client, [{"address": {"city": "Oslo"}}, {"address.city": "Oslo", "address": "Oslo"}]
    )

    assert listed(client, ("address.city", "Oslo")) == [flat]
    assert listed(client, ("address", "Oslo")) == [flat]


def test_large_records_are_filtered_and_sorted_like_others(client: Client) -> None:
    large = "".join(f"{number * number:x}" for number in range(25_000))
    texts = (large + "b", "c", "", large + "a")
    shelved(client, [{"name": name, "v": text} for name, text in zip("abcd", texts, strict=True)])

    assert found(client, ("gt_v", ""), ("lt_v", "c")) == ["d", "a"]
    assert found(client, ("v", "c")) == ["b"]
    assert found(client, ("not_v", "c"), ("_sort", "name")) == ["a", "c", "d"]
    assert found(client, ("_sort", "-v"))[:1] == ["b"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_records_know_every_field(client: Client, prefix: str) -> None:
    made(client)

    entries = listed(client, (f"{prefix}none", "1"))

    assert len(entries) == (1 if prefix in ("not_", "exclude_") else 0)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("path", "known", "unknown"),
    [
        (
            COLLECTIONS,
            ["id", "deleted", "schema", "cache_expires"],
            ["title", "members", "schema.title", "permissions", "", "Schema"],
        ),
        (GROUPS, ["id", "deleted", "members"], ["title", "schema", "cache_expires", "member"]),
    ],
)
def test_lists_of_other_objects_know_some_fields(
    client: Client, path: str, prefix: str, known: list[str], unknown: list[str]
) -> None:
    made(client)

    for field in known:
        assert asked(client, (prefix + field, "1"), path=path).status == 200
    for field in unknown:
        answer = asked(client, ("_x", "1"), (prefix + field, "1"), path=path)
        description = f"Unknown filter field '{prefix}{field}'"
        assert_invalid(answer, "querystring", None, description)
        assert body_of(answer, 400)["message"] == f"querystring: {description}"


def test_collections_are_filtered_by_their_fields(client: Client) -> None:
    plain, short, long = shelved(
        client,
        [
            {"schema": {"type": "object"}},
            {"cache_expires": 60},
            {"cache_expires": 3600, "schema": {}},
        ],
        path=COLLECTIONS,
    )

    def found(name: str, text: str) -> list[JsonObject]:
        return listed(client, (name, text), path=COLLECTIONS)

    assert found("cache_expires", "60") == [short]
    assert found("min_cache_expires", "60") == [long, short]
    assert found("exclude_cache_expires", "60,1") == [long, plain]
    assert found("schema", "none") == []
    assert found("not_schema", "none") == [long, short, plain]
    assert found("schema", '{"type": "object"}') == []


def test_members_are_a_list_and_equal_nothing(client: Client) -> None:
    groups = shelved(client, [{"members": ["a"]}, {"members": []}], path=GROUPS)

    for name, text in (("members", "a"), ("in_members", "a,"), ("min_members", "")):
        assert listed(client, (name, text), path=GROUPS) == []
    assert listed(client, ("not_members", "a"), path=GROUPS) == groups[::-1]


# Ids


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("id", "42", ["42"]),
        ("id", '"42"', ["42"]),
        ("id", "42.0", []),
        ("id", "042", []),
        ("id", "true", ["true"]),
        ("id", "TRUE", []),
        ("id", "yes", []),
        ("not_id", "42", ["a", "9", "true"]),
        ("in_id", '42,true,"a",none', ["a", "true", "42"]),
        ("in_id", "42,", ["42"]),
        ("in_id", "42,42", ["42"]),
        ("in_id", "", []),
        ("exclude_id", "42,true", ["a", "9"]),
        ("exclude_id", "", ["a", "9", "true", "42"]),
        ("min_id", "42", ["a", "9", "true", "42"]),
        ("gt_id", "42", ["a", "9", "true"]),
        ("lt_id", "5", ["42"]),
        ("max_id", "9", ["9", "42"]),
        *(("id", text, []) for text in ("", "!", "a/b", "#", "\0", "é", "a" * 5000, "none")),
        *(("in_id", f"42,{text}", ["42"]) for text in ("!", "a/b", "#", "a" * 5000, "none")),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_ids_compare_as_strings_whatever_they_look_like(
    client: Client, name: str, text: str, expected: list[str]
) -> None:
    shelved(client, [{"id": id} for id in ("42", "true", "9", "a")], path=COLLECTIONS)

    entries = listed(client, (name, text), path=COLLECTIONS)

    assert [entry["id"] for entry in entries] == expected


def test_filters_on_ids_combine_with_others(client: Client) -> None:
    records = shelved(client, [{"name": name, "n": n} for n, name in enumerate("abcd")])
    a, b, c, d = (record["id"] for record in records)

    def found(*parameters: tuple[str, str]) -> list[str]:
        return names(listed(client, *parameters))

    ids = ("in_id", ",".join((a, b, c, d.upper())))
    assert found(ids) == ["c", "b", "a"]
    assert found(ids, ("_sort", "n")) == ["a", "b", "c"]
    assert found(ids, ("min_n", "1")) == ["c", "b"]
    assert found(ids, ("not_id", b)) == ["c", "a"]
    assert found(ids, ("in_id", f"{b},{d}")) == ["b"]
    assert found(ids, ("id", d)) == []
    assert found(("id", a), ("id", b)) == []
    assert found(("id", d), ("n", "3")) == ["d"]
    assert found(("id", d), ("_before", str(records[3]["last_modified"]))) == []
    assert found(("min_id", a), ("max_id", a)) == ["a"]


# Timestamps


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    ("name", "places", "expected"),
    [
        ("_since", [1], "de"),
        ("gt_last_modified", [1], "de"),
        ("min_last_modified", [1], "bde"),
        ("_before", [3], "abe"),
        ("_to", [3], "abe"),
        ("lt_last_modified", [3], "abe"),
        ("max_last_modified", [3], "abde"),
        ("last_modified", [3], "d"),
        ("not_last_modified", [3], "abe"),
        ("in_last_modified", [3, 0, 0], "ad"),
        ("exclude_last_modified", [3, 0, 0], "be"),
        ("in_last_modified", [1], "b"),
    ],
)
def test_filters_of_last_modified_written_out_or_in_short(
    client: Client, name: str, places: list[int], expected: str, quote: str
) -> None:
    """`e` was written last, with a time between those of `b` and `d`; there is no `c`."""
    times = {"a": 10, "b": 20, "c": 30, "d": 40, "e": 30}
    data = [{"name": key, "last_modified": START_MS + time} for key, time in times.items()]
    shelved(client, [each for each in data if each["name"] != "c"])
    stamps = [quote + str(START_MS + 10 * (place + 1)) + quote for place in places]

    entries = listed(client, (name, ",".join(stamps)), ("_sort", "name"))

    assert names(entries) == [*expected]


def test_a_record_from_the_past_is_found_by_its_date(client: Client) -> None:
    (first,) = shelved(client, [{"name": "first"}])
    past = {"name": "old", "last_modified": first["last_modified"] - 5}
    client.ask("POST", RECORDS, {"data": past})

    assert names(listed(client, ("_since", str(first["last_modified"])))) == []
    assert names(listed(client, ("_before", str(first["last_modified"])))) == ["old"]
    assert names(listed(client, ("_since", str(first["last_modified"] - 6)))) == ["first", "old"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_last_modified_is_an_integer(client: Client, prefix: str) -> None:
    made(client)
    name = f"{prefix}last_modified"

    refused = [(RECORDS, text) for text in ("", "1.5", '"abc"', "true", '"1', "1e3", "٣", "1, 2")]
    for path, text in (*refused, *((path, "abc") for path in LISTS)):
        answer = asked(client, (name, text), path=path)
        assert_invalid(answer, "querystring", name, f"Invalid value for {name}")
        assert body_of(answer, 400)["message"] == f"Invalid value for {name}"


@pytest.mark.parametrize("name", ["in_last_modified", "exclude_last_modified"])
@pytest.mark.parametrize("text", ["1,abc", "1,", ",1", '"1,2"'])
def test_each_part_of_a_list_of_timestamps_is_an_integer(
    client: Client, name: str, text: str
) -> None:
    made(client)

    answer = asked(client, (name, text))

    assert_invalid(answer, "querystring", name, f"Invalid value for {name}")


def test_one_value_of_last_modified_is_not_split(client: Client) -> None:
    made(client)

    answer = asked(client, ("last_modified", "1,2"))

    assert_invalid(answer, "querystring", "last_modified", "Invalid value for last_modified")


# Tombstones

DEAD = "dead"


def buried(client: Client, path: str) -> tuple[list[JsonObject], list[JsonObject]]:
    """Two objects and two tombstones, both the newest first."""
    objects: list[JsonObject] = [{"name": name, "n": 1} for name in ("one", DEAD, "two", "gone")]
    if path == GROUPS:  # which keep no name
        objects = [{"id": each["name"], "members": ["a"]} for each in objects]
        made = shelved(client, objects, path=path)
        dead = [body_of(client.ask("DELETE", f"{path}/{id}"))["data"] for id in ("gone", DEAD)]
        return [made[2], made[0]], dead[::-1]
    made = shelved(client, objects, path=path, deleted=f"gone {DEAD}")
    return made[1::-1], made[:1:-1]


EVERYTHING = str(10**15)


@pytest.mark.parametrize("path", LISTS)
def test_tombstones_are_listed_where_last_modified_is_asked_about(
    client: Client, path: str
) -> None:
    live, dead = buried(client, path)

    for name, text in (
        ("_since", "0"),
        ("_before", EVERYTHING),
        ("_to", EVERYTHING),
        ("gt_last_modified", "0"),
        ("min_last_modified", "0"),
        ("lt_last_modified", EVERYTHING),
        ("max_last_modified", f'"{EVERYTHING}"'),
        ("not_last_modified", "0"),
        ("exclude_last_modified", "0,1"),
    ):
        assert listed(client, (name, text), path=path) == [*dead, *live]
    assert all(entry.keys() == {"id", "last_modified", "deleted"} for entry in dead)
    assert all(entry["deleted"] is True for entry in dead)


@pytest.mark.parametrize("path", LISTS)
def test_tombstones_are_found_by_their_time(client: Client, path: str) -> None:
    live, dead = buried(client, path)
    time = str(dead[1]["last_modified"])

    assert listed(client, ("last_modified", time), path=path) == [dead[1]]
    both = ("in_last_modified", f"{time},{live[0]['last_modified']}")
    assert listed(client, both, path=path) == [dead[1], live[0]]
    assert listed(client, ("_since", time), path=path) == [dead[0]]
    assert listed(client, ("_before", time), path=path) == live
    assert listed(client, ("exclude_last_modified", time), path=path) == [dead[0], *live]


@pytest.mark.parametrize("path", LISTS)
def test_tombstones_are_not_listed_otherwise(client: Client, path: str) -> None:
    live, _dead = buried(client, path)

    for name, text in (
        ("_sort", "last_modified"),
        ("_sort", "deleted"),
        ("_limit", "9"),
        ("_fields", "deleted"),
        ("not_deleted", "true"),
        ("exclude_deleted", "true"),
        ("min_id", ""),
        ("_last_modified", "0"),
    ):
        entries = listed(client, (name, text), path=path)
        assert {entry["id"] for entry in entries} == {entry["id"] for entry in live}


@pytest.mark.parametrize("path", LISTS)
def test_a_filter_for_tombstones_alone_finds_none(client: Client, path: str) -> None:
    _live, dead = buried(client, path)

    assert listed(client, ("deleted", "true"), path=path) == []
    assert listed(client, ("in_deleted", "true,false"), path=path) == []
    assert listed(client, ("id", dead[0]["id"]), path=path) == []
    assert listed(client, ("in_id", ",".join(each["id"] for each in dead)), path=path) == []


@pytest.mark.parametrize("path", LISTS)
def test_tombstones_pass_through_filters_as_objects_of_three_fields(
    client: Client, path: str
) -> None:
    live, dead = buried(client, path)
    since = ("_since", "0")

    def found(*parameters: tuple[str, str]) -> list[JsonObject]:
        return listed(client, since, *parameters, path=path)

    assert found(("deleted", "true")) == dead
    assert found(("deleted", "YES")) == dead
    assert found(("in_deleted", "true,1")) == dead
    assert found(("not_deleted", "true")) == live
    assert found(("exclude_deleted", "true")) == live
    assert found(("deleted", "false")) == []
    assert found(("deleted", "1")) == []
    assert found(("not_deleted", "false")) == [*dead, *live]
    assert found(("id", dead[0]["id"])) == [dead[0]]
    assert found(("in_id", f"{live[0]['id']},{dead[1]['id']}")) == [dead[1], live[0]]
    assert found(("not_id", dead[0]["id"])) == [dead[1], *live]


def test_tombstones_have_no_fields_of_the_records_they_were(client: Client) -> None:
    live, dead = buried(client, RECORDS)
    since = ("_since", "0")

    assert listed(client, since, ("n", "1")) == live
    assert listed(client, since, ("min_n", "0")) == live
    assert listed(client, since, ("in_n", "1,2")) == live
    assert listed(client, since, ("not_n", "1")) == dead
    assert listed(client, since, ("exclude_n", "1,2")) == dead
    assert listed(client, since, ("not_n", "2")) == [*dead, *live]


def test_records_may_have_a_field_that_is_called_deleted(client: Client) -> None:
    (record,) = shelved(client, [{"name": "live", "deleted": True}])

    assert listed(client, ("deleted", "true")) == [record]
    assert listed(client, ("_since", "0"), ("deleted", "true")) == [record]


def test_an_id_is_listed_once_as_what_it_is_by_now(client: Client) -> None:
    first = made(client)[RECORD]["data"]
    gone = body_of(client.ask("DELETE", RECORD))["data"]
    since = ("_since", str(first["last_modified"] - 1))

    assert listed(client, since) == [gone]
    again = body_of(client.ask("PUT", RECORD, {"data": {"n": 1}}), 201)["data"]
    assert listed(client, since) == [again]
    assert listed(client, since, ("deleted", "true")) == []
    changed = body_of(client.ask("PATCH", RECORD, {"data": {"n": 2}}))["data"]
    assert listed(client, since) == [changed]
    assert listed(client, since, ("n", "1")) == []
    gone_again = body_of(client.ask("DELETE", RECORD))["data"]
    assert listed(client, since) == [gone_again]


def test_polling_by_the_greatest_timestamp_seen_yields_every_change_once(client: Client) -> None:
    records = shelved(client, [{"name": name} for name in "abc"])
    seen: list[JsonObject] = []

    def poll() -> None:
        newest = max((entry["last_modified"] for entry in seen), default=0)
        seen.extend(listed(client, ("_sort", "last_modified"), ("_since", str(newest))))

    poll()
    poll()
    assert seen == records
    uri = f"{RECORDS}/{records[0]['id']}"
    changed = body_of(client.ask("PATCH", uri, {"data": {"name": "d"}}))["data"]
    new = body_of(client.ask("POST", RECORDS, {"data": {}}), 201)["data"]
    gone = body_of(client.ask("DELETE", f"{RECORDS}/{records[1]['id']}"))["data"]
    poll()
    poll()
    assert seen == [*records, changed, new, gone]
    gone_too = body_of(client.ask("DELETE", uri))["data"]
    poll()
    assert seen == [*records, changed, new, gone, gone_too]


@pytest.mark.parametrize(
    ("name", "text"), [("_since", "true"), ("_to", "yes"), ("_before", "1,2"), ("_since", "1 ")]
)
def test_times_are_no_words_and_no_lists(client: Client, name: str, text: str) -> None:
    made(client)

    answer = asked(client, (name, text))

    assert_invalid(answer, "querystring", name, f"Invalid value for {name}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_alert_is_for_to_alone(client: Client, method: str) -> None:
    made(client)

    for parameters, is_told in (
        ([("_to", "1"), ("_before", "5")], True),
        ([("n", "1"), ("_to", "1")], True),
        ([("_before", "1")], False),
        ([("to", "1")], False),
    ):
        answer = asked(client, *parameters, method=method)
        assert ("Alert" in answer.headers) is is_told
