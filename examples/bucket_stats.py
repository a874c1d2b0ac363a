"""How much is in a bucket: `GET /v1/buckets/<id>/__stats__`."""

from chalicelib.api.addresses import Needs
from chalicelib.api.calls import Answer, Call
from chalicelib.api.plugins import Plugins
from chalicelib.protocol.kinds import BUCKET
from chalicelib.protocol.messages import Response
from chalicelib.protocol.permissions import Action
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.uris import ObjectUri

ONE = ListQuery(limit=1)  # a page tells how many there are on all pages


def includeme(app: Plugins) -> None:
    """Serve the address, and tell of it."""
    pattern = "/buckets/{bucket_id}/__stats__"
    app.add_route(pattern, {"GET": stats, "HEAD": stats}, needs=needs)
    about = "Numbers of collections and groups at /buckets/<id>/__stats__."
    app.add_capability("bucket_stats", description=about, url="https://example.org/stats")


def needs(_call: Call, ids: tuple[str, ...]) -> Needs:
    """The bucket, and the clocks of its lists."""
    bucket = ObjectUri(BUCKET, ids)
    return Needs([bucket], bucket.lists)


def stats(call: Call, ids: tuple[str, ...]) -> Answer:
    """The numbers, for those who may read the bucket."""
    bucket = ObjectUri(BUCKET, ids)
    call.require(Action.READ, bucket)
    call.existing(bucket)
    pages = {uri.kind.plural: call.unit.read_page(uri, ONE) for uri in bucket.lists}
    return Response(200, {"data": {name: page.total for name, page in pages.items()}})
