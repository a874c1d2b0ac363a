"""A request on its way, and what has been found out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from chalicelib.api.addresses import Match, Needs
from chalicelib.api.calls import Answer, Call
from chalicelib.api.serves import Serves
from chalicelib.auth.policies import ANONYMOUS, Authentication
from chalicelib.protocol.messages import Request, Response

Stage: TypeAlias = Callable[[Call], Answer]
"""What an endpoint does in one transaction."""


@dataclass(slots=True)
class Exchange:
    """A request, and what has been found out of it by the time it is answered.

    Attributes:
        request: as it came.
        user: who asks, once the policies were asked.
        is_known: whether that is known beforehand, so that no policy is asked.
        policies_ms: how long they took, by name.
        listeners_ms: how long those took that heard of it before the commit, by name.
        match: where the request leads, once that is known.
        outcome: what its endpoint does; or the answer, where it doesn't come so far.
    """

    request: Request
    user: Authentication = ANONYMOUS
    is_known: bool = False
    policies_ms: dict[str, float] = field(default_factory=dict)
    listeners_ms: dict[str, float] = field(default_factory=dict)
    match: Match | None = None
    outcome: Stage | Response | None = None

    @property
    def asked_for(self) -> dict[str, str]:
        """What traces tell of the request, once it leads somewhere."""
        if self.match is None:
            return {}
        return {"method": self.request.method, "route": self.match.route.pattern}

    def call_of(self, call: Call) -> Call:
        """The call of this request, in the transaction of another one."""
        return call.of(self.request, self.user.user_id)

    def facts(self, response: Response) -> dict[str, Any]:
        """What the log tells of the answer and of its resource, by Kinto's names."""
        route = None if self.match is None else self.match.route
        facts: dict[str, Any] = {**response.facts}
        if route is None or route.kind is None:
            return facts
        facts["collection_id"] = route.kind.name
        etag = response.headers.get("ETag")
        if etag and route.serves is Serves.LIST and self.request.method in ("GET", "HEAD"):
            facts["collection_timestamp"] = int(etag.strip('"'))
        return facts

    def needs(self, call: Call) -> Needs:
        """What its endpoint reads first; nothing where it doesn't come so far."""
        if self.match is None or isinstance(self.outcome, Response):
            return Needs()
        return self.match.route.needs(self.call_of(call), self.match.ids)
