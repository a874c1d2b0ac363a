"""The clock of a list: its timestamp, its count, and the writes that may not be visible yet.

Rule: `docs/architecture.md`, "The clock".
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action

from chalicelib.protocol.timestamps import Tick, tick
from chalicelib.storage.connection import condition_of
from chalicelib.storage.items import RawItem
from chalicelib.storage.keys import Key, time_key

ROOT: Final = "root"
"""What buckets are within."""

CLOSED: Final = "closed"
"""What the clock of a list is within whose parent is deleted: nothing is written to it."""

MAX_LATEST_BYTES: Final = 1024
"""A writer that finds more in `latest` first takes out what is visible by now."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the clock names, as its item may not be visible yet.

    DynamoDB isolates reads item by item: after a transaction, the clock may be seen before the
    object. An object of this version, or a newer one, is what a list must show.
    """

    id: str
    version: int
    last_modified: int
    is_live: bool

    def to_text(self) -> str:
        """As the clock keeps it; the id is last, so it may hold anything."""
        return f"{self.version}:{self.last_modified}:{'live' if self.is_live else 'dead'}:{self.id}"

    def to_key(self, within: str) -> str:
        """The range key of its item in an index."""
        return time_key(within, self.last_modified, self.id)

    @classmethod
    def from_text(cls, text: str) -> "Write":
        """What was kept so."""
        version, last_modified, state, id = text.split(":", 3)
        return cls(id, int(version), int(last_modified), state == "live")


@dataclass(frozen=True, slots=True)
class Clock:
    """A list's clock as stored.

    Attributes:
        timestamp: the list's, in ms; above all that its writes had.
        count: live objects.
        within: the incarnation of the list's parent, ROOT or CLOSED.
        latest: the last writes, as Write.to_text gives them, oldest first.
        last_deletion: the list's timestamp, in ms, at the last deletion in it; 0 where there was
            none, None where that isn't known.
    """

    timestamp: int
    count: int
    within: str
    latest: tuple[str, ...] = ()
    last_deletion: int | None = None

    def has_deletions(self, since: int | None) -> bool:
        """Whether a tombstone may be newer than this, in ms; None for any."""
        return self.last_deletion is None or self.last_deletion > (since or 0)

    @property
    def latest_bytes(self) -> int:
        """How much `latest` holds."""
        return sum(map(len, self.latest))

    @property
    def newest_writes(self) -> dict[str, Write]:
        """The newest of the last writes of each id."""
        writes = map(Write.from_text, self.latest)
        return {write.id: write for write in sorted(writes, key=lambda write: write.version)}


def clock_from_raw(raw: RawItem) -> Clock:
    """The clock that DynamoDB answered."""
    return Clock(
        timestamp=int(raw["timestamp"]["N"]),
        count=int(raw["count"]["N"]),
        within=raw["within"]["S"],
        latest=tuple(entry["S"] for entry in raw["latest"]["L"]),
        last_deletion=int(raw["last_deletion"]["N"]) if "last_deletion" in raw else None,
    )


@dataclass(slots=True)
class StagedClock:
    """A clock in a unit of work: as it was read, and what the staged writes make of it.

    Attributes:
        key: where.
        loaded: as read; None where there is none yet.
        within: what it will be within.
        timestamp: what it has come to.
        first: the first timestamp given, which must be above the stored one ("first time").
        grown: live objects more than before.
        writes: to be named in `latest`.
        last_deletion: the list's timestamp at the last deletion that is staged; 0 for none.
        is_opened: whether it begins anew, for an incarnation made in this unit.
        is_held: whether a request was let through by the timestamp as read ("T as loaded").
        kept: what is left of `latest`, where this unit took out what is visible.
    """

    key: Key
    loaded: Clock | None
    within: str
    timestamp: int
    first: int | None = None
    grown: int = 0
    writes: list[Write] = field(default_factory=list)
    last_deletion: int = 0
    is_opened: bool = False
    is_held: bool = False
    kept: tuple[str, ...] | None = None

    @classmethod
    def of(cls, key: Key, loaded: Clock | None) -> "StagedClock":
        """A clock on which nothing is staged."""
        if loaded is None:
            return cls(key, None, ROOT, 0)
        return cls(key, loaded, loaded.within, loaded.timestamp)

    @property
    def begins(self) -> bool:
        """Whether the list begins in this unit, so that nothing can be in it but what is staged."""
        return self.loaded is None or self.is_opened

    @property
    def as_read(self) -> Clock:
        """The clock that the list is to be read by, but that the staged objects count."""
        if self.loaded is None or self.is_opened:
            return Clock(self.timestamp, self.grown, self.within)
        count = self.loaded.count + self.grown
        latest = self.loaded.latest if self.kept is None else self.kept
        return replace(self.loaded, count=count, latest=latest)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.first is not None or self.is_closed

    @property
    def is_touched(self) -> bool:
        """Whether it is not just as it was read."""
        return self.is_changed or self.is_held

    @property
    def max_stored_bytes(self) -> int:
        """What DynamoDB counts for it at most."""
        named = sum(len(write.to_text()) + 1 for write in self.writes)
        latest = self.as_read
        return 200 + len(self.key.parent) + latest.latest_bytes + len(latest.latest) + named

    def copy(self) -> "StagedClock":
        """The same, that stays as it is."""
        return replace(self, writes=[*self.writes])

    @property
    def is_closed(self) -> bool:
        """Whether this unit ends the list."""
        return self.loaded is not None and self.within == CLOSED != self.loaded.within

    def tick(self, *, now_ms: int, given: int | None) -> Tick:
        """The times of the next write, above every one before ("clock condition")."""
        times = tick(self.timestamp, now_ms=now_ms, given=given)
        self._move_to(times.timestamp)
        return times

    def open(self, within: str, at_ms: int) -> None:
        """Begin anew for this incarnation, above the old timestamps ("clock stays")."""
        self._move_to(max(at_ms, self.timestamp + 1))
        self.within, self.is_opened = within, True
        self.grown, self.writes, self.kept, self.last_deletion = 0, [], None, 0

    def close(self) -> None:
        """Let nothing more be written within the list's incarnation ("closed clock")."""
        if self.begins:
            self.grown, self.writes = 0, []
        self.within = CLOSED

    def abandon(self) -> None:
        """Leave the list to what is stored: the parent it was opened for is never written."""
        self.within = CLOSED if self.loaded is None else self.loaded.within
        self.is_opened, self.grown, self.writes, self.kept = False, 0, [], None
        self.last_deletion = 0

    def name(self, write: Write) -> None:
        """Name a write, in the place of an earlier one of that object in this unit."""
        self.writes = [*(each for each in self.writes if each.id != write.id), write]
        if not write.is_live:
            self.last_deletion = write.version

    def forget(self, id: str) -> None:
        """Name no write of an object any more."""
        self.writes = [write for write in self.writes if write.id != id]
        latest = self.as_read.latest
        self.kept = tuple(each for each in latest if Write.from_text(each).id != id)

    def _move_to(self, timestamp: int) -> None:
        self.timestamp = timestamp
        self.first = timestamp if self.first is None else self.first

    def to_action(self, table: str) -> dict[str, Any]:
        """The update of the clock, under its conditions, as an action of a transaction."""
        return {
            "Update": {
                "TableName": table,
                "Key": {"parent": {"S": self.key.parent}, "id": {"S": self.key.id}},
                **condition_of(self._condition(), self._updates()),
            }
        }

    @property
    def is_refused_after_any(self) -> bool:
        """Whether any other write in the list that comes first has this one refused.

        It has where the timestamp must be as read ("T as loaded"), and where it is that one, and
        not this host's clock, which gives the next.
        """
        if self.is_held or self.kept is not None:
            return True
        return self.loaded is not None and self.first == self.loaded.timestamp + 1

    def _condition(self) -> Condition:
        if self.loaded is None:
            return Path("parent").does_not_exist()
        timestamp = Path("timestamp")
        condition: Condition = Path("within") == self.loaded.within  # "closed clock"
        if self.first is not None:
            condition &= timestamp < self.first  # "clock condition", "first time"
        if self.is_held or self.kept is not None:
            condition &= timestamp == self.loaded.timestamp  # "T as loaded"
        return condition

    def _updates(self) -> list[Action]:
        updates: list[Action] = [Path("within").set(self.within)]
        if self.first is not None:
            updates.append(Path("timestamp").set(self.timestamp))
        count, latest = Path("count"), Path("latest")
        named = [write.to_text() for write in self.writes]
        last_deletion = Path("last_deletion")
        if self.loaded is None or self.is_opened:
            begun = count.set(self.grown), latest.set(_texts(named))
            return [*updates, *begun, last_deletion.set(self.last_deletion)]
        if self.last_deletion:
            updates.append(last_deletion.set(self.last_deletion))
        if self.kept is not None:
            updates.append(latest.set(_texts([*self.kept, *named])))
        elif named:
            updates.append(latest.set(latest.append(_texts(named))))  # "carried on"
        if self.grown:
            updates.append(count.add({"N": str(self.grown)}))
        return updates


def _texts(texts: Iterable[str]) -> dict[str, Any]:
    return {"L": [{"S": text} for text in texts]}
