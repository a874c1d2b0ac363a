"""`POST /v1/__flush__`: nothing is left. Rule: spec, "The service", section 3."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Final

from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.plugins import Plugins
from chalicelib.api.refusals import stopped_by
from chalicelib.protocol.kinds import BUCKET, children
from chalicelib.protocol.messages import Response
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.connection import MAX_ACTIONS

BUCKETS: Final = ListUri(BUCKET, ())

AT_ONCE: Final = (MAX_ACTIONS - 1) // (1 + len(children(BUCKET)))
"""Buckets that one transaction removes, beside the clock of their list."""


def includeme(app: Plugins) -> None:
    """Add the endpoint, that anybody may use, and the capability."""
    app.add_capability(
        "flush_endpoint",
        description="The __flush__ endpoint can be used to remove all data from all backends.",
        url="http://kinto.readthedocs.org/en/latest/configuration/settings.html"
        "#activating-the-flush-endpoint",
    )

    def flush(call: Call, _ids: tuple[str, ...]) -> Answer:
        call.unit.load([], [BUCKETS])
        call.unit.advance(BUCKETS)
        return _Flush(app, call.unit.find_stored(BUCKETS)).go_on(call)

    endpoints = {} if app.settings.readonly else {"POST": flush}
    app.add_route("/__flush__", endpoints)


@dataclass(slots=True)
class _Flush:
    """A flush on its way: what is within the buckets is then purged, and reached by nobody.

    Attributes:
        app: whose subscribers hear of it.
        stored: the buckets and tombstones that there were, as far as they aren't removed.
        chunk: what the next transaction removes, once that is known.
        more: what comes behind it, if anything: one address, or none.
    """

    app: Plugins
    stored: Iterator[ObjectUri]
    chunk: list[ObjectUri] | None = None
    more: list[ObjectUri] = field(default_factory=list)

    def go_on(self, call: Call) -> Answer:
        """Stage the next transaction; the same again if it meets a conflict."""
        if self.chunk is None:
            self.chunk = [*islice(self.stored, AT_ONCE)]
            self.more = [*islice(self.stored, 1)]
        below = [each for uri in self.chunk for each in uri.lists]
        call.unit.load(self.chunk, [BUCKETS, *below])
        for uri in self.chunk:
            if call.unit.find(uri) is not None:
                call.unit.remove(uri)
        if not self.more:
            call.unit.afterwards(self.app.subscribers.notify_flushed)
            return Response(202, {})
        following = _Flush(self.app, chain(self.more, self.stored))
        return Unfinished(partial(_stopped, call), following.go_on)


def _stopped(call: Call, error: Exception) -> Response:
    """Asking again goes on, unless it is a mistake of ours."""
    return stopped_by(error, call.settings, may_repeat=True)
