"""The listeners that come with the service: `webhook`, `sqs` and `eventbridge`.

Rule: `docs/webhooks.md`.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from chalicelib.events.buses import Buses
from chalicelib.events.deliveries import DeliveryError, Receiver
from chalicelib.events.outbound import OutboundError, is_address, is_public, post
from chalicelib.events.queues import InGroup, Queue, Queues, to_text
from chalicelib.events.webhooks import secrets_problem, signed_headers
from chalicelib.protocol.events import Event
from chalicelib.protocol.urls import is_loopback, problem_of_url
from chalicelib.secret_references import SecretError, Secrets, is_reference
from chalicelib.setting_values import split_list
from chalicelib.settings import SettingsError, listener_variable

WEBHOOK: Final = "webhook"
SQS: Final = "sqs"
EVENTBRIDGE: Final = "eventbridge"

REQUEST_ID: Final = "X-Request-Id"
"""The header of a webhook with the id of the request that led to it."""

TIMEOUT_S: Final = 10.0
"""How long a webhook may take to answer."""

Outlet = Callable[[str, Mapping[str, str]], Receiver]
"""From a listener's name and its options to what takes its events."""

_GONE: Final = 410
_FIFO: Final = ".fifo"


class Outlets:
    """Makes each of them from its options."""

    def __init__(
        self, stage: str, queues: Queues, region: str | None, *, allows_loopback: bool
    ) -> None:
        """Keep what they share; nothing is called yet.

        Args:
            stage: that events come from.
            queues: of the stage.
            region: of the stage.
            allows_loopback: whether webhooks may lead to this machine, for development.
        """
        self._queues = queues
        self._buses = Buses(f"kinto-serverless.{stage}", region)
        self._secrets = Secrets(region)
        self._allows_loopback = allows_loopback
        self.by_use: Mapping[str, Outlet] = {
            WEBHOOK: self.webhook,
            SQS: self.sqs,
            EVENTBRIDGE: self.eventbridge,
        }

    def webhook(
        self, name: str, options: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
    ) -> Receiver:
        """Posts events to `url`, signed with `secret`: one or two, or references to them.

        Raises:
            SettingsError: one of them is missing or wrong, or there is another option.
        """
        _check_options(name, options, "url", "secret")
        url, secret = _required(name, options, "url"), _required(name, options, "secret")
        if problem := self._problem_of_url(url):
            raise SettingsError(f"{listener_variable(name, 'url')} {problem}")
        if not any(map(is_reference, split_list(secret))) and (problem := secrets_problem(secret)):
            raise SettingsError(f"{listener_variable(name, 'secret')} is {problem}")
        return partial(self._post, url, secret, timeout_s)

    def _problem_of_url(self, url: str) -> str | None:
        """Why no event can ever be posted there. What its host leads to is looked at later."""
        if problem := problem_of_url(url, allows_loopback=self._allows_loopback):
            return problem
        host = urlsplit(url).hostname or ""
        is_ours = self._allows_loopback and is_loopback(host)
        return None if is_ours or not is_address(host) or is_public(host) else "is not public"

    def _post(self, url: str, secret: str, timeout_s: float, event: Event) -> None:
        body = to_text(event.to_json()).encode()
        try:
            secrets = " ".join(map(self._secrets.value_of, split_list(secret)))
            if problem := secrets_problem(secrets):
                raise DeliveryError(problem)
            headers = signed_headers(event.id, body, secrets.split(), now_s=int(time.time()))
            if event.request_id is not None:
                headers[REQUEST_ID] = event.request_id
            answer = post(
                url, headers, body, timeout_s=timeout_s, allows_loopback=self._allows_loopback
            )
        except (OutboundError, SecretError) as error:
            raise DeliveryError(str(error)) from error
        if not 200 <= answer.status < 300:
            raise DeliveryError(
                f"answered {answer.status}",
                status=answer.status,
                retry_after_s=answer.retry_after_s,
                is_final=answer.status == _GONE,
            )

    def sqs(self, name: str, options: Mapping[str, str]) -> Receiver:
        """Sends events to `queue`, a name or a URL; else to the stage's own.

        Raises:
            SettingsError: there is another option, or the queue can't be one.
        """
        _check_options(name, options, "queue")
        queue = options.get("queue", Queue.EVENTS)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,75}(\.fifo)?|https?://\S+", queue):
            raise SettingsError(f"{listener_variable(name, 'queue')} is no queue's name or URL")
        return partial(self._send, queue)

    def _send(self, queue: str, event: Event) -> None:
        message = event.to_json()
        if queue.endswith(_FIFO):
            self._queues.send_in_order(queue, [InGroup(message, str(event.in_list), event.id)])
        else:
            self._queues.send(queue, [message])

    def eventbridge(self, name: str, options: Mapping[str, str]) -> Receiver:
        """Puts events on `bus`, a name or an ARN; else on the account's own.

        Raises:
            SettingsError: there is another option, or the bus can't be one.
        """
        _check_options(name, options, "bus")
        bus = options.get("bus", "default")
        if not re.fullmatch(r"[A-Za-z0-9._/:-]{1,1600}", bus):
            raise SettingsError(f"{listener_variable(name, 'bus')} is not a bus's name or ARN")
        return partial(self._buses.put, bus)


def _required(name: str, options: Mapping[str, str], option: str) -> str:
    if option not in options:
        raise SettingsError(f"{listener_variable(name, option)} is not set")
    return options[option]


def _check_options(name: str, options: Mapping[str, str], *known: str) -> None:
    for option in options:
        if option not in known:
            raise SettingsError(f"{listener_variable(name, option)} is no option of this listener")
