"""What requests cost: `bench/prices.py`."""

from dataclasses import replace

import pytest

from bench.prices import (
    PRICES,
    READ_UNIT,
    STORED_GB,
    X86_GB_S,
    Price,
    Usage,
    changes_cost,
    cost_of,
    delivery_cost,
    purge_cost,
)

NOTHING = Usage(*(0.0, 0.0), trips=0, waited_ms=0.0, cpu_ms=0.0, log_bytes=0.0, answer_bytes=0.0)


def test_a_price_is_for_as_many_as_it_says() -> None:
    assert READ_UNIT.of(8_000_000) == pytest.approx(1.0)
    assert STORED_GB.of(4) == pytest.approx(1.0)


def test_a_function_is_billed_for_what_it_waits_and_for_its_share_of_a_cpu() -> None:
    usage = replace(NOTHING, waited_ms=25.0, cpu_ms=1.5)

    # 25 ms of waiting, and 3 ms on 1,024 of a CPU's 1,769 MB: 5.2 ms.
    assert usage.billed_ms == 31


def test_a_million_requests_cost_the_sum_of_their_parts() -> None:
    usage = replace(
        NOTHING, read_units=4, write_units=8, waited_ms=30, log_bytes=616, answer_bytes=10_000
    )

    cost = cost_of(usage)

    assert cost.gateway == pytest.approx(3.50)
    assert cost.function == pytest.approx(0.20 + 13.3334 * usage.billed_ms / 1000)
    assert cost.dynamodb == pytest.approx(4 * 0.125 + 8 * 0.625)
    assert cost.logs == pytest.approx(0.50 * (616 + 384 + 500) / 1_000)
    assert cost.transfer == pytest.approx(0.90)
    assert cost.events == pytest.approx(changes_cost())
    parts = (cost.gateway, cost.function, cost.dynamodb, cost.logs, cost.transfer, cost.events)
    assert cost.total == pytest.approx(sum(parts))


def test_a_read_is_followed_by_nothing() -> None:
    assert cost_of(replace(NOTHING, read_units=2)).events == 0


def test_only_the_time_of_functions_is_dearer_on_x86() -> None:
    usage = replace(NOTHING, waited_ms=10.0, read_units=3)

    on_x86, on_arm = cost_of(usage, gb_s=X86_GB_S), cost_of(usage)

    assert on_arm.function < on_x86.function
    assert replace(on_arm, function=on_x86.function) == on_x86


def test_a_change_that_comes_alone_costs_an_invocation() -> None:
    # 5 ms of half a GB, and 384 bytes of the log
    assert changes_cost() == pytest.approx(0.20 + 13.3334 * 0.0025 + 0.192)


def test_a_delivery_costs_three_requests_and_an_invocation() -> None:
    # 100 ms of a quarter GB, 500 bytes of the log, 2,000 bytes out
    assert delivery_cost(116, 2_000) == pytest.approx(1.50 + 0.20 + 13.3334 * 0.025 + 0.25 + 0.18)


def test_clearing_up_costs_three_requests_an_invocation_and_a_removal() -> None:
    # 50 ms of a quarter GB, 384 bytes of the log
    expected = 1.20 + 1.25 + 0.20 + 13.3334 * 0.0125 + 0.192
    assert purge_cost() == pytest.approx(expected)


@pytest.mark.parametrize("price", PRICES, ids=lambda price: price.what)
def test_each_price_names_the_page_where_aws_tells_it(price: Price) -> None:
    assert price.usd > 0
    assert price.page.startswith("https://aws.amazon.com/")
