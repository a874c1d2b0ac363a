"""Moving in from an existing Kinto: `python -m infra.import_kinto prod`.

From the environment: URL, of the source's API (`https://kinto.example.org/v1`);
KINTO_IMPORT_AUTH, `user:password` or a whole Authorization header; BUCKETS=a,b for these alone;
QUICK=1 to believe that what has the same time and data has the same permissions, too; SHOW=1 to
tell only what there is to write.

The source's buckets, collections, groups, records and tombstones come over with their timestamps,
data and permissions. What is here already, as it is there, is skipped: so it may be ended at any
time and run again, and a migration is a long run, then the end of all writes to the source, then
a short run (QUICK=1), and only then are clients led here. Clients go on syncing with the ETags
that they have. It is to be the same URL each time: by it is known what an import wrote. That
follows the source, whichever way it changes; what anybody else wrote here stays, and is told.
Where the source lacks what an import wrote, and has no tombstone of it (its parent was created
again), it is removed here without one, once the source says at its own address that nothing is
there, as lists leave out what a user may not read; but no bucket is.

The user needs `write` on each bucket, though nothing is written: Kinto tells permissions only to
who may write. A bucket that doesn't tell any is left out, with all below it. For the list of
buckets there is `kinto.bucket_read_principals`, or else only those are found that he may read;
BUCKETS names the others. User ids
(`basicauth:...`) are hashes of passwords with a secret: they stay the same only where the stage's
KINTO_USERID_HMAC_SECRET is the source's `kinto.userid_hmac_secret`.

What can't be here is told, and nothing else is held up by it: records with ids that are no UUIDs,
which newer Kintos allow, and objects that no item can hold.

At last each list is read again here and compared with what the source told, object by object by a
hash of id, time, data and permissions, and its count. The exit status is 1 where anything is not
the same. It takes some 300 MB of memory for a million records in one list.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.protocol.kinds import BUCKET
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.packing import packed
from chalicelib.storage.tables import Tables
from infra.importing import Stored, Target, fault_of, fingerprint
from infra.kinto_source import (
    Page,
    Source,
    SourceError,
    UnreadableError,
    authorization,
    checked_url,
)

BUCKETS: Final = ListUri(BUCKET, ())

_TOLD_EACH_S = 5.0
_SETTLED_S: Final = 2.0
"""After a transaction, DynamoDB may show its items one after the other."""

UNTOLD: Final = (
    "and all below it don't come over: the source doesn't tell its permissions, or it has none;"
    " give this user write on it"
)

_NAMED: Final = 10
"""Objects of a list that are told by name."""


class ImportFaultError(Exception):
    """What is in the way, in one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator asks for.

    Attributes:
        buckets: only these; none for all that there are.
        is_quick: believe that the same time and data mean the same permissions.
        shows: write nothing.
    """

    buckets: tuple[str, ...] = ()
    is_quick: bool = False
    shows: bool = False


@dataclass(slots=True)
class Taken:
    """What an import knows of one list.

    Attributes:
        uri: of the list.
        objects: fingerprints of the source's live ones, by id.
        tombstones: likewise.
        timestamp: the list's in the source.
        to_write: the ids of what was not here as it is there.
        to_remove: the ids of what an import wrote, and the source doesn't know any more.
        skipped: the ids of buckets that are left out.
        refused: what could not be written, and why.
        differing: the ids of what is not the same at last.
    """

    uri: ListUri
    objects: dict[str, bytes] = field(default_factory=dict)
    tombstones: dict[str, bytes] = field(default_factory=dict)
    timestamp: int = 0
    to_write: set[str] = field(default_factory=set)
    to_remove: list[str] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    refused: dict[ObjectUri, str] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)

    def add(self, stored: Stored) -> None:
        """Keep what the source told last of an object."""
        self.objects.pop(stored.id, None)
        self.tombstones.pop(stored.id, None)
        kept = self.objects if isinstance(stored, StoredObject) else self.tombstones
        kept[stored.id] = fingerprint(stored)

    def skip(self, ids: Iterable[str]) -> None:
        """Leave these buckets out, and tell why."""
        for id in ids:
            self.objects.pop(id, None)
            self.skipped.add(id)
            self.refused[self.uri.object(id)] = UNTOLD

    @property
    def hash(self) -> str:
        """Of all that is in the list, whatever the order."""
        all_of_it = (*self.objects.values(), *self.tombstones.values())
        total = sum(int.from_bytes(each) for each in all_of_it)
        return f"{total % 2**128:032x}"


class Import:
    """A source's buckets, and what is below, on their way into a stage."""

    def __init__(
        self,
        source: Source,
        target: Target,
        options: Options,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep what it needs; nothing is called yet."""
        self._source = source
        self._target = target
        self._options = options
        self._pause = pause
        self.problems: list[str] = []

    def run(self) -> Iterator[str]:
        """A line for each list that has come over; in the end `problems` has what did not.

        Raises:
            SourceError: the source can't be read.
            UnavailableError: DynamoDB doesn't answer.
        """
        self._source.check()
        try:
            yield from self._run(BUCKETS)
        except UnreadableError as error:
            hint = "" if self._options.buckets else "; name those that can be: BUCKETS=a,b"
            raise SourceError(f"{error}{hint}") from error

    def _run(self, uri: ListUri) -> Iterator[str]:
        """The lists from this one on downward."""
        taken = Taken(uri)
        try:
            for page in self._pages(uri):
                self._take(taken, page)
            self._compare(taken)
            if not self._options.shows:
                self._finish(taken)
        finally:
            self._tell_problems(taken)
        self._tell_missing(taken)
        yield self._line(taken)
        for below in self._lists_below(taken):
            try:
                yield from self._run(below)
            except UnreadableError as error:  # another list may be
                self.problems.append(str(error))

    def _pages(self, uri: ListUri) -> Iterator[Page]:
        """The pages of a list, or all of the buckets that were named; tells how far it is."""
        if uri == BUCKETS and self._options.buckets:
            yield _page_of(self._options.buckets)
            return
        begun = told = time.monotonic()
        read, total = 0, ""
        for page in self._source.pages(uri):
            yield page
            read += len(page.entries)
            now = time.monotonic()
            if now - told > _TOLD_EACH_S:
                told, speed = now, read / (now - begun)
                total = total or self._total(uri)
                print(f"{uri}: {read} so far{total}, {speed:.0f} a second", file=sys.stderr)

    def _total(self, uri: ListUri) -> str:
        count = self._source.count(uri)
        return "" if count is None else f", of {count} objects and all tombstones"

    def _take(self, taken: Taken, page: Page) -> None:
        """Write what is on a page, unless it is here already."""
        uri = taken.uri
        taken.timestamp = max(taken.timestamp, page.timestamp)
        here = self._target.find(uri, [entry["id"] for entry in page.entries])
        read = self._read(uri, page.entries, here)
        if uri == BUCKETS:
            taken.skip(it.id for it in read if isinstance(it, StoredObject) and not it.permissions)
        there = [it for it in read if it.id not in taken.skipped and not _is_no_loss(uri, it)]
        for stored in there:
            taken.add(stored)
        differing = [it for it in there if fingerprint(it) != fingerprint(here.get(it.id))]
        taken.to_write.update(it.id for it in differing)
        if self._options.shows:
            faults = {uri.object(it.id): fault_of(uri, it) for it in differing}
            taken.refused |= {each: fault for each, fault in faults.items() if fault}
        else:
            taken.refused |= self._target.take_over(uri, differing)

    def _read(
        self, uri: ListUri, entries: Sequence[JsonObject], here: dict[str, Stored]
    ) -> list[Stored]:
        """What these entries stand for, with their permissions.

        Buckets are always read: by them is known what this user is told.
        """
        if uri == BUCKETS or not self._options.is_quick:
            return self._source.read(uri, entries)
        same = [here[entry["id"]] for entry in entries if _is_same(entry, here.get(entry["id"]))]
        others = [entry for entry in entries if not _is_same(entry, here.get(entry["id"]))]
        return [*same, *self._source.read(uri, others)]

    def _compare(self, taken: Taken) -> None:
        """Find what is here and wasn't in the source's list."""
        uri = taken.uri
        if uri == BUCKETS and self._options.buckets:
            return
        known = {*taken.objects, *taken.tombstones, *taken.skipped}
        ours, foreign = self._target.others(uri, known)
        if uri == BUCKETS:
            gone = "is not in the source any more, or may not be read; delete it here yourself"
            live = self._target.find(uri, ours)
            taken.refused |= {
                uri.object(id): gone for id, it in live.items() if isinstance(it, StoredObject)
            }
            return
        for part in _in_parts(ours):
            self._take(taken, _page_of(part))
        taken.to_remove = [id for id in ours if id not in taken.objects]
        taken.refused |= {uri.object(id): "was created here by others" for id in foreign}

    def _finish(self, taken: Taken) -> None:
        """Remove what the source has forgotten, and look whether all is the same now."""
        uri = taken.uri
        self._target.advance(uri, taken.timestamp)
        self._target.remove(uri, taken.to_remove)
        taken.differing = self._differing(taken, [*taken.objects, *taken.tombstones])
        if any(uri.object(id) not in taken.refused for id in taken.differing):
            self._pause(_SETTLED_S)
            taken.differing = self._differing(taken, taken.differing)
        if uri != BUCKETS:
            self._check_count(taken)

    def _check_count(self, taken: Taken) -> None:
        """Tell of a count that isn't explained by what is told of single objects."""
        uri = taken.uri
        told = {*taken.differing, *(each.id for each in taken.refused)}
        live = [it for it in self._target.find(uri, told).values() if isinstance(it, StoredObject)]
        expected = len(taken.objects.keys() - told) + len(live)
        if (counted := self._target.count(uri)) != expected:
            self.problems.append(f"{uri}: {counted} objects are counted here, and not {expected}")

    def _differing(self, taken: Taken, ids: Sequence[str]) -> list[str]:
        """Those of these ids whose objects are not here as the source told them."""
        known = taken.objects | taken.tombstones
        differing = []
        for part in _in_parts(ids):
            here = self._target.find(taken.uri, part)
            differing += [id for id in part if fingerprint(here.get(id)) != known[id]]
        return differing

    def _lists_below(self, taken: Taken) -> Iterator[ListUri]:
        """The lists of the objects that are there, if these are here."""
        for id in taken.objects:
            lists = taken.uri.object(id).lists
            if not lists:
                return
            here = self._target.find(taken.uri, [id]).get(id)
            if isinstance(here, StoredObject) or self._options.shows:
                yield from lists
            else:
                uri = taken.uri.object(id)
                self.problems.append(f"{uri} is not here, so that nothing below it came over")

    def _tell_missing(self, taken: Taken) -> None:
        if taken.uri == BUCKETS:
            told = taken.objects.keys() | taken.skipped
            missing = [id for id in self._options.buckets if id not in told]
            self.problems += [f"{BUCKETS.object(id)} is not in the source" for id in missing]

    def _tell_problems(self, taken: Taken) -> None:
        refused = [f"{uri} {why}" for uri, why in taken.refused.items()]
        others = [taken.uri.object(id) for id in taken.differing]
        lines = refused + [
            f"{uri} is not the same here" for uri in others if uri not in taken.refused
        ]
        self.problems += lines[:_NAMED]
        if len(lines) > _NAMED:
            self.problems.append(f"{taken.uri}: and {len(lines) - _NAMED} more")

    def _line(self, taken: Taken) -> str:
        """What there is to say of a list, for people."""
        there = f"{taken.uri}: {len(taken.objects)} objects, {len(taken.tombstones)} tombstones"
        removed = len(taken.to_remove)
        if self._options.shows:
            to_write = taken.to_write - {each.id for each in taken.refused}
            refused = len(taken.refused)
            return f"{there}; {len(to_write)} to write, {removed} to remove, {refused} refused"
        outcome = f"{len(taken.differing)} differ" if taken.differing else f"hash {taken.hash}"
        changes = f"{len(taken.to_write)} new or changed, {removed} removed"
        return f"{there}, {changes}; {outcome}"


def _is_no_loss(uri: ListUri, stored: Stored) -> bool:
    """Whether this is the tombstone of what could never be here."""
    return isinstance(stored, Tombstone) and fault_of(uri, stored) is not None


def _page_of(ids: Iterable[str]) -> Page:
    return Page([{"id": id} for id in ids])


def _in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    return packed(ids, size=lambda _id: 1, most=1000)


def _is_same(entry: JsonObject, here: Stored | None) -> bool:
    """Whether a list's entry is what is here, as far as it tells."""
    return here is not None and _canonical(entry) == _canonical(here.to_json())


def _canonical(value: JsonObject) -> str:
    return json.dumps(value, sort_keys=True)


def main(stage: str) -> int:
    """Bring everything over, and tell how it went; gives the exit status."""
    problems: list[str] = []
    try:
        _import(stage, problems)
    except (ImportFaultError, SourceError, BotoCoreError, ClientError) as error:
        problems.append(str(error))
    except UnavailableError as error:
        cause = error.__cause__
        problems.append(f"DynamoDB doesn't answer ({cause}): run this again, and it goes on")
    except KeyboardInterrupt:
        problems.append("ended: run this again, and it goes on")
    for problem in problems:
        print(f"kinto-serverless: {problem}", file=sys.stderr)
    return int(bool(problems))


def _import(stage: str, problems: list[str]) -> None:
    """Bring everything over; what didn't come is added to `problems`, however it ends."""
    if not stage:
        raise ImportFaultError(
            "which stage? make import URL=https://kinto.example.org/v1 STAGE=prod"
        )
    options = _options()
    url = checked_url(os.environ.get("URL", ""))
    header = authorization(os.environ.get("KINTO_IMPORT_AUTH", ""))
    target = Target(Dynamo(connect(), Tables.of_stage(stage)), url)
    _check_tables(target, stage)
    with Source(url, header) as source:
        moving = Import(source, target, options)
        try:
            for line in moving.run():
                print(line, flush=True)
        finally:
            problems += moving.problems
    print(
        "User ids stay valid only where the stage's KINTO_USERID_HMAC_SECRET is the source's"
        " kinto.userid_hmac_secret."
    )


def _check_tables(target: Target, stage: str) -> None:
    try:
        target.check()
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            raise ImportFaultError(
                f"no tables of {stage} here: make deploy STAGE={stage} first"
            ) from error
        raise


def _options() -> Options:
    names = [name.strip() for name in os.environ.get("BUCKETS", "").split(",")]
    buckets = tuple(dict.fromkeys(name for name in names if name))
    if bad := [name for name in buckets if not BUCKET.is_id(name)]:
        raise ImportFaultError(f"no bucket can have the id {bad[0]!r}")
    return Options(buckets, is_quick=_flag("QUICK"), shows=_flag("SHOW"))


def _flag(name: str) -> bool:
    text = os.environ.get(name) or "0"
    if text not in ("0", "1"):
        raise ImportFaultError(f"{name}={text!r} is neither 1 nor 0")
    return text == "1"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
