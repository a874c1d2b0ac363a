"""Dead letters sent on their way again: `infra/redeliver.py`."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra import redeliver
from infra.queues import DEAD_LETTERS, PURGES, RETRIES, create_queues
from infra.redeliver import Redelivery, main
from tests.doubles import REGION, STAGE
from tests.events.test_stream import stream_record

EVENT = {"event_id": "evt_1", "action": "create", "impacted_records": []}
GIVEN_UP = {
    "listener": "hook",
    "event": EVENT,
    "attempts": 36,
    "failing_since_ms": 1_764_000_000_000,
    "not_before_ms": 1_764_086_400_000,
    "error": "answered 500",
}
PURGE = {"dead": "/buckets/blog", "incarnation": "5f2d9c1b7a3e4860", "again": False}
CHANGE = stream_record("patched_record")
CUT_OFF = {"eventID": "1", "truncated": True, "dynamodb": {"Keys": {}}}


class Functions:
    """A client for Lambda whose functions remember what they were called with, or fail."""

    def __init__(self) -> None:
        self.called: list[tuple[str, Any]] = []
        self.fails = False

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803
        self.called.append((FunctionName, json.loads(Payload)))
        return {"StatusCode": 200, **({"FunctionError": "Unhandled"} if self.fails else {})}


class Stage:
    """The queues of a stage, and its functions."""

    def __init__(self, sqs: Any) -> None:
        self.sqs = sqs
        self.urls = create_queues(sqs, STAGE)
        self.functions = Functions()
        self.redelivery = Redelivery(sqs, self.functions, STAGE)

    def bury(self, *messages: Any) -> None:
        for message in messages:
            body = message if isinstance(message, str) else json.dumps(message)
            self.sqs.send_message(QueueUrl=self.urls[DEAD_LETTERS], MessageBody=body)

    def found(self, queue: str) -> list[Any]:
        """What is in a queue; it stays there for others."""
        bodies: list[str] = []
        url = self.urls[queue]
        while messages := self.sqs.receive_message(QueueUrl=url).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return [json.loads(body) if body.startswith("{") else body for body in bodies]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(redeliver, "WAIT_S", 0)
    with mock_aws():
        yield Stage(boto3.client("sqs", REGION))


def test_a_delivery_begins_anew(stage: Stage) -> None:
    stage.bury(GIVEN_UP)

    counted = stage.redelivery.run()

    assert counted == {"delivery to hook": 1}
    assert stage.found(RETRIES) == [{"listener": "hook", "event": EVENT}]
    assert stage.found(DEAD_LETTERS) == []


def test_a_purge_goes_back_to_its_queue(stage: Stage) -> None:
    rows = {"rows": [["bob", "/buckets/blog#group/x", 1]]}
    stage.bury(PURGE, rows)

    counted = stage.redelivery.run()

    assert counted == {"purge": 2}
    assert stage.found(PURGES) == [PURGE, rows]
    assert stage.found(DEAD_LETTERS) == []


def test_a_change_goes_to_the_function_that_could_not_process_it(stage: Stage) -> None:
    stage.bury(CHANGE)

    counted = stage.redelivery.run()

    assert counted == {"change": 1}
    assert stage.functions.called == [(f"kinto-serverless-{STAGE}-changes", {"Records": [CHANGE]})]
    assert stage.found(DEAD_LETTERS) == []


def test_a_function_that_fails_keeps_the_change(stage: Stage) -> None:
    stage.functions.fails = True
    stage.bury(CHANGE)

    with pytest.raises(redeliver.RedeliveryError):
        stage.redelivery.run()

    assert stage.found(DEAD_LETTERS) == [CHANGE]


@pytest.mark.parametrize("message", [CUT_OFF, {"unreadable": "x"}, "no JSON", "[1]"])
def test_what_can_not_be_sent_again_stays(stage: Stage, message: Any) -> None:
    stage.bury(message, GIVEN_UP)

    counted = stage.redelivery.run()

    assert counted["delivery to hook"] == 1
    assert [name for name in counted if name.startswith("left: ")]
    assert stage.found(DEAD_LETTERS) == [message]


def test_one_listener_may_be_asked_for(stage: Stage) -> None:
    other = {**GIVEN_UP, "listener": "other"}
    stage.bury(other, GIVEN_UP, PURGE, CHANGE)

    counted = stage.redelivery.run("hook")

    assert counted == {
        "delivery to hook": 1,
        "left: delivery to other": 1,
        "left: purge": 1,
        "left: change": 1,
    }
    assert stage.found(DEAD_LETTERS) == [other, PURGE, CHANGE]
    assert stage.functions.called == []


def test_showing_moves_nothing(stage: Stage) -> None:
    stage.bury(GIVEN_UP, GIVEN_UP)

    counted = stage.redelivery.run(shows=True)

    assert counted == {"left: delivery to hook": 2}
    assert stage.found(RETRIES) == []
    assert stage.found(DEAD_LETTERS) == [GIVEN_UP, GIVEN_UP]


def test_many_are_all_taken(stage: Stage) -> None:
    stage.bury(*[GIVEN_UP] * 25)

    assert stage.redelivery.run() == {"delivery to hook": 25}
    assert len(stage.found(RETRIES)) == 25


def test_an_end_between_sending_and_removing_loses_nothing(stage: Stage) -> None:
    class Killed(BaseException):
        pass

    def kill(**_arguments: Any) -> None:
        raise Killed

    stage.bury(GIVEN_UP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.sqs, "delete_message", kill)
        with pytest.raises(Killed):
            stage.redelivery.run()

    assert stage.redelivery.run() == {"delivery to hook": 1}


# The command


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the command asks, and what it is told."""
    state: dict[str, Any] = {"asked": [], "answer": Counter()}

    def run(_self: Redelivery, listener: str | None, *, shows: bool) -> Any:
        state["asked"].append((listener, shows))
        if isinstance(state["answer"], Exception):
            raise state["answer"]
        return state["answer"]

    monkeypatch.setattr(Redelivery, "run", run)
    for name in ("LISTENER", "SHOW"):
        monkeypatch.delenv(name, raising=False)
    return state


def test_the_command_tells_how_many(
    counted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counted["answer"] = Counter({"purge": 1, "delivery to hook": 3})

    assert main("prod") == 0
    assert capsys.readouterr().out == "3 delivery to hook\n1 purge\n"
    assert counted["asked"] == [(None, False)]


def test_the_command_tells_that_there_is_nothing(
    counted: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTENER", "hook")
    monkeypatch.setenv("SHOW", "1")

    assert main("prod") == 0
    assert "no dead letters" in capsys.readouterr().out
    assert counted["asked"] == [("hook", True)]


def test_the_command_wants_a_stage(
    counted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("") == 1
    assert "STAGE" in capsys.readouterr().err
    assert counted["asked"] == []


@pytest.mark.parametrize(
    "error",
    [
        redeliver.RedeliveryError("the function fails"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "fails"}}, "ReceiveMessage"),
    ],
    ids=["function", "queue"],
)
def test_what_is_in_the_way_is_told_in_a_line(
    counted: dict[str, Any], capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    counted["answer"] = error

    assert main("prod") == 1
    assert capsys.readouterr().err.count("\n") == 1
