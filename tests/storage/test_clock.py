"""A list's clock: `chalicelib/storage/clock.py`."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.storage.clock import CLOSED, ROOT, Clock, StagedClock, Write, clock_from_raw
from chalicelib.storage.keys import Key
from tests.storage.stand_ins import unhurried

KEY = Key("/buckets/blog/collections/posts#record", ".clock")
OLD = Clock(timestamp=100, count=3, within="1", latest=("100:100:live:x",))

WRITES = st.builds(Write, st.text(), st.integers(0), st.integers(0), st.booleans())


def staged(clock: Clock | None = OLD) -> StagedClock:
    return StagedClock.of(KEY, clock)


@unhurried
@given(WRITES)
def test_a_write_comes_back_from_its_text(write: Write) -> None:
    assert Write.from_text(write.to_text()) == write


@unhurried
@given(st.lists(WRITES, unique_by=lambda write: write.version))
def test_the_newest_write_of_each_id_is_known_whatever_their_order(writes: list[Write]) -> None:
    clock = Clock(1, 1, "1", tuple(write.to_text() for write in writes))

    newest = clock.newest_writes

    assert newest.keys() == {write.id for write in writes}
    assert all(newest[write.id].version >= write.version for write in writes)
    assert clock.latest_bytes == sum(len(write.to_text()) for write in writes)


def test_a_clock_comes_back_from_its_item() -> None:
    raw = {
        "timestamp": {"N": "100"},
        "count": {"N": "3"},
        "within": {"S": "1"},
        "latest": {"L": [{"S": "100:100:live:x"}]},
    }

    assert clock_from_raw(raw) == OLD


def test_a_clock_that_is_missing_is_that_of_buckets_before_the_first() -> None:
    clock = staged(None)

    assert (clock.within, clock.timestamp, clock.as_read.count) == (ROOT, 0, 0)
    assert not clock.is_changed


@unhurried
@given(st.lists(st.tuples(st.integers(0, 200), st.none() | st.integers(0, 200)), min_size=1))
def test_each_timestamp_is_above_all_before(writes: list[tuple[int, int | None]]) -> None:
    clock = staged()

    times = [clock.tick(now_ms=now_ms, given=given).timestamp for now_ms, given in writes]

    assert [OLD.timestamp, *times] == sorted({OLD.timestamp, *times})
    assert (clock.first, clock.timestamp) == (times[0], times[-1])
    assert clock.is_changed


def test_a_list_that_begins_anew_goes_on_above_its_old_timestamp_and_counts_from_zero() -> None:
    clock = staged()
    clock.grown, clock.writes, clock.kept = 2, [Write("x", 1, 1, True)], ("1:1:live:x",)

    clock.open("2", 50)

    assert (clock.within, clock.timestamp, clock.first) == ("2", 101, 101)
    assert (clock.as_read.count, clock.writes, clock.kept) == (0, [], None)
    assert clock.is_changed


def test_a_list_counts_what_was_there_and_what_is_staged() -> None:
    clock = staged()

    clock.grown = -1

    assert clock.as_read.count == 2


def test_a_list_that_ends_keeps_its_timestamp() -> None:
    clock = staged()

    clock.close()

    assert clock.is_changed
    assert (clock.within, clock.timestamp, clock.first) == (CLOSED, 100, None)


def test_a_list_that_has_ended_does_not_end_again() -> None:
    ended = staged(Clock(100, 3, CLOSED))
    missing = staged(None)

    ended.close()
    missing.close()

    assert not ended.is_changed
    assert not missing.is_changed
