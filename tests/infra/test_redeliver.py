"""Dead letters sent on their way again: `infra/redeliver.py`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from infra import redeliver
from infra.queues import DEAD_LETTERS, PURGES, RETRIES, create_queues
from infra.redeliver import FAILED, Redelivery, main
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
NO_FUNCTION = f"there is no function kinto-serverless-{STAGE}-changes"
CUT_OFF = {"eventID": "1", "truncated": True, "dynamodb": {"Keys": {}}}


def error_of(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "fails"}}, operation)


class Functions:
    """A client for Lambda whose functions remember what they were called with, or fail."""

    def __init__(self) -> None:
        self.called: list[tuple[str, Any]] = []
        self.fails = False
        self.error: Exception | None = None

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803
        if self.error:
            raise self.error
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


def test_a_function_that_fails_keeps_the_change_and_the_others_are_sent(stage: Stage) -> None:
    stage.functions.fails = True
    stage.bury(CHANGE, GIVEN_UP, CHANGE, PURGE)

    counted = stage.redelivery.run()

    failed = f"{FAILED}change (the function `changes` failed: its log tells why)"
    assert counted == {failed: 2, "delivery to hook": 1, "purge": 1}
    assert stage.found(DEAD_LETTERS) == [CHANGE, CHANGE]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (error_of("AccessDeniedException", "Invoke"), "Invoke: AccessDeniedException"),
        (error_of("ResourceNotFoundException", "Invoke"), NO_FUNCTION),
        (error_of("400", "Invoke"), NO_FUNCTION),
        (EndpointConnectionError(endpoint_url="x"), "EndpointConnectionError"),
    ],
    ids=["refused", "no such function", "no Lambda", "out of reach"],
)
def test_a_function_that_can_not_be_called_keeps_the_change(
    stage: Stage, error: Exception, why: str
) -> None:
    stage.functions.error = error
    stage.bury(CHANGE, GIVEN_UP)

    counted = stage.redelivery.run()

    assert counted == {f"{FAILED}change ({why})": 1, "delivery to hook": 1}
    assert stage.found(DEAD_LETTERS) == [CHANGE]


def test_a_queue_that_can_not_be_reached_keeps_the_letter(stage: Stage) -> None:
    stage.sqs.delete_queue(QueueUrl=stage.urls[RETRIES])
    stage.bury(GIVEN_UP, PURGE)

    counted = stage.redelivery.run()

    (failed,) = counted - Counter({"purge": 1})
    assert failed.startswith(f"{FAILED}delivery to hook (GetQueueUrl: ")
    assert stage.found(DEAD_LETTERS) == [GIVEN_UP]


def test_what_becomes_a_dead_letter_after_the_start_is_left_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    send, sent = stage.redelivery._send, []

    def send_to_what_answers_410(letter: redeliver.DeadLetter) -> None:
        send(letter)
        sent.append(letter)
        monkeypatch.setattr("moto.sqs.models.unix_time_millis", lambda: now_ms + 1)
        stage.bury(*[GIVEN_UP] * (len(sent) < 9))

    monkeypatch.setattr(stage.redelivery, "_send", send_to_what_answers_410)
    monkeypatch.setattr("moto.sqs.models.unix_time_millis", lambda: now_ms)
    stage.bury(GIVEN_UP)

    counted = stage.redelivery.run(now_ms=now_ms)

    assert counted == {
        "delivery to hook": 1,
        "left: delivery to hook, as it came after the start": 1,
    }
    assert stage.found(RETRIES) == [{"listener": "hook", "event": EVENT}]


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


class KilledError(BaseException):
    """Ends us."""


def test_an_end_between_sending_and_removing_loses_nothing(stage: Stage) -> None:
    stage.bury(GIVEN_UP, PURGE, PURGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.sqs, "delete_message", raising(KilledError()))
        with pytest.raises(KilledError):
            stage.redelivery.run()

    # Those as well that were received and not yet looked at.
    assert stage.redelivery.run() == {"delivery to hook": 1, "purge": 2}


def test_an_end_hides_nothing_even_where_one_can_not_be_shown(stage: Stage) -> None:
    show, shown = stage.sqs.change_message_visibility, []

    def show_all_but_the_first(**arguments: Any) -> None:
        shown.append(arguments)
        if len(shown) == 1:
            raise EndpointConnectionError(endpoint_url="x")
        show(**arguments)

    stage.bury(GIVEN_UP, PURGE, PURGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.sqs, "change_message_visibility", show_all_but_the_first)
        stage.redelivery.run(shows=True)

    assert stage.found(DEAD_LETTERS) == [PURGE, PURGE]


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_positional: Any, **_named: Any) -> None:
        raise error

    return fail


def test_what_was_counted_before_an_error_is_known(stage: Stage) -> None:
    counted: Counter[str] = Counter()
    receive = stage.sqs.receive_message
    stage.bury(GIVEN_UP)

    def receive_once(**arguments: Any) -> Any:
        if counted:
            raise error_of("AccessDenied", "ReceiveMessage")
        return receive(**arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.sqs, "receive_message", receive_once)
        with pytest.raises(ClientError):
            stage.redelivery.run(counted=counted)

    assert counted == {"delivery to hook": 1}


# The command


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the command asks, and what it is told."""
    state: dict[str, Any] = {"asked": [], "answer": Counter(), "error": None}

    def run(
        _self: Redelivery, listener: str | None, *, shows: bool, counted: Counter[str]
    ) -> Counter[str]:
        state["asked"].append((listener, shows))
        counted.update(state["answer"])
        if state["error"]:
            raise state["error"]
        return counted

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


@pytest.mark.parametrize(("text", "shows"), [("", False), ("0", False), ("1", True)])
def test_what_show_may_be(
    counted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str, shows: bool
) -> None:
    monkeypatch.setenv("SHOW", text)

    assert main("prod") == 0
    assert counted["asked"] == [(None, shows)]


@pytest.mark.parametrize("text", ["true", "yes", "2", " "])
def test_the_command_refuses_any_other_show(
    counted: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    monkeypatch.setenv("SHOW", text)

    assert main("prod") == 1
    assert capsys.readouterr() == ("", f"kinto-serverless: SHOW={text!r} is neither 1 nor 0\n")
    assert counted["asked"] == []


def test_the_command_fails_where_one_could_not_be_sent(
    counted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counted["answer"] = Counter({f"{FAILED}change (why)": 2, "purge": 1})

    assert main("prod") == 1
    assert capsys.readouterr().out == "2 failed, so left: change (why)\n1 purge\n"


def test_what_is_in_the_way_is_told_in_a_line_beside_the_counts(
    counted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counted["answer"] = Counter({"purge": 1})
    counted["error"] = error_of("AccessDenied", "ReceiveMessage")

    assert main("prod") == 1
    out, err = capsys.readouterr()
    assert out == "1 purge\n"
    assert err.count("\n") == 1
    assert "AccessDenied" in err
