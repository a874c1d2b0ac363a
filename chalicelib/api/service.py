"""A request to its response: every answer of the service goes through here."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.headers import exposed
from chalicelib.api.refusals import refusal, unavailable, unexpected
from chalicelib.api.router import Router, endpoint_of
from chalicelib.api.serves import Serves
from chalicelib.auth.policies import (
    ANONYMOUS,
    Authentication,
    Policy,
    PolicyUnavailableError,
    authenticate,
)
from chalicelib.observability import log_request, log_stopped, log_unavailable, log_unexpected
from chalicelib.protocol.errors import METHOD_NOT_ALLOWED, ProtocolError
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork


@dataclass(slots=True)
class _Exchange:
    """A request, and what has been found out of it by the time it is answered."""

    request: Request
    user: Authentication = ANONYMOUS
    policies_ms: dict[str, float] = field(default_factory=dict)
    serves: Serves = Serves.SERVER


class Service:
    """Kinto's HTTP API over a storage."""

    def __init__(self, settings: Settings, storage: Storage, policies: Sequence[Policy]) -> None:
        """Put together what a container keeps between requests."""
        self._settings = settings
        self._storage = storage
        self._policies = policies
        self._router = Router(settings)

    def respond(self, request: Request, deadline: Deadline) -> Response:
        """The answer to a request; no exception leaves here.

        Args:
            request: as the gateway brought it.
            deadline: until when it must be answered.
        """
        started = time.monotonic()
        exchange = _Exchange(replace(request, base_url=self._base_url(request)))
        try:
            response = self._carry_out(exchange, deadline)
        except ProtocolError as error:
            response = refusal(error, challenges=exchange.user.challenges)
        except UnavailableError as error:
            log_unavailable(request, error)
            response = unavailable(self._settings, may_repeat=error.may_repeat)
        except PolicyUnavailableError as error:
            log_unavailable(request, error)
            response = unavailable(self._settings, may_repeat=True)
        except Exception:
            log_unexpected(request)
            response = unexpected(self._settings)
        response = self._finished(exchange, response)
        seconds = time.monotonic() - started
        log_request(
            request,
            response,
            user_id=exchange.user.user_id,
            seconds=seconds,
            policies_ms=exchange.policies_ms,
        )
        return replace(response, body=None) if request.method == "HEAD" else response

    def _carry_out(self, exchange: _Exchange, deadline: Deadline) -> Response:
        """The endpoint's answer, in one transaction unless it asks for more."""
        request = exchange.request
        exchange.user = authenticate(request, self._policies, exchange.policies_ms)
        match = self._router.find(request)
        if isinstance(match, Response):
            return match
        exchange.serves = match.route.serves
        endpoint = endpoint_of(match, request)

        def transaction(stage: Callable[[Call], Answer]) -> Answer:
            def work(unit: UnitOfWork) -> Answer:
                return stage(Call(request, self._settings, exchange.user.user_id, unit))

            return self._storage.run(work, deadline)

        answer = transaction(lambda call: endpoint(call, match.ids))
        while isinstance(answer, Unfinished):
            done = answer.response
            try:
                answer = transaction(answer.go_on)
            except (ProtocolError, UnavailableError) as error:
                log_stopped(request, error)
                return done
        return answer

    def _base_url(self, request: Request) -> str:
        if not (self._settings.http_scheme or self._settings.http_host):
            return request.base_url
        scheme, _, host = request.base_url.partition("://")
        return f"{self._settings.http_scheme or scheme}://{self._settings.http_host or host}"

    def _finished(self, exchange: _Exchange, response: Response) -> Response:
        """The answer with the headers that all have."""
        headers = dict(response.headers)
        if response.status != METHOD_NOT_ALLOWED.status:
            reads = exchange.request.method in ("GET", "HEAD")
            headers |= exposed(exchange.serves, reads=reads)
        if self._settings.backoff is not None:
            headers["Backoff"] = str(self._settings.backoff)
        return replace(response, headers=headers)
