"""Capacity units: what calls of DynamoDB consume.

Writes are taken as the answers tell them (pynamodb asks for that with each call): the emulator
counts them as DynamoDB does, entries of local indexes included. For reads it tells the same
whatever their size, so these are counted here. `tests/bench` holds both to AWS's own examples.

Rule: DynamoDB Developer Guide, "Item sizes and formats", "DynamoDB read and write operations".
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

READ_UNIT_BYTES: Final = 4096
"""What a strongly consistent read of one unit covers."""

_READS = ("BatchGetItem", "Query")


class Units(NamedTuple):
    """Read and write request units."""

    read: float
    write: float


class Call(NamedTuple):
    """A call of DynamoDB, and its answer.

    Attributes:
        operation: its name.
        arguments: as sent.
        answer: as parsed.
        began: in seconds, of a clock that only goes forward.
        ended: likewise.
    """

    operation: str
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any]
    began: float
    ended: float

    @property
    def is_read(self) -> bool:
        """Whether it only reads."""
        return self.operation in _READS


@contextmanager
def recorded(
    client: Any, pause: Callable[[Call], None] = lambda _call: None
) -> Iterator[list[Call]]:
    """The calls of a botocore client for DynamoDB, as they are made.

    Queries are sent without their projection: what they consume is the size of whole entries.

    Args:
        client: botocore's.
        pause: is called with each call before its answer is given, and may wait.
    """
    calls: list[Call] = []

    def begin(
        params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        sent = _for_whole_entries(params) if model.name == "Query" else params
        context["recorded"] = (sent, time.perf_counter())
        return sent

    def end(model: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        sent, began = context["recorded"]
        call = Call(model.name, sent, parsed, began, time.perf_counter())
        pause(call)
        calls.append(call._replace(ended=time.perf_counter()))

    events = client.meta.events
    events.register("provide-client-params.dynamodb.*", begin)
    events.register("after-call.dynamodb.*", end)
    try:
        yield calls
    finally:
        events.unregister("provide-client-params.dynamodb.*", begin)
        events.unregister("after-call.dynamodb.*", end)


def _for_whole_entries(query: Mapping[str, Any]) -> dict[str, Any]:
    """The same Query for all that the index holds; names that nothing uses are refused."""
    condition = query["KeyConditionExpression"]
    names = query["ExpressionAttributeNames"]
    used = {short: name for short, name in names.items() if short in condition}
    kept = {name: value for name, value in query.items() if name != "ProjectionExpression"}
    return {**kept, "ExpressionAttributeNames": used}


def units_of(calls: Sequence[Call]) -> Units:
    """What these calls consumed together."""
    reads = sum(_read_units(call) for call in calls if call.is_read)
    return Units(reads, sum(_told(call.answer) for call in calls if not call.is_read))


def items_read(call: Call) -> list[Mapping[str, Any]]:
    """The items and index entries that a read met."""
    if call.operation == "Query":
        return [*call.answer["Items"]]
    return [item for items in call.answer["Responses"].values() for item in items]


def bytes_read(call: Call) -> int:
    """The size of all that a read met."""
    return sum(map(item_bytes, items_read(call)))


def _read_units(call: Call) -> int:
    if call.operation == "Query":
        return units_to_read(bytes_read(call))
    missing = _keys(call.arguments["RequestItems"]) - _keys(call.answer["UnprocessedKeys"])
    items = items_read(call)
    units = sum(units_to_read(item_bytes(item)) for item in items)
    return units + missing - len(items)  # one for each that isn't there


def _keys(tables: Mapping[str, Any]) -> int:
    return sum(len(asked["Keys"]) for asked in tables.values())


def _told(answer: Mapping[str, Any]) -> float:
    """The units in an answer, which tells them of one table, or of each."""
    told = answer["ConsumedCapacity"]
    tables = told if isinstance(told, list) else [told]
    return float(sum(table["CapacityUnits"] for table in tables))


def units_to_read(size: int) -> int:
    """The units of a strongly consistent read of so many bytes: an item, or all that a Query met.

    What finds nothing takes one.
    """
    return max(1, math.ceil(size / READ_UNIT_BYTES))


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of an item or index entry, as DynamoDB's API has it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "B":
        return len(content)
    if kind == "N":
        digits = content.lstrip("-").replace(".", "").strip("0")
        return math.ceil(len(digits) / 2) + 1
    if kind == "L":
        return 3 + sum(1 + _value_bytes(element) for element in content)
    if kind == "M":
        return 3 + len(content) + item_bytes(content)
    return 1


class _Chain(NamedTuple):
    weight: float
    calls: tuple[Call, ...]


def waited_for(
    calls: Sequence[Call], weight: Callable[[Call], float] = lambda _call: 1.0
) -> tuple[Call, ...]:
    """The calls that determine how long all of them take: the longest way from first to last.

    Of calls at the same time one counts. A call is taken to have waited for all that had ended
    before it began.

    Args:
        calls: of one request, in any order.
        weight: how long one takes; by default each counts as one.
    """
    chains = [_Chain(0.0, ())]
    for call in sorted(calls, key=lambda call: call.began):
        earlier = (it for it in chains if not it.calls or it.calls[-1].ended <= call.began)
        longest = max(earlier, key=lambda chain: chain.weight)
        chains.append(_Chain(longest.weight + weight(call), (*longest.calls, call)))
    return max(chains, key=lambda chain: chain.weight).calls
