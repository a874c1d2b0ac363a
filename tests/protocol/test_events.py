"""What Kinto tells of what was done: `chalicelib/protocol/events.py`."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.protocol.events import (
    ACTIONS,
    CHANGES,
    CREATE,
    DELETE,
    MAX_NAMED_READS,
    READ,
    RESOURCES,
    UPDATE,
    Event,
    Impact,
    Operation,
    Selection,
    to_events,
)
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.uris import ListUri, ObjectUri

ALICE: Final = "basicauth:alice"
ONE: Final = "b0a6c1e4-52f3-4f0e-9d0b-6f1c2f1d7a11"
OTHER: Final = "b0a6c1e4-52f3-4f0e-9d0b-6f1c2f1d7a12"

BUCKETS: Final = ListUri(BUCKET, ())
COLLECTIONS: Final = ListUri(COLLECTION, ("blog",))
GROUPS: Final = ListUri(GROUP, ("blog",))
RECORDS: Final = ListUri(RECORD, ("blog", "posts"))
LISTS: Final = [BUCKETS, COLLECTIONS, GROUPS, RECORDS, ListUri(RECORD, ("blog", "drafts"))]


def operation(
    uri: ObjectUri,
    action: str = UPDATE,
    version: int = 5,
    *,
    request: str = "r1",
    by_list: bool = False,
    **told: Any,
) -> Operation:
    """An operation on one object; `told` is what the object has beside its id."""
    one = {"id": uri.id, "last_modified": version, **told}
    record = {CREATE: {"new": one}, UPDATE: {"new": one, "old": one}, DELETE: {"old": one}}
    impact = Impact(uri, version, record.get(action, one))
    address = uri.list if by_list else uri
    return Operation(action, address, version - 1, ALICE, request, (impact,))


def of_list(
    action: str, objects: Iterable[ObjectUri], version: int = 5, *, request: str = "r1"
) -> Operation:
    """An operation on a list, that impacts these objects of it, at least one."""
    parts = [operation(uri, action, version + n) for n, uri in enumerate(objects)]
    impacts = tuple(impact for part in parts for impact in part.impacts)
    return Operation(action, parts[0].in_list, version - 1, ALICE, request, impacts)


# Payloads

PAYLOADS: Final[list[tuple[ObjectUri, str, JsonObject]]] = [
    (
        BUCKETS.object("blog"),
        "/buckets",
        {"resource_name": "bucket", "bucket_id": "blog"},
    ),
    (
        COLLECTIONS.object("posts"),
        "/buckets/blog/collections",
        {"resource_name": "collection", "bucket_id": "blog", "collection_id": "posts"},
    ),
    (
        GROUPS.object("writers"),
        "/buckets/blog/groups",
        {"resource_name": "group", "bucket_id": "blog", "group_id": "writers"},
    ),
    (
        RECORDS.object(ONE),
        "/buckets/blog/collections/posts/records",
        {
            "resource_name": "record",
            "bucket_id": "blog",
            "collection_id": "posts",
            "record_id": ONE,
        },
    ),
]
"""An object, its list's address, and what its payload tells beside what all do."""

EACH_KIND = pytest.mark.parametrize(
    ("uri", "list_uri", "names"), PAYLOADS, ids=[uri.kind.name for uri, *_ in PAYLOADS]
)


@EACH_KIND
@pytest.mark.parametrize("action", ACTIONS)
def test_of_an_object_the_payload_names_it_and_its_parents(
    uri: ObjectUri, list_uri: str, names: JsonObject, action: str
) -> None:
    [event] = to_events([operation(uri, action)])

    assert event.payload == {
        "timestamp": 4,
        "action": action,
        "uri": f"{list_uri}/{uri.id}",
        "user_id": ALICE,
        "request_id": "r1",
        **names,
    }


@EACH_KIND
@pytest.mark.parametrize("action", ACTIONS)
def test_of_a_list_the_payload_names_what_is_above_it_only(
    uri: ObjectUri, list_uri: str, names: JsonObject, action: str
) -> None:
    [event] = to_events([operation(uri, action, by_list=True)])

    above = {name: told for name, told in names.items() if name != f"{uri.kind.name}_id"}
    assert event.payload == {
        "timestamp": 4,
        "action": action,
        "uri": list_uri,
        "user_id": ALICE,
        "request_id": "r1",
        **above,
    }


@EACH_KIND
def test_the_anonymous_are_nobody(uri: ObjectUri, list_uri: str, names: JsonObject) -> None:
    [event] = to_events([replace(operation(uri), user_id=None)])

    assert event.payload["user_id"] is None


@EACH_KIND
@pytest.mark.parametrize("by_list", [False, True])
def test_an_event_knows_the_list_that_it_was_in(
    uri: ObjectUri, list_uri: str, names: JsonObject, by_list: bool
) -> None:
    one = operation(uri, by_list=by_list)

    assert Event.of([one]).in_list == one.in_list == uri.list


def test_a_message_of_a_version_that_did_not_tell_the_request_is_read() -> None:
    told = Event.of([operation(RECORDS.object(ONE))]).to_json()
    del told["request_id"]

    assert Event.from_json(told).request_id is None


def test_the_message_is_the_payload_with_the_id_and_what_was_changed() -> None:
    event = Event.of([operation(RECORDS.object(ONE), CREATE, title="Tea")])

    assert event.to_json() == {
        "event_id": event.id,
        "timestamp": 4,
        "action": "create",
        "uri": f"/buckets/blog/collections/posts/records/{ONE}",
        "user_id": ALICE,
        "request_id": "r1",
        "resource_name": "record",
        "bucket_id": "blog",
        "collection_id": "posts",
        "record_id": ONE,
        "impacted_records": [{"new": {"id": ONE, "last_modified": 5, "title": "Tea"}}],
    }


def test_the_message_of_a_read_has_what_was_read_under_a_name_of_its_own() -> None:
    told = Event.of([operation(RECORDS.object(ONE), READ, title="Tea")]).to_json()

    assert told["read_records"] == [{"id": ONE, "last_modified": 5, "title": "Tea"}]
    assert "impacted_records" not in told


@pytest.mark.parametrize("action", ACTIONS)
def test_an_event_has_what_was_changed_or_what_was_read(action: str) -> None:
    event = Event.of([operation(RECORDS.object(ONE), action)])

    assert event.impacted_records == (() if action == READ else event.records)
    assert event.read_records == (event.records if action == READ else ())
    assert event.records


def test_a_list_that_shows_nothing_was_read_all_the_same() -> None:
    [event] = to_events([Operation(READ, RECORDS, 4, ALICE, "r1", ())])

    assert event.payload["uri"] == "/buckets/blog/collections/posts/records"
    assert event.to_json()["read_records"] == []


def test_merged_operations_have_the_payload_of_the_first() -> None:
    first = replace(operation(RECORDS.object(ONE), CREATE), user_id="basicauth:bob")
    second = operation(RECORDS.object(OTHER), CREATE, 6, by_list=True)

    [merged] = to_events([first, second])
    [reversed_] = to_events([second, first])

    assert merged.payload == Event.of([first]).payload
    assert reversed_.payload == Event.of([second]).payload
    assert [*merged.records] == [first.impacts[0].record, second.impacts[0].record]


# Merging


class Done(NamedTuple):
    """What an operation is made of.

    Attributes:
        request: one of a few.
        action: of it.
        in_list: where.
        ids: of what it impacts.
        by_list: whether it is the list's; it is, where it impacts several.
    """

    request: str
    action: str
    in_list: ListUri
    ids: list[str]
    by_list: bool


DONE = st.builds(
    Done,
    request=st.sampled_from(["r1", "r2"]),
    action=st.sampled_from(ACTIONS),
    in_list=st.sampled_from(LISTS[2:]),
    ids=st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3),
    by_list=st.booleans(),
)


def numbered(all_done: Sequence[Done]) -> list[Operation]:
    """Operations with times and versions of their own, by which each of them is known again."""
    return [_numbered(done, 100 * number) for number, done in enumerate(all_done, 1)]


def _numbered(done: Done, first: int) -> Operation:
    uris = [done.in_list.object(id) for id in done.ids]
    by_list = done.by_list or len(uris) != 1
    parts = [operation(uri, done.action, first + n, at=str(uri)) for n, uri in enumerate(uris, 1)]
    impacts = tuple(impact for part in parts for impact in part.impacts)
    address = done.in_list if by_list else uris[0]
    return Operation(done.action, address, first, ALICE, done.request, impacts)


OPERATIONS = st.lists(DONE, max_size=12).map(numbered)


def objects_of(records: Iterable[JsonObject]) -> list[tuple[str, int]]:
    """Address and version of each."""
    told = [each.get("new") or each.get("old") or each for each in records]
    return [(each["at"], each["last_modified"]) for each in told]


def told_by(events: Iterable[Event]) -> list[tuple[str, int]]:
    return objects_of(record for event in events for record in event.records)


def done_by(operations: Iterable[Operation]) -> list[tuple[str, int]]:
    return objects_of(impact.record for each in operations for impact in each.impacts)


def by_object(told: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for uri, version in told:
        found[uri].append(version)
    return dict(found)


def key_of(operation: Operation) -> tuple[str, ListUri, str]:
    return operation.request_id, operation.in_list, operation.action


@given(OPERATIONS)
def test_merging_loses_nothing_and_invents_nothing(operations: list[Operation]) -> None:
    assert Counter(told_by(to_events(operations))) == Counter(done_by(operations))


@given(OPERATIONS)
def test_merging_keeps_the_order_of_what_happened_to_each_object(
    operations: list[Operation],
) -> None:
    assert by_object(told_by(to_events(operations))) == by_object(done_by(operations))


@given(OPERATIONS)
def test_only_what_is_alike_is_merged(operations: list[Operation]) -> None:
    part_of = {part: each for each in operations for part in done_by([each])}

    for event in to_events(operations):
        keys = {key_of(part_of[part]) for part in told_by([event])}
        alike = {(in_list, action) for _request, in_list, action in keys}
        assert len(keys) <= 1
        assert alike <= {(event.in_list, event.payload["action"])}


@given(OPERATIONS)
def test_events_are_in_the_order_of_their_first_operations(operations: list[Operation]) -> None:
    by_time = {each.timestamp: each for each in operations}

    events = to_events(operations)

    times = [event.payload["timestamp"] for event in events]
    assert times == sorted(set(times))
    for event, time in zip(events, times, strict=True):
        assert event.payload == Event.of([by_time[time]]).payload
        assert time < min((version for _uri, version in told_by([event])), default=time + 1)


@given(st.lists(DONE, max_size=12, unique_by=lambda done: done.in_list), st.data())
def test_where_no_object_is_touched_twice_there_is_one_event_a_request_list_and_action(
    all_done: list[Done], data: st.DataObject
) -> None:
    single = [
        done._replace(ids=[id], in_list=done.in_list)
        for done in all_done
        for id in done.ids or ["d"]
    ]
    actions = data.draw(
        st.lists(st.sampled_from(ACTIONS), min_size=len(single), max_size=len(single))
    )
    requests = data.draw(
        st.lists(st.sampled_from(["r1", "r2"]), min_size=len(single), max_size=len(single))
    )
    mixed = [
        done._replace(action=action, request=request)
        for done, action, request in zip(single, actions, requests, strict=True)
    ]
    operations = numbered(data.draw(st.permutations(mixed)))

    events = to_events(operations)

    keys = [*dict.fromkeys(map(key_of, operations))]
    assert [(event.in_list, event.payload["action"]) for event in events] == [
        key[1:] for key in keys
    ]


@given(OPERATIONS)
def test_alike_operations_are_apart_only_over_what_came_between(
    operations: list[Operation],
) -> None:
    """A new event begins where an object was touched since the last one that is like it."""
    events = to_events(operations)

    number_of = {}
    for number, event in enumerate(events):
        number_of[event.payload["timestamp"]] = number
        number_of |= {version: number for _uri, version in told_by([event])}
    last: dict[Any, int] = {}
    touched: dict[ObjectUri, int] = {}
    for each in operations:
        before = last.get(key_of(each))
        begins = each.timestamp in number_of
        needs = before is None or any(touched.get(i.uri, -1) > before for i in each.impacts)
        assert begins == needs
        if each.impacts or begins:
            mine = number_of.get(each.timestamp)
            number = number_of[each.impacts[0].version] if mine is None else mine
            last[key_of(each)] = number
            touched.update({impact.uri: number for impact in each.impacts})


@given(OPERATIONS, OPERATIONS, st.data())
def test_requests_that_share_no_object_are_merged_alike_in_any_interleaving(
    of_one: list[Operation], of_other: list[Operation], data: st.DataObject
) -> None:
    mine = [_elsewhere(each, "mine") for each in of_one]
    others = [_elsewhere(each, "others") for each in of_other]
    turns = data.draw(st.permutations([True] * len(mine) + [False] * len(others)))
    left = {True: iter(mine), False: iter(others)}

    events = to_events(next(left[turn]) for turn in turns)

    assert [event for event in events if _bucket_of(event) == "mine"] == to_events(mine)
    assert [event for event in events if _bucket_of(event) == "others"] == to_events(others)


def _elsewhere(operation: Operation, bucket: str) -> Operation:
    """The same in another bucket."""

    def moved(uri: Any) -> Any:
        return replace(uri, ids=(bucket, *uri.ids[1:]))

    impacts = tuple(replace(each, uri=moved(each.uri)) for each in operation.impacts)
    return replace(operation, address=moved(operation.address), impacts=impacts)


def _bucket_of(event: Event) -> Any:
    return event.payload["bucket_id"]


def test_what_was_done_to_an_object_between_keeps_its_place() -> None:
    one, other = RECORDS.object(ONE), RECORDS.object(OTHER)

    events = to_events(
        [
            operation(one, CREATE, 1),
            operation(one, DELETE, 2),
            operation(other, CREATE, 3),
            operation(one, CREATE, 4),
            operation(other, DELETE, 5),
        ]
    )

    versions = [
        [(record.get("new") or record["old"])["last_modified"] for record in event.records]
        for event in events
    ]
    assert [event.payload["action"] for event in events] == [CREATE, DELETE, CREATE]
    assert versions == [[1, 3], [2, 5], [4]]


# Ids


@given(OPERATIONS)
def test_the_same_operations_have_the_same_ids(operations: list[Operation]) -> None:
    assert [each.id for each in to_events(operations)] == [
        each.id for each in to_events([replace(each) for each in operations])
    ]


@given(OPERATIONS)
def test_no_two_events_have_the_same_id(operations: list[Operation]) -> None:
    ids = [event.id for event in to_events(operations)]

    assert len(set(ids)) == len(ids)


@given(st.lists(st.sampled_from([ONE, OTHER]), min_size=2, max_size=6), st.data())
def test_one_change_more_or_fewer_is_another_event(ids: list[str], data: st.DataObject) -> None:
    alike = [operation(RECORDS.object(id), version=n, by_list=True) for n, id in enumerate(ids)]
    dropped = data.draw(st.integers(0, len(ids) - 1))
    fewer = alike[:dropped] + alike[dropped + 1 :]

    assert Event.of(fewer).id != Event.of(alike).id


OF_RECORD: Final = operation(RECORDS.object(ONE))


@pytest.mark.parametrize(
    "other",
    [
        replace(OF_RECORD, request_id="r2"),
        replace(OF_RECORD, action=CREATE),
        replace(OF_RECORD, address=RECORDS),
        operation(RECORDS.object(ONE), version=6),
        operation(RECORDS.object(OTHER)),
        operation(ListUri(RECORD, ("blog", "drafts")).object(ONE)),
        replace(OF_RECORD, impacts=OF_RECORD.impacts * 2),
        replace(OF_RECORD, impacts=()),
    ],
    ids=["request", "action", "address", "version", "object", "list", "twice", "nothing"],
)
def test_what_is_not_the_same_has_another_id(other: Operation) -> None:
    assert Event.of([other]).id != Event.of([OF_RECORD]).id


def test_in_a_list_another_object_is_another_event() -> None:
    """Though its version is the same: of another time, or another incarnation of the list."""
    one, other = (operation(RECORDS.object(id), by_list=True) for id in (ONE, OTHER))

    assert Event.of([one]).id != Event.of([other]).id


def test_an_id_says_what_it_is_and_is_no_longer_than_any_log_can_bear() -> None:
    assert Event.of([OF_RECORD]).id == "evt_" + Event.of([OF_RECORD]).id[-32:]
    assert len(Event.of([OF_RECORD]).id) == 36


def test_the_order_of_what_was_changed_is_part_of_an_event() -> None:
    uris = [RECORDS.object(ONE), RECORDS.object(OTHER)]
    there = of_list(DELETE, uris)
    back = replace(there, impacts=there.impacts[::-1])

    assert Event.of([there]).id != Event.of([back]).id


# Messages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
DATA = st.dictionaries(
    st.text() | st.sampled_from(["new", "old", "deleted", "action", "records"]), JSON, max_size=3
)
OBJECTS = st.builds(
    lambda data, id, time: {**data, "id": id, "last_modified": time},
    DATA,
    st.sampled_from([ONE, OTHER]),
    st.integers(0, 2**53),
)


def _event(action: str, objects: list[JsonObject]) -> Event:
    shapes: dict[str, Callable[[JsonObject], JsonObject]] = {
        CREATE: lambda one: {"new": one},
        UPDATE: lambda one: {"new": one, "old": {**one, "last_modified": 0}},
        DELETE: lambda one: {
            "old": {"id": one["id"], "last_modified": one["last_modified"], "deleted": True}
        },
        READ: lambda one: one,
    }
    impacts = tuple(
        Impact(RECORDS.object(one["id"]), one["last_modified"], shapes[action](one))
        for one in objects
    )
    return Event.of([Operation(action, RECORDS, 4, ALICE, "r1", impacts)])


fewer = settings(max_examples=40)
"""For what takes JSON, which takes long to make up."""

EVENTS = st.builds(_event, st.sampled_from(ACTIONS), st.lists(OBJECTS, max_size=3))


@fewer
@given(EVENTS | EVENTS.map(Event.truncated))
def test_any_event_comes_back_from_its_message(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event
    assert Event.from_json(json.loads(json.dumps(event.to_json()))) == event


@fewer
@given(EVENTS)
def test_reading_a_message_leaves_it_as_it_is(event: Event) -> None:
    told = event.to_json()

    Event.from_json(told)

    assert told == event.to_json()


@pytest.mark.parametrize("missing", ["event_id", "action", "impacted_records"])
def test_what_lacks_a_part_is_no_event(missing: str) -> None:
    told = Event.of([OF_RECORD]).to_json()
    del told[missing]

    with pytest.raises(KeyError):
        Event.from_json(told)


@fewer
@given(EVENTS)
def test_truncated_an_event_only_names_what_it_tells_of(event: Event) -> None:
    truncated = event.truncated()

    assert truncated.payload == {**event.payload, "truncated": True}
    assert truncated.id == event.id
    assert truncated.records == tuple(map(_named, _objects_in(event)))
    assert truncated.in_list == event.in_list


def _objects_in(event: Event) -> list[JsonObject]:
    if event.payload["action"] == READ:
        return [*event.records]
    return [record["new" if "new" in record else "old"] for record in event.records]


def _named(one: JsonObject) -> JsonObject:
    return {"id": one["id"], "last_modified": one["last_modified"]}


def test_truncated_a_read_names_no_more_than_a_message_holds() -> None:
    ids = [f"{'x' * 390}{number}" for number in range(MAX_NAMED_READS + 1)]
    objects = tuple({"id": id, "last_modified": 1_700_000_000_000} for id in ids)
    payload = {"action": READ, "resource_name": "collection", "bucket_id": "blog"}

    truncated = Event("evt_1", payload, objects).truncated()

    assert truncated.records == objects[:MAX_NAMED_READS]
    assert len(json.dumps(truncated.to_json())) < 600_000


def test_truncated_a_change_names_all(event_of_many: Event) -> None:
    assert len(event_of_many.truncated().records) == MAX_NAMED_READS + 1


@pytest.fixture
def event_of_many() -> Event:
    record = {"new": {"id": "x", "last_modified": 1}}
    return Event("evt_1", {"action": CREATE}, (record,) * (MAX_NAMED_READS + 1))


@fewer
@given(EVENTS)
def test_truncated_twice_is_truncated(event: Event) -> None:
    assert event.truncated().truncated() == event.truncated()


@fewer
@given(EVENTS)
def test_truncating_leaves_the_event_itself_as_it_is(event: Event) -> None:
    before = json.dumps(event.to_json())

    event.truncated()

    assert json.dumps(event.to_json()) == before


@pytest.mark.parametrize("cut", [[0], [1], [0, 1]])
def test_where_something_is_too_large_to_be_told_the_event_only_names_all(cut: list[int]) -> None:
    whole = [operation(RECORDS.object(id), CREATE, by_list=True) for id in (ONE, OTHER)]
    operations = list(whole)
    for number in cut:
        [impact] = whole[number].impacts
        named = replace(impact, record=_named(impact.record["new"]))
        operations[number] = replace(whole[number], impacts=(named,), is_cut=True)

    assert to_events(operations) == [Event.of(whole).truncated()]


@pytest.mark.parametrize("name", ["new", "old"])
@pytest.mark.parametrize("value", ["text", {"id": "another"}, {"id": "x", "last_modified": 1}])
def test_a_read_object_is_named_by_itself_whatever_its_properties_are_called(
    name: str, value: Any
) -> None:
    event = Event.of([operation(RECORDS.object(ONE), READ, **{name: value})])

    assert event.truncated().read_records == ({"id": ONE, "last_modified": 5},)


# Selections


def test_who_says_nothing_hears_of_all_changes_and_of_nothing_that_is_read() -> None:
    all_actions = [operation(uri, action) for uri, *_ in PAYLOADS for action in ACTIONS]

    chosen = Selection().of(all_actions)

    assert chosen == [each for each in all_actions if each.action != READ]
    assert {each.action for each in chosen} == {*CHANGES}
    assert {each.in_list.kind.name for each in chosen} == {*RESOURCES}


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_selected(action: str) -> None:
    all_actions = [operation(uri, each) for uri, *_ in PAYLOADS for each in ACTIONS]

    chosen = Selection(actions=frozenset([action])).of(all_actions)

    assert chosen == [each for each in all_actions if each.action == action]


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("by_list", [False, True])
def test_resources_are_selected(resource: str, by_list: bool) -> None:
    all_kinds = [operation(uri, by_list=by_list) for uri, *_ in PAYLOADS]

    chosen = Selection(resources=frozenset([resource])).of(all_kinds)

    assert [each.in_list.kind.name for each in chosen] == [resource]


BLOG2: Final = ListUri(COLLECTION, ("blog2",))
HEAR: Final[list[tuple[str, ObjectUri, bool]]] = [
    ("/buckets/blog", BUCKETS.object("blog"), True),
    ("/buckets/blog", BUCKETS.object("blog2"), False),
    ("/buckets/blog", COLLECTIONS.object("posts"), False),
    ("/buckets/blog/*", COLLECTIONS.object("posts"), True),
    ("/buckets/blog/*", RECORDS.object(ONE), True),
    ("/buckets/blog/*", BLOG2.object("posts"), False),
    ("/buckets/blog/*", BUCKETS.object("blog"), False),
    ("/buckets/blog*", BUCKETS.object("blog"), True),
    ("/buckets/blog*", BLOG2.object("posts"), True),
    ("/buckets/*", BUCKETS.object("blog"), True),
    ("/buckets/*", RECORDS.object(ONE), True),
    ("*/records/*", RECORDS.object(ONE), True),
    ("*/records/*", COLLECTIONS.object("records"), False),
    ("/buckets/*/groups/*", GROUPS.object("writers"), True),
    ("/buckets/*/groups/*", COLLECTIONS.object("groups"), False),
    ("/buckets/*/collections/posts", ListUri(COLLECTION, ("b",)).object("posts"), True),
    ("/buckets/*/collections/posts", RECORDS.object(ONE), False),
    ("*", RECORDS.object(ONE), True),
    ("**", RECORDS.object(ONE), True),
    ("buckets/blog", BUCKETS.object("blog"), False),
    ("/buckets/bl.g", BUCKETS.object("blog"), False),
    ("/buckets/.*", BUCKETS.object("blog"), False),
    ("/buckets/[a-z]+", BUCKETS.object("blog"), False),
    ("/buckets/blog|x", BUCKETS.object("blog"), False),
    ("/buckets/(blog)", BUCKETS.object("blog"), False),
    ("/buckets/blog$", BUCKETS.object("blog"), False),
    ("/buckets/BLOG", BUCKETS.object("blog"), False),
]


@pytest.mark.parametrize(("pattern", "uri", "is_heard"), HEAR)
@pytest.mark.parametrize("by_list", [False, True])
def test_addresses_are_selected_by_those_of_objects(
    pattern: str, uri: ObjectUri, is_heard: bool, by_list: bool
) -> None:
    one = operation(uri, by_list=by_list)

    assert Selection(uris=(pattern,)).of([one]) == ([one] if is_heard else [])
    assert Selection(uris=("/none", pattern, "/neither")).of([one]) == ([one] if is_heard else [])


def test_of_a_list_only_what_is_wanted_is_told() -> None:
    operation = of_list(DELETE, [RECORDS.object(ONE), RECORDS.object(OTHER)])

    [chosen] = Selection(uris=(f"*/{OTHER}",)).of([operation])

    assert chosen == replace(operation, impacts=operation.impacts[1:])


@pytest.mark.parametrize(
    ("pattern", "is_heard"),
    [
        ("/buckets/blog/*", True),
        ("/buckets/blog/collections/posts/records", True),
        ("/buckets/blog/collections/posts/records/*", False),
        ("/buckets/blog2/*", False),
    ],
)
def test_a_list_that_shows_nothing_is_selected_by_its_own_address(
    pattern: str, is_heard: bool
) -> None:
    empty = Operation(READ, RECORDS, 4, ALICE, "r1", ())

    chosen = Selection(frozenset([READ]), uris=(pattern,)).of([empty])

    assert chosen == ([empty] if is_heard else [])


def naively_matches(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naively_matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return text[:1] == pattern[0] and naively_matches(pattern[1:], text[1:])


SEGMENTS = ["/", "*", "/buckets", "/blog", "/blog2", "/groups", "/collections/", "a", ".", "+", "["]
PATTERNS = st.one_of(
    st.lists(st.sampled_from(SEGMENTS), max_size=6).map("".join),
    st.builds(
        lambda uri, at, size, put: str(uri)[:at] + put + str(uri)[at + size :],
        st.sampled_from(LISTS[2:]).map(lambda uri: uri.object("a")),
        st.integers(0, 40),
        st.integers(0, 10),
        st.sampled_from(["*", ".", "", "**", "?"]),
    ),
)
SOME_ACTIONS = st.frozensets(st.sampled_from(ACTIONS))
SOME_RESOURCES = st.frozensets(st.sampled_from(RESOURCES))
SELECTIONS = st.builds(
    Selection,
    actions=st.just(frozenset(ACTIONS)) | SOME_ACTIONS,
    resources=st.just(frozenset(RESOURCES)) | SOME_RESOURCES,
    uris=st.lists(PATTERNS, max_size=3).map(tuple),
)


def naively_selected(selection: Selection, operation: Operation, uri: object) -> bool:
    return (
        operation.action in selection.actions
        and operation.in_list.kind.name in selection.resources
        and (not selection.uris or any(naively_matches(one, str(uri)) for one in selection.uris))
    )


@given(SELECTIONS, OPERATIONS)
def test_a_selection_is_what_each_object_says_on_its_own(
    selection: Selection, operations: list[Operation]
) -> None:
    chosen = selection.of(operations)

    expected = []
    for each in operations:
        kept = tuple(i for i in each.impacts if naively_selected(selection, each, i.uri))
        if kept or (not each.impacts and naively_selected(selection, each, each.address)):
            expected.append(replace(each, impacts=kept))
    assert chosen == expected


@given(SELECTIONS, OPERATIONS)
def test_no_event_of_changes_is_empty_to_who_hears_of_it(
    selection: Selection, operations: list[Operation]
) -> None:
    changed = [each for each in operations if each.action != READ and each.impacts]

    events = to_events(selection.of(changed))

    assert all(event.records for event in events)


@given(SELECTIONS, OPERATIONS)
def test_a_selection_takes_no_more_from_what_it_has_selected(
    selection: Selection, operations: list[Operation]
) -> None:
    chosen = selection.of(operations)

    assert selection.of(chosen) == chosen
