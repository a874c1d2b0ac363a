"""`/v1/buckets/default`: for each user the bucket of his own, that is created by being used.

Rule: spec, "The default bucket".
"""

import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from uuid import UUID

from chalicelib.api.addresses import ANY_METHOD, Needs
from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.cors import PREFLIGHT
from chalicelib.api.exchanges import Exchange
from chalicelib.api.plugins import Plugins
from chalicelib.api.refusals import refusal
from chalicelib.auth.policies import Authentication
from chalicelib.protocol.bodies import load_object
from chalicelib.protocol.errors import (
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    MISSING_AUTH_TOKEN,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.kinds import BUCKET, COLLECTION
from chalicelib.protocol.messages import VERSION_PREFIX, Response
from chalicelib.protocol.principals import principals_of
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.staging import Origin

ALIAS: Final = "default"

_PATH: Final = f"/{BUCKET.plural}/{ALIAS}"
_COLLECTION: Final = re.compile(f"/{COLLECTION.plural}/([^/]+)(/.*)?", re.DOTALL)


def includeme(app: Plugins) -> None:
    """Add the alias, and tell of it."""
    bucket_of = partial(bucket_id_of, secret=app.settings.userid_hmac_secret)

    def needs(call: Call, _ids: tuple[str, ...]) -> Needs:
        if call.user_id is None or call.settings.readonly:
            return Needs()
        return _Aliased.of(call, bucket_of(call.user_id)).needs

    def answer(call: Call, _ids: tuple[str, ...]) -> Answer:
        if call.request.method == PREFLIGHT:
            return _Aliased.of(call, "any").answer()
        if call.user_id is None:
            raise ProtocolError(MISSING_AUTH_TOKEN)
        if call.settings.readonly:
            raise ProtocolError(METHOD_NOT_ALLOWED, headers={"Allow": PREFLIGHT})
        return _Aliased.of(call, bucket_of(call.user_id)).answer()

    for pattern in (_PATH, f"{_PATH}/{{below+}}"):
        app.add_route(pattern, {ANY_METHOD: answer}, has_preflight=False, needs=needs)
    app.reserve_id(BUCKET, ALIAS)
    app.tell_user(lambda user_id: {"bucket": bucket_of(user_id)})
    app.add_capability(
        "default_bucket",
        description="The default bucket is an alias for a personal bucket where collections are"
        " created implicitly.",
        url="http://kinto.readthedocs.org/en/latest/api/1.x/buckets.html#personal-bucket-default",
    )


def bucket_id_of(user_id: str, secret: str) -> str:
    """The real id of a user's bucket. Rule: section 2."""
    digest = hmac.new(secret.encode(), user_id.encode(), "sha256").hexdigest()
    return str(UUID(digest[:32]))


@dataclass(frozen=True, slots=True)
class _Aliased:
    """A request through the alias, as one of the bucket that it stands for.

    Attributes:
        call: as it came.
        bucket: what the alias stands for.
        below: the path behind the alias.
        exchange: the request as if it had named the real id.
    """

    call: Call
    bucket: ObjectUri
    below: str
    exchange: Exchange

    @classmethod
    def of(cls, call: Call, bucket_id: str) -> "_Aliased":
        """Find out where the request leads, with the real id in the place of the alias."""
        request = call.request
        bucket = ObjectUri(BUCKET, (bucket_id,))
        below = request.path.removeprefix(VERSION_PREFIX + _PATH)
        is_bucket = not below and request.method in ("PUT", "PATCH")
        real = replace(
            request,
            path=f"{VERSION_PREFIX}{bucket}{below}",
            body=_with_id(bucket_id, request.body) if is_bucket else request.body,
        )
        exchange = Exchange(real, Authentication(call.user_id), is_known=True)
        call.pipeline.admit(exchange)
        return cls(call, bucket, below, exchange)

    @property
    def needs(self) -> Needs:
        """What the request needs, and what is created for it where it is missing."""
        if isinstance(self.exchange.outcome, Response):
            return Needs()
        needs = self.exchange.needs(self.call)
        implicit = [*self._implicit()]
        lists = [each for uri in implicit for each in (uri.list, *uri.lists)]
        return Needs([*needs.objects, *implicit], [*needs.lists, *lists])

    def _implicit(self) -> Iterator[ObjectUri]:
        """The bucket and the collection that the request addresses, but what it puts itself."""
        puts = self.exchange.request.method == "PUT"
        if self.below or not puts:
            yield self.bucket
        if found := _COLLECTION.fullmatch(self.below):
            id, further = found.groups()
            if further or not puts:
                yield ObjectUri(COLLECTION, (self.bucket.id, id))

    def answer(self) -> Answer:
        """The answer of the real bucket, once that is there."""
        stage = self.exchange.outcome
        if stage is None or isinstance(stage, Response):
            return self._elsewhere(stage or Response(200))
        savepoint = self.call.unit.savepoint()
        try:
            self._create_implicitly()
            answer = stage(self.exchange.call_of(self.call))
        except ProtocolError as error:
            self.call.unit.roll_back(savepoint)
            answer = refusal(error)
        if isinstance(answer, Unfinished):
            return answer
        return self.call.pipeline.finished(self.exchange, answer)

    def _elsewhere(self, response: Response) -> Response:
        """An answer that was known without the storage; a redirect keeps the alias."""
        response = self.call.pipeline.finished(self.exchange, response)
        location = response.headers.get("Location")
        if location is None:
            return response
        aliased = location.replace(f"{VERSION_PREFIX}{self.bucket}", VERSION_PREFIX + _PATH, 1)
        return replace(response, headers={**response.headers, "Location": aliased})

    def _create_implicitly(self) -> None:
        """Create what is missing, whatever rights and preconditions say of that. Rule: section 3.

        Raises:
            ProtocolError: INVALID_PARAMETERS where no collection can have this id; FORBIDDEN
                where somebody else has a bucket under the real id.
        """
        user_id = self.call.user_id or ""
        permissions = self.call.unit.permissions(self.bucket)
        if permissions is not None and principals_of(user_id).isdisjoint(
            permissions.get("write", ())
        ):
            raise ProtocolError(FORBIDDEN)
        for uri in self._implicit():
            if not uri.is_possible:
                raise invalid([Problem("path", None, f"Invalid {uri.kind.name}_id id")])
            if not isinstance(self.call.unit.find(uri), StoredObject):
                origin = Origin(user_id, self.call.request.id, is_silent=True)
                self.call.unit.put(uri, {}, {"write": (user_id,)}, origin=origin)


def _with_id(bucket_id: str, body: bytes) -> bytes:
    """The body with the real id where it names the alias."""
    sent = load_object(body)
    if isinstance(sent, Problem):
        return body
    data = sent.get("data")
    if not (isinstance(data, dict) and data.get("id") == ALIAS):
        return body
    return json.dumps({**sent, "data": {**data, "id": bucket_id}}).encode()
