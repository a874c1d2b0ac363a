"""SQS, known here alone: the queues of a stage, by name."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chalicelib.aws_clients import client_of
from chalicelib.storage.packing import packed

MAX_BATCH: Final = 10
MAX_BATCH_BYTES: Final = 1_000_000
"""Of one call and of a message, below SQS's own 1 MiB."""

MAX_DELAY_S: Final = 900
"""The longest that SQS keeps a message back."""


class Queue(StrEnum):
    """What the names of queues end with."""

    PURGES = "purges"
    DELIVERIES = "deliveries.fifo"
    RETRIES = "retries"
    EVENTS = "events"
    DEAD_LETTERS = "dead-letters"

    def of_stage(self, stage: str) -> str:
        """The name that the template gives it."""
        return f"kinto-{stage}-{self}"


class QueueError(Exception):
    """SQS refused messages."""


@dataclass(frozen=True, slots=True)
class InGroup:
    """A message for a queue that keeps the order of each group.

    Attributes:
        value: as JSON has it.
        group: of which one message at a time is received, in the order they were sent.
        id: what is sent under the same one within five minutes is taken as the same message.
    """

    value: Any
    group: str
    id: str


class Queues:
    """The queues of a stage, and others in its region."""

    def __init__(
        self, stage: str, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        """Keep the names; nothing is called yet."""
        self._stage = stage
        self._where = (region, endpoint_url)
        self._client: Any = None
        self._urls: dict[str, str] = {}

    def send(self, queue: Queue | str, messages: Iterable[Any], *, delay_s: int = 0) -> None:
        """Send these values as JSON, one message each.

        Args:
            queue: one of the stage, or the name or URL of any.
            messages: each below 1,000,000 bytes.
            delay_s: how long nobody receives them.

        Raises:
            QueueError: SQS has not taken them all.
            botocore.exceptions.BotoCoreError, ClientError: SQS can't be reached, or refuses.
        """
        bodies = map(to_text, messages)
        delay = {"DelaySeconds": delay_s} if delay_s else {}  # or that of the queue
        self._send(queue, ({"MessageBody": body, **delay} for body in bodies))

    def send_in_order(self, queue: Queue | str, messages: Iterable[InGroup]) -> None:
        """Send these to a queue that keeps the order of each group.

        Raises:
            QueueError: SQS has not taken them all.
            botocore.exceptions.BotoCoreError, ClientError: SQS can't be reached, or refuses.
        """
        entries = (
            {
                "MessageBody": to_text(message.value),
                "MessageGroupId": _digest(message.group),
                "MessageDeduplicationId": _digest(message.id),
            }
            for message in messages
        )
        self._send(queue, entries)

    def _send(self, queue: Queue | str, entries: Iterable[dict[str, Any]]) -> None:
        for batch in packed(entries, size=_size, most=MAX_BATCH_BYTES, count=MAX_BATCH):
            numbered = [{"Id": str(number), **entry} for number, entry in enumerate(batch)]
            answer = self._sqs.send_message_batch(QueueUrl=self._url(queue), Entries=numbered)
            if failed := answer.get("Failed"):
                raise QueueError(f"{len(failed)} messages for {queue}: {failed[0].get('Code')}")

    @property
    def _sqs(self) -> Any:
        if self._client is None:
            self._client = client_of("sqs", *self._where)
        return self._client

    def _url(self, queue: Queue | str) -> str:
        if "://" in queue:
            return queue
        # Others may be called as the endings of ours.
        name = queue.of_stage(self._stage) if isinstance(queue, Queue) else queue
        if name not in self._urls:
            self._urls[name] = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return self._urls[name]


def to_text(message: Any) -> str:
    """A message as it is sent."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":"))


def _size(entry: dict[str, Any]) -> int:
    return len(entry["MessageBody"])


def _digest(text: str) -> str:
    """Of any text what SQS takes as a name: 128 characters at most, and not all of them."""
    return hashlib.sha256(text.encode()).hexdigest()
