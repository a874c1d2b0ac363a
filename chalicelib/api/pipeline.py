"""A request through all checks, in their order, to its endpoint; and the answer to it.

Rule: spec, "The service around the resources", sections 1, 5 and 6.
"""

from collections.abc import Callable, Sequence

from chalicelib.api import cors
from chalicelib.api.addresses import Route
from chalicelib.api.calls import Answer, Call
from chalicelib.api.exchanges import Exchange, Stage
from chalicelib.api.headers import exposed
from chalicelib.api.refusals import refusal
from chalicelib.api.router import Router, endpoint_of
from chalicelib.api.serves import Serves
from chalicelib.auth.policies import Policy, authenticate
from chalicelib.protocol.errors import METHOD_NOT_ALLOWED, SERVICE_DEPRECATED, ProtocolError
from chalicelib.protocol.messages import Response
from chalicelib.settings import Settings
from chalicelib.tracing import part


class Pipeline:
    """What every request goes through, whether it came alone or in another."""

    def __init__(
        self, settings: Settings, policies: Sequence[Policy], routes: Sequence[Route]
    ) -> None:
        """Keep what a container keeps between requests."""
        self._settings = settings
        self._policies = policies
        self._router = Router(settings, routes)

    def admit(self, exchange: Exchange) -> Stage | Response:
        """Find the outcome of a request, as far as that doesn't depend on what is stored.

        What does is left to the endpoint: it asks who may do this first of all.

        Raises:
            PolicyUnavailableError: who asks can't be told now.
        """
        try:
            outcome = self._admitted(exchange)
        except ProtocolError as error:
            outcome = refusal(error, challenges=exchange.user.challenges)
        exchange.outcome = outcome
        return outcome

    def answer(self, exchange: Exchange, carry_out: Callable[[Stage], Response]) -> Response:
        """The answer to a request; a client's fault is one, too.

        Args:
            exchange: has the request, and gets what is found out of it.
            carry_out: makes the call that the endpoint needs, in a transaction, and gives what
                the endpoint answers.

        Raises:
            PolicyUnavailableError: who asks can't be told now.
            Exception: what `carry_out` raises, but a ProtocolError.
        """
        outcome = exchange.outcome or self.admit(exchange)
        if isinstance(outcome, Response):
            return self.finished(exchange, outcome)
        try:
            response = carry_out(outcome)
        except ProtocolError as error:
            response = refusal(error, challenges=exchange.user.challenges)
        return self.finished(exchange, response)

    def finished(self, exchange: Exchange, response: Response) -> Response:
        """An answer with the headers that all have, whatever it is; its own stay."""
        route = None if exchange.match is None else exchange.match.route
        headers = cors.allowed_origin(
            exchange.request.headers,
            self._settings,
            is_endpoint=route is not None or response.status == SERVICE_DEPRECATED.status,
        )
        if response.status != METHOD_NOT_ALLOWED.status or (route and route.takes_all):
            serves = Serves.SERVER if route is None else route.serves
            headers |= exposed(serves, reads=exchange.request.method in ("GET", "HEAD"))
        headers |= response.headers
        return Response(response.status, response.body, headers, response.says_null, response.facts)

    def _admitted(self, exchange: Exchange) -> Stage | Response:
        """What is to be carried out; or the answer, where nothing is.

        Raises:
            ProtocolError: it can't be carried out.
        """
        request = exchange.request
        found = self._router.find(request)
        if isinstance(found, Response):
            return found
        exchange.match = found
        route = found.route
        if request.method == cors.PREFLIGHT and route.has_preflight:
            return cors.preflight(request, self._settings, route.methods, route.serves)
        endpoint = endpoint_of(found, request)
        asks_who = route.asks_who and request.method != cors.PREFLIGHT
        if asks_who and not exchange.is_known:
            with part("authentication"):
                exchange.user = authenticate(request, self._policies, exchange.policies_ms)
        if route.serves is Serves.SERVER and not route.takes_all:
            # All others know only later who may do this.
            cors.require_allowed_origin(request.headers, self._settings)

        def stage(call: Call) -> Answer:
            call.unit.load(*route.needs(call, found.ids))
            with part("endpoint", exchange.asked_for):
                return endpoint(call, found.ids)

        return stage
