"""Many writers at once: `bench/scaling.py`."""

from xml.etree import ElementTree

import pytest

from bench.latency import Latency
from bench.scaling import Check, Point, checked, section, written

LATENCY = Latency()


def test_writers_in_one_collection_are_slower_than_in_as_many() -> None:
    together = written(8, 1, 2.0, LATENCY)
    apart = written(8, 8, 2.0, LATENCY)

    assert apart.attempts == apart.writes
    assert together.attempts > together.writes
    assert together.a_second < apart.a_second / 2


def test_each_simulation_is_the_same() -> None:
    assert written(4, 1, 1.0, LATENCY) == written(4, 1, 1.0, LATENCY)


def test_nothing_is_lost_and_nothing_missed() -> None:
    check = checked(4, 2.0, LATENCY)

    assert check.writes > 4
    assert check.updates > 4
    assert (check.missed, check.lost) == (0, 0)


def test_what_takes_longer_than_a_request_may_is_unavailable() -> None:
    slow = Latency(transaction_ms=9_000.0)

    assert written(4, 1, 10.0, slow).unavailable > 0


@pytest.mark.parametrize(
    ("writes", "fairness"), [([5, 5, 5, 5], 1.0), ([8, 0, 0, 0], 0.25), ([3, 1], 0.8)]
)
def test_fairness_is_one_where_all_get_the_same(writes: list[int], fairness: float) -> None:
    point = Point(2.0, [[1.0] * number for number in writes], 40, 0)

    assert point.fairness == pytest.approx(fairness)
    assert point.a_second == sum(writes) / 2


def test_the_section_has_a_line_for_each_number_of_writers_and_its_plots() -> None:
    together = [Point(2.0, [[30.0, 40.0]] * number, 6 * number, 1) for number in (1, 4)]
    apart = [Point(1.0, [[30.0, 34.0]] * number, 2 * number, 0) for number in (1, 4)]

    made = section(together, apart, Check(10, 0, 5, 0), LATENCY)

    assert "| 4 | 4.0 | 3.0 | 1 | 35 | 40 | 1.00 | 8.0 | 34 |" in made.text
    assert "of 10 new records it missed\n0, and of 5 updates" in made.text
    for name, svg in made.plots.items():
        assert f"](benchmarks/{name})" in made.text
        ElementTree.fromstring(svg)  # noqa: S314  # our own
