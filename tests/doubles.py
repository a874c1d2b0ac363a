"""Stand-ins and fixtures that several kinds of tests share."""

import base64
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage
from infra.tables import create_tables

STAGE = "test"
SECRET = "a secret of the tests"
REGION = "eu-west-1"
START_MS = 1_700_000_000_000


class SetClock:
    """A host's clock that shows what it is set to."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Patience:
    """Time that passes only in pauses; `pauses` holds their lengths in seconds."""

    def __init__(self, remaining_s: float = 29.0) -> None:
        self.remaining_s = remaining_s
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.remaining_s -= seconds

    def deadline(self) -> Deadline:
        return Deadline(lambda: self.remaining_s, self.pause, lambda: 0.5)


class CountedCalls:
    """The DynamoDB calls of a client, counted by a botocore event hook."""

    def __init__(self, client: Any) -> None:
        self.by_operation: Counter[str] = Counter()
        client.meta.events.register("before-call.dynamodb.*", self._count)

    def _count(self, model: Any, **_: Any) -> None:
        self.by_operation[model.name] += 1

    def take(self) -> dict[str, int]:
        """What was called since the last time."""
        taken = dict(self.by_operation)
        self.by_operation.clear()
        return taken


@dataclass(slots=True)
class Cost:
    """What DynamoDB was asked for.

    Attributes:
        calls: by operation.
        items_read: that came in answers.
        items_scanned: that queries looked at; filters would look at more than come.
    """

    calls: Counter[str] = field(default_factory=Counter)
    items_read: int = 0
    items_scanned: int = 0


class Meter:
    """Measures the cost of what goes through a client of DynamoDB."""

    def __init__(self, client: Any) -> None:
        self._cost = Cost()
        client.meta.events.register("after-call.dynamodb.*", self._add)

    def _add(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self._cost.calls[model.name] += 1
        self._cost.items_read += len(parsed.get("Items", ()))
        self._cost.items_read += sum(map(len, parsed.get("Responses", {}).values()))
        self._cost.items_scanned += parsed.get("ScannedCount", 0)

    def take(self) -> Cost:
        """What it has cost since the last time."""
        taken, self._cost = self._cost, Cost()
        return taken


@contextmanager
def heard_by(handler: logging.Handler, level: int) -> Iterator[None]:
    """Have a handler get what the service logs, whoever else has configured its log."""
    logger = logging.getLogger("kinto")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    yield
    logger.removeHandler(handler)
    logger.setLevel(before)


def parsed(response: Response) -> Response:
    """The same answer, with its body as an object."""
    return response if response.body is None else replace(response, body=response.parsed)


class Client:
    """Asks a service as HTTP would, without HTTP."""

    def __init__(self, service: Service, patience: Callable[[], Patience] = Patience) -> None:
        self.service = service
        self._patience = patience

    def ask(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        user: str | None = "alice",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        **query: str,
    ) -> Response:
        """The answer to a request of this user; `data` is the whole JSON body."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if user is not None:
            sent.setdefault("authorization", basic(user))
        if data is not None:
            body = json.dumps(data).encode()
        request = Request(
            method,
            "/v1" + path,
            tuple(query.items()),
            sent,
            body or b"",
            "http://localhost",
            f"request of {user}",
        )
        return parsed(self.service.respond(request, self._patience().deadline()))


def basic(user: str, password: str = "secret") -> str:
    """The Authorization header of this user."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def dynamo() -> Iterator[Dynamo]:
    """The two tables, empty, on moto."""
    with mock_aws():
        connection = connect(REGION)
        create_tables(connection.client, STAGE)
        yield Dynamo(connection, Tables.of_stage(STAGE))


@pytest.fixture
def calls(dynamo: Dynamo) -> CountedCalls:
    """The calls of `dynamo` from now on."""
    return CountedCalls(dynamo._connection.client)


@pytest.fixture
def clock() -> SetClock:
    """The host's clock."""
    return SetClock()


@pytest.fixture
def settings() -> Settings:
    """The settings of the service; a test module may give its own."""
    return Settings(stage=STAGE, userid_hmac_secret=SECRET)


@pytest.fixture
def client(dynamo: Dynamo, clock: SetClock, settings: Settings) -> Client:
    """A client of a service on moto."""
    policies = [BasicPolicy(settings.userid_hmac_secret)]
    return Client(Service(settings, Storage(dynamo, clock), policies))
