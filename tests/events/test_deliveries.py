"""Deliveries and their retries: `chalicelib/events/deliveries.py`."""

import heapq
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.events.deliveries import (
    FIRST_DELAY_S,
    LANES,
    LONGEST_DELAY_S,
    MAX_AGE_S,
    MAX_EVENT_BYTES,
    MAX_STARTS,
    SLOW_S,
    SPARED_TIMES,
    Deliver,
    Delivery,
    DeliveryError,
    Receiver,
    delivery_of,
)
from chalicelib.events.queues import MAX_BATCH_BYTES, MAX_DELAY_S, InGroup, Queue, Queues, to_text
from chalicelib.protocol.events import CREATE, READ, Event, Impact, Operation
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.uris import ObjectUri
from chalicelib.settings import SettingsError
from infra.queues import RETRIES, queue_resources
from tests.doubles import START_MS, SetClock, heard_by

DAY_MS = MAX_AGE_S * 1000
URL = "https://hooks.example/services/T000/path-that-is-a-secret"


def event_about(
    number: int = 1, *, collection: str = "posts", action: str = CREATE, **fields: Any
) -> Event:
    """The event of one record that was written."""
    uri = ObjectUri(RECORD, ("blog", collection, f"post-{number}"))
    data = {"id": uri.id, "last_modified": START_MS + number, **fields}
    record = data if action == READ else {"new": data}
    impacts = (Impact(uri, START_MS + number, record),)
    return Event.of([Operation(action, uri, START_MS, "basicauth:alice", "request", impacts)])


class FakeQueues(Queues):
    """Keeps what is sent as a queue would, as text; fails where it is told to."""

    def __init__(self) -> None:
        self.sent: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        self.failure: Exception | None = None

    def send(self, queue: Queue | str, messages: Any, *, delay_s: int = 0) -> None:
        if self.failure:
            raise self.failure
        self.sent[queue] += [(json.loads(to_text(message)), delay_s) for message in messages]

    def take(self, queue: Queue) -> tuple[Any, int]:
        """The only message of this queue, and its delay."""
        [taken] = self.sent.pop(queue)
        return taken

    def retried(self) -> Delivery:
        """The only delivery that is to be tried again."""
        return Delivery.from_message(self.take(Queue.RETRIES)[0])


@dataclass
class Chance:
    """Chance that is set: between the least (0.0) and the most (1.0) that may be."""

    share: float = 0.5

    def __call__(self, least: float, most: float) -> float:
        return least + self.share * (most - least)


@dataclass
class Hook:
    """A receiver that keeps what it was told, takes its time, and fails where it is told to."""

    clock: SetClock
    failure: BaseException | None = None
    takes_ms: int = 0
    told: list[Event] = field(default_factory=list)

    def hangs(self) -> None:
        self.failure = DeliveryError("takes longer than 10 s")
        self.takes_ms = HUNG_S * 1000

    def answers(self) -> None:
        self.failure, self.takes_ms = None, 0

    def __call__(self, event: Event) -> None:
        self.told.append(event)
        self.clock.now_ms += self.takes_ms
        if self.failure:
            raise self.failure


@dataclass
class Bench:
    """A container of the function, and what is around it."""

    clock: SetClock = field(default_factory=SetClock)
    chance: Chance = field(default_factory=Chance)
    queues: FakeQueues = field(default_factory=FakeQueues)
    hooks: dict[str, Hook] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hooks |= {name: Hook(self.clock) for name in ("hook", "other")}
        self.start_anew()

    def start_anew(self) -> None:
        self.function = Deliver(self.hooks.get, self.queues, now_ms=self.clock, between=self.chance)

    @property
    def hook(self) -> Hook:
        return self.hooks["hook"]

    def handle(
        self, delivery: Delivery | None = None, *, starts: int = 1, spares: bool = False
    ) -> None:
        """Hand over a delivery, by default the first one of an event to the hook."""
        message = to_text((delivery or FIRST).to_message())
        self.function.handle(message, starts, spares=spares)


FIRST = delivery_of("hook", event_about())
HUNG_S = 10
SPARED_S = SPARED_TIMES * HUNG_S


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is logged, with traces."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {self.format(record)}")

    with heard_by(Kept(), logging.INFO):
        yield lines


# Messages


def test_a_delivery_survives_its_message() -> None:
    failed = replace(FIRST, attempts=3, failing_since_ms=1, not_before_ms=2, error="answered 500")

    for delivery in (FIRST, failed, replace(failed, attempts=0, error=None)):
        assert Delivery.from_message(json.loads(to_text(delivery.to_message()))) == delivery


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_records_of_any_json_survive_their_message(value: Any) -> None:
    delivery = delivery_of("hook", event_about(value=value))

    assert Delivery.from_message(json.loads(to_text(delivery.to_message()))) == delivery


def test_a_first_message_holds_the_listener_and_the_event_alone() -> None:
    assert FIRST.to_message() == {"listener": "hook", "event": event_about().to_json()}


def test_deliveries_of_one_list_to_one_listener_are_in_one_group() -> None:
    first, second = (delivery_of("hook", event_about(number)).in_order() for number in (1, 2))
    others = delivery_of("other", event_about(1)).in_order()

    assert first.group == second.group != others.group
    assert len({first.id, second.id, others.id}) == 3
    assert first == InGroup(FIRST.to_message(), first.group, FIRST.in_order().id)


def test_lists_share_the_groups_of_a_listener() -> None:
    groups = Counter(
        delivery_of("hook", event_about(collection=f"c-{number}")).in_order().group
        for number in range(20 * LANES)
    )

    assert len(groups) == LANES
    assert max(groups.values()) < 60  # of 20 on average


def test_a_large_event_is_truncated_and_a_smaller_one_is_whole() -> None:
    room = MAX_EVENT_BYTES - len(to_text(event_about(text="").to_json()))
    largest, larger = (event_about(text="x" * (room + more)) for more in (0, 1))

    assert delivery_of("hook", largest).event == largest
    truncated = delivery_of("hook", larger).event
    assert truncated.payload == {**larger.payload, "truncated": True}
    assert truncated.impacted_records == ({"id": "post-1", "last_modified": START_MS + 1},)
    assert truncated.id == larger.id


def test_bytes_count_not_characters() -> None:
    delivery = delivery_of("hook", event_about(text="é" * (MAX_EVENT_BYTES // 6)))

    assert delivery.event.payload["truncated"]


def test_the_longest_failed_delivery_is_one_that_a_queue_takes(bench: Bench) -> None:
    room = MAX_EVENT_BYTES - len(to_text(event_about(text="").to_json()))
    bench.hook.failure = DeliveryError("😀" * 5000)

    bench.handle(delivery_of("hook", event_about(text="x" * room)))

    assert len(to_text(bench.queues.take(Queue.RETRIES)[0])) <= MAX_BATCH_BYTES


# Success


@pytest.mark.parametrize("action", [CREATE, READ])
def test_a_listener_is_told_of_the_event(bench: Bench, action: str) -> None:
    event = event_about(action=action)

    bench.handle(delivery_of("hook", event))

    assert bench.hook.told == [event]
    assert bench.hooks["other"].told == []
    assert bench.queues.sent == {}


def test_what_a_listener_answers_does_not_matter(bench: Bench) -> None:
    bench.hooks["hook"] = lambda _event: False  # type: ignore[assignment]  # of a plugin

    bench.handle()

    assert bench.queues.sent == {}


def test_a_success_is_logged_with_its_time_and_attempt(bench: Bench, logged: list[str]) -> None:
    bench.handle()
    bench.handle(replace(FIRST, attempts=3, failing_since_ms=START_MS))

    first, second = logged
    told = rf"INFO delivery of {FIRST.event.id} to hook: delivered, attempt "
    assert first.startswith(f"{told}1 (")
    assert second.startswith(f"{told}4 (")
    assert first.endswith(" ms)")


# Failures


@pytest.mark.parametrize("failure", [DeliveryError("answered 500", status=500), ValueError("x")])
def test_a_failed_delivery_is_to_be_tried_again(bench: Bench, failure: Exception) -> None:
    bench.hook.failure = failure

    bench.handle()

    retried = bench.queues.retried()
    assert retried == Delivery(
        "hook",
        FIRST.event,
        attempts=1,
        failing_since_ms=START_MS,
        not_before_ms=START_MS + 1500,  # 2 s, less a quarter
        error="answered 500" if isinstance(failure, DeliveryError) else "ValueError",
    )
    assert bench.queues.sent == {}


def test_a_queue_keeps_a_delivery_back_until_it_is_time(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 500")

    bench.handle()

    _, delay_s = bench.queues.take(Queue.RETRIES)
    assert delay_s == 2  # 1.5 s, rounded up: it comes no sooner


def test_a_failed_delivery_keeps_the_time_of_its_first_failure(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 503")
    since_ms = START_MS - 10_000

    bench.handle(replace(FIRST, attempts=2, failing_since_ms=since_ms, error="answered 500"))

    retried = bench.queues.retried()
    assert (retried.attempts, retried.failing_since_ms) == (3, since_ms)
    assert retried.error == "answered 503"


def test_a_delivery_is_not_tried_before_its_time(bench: Bench) -> None:
    early = replace(
        FIRST, attempts=1, failing_since_ms=START_MS - 1, not_before_ms=START_MS + 1, error="x"
    )

    bench.handle(early)

    message, delay_s = bench.queues.take(Queue.RETRIES)
    assert bench.hook.told == []
    assert (Delivery.from_message(message), delay_s) == (early, 1)
    bench.clock.now_ms = early.not_before_ms
    bench.handle(early)
    assert len(bench.hook.told) == 1


@dataclass
class Run:
    """What becomes of a delivery that always fails.

    Attributes:
        attempts: when each was made.
        delays: how long each but the last was to wait for the next.
        letter: the dead letter.
    """

    attempts: list[int]
    delays: list[int]
    letter: Any


def run_of_failures(
    bench: Bench, late_ms: Callable[[], int], retry_after_s: Callable[[], float | None]
) -> Run:
    """Hand a delivery over whenever it is received, until it is a dead letter."""
    with heard_by(logging.NullHandler(), logging.CRITICAL + 1):
        return _run_of_failures(bench, late_ms, retry_after_s)


def _run_of_failures(
    bench: Bench, late_ms: Callable[[], int], retry_after_s: Callable[[], float | None]
) -> Run:
    run = Run([], [], None)
    delivery = FIRST
    for _ in range(2000):
        told = len(bench.hook.told)
        bench.hook.failure = DeliveryError("answered 429", retry_after_s=retry_after_s())
        bench.handle(delivery)
        is_attempt = len(bench.hook.told) > told
        run.attempts += [bench.clock.now_ms] * is_attempt
        if Queue.DEAD_LETTERS in bench.queues.sent:
            run.letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
            assert bench.queues.sent == {}
            return run
        message, delay_s = bench.queues.take(Queue.RETRIES)
        delivery = Delivery.from_message(message)
        assert 0 <= delay_s <= MAX_DELAY_S
        run.delays += [delivery.not_before_ms - bench.clock.now_ms] * is_attempt
        assert delay_s * 1000 <= max(0, delivery.not_before_ms - bench.clock.now_ms) + 999
        bench.clock.now_ms += delay_s * 1000 + late_ms()
    raise AssertionError("it goes on forever")


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=5)
LATE = st.lists(st.integers(0, 200_000), min_size=1, max_size=5)


def in_turn(values: list[Any]) -> Callable[[], Any]:
    numbers = count()
    return lambda: values[next(numbers) % len(values)]


@given(SHARES, LATE)
@example([0.0], [0])
@example([1.0], [0])
def test_delays_grow_at_random_and_end_after_a_day(shares: list[float], late: list[int]) -> None:
    bench = Bench()
    share = in_turn(shares)
    between = bench.chance
    bench.function._between = lambda least, most: Chance(share())(least, most)

    run = run_of_failures(bench, in_turn(late), lambda: None)

    assert between.share == 0.5
    end_ms = START_MS + DAY_MS
    for number, (at_ms, delay_ms) in enumerate(zip(run.attempts, run.delays, strict=False)):
        most_ms = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**number) * 1000
        assert at_ms < end_ms
        assert at_ms + delay_ms <= end_ms
        assert most_ms / 2 - 1 <= delay_ms <= most_ms + 1 or at_ms + delay_ms == end_ms
    assert run.attempts[-1] >= end_ms
    assert run.attempts[-1] <= end_ms + max(late) + 999
    assert run.letter["attempts"] == len(run.attempts)
    assert len(run.attempts) > 24


def test_a_day_of_failures_has_about_forty_attempts(bench: Bench) -> None:
    run = run_of_failures(bench, lambda: 0, lambda: None)

    seconds = [round((at_ms - START_MS) / 1000) for at_ms in run.attempts]
    assert seconds[:6] == [0, 2, 5, 11, 23, 47]
    assert seconds[-1] == MAX_AGE_S
    assert 35 <= len(seconds) <= 45


@given(
    st.lists(
        st.none() | st.floats(0, 2 * MAX_AGE_S) | st.floats(0, 999_999_999),
        min_size=1,
        max_size=4,
    ),
    LATE,
)
@example([999_999_999.0], [0])
@example([7200.0], [0])
def test_a_time_to_wait_is_honoured_within_the_day(
    waits: list[float | None], late: list[int]
) -> None:
    bench = Bench()
    asked: list[float | None] = []
    wait = in_turn(waits)

    def asked_wait() -> float | None:
        asked.append(wait())
        return asked[-1]

    run = run_of_failures(bench, in_turn(late), asked_wait)

    # What was asked at a call that made no attempt was never answered.
    assert run.attempts[0] == START_MS
    for at_ms, delay_ms in zip(run.attempts, run.delays, strict=False):
        assert 0 <= delay_ms <= START_MS + DAY_MS - at_ms
    if len(set(waits)) == 1 and waits[0] is not None:
        least_ms = waits[0] * 1000
        gaps = zip(run.attempts, run.attempts[1:-1], strict=False)
        assert all(later - earlier >= least_ms - 1 for earlier, later in gaps)
    assert START_MS + DAY_MS <= run.attempts[-1] <= START_MS + DAY_MS + max(late) + 999


def test_a_long_time_to_wait_takes_no_attempts(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 503", retry_after_s=2 * 60 * 60)
    bench.handle()
    bench.hook.failure = None
    delays: list[int] = []

    while len(bench.hook.told) == 1 and len(delays) < 100:
        message, delay_s = bench.queues.take(Queue.RETRIES)
        delivery = Delivery.from_message(message)
        assert delivery.attempts == 1
        delays.append(delay_s)
        bench.clock.now_ms += delay_s * 1000
        bench.handle(delivery)

    assert delays == [MAX_DELAY_S] * 8
    assert bench.queues.sent == {}


def test_a_short_time_to_wait_makes_no_delay_shorter(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 503", retry_after_s=0.0)

    bench.handle(replace(FIRST, attempts=8, failing_since_ms=START_MS))

    assert bench.queues.retried().not_before_ms == START_MS + 384_000  # 512 s, less a quarter


def test_failures_are_logged_with_their_time(bench: Bench, logged: list[str]) -> None:
    bench.hook.failure = DeliveryError("answered 500")

    bench.handle()
    bench.clock.now_ms += DAY_MS
    bench.handle(bench.queues.retried())

    told = f"ERROR delivery of {FIRST.event.id} to hook: "
    assert [line.rpartition(" (")[0] for line in logged] == [
        f"{told}attempt 1 failed: answered 500",
        f"{told}given up: answered 500",
    ]
    assert all(line.endswith(" ms)") for line in logged)


# Dead letters


def test_the_last_failure_ends_in_a_dead_letter_that_tells_all(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 500")
    since_ms = START_MS - DAY_MS

    bench.handle(replace(FIRST, attempts=30, failing_since_ms=since_ms, error="before"))

    letter, delay_s = bench.queues.take(Queue.DEAD_LETTERS)
    assert bench.queues.sent == {}
    assert letter == {
        "listener": "hook",
        "event": FIRST.event.to_json(),
        "attempts": 31,
        "failing_since_ms": since_ms,
        "not_before_ms": START_MS,
        "error": "answered 500",
    }
    assert delay_s == 0


def test_a_dead_letter_can_be_delivered_again(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 410", is_final=True)
    bench.handle()
    letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
    bench.hook.failure = None

    bench.clock.now_ms += 2000
    bench.function.handle(to_text(letter), 1)

    assert bench.hook.told == [FIRST.event] * 2
    assert bench.queues.sent == {}


def test_what_a_listener_never_wants_is_not_tried_again(bench: Bench) -> None:
    bench.hook.failure = DeliveryError("answered 410", status=410, is_final=True)

    bench.handle()

    letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
    assert (letter["attempts"], letter["error"]) == (1, "answered 410")
    assert bench.queues.sent == {}


def test_a_listener_that_is_not_known_yet_is_told_later(bench: Bench) -> None:
    bench.handle(replace(FIRST, listener="gone"))

    letter, _ = bench.queues.take(Queue.RETRIES)
    assert (letter["listener"], letter["error"]) == ("gone", "no listener has this name")
    assert letter["event"] == FIRST.event.to_json()


def test_what_another_version_has_written_beside_is_passed_over(bench: Bench) -> None:
    bench.function.handle(to_text({**FIRST.to_message(), "of another version": 1}), 1)

    assert bench.hook.told == [FIRST.event]


MESSAGE = FIRST.to_message()
NO_DELIVERIES = [
    "",
    "{",
    "null",
    "[]",
    '"hook"',
    "{}",
    '{"listener": "hook"}',
    '{"listener": "hook", "event": {}}',
    '{"listener": "hook", "event": {"event_id": "evt_1", "action": "create"}}',
    '{"listener": "hook", "event": [1]}',
    "[" * 100_000,
    to_text({**MESSAGE, "listener": ["hook"]}),
    to_text({**MESSAGE, "listener": None}),
    to_text({**MESSAGE, "attempts": "1", "failing_since_ms": 1}),
    to_text({**MESSAGE, "attempts": None}),
    to_text({**MESSAGE, "failing_since_ms": "now"}),
    to_text({**MESSAGE, "not_before_ms": [1]}),
    to_text({"event_id": "evt_1", "action": "create", "impacted_records": []}),
]


@pytest.mark.parametrize("starts", [1, MAX_STARTS + 1])
@pytest.mark.parametrize("message", NO_DELIVERIES, ids=lambda message: message[:60])
def test_what_is_no_delivery_is_a_dead_letter(bench: Bench, message: str, starts: int) -> None:
    bench.function.handle(message, starts)

    assert bench.queues.take(Queue.DEAD_LETTERS) == ({"unreadable": message}, 0)
    assert bench.hook.told == []
    assert bench.queues.sent == {}


@given(
    st.dictionaries(
        st.sampled_from(
            ["listener", "event", "attempts", "failing_since_ms", "not_before_ms", "error"]
        ),
        st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.just({}),
        max_size=2,
    ),
    st.integers(1, MAX_STARTS + 1),
)
def test_nothing_in_a_message_blocks_its_queue(wrong: dict[str, Any], starts: int) -> None:
    bench = Bench()

    bench.function.handle(to_text({**MESSAGE, **wrong}), starts)

    outcomes = len(bench.hook.told) + sum(map(len, bench.queues.sent.values()))
    assert outcomes == 1


@pytest.mark.parametrize("character", ['"', "\x7f", "é", "😀", "x"])
def test_an_unreadable_message_of_any_size_is_one_that_a_queue_takes(
    bench: Bench, character: str
) -> None:
    longest = character * (1_048_576 // len(character.encode()))

    bench.function.handle(longest, 1)

    letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
    assert len(to_text(letter)) <= MAX_BATCH_BYTES
    assert letter["truncated"] is True
    assert letter["unreadable"] == longest[: len(letter["unreadable"])]
    assert len(letter["unreadable"]) > 60_000


# Functions that are killed


@pytest.mark.parametrize("starts", range(1, MAX_STARTS + 1))
def test_a_delivery_that_was_received_before_is_tried(bench: Bench, starts: int) -> None:
    bench.handle(starts=starts)

    assert bench.hook.told == [FIRST.event]


def test_what_a_function_is_killed_at_is_not_begun_forever(bench: Bench) -> None:
    bench.handle(starts=MAX_STARTS + 1)

    assert bench.hook.told == []
    retried = bench.queues.retried()
    assert retried.attempts == 1
    assert retried.error == "the function did not get to the end"
    assert retried.not_before_ms > START_MS


def test_what_a_function_is_always_killed_at_ends_after_a_day(bench: Bench) -> None:
    delivery = FIRST
    attempts = 0
    while Queue.DEAD_LETTERS not in bench.queues.sent and attempts < 100:
        bench.clock.now_ms = max(bench.clock.now_ms, delivery.not_before_ms)
        bench.handle(delivery, starts=MAX_STARTS + 1)
        attempts += 1
        if Queue.RETRIES in bench.queues.sent:
            delivery = bench.queues.retried()

    assert bench.clock.now_ms == START_MS + DAY_MS
    assert bench.queues.take(Queue.DEAD_LETTERS)[0]["attempts"] == attempts
    assert bench.hook.told == []


# Endpoints that hang


def test_retries_spare_an_endpoint_that_hung_for_a_while(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle(spares=True)
    assert bench.queues.retried().attempts == 1
    bench.hook.answers()
    second = delivery_of("hook", event_about(2))

    bench.clock.now_ms += SPARED_S * 1000 - 1
    bench.handle(second, spares=True)

    put_off, delay_s = bench.queues.take(Queue.RETRIES)
    assert len(bench.hook.told) == 1
    assert (put_off["attempts"], put_off["event"]) == (1, second.event.to_json())
    assert put_off["error"] == "spared, as it kept others waiting"
    assert FIRST_DELAY_S / 2 <= delay_s <= FIRST_DELAY_S
    bench.clock.now_ms += 1
    bench.handle(second, spares=True)
    assert bench.hook.told == [FIRST.event, second.event]


def test_first_attempts_spare_nobody(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle()

    bench.handle(delivery_of("hook", event_about(2)))

    assert len(bench.hook.told) == 2


def test_what_is_spared_waits_longer_each_time_and_ends_with_its_day(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle(spares=True)
    delivery = bench.queues.retried()
    delays = []
    while bench.clock.now_ms < (delivery.failing_since_ms or 0) + DAY_MS:
        delays.append(delivery.not_before_ms - bench.clock.now_ms)
        bench.clock.now_ms = delivery.not_before_ms
        bench.handle(delivery_of("hook", event_about(2)))  # one hangs, so the others are spared
        bench.queues.sent.clear()
        bench.handle(delivery, spares=True)
        if Queue.DEAD_LETTERS in bench.queues.sent:
            break
        delivery = bench.queues.retried()

    letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
    assert letter["event"] == FIRST.event.to_json()
    assert bench.hook.told.count(FIRST.event) == 1
    assert len(delays) < 60
    assert sorted(delays[:10]) == delays[:10]


def test_an_endpoint_that_takes_an_event_is_spared_no_more(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle(spares=True)
    bench.hook.answers()
    bench.handle(delivery_of("hook", event_about(2)))

    bench.handle(delivery_of("hook", event_about(3)), spares=True)

    assert len(bench.hook.told) == 3


def test_others_are_told_while_an_endpoint_is_spared(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle(spares=True)

    bench.handle(replace(FIRST, listener="other"), spares=True)

    assert bench.hooks["other"].told == [FIRST.event]


def test_another_container_tries_for_itself(bench: Bench) -> None:
    bench.hook.hangs()
    bench.handle(spares=True)

    bench.start_anew()
    bench.handle(spares=True)

    assert len(bench.hook.told) == 2


@pytest.mark.parametrize("takes_ms", [0, round(SLOW_S * 1000)])
def test_an_endpoint_that_refuses_soon_is_not_spared(bench: Bench, takes_ms: int) -> None:
    bench.hook.failure = DeliveryError("answered 500")
    bench.hook.takes_ms = takes_ms
    bench.handle(spares=True)

    bench.handle(delivery_of("hook", event_about(2)), spares=True)

    assert len(bench.hook.told) == 2


def test_an_endpoint_that_is_slow_but_takes_events_is_not_spared(bench: Bench) -> None:
    bench.hook.takes_ms = 9000

    bench.handle(spares=True)
    bench.handle(delivery_of("hook", event_about(2)), spares=True)

    assert len(bench.hook.told) == 2
    assert bench.queues.sent == {}


# Queues out of reach


@pytest.mark.parametrize(
    "failure",
    [
        DeliveryError("answered 500"),
        DeliveryError("answered 410", is_final=True),
        ValueError("a mistake"),
    ],
)
def test_a_queue_out_of_reach_makes_the_message_come_again(
    bench: Bench, failure: Exception
) -> None:
    bench.hook.failure = failure
    bench.queues.failure = ConnectionError("no queue")

    with pytest.raises(ConnectionError, match="no queue"):
        bench.handle()


@pytest.mark.parametrize("message", ["{", to_text({**MESSAGE, "not_before_ms": START_MS + 1})])
def test_what_can_not_be_put_elsewhere_comes_again(bench: Bench, message: str) -> None:
    bench.queues.failure = ConnectionError("no queue")

    with pytest.raises(ConnectionError, match="no queue"):
        bench.function.handle(message, 1)


# Secrets


def test_neither_log_nor_letters_hold_what_exceptions_of_settings_quote(
    bench: Bench, logged: list[str]
) -> None:
    def receiver_of(_name: str) -> Receiver:
        try:
            raise ValueError(f"no such host: {URL}")
        except ValueError as error:
            raise SettingsError("KINTO_EVENT_LISTENERS_HOOK_USE makes no listener") from error

    bench.function = Deliver(receiver_of, bench.queues, now_ms=bench.clock)

    bench.handle()
    bench.clock.now_ms += DAY_MS
    bench.handle(bench.queues.retried())

    letter, _ = bench.queues.take(Queue.DEAD_LETTERS)
    assert letter["error"] == "KINTO_EVENT_LISTENERS_HOOK_USE makes no listener"
    assert URL not in "\n".join([to_text(letter), *logged])
    assert len(logged) == 2


def test_a_mistake_in_a_listener_is_logged_with_its_trace_and_buried_without_its_text(
    bench: Bench, logged: list[str]
) -> None:
    bench.hook.failure = ValueError("of the listener")

    bench.handle()

    assert bench.queues.retried().error == "ValueError"
    trace, outcome = logged
    assert trace.startswith("ERROR the listener hook failed\nTraceback")
    assert "attempt 1 failed: ValueError" in outcome


def test_nothing_of_an_event_but_its_id_is_logged(bench: Bench, logged: list[str]) -> None:
    delivery = delivery_of("hook", event_about(secret="of the record"))
    for failure in (None, DeliveryError("answered 500"), DeliveryError("gone", is_final=True)):
        bench.hook.failure = failure
        bench.handle(delivery)
    bench.function.handle(to_text({**delivery.to_message(), "attempts": "of the record"}), 1)

    assert len(logged) == 4
    assert "of the record" not in "\n".join(logged)


# At least once


class Fate(Enum):
    """What becomes of one attempt."""

    TAKEN = auto()
    REFUSED = auto()
    HANGS = auto()
    GONE = auto()
    BREAKS = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


class Loss(Enum):
    """What becomes of one call of a queue."""

    NONE = auto()
    UNREACHED = auto()
    ANSWER_LOST = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


class Killed(BaseException):
    """The function is ended."""


@dataclass(order=True)
class Message:
    """A message of the model of SQS."""

    visible_ms: int
    number: int
    queue: Queue = field(compare=False)
    body: str = field(compare=False)
    event_id: str = field(compare=False)
    starts: int = field(default=0, compare=False)


MAX_RECEIVES = queue_resources("test")[RETRIES]["RedrivePolicy"]["maxReceiveCount"]
VISIBILITY_MS = queue_resources("test")[RETRIES]["VisibilityTimeout"] * 1000


class ModelOfSqs(Queues):
    """Queues whose messages come again unless they are deleted, at most so often."""

    def __init__(self, clock: SetClock, losses: Iterator[Loss]) -> None:
        self._clock = clock
        self._losses = losses
        self._numbers = count()
        self.waiting: list[Message] = []
        self.letters: dict[str, str] = {}

    def send(self, queue: Queue | str, messages: Any, *, delay_s: int = 0) -> None:
        loss = next(self._losses)
        if loss is Loss.UNREACHED:
            raise ConnectionError
        if loss is Loss.KILLED_BEFORE:
            raise Killed
        for message in messages:
            self.put(Queue(queue), to_text(message), delay_s)
        if loss is Loss.ANSWER_LOST:
            raise ConnectionError
        if loss is Loss.KILLED_AFTER:
            raise Killed

    def put(self, queue: Queue, body: str, delay_s: int = 0) -> None:
        id = json.loads(body)["event"]["event_id"]
        if queue is Queue.DEAD_LETTERS:
            self.letters[id] = body
        else:
            at_ms = self._clock.now_ms + delay_s * 1000
            heapq.heappush(self.waiting, Message(at_ms, next(self._numbers), queue, body, id))

    def receive(self) -> Message:
        """The next message, when its time has come."""
        message = heapq.heappop(self.waiting)
        self._clock.now_ms = max(self._clock.now_ms, message.visible_ms)
        message.starts += 1
        return message

    def give_back(self, message: Message) -> None:
        """What wasn't deleted comes again, or is a dead letter."""
        if message.queue is Queue.RETRIES and message.starts >= MAX_RECEIVES:
            self.letters[message.event_id] = message.body
            return
        message.visible_ms = self._clock.now_ms + VISIBILITY_MS
        heapq.heappush(self.waiting, message)


FAILURES = {
    Fate.REFUSED: DeliveryError("answered 500", status=500),
    Fate.HANGS: DeliveryError("takes longer than 10 s"),
    Fate.GONE: DeliveryError("answered 410", is_final=True),
    Fate.BREAKS: ValueError("a mistake"),
    Fate.KILLED_BEFORE: Killed(),
    Fate.KILLED_AFTER: Killed(),
}


def then(values: list[Any], last: Any) -> Iterator[Any]:
    yield from values
    while True:
        yield last


class Receivers:
    """One receiver, whose attempts have fates."""

    def __init__(self, clock: SetClock, fates: Iterator[Fate]) -> None:
        self._clock = clock
        self._fates = fates
        self.taken: set[str] = set()

    def __call__(self, event: Event) -> None:
        fate = next(self._fates)
        if fate in (Fate.TAKEN, Fate.KILLED_AFTER):
            self.taken.add(event.id)
        if fate is Fate.HANGS:
            self._clock.now_ms += HUNG_S * 1000
        if fate is not Fate.TAKEN:
            raise FAILURES[fate]


def work_off(sqs: ModelOfSqs, container: Callable[[], Deliver]) -> Iterator[None]:
    """Handle messages until there are none; a killed container is replaced."""
    function = container()
    for _ in range(50_000):
        if not sqs.waiting:
            return
        message = sqs.receive()
        try:
            spares = message.queue is Queue.RETRIES
            function.handle(message.body, message.starts, spares=spares)
        except Killed:
            function = container()
            sqs.give_back(message)
        except ConnectionError:
            sqs.give_back(message)
        yield
    raise AssertionError("it goes on forever")


@settings(max_examples=60)
@given(
    fates=st.lists(st.sampled_from(Fate), max_size=30),
    last=st.sampled_from(Fate),
    losses=st.lists(st.sampled_from(Loss), max_size=8),
    share=st.floats(0, 1),
    number=st.integers(1, 3),
)
@example([], Fate.KILLED_BEFORE, [], 0.0, 1)
@example([], Fate.HANGS, [], 0.0, 3)
@example([], Fate.REFUSED, [Loss.ANSWER_LOST] * 3, 1.0, 1)
@example([], Fate.REFUSED, [Loss.KILLED_BEFORE] * 20, 1.0, 1)
def test_every_delivery_ends_delivered_or_as_a_dead_letter_that_can_be_replayed(
    fates: list[Fate], last: Fate, losses: list[Loss], share: float, number: int
) -> None:
    clock = SetClock()
    sqs = ModelOfSqs(clock, then(losses, Loss.NONE))
    receiver = Receivers(clock, then(fates, last))
    events = [event_about(each) for each in range(number)]
    for event in events:
        sqs.put(Queue.DELIVERIES, to_text(delivery_of("hook", event).to_message()))

    def container() -> Deliver:
        return Deliver(lambda _name: receiver, sqs, now_ms=clock, between=Chance(share))

    with heard_by(logging.NullHandler(), logging.CRITICAL + 1):
        for _ in work_off(sqs, container):
            held = receiver.taken | {each.event_id for each in sqs.waiting} | {*sqs.letters}
            assert held == {event.id for event in events}  # nothing is lost in between

    letters = [Delivery.from_message(json.loads(body)) for body in sqs.letters.values()]
    assert {letter.listener for letter in letters} <= {"hook"}
    replayed = receiver.taken | {
        event.id for event in events if event in [it.event for it in letters]
    }
    assert replayed == {event.id for event in events}
