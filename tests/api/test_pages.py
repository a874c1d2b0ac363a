"""Pages of a list in any order, their tokens, and the order in which parameters are checked.

Rule: spec, "Lists", sections 1 and 6.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import (
    COLLECTIONS,
    GROUPS,
    LISTS,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    made,
)
from tests.api.shelves import asked, entries, follow, listed, names, shelved, walk
from tests.api.test_server import client_with
from tests.doubles import SECRET, STAGE, Client, SetClock

VALUES: dict[str, Any] = {
    "a": {"v": 2, "w": 1},
    "b": {"v": "x"},
    "c": {"v": None, "w": 1},
    "d": {"v": 2.0, "w": 2},
    "e": {"w": 1},
    "f": {"v": [1]},
    "g": {"v": True, "w": 2},
    "h": {"v": "x", "w": 2},
    "i": {"v": {"x": 1}},
    "j": {"v": "é", "w": 1},
}
"""Objects that are equal in some fields, and lack others; `e` and `b` are deleted."""

SORTS = ["", "last_modified", "v", "-v", "w,-v", "-w,id", "deleted,-v,last_modified"]


def shelve_letters(client: Client, *, settled: bool = True) -> list[JsonObject]:
    """Eight records and two tombstones."""
    objects = [{"name": name, **data} for name, data in VALUES.items()]
    return shelved(client, objects, deleted="e b", settled=settled)


def query_of(url: str) -> list[tuple[str, str]]:
    """The parameters in a URL."""
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def token_of(answer: Response) -> str:
    """What leads to the next page."""
    return dict(query_of(answer.headers["Next-Page"]))["_token"]


def assert_refused(answer: Response) -> None:
    """Hold an answer to the refusal of a token."""
    assert_invalid(answer, "querystring", None, "_token has invalid content")


# Walks


@pytest.mark.parametrize(
    ("filters", "count"), [([], 8), ([("_since", "0")], 10), ([("not_w", "2")], 5)], ids=str
)
@pytest.mark.parametrize(
    ("sort", "settled"), [*((sort, True) for sort in SORTS), ("v", False), ("", False)]
)
def test_pages_together_are_the_list_in_any_order(
    client: Client, sort: str, filters: list[tuple[str, str]], count: int, *, settled: bool
) -> None:
    shelve_letters(client, settled=settled)
    parameters = [("_sort", sort), *filters]
    whole = asked(client, *parameters)

    pages = walk(client, asked(client, *parameters, ("_limit", "2")))

    assert len(body_of(whole)["data"]) == count
    assert entries(pages) == body_of(whole)["data"]
    assert [len(body_of(page)["data"]) for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert len(pages) == -(-count // 2)
    for name in ("ETag", "Total-Records"):
        assert {page.headers[name] for page in pages} == {whole.headers[name]}


@pytest.mark.parametrize("sort", ["", "last_modified", "v"])
@pytest.mark.parametrize(
    ("filters", "count"), [([], 8), ([("_since", "0")], 10), ([("min_v", "2")], 2)], ids=str
)
def test_next_page_is_there_if_and_only_if_entries_remain(
    client: Client, sort: str, filters: list[tuple[str, str]], count: int
) -> None:
    shelve_letters(client)

    for limit, remain in ((1, True), (count - 1, True), (count, False), (count + 1, False)):
        answer = asked(client, ("_sort", sort), ("_limit", str(limit)), *filters)
        assert len(body_of(answer)["data"]) == min(limit, count)
        assert ("Next-Page" in answer.headers) is remain


@pytest.mark.parametrize("path", [COLLECTIONS, GROUPS])
def test_pages_of_other_objects(client: Client, path: str) -> None:
    objects = [{"id": name, "members": []} for name in "cabed"]
    shelved(client, objects, path=path)
    client.ask("DELETE", f"{path}/a")

    first = asked(client, ("_sort", "id"), ("_since", "0"), ("_limit", "2"), path=path)
    pages = walk(client, first)

    assert ["".join(entry["id"] for entry in body_of(page)["data"]) for page in pages] == [
        *("ab", "cd", "e")
    ]
    assert {page.headers["Total-Records"] for page in pages} == {"4"}


@pytest.mark.parametrize("sort", ["v", ""])
def test_a_page_fetched_twice_is_the_same(client: Client, sort: str) -> None:
    shelve_letters(client)
    first = asked(client, ("_sort", sort), ("_since", "0"), ("_limit", "3"))

    once = follow(client, first.headers["Next-Page"])
    twice = follow(client, first.headers["Next-Page"])
    head = asked(client, *query_of(first.headers["Next-Page"]), method="HEAD")

    assert (once.body, once.headers) == (twice.body, twice.headers)
    assert (head.status, head.body, head.headers) == (200, None, once.headers)


def test_pages_end_behind_long_values_that_begin_alike(client: Client) -> None:
    text = "é" * 3000
    texts = [{"name": name, "v": text + name, "w": text} for name in "cadb"]
    others = [{"name": "e", "v": [text], "w": 1}, {"name": "f", "v": {"x": text}, "w": True}]
    shelved(client, [*texts, *others])

    for sort in ("v", "-v", "w,v", "-v,w,none,other,more"):
        pages = walk(client, asked(client, ("_sort", sort), ("_limit", "1")))
        assert sorted(names(entries(pages))) == [*"abcdef"]
        assert all(len(page.headers.get("Next-Page", "")) < 4000 for page in pages)


def test_a_sync_may_exclude_what_it_knows_by_fifty_ids(client: Client) -> None:
    shelve_letters(client)
    known = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(48)]
    entries_of_all = listed(client, ("_since", "0"))
    known += [entry["id"] for entry in entries_of_all[:2]]
    query = {"_sort": "-last_modified", "_since": "0", "exclude_id": ",".join(known)}

    pages = walk(client, client.ask("GET", RECORDS, _limit="3", **query))

    assert entries(pages) == entries_of_all[2:]
    assert len(pages) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_query_too_long_for_the_address_of_a_next_page_is_413(
    client: Client, method: str
) -> None:
    shelve_letters(client)
    query = {"not_v": "x" * 8100, "_limit": "3"}

    refused = client.ask(method, RECORDS, **query)
    shorter = client.ask(method, RECORDS, **query | {"not_v": "x" * 7500})
    in_one = client.ask(method, RECORDS, **query | {"_limit": "9"})

    assert (refused.status, shorter.status, in_one.status) == (413, 200, 200)
    if method == "GET":
        assert_error(refused, 413, 113)


def test_next_page_keeps_all_parameters_as_they_were(client: Client) -> None:
    shelve_letters(client)
    parameters = [
        ("not_v", "x,y & é+%"),
        ("not_v", '"z"'),
        ("_sort", " -w, v "),
        ("_since", '"0"'),
        ("_fields", "w"),
        ("_x", ""),
        ("exclude_w", ""),
    ]

    pages = walk(client, asked(client, *parameters, ("_limit", "3")))

    assert len(pages) == 4
    assert entries(pages) == body_of(asked(client, *parameters))["data"]
    for page in pages[:-1]:
        query = query_of(page.headers["Next-Page"])
        assert [each for each in query if each[0] not in ("_limit", "_token")] == parameters
        assert [each for each in query if each[0] == "_limit"] == [("_limit", "3")]
        assert sum(name == "_token" for name, _value in query) == 1


def test_repeated_limits_and_tokens_count_once_and_the_last_one(client: Client) -> None:
    shelve_letters(client)
    first = asked(client, ("_limit", "1"), ("_limit", "2"), ("_sort", "v"))
    token = token_of(first)

    second = asked(client, ("_token", "x"), ("_sort", "v"), ("_limit", "2"), ("_token", token))
    again = asked(client, ("_token", token), ("_sort", "v"), ("_limit", "2"), ("_token", ""))
    unlimited = asked(client, ("_limit", "2"), ("_limit", ""))

    assert len(body_of(first)["data"]) == 2
    assert second.body == follow(client, first.headers["Next-Page"]).body
    assert query_of(second.headers["Next-Page"])[:-1] == [("_sort", "v"), ("_limit", "2")]
    assert again.body == first.body
    assert "Next-Page" not in unlimited.headers
    assert_refused(asked(client, ("_token", token), ("_sort", "v"), ("_token", "x")))
    wrong = asked(client, ("_limit", "2"), ("_limit", "x"))
    assert_invalid(wrong, "querystring", None, "_limit should be an integer")


# Walks while others write

Act = Callable[[Client, dict[str, str]], object]


def create(**data: Any) -> Act:
    return lambda client, _uris: client.ask("POST", RECORDS, {"data": data})


def change(name: str, **data: Any) -> Act:
    return lambda client, uris: client.ask("PATCH", uris[name], {"data": data})


def delete(name: str) -> Act:
    return lambda client, uris: client.ask("DELETE", uris[name])


@pytest.mark.parametrize(
    ("query", "first", "act", "rest"),
    [
        ({}, "fe", create(name="g", n=3), "dcba"),
        ({}, "fe", change("b", n=9), "dca"),
        ({}, "fe", change("f", n=9), "dcba"),
        ({}, "fe", delete("d"), "cba"),
        ({}, "fe", delete("e"), "dcba"),
        ({"_sort": "last_modified"}, "ab", create(name="g", n=3), "cdefg"),
        ({"_sort": "last_modified"}, "ab", change("a", n=9), "cdefa"),
        ({"_sort": "last_modified"}, "ab", change("d", n=9), "cefd"),
        ({"_sort": "last_modified"}, "ab", delete("c"), "def"),
        ({"_sort": "last_modified"}, "ab", delete("b"), "cdef"),
        ({"_sort": "n"}, "ab", create(name="g", n=0.5), "cdef"),
        ({"_sort": "n"}, "ab", create(name="g", n=2.5), "cgdef"),
        ({"_sort": "n"}, "ab", create(name="g"), "cdefg"),
        ({"_sort": "n"}, "ab", change("f", n=1), "cde"),
        ({"_sort": "n"}, "ab", change("a", n=9), "cdefa"),
        ({"_sort": "n"}, "ab", delete("b"), "cdef"),
        ({"_sort": "n"}, "ab", delete("c"), "def"),
        ({"_sort": "-n"}, "fe", create(name="g", n=9), "dcba"),
        ({"_sort": "-n"}, "fe", create(name="g", n=-1), "dcbag"),
        ({"_sort": "n", "max_n": "4"}, "ab", change("c", n=7), "de"),
        ({"max_n": "4"}, "ed", change("c", n=7), "ba"),
        ({"_sort": "last_modified", "_since": "0"}, "ab", delete("d"), "cef-"),
        ({"_sort": "last_modified", "_since": "0"}, "ab", delete("a"), "cdef-"),
        ({"_since": "0"}, "fe", delete("c"), "dba"),
        ({"_since": "0", "_sort": "n"}, "ab", delete("a"), "cdef-"),
    ],
)
def test_what_others_write_meanwhile_does_not_shift_the_pages(
    client: Client, query: dict[str, str], first: str, act: Act, rest: str
) -> None:
    records = shelved(client, [{"name": name, "n": n} for n, name in enumerate("abcdef")])
    uris = {record["name"]: f"{RECORDS}/{record['id']}" for record in records}
    page = client.ask("GET", RECORDS, _limit="2", **query)

    act(client, uris)
    pages = walk(client, page)

    assert "".join(names(entries([page]))) == first
    found = "".join(entry.get("name", "-") for entry in entries(pages[1:]))
    assert found == rest
    present = client.ask("GET", RECORDS, **query).headers["Total-Records"]
    assert {page.headers["Total-Records"] for page in pages[1:]} == {present}
    assert {page.headers["ETag"] for page in pages} == {page.headers["ETag"]}


@pytest.mark.parametrize("sort", ["", "last_modified", "n", "-n"])
def test_a_walk_ends_where_the_rest_was_deleted(client: Client, sort: str) -> None:
    shelved(client, [{"n": n} for n in range(5)])
    first = client.ask("GET", RECORDS, _sort=sort, _limit="2", min_n="0")
    client.ask("DELETE", RECORDS)

    second = follow(client, first.headers["Next-Page"])

    assert body_of(second) == {"data": []}
    assert second.headers["Total-Records"] == "0"
    assert "Next-Page" not in second.headers


def test_if_match_detects_changes_during_a_walk(client: Client) -> None:
    shelve_letters(client)
    first = client.ask("GET", RECORDS, _sort="v", _limit="2")
    parameters = query_of(first.headers["Next-Page"])
    as_first = {"if-match": first.headers["ETag"]}

    assert asked(client, *parameters, headers=as_first).status == 200
    new = body_of(client.ask("POST", RECORDS), 201)["data"]
    changed = asked(client, *parameters, headers=as_first)

    assert_error(changed, 412, 114)
    assert changed.headers["ETag"] == f'"{new["last_modified"]}"'
    assert asked(client, *parameters).headers["ETag"] == first.headers["ETag"]


# Tokens


def test_a_token_is_good_for_its_list_filters_and_order_alone(client: Client) -> None:
    shelve_letters(client)
    client.ask("PUT", f"{COLLECTIONS}/others")
    query = {"_sort": "v", "_since": "0", "not_w": "2"}
    token = token_of(client.ask("GET", RECORDS, _limit="1", **query))

    for change in (
        {"_sort": "-v"},
        {"_sort": "w"},
        {"_sort": ""},
        {"_since": "1"},
        {"not_w": "1"},
        {"not_w": '"2"'},
        {"min_w": "0"},
        {"id": "x"},
    ):
        assert_refused(client.ask("GET", RECORDS, _token=token, **query | change))
    for path in (f"{COLLECTIONS}/others/records", COLLECTIONS):
        others = {} if path == COLLECTIONS else query
        assert_refused(client.ask("GET", path, _token=token, **others))
    fewer = {name: value for name, value in query.items() if name != "_since"}
    assert_refused(client.ask("GET", RECORDS, _token=token, **fewer))
    assert client.ask("GET", RECORDS, _token=token, **query).status == 200


def test_a_token_is_as_good_for_other_fields_limits_and_unknown_parameters(client: Client) -> None:
    shelve_letters(client)
    query = {"_sort": "v", "not_w": "2"}
    token = token_of(client.ask("GET", RECORDS, _limit="2", **query))
    rest = body_of(client.ask("GET", RECORDS, **query))["data"][2:]

    answer = client.ask("GET", RECORDS, _token=token, _fields="w", _limit="3", _x="1", **query)

    assert [entry["id"] for entry in body_of(answer)["data"]] == [each["id"] for each in rest[:3]]
    assert all(entry.keys() <= {"id", "last_modified", "w"} for entry in body_of(answer)["data"])
    assert body_of(client.ask("GET", RECORDS, _token=token, **query))["data"] == rest


@pytest.mark.parametrize("path", LISTS)
def test_a_token_is_good_at_every_service_with_the_secret(
    client: Client, dynamo: Dynamo, path: str
) -> None:
    made(client)
    client.ask("POST", path, {"data": {"members": []}})
    url = client.ask("GET", path, _limit="1").headers["Next-Page"]
    settings = Settings(stage=STAGE, userid_hmac_secret="another secret")
    policies = [BasicPolicy(SECRET)]
    other = Client(Service(settings, Storage(dynamo, SetClock()), policies))

    answer = follow(client_with(dynamo), url)

    assert (answer.status, answer.body) == (200, follow(client, url).body)
    assert_refused(follow(other, url))


@pytest.mark.parametrize("sort", ["", "v"])
def test_a_token_that_was_changed_is_refused(client: Client, sort: str) -> None:
    shelve_letters(client)
    token = token_of(client.ask("GET", RECORDS, _limit="1", _sort=sort))

    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    changed = [
        token[:-1],
        token[1:],
        token + "A",
        token + "=",
        f" {token}",
        token[:middle] + other + token[middle + 1 :],
        ("A" if token[0] != "A" else "B") + token[1:],
        token.swapcase(),
        token * 2,
    ]
    for text in changed:
        assert_refused(client.ask("GET", RECORDS, _token=text, _sort=sort))
    assert client.ask("GET", RECORDS, _token=token, _sort=sort).status == 200


# Limits


@pytest.mark.parametrize("text", ["0", "-1", "abc", "00", "1.0", "٣"])
def test_no_limit_gets_around_paginate_by(client: Client, dynamo: Dynamo, text: str) -> None:
    shelve_letters(client)
    ours = client_with(dynamo, paginate_by=3)

    answer = ours.ask("GET", RECORDS, _limit=text, _sort="v")

    assert_invalid(answer, "querystring", None, "_limit should be an integer")


@pytest.mark.parametrize(("asked_for", "size"), [("", 3), ("2", 2), ("99", 3)])
def test_paginate_by_bounds_pages_in_any_order_tombstones_included(
    client: Client, dynamo: Dynamo, asked_for: str, size: int
) -> None:
    shelve_letters(client)
    ours = client_with(dynamo, paginate_by=3)
    query = {"_sort": "v", "_since": "0"}
    whole = body_of(client.ask("GET", RECORDS, **query))["data"]

    pages = walk(ours, ours.ask("GET", RECORDS, _limit=asked_for, **query))

    assert entries(pages) == whole
    assert {len(body_of(page)["data"]) for page in pages[:-1]} == {size}
    assert dict(query_of(pages[0].headers["Next-Page"]))["_limit"] == str(size)
    assert ours.ask("HEAD", RECORDS, _limit=asked_for, **query).headers == pages[0].headers


# The order of checks


CHECKS = [
    ("min_colour", ("querystring", None, "Unknown filter field 'min_colour'")),
    ("_limit", ("querystring", None, "_limit should be an integer")),
    ("_sort", ("querystring", None, "Unknown sort field 'colour'")),
    ("_fields", ("body", "Invalid _fields parameter", "Fields colour do not exist")),
    ("_token", ("querystring", None, "_token has invalid content")),
]


def test_parameters_are_checked_one_after_the_other(client: Client) -> None:
    made(client)

    for number, (_name, (location, name, description)) in enumerate(CHECKS):
        wrong = [(name, "colour") for name, _problem in CHECKS[number:]]
        for parameters in (wrong, wrong[::-1]):
            answer = asked(client, *parameters, path=GROUPS)
            head = asked(client, *parameters, path=GROUPS, method="HEAD")
            assert_invalid(answer, location, name, description)
            where = location if name is None else f"{name} in {location}"
            assert body_of(answer, 400)["message"] == f"{where}: {description}"
            unwanted = {"ETag", "Last-Modified", "Total-Records", "Next-Page", "Cache-Control"}
            assert not unwanted & answer.headers.keys()
            assert (head.status, head.body, head.headers) == (400, None, answer.headers)


def test_of_filters_the_first_one_given_is_answered(client: Client) -> None:
    made(client)

    for parameters in (
        [("_since", "x"), ("colour", "1"), ("min_last_modified", "x")],
        [("id", "1"), ("min_last_modified", "x"), ("_since", "x"), ("colour", "1")],
    ):
        name = parameters[-3][0]
        answer = asked(client, *parameters, path=GROUPS)
        assert_invalid(answer, "querystring", name, f"Invalid value for {name}")
    answer = asked(client, ("colour", "1"), ("_since", "x"), path=GROUPS)
    assert_invalid(answer, "querystring", None, "Unknown filter field 'colour'")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("header", "value", "description"),
    [
        ("if-none-match", "abc", "Invalid value for If-None-Match"),
        ("if-none-match", 'W/"1"', "Invalid value for If-None-Match"),
        (
            "if-match",
            "1",
            "Invalid value for If-Match. The value should be integer between double quotes.",
        ),
        (
            "if-match",
            "*",
            "Invalid value for If-Match. The value should be integer between double quotes.",
        ),
    ],
)
def test_malformed_preconditions_come_before_parameters(
    client: Client, path: str, header: str, value: str, description: str
) -> None:
    made(client)

    answer = asked(client, ("_since", "x"), ("_limit", "x"), path=path, headers={header: value})

    assert_invalid(answer, "headers", None, description)
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_limit", "x"),
        ("_sort", "colour"),
        ("_fields", "colour"),
        ("_token", "x"),
        ("colour", "1"),
        ("min_last_modified", "x"),
    ],
)
def test_304_and_412_come_before_what_is_invalid(
    client: Client, method: str, name: str, text: str
) -> None:
    made(client)
    current = client.ask("GET", GROUPS).headers["ETag"]

    unchanged, modified = (
        asked(client, (name, text), method=method, path=GROUPS, headers=headers)
        for headers in ({"if-none-match": current}, {"if-match": '"1"'})
    )

    assert (unchanged.status, unchanged.body, modified.status) == (304, None, 412)
    assert unchanged.headers["ETag"] == modified.headers["ETag"] == current
    assert unchanged.headers["Last-Modified"] == modified.headers["Last-Modified"]


# The timestamp of the list


def test_the_etag_is_that_of_the_whole_list_whatever_is_asked(client: Client) -> None:
    shelve_letters(client)
    whole = client.ask("GET", RECORDS)

    for name, text in (
        ("v", "none"),
        ("_before", "1"),
        ("_since", whole.headers["ETag"]),
        ("_sort", "v"),
        ("_limit", "1"),
        ("_fields", "v"),
        ("id", "none"),
    ):
        answer = client.ask("GET", RECORDS, **{name: text})
        assert answer.headers["ETag"] == whole.headers["ETag"]
        assert answer.headers["Last-Modified"] == whole.headers["Last-Modified"]
        assert answer.headers["Cache-Control"] == "no-cache"
    assert listed(client, ("v", "none")) == []


def test_a_change_outside_of_the_filters_ends_304(client: Client) -> None:
    shelve_letters(client)
    first = client.ask("GET", RECORDS, v="x")
    same = {"If-None-Match": first.headers["ETag"]}

    assert client.ask("GET", RECORDS, v="x", headers=same).status == 304
    client.ask("POST", RECORDS, {"data": {"v": "y"}})
    after = client.ask("GET", RECORDS, v="x", headers=same)

    assert (after.status, after.body) == (200, first.body)
    assert after.headers["ETag"] != first.headers["ETag"]
