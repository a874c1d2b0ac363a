"""Many records at once, as to write them through the API would take moto minutes."""

from chalicelib.protocol.kinds import COLLECTION
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.clock import clock_from_raw
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.items import from_raw
from chalicelib.storage.keys import clock_key, object_key
from tests.doubles import Patience
from tests.raw_records import POSTS, raw_records
from tests.shared_moto import put_directly


def fill(dynamo: Dynamo, count: int) -> None:
    """Write so many records to the collection `posts` of `blog`, and move its clock on."""
    clock_at, parent = clock_key(POSTS), object_key(ObjectUri(COLLECTION, POSTS.ids))
    found = dynamo.get([clock_at, parent], Patience().deadline())
    clock = clock_from_raw(found[clock_at])
    within = from_raw(found[parent]).incarnation or ""
    raws = raw_records(range(count), within=within, first_ms=clock.timestamp + 1)
    moved = {
        "timestamp": {"N": str(clock.timestamp + count)},
        "count": {"N": str(clock.count + count)},
        "latest": {"L": []},
    }
    put_directly(dynamo.tables.objects, [*raws, found[clock_at] | moved])
