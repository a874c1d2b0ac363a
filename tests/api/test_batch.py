"""What a batch does, and its answers. Rule: spec, "Batch and transactions", sections 4 to 7."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.policies import Policy
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.messages import JsonObject, Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.filling import fill
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    ID,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_of,
    made,
    state,
    user_id,
)
from tests.api.shelves import asked, follow
from tests.api.test_delete_list import at, from_on
from tests.doubles import (
    SECRET,
    STAGE,
    START_MS,
    Client,
    CountedCalls,
    Patience,
    SetClock,
    basic,
    heard_by,
)
from tests.shared_moto import empty
from tests.storage.stand_ins import TRANSACT, Hook, Wire, client_error
from tests.test_observability import Lines

OTHER = f"{RECORDS}/{OTHER_ID}"
PERSONAL = "/buckets/default"
TASKS = f"{PERSONAL}/collections/tasks"
ORIGIN = "https://app.example.org"
ALIAS = ("kinto.plugins.default_bucket",)
STAR = {"If-None-Match": "*"}


@pytest.fixture
def wire(dynamo: Dynamo) -> Wire:
    """The way to the tables, on which something may happen."""
    return Wire(dynamo._connection, dynamo.tables)


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client of a service at the end of this way."""
    return client_at(wire.dynamo)


@pytest.fixture
def rival(wire: Wire) -> Client:
    """A client of another container, to which nothing happens."""
    return client_at(wire.rival)


def client_at(dynamo: Dynamo, **settings: Any) -> Client:
    """A client of a service with these settings, and personal buckets."""
    ours = Settings(stage=STAGE, userid_hmac_secret=SECRET, **{"includes": ALIAS, **settings})
    storage = Storage(dynamo, SetClock())
    return Client(Service(ours, storage, [BasicPolicy(SECRET)], load_plugins(ours)))


def to(
    method: str,
    path: str,
    data: JsonObject | None = None,
    *,
    permissions: JsonObject | None = None,
    user: str | None = None,
    **headers: str,
) -> JsonObject:
    """A request of a batch; as another user than the batch's, where one is named."""
    body = {"data": data, "permissions": permissions}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if user is not None:
        named["Authorization"] = basic(user) if user else ""
    return {
        "method": method,
        "path": path,
        "headers": named,
        "body": {name: value for name, value in body.items() if value is not None},
    }


def batch(client: Client, *requests: JsonObject, **options: Any) -> Response:
    """The answer to a batch of these."""
    return client.ask("POST", "/batch", {"requests": requests}, **options)


def answers(client: Client, *requests: JsonObject, **options: Any) -> list[JsonObject]:
    """The answers to these requests in a batch."""
    found: list[JsonObject] = body_of(batch(client, *requests, **options))["responses"]
    assert all(answer.keys() == {"status", "path", "headers", "body"} for answer in found)
    assert len(found) == len(requests)
    return found


def statuses(found: list[JsonObject]) -> list[int]:
    return [answer["status"] for answer in found]


def data_of(answer: JsonObject) -> Any:
    """What is in `data` of an answer that is no error."""
    assert answer["status"] < 300, answer
    return answer["body"]["data"]


def total(answer: JsonObject) -> int:
    """How many a list says it holds."""
    assert answer["status"] == 200, answer
    return int(answer["headers"]["Total-Records"])


def etag(client: Client, path: str) -> str:
    return client.ask("GET", path).headers["ETag"]


# Each sees what those before it did


def test_an_empty_batch_has_no_answers_and_calls_nothing(
    client: Client, calls: CountedCalls
) -> None:
    assert body_of(batch(client)) == {"responses": []}
    assert calls.take() == {}


def test_an_object_is_seen_as_those_before_have_left_it(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("GET", OTHER),
        to("PUT", OTHER, {"n": 1, "keep": True}),
        to("GET", OTHER),
        to("PATCH", OTHER, {"n": 2}),
        to("GET", OTHER),
        to("DELETE", OTHER),
        to("GET", OTHER),
        to("PATCH", OTHER, {"n": 3}),
        to("PUT", OTHER, {"n": 4}),
        to("POST", RECORDS, {"id": OTHER_ID, "n": 5}),
    )

    assert statuses(found) == [404, 201, 200, 200, 200, 200, 404, 404, 201, 200]
    shown = [found[place]["body"]["data"].get("n") for place in (1, 2, 3, 4, 8, 9)]
    assert shown == [1, 1, 2, 2, 4, 4]
    assert found[4]["body"]["data"]["keep"] is True
    assert "keep" not in found[8]["body"]["data"]
    assert found[5]["body"]["data"]["deleted"] is True
    assert body_of(client.ask("GET", OTHER)) == found[8]["body"]
    assert found[2]["body"] == found[1]["body"]
    assert found[2]["headers"]["ETag"] == found[1]["headers"]["ETag"]


def test_parents_may_be_made_in_the_same_batch(client: Client) -> None:
    found = answers(
        client,
        to("PUT", RECORD, {}),
        to("PUT", BUCKET),
        to("PUT", RECORD, {}),
        to("POST", COLLECTIONS, {"id": "posts"}),
        to("PUT", GROUP, {"members": []}),
        to("POST", RECORDS, {"id": ID}),
        to("GET", "/buckets"),
    )

    assert statuses(found) == [403, 201, 404, 201, 201, 201, 200]
    assert [bucket["id"] for bucket in data_of(found[6])] == ["blog"]
    for path in (BUCKET, COLLECTION, GROUP, RECORD):
        assert client.ask("GET", path).status == 200


def test_timestamps_increase_from_answer_to_answer(client: Client) -> None:
    made(client)

    found = answers(
        client,
        *(to("POST", RECORDS, {}) for _ in range(3)),
        *(to("PATCH", RECORD, {"n": n}) for n in range(3)),
        to("DELETE", RECORD),
        to("PUT", RECORD, {}),
        to("GET", RECORDS),
    )

    times = [data_of(answer)["last_modified"] for answer in found[:-1]]
    assert times == sorted(set(times))
    assert times[0] > START_MS
    for answer, time in zip(found[3:6], times[3:6], strict=True):
        assert answer["headers"]["ETag"] == f'"{time}"'
    assert found[-1]["headers"]["ETag"] == f'"{times[-1]}"'
    assert [record["last_modified"] for record in data_of(found[-1])] == [
        times[7],
        *reversed(times[:3]),
    ]
    assert etag(client, RECORDS) == f'"{times[-1]}"'


def test_preconditions_are_about_what_those_before_have_left(client: Client) -> None:
    made(client)
    of_record, of_list = etag(client, RECORD), etag(client, RECORDS)

    found = answers(
        client,
        to("PATCH", RECORD, {"n": 1}, If_Match=of_record),
        to("PATCH", RECORD, {"n": 2}, If_Match=of_record),
        to("GET", RECORD, If_None_Match=of_record),
        to("PUT", RECORD, {}, If_None_Match="*"),
        to("PUT", OTHER, {}, If_None_Match="*"),
        to("PUT", OTHER, {}, If_None_Match="*"),
        to("DELETE", OTHER),
        to("PUT", OTHER, {}, If_None_Match="*"),
        to("POST", RECORDS, {}, If_Match=of_list),
        to("DELETE", RECORDS, If_Match=of_list),
        to("GET", RECORDS, If_None_Match=of_list),
    )

    assert statuses(found) == [200, 412, 200, 412, 201, 412, 200, 201, 412, 412, 200]
    assert found[1]["body"]["details"]["existing"] == data_of(found[0])
    assert found[1]["headers"]["ETag"] == found[0]["headers"]["ETag"]
    assert found[1]["headers"]["Last-Modified"] == found[0]["headers"]["Last-Modified"]
    assert found[5]["body"]["details"]["existing"] == data_of(found[4])
    assert found[8]["headers"]["ETag"] == f'"{data_of(found[7])["last_modified"]}"'
    assert total(found[10]) == 2


def test_a_write_let_through_by_the_lists_time_is_followed_by_others(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("POST", RECORDS, {"n": 1}, If_Match=etag(client, RECORDS)),
        to("POST", RECORDS, {"n": 2}),
    )

    assert statuses(found) == [201, 201]
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "3"


def test_lists_hold_what_is_there_by_then(client: Client, dynamo: Dynamo) -> None:
    made(client)
    fill(dynamo, 4)
    kept = etag(client, RECORDS).strip('"')
    first = f"{RECORDS}/{body_of(client.ask('GET', RECORDS, n='0'))['data'][0]['id']}"

    found = answers(
        client,
        to("GET", RECORDS),
        to("PUT", OTHER, {"n": 0, "new": True}),
        to("PATCH", first, {"n": 9}),
        to("DELETE", RECORD),
        to("HEAD", RECORDS),
        to("GET", f"{RECORDS}?n=0"),
        to("GET", f"{RECORDS}?min_n=2&_sort=-n"),
        to("GET", f"{RECORDS}?_since={kept}&_sort=last_modified"),
        to("GET", f"{RECORDS}?_limit=2"),
        to("GET", f"{RECORDS}?_fields=n&new=true"),
        to("GET", f"{RECORDS}?in_id={OTHER_ID},{ID}"),
    )

    assert total(found[0]) == 5
    assert [total(answer) for answer in found[4:]] == [5, 1, 3, 2, 5, 1, 1]
    assert [each["id"] for each in data_of(found[5])] == [OTHER_ID]
    assert [each["n"] for each in data_of(found[6])] == [9, 3, 2]
    changes = data_of(found[7])
    assert [each["id"] for each in changes] == [OTHER_ID, first[-36:], ID]
    assert changes[2]["deleted"] is True
    for answer in found[4:]:
        assert answer["headers"]["ETag"] == f'"{changes[2]["last_modified"]}"'
    page = data_of(found[8])
    assert [each["id"] for each in page] == [first[-36:], OTHER_ID]
    rest = body_of(follow(client, found[8]["headers"]["Next-Page"]))["data"]
    assert len({each["id"] for each in (*page, *rest)}) == 4


def test_the_lists_of_a_batch_are_those_that_follow_it(client: Client) -> None:
    made(client)
    parameters = [
        *(("_limit", "1"), ("_since", "0"), ("title", "One")),
        *(("_sort", "title,-id"), ("not_id", "x")),
    ]

    found = answers(
        client,
        to("POST", RECORDS, {"title": "One"}),
        to("POST", RECORDS, {"title": "Two"}),
        to("DELETE", f"{RECORDS}?title=One"),
        to("PUT", RECORD, {"title": "Three"}),
        to("PUT", f"{COLLECTIONS}/others"),
        to("DELETE", GROUP),
        *(to("GET", path) for path in (RECORDS, COLLECTIONS, GROUPS)),
        *(to("GET", f"{RECORDS}?{name}={value}") for name, value in parameters),
    )

    direct = [
        *(client.ask("GET", path) for path in (RECORDS, COLLECTIONS, GROUPS)),
        *(asked(client, parameter) for parameter in parameters),
    ]
    for answer, after in zip(found[6:], direct, strict=True):
        assert answer["body"] == after.body
        names = ("ETag", "Last-Modified", "Total-Records")
        assert [answer["headers"][name] for name in names] == [after.headers[n] for n in names]
        assert ("Next-Page" in answer["headers"]) == ("Next-Page" in after.headers)


def test_shared_lists_hold_what_was_just_shared(client: Client) -> None:
    made(client)
    bob = user_id(client, "bob")

    found = answers(
        client,
        to("GET", RECORDS, user="bob"),
        to("PUT", OTHER, {}, permissions={"read": [bob]}),
        to("GET", RECORDS, user="bob"),
        to("PATCH", RECORD, {}, permissions={"write": [bob]}),
        to("GET", RECORDS, user="bob"),
        to("DELETE", RECORDS, user="bob"),
        to("PATCH", OTHER, {}, permissions={"read": []}),
        to("GET", RECORDS, user="bob"),
        to("PUT", "/buckets/hers", permissions={"read": [bob]}),
        to("GET", "/buckets", user="bob"),
    )

    assert statuses(found) == [403, 201, 200, 200, 200, 200, 200, 403, 201, 200]
    assert [each["id"] for each in data_of(found[2])] == [OTHER_ID]
    assert [each["id"] for each in data_of(found[4])] == [ID, OTHER_ID]
    assert [each["id"] for each in data_of(found[5])] == [ID]
    assert [each["id"] for each in data_of(found[9])] == ["hers"]
    assert client.ask("GET", RECORDS, user="bob").status == 403


def test_a_member_just_added_has_what_the_group_has(client: Client) -> None:
    made(client)
    bob, group = user_id(client, "bob"), f"{BUCKET}/groups/readers"

    found = answers(
        client,
        to("PATCH", COLLECTION, {}, permissions={"read": [group]}),
        to("GET", RECORD, user="bob"),
        to("PUT", group, {"members": [bob]}),
        to("GET", RECORD, user="bob"),
        to("GET", RECORDS, user="bob"),
        to("PATCH", group, {"members": []}),
        to("GET", RECORD, user="bob"),
        to("PATCH", group, {"members": [bob]}),
        to("HEAD", RECORDS, user="bob"),
        to("DELETE", group),
        to("GET", RECORD, user="bob"),
    )

    assert statuses(found) == [200, 403, 201, 200, 200, 200, 403, 200, 200, 200, 403]


def test_a_permission_counts_from_the_next_request_on(client: Client) -> None:
    made(client)
    bob = user_id(client, "bob")

    found = answers(
        client,
        to("POST", RECORDS, {}, user="bob"),
        to("PATCH", COLLECTION, {}, permissions={"record:create": [bob]}),
        to("POST", RECORDS, {}, user="bob"),
        to("PATCH", COLLECTION, {}, permissions={"record:create": []}),
        to("POST", RECORDS, {}, user="bob"),
        to("PATCH", RECORD, {}, permissions={"read": ["system.Everyone"]}),
        to("GET", RECORD, user=""),
    )

    assert statuses(found) == [403, 200, 201, 200, 403, 200, 200]
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "2"


def test_a_record_is_validated_against_the_schema_just_stored(dynamo: Dynamo) -> None:
    client = client_at(dynamo, experimental_collection_schema_validation=True)
    made(client)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}

    found = answers(
        client,
        to("PUT", RECORD, {"n": "x"}),
        to("PATCH", COLLECTION, {"schema": schema}),
        to("PUT", RECORD, {"n": "x"}),
        to("PUT", RECORD, {"n": 1}),
        to("PATCH", COLLECTION, {"schema": {}}),
        to("PATCH", RECORD, {"n": "y"}),
    )

    assert statuses(found) == [200, 200, 400, 200, 200, 200]
    assert found[2]["body"]["details"][0]["name"] == "n"
    assert data_of(found[3])["schema"] == data_of(found[1])["last_modified"]


@pytest.mark.parametrize("path", [BUCKET, COLLECTION])
def test_what_was_in_something_deleted_is_gone_at_once(client: Client, path: str) -> None:
    made(client)
    lost = 403 if path == BUCKET else 404

    found = answers(
        client,
        to("DELETE", path),
        to("GET", RECORD),
        to("PUT", OTHER, {}),
        to("POST", RECORDS, {}),
        to("GET", RECORDS),
    )

    assert statuses(found) == [200, lost, lost, lost, lost]
    assert client.ask("GET", RECORD).status == lost


@pytest.mark.parametrize("path", [BUCKET, COLLECTION])
def test_what_is_made_anew_in_something_deleted_stays(client: Client, path: str) -> None:
    made(client)
    again = [BUCKET, COLLECTION] if path == BUCKET else [COLLECTION]

    found = answers(
        client,
        to("DELETE", path),
        *(to("PUT", each) for each in again),
        to("GET", RECORD),
        to("GET", f"{RECORDS}?_since=0"),
        to("PUT", OTHER, {"n": 1}),
        to("GET", RECORDS),
    )

    assert statuses(found) == [200, *(201 for _ in again), 404, 200, 201, 200]
    assert data_of(found[-3]) == []
    assert [each["id"] for each in data_of(found[-1])] == [OTHER_ID]
    assert body_of(client.ask("GET", RECORDS))["data"] == data_of(found[-1])
    assert client.ask("GET", RECORD).status == 404


def test_what_is_added_to_a_list_just_deleted_stays(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("POST", RECORDS, {"id": OTHER_ID}),
        to("DELETE", RECORDS),
        to("GET", f"{RECORDS}?_since=0"),
        to("POST", RECORDS, {"n": 1}),
        to("GET", RECORDS),
    )

    assert [each["id"] for each in data_of(found[1])] == [ID, OTHER_ID]
    assert {each["id"] for each in data_of(found[2])} == {ID, OTHER_ID}
    assert all(each["deleted"] for each in data_of(found[2]))
    assert [each["n"] for each in body_of(client.ask("GET", RECORDS))["data"]] == [1]


def test_created_and_deleted_leaves_a_tombstone_for_those_who_synchronize(client: Client) -> None:
    made(client)
    since = etag(client, RECORDS).strip('"')

    answers(client, to("PUT", OTHER, {}), to("DELETE", OTHER))

    (change,) = body_of(client.ask("GET", RECORDS, _since=since))["data"]
    assert change["id"] == OTHER_ID
    assert change["deleted"] is True


# As when they are sent alone

CAROL = "carol"
PLACES = [BUCKET, COLLECTION, GROUP, RECORD, OTHER, "/buckets/other", f"{COLLECTIONS}/other"]
PARENTS = ["/buckets", COLLECTIONS, GROUPS, RECORDS, f"{COLLECTIONS}/other/records"]
MADE_IN = {BUCKET: "blog", COLLECTION: "posts", GROUP: "writers", RECORD: ID, OTHER: OTHER_ID}

conditions = st.sampled_from(
    [{}, {}, {}, {"If-None-Match": "*"}, {"If-Match": f'"{START_MS}"'}, {"If-Match": '"9" '}]
)
users = st.sampled_from(["alice", "alice", "alice", "bob", ""])
contents = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"n": st.integers(0, 1)},
            optional={"members": st.sampled_from([[], ["basicauth:bob"], "bad"])},
        ).map(lambda data: {"members": [], **data})
    },
    optional={
        "permissions": st.sampled_from(
            [
                {"read": ["system.Everyone"]},
                {"write": ["system.Authenticated"]},
                {"read": [], "write": []},
                {"read": [GROUP]},
            ]
        )
    },
)
of_objects = st.builds(
    lambda method, path, body: {"method": method, "path": path, "body": body},
    st.sampled_from(["PUT", "PUT", "PUT", "PATCH", "DELETE", "GET", "HEAD"]),
    st.sampled_from(PLACES),
    contents,
)
of_lists = st.builds(
    lambda method, path, body: {"method": method, "path": path, "body": body},
    st.sampled_from(["GET", "GET", "HEAD", "DELETE", "PUT"]),
    st.builds(
        str.__add__,
        st.sampled_from(PARENTS),
        st.sampled_from(["", "", "?n=1", "?_limit=1", "?_since=0", "?_sort=-n,id", "?x=1&_to=no"]),
    ),
    st.just({}),
)
posts = st.builds(
    lambda place, body: {
        "method": "POST",
        "path": place.rpartition("/")[0],
        "body": {**body, "data": {**body["data"], "id": place.rpartition("/")[2]}},
    },
    st.sampled_from(PLACES),
    contents,
)
any_requests = st.lists(
    st.builds(
        lambda request, user, headers: {**request, "headers": headers, "user": user},
        st.one_of(of_objects, of_objects, of_lists, posts),
        users,
        conditions,
    ),
    min_size=2,
    max_size=9,
)
BEGINNING = [
    {"method": "PUT", "path": path, "body": {"data": {"members": []}}, "user": "alice"}
    for path in (BUCKET, COLLECTION, GROUP, RECORD)
]


def without_times(value: Any) -> Any:
    """An answer, whatever its timestamps and tokens are."""
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_times(each) for each in value]
    text = str(value)
    if text.startswith('"1700') or "_token=" in text or text.endswith(" GMT"):
        return "a time"
    return "a time" if isinstance(value, int) and value >= START_MS else value


def readable(client: Client) -> dict[str, Any]:
    """All that the owner of everything can read, whatever its timestamps are."""
    paths = [*PLACES, *PARENTS]
    found = {path: client.ask("GET", path) for path in paths}
    changes = {f"{path}?": client.ask("GET", path, _since="0") for path in PARENTS}
    return {
        path: (answer.status, answer.headers.get("Total-Records"), without_times(answer.body))
        for path, answer in (found | changes).items()
    }


@pytest.mark.parametrize("at_once", [True, False])
@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=any_requests, begins=st.booleans())
def test_requests_are_answered_as_if_each_had_been_sent_alone(
    dynamo: Dynamo, at_once: bool, requests: list[JsonObject], begins: bool
) -> None:
    requests = [*(BEGINNING if begins else []), *requests]
    client = client_at(dynamo, transaction_per_request=at_once)
    empty()
    alone = [ask_alone(client, request) for request in requests]
    left = readable(client)
    empty()

    together = answers(
        client,
        *(
            {
                **request,
                "headers": {
                    "Authorization": basic(request["user"]) if request["user"] else "",
                    **request.get("headers", {}),
                },
            }
            for request in requests
        ),
    )

    for request, answer, expected in zip(requests, together, alone, strict=True):
        assert answer["status"] == expected.status, request
        is_head = request["method"] == "HEAD"
        assert without_times(answer["body"]) == (
            "" if is_head else without_times(expected.body or {})
        )
        own = {"Content-Type": "application/json; charset=UTF-8"}
        headers = without_length(answer["headers"])
        assert without_times(headers) == without_times(own | dict(expected.headers))
    assert readable(client) == left


def ask_alone(client: Client, request: JsonObject) -> Response:
    path, _, query = request["path"].partition("?")
    return client.ask(
        request["method"],
        path,
        request["body"] or None,
        user=request["user"] or None,
        headers=request.get("headers"),
        **dict(each.split("=") for each in query.split("&") if each),
    )


# Headers


def test_a_request_may_act_as_somebody_else_or_as_nobody(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("GET", BUCKET),
        to("GET", BUCKET, user="bob"),
        to("GET", BUCKET, authorization=""),
        to("GET", "/", user="bob"),
        to("GET", "/", user=""),
        to("PUT", "/buckets/his", user="bob"),
    )

    assert statuses(found) == [200, 403, 401, 200, 200, 201]
    assert found[2]["headers"]["WWW-Authenticate"] == 'Basic realm="Realm"'
    assert found[2]["body"]["errno"] == 104
    assert "WWW-Authenticate" not in found[1]["headers"]
    bob = user_id(client, "bob")
    assert found[3]["body"]["user"]["id"] == bob
    assert "user" not in found[4]["body"]
    assert found[5]["body"]["permissions"]["write"] == [bob]


def test_the_batch_is_open_to_nobody_in_particular(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("GET", BUCKET),
        to("GET", BUCKET, user="bob"),
        to("GET", BUCKET, user="alice"),
        user=None,
    )

    assert statuses(found) == [401, 403, 200]


def test_preconditions_of_the_batch_hold_for_every_request(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("PUT", RECORD, {"n": 1}),
        to("PUT", OTHER, {"n": 1}),
        to("GET", RECORD),
        to("GET", OTHER, if_none_match=""),
        to("PUT", OTHER, {"n": 2}, if_none_match=""),
        headers=STAR,
    )

    assert statuses(found) == [412, 201, 304, 200, 200]


def test_304_has_its_validators_and_an_empty_object(client: Client) -> None:
    made(client)
    of_list = client.ask("GET", RECORDS)

    found = answers(
        client,
        to("GET", RECORD, If_None_Match=etag(client, RECORD)),
        to("HEAD", RECORD, If_None_Match="*"),
        to("GET", RECORDS, If_None_Match=of_list.headers["ETag"]),
    )

    assert statuses(found) == [304, 304, 304]
    assert [answer["body"] for answer in found] == [{}, "", {}]
    for name in ("ETag", "Last-Modified"):
        assert found[2]["headers"][name] == of_list.headers[name]
        assert found[0]["headers"][name] == client.ask("GET", RECORD).headers[name]
    assert not any("Cache-Control" in answer["headers"] for answer in found)


def test_response_behavior_is_inherited(client: Client) -> None:
    made(client)

    light, whole = answers(
        client,
        to("PATCH", RECORD, {"n": 1}),
        to("PATCH", RECORD, {"n": 2}, response_behavior=""),
        headers={"Response-Behavior": "light"},
    )

    assert light["body"] == {"data": {"n": 1}}
    assert whole["body"]["data"]["title"] == "One"


def test_accept_counts_for_each_request_and_not_for_the_batch(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("GET", BUCKET),
        to("GET", "/"),
        to("PUT", OTHER, {}),
        to("GET", BUCKET, accept="application/*"),
        to("GET", BUCKET, accept=""),
        headers={"Accept": "text/html"},
    )

    assert statuses(found) == [406, 200, 406, 200, 200]
    assert found[0]["body"]["details"][0]["name"] == "Accept"
    assert client.ask("GET", OTHER).status == 404


def test_a_body_is_json_whatever_the_headers_say(client: Client) -> None:
    found = answers(
        client,
        to("PUT", BUCKET, content_type="text/plain"),
        to("PUT", BUCKET, {"n": 1}, content_type="text/plain"),
        to("GET", BUCKET, content_type="text/plain"),
        to("PUT", "/buckets/other", content_type=""),
        {"method": "PUT", "path": COLLECTION},
    )

    assert statuses(found) == [415, 201, 200, 201, 201]
    assert found[0]["body"]["errno"] == 107
    assert data_of(found[2])["n"] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "TRACE"])
def test_answers_have_the_headers_of_direct_ones(client: Client, method: str) -> None:
    made(client)
    for path in ("/", "/__lbheartbeat__", "/nowhere", BUCKET, RECORD, OTHER, "/buckets/none"):
        alone = client.ask(method, path)

        (answer,) = answers(client, to(method, path))

        assert answer["status"] == alone.status
        expected = {**alone.headers, "Content-Type": "application/json; charset=UTF-8"}
        assert without_length(answer["headers"]) == expected
        assert answer["body"] == ("" if method == "HEAD" else alone.body)
        assert answer["path"] == f"/v1{path}"


def test_scripts_see_the_batch_and_each_of_its_answers(client: Client) -> None:
    made(client)

    answer = batch(
        client,
        to("GET", BUCKET),
        to("GET", BUCKET, user="bob"),
        to("GET", "/nowhere"),
        to("GET", BUCKET, origin=""),
        headers={"Origin": ORIGIN},
    )

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Expose-Headers"] == (
        "Alert, Backoff, Content-Length, Retry-After"
    )
    found = [each["headers"] for each in body_of(answer)["responses"]]
    allowed = [headers.get("Access-Control-Allow-Origin") for headers in found]
    assert allowed == ["*", "*", ORIGIN, None]
    assert "ETag" in found[0]["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in batch(client).headers


def test_origins_that_are_not_allowed_are_refused(dynamo: Dynamo) -> None:
    client = client_at(dynamo, cors_origins=(ORIGIN,))
    made(client)
    evil = "https://evil.example.org"
    before = state(client)

    refused = batch(client, to("PUT", OTHER, {}), headers={"Origin": evil})
    allowed = batch(client, to("GET", RECORD), headers={"Origin": ORIGIN})
    (own,) = answers(client, to("PUT", OTHER, {}, Origin=evil), headers={"Origin": ORIGIN})

    assert_invalid(refused, "header", "Origin", f"{evil} not allowed")
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert body_of(allowed)["responses"][0]["headers"]["Access-Control-Allow-Origin"] == ORIGIN
    assert own["status"] == 400
    assert "Access-Control-Allow-Origin" not in own["headers"]
    assert state(client) == before


def test_what_all_clients_are_to_know_is_on_the_batch(dynamo: Dynamo) -> None:
    client = client_at(dynamo, backoff=10, eos="2033-01-01", eos_message="Bye")

    answer = batch(client, to("PUT", BUCKET), to("GET", "/"))

    assert answer.headers["Backoff"] == "10"
    assert json.loads(answer.headers["Alert"])["code"] == "soft-eol"
    assert statuses(body_of(answer)["responses"]) == [201, 200]
    gone = batch(client_at(dynamo, eos="2001-01-01"), to("DELETE", BUCKET))
    assert_error(gone, 410, 202)
    assert client.ask("GET", BUCKET).status == 200


def test_an_alert_of_one_request_stays_with_it(client: Client) -> None:
    made(client)

    answer = batch(client, to("GET", f"{RECORDS}?_to=1"), to("GET", RECORDS))

    old, new = body_of(answer)["responses"]
    assert "_to is now deprecated" in old["headers"]["Alert"]
    assert "Alert" not in new["headers"]
    assert "Alert" not in answer.headers


# Paths


@pytest.mark.parametrize(
    ("path", "carried_out"),
    [
        ("/buckets/blog", "/v1/buckets/blog"),
        ("/v1/buckets/blog", "/v1/buckets/blog"),
        ("/buckets/%62log", "/v1/buckets/blog"),
        ("/%76%31/buckets/blog", "/v1/buckets/blog"),
        ("/buckets/blog?_fields=id", "/v1/buckets/blog"),
        ("/buckets/blog/?_fields=id", "/v1/buckets/blog"),
        ("/buckets/blog///", "/v1/buckets/blog"),
        ("/v1", "/v1/"),
        ("/v1?x=1", "/v1/"),
        ("/", "/v1/"),
        ("//", "/v1/"),
        (f"{PERSONAL}/", f"/v1{PERSONAL}"),
        (f"{TASKS}/records/?_limit=1", f"/v1{TASKS}/records"),
        (f"{PERSONAL}/collections/t%61sks", f"/v1{TASKS}"),
    ],
)
def test_path_is_the_one_carried_out(client: Client, path: str, carried_out: str) -> None:
    made(client)

    get, head = answers(client, to("GET", path), to("HEAD", path))

    assert (get["status"], get["path"]) == (200, carried_out)
    assert (head["status"], head["path"], head["body"]) == (200, carried_out, "")
    assert "Location" not in get["headers"]
    if "_fields" in path:
        assert data_of(get).keys() == {"id", "last_modified"}


@pytest.mark.parametrize(
    ("path", "carried_out"),
    [
        ("/nowhere/", "/v1/nowhere"),
        ("/v1/nowhere/?a=1", "/v1/nowhere"),
        ("/v1buckets", "/v1/v1buckets"),
        ("/v2/buckets", "/v1/v2/buckets"),
        ("/été/ü", "/v1/été/ü"),
        ("/%C3%A9t%C3%A9", "/v1/été"),
        ("/buckets%3Fx", "/v1/buckets?x"),
        ("/a%2520b/", "/v1/a%20b"),
        ("/a%25%2Fb%3F%23/", "/v1/a%/b?#"),
        ("//evil.example.org/", "/v1//evil.example.org"),
    ],
)
def test_an_unknown_path_is_404_at_its_address(client: Client, path: str, carried_out: str) -> None:
    for method in ("GET", "POST", "DELETE", "TRACE"):
        (answer,) = answers(client, to(method, path))

        assert answer["path"] == carried_out
        assert answer["status"] == 404
        assert answer["body"]["errno"] == 111


def test_a_redirected_write_is_the_same_write(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("POST", f"{RECORDS}/", {"title": "été"}),
        to("PUT", f"{RECORD}//", {}, If_None_Match="*"),
        to("GET", f"{RECORDS}/?title=été"),
        to("GET", f"{RECORDS}?title=%C3%A9t%C3%A9"),
        to("POST", f"{TASKS}/records/", {"n": 1}),
        to("GET", f"{TASKS}/records/"),
    )

    assert statuses(found) == [201, 412, 200, 200, 201, 200]
    assert data_of(found[2]) == data_of(found[3]) == [data_of(found[0])]
    assert data_of(found[5]) == [data_of(found[4])]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/batch", "/v1/batch/?x=1", "/%62atch"])
def test_a_batch_in_a_batch_is_refused_before_anything(
    client: Client, calls: CountedCalls, method: str, path: str
) -> None:
    answer = batch(client, to("PUT", BUCKET), to(method, path, {}))

    message = "Recursive call on /batch endpoint is forbidden."
    assert_invalid(answer, "body", "requests", message)
    assert calls.take() == {}


def test_a_bad_payload_carries_out_nothing(client: Client, calls: CountedCalls) -> None:
    answer = batch(client, to("PUT", BUCKET), {"path": BUCKET, "method": "get"})

    assert_error(answer, 400, 107)
    assert "responses" not in body_of(answer, 400)
    assert calls.take() == {}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
def test_batches_are_posted(client: Client, method: str) -> None:
    answer = client.ask(method, "/batch", {"requests": []})

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_more_requests_than_may_be_are_refused(client: Client, calls: CountedCalls) -> None:
    answer = batch(client, *(to("PUT", BUCKET) for _ in range(26)))

    assert_invalid(answer, "body", "requests", "Number of requests is limited to 25")
    assert calls.take() == {}


def test_there_may_be_no_limit(dynamo: Dynamo) -> None:
    client = client_at(dynamo, batch_max_requests=0)

    found = answers(client, to("PUT", BUCKET), *(to("PATCH", BUCKET, {"n": n}) for n in range(60)))

    assert statuses(found) == [201, *[200] * 60]
    assert body_of(client.ask("GET", BUCKET))["data"]["n"] == 59
    assert body_of(client.ask("GET", "/"))["settings"]["batch_max_requests"] == 0


# Refusals


def test_a_client_error_leaves_the_others_stored_and_nothing_of_itself(client: Client) -> None:
    made(client)
    bad_id = f"{RECORDS}/not-a-uuid"

    found = answers(
        client,
        to("PUT", OTHER, {"n": 1}),
        to("POST", RECORDS, {"id": "not a uuid"}),
        to("PUT", bad_id, {}),
        to("PUT", RECORD, {"id": OTHER_ID}),
        to("PUT", RECORD, {}, permissions={"fly": []}),
        to("PUT", RECORD, {}, If_Match="x"),
        to("GET", f"{RECORDS}?_since=x"),
        to("PUT", f"{GROUPS}/g", {"members": 1}),
        to("PUT", RECORD, {}, user="bob"),
        to("DELETE", f"{RECORDS}/33333333-3333-4333-8333-333333333333"),
        to("PUT", RECORDS, {}),
        to("TRACE", RECORD),
        to("POST", RECORDS, {"n": 2}),
    )

    assert statuses(found) == [201, *[400] * 7, 403, 404, 405, 405, 201]
    for answer in found[1:-1]:
        assert answer["body"]["code"] == answer["status"]
        assert answer["body"].keys() >= {"code", "errno", "error"}
    for answer in found[1:8]:
        assert answer["body"]["errno"] == 107
        assert answer["body"]["details"]
    assert found[10]["headers"]["Allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
    assert [each.get("n") for each in body_of(client.ask("GET", RECORDS))["data"]] == [2, 1, None]
    assert body_of(client.ask("GET", RECORD))["data"]["title"] == "One"
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "3"


def test_a_batch_that_is_refused_throughout_writes_nothing(
    client: Client, calls: CountedCalls
) -> None:
    made(client)
    before = state(client)
    calls.take()

    found = answers(
        client,
        to("POST", RECORDS, {"id": "bad"}),
        to("PUT", RECORD, {}, If_None_Match="*"),
        to("DELETE", BUCKET, user="bob"),
    )

    assert statuses(found) == [400, 412, 403]
    assert calls.take() == {"BatchGetItem": 1}
    assert state(client) == before


def test_a_refused_use_of_a_personal_bucket_creates_nothing(client: Client) -> None:
    bucket = body_of(client.ask("GET", "/"))["user"]["bucket"]

    found = answers(
        client,
        to("POST", f"{TASKS}/records", {"id": "bad"}),
        to("GET", f"/buckets/{bucket}"),
        to("GET", f"{PERSONAL}/collections/!"),
        to("GET", f"/buckets/{bucket}"),
        to("GET", PERSONAL, user=""),
        to("GET", PERSONAL),
        to("GET", f"/buckets/{bucket}/collections/tasks"),
    )

    assert statuses(found) == [400, 403, 400, 403, 401, 200, 404]
    assert found[4]["headers"]["WWW-Authenticate"] == 'Basic realm="Realm"'
    assert client.ask("GET", f"/buckets/{bucket}/collections/tasks").status == 404


def test_a_personal_bucket_is_created_once(client: Client) -> None:
    found = answers(
        client,
        to("GET", PERSONAL),
        to("POST", f"{TASKS}/records", {"n": 1}),
        to("GET", TASKS),
        to("PUT", PERSONAL, {"title": "Mine"}),
        to("GET", f"{TASKS}/records"),
        to("GET", PERSONAL, user="bob"),
        to("GET", f"{TASKS}/records", user="bob"),
    )

    assert statuses(found) == [200, 201, 200, 200, 200, 200, 200]
    assert total(found[4]) == 1
    assert total(found[6]) == 0
    assert data_of(found[0])["id"] == data_of(found[3])["id"] != data_of(found[5])["id"]
    assert body_of(client.ask("GET", PERSONAL))["data"] == data_of(found[3])


def test_a_read_only_service_reads_in_batches(dynamo: Dynamo) -> None:
    client = client_at(dynamo)
    made(client)
    before = state(client)

    found = answers(
        client_at(dynamo, readonly=True),
        to("GET", RECORD),
        to("PUT", RECORD, {}),
        to("POST", RECORDS, {}),
        to("DELETE", RECORDS),
        to("GET", PERSONAL),
        to("GET", PERSONAL, user=""),
        to("GET", RECORDS),
        to("GET", "/__heartbeat__"),
    )

    assert statuses(found) == [200, 405, 405, 405, 405, 401, 200, 200]
    assert {answer["body"]["errno"] for answer in found[1:5]} == {115}
    assert state(client) == before


def test_what_is_switched_off_is_refused_in_batches(dynamo: Dynamo) -> None:
    client = client_at(dynamo, switched_off=frozenset({"record_bucket_put"}))

    put, post = answers(client, to("PUT", BUCKET), to("POST", "/buckets", {"id": "blog"}))

    assert put["status"] == 405
    assert put["headers"]["Allow"] == "GET, HEAD, PATCH, DELETE, OPTIONS"
    assert post["status"] == 201


def test_head_of_an_error_has_an_empty_text(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("HEAD", OTHER),
        to("HEAD", RECORD, user="bob"),
        to("HEAD", RECORD, If_Match='"1"'),
    )

    assert statuses(found) == [404, 403, 412]
    assert [answer["body"] for answer in found] == ["", "", ""]


# Flush and heartbeat


def test_a_flush_in_a_batch_removes_what_was_there_before_it(dynamo: Dynamo) -> None:
    client = client_at(dynamo, flush_endpoint_enabled=True)
    made(client)

    found = answers(
        client,
        to("PUT", "/buckets/other"),
        to("POST", "/__flush__"),
        to("GET", BUCKET),
        to("PUT", "/buckets/other"),
        to("GET", "/buckets?_since=0"),
        to("PUT", BUCKET),
        to("GET", COLLECTIONS),
    )

    assert statuses(found) == [201, 202, 403, 201, 200, 201, 200]
    assert found[1]["body"] == {}
    assert found[1]["path"] == "/v1/__flush__"
    assert [each["id"] for each in data_of(found[4])] == ["other"]
    assert data_of(found[6]) == []
    assert client.ask("GET", COLLECTION).status == 404
    assert {each["id"] for each in body_of(client.ask("GET", "/buckets"))["data"]} == {
        "blog",
        "other",
    }


def test_a_flush_is_rolled_back_with_its_batch(wire: Wire) -> None:
    client = client_at(wire.dynamo, flush_endpoint_enabled=True)
    made(client)
    before = state(client)
    wire.before = at(TRANSACT, 1, raising(RuntimeError("a mistake of ours")))

    answer = batch(client, to("POST", "/__flush__"), to("PUT", BUCKET))

    assert_error(answer, 500, 999)
    assert state(client) == before


def test_a_failing_heartbeat_is_an_answer(client: Client, wire: Wire) -> None:
    made(client)

    def refuse(_call: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "PutItem" and "access" in arguments["TableName"]:
            raise client_error("ThrottlingException", operation=operation)

    wire.before = refuse

    found = answers(client, to("PUT", OTHER, {}), to("GET", "/__heartbeat__"), to("GET", OTHER))

    assert statuses(found) == [201, 503, 200]
    assert found[1]["body"] == {"storage": True, "permission": False, "cache": True}
    assert client.ask("GET", OTHER).status == 200


# What is nobody's fault


def raising(failure: Exception) -> Callable[[], object]:
    """What fails so."""

    def fail() -> None:
        raise failure

    return fail


def failing_list(failure: Exception) -> Hook:
    """Let no list be read."""

    def hook(_call: int, operation: str, arguments: dict[str, Any]) -> None:
        if operation == "Query" and "IndexName" in arguments:
            raise failure

    return hook


WRITING = [
    to("PUT", OTHER, {}),
    to("POST", f"{TASKS}/records", {}),
    to("DELETE", RECORD),
    to("GET", RECORDS),
    to("PUT", "/buckets/later"),
]
THROTTLED = client_error("ThrottlingException", operation="Query")


@pytest.mark.parametrize(
    ("failure", "status", "errno", "retry_after"),
    [(RuntimeError("a mistake of ours"), 500, 999, None), (THROTTLED, 503, 201, "3")],
)
def test_a_failure_rolls_everything_back(
    client: Client,
    wire: Wire,
    failure: Exception,
    status: int,
    errno: int,
    retry_after: str | None,
) -> None:
    made(client)
    before = state(client)
    wire.before = failing_list(failure)
    lines = Lines()

    with heard_by(lines, logging.INFO):
        answer = batch(client, *WRITING, headers={"Origin": ORIGIN})

    assert_error(answer, status, errno)
    assert "responses" not in body_of(answer, status)
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert state(client) == before
    assert not [line for line in lines.messages if line.startswith("subrequest.summary")]
    (summary,) = [line for line in lines.messages if "request.summary" in line]
    assert f'"POST  /v1/batch" {status} ' in summary
    wire.quiet()
    assert statuses(answers(client, *WRITING)) == [201, 201, 200, 200, 201]


def test_a_policy_that_can_not_tell_now_stops_the_batch(dynamo: Dynamo) -> None:
    class Moody:
        name = challenge = "moody"

        def user_id(self, request: Request) -> str | None:
            if "moody" in request.headers:
                raise RuntimeError("a mistake of ours")
            return None

    ours = Settings(stage=STAGE, userid_hmac_secret=SECRET)
    policies: list[Policy] = [Moody(), BasicPolicy(SECRET)]
    client = Client(Service(ours, Storage(dynamo, SetClock()), policies))

    answer = batch(client, to("PUT", BUCKET), to("GET", BUCKET, moody="1"))

    assert_error(answer, 500, 999)
    assert client.ask("GET", BUCKET).status == 403


@pytest.mark.parametrize(
    ("failure", "status", "errno"),
    [(RuntimeError("a mistake of ours"), 500, 999), (THROTTLED, 503, 201)],
)
def test_each_write_may_be_stored_at_once(
    wire: Wire, failure: Exception, status: int, errno: int
) -> None:
    client = client_at(wire.dynamo, transaction_per_request=False)
    made(client)
    wire.before = failing_list(failure)
    lines = Lines()

    with heard_by(lines, logging.INFO):
        answer = batch(client, *WRITING)

    assert_error(answer, status, errno)
    assert "responses" not in body_of(answer, status)
    assert "Retry-After" not in answer.headers  # a part is carried out
    wire.quiet()
    assert client.ask("GET", OTHER).status == 200
    assert client.ask("GET", RECORD).status == 404
    assert client.ask("GET", f"{TASKS}/records").headers["Total-Records"] == "1"
    assert client.ask("GET", "/buckets/later").status == 403
    told = [line for line in lines.messages if line.startswith("subrequest.summary")]
    assert len(told) == 3


def test_nothing_stored_yet_may_be_repeated(wire: Wire) -> None:
    client = client_at(wire.dynamo, transaction_per_request=False)
    made(client)
    wire.before = failing_list(THROTTLED)

    answer = batch(client, to("GET", RECORDS), to("PUT", OTHER, {}))

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"


def test_what_is_stored_at_once_is_answered_the_same(dynamo: Dynamo, calls: CountedCalls) -> None:
    client = client_at(dynamo, transaction_per_request=False)
    made(client)
    calls.take()

    found = answers(
        client,
        to("PUT", OTHER, {"n": 1}),
        to("PUT", OTHER, {}, If_None_Match="*"),
        to("GET", f"{OTHER}/"),
        to("POST", f"{TASKS}/records", {}),
        to("DELETE", OTHER),
    )

    assert statuses(found) == [201, 412, 200, 201, 200]
    assert found[2]["path"] == f"/v1{OTHER}"
    assert data_of(found[2])["n"] == 1
    assert calls.take()["TransactWriteItems"] == 3


# Others who write at the same time


def test_a_rival_makes_the_batch_run_again_with_its_preconditions(
    client: Client, rival: Client, wire: Wire
) -> None:
    made(client)
    seen = etag(client, RECORD)
    wire.before = at(TRANSACT, 1, lambda: rival.ask("PATCH", RECORD, {"data": {"by": "rival"}}))
    lines = Lines()

    with heard_by(lines, logging.INFO):
        found = answers(
            client,
            to("POST", RECORDS, {"n": 1}),
            to("PATCH", RECORD, {"by": "batch"}, If_Match=seen),
            to("GET", f"{RECORDS}/"),
            to("PATCH", f"{RECORD}/", {"also": True}),
        )

    assert statuses(found) == [201, 412, 200, 200]
    assert found[1]["body"]["details"]["existing"]["by"] == "rival"
    assert data_of(found[3])["by"] == "rival"
    assert total(found[2]) == 2
    records = body_of(client.ask("GET", RECORDS))["data"]
    assert [each.get("by") for each in records] == ["rival", None]
    assert [each.get("also") for each in records] == [True, None]
    told = [line for line in lines.messages if line.startswith("subrequest.summary")]
    assert len(told) == 4  # of the attempt that counts


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (("PUT", OTHER, {"data": {"by": "rival"}}), [412, 200]),
        (("DELETE", RECORD, None), [201, 404]),
        (("DELETE", COLLECTION, None), [404, 404]),
        (("PATCH", BUCKET, {"permissions": {"write": ["somebody"]}}), [201, 200]),
    ],
    ids=str,
)
def test_a_batch_decides_anew_on_what_it_was_overtaken_by(
    client: Client,
    rival: Client,
    wire: Wire,
    act: tuple[str, str, JsonObject | None],
    expected: list[int],
) -> None:
    made(client)
    wire.before = at(TRANSACT, 1, lambda: rival.ask(*act))

    found = answers(client, to("PUT", OTHER, {}, If_None_Match="*"), to("PATCH", RECORD, {}))

    assert statuses(found) == expected


def test_a_conflict_that_goes_on_is_503_and_stores_nothing(
    client: Client, rival: Client, wire: Wire
) -> None:
    made(client)
    wire.before = from_on(TRANSACT, 1, lambda: rival.ask("PATCH", RECORD, {"data": {"by": "r"}}))
    hurried = Client(client.service, lambda: Patience(4.6))
    lines = Lines()

    with heard_by(lines, logging.INFO):
        answer = batch(hurried, to("PUT", "/buckets/new"), to("PATCH", RECORD, {"by": "batch"}))

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"
    assert "responses" not in body_of(answer, 503)
    wire.quiet()
    assert client.ask("GET", "/buckets/new").status == 403
    assert body_of(client.ask("GET", RECORD))["data"]["by"] == "r"
    assert not [line for line in lines.messages if line.startswith("subrequest.summary")]


def test_two_batches_that_meet_are_carried_out_one_after_the_other(
    client: Client, rival: Client, wire: Wire
) -> None:
    made(client)

    def counting(n: int) -> list[JsonObject]:
        return [
            to("PATCH", RECORD, {f"n{n}": 1}),
            to("POST", RECORDS, {"n": n}),
            to("PUT", f"/buckets/b{n}"),
            to("PATCH", COLLECTION, {f"n{n}": 1}),
        ]

    others: list[list[JsonObject]] = []
    wire.before = at(TRANSACT, 1, lambda: others.append(answers(rival, *counting(1))))

    found = answers(client, *counting(2))

    assert statuses(found) == statuses(others[0]) == [200, 201, 201, 200]
    assert data_of(found[0])["n1"] == 1
    assert "n2" not in data_of(others[0][0])
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "3"


# The log


def test_the_log_has_one_summary_and_a_line_for_each_request(client: Client) -> None:
    made(client)
    lines = Lines()

    with heard_by(lines, logging.INFO):
        answers(
            client,
            to("GET", f"{RECORD}/?_fields=id"),
            to("PUT", RECORD, {}, If_None_Match="*"),
            to("HEAD", "/nowhere"),
            to("GET", PERSONAL),
        )

    assert lines.messages[:-1] == [
        f"subrequest.summary code=200 method=GET path=/v1{RECORD}",
        f"subrequest.summary code=412 method=PUT path=/v1{RECORD}",
        "subrequest.summary code=404 method=HEAD path=/v1/nowhere",
        f"subrequest.summary code=200 method=GET path=/v1{PERSONAL}",
    ]
    assert lines.messages[-1].startswith('"POST  /v1/batch" 200 ')


def test_no_path_of_a_request_writes_a_line_of_the_log(client: Client) -> None:
    lines = Lines()

    with heard_by(lines, logging.INFO):
        answers(client, to("GET", "/a%0Asubrequest.summary code=200"))

    assert len(lines.messages) == 2
    assert not any("\n" in line for line in lines.messages)


# Round trips

READ = {"BatchGetItem": 1}
WRITTEN = {"BatchGetItem": 1, "TransactWriteItems": 1}


def record(number: int) -> str:
    return f"{RECORDS}/{number:08x}-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("request_of", "cost"),
    [
        (lambda n: to("POST", RECORDS, {"n": n}), WRITTEN),
        (lambda n: to("POST", RECORDS, {"id": record(n)[-36:]}), WRITTEN),
        (lambda n: to("PUT", record(n), {"n": n}), WRITTEN),
        (lambda n: to("PUT", record(n % 2), {"n": n}), WRITTEN),
        (lambda n: to("PATCH", RECORD, {"n": n}), WRITTEN),
        (lambda n: to("PATCH", [BUCKET, COLLECTION, RECORD][n % 3], {"n": n}), WRITTEN),
        (lambda n: to("POST", [COLLECTIONS, RECORDS][n % 2], {"n": n}), WRITTEN),
        (lambda n: to("PUT", f"{RECORDS}/", {"n": n}), {}),
        (lambda n: to("GET", record(n)), READ),
        (lambda n: to("GET", [BUCKET, COLLECTION, GROUP, RECORD][n % 4]), READ),
        (lambda n: to("GET", [BUCKET, RECORD][n % 2], user=""), READ),
        (lambda n: to("PUT", RECORD, {"n": n}, If_Match='"1"'), READ),
        (lambda n: to("GET", ["/nowhere", "/", "/__lbheartbeat__"][n % 3]), {}),
    ],
)
def test_what_25_requests_need_is_read_at_once_and_written_at_once(
    client: Client,
    calls: CountedCalls,
    request_of: Callable[[int], JsonObject],
    cost: dict[str, int],
) -> None:
    made(client)
    calls.take()

    answers(client, *map(request_of, range(25)))

    assert calls.take() == cost


def test_lists_in_a_batch_cost_their_pages_more(client: Client, calls: CountedCalls) -> None:
    made(client)
    calls.take()

    found = answers(
        client,
        to("GET", RECORD),
        to("GET", RECORDS),
        to("GET", f"{RECORDS}?_limit=1"),
        to("GET", f"{RECORDS}?_since=0"),
        to("GET", COLLECTIONS),
        to("POST", RECORDS, {}),
    )

    assert statuses(found) == [200] * 5 + [201]
    # what decides, and then what each list holds
    assert calls.take() == {"BatchGetItem": 1, "Query": 4, "TransactWriteItems": 1}


def test_a_group_that_decides_costs_one_more_read_for_all(
    client: Client, calls: CountedCalls
) -> None:
    made(client)
    client.ask("PATCH", COLLECTION, {"permissions": {"read": [GROUP]}})
    bob = user_id(client, "bob")
    client.ask("PATCH", GROUP, {"data": {"members": [bob]}})
    calls.take()

    found = answers(client, *(to("GET", RECORD, user="bob") for _ in range(5)))

    assert statuses(found) == [200] * 5
    assert calls.take() == {"BatchGetItem": 2}  # the group decides: one more, once


def test_a_personal_bucket_in_a_batch_is_read_once(client: Client, calls: CountedCalls) -> None:
    client.ask("GET", PERSONAL)
    calls.take()

    answers(client, *(to("POST", f"{TASKS}/records", {"n": n}) for n in range(25)))

    assert calls.take() == WRITTEN


def without_length(headers: dict[str, str]) -> dict[str, str]:
    """The headers but the one that the gateway gives a direct answer."""
    assert headers["Content-Length"].isdigit()
    return {name: value for name, value in headers.items() if name != "Content-Length"}


def test_each_answer_tells_its_length_as_it_would_be_sent_alone(client: Client) -> None:
    made(client)

    got, missing = answers(client, to("GET", BUCKET), to("HEAD", BUCKET))

    sent = json.dumps(got["body"], ensure_ascii=False, separators=(",", ":")).encode()
    assert got["headers"]["Content-Length"] == str(len(sent))
    assert missing["headers"]["Content-Length"] == str(len(sent))
