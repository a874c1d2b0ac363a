"""What Kinto 2.0.0 answered, asked again of the package, as it is deployed."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from infra.packaged import Clients, deploy
from infra.proxy import DeployedGateway
from infra.server import LocalServer
from tests.conformance.replayer import replay
from tests.conformance.scenarios import SCENARIOS, as_parameters, environment_of
from tests.conformance.test_recorded import over_http
from tests.deployed.conftest import STAGE, VARIABLES, Deployed

pytestmark = pytest.mark.emulator

PROFILES: tuple[dict[str, str], ...] = (
    {
        "cors_max_age_seconds": "42",
        "cors_origins": "https://app.example.org https://admin.example.org",
    },
    {"http_host": "kinto.example.org", "http_scheme": "https", "paginate_by": "1"},
    {"trailing_slash_redirect_enabled": "false", "version_prefix_redirect_enabled": "false"},
)
"""Settings that are replayed beside those of most scenarios: of what a gateway may get wrong."""

ONE_IN = 3
"""Of most scenarios, which take a minute. RECORDED=all replays them all, and every setting."""


def chosen() -> list[dict[str, Any]]:
    """Scenarios, those with the same settings one after the other."""
    of_most = [scenario for scenario in SCENARIOS if not scenario.get("settings")]
    others = [scenario for scenario in SCENARIOS if scenario.get("settings")]
    if os.environ.get("RECORDED") != "all":
        of_most = of_most[::ONE_IN]
        others = [scenario for scenario in others if scenario["settings"] in PROFILES]
    return of_most + sorted(others, key=lambda scenario: sorted(scenario["settings"].items()))


@pytest.fixture(scope="module")
def origin_with(deployed: Deployed) -> Iterator[Callable[[Mapping[str, str]], str]]:
    """Has the functions told these variables; gives where the API is, without `/v1`."""
    clients = Clients.connect(deployed.endpoint)
    server = LocalServer(0)
    server.start(DeployedGateway(deployed.deployment, deployed.endpoint))
    told: Mapping[str, str] = {}

    def origin_with(variables: Mapping[str, str]) -> str:
        nonlocal told
        if variables != told:
            deploy(clients, STAGE, deployed.package, {**VARIABLES, **variables})
            told = variables
        return server.url.removesuffix("/v1/")

    yield origin_with
    server.stop(5)
    deploy(clients, STAGE, deployed.package, VARIABLES)


@pytest.mark.parametrize("scenario", as_parameters(chosen()))
def test_scenario(
    origin_with: Callable[[Mapping[str, str]], str], scenario: dict[str, Any]
) -> None:
    origin = origin_with(environment_of(scenario))

    assert replay(scenario, over_http(origin), origin) == []


def test_every_profile_is_recorded() -> None:
    recorded = [scenario.get("settings") for scenario in SCENARIOS]

    assert all(profile in recorded for profile in PROFILES)
