"""What Kinto 2.0.0 answered, asked again: in this process, and over HTTP."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.conformance.replayer import Answer, Ask, replay
from tests.conformance.scenarios import NOT_BUILT, SCENARIOS, as_parameters, environment_of
from tests.doubles import Patience, SetClock, parsed

BASE_URL = "http://localhost"


@pytest.mark.parametrize("scenario", as_parameters(SCENARIOS))
def test_scenario_in_process(scenario: dict[str, Any], dynamo: Dynamo, clock: SetClock) -> None:
    settings = Settings.from_environment({**environment_of(scenario), "KINTO_STAGE": "test"})
    policies = [BasicPolicy(settings.userid_hmac_secret)]

    service = Service(
        settings, Storage(dynamo, clock), policies, load_plugins(settings), now_ms=clock
    )

    assert replay(scenario, in_process(service, clock), BASE_URL) == []


@pytest.mark.emulator
@pytest.mark.parametrize(
    "scenario", as_parameters([scenario for scenario in SCENARIOS if not scenario.get("settings")])
)
def test_scenario_over_http(scenario: dict[str, Any], server_url: str) -> None:
    assert replay(scenario, over_http(server_url), server_url) == []


def test_every_scenario_that_is_not_expected_to_match_exists() -> None:
    assert NOT_BUILT.keys() <= {scenario["name"] for scenario in SCENARIOS}


def in_process(service: Service, clock: SetClock) -> Ask:
    """Asks a service as the gateway would, at a time of its own for each request."""

    def ask(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        clock.now_ms += 10
        path, _, query = target.partition("?")
        request = Request(
            method,
            unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            tuple(parse_qsl(query, keep_blank_values=True)),
            {name.lower(): value for name, value in headers.items()},
            body,
            BASE_URL,
        )
        response = parsed(service.respond(request, Patience().deadline()))
        names = {name.lower(): value for name, value in response.headers.items()}
        sent = json.dumps(response.body)  # what can't be sent would not be noticed otherwise
        return Answer(
            response.status, {**names, "content-type": "application/json"}, json.loads(sent)
        )

    return ask


def over_http(server_url: str) -> Ask:
    """Asks a server, with a connection for each request."""
    host = server_url.removeprefix("http://")

    def ask(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = HTTPConnection(host, timeout=60)
        try:
            connection.request(method, target, body or None, dict(headers))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, json.loads(content) if content else None)

    return ask
