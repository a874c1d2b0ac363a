"""The page of costs: `bench/costs.py`, and what is in docs/costs.md."""

import re
from dataclasses import replace
from itertools import product

import pytest

from bench.costs import ALARMS, FLAT, LARGE, REPORT, SIZE, SMALL, page
from bench.latency import Latency
from bench.prices import PRICES, Price, Usage, cost_of
from bench.workload import Measured, data_of
from chalicelib.protocol.messages import encoded
from infra.tables import TEMPLATE

USAGE = Usage(3.0, 0.0, 1, waited_ms=5.0, cpu_ms=1.5, log_bytes=300.0, answer_bytes=1_300.0)
NAMES = ("GET of the list, 304", "Sync of 10 changes", "PUT, over a record")


def test_the_page_tells_of_the_delays_that_costs_are_computed_with() -> None:
    text = page(rows(USAGE), stored=3_000)

    model = Latency()
    assert f"{model.read_ms:g} ms for a read and {model.read_kb_ms:g} for each KB" in text
    assert f"{model.transaction_ms:g} ms for a transaction and {model.action_ms:g} for" in text


def rows(usage: Usage) -> list[Measured]:
    sizes = [*product(FLAT, [SMALL]), (SIZE, LARGE)]
    return [Measured(name, *size, usage) for name, size in product(NAMES, sizes)]


def test_the_page_tells_of_each_operation_what_it_takes_and_costs() -> None:
    text = page(rows(USAGE), stored=3_000)

    total = f"**{cost_of(USAGE).total:.2f}**"
    for name in NAMES:
        assert re.search(rf"\| {name} \| 3\.0 \| 0\.0 \| 1 \|.* {re.escape(total)} \|", text)


def test_a_month_costs_more_where_a_poll_does() -> None:
    dearer = replace(USAGE, read_units=30.0)

    assert month_total(page(rows(dearer), 3_000)) > month_total(page(rows(USAGE), 3_000))


def test_a_month_costs_more_where_a_record_takes_more_storage() -> None:
    assert month_total(page(rows(USAGE), 9_000_000)) > month_total(page(rows(USAGE), 3_000))


def month_total(text: str) -> int:
    (total,) = re.findall(r"\*\*([\d,]+) a month\*\*", text)
    return int(total.replace(",", ""))


@pytest.mark.parametrize("price", PRICES, ids=lambda price: price.what)
def test_the_page_in_the_docs_has_the_prices_of_the_code(price: Price) -> None:
    what, usd, per, unit, address = price
    line = f"| {what} | {usd:g} | {per:,} {unit} | <{address}> |"

    assert line in REPORT.read_text(encoding="utf-8")


def test_a_stage_that_nobody_uses_has_as_many_alarms_as_its_template() -> None:
    template = TEMPLATE.with_name("operations.yaml").read_text(encoding="utf-8")

    assert template.count("Type: AWS::CloudWatch::Alarm") == ALARMS


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_record_of_the_workload_is_as_large_as_it_says(size: int) -> None:
    assert len(encoded({"title": "x" * 43, **data_of(size)})) == size
