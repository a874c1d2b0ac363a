"""Stand-ins for DynamoDB's connection, and small requests, that the tests of storage share."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import count
from typing import Any

import hypothesis
from botocore.exceptions import ClientError
from pynamodb.connection import Connection

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD
from chalicelib.protocol.queries import ListQuery, parse_list_query
from chalicelib.protocol.sorting import Place
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.clock import Clock, clock_from_raw
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.items import Item, RawItem, from_raw
from chalicelib.storage.keys import Key, clock_key, object_key, position_of
from chalicelib.storage.lists import Page
from chalicelib.storage.staging import Origin
from chalicelib.storage.tables import BY_LAST_MODIFIED, Tables
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork
from infra.tables import table_resources
from tests.doubles import Patience, SetClock

BUCKETS = ListUri(BUCKET, ())
BLOG = BUCKETS.object("blog")
COLLECTIONS = ListUri(COLLECTION, ("blog",))
POSTS = COLLECTIONS.object("posts")
GROUPS = ListUri(GROUP, ("blog",))
WRITERS = GROUPS.object("writers")
RECORDS = ListUri(RECORD, ("blog", "posts"))

ALL = ListQuery()

TRANSACT = "TransactWriteItems"

unhurried = hypothesis.settings(deadline=None)
"""For properties: a machine that does other things as well makes no test fail."""


def record(number: int) -> ObjectUri:
    """The address of a record of POSTS."""
    return RECORDS.object(f"{number:08x}-0000-4000-8000-000000000000")


def client_error(
    code: str, *, reasons: list[str] | None = None, status: int = 400, operation: str = TRANSACT
) -> ClientError:
    """An answer of DynamoDB that botocore raises."""
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    if reasons is not None:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, operation)


def cancelled(*reasons: str) -> ClientError:
    """A transaction that was refused for these reasons, one an action."""
    return client_error("TransactionCanceledException", reasons=list(reasons))


class Scripted:
    """A connection that answers as its script says, and remembers what it was asked."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def dispatch(self, operation: str, arguments: dict[str, Any]) -> Any:
        with self._lock:
            self.asked.append((operation, deepcopy(arguments)))
            answer = self._script.pop(0) if self._script else {}
        if isinstance(answer, BaseException):
            raise answer
        return answer(arguments) if callable(answer) else answer


Hook = Callable[[int, str, dict[str, Any]], None]


class Wire:
    """A connection to moto that does what DynamoDB, and the way to it, may do.

    It honours tokens, and it keeps calls apart, as moto does neither.

    Attributes:
        before: called with the number of a call, its operation and arguments before it is carried
            out; what it raises keeps it from that.
        after: the same afterwards; what it raises takes the place of the answer.
        torn: says by its id which item of a transaction does not become visible with the others.
        late_reads: how often such an item is read by key in its old version.
    """

    def __init__(self, connection: Any, tables: Tables) -> None:
        self.client = connection.client
        self.dynamo = Dynamo(self, tables)  # type: ignore[arg-type]  # all that it calls
        self.rival = Dynamo(_Undisturbed(self), tables)  # type: ignore[arg-type]  # likewise
        self.calls = 0
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.torn: Callable[[str], bool] | None = None
        self.late_reads = 1
        self._connection = connection
        self._tables = tables
        self._lock = threading.RLock()
        self._done: set[str] = set()
        self._hidden: dict[Key, RawItem | None] = {}
        self._reads: dict[Key, int] = {}

    def dispatch(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.calls += 1
            number = self.calls
        if self.before is not None:
            self.before(number, operation, arguments)
        answer = self.carry_out(operation, arguments)
        if self.after is not None:
            self.after(number, operation, arguments)
        return answer

    def quiet(self) -> None:
        """Nothing goes wrong any more."""
        self.before = self.after = self.torn = None
        self._hidden.clear()

    def carry_out(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if operation == TRANSACT:
                return self._transact(arguments)
            if operation == "Query" and "IndexName" in arguments and self._hidden:
                return self._query(arguments)
            answer: dict[str, Any] = self._connection.dispatch(operation, arguments)
            if operation == "BatchGetItem" and self._hidden:
                self._take_back(arguments, answer)
            return answer

    def items(self) -> dict[Key, RawItem]:
        """All of `objects`, as it is."""
        found = self.client.scan(TableName=self._tables.objects, ConsistentRead=True)["Items"]
        return {Key(raw["parent"]["S"], raw["id"]["S"]): raw for raw in found}

    def rows(self) -> dict[tuple[str, str], int]:
        """All of `access`: versions by principal and object."""
        found = self.client.scan(TableName=self._tables.access, ConsistentRead=True)["Items"]
        return {
            (raw["principal"]["S"], raw["object"]["S"]): int(raw["version"]["N"]) for raw in found
        }

    def stored(self, uri: ObjectUri) -> Item | None:
        """The item of an object or its tombstone, as it is."""
        raw = self._get(object_key(uri))
        return None if raw is None else from_raw(raw)

    def clock(self, uri: ListUri) -> Clock:
        """The clock of a list, as it is."""
        raw = self._get(clock_key(uri))
        assert raw is not None
        return clock_from_raw(raw)

    def _get(self, key: Key) -> "RawItem | None":
        asked = {"parent": {"S": key.parent}, "id": {"S": key.id}}
        found: RawItem | None = self.client.get_item(
            TableName=self._tables.objects, Key=asked, ConsistentRead=True
        ).get("Item")
        return found

    def _transact(self, arguments: dict[str, Any]) -> dict[str, Any]:
        token = arguments["ClientRequestToken"]
        if token in self._done:
            return {}
        keys = [_key_of(action) for action in arguments["TransactItems"]]
        if self._hidden.keys() & set(keys):
            raise cancelled(*("TransactionConflict" if k in self._hidden else "None" for k in keys))
        before = {key: self._get(key) for key in keys if key and self.torn}
        answer: dict[str, Any] = self._connection.dispatch(TRANSACT, arguments)
        self._done.add(token)
        if self.torn:
            late = [key for key in keys if key is not None and self.torn(key.id)]
            self._hidden.update({key: before[key] for key in late})
            self._reads.update(dict.fromkeys(late, self.late_reads))
        return answer

    def _take_back(self, arguments: dict[str, Any], answer: dict[str, Any]) -> None:
        """What is not visible yet is answered as it was before."""
        table = self._tables.objects
        asked = arguments["RequestItems"].get(table, {"Keys": []})["Keys"]
        for key in {Key(raw["parent"]["S"], raw["id"]["S"]) for raw in asked} & self._hidden.keys():
            if self._reads[key] == 0:
                del self._hidden[key]
                continue
            self._reads[key] -= 1
            old = self._hidden[key]
            found = [raw for raw in answer["Responses"][table] if raw["id"]["S"] != key.id]
            answer["Responses"][table] = [*found, *([old] if old else [])]

    def _query(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The entries of the index as it is while some items are not visible yet."""
        whole = {k: v for k, v in arguments.items() if k not in ("Limit", "ExclusiveStartKey")}
        names = arguments["ExpressionAttributeNames"].values()
        range_key = "live" if arguments["IndexName"] == BY_LAST_MODIFIED else "dead"
        parent, lowest, highest = (
            value["S"] for value in arguments["ExpressionAttributeValues"].values()
        )
        found = self._connection.dispatch("Query", whole)["Items"]
        shown = [raw for raw in found if Key(parent, raw["id"]["S"]) not in self._hidden]
        for key, old in self._hidden.items():
            if key.parent == parent and old and range_key in old:
                entry = {name: old[name] for name in names if name in old and name != "parent"}
                shown += [entry] if lowest <= old[range_key]["S"] <= highest else []
        ascending = arguments["ScanIndexForward"]
        shown.sort(key=lambda raw: raw[range_key]["S"], reverse=not ascending)
        if "ExclusiveStartKey" in arguments:
            start = arguments["ExclusiveStartKey"][range_key]["S"]
            shown = [
                raw
                for raw in shown
                if raw[range_key]["S"] != start and (raw[range_key]["S"] > start) == ascending
            ]
        return {"Items": shown[: arguments.get("Limit")]}


class _Undisturbed:
    """The same tables, without hooks."""

    def __init__(self, wire: Wire) -> None:
        self.client = wire.client
        self.dispatch = wire.carry_out


def _key_of(action: dict[str, Any]) -> Key | None:
    """Which item of `objects` an action writes; None for rows."""
    ((_kind, what),) = action.items()
    raw = what.get("Key") or what["Item"]
    return Key(raw["parent"]["S"], raw["id"]["S"]) if "parent" in raw else None


_CREATED_WITH = (
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "BillingMode",
)


_stages = count()


@contextmanager
def fresh_wire(connection: Connection) -> Iterator[Wire]:
    """Tables of their own, empty: without the stream, which moto copies at each transaction."""
    stage = f"test-{next(_stages)}"
    for properties in table_resources(stage).values():
        wanted = {name: properties[name] for name in _CREATED_WITH if name in properties}
        connection.client.create_table(**wanted)
    tables = Tables.of_stage(stage)
    try:
        yield Wire(connection, tables)
    finally:
        for table in tables:
            connection.client.delete_table(TableName=table)


class MissingError(Exception):
    """A request is about something that isn't there: the API's 404."""


class Requests:
    """Small requests as the API makes them: load, decide, stage, commit."""

    def __init__(self, dynamo: Dynamo, now: SetClock | None = None) -> None:
        self.now = now or SetClock()
        self.storage = Storage(dynamo, self.now)
        self.patience = Patience()

    def run(self, work: Callable[[UnitOfWork], Any]) -> Any:
        """The result of a request with all the time there is."""
        self.patience = Patience()
        return self.storage.run(work, self.patience.deadline())

    def put(
        self,
        uri: ObjectUri,
        data: Mapping[str, Any] | None = None,
        permissions: Permissions | None = None,
        *,
        at: int | None = None,
    ) -> StoredObject:
        def work(unit: UnitOfWork) -> StoredObject:
            load(unit, uri)
            return unit.put(
                uri, dict(data or {}), permissions or {}, origin=Origin(), last_modified=at
            )

        stored: StoredObject = self.run(work)
        return stored

    def delete(self, uri: ObjectUri, *, at: int | None = None) -> Tombstone:
        def work(unit: UnitOfWork) -> Tombstone:
            load(unit, uri)
            if not isinstance(unit.find(uri), StoredObject):
                raise MissingError(uri)
            return unit.delete(uri, origin=Origin(), last_modified=at)

        tombstone: Tombstone = self.run(work)
        return tombstone

    def get(self, uri: ObjectUri) -> StoredObject | Tombstone | None:
        def work(unit: UnitOfWork) -> Any:
            load(unit, uri)
            return unit.find(uri)

        found: StoredObject | Tombstone | None = self.run(work)
        return found

    def page(
        self, uri: ListUri = RECORDS, query: ListQuery = ALL, after: Place | None = None
    ) -> Page:
        return self.list(uri, query, after)[1]

    def list(
        self, uri: ListUri = RECORDS, query: ListQuery = ALL, after: Place | None = None
    ) -> tuple[int, Page]:
        """The list's timestamp, as of before, and a page of it."""

        def work(unit: UnitOfWork) -> tuple[int, Page]:
            load_list(unit, uri)
            return unit.timestamp(uri), unit.read_page(uri, query, after)

        answer: tuple[int, Page] = self.run(work)
        return answer

    def matches(self, uri: ListUri = RECORDS, query: ListQuery = ALL) -> "list[ObjectUri]":
        """All that the filters admit."""

        def work(unit: UnitOfWork) -> Any:
            load_list(unit, uri)
            return [*unit.find_matches(uri, query)]

        found: list[ObjectUri] = self.run(work)
        return found

    def make_posts(self) -> None:
        """A bucket that anyone may write, with a collection."""
        self.put(BLOG, {}, {"write": ("system.Everyone",)})
        self.put(POSTS)


def load_list(unit: UnitOfWork, uri: ListUri) -> None:
    """Read what a list needs.

    Raises:
        MissingError: a parent is not there.
    """
    unit.load(uri.ancestors, [uri])
    if not all(isinstance(unit.find(parent), StoredObject) for parent in uri.ancestors):
        raise MissingError(uri)


def asked(limit: int | None = None, **parameters: str) -> ListQuery:
    """What these parameters ask for of a list of records."""
    return parse_list_query([*parameters.items()], RECORD, limit)


def load(unit: UnitOfWork, *uris: ObjectUri) -> None:
    """Read what a write of these needs.

    Raises:
        MissingError: a parent is not there.
    """
    unit.load(
        [each for uri in uris for each in (*uri.ancestors, uri)],
        [each for uri in uris for each in (uri.list, *uri.lists)],
    )
    for uri in uris:
        if not all(isinstance(unit.find(parent), StoredObject) for parent in uri.ancestors):
            raise MissingError(uri)


def ids(page: Page) -> list[str]:
    """The ids of a page, in its order."""
    return [entry.id for entry in page.entries]


def time_of(raw: RawItem) -> tuple[int, str]:
    """The place of an item in its list."""
    position = position_of((raw.get("live") or raw["dead"])["S"])
    return position.last_modified, position.id
