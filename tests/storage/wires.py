"""The fixtures of tests whose tables are moto's, behind a wire that can fail."""

from collections.abc import Iterator

import pytest
from moto import mock_aws
from pynamodb.connection import Connection

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from tests.doubles import REGION, SetClock
from tests.storage.stand_ins import Requests, Wire, fresh_wire


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to moto: one a module, as making a client takes longer than most tests."""
    with mock_aws():
        yield connect(REGION)


@pytest.fixture
def wire(connection: Connection) -> Iterator[Wire]:
    """The two tables, empty, at the end of a wire."""
    with fresh_wire(connection) as wire:
        yield wire


@pytest.fixture
def dynamo(wire: Wire) -> Dynamo:
    """The tables through the wire."""
    return wire.dynamo


@pytest.fixture
def requests(dynamo: Dynamo, clock: SetClock) -> Requests:
    """Requests that go through the wire."""
    return Requests(dynamo, clock)
