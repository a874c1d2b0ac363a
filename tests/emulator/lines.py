"""The line between hosts and DynamoDB, and what befalls the calls on it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chalicelib.storage import client as storage_client
from tests.doubles import Client
from tests.emulator.hosts import REQUEST_S, Connections, Hosts
from tests.emulator.proxy import Fate, proxy

READ, WRITE = "BatchGetItem", "TransactWriteItems"

READ_TIMEOUT_S = 0.3
"""Of hosts at the end of such a line, as some of their calls are never answered."""


class Line:
    """The line between the service and DynamoDB, and what befalls the calls on it.

    Attributes:
        fate_of: of a call of this operation, which is the n-th of its kind.
        carried_out: told of each operation that was carried out, before its answer.
    """

    def __init__(self, hosts: Hosts) -> None:
        self.fate_of: Callable[[str, int], Fate] = lambda _operation, _number: Fate.ANSWERED
        self.carried_out: Callable[[str], None] = lambda _operation: None
        self._hosts = hosts
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    @contextmanager
    def clients(self, number: int = 1, *, seconds: float = REQUEST_S) -> Iterator[list[Client]]:
        """So many hosts behind this line; once they are gone, every call has met its fate."""
        with (
            proxy(self._hosts.url, self._decide, self._notify) as url,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(storage_client, "READ_TIMEOUT_S", READ_TIMEOUT_S)
            connections = Connections(url)
            behind = Hosts(connections, self._hosts.stage)
            try:
                yield [behind.start(seconds=seconds) for _ in range(number)]
            finally:
                connections.close()

    @contextmanager
    def client(self, *, seconds: float = REQUEST_S) -> Iterator[Client]:
        with self.clients(seconds=seconds) as (client,):
            yield client

    def fail_once(self, operation: str, fate: Fate) -> None:
        """The first call of this operation meets this fate."""
        self.fate_of = lambda asked, number: (
            fate if (asked, number) == (operation, 1) else Fate.ANSWERED
        )

    def fail_always(self, operation: str, fate: Fate) -> None:
        self.fate_of = lambda asked, _number: fate if asked == operation else Fate.ANSWERED

    def _decide(self, operation: str) -> Fate:
        with self._lock:
            self._calls[operation] += 1
            return self.fate_of(operation, self._calls[operation])

    def _notify(self, operation: str) -> None:
        self.carried_out(operation)
