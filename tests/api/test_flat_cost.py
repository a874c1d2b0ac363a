"""What lists cost depends on what they give, and not on how much the collection holds."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.storage.connection import Dynamo
from chalicelib.storage.keys import clock_key
from tests.api.places import RECORDS, body_of, made
from tests.doubles import Client, Patience
from tests.raw_records import POSTS, raw_records, record_id
from tests.shared_moto import put_directly

SIZES = (100, 10_000, 50_000)
PAGE = 25
PARENTS_AND_CLOCK = 3


class Reads:
    """What DynamoDB was asked for and has looked at, by its own account."""

    def __init__(self, client: Any) -> None:
        self._calls: list[str] = []
        self._items = 0
        client.meta.events.register("after-call.dynamodb.*", self._add)

    def _add(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self._calls.append(model.name)
        self._items += parsed.get("ScannedCount", 0)
        self._items += sum(map(len, parsed.get("Responses", {}).values()))

    def take(self) -> tuple[list[str], int]:
        """The calls, and the items that they read, since the last time."""
        taken = sorted(self._calls), self._items
        self._calls, self._items = [], 0
        return taken


@pytest.fixture
def reads(dynamo: Dynamo) -> Reads:
    return Reads(dynamo._connection.client)


def test_a_page_a_sync_and_a_304_read_the_same_in_a_collection_of_any_size(
    client: Client, dynamo: Dynamo, reads: Reads
) -> None:
    made(client)
    known = client.ask("GET", RECORDS).headers["ETag"]
    for number in range(3):
        client.ask("POST", RECORDS, {"data": {"number": number}})
    there = 4

    for size in SIZES:
        grow(dynamo, there, size)
        there = size
        assert costs(client, reads, known) == {
            "newest": (["BatchGetItem", "Query"], PARENTS_AND_CLOCK + PAGE + 1),
            "oldest": (["BatchGetItem", "Query"], PARENTS_AND_CLOCK + PAGE + 1),
            "next": (["BatchGetItem", "Query"], PARENTS_AND_CLOCK + PAGE + 1),
            "sync": (["BatchGetItem", "Query", "Query"], PARENTS_AND_CLOCK + 3),
            "sync in pages": (["BatchGetItem", "Query", "Query"], PARENTS_AND_CLOCK + 3),
            "nothing new": (["BatchGetItem", "Query", "Query"], PARENTS_AND_CLOCK),
            "by id": (["BatchGetItem", "BatchGetItem"], PARENTS_AND_CLOCK + 2),
            "304": (["BatchGetItem"], PARENTS_AND_CLOCK),
        }


def costs(client: Client, reads: Reads, known: str) -> dict[str, tuple[list[str], int]]:
    """The costs of reading the list in many ways, by their names."""
    found = {}
    reads.take()

    def ask(name: str, entries: int | None, **query: str) -> Any:
        answer = client.ask("GET", RECORDS, **query)
        assert len(body_of(answer)["data"]) == entries
        found[name] = reads.take()
        return answer

    newest = ask("newest", PAGE, _limit=str(PAGE))
    ask("oldest", PAGE, _limit=str(PAGE), _sort="last_modified")
    ask("next", PAGE, **dict(parse_qsl(urlsplit(newest.headers["Next-Page"]).query)))
    ask("sync", 3, _since=known)
    ask("sync in pages", 2, _since=known, _limit="2")
    ask("nothing new", 0, _since=newest.headers["ETag"])
    ask("by id", 2, in_id=f"{record_id(9)},{record_id(8)},")
    unchanged = {"If-None-Match": newest.headers["ETag"]}
    assert client.ask("GET", RECORDS, headers=unchanged).status == 304
    found["304"] = reads.take()
    return found


def grow(dynamo: Dynamo, there: int, size: int) -> None:
    """Add records, modified long ago, until the collection has so many."""
    key = clock_key(POSTS)
    clock = dynamo.get([key], Patience().deadline())[key]
    raws = raw_records(range(there, size), within=clock["within"]["S"])
    put_directly(dynamo.tables.objects, [*raws, clock | {"count": {"N": str(size)}}])
