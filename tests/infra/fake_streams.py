"""A stream whose shards a test opens, fills and closes, behind the calls of boto3's clients."""

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

TABLE = "kinto-test-objects"


@dataclass(slots=True)
class Shard:
    """Numbers stand for the records: they are their sequence numbers."""

    parent: str | None = None
    numbers: list[int] = field(default_factory=list)
    is_closed: bool = False


class FakeStreams:
    """Both clients that a reader needs: of the tables, and of their streams."""

    def __init__(self, **shards: Shard) -> None:
        self.label = "first"
        self.shards = shards
        self.expired: set[str] = set()
        self.calls: list[str] = []
        self._issued = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:dynamodb:eu-west-1:000000000000:table/{TABLE}/stream/{self.label}"

    def describe_table(self, TableName: str) -> dict[str, Any]:  # noqa: N803  # boto3's
        assert TableName == TABLE
        return {"Table": {"LatestStreamArn": self.arn} if self.label else {}}

    def describe_stream(self, **asked: str) -> dict[str, Any]:
        """A shard a page."""
        self._check(asked["StreamArn"])
        self.calls.append("describe_stream")
        names = list(self.shards)
        at = names.index(asked["ExclusiveStartShardId"]) + 1 if len(asked) > 1 else 0
        found: dict[str, Any] = {"Shards": [self._described(name) for name in names[at : at + 1]]}
        if at + 1 < len(names):
            found["LastEvaluatedShardId"] = names[at]
        return {"StreamDescription": found}

    def _described(self, name: str) -> dict[str, str]:
        parent = self.shards[name].parent
        return {"ShardId": name, **({"ParentShardId": parent} if parent else {})}

    def get_shard_iterator(self, **asked: str) -> dict[str, str]:
        self._check(asked["StreamArn"])
        numbers = self.shards[asked["ShardId"]].numbers
        after = 0
        if asked["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            after = int(asked["SequenceNumber"])
            if after not in numbers:
                raise refused("TrimmedDataAccessException")
        return {"ShardIterator": self._iterator(asked["ShardId"], after)}

    def _iterator(self, shard_id: str, after: int) -> str:
        self._issued += 1
        return f"{self.arn} {shard_id} {after} {self._issued}"

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        arn, shard_id, after, _ = ShardIterator.split()
        self._check(arn)
        self.calls.append("get_records")
        if ShardIterator in self.expired:
            raise refused("ExpiredIteratorException")
        shard = self.shards[shard_id]
        left = [number for number in shard.numbers if number > int(after)]
        found: dict[str, Any] = {"Records": [record(number) for number in left[:Limit]]}
        if left[Limit:] or not shard.is_closed:
            last = left[:Limit][-1] if left else int(after)
            found["NextShardIterator"] = self._iterator(shard_id, last)
        return found

    def _check(self, arn: str) -> None:
        if arn != self.arn:
            raise refused("ResourceNotFoundException")


def record(number: int) -> dict[str, Any]:
    return {"eventID": str(number), "dynamodb": {"SequenceNumber": str(number)}}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Operation")
