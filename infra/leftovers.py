"""What the tables of a stage hold, what of it nothing needs, and what they lack.

An operator's view of everything, page by page of a Scan. It decides as `purge` does, from the
items' own incarnations and permissions, read afresh for each page.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.access import Row, named, put_action, removal_action
from chalicelib.storage.clock import ROOT
from chalicelib.storage.connection import GET_KEYS, Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.items import Item, RawItem, from_raw, is_object
from chalicelib.storage.keys import CLOCK_ID, Key, key_of_row, object_key, uri_of
from chalicelib.storage.purge import removal_of

GRACE_MS: Final = 20 * 60 * 1000
"""What is younger may be about to become visible, or is left to the purge's second sweep."""


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        there: objects by the plural of their kind, `tombstones`, `clocks` and `rows`.
        dead: items within incarnations that are gone, with the incarnation.
        needless: rows whose objects don't name their principals.
        missing: rows that objects need, and that aren't there.
        young: how many of the dead and needless are within the time of grace.
    """

    there: Counter[str] = field(default_factory=Counter)
    dead: int = 0
    needless: int = 0
    missing: int = 0
    young: int = 0


class Inspection:
    """Looks through the tables of a stage, and repairs them if it is asked to."""

    def __init__(
        self, client: Any, dynamo: Dynamo, deadline: Deadline, *, now_ms: int, repairs: bool
    ) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            client: of boto3, for DynamoDB.
            dynamo: the tables.
            deadline: until when.
            now_ms: the time now, in ms since the epoch.
            repairs: whether to remove what nothing needs, and to put what is missing.
        """
        self._client = client
        self._dynamo = dynamo
        self._deadline = deadline
        self._oldest_young = now_ms - GRACE_MS
        self._repairs = repairs

    def run(self) -> Iterator[Report]:
        """The report as it grows, after each page; the last one is whole."""
        report = Report()
        for page in self._scan(self._dynamo.tables.objects):
            self._look_at_items(page, report)
            yield report
        for page in self._scan(self._dynamo.tables.access):
            self._look_at_rows(page, report)
            yield report

    def _scan(self, table: str) -> Iterator[list[RawItem]]:
        pages = self._client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return (page["Items"] for page in pages)

    def _look_at_items(self, page: Sequence[RawItem], report: Report) -> None:
        report.there["clocks"] += sum(raw["id"]["S"] == CLOCK_ID for raw in page)
        items = [from_raw(raw) for raw in page if is_object(raw)]
        keys = self._dead_among(items)
        dead = [item for item in items if item.key in keys]
        alive = {item.key: (uri_of(item.key), item) for item in items if item.key not in keys}
        report.there.update(
            uri.kind.plural if item.is_live else "tombstones" for uri, item in alive.values()
        )
        old = [item for item in dead if item.version < self._oldest_young]
        missing = self._missing_among(
            [Row(*each, it.version) for uri, it in alive.values() for each in {*named(uri, it)}]
        )
        report.dead += len(dead)
        report.young += len(dead) - len(old)
        report.missing += len(missing)
        if self._repairs:
            tables = self._dynamo.tables
            self._carry_out(removal_of(tables.objects, item) for item in old)
            self._carry_out([put_action(tables.access, row, unless_newer=True)] for row in missing)

    def _dead_among(self, items: Sequence[Item]) -> set[Key]:
        """The keys of those that are not within their parents as these are now."""
        uris = {item.key: uri_of(item.key) for item in items}
        parents = self._incarnations({above for uri in uris.values() for above in uri.ancestors})
        return {
            item.key
            for item in items
            if item.within != (parents.get(above) if (above := uris[item.key].parent) else ROOT)
        }

    def _incarnations(self, uris: Iterable[ObjectUri]) -> dict[ObjectUri, str | None]:
        """The incarnations of those of these buckets and collections that are there."""
        ordered = sorted(uris, key=lambda uri: len(uri.ids))  # buckets first
        raws = self._dynamo.get(map(object_key, ordered), self._deadline)
        found: dict[ObjectUri, str | None] = {}
        for uri in ordered:
            raw = raws.get(object_key(uri))
            item = from_raw(raw) if raw else None
            within = found.get(uri.parent) if uri.parent else ROOT
            if item is not None and item.is_live and item.within == within:
                found[uri] = item.incarnation
        return found

    def _missing_among(self, rows: Sequence[Row]) -> list[Row]:
        there = set()
        for start in range(0, len(rows), GET_KEYS):
            there |= self._rows_there(rows[start : start + GET_KEYS])
        return [row for row in rows if row[:2] not in there]

    def _rows_there(self, rows: Iterable[Row]) -> set[tuple[str, str]]:
        table = self._dynamo.tables.access
        keys = [{"principal": {"S": row.principal}, "object": {"S": row.object}} for row in rows]
        found = set()
        while keys:
            asked = {table: {"Keys": keys, "ConsistentRead": True}}
            answer = self._client.batch_get_item(RequestItems=asked)
            for raw in answer["Responses"][table]:
                found.add((raw["principal"]["S"], raw["object"]["S"]))
            keys = answer["UnprocessedKeys"].get(table, {}).get("Keys", [])
        return found

    def _look_at_rows(self, page: Iterable[RawItem], report: Report) -> None:
        rows = [
            Row(raw["principal"]["S"], raw["object"]["S"], int(raw["version"]["N"]))
            for raw in page
            if "version" in raw  # a heartbeat's has none
        ]
        raws = self._dynamo.get({key_of_row(row.object) for row in rows}, self._deadline)
        items = [from_raw(raw) for raw in raws.values()]
        dead = self._dead_among(items)
        needed = {
            each for item in items if item.key not in dead for each in named(uri_of(item.key), item)
        }
        needless = [row for row in rows if row[:2] not in needed]
        old = [row for row in needless if row.version < self._oldest_young]
        report.there["rows"] += len(rows) - len(needless)
        report.needless += len(needless)
        report.young += len(needless) - len(old)
        if self._repairs:
            table = self._dynamo.tables.access
            self._carry_out([removal_action(table, row)] for row in old)

    def _carry_out(self, groups: Iterable[list[dict[str, Any]]]) -> None:
        self._dynamo.transact_possible(groups, self._deadline)
