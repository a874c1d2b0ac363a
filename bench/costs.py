"""What a million requests cost, by operation, to docs/costs.md: `python -m bench.costs`."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

from bench import prices
from bench.latency import Latency
from bench.prices import GB, MILLION, PRICES, Price, cost_of
from bench.service import Bench
from bench.workload import BUCKET, Measured, measured, stored_bytes
from infra.emulator import emulator

REPORT = Path(__file__).parents[1] / "docs" / "costs.md"
TEMPLATE = Path(__file__).with_name("costs.template.md")

SMALL: Final = 1_000
LARGE: Final = 8_000
"""Bytes of a record's JSON."""

SIZE: Final = 10_000
"""How many records there are in the collection of which costs are told."""

FLAT: Final = (100, SIZE)
"""At how many records units are compared. For more the emulator takes longer than storage waits."""

USERS: Final = 10_000
POLLS_A_DAY: Final = 24 * 12
WRITES_A_DAY: Final = 5
RECORDS_A_USER: Final = 200
DAYS: Final = 30

ALARMS: Final = 21
"""In infra/operations.yaml."""

METRICS: Final = 11
"""Of our own in a stage: assumed, as those that tell nothing cost nothing."""

IDLE_POLLS: Final = 5 * 3 * 60 * 24 * DAYS
"""Of one queue: Lambda keeps up to five polls open, of 20 s each."""

MESSAGE_BYTES: Final = 2_000
DELIVERY_LOG_BYTES: Final = 620


class Item(NamedTuple):
    """What is paid for in a month, how much of it, and what that costs in dollars."""

    what: str
    amount: str
    usd: float


def main() -> None:
    """Measure, and write the page."""
    log = logging.getLogger("kinto")
    log.setLevel(logging.INFO)
    log.propagate = False
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with emulator(None) as url:
        bench = Bench(url)
        bench.ask("PUT", BUCKET)
        rows = [*_all_measured(bench)]
        stored = stored_bytes(bench, SMALL)
    REPORT.write_text(page(rows, stored), encoding="utf-8")


def _all_measured(bench: Bench) -> Iterator[Measured]:
    for size, body_bytes in (*((size, SMALL) for size in FLAT), (SIZE, LARGE)):
        for row in measured(bench, size, body_bytes):
            sys.stdout.write(f"{size:>7,}  {body_bytes:>5}  {row.name}\n")
            yield row


def page(rows: Sequence[Measured], stored: int) -> str:
    """The page, of what was measured.

    Args:
        rows: the operations.
        stored: the bytes that a small record takes in storage.
    """
    small = [row for row in rows if (row.size, row.body_bytes) == (SIZE, SMALL)]
    large = [row for row in rows if (row.size, row.body_bytes) == (SIZE, LARGE)]
    text = TEMPLATE.read_text(encoding="utf-8")
    return Template(text).substitute(
        _assumptions(),
        operations_small=_operations(small),
        operations_large=_operations(large),
        x86_excess=_usd(_x86_excess(small[0])),
        flat=_flat([row for row in rows if row.body_bytes == SMALL]),
        **_month(small, stored),
        **_idle(stored),
        prices=_table(("price", "USD", "for", "page"), map(_price, PRICES)),
    )


def _assumptions() -> dict[str, str]:
    """What the formula and the texts around the tables are filled with."""
    delivery = prices.delivery_cost(DELIVERY_LOG_BYTES, MESSAGE_BYTES)
    return {
        "region": prices.REGION,
        "checked": f"{prices.CHECKED}",
        "api_request": _usd(prices.API_REQUEST.usd),
        "lambda_request": _usd(prices.LAMBDA_REQUEST.usd),
        "gb_s": f"{prices.ARM_GB_S.usd}",
        "memory": f"{prices.MEMORY_GB:g}",
        "read_unit": f"{prices.READ_UNIT.usd}",
        "write_unit": f"{prices.WRITE_UNIT.usd}",
        "log_gb": _usd(prices.LOG_BYTE.usd),
        "platform_bytes": f"{prices.PLATFORM_LOG_BYTES}",
        "access_bytes": f"{prices.ACCESS_LOG_BYTES}",
        "out_gb": _usd(prices.BYTE_OUT.usd),
        "changes": _usd(prices.changes_cost()),
        "changes_ms": f"{prices.CHANGES_MS}",
        **{one.name: f"{one.default:g}" for one in fields(Latency)},
        "edge_cpu_ms": f"{prices.EDGE_CPU_MS}",
        "cpus": f"{prices.CPUS:.2f}",
        "size": f"{SIZE:,}",
        "small": f"{SMALL // 1000}",
        "large": f"{LARGE // 1000}",
        "message_requests": f"{prices.MESSAGE_REQUESTS}",
        "message_bytes": f"{MESSAGE_BYTES:,}",
        "webhook_ms": f"{prices.WEBHOOK_MS}",
        "delivery": _usd(delivery),
        "purge_ms": f"{prices.PURGE_MS}",
        "row_units": f"{prices.ROW_UNITS}",
        "purge": _usd(prices.purge_cost()),
        "users": f"{USERS:,}",
        "writes_a_day": f"{WRITES_A_DAY}",
        "records_a_user": f"{RECORDS_A_USER}",
        "days": f"{DAYS}",
        "log_kept": _usd(prices.LOG_GB.usd),
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"


def _operations(rows: Iterable[Measured]) -> str:
    used = ("RRU", "WRU", "round trips", "ms")
    parts = ("API Gateway", "Lambda", "DynamoDB", "logs", "data out", "`changes`")
    return _table(("operation", *used, *parts, "total"), map(_operation, rows))


def _operation(row: Measured) -> tuple[str, ...]:
    usage, cost = row.usage, cost_of(row.usage)
    units = (f"{usage.read_units:.1f}", f"{usage.write_units:.1f}")
    used = (*units, f"{usage.trips:g}", f"{usage.billed_ms}")
    parts = (cost.gateway, cost.function, cost.dynamodb, cost.logs, cost.transfer, cost.events)
    return (row.name, *used, *map(_usd, parts), f"**{_usd(cost.total)}**")


def _x86_excess(row: Measured) -> float:
    return cost_of(row.usage, gb_s=prices.X86_GB_S).total - cost_of(row.usage).total


def _flat(rows: Sequence[Measured]) -> str:
    units = {(row.name, row.size): _units(row) for row in rows}
    names = dict.fromkeys(row.name for row in rows)
    return _table(
        ("operation", *(f"{size:,} records" for size in FLAT)),
        ((name, *(units[name, size] for size in FLAT)) for name in names),
    )


def _units(row: Measured) -> str:
    return f"{row.usage.read_units:.1f}, {row.usage.write_units:.1f}"


def _month(rows: Sequence[Measured], stored: int) -> dict[str, str]:
    items = [*_month_items(rows, stored)]
    polls, total = USERS * POLLS_A_DAY, sum(item.usd for item in items)
    return {
        "polls": f"{polls * DAYS / MILLION:.1f}",
        "polls_a_second": f"{polls / 86_400:.0f}",
        "month": _items(items),
        "month_total": f"{total:,.0f}",
        "user_total": f"{total / USERS:.3f}",
    }


def _month_items(rows: Sequence[Measured], stored: int) -> Iterator[Item]:
    costs = {row.name: cost_of(row.usage).total for row in rows}
    writes = USERS * WRITES_A_DAY * DAYS
    polls = USERS * POLLS_A_DAY * DAYS - writes
    for what, count, operation in (
        ("polls that find nothing: 304", polls, "GET of the list, 304"),
        ("polls that find changes (ten of them)", writes, "Sync of 10 changes"),
        ("writes over a record", writes, "PUT, over a record"),
    ):
        millions = count / MILLION
        yield Item(what, f"{millions:.1f} million", costs[operation] * millions)
    gb = USERS * RECORDS_A_USER * stored / GB
    yield Item("storage", f"{gb:.1f} GB", prices.STORED_GB.of(gb))
    yield Item("point-in-time recovery", f"{gb:.1f} GB", prices.BACKED_UP_GB.of(gb))
    yield Item("what stands still", "", sum(item.usd for item in _idle_items()))


def _idle(stored: int) -> dict[str, str]:
    items = [*_idle_items()]
    gb = prices.STORED_GB.usd + prices.BACKED_UP_GB.usd
    return {
        "idle": _items(items),
        "idle_total": _usd(sum(item.usd for item in items)),
        "stored_gb": _usd(gb),
        "stored_bytes": f"{stored:,}",
        "million_records": _usd(gb * stored * MILLION / GB),
    }


def _idle_items() -> Iterator[Item]:
    polls = prices.FIFO_REQUEST.of(IDLE_POLLS) + prices.SQS_REQUEST.of(2 * IDLE_POLLS)
    yield Item("Lambda's polls of three queues", f"{3 * IDLE_POLLS:,} requests", polls)
    yield Item("alarms", f"{ALARMS}", prices.ALARM.of(ALARMS))
    yield Item("a dashboard", "1", prices.DASHBOARD.of(1))
    yield Item("metrics of our own (assumed)", f"{METRICS}", prices.METRIC.of(METRICS))


def _items(items: Iterable[Item]) -> str:
    return _table(
        ("what", "how many", "USD"), ((item.what, item.amount, _usd(item.usd)) for item in items)
    )


def _price(price: Price) -> tuple[str, ...]:
    return price.what, f"{price.usd:g}", f"{price.per:,} {price.unit}", f"<{price.page}>"


if __name__ == "__main__":
    main()
