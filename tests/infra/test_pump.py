"""The pump: what changes and what is queued reaches the handlers, until they have processed it."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chalicelib.events.queues import InGroup, Queue, Queues
from infra.lambda_events import Event, LambdaContext
from infra.pump import QUEUES, Clients, Handler, Pump, Stopping, keep_pumping
from infra.queues import DEAD_LETTERS, DELIVERIES, PURGES, create_queues
from infra.tables import create_tables
from tests.doubles import REGION
from tests.infra.fake_streams import TABLE, FakeStreams, Shard

_stages = count()


class Recorder:
    """A handler that notes what it is called with, and raises where it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.events: list[Event] = []
        self.contexts: list[LambdaContext] = []
        self.failures = list(failures)
        self.called = threading.Event()

    def __call__(self, event: Event, context: LambdaContext) -> None:
        self.events.append(event)
        self.contexts.append(context)
        self.called.set()
        if self.failures:
            raise self.failures.pop(0)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for event in self.events for record in event["Records"]]


class NoQueue:
    """SQS with one queue, which is empty."""

    def get_queue_url(self, **_asked: Any) -> dict[str, str]:
        return {"QueueUrl": "url"}

    def get_queue_attributes(self, **_asked: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:000000000000:name"}}

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        threading.Event().wait(0.01 * asked["WaitTimeSeconds"])
        return {}


def pump_of(streams: FakeStreams, changes: Callable[..., Any], folder: Path | None = None) -> Pump:
    clients = Clients(streams, streams, NoQueue())
    stage = TABLE.split("-")[1]
    return Pump(stage, changes, {"purge": Recorder()}, clients=clients, folder=folder)


def numbers(recorder: Recorder) -> list[list[int]]:
    """Sequence numbers, a list a call."""
    return [
        [int(record["dynamodb"]["SequenceNumber"]) for record in event["Records"]]
        for event in recorder.events
    ]


def test_a_failed_batch_comes_again_and_nothing_before_it() -> None:
    streams = FakeStreams(one=Shard(numbers=[*range(1, 151)]))
    changes = Recorder(ValueError("once"))
    pump = pump_of(streams, changes)

    with pytest.raises(ValueError, match="once"):
        pump.pump_until_quiet()

    assert pump.pump_until_quiet() == 150
    first, second = list(range(1, 101)), list(range(101, 151))
    assert numbers(changes) == [first, first, second]


def test_a_failed_batch_holds_up_no_other_shard() -> None:
    streams = FakeStreams(one=Shard(numbers=[1]), two=Shard(numbers=[2]))
    changes = Recorder(ValueError("the first"))

    with pytest.raises(ValueError, match="the first"):
        pump_of(streams, changes).pump_once()

    assert numbers(changes) == [[1], [2]]


def test_a_kill_before_the_position_is_kept_repeats_and_loses_nothing(tmp_path: Path) -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2]))

    def killed(event: Event, _context: LambdaContext) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        pump_of(streams, killed, tmp_path).pump_once()

    changes = Recorder()
    pump_of(streams, changes, tmp_path).pump_until_quiet()
    pump_of(streams, changes, tmp_path).pump_until_quiet()
    assert numbers(changes) == [[1, 2]]


def test_the_context_is_one_of_its_own_and_has_the_time_of_the_function() -> None:
    changes = Recorder()
    pump_of(FakeStreams(one=Shard(numbers=[1]), two=Shard(numbers=[2])), changes).pump_once()

    first, second = changes.contexts
    assert first.function_name == "kinto-serverless-test-changes"
    assert first.aws_request_id != second.aws_request_id
    assert 59_000 < first.get_remaining_time_in_millis() <= 60_000


@dataclass
class Stops:
    """Stops after so many pauses, and notes how long they were to be."""

    after: int
    pauses: list[float] = field(default_factory=list)

    def is_set(self) -> bool:
        return len(self.pauses) >= self.after

    def wait(self, timeout: float) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


def test_pauses_are_for_quiet_times_and_grow_with_failures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results: list[Any] = [3, 0, *[OSError("no\nanswer")] * 7, 2, OSError("again"), 0]

    def step() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return int(result)

    stops = Stops(after=len(results))
    stopping: Stopping = stops
    keep_pumping("changes", step, stopping, 1.0)

    assert stops.pauses == [0, 1, 1, 2, 4, 8, 16, 30, 30, 0, 1, 1]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert lines[1] == "kinto-serverless: changes failed, goes on in 2 s: OSError: no answer"


def test_the_end_takes_what_is_left_on_the_stream() -> None:
    streams = FakeStreams(one=Shard())
    changes = Recorder()

    with pump_of(streams, changes).running():
        streams.shards["one"].numbers.extend(range(1, 251))

    assert [number for batch in numbers(changes) for number in batch] == [*range(1, 251)]


def test_the_end_tells_of_what_it_could_not_process(capsys: pytest.CaptureFixture[str]) -> None:
    streams = FakeStreams(one=Shard(numbers=[1]))
    changes = Recorder(*[ValueError("always")] * 9)

    with pump_of(streams, changes).running():
        assert changes.called.wait(10)

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("there are changes that weren't processed: ValueError: always")


def test_the_end_has_no_time_for_ever_new_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.pump._END_S", 0)
    pump = pump_of(FakeStreams(one=Shard(numbers=[1])), Recorder())

    pump._ends = 0
    pump._empty_stream()

    assert "there are changes that weren't processed" in capsys.readouterr().err


def test_a_handler_that_runs_is_let_finish_and_told_to_hurry() -> None:
    begun, remaining = threading.Event(), []

    def slow(_event: Event, context: LambdaContext) -> None:
        begun.set()
        while context.get_remaining_time_in_millis() > 10_000:
            pass
        remaining.append(context.get_remaining_time_in_millis())

    with pump_of(FakeStreams(one=Shard(numbers=[1])), slow).running():
        assert begun.wait(10)

    assert 0 < remaining[0] <= 5_000


def test_a_handler_that_does_not_end_is_cut_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.pump._END_S", 0)
    begun, may_end = threading.Event(), threading.Event()

    def stuck(_event: Event, _context: LambdaContext) -> None:
        begun.set()
        may_end.wait(30)

    with pump_of(FakeStreams(one=Shard(numbers=[1])), stuck).running():
        assert begun.wait(10)
    may_end.set()

    assert "changes was cut off" in capsys.readouterr().err


@pytest.fixture
def clients(emulator_url: str) -> Clients:
    return Clients.connect(emulator_url)


@pytest.fixture
def stage(clients: Clients) -> str:
    """A stage that has only just got its tables and queues."""
    stage = f"pump-{next(_stages)}"
    create_tables(clients.dynamodb, stage)
    create_queues(clients.sqs, stage)
    return stage


def put(clients: Clients, stage: str, **attributes: Any) -> None:
    item = {"parent": {"S": "p"}, "id": {"S": "i"}, **attributes}
    clients.dynamodb.put_item(TableName=f"kinto-{stage}-objects", Item=item)


def send(clients: Clients, stage: str, body: str, *, queue: str = PURGES, **more: Any) -> None:
    url = create_queues(clients.sqs, stage)[queue]
    clients.sqs.send_message(QueueUrl=url, MessageBody=body, **more)


def send_in_order(clients: Clients, stage: str, *bodies: str) -> None:
    """Send deliveries, each in the group that is its first letter."""
    queues = Queues(stage, REGION)
    queues._client = clients.sqs
    queues.send_in_order(Queue.DELIVERIES, [InGroup(body, body[0], body) for body in bodies])


class Deliveries:
    """A handler of deliveries: notes them, and does to each what it is told to.

    Attributes:
        noted: bodies in the order they came.
        called: released at each call.
    """

    def __init__(self, **do: Callable[[], Any]) -> None:
        self._do = do
        self.noted: list[str] = []
        self.counts: list[str] = []
        self.called = threading.Semaphore(0)

    def __call__(self, event: Event, _context: LambdaContext) -> None:
        [record] = event["Records"]
        body = str(json.loads(record["body"]))
        self.noted.append(body)
        self.counts.append(record["attributes"]["ApproximateReceiveCount"])
        self.called.release()
        self._do.get(body, lambda: None)()

    def of(self, group: str) -> list[str]:
        return [body for body in self.noted if body[0] == group]

    def wait_for(self, number: int) -> None:
        """Wait for so many more calls."""
        for _ in range(number):
            assert self.called.acquire(timeout=20), f"there are only {self.noted}"


@pytest.mark.emulator
def test_changes_come_as_lambda_hands_them_over(clients: Clients, stage: str) -> None:
    changes = Recorder()
    put(clients, stage, body={"B": b"\x00\xff"})
    put(clients, stage, body={"S": "text"})
    clients.dynamodb.delete_item(
        TableName=f"kinto-{stage}-objects", Key={"parent": {"S": "p"}, "id": {"S": "i"}}
    )

    assert Pump(stage, changes, {"purge": Recorder()}, clients=clients).pump_until_quiet() == 3

    inserted, modified, removed = json.loads(json.dumps(changes.records))
    keys = {"parent": {"S": "p"}, "id": {"S": "i"}}
    binary, text = {**keys, "body": {"B": "AP8="}}, {**keys, "body": {"S": "text"}}
    assert [record["eventName"] for record in changes.records] == ["INSERT", "MODIFY", "REMOVE"]
    assert inserted.keys() == {
        "eventID",
        "eventName",
        "eventVersion",
        "eventSource",
        "awsRegion",
        "dynamodb",
        "eventSourceARN",
    }
    assert inserted["eventSource"] == "aws:dynamodb"
    assert f":table/kinto-{stage}-objects/stream/" in inserted["eventSourceARN"]
    assert inserted["dynamodb"].keys() == {
        "ApproximateCreationDateTime",
        "Keys",
        "NewImage",
        "SequenceNumber",
        "SizeBytes",
        "StreamViewType",
    }
    assert inserted["dynamodb"]["Keys"] == keys
    assert inserted["dynamodb"]["NewImage"] == binary
    assert (modified["dynamodb"]["OldImage"], modified["dynamodb"]["NewImage"]) == (binary, text)
    assert removed["dynamodb"]["OldImage"] == text
    assert "NewImage" not in removed["dynamodb"]


@pytest.mark.emulator
def test_a_message_comes_once_and_as_lambda_hands_it_over(clients: Clients, stage: str) -> None:
    purge = Recorder()
    pump = Pump(stage, Recorder(), {"purge": purge}, clients=clients)
    send(clients, stage, "first")
    send(clients, stage, "second")

    assert pump.pump_until_quiet() == 2

    assert [len(event["Records"]) for event in purge.events] == [1, 1]
    assert {record["body"] for record in purge.records} == {"first", "second"}
    assert purge.records[0].keys() == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert purge.records[0]["attributes"]["ApproximateReceiveCount"] == "1"
    assert purge.records[0]["eventSourceARN"].endswith(f":kinto-{stage}-purges")
    assert 299_000 < purge.contexts[0].get_remaining_time_in_millis() <= 300_000


@pytest.mark.emulator
def test_a_delayed_message_does_not_come_yet(clients: Clients, stage: str) -> None:
    send(clients, stage, "later", DelaySeconds=900)

    assert Pump(stage, Recorder(), {"purge": Recorder()}, clients=clients).pump_until_quiet() == 0


@pytest.mark.emulator
def test_what_a_handler_queues_comes_as_well(clients: Clients, stage: str) -> None:
    purge = Recorder()
    pump = Pump(
        stage, lambda event, _: send(clients, stage, "found"), {"purge": purge}, clients=clients
    )
    put(clients, stage)

    assert pump.pump_until_quiet() == 2
    assert purge.records[0]["body"] == "found"


@pytest.mark.emulator
def test_a_failed_message_comes_again_until_it_is_a_dead_letter(
    clients: Clients, stage: str
) -> None:
    urls = create_queues(clients.sqs, stage)
    clients.sqs.set_queue_attributes(QueueUrl=urls[PURGES], Attributes={"VisibilityTimeout": "0"})
    purge = Recorder(*[ValueError("no")] * 99)
    pump = Pump(stage, Recorder(), {"purge": purge}, clients=clients)
    send(clients, stage, "poison")

    for _ in range(10):
        with pytest.raises(ValueError, match="no"):
            pump.pump_once()

    assert pump.pump_until_quiet() == 0
    assert len(purge.events) == 10
    [letter] = clients.sqs.receive_message(QueueUrl=urls[DEAD_LETTERS])["Messages"]
    assert letter["Body"] == "poison"


@pytest.mark.emulator
def test_a_failed_message_is_held_back(clients: Clients, stage: str) -> None:
    pump = Pump(stage, Recorder(), {"purge": Recorder(ValueError("no"))}, clients=clients)
    send(clients, stage, "fails once")

    with pytest.raises(ValueError, match="no"):
        pump.pump_once()

    assert pump.pump_until_quiet() == 0


@pytest.mark.emulator
def test_it_pumps_in_the_background(clients: Clients, stage: str) -> None:
    changes, purge = Recorder(), Recorder()

    with Pump(stage, changes, {"purge": purge}, clients=clients).running():
        put(clients, stage)
        send(clients, stage, "text")
        assert changes.called.wait(10)
        assert purge.called.wait(10)


@pytest.mark.emulator
def test_every_queue_is_read_for_its_function(clients: Clients, stage: str) -> None:
    handlers = {function: Recorder() for function in QUEUES}
    pump = Pump(stage, Recorder(), handlers, clients=clients)
    pump.check()
    for function, (queue, _, _) in QUEUES.items():
        order = {"MessageGroupId": "a", "MessageDeduplicationId": "b"}
        send(clients, stage, function, queue=queue, **(order if queue == DELIVERIES else {}))

    assert pump.pump_until_quiet() == 3

    for function, recorder in handlers.items():
        assert [record["body"] for record in recorder.records] == [function]
        [context] = recorder.contexts
        assert context.function_name == f"kinto-serverless-{stage}-{function}"
        timeout_ms = QUEUES[function].timeout_s * 1000
        assert timeout_ms - 1000 < context.get_remaining_time_in_millis() <= timeout_ms


@pytest.mark.emulator
def test_deliveries_come_in_the_order_of_their_group(clients: Clients, stage: str) -> None:
    deliver = Deliveries()
    bodies = [f"{group}{number}" for number in range(6) for group in "abc"]
    send_in_order(clients, stage, *bodies)

    with Pump(stage, Recorder(), {"deliver": deliver}, clients=clients).running():
        deliver.wait_for(len(bodies))

    assert {*deliver.counts} == {"1"}
    for group in "abc":
        assert deliver.of(group) == [f"{group}{number}" for number in range(6)]


@pytest.mark.emulator
def test_a_delivery_that_hangs_holds_up_its_group_alone(clients: Clients, stage: str) -> None:
    may_end = threading.Event()
    deliver, retry, purge = Deliveries(a0=lambda: may_end.wait(30)), Recorder(), Recorder()
    handlers: dict[str, Handler] = {"deliver": deliver, "retry": retry, "purge": purge}
    send_in_order(clients, stage, "a0", "a1", *(f"b{number}" for number in range(10)))

    with Pump(stage, Recorder(), handlers, clients=clients).running():
        deliver.wait_for(11)
        send(clients, stage, "to be purged")
        assert purge.called.wait(20)
        assert deliver.of("a") == ["a0"]
        may_end.set()
        deliver.wait_for(1)

    assert deliver.of("a") == ["a0", "a1"]
    assert deliver.of("b") == [f"b{number}" for number in range(10)]


@pytest.mark.emulator
@pytest.mark.parametrize("function", ["deliver", "retry"])
def test_as_many_messages_are_handled_at_once(clients: Clients, stage: str, function: str) -> None:
    queue, _, at_once = QUEUES[function]
    together = threading.Barrier(at_once)
    met = threading.Semaphore(0)

    def handle(_event: Event, _context: LambdaContext) -> None:
        together.wait(20)
        met.release()

    for number in range(at_once):
        order = {"MessageGroupId": str(number), "MessageDeduplicationId": str(number)}
        send(clients, stage, "text", queue=queue, **(order if queue == DELIVERIES else {}))

    with Pump(stage, Recorder(), {function: handle}, clients=clients).running():
        for _ in range(at_once):
            assert met.acquire(timeout=20)


@pytest.mark.emulator
def test_a_delivery_that_failed_comes_again_before_later_ones(
    clients: Clients,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("infra.pump._FAILURE_PAUSE_S", 0.01)
    url = create_queues(clients.sqs, stage)[DELIVERIES]
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    failures = [ValueError("once"), ValueError("twice")]

    def fail_twice() -> None:
        if failures:
            raise failures.pop(0)
        # The third attempt may take its time.
        clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})

    deliver = Deliveries(a0=fail_twice)
    pump = Pump(stage, Recorder(), {"deliver": deliver}, clients=clients)
    send_in_order(clients, stage, "a0", "a1")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"once|twice"):
            pump.pump_once()
    assert pump.pump_until_quiet() == 2

    assert deliver.noted == ["a0", "a0", "a0", "a1"]
    assert deliver.counts == ["1", "2", "3", "1"]
    assert capsys.readouterr().err == ""


@pytest.mark.emulator
def test_the_end_waits_for_no_more_messages(
    clients: Clients, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = {function: Recorder() for function in QUEUES}

    with Pump(stage, Recorder(), handlers, clients=clients).running():
        pass

    assert not [thread for thread in threading.enumerate() if thread.name in QUEUES]
    assert "cut off" not in capsys.readouterr().err


@pytest.mark.emulator
def test_a_delivery_that_is_cut_off_stays_in_its_queue(
    clients: Clients,
    stage: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, ended = threading.Event(), threading.Event()

    def hang() -> None:
        may_end.wait(30)
        ended.set()
        raise ValueError("nobody hears of it")

    deliver = Deliveries(a0=hang)
    send_in_order(clients, stage, "a0")
    # What is idle ends within its wait for a message.
    monkeypatch.setattr("infra.pump._END_S", 1.5)

    with Pump(stage, Recorder(), {"deliver": deliver}, clients=clients).running():
        deliver.wait_for(1)

    assert capsys.readouterr().err.splitlines() == ["kinto-serverless: deliver was cut off"]
    may_end.set()
    assert ended.wait(20)
    url = create_queues(clients.sqs, stage)[DELIVERIES]
    asked = {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessagesNotVisible"]}
    attributes = clients.sqs.get_queue_attributes(**asked)["Attributes"]
    assert attributes == {"ApproximateNumberOfMessagesNotVisible": "1"}
