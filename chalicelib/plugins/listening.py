"""Listeners of the settings, and subscribers of plugins: who hears of what, and where.

In the transaction, or after the answer of what only read, that is in the function `api`; after the
commit by deliveries. Rule: `docs/webhooks.md`, `docs/plugins.md`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from chalicelib.api.headers import retry_after
from chalicelib.api.plugins import Plugins
from chalicelib.api.subscribers import (
    AfterResourceChanged,
    AfterResourceRead,
    ResourceChanged,
    ResourceRead,
    Subscription,
)
from chalicelib.events.deliveries import DeliveryError, Receiver, delivery_of
from chalicelib.events.listeners import AFTER, DURING, Listener, load
from chalicelib.events.outlets import WEBHOOK, Outlets
from chalicelib.events.queues import Queue, Queues
from chalicelib.observability import log_delivery
from chalicelib.protocol.errors import BACKEND, FORBIDDEN, INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.events import CHANGES, Event, Selection
from chalicelib.settings import SettingsError, variable_of

WAITED_S: Final = 5.0
"""How long a request waits for the answer of a webhook that may refuse it."""

ASKED: Final = "asked_"
"""The ids of events begin so that may not be committed: receivers can tell them apart."""

_REFUSALS: Final = {kind.status: kind for kind in (INVALID_PARAMETERS, FORBIDDEN)}


class Listening:
    """The listeners of a stage."""

    def __init__(
        self, app: Plugins, listeners: Sequence[Listener], outlets: Outlets, queues: Queues
    ) -> None:
        """Subscribe those that hear of requests before they are answered.

        Args:
            app: has the subscribers of plugins, and gets those of the settings.
            listeners: of the settings.
            outlets: make those that come with the service.
            queues: of the stage.

        Raises:
            SettingsError: a listener can't be made of its options, or two have the same name;
                names the variable.
        """
        self._app = app
        self._outlets = outlets
        self._queues = queues
        self._listeners = {listener.name: listener for listener in listeners}
        self._subscribers: dict[str, Subscription] = {}
        self._loaded: dict[str, Receiver] = {}
        for subscription in app.subscribers.of(AfterResourceChanged):
            self._take(subscription)
        for listener in listeners:
            self._subscribe(listener)

    def _take(self, subscription: Subscription) -> None:
        """Keep a plugin's subscriber under its name, which its deliveries have, and no other's."""
        name = subscription.name
        if name in self._listeners:
            variable = variable_of("event_listeners")
            raise SettingsError(f"{variable}: {name} is the name of a plugin's subscriber, too")
        if name in self._subscribers:
            variable = variable_of("includes")
            raise SettingsError(f"{variable}: two subscribers have the name {name}: change one")
        self._subscribers[name] = subscription

    def _subscribe(self, listener: Listener) -> None:
        add = partial(
            self._app.add_subscriber,
            for_actions=listener.selection.actions,
            for_resources=listener.selection.resources,
            for_uris=listener.selection.uris,
            name=listener.name,
        )
        if listener.is_built_in:
            self._receiver(listener)  # so that what is wrong with it is told at the start
        if listener.event == DURING:
            add(self._asked(listener), ResourceChanged)
        if listener.hears_reads and listener.is_built_in:
            add(partial(self._queue, listener.name), AfterResourceRead)
        elif listener.hears_reads:
            add(self._receiver(listener), ResourceRead)

    def _asked(self, listener: Listener) -> Callable[[Event], Any]:
        """What a listener does that may refuse."""
        if listener.use != WEBHOOK:
            return self._receiver(listener)
        post = self._outlets.webhook(listener.name, listener.options, timeout_s=WAITED_S)
        return partial(self._ask, listener.name, post)

    def _ask(self, name: str, post: Receiver, event: ResourceChanged) -> None:
        event.call.unit.require_time(WAITED_S)
        try:
            post(Event(f"{ASKED}{event.id}", event.payload, event.records))
        except DeliveryError as error:
            kind = _REFUSALS.get(error.status or 0)
            outcome = f"before the commit: {error}"
            log_delivery(name, event.id, outcome, is_failure=kind is None)
            if kind is not None:
                raise ProtocolError(kind, message=f"The listener {name} refuses it.") from error
            raise ProtocolError(BACKEND, headers=retry_after(self._app.settings)) from error

    def _queue(self, name: str, event: Event) -> None:
        self._queues.send_in_order(Queue.DELIVERIES, [delivery_of(name, event).in_order()])

    @property
    def after_commits(self) -> Mapping[str, Selection]:
        """Who hears of what is committed, by name."""
        found = {name: each.selection for name, each in self._subscribers.items()}
        for name, listener in self._listeners.items():
            if listener.event == AFTER and not listener.selection.actions.isdisjoint(CHANGES):
                found[name] = listener.selection
        return found

    def receiver_of(self, name: str) -> Receiver | None:
        """What takes the deliveries to a listener; None where there is none of this name.

        Raises:
            SettingsError: it can't be made.
        """
        if subscriber := self._subscribers.get(name):
            return lambda event: subscriber.subscriber(
                AfterResourceChanged(event.id, event.payload, event.records)
            )
        listener = self._listeners.get(name)
        return None if listener is None else self._receiver(listener)

    def _receiver(self, listener: Listener) -> Receiver:
        """What takes the events of a listener, made once."""
        if listener.name not in self._loaded:
            self._loaded[listener.name] = load(listener, self._outlets)
        return self._loaded[listener.name]
