"""A short name for each article, taken once, in the transaction that creates the article."""

import re
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from chalicelib.api.plugins import Plugins
from chalicelib.api.subscribers import ResourceChanged
from chalicelib.protocol.errors import MISSING_RESOURCE, Problem, ProtocolError, invalid
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ListUri

ARTICLES = "/buckets/blog/collections/articles/records/*"
SLUGS = ListUri(RECORD, ("blog", "slugs"))


def includeme(app: Plugins) -> None:
    """Hear of articles before they are stored."""
    app.add_subscriber(take_slugs, ResourceChanged, for_actions=["create"], for_uris=[ARTICLES])


def take_slugs(event: ResourceChanged) -> None:
    """Take a slug for each of them, or refuse them all."""
    slugs = [take_slug(event, record["new"]) for record in event.impacted_records]
    headers = {"X-Slugs": " ".join(slugs)}
    event.alter_response(lambda answer: replace(answer, headers={**answer.headers, **headers}))


def take_slug(event: ResourceChanged, article: JsonObject) -> str:
    """Stage a record whose id is made of the slug, so that there is one of it."""
    slug = re.sub("[^a-z0-9]+", "-", str(article.get("title", "")).lower()).strip("-")
    uri = SLUGS.object(str(uuid5(NAMESPACE_URL, slug)))
    unit = event.call.unit
    unit.load([*uri.ancestors, uri], [uri.list])
    if not event.call.has_parent(uri):
        raise ProtocolError(MISSING_RESOURCE, message="There is no collection of slugs.")
    if not slug:
        raise invalid([Problem("body", "title", "It makes no slug")])
    if isinstance(unit.find(uri), StoredObject):
        raise invalid([Problem("body", "title", f"The slug {slug} is taken")])
    data = {"slug": slug, "article": article["id"]}
    unit.put(uri, data, {"read": ("system.Everyone",)}, origin=event.call.origin())
    return slug
