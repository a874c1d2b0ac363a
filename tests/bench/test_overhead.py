"""The overhead of being observed: `bench/overhead.py`."""

import pytest

from bench.observed_driver import LOGGED, NOT, TRACED
from bench.overhead import Overhead, compared, section

ROUNDS = {
    NOT: [1.0, 2.0, 1.0],
    LOGGED: [1.1, 2.1, 1.02],
    TRACED: [1.2, 2.8, 1.3],
}


@pytest.fixture
def found() -> Overhead:
    return compared(ROUNDS)


def test_each_round_is_compared_with_the_one_beside_it(found: Overhead) -> None:
    # one round was slow in all ways: that is no overhead
    assert found.more[LOGGED].median == pytest.approx(0.05)
    assert found.more[TRACED].median == pytest.approx(0.3)
    assert NOT not in found.more


def test_the_time_is_the_median_of_the_rounds(found: Overhead) -> None:
    assert [found.cpu_ms[way].median for way in (NOT, LOGGED, TRACED)] == [1.0, 1.1, 1.3]


def test_the_section_has_a_row_for_each_operation_and_a_plot(found: Overhead) -> None:
    shown = section({"GET of a record": found, "PUT, over a record": found})

    (row,) = [line for line in shown.text.splitlines() if line.startswith("| GET of a record")]
    assert "| 1.000 | 1.100 | +5.0% (" in row
    assert "| PUT, over a record |" in shown.text
    assert [f"benchmarks/{name}" in shown.text for name in shown.plots] == [True]
