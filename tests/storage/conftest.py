"""What these tests run on: moto behind a wire that can fail, a clock that is set, counted calls."""

import pytest

from tests.doubles import SetClock, calls, client, clock, settings
from tests.storage.stand_ins import Requests, Wire
from tests.storage.wires import connection, dynamo, requests, wire

__all__ = ["calls", "client", "clock", "connection", "dynamo", "requests", "settings", "wire"]


@pytest.fixture
def rival(wire: Wire, clock: SetClock) -> Requests:
    """Requests to the same tables that nothing on the wire disturbs."""
    return Requests(wire.rival, clock)
