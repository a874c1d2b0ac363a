"""A request to its response: every answer of the service goes through here."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

from chalicelib.api import eos
from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.exchanges import Exchange, Stage
from chalicelib.api.ids import id_generators
from chalicelib.api.pipeline import Pipeline
from chalicelib.api.plugins import Plugins
from chalicelib.api.refusals import refusal, unavailable, unexpected
from chalicelib.api.routes import LBHEARTBEAT, ROUTES
from chalicelib.api.subscribers import Alteration, altered
from chalicelib.auth.policies import Policy, PolicyUnavailableError
from chalicelib.metrics import SILENT, Metrics, Tally, times_of_request
from chalicelib.observability import (
    about,
    log_request,
    log_stopped,
    log_unavailable,
    log_unexpected,
)
from chalicelib.protocol.errors import SERVICE_DEPRECATED, ProtocolError
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage, system_now_ms
from chalicelib.storage.unit_of_work import UnitOfWork
from chalicelib.tracing import Part, begin


class Service:
    """Kinto's HTTP API over a storage."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        policies: Sequence[Policy],
        plugins: Plugins | None = None,
        *,
        metrics: Metrics = SILENT,
        now_ms: Callable[[], int] = system_now_ms,
    ) -> None:
        """Put together what a container keeps between requests.

        Args:
            settings: of the service.
            storage: where everything is.
            policies: that tell who asks, before those of plugins.
            plugins: what they add; None for a service without any.
            metrics: where it goes what there is to tell of requests.
            now_ms: this host's clock, which the end of the service is told by.

        Raises:
            SettingsError: a generator of ids can't be made; names the variable.
        """
        self._settings = settings
        self._storage = storage
        self._plugins = plugins or Plugins(settings)
        self._pipeline = Pipeline(
            settings,
            [*policies, *self._plugins.policies],
            [*self._plugins.routes, *ROUTES],
        )
        self._new_id = id_generators(settings)
        self._metrics = metrics
        self._now_ms = now_ms

    def respond(self, request: Request, deadline: Deadline) -> Response:
        """The answer to a request; no exception leaves here.

        Args:
            request: as the gateway brought it.
            deadline: until when it must be answered.
        """
        with about(request.id), begin("request", rid=request.id) as traced:
            return self._respond(request, deadline, traced)

    def _respond(self, request: Request, deadline: Deadline, traced: Part) -> Response:
        started = time.monotonic()
        now_ms = self._now_ms()
        exchange = Exchange(replace(request, base_url=self._base_url(request)))
        if eos.has_ended(self._settings, now_ms) and request.path != LBHEARTBEAT:
            gone = refusal(ProtocolError(SERVICE_DEPRECATED))
            response = self._pipeline.finished(exchange, gone)
        else:
            response = self._answer(exchange, deadline)
        response = self._announcing(response, now_ms)
        deadline.tally.unavailable += response.status == HTTPStatus.SERVICE_UNAVAILABLE
        self._log(exchange, response, deadline.tally, time.monotonic() - started)
        traced.annotate(**exchange.asked_for, status=response.status)
        traced.answered(response.status)
        return replace(response, body=None) if request.method == "HEAD" else response

    def _log(self, exchange: Exchange, response: Response, tally: Tally, seconds: float) -> None:
        policies_ms, listeners_ms = exchange.policies_ms, exchange.listeners_ms
        times = times_of_request(seconds, policies_ms, listeners_ms, tally.calls_ms)
        log_request(
            exchange.request,
            response,
            user_id=exchange.user.user_id,
            seconds=seconds,
            policies_ms=policies_ms,
            listeners_ms=listeners_ms,
            calls_ms=tally.calls_ms,
            facts=exchange.facts(response),
            members=self._metrics.members(tally, times),
        )

    def _answer(self, exchange: Exchange, deadline: Deadline) -> Response:
        request = exchange.request

        def carry_out(stage: Stage) -> Response:
            return self._carry_out(stage, exchange, deadline)

        try:
            return self._pipeline.answer(exchange, carry_out)
        except UnavailableError as error:
            log_unavailable(request, error)
            failure = unavailable(self._settings, may_repeat=error.may_repeat)
        except PolicyUnavailableError as error:
            log_unavailable(request, error)
            failure = unavailable(self._settings, may_repeat=True)
        except Exception:
            log_unexpected(request)
            failure = unexpected(self._settings)
        return self._pipeline.finished(exchange, failure)

    def _carry_out(self, stage: Stage, exchange: Exchange, deadline: Deadline) -> Response:
        """The endpoint's answer, in one transaction unless it asks for more."""
        request = exchange.request
        alterations: list[Alteration] = []

        def transaction(stage: Stage) -> Answer:
            def work(unit: UnitOfWork) -> tuple[Answer, list[Alteration]]:
                call = self._call(exchange, unit)
                answer = stage(call)
                new = self._plugins.subscribers.tell(call, exchange.listeners_ms)
                if isinstance(answer, Response):
                    answer = altered(answer, [*alterations, *new])
                return answer, new

            answer, new = self._storage.run(work, deadline)
            alterations.extend(new)
            return answer

        answer = transaction(stage)
        while isinstance(answer, Unfinished):
            stopped = answer.stopped
            try:
                answer = transaction(answer.go_on)
            except Exception as error:
                if isinstance(error, (ProtocolError, UnavailableError)):
                    log_stopped(request, error)
                else:
                    log_unexpected(request)
                return self._stopped(request, stopped(error), alterations)
        return answer

    def _stopped(
        self, request: Request, response: Response, alterations: Sequence[Alteration]
    ) -> Response:
        """The answer of what was done, altered if that goes: it can't be taken back."""
        try:
            return altered(response, alterations)
        except Exception:
            log_unexpected(request)
            return response

    def _call(self, exchange: Exchange, unit: UnitOfWork) -> Call:
        return Call(
            exchange.request,
            self._settings,
            exchange.user.user_id,
            unit,
            self._plugins,
            self._pipeline,
            self._new_id,
        )

    def _base_url(self, request: Request) -> str:
        if not (self._settings.http_scheme or self._settings.http_host):
            return request.base_url
        scheme, _, host = request.base_url.partition("://")
        return f"{self._settings.http_scheme or scheme}://{self._settings.http_host or host}"

    def _announcing(self, response: Response, now_ms: int) -> Response:
        """The answer with what all clients are to know. Rule: section 7."""
        headers = dict(response.headers) | eos.alert(self._settings, now_ms)
        if self._settings.backoff is not None:
            headers["Backoff"] = str(self._settings.backoff)
        return replace(response, headers=headers)
