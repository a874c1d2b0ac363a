"""The CPU time of the handler beside that of Kinto on PostgreSQL, of the same requests."""

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

from bench import plots, scenario, sides
from bench.prerequisites import BenchError
from bench.report import Section, table
from bench.scenario import Answer, Known, Operation, is_alike
from bench.sides import Side
from bench.spread import Spread, spread_of

TEMPLATE = Path(__file__).with_name("comparison.template.md")

BLOCKS: Final = 10
"""Of each operation and side, in turn, so that both meet the same moods of the machine."""


class Compared(NamedTuple):
    """An operation, and what both take for it.

    Attributes:
        name: of the operation.
        goal: the greatest share of Kinto's time; None where there is no goal.
        runs: of each side.
        ours: CPU time in ms.
        kinto: likewise.
        share: ours of Kinto's, of each pair of blocks.
    """

    name: str
    goal: float | None
    runs: int
    ours: Spread
    kinto: Spread
    share: Spread

    @property
    def is_met(self) -> bool:
        """Whether the goal is, if there is one."""
        return self.goal is None or self.share.median <= self.goal


class Server(NamedTuple):
    """A side with its data in it, and what it told of them."""

    side: Side
    known: Known

    def block(self, operation: Operation, first: int) -> list[Answer]:
        """The answers to a block of runs."""
        runs = range(first, first + operation.block)
        return self.side.answers([operation.request(self.known, run) for run in runs])


def measure(tell: Callable[[str], None]) -> Section:
    """The section, of both sides with the same data.

    Raises:
        BenchError: something isn't installed, or both don't answer alike.
        EmulatorError: the emulator didn't start.
    """
    with sides.ours() as our_side, sides.kinto() as kinto_side:
        tell(f"both get {scenario.SIZE:,} records")
        with ThreadPoolExecutor() as pool:
            both = (our_side, kinto_side)
            ours, kinto = pool.map(lambda side: Server(side, scenario.prepared(side.ask)), both)
        rows = []
        for operation in scenario.operations():
            row = compare(operation, ours, kinto)
            tell(f"{row.name}: {row.ours.median:.2f} of {row.kinto.median:.2f} ms")
            rows.append(row)
    return section(rows)


def compare(operation: Operation, ours: Server, kinto: Server) -> Compared:
    """What an operation takes on both sides, which answer alike.

    Raises:
        BenchError: they don't.
    """
    check_alike(operation, ours.block(operation, 0), kinto.block(operation, 0))
    times: dict[Server, list[list[float]]] = {ours: [], kinto: []}
    for number in range(1, BLOCKS + 1):
        for server in (ours, kinto) if number % 2 else (kinto, ours):
            answers = server.block(operation, number * operation.block)
            check_status(operation, server.side.name, answers)
            times[server].append([answer.cpu_s * 1000 for answer in answers])
    return compared(operation, times[ours], times[kinto])


def check_status(operation: Operation, name: str, answers: Sequence[Answer]) -> None:
    """Refuse to measure refusals.

    Raises:
        BenchError: an answer has another status than the operation's.
    """
    for answer in answers:
        if answer.status != operation.status:
            told = f"{name} answered {answer.status} {answer.text[:3000]}"
            raise BenchError(f"{operation.name}: {told}")


def check_alike(operation: Operation, ours: Sequence[Answer], kinto: Sequence[Answer]) -> None:
    """Refuse to compare what isn't the same.

    Raises:
        BenchError: a status or a body differs.
    """
    check_status(operation, "the handler", ours)
    check_status(operation, "Kinto", kinto)
    for our, their in zip(ours, kinto, strict=True):
        if not is_alike(our.text, their.text):
            told = f"{our.text[:3000]} where Kinto answers {their.text[:3000]}"
            raise BenchError(f"{operation.name}: the handler answers {told}")


def compared(
    operation: Operation, ours: Sequence[Sequence[float]], kinto: Sequence[Sequence[float]]
) -> Compared:
    """The figures, from the times in ms of each block."""
    shares = [
        statistics.median(our) / statistics.median(their)
        for our, their in zip(ours, kinto, strict=True)
    ]
    our, their = [*chain(*ours)], [*chain(*kinto)]
    return Compared(
        operation.name,
        operation.goal,
        runs=len(our),
        ours=spread_of(our),
        kinto=spread_of(their),
        share=spread_of(shares),
    )


def section(rows: Sequence[Compared]) -> Section:
    """The section that these rows make."""
    missed = [row.name for row in rows if not row.is_met]
    head = ("", "runs", "ours, ms", "Kinto, ms", "ours of Kinto's", "goal", "met")
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        size=f"{scenario.SIZE:,}",
        operations=table(head, map(_line, rows)),
        blocks=f"{BLOCKS}",
        goals=f"Missed: {'; '.join(missed)}." if missed else "Every goal is met.",
    )
    batches = [row for row in rows if row.name.startswith("Batch")]
    others = [row for row in rows if row not in batches]
    return Section(
        "Beside Kinto on PostgreSQL",
        text,
        {
            "comparison.svg": _plot("CPU time of a request", others),
            "comparison-batches.svg": _plot("CPU time of a batch", batches),
        },
    )


def _line(row: Compared) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.runs}",
        _told(row.ours),
        _told(row.kinto),
        _told(row.share, "**"),
        "" if row.goal is None else f"{row.goal:g}",
        "" if row.goal is None else "yes" if row.is_met else "no",
    )


def _told(figure: Spread, mark: str = "") -> str:
    return f"{mark}{figure.median:.2f}{mark} ({figure.lower:.2f} to {figure.upper:.2f})"


def _plot(title: str, rows: Sequence[Compared]) -> str:
    names = [row.name for row in rows]
    series = {"ours": [row.ours for row in rows], "Kinto": [row.kinto for row in rows]}
    return plots.bars(title, names, series, unit="ms, median and quartiles")
