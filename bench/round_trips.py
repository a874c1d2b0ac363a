"""Round trips and capacity units of each operation, and how long it should take at the gateway.

Calls, items and units are counted on the embedded emulator, in collections of several sizes; CPU
time is the handler's. What AWS itself takes is the model of `bench/latency.py`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from itertools import chain
from pathlib import Path
from statistics import mean, median
from string import Template
from typing import Any, Final, NamedTuple

from botocore.httpsession import URLLib3Session

from bench import plots, workload
from bench.capacity import Call, Units, items_read, units_of, waited_for
from bench.latency import WHOLE_CPU_MB, Expected, Latency, cpus
from bench.prices import EDGE_CPU_MS
from bench.report import Section, table
from bench.service import Bench
from bench.spread import Spread, spread_of
from bench.workload import BUCKET, Operation, Run, carried_out, run_of
from infra.emulator import emulator

TEMPLATE = Path(__file__).with_name("round_trips.template.md")

SMALL, MEDIUM, LARGE = SIZES = (100, 10_000, 100_000)
BODY_BYTES: Final = 1_000
LIMIT_S: Final = 3.0
"""After so long, no operation is run once more: a Query of the largest list takes some seconds."""

TIMES: Final = 10
"""The model is checked by delays so much longer: what the emulator takes itself weighs less."""

CHECK_RUNS: Final = 5

_PATIENCE_S: Final = 60.0
_SAME: Final = 0.1
"""Units that differ by less are the same: records have not all the same size."""


class Row(NamedTuple):
    """What one operation takes, in a collection of some size.

    Attributes:
        name: of the operation.
        size: how many records there were.
        runs: how often it was run.
        trips: round trips one after the other.
        calls: of DynamoDB, by kind, as most runs had them.
        items: that were read.
        units: of one run, on average.
        cpu: of the handler, in ms.
        expected: at the gateway.
    """

    name: str
    size: int
    runs: int
    trips: float
    calls: str
    items: float
    units: Units
    cpu: Spread
    expected: Expected


class Check(NamedTuple):
    """By how many ms the delays of the model prolonged runs of an operation on the emulator."""

    name: str
    delayed_by: Spread


def measure(tell: Callable[[str], None]) -> Section:
    """Run each operation at each size, and some with the delays of the model.

    Raises:
        BenchError: the environment sets a delay that is no number.
    """
    latency = Latency.from_environment(os.environ)
    rows = [row for size in SIZES for row in _rows(size, latency, tell)]
    return section(rows, _checks(latency, tell), latency)


def _rows(size: int, latency: Latency, tell: Callable[[str], None]) -> Iterator[Row]:
    with _bench() as bench:
        for operation in operations(bench, size):
            runs = carried_out(bench, operation, LIMIT_S)
            tell(f"{size:,} records: {operation.name}")
            yield row_of(operation.name, size, runs, latency)


def _checks(latency: Latency, tell: Callable[[str], None]) -> Iterator[Check]:
    longer = Latency(*(ms * TIMES for ms in astuple(latency)))
    with _bench() as bench, _bench() as other:
        same = (workload.operations(it, SMALL, BODY_BYTES) for it in (bench, other))
        for plain, delayed in zip(*same, strict=True):
            tell(f"delayed: {plain.name}")
            differences = [
                run_of(other, delayed, number, longer.pause).wall_ms
                - run_of(bench, plain, number).wall_ms
                for number in range(min(plain.runs, CHECK_RUNS))
            ]
            yield Check(plain.name, spread_of([ms / TIMES for ms in differences]))


@contextmanager
def _bench() -> Iterator[Bench]:
    with emulator(None) as url:
        bench = Bench(url)
        _be_patient(bench.client)
        bench.ask("PUT", BUCKET)
        yield bench


def operations(bench: Bench, size: int) -> Iterator[Operation]:
    """All operations; in the largest collection without what reads the whole of it."""
    return chain(
        workload.operations(bench, size, BODY_BYTES),
        workload.unpriced(bench, size, BODY_BYTES),
        workload.whole(bench, size, BODY_BYTES) if size < LARGE else (),
    )


def _be_patient(client: Any) -> None:
    """Wait longer for a Query than the service does: the emulator reads the whole list for it."""
    session = URLLib3Session(timeout=_PATIENCE_S)
    client.meta.events.register(
        "before-send.dynamodb.Query", lambda request, **_: session.send(request)
    )


def row_of(name: str, size: int, runs: Sequence[Run], latency: Latency) -> Row:
    """What these runs of an operation took."""
    requests = [run.calls for run in runs]
    units = [units_of(calls) for calls in requests]
    cpu = spread_of([run.cpu_ms for run in runs])
    return Row(
        name=name,
        size=size,
        runs=len(runs),
        trips=median(len(waited_for(calls)) for calls in requests),
        calls=Counter(map(_kinds, requests)).most_common(1)[0][0],
        items=median(sum(map(_items, calls)) for calls in requests),
        units=Units(mean(one.read for one in units), mean(one.write for one in units)),
        cpu=cpu,
        expected=latency.expected(requests, cpu.median),
    )


def _kinds(calls: Iterable[Call]) -> str:
    counts = sorted(Counter(call.operation for call in calls).items())
    return ", ".join(f"{count} {kind}" for kind, count in counts)


def _items(call: Call) -> int:
    return len(items_read(call)) if call.is_read else 0


def section(rows: Sequence[Row], checks: Iterable[Check], latency: Latency) -> Section:
    """The section, of what was measured.

    Args:
        rows: by operation and size.
        checks: of the model, in the smallest size.
        latency: the model.
    """
    medium = [row for row in rows if row.size == MEDIUM]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        medium=f"{MEDIUM:,}",
        large=f"{LARGE:,}",
        small=f"{SMALL:,}",
        delays=_delays(latency),
        cpus=f"{cpus():.2f}",
        whole_cpu_mb=f"{WHOLE_CPU_MB:,}",
        edge_cpu_ms=f"{EDGE_CPU_MS}",
        counts=_counts(medium),
        sizes=_sizes(rows),
        growing="\n".join(f"- {name}" for name in _growing(rows)),
        p50=_p50(rows),
        checks=_checked(checks, {row.name: row.expected for row in rows if row.size == SMALL}),
        times=f"{TIMES}",
    )
    return Section("Round trips, capacity units and latency", text, {"p50.svg": _plot(rows)})


def _counts(rows: Iterable[Row]) -> str:
    head = ("operation", "round trips", "items read", "RRU", "WRU", "CPU, ms", "spread", "runs")
    return table(
        (*head, "calls"),
        (
            (
                row.name,
                f"{row.trips:g}",
                f"{row.items:,g}",
                *_units(row),
                f"{row.cpu.median:.2f}",
                f"{row.cpu.upper - row.cpu.lower:.2f}",
                f"{row.runs}",
                row.calls,
            )
            for row in rows
        ),
    )


def _units(row: Row) -> tuple[str, str]:
    return f"{row.units.read:,.1f}", f"{row.units.write:,.1f}"


def _by_size(rows: Iterable[Row]) -> dict[str, dict[int, Row]]:
    """The rows by name, then size."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row.name, {})[row.size] = row
    return found


def _each_size(rows: Iterable[Row], cell: Callable[[Row], str]) -> Iterator[tuple[str, ...]]:
    for name, sizes in _by_size(rows).items():
        yield (name, *(cell(sizes[size]) if size in sizes else "not run" for size in SIZES))


def _sizes(rows: Iterable[Row]) -> str:
    head = ("operation", *(f"{size:,} records" for size in SIZES))
    return table(head, _each_size(rows, lambda row: f"{row.trips:g}: {' + '.join(_units(row))}"))


def grows(sizes: Sequence[Row]) -> bool:
    """Whether an operation takes more round trips or units in a larger collection."""
    units = [sum(row.units) for row in sizes]
    is_flat = max(units) <= min(units) * (1 + _SAME)
    return not is_flat or len({row.trips for row in sizes}) > 1


def _growing(rows: Iterable[Row]) -> list[str]:
    return [name for name, sizes in _by_size(rows).items() if grows([*sizes.values()])]


def _p50(rows: Sequence[Row]) -> str:
    parts = {row.name: row.expected for row in rows if row.size == MEDIUM}
    totals = _each_size(rows, lambda row: f"{row.expected.total:,.0f}")
    return table(
        ("operation", "gateway, invocation", "DynamoDB", "CPU", *(f"{size:,}" for size in SIZES)),
        ((name, *(f"{ms:,.1f}" for ms in parts[name]), *cells) for name, *cells in totals),
    )


def _checked(checks: Iterable[Check], expected: Mapping[str, Expected]) -> str:
    head = ("operation", "the model, ms", "delayed by, ms", "spread", "ratio")
    return table(head, (_check(*check, expected[check.name].dynamodb) for check in checks))


def _check(name: str, delayed_by: Spread, ms: float) -> tuple[str, ...]:
    spread = f"{delayed_by.upper - delayed_by.lower:.1f}"
    ratio = f"{delayed_by.median / ms:.2f}"
    return name, f"{ms:,.1f}", f"{delayed_by.median:,.1f}", spread, ratio


def _delays(latency: Latency) -> str:
    delays = (
        (
            f"`BENCH_{one.name.upper()}`",
            f"{getattr(latency, one.name):g}",
            one.metadata["of"],
            one.metadata["basis"],
        )
        for one in fields(latency)
    )
    return table(("variable", "ms", "of", "on what it rests"), delays).replace("---:", "---")


def _plot(rows: Sequence[Row]) -> str:
    """The parts of the expected time, without what grows and would dwarf them."""
    growing = _growing(rows)
    shown = [row for row in rows if row.size == MEDIUM and row.name not in growing]
    parts = {
        "API Gateway and Lambda": [row.expected.gateway for row in shown],
        "DynamoDB": [row.expected.dynamodb for row in shown],
        "CPU": [row.expected.cpu for row in shown],
    }
    title = f"Expected median at the gateway, {MEDIUM:,} records"
    return plots.stacks(title, [row.name for row in shown], parts, unit="ms")
