"""One message a delivery: tried at once in the order of changes, then again and again for a day.

Rule: `docs/webhooks.md`, "Retries".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import ceil
from random import uniform
from typing import Any, Final
from zlib import crc32

from chalicelib.events.queues import MAX_BATCH_BYTES, MAX_DELAY_S, InGroup, Queue, Queues, to_text
from chalicelib.metrics import SILENT, Metrics, Tally, time_of_listener
from chalicelib.observability import about, log_delivery, log_failed_listener
from chalicelib.protocol.events import Event
from chalicelib.settings import SettingsError
from chalicelib.storage.transactions import system_now_ms
from chalicelib.tracing import REMOTE, Part, begin

MAX_EVENT_BYTES: Final = 900_000
"""Of an event in a message; a larger one is truncated."""

MAX_AGE_S: Final = 24 * 60 * 60
"""How long a delivery that fails is tried again."""

FIRST_DELAY_S: Final = 2
LONGEST_DELAY_S: Final = 60 * 60

SLOW_S: Final = 2.0
SPARED_TIMES: Final = 3
"""Retries spare a listener that failed so slowly, for so many times the time that it took.

All listeners share the containers for retries: so none takes more than a quarter of the time of
one without taking events. First attempts don't, as each listener has lanes of its own.
"""

LANES: Final = 16
"""Deliveries to one listener that may be under way at once: its lists share them."""

MAX_STARTS: Final = 3
"""How often a message may be received before it is put aside: a function may be killed at it."""

Receiver = Callable[[Event], Any]
"""Takes an event, or raises."""


class DeliveryError(Exception):
    """A listener that didn't take an event.

    Attributes:
        status: of its answer; None where there was none.
        retry_after_s: how long it wants to be left alone.
        is_final: whether it never wants this event.
    """

    def __init__(
        self,
        why: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_final: bool = False,
    ) -> None:
        """Say why, without addresses and secrets: it is logged."""
        super().__init__(why)
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one listener.

    Attributes:
        listener: its name.
        event: what it is to be told.
        attempts: that have failed.
        failing_since_ms: the time of the first of these; None before.
        not_before_ms: when it may be tried again.
        error: why the last attempt failed.
    """

    listener: str
    event: Event
    attempts: int = 0
    failing_since_ms: int | None = None
    not_before_ms: int = 0
    error: str | None = None

    def to_message(self) -> Any:
        """The message of a queue."""
        told: dict[str, Any] = {"listener": self.listener, "event": self.event.to_json()}
        if self.failing_since_ms is not None:
            told |= {
                "attempts": self.attempts,
                "failing_since_ms": self.failing_since_ms,
                "not_before_ms": self.not_before_ms,
                "error": self.error,
            }
        return told

    @classmethod
    def from_message(cls, message: Any) -> "Delivery":
        """The delivery in a message.

        Raises:
            ValueError, KeyError, TypeError: there is none.
        """
        # Only what this version knows: another one may have written it.
        known = {field.name: message[field.name] for field in fields(cls) if field.name in message}
        delivery = cls(**{**known, "event": Event.from_json(message["event"])})
        since_ms = delivery.failing_since_ms
        numbers = (delivery.attempts, 0 if since_ms is None else since_ms, delivery.not_before_ms)
        if not isinstance(delivery.listener, str) or not all(isinstance(it, int) for it in numbers):
            raise TypeError("a name or a number is something else")
        return delivery

    def in_order(self) -> InGroup:
        """The message of a first attempt, behind those of the same list that were sent before."""
        lane = crc32(str(self.event.in_list).encode()) % LANES
        return InGroup(
            self.to_message(), f"{self.listener} {lane}", f"{self.listener} {self.event.id}"
        )


def delivery_of(listener: str, event: Event) -> Delivery:
    """The delivery of an event, truncated where a message can't hold it."""
    is_large = len(to_text(event.to_json())) > MAX_EVENT_BYTES
    return Delivery(listener, event.truncated() if is_large else event)


class Deliver:
    """What the functions `deliver` and `retry` do."""

    def __init__(
        self,
        receiver_of: Callable[[str], Receiver | None],
        queues: Queues,
        *,
        metrics: Metrics = SILENT,
        now_ms: Callable[[], int] = system_now_ms,
        between: Callable[[float, float], float] = uniform,
    ) -> None:
        """Keep what is needed; nothing is called yet.

        Args:
            receiver_of: gives the listener of a name, if there is one.
            queues: of the stage.
            metrics: where it goes what there is to tell of deliveries.
            now_ms: this host's clock.
            between: gives a random number between two.
        """
        self._receiver_of = receiver_of
        self._queues = queues
        self._metrics = metrics
        self._now_ms = now_ms
        self._between = between
        self._spared_until_ms: dict[str, int] = {}

    def handle(self, message: str, starts: int, *, spares: bool = False) -> None:
        """Tell a listener of an event; if that fails, queue it to be told later.

        Args:
            message: of the queue.
            starts: how often this message was received, this time included.
            spares: whether it fails without an attempt where the listener kept us waiting.

        Raises:
            Exception: a queue can't be reached; the message is to be received again.
        """
        try:
            delivery = Delivery.from_message(json.loads(message))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._queues.send(Queue.DEAD_LETTERS, [_unreadable(message)])
            log_delivery("?", "?", f"unreadable: {type(error).__name__}", is_failure=True)
            return
        with about(delivery.event.request_id):
            self._handle(delivery, starts, spares=spares)

    def _handle(self, delivery: Delivery, starts: int, *, spares: bool) -> None:
        now_ms = self._now_ms()
        if starts > MAX_STARTS:
            self._failed(delivery, DeliveryError("the function did not get to the end"))
        elif now_ms < delivery.not_before_ms:
            self._put_off(delivery)
        elif spares and now_ms < self._spared_until_ms.get(delivery.listener, 0):
            self._failed(delivery, DeliveryError("spared, as it kept others waiting"))
        else:
            self._attempt(delivery)

    def _attempt(self, delivery: Delivery) -> None:
        started_ms = self._now_ms()
        try:
            receiver = self._receiver_of(delivery.listener)
            if receiver is None:
                # This function may not be deployed yet with what `changes` knows already.
                raise DeliveryError("no listener has this name")
            with self._traced(delivery):
                receiver(delivery.event)
        except DeliveryError as error:
            self._failed(delivery, error, started_ms)
        except SettingsError as error:
            # Without its cause, which may quote options.
            self._failed(delivery, DeliveryError(str(error)), started_ms)
        except Exception as error:
            log_failed_listener(delivery.listener)
            self._failed(delivery, DeliveryError(type(error).__name__), started_ms)
        else:
            self._spared_until_ms.pop(delivery.listener, None)
            seconds = (self._now_ms() - started_ms) / 1000
            self._log(delivery, f"delivered, attempt {delivery.attempts + 1}", seconds)

    def _traced(self, delivery: Delivery) -> Part:
        return begin(
            delivery.listener,
            REMOTE,
            rid=delivery.event.request_id,
            listener=delivery.listener,
            event_id=delivery.event.id,
            attempt=delivery.attempts + 1,
        )

    def _failed(
        self, delivery: Delivery, error: DeliveryError, started_ms: int | None = None
    ) -> None:
        now_ms = self._now_ms()
        seconds = None if started_ms is None else (now_ms - started_ms) / 1000
        since_ms = delivery.failing_since_ms or now_ms
        ends_ms = since_ms + MAX_AGE_S * 1000
        if seconds is not None and seconds > SLOW_S:
            spared_ms = round(SPARED_TIMES * seconds * 1000)
            self._spared_until_ms[delivery.listener] = now_ms + spared_ms
        after_ms = now_ms + round(self._delay_s(delivery.attempts, error) * 1000)
        failed = Delivery(
            delivery.listener,
            delivery.event,
            delivery.attempts + 1,
            since_ms,
            max(now_ms, min(after_ms, ends_ms)),
            str(error)[:1000],
        )
        if error.is_final or now_ms >= ends_ms:
            self._log(failed, f"given up: {error}", seconds, is_failure=True)
            self._queues.send(Queue.DEAD_LETTERS, [failed.to_message()])
        else:
            outcome = f"attempt {failed.attempts} failed: {error}"
            self._log(failed, outcome, seconds, is_failure=True)
            self._put_off(failed)

    def _log(
        self,
        delivery: Delivery,
        outcome: str,
        seconds: float | None,
        *,
        is_failure: bool = False,
    ) -> None:
        times = None if seconds is None else time_of_listener(delivery.listener, seconds)
        log_delivery(
            delivery.listener,
            delivery.event.id,
            outcome,
            seconds=seconds,
            is_failure=is_failure,
            members=self._metrics.members(Tally(failed_deliveries=int(is_failure)), times),
        )

    def _delay_s(self, attempts: int, error: DeliveryError) -> float:
        """How long until the next attempt: longer after each, and not the same for all."""
        longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts, 20))
        return max(self._between(longest / 2, longest), error.retry_after_s or 0)

    def _put_off(self, delivery: Delivery) -> None:
        """Queue it; longer than SQS keeps a message back, it is queued again and again."""
        left_s = ceil((delivery.not_before_ms - self._now_ms()) / 1000)
        delay_s = max(0, min(left_s, MAX_DELAY_S))
        self._queues.send(Queue.RETRIES, [delivery.to_message()], delay_s=delay_s)


def _unreadable(message: str) -> Any:
    """What can't be read; where a message can't hold it in JSON, its beginning."""
    whole = {"unreadable": message}
    if len(to_text(whole)) <= MAX_BATCH_BYTES:
        return whole
    return {"unreadable": message[: MAX_BATCH_BYTES // 16], "truncated": True}
