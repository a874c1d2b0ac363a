"""SQS, known here alone: the queues of a stage, by name."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

import botocore.session
from botocore.config import Config

from chalicelib.storage.packing import packed

MAX_BATCH: Final = 10
MAX_BATCH_BYTES: Final = 200_000
"""Of one call and of a message, below SQS's own 256 KB."""

MAX_DELAY_S: Final = 900
"""The longest that SQS keeps a message back."""


class Queue(StrEnum):
    """What the names of queues end with."""

    PURGES = "purges"
    DEAD_LETTERS = "dead-letters"

    def of_stage(self, stage: str) -> str:
        """The name that the template gives it."""
        return f"kinto-{stage}-{self}"


class QueueError(Exception):
    """SQS refused messages."""


class Queues:
    """The queues of a stage."""

    def __init__(
        self, stage: str, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        """Keep the names; nothing is called yet."""
        self._stage = stage
        self._where = (region, endpoint_url)
        self._client: Any = None
        self._urls: dict[Queue, str] = {}

    def send(self, queue: Queue, messages: Iterable[Any], *, delay_s: int = 0) -> None:
        """Send these values as JSON, one message each.

        Args:
            queue: where to.
            messages: each below 200,000 bytes.
            delay_s: how long nobody receives them.

        Raises:
            QueueError: SQS has not taken them all.
            botocore.exceptions.BotoCoreError, ClientError: SQS can't be reached, or refuses.
        """
        bodies = map(to_text, messages)
        for batch in packed(bodies, size=len, most=MAX_BATCH_BYTES, count=MAX_BATCH):
            entries = [
                {"Id": str(number), "MessageBody": body, "DelaySeconds": delay_s}
                for number, body in enumerate(batch)
            ]
            answer = self._sqs.send_message_batch(QueueUrl=self._url(queue), Entries=entries)
            if failed := answer.get("Failed"):
                raise QueueError(f"{len(failed)} messages for {queue}: {failed[0].get('Code')}")

    @property
    def _sqs(self) -> Any:
        if self._client is None:
            config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
            session = botocore.session.get_session()
            region, endpoint_url = self._where
            self._client = session.create_client(
                "sqs", region, endpoint_url=endpoint_url, config=config
            )
        return self._client

    def _url(self, queue: Queue) -> str:
        if queue not in self._urls:
            name = queue.of_stage(self._stage)
            self._urls[queue] = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return self._urls[queue]


def to_text(message: Any) -> str:
    """A message as it is sent."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":"))
