"""A table's stream, read shard by shard, from where it was left off."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

_ENDED = "ended"
"""The position in a shard that is closed and was read whole."""

_GONE = "ResourceNotFoundException"
_EXPIRED = "ExpiredIteratorException"  # after 15 minutes
_TRIMMED = "TrimmedDataAccessException"


class NoStreamError(Exception):
    """The table has no stream."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one shard, in their order.

    Attributes:
        stream_arn: of the stream that they are from.
        shard_id: of the shard that they are from.
        records: as boto3 gives them.
        next_iterator: leads on; None where the shard is closed and nothing follows.
    """

    stream_arn: str
    shard_id: str
    records: list[dict[str, Any]]
    next_iterator: str | None


class Positions:
    """The sequence number to which each shard of a stream was processed, kept in a file.

    It is written after each batch: one that was processed and isn't in the file yet when we are
    killed comes again, and none is passed over. Unreadable, it begins anew.
    """

    def __init__(self, file: Path | None) -> None:
        """Those of this file; None keeps them in memory."""
        self._file = file
        self._by_shard = _read(file)

    def __getitem__(self, shard_id: str) -> str | None:
        """The last sequence number that was processed; None before the first."""
        return self._by_shard.get(shard_id)

    def has_ended(self, shard_id: str) -> bool:
        """Whether nothing more can come from this shard."""
        return self._by_shard.get(shard_id) == _ENDED

    def move(self, shard_id: str, sequence_number: str) -> None:
        """Be after this record."""
        self._by_shard[shard_id] = sequence_number
        self._write()

    def end(self, shard_id: str) -> None:
        """Be at the end of a closed shard."""
        self.move(shard_id, _ENDED)

    def keep_only(self, shard_ids: set[str]) -> None:
        """Forget the shards that are gone, as they are 24 hours after they were closed."""
        self._by_shard = {name: it for name, it in self._by_shard.items() if name in shard_ids}

    def _write(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._by_shard), encoding="utf-8")
        os.replace(fresh, self._file)


def _read(file: Path | None) -> dict[str, str]:
    try:
        content = json.loads(file.read_bytes()) if file else {}
    except (OSError, ValueError):
        return {}
    pairs = content.items() if isinstance(content, dict) else ()
    return {name: position for name, position in pairs if isinstance(position, str)}


class StreamReader:
    """Reads the stream that a table has, and the next one where the table was made anew."""

    def __init__(
        self,
        dynamodb: Any,
        streams: Any,
        table: str,
        *,
        batch_size: int,
        folder: Path | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            dynamodb: a client of boto3.
            streams: one for the streams.
            table: the name of the table.
            batch_size: the most records of a batch.
            folder: keeps the positions, a file a stream; None keeps them in memory.
        """
        self._dynamodb = dynamodb
        self._streams = streams
        self._table = table
        self._batch_size = batch_size
        self._folder = folder
        self._arn = ""
        self._positions = Positions(None)
        self._open: list[str] = []
        self._iterators: dict[str, str] = {}

    def batches(self) -> Iterator[Batch]:
        """What each shard has now, but for those that have nothing.

        What isn't passed to `advance` is given again the next time, maybe with more behind it.

        Raises:
            NoStreamError: the table has none.
        """
        try:
            if not self._open:
                self.find_shards()
            for shard_id in list(self._open):
                batch = self._read(shard_id)
                if batch.records:
                    yield batch
                else:
                    self.advance(batch)
        except ClientError as error:
            if _code(error) != _GONE:
                raise
            self._open = []  # the table, or its stream, is another now: found the next time

    def advance(self, batch: Batch) -> None:
        """Be behind this batch, for good."""
        if batch.records:
            last = batch.records[-1]["dynamodb"]["SequenceNumber"]
            self._positions.move(batch.shard_id, last)
        if batch.next_iterator is None:
            self._positions.end(batch.shard_id)
            self._iterators.pop(batch.shard_id, None)
            self._open = []  # its children can be read now
        else:
            self._iterators[batch.shard_id] = batch.next_iterator

    def find_shards(self) -> None:
        """Find the shards that can be read: a child only once its parent has ended.

        Raises:
            NoStreamError: the table has no stream.
        """
        self._follow(self._current_stream())
        parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in self._shards()}
        self._positions.keep_only(set(parents))
        self._open = [
            shard_id
            for shard_id, parent in parents.items()
            if not self._positions.has_ended(shard_id)
            and (parent is None or parent not in parents or self._positions.has_ended(parent))
        ]

    def _current_stream(self) -> str:
        table = self._dynamodb.describe_table(TableName=self._table)["Table"]
        if not table.get("LatestStreamArn"):
            raise NoStreamError(f"the table {self._table} has no stream")
        arn: str = table["LatestStreamArn"]
        return arn

    def _follow(self, arn: str) -> None:
        if arn == self._arn:
            return
        name = "-".join(arn.split("/")[1::2])  # of the table and the stream's label
        self._arn = arn
        self._positions = Positions(self._folder and self._folder / f"{name}.json")
        self._iterators = {}

    def _shards(self) -> Iterator[dict[str, Any]]:
        asked = {"StreamArn": self._arn}
        while True:
            found = self._streams.describe_stream(**asked)["StreamDescription"]
            yield from found["Shards"]
            if not found.get("LastEvaluatedShardId"):
                return
            asked["ExclusiveStartShardId"] = found["LastEvaluatedShardId"]

    def _read(self, shard_id: str) -> Batch:
        iterator = self._iterators.get(shard_id) or self._fresh_iterator(shard_id)
        try:
            found = self._records(iterator)
        except ClientError as error:
            if _code(error) not in (_EXPIRED, _TRIMMED):
                raise
            found = self._records(self._fresh_iterator(shard_id))
        return Batch(self._arn, shard_id, found["Records"], found.get("NextShardIterator"))

    def _records(self, iterator: str) -> dict[str, Any]:
        found: dict[str, Any] = self._streams.get_records(
            ShardIterator=iterator, Limit=self._batch_size
        )
        return found

    def _fresh_iterator(self, shard_id: str) -> str:
        position = self._positions[shard_id]
        if position is not None:
            try:
                return self._iterator(shard_id, "AFTER_SEQUENCE_NUMBER", SequenceNumber=position)
            except ClientError as error:
                if _code(error) != _TRIMMED:
                    raise
        return self._iterator(shard_id, "TRIM_HORIZON")  # where the oldest record is

    def _iterator(self, shard_id: str, kind: str, **more: str) -> str:
        found = self._streams.get_shard_iterator(
            StreamArn=self._arn, ShardId=shard_id, ShardIteratorType=kind, **more
        )
        iterator: str = found["ShardIterator"]
        return iterator


def _code(error: ClientError) -> str:
    code: str = error.response["Error"]["Code"]
    return code
