"""What CloudWatch reads from the log: `chalicelib/metrics.py`."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.events.deliveries import Deliver, DeliveryError, delivery_of
from chalicelib.events.purging import Purge
from chalicelib.events.queues import Queues, to_text
from chalicelib.metrics import NAMESPACE, SILENT, UNITS, Metrics, Tally
from chalicelib.protocol.events import Event
from chalicelib.protocol.messages import Request
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.tables import Tables
from chalicelib.wiring import Application, application_from_environment
from tests.doubles import Patience
from tests.events.test_deliveries import FIRST, FakeQueues
from tests.storage.stand_ins import Scripted, client_error

HEARTBEAT = Request("GET", "/v1/__heartbeat__", (), {}, b"", "http://localhost", "request-1")


def told(tally: Tally, **about: str) -> list[dict[str, Any]]:
    """The lines that are written of this, parsed."""
    lines: list[str] = []
    Metrics("prod", lines.append).tell(tally, **about)
    return [json.loads(line) for line in lines]


def test_nothing_is_written_where_there_is_nothing_to_tell() -> None:
    assert told(Tally(), request_id="request-1") == []


def test_a_line_is_in_the_embedded_metric_format() -> None:
    before_ms = time.time() * 1000

    (line,) = told(Tally(conflict_retries=2, parent="p", parent_gb=8.5), request_id="request-1")

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
        "request_id": "request-1",
    }


@pytest.mark.parametrize("name", UNITS)
def test_every_metric_is_told_alone_as_well(name: str) -> None:
    alone: dict[str, Any] = {name: 3}

    (line,) = told(Tally(**alone))

    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Metrics"] == [{"Name": name, "Unit": UNITS[name]}]
    assert line[name] == 3


def test_what_clients_named_can_not_end_a_line() -> None:
    lines: list[str] = []

    Metrics("prod", lines.append).tell(Tally(parent="a\n\u2028\x1bb", parent_gb=2))

    (line,) = lines
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


def test_a_failed_delivery_names_its_listener() -> None:
    lines: list[str] = []

    def refuse(_event: Event) -> None:
        raise DeliveryError("503")

    queues: Any = FakeQueues()
    deliver = Deliver({"hook": refuse}.get, queues, metrics=Metrics("prod", lines.append))
    deliver.handle(to_text(FIRST.to_message()), 1)

    (line,) = map(json.loads, lines)
    assert (line["failed_deliveries"], line["listener"]) == (1, "hook")


def test_a_delivery_that_is_taken_tells_nothing() -> None:
    lines: list[str] = []
    taken: list[Event] = []
    deliver = Deliver(
        {"hook": taken.append}.get, Queues("prod"), metrics=Metrics("prod", lines.append)
    )

    deliver.handle(to_text(FIRST.to_message()), 1)

    assert taken
    assert not lines


def purge_rows(patience: Patience, *answers: Any) -> list[dict[str, Any]]:
    """What the removal of a row tells, where DynamoDB answers so."""
    lines: list[str] = []
    connection: Any = Scripted(*answers)
    dynamo = Dynamo(connection, Tables.of_stage("prod"))
    purge = Purge(dynamo, Queues("prod"), Metrics("prod", lines.append))
    try:
        purge.handle(to_text({"rows": [["alice", "/buckets#bucket/blog", 1]]}), patience.deadline())
    except UnavailableError:
        assert patience.remaining_s < 5
    return [json.loads(line) for line in lines]


def test_a_purge_tells_what_it_met_whether_it_comes_to_an_end_or_not() -> None:
    throttled = client_error("ThrottlingException")

    (done,) = purge_rows(Patience(), throttled, {})
    (not_done,) = purge_rows(Patience(4.301), throttled)

    assert done["throttled_calls"] == not_done["throttled_calls"] == 1
    assert purge_rows(Patience(), {}) == []


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
    assert line["request_id"] == HEARTBEAT.id


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
    assert [line["listener"] for line in lines] == (["unknown"] if on_lambda else [])


def test_silence_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.tell(Tally(unavailable=1))

    assert capsys.readouterr().out == ""
