"""What each request costs, in DynamoDB calls and items: `docs/architecture.md`, "Round trips"."""

from typing import Any

import pytest

from chalicelib.api import list_deletion
from chalicelib.storage.connection import Dynamo
from tests.api.filling import fill
from tests.api.places import BUCKET, COLLECTION, GROUP, OTHER_ID, RECORD, RECORDS, body_of, made
from tests.doubles import Client, CountedCalls
from tests.shared_moto import empty_streams

READ = {"BatchGetItem": 1}
WRITTEN = {"BatchGetItem": 1, "TransactWriteItems": 1}
PAGE = {"BatchGetItem": 1, "Query": 1}
SYNC_OF_DELETIONS = {"BatchGetItem": 1, "Query": 2}
BY_KEY = {"BatchGetItem": 2}
DELETED = {"BatchGetItem": 2, "Query": 1, "TransactWriteItems": 1}
SIZES = [10, 5_000]


class ReadItems:
    """How many items queries have read, by what DynamoDB says."""

    def __init__(self, client: Any) -> None:
        self._scanned = 0
        client.meta.events.register("after-call.dynamodb.Query", self._add)

    def _add(self, parsed: dict[str, Any], **_: Any) -> None:
        self._scanned += parsed["ScannedCount"]

    def take(self) -> int:
        """How many since the last time."""
        taken, self._scanned = self._scanned, 0
        return taken


@pytest.fixture
def read_items(dynamo: Dynamo) -> ReadItems:
    return ReadItems(dynamo._connection.client)


@pytest.mark.parametrize("size", SIZES)
def test_what_requests_cost_does_not_depend_on_the_size_of_the_list(
    client: Client, dynamo: Dynamo, calls: CountedCalls, read_items: ReadItems, size: int
) -> None:
    made(client)
    fill(dynamo, size)
    calls.take()

    def cost(method: str, path: str, status: int, **options: Any) -> dict[str, int]:
        answer = client.ask(method, path, **options)
        assert answer.status == status, answer
        return calls.take()

    stale, star = {"If-Match": '"1"'}, {"If-None-Match": "*"}
    for path in (BUCKET, COLLECTION, GROUP, RECORD):
        assert cost("GET", path, 200) == READ
        assert cost("HEAD", path, 200) == READ
        assert cost("GET", path, 304, headers=star) == READ
        assert cost("GET", path, 401, user=None) == READ
        assert cost("GET", path, 403, user="bob") == READ
        assert cost("GET", path, 412, headers=stale) == READ
        assert cost("PUT", path, 412, headers=stale, data={"data": {"members": []}}) == READ
        assert cost("PATCH", path, 412, headers=stale, data={}) == READ
        assert cost("DELETE", path, 412, headers=stale) == READ
        assert cost("DELETE", path, 403, user="bob") == READ
    missing = f"{RECORDS}/{OTHER_ID}"
    for method in ("GET", "PATCH", "DELETE"):
        assert cost(method, missing, 404, data={}) == READ
    assert cost("GET", RECORDS, 304, headers=star) == READ
    assert cost("GET", RECORDS, 412, headers=stale) == READ
    assert cost("GET", f"{COLLECTION}s/records", 404) == READ
    assert read_items.take() == 0

    assert cost("GET", RECORDS, 200, _limit="5") == PAGE
    assert read_items.take() == 6
    since = client.ask("GET", RECORDS, headers={}, _limit="1").headers["ETag"]
    calls.take()
    assert cost("PUT", missing, 201) == WRITTEN
    assert cost("PATCH", missing, 200, data={}) == WRITTEN
    assert cost("POST", RECORDS, 201) == WRITTEN
    assert cost("DELETE", RECORD, 200) == WRITTEN
    read_items.take()

    answer = client.ask("GET", RECORDS, _since=since)

    assert len(body_of(answer)["data"]) == 3
    assert calls.take() == SYNC_OF_DELETIONS
    assert read_items.take() == 3
    for query in ({"_limit": "25"}, {"_limit": "2", "_sort": "last_modified"}):
        assert cost("GET", RECORDS, 200, _since=since, **query) == SYNC_OF_DELETIONS
        assert read_items.take() == 3
    for query in ({"id": OTHER_ID}, {"in_id": f"{OTHER_ID},{RECORD[-36:]}", "_since": "0"}):
        assert cost("GET", RECORDS, 200, **query) == BY_KEY
    assert cost("GET", RECORDS, 304, headers=star, min_n="0", _sort="n") == READ
    assert cost("GET", RECORDS, 200, _since=answer.headers["ETag"]) == READ
    assert read_items.take() == 0
    assert client.ask("PUT", missing).status == 200
    calls.take()
    assert cost("GET", RECORDS, 200, _since=answer.headers["ETag"]) == PAGE
    assert read_items.take() == 1


def test_a_page_of_25_reads_26_items(
    client: Client, dynamo: Dynamo, calls: CountedCalls, read_items: ReadItems
) -> None:
    made(client)
    fill(dynamo, 60)
    calls.take()

    for sort in ("-last_modified", "last_modified"):
        answer = client.ask("GET", RECORDS, _limit="25", _sort=sort)
        assert len(body_of(answer)["data"]) == 25
        assert answer.headers["Total-Records"] == "61"
        assert calls.take() == PAGE
        assert read_items.take() == 26


def test_filters_and_orders_read_the_collection_once(
    client: Client, dynamo: Dynamo, calls: CountedCalls, read_items: ReadItems
) -> None:
    made(client)
    fill(dynamo, 60)
    newest = client.ask("GET", RECORDS, _limit="1").headers["ETag"].strip('"')
    calls.take()
    read_items.take()

    for query, found, items in (
        ({"n": "7"}, 1, 61),
        ({"_sort": "n"}, 61, 61),
        ({"_sort": "-n", "_limit": "5"}, 5, 61),
        ({"_sort": "id"}, 61, 61),
        ({"not_title": "One", "_limit": "25"}, 25, 61),
        ({"n": "7", "min_n": "8"}, 0, 61),
        ({"min_last_modified": str(int(newest) - 9), "n": "59", "not_deleted": "true"}, 1, 10),
        ({"min_last_modified": str(int(newest) - 9), "_since": "0", "_before": newest}, 9, 9),
    ):
        answer = client.ask("GET", RECORDS, **query)
        assert len(body_of(answer)["data"]) == found
        assert calls.take() == PAGE
        assert read_items.take() == items


def test_where_no_id_can_match_nothing_is_read(
    client: Client, calls: CountedCalls, read_items: ReadItems
) -> None:
    made(client)
    calls.take()

    for query in ({"id": "none"}, {"in_id": ",", "n": "1"}):
        assert body_of(client.ask("GET", RECORDS, **query))["data"] == []
    assert calls.take() == {"BatchGetItem": 2}
    assert body_of(client.ask("DELETE", RECORDS, id="none"))["data"] == []
    assert calls.take() == READ
    assert read_items.take() == 0


def test_an_object_of_any_kind_is_written_in_two_round_trips(
    client: Client, calls: CountedCalls
) -> None:
    group = {"data": {"members": ["a"]}}
    for path, body in ((BUCKET, None), (COLLECTION, None), (GROUP, group), (RECORD, None)):
        assert client.ask("PUT", path, body).status == 201
        assert calls.take() == WRITTEN
    for path in (RECORD, GROUP, COLLECTION, BUCKET):
        assert client.ask("PUT", path, group).status == 200
        assert calls.take() == WRITTEN
        assert client.ask("PATCH", path, {}).status == 200
        assert calls.take() == WRITTEN
        assert client.ask("DELETE", path).status == 200
        assert calls.take() == WRITTEN


def test_a_deleted_list_costs_one_read_of_its_objects_more(
    client: Client, calls: CountedCalls
) -> None:
    made(client)

    assert client.ask("DELETE", RECORDS).status == 200

    assert calls.take() == DELETED


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ({"min_n": "0"}, DELETED),
        ({"_since": "0"}, DELETED),
        ({"title": "One"}, DELETED),
        ({"title": "Two"}, PAGE),
        ({"id": RECORD[-36:]}, {"BatchGetItem": 3, "TransactWriteItems": 1}),
    ],
    ids=str,
)
def test_a_deletion_by_filters_costs_no_more(
    client: Client, calls: CountedCalls, query: dict[str, str], cost: dict[str, int]
) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"data": {"n": 1}})
    calls.take()

    assert client.ask("DELETE", RECORDS, **query).status == 200

    assert calls.take() == cost


def test_a_further_chunk_of_a_deleted_list_costs_three_round_trips(
    client: Client, dynamo: Dynamo, calls: CountedCalls, read_items: ReadItems
) -> None:
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, 199)
    costs: list[dict[str, int]] = []

    def take(**_: Any) -> None:
        costs.append(calls.take())
        empty_streams()

    calls.take()
    dynamo._connection.client.meta.events.register("after-call.dynamodb.TransactWriteItems", take)
    assert len(body_of(client.ask("DELETE", RECORDS))["data"]) == 199
    dynamo._connection.client.meta.events.unregister("after-call.dynamodb.TransactWriteItems", take)

    assert costs == [
        DELETED,
        {"BatchGetItem": 3, "TransactWriteItems": 1},  # parents, clock, 99 objects; `latest`
        {"BatchGetItem": 2, "TransactWriteItems": 1},
    ]
    assert calls.take() == {}
    assert read_items.take() == 199


def test_as_much_as_a_transaction_takes_costs_no_further_look(
    client: Client, dynamo: Dynamo, calls: CountedCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_deletion, "MAX_ACTIONS", 4)
    client.ask("PUT", BUCKET)
    client.ask("PUT", COLLECTION)
    fill(dynamo, 3)
    calls.take()

    assert len(body_of(client.ask("DELETE", RECORDS))["data"]) == 3

    assert calls.take() == DELETED


def test_an_unchanged_post_costs_one_call(client: Client, calls: CountedCalls) -> None:
    made(client)
    calls.take()

    answer = client.ask("POST", RECORDS, {"data": {"id": RECORD[-36:]}})

    assert answer.status == 200
    assert calls.take() == READ
