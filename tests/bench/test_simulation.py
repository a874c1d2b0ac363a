"""DynamoDB in simulated time: `bench/simulation.py`."""

import random
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from bench.latency import Latency
from bench.simulation import SimulatedDynamo, Time
from chalicelib.storage.tables import Tables

KEY = {"parent": {"S": "list"}, "id": {"S": "one"}}
LATENCY = Latency(read_ms=5.0, transaction_ms=20.0, action_ms=0.0)
_stages = count()


class Simulated:
    """Calls of one table at chosen moments."""

    def __init__(self) -> None:
        stage = f"simulated-{next(_stages)}"
        self.table = Tables.of_stage(stage).objects
        self.time = Time()
        self.dynamo = SimulatedDynamo(stage, self.time, LATENCY, random.Random(1))  # noqa: S311

    def put(self, version: int, condition: str = "") -> None:
        what = {"TableName": self.table, "Item": {**KEY, "version": {"N": f"{version}"}}}
        if condition:
            what["ConditionExpression"] = condition
        arguments = {"TransactItems": [{"Put": what}], "ClientRequestToken": uuid4().hex}
        self.dynamo.dispatch("TransactWriteItems", arguments)

    def get(self) -> list[Any]:
        asked = {self.table: {"Keys": [KEY], "ConsistentRead": True}}
        answer = self.dynamo.dispatch("BatchGetItem", {"RequestItems": asked})
        return [int(item["version"]["N"]) for item in answer["Responses"][self.table]]

    def run(self, *calls: tuple[float, Callable[[], Any]]) -> list[Any]:
        """What these give that begin after so many seconds; reasons where they are refused."""

        def later(seconds: float, call: Callable[[], Any]) -> Any:
            self.time.pause(seconds)
            try:
                return call()
            except ClientError as error:
                return [it["Code"] for it in error.response["CancellationReasons"]]

        return self.time.run([partial(later, *call) for call in calls])


@pytest.fixture
def simulated() -> Simulated:
    return Simulated()


def test_a_transaction_that_meets_another_is_refused(simulated: Simulated) -> None:
    first, second, third = simulated.run(
        (0.0, partial(simulated.put, 1)),
        (0.005, partial(simulated.put, 2)),
        (1.0, partial(simulated.put, 3)),
    )

    assert (first, second, third) == (None, ["TransactionConflict"], None)
    assert simulated.run((0.0, simulated.get)) == [[3]]
    assert simulated.dynamo.attempts == 3


def test_a_condition_that_fails_is_told(simulated: Simulated) -> None:
    new = "attribute_not_exists(id)"

    assert simulated.run(
        (0.0, partial(simulated.put, 1, new)), (1.0, partial(simulated.put, 2, new))
    ) == [None, ["ConditionalCheckFailed"]]


def test_reads_meet_the_items_of_a_transaction_as_they_were_before_it(
    simulated: Simulated,
) -> None:
    simulated.run((0.0, partial(simulated.put, 1)))

    *_, during, after = simulated.run(
        (0.0, partial(simulated.put, 2)), (0.005, simulated.get), (1.0, simulated.get)
    )

    assert (during, after) == ([1], [2])


def test_what_was_not_there_before_a_transaction_is_not_there_during_it(
    simulated: Simulated,
) -> None:
    _, during = simulated.run((0.0, partial(simulated.put, 1)), (0.005, simulated.get))

    assert during == []


@given(st.lists(st.lists(st.floats(0, 10), max_size=5), min_size=1, max_size=5))
def test_everybody_goes_on_at_the_moment_that_he_waited_for(pauses: list[list[float]]) -> None:
    time = Time()
    moments: list[float] = []

    def work(seconds: list[float]) -> float:
        expected = 0.0
        for each in seconds:
            time.pause(each)
            expected += each
            assert time.now_s == expected
            moments.append(time.now_s)
        return expected

    ends = time.run([partial(work, seconds) for seconds in pauses])

    assert ends == [sum(seconds) for seconds in pauses]
    assert moments == sorted(moments)


def test_an_error_of_one_comes_out_when_the_others_are_done() -> None:
    time = Time()
    done: list[float] = []

    def fail() -> None:
        raise LookupError

    def wait() -> None:
        time.pause(1.0)
        done.append(time.now_s)

    with pytest.raises(LookupError):
        time.run([fail, wait])

    assert done == [1.0]
