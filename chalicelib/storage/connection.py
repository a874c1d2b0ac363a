"""Calls of DynamoDB: in batches, in parallel, repeated where that is safe, within the time left.

A transaction that got no answer must be sent again as the same, whatever refuses it.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.projection import create_projection_expression
from pynamodb.expressions.update import Action, Update

from chalicelib.metrics import Tally
from chalicelib.observability import log_failed_table
from chalicelib.protocol.errors import ProtocolError
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import (
    ConflictError,
    NoAnswerError,
    StorageError,
    ThrottledError,
    UnavailableError,
    translated_failures,
)
from chalicelib.storage.items import RawItem
from chalicelib.storage.keys import Key
from chalicelib.storage.packing import packed
from chalicelib.storage.tables import RANGE_KEYS, Tables

T = TypeVar("T")
R = TypeVar("R")

MAX_ACTIONS: Final = 100
"""Of one transaction."""

GET_KEYS: Final = 100
"""Keys that one BatchGetItem takes."""

MOST_ENTRIES: Final = 2**31 - 1
"""What a Query's `Limit` may be at most; a client's `_limit` may be greater."""

READ_ATTEMPTS: Final = 8
"""Of a call that only reads: where DynamoDB is down, no function waits its whole time for it."""

_PARALLEL_CALLS: Final = 8


def condition_of(condition: Condition | None, actions: Sequence[Action] = ()) -> dict[str, Any]:
    """The arguments of a write for this condition and these updates."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    if condition is not None:
        arguments["ConditionExpression"] = condition.serialize(names, values)
    if actions:
        arguments["UpdateExpression"] = Update(*actions).serialize(names, values)
    if names:
        arguments["ExpressionAttributeNames"] = {short: name for name, short in names.items()}
    if values:
        arguments["ExpressionAttributeValues"] = values
    return arguments


def _asking_for(condition: Condition, attributes: Sequence[str]) -> dict[str, Any]:
    """The arguments of a Query for these attributes of the items on which a condition holds."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    return {
        "KeyConditionExpression": condition.serialize(names, values),
        **_projecting(attributes, names),
        "ExpressionAttributeValues": values,
    }


def _projecting(attributes: Sequence[str], names: dict[str, str]) -> dict[str, Any]:
    """The arguments of a read for these attributes alone, beside what else has names in it."""
    expression = create_projection_expression([*attributes], names)
    return {
        "ProjectionExpression": expression,
        "ExpressionAttributeNames": {short: name for name, short in names.items()},
    }


def _without(failed: frozenset[int], groups: Iterable[Sequence[T]]) -> Iterator[Sequence[T]]:
    """The groups that have no action at one of these positions."""
    position = 0
    for group in groups:
        positions = range(position, position + len(group))
        position += len(group)
        if failed.isdisjoint(positions):
            yield group


def _add_sizes(answer: dict[str, Any], tally: Tally) -> None:
    """Have the sizes of the parents that a transaction wrote to told, indexes included.

    DynamoDB estimates them between two bounds; what is told is the upper one.
    """
    for sizes in answer.get("ItemCollectionMetrics", {}).values():
        for size in sizes:
            # Whatever else is missing, what is committed isn't answered as a failure.
            if bounds := size.get("SizeEstimateRangeGB"):
                tally.add_parent(size["ItemCollectionKey"]["parent"]["S"], max(bounds))


class Dynamo:
    """The two tables of a stage, through one connection."""

    def __init__(self, connection: Connection, tables: Tables) -> None:
        """Keep both; nothing is called yet."""
        self.tables = tables
        self._connection = connection
        self._threads: ThreadPoolExecutor | None = None

    def get(
        self, keys: Iterable[Key], deadline: Deadline, *, attributes: Sequence[str] = ()
    ) -> dict[Key, RawItem]:
        """The items of `objects` with these keys, strongly consistent, those that exist.

        One BatchGetItem for each 100 keys, in parallel; no snapshot: item by item.

        Args:
            keys: of the items.
            deadline: of the request.
            attributes: which ones are wanted beside the key; none for all.

        Raises:
            UnavailableError: not all came in the time left.
        """
        wanted = list(dict.fromkeys(keys))
        chunks = [wanted[start : start + GET_KEYS] for start in range(0, len(wanted), GET_KEYS)]
        options = _projecting(("parent", "id", *attributes), {}) if attributes else {}
        found: dict[Key, RawItem] = {}
        for items in self.parallel(lambda chunk: self._get_chunk(chunk, options, deadline), chunks):
            found.update(items)
        return found

    def _get_chunk(
        self, keys: Sequence[Key], options: dict[str, Any], deadline: Deadline
    ) -> dict[Key, RawItem]:
        table = self.tables.objects
        asked = [{"parent": {"S": key.parent}, "id": {"S": key.id}} for key in keys]
        found: dict[Key, RawItem] = {}
        while asked:
            request = {table: {"Keys": asked, "ConsistentRead": True, **options}}
            answer = self._read("BatchGetItem", {"RequestItems": request}, deadline)
            for raw in answer.get("Responses", {}).get(table, []):
                found[Key(raw["parent"]["S"], raw["id"]["S"])] = raw
            asked = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if asked:
                deadline.wait()
        return found

    def query(
        self,
        index: str,
        parent: str,
        *,
        between: tuple[str, str],
        ascending: bool,
        limit: int | None,
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Iterator[RawItem]:
        """The index entries of a parent within a range of range keys, strongly consistent.

        Lazy: the next megabyte is read only if it is asked for.

        Args:
            index: its name.
            parent: the hash key.
            between: the range, both ends included.
            ascending: the order.
            limit: how many are wanted at most; None for all.
            attributes: which ones are wanted.
            deadline: of the request.

        Raises:
            UnavailableError: the time left doesn't allow the next call.
        """
        lowest, highest = between
        condition = (Path("parent") == {"S": parent}) & Path(RANGE_KEYS[index]).between(
            {"S": lowest}, {"S": highest}
        )
        arguments = {
            "TableName": self.tables.objects,
            "IndexName": index,
            "ScanIndexForward": ascending,
            **_asking_for(condition, attributes),
        }
        return self._query(arguments, deadline, limit)

    def query_access(self, principal: str, prefix: str, deadline: Deadline) -> list[str]:
        """The range keys of a principal's rows in `access` that begin so, strongly consistent.

        Raises:
            UnavailableError: not all came in the time left.
        """
        condition = Path("principal") == {"S": principal}
        condition &= Path("object").startswith(prefix)
        arguments = {"TableName": self.tables.access, **_asking_for(condition, ["object"])}
        return [raw["object"]["S"] for raw in self._query(arguments, deadline)]

    def _query(
        self, arguments: dict[str, Any], deadline: Deadline, limit: int | None = None
    ) -> Iterator[RawItem]:
        arguments["ConsistentRead"] = True
        while limit is None or limit > 0:
            if limit is not None:
                arguments["Limit"] = min(limit, MOST_ENTRIES)
            answer = self._read("Query", arguments, deadline)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            limit = None if limit is None else limit - len(answer["Items"])

    def transact(self, actions: Sequence[dict[str, Any]], token: str, deadline: Deadline) -> None:
        """Carry out all of these actions, or none.

        After an attempt without an answer the same is sent again with its token, whatever refuses
        it but a condition: only that shows that it can't be carried out any more
        ("same token", "token to the end").

        Raises:
            ConflictError: refused, and nothing is or will be carried out.
            ProtocolError: REQUEST_TOO_LARGE where a list can't grow any more.
            UnavailableError: the time is over; `may_repeat` tells whether the outcome is known.
        """
        arguments = {
            "TransactItems": list(actions),
            "ClientRequestToken": token,
            "ReturnItemCollectionMetrics": "SIZE",
        }
        is_open = False
        while True:
            deadline.check(may_repeat=not is_open)
            try:
                answer = self._call("TransactWriteItems", arguments, deadline)
                return _add_sizes(answer, deadline.tally)
            except NoAnswerError as error:
                refusal: Exception = error
                is_open = True
            except ThrottledError as error:
                refusal = error
            except (ConflictError, ProtocolError, ClientError) as error:
                if not is_open or (isinstance(error, ConflictError) and error.by_condition):
                    raise
                refusal = error
            deadline.wait(refusal, may_repeat=not is_open)

    def transact_possible(
        self, groups: Iterable[Sequence[dict[str, Any]]], deadline: Deadline
    ) -> None:
        """Carry out each of these groups of actions as a whole, unless a condition of it fails.

        In as many transactions as it takes, in parallel: a group on its own is all or nothing.

        Args:
            groups: on the same items, only within one group.
            deadline: of the request.

        Raises:
            UnavailableError: the time is over; `may_repeat` tells whether the outcome is known.
        """
        chunks = [*packed(groups, size=len, most=MAX_ACTIONS)]
        self.parallel(lambda chunk: self._transact_possible(chunk, deadline), chunks)

    def _transact_possible(
        self, groups: Sequence[Sequence[dict[str, Any]]], deadline: Deadline
    ) -> None:
        while groups:
            actions = [action for group in groups for action in group]
            try:
                self.transact(actions, uuid.uuid4().hex, deadline)
                return
            except ConflictError as conflict:
                possible = [*_without(conflict.failed, groups)]
                if len(possible) == len(groups):
                    deadline.wait(conflict)
                groups = possible

    def keeps(
        self, table: str, raw: RawItem, deadline: Deadline, *, reads_only: bool = False
    ) -> bool:
        """Whether a table takes this item, which is all key, and gives it back.

        If not, it is logged why. Where nothing may be written, it is enough that it can be read.
        """
        asked = {table: {"Keys": [raw], "ConsistentRead": True}}
        try:
            deadline.check()
            if not reads_only:
                self._call("PutItem", {"TableName": table, "Item": raw}, deadline)
            answer = self._read("BatchGetItem", {"RequestItems": asked}, deadline)
        except (StorageError, ClientError) as error:
            log_failed_table(table, error)
            return False
        if not reads_only and answer["Responses"][table] != [raw]:
            log_failed_table(table, None)
            return False
        return True

    def parallel(self, call: Callable[[T], R], arguments: Sequence[T]) -> list[R]:
        """The results of a call for each of these arguments, in their order.

        The first is called by this very thread, and may itself call in parallel; were others to
        wait for threads, all threads might end up waiting.
        """
        if len(arguments) < 2:
            return [call(argument) for argument in arguments]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_PARALLEL_CALLS, thread_name_prefix="dynamodb")
        # With what is known of the request, which their lines of the log tell as well.
        others = [self._threads.submit(copy_context().run, call, it) for it in arguments[1:]]
        return [call(arguments[0]), *(other.result() for other in others)]

    def _read(
        self, operation: str, arguments: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        for _attempt in range(READ_ATTEMPTS):
            deadline.check()
            try:
                return self._call(operation, arguments, deadline)
            except (ThrottledError, NoAnswerError) as error:
                deadline.wait(error)
        raise UnavailableError(may_repeat=True) from deadline.because

    def _call(
        self, operation: str, arguments: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            with translated_failures():
                return self._connection.dispatch(operation, arguments)
        finally:
            deadline.tally.add_call(operation, (time.perf_counter() - began) * 1000)
