"""A collection of any size, written straight into the tables."""

from typing import Any

from chalicelib.protocol.ids import uuid_from_random
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import Cause, Item, encode_body, to_raw
from chalicelib.storage.keys import clock_key, object_key
from chalicelib.storage.tables import Tables

_BATCH = 25
_DATA: JsonObject = {"done": False, "tags": ["one", "two"], "note": "x" * 100}


def fill(
    client: Any, tables: Tables, uri: ListUri, size: int, *, data: JsonObject = _DATA
) -> list[str]:
    """Put this many records into an empty list, and move its clock; gives their ids.

    Args:
        client: botocore's, for DynamoDB.
        tables: of the stage.
        uri: of the list, whose collection exists.
        size: how many.
        data: of each, beside its title.
    """
    key = clock_key(uri)
    clock_id = {"parent": {"S": key.parent}, "id": {"S": key.id}}
    clock = client.get_item(TableName=tables.objects, Key=clock_id)["Item"]
    first, within = int(clock["timestamp"]["N"]) + 1, clock["within"]["S"]
    ids = [uuid_from_random(number.to_bytes(16, "big")) for number in range(size)]
    puts = [
        {
            "PutRequest": {
                "Item": to_raw(_record(uri, id, first + number, within=within, data=data), _CAUSE)
            }
        }
        for number, id in enumerate(ids)
    ]
    for start in range(0, size, _BATCH):
        client.batch_write_item(RequestItems={tables.objects: puts[start : start + _BATCH]})
    clock |= {"timestamp": {"N": str(first + size)}, "count": {"N": str(size)}}
    client.put_item(TableName=tables.objects, Item=clock)
    return ids


_CAUSE = Cause(user_id=None, request_id="bench", by_list=True, timestamp=0, silent=True)


def _record(uri: ListUri, id: str, timestamp: int, *, within: str, data: JsonObject) -> Item:
    return Item(
        key=object_key(uri.object(id)),
        is_live=True,
        last_modified=timestamp,
        version=timestamp,
        within=within,
        permissions={"write": ("basicauth:somebody",)},
        body=encode_body({"title": f"Record {id}", **data}),
    )
