"""What a call gives or raises, for laws that hold in either case."""

from collections.abc import Callable
from typing import TypeVar

from chalicelib.protocol.errors import ProtocolError

T = TypeVar("T")


def attempt(call: Callable[[], T]) -> T | ProtocolError:
    """What the call gives, or the ProtocolError that it raises; any other exception is raised."""
    try:
        return call()
    except ProtocolError as error:
        return error
