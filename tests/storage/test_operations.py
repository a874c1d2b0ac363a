"""What a write of an item did: `chalicelib/storage/operations.py`."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.events import CREATE, DELETE, UPDATE, Impact, Operation, to_events
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.items import Cause, Item, encode_body
from chalicelib.storage.keys import object_key
from chalicelib.storage.operations import operation_of, told_bytes
from tests.storage.stand_ins import BLOG, POSTS, WRITERS, record, unhurried

HERE: Final = "5f2d9c1b7a3e4860"
ELSEWHERE: Final = "9e107d9d372bb682"
CAUSE: Final = Cause("basicauth:alice", "r1", by_list=False, timestamp=8)
URIS: Final = [BLOG, POSTS, WRITERS, record(1)]

OLD: Final[JsonObject] = {"title": "Café", "members": ["bob"]}
NEW: Final[JsonObject] = {"title": "Thé", "members": []}


def item(uri: ObjectUri, version: int, data: JsonObject, within: str = HERE) -> Item:
    return Item(
        object_key(uri),
        is_live=True,
        last_modified=version - 1,
        version=version,
        within=within,
        incarnation="1" if uri.lists else None,
        permissions={"read": ("somebody",)},
        body=encode_body(data),
    )


def tombstone(uri: ObjectUri, version: int, within: str = HERE) -> Item:
    return Item(
        object_key(uri), is_live=False, last_modified=version - 1, version=version, within=within
    )


def before_of(name: str, uri: ObjectUri) -> Item | None:
    """What was there before."""
    return {
        "nothing": None,
        "object": item(uri, 5, OLD),
        "tombstone": tombstone(uri, 5),
        "object of another parent": item(uri, 5, OLD, ELSEWHERE),
        "tombstone of another parent": tombstone(uri, 5, ELSEWHERE),
    }[name]


BEFORE: Final = [
    "nothing",
    "object",
    "tombstone",
    "object of another parent",
    "tombstone of another parent",
]
EACH_KIND = pytest.mark.parametrize("uri", URIS, ids=[uri.kind.name for uri in URIS])


@EACH_KIND
@pytest.mark.parametrize("before", BEFORE)
def test_an_object_is_created_or_updated(uri: ObjectUri, before: str) -> None:
    found = operation_of(uri, before_of(before, uri), item(uri, 9, NEW), CAUSE)

    new = {**NEW, "id": uri.id, "last_modified": 8}
    old = {**OLD, "id": uri.id, "last_modified": 4}
    is_update = before == "object"
    record = {"new": new, "old": old} if is_update else {"new": new}
    assert found == Operation(
        UPDATE if is_update else CREATE,
        uri,
        8,
        "basicauth:alice",
        "r1",
        (Impact(uri, 9, record),),
    )


@EACH_KIND
@pytest.mark.parametrize("before", BEFORE)
def test_an_object_is_deleted_only_where_it_was(uri: ObjectUri, before: str) -> None:
    found = operation_of(uri, before_of(before, uri), tombstone(uri, 9), CAUSE)

    record = {"old": {"id": uri.id, "last_modified": 8, "deleted": True}}
    deletion = Operation(DELETE, uri, 8, "basicauth:alice", "r1", (Impact(uri, 9, record),))
    assert found == (deletion if before == "object" else None)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", [item(record(1), 9, NEW), tombstone(record(1), 9)])
def test_what_is_silent_is_not_told(before: str, after: Item) -> None:
    silent = replace(CAUSE, silent=True)

    assert operation_of(record(1), before_of(before, record(1)), after, silent) is None


@EACH_KIND
@pytest.mark.parametrize("user_id", [None, "basicauth:alice"])
@pytest.mark.parametrize("by_list", [False, True])
def test_an_operation_tells_what_caused_it(
    uri: ObjectUri, user_id: str | None, by_list: bool
) -> None:
    cause = Cause(user_id, "r7", by_list=by_list, timestamp=3)

    found = operation_of(uri, None, item(uri, 9, NEW), cause)

    assert found is not None
    assert (found.address, found.timestamp) == (uri.list if by_list else uri, 3)
    assert (found.user_id, found.request_id) == (user_id, "r7")
    assert [impact.uri for impact in found.impacts] == [uri]


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        (None, item(record(1), 9, NEW), CREATE),
        (item(record(1), 5, OLD), item(record(1), 9, NEW), UPDATE),
        (item(record(1), 5, OLD), tombstone(record(1), 9), DELETE),
    ],
)
def test_what_is_too_large_to_be_told_is_named(
    before: Item | None, after: Item, action: str
) -> None:
    """Its body is not even read."""
    found = operation_of(record(1), before, replace(after, body="no JSON"), CAUSE, is_cut=True)

    assert found is not None
    assert (found.action, found.is_cut) == (action, True)
    named = {"id": record(1).id, "last_modified": 8}
    assert found.impacts == (Impact(record(1), 9, named),)


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        (None, item(record(1), 9, NEW), CREATE),
        (item(record(1), 5, OLD), item(record(1), 9, NEW), UPDATE),
        (item(record(1), 5, OLD), tombstone(record(1), 9), DELETE),
    ],
)
def test_cut_or_not_it_is_the_same_event(before: Item | None, after: Item, action: str) -> None:
    whole, cut = (
        operation_of(record(1), before, after, CAUSE, is_cut=is_cut) for is_cut in (False, True)
    )
    assert whole is not None
    assert cut is not None

    assert to_events([cut]) == [event.truncated() for event in to_events([whole])]
    assert whole.action == action


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("filler", ["x", "é"])
@pytest.mark.parametrize("size", [1, 5000])
def test_as_much_is_told_as_the_bodies_are_as_json(before: str, filler: str, size: int) -> None:
    was = before_of(before, record(1))
    body = encode_body({"text": filler * size})
    after = replace(item(record(1), 9, {}), body=body)

    of_new = len('{"text":""}') + size * len(filler.encode())
    of_old = len(b'{"title":"Caf\xc3\xa9","members":["bob"]}') if before == "object" else 0
    assert told_bytes(was, after) == of_new + of_old


@pytest.mark.parametrize("before", BEFORE)
def test_of_a_deletion_no_body_is_told(before: str) -> None:
    assert told_bytes(before_of(before, record(1)), tombstone(record(1), 9)) == 0


STATES = st.one_of(
    st.none(),
    st.builds(
        lambda version, within, is_live: (
            item(record(1), version, OLD, within)
            if is_live
            else tombstone(record(1), version, within)
        ),
        st.integers(1, 4),
        st.sampled_from([HERE, ELSEWHERE]),
        st.booleans(),
    ),
)
WRITTEN = st.builds(
    lambda is_live, version: (
        item(record(1), version, NEW) if is_live else tombstone(record(1), version)
    ),
    st.booleans(),
    st.integers(5, 9),
)


@unhurried
@given(STATES, st.lists(WRITTEN, min_size=1, max_size=4))
def test_what_is_told_of_writes_one_by_one_and_together_leads_to_the_same(
    before: Item | None, writes: list[Item]
) -> None:
    """Whoever keeps a copy, by what is told, has the same copy at the end."""
    copy = _shown(before)
    step_by_step, last = copy, before
    for after in writes:
        told = operation_of(record(1), last, after, CAUSE)
        step_by_step = _applied(told, step_by_step)
        last = after
    at_once = _applied(operation_of(record(1), before, writes[-1], CAUSE), copy)

    assert step_by_step == at_once
    assert at_once == _shown(writes[-1])


def _shown(item: Item | None) -> JsonObject | None:
    is_here = item is not None and item.is_live and item.within == HERE
    return item.to_stored().to_json() if item is not None and is_here else None


def _applied(told: Operation | None, copy: JsonObject | None) -> JsonObject | None:
    if told is None:
        return copy
    assert (copy is not None) == (told.action in (UPDATE, DELETE))
    record = told.impacts[0].record
    if told.action == UPDATE:
        assert record["old"] == copy
    new: JsonObject | None = record.get("new")
    return new
