"""Plots as SVG: `bench/plots.py`."""

import re
from xml.etree import ElementTree

import pytest

from bench.plots import bars, lines, stacks
from bench.spread import Spread

SERIES = {
    "ours": [Spread(1.0, 0.9, 1.2), Spread(2.0, 1.9, 2.2)],
    "Kinto": [Spread(2.0, 1.5, 2.1), Spread(3.0, 2.9, 3.1)],
}
POINTS = {"one collection": {1.0: 50.0, 64.0: 70.0}, "many": {1.0: 50.0, 64.0: 900.0}}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]  # noqa: S314


def test_the_same_figures_give_the_same_plot() -> None:
    assert bars("CPU", ["GET", "PUT"], SERIES, unit="ms") == bars(
        "CPU", ["GET", "PUT"], SERIES, unit="ms"
    )
    assert lines("Writers", POINTS, x="writers", y="a second", log_x=True) == lines(
        "Writers", POINTS, x="writers", y="a second", log_x=True
    )


def test_a_plot_tells_neither_when_nor_with_what_it_was_made() -> None:
    svg = bars("CPU", ["GET", "PUT"], SERIES, unit="ms")

    assert "<dc:date>" not in svg
    assert "Matplotlib" not in svg


def test_a_part_begins_where_the_one_before_it_ends() -> None:
    first, second = widths(stacks("p50", ["GET"], {"CPU": [3.0], "DynamoDB": [6.0]}, unit="ms"))

    assert second[0] == pytest.approx(first[1])
    assert second[1] - second[0] == pytest.approx(2 * (first[1] - first[0]))


def widths(svg: str) -> list[tuple[float, float]]:
    """Of each bar, where it begins and ends."""
    paths = re.findall(r'<path d="([^"]*)" clip-path', svg)
    across = [[float(x) for x in re.findall(r"[ML] (\S+)", path)] for path in paths]
    return [(min(xs), max(xs)) for xs in across]


def test_texts_are_texts_whatever_is_in_them() -> None:
    svg = bars("$x$ & <b>", ['"GET" | a', "PUT"], SERIES, unit="ms")

    assert {"$x$ & <b>", '"GET" | a', "PUT", "ms", "ours", "Kinto"} <= {*texts(svg)}


def test_other_figures_give_another_plot() -> None:
    wider = SERIES | {"ours": [Spread(1.0, 0.1, 1.2), Spread(2.0, 1.9, 2.2)]}

    assert bars("CPU", ["GET", "PUT"], SERIES, unit="ms") != bars(
        "CPU", ["GET", "PUT"], wider, unit="ms"
    )


def test_a_logarithmic_axis_is_labelled_with_the_points_themselves() -> None:
    svg = lines("Writers", POINTS, x="writers", y="a second", log_x=True, log_y=True)

    assert {"1", "64", "writers", "a second", "one collection", "many"} <= {*texts(svg)}
