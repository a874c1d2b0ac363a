"""What came of a load test, for people: by kind of request, and by reason of failure."""

from collections.abc import Iterator

from locust.stats import RequestStats, StatsEntry

_HEAD = ("requests", "failures", "p50 ms", "p95 ms", "p99 ms", "a second")


def summary(stats: RequestStats) -> str:
    """A table of all kinds of requests, and below what failed, if anything did."""
    entries = sorted(stats.entries.values(), key=lambda entry: entry.name)
    rows = [(entry.name, *_figures(entry)) for entry in entries]
    rows.append(("all", *_figures(stats.total)))
    width = max(len(name) for name, *_ in rows)
    lines = [_line("", _HEAD, width), *(_line(name, row, width) for name, *row in rows)]
    return "\n".join([*lines, *_failures(stats)])


def _line(name: str, figures: "tuple[str, ...] | list[str]", width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{figure:>10}" for figure in figures)


def _figures(entry: StatsEntry) -> tuple[str, ...]:
    percentiles = (entry.get_response_time_percentile(share) for share in (0.5, 0.95, 0.99))
    return (
        str(entry.num_requests),
        str(entry.num_failures),
        *(f"{milliseconds:.0f}" for milliseconds in percentiles),
        f"{entry.total_rps:.1f}",
    )


def _failures(stats: RequestStats) -> Iterator[str]:
    if stats.errors:
        yield "\nfailures:"
    for error in sorted(stats.errors.values(), key=lambda error: -error.occurrences):
        yield f"{error.occurrences:>6} x {error.to_name()}"
