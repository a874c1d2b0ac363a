"""What requests have to tell CloudWatch beside their answers."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.metrics import UNITS, Metrics
from chalicelib.observability import JsonFormatter
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage
from tests.api.test_errors import FailingStorage
from tests.doubles import SECRET, STAGE, Client, SetClock, heard_by
from tests.storage.stand_ins import TRANSACT, cancelled

PARENT = "#bucket:blog"

OnTransaction = Callable[[str, Callable[..., None]], None]


class Observed(logging.Handler):
    """A client of a service, and the metrics that this writes."""

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self._lines: list[str] = []
        self.setFormatter(JsonFormatter())
        self.client = Client(
            Service(
                Settings(stage=STAGE),
                storage,
                [BasicPolicy(SECRET)],
                metrics=Metrics(STAGE),
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def take(self) -> list[dict[str, Any]]:
        """The lines of requests since the last time."""
        taken = [json.loads(line) for line in self._lines]
        self._lines.clear()
        return [line for line in taken if line["Type"] == "request.summary"]


@pytest.fixture
def observe() -> Iterator[Callable[[Storage], Observed]]:
    """Makes a client of a service over a storage."""
    with ExitStack() as stack:

        def make(storage: Storage) -> Observed:
            made = Observed(storage)
            stack.enter_context(heard_by(made, logging.INFO))
            return made

        yield make


@pytest.fixture
def observed(dynamo: Dynamo, clock: SetClock, observe: Callable[[Storage], Observed]) -> Observed:
    return observe(Storage(dynamo, clock))


def counts_in(line: dict[str, Any]) -> dict[str, float]:
    """What was counted of a request, beside the times."""
    return {name: line[name] for name in UNITS if name in line}


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


def test_a_request_that_just_goes_tells_what_it_took(observed: Observed) -> None:
    assert observed.client.ask("PUT", "/buckets/blog").status == 201
    assert observed.client.ask("GET", "/buckets/none").status == 403

    lines = observed.take()
    assert [counts_in(line) for line in lines] == [{}, {}]
    for line in lines:
        declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
        names = {each["Name"] for each in declared}
        assert {"request_duration", "authentication.basicauth.unauthenticated_userid"} <= names
        assert all(line[name] is not None for name in names)


def test_each_call_of_dynamodb_has_its_time(observed: Observed) -> None:
    observed.client.ask("PUT", "/buckets/blog")

    (line,) = observed.take()
    assert len(line["storage.dynamodb.BatchGetItem"]) == 1
    assert len(line["storage.dynamodb.TransactWriteItems"]) == 1


def test_the_resource_is_in_the_line_by_kintos_names(observed: Observed) -> None:
    observed.client.ask("PUT", "/buckets/blog")
    etag = observed.client.ask("GET", "/buckets").headers["ETag"]
    observed.client.ask("GET", "/")

    put, listed, root = (line["Fields"] for line in observed.take())
    assert put["collection_id"] == listed["collection_id"] == "bucket"
    assert listed["collection_timestamp"] == int(etag.strip('"'))
    assert (listed["nb_records"], listed["limit"]) == (1, None)
    assert "collection_timestamp" not in put
    assert "collection_id" not in root


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
    assert line["Fields"]["rid"] == "request of alice"
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
def test_an_answer_of_503_is_told(may_repeat: bool, observe: Callable[[Storage], Observed]) -> None:
    observed = observe(FailingStorage(UnavailableError(may_repeat=may_repeat)))

    assert observed.client.ask("GET", "/buckets/blog").status == 503

    (line,) = observed.take()
    assert line["unavailable"] == 1


def test_other_failures_are_not_told_as_503(observe: Callable[[Storage], Observed]) -> None:
    observed = observe(FailingStorage(RuntimeError("a mistake of ours")))

    assert observed.client.ask("GET", "/buckets/blog").status == 500

    (line,) = observed.take()
    assert counts_in(line) == {}
