"""What is at an address."""

from enum import Enum


class Serves(Enum):
    """The service itself, a list, or an object."""

    SERVER = "server"
    LIST = "list"
    OBJECT = "object"
