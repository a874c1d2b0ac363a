"""GET and HEAD of a list."""

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUPS,
    LISTS,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    made,
)
from tests.api.shelves import BASE_URL, entries, listed, shelved, walk
from tests.doubles import Client, SetClock


def filled(client: Client, count: int = 7) -> list[dict[str, Any]]:
    """A collection of this many records, the oldest first."""
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    return [
        body_of(client.ask("POST", RECORDS, {"data": {"n": number}}), 201)["data"]
        for number in range(count)
    ]


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_has_a_stable_timestamp_that_the_first_write_passes(
    client: Client, clock: SetClock, path: str
) -> None:
    bucket = body_of(client.ask("PUT", BUCKET), 201)["data"]
    clock.now_ms += 50
    collection = body_of(client.ask("PUT", COLLECTION), 201)["data"]
    if path == COLLECTIONS:
        client.ask("DELETE", COLLECTION)
    clock.now_ms += 50

    first = client.ask("GET", path)
    clock.now_ms += 50
    second = client.ask("GET", path)

    assert body_of(first) == {"data": []}
    assert first.headers["Total-Records"] == "0"
    assert first.headers["ETag"] == second.headers["ETag"]
    since = collection if path == RECORDS else bucket
    assert int(first.headers["ETag"].strip('"')) >= since["last_modified"]
    clock.now_ms -= 3_600_000
    body = {"data": {"members": []}}
    written = body_of(client.ask("POST", path, body), 201)["data"]["last_modified"]
    assert written > int(first.headers["ETag"].strip('"'))


@pytest.mark.parametrize("path", LISTS)
def test_get_lists_data_without_permissions(client: Client, path: str) -> None:
    objects = made(client)
    expected = [it["data"] for uri, it in objects.items() if uri.rpartition("/")[0] == path]

    answer = client.ask("GET", path)

    assert body_of(answer) == {"data": expected}
    assert answer.headers["Total-Records"] == "1"
    assert answer.headers["ETag"] == f'"{expected[0]["last_modified"]}"'
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Next-Page" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"_limit": "2"},
        {"_since": "0"},
        {"_to": "9"},
        {"_since": "x"},
        {"min_n": "3", "_sort": "-n", "_limit": "2"},
        {"n": "none"},
        {"_fields": "n"},
    ],
)
def test_head_answers_as_get_without_a_body(client: Client, query: dict[str, str]) -> None:
    filled(client)

    got = client.ask("GET", RECORDS, **query)
    head = client.ask("HEAD", RECORDS, **query)

    assert (head.status, head.headers, head.body) == (got.status, got.headers, None)


def test_reads_and_failures_leave_the_timestamp_alone(client: Client, clock: SetClock) -> None:
    filled(client)
    made_of = client.ask("GET", RECORDS).headers["ETag"]
    clock.now_ms += 1_000

    client.ask("PUT", RECORD, {"foo": 1})
    client.ask("DELETE", RECORD)
    client.ask("PATCH", RECORD, {"data": {}})
    client.ask("POST", RECORDS, {"data": {"id": "x"}})
    client.ask("POST", RECORDS, user="bob")
    client.ask("POST", RECORDS, headers={"If-Match": '"1"'})
    client.ask("GET", RECORDS)

    assert client.ask("GET", RECORDS).headers["ETag"] == made_of


def test_lists_and_parents_do_not_move_with_what_is_below(client: Client) -> None:
    filled(client)
    paths = (BUCKET, COLLECTION, COLLECTIONS, GROUPS)
    before = [client.ask("GET", path).headers["ETag"] for path in paths]

    client.ask("POST", RECORDS)
    client.ask("DELETE", RECORDS)

    assert [client.ask("GET", path).headers["ETag"] for path in paths] == before


@pytest.mark.parametrize("sort", ["", "-last_modified", "last_modified", "+last_modified"])
@pytest.mark.parametrize("limit", [1, 2, 7, 8])
def test_following_next_page_shows_each_entry_once_in_order(
    client: Client, sort: str, limit: int
) -> None:
    records = filled(client)
    in_order = records if sort.strip("+") == "last_modified" else records[::-1]

    pages = walk(client, client.ask("GET", RECORDS, _sort=sort, _limit=str(limit)))

    assert entries(pages) == in_order
    assert [len(body_of(page)["data"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages) == -(-7 // limit)
    assert {page.headers["Total-Records"] for page in pages} == {"7"}


def test_next_page_is_the_request_with_limit_and_token(client: Client) -> None:
    filled(client)

    url = client.ask("GET", RECORDS, _limit="2", _sort="last_modified", _x="a b&é").headers[
        "Next-Page"
    ]

    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{BASE_URL}/v1{RECORDS}"
    query = dict(parse_qsl(parts.query))
    assert query.pop("_token")
    assert query == {"_limit": "2", "_sort": "last_modified", "_x": "a b&é"}
    assert url.isascii()


def test_all_pages_of_a_walk_have_the_validators_of_the_first(
    client: Client, clock: SetClock
) -> None:
    filled(client)
    first = client.ask("GET", RECORDS, _limit="3")
    clock.now_ms += 5_000
    client.ask("POST", RECORDS)

    pages = walk(client, first)

    assert len(pages) == 3
    for name in ("ETag", "Last-Modified"):
        assert {page.headers[name] for page in pages} == {first.headers[name]}
    assert client.ask("GET", RECORDS).headers["ETag"] != first.headers["ETag"]


def test_preconditions_of_later_pages_are_held_against_the_present(client: Client) -> None:
    filled(client)
    first = client.ask("GET", RECORDS, _limit="3")
    parts = urlsplit(first.headers["Next-Page"])
    query = dict(parse_qsl(parts.query))
    client.ask("POST", RECORDS)

    answer = client.ask("GET", RECORDS, headers={"If-Match": first.headers["ETag"]}, **query)

    assert_error(answer, 412, 114)
    assert (
        answer.headers["ETag"]
        == client.ask("GET", RECORDS).headers["ETag"]
        != first.headers["ETag"]
    )


def test_changes_meanwhile_do_not_shift_the_pages(client: Client) -> None:
    records = filled(client)
    first = client.ask("GET", RECORDS, _limit="3")
    client.ask("POST", RECORDS)
    client.ask("DELETE", f"{RECORDS}/{records[3]['id']}")

    pages = walk(client, first)

    assert entries(pages) == [record for record in records[::-1] if record["n"] != 3]
    assert pages[-1].headers["Total-Records"] == "7"


def test_a_page_after_which_all_was_deleted_is_empty(client: Client) -> None:
    filled(client)
    first = client.ask("GET", RECORDS, _limit="3")
    client.ask("DELETE", RECORDS)

    pages = walk(client, first)

    assert entries(pages[1:]) == []
    assert len(pages) == 2


def test_since_and_before_bound_strictly_and_list_tombstones(client: Client) -> None:
    records = filled(client)
    tombstone = body_of(client.ask("DELETE", f"{RECORDS}/{records[0]['id']}"))["data"]
    second, fifth = records[1]["last_modified"], records[5]["last_modified"]

    since = client.ask("GET", RECORDS, _since=f'"{second}"')
    between = client.ask("GET", RECORDS, _since=str(second), _before=str(fifth))
    nothing = client.ask("GET", RECORDS, _since=str(tombstone["last_modified"]))

    assert body_of(since)["data"] == [tombstone, *records[:1:-1]]
    assert since.headers["Total-Records"] == "5"
    assert body_of(between)["data"] == records[4:1:-1]
    assert between.headers["Total-Records"] == "3"
    assert body_of(nothing)["data"] == []
    assert body_of(client.ask("GET", RECORDS))["data"] == records[:0:-1]


def test_a_sync_in_pages_shows_tombstones_as_entries(client: Client) -> None:
    records = filled(client)
    for record in records[1::2]:
        client.ask("DELETE", f"{RECORDS}/{record['id']}")

    pages = walk(client, client.ask("GET", RECORDS, _since="0", _limit="2"))

    seen = entries(pages)
    assert [len(body_of(page)["data"]) for page in pages] == [2, 2, 2, 1]
    assert {entry["id"] for entry in seen} == {record["id"] for record in records}
    assert [entry.get("deleted") for entry in seen] == [True] * 3 + [None] * 4
    assert {page.headers["Total-Records"] for page in pages} == {"4"}


def test_catching_up_from_the_etag_yields_every_change_once(client: Client) -> None:
    records = filled(client)
    seen = client.ask("GET", RECORDS).headers["ETag"]
    changed = body_of(client.ask("PATCH", f"{RECORDS}/{records[2]['id']}", {"data": {"n": 9}}))
    gone = body_of(client.ask("DELETE", f"{RECORDS}/{records[4]['id']}"))
    fresh = body_of(client.ask("POST", RECORDS), 201)

    answer = client.ask("GET", RECORDS, _since=seen)
    later = client.ask("GET", RECORDS, _since=answer.headers["ETag"])

    assert body_of(answer)["data"] == [fresh["data"], gone["data"], changed["data"]]
    assert body_of(later)["data"] == []
    assert later.headers["ETag"] == answer.headers["ETag"]


def test_to_is_before_with_an_alert(client: Client) -> None:
    records = filled(client)
    time = str(records[3]["last_modified"])

    answer = client.ask("GET", RECORDS, _to=time)

    assert body_of(answer) == body_of(client.ask("GET", RECORDS, _before=time))
    assert answer.headers["Alert"] == (
        '{"code":"soft-eol","message":"_to is now deprecated, you should use _before instead",'
        r'"url":"http:\/\/cliquet.rtfd.org\/en\/2.4.0\/api\/resource.html'
        '#list-of-available-url-parameters"}'
    )


@pytest.mark.parametrize("name", ["_since", "_before", "_to"])
@pytest.mark.parametrize("value", ["abc", "1.5", "", '"abc"', "true", '"1', "1e3", "٣"])
def test_times_are_integers(client: Client, name: str, value: str) -> None:
    made(client)

    answer = client.ask("GET", RECORDS, **{name: value})

    assert_invalid(answer, "querystring", name, f"Invalid value for {name}")
    assert body_of(answer, 400)["message"] == f"Invalid value for {name}"
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("value", ["-1", "0", "9" * 30, '"' + "9" * 30 + '"'])
@pytest.mark.parametrize("name", ["_since", "_before"])
def test_times_of_any_size_are_taken(client: Client, name: str, value: str) -> None:
    records = filled(client, 2)

    answer = client.ask("GET", RECORDS, **{name: value})

    is_all = (name == "_since") == (value in ("-1", "0"))
    assert body_of(answer)["data"] == (records[::-1] if is_all else [])
    assert answer.headers["Total-Records"] == ("2" if is_all else "0")


@pytest.mark.parametrize("value", ["abc", "1.5", "1e2", "0", "-1", "٣"])
def test_limits_are_integers_from_1_on(client: Client, value: str) -> None:
    made(client)

    answer = client.ask("GET", RECORDS, _limit=value)

    assert_invalid(answer, "querystring", None, "_limit should be an integer")


def test_a_limit_may_be_of_any_size(client: Client) -> None:
    records = filled(client, 2)

    answer = client.ask("GET", RECORDS, _limit="9" * 18)

    assert body_of(answer)["data"] == records[::-1]


def test_an_empty_limit_token_and_fields_are_none(client: Client) -> None:
    records = filled(client, 2)

    answer = client.ask("GET", RECORDS, _limit="", _token="", _fields="", _sort="", _other="x")

    assert body_of(answer)["data"] == records[::-1]


@pytest.mark.parametrize("value", ["abc", "é", "YWJj", "A" * 200, "="])
def test_a_token_that_was_made_elsewhere_is_refused(client: Client, value: str) -> None:
    made(client)

    answer = client.ask("GET", RECORDS, _token=value)

    assert_invalid(answer, "querystring", None, "_token has invalid content")


def test_a_token_of_another_list_or_order_is_refused(client: Client) -> None:
    filled(client)
    token = dict(parse_qsl(client.ask("GET", RECORDS, _limit="1").headers["Next-Page"]))["_token"]

    for path, query in ((COLLECTIONS, {}), (RECORDS, {"_sort": "last_modified"})):
        answer = client.ask("GET", path, _token=token, **query)
        assert_invalid(answer, "querystring", None, "_token has invalid content")


def test_preconditions_come_before_the_query(client: Client) -> None:
    made(client)
    current = client.ask("GET", RECORDS).headers["ETag"]

    unchanged = client.ask("GET", RECORDS, _since="x", headers={"If-None-Match": current})
    stale = client.ask("GET", RECORDS, _since="x", headers={"If-Match": '"1"'})

    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, None, current)
    assert_error(stale, 412, 114)
    assert body_of(stale, 412)["details"] == {}
    assert stale.headers["ETag"] == current


@pytest.mark.parametrize(("value", "status"), [("*", 304), ('"99999999999999"', 304), ('"1"', 200)])
@pytest.mark.parametrize("path", LISTS)
def test_if_none_match_compares_the_timestamp_of_the_list(
    client: Client, path: str, value: str, status: int
) -> None:
    made(client)

    assert client.ask("GET", path, headers={"If-None-Match": value}).status == status


def test_fields_select_parts_and_leave_tombstones_whole(client: Client) -> None:
    records = filled(client, 2)
    tombstone = body_of(client.ask("DELETE", f"{RECORDS}/{records[0]['id']}"))["data"]
    kept = {name: records[1][name] for name in ("id", "last_modified")}

    answer = client.ask("GET", RECORDS, _since="0", _fields="none")

    assert body_of(answer)["data"] == [tombstone, kept]


def test_fields_may_name_any_depth(client: Client) -> None:
    filled(client)
    deep = ".".join("a" * 2000)

    pages = walk(client, client.ask("GET", RECORDS, _fields=deep, _limit="4"))

    assert len(entries(pages)) == 7


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ("a.x", [{"a": {"x": 1}}, {"a": {}}, {"a": "text"}, {"a": None}, {"a": [{"x": 1}]}, {}]),
        ("a.y,a.x", [{"a": {"x": 1, "y": 2}}, {"a": {"y": 2}}, *[...] * 3, {}]),
        ("a.x.z.w", [{"a": {"x": 1}}, {"a": {}}, *[...] * 3, {}]),
        ("b", [{}, {}, {}, {}, {}, {"b": False}]),
        ("b.c,,a,a.x,", [*[...] * 5, {"b": False}]),
        ("a.", [*[...] * 5, {}]),
        ("id.x", [{}] * 6),
    ],
)
def test_fields_select_parts_of_every_object(
    client: Client, fields: str, parts: list[dict[str, Any]]
) -> None:
    values = [{"x": 1, "y": 2}, {"y": 2}, "text", None, [{"x": 1}]]
    objects = [*({"a": value} for value in values), {"b": False, "a.x": 1}]
    records = shelved(client, objects)

    found = listed(client, ("_fields", "none"), ("_fields", fields), ("_sort", "last_modified"))

    kept = [{name: record[name] for name in ("id", "last_modified")} for record in records]
    wanted = [data if part is ... else part for data, part in zip(objects, parts, strict=True)]
    assert found == [ids | part for ids, part in zip(kept, wanted, strict=True)]


def test_filters_and_order_see_fields_that_are_left_out(client: Client) -> None:
    records = shelved(client, [{"n": n % 3, "name": name} for n, name in enumerate("abcdef")])
    query = {"min_n": "1", "_sort": "-n,name", "_fields": "name", "_limit": "3"}

    pages = walk(client, client.ask("GET", RECORDS, **query))

    assert entries(pages) == [
        {key: record[key] for key in ("id", "last_modified", "name")}
        for record in (records[place] for place in (2, 5, 1, 4))
    ]
    assert {page.headers["Total-Records"] for page in pages} == {"4"}


def test_unknown_fields_of_collections_are_left_out(client: Client) -> None:
    data = made(client)[COLLECTION]["data"]

    answer = client.ask("GET", COLLECTIONS, _fields="colour,title.x,members")

    assert body_of(answer)["data"] == [data]


def test_fields_of_groups_are_those_that_they_have(client: Client) -> None:
    data = made(client)[f"{GROUPS}/writers"]["data"]

    answer = client.ask("GET", GROUPS, _fields="deleted,members.x,id,last_modified.x")

    assert body_of(answer)["data"] == [data]
    refused = client.ask("GET", GROUPS, _fields="title,members,colour.x,.a")
    name, description = "Invalid _fields parameter", "Fields a,colour,title do not exist"
    assert_invalid(refused, "body", name, description)
    assert body_of(refused, 400)["message"] == f"{name} in body: {description}"


def test_unknown_fields_of_groups_are_refused(client: Client) -> None:
    made(client)

    answer = client.ask("GET", GROUPS, _fields="colour")

    assert_invalid(answer, "body", "Invalid _fields parameter", "Fields colour do not exist")


def test_a_list_that_no_answer_holds_ends_early_with_next_page(client: Client) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    texts = [f"{number}" + "the same again " * 66_000 for number in range(7)]
    for text in texts:
        assert client.ask("POST", RECORDS, {"data": {"text": text}}).status == 201

    pages = walk(client, client.ask("GET", RECORDS))

    assert [record["text"] for record in entries(pages)] == texts[::-1]
    assert [len(body_of(page)["data"]) for page in pages] == [4, 3]
    assert {page.headers["Total-Records"] for page in pages} == {"7"}
    assert "_limit" not in pages[0].headers["Next-Page"]


def test_pages_of_many_small_records_end_at_what_an_answer_holds(client: Client) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    text = hashlib.shake_256(b"tests").hexdigest(150_000)
    for _ in range(18):
        assert client.ask("POST", RECORDS, {"data": {"text": text}}).status == 201

    pages = walk(client, client.ask("GET", RECORDS, _sort="last_modified"))

    assert len(entries(pages)) == 18
    assert len(pages) == 2
