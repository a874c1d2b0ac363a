"""Plots as SVG: the same figures give the same text, on any machine."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from bench.spread import Spread

_WIDTH: Final = 8.0
"""In inches, of 72 points each; so are heights."""

_STYLE: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kinto-serverless",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def bars(
    title: str, names: Sequence[str], series: Mapping[str, Sequence[Spread]], *, unit: str
) -> str:
    """Bars side by side, one of each series for each name, with the quartiles as whiskers.

    Args:
        title: above the plot.
        names: of the groups, from the top down.
        series: the figures of each by its name, in the order of `names`.
        unit: what the figures are in.
    """
    height = 0.8 / len(series)

    def draw(axes: Axes) -> None:
        for number, (label, figures) in enumerate(series.items()):
            at = [group + (number + 0.5) * height - 0.4 for group in range(len(names))]
            medians = [figure.median for figure in figures]
            whiskers = [
                [figure.median - figure.lower for figure in figures],
                [figure.upper - figure.median for figure in figures],
            ]
            axes.barh(at, medians, height, xerr=whiskers, label=label, capsize=2, ecolor="#444444")
        _label(axes, names, unit)

    return _svg(title, 1.2 + 0.22 * len(names) * (len(series) + 0.5), draw)


def stacks(
    title: str, names: Sequence[str], parts: Mapping[str, Sequence[float]], *, unit: str
) -> str:
    """Bars of parts that add up, one for each name.

    Args:
        title: above the plot.
        names: of the bars, from the top down.
        parts: the figures of each by its name, in the order of `names`.
        unit: what the figures are in.
    """

    def draw(axes: Axes) -> None:
        left = [0.0] * len(names)
        for label, figures in parts.items():
            axes.barh(range(len(names)), figures, 0.7, left=left, label=label)
            left = [at + figure for at, figure in zip(left, figures, strict=True)]
        _label(axes, names, unit)

    return _svg(title, 1.2 + 0.22 * len(names), draw)


def lines(
    title: str,
    series: Mapping[str, Mapping[float, float]],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Lines through points.

    Args:
        title: above the plot.
        series: y by x, by the name of the line.
        x: what the axis shows, with its unit.
        y: likewise.
        log_x: whether the axis is logarithmic; its ticks are the points' own then.
        log_y: whether the axis is logarithmic.
    """

    def draw(axes: Axes) -> None:
        for label, points in series.items():
            axes.plot([*points], [*points.values()], marker="o", markersize=4, label=label)
        if log_x:
            ticks = sorted({at for points in series.values() for at in points})
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
            axes.minorticks_off()
        if log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(alpha=0.3)

    return _svg(title, 4.5, draw)


def _label(axes: Axes, names: Sequence[str], unit: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.margins(y=0.02)
    axes.invert_yaxis()
    axes.set_xlabel(unit)


def _svg(title: str, height: float, draw: Callable[[Axes], None]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title)
        axes.legend(frameon=False)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return target.getvalue()
