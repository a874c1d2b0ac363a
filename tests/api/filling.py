"""Many records at once, as to write them through the API would take moto minutes."""

import uuid

from chalicelib.protocol.kinds import COLLECTION, RECORD
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.clock import clock_from_raw
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.items import Cause, Item, encode_body, from_raw, to_raw
from chalicelib.storage.keys import Key, clock_key, object_key
from tests.doubles import Patience
from tests.shared_moto import empty_streams

_IDS = ("blog", "posts")
_CAUSE = Cause(user_id=None, request_id="", by_list=True, timestamp=0)


def fill(dynamo: Dynamo, count: int) -> None:
    """Write so many records to the collection `posts` of `blog`, and move its clock on."""
    clock_at = clock_key(ListUri(RECORD, _IDS))
    parent = object_key(ObjectUri(COLLECTION, _IDS))
    found = dynamo.get([clock_at, parent], Patience().deadline())
    clock = clock_from_raw(found[clock_at])
    raws = [
        to_raw(
            Item(
                key=Key(clock_at.parent, str(uuid.UUID(int=number, version=4))),
                is_live=True,
                last_modified=clock.timestamp + 1 + number,
                version=clock.timestamp + 1 + number,
                within=from_raw(found[parent]).incarnation or "",
                permissions={},
                body=encode_body({"n": number}),
            ),
            _CAUSE,
        )
        for number in range(count)
    ]
    moved = {
        "timestamp": {"N": str(clock.timestamp + count)},
        "count": {"N": str(clock.count + count)},
        "latest": {"L": []},
    }
    raws.append(found[clock_at] | moved)
    for start in range(0, len(raws), 25):
        puts = [{"PutRequest": {"Item": raw}} for raw in raws[start : start + 25]]
        dynamo._connection.client.batch_write_item(RequestItems={dynamo.tables.objects: puts})
    empty_streams()
