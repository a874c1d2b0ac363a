"""Records of the stream of `objects`: `chalicelib/events/stream.py`."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.events.stream import StreamRecord, images_of
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.access import Row
from chalicelib.storage.items import from_raw
from chalicelib.storage.keys import CLOCK_ID
from chalicelib.storage.purge import DeadParent, Leftover, NeedlessRows, leftovers_of

RECORDS = Path(__file__).with_name("records")

BLOG = ListUri(BUCKET, ()).object("blog")
POSTS = ListUri(COLLECTION, ("blog",)).object("posts")
WRITERS = ListUri(GROUP, ("blog",)).object("writers")
RECORD_URI = ListUri(RECORD, POSTS.ids).object("b0a6c1e4-52f3-4f0e-9d0b-6f1c2f1d7a11")

ALICE = "basicauth:3a96d1f2c4d1b5e08a5a9f7f0b1c6de83d2c9d54c1b0c6a9b8ff01d2f7a4c9e1"
LAST_MEMBER = f"basicauth:{24 * 7919:064x}"

OF_BUCKET = "#bucket:blog/blog"
OF_POSTS = "/buckets/blog#collection/posts"
OF_RECORD = f"/buckets/blog/collections/posts#record/{RECORD_URI.id}"

BUCKET_INCARNATION, POSTS_INCARNATION = "5f2d9c1b7a3e4860", "9e107d9d372bb682"
T = 1_764_000_000_000


def stream_record(name: str) -> dict[str, Any]:
    """A record as Lambda hands it over."""
    found: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_bytes())
    return found


def leftovers(record: StreamRecord) -> list[Leftover]:
    return [*leftovers_of(*images_of(record))]


LEFT_BEHIND: dict[str, list[Leftover]] = {
    "created_record": [],
    "patched_record": [NeedlessRows((Row("bob", OF_RECORD, T + 2),))],
    "shrunk_group": [
        NeedlessRows((Row(LAST_MEMBER, "member:/buckets/blog#group/writers", T + 3),))
    ],
    "deleted_collection": [
        DeadParent(POSTS, POSTS_INCARNATION),
        NeedlessRows((Row(ALICE, OF_POSTS, T + 4),)),
    ],
    "deleted_bucket": [
        DeadParent(BLOG, BUCKET_INCARNATION),
        NeedlessRows((Row(ALICE, OF_BUCKET, T + 5),)),
    ],
    "bucket_made_again": [],
    "purged_collection": [
        DeadParent(POSTS, POSTS_INCARNATION),
        NeedlessRows((Row(ALICE, OF_POSTS, T + 1),)),
    ],
    "purged_large_record": [NeedlessRows((Row(ALICE, OF_RECORD, T + 1),))],
    "expired_bucket": [NeedlessRows((Row("#buckets", OF_BUCKET, T + 5),))],
    "moved_clock": [],
    "heartbeat": [],
}
"""By the names of the files in `records`."""


def test_each_of_the_records_is_tested() -> None:
    assert {file.stem for file in RECORDS.iterdir()} == LEFT_BEHIND.keys()


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_a_record_tells_what_its_change_leaves_behind(name: str) -> None:
    assert leftovers(stream_record(name)) == LEFT_BEHIND[name]


def test_both_images_are_the_items_before_and_after() -> None:
    old, new = images_of(stream_record("patched_record"))

    assert old is not None
    assert new is not None
    before, after = from_raw(old), from_raw(new)
    assert (before.version, before.data) == (T + 1, {"title": "Café"})
    assert before.permissions == {"write": (ALICE,), "read": ("bob",)}
    assert (after.version, after.data) == (T + 2, {"title": "Thé"})
    assert after.permissions == {"write": (ALICE,)}


@pytest.mark.parametrize("name", ["created_record", "heartbeat"])
def test_what_is_new_has_no_image_before(name: str) -> None:
    old, new = images_of(stream_record(name))

    assert old is None
    assert new is not None


@pytest.mark.parametrize("name", ["purged_large_record", "purged_collection", "expired_bucket"])
def test_what_is_removed_has_no_image_after(name: str) -> None:
    old, new = images_of(stream_record(name))

    assert old is not None
    assert new is None


@pytest.mark.parametrize(
    ("name", "attribute"), [("shrunk_group", "body"), ("purged_large_record", "large_body")]
)
def test_a_compressed_body_comes_in_base64_and_is_bytes(name: str, attribute: str) -> None:
    record = stream_record(name)
    text = record["dynamodb"]["OldImage"][attribute]["B"]

    old, _new = images_of(record)

    assert old is not None
    assert old[attribute] == {"B": base64.b64decode(text)}
    assert from_raw(old).data.keys() <= {"members", "pad"}


def test_a_clock_keeps_its_form() -> None:
    record = stream_record("moved_clock")

    assert images_of(record) == (record["dynamodb"]["OldImage"], record["dynamodb"]["NewImage"])
    assert record["dynamodb"]["Keys"]["id"] == {"S": CLOCK_ID}


def test_the_record_itself_stays_as_it_came() -> None:
    record = stream_record("shrunk_group")

    images_of(record)

    assert record == stream_record("shrunk_group")


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"eventID": "1"},
        {"dynamodb": {"NewImage": {"body": {"B": "A"}}}},
    ],
    ids=["empty", "no change", "bytes cut off"],
)
def test_what_is_no_record_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        images_of(record)
