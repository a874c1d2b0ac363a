"""Dead letters sent on their way again: `python -m infra.redeliver prod`.

From the environment: LISTENER takes the deliveries to this one alone; SHOW=1 tells what there is,
and moves nothing.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.queues import DEAD_LETTERS, PURGES, RETRIES, queue_resources

HIDDEN_S = 600
"""How long nobody else receives what we have looked at; then what was left is there again."""

WAIT_S = 1
"""SQS looks at all of its hosts only where one waits."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead letters.

    Attributes:
        what: it is, in a few words.
        queue: where it came from, by its logical id; None for what didn't come from a queue.
        message: what to send there, or to the function `changes`; None where that is lost.
    """

    what: str
    queue: str | None
    message: Any

    @classmethod
    def of(cls, body: str) -> "DeadLetter":
        """Find out what it is."""
        try:
            told = json.loads(body)
        except ValueError:
            return cls("unreadable", None, None)
        if not isinstance(told, dict):
            return cls("unreadable", None, None)
        if "listener" in told:
            fresh = {name: told.get(name) for name in ("listener", "event")}
            return cls(f"delivery to {told['listener']}", RETRIES, fresh)
        if "rows" in told or "dead" in told:
            return cls("purge", PURGES, told)
        if "dynamodb" in told and not told.get("truncated"):
            return cls("change", None, told)
        return cls(
            "too large to be kept whole" if told.get("truncated") else "unreadable", None, None
        )


class Redelivery:
    """The dead letters of a stage."""

    def __init__(self, sqs: Any, functions: Any, stage: str) -> None:
        """Nothing is called yet.

        Args:
            sqs: client of boto3.
            functions: client of boto3, for Lambda.
            stage: names the queues and the function.
        """
        self._sqs = sqs
        self._functions = functions
        self._stage = stage
        self._urls: dict[str, str] = {}

    def run(self, listener: str | None = None, *, shows: bool = False) -> Counter[str]:
        """Send each to where it came from, and then remove it; gives how many of each kind.

        What is sent twice, as we were ended in between, does no harm. What stays is counted
        under a name that begins with "left: ".

        Args:
            listener: take the deliveries to this one alone; None for everything.
            shows: move nothing.

        Raises:
            BotoCoreError, ClientError: a queue can't be reached.
        """
        counted: Counter[str] = Counter()
        for message in self._messages():
            letter = DeadLetter.of(message["Body"])
            is_wanted = listener is None or letter.what == f"delivery to {listener}"
            if letter.message is None or not is_wanted or shows:
                counted[f"left: {letter.what}"] += 1
                continue
            self._send(letter)
            self._sqs.delete_message(
                QueueUrl=self._url(DEAD_LETTERS), ReceiptHandle=message["ReceiptHandle"]
            )
            counted[letter.what] += 1
        return counted

    def _messages(self) -> Iterator[dict[str, Any]]:
        """All messages, each once. At the end those that are left are there for others again."""
        url = self._url(DEAD_LETTERS)
        handles: dict[str, str] = {}
        try:
            while messages := self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=HIDDEN_S,
                WaitTimeSeconds=WAIT_S,
            ).get("Messages"):
                for message in messages:
                    is_known = message["MessageId"] in handles
                    handles[message["MessageId"]] = message["ReceiptHandle"]
                    if not is_known:
                        yield message
        finally:
            for handle in handles.values():
                self._show_again(url, handle)

    def _show_again(self, url: str, handle: str) -> None:
        try:
            self._sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
            )
        except ClientError:
            return  # it was removed

    def _send(self, letter: DeadLetter) -> None:
        if letter.queue is not None:
            self._sqs.send_message(
                QueueUrl=self._url(letter.queue), MessageBody=json.dumps(letter.message)
            )
            return
        # With the code and the listeners that are deployed now.
        answer = self._functions.invoke(
            FunctionName=f"kinto-serverless-{self._stage}-changes",
            Payload=json.dumps({"Records": [letter.message]}),
        )
        if "FunctionError" in answer:
            raise RedeliveryError("the function `changes` failed: its log tells why")

    def _url(self, logical_id: str) -> str:
        if logical_id not in self._urls:
            name = queue_resources(self._stage)[logical_id]["QueueName"]
            self._urls[logical_id] = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return self._urls[logical_id]


class RedeliveryError(Exception):
    """What is in the way, in one line."""


def main(stage: str) -> int:
    """Send them, and tell how many; gives the exit status."""
    if not stage:
        print("kinto-serverless: which stage? make redeliver STAGE=prod", file=sys.stderr)
        return 1
    redelivery = Redelivery(boto3.client("sqs"), boto3.client("lambda"), stage)
    shows = os.environ.get("SHOW") == "1"
    try:
        counted = redelivery.run(os.environ.get("LISTENER") or None, shows=shows)
    except (RedeliveryError, BotoCoreError, ClientError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    for what, number in sorted(counted.items()):
        print(f"{number} {what}")
    if not counted:
        print("there are no dead letters")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
