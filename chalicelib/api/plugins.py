"""What plugins add to the service: the `app` of their `includeme(app)`.

Rule: `docs/plugins.md`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.api.addresses import Endpoint, NeedsOf, Route, needs_nothing
from chalicelib.api.serves import Serves
from chalicelib.api.subscribers import EVENTS, Subscribers, Subscription
from chalicelib.auth.policies import Policy
from chalicelib.protocol.events import ACTIONS, RESOURCES, Selection
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.messages import VERSION_PREFIX, JsonObject
from chalicelib.settings import Settings


@dataclass(slots=True)
class Plugins:
    """What all plugins have added so far.

    Attributes:
        settings: of the service.
        routes: that come before those of the service itself.
        capabilities: of the root view, by name.
        policies: that are asked after those of the settings.
        reserved: ids that no new object may have.
        about_user: each gives more that the root view tells a user of himself.
        subscribers: who hears of what is done.
    """

    settings: Settings
    routes: list[Route] = field(default_factory=list)
    capabilities: dict[str, JsonObject] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    reserved: set[tuple[Kind, str]] = field(default_factory=set)
    about_user: list[Callable[[str], Mapping[str, str]]] = field(default_factory=list)
    subscribers: Subscribers = field(default_factory=Subscribers)

    def add_route(
        self,
        pattern: str,
        endpoints: Mapping[str, Endpoint],
        *,
        has_preflight: bool = True,
        needs: NeedsOf = needs_nothing,
    ) -> None:
        """Serve an address.

        Args:
            pattern: its path below the version, with `{name}` for a segment and `{name+}` for any
                number of them; the endpoints get these texts.
            endpoints: by method, or under `addresses.ANY_METHOD`.
            has_preflight: whether scripts of other origins may use it.
            needs: what a batch loads for it beforehand, together with what all others need.
        """
        self.routes.append(
            Route(
                VERSION_PREFIX + pattern,
                Serves.SERVER,
                endpoints,
                has_preflight=has_preflight,
                needs=needs,
            )
        )

    def add_capability(self, name: str, *, description: str, url: str, **more: Any) -> None:
        """Announce something in the root view."""
        self.capabilities[name] = {"description": description, "url": url, **more}

    def add_policy(self, policy: Policy) -> None:
        """Have a policy asked who a user is, where none before it knows.

        Raises:
            ValueError: there is one of this name, and users of both would be the same.
        """
        if policy.name in {*self.settings.auth_policies, *(each.name for each in self.policies)}:
            raise ValueError(f"there is a policy {policy.name} already")
        self.policies.append(policy)

    def add_subscriber(
        self,
        subscriber: Callable[[Any], Any],
        event: type,
        *,
        for_actions: Iterable[str] = ACTIONS,
        for_resources: Iterable[str] = RESOURCES,
        for_uris: Iterable[str] = (),
        name: str | None = None,
    ) -> None:
        """Have a function called with each event of a type, of those in `api.subscribers`.

        Args:
            subscriber: is called with the event.
            event: its type.
            for_actions: of `create`, `update`, `delete`.
            for_resources: of `bucket`, `collection`, `group`, `record`.
            for_uris: patterns of the addresses of objects, where `*` is any text; none for all.
            name: in logs and, of AfterResourceChanged, in deliveries; by default the function's
                dotted path.

        Raises:
            ValueError: there is no such event, action or resource; or one text was given where
                there may be several.
        """
        for given, known in ((for_actions, ACTIONS), (for_resources, RESOURCES), (for_uris, None)):
            if isinstance(given, str) or (known and not {*given} <= {*known}):
                raise ValueError(f"{given!r} is not a list of {known or 'addresses'}")
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}")
        kind = type(subscriber) if not hasattr(subscriber, "__qualname__") else subscriber
        name = name or f"{kind.__module__}.{kind.__qualname__}"
        selection = Selection(frozenset(for_actions), frozenset(for_resources), tuple(for_uris))
        self.subscribers.add(Subscription(name, subscriber, event, selection))

    def reserve_id(self, kind: Kind, id: str) -> None:
        """Let no object of this kind be created under an id that is an alias."""
        self.reserved.add((kind, id))

    def tell_user(self, about: Callable[[str], Mapping[str, str]]) -> None:
        """Have the root view tell a user more of himself, given his id."""
        self.about_user.append(about)

    def about(self, user_id: str) -> dict[str, str]:
        """What they tell this user of himself."""
        told: dict[str, str] = {}
        for about in self.about_user:
            told |= about(user_id)
        return told
