"""What these tests run on: a service with the default bucket, on moto, and a clock that is set."""

import pytest

from chalicelib.storage.connection import Dynamo
from tests.doubles import Client, SetClock, calls, clock
from tests.plugins.clients import DEFAULT_BUCKET, client_of
from tests.shared_moto import dynamo, moto_tables
from tests.storage.stand_ins import Wire

__all__ = ["calls", "clock", "dynamo", "moto_tables"]


@pytest.fixture
def client(dynamo: Dynamo, clock: SetClock) -> Client:
    """A client of a service with the default bucket."""
    return client_of(dynamo, clock, includes=(DEFAULT_BUCKET,))


@pytest.fixture
def wire(dynamo: Dynamo) -> Wire:
    """The same tables, at the end of a wire that can fail."""
    return Wire(dynamo._connection, dynamo.tables)
