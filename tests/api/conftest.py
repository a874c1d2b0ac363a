"""What these tests run on: moto, a clock that is set, and counted calls."""

from tests.doubles import calls, client, clock, settings
from tests.shared_moto import dynamo, moto_tables

__all__ = ["calls", "client", "clock", "dynamo", "moto_tables", "settings"]
