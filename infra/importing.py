"""Objects of another Kinto written into a stage's tables, as they are there.

It goes through our own storage, as requests do: object, clock and access rows in one transaction,
under the conditions that hold for every write. What differs: timestamps, permissions and marks of
schemas are the source's, no writer is added, nothing is validated against a schema, and no event
tells of it.

Each object keeps its `last_modified`. Its `version`, and with it the list's timestamp, is given
by this host's clock, as for every write: so a list's ETag is at least the source's.

Who wrote an object is on its item (`cause`), so there is no need of notes beside the tables: what
an import from the same URL wrote follows the source, what anybody else wrote stays.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain
from typing import Final, TypeAlias, TypeVar

from chalicelib.protocol.bodies import load_object
from chalicelib.protocol.errors import Problem, ProtocolError
from chalicelib.protocol.kinds import BUCKET, Kind, children
from chalicelib.protocol.messages import encoded
from chalicelib.protocol.queries import ListQuery
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.timestamps import MAX_HONOURED
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.commits import MAX_TRANSACTION_BYTES
from chalicelib.storage.connection import MAX_ACTIONS, Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.items import MAX_ITEM_BYTES, cause_from_raw, from_raw
from chalicelib.storage.keys import clock_key, object_key, time_range
from chalicelib.storage.packing import packed
from chalicelib.storage.staging import Origin
from chalicelib.storage.tables import BY_DELETION, BY_LAST_MODIFIED
from chalicelib.storage.transactions import Storage, system_now_ms
from chalicelib.storage.unit_of_work import UnitOfWork

T = TypeVar("T")

Stored: TypeAlias = StoredObject | Tombstone

FOREIGN: Final = "was written here by others, and stays as it is"
PARENT_MISSING: Final = "what holds it is not here"

ATTEMPTS: Final = 10
"""Of what DynamoDB has not answered, after the repetitions of the storage itself."""

_PAUSE_S: Final = 5.0
_KEYS_AT_ONCE: Final = 400
_BESIDE_BODY_BYTES: Final = 2_000
_FOR_CLOCKS_BYTES: Final = 200_000


class Target:
    """The tables of a stage, as an import from one source sees them."""

    def __init__(
        self,
        dynamo: Dynamo,
        source_url: str,
        *,
        now_ms: Callable[[], int] = system_now_ms,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            dynamo: the tables.
            source_url: names the source; an import from another URL is somebody else.
            now_ms: this host's clock.
            pause: waits so many seconds.
        """
        self._dynamo = dynamo
        self._origin = Origin(request_id=f"import of {source_url}", is_silent=True)
        self._now_ms = now_ms
        self._pause = pause

    def check(self) -> None:
        """Have DynamoDB answer once, and soon, as what is wrong at first is mostly a mistake.

        Raises:
            ClientError: there are no such tables, or not for these credentials.
            UnavailableError: DynamoDB doesn't answer.
        """
        any_key = object_key(ObjectUri(BUCKET, ("any",)))
        self._dynamo.get([any_key], _patient(self._pause))

    def find(self, uri: ListUri, ids: Iterable[str]) -> dict[str, Stored]:
        """What there is of a list with these ids, deleted ones too, with its permissions.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """
        found: dict[str, Stored] = {}
        for part in packed(ids, size=lambda _id: 1, most=_KEYS_AT_ONCE):
            found |= self._run(partial(_find, uri, part))
        return found

    def take_over(self, uri: ListUri, objects: Iterable[Stored]) -> dict[ObjectUri, str]:
        """Write these objects of a list, unless they are here already; gives which not, and why.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """
        refused: dict[ObjectUri, str] = {}
        possible = []
        for stored in objects:
            if (fault := fault_of(uri, stored)) is None:
                possible.append(stored)
            else:
                refused[uri.object(stored.id)] = fault
        parts = packed(
            possible,
            size=_most_bytes,
            most=MAX_TRANSACTION_BYTES - _FOR_CLOCKS_BYTES,
            count=_at_once(uri.kind),
        )
        for part in parts:
            refused |= self._run(partial(self._take_over, uri, part))
        return refused

    def advance(self, uri: ListUri, timestamp: int) -> None:
        """Have the timestamp of a list be no lower than this.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """
        lowest = min(timestamp, MAX_HONOURED)

        def work(unit: UnitOfWork) -> None:
            unit.load(uri.ancestors, [uri])
            if _is_there(unit, uri) and unit.timestamp(uri) < lowest:
                unit.advance(uri)

        self._run(work, now_ms=lambda: max(self._now_ms(), lowest))

    def others(self, uri: ListUri, known: set[str]) -> tuple[list[str], list[str]]:
        """What is in a list beside these ids: objects and tombstones of ours, others' objects.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """

        def work(unit: UnitOfWork) -> tuple[list[ObjectUri], list[ObjectUri]]:
            unit.load(uri.ancestors, [uri])
            if not _is_there(unit, uri):
                return [], []
            unknown = {id for id in self._ids(unit, uri) if id not in known}
            unit.load(map(uri.object, unknown))
            there = [each for each in map(uri.object, sorted(unknown)) if unit.find(each)]
            foreign = self._foreign(there)
            ours = [each for each in there if each not in foreign]
            return ours, [each for each in foreign if unit.permissions(each) is not None]

        ours, foreign = self._run(work)
        return [each.id for each in ours], [each.id for each in foreign]

    def _ids(self, unit: UnitOfWork, uri: ListUri) -> Iterator[str]:
        """The ids of all that is in a list, some perhaps twice."""
        if uri.parent is None:
            return (each.id for each in unit.find_stored(uri))
        deadline = _patient(self._pause)
        raws = self._dynamo.get([object_key(uri.parent)], deadline)
        entries = (
            self._dynamo.query(
                index,
                clock_key(uri).parent,
                between=time_range(str(from_raw(raw).incarnation)),
                ascending=True,
                limit=None,
                attributes=("id",),
                deadline=deadline,
            )
            for raw in raws.values()
            for index in (BY_LAST_MODIFIED, BY_DELETION)
        )
        return (raw["id"]["S"] for raw in chain.from_iterable(entries))

    def remove(self, uri: ListUri, ids: Iterable[str]) -> None:
        """Leave nothing of these objects of a list, as far as an import wrote them.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """
        for part in packed(ids, size=lambda _id: 1, most=_at_once(uri.kind)):
            self._run(partial(self._remove, uri, part))

    def count(self, uri: ListUri) -> int:
        """The live objects of a list, as its clock counts them.

        Raises:
            UnavailableError: DynamoDB doesn't answer.
        """

        def work(unit: UnitOfWork) -> int:
            unit.load(uri.ancestors, [uri])
            return unit.read_page(uri, ListQuery(limit=1)).total if _is_there(unit, uri) else 0

        return self._run(work)

    # In one transaction

    def _run(self, work: Callable[[UnitOfWork], T], now_ms: Callable[[], int] | None = None) -> T:
        """The result of a transaction that may be run any number of times."""
        storage = Storage(self._dynamo, now_ms or self._now_ms)
        for _attempt in range(ATTEMPTS - 1):
            try:
                return storage.run(work, _patient(self._pause))
            except UnavailableError:
                self._pause(_PAUSE_S)
        return storage.run(work, _patient(self._pause))

    def _take_over(
        self, uri: ListUri, objects: Sequence[Stored], unit: UnitOfWork
    ) -> dict[ObjectUri, str]:
        by_uri = {uri.object(stored.id): stored for stored in objects}
        _load(unit, uri, by_uri)
        if not _is_there(unit, uri):
            return dict.fromkeys(by_uri, PARENT_MISSING)
        differing = {
            each: stored
            for each, stored in by_uri.items()
            if fingerprint(stored) != fingerprint(unit.find(each))
        }
        # Whose they are is read after them: were they changed in between, the commit would fail.
        refused = dict.fromkeys(
            self._foreign(each for each in differing if unit.find(each)), FOREIGN
        )
        for each, stored in differing.items():
            if each in refused:
                continue
            savepoint = unit.savepoint()
            try:
                self._stage(unit, each, stored)
            except ProtocolError:
                unit.roll_back(savepoint)
                refused[each] = "is too large"
        return refused

    def _stage(self, unit: UnitOfWork, uri: ObjectUri, stored: Stored) -> None:
        if isinstance(stored, StoredObject):
            unit.put(
                uri,
                stored.data,
                stored.permissions,
                origin=self._origin,
                last_modified=stored.last_modified,
            )
            return
        if unit.permissions(uri) is None:  # the tombstone of what never was here
            unit.put(uri, {}, {}, origin=self._origin)
        unit.delete(uri, origin=self._origin, last_modified=stored.last_modified)

    def _remove(self, uri: ListUri, ids: Sequence[str], unit: UnitOfWork) -> None:
        uris = [uri.object(id) for id in ids]
        _load(unit, uri, uris)
        there = [each for each in uris if unit.find(each)]
        foreign = self._foreign(there)
        for each in there:
            if each not in foreign:
                unit.remove(each)

    def _foreign(self, uris: Iterable[ObjectUri]) -> list[ObjectUri]:
        """Those of these that somebody else wrote last."""
        by_key = {object_key(uri): uri for uri in uris}
        raws = self._dynamo.get(by_key, _patient(self._pause))
        return [
            uri
            for key, uri in by_key.items()
            if key in raws and cause_from_raw(raws[key]).request_id != self._origin.request_id
        ]


def fingerprint(stored: Stored | None) -> bytes:
    """The same for the same object or tombstone, whatever the order of properties or principals.

    Of nothing, nothing.
    """
    if stored is None:
        return b""
    told: list[object] = [stored.id, stored.last_modified]
    if isinstance(stored, StoredObject):
        told += [stored.data, _as_sets(stored.permissions)]
    return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).digest()


def _as_sets(permissions: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {name: sorted(set(principals)) for name, principals in permissions.items()}


def fault_of(uri: ListUri, stored: Stored) -> str | None:
    """Why this object of a list can't be here; None where it can."""
    if not uri.kind.is_id(stored.id):
        return f"can't be kept: no {uri.kind.name} can have this id here"
    if not 0 <= stored.last_modified <= MAX_HONOURED:
        return "can't be kept: no object can have this last_modified here"
    if isinstance(stored, StoredObject):
        loaded = load_object(encoded(stored.data).encode(errors="surrogatepass"))
        if isinstance(loaded, Problem):
            return f"can't be kept: {loaded.description}"
    return None


def _find(uri: ListUri, ids: Sequence[str], unit: UnitOfWork) -> dict[str, Stored]:
    uris = [uri.object(id) for id in ids]
    unit.load([*uri.ancestors, *uris])
    return {each.id: found for each in uris if (found := unit.find(each)) is not None}


def _load(unit: UnitOfWork, uri: ListUri, uris: Iterable[ObjectUri]) -> None:
    """Read what writes of these objects of a list need."""
    objects = [*uris]
    below: Iterator[ListUri] = (each for it in objects for each in it.lists)
    unit.load([*uri.ancestors, *objects], [uri, *below])


def _is_there(unit: UnitOfWork, uri: ListUri) -> bool:
    return uri.parent is None or unit.permissions(uri.parent) is not None


def _patient(pause: Callable[[float], None]) -> Deadline:
    return Deadline(lambda: float("inf"), pause)


def _at_once(kind: Kind) -> int:
    """Objects of a transaction: each with a row or the clocks of its own lists, beside one clock.

    Where they need more rows, those are put before.
    """
    return (MAX_ACTIONS - 1) // (1 + max(1, len(children(kind))))


def _most_bytes(stored: Stored) -> int:
    """What an object may take of a transaction at most, where an item can hold it at all."""
    if isinstance(stored, Tombstone):
        return _BESIDE_BODY_BYTES
    text = encoded([stored.data, stored.permissions])
    return min(MAX_ITEM_BYTES, 2 * len(text.encode()) + _BESIDE_BODY_BYTES)
