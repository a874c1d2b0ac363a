"""How long requests should take: `bench/latency.py`."""

import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.capacity import Call
from bench.latency import Latency, cpus
from bench.prerequisites import BenchError
from bench.prices import CPUS, EDGE_CPU_MS

ROUND = Latency(
    gateway_ms=100.0,
    invoke_ms=50.0,
    read_ms=10.0,
    read_kb_ms=1.0,
    transaction_ms=20.0,
    action_ms=2.0,
)


def query(kb: int, began: float = 0, ended: float = 1) -> Call:
    """A Query that met so much: an entry of a name of one byte, and text."""
    return Call("Query", {}, {"Items": [{"x": {"S": "x" * (kb * 1024 - 1)}}]}, began, ended)


def transaction(actions: int, began: float = 0, ended: float = 1) -> Call:
    return Call("TransactWriteItems", {"TransactItems": [{}] * actions}, {}, began, ended)


# DynamoDB


def test_a_read_takes_longer_the_more_it_reads() -> None:
    assert ROUND.of(query(kb=1)) == pytest.approx(11.0)
    assert ROUND.of(query(kb=40)) == pytest.approx(50.0)


def test_a_transaction_takes_longer_the_more_actions_it_has() -> None:
    assert ROUND.of(transaction(actions=3)) == pytest.approx(26.0)


@pytest.mark.parametrize(("actions", "ms"), [(5, 25.3), (25, 32.1)])
def test_a_transaction_takes_as_long_as_was_published(actions: int, ms: float) -> None:
    assert Latency().of(transaction(actions)) == pytest.approx(ms, abs=0.05)


def test_calls_one_after_the_other_take_as_long_as_their_sum() -> None:
    calls = [query(1, began=0, ended=1), query(1, began=1, ended=2), transaction(1, 3, 4)]

    assert ROUND.of_request(calls) == pytest.approx(11 + 11 + 22)


def test_calls_in_parallel_take_as_long_as_the_longest() -> None:
    """On the emulator it may be another one that takes longest."""
    calls = [query(1, began=0, ended=1), query(1, began=2, ended=9), query(5, began=3, ended=4)]

    assert ROUND.of_request(calls) == pytest.approx(11 + 15)


def test_a_request_without_calls_takes_no_time_of_dynamodb() -> None:
    assert ROUND.of_request([]) == 0


# At the gateway


def test_a_request_takes_the_gateway_its_calls_and_its_share_of_a_cpu() -> None:
    expected = ROUND.expected([[query(1)], [query(3)], [query(30)]], cpu_ms=4.0)

    assert expected.gateway == pytest.approx(150.0)
    assert expected.dynamodb == pytest.approx(13.0)  # of the run in the middle
    assert expected.cpu == pytest.approx((4.0 + EDGE_CPU_MS) * 1769 / 1024)
    assert expected.total == pytest.approx(150.0 + 13.0 + expected.cpu)


def test_the_costs_are_those_of_the_same_share_of_a_cpu() -> None:
    assert cpus() == pytest.approx(CPUS)


def test_no_request_has_more_than_one_cpu(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"lambda_memory_size": 10_240}))

    assert cpus(config) == 1.0


# Set by the environment


def test_the_delays_are_the_defaults_where_nothing_is_set() -> None:
    assert Latency.from_environment({"HOME": "/"}) == Latency()


@pytest.mark.parametrize("delay", [one.name for one in fields(Latency)])
def test_each_delay_can_be_set(delay: str) -> None:
    latency = Latency.from_environment({f"BENCH_{delay.upper()}": "1.25"})

    assert getattr(latency, delay) == 1.25


@pytest.mark.parametrize("text", ["soon", "", "-1", "nan", "inf"])
def test_what_is_no_number_of_milliseconds_is_refused_by_name(text: str) -> None:
    with pytest.raises(BenchError, match=f"BENCH_READ_MS={text} is no number of milliseconds"):
        Latency.from_environment({"BENCH_READ_MS": text})


# Really delayed


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be slept, of which none is."""
    slept: list[float] = []
    append: Callable[[float], Any] = slept.append
    monkeypatch.setattr(time, "sleep", append)
    return slept


def test_a_call_is_delayed_for_as_long_as_the_model_has(pauses: list[float]) -> None:
    slow = Latency(read_ms=3_600_000.0)

    slow.pause(query(1, ended=time.perf_counter()))

    assert pauses == [pytest.approx(3600, abs=60)]


def test_a_call_is_delayed_no_more_where_that_time_is_over(pauses: list[float]) -> None:
    ROUND.pause(query(1, ended=time.perf_counter() - 60))

    assert pauses == [0.0]
