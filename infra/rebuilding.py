"""What a restored `objects` says of its lists, and a stage's tables made right by that.

A restore gives each item as it was at some moment near the time asked for, so a transaction may
have come by half: a clock without its objects, objects without their bucket. Here the items alone
count. Each list gets the clock that fits them, what is within nothing that is there is removed, and
`access` gets the rows that objects need. It is all found out anew each time, so what was stopped
is run again.

Nobody else may write meanwhile. Clocks are put under the condition that they are as they were read:
a writer is noticed, and ends it. Half a kilobyte of memory a list is used.
"""

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pynamodb.expressions.operand import Path

from chalicelib.protocol.kinds import BUCKET
from chalicelib.protocol.timestamps import MAX_TIMESTAMP
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.clock import CLOSED, ROOT, Clock, clock_from_raw
from chalicelib.storage.connection import MAX_ACTIONS, Dynamo, condition_of
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import ConflictError
from chalicelib.storage.items import RawItem, from_raw, is_object
from chalicelib.storage.keys import CLOCK_ID, clock_key, uri_of
from chalicelib.storage.packing import packed
from infra.leftovers import GRACE_MS, Inspection, Report

_TOLD_EACH_S: Final = 10.0
_BUCKETS: Final = clock_key(ListUri(BUCKET, ())).parent
_READ: Final = (
    *("parent", "id", "live", "version", "last_modified", "dead"),
    *("within", "incarnation", "timestamp", "count", "latest"),
)
"""The attributes that decide on clocks: no bodies."""


class InUseError(Exception):
    """Somebody writes to the tables, so what was read of them doesn't hold."""


@dataclass(slots=True)
class Census:
    """What a table holds of each list. Lists are told by the hash keys of their clocks.

    Attributes:
        items: how many were counted, clocks included.
        newest: the greatest time that an object or tombstone of a list has, in ms.
        live: objects by list and the incarnation that they are within.
        incarnations: of the lists whose bucket or collection is live, and its own.
        clocks: as read.
    """

    items: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    live: Counter[tuple[str, str]] = field(default_factory=Counter)
    incarnations: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)

    def add(self, raw: RawItem) -> None:
        """Count an item."""
        self.items += 1
        if raw["id"]["S"] == CLOCK_ID:
            self.clocks[raw["parent"]["S"]] = clock_from_raw(raw)
        elif is_object(raw):
            self._add_object(raw)

    def _add_object(self, raw: RawItem) -> None:
        item = from_raw(raw)
        uri = uri_of(item.key)
        parent = clock_key(uri.list).parent
        self.newest[parent] = max(self.newest.get(parent, 0), item.version, item.last_modified)
        if item.is_live:
            self.live[parent, item.within] += 1
        if item.incarnation is not None:
            for below in uri.lists:
                self.incarnations[clock_key(below).parent] = item.incarnation

    def clocks_due(self, now_ms: int) -> Iterator[tuple[str, Clock]]:
        """The clock that each list must have, one that nothing is late for.

        Its timestamp is above all that the list holds, and above what anybody has seen of it, as
        that was before now: who served these lists before takes no writes any more. A list whose
        bucket or collection isn't there is closed; it keeps a clock for whoever makes them again
        ("clock stays").

        Args:
            now_ms: the time now, in ms since the epoch.
        """
        for parent in sorted({*self.newest, *self.clocks, *self.incarnations}):
            within = ROOT if parent == _BUCKETS else self.incarnations.get(parent, CLOSED)
            known = self.clocks.get(parent)
            so_far = max(known.timestamp if known else 0, self.newest.get(parent, 0))
            yield parent, Clock(max(now_ms, so_far) + 1, self.live[parent, within], within)


class Rebuilding:
    """Makes a stage's tables right by the items of `objects`."""

    def __init__(self, client: Any, dynamo: Dynamo, *, now_ms: int) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            client: of boto3, for DynamoDB.
            dynamo: the tables.
            now_ms: the time now, in ms since the epoch.
        """
        self._client = client
        self._dynamo = dynamo
        self._now_ms = now_ms
        self._patient = Deadline(lambda: float("inf"))

    def run(self) -> Iterator[str]:
        """Do it all, and tell of it, a line each.

        Raises:
            InUseError: somebody writes.
            UnavailableError: DynamoDB doesn't answer.
        """
        census = Census()
        yield from _now_and_then("items read", self._take(census))
        yield from _now_and_then("clocks set", self._put_clocks(census))
        report = Report()
        yield from _now_and_then("items checked", self._repair(report))
        yield (
            f"{report.dead} items of what isn't there were removed, and {report.needless} access"
            f" rows; {report.missing} were put"
        )

    def _take(self, census: Census) -> Iterator[int]:
        names = {f"#{number}": name for number, name in enumerate(_READ)}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._dynamo.tables.objects,
            ConsistentRead=True,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
        )
        for page in pages:
            for raw in page["Items"]:
                census.add(raw)
            yield census.items

    def _put_clocks(self, census: Census) -> Iterator[int]:
        actions = (
            self._put_action(parent, clock, census.clocks.get(parent))
            for parent, clock in census.clocks_due(self._now_ms)
        )
        done = 0
        for chunk in packed(actions, size=lambda _action: 1, most=MAX_ACTIONS):
            try:
                self._dynamo.transact(chunk, uuid.uuid4().hex, self._patient)
            except ConflictError as error:
                raise InUseError(
                    f"somebody writes to {self._dynamo.tables.objects}: stop that, and go on by"
                    " running this again"
                ) from error
            done += len(chunk)
            yield done

    def _put_action(self, parent: str, clock: Clock, read: Clock | None) -> dict[str, Any]:
        timestamp = Path("timestamp")
        as_read = timestamp == read.timestamp if read else timestamp.does_not_exist()
        raw = {
            "parent": {"S": parent},
            "id": {"S": CLOCK_ID},
            "timestamp": {"N": str(clock.timestamp)},
            "count": {"N": str(clock.count)},
            "within": {"S": clock.within},
            "latest": {"L": []},
        }
        table = self._dynamo.tables.objects
        return {"Put": {"TableName": table, "Item": raw, **condition_of(as_read)}}

    def _repair(self, whole: Report) -> Iterator[int]:
        """Remove and put what is due; nothing is too young for that, as nobody writes."""
        inspection = Inspection(
            self._client,
            self._dynamo,
            self._patient,
            now_ms=MAX_TIMESTAMP + GRACE_MS,
            repairs=True,
        )
        for report in inspection.run():
            whole.dead, whole.needless, whole.missing = report.dead, report.needless, report.missing
            yield sum(report.there.values())


def _now_and_then(what: str, totals: Iterable[int]) -> Iterator[str]:
    """A line while this goes on, not too often, and one at the end."""
    told, total = time.monotonic(), 0
    for total in totals:
        if time.monotonic() - told > _TOLD_EACH_S:
            told = time.monotonic()
            yield f"{what}: {total} so far"
    yield f"{what}: {total}"
