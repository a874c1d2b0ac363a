"""What a request costs depends on what it gives, not on how much the collection holds."""

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.doubles import Client, Cost, Meter
from tests.emulator.filling import fill
from tests.emulator.hosts import RECORDS, Hosts, data_of, make_posts
from tests.raw_records import record_id

pytestmark = pytest.mark.emulator

FEW, MANY = 60, 5000
PAGE = 25


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
    # Bucket, collection and clock; then one more than the page, to tell of the next.
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

    assert client.ask("GET", f"{RECORDS}/{record_id(1)}").status == 200
    found["GET"] = meter.take()

    assert client.ask("PUT", f"{RECORDS}/{record_id(1)}", {"data": {"new": True}}).status == 200
    found["PUT"] = meter.take()

    assert client.ask("DELETE", f"{RECORDS}/{record_id(2)}").status == 200
    found["DELETE"] = meter.take()

    # The deleted one comes back, so that there are as many as before.
    assert client.ask("POST", RECORDS, {"data": {"id": record_id(2)}}).status == 201
    found["POST"] = meter.take()

    assert client.ask("PATCH", f"{RECORDS}/{record_id(3)}", {"data": {"new": 1}}).status == 200
    found["PATCH"] = meter.take()

    page = client.ask("GET", RECORDS, _limit=str(PAGE))
    found["page"] = meter.take()
    assert (len(data_of(page)), page.headers["Total-Records"]) == (PAGE, str(total))

    following: dict[str, Any] = dict(parse_qsl(urlsplit(page.headers["Next-Page"]).query))
    assert len(data_of(client.ask("GET", RECORDS, **following))) == PAGE
    found["next page"] = meter.take()

    three = client.ask("GET", RECORDS, _since=known.headers["ETag"])
    found["sync of three"] = meter.take()
    assert {entry["id"] for entry in data_of(three)} == {record_id(n) for n in (1, 2, 3)}

    not_modified = {"If-None-Match": page.headers["ETag"]}
    assert client.ask("GET", RECORDS, headers=not_modified).status == 304
    found["nothing new"] = meter.take()
    return found
