"""What a request costs depends on what it gives, not on how much the collection holds."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import Cause, Item, encode_body, to_raw
from chalicelib.storage.keys import clock_key, object_key
from tests.doubles import Client
from tests.emulator.hosts import RECORDS, Hosts, data_of, make_posts, record

pytestmark = pytest.mark.emulator

POSTS_RECORDS = ListUri(RECORD, ("blog", "posts"))
FEW, MANY = 60, 5000
PAGE = 25
LONG_AGO_MS = 1_600_000_000_000
_BATCH = 25  # items that one BatchWriteItem takes


@dataclass(slots=True)
class Cost:
    """What DynamoDB was asked for.

    Attributes:
        calls: by operation.
        items_read: that came in answers.
        items_scanned: that queries looked at; filters would look at more than come.
    """

    calls: Counter[str] = field(default_factory=Counter)
    items_read: int = 0
    items_scanned: int = 0


class Meter:
    """Measures the cost of what goes through a client of DynamoDB."""

    def __init__(self, client: Any) -> None:
        self._cost = Cost()
        client.meta.events.register("after-call.dynamodb.*", self._add)

    def _add(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self._cost.calls[model.name] += 1
        self._cost.items_read += len(parsed.get("Items", ()))
        self._cost.items_read += sum(map(len, parsed.get("Responses", {}).values()))
        self._cost.items_scanned += parsed.get("ScannedCount", 0)

    def take(self) -> Cost:
        """What it has cost since the last time."""
        taken, self._cost = self._cost, Cost()
        return taken


def test_costs_are_the_same_in_a_small_and_in_a_large_collection(hosts: Hosts) -> None:
    client = hosts.start()
    meter = Meter(hosts.dynamodb)  # the connection of the first host
    make_posts(client)

    fill(hosts, 0, FEW)
    small = costs(client, meter)
    fill(hosts, FEW, MANY)
    large = costs(client, meter)

    assert large == small
    assert large["GET"] == Cost(Counter(BatchGetItem=1), items_read=3)
    assert large["PUT"].calls == {"BatchGetItem": 1, "TransactWriteItems": 1}
    # Bucket, collection and clock, then one more than the page, which tells that there is a next.
    page = Cost(Counter(BatchGetItem=1, Query=1), items_read=3 + PAGE + 1, items_scanned=PAGE + 1)
    assert large["page"] == large["next page"] == page
    sync = Cost(Counter(BatchGetItem=1, Query=2), items_read=3 + 3, items_scanned=3)
    assert large["sync of three"] == sync


def costs(client: Client, meter: Meter) -> dict[str, Cost]:
    """The costs of requests, by what they do."""
    found: dict[str, Cost] = {}
    known = client.ask("HEAD", RECORDS, _limit="1")
    total = int(known.headers["Total-Records"])
    meter.take()

    assert client.ask("GET", f"{RECORDS}/{record(1)}").status == 200
    found["GET"] = meter.take()

    assert client.ask("PUT", f"{RECORDS}/{record(1)}", {"data": {"new": True}}).status == 200
    found["PUT"] = meter.take()

    assert client.ask("DELETE", f"{RECORDS}/{record(2)}").status == 200
    found["DELETE"] = meter.take()

    # The deleted one comes back, so that there are as many as before.
    assert client.ask("POST", RECORDS, {"data": {"id": record(2)}}).status == 201
    found["POST"] = meter.take()

    assert client.ask("PATCH", f"{RECORDS}/{record(3)}", {"data": {"new": 1}}).status == 200
    found["PATCH"] = meter.take()

    page = client.ask("GET", RECORDS, _limit=str(PAGE))
    found["page"] = meter.take()
    assert (len(data_of(page)), page.headers["Total-Records"]) == (PAGE, str(total))

    following: dict[str, Any] = dict(parse_qsl(urlsplit(page.headers["Next-Page"]).query))
    assert len(data_of(client.ask("GET", RECORDS, **following))) == PAGE
    found["next page"] = meter.take()

    three = client.ask("GET", RECORDS, _since=known.headers["ETag"])
    found["sync of three"] = meter.take()
    assert {entry["id"] for entry in data_of(three)} == {record(n) for n in (1, 2, 3)}

    not_modified = {"If-None-Match": page.headers["ETag"]}
    assert client.ask("GET", RECORDS, headers=not_modified).status == 304
    found["nothing new"] = meter.take()
    return found


def fill(hosts: Hosts, first: int, end: int) -> None:
    """Put records into the collection as they would be stored, 25 a call."""
    table = hosts.tables.objects
    key = clock_key(POSTS_RECORDS)._asdict()
    where = {"TableName": table, "Key": {name: {"S": text} for name, text in key.items()}}
    clock = hosts.dynamodb.get_item(**where, ConsistentRead=True)["Item"]
    raws = [raw_record(number, clock["within"]["S"]) for number in range(first, end)]
    for start in range(0, len(raws), _BATCH):
        puts = [{"PutRequest": {"Item": raw}} for raw in raws[start : start + _BATCH]]
        answer = hosts.dynamodb.batch_write_item(RequestItems={table: puts})
        assert not answer["UnprocessedItems"]
    # Its time is of today, so it is above theirs already.
    hosts.dynamodb.update_item(
        **where,
        UpdateExpression="SET #count = :count",
        ExpressionAttributeNames={"#count": "count"},
        ExpressionAttributeValues={":count": {"N": str(end)}},
    )


def raw_record(number: int, within: str) -> dict[str, Any]:
    """The item of a record that was written long ago."""
    time_ms = LONG_AGO_MS + number
    item = Item(
        key=object_key(POSTS_RECORDS.object(record(number))),
        is_live=True,
        last_modified=time_ms,
        version=time_ms,
        within=within,
        permissions={},
        body=encode_body({"number": number}),
    )
    return to_raw(item, Cause(None, "", by_list=False, timestamp=time_ms - 1))
