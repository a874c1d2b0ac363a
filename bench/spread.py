"""Many runs as one figure: their median, and how far they spread."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of many runs, and the quartiles around it, in the unit of the runs."""

    median: float
    lower: float
    upper: float


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of these values; of a single one it is nothing.

    Raises:
        StatisticsError: there are no values.
    """
    lower, median, upper = statistics.quantiles(
        values if len(values) != 1 else [*values, *values], n=4, method="inclusive"
    )
    return Spread(median, lower, upper)
