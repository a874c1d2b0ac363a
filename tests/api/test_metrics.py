"""What requests have to tell CloudWatch beside their answers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.metrics import Metrics
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage
from tests.api.test_errors import FailingStorage
from tests.doubles import SECRET, STAGE, Client, SetClock
from tests.storage.stand_ins import TRANSACT, cancelled

PARENT = "#bucket:blog"

OnTransaction = Callable[[str, Callable[..., None]], None]


class Observed:
    """A client of a service, and the metrics that this writes."""

    def __init__(self, storage: Storage) -> None:
        self._lines: list[str] = []
        self.client = Client(
            Service(
                Settings(stage=STAGE),
                storage,
                [BasicPolicy(SECRET)],
                metrics=Metrics(STAGE, self._lines.append),
            )
        )

    def take(self) -> list[dict[str, Any]]:
        """The lines since the last time."""
        taken = [json.loads(line) for line in self._lines]
        self._lines.clear()
        return taken


@pytest.fixture
def observed(dynamo: Dynamo, clock: SetClock) -> Observed:
    return Observed(Storage(dynamo, clock))


@pytest.fixture
def on_transaction(dynamo: Dynamo) -> Iterator[OnTransaction]:
    """Has botocore call something before or after each transaction of this test."""
    events = dynamo._connection.client.meta.events
    with ExitStack() as stack:

        def register(when: str, hook: Callable[..., None]) -> None:
            name = f"{when}.dynamodb.{TRANSACT}"
            events.register(name, hook)
            stack.callback(events.unregister, name, hook)

        yield register


def test_a_request_that_just_goes_tells_nothing(observed: Observed) -> None:
    assert observed.client.ask("PUT", "/buckets/blog").status == 201
    assert observed.client.ask("GET", "/buckets/blog").status == 200
    assert observed.client.ask("GET", "/buckets/none").status == 403
    assert observed.take() == []


def test_conflicts_are_told_in_one_line_of_the_request(
    observed: Observed, on_transaction: OnTransaction
) -> None:
    conflicts = [cancelled("TransactionConflict"), cancelled("ConditionalCheckFailed")]

    def be_second(**_: Any) -> None:
        if conflicts:
            raise conflicts.pop()

    on_transaction("before-call", be_second)

    assert observed.client.ask("PUT", "/buckets/blog").status == 201

    (line,) = observed.take()
    assert line["conflict_retries"] == 2
    assert line["request_id"] == "request of alice"
    assert "unavailable" not in line


def test_a_large_parent_is_told_by_its_name(
    observed: Observed, on_transaction: OnTransaction
) -> None:
    def measure(parsed: dict[str, Any], **_: Any) -> None:
        size = {"ItemCollectionKey": {"parent": {"S": PARENT}}, "SizeEstimateRangeGB": [8.0, 9.0]}
        parsed["ItemCollectionMetrics"] = {f"kinto-{STAGE}-objects": [size]}

    on_transaction("after-call", measure)

    assert observed.client.ask("PUT", "/buckets/blog").status == 201

    (line,) = observed.take()
    assert (line["parent"], line["parent_gb"]) == (PARENT, 9.0)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage"]]


@pytest.mark.parametrize("may_repeat", [True, False])
def test_an_answer_of_503_is_told(may_repeat: bool) -> None:
    observed = Observed(FailingStorage(UnavailableError(may_repeat=may_repeat)))

    assert observed.client.ask("GET", "/buckets/blog").status == 503

    (line,) = observed.take()
    assert line["unavailable"] == 1


def test_other_failures_are_not_told_as_503() -> None:
    observed = Observed(FailingStorage(RuntimeError("a mistake of ours")))

    assert observed.client.ask("GET", "/buckets/blog").status == 500
    assert observed.take() == []
