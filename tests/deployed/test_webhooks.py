"""Webhooks of the deployed application: every change arrives, whatever receivers and functions do.

Receivers are on loopback, as the emulator is.
"""

import base64
import json
import random
import threading
import uuid
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.deployed.conftest import STAGE, Api, Deployed, eventually
from tests.deployed.receivers import Attempt, Change, Receiver

pytestmark = pytest.mark.emulator

SECRET = "whsec_" + base64.b64encode(b"of the healthy one, and others").decode()
REFERENCE = f"ssm:/kinto/{STAGE}/hook"
COLLECTIONS = 4
WRITERS = 8


@contextmanager
def told(deployed: Deployed, **receivers: Receiver) -> Iterator[None]:
    """Have receivers told of records; at the end, what they were not told yet is forgotten."""
    with ExitStack() as stack:
        for receiver in receivers.values():
            stack.enter_context(receiver.running())
        variables = {"KINTO_EVENT_LISTENERS": " ".join(receivers)}
        for name, receiver in receivers.items():
            prefix = f"KINTO_EVENT_LISTENERS_{name.upper()}"
            variables |= {
                f"{prefix}_USE": "webhook",
                f"{prefix}_URL": receiver.url,
                f"{prefix}_SECRET": REFERENCE,
                f"{prefix}_RESOURCES": "record",
            }
        stack.enter_context(deployed.variables(variables))
        for queue in ("deliveries.fifo", "retries"):
            stack.callback(deployed.sqs.purge_queue, QueueUrl=deployed.queue_url(queue))
        yield


@pytest.fixture(autouse=True)
def _secret(deployed: Deployed) -> None:
    """The secret where the functions' roles let them read it."""
    deployed.parameters.put_parameter(
        Name=REFERENCE.removeprefix("ssm:"), Value=SECRET, Type="SecureString", Overwrite=True
    )


class Writer:
    """Somebody who creates, updates and deletes records of his own, alone and in batches.

    Attributes:
        done: the changes that were answered with success.
    """

    def __init__(self, api: Api, bucket: str, number: int, *, batched: int) -> None:
        self.done: list[Change] = []
        self._api = api
        self._random = random.Random(number)  # noqa: S311 - no secret
        self._batched = batched
        self._records = f"{bucket}/collections/c{number % COLLECTIONS}/records"
        self._there: dict[str, bool] = {str(uuid.uuid4()): False for _ in range(20)}

    def write(self, changes: int) -> None:
        """Make so many changes."""
        while len(self.done) < changes:
            most = min(self._batched, changes - len(self.done))
            number = self._random.choice([1, most])
            requests = [*map(self._request, self._random.sample(sorted(self._there), number))]
            if number == 1:
                (request,) = requests
                answer = self._api(request["method"], request["path"], request.get("body"))
                self._note(request, answer.status, answer.body)
            else:
                answer = self._api("POST", "/batch", {"requests": requests})
                assert answer.status == 200, answer
                for request, response in zip(requests, answer.body["responses"], strict=True):
                    self._note(request, response["status"], response["body"])

    def _request(self, id: str) -> dict[str, Any]:
        method = self._random.choice(["PUT", "PATCH", "DELETE"]) if self._there[id] else "PUT"
        request = {"method": method, "path": f"{self._records}/{id}"}
        body = {"data": {"number": self._random.random()}}
        return request if method == "DELETE" else {**request, "body": body}

    def _note(self, request: dict[str, Any], status: int, body: Any) -> None:
        assert status in (200, 201), (request, status, body)
        id = request["path"].rpartition("/")[2]
        action = "create" if status == 201 else "update"
        action = "delete" if request["method"] == "DELETE" else action
        self._there[id] = action != "delete"
        self.done.append((action, request["path"], body["data"]["last_modified"]))


@contextmanager
def writing(api: Api, changes: int, *, batched: int) -> Iterator[list[Writer]]:
    """Writers at work, as many changes in all; they are done at the end."""
    bucket = f"/buckets/{uuid.uuid4()}"
    assert api("PUT", bucket, {}).status == 201
    for number in range(COLLECTIONS):
        assert api("PUT", f"{bucket}/collections/c{number}", {}).status == 201
    writers = [Writer(api, bucket, number, batched=batched) for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        running = [pool.submit(writer.write, changes // WRITERS) for writer in writers]
        yield writers
        for each in running:
            each.result()


def done_by(writers: Iterable[Writer]) -> list[Change]:
    return [change for writer in writers for change in writer.done]


def times_of(changes: Iterable[Change]) -> dict[str, list[int]]:
    """Of each object the times of its changes, as they came for the first time."""
    times: dict[str, list[int]] = defaultdict(list)
    for _action, uri, time in changes:
        if time not in times[uri]:
            times[uri].append(time)
    return times


def dead_letters(deployed: Deployed, *listeners: str) -> list[Any]:
    """What was given up of the deliveries to these."""
    found = [json.loads(message["Body"]) for message in deployed.messages("dead-letters")]
    return [letter for letter in found if letter.get("listener", listeners[0]) in listeners]


def fails_half_the_time(attempt: Attempt) -> int:
    """A failure for every other attempt, at most twice in a row."""
    is_odd = zlib.crc32(f"{attempt.id} {attempt.number}".encode()) % 2
    return 503 if is_odd and attempt.number <= 2 else 204


def test_every_change_arrives_signed_and_in_order_whatever_receivers_do(
    deployed: Deployed, api: Api
) -> None:
    slow = threading.Event()  # never set: waiting for it takes time

    def answer_slowly(attempt: Attempt) -> int:
        slow.wait(0.02)
        return fails_half_the_time(attempt)

    healthy = Receiver(SECRET, lambda _: 204)
    flaky = Receiver(SECRET, answer_slowly)
    dead = Receiver(SECRET, lambda _: None)
    with told(deployed, healthy=healthy, flaky=flaky, dead=dead):
        with writing(api, 2000, batched=20) as writers:
            assert flaky.wait_for(lambda: len(flaky.posts) > 30, 60)
            flaky.stop()
            since = len(healthy.posts)
            assert healthy.wait_for(lambda: len(healthy.posts) > since + 30, 60)
            flaky.start()
        done = done_by(writers)
        assert len(done) == 2000
        # The dead one holds every connection, and answers none before the other has got it all.
        assert healthy.wait_for(lambda: set(healthy.taken) >= set(done), 120)
        assert dead.posts
        assert all(post.status is None for post in dead.posts)
        assert flaky.wait_for(lambda: set(flaky.taken) >= set(done), 120)

    assert set(healthy.taken) == set(flaky.taken) == set(done)
    assert (healthy.unsigned, flaky.unsigned, dead.unsigned) == (0, 0, 0)
    came = times_of(healthy.taken)
    assert came == {uri: sorted(times) for uri, times in came.items()}
    assert dead_letters(deployed, "healthy", "flaky", "dead") == []


def test_nothing_is_lost_or_invented_where_functions_are_killed(
    deployed: Deployed, api: Api
) -> None:
    receiver = Receiver(SECRET, fails_half_the_time)
    with told(deployed, hook=receiver), redelivered_soon(deployed):
        with writing(api, 200, batched=10) as writers:
            for number, function in enumerate(["Changes", "Deliver", "Retry"] * 2):
                assert receiver.wait_for(lambda: len(receiver.posts) > 4 * number, 60)  # noqa: B023
                deployed.kill(function)
        done = done_by(writers)
        assert receiver.wait_for(lambda: set(receiver.taken) >= set(done), 120)

    assert set(receiver.taken) == set(done)
    assert dead_letters(deployed, "hook") == []


@contextmanager
def redelivered_soon(deployed: Deployed) -> Iterator[None]:
    """Have what a function was killed at come again after two seconds, not three minutes."""
    urls = [deployed.queue_url(name) for name in ("deliveries.fifo", "retries")]
    for url in urls:
        deployed.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    try:
        yield
    finally:
        for url in urls:
            deployed.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "180"})


def test_queues_and_buses_are_told_as_well(deployed: Deployed, api: Api) -> None:
    bucket = f"/buckets/{uuid.uuid4()}"
    variables = {
        "KINTO_EVENT_LISTENERS": "sqs bus",
        "KINTO_EVENT_LISTENERS_BUS_USE": "eventbridge",
    }

    with deployed.variables(variables):
        api("PUT", bucket, {"data": {"title": "One"}})
        (queued,) = eventually(lambda: deployed.messages("events"))
        event = json.loads(queued["Body"])
        eventually(lambda: deployed.logged(f"{event['event_id']} to bus: delivered"))

    assert (event["action"], event["uri"]) == ("create", bucket)
    assert event["impacted_records"][0]["new"]["title"] == "One"
