"""Hosts of the service as Lambda has them: each its connection, its clock and real time."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeVar

import botocore.session
from pynamodb.connection import Connection

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Response
from chalicelib.settings import Settings
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage, system_now_ms
from tests.doubles import REGION, SECRET, Client

T = TypeVar("T")

BUCKET = "/buckets/blog"
COLLECTION = f"{BUCKET}/collections/posts"
RECORDS = f"{COLLECTION}/records"

REQUEST_S = 25.0
"""What a request has in Lambda, behind a gateway that gives up after 29 s."""


class RealTime:
    """A request's time as it passes; what `Client` takes for its patience."""

    def __init__(self, seconds: float = REQUEST_S) -> None:
        self._ends = time.monotonic() + seconds

    def deadline(self) -> Deadline:
        return Deadline(lambda: self._ends - time.monotonic())


def clock_off_by(offset_ms: int) -> Callable[[], int]:
    """The clock of a host that is ahead, or behind where that is negative."""
    return lambda: system_now_ms() + offset_ms


@cache
def _session() -> Any:
    return botocore.session.get_session()


class Connections:
    """Connections to one endpoint, lent by their numbers, closed together."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connections: list[Connection] = []

    def __getitem__(self, number: int) -> Connection:
        while len(self._connections) <= number:
            connection = connect(REGION, self.url)
            # One that has read botocore's models already; each would read them for itself.
            connection._local.session = _session()
            _ = connection.client  # made here: not by threads at their first call
            self._connections.append(connection)
        return self._connections[number]

    def close(self) -> None:
        for connection in self._connections:
            connection.client.close()


class Hosts:
    """Makes hosts that serve one stage, each through the next connection."""

    def __init__(self, connections: Connections, stage: str) -> None:
        self.stage = stage
        self.tables = Tables.of_stage(stage)
        self._connections = connections
        self._made = 0

    @property
    def url(self) -> str:
        """The emulator's."""
        return self._connections.url

    @property
    def dynamodb(self) -> Any:
        """A plain client of DynamoDB, to look behind the service."""
        return self._connections[0].client

    def connect(self) -> Connection:
        """A connection that nobody else has."""
        self._made += 1
        return self._connections[self._made - 1]

    def start(self, *, offset_ms: int = 0, seconds: float = REQUEST_S) -> Client:
        """A client of a new host."""
        settings = Settings(stage=self.stage, userid_hmac_secret=SECRET)
        storage = Storage(Dynamo(self.connect(), self.tables), clock_off_by(offset_ms))
        service = Service(settings, storage, [BasicPolicy(settings.userid_hmac_secret)])
        return Client(service, partial(RealTime, seconds))  # type: ignore[arg-type]  # its shape

    def stream_images(self) -> Iterator[dict[str, Any]]:
        """What the items of `objects` became, one image a write, in the order of commits."""
        table = self.dynamodb.describe_table(TableName=self.tables.objects)["Table"]
        streams = _session().create_client("dynamodbstreams", REGION, endpoint_url=self.url)
        with closing(streams):
            arn = {"StreamArn": table["LatestStreamArn"]}
            (shard,) = streams.describe_stream(**arn)["StreamDescription"]["Shards"]
            iterator = streams.get_shard_iterator(
                **arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while found := streams.get_records(ShardIterator=iterator):
                if not found["Records"]:
                    return
                yield from (change["dynamodb"]["NewImage"] for change in found["Records"])
                iterator = found["NextShardIterator"]


def seeded(seed: int) -> random.Random:
    """Chance that is the same each time, apart from the order in which threads go on."""
    return random.Random(seed)  # noqa: S311  # nothing secret


def together(works: Sequence[Callable[[], T]]) -> list[T]:
    """What all of these give, each run on a thread of its own, begun at the same moment."""
    begun = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        begun.wait(timeout=REQUEST_S)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


@dataclass(frozen=True, slots=True)
class Change:
    """A write that was answered 200 or 201.

    Attributes:
        id: of the object.
        last_modified: as answered.
        data: as answered.
        began: when it was asked for, in seconds of this machine's monotonic clock.
        ended: when the answer came.
    """

    id: str
    last_modified: int
    data: dict[str, Any]
    began: float
    ended: float

    @property
    def is_deletion(self) -> bool:
        return self.data.get("deleted") is True


@dataclass(slots=True)
class Log:
    """The changes that were answered, in the order of the answers; and how many of each status."""

    changes: list[Change] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(
        self, client: Client, method: str, path: str, data: Any = None, **more: Any
    ) -> Response:
        """The answer to a write, which is kept where something was changed."""
        began = time.monotonic()
        answer = client.ask(method, path, data, **more)
        ended = time.monotonic()
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status in (200, 201):
                told = data_of(answer)
                for stored in told if isinstance(told, list) else [told]:
                    change = Change(stored["id"], stored["last_modified"], stored, began, ended)
                    self.changes.append(change)
        return answer


def data_of(answer: Response) -> Any:
    """The `data` of an answer."""
    assert answer.body is not None, answer
    return answer.body["data"]


def newest(changes: Sequence[Change]) -> dict[str, Change]:
    """The last change of each object."""
    return {change.id: change for change in sorted(changes, key=lambda each: each.last_modified)}


def make_posts(client: Client) -> None:
    """A bucket with a collection."""
    assert client.ask("PUT", BUCKET).status == 201
    assert client.ask("PUT", COLLECTION).status == 201
