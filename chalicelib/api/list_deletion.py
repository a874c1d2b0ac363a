"""DELETE of a list, the same for all four kinds: in one transaction where it fits, else by chunks.

Rule: spec, "Lists", section 8; `docs/architecture.md`, "Lists".
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.headers import TO_IS_DEPRECATED
from chalicelib.protocol.errors import MODIFIED_MEANWHILE, REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.kinds import children
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.permissions import Action
from chalicelib.protocol.preconditions import Preconditions
from chalicelib.protocol.queries import ListQuery, parse_filters
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.connection import MAX_ACTIONS
from chalicelib.storage.keyed import Keyed
from chalicelib.storage.unit_of_work import UnitOfWork
from chalicelib.storage.windows import ENTRY_BYTES, MAX_PAGE_BYTES


def delete_list(call: Call, uri: ListUri) -> Answer:
    """The tombstones of all objects that the filters admit, from the one changed longest ago on.

    What is more than a transaction holds goes on in further ones, as far as the time and the
    answer allow: nothing is answered that was not done.
    """
    shared = call.require_part(Action.WRITE, uri)
    preconditions = Preconditions.from_headers(call.request.headers, reads=False)
    preconditions.check_list(call.unit.timestamp(uri))
    query = parse_filters(call.request.query, uri.kind)
    is_held = preconditions.unmodified_since is not None
    held_at = call.unit.timestamp(uri) if is_held else None
    matches = call.unit.find_matches(uri, query, shared)
    return _Deletion(uri, query, shared, matches, held_at).go_on(call)


@dataclass(slots=True)
class _Deletion:
    """A deletion on its way.

    Attributes:
        uri: of the list.
        query: its filters.
        shared: the part of the list that the user may delete; None for the whole.
        matches: what they admitted when it was read, as far as it isn't done.
        held_at: the list's timestamp that the next transaction needs; None where it needs none.
        done: the tombstones so far.
        chunk: what the next transaction deletes, once that has been read.
        more: what comes behind it, if anything: one address, or none.
    """

    uri: ListUri
    query: ListQuery
    shared: Keyed | None
    matches: Iterator[ObjectUri]
    held_at: int | None
    done: list[JsonObject] = field(default_factory=list)
    chunk: list[ObjectUri] | None = None
    more: list[ObjectUri] = field(default_factory=list)

    def go_on(self, call: Call) -> Answer:
        """Stage the next transaction; the same again if it meets a conflict.

        Raises:
            ProtocolError: MODIFIED_MEANWHILE where somebody else has written in spite of If-Match;
                REQUEST_TOO_LARGE where the answer can't tell of any more.
        """
        if _answer_bytes(self.done) > MAX_PAGE_BYTES:
            raise ProtocolError(REQUEST_TOO_LARGE)
        most = (MAX_ACTIONS - 1) // (1 + len(children(self.uri.kind)))  # beside the list's clock
        if self.chunk is None:
            self.chunk = list(islice(self.matches, most))
            self.more = list(islice(self.matches, 1))
        if not self.chunk:
            return self._end(call, self.done)
        lists_below = [below for target in self.chunk for below in target.lists]
        call.unit.load([*self.uri.ancestors, *self.chunk], [self.uri, *lists_below])
        self._require_right(call)
        if self.held_at is not None:
            if call.unit.timestamp(self.uri) != self.held_at:
                raise ProtocolError(MODIFIED_MEANWHILE)
            call.unit.hold(self.uri)
        done = self.done + [
            call.unit.delete(target, origin=call.origin(by_list=True)).to_json()
            for target in self._still_matching(call.unit)
        ]
        if not self.more:
            return self._end(call, done)
        response = self._response(done)
        held_at = None if self.held_at is None else call.unit.timestamp(self.uri)
        matches = chain(self.more, self.matches)
        following = replace(self, matches=matches, held_at=held_at, done=done, chunk=None)
        return Unfinished(lambda _error: response, following.go_on)

    def _end(self, call: Call, done: list[JsonObject]) -> Response:
        if not done:
            call.tell_read(self.uri, [])
        return self._response(done)

    def _require_right(self, call: Call) -> None:
        """Go on only with the right on the list, or where single objects of it decide."""
        if self.shared is None:
            call.require(Action.WRITE, self.uri)
        elif not call.has_parent(self.uri):
            raise call.forbidden()

    def _response(self, tombstones: list[JsonObject]) -> Response:
        headers = TO_IS_DEPRECATED if self.query.uses_to else {}
        return Response(200, {"data": tombstones}, headers)

    def _still_matching(self, unit: UnitOfWork) -> list[ObjectUri]:
        """What the filters admit as it is now, the one changed longest ago first."""
        found = [
            (stored.last_modified, target.id, target)
            for target in dict.fromkeys(self.chunk or ())
            if isinstance(stored := unit.find(target), StoredObject)
            and (self.shared is None or self.shared.names(stored.permissions))
            and self.query.admits(stored.to_json())
        ]
        return [target for _time, _id, target in sorted(found, key=lambda each: each[:2])]


def _answer_bytes(tombstones: list[JsonObject]) -> int:
    return sum(ENTRY_BYTES + len(tombstone["id"]) for tombstone in tombstones)
