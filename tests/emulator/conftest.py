"""What these tests run on: the emulator, with tables of its own for each test."""

from collections.abc import Iterator
from itertools import count

import pytest

from infra.pump import Clients
from infra.tables import create_tables
from tests.emulator.hosts import Connections, Hosts
from tests.emulator.lines import Line

_stages = count()


@pytest.fixture(scope="session")
def connections(emulator_url: str) -> Iterator[Connections]:
    """Connections to the emulator; making one takes longer than most tests."""
    connections = Connections(emulator_url)
    yield connections
    connections.close()


@pytest.fixture(scope="session")
def clients(emulator_url: str) -> Clients:
    """What a pump needs."""
    return Clients.connect(emulator_url)


@pytest.fixture
def hosts(connections: Connections) -> Hosts:
    """Hosts of a stage that has only just got its tables."""
    stage = f"emulator-{next(_stages)}"
    create_tables(connections[0].client, stage)
    return Hosts(connections, stage)


@pytest.fixture
def line(hosts: Hosts) -> Line:
    """A line to the same tables that fails as a test wants it."""
    return Line(hosts)
