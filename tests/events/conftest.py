"""What these tests run on: moto behind a wire, and a clock that is set."""

from tests.doubles import clock
from tests.storage.wires import connection, dynamo, requests, wire

__all__ = ["clock", "connection", "dynamo", "requests", "wire"]
