"""Feeds a stream and a queue to their handlers, as Lambda's event source mappings do."""

import math
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config

from infra.lambda_events import Event, LambdaContext, queue_event, stream_event
from infra.queues import PURGES, queue_arn, queue_resources
from infra.stream import Batch, StreamReader
from infra.tables import table_resources

Handler = Callable[[Event, LambdaContext], Any]
"""Handles an event, or raises."""

BATCH_SIZE = 100
CHANGES_S = 60.0
PURGE_S = 300.0

_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_END_S = 5.0
_PATIENCE = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 2})


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
    """Reads the stream of `objects` and the queue of purges for the two handlers.

    What a handler raised at is handed over again: records of the stream as long as they are there,
    nothing of their shard before them; a message once its visibility timeout is over, until the
    queue moves it to the dead letters.
    """

    def __init__(
        self,
        stage: str,
        changes: Handler,
        purge: Handler,
        *,
        clients: Clients | None = None,
        folder: Path | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            stage: names the table and the queue, which exist.
            changes: takes records of the stream.
            purge: takes one message.
            clients: of the environment's endpoint if None.
            folder: keeps how far the stream was processed; None keeps it in memory.
        """
        self._clients = clients or Clients.connect()
        self._stage = stage
        self._changes = changes
        self._purge = purge
        self._reader = StreamReader(
            self._clients.dynamodb,
            self._clients.streams,
            table_resources(stage)["Objects"]["TableName"],
            batch_size=BATCH_SIZE,
            folder=folder,
        )
        self._queue = ("", "")
        self._ends = math.inf

    def check(self) -> None:
        """Find the stream and the queue.

        Raises:
            NoStreamError: the table has none.
            BotoCoreError, ClientError: the endpoint lacks streams or queues, or doesn't answer.
        """
        self._reader.find_shards()
        self._found_queue()

    def pump_once(self) -> int:
        """Hand over what is there, a batch a shard and one message; gives how many they were.

        Raises:
            Exception: what a handler raised at first, after the others were called.
        """
        return self.pump_changes_once() + self.pump_purges_once()

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

    def pump_purges_once(self) -> int:
        """Hand over a message, and delete it; gives how many there were, one or none.

        Raises:
            Exception: what the handler raised.
        """
        url, arn = self._found_queue()
        received = self._clients.sqs.receive_message(
            QueueUrl=url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
        )
        messages = received.get("Messages", [])
        for message in messages:
            self._purge(queue_event([message], arn), self._context("purge", PURGE_S))
            self._clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def _found_queue(self) -> tuple[str, str]:
        """URL and ARN of the queue."""
        if not self._queue[0]:
            name = queue_resources(self._stage)[PURGES]["QueueName"]
            url = self._clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self._queue = (url, queue_arn(self._clients.sqs, url))
        return self._queue

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
        doesn't keep it, as it does the queue.
        """
        steps = {"changes": self.pump_changes_once, "purge": self.pump_purges_once}
        stopping = threading.Event()
        threads = {
            name: threading.Thread(target=keep_pumping, args=(name, step, stopping), daemon=True)
            for name, step in steps.items()
        }
        for thread in threads.values():
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            self._end(threads)

    def _end(self, threads: dict[str, threading.Thread]) -> None:
        self._ends = time.monotonic() + _END_S
        for name, thread in threads.items():
            thread.join(max(0, self._ends - time.monotonic()))
            if thread.is_alive():
                tell(f"{name} was cut off")
        if not threads["changes"].is_alive():
            self._empty_stream()

    def _empty_stream(self) -> None:
        try:
            while self.pump_changes_once():
                if time.monotonic() > self._ends:
                    tell("there are changes that weren't processed")
                    return
        except Exception as error:  # a handler may raise anything
            tell(f"there are changes that weren't processed: {in_one_line(error)}")


def keep_pumping(name: str, step: Callable[[], int], stopping: Stopping) -> None:
    """Take this step over and over, with a pause where there was nothing.

    Where it fails, we say so, and the pauses grow: nothing is skipped.
    """
    failures = 0
    while not stopping.is_set():
        try:
            pause_s = 0.0 if step() else _PAUSE_S
            failures = 0
        except Exception as error:  # a handler may raise anything
            pause_s = min(_PAUSE_S * 2**failures, _LONGEST_PAUSE_S)
            failures = min(failures + 1, 10)
            tell(f"{name} failed, goes on in {pause_s:.0f} s: {in_one_line(error)}")
        stopping.wait(pause_s)


def in_one_line(error: Exception) -> str:
    """What went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def tell(what: str) -> None:
    """Say a line to who runs the server."""
    print(f"kinto-serverless: {what}", file=sys.stderr, flush=True)
