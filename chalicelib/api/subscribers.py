"""Who hears of what is done: in its transaction, where they may still change it, or after that.

Rule: spec, "The service", section 12; `docs/plugins.md`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chalicelib.observability import log_failed_subscriber
from chalicelib.protocol.errors import REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.events import CHANGES, READ, Event, Selection, to_events
from chalicelib.protocol.messages import Response, encoded
from chalicelib.storage.items import MAX_ANSWER_BYTES, answer_bytes

if TYPE_CHECKING:  # a call leads to them
    from chalicelib.api.calls import Call

MAX_ROUNDS: Final = 10
"""How often subscribers may hear of what subscribers have changed, in one transaction."""

Alteration = Callable[[Response], Response]


@dataclass(frozen=True)
class EventInTransaction(Event):
    """An event that is told before the commit: a subscriber that raises refuses it all.

    Attributes:
        call: of the request; what is staged in `call.unit` is stored with the rest, or not at all.
        alterations: of the answer, so far.
    """

    call: "Call"
    alterations: list[Alteration]

    def alter_response(self, alteration: Alteration) -> None:
        """Have the answer of the request, of the batch around it where it came in one, altered."""
        self.alterations.append(alteration)


class ResourceChanged(EventInTransaction):
    """Objects will have been created, updated or deleted, once this is committed."""


class ResourceRead(EventInTransaction):
    """Objects have been read."""


class AfterResourceChanged(Event):
    """Objects were created, updated or deleted: told from the stream, at least once."""


class AfterResourceRead(Event):
    """Objects were read, and the answer is on its way."""


@dataclass(frozen=True, slots=True)
class ServerFlushed:
    """Everything was removed."""


EVENTS: Final = (
    ResourceChanged,
    ResourceRead,
    AfterResourceChanged,
    AfterResourceRead,
    ServerFlushed,
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants to hear of what.

    Attributes:
        name: in logs.
        subscriber: is called with the event.
        event: the type of the events.
        selection: which of them.
    """

    name: str
    subscriber: Callable[[Any], Any]
    event: type
    selection: Selection

    def tell(self, events: Iterable[Event], call: "Call", alterations: list[Alteration]) -> None:
        """Tell them of events in the transaction of a call."""
        for it in events:
            self.subscriber(self.event(it.id, it.payload, it.records, call, alterations))


@dataclass(slots=True)
class Subscribers:
    """All of them, in the order in which they are told."""

    subscriptions: list[Subscription] = field(default_factory=list)

    def add(self, subscription: Subscription) -> None:
        """Have somebody told of the events of a type, as far as there are such."""
        actions = frozenset([READ] if subscription.event in _OF_READS else CHANGES)
        selection = subscription.selection
        selection = replace(selection, actions=selection.actions & actions)
        self.subscriptions.append(replace(subscription, selection=selection))

    def of(self, *events: type) -> list[Subscription]:
        """Those who want to hear of events of these types."""
        return [each for each in self.subscriptions if each.event in events]

    @property
    def hear_reads(self) -> bool:
        """Whether anybody wants to hear of what is read."""
        return bool(self.of(*_OF_READS))

    def tell(self, call: "Call", took_ms: dict[str, float]) -> list[Alteration]:
        """Tell what was done in the transaction, and then what they have done thereupon.

        Args:
            call: of the request, which has staged all that it changes.
            took_ms: gets how long each took, by name.

        Returns:
            How the answer is to be altered.

        Raises:
            Exception: what a subscriber raised; nothing is to be stored.
        """
        alterations: list[Alteration] = []
        subscriptions = self.of(ResourceChanged, ResourceRead, AfterResourceRead)
        rounds = 0
        while operations := call.unit.take_operations() if subscriptions else []:
            if rounds > MAX_ROUNDS:
                raise RuntimeError(f"subscribers change more and more, {MAX_ROUNDS} times in a row")
            rounds += 1
            for each in subscriptions:
                events = to_events(each.selection.of(operations))
                if each.event is AfterResourceRead:
                    read = [AfterResourceRead(it.id, it.payload, it.records) for it in events]
                    call.unit.afterwards(partial(_notify, each, read))
                elif events:
                    with _measured(each.name, took_ms):
                        each.tell(events, call, alterations)
        return alterations

    def notify_flushed(self) -> None:
        """Tell that everything was removed."""
        for each in self.of(ServerFlushed):
            _notify(each, [ServerFlushed()])


_OF_READS: Final = (ResourceRead, AfterResourceRead)


def _notify(subscription: Subscription, events: Iterable[object]) -> None:
    """Tell somebody; one who fails is logged, and hinders nothing: he hears of the others, too."""
    for event in events:
        try:
            subscription.subscriber(event)
        except Exception:
            log_failed_subscriber(subscription.name, subscription.event)


@contextmanager
def _measured(name: str, took_ms: dict[str, float]) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        took_ms[name] = took_ms.get(name, 0) + (time.monotonic() - started) * 1000


def altered(response: Response, alterations: Iterable[Alteration]) -> Response:
    """The answer as the subscribers want it.

    Raises:
        ProtocolError: REQUEST_TOO_LARGE where no answer can be that large.
    """
    alterations = [*alterations]
    if not alterations:
        return response
    if response.body is not None:
        response = replace(response, body=response.parsed)
    for alteration in alterations:
        response = alteration(response)
    if answer_bytes(encoded(response.body).encode()) > MAX_ANSWER_BYTES:
        raise ProtocolError(REQUEST_TOO_LARGE, message="The answer is larger than one can be.")
    return response
