"""What a user's device knows of a collection, and what is wrong with an answer.

It knows all that its user wrote, as it was answered. So each later sync can be held against it:
promised is that no sync misses a change, that times grow, and that reads show what was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from chalicelib.protocol.messages import JsonObject


class WrongAnswerError(Exception):
    """An answer isn't what a Kinto promises.

    Attributes:
        reason: in the same words each time.
        evidence: what was met this time.
    """

    def __init__(self, reason: str, evidence: object = "") -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason = reason
        self.evidence = str(evidence)


@dataclass(slots=True)
class Replica:
    """A user's copy of what he wrote in one collection.

    Attributes:
        path: of the list of records.
        is_alone: whether nobody else writes there.
        etag: of the last sync; None before the first one, and after what went wrong.
        own: the live records that the user wrote, by id.
        unseen: his writes that no sync has shown yet, by id; of deletions the tombstones.
        newest: the latest time that is known, in ms.
    """

    path: str
    is_alone: bool
    etag: str | None = None
    own: dict[str, JsonObject] = field(default_factory=dict)
    unseen: dict[str, JsonObject] = field(default_factory=dict)
    newest: int = 0

    def choose(self, random: Random) -> JsonObject | None:
        """Any of the user's records."""
        return self.own[random.choice([*self.own])] if self.own else None

    def wrote(self, sent: JsonObject, answered: JsonObject) -> None:
        """Keep a write.

        Args:
            sent: the data that the record is to have.
            answered: the data that were answered.

        Raises:
            WrongAnswerError: these are others, or not newer than all before.
        """
        self._grow(answered)
        if {**sent, "id": answered["id"], "last_modified": self.newest} != answered:
            raise WrongAnswerError("a write answers other data than were sent", [sent, answered])
        self.own[answered["id"]] = self.unseen[answered["id"]] = answered

    def deleted(self, id: str, answered: JsonObject) -> None:
        """Keep a deletion.

        Raises:
            WrongAnswerError: it isn't answered with a tombstone, or not with a newer one.
        """
        self._grow(answered)
        if answered != {"id": id, "last_modified": self.newest, "deleted": True}:
            raise WrongAnswerError("a deletion answers no tombstone", answered)
        del self.own[id]
        self.unseen[id] = answered

    def _grow(self, answered: JsonObject) -> None:
        if answered["last_modified"] <= self.newest:
            raise WrongAnswerError("last_modified doesn't grow", [self.newest, answered])
        self.newest = answered["last_modified"]

    def synced(self, entries: Sequence[JsonObject], etag: str) -> None:
        """Take a sync of what has changed since the last one.

        Args:
            entries: as the list told them; none where it answered 304.
            etag: of the list.

        Raises:
            WrongAnswerError: something is missing that the user wrote, or isn't as he wrote it.
        """
        told = {entry["id"]: entry for entry in entries}
        for id, written in self.unseen.items():
            if told.get(id) != written:
                raise WrongAnswerError("a sync misses a change", [written, told.get(id)])
        if self.is_alone and told.keys() != self.unseen.keys():
            unknown = [entry for id, entry in told.items() if id not in self.unseen]
            raise WrongAnswerError("a sync tells what nobody wrote", unknown)
        self._is_at(etag)

    def synced_from_scratch(self, entries: Sequence[JsonObject], etag: str, total: int) -> None:
        """Take all records of the list.

        Args:
            entries: of all pages.
            etag: of the first page.
            total: how many there are by the list's own count.

        Raises:
            WrongAnswerError: they aren't those that the user knows.
        """
        told = {entry["id"]: entry for entry in entries}
        if self.etag is None and self.is_alone:
            self.own = told
        for id, written in self.own.items():
            if told.get(id) != written:
                raise WrongAnswerError("a list lacks a record", [written, told.get(id)])
        dead = [entry for id, entry in self.unseen.items() if id in told and id not in self.own]
        if dead or (self.is_alone and len(told) > len(self.own)):
            unknown = [entry for id, entry in told.items() if id not in self.own]
            raise WrongAnswerError("a list has what is deleted, or nobody wrote", dead or unknown)
        if self.is_alone and total != len(told):
            raise WrongAnswerError("Total-Records isn't the number of records", [total, len(told)])
        self._is_at(etag)

    def _is_at(self, etag: str) -> None:
        time = int(etag.strip('"'))
        if time < self.newest:
            raise WrongAnswerError("an ETag is older than what is known", [self.newest, etag])
        self.etag, self.newest = etag, time
        self.unseen.clear()

    def forget(self) -> None:
        """Know nothing: after a request of which nobody knows what it did."""
        self.etag, self.newest = None, 0
        self.own.clear()
        self.unseen.clear()
