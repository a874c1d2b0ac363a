"""A request to its response: every answer of the service goes through here."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from chalicelib.api.calls import Call
from chalicelib.api.headers import exposed
from chalicelib.api.refusals import refusal, unavailable, unexpected
from chalicelib.api.router import Match, Router, endpoint_of
from chalicelib.api.serves import Serves
from chalicelib.auth.policies import Policy, authenticate
from chalicelib.observability import log_request, log_unexpected
from chalicelib.protocol.errors import METHOD_NOT_ALLOWED, ProtocolError
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork

T = TypeVar("T")


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
        request = replace(request, base_url=self._base_url(request))
        user_id = authenticate(request, self._policies)
        found = self._guarded(request, lambda: self._router.find(request))
        if isinstance(found, Match):
            response = self._guarded(
                request, lambda: self._carry_out(found, request, user_id, deadline)
            )
            response = self._finished(request, response, found.route.serves)
        else:
            response = self._finished(request, found, Serves.SERVER)
        log_request(request, response, user_id=user_id, seconds=time.monotonic() - started)
        return response

    def _guarded(self, request: Request, work: Callable[[], T]) -> T | Response:
        """What `work` gives, or the answer to what it raises."""
        try:
            return work()
        except ProtocolError as error:
            return refusal(error)
        except UnavailableError as error:
            return unavailable(self._settings, may_repeat=error.may_repeat)
        except Exception:
            log_unexpected(request)
            return unexpected(self._settings)

    def _carry_out(
        self, match: Match, request: Request, user_id: str | None, deadline: Deadline
    ) -> Response:
        """The endpoint's answer, in one transaction."""
        endpoint = endpoint_of(match, request)

        def work(unit: UnitOfWork) -> Response:
            return endpoint(Call(request, self._settings, user_id, unit), match.ids)

        return self._storage.run(work, deadline)

    def _base_url(self, request: Request) -> str:
        if not (self._settings.http_scheme or self._settings.http_host):
            return request.base_url
        scheme, _, host = request.base_url.partition("://")
        return f"{self._settings.http_scheme or scheme}://{self._settings.http_host or host}"

    def _finished(self, request: Request, response: Response, serves: Serves) -> Response:
        """The answer with the headers that all have, and without a body to HEAD."""
        headers = dict(response.headers)
        if response.status != METHOD_NOT_ALLOWED.status:
            headers |= exposed(serves, reads=request.method in ("GET", "HEAD"))
        if self._settings.backoff is not None:
            headers["Backoff"] = str(self._settings.backoff)
        body = None if request.method == "HEAD" else response.body
        return Response(response.status, body, headers)
