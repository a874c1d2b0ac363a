"""Reading a stream: all of its shards, as they come and go, from where it was left off."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from infra.stream import NoStreamError, StreamReader
from tests.infra.fake_streams import TABLE, FakeStreams, Shard, refused


def reader(streams: FakeStreams, folder: Path | None = None) -> StreamReader:
    return StreamReader(streams, streams, TABLE, batch_size=2, folder=folder)


def read(reader: StreamReader) -> list[list[int]]:
    """The sequence numbers of each batch that there is now, which are processed then."""
    found = []
    for batch in reader.batches():
        found.append([int(record["dynamodb"]["SequenceNumber"]) for record in batch.records])
        reader.advance(batch)
    return found


def test_records_come_in_batches_and_once() -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2, 3]))
    ours = reader(streams)

    assert [read(ours) for _ in range(3)] == [[[1, 2]], [[3]], []]

    streams.shards["one"].numbers.append(4)
    assert read(ours) == [[4]]


def test_all_shards_are_read() -> None:
    streams = FakeStreams(one=Shard(numbers=[1]), two=Shard(numbers=[2]), three=Shard(numbers=[3]))

    assert read(reader(streams)) == [[1], [2], [3]]


def test_a_batch_that_was_not_processed_comes_again() -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2, 3]), two=Shard(numbers=[4, 5, 6]))
    ours = reader(streams)
    first, second = ours.batches()

    ours.advance(second)

    assert first.shard_id == "one"
    assert read(ours) == [[1, 2], [6]]


def test_children_are_read_after_their_parent() -> None:
    closed = Shard(numbers=[1, 2, 3], is_closed=True)
    streams = FakeStreams(child=Shard(parent="one", numbers=[4]), one=closed)
    ours = reader(streams)

    assert [read(ours) for _ in range(3)] == [[[1, 2]], [[3]], [[4]]]


def test_children_of_a_shard_that_is_gone_are_read() -> None:
    assert read(reader(FakeStreams(child=Shard(parent="gone", numbers=[4])))) == [[4]]


def test_shards_that_come_are_found_once_others_are_closed() -> None:
    streams = FakeStreams(one=Shard(numbers=[1]))
    ours = reader(streams)
    read(ours)
    streams.shards["one"].is_closed = True
    streams.shards["two"] = Shard(parent="one", numbers=[2])

    assert read(ours) == []
    assert read(ours) == [[2]]


def test_a_quiet_stream_costs_a_call_a_shard() -> None:
    streams = FakeStreams(one=Shard())
    ours = reader(streams)
    read(ours)
    streams.calls.clear()

    read(ours)

    assert streams.calls == ["get_records"]


def test_an_expired_iterator_is_replaced() -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2]))
    ours = reader(streams)
    read(ours)
    streams.expired.update(ours._iterators.values())
    streams.shards["one"].numbers.append(3)

    assert read(ours) == [[3]]


def test_the_oldest_follows_where_the_position_was_trimmed(tmp_path: Path) -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2]))
    read(reader(streams, tmp_path))
    streams.shards["one"].numbers = [5, 6]

    assert read(reader(streams, tmp_path)) == [[5, 6]]


def test_the_next_one_goes_on_where_this_one_was(tmp_path: Path) -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2], is_closed=True), two=Shard(numbers=[3, 4, 5]))
    ours = reader(streams, tmp_path)
    batches = list(ours.batches())
    for batch in batches:
        ours.advance(batch)

    assert read(reader(streams, tmp_path)) == [[5]]


def test_what_was_not_processed_comes_to_the_next_one(tmp_path: Path) -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2, 3]))
    [*reader(streams, tmp_path).batches()]

    assert read(reader(streams, tmp_path)) == [[1, 2]]


@pytest.mark.parametrize("content", ["", "[]", '{"one": 1}', "{"])
def test_an_unreadable_position_begins_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{TABLE}-first.json").write_text(content)

    assert read(reader(FakeStreams(one=Shard(numbers=[1])), tmp_path)) == [[1]]


def test_the_stream_of_a_table_made_anew_is_read() -> None:
    streams = FakeStreams(one=Shard(numbers=[1, 2]))
    ours = reader(streams)
    read(ours)
    streams.label = "second"
    streams.shards = {"one": Shard(numbers=[1])}

    assert read(ours) == []
    assert read(ours) == [[1]]


def test_a_table_without_a_stream_is_told() -> None:
    streams = FakeStreams()
    streams.label = ""

    with pytest.raises(NoStreamError, match=TABLE):
        read(reader(streams))


@pytest.mark.parametrize("call", ["describe_stream", "get_shard_iterator", "get_records"])
def test_other_failures_are_passed_on(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FakeStreams, **_asked: str) -> None:
        raise refused("InternalServerError")

    ours = reader(FakeStreams(one=Shard(numbers=[1])))
    monkeypatch.setattr(FakeStreams, call, fail)

    with pytest.raises(ClientError, match="InternalServerError"):
        read(ours)


def test_a_failure_at_the_position_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FakeStreams, **_asked: str) -> None:
        raise refused("InternalServerError")

    streams = FakeStreams(one=Shard(numbers=[1]))
    read(reader(streams, tmp_path))
    monkeypatch.setattr(FakeStreams, "get_shard_iterator", fail)

    with pytest.raises(ClientError, match="InternalServerError"):
        read(reader(streams, tmp_path))
