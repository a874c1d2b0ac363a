"""What CloudWatch reads from the log: `chalicelib/metrics.py`."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.events.deliveries import Deliver, DeliveryError, delivery_of
from chalicelib.events.purging import Purge
from chalicelib.events.queues import Queues, to_text
from chalicelib.metrics import (
    NAMESPACE,
    SILENT,
    UNITS,
    Metrics,
    Tally,
    Times,
    time_of_listener,
    times_of_request,
)
from chalicelib.observability import configure_logging
from chalicelib.protocol.events import Event
from chalicelib.protocol.messages import Request
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.tables import Tables
from chalicelib.wiring import Application, application_from_environment
from tests.doubles import Patience
from tests.events.test_deliveries import FIRST, FakeQueues
from tests.storage.stand_ins import Scripted, client_error
from tests.test_observability import logger as logger  # a fixture

METRICS = Metrics("prod")

HEARTBEAT = Request("GET", "/v1/__heartbeat__", (), {}, b"", "http://localhost", "request-1")


def told(tally: Tally, times: Times | None = None, *, metrics: Metrics = METRICS) -> dict[str, Any]:
    """The members of a line about this, parsed."""
    line: dict[str, Any] = json.loads(f"{{{metrics.members(tally, times)}}}")
    return line


def declared_in(line: dict[str, Any]) -> dict[str, str]:
    """The metrics that CloudWatch reads from a line: their units by name."""
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert (declared["Namespace"], declared["Dimensions"]) == (NAMESPACE, [["stage"]])
    return {each["Name"]: each["Unit"] for each in declared["Metrics"]}


def test_there_is_nothing_in_a_line_where_there_is_nothing_to_tell() -> None:
    assert told(Tally()) == {}


def test_a_line_is_in_the_embedded_metric_format() -> None:
    before_ms = time.time() * 1000

    line = told(Tally(conflict_retries=2, parent="p", parent_gb=8.5))

    metadata = line.pop("_aws")
    assert before_ms - 1 <= metadata["Timestamp"] <= time.time() * 1000
    assert metadata["CloudWatchMetrics"] == [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [["stage"]],
            "Metrics": [
                {"Name": "conflict_retries", "Unit": "Count"},
                {"Name": "parent_gb", "Unit": "Gigabytes"},
            ],
        }
    ]
    assert line == {
        "stage": "prod",
        "conflict_retries": 2,
        "parent_gb": 8.5,
        "parent": "p",
    }


TIMES = times_of_request(
    0.0123456,
    {"google": 3.14159, "basicauth": 0.004},
    {"audit": 1.5},
    {"Query": [2.001, 3.456], "TransactWriteItems": [9.0]},
)
VALUES = {
    "request_duration": 12.35,
    "authentication.google.unauthenticated_userid": 3.14,
    "authentication.basicauth.unauthenticated_userid": 0.0,
    "listeners.audit": 1.5,
    "storage.dynamodb.Query": [2.0, 3.46],
    "storage.dynamodb.TransactWriteItems": [9.0],
}


def test_times_are_metrics_in_milliseconds_by_the_names_that_kinto_has_for_them() -> None:
    line = told(Tally(throttled_calls=1), TIMES)

    assert declared_in(line) == {
        "throttled_calls": "Count",
        **dict.fromkeys(VALUES, "Milliseconds"),
    }
    assert {name: line[name] for name in VALUES} == VALUES


def test_times_that_are_no_metrics_are_in_the_line_all_the_same() -> None:
    without = Metrics("prod", with_times=False)

    assert told(Tally(), TIMES, metrics=without) == VALUES
    assert declared_in(told(Tally(unavailable=1), TIMES, metrics=without)) == {
        "unavailable": "Count"
    }


def test_a_time_of_a_delivery_has_the_name_of_a_listeners_time() -> None:
    assert time_of_listener("audit", 0.25) == {"listeners.audit": 250.0}


def test_calls_beyond_what_cloudwatch_takes_of_a_line_are_left_out() -> None:
    tally = Tally()
    for number in range(150):
        tally.add_call("Query", float(number))

    times = times_of_request(1, {}, {}, tally.calls_ms)

    assert times["storage.dynamodb.Query"] == [*range(100)]


def test_lines_one_after_the_other_declare_what_is_in_each() -> None:
    first, second, third = (
        told(tally, TIMES) for tally in (Tally(), Tally(unavailable=1), Tally())
    )

    assert declared_in(second) == {**declared_in(first), "unavailable": "Count"}
    assert declared_in(third) == declared_in(first)


@pytest.mark.parametrize("name", UNITS)
def test_every_metric_is_told_alone_as_well(name: str) -> None:
    alone: dict[str, Any] = {name: 3}

    line = told(Tally(**alone))

    assert declared_in(line) == {name: UNITS[name]}
    assert line[name] == 3


def test_what_clients_named_can_not_end_a_line() -> None:
    line = METRICS.members(Tally(parent="a\n\u2028\x1bb", parent_gb=2))

    assert line.isascii()
    assert line.isprintable()


def test_the_largest_parent_above_a_gigabyte_is_told() -> None:
    tally = Tally()
    for parent, size_gb in (("small", 1.0), ("large", 9.0), ("medium", 4.0)):
        tally.add_parent(parent, size_gb)

    assert (tally.parent, tally.parent_gb) == ("large", 9.0)


def test_parents_up_to_a_gigabyte_are_not_told() -> None:
    tally = Tally()

    tally.add_parent("small", 1.0)

    assert tally == Tally()


Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> Logged:
    """Gives the lines of the log since the last time, which is in JSON."""
    configure_logging("json")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_failed_delivery_names_its_listener(logged: Logged) -> None:
    def refuse(_event: Event) -> None:
        raise DeliveryError("503")

    queues: Any = FakeQueues()
    deliver = Deliver({"hook": refuse}.get, queues, metrics=METRICS)
    deliver.handle(to_text(FIRST.to_message()), 1)

    (line,) = logged()
    assert line["failed_deliveries"] == 1
    assert line["Fields"]["listener"] == "hook"
    assert line["Fields"]["rid"] == FIRST.event.request_id
    assert declared_in(line) == {"failed_deliveries": "Count", "listeners.hook": "Milliseconds"}


def test_a_delivery_that_is_taken_tells_its_time(logged: Logged) -> None:
    taken: list[Event] = []
    deliver = Deliver({"hook": taken.append}.get, Queues("prod"), metrics=METRICS)

    deliver.handle(to_text(FIRST.to_message()), 1)

    assert taken
    (line,) = logged()
    assert declared_in(line) == {"listeners.hook": "Milliseconds"}


def purge_rows(patience: Patience, *answers: Any) -> None:
    """Remove a row, where DynamoDB answers so."""
    connection: Any = Scripted(*answers)
    dynamo = Dynamo(connection, Tables.of_stage("prod"))
    purge = Purge(dynamo, Queues("prod"), METRICS)
    try:
        purge.handle(to_text({"rows": [["alice", "/buckets#bucket/blog", 1]]}), patience.deadline())
    except UnavailableError:
        assert patience.remaining_s < 5


def test_a_purge_tells_what_it_met_whether_it_comes_to_an_end_or_not(logged: Logged) -> None:
    throttled = client_error("ThrottlingException")

    purge_rows(Patience(), throttled, {})
    purge_rows(Patience(4.301), throttled)

    assert [line["throttled_calls"] for line in logged()] == [1, 1]


def test_a_purge_that_just_goes_tells_nothing(logged: Logged) -> None:
    purge_rows(Patience(), {})

    assert logged() == []


def ask_without_tables(application: Application) -> None:
    """Have a heartbeat fail, as there are no tables."""
    with mock_aws():
        answer = application.service.respond(HEARTBEAT, Patience().deadline())
    assert answer.status == 503


def metrics_in(output: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def test_a_function_on_lambda_writes_them_to_its_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "kinto-serverless-staging")
    monkeypatch.setenv("KINTO_STAGE", "staging")

    ask_without_tables(application_from_environment())

    (line,) = metrics_in(capsys.readouterr().out)
    assert line["stage"] == "staging"
    assert line["unavailable"] == 1
    assert line["Fields"]["rid"] == HEARTBEAT.id
    assert line["Type"] == "request.summary"


def test_a_classic_log_on_lambda_has_metrics_in_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "kinto-serverless-staging")
    monkeypatch.setenv("KINTO_LOGGING_RENDERER", "classic")

    ask_without_tables(application_from_environment())

    output = capsys.readouterr().out
    (line,) = metrics_in(output)
    assert (line["unavailable"], line["rid"]) == (1, HEARTBEAT.id)
    assert '"GET   /v1/__heartbeat__" 503' in output


def test_the_operator_may_do_without_metrics_of_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "kinto-serverless-staging")
    monkeypatch.setenv("KINTO_DETAILED_METRICS", "false")

    ask_without_tables(application_from_environment())

    (line,) = metrics_in(capsys.readouterr().out)
    assert declared_in(line) == {"unavailable": "Count"}
    assert line["request_duration"] > 0


def test_elsewhere_the_log_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)

    ask_without_tables(application_from_environment())

    assert metrics_in(capsys.readouterr().out) == []


@pytest.mark.parametrize("on_lambda", [True, False])
def test_the_other_functions_have_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_lambda: bool
) -> None:
    if on_lambda:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "kinto-serverless-dev-deliver")
    unknown = delivery_of("unknown", FIRST.event)

    with mock_aws():
        application = application_from_environment()
        with pytest.raises(ClientError, match="does not exist"):
            application.background.deliver.handle(to_text(unknown.to_message()), 1)

    lines = metrics_in(capsys.readouterr().out)
    assert [line["Fields"]["listener"] for line in lines] == (["unknown"] if on_lambda else [])


def test_where_no_cloudwatch_reads_the_log_nothing_is_declared() -> None:
    assert told(Tally(unavailable=1), TIMES, metrics=SILENT) == {"unavailable": 1, **VALUES}
