"""What it takes to be observed, by logs, metrics and traces: shares of the handler's CPU time."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final, NamedTuple, cast

from bench import plots
from bench.memory import remembering
from bench.observed_driver import LOGGED, NOT, OBSERVED, TRACED
from bench.report import Section, table
from bench.scenario import Request
from bench.sides import REGION, STAGE, Side, driven, event_of
from bench.spread import Spread, spread_of
from chalicelib.storage.client import connect
from infra.emulator import emulator
from infra.tables import create_tables

ROUNDS: Final = 40
BLOCK: Final = 15
"""Requests in a row that are observed alike, before it is another way's turn."""

GOAL: Final = 0.05

_RECORDS: Final = "/buckets/bench/collections/tasks/records"
_RECORD: Final = f"{_RECORDS}/00000000-0000-4000-8000-000000000000"
_BODY: Final = {"data": {"title": "Write it down", "done": False, "tags": ["a", "b"]}}

OPERATIONS: Final = {
    "GET of a record": Request("GET", _RECORD),
    "PUT, over a record": Request("PUT", _RECORD, _BODY),
}

WAYS: Final = {
    NOT: "not observed",
    LOGGED: "log and metrics",
    TRACED: "log, metrics and a trace",
}

MORE: Final = (LOGGED, TRACED)

_TEXT: Final = """\
The handler with the line that each request leaves in the log, a JSON object out of which CloudWatch
reads metrics, and without; and with subsegments for X-Ray in addition, which only requests have
that Lambda samples. (Times are taken in any case.) {rounds} rounds of {block} requests each way, in
turn, in one process; the handler's CPU time in ms, and what is more of it, with the quartiles of
the rounds. The goal for log and metrics is less than {goal:.0%}.

{table}

![CPU time by how a request is observed](benchmarks/overhead.svg)
"""


class Overhead(NamedTuple):
    """What an operation takes.

    Attributes:
        cpu_ms: by how it is observed, of the rounds.
        more: likewise, what that is above the time of a request that isn't, as a share of it.
    """

    cpu_ms: dict[str, Spread]
    more: dict[str, Spread]


class Observed(Side):
    """The handler, observed in one of the ways.

    Attributes:
        way: of the requests to come.
    """

    way = NOT

    def _handed(self, request: Request) -> Any:
        return {**event_of(request), OBSERVED: self.way}


def measure(tell: Callable[[str], None]) -> Section:
    """The section of the page.

    Args:
        tell: takes a line of progress.
    """
    with _handler() as handler:
        for path in ("/buckets/bench", _RECORDS.removesuffix("/records"), _RECORD):
            handler.ask(Request("PUT", path, {}))
        found = {}
        for name, request in OPERATIONS.items():
            tell(name)
            found[name] = overhead_of(handler, request)
    return section(found)


@contextmanager
def _handler() -> Iterator[Observed]:
    with emulator(None) as slow_url, remembering(slow_url) as url:
        create_tables(connect(REGION, url).client, STAGE)
        variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": "kinto-serverless-bench",
            "KINTO_STAGE": STAGE,
        }
        name, module = "the handler", "bench.observed_driver"
        with driven(Observed, name, sys.executable, module, variables) as side:
            yield cast(Observed, side)


def overhead_of(handler: Observed, request: Request) -> Overhead:
    """What a request takes in each way."""
    rounds: dict[str, list[float]] = defaultdict(list)
    ways = [*WAYS]
    for number in range(ROUNDS + 1):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            handler.way = way
            answers = handler.answers([request] * BLOCK)
            if number > 0:  # the first round imports what few need
                rounds[way].append(median(answer.cpu_s for answer in answers) * 1000)
    return compared(rounds)


def compared(rounds: dict[str, list[float]]) -> Overhead:
    """What was measured, each way beside that of requests that aren't observed.

    Args:
        rounds: the CPU time of each round in ms, by way, in their order.
    """
    more = {
        way: spread_of([one / plain - 1 for one, plain in zip(each, rounds[NOT], strict=True)])
        for way, each in rounds.items()
        if way != NOT
    }
    return Overhead({way: spread_of(each) for way, each in rounds.items()}, more)


def section(found: dict[str, Overhead]) -> Section:
    """The section of these operations, by name."""
    head = ("operation", WAYS[NOT], *(text for way in MORE for text in (WAYS[way], "more")))
    rows = [(name, *_cells(overhead)) for name, overhead in found.items()]
    text = _TEXT.format(rounds=ROUNDS, block=BLOCK, goal=GOAL, table=table(head, rows))
    svg = plots.bars(
        "CPU time by how a request is observed",
        [*found],
        {name: [overhead.cpu_ms[way] for overhead in found.values()] for way, name in WAYS.items()},
        unit="ms",
    )
    return Section("Overhead of observability", text, {"overhead.svg": svg})


def _cells(overhead: Overhead) -> Iterator[str]:
    yield f"{overhead.cpu_ms[NOT].median:.3f}"
    for way in MORE:
        more = overhead.more[way]
        yield f"{overhead.cpu_ms[way].median:.3f}"
        yield f"{more.median:+.1%} ({more.lower:+.1%} to {more.upper:+.1%})"
