"""Times of writes: `chalicelib/protocol/timestamps.py`."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.timestamps import MAX_HONOURED, MAX_TIMESTAMP, Tick, honoured, tick

TIMES = st.integers(0, MAX_TIMESTAMP)
STORED = StoredObject.of("one", 100, {})
DELETED = Tombstone("one", 100)


@pytest.mark.parametrize(
    ("timestamp", "now_ms", "given_ms", "expected"),
    [
        (100, 200, None, Tick(200, 200)),
        (100, 101, None, Tick(101, 101)),
        (100, 100, None, Tick(101, 101)),  # in the same millisecond
        (100, 50, None, Tick(101, 101)),  # the clock went back
        (100, 200, 300, Tick(300, 300)),
        (100, 200, 150, Tick(150, 150)),
        (100, 50, 101, Tick(101, 101)),
        (100, 50, 100, Tick(100, 101)),
        (100, 50, 30, Tick(30, 101)),
        (100, 50, 0, Tick(0, 101)),
        (100, 200, 30, Tick(30, 200)),
        (100, 200, 100, Tick(100, 200)),
    ],
)
def test_a_write_has_its_time_and_moves_the_list_on(
    timestamp: int, now_ms: int, given_ms: int | None, expected: Tick
) -> None:
    assert tick(timestamp, now_ms=now_ms, given=given_ms) == expected


def test_writes_count_on_from_a_timestamp_in_the_future() -> None:
    future = tick(100, now_ms=200, given=9_000)
    after = tick(future.timestamp, now_ms=201, given=None)
    last = tick(after.timestamp, now_ms=202, given=None)

    assert [future.timestamp, after.timestamp, last.timestamp] == [9_000, 9_001, 9_002]


@given(TIMES, TIMES, st.none() | TIMES)
def test_a_list_moves_on_with_every_write(timestamp: int, now_ms: int, asked: int | None) -> None:
    times = tick(timestamp, now_ms=now_ms, given=asked)

    assert times.timestamp > timestamp
    assert times.timestamp >= times.last_modified
    assert times.last_modified == (times.timestamp if asked is None else asked)


@given(TIMES, st.lists(st.tuples(TIMES, st.none() | TIMES)))
def test_the_timestamps_of_a_list_increase_strictly(
    timestamp: int, writes: list[tuple[int, int | None]]
) -> None:
    timestamps = [timestamp]
    for now_ms, asked in writes:
        timestamps.append(tick(timestamps[-1], now_ms=now_ms, given=asked).timestamp)

    assert timestamps == sorted(set(timestamps))


@pytest.mark.parametrize(
    ("asked", "existing", "expected"),
    [
        (None, None, None),
        (None, STORED, None),
        (None, DELETED, None),
        (1, None, 1),  # created: always, also in the past
        (0, None, 0),
        (10**12, None, 10**12),
        (99, DELETED, None),  # put on a deleted id: if greater than the tombstone's
        (100, DELETED, None),
        (101, DELETED, 101),
        (0, STORED, None),  # replaced, merged or deleted: if greater than the record's
        (99, STORED, None),
        (100, STORED, None),
        (101, STORED, 101),
    ],
)
def test_a_clients_timestamp_is_honoured_where_it_is_later(
    asked: int | None, existing: StoredObject | Tombstone | None, expected: int | None
) -> None:
    assert honoured(asked, existing) == expected


def test_a_list_can_move_on_from_the_greatest_timestamp_of_a_client() -> None:
    times = tick(MAX_HONOURED, now_ms=0, given=None)

    greatest = datetime.fromtimestamp(MAX_HONOURED / 1000, UTC)
    assert greatest == datetime(9999, 1, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(times.timestamp / 1000, UTC).year == 9999


@pytest.mark.parametrize("existing", [None, Tombstone("x", 5)])
def test_a_later_timestamp_than_any_client_may_set_is_ignored(existing: Tombstone | None) -> None:
    assert honoured(MAX_HONOURED, existing) == MAX_HONOURED
    assert honoured(MAX_HONOURED + 1, existing) is None


def test_what_a_list_gives_beyond_that_can_be_an_http_date() -> None:
    assert datetime.fromtimestamp(MAX_TIMESTAMP // 1000, UTC).year == 9999
