"""Dead letters sent on their way again: `python -m infra.redeliver prod`.

From the environment: LISTENER takes the deliveries to this one alone; SHOW=1 tells what there is,
and moves nothing.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.queues import DEAD_LETTERS, PURGES, RETRIES, queue_resources

HIDDEN_S = 600
"""How long nobody else receives what we have looked at; then what was left is there again."""

WAIT_S = 1
"""SQS looks at all of its hosts only where one waits."""

FAILED = "failed, so left: "
"""Begins the name under which is counted what could not be sent again."""

# Statuses stand for what has no code, as it isn't Lambda that answers: a local emulator.
_NO_FUNCTION = ("ResourceNotFoundException", "400", "404")


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

    def run(
        self,
        listener: str | None = None,
        *,
        shows: bool = False,
        now_ms: int | None = None,
        counted: Counter[str] | None = None,
    ) -> Counter[str]:
        """Send each to where it came from, and then remove it; gives how many of each kind.

        What is sent twice, as we were ended in between, does no harm. What stays is counted
        under a name that begins with "left: ", or with FAILED. What became a dead letter after
        the start stays, so that there is an end where what we send fails at once.

        Args:
            listener: take the deliveries to this one alone; None for everything.
            shows: move nothing.
            now_ms: the time of the start; None to ask the clock.
            counted: where to count, for who wants to know it after an error as well.

        Raises:
            BotoCoreError, ClientError: the dead letters can't be received.
        """
        start_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        counted = Counter() if counted is None else counted
        handles: dict[str, str] = {}
        try:
            for message in self._messages(handles):
                letter = DeadLetter.of(message["Body"])
                is_wanted = listener is None or letter.what == f"delivery to {listener}"
                if letter.message is None or not is_wanted or shows:
                    counted[f"left: {letter.what}"] += 1
                elif int(message["Attributes"]["SentTimestamp"]) > start_ms:
                    counted[f"left: {letter.what}, as it came after the start"] += 1
                else:
                    name = self._move(letter, message["ReceiptHandle"])
                    counted[name] += 1
                    if not name.startswith(FAILED):
                        del handles[message["MessageId"]]
        finally:
            self._show_again(handles)
        return counted

    def _messages(self, handles: dict[str, str]) -> Iterator[dict[str, Any]]:
        """All messages, each once; `handles` gets the newest handle of each, by its id."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._url(DEAD_LETTERS),
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["SentTimestamp"],
            VisibilityTimeout=HIDDEN_S,
            WaitTimeSeconds=WAIT_S,
        ).get("Messages"):
            fresh = [message for message in messages if message["MessageId"] not in handles]
            if not fresh:
                return  # what we have looked at first comes again
            # All of them before the first is looked at: we may be ended there.
            handles |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            yield from fresh

    def _show_again(self, handles: dict[str, str]) -> None:
        """Have others receive what is left."""
        for handle in handles.values():
            # Where it was removed, or SQS is out of reach, there is nothing to be done.
            with suppress(BotoCoreError, ClientError):
                self._sqs.change_message_visibility(
                    QueueUrl=self._url(DEAD_LETTERS), ReceiptHandle=handle, VisibilityTimeout=0
                )

    def _move(self, letter: DeadLetter, handle: str) -> str:
        """Send it and remove it; gives under which name it is counted."""
        try:
            self._send(letter)
            self._sqs.delete_message(QueueUrl=self._url(DEAD_LETTERS), ReceiptHandle=handle)
        except ClientError as error:
            why = f"{error.operation_name}: {error.response['Error']['Code']}"
        except BotoCoreError as error:
            why = type(error).__name__
        except RedeliveryError as error:
            why = str(error)
        else:
            return letter.what
        return f"{FAILED}{letter.what} ({why})"

    def _send(self, letter: DeadLetter) -> None:
        if letter.queue is not None:
            self._sqs.send_message(
                QueueUrl=self._url(letter.queue), MessageBody=json.dumps(letter.message)
            )
            return
        # With the code and the listeners that are deployed now.
        name = f"kinto-serverless-{self._stage}-changes"
        payload = json.dumps({"Records": [letter.message]})
        try:
            answer = self._functions.invoke(FunctionName=name, Payload=payload)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_FUNCTION:
                raise
            raise RedeliveryError(f"there is no function {name}") from error
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
    """Send them, and tell how many; gives the exit status, 1 where one could not be sent."""
    counted: Counter[str] = Counter()
    try:
        _redeliver(stage, counted)
    except (RedeliveryError, BotoCoreError, ClientError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    finally:  # also what was sent before an error, or Ctrl-C
        for what, number in sorted(counted.items()):
            print(f"{number} {what}")
    if not counted:
        print("there are no dead letters")
    return int(any(what.startswith(FAILED) for what in counted))


def _redeliver(stage: str, counted: Counter[str]) -> None:
    if not stage:
        raise RedeliveryError("which stage? make redeliver STAGE=prod")
    shows = _shows()
    redelivery = Redelivery(boto3.client("sqs"), boto3.client("lambda"), stage)
    redelivery.run(os.environ.get("LISTENER") or None, shows=shows, counted=counted)


def _shows() -> bool:
    text = os.environ.get("SHOW") or "0"
    if text not in ("0", "1"):
        raise RedeliveryError(f"SHOW={text!r} is neither 1 nor 0")
    return text == "1"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
