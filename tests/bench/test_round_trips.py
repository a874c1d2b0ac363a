"""Round trips, units and the expected time of each operation: `bench/round_trips.py`."""

import re
from dataclasses import fields
from typing import Any

import pytest

from bench.capacity import Call
from bench.latency import Latency
from bench.round_trips import MEDIUM, SIZES, SMALL, Check, Row, grows, operations, row_of, section
from bench.service import Bench
from bench.spread import Spread
from bench.workload import BUCKET, Run, carried_out

MODEL = Latency()
LISTED = "GET of a page of 100, sorted by a field"


def query(items: int, began: float = 0, ended: float = 1) -> Call:
    return Call("Query", {}, {"Items": [{"x": {"S": "x" * 4095}}] * items}, began, ended)


def transaction(units: int) -> Call:
    answer = {"ConsumedCapacity": [{"CapacityUnits": units}]}
    return Call("TransactWriteItems", {"TransactItems": [{}]}, answer, 5, 6)


def run(*calls: Call, cpu_ms: float = 1.0) -> Run:
    return Run(calls, cpu_ms, 10.0, 100)


def a_row(name: str = "GET of a record", size: int = SMALL, items: int = 3) -> Row:
    return row_of(name, size, [run(query(items))], MODEL)


# Rows


def test_units_are_those_of_a_run_on_average() -> None:
    row = row_of("PUT", SMALL, [run(query(1), transaction(10)), run(transaction(13))], MODEL)

    assert row.units == (0.5, 11.5)


def test_calls_are_those_of_most_runs() -> None:
    usual = run(query(1), query(1), transaction(2))

    row = row_of("PUT", SMALL, [usual, run(transaction(2)), usual], MODEL)

    assert row.calls == "2 Query, 1 TransactWriteItems"
    assert (row.trips, row.items, row.runs) == (2, 2, 3)


def test_the_expected_time_is_of_the_median_run() -> None:
    runs = [run(query(1), cpu_ms=cpu_ms) for cpu_ms in (2.0, 3.0, 90.0)]

    row = row_of("GET", SMALL, runs, MODEL)

    assert row.cpu.median == 3.0
    assert row.expected == MODEL.expected([[query(1)]], cpu_ms=3.0)


# What depends on the size


def test_an_operation_grows_where_it_takes_more_units() -> None:
    assert grows([a_row(items=3), a_row(size=MEDIUM, items=300)])


def test_an_operation_grows_where_it_takes_more_round_trips() -> None:
    twice = row_of("GET", MEDIUM, [run(query(3, 0, 1), query(0, 2, 3))], MODEL)

    assert grows([row_of("GET", SMALL, [run(query(4))], MODEL), twice])


def test_an_operation_is_flat_where_only_the_size_of_records_differs() -> None:
    assert not grows([a_row(items=33), a_row(size=MEDIUM, items=34)])


# The section


@pytest.fixture(scope="module")
def text() -> str:
    """The section about an operation that is flat, and one that isn't."""
    flat = [a_row(size=size) for size in SIZES]
    growing = [a_row(LISTED, SMALL, 100), a_row(LISTED, MEDIUM, 10_000)]
    return section([*flat, *growing], [Check("GET of a record", Spread(5.3, 5.1, 6.0))], MODEL).text


def lines_of(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith((f"| {name} |", f"- {name}"))]


def test_the_section_has_each_size(text: str) -> None:
    assert lines_of(text, "GET of a record")[0].count("1: 3.0 + 0.0") == len(SIZES)


def test_the_section_tells_what_was_not_run(text: str) -> None:
    assert lines_of(text, LISTED)[0].endswith("| 1: 100.0 + 0.0 | 1: 10,000.0 + 0.0 | not run |")


def test_the_section_tells_what_grows(text: str) -> None:
    assert f"- {LISTED}" in lines_of(text, LISTED)
    assert "- GET of a record" not in lines_of(text, "GET of a record")


def test_the_section_sets_the_delays_beside_the_model(text: str) -> None:
    expected = a_row().expected.dynamodb

    assert f"| GET of a record | {expected:.1f} | 5.3 | 0.9 | {5.3 / expected:.2f} |" in text


@pytest.mark.parametrize("delay", fields(Latency), ids=lambda delay: delay.name)
def test_the_section_tells_of_each_delay_on_what_it_rests(text: str, delay: Any) -> None:
    (line,) = lines_of(text, f"`BENCH_{delay.name.upper()}`")

    assert line.endswith(f"{delay.metadata['of']} | {delay.metadata['basis']} |")
    assert re.search("published|assumed|the same", line)


def test_the_plot_has_the_operations_that_are_flat() -> None:
    rows = [a_row(size=MEDIUM), a_row(LISTED, SMALL, 100), a_row(LISTED, MEDIUM, 10_000)]

    plot = section([a_row(), *rows], [], MODEL).plots["p50.svg"]

    assert "GET of a record" in plot
    assert LISTED not in plot


# The operations


@pytest.mark.emulator
def test_only_what_reads_the_whole_list_takes_more_of_a_larger_one(emulator_url: str) -> None:
    bench = Bench(emulator_url)
    bench.ask("PUT", BUCKET)
    taken: dict[str, list[float]] = {}
    for size in (105, 300):
        for operation in operations(bench, size):
            row = row_of(operation.name, size, carried_out(bench, operation, limit_s=0.0), MODEL)
            taken.setdefault(row.name, []).append(sum(row.units))

    growing = {name for name, (small, large) in taken.items() if large > small * 1.2}

    assert growing == {
        "GET of a page of 100, filtered by a field",
        "GET of a page of 100, sorted by a field",
        "DELETE of the list",
    }
