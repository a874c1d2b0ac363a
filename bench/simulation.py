"""DynamoDB and hosts of the service in simulated time: nothing waits, and each run is the same.

The service's own code runs, each host on a thread of its own, and one of them at a time. What a
call of DynamoDB does is what the emulator answers, in this process. How long it takes, and which
transactions collide, is modelled here:

- A transaction has its items from its arrival until it is done. Reads meet them as they were.
- One that arrives meanwhile, and wants any of them, is refused (TransactionConflict).
- Conditions are looked at on arrival.

Rule: DynamoDB Developer Guide, "Transaction conflict handling in DynamoDB".
"""

import heapq
import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar

from botocore.exceptions import ClientError
from ministack.services import dynamodb

from bench.latency import Latency
from chalicelib.storage.connection import Dynamo
from infra.tables import table_resources

T = TypeVar("T")
R = TypeVar("R")

TRAVEL_S: Final = 0.001
"""From a function to DynamoDB, and back."""

REFUSED: Final = 0.5
"""What a refused transaction takes, of a whole one: it is prepared, and not committed."""

SPREAD: Final = 0.25
"""The standard deviation of the logarithm of what calls take: one in 20 takes 1.5 times as long."""

_TRANSACT: Final = "TransactWriteItems"
_CREATED_WITH: Final = (
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "BillingMode",
)


class Time:
    """Simulated time: threads that wait in it go on one at a time, each at its moment."""

    def __init__(self) -> None:
        """Begin at 0, with nobody waiting."""
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, threading.Semaphore]] = []
        self._order = count()

    def pause(self, seconds: float) -> None:
        """Have the calling thread wait."""
        turn = self._turn_in(seconds)
        self._go_on()
        turn.acquire()

    def run(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What all of these give, each on a thread of its own, begun at this moment."""
        with ThreadPoolExecutor(len(works)) as threads:
            turns = [self._turn_in(0) for _work in works]
            ends = [*map(threads.submit, [self._work] * len(works), works, turns)]
            self._go_on()
            return [end.result() for end in ends]

    def _work(self, work: Callable[[], T], turn: threading.Semaphore) -> T:
        turn.acquire()
        try:
            return work()
        finally:
            self._go_on()

    def _turn_in(self, seconds: float) -> threading.Semaphore:
        turn = threading.Semaphore(0)
        heapq.heappush(self._waiting, (self.now_s + seconds, next(self._order), turn))
        return turn

    def _go_on(self) -> None:
        if self._waiting:
            self.now_s, _order, turn = heapq.heappop(self._waiting)
            turn.release()


class OneThread(Dynamo):
    """The tables, for a host that makes its calls one after the other."""

    def parallel(self, call: Callable[[T], R], arguments: Sequence[T]) -> list[R]:
        """The results of a call for each of these arguments: no other thread is in this time."""
        return [call(argument) for argument in arguments]


class _Key(NamedTuple):
    table: str
    hash_key: str
    range_key: str


class SimulatedDynamo:
    """A connection to the two tables of a stage, for all hosts.

    Attributes:
        attempts: transactions that arrived.
    """

    def __init__(self, stage: str, time: Time, latency: Latency, chance: random.Random) -> None:
        """Create the tables.

        Args:
            stage: names them; no other simulation in this process has it.
            time: of the simulation.
            latency: the medians of what calls take.
            chance: for how far they are from that.
        """
        self.attempts = 0
        self._time = time
        self._latency = latency
        self._chance = chance
        self._names: dict[str, list[str]] = {}
        self._taken: dict[_Key, Any] = {}  # to the item as it was before, or None
        for properties in table_resources(stage).values():
            _ask("CreateTable", {name: properties.get(name, []) for name in _CREATED_WITH})
            names = [key["AttributeName"] for key in properties["KeySchema"]]
            self._names[properties["TableName"]] = names

    def dispatch(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call, as pynamodb's connection gives it.

        Raises:
            ClientError: DynamoDB refuses it.
        """
        if operation == _TRANSACT:
            return self._transact(arguments)
        self._time.pause(TRAVEL_S)
        answer = _ask(operation, arguments)
        for table, items in answer.get("Responses", {}).items():
            answer["Responses"][table] = self._as_before(table, items, arguments["RequestItems"])
        self._time.pause(self._about(self._latency.read_ms))
        return answer

    def _transact(self, arguments: dict[str, Any]) -> dict[str, Any]:
        actions = arguments["TransactItems"]
        seconds = self._about(self._latency.transaction_ms + self._latency.action_ms * len(actions))
        self._time.pause(TRAVEL_S)
        try:
            taken = self._begin(arguments)
        except ClientError:
            self._time.pause(seconds * REFUSED)
            raise
        self._time.pause(seconds - TRAVEL_S)
        for key in taken:
            del self._taken[key]
        self._time.pause(TRAVEL_S)
        return {}

    def _begin(self, arguments: dict[str, Any]) -> Sequence[_Key]:
        """The items of a transaction, which has them from now on."""
        self.attempts += 1
        keys = [*map(self._key_of, arguments["TransactItems"])]
        if self._taken.keys() & set(keys):
            reasons = ["TransactionConflict" if key in self._taken else "None" for key in keys]
            raise _refused({"CancellationReasons": [{"Code": reason} for reason in reasons]})
        before = {key: self._stored(key) for key in keys}
        _ask(_TRANSACT, arguments)
        self._taken |= before
        return keys

    def _as_before(self, table: str, items: Sequence[Any], asked: Any) -> list[Any]:
        """The items that a read met: those of a transaction under way as they were before it."""
        keys = [self._key(table, key) for key in asked[table]["Keys"]]
        before = {key: self._taken[key] for key in keys if key in self._taken}
        visible = [item for item in items if self._key(table, item) not in before]
        return [*visible, *(item for item in before.values() if item is not None)]

    def _key_of(self, action: dict[str, Any]) -> _Key:
        (what,) = action.values()
        return self._key(what["TableName"], what.get("Key") or what["Item"])

    def _key(self, table: str, item: dict[str, Any]) -> _Key:
        return _Key(table, *(item[name]["S"] for name in self._names[table]))

    def _stored(self, key: _Key) -> Any:
        names = zip(self._names[key.table], key[1:], strict=True)
        asked = {name: {"S": value} for name, value in names}
        return _ask("GetItem", {"TableName": key.table, "Key": asked}).get("Item")

    def _about(self, ms: float) -> float:
        return ms / 1000 * self._chance.lognormvariate(0.0, SPREAD)


def _ask(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The emulator's answer.

    Raises:
        ClientError: it refuses.
    """
    target = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    asked = dynamodb.handle_request("POST", "/", target, json.dumps(arguments).encode(), {})
    try:
        asked.send(None)
    except StopIteration as answered:
        status, _headers, body = answered.value
    answer: dict[str, Any] = json.loads(body)
    if status != 200:
        raise _refused(answer)
    return answer


def _refused(answer: dict[str, Any]) -> ClientError:
    kind = answer.get("__type", "TransactionCanceledException")
    error = {"Code": kind, "Message": answer.get("message", "")}
    return ClientError({**answer, "Error": error}, _TRANSACT)
