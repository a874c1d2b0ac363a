"""Many records at once, as to write them through the API would take minutes."""

from chalicelib.storage.keys import clock_key
from tests.emulator.hosts import Hosts
from tests.raw_records import POSTS, raw_records

_BATCH = 25  # items that one BatchWriteItem takes


def fill(hosts: Hosts, first: int, end: int) -> None:
    """Put records of these numbers, modified long ago, into the collection."""
    table = hosts.tables.objects
    key = clock_key(POSTS)._asdict()
    where = {"TableName": table, "Key": {name: {"S": text} for name, text in key.items()}}
    clock = hosts.dynamodb.get_item(**where, ConsistentRead=True)["Item"]
    raws = list(raw_records(range(first, end), within=clock["within"]["S"]))
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
