"""Feeds a stream and queues to their handlers, as Lambda's event source mappings do."""

import math
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import boto3
from botocore.config import Config

from infra.lambda_events import Event, LambdaContext, queue_event, stream_event
from infra.queues import DELIVERIES, PURGES, RETRIES, queue_arn, queue_resources
from infra.stream import Batch, StreamReader
from infra.tables import table_resources

Handler = Callable[[Event, LambdaContext], Any]
"""Handles an event, or raises."""

BATCH_SIZE = 100
CHANGES_S = 60.0


class FunctionOfQueue(NamedTuple):
    """A function that takes messages.

    Attributes:
        logical_id: of its queue.
        timeout_s: how long it may take for one.
        at_once: how many it takes at the same time.
    """

    logical_id: str
    timeout_s: float
    at_once: int


QUEUES = {
    "purge": FunctionOfQueue(PURGES, 300.0, 1),
    "deliver": FunctionOfQueue(DELIVERIES, 30.0, 64),
    "retry": FunctionOfQueue(RETRIES, 30.0, 20),
}

_PAUSE_S = 0.25
_WAIT_S = 1
_FAILURE_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_END_S = 5.0
_PATIENCE = Config(
    connect_timeout=2,
    read_timeout=20,
    retries={"total_max_attempts": 2},
    max_pool_connections=2 + sum(function.at_once for function in QUEUES.values()),
)


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of boto3 that the pump needs. Threads may share them."""

    dynamodb: Any
    streams: Any
    sqs: Any

    @classmethod
    def connect(cls, url: str | None = None) -> "Clients":
        """Clients of this endpoint; of the one that the environment names if None."""
        return cls(
            *(
                boto3.client(service, endpoint_url=url, config=_PATIENCE)
                for service in ("dynamodb", "dynamodbstreams", "sqs")
            )
        )


class Stopping(Protocol):
    """What a loop asks whether to go on: `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, timeout: float) -> bool:
        """Pause; shorter where it is set meanwhile."""


class Pump:
    """Reads the stream of `objects` and the queues of a stage for their handlers.

    What a handler raised at is handed over again: records of the stream as long as they are there,
    nothing of their shard before them; a message once its visibility timeout is over, until the
    queue moves it to the dead letters.
    """

    def __init__(
        self,
        stage: str,
        changes: Handler,
        of_queues: Mapping[str, Handler],
        *,
        clients: Clients | None = None,
        folder: Path | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            stage: names the table and the queues, which exist.
            changes: takes records of the stream.
            of_queues: each takes one message of the queue in QUEUES.
            clients: of the environment's endpoint if None.
            folder: keeps how far the stream was processed; None keeps it in memory.
        """
        self._clients = clients or Clients.connect()
        self._stage = stage
        self._changes = changes
        self._of_queues = of_queues
        self._reader = StreamReader(
            self._clients.dynamodb,
            self._clients.streams,
            table_resources(stage)["Objects"]["TableName"],
            batch_size=BATCH_SIZE,
            folder=folder,
        )
        self._queues: dict[str, tuple[str, str]] = {}
        self._receiving = {function: threading.Lock() for function in of_queues}
        self._stopping = threading.Event()
        self._ends = math.inf

    def check(self) -> None:
        """Find the stream and the queues.

        Raises:
            NoStreamError: the table has none.
            BotoCoreError, ClientError: the endpoint lacks streams or queues, or doesn't answer.
        """
        self._reader.find_shards()
        for function in self._of_queues:
            self._found_queue(function)

    def pump_once(self) -> int:
        """Hand over what is there, a batch a shard and a message a queue; gives how many.

        Raises:
            Exception: what a handler raised at first, after the others were called.
        """
        return self.pump_changes_once() + sum(map(self.pump_queue_once, self._of_queues))

    def pump_until_quiet(self) -> int:
        """Hand over until nothing is there, but for messages in delay; gives how many there were.

        Raises:
            Exception: what a handler raised.
        """
        total = 0
        while handled := self.pump_once():
            total += handled
        return total

    def pump_changes_once(self) -> int:
        """Hand over a batch of each shard; gives how many records were processed.

        Raises:
            Exception: what the handler raised at first. Other shards aren't held up by it.
        """
        handled = 0
        failures: list[Exception] = []
        for batch in self._reader.batches():
            try:
                self._hand_over(batch)
            except Exception as error:  # a handler may raise anything
                failures.append(error)
            else:
                handled += len(batch.records)
        if failures:
            raise failures[0]
        return handled

    def _hand_over(self, batch: Batch) -> None:
        event = stream_event(batch.records, batch.stream_arn)
        self._changes(event, self._context("changes", CHANGES_S))
        self._reader.advance(batch)

    def pump_queue_once(self, function: str, wait_s: int = 0) -> int:
        """Hand over a message, and delete it; gives how many there were, one or none.

        Args:
            function: of QUEUES.
            wait_s: how long to wait for one.

        Raises:
            Exception: what the handler raised.
        """
        url, arn = self._found_queue(function)
        with self._receiving[function]:  # others would only wait for the same
            messages = [] if self._stopping.is_set() else self._received(url, wait_s)
        for message in messages:
            context = self._context(function, QUEUES[function].timeout_s)
            self._of_queues[function](queue_event([message], arn), context)
            self._clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def _received(self, url: str, wait_s: int) -> list[dict[str, Any]]:
        received = self._clients.sqs.receive_message(
            QueueUrl=url,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = received.get("Messages", [])
        return messages

    def _found_queue(self, function: str) -> tuple[str, str]:
        """URL and ARN of the queue."""
        if function not in self._queues:
            name = queue_resources(self._stage)[QUEUES[function].logical_id]["QueueName"]
            url = self._clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self._queues[function] = (url, queue_arn(self._clients.sqs, url))
        return self._queues[function]

    def _context(self, function: str, timeout_s: float) -> LambdaContext:
        deadline = time.monotonic() + timeout_s
        return LambdaContext(
            f"kinto-serverless-{self._stage}-{function}",
            str(uuid.uuid4()),
            # At our end it shrinks for a call that is under way: one that looks at it ends early.
            lambda: min(deadline, self._ends) - time.monotonic(),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Pump in the background.

        At the end what runs is let finish, within seconds, and the stream is emptied: the emulator
        doesn't keep it, as it does the queues.
        """
        feeds = [("changes", self.pump_changes_once, _PAUSE_S)]
        for function in self._of_queues:
            step = partial(self.pump_queue_once, function, _WAIT_S)
            feeds += [(function, step, 0.0)] * QUEUES[function].at_once
        threads = [
            threading.Thread(
                target=keep_pumping,
                args=(name, step, self._stopping, pause_s),
                name=name,
                daemon=True,
            )
            for name, step, pause_s in feeds
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._end(threads)
            self._stopping = threading.Event()

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._ends = time.monotonic() + _END_S
        for thread in threads:
            thread.join(max(0, self._ends - time.monotonic()))
            if thread.is_alive():
                tell(f"{thread.name} was cut off")
        if not any(thread.is_alive() for thread in threads if thread.name == "changes"):
            self._empty_stream()

    def _empty_stream(self) -> None:
        try:
            while self.pump_changes_once():
                if time.monotonic() > self._ends:
                    tell("there are changes that weren't processed")
                    return
        except Exception as error:  # a handler may raise anything
            tell(f"there are changes that weren't processed: {in_one_line(error)}")


def keep_pumping(
    name: str, step: Callable[[], int], stopping: Stopping, idle_pause_s: float
) -> None:
    """Take this step over and over, with a pause where there was nothing.

    Where it fails, we say so, and the pauses grow: nothing is skipped.
    """
    failures = 0
    while not stopping.is_set():
        try:
            pause_s = 0.0 if step() else idle_pause_s
            failures = 0
        except (Exception, SystemExit) as error:  # a handler may raise anything
            pause_s = min(_FAILURE_PAUSE_S * 2**failures, _LONGEST_PAUSE_S)
            failures = min(failures + 1, 10)
            tell(f"{name} failed, goes on in {pause_s:.0f} s: {in_one_line(error)}")
        stopping.wait(pause_s)


def in_one_line(error: BaseException) -> str:
    """What went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def tell(what: str) -> None:
    """Say a line to who runs the server."""
    print(f"kinto-serverless: {what}", file=sys.stderr, flush=True)
