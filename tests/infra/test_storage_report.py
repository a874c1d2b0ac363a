"""The report for an operator: `infra/storage_report.py`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto import mock_aws

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.tables import Tables
from infra import storage_report
from infra.emulator import EmulatorError
from infra.leftovers import Inspection, Report
from infra.serve import StartError
from infra.storage_report import as_text, main
from infra.tables import create_tables
from tests.doubles import REGION, SetClock
from tests.storage.stand_ins import POSTS, Requests, record


@pytest.fixture
def requests() -> Iterator[Requests]:
    """Requests to the tables of a stage called `report`."""
    with mock_aws():
        connection = connect(REGION)
        create_tables(connection.client, "report")
        yield Requests(Dynamo(connection, Tables.of_stage("report")), SetClock())


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "report")
    monkeypatch.delenv("REPAIR", raising=False)


def leave_something(requests: Requests) -> None:
    """A record within a dead collection, and the row that it needed."""
    requests.make_posts()
    requests.put(record(1), {}, {"read": ("bob",)})
    requests.delete(POSTS)


# The text


def test_a_report_of_nothing_says_so() -> None:
    assert as_text("dev", Report(), repairs=False).splitlines() == [
        "kinto-dev: nothing",
        "left over: 0 items of what is deleted, 0 access rows",
        "missing: 0 access rows",
    ]


def test_a_report_counts_by_kind_in_a_fixed_order() -> None:
    report = Report(Counter(rows=7, buckets=1, tombstones=2, clocks=3, records=4))

    first, *_ = as_text("prod", report, repairs=False).splitlines()

    assert first == "kinto-prod: 1 buckets, 3 clocks, 4 records, 7 rows, 2 tombstones"


@pytest.mark.parametrize(
    ("young", "repairs", "lines"),
    [
        (0, False, []),
        (2, False, ["2 of these are younger than 20 minutes: left to purge"]),
        (0, True, ["repaired: 8 removed, 1 put"]),
        (
            2,
            True,
            [
                "2 of these are younger than 20 minutes: left to purge",
                "repaired: 6 removed, 1 put",
            ],
        ),
    ],
)
def test_a_report_tells_what_is_young_and_what_was_repaired(
    young: int, repairs: bool, lines: list[str]
) -> None:
    report = Report(dead=5, needless=3, missing=1, young=young)

    assert as_text("dev", report, repairs=repairs).splitlines()[1:] == [
        "left over: 5 items of what is deleted, 3 access rows",
        "missing: 1 access rows",
        *lines,
    ]


# The command


def test_the_stage_of_the_environment_is_reported_on(
    requests: Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_something(requests)

    assert main() == 0

    told, errors = capsys.readouterr()
    assert told.splitlines() == [
        "kinto-report: 1 buckets, 4 clocks, 2 rows, 1 tombstones",
        "left over: 1 items of what is deleted, 1 access rows",
        "missing: 0 access rows",
    ]
    assert errors == ""


@pytest.mark.parametrize(("repair", "left"), [("1", 0), ("", 1), ("0", 1)])
def test_repairs_are_made_only_if_they_are_asked_for(
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    repair: str,
    left: int,
) -> None:
    leave_something(requests)
    monkeypatch.setenv("REPAIR", repair)

    assert main() == 0
    assert ("repaired: 2 removed, 0 put" in capsys.readouterr().out) == (repair == "1")

    monkeypatch.delenv("REPAIR")
    assert main() == 0
    assert f"left over: {left} items of what is deleted, {left} access" in capsys.readouterr().out


def test_a_long_report_tells_how_far_it_is(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requests.make_posts()
    monkeypatch.setattr(storage_report, "_TOLD_EACH_S", -1)

    assert main() == 0

    told, errors = capsys.readouterr()
    assert told.startswith("kinto-report: 1 buckets")
    assert errors.splitlines()[-1].endswith(" so far ...")


def test_missing_tables_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        assert main() == 1

    told, errors = capsys.readouterr()
    assert told == ""
    [line] = errors.splitlines()
    assert line.startswith("kinto-serverless: the tables can't be read: ")


def local(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[bool]:
    """No stage is named; gives whether the data of the local server were asked for."""
    asked_for: list[bool] = []

    @contextmanager
    def stand_in(*, keeps: bool) -> Iterator[str]:
        asked_for.append(keeps)
        if error is not None:
            raise error
        yield ""

    monkeypatch.delenv("STAGE")
    monkeypatch.setattr(storage_report, "aws", stand_in)
    return asked_for


def test_without_a_stage_it_is_about_the_local_data(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_something(requests)
    monkeypatch.setenv("KINTO_STAGE", "report")
    asked_for = local(monkeypatch)

    assert main() == 0

    assert asked_for == [True]
    assert capsys.readouterr().out.startswith("kinto-report: 1 buckets")


def test_a_stage_is_reported_on_without_an_emulator(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = local(monkeypatch)
    monkeypatch.setenv("STAGE", "report")

    assert main() == 0

    assert asked_for == []


@pytest.mark.parametrize("error", [StartError("why"), EmulatorError("why")], ids=type)
def test_what_keeps_it_from_the_local_data_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    local(monkeypatch, error)

    assert main() == 1

    assert capsys.readouterr().err == "kinto-serverless: why\n"


def test_a_bad_setting_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KINTO_BATCH_MAX_REQUESTS", "many")
    local(monkeypatch)

    assert main() == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("kinto-serverless: ")


def test_what_can_t_be_repaired_in_time_is_told_in_one_line(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requests.make_posts()

    def give_up(_inspection: Inspection) -> Iterator[Report]:
        raise UnavailableError(may_repeat=True)

    monkeypatch.setattr(Inspection, "run", give_up)

    assert main() == 1
    assert "the tables can't be read: no time left" in capsys.readouterr().err
