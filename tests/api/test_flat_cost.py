"""What lists cost depends on what they give, and not on how much the collection holds."""

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.storage.connection import Dynamo
from chalicelib.storage.keys import clock_key
from tests.api.places import RECORDS, body_of, made
from tests.doubles import Client, Cost, Meter, Patience
from tests.raw_records import POSTS, raw_records, record_id
from tests.shared_moto import put_directly

SIZES = (100, 1_000, 10_000)
PAGE = 25
PARENTS_AND_CLOCK = 3


@pytest.fixture
def meter(dynamo: Dynamo) -> Meter:
    return Meter(dynamo._connection.client)


def test_a_page_a_sync_and_a_304_read_the_same_in_a_collection_of_any_size(
    client: Client, dynamo: Dynamo, meter: Meter
) -> None:
    made(client)
    known = client.ask("GET", RECORDS).headers["ETag"]
    for number in range(3):
        client.ask("POST", RECORDS, {"data": {"number": number}})
    there = 4
    calls = Counter(BatchGetItem=1, Query=1)
    nothing = Cost(Counter(BatchGetItem=1), items_read=PARENTS_AND_CLOCK)
    page = Cost(calls, items_read=PARENTS_AND_CLOCK + PAGE + 1, items_scanned=PAGE + 1)

    for size in SIZES:
        grow(dynamo, there, size)
        there = size
        assert costs(client, meter, known) == {
            "newest": page,
            "oldest": page,
            "next": page,
            "sync": sync(3),
            "sync in pages": sync(3),
            "nothing new": nothing,
            "by id": Cost(Counter(BatchGetItem=2), items_read=PARENTS_AND_CLOCK + 2),
            "304": nothing,
        }


def sync(entries: int) -> Cost:
    """The cost of a sync of so many changes."""
    calls = Counter(BatchGetItem=1, Query=1)
    return Cost(calls, items_read=PARENTS_AND_CLOCK + entries, items_scanned=entries)


def costs(client: Client, meter: Meter, known: str) -> dict[str, Cost]:
    """The costs of reading the list in many ways, by their names."""
    found = {}
    meter.take()

    def ask(name: str, entries: int | None, **query: str) -> Any:
        answer = client.ask("GET", RECORDS, **query)
        assert len(body_of(answer)["data"]) == entries
        found[name] = meter.take()
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
    found["304"] = meter.take()
    return found


def grow(dynamo: Dynamo, there: int, size: int) -> None:
    """Add records, modified long ago, until the collection has so many."""
    key = clock_key(POSTS)
    clock = dynamo.get([key], Patience().deadline())[key]
    raws = raw_records(range(there, size), within=clock["within"]["S"])
    put_directly(dynamo.tables.objects, [*raws, clock | {"count": {"N": str(size)}}])
