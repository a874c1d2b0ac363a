"""`POST /v1/__flush__`: `chalicelib/plugins/flush.py`. Rule: spec, "The service", section 3."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.api.plugins import Plugins
from chalicelib.api.service import Service
from chalicelib.api.subscribers import ServerFlushed
from chalicelib.plugins import flush as flushing
from chalicelib.protocol.errors import BACKEND, ProtocolError
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.keys import clock_key
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    LISTS,
    MEMBERS,
    OBJECTS,
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
from tests.api.test_preflight import APP, METHOD, preflight, problems
from tests.api.test_server import ALWAYS
from tests.doubles import SECRET, Client, CountedCalls, SetClock, heard_by
from tests.plugins.clients import DEFAULT_BUCKET, client_of, real_bucket
from tests.shared_moto import empty, empty_streams, put_directly, restore, saved
from tests.storage.stand_ins import TRANSACT, Hook, Wire, client_error
from tests.storage.test_purge import Changes, settle
from tests.test_observability import Lines

FLUSH = "/__flush__"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")

# What subscribers of this module, which is a plugin, have heard; and what they do.
HEARD: list[ServerFlushed] = []
ACTIONS: list[Callable[[], Any]] = []


def includeme(app: Plugins) -> None:
    def fail(_event: ServerFlushed) -> None:
        raise RuntimeError(f"a mistake of the subscriber, who knows {SECRET}")

    def hear(event: ServerFlushed) -> None:
        HEARD.append(event)
        for do in ACTIONS:
            do()

    app.add_subscriber(fail, ServerFlushed)
    app.add_subscriber(hear, ServerFlushed)


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    HEARD.clear()
    ACTIONS.clear()


@pytest.fixture
def client(dynamo: Dynamo, clock: SetClock) -> Client:
    """A client of a service that can be flushed."""
    return client_of(dynamo, clock, flush_endpoint_enabled=True)


@pytest.fixture
def ours(wire: Wire, clock: SetClock) -> Client:
    """The same, at the end of a wire that can fail; this module is a plugin of it."""
    return client_of(wire.dynamo, clock, flush_endpoint_enabled=True, includes=(__name__,))


@pytest.fixture
def log() -> Iterator[Lines]:
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


def timestamp(client: Client, path: str) -> int:
    """That of a list."""
    return int(client.ask("GET", path).headers["ETag"].strip('"'))


def buckets(client: Client) -> list[str]:
    """The ids of all buckets and tombstones that there are, whoever asks the service of a client.

    Tombstones of buckets are shown to whom a setting shows all buckets.
    """
    service = client.service
    settings = replace(
        service._settings, bucket_read_principals=frozenset({"system.Everyone"}), includes=()
    )
    seer = Client(Service(settings, service._storage, []))
    found = body_of(seer.ask("GET", "/buckets", user=None, _since="0"))["data"]
    return [each["id"] for each in found]


def is_all_gone(client: Client, user: str = "alice") -> bool:
    """Whether a user sees nothing of what `made` has made."""
    answers = [client.ask("GET", path, user=user) for path in (*OBJECTS, *LISTS)]
    return {answer.status for answer in answers} == {403} and buckets(client) == []


# The answer


def test_anybody_may_whatever_he_sends(client: Client) -> None:
    wrong = {
        "Accept": "text/html",
        "Content-Type": "text/plain",
        "If-Match": '"1"',
        "If-None-Match": "*",
        "Authorization": "Basic !",
    }
    requests: list[tuple[str | None, dict[str, Any]]] = [
        (None, {}),
        ("alice", {"data": {}}),
        ("bob", {"body": b"{", "headers": wrong, "_since": "soon"}),
    ]
    for user, asked in requests:
        made(client)

        answer = client.ask("POST", FLUSH, user=user, **asked)

        assert (answer.status, answer.body) == (202, {})
        assert is_all_gone(client)


def test_there_may_be_nothing_to_flush(client: Client) -> None:
    for _time in range(2):
        before = timestamp(client, "/buckets")
        assert client.ask("POST", FLUSH).status == 202
        assert timestamp(client, "/buckets") > before
    assert buckets(client) == []


def test_other_methods_are_refused(client: Client) -> None:
    made(client)
    before = state(client)

    for method in METHODS:
        if method not in ("POST", "OPTIONS"):
            answer = client.ask(method, FLUSH, headers={"Origin": APP})
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST, OPTIONS"
            if method != "HEAD":
                assert_error(answer, 405, 115)
    assert state(client) == before


def test_it_is_not_there_unless_a_setting_says_so(dynamo: Dynamo) -> None:
    client = client_of(dynamo)
    made(client)
    before = state(client)

    for method in METHODS:
        answer = client.ask(method, FLUSH)
        assert answer.status == 404
        if method != "HEAD":
            assert_error(answer, 404, 111)
    assert "flush_endpoint" not in body_of(client.ask("GET", "/"))["capabilities"]
    assert state(client) == before


def test_a_service_that_is_only_read_refuses_it(client: Client, dynamo: Dynamo) -> None:
    made(client)
    before = state(client)
    readonly = client_of(dynamo, flush_endpoint_enabled=True, readonly=True)

    for method in METHODS:
        if method != "OPTIONS":
            assert readonly.ask(method, FLUSH).status == 405
    assert problems(preflight(readonly, FLUSH, "POST")) == [(METHOD, "Method not allowed")]
    assert_error(readonly.ask("POST", FLUSH), 405, 115)
    assert state(client) == before


def test_the_root_view_announces_it(client: Client) -> None:
    assert body_of(client.ask("GET", "/", user=None))["capabilities"]["flush_endpoint"] == {
        "description": "The __flush__ endpoint can be used to remove all data from all backends.",
        "url": "http://kinto.readthedocs.org/en/latest/configuration/settings.html"
        "#activating-the-flush-endpoint",
    }


@pytest.mark.parametrize("path", ["/__flush__/", "/__flush__/all", "/__FLUSH__"])
def test_no_other_address_flushes(client: Client, path: str) -> None:
    made(client)
    before = state(client)

    assert client.ask("POST", path).status in (307, 404)
    assert state(client) == before


def test_a_script_may_ask_what_it_may_send(client: Client) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}

    answer = client.ask("OPTIONS", FLUSH, user=None, headers=asked)

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Methods"] == "POST,OPTIONS"


def test_it_is_cors_as_elsewhere(client: Client, dynamo: Dynamo) -> None:
    answer = client.ask("POST", FLUSH, headers={"Origin": APP})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == ALWAYS
    assert "Access-Control-Allow-Origin" not in client.ask("POST", FLUSH).headers

    strict = client_of(dynamo, flush_endpoint_enabled=True, cors_origins=(APP,))
    allowed = strict.ask("POST", FLUSH, headers={"Origin": APP})
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (202, APP)
    made(client)
    before = state(client)
    evil = "https://evil.example.org"
    refused = strict.ask("POST", FLUSH, headers={"Origin": evil})
    assert_invalid(refused, "header", "Origin", f"{evil} not allowed")
    assert state(client) == before


# What is gone


def test_nothing_is_left_for_anybody(client: Client) -> None:
    made(client)
    everybody = {"permissions": {"read": ["system.Everyone"], "write": ["system.Everyone"]}}
    for path in OBJECTS:
        client.ask("PATCH", path, everybody)
    client.ask("PUT", "/buckets/bobs", user="bob")
    client.ask("PUT", f"{RECORDS}/{OTHER_ID}")
    client.ask("DELETE", f"{RECORDS}/{OTHER_ID}")
    client.ask("PUT", "/buckets/deleted")
    client.ask("DELETE", "/buckets/deleted")

    assert client.ask("POST", FLUSH).status == 202

    for user in ("alice", "bob"):
        assert is_all_gone(client, user)
        assert body_of(client.ask("GET", "/buckets", user=user, _since="0")) == {"data": []}
        assert client.ask("GET", "/buckets", user=user).headers["Total-Records"] == "0"
        assert_error(client.ask("GET", "/buckets/bobs", user=user), 403, 121)
    assert_error(client.ask("GET", RECORD, user=None), 401, 104)


def test_all_can_be_created_again_at_once_and_is_new(client: Client) -> None:
    bob = user_id(client, "bob")
    made(client)
    client.ask("PATCH", GROUP, {"data": {"members": [bob]}})
    client.ask("PATCH", RECORD, {"data": {"old": 1}, "permissions": {"read": [bob]}})
    client.ask("PUT", f"{RECORDS}/{OTHER_ID}", {"permissions": {"read": [GROUP]}})
    client.ask("DELETE", f"{RECORDS}/{OTHER_ID}")
    times = {path: timestamp(client, path) for path in ("/buckets", *LISTS)}

    assert client.ask("POST", FLUSH).status == 202

    assert timestamp(client, "/buckets") > times["/buckets"]
    created = body_of(client.ask("PUT", BUCKET), 201)
    assert created["data"].keys() == {"id", "last_modified"}
    assert created["data"]["last_modified"] > times["/buckets"]
    for path in (COLLECTIONS, GROUPS):
        assert body_of(client.ask("GET", path, _since="0")) == {"data": []}
    assert client.ask("PUT", COLLECTION, {"permissions": {"read": [GROUP]}}).status == 201
    assert body_of(client.ask("GET", RECORDS, _since="0")) == {"data": []}
    for path in LISTS:
        assert timestamp(client, path) > times[path]
    record = body_of(client.ask("PUT", RECORD), 201)
    assert record["permissions"].keys() == {"write"}
    for path in (COLLECTION, RECORD, RECORDS):
        assert_error(client.ask("GET", path, user="bob"), 403, 121)
    assert client.ask("PUT", GROUP, MEMBERS).status == 201
    assert_error(client.ask("GET", RECORD, user="bob"), 403, 121)


def test_who_syncs_learns_that_the_list_is_another_one(client: Client) -> None:
    made(client)
    etag = client.ask("GET", RECORDS).headers["ETag"]
    client.ask("POST", FLUSH)
    for path in (BUCKET, COLLECTION):
        client.ask("PUT", path)

    unmodified = client.ask("GET", RECORDS, headers={"If-None-Match": etag})
    stale = client.ask("POST", RECORDS, {}, headers={"If-Match": etag})

    assert (unmodified.status, stale.status) == (200, 412)


def test_default_buckets_go_and_come_back_under_the_same_ids(dynamo: Dynamo) -> None:
    client = client_of(dynamo, flush_endpoint_enabled=True, includes=(DEFAULT_BUCKET,))
    real = real_bucket(client)
    path = "/buckets/default/collections/tasks/records"
    client.ask("POST", path, {"data": {"a": 1}})

    assert client.ask("POST", FLUSH).status == 202

    assert_error(client.ask("GET", real), 403, 121)
    assert body_of(client.ask("GET", path, _since="0")) == {"data": []}
    assert client.ask("GET", real).status == 200


def test_what_it_leaves_is_purged_to_the_clocks(client: Client, wire: Wire) -> None:
    bob = user_id(client, "bob")
    made(client)
    changes = Changes(wire)
    client.ask("PATCH", GROUP, {"data": {"members": [bob, "carol"]}})
    client.ask("PATCH", RECORD, {"permissions": {"read": [bob, GROUP]}})
    for method in ("PUT", "DELETE"):
        client.ask(method, f"{RECORDS}/{OTHER_ID}")
        client.ask(method, "/buckets/deleted")
        settle(wire, changes)
    assert "deleted" in buckets(client)

    client.ask("POST", FLUSH)
    settle(wire, changes)

    assert {key.id for key in wire.items()} == {".clock"}
    assert wire.rows() == {}
    assert client.ask("PUT", BUCKET).status == 201
    assert buckets(client) == ["blog"]


def test_what_is_made_again_before_the_purge_stays(client: Client, wire: Wire) -> None:
    made(client)
    changes = Changes(wire)

    client.ask("POST", FLUSH)
    for path in (BUCKET, COLLECTION, RECORD):
        assert client.ask("PUT", path, {"data": {"new": True}}).status == 201
    settle(wire, changes)

    assert [each["new"] for each in body_of(client.ask("GET", RECORDS))["data"]] == [True]
    assert body_of(client.ask("GET", GROUPS))["data"] == []
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "1"


# Several transactions


def fill(client: Client, live: int, deleted: int) -> None:
    """Make so many buckets and tombstones, called b0 and so on, the tombstones first.

    But for one of each they are copies, and what was made once is copied from then on: to write
    them all through the API would take moto a minute.
    """
    if (live, deleted) not in _FILLED:
        _fill(client, live, deleted)
        _FILLED[live, deleted] = saved()
    restore(_FILLED[live, deleted])


def _fill(client: Client, live: int, deleted: int) -> None:
    for method, id in (("PUT", "dead-one"), ("DELETE", "dead-one"), ("PUT", "live-one")):
        assert client.ask(method, f"/buckets/{id}").status in (200, 201)
    dynamo = client.service._storage._dynamo
    scan = dynamo._connection.client.scan
    ids = [("dead-one", f"b{number}") for number in range(deleted)]
    ids += [("live-one", f"b{number}") for number in range(deleted, deleted + live)]
    clock_at = clock_key(flushing.BUCKETS)
    originals = {table: scan(TableName=table)["Items"] for table in dynamo.tables}
    empty()
    for table, items in originals.items():
        for raw in items:
            text = json.dumps(raw)
            if table == dynamo.tables.objects and raw["parent"]["S"] == clock_at.parent:
                copies = [raw | {"count": {"N": str(live)}, "latest": {"L": []}}]
            else:
                copies = [json.loads(text.replace(old, new)) for old, new in ids if old in text]
            put_directly(table, copies)


_FILLED: dict[tuple[int, int], dict[str, Any]] = {}


@pytest.mark.parametrize(("live", "deleted", "transactions"), [(32, 0, 1), (34, 0, 2), (40, 80, 4)])
def test_more_buckets_than_a_transaction_holds_go_in_several(
    ours: Client,
    client: Client,
    wire: Wire,
    calls: CountedCalls,
    live: int,
    deleted: int,
    transactions: int,
) -> None:
    fill(client, live, deleted)
    # For each transaction moto copies all that is in the streams.
    wire.after = lambda *_: empty_streams()
    assert len(buckets(client)) == live + deleted
    before = timestamp(client, "/buckets")
    calls.take()

    assert ours.ask("POST", FLUSH).status == 202

    assert calls.take()[TRANSACT] == transactions
    assert buckets(client) == []
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "0"
    assert timestamp(client, "/buckets") > before


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "AT_ONCE", 2)


def at_call(number: int, do: Callable[[], Any], operation: str = TRANSACT) -> Hook:
    """Has something happen right before this one of the calls of an operation."""
    numbers = count(1)

    def before(_number: int, called: str, _arguments: dict[str, Any]) -> None:
        if called == operation and next(numbers) == number:
            do()

    return before


def from_call_on(number: int, failure: Callable[[str], Exception], *operations: str) -> Hook:
    """Lets all calls of these operations fail, from this one on."""
    numbers = count(1)

    def before(_number: int, called: str, _arguments: dict[str, Any]) -> None:
        if called in operations and next(numbers) >= number:
            raise failure(called)

    return before


def throttled(operation: str) -> Exception:
    error: Exception = client_error("ThrottlingException", operation=operation)
    return error


def unanswered(operation: str) -> Exception:
    error: Exception = client_error("InternalServerError", status=500, operation=operation)
    return error


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_where_the_storage_goes_away_a_repetition_finishes(
    ours: Client, wire: Wire, client: Client, number: int
) -> None:
    fill(client, 4, 1)
    there = set(buckets(client))
    wire.before = from_call_on(number, throttled, TRANSACT)

    answer = ours.ask("POST", FLUSH)

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "3"
    assert HEARD == []
    wire.quiet()
    left = set(buckets(client))
    assert left <= there
    assert len(left) == 5 - 2 * (number - 1)
    assert ours.ask("POST", FLUSH).status == 202
    assert buckets(client) == []
    assert len(HEARD) == 1


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("failure", [throttled, unanswered])
@pytest.mark.parametrize("number", range(1, 9))
def test_whichever_call_fails_it_is_carried_out_or_can_be_repeated(
    ours: Client,
    wire: Wire,
    client: Client,
    failure: Callable[[str], Exception],
    number: int,
) -> None:
    fill(client, 4, 1)
    wire.before = from_call_on(number, failure, TRANSACT, "BatchGetItem", "Query")

    status = ours.ask("POST", FLUSH).status

    wire.quiet()
    assert status in (202, 503)
    assert (status == 202) == (buckets(client) == []) == (len(HEARD) == 1)
    assert ours.ask("POST", FLUSH).status == 202
    assert buckets(client) == []


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/buckets/b1", 200),
        ("PATCH", "/buckets/b2", 200),
        ("PATCH", "/buckets/b4", 200),
        ("DELETE", "/buckets/b3", 200),
        ("PUT", "/buckets/b0", 201),
        ("PUT", "/buckets/b3/collections/new", 201),
    ],
)
def test_what_was_there_is_gone_whoever_writes_meanwhile(
    ours: Client, wire: Wire, client: Client, number: int, method: str, path: str, status: int
) -> None:
    fill(client, 4, 1)
    there = [each for each in buckets(client) if each != "b0"]
    answers: list[int] = []
    body = {"data": {"by": "a rival"}}
    wire.before = at_call(number, lambda: answers.append(client.ask(method, path, body).status))

    assert ours.ask("POST", FLUSH).status == 202

    assert len(answers) == 1
    assert len(HEARD) == 1
    left = buckets(client)
    # What the rival has written after the flush of its bucket is the rival's, and new.
    assert set(left) <= {path.split("/")[2]}
    if answers == [status] and method in ("PATCH", "DELETE"):
        assert left == [] or number > 1
    for id in there:
        shown = client.ask("GET", f"/buckets/{id}")
        assert shown.status == 403 or body_of(shown)["data"].get("by") == "a rival"


def test_a_bucket_that_is_created_meanwhile_is_gone_as_well(
    ours: Client, wire: Wire, client: Client
) -> None:
    fill(client, 4, 1)
    wire.before = at_call(1, lambda: client.ask("PUT", "/buckets/new"))

    assert ours.ask("POST", FLUSH).status == 202

    assert buckets(client) == []
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "0"


@pytest.mark.parametrize("number", [1, 2])
def test_two_flushes_at_once_both_finish(
    ours: Client, wire: Wire, client: Client, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushing, "AT_ONCE", 2)
    fill(client, 4, 1)
    rivals: list[int] = []
    wire.before = at_call(number, lambda: rivals.append(client.ask("POST", FLUSH).status))

    assert ours.ask("POST", FLUSH).status == 202

    assert rivals == [202]
    assert buckets(client) == []
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "0"


# In a batch


def test_in_a_batch_it_takes_what_is_written_before_it(client: Client, wire: Wire) -> None:
    made(client)
    changes = Changes(wire)
    requests: list[dict[str, Any]] = [
        {"method": "PUT", "path": "/buckets/new"},
        {"method": "PUT", "path": "/buckets/new/collections/c"},
        {"method": "PUT", "path": f"{RECORDS}/{OTHER_ID}"},
        {"method": "POST", "path": FLUSH},
        {"method": "GET", "path": BUCKET},
        {"method": "PUT", "path": BUCKET},
        {"method": "GET", "path": COLLECTIONS},
        {"method": "GET", "path": "/buckets"},
    ]

    answers = body_of(client.ask("POST", "/batch", {"requests": requests}))["responses"]

    statuses = [each["status"] for each in answers]
    assert statuses == [201, 201, 201, 202, 403, 201, 200, 200]
    assert answers[3]["body"] == {}
    assert answers[6]["body"] == {"data": []}
    assert [each["id"] for each in answers[7]["body"]["data"]] == ["blog"]
    assert buckets(client) == ["blog"]
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "1"
    settle(wire, changes)
    assert {key.id for key in wire.items()} == {".clock", "blog"}


def test_a_batch_that_fails_flushes_nothing(ours: Client, wire: Wire, client: Client) -> None:
    made(client)
    wire.before = from_call_on(1, throttled, TRANSACT)

    answer = ours.ask("POST", "/batch", {"requests": [{"method": "POST", "path": FLUSH}]})

    assert answer.status == 503
    assert HEARD == []
    assert client.ask("GET", RECORD).status == 200


# Who hears of it


@pytest.mark.usefixtures("two_at_once")
def test_subscribers_hear_of_it_once_and_afterwards(
    ours: Client, wire: Wire, client: Client, log: Lines
) -> None:
    fill(client, 4, 1)
    seen: list[list[str]] = []
    ACTIONS.append(lambda: seen.append(buckets(client)))
    wire.before = at_call(1, lambda: client.ask("PATCH", "/buckets/b1", {}))

    answer = ours.ask("POST", FLUSH)

    assert (answer.status, answer.body) == (202, {})
    assert [ServerFlushed()] == HEARD
    assert seen == [[]]
    failed = [record for record in log.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failed] == [
        f"the subscriber {__name__}.includeme.<locals>.fail of ServerFlushed failed"
    ]
    assert "a mistake of the subscriber" in str(failed[0].exc_text)


def test_in_a_batch_they_hear_of_it_after_the_commit(ours: Client, client: Client) -> None:
    made(client)
    ACTIONS.append(lambda: HEARD.append(ServerFlushed()) if is_all_gone(client) else None)

    ours.ask("POST", "/batch", {"requests": [{"method": "POST", "path": FLUSH}]})

    assert len(HEARD) == 2


def test_nobody_hears_of_what_is_refused(ours: Client, dynamo: Dynamo) -> None:
    readonly = client_of(dynamo, flush_endpoint_enabled=True, readonly=True, includes=(__name__,))
    disabled = client_of(dynamo, includes=(__name__,))

    for client, method in ((ours, "GET"), (readonly, "POST"), (disabled, "POST")):
        assert client.ask(method, FLUSH).status in (404, 405)
    assert HEARD == []


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (UnavailableError(may_repeat=True), 503, "3"),
        (UnavailableError(may_repeat=False), 503, "3"),
        (ProtocolError(BACKEND), 503, "3"),
        (LookupError("a mistake of ours"), 500, None),
    ],
)
def test_asking_again_goes_on_unless_it_was_a_mistake_of_ours(
    error: Exception, status: int, retry_after: str | None
) -> None:
    call: Any = SimpleNamespace(settings=Settings())

    answer = flushing._stopped(call, error)

    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry_after)
