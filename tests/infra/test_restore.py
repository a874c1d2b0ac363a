"""Backup and restore: `infra/backup.py`, `infra/restore.py`, `infra/rebuilding.py`.

DynamoDB restores item by item, so these tests take items away, or give them back as they were
before, between DynamoDB's part and ours.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.settings import Settings
from chalicelib.storage.client import connect
from chalicelib.storage.clock import CLOSED, ROOT
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.items import RawItem, from_raw, is_object
from chalicelib.storage.keys import CLOCK_ID
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage
from infra import backup, restore, stages
from infra.leftovers import Inspection, Report
from infra.rebuilding import Census, InUseError, Rebuilding
from infra.restore import Restoration, RestoreError, Source
from infra.stages import Stage, StageError
from infra.tables import create_tables, table_resources
from tests.doubles import REGION, SECRET, START_MS, Client, Patience, SetClock
from tests.shared_moto import empty_streams

FROM, TO = "prod", "drill"
OBJECTS, ACCESS = Tables.of_stage(TO)
HOUR_MS = 3_600_000
LATER_MS = START_MS + HOUR_MS
POLLS = {"Delay": 0, "MaxAttempts": 100}
SOURCE = Source(table=Tables.of_stage(FROM).objects)

BLOG = "/buckets/blog"
POSTS = f"{BLOG}/collections/posts"
RECORDS = f"{POSTS}/records"
WRITERS = f"{BLOG}/groups/writers"
LISTS = ("/buckets", f"{BLOG}/collections", f"{BLOG}/groups", RECORDS)

connected = cache(connect)

Items = dict[tuple[str, str], RawItem]


def stage(**parameters: str) -> Stage:
    variables = {stages.SECRET: f"ssm:{parameter(TO)}"}
    own = {"stack_parameters": parameters, "environment_variables": variables}
    return Stage(TO, {"stages": {TO: own}})


def parameter(stage: str) -> str:
    """Where a stage's secret is kept."""
    return f"/kinto/{stage}/userid-hmac-secret"


def restoration(source: Source | None = SOURCE, **parameters: str) -> Restoration:
    return Restoration(stage(**parameters), source, polls=POLLS, now_ms=lambda: LATER_MS)


def client_of(name: str, now_ms: int) -> Client:
    """A client of a service on the tables of a stage."""
    settings = Settings(stage=name, userid_hmac_secret=SECRET)
    storage = Storage(Dynamo(connected(REGION), Tables.of_stage(name)), SetClock(now_ms))
    return Client(Service(settings, storage, [BasicPolicy(SECRET)]))


def record(number: int) -> str:
    return f"{RECORDS}/{number:08x}-0000-4000-8000-000000000000"


def items(name: str = TO) -> Items:
    found = boto3.client("dynamodb").scan(TableName=Tables.of_stage(name).objects)["Items"]
    return {(raw["parent"]["S"], raw["id"]["S"]): raw for raw in found}


def rows(name: str = TO) -> set[tuple[str, str]]:
    found = boto3.client("dynamodb").scan(TableName=Tables.of_stage(name).access)["Items"]
    return {(raw["principal"]["S"], raw["object"]["S"]) for raw in found}


def leftovers() -> Report:
    inspection = Inspection(
        boto3.client("dynamodb"),
        Dynamo(connected(REGION), Tables.of_stage(TO)),
        Patience(1e9).deadline(),
        now_ms=LATER_MS + HOUR_MS,
        repairs=False,
    )
    *_, last = inspection.run()
    return last


def ok(response: Response) -> JsonObject:
    assert 200 <= response.status < 300, response
    assert response.body is not None
    return response.body


def etag(response: Response) -> int:
    return int(response.headers["ETag"].strip('"'))


def user_id(client: Client, user: str) -> str:
    return str(ok(client.ask("GET", "/", user=user))["user"]["id"])


def fill(client: Client) -> None:
    """What was deleted and made again, shared, and in groups."""
    bob = user_id(client, "bob")
    ok(client.ask("PUT", BLOG, {}))
    ok(client.ask("PUT", WRITERS, {"data": {"members": [bob]}}))
    ok(client.ask("PUT", POSTS, {}))
    ok(client.ask("PUT", record(1), {"data": {"n": "dead"}}))
    ok(client.ask("DELETE", POSTS))
    ok(client.ask("PUT", POSTS, {}))
    for number in range(1, 5):
        ok(client.ask("PUT", record(number), {"data": {"n": number}}))
    ok(client.ask("DELETE", record(4)))
    ok(client.ask("PATCH", record(2), {"permissions": {"read": [bob]}}))
    ok(client.ask("PATCH", record(3), {"permissions": {"read": [WRITERS]}}))
    ok(client.ask("PUT", "/buckets/gone", {}))
    ok(client.ask("PUT", "/buckets/gone/collections/away", {}))
    ok(client.ask("DELETE", "/buckets/gone"))


class Moto:
    """What moto holds of tables, to go back to: to make it takes longer than most tests."""

    def __init__(self) -> None:
        self._backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION]
        self._saved: dict[str, Any] = {}

    def have(self, name: str, make: Callable[[], object]) -> None:
        """Have the tables as this once made them."""
        if name not in self._saved:
            make()
            empty_streams()
            self._saved[name] = deepcopy(self._backend.tables)
        self._backend.tables = deepcopy(self._saved[name])

    def clear(self) -> None:
        self._backend.tables = {}
        client = boto3.client("ssm")
        for found in client.describe_parameters()["Parameters"]:
            client.delete_parameter(Name=found["Name"])

    def put(self, table: str, wanted: Items) -> None:
        """Have just these items in a table, without calls."""
        found = self._backend.tables[table]
        found.items.clear()
        for raw in wanted.values():
            found.put_item(deepcopy(raw))


@pytest.fixture(scope="module")
def in_moto() -> Iterator[Moto]:
    """Moto, and one client of each service for all: making one takes longer than most tests."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", cache(boto3.client))
        patch.setattr(restore, "connect", lambda: connected(REGION))
        yield Moto()


@pytest.fixture
def moto(in_moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """No tables yet; moto's CloudFormation can't take any in."""
    monkeypatch.setattr(restore, "adopt_tables", lambda *_: False)
    in_moto.clear()
    return in_moto


@pytest.fixture
def before(moto: Moto) -> Client:
    """A client of the stage that is going to be restored."""
    client = client_of(FROM, START_MS)

    def make() -> None:
        create_tables(boto3.client("dynamodb"), FROM)
        fill(client)

    moto.have("before", make)
    return client


@pytest.fixture
def after(before: Client, moto: Moto) -> Client:
    """A client of the restored stage."""
    moto.have("after", lambda: [*restoration().run()])
    return client_of(TO, LATER_MS - HOUR_MS // 2)


def rebuilt(moto: Moto, found: Items) -> Client:
    """A client of a stage of whose items DynamoDB has restored these."""
    moto.clear()
    moto.have("empty", lambda: create_tables(boto3.client("dynamodb"), TO))
    moto.put(OBJECTS, found)
    client = client_of(TO, LATER_MS - HOUR_MS // 2)
    dynamo = Dynamo(connected(REGION), Tables.of_stage(TO))
    assert [*Rebuilding(boto3.client("dynamodb"), dynamo, now_ms=LATER_MS).run()]
    return client


# What comes back


@pytest.mark.parametrize("path", LISTS)
def test_lists_hold_and_count_what_they_held(before: Client, after: Client, path: str) -> None:
    was, now = before.ask("GET", path), after.ask("GET", path)

    assert ok(now) == ok(was)
    total = "Total-Records"
    assert now.headers.get(total) == was.headers.get(total)


def test_tombstones_and_permissions_come_back(before: Client, after: Client) -> None:
    was = before.ask("GET", RECORDS, _since="0")

    assert ok(after.ask("GET", RECORDS, _since="0")) == ok(was)
    assert ok(after.ask("GET", record(2))) == ok(before.ask("GET", record(2)))


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_an_etag_above_all_that_it_held_and_above_now(
    before: Client, after: Client, path: str
) -> None:
    assert etag(before.ask("GET", path)) < LATER_MS

    assert etag(after.ask("GET", path)) > LATER_MS


def test_a_list_stays_above_what_a_client_has_dated_in_the_future(before: Client) -> None:
    future = LATER_MS + 10 * HOUR_MS
    ok(before.ask("PUT", record(9), {"data": {"last_modified": future}}))

    [*restoration().run()]

    after = client_of(TO, LATER_MS)
    assert etag(after.ask("GET", RECORDS)) > future
    assert ok(after.ask("PUT", record(8), {}))["data"]["last_modified"] > future


def test_a_sync_with_an_etag_from_before_goes_on(before: Client, after: Client) -> None:
    kept = etag(before.ask("GET", RECORDS))

    assert ok(after.ask("GET", RECORDS, _since=str(kept)))["data"] == []
    seen = etag(after.ask("GET", RECORDS))
    written = [ok(after.ask("PUT", record(number), {}))["data"]["id"] for number in (1, 7)]
    for since in (kept, seen):
        changes = ok(after.ask("GET", RECORDS, _since=str(since), _sort="last_modified"))["data"]
        assert [change["id"] for change in changes] == written


def test_no_list_that_has_gone_back_is_not_modified(before: Client, after: Client) -> None:
    lost = etag(before.ask("GET", RECORDS)) + HOUR_MS // 2

    assert after.ask("GET", RECORDS, headers={"If-None-Match": f'"{lost}"'}).status == 200


def test_what_is_shared_is_shared_by_rows_made_anew(before: Client, after: Client) -> None:
    was = ok(before.ask("GET", RECORDS, user="bob"))["data"]
    assert len(was) == 2

    assert ok(after.ask("GET", RECORDS, user="bob"))["data"] == was
    assert rows() <= rows(FROM)  # where those of the deleted are, until they are purged


def test_groups_decide_as_before(after: Client) -> None:
    ok(after.ask("PATCH", POSTS, {"permissions": {"record:create": [WRITERS]}}))

    assert after.ask("PUT", record(20), {}, user="bob").status == 201
    assert after.ask("PUT", record(21), {}, user="carol").status == 403
    ok(after.ask("PUT", WRITERS, {"data": {"members": []}}))
    assert after.ask("PUT", record(22), {}, user="bob").status == 403


def test_all_buckets_are_found_by_who_may_list_them_deleted_ones_too(after: Client) -> None:
    listed = {object for principal, object in rows() if principal == "#buckets"}
    assert listed == {"#bucket:blog/blog", "#bucket:gone/gone"}


def test_nothing_is_left_over_and_nothing_missing(after: Client) -> None:
    found = leftovers()
    assert (found.dead, found.needless, found.missing) == (0, 0, 0)


# Half a transaction


def clocks(found: Items) -> set[tuple[str, str]]:
    return {key for key in found if key[1] == CLOCK_ID}


def without(*keys: tuple[str, str]) -> Callable[[Items], Items]:
    def tamper(found: Items) -> Items:
        assert found.keys() >= {*keys}
        return {key: raw for key, raw in found.items() if key not in keys}

    return tamper


def changed(key: tuple[str, str], **attributes: Any) -> Callable[[Items], Items]:
    return lambda found: {**found, key: found[key] | attributes}


def dead_bucket(found: Items) -> Items:
    """The bucket's tombstone came, and nothing else of its deletion."""
    key = ("#bucket:blog", "blog")
    raw = {name: found[key][name] for name in ("parent", "id", "version", "last_modified")}
    cause = found[key]["cause"]
    return {**found, key: raw | {"within": {"S": ROOT}, "dead": {"S": "root#1"}, "cause": cause}}


POSTS_CLOCK = (f"{POSTS}#record", CLOCK_ID)
LOST_WRITE = f"{LATER_MS}:{LATER_MS}:live:lost"
HALVES: dict[str, Callable[[Items], Items]] = {
    "no clock of buckets": without(("#bucket", CLOCK_ID)),
    "no clock of collections": without((f"{BLOG}#collection", CLOCK_ID)),
    "no clock of records": without(POSTS_CLOCK),
    "no clocks": lambda found: without(*clocks(found))(found),
    "a clock of before": changed(POSTS_CLOCK, timestamp={"N": "5"}, count={"N": "0"}),
    "a clock of another incarnation": changed(POSTS_CLOCK, within={"S": "another"}),
    "a closed clock": changed(POSTS_CLOCK, within={"S": CLOSED}),
    "a write that never came": changed(POSTS_CLOCK, latest={"L": [{"S": LOST_WRITE}]}),
    "a bucket of another incarnation": changed(
        ("#bucket:blog", "blog"), incarnation={"S": "another"}
    ),
    "a collection of another incarnation": changed(
        (f"{BLOG}#collection", "posts"), incarnation={"S": "another"}
    ),
    "no bucket": without(("#bucket:blog", "blog")),
    "no collection": without((f"{BLOG}#collection", "posts")),
    "no group": without((f"{BLOG}#group", "writers")),
    "a dead bucket": dead_bucket,
}


@pytest.mark.parametrize("half", HALVES)
def test_with_half_a_transaction_the_service_works_and_nothing_is_left_over(
    before: Client, moto: Moto, half: str
) -> None:
    found = HALVES[half](items(FROM))

    after = rebuilt(moto, found)

    assert_consistent(after)


def assert_consistent(client: Client) -> None:
    """All that there is can be counted, written over and deleted; nothing else is there."""
    found = leftovers()
    assert (found.dead, found.needless, found.missing) == (0, 0, 0)
    newest = max(int(raw["last_modified"]["N"]) for raw in items().values() if is_object(raw))
    buckets = client.ask("GET", "/buckets")
    assert buckets.status in (200, 403)
    was_there = {it["id"] for it in ok(buckets)["data"]} if buckets.status == 200 else set()
    assert counted("#bucket") == len(was_there)

    wanted = {BLOG: {}, WRITERS: {"data": {"members": []}}, POSTS: {}, record(1): {}}
    puts = [{"method": "PUT", "path": path, "body": body} for path, body in wanted.items()]
    gets = [{"path": path} for path in LISTS[1:]]
    answers = ok(client.ask("POST", "/batch", {"requests": [*puts, *gets]}))["responses"]
    for answer in answers[: len(puts)]:
        assert answer["status"] in (200, 201), answer
        assert answer["body"]["data"]["last_modified"] > newest
    for answer in answers[len(puts) :]:
        assert int(answer["headers"]["Total-Records"]) == len(answer["body"]["data"]) > 0
    for path in (record(1), BLOG):
        ok(client.ask("DELETE", path))


def counted(parent: str) -> int:
    """What a list's clock counts."""
    return int(items().get((parent, CLOCK_ID), {"count": {"N": "0"}})["count"]["N"])


def test_what_did_not_come_with_its_bucket_is_gone_when_that_is_made_again(
    before: Client, moto: Moto
) -> None:
    after = rebuilt(moto, HALVES["no bucket"](items(FROM)))

    assert after.ask("GET", POSTS).status in (403, 404)
    ok(after.ask("PUT", BLOG, {}))
    assert ok(after.ask("GET", f"{BLOG}/collections"))["data"] == []


# Each item at a moment of its own


@pytest.fixture(scope="module")
def history(in_moto: Moto) -> list[Items]:
    """The items after each of some requests."""
    in_moto.clear()
    create_tables(boto3.client("dynamodb"), FROM)
    client = client_of(FROM, START_MS)
    bob = user_id(client, "bob")
    requests: list[tuple[str, str, Any]] = [
        ("PUT", BLOG, {}),
        ("PUT", POSTS, {}),
        ("PUT", WRITERS, {"data": {"members": [bob]}}),
        ("PUT", record(1), {"permissions": {"read": [bob]}}),
        ("PUT", record(2), {}),
        ("DELETE", record(1), None),
        ("DELETE", POSTS, None),
        ("PUT", POSTS, {}),
        ("PUT", record(1), {}),
        ("DELETE", BLOG, None),
        ("PUT", BLOG, {}),
        ("PUT", POSTS, {}),
        ("PUT", record(3), {}),
    ]
    states: list[Items] = [{}]
    for method, path, body in requests:
        ok(client.ask(method, path, body))
        states.append(items(FROM))
    return states


@given(data=st.data())
def test_whatever_moments_the_items_are_of_the_lists_are_right(
    history: list[Items], data: st.DataObject
) -> None:
    keys = sorted({key for state in history for key in state})
    moments = {key: data.draw(st.sampled_from(history), str(key)) for key in keys}
    census = Census()
    found = {key: state[key] for key, state in moments.items() if key in state}
    for raw in found.values():
        census.add(raw)

    due = dict(census.clocks_due(LATER_MS))

    visible = {key: from_raw(raw) for key, raw in found.items() if is_object(raw)}
    for key, item in visible.items():
        parent = "#bucket" if key[0].startswith("#bucket:") else key[0]
        assert due[parent].timestamp > max(item.version, item.last_modified, LATER_MS)
    for parent, clock in due.items():
        inside = [it for (at, _id), it in visible.items() if at.partition(":")[0] == parent]
        living = [it for it in inside if it.is_live and it.within == clock.within]
        assert clock.count == len(living)
        assert clock.latest == ()
        known = found.get((parent, CLOCK_ID))
        assert known is None or clock.timestamp > int(known["timestamp"]["N"])
        assert clock.within == incarnation_above(parent, found)


def incarnation_above(parent: str, found: Items) -> str:
    """The incarnation of what holds a list, as its own item has it."""
    segments = parent.partition("#")[0].strip("/").split("/")
    if segments == [""]:
        return ROOT
    key = {2: (f"#bucket:{segments[-1]}", segments[-1]), 4: (f"{BLOG}#collection", segments[-1])}
    raw = found.get(key[len(segments)], {})
    return str(raw["incarnation"]["S"]) if "live" in raw else CLOSED


@pytest.mark.parametrize("end", range(7, 13))
def test_a_table_of_torn_items_serves(history: list[Items], moto: Moto, end: int) -> None:
    """Each third item is of a moment before."""
    state, earlier = history[end], history[end - 3]
    torn = {
        key: source[key]
        for position, key in enumerate(sorted({*state, *earlier}))
        if key in (source := state if (position + end) % 3 else earlier)
    }

    after = rebuilt(moto, torn)

    assert_consistent(after)


# Stopped, and run again


_READING = ("Describe", "Get", "BatchGet", "Scan", "Query")


class KilledError(Exception):
    """The process was ended."""


class Calls:
    """All calls of AWS; the process ends before the change with this number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.killed_at: int | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        call = BaseClient._make_api_call

        def counted(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            if len(self.changes) == self.killed_at and not operation.startswith(_READING):
                raise KilledError
            self.asked.append((operation, arguments))
            return call(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)

    @property
    def changes(self) -> list[str]:
        """The calls that changed something."""
        return [name for name, _ in self.asked if not name.startswith(_READING)]

    def arguments_of(self, operation: str) -> dict[str, Any]:
        (found,) = [arguments for name, arguments in self.asked if name == operation]
        return found


def settings_of(table: str) -> dict[str, Any]:
    dynamodb = boto3.client("dynamodb")
    described = dynamodb.describe_table(TableName=table)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    return {
        "DeletionProtectionEnabled": described["DeletionProtectionEnabled"],
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": backups["PointInTimeRecoveryDescription"][
                "PointInTimeRecoveryStatus"
            ]
            == "ENABLED"
        },
        "StreamSpecification": {
            name: value
            for name, value in described.get("StreamSpecification", {}).items()
            if name != "StreamEnabled"
        },
        "TimeToLiveSpecification": expiry.get("AttributeName"),
    }


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


WRITES = 11


@pytest.mark.parametrize("killed_at", range(WRITES))
def test_killed_between_any_two_calls_and_run_again_it_comes_to_the_same(
    after: Client, moto: Moto, calls: Calls, killed_at: int
) -> None:
    """Before each call that changes something, as after the last one before it."""
    expected = outcome()
    moto.have("before", lambda: None)
    calls.killed_at = killed_at

    with pytest.raises(KilledError):
        [*restoration().run()]
    calls.killed_at = None
    [*restoration().run()]

    assert outcome() == expected


def test_each_call_that_changes_something_was_the_end_once(before: Client, calls: Calls) -> None:
    [*restoration().run()]

    assert len(calls.changes) == WRITES


def outcome() -> list[Any]:
    """What there is, but for timestamps, which are above those of the run before."""
    found = {
        key: {name: value for name, value in raw.items() if name != "timestamp"}
        for key, raw in items().items()
    }
    return [found, rows(), *map(settings_of, Tables.of_stage(TO))]


def test_a_stage_that_is_ready_is_left_alone(after: Client) -> None:
    ok(after.ask("PUT", record(30), {}))
    there = items(), rows()

    lines = [*restoration().run()]

    assert (items(), rows()) == there
    assert any(it.startswith(f"{OBJECTS} is ready; it was restored from ") for it in lines)
    assert not any("DynamoDB restores" in it for it in lines)


def test_a_stage_that_was_not_restored_is_refused_and_left_alone(before: Client) -> None:
    create_tables(boto3.client("dynamodb"), TO)
    ok(client_of(TO, START_MS).ask("PUT", BLOG, {}))
    there = items()

    with pytest.raises(RestoreError, match="is there already, not restored"):
        [*restoration().run()]

    assert items() == there


def test_what_was_begun_from_elsewhere_is_refused(before: Client) -> None:
    next(restoration().run())

    with pytest.raises(RestoreError, match=r"is there already, restored from .*kinto-prod-objects"):
        [*restoration(Source(table="kinto-staging-objects")).run()]


def test_what_was_begun_is_gone_on_with_without_naming_it_again(before: Client) -> None:
    next(restoration().run())

    [*restoration(None).run()]

    assert ok(client_of(TO, LATER_MS).ask("GET", RECORDS)) == ok(before.ask("GET", RECORDS))


def test_nothing_to_restore_is_refused(moto: Moto) -> None:
    with pytest.raises(RestoreError, match="restore what"):
        [*restoration(None).run()]


def test_a_writer_is_noticed_and_ends_it(before: Client, calls: Calls) -> None:
    steps = restoration().run()
    next(steps)
    writer = client_of(TO, LATER_MS)
    for line in steps:
        if line.startswith("items read"):
            ok(writer.ask("PUT", record(1), {}))
            break

    with pytest.raises(InUseError, match=f"somebody writes to {OBJECTS}"):
        list(steps)


# What is set on the tables


def test_the_tables_are_set_up_as_the_template_has_it(after: Client) -> None:
    for properties in table_resources(TO).values():
        found = settings_of(properties["TableName"])
        assert found["DeletionProtectionEnabled"] is properties["DeletionProtectionEnabled"]
        recovery = "PointInTimeRecoverySpecification"
        assert found[recovery] == properties[recovery]
        assert found["StreamSpecification"] == properties.get("StreamSpecification", {})
        expiry = properties.get("TimeToLiveSpecification", {}).get("AttributeName")
        assert found["TimeToLiveSpecification"] == expiry


def test_the_new_stream_is_told(before: Client) -> None:
    *_, stream, next_steps = restoration().run()

    described = boto3.client("dynamodb").describe_table(TableName=OBJECTS)["Table"]
    assert stream == f"its stream: {described['LatestStreamArn']}"
    assert next_steps.startswith(
        f"next: make storage-report STAGE={TO}, and make deploy STAGE={TO}; "
    )


def test_writes_meanwhile_would_give_etags_above_the_restored_ones_so_they_are_warned_of(
    before: Client,
) -> None:
    told, *_, next_steps = restoration().run()

    assert "must take no writes from now on (KINTO_READONLY)" in told
    assert "has taken no writes since this began" in next_steps
    late = client_of(FROM, LATER_MS + HOUR_MS)
    ok(late.ask("PUT", record(9), {}))
    assert etag(late.ask("GET", RECORDS)) > etag(client_of(TO, LATER_MS).ask("GET", RECORDS))


def test_the_stream_comes_last_so_that_nobody_hears_of_the_restore(
    before: Client, calls: Calls
) -> None:
    [*restoration().run()]

    assert calls.changes[-1] == "UpdateTable"
    assert "StreamSpecification" in [it for name, it in calls.asked if name == "UpdateTable"][-1]


KEY = "arn:aws:kms:eu-west-1:123456789012:key/one"
ENCRYPTIONS = [
    ({}, {"Enabled": False}),
    ({"KmsKeyArn": ""}, {"Enabled": False}),
    ({"KmsKeyArn": KEY}, {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}),
]


@pytest.mark.parametrize(("parameters", "encryption"), ENCRYPTIONS)
def test_both_tables_are_encrypted_as_the_stage_has_it(
    before: Client, calls: Calls, parameters: dict[str, str], encryption: dict[str, Any]
) -> None:
    calls.asked.clear()

    [*restoration(**parameters).run()]

    began = calls.arguments_of("RestoreTableToPointInTime")
    assert began["SSESpecificationOverride"] == encryption
    assert calls.arguments_of("CreateTable")["SSESpecification"] == encryption


MOMENT = datetime(2026, 5, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "when"),
    [(None, {"UseLatestRestorableTime": True}), (MOMENT, {"RestoreDateTime": MOMENT})],
)
def test_a_stage_is_restored_as_of_a_time_or_the_latest(
    before: Client, calls: Calls, time: datetime | None, when: dict[str, Any]
) -> None:
    next(restoration(Source(table=SOURCE.table, time=time)).run())

    asked = calls.arguments_of("RestoreTableToPointInTime")
    del asked["SSESpecificationOverride"]
    assert asked == {"SourceTableName": SOURCE.table, "TargetTableName": OBJECTS, **when}


@pytest.mark.parametrize(
    ("summary", "is_it"),
    [
        ({"RestoreDateTime": MOMENT}, True),
        ({"RestoreDateTime": MOMENT.replace(second=1)}, False),
        ({"RestoreDateTime": MOMENT, "SourceTableArn": "arn:of:table/kinto-x-objects"}, False),
        ({"RestoreDateTime": MOMENT, "SourceBackupArn": "arn:of:backup"}, True),
    ],
)
def test_a_table_tells_what_it_was_restored_from(summary: dict[str, Any], is_it: bool) -> None:
    told = {"SourceTableArn": f"arn:of:table/{SOURCE.table}"} | summary

    assert Source(table=SOURCE.table, time=MOMENT).is_told_by(told) is is_it
    assert Source(backup="arn:of:backup").is_told_by(told) is ("SourceBackupArn" in told)


def test_purges_of_a_table_that_was_are_forgotten(before: Client) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"kinto-{TO}-purges")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="about the dead")

    next(restoration().run())

    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_recovery_is_asked_for_until_a_new_table_is_ready_for_it(
    before: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = BaseClient._make_api_call
    refusals = iter(range(2))

    def refusing(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "UpdateContinuousBackups" and next(refusals, None) is not None:
            error = {"Code": "ContinuousBackupsUnavailableException", "Message": "Not yet"}
            raise client.exceptions.ContinuousBackupsUnavailableException(
                {"Error": error}, operation
            )
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)

    [*restoration().run()]

    recovery = settings_of(OBJECTS)["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": True}


# Backups, and the commands


def test_users_stay_the_same_as_the_secret_comes_along(before: Client) -> None:
    client = boto3.client("ssm")
    client.put_parameter(Name=parameter(FROM), Value="of the users", Type="SecureString")

    told = [*Restoration(stage(), SOURCE, polls=POLLS, now_ms=lambda: LATER_MS).run()]

    found = client.get_parameter(Name=parameter(TO), WithDecryption=True)["Parameter"]
    assert (found["Type"], found["Value"]) == ("SecureString", "of the users")
    assert f"the secret is that of {FROM}, the parameter {parameter(TO)}" in told
    assert "of the users" not in str(told)


def test_another_secret_is_refused_before_the_tables_are_made_right(before: Client) -> None:
    client = boto3.client("ssm")
    for name, value in ((FROM, "of the users"), (TO, "of its own")):
        client.put_parameter(Name=parameter(name), Value=value, Type="SecureString")

    with pytest.raises(StageError, match=f"{parameter(TO)} has another value than"):
        [*restoration().run()]

    assert client.get_parameter(Name=parameter(TO))["Parameter"]["Version"] == 1
    client.delete_parameter(Name=parameter(TO))
    [*restoration().run()]
    found = client.get_parameter(Name=parameter(TO), WithDecryption=True)["Parameter"]
    assert found["Value"] == "of the users"


def test_a_secret_that_can_not_be_copied_is_told(before: Client) -> None:
    assert f"copy the secret of {FROM} by hand, before deploying {TO}" in [*restoration().run()]


@pytest.mark.parametrize(
    ("source", "whose"),
    [
        ({}, "what DynamoDB restores"),
        ({"SourceTableArn": "arn:of:table/kinto-gone-objects"}, "gone"),
    ],
)
def test_a_secret_of_somebody_else_is_to_be_copied_by_hand(
    before: Client, monkeypatch: pytest.MonkeyPatch, source: dict[str, str], whose: str
) -> None:
    """DynamoDB need not tell which table was restored."""
    call = BaseClient._make_api_call

    def untold(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        answer = call(client, operation, arguments)
        if "RestoreSummary" in answer.get("Table", {}):
            del answer["Table"]["RestoreSummary"]["SourceTableArn"]
            answer["Table"]["RestoreSummary"].update(source)
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", untold)

    told = [*restoration().run()]

    by_hand = "isn't a stage that is configured here: copy its secret by hand, before deploying"
    assert f"{whose} {by_hand} {TO}" in told


def test_a_backup_brings_a_stage_back_under_its_own_name(
    before: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    was = ok(before.ask("GET", RECORDS))
    capsys.readouterr()  # the log of that, where another test has configured it
    assert backup.main(FROM) == 0
    arn = capsys.readouterr().out.strip()
    boto3.client("dynamodb").delete_table(TableName=SOURCE.table)
    again = Stage(FROM, {"stages": {FROM: {}}})

    [*Restoration(again, Source(backup=arn), polls=POLLS, now_ms=lambda: LATER_MS).run()]

    after = client_of(FROM, LATER_MS)
    assert ok(after.ask("GET", RECORDS)) == was
    assert len(ok(after.ask("GET", RECORDS, user="bob"))["data"]) == 2


@pytest.mark.parametrize(("name", "why"), [("", "which stage"), ("nowhere", "not found")])
def test_a_backup_of_nothing_is_refused_in_a_line(
    moto: Moto, name: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.main(name) == 1

    error = capsys.readouterr().err
    assert error.startswith("kinto-serverless: ")
    assert why in error.lower()


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"BACKUP": "arn", "FROM": "prod"}, "leave out FROM and TIME"),
        ({"BACKUP": "arn", "TIME": "2026-05-01T03:00:00Z"}, "leave out FROM and TIME"),
        ({"TIME": "2026-05-01T03:00:00Z"}, "TIME of which stage"),
        ({"FROM": "prod", "TIME": "yesterday"}, "TIME=yesterday is no time"),
        ({"FROM": "prod", "TIME": "2026-05-01T03:00:00"}, "has no zone"),
    ],
)
def test_a_source_that_is_no_source_is_refused(environment: dict[str, str], why: str) -> None:
    with pytest.raises(RestoreError, match=why):
        Source.of(environment)


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({}, None),
        ({"FROM": "", "TIME": "", "BACKUP": ""}, None),
        ({"BACKUP": "arn"}, Source(backup="arn")),
        ({"FROM": "prod"}, SOURCE),
        ({"FROM": "prod", "TIME": "2026-05-01T05:00:00.9+02:00"}, Source("", SOURCE.table, MOMENT)),
    ],
)
def test_a_source_is_read_from_the_environment(
    environment: dict[str, str], source: Source | None
) -> None:
    assert Source.of(environment) == source


def test_the_command_tells_what_it_does(
    before: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FROM", FROM)
    monkeypatch.setattr(Stage, "read", lambda name: stage())

    assert restore.main(TO) == 0

    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"DynamoDB restores {OBJECTS}")
    assert any(line.startswith("clocks set: ") for line in told)
    assert told[-1].startswith("next: ")


@pytest.mark.parametrize(
    ("name", "time", "why"),
    [("", "", "which stage"), ("nowhere", "", "no stage nowhere"), ("prod", "now", "no time")],
)
def test_the_command_refuses_in_a_line(
    name: str,
    time: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FROM", FROM)
    monkeypatch.setenv("TIME", time)

    assert restore.main(name) == 1

    error = capsys.readouterr().err
    assert error.startswith("kinto-serverless: ")
    assert why in error
    assert len(error.splitlines()) == 1
