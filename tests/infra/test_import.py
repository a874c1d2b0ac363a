"""Moving in from another Kinto: `infra/import_kinto.py`, from a source over HTTP."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynamodb.connection import Connection

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.stored import StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.items import cause_from_raw, is_object
from chalicelib.storage.transactions import Storage
from infra import import_kinto, importing, kinto_source
from infra.import_kinto import Import, Options, main
from infra.importing import Target, fingerprint
from infra.kinto_source import Source, SourceError, authorization, checked_url
from infra.leftovers import Inspection
from tests.doubles import SECRET, START_MS, Client, Patience, SetClock, basic
from tests.infra.sources import NEWER_NOW_MS, Gateway, NewerKinto, kinto_of, served
from tests.storage.stand_ins import TRANSACT, Wire, cancelled, fresh_wire

ADMIN = "basicauth:b5b21b8f5c5bf0f3c6c3b4a3a6e9ee9b"
LATER_MS = START_MS + 1_000_000_000
POSTS = "/buckets/blog/collections/posts"
RECORDS = f"{POSTS}/records"


def record(number: int) -> str:
    return f"{RECORDS}/{number:08x}-0000-4000-8000-000000000000"


def of_service(**more: Any) -> Settings:
    """Settings of a service that alice and bob may use, and where everybody may read."""
    everyone = frozenset({"system.Everyone"})
    readers = {
        f"{kind}_read_principals": everyone for kind in ("bucket", "collection", "group", "record")
    }
    return Settings(stage="test", userid_hmac_secret=SECRET, **{**readers, **more})


def client_of(wire: Wire, clock: SetClock, **more: Any) -> Client:
    configured = of_service(**more)
    policies = [BasicPolicy(configured.userid_hmac_secret)]
    return Client(Service(configured, Storage(wire.dynamo, clock), policies))


@dataclass
class Move:
    """A source that is served, and a stage to import into.

    Attributes:
        url: of the source.
        gateway: to it.
        source: its client.
        wire: to the stage's tables.
        target: the stage's client.
        clock: of the host that imports, and of the stage.
        pauses: of the import, in seconds.
        problems: of the last run.
    """

    url: str
    gateway: Gateway
    source: Client
    wire: Wire
    target: Client
    clock: SetClock
    pauses: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(
        self,
        options: Options | None = None,
        *,
        user: str | None = "alice",
        target: Target | None = None,
    ) -> list[str]:
        """Import; gives a line for each list."""
        self.problems = []
        target = target or self.to_target()
        with Source(self.url, user and basic(user), pause=self.pauses.append) as source:
            moving = Import(source, target, options or Options(), pause=self.pauses.append)
            self.problems = moving.problems
            return [*moving.run()]

    def to_target(self, kind: type[Target] = Target) -> Target:
        return kind(self.wire.dynamo, self.url, now_ms=self.clock, pause=self.pauses.append)

    def written(self) -> Callable[[], int]:
        """Gives how many transactions the stage's tables have seen from now on."""
        seen: list[str] = []
        self.wire.before = lambda _number, operation, _arguments: (
            seen.append(operation) if operation == TRANSACT else None
        )
        return lambda: len(seen)


@contextmanager
def moving(connection: Connection, **more: Any) -> Iterator[Move]:
    clock = SetClock(LATER_MS)
    with fresh_wire(connection) as there, fresh_wire(connection) as here:
        here._lock = there._lock  # moto is one, and not safe under threads
        source = client_of(there, SetClock(), **more)
        gateway = Gateway(kinto_of(source.service))
        with served(gateway) as url:
            yield Move(url, gateway, source, here, client_of(here, clock), clock)


@pytest.fixture
def move(connection: Connection) -> Iterator[Move]:
    with moving(connection) as it:
        yield it


def put(
    client: Client, path: str, permissions: Any = None, *, user: str = "alice", **data: Any
) -> None:
    body = {"data": data, "permissions": permissions or {}}
    response = client.ask("PUT", path, body, user=user)
    assert response.status in (200, 201), response


def put_many(client: Client, numbers: Iterable[int]) -> None:
    requests = [{"path": record(number)} for number in numbers]
    for start in range(0, len(requests), 20):
        part = {"defaults": {"method": "PUT"}, "requests": requests[start : start + 20]}
        assert client.ask("POST", "/batch", part).status == 200


def delete(client: Client, path: str, **query: str) -> None:
    assert client.ask("DELETE", path, **query).status == 200


def seed(client: Client) -> None:
    """A list with some records and a tombstone."""
    put(client, "/buckets/blog")
    put(client, POSTS)
    for number in (1, 2, 3, 6):
        put(client, record(number), n=number)
    delete(client, record(6))


def fill(client: Client) -> None:
    """Objects and tombstones of each kind, shared and not, dated now and in the past."""
    put(client, "/buckets/blog", {"read": ["system.Everyone"], "group:create": ["x"]}, title="Blog")
    put(client, "/buckets/empty")
    put(client, "/buckets/gone")
    put(client, "/buckets/gone/groups/below", members=[])
    delete(client, "/buckets/gone")
    put(client, "/buckets/blog/groups/writers", {"read": ["bob"]}, members=["bob", "carol"])
    put(client, "/buckets/blog/groups/gone", members=["bob"])
    delete(client, "/buckets/blog/groups/gone")
    put(client, POSTS, {"record:create": ["/buckets/blog/groups/writers"]}, schema={}, n=1.5)
    put(client, "/buckets/blog/collections/gone")
    put(client, "/buckets/blog/collections/gone/records" + record(1).removeprefix(RECORDS))
    delete(client, "/buckets/blog/collections/gone")
    put(
        client, record(1), {"write": ["bob"], "read": ["a", "b"]}, text="é😀\u0000", n=2**63, f=1e-7
    )
    put(client, record(2), last_modified=1_000, schema=17, deleted=True)
    put(client, record(3), last_modified=1_000)
    put(client, record(4), large=[*map(str, range(20_000))])
    put(client, record(5), deleted=True)
    put(client, record(6))
    delete(client, record(6))
    put(client, record(7))
    delete(client, record(7), last_modified=str(START_MS + 500_000))
    put(client, record(8), last_modified=0)


def data_of(client: Client, path: str, **query: str) -> Any:
    response = client.ask("GET", path, **query)
    assert response.status == 200, (path, response)
    return (response.body or {})["data"]


def ids_in(client: Client, path: str) -> list[str]:
    return [it["id"] for it in data_of(client, path, _sort="id")]


def lists_of(client: Client) -> list[str]:
    """The paths of all lists."""
    found = ["/buckets"]
    for bucket in data_of(client, "/buckets"):
        below = f"/buckets/{bucket['id']}"
        found += [f"{below}/groups", f"{below}/collections"]
        found += [
            f"{below}/collections/{it['id']}/records"
            for it in data_of(client, f"{below}/collections")
        ]
    return found


def shown(client: Client, path: str, **query: str) -> list[Any]:
    """A list with its tombstones, and each object as its own address answers."""
    entries = data_of(client, path, _sort="last_modified,id", **{"_since": "-1", **query})
    return [(entry, _object(client, f"{path}/{entry['id']}")) for entry in entries]


def _object(client: Client, path: str) -> Any:
    response = client.ask("GET", path)
    told = response.body or {}
    permissions = {name: sorted(them) for name, them in told.get("permissions", {}).items()}
    etag = response.headers.get("ETag")
    return response.status, told.get("data"), permissions, etag


def etag_of(client: Client, path: str) -> int:
    return int(client.ask("GET", path).headers["ETag"].strip('"'))


def total_of(client: Client, path: str) -> str:
    return client.ask("HEAD", path).headers["Total-Records"]


def assert_same(move: Move) -> None:
    """All that the source answers, the stage answers, too."""
    paths = lists_of(move.source)
    assert lists_of(move.target) == paths
    for path in paths:
        assert shown(move.target, path) == shown(move.source, path)
        assert total_of(move.target, path) == total_of(move.source, path)
        assert etag_of(move.target, path) >= etag_of(move.source, path)


def contents(wire: Wire) -> Any:
    """What is in the tables, but for what is random, or differs with each transaction."""
    objects = {}
    for key, raw in wire.items().items():
        if is_object(raw):
            kept = ("last_modified", "body", "large_body", "permissions")
            objects[key] = {name: raw[name] for name in kept if name in raw}
        else:
            objects[key] = {"count": raw["count"], "closed": raw["within"]["S"] == "closed"}
    return objects, set(wire.rows())


# What comes over


def test_everything_comes_over_as_it_is(move: Move) -> None:
    fill(move.source)

    lines = move.run()

    assert move.problems == []
    assert_same(move)
    assert {line.partition(", ")[0] for line in lines} == {
        "/buckets: 2 objects",
        "/buckets/empty/collections: 0 objects",
        "/buckets/empty/groups: 0 objects",
        "/buckets/blog/collections: 1 objects",
        "/buckets/blog/groups: 1 objects",
        f"{RECORDS}: 6 objects",
    }


def test_who_asks_with_an_etag_of_the_source_is_told_the_same_changes(move: Move) -> None:
    fill(move.source)
    old = {path: etag_of(move.source, path) for path in lists_of(move.source)}
    put(move.source, record(3), changed=True)
    delete(move.source, record(4))
    put(move.source, record(6), back=True)
    put(move.source, POSTS, changed=True)

    move.run()

    told = 0
    for path, etag in old.items():
        changes = shown(move.target, path, _since=f'"{etag}"')
        assert changes == shown(move.source, path, _since=f'"{etag}"')
        told += len(changes)
    assert told >= 4


def test_what_comes_over_is_as_sound_as_what_requests_write(move: Move) -> None:
    fill(move.source)

    move.run()

    deadline = Patience(1e9).deadline()
    later_ms = LATER_MS + 1_000_000_000
    inspection = Inspection(
        move.wire.client, move.wire.dynamo, deadline, now_ms=later_ms, repairs=False
    )
    *_, report = inspection.run()
    assert (report.dead, report.needless, report.missing) == (0, 0, 0)
    assert report.there["records"] == 6


def test_shared_objects_are_found_by_who_they_are_shared_with(move: Move) -> None:
    bob = move.source.ask("GET", "/", user="bob").body["user"]["id"]  # type: ignore[index]
    put(move.source, "/buckets/blog")
    put(move.source, POSTS)
    put(move.source, "/buckets/blog/groups/readers", members=[bob])
    put(move.source, record(1), {"read": ["/buckets/blog/groups/readers"]})
    put(move.source, record(2))

    move.run()

    strict = Settings(stage="test", userid_hmac_secret=SECRET)
    service = Service(strict, Storage(move.wire.dynamo, move.clock), [BasicPolicy(SECRET)])
    response = Client(service).ask("GET", RECORDS, user="bob")
    assert [it["id"] for it in (response.body or {})["data"]] == [record(1).rpartition("/")[2]]


def test_no_event_tells_of_what_comes_over(move: Move) -> None:
    fill(move.source)

    move.run()

    objects = [raw for raw in move.wire.items().values() if is_object(raw)]
    assert len(objects) > 10
    assert all(cause_from_raw(raw).silent for raw in objects)


def test_versions_are_those_of_the_list_and_no_two_are_the_same(move: Move) -> None:
    fill(move.source)

    move.run()

    raws = [raw for key, raw in move.wire.items().items() if key.parent == f"{POSTS}#record"]
    versions = [int(raw["version"]["N"]) for raw in raws if is_object(raw)]
    assert len(set(versions)) == len(versions) == 8
    assert max(versions) <= etag_of(move.target, RECORDS)


def test_a_list_whose_timestamp_is_ahead_of_this_host_stays_ahead(move: Move) -> None:
    put(move.source, "/buckets/blog")
    put(move.source, POSTS)
    put(move.source, record(1), last_modified=LATER_MS + 10_000_000)
    put(move.source, record(1))
    delete(move.source, record(1), last_modified=str(LATER_MS + 20_000_000))
    put(move.source, record(1), last_modified=5)

    move.run()

    assert etag_of(move.target, RECORDS) == etag_of(move.source, RECORDS) > LATER_MS
    assert move.problems == []


def test_more_than_a_page_and_than_a_transaction_holds_comes_over(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinto_source, "PAGE_ENTRIES", 55)
    put(move.source, "/buckets/blog")
    put(move.source, POSTS)
    put_many(move.source, range(60))
    put(move.source, record(7), {"read": [f"user{number}" for number in range(70)]})

    move.run()

    assert move.problems == []
    assert len(move.wire.rows()) == 60 + 70 + 3
    assert ids_in(move.target, RECORDS) == ids_in(move.source, RECORDS)


def test_large_objects_come_over_in_transactions_that_hold_them(move: Move) -> None:
    put(move.source, "/buckets/blog")
    put(move.source, POSTS)
    digits = f"{pow(3, 1_800_000):x}"  # that don't compress well: some 350 KB an item
    for number in range(10):
        put(move.source, record(number), text=digits[number:690_000])

    move.run()

    assert move.problems == []
    assert ids_in(move.target, RECORDS) == ids_in(move.source, RECORDS)


# Laws

OBJECTS = (
    "/buckets/a",
    "/buckets/b",
    "/buckets/a/groups/g",
    "/buckets/a/collections/c",
    "/buckets/a/collections/d",
    *(f"/buckets/a/collections/c/records/{n:08x}-0000-4000-8000-000000000000" for n in range(4)),
)
DATA = st.dictionaries(
    st.sampled_from(["x", "y", "deleted", "schema"]),
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    max_size=2,
)
PERMISSIONS = st.fixed_dictionaries(
    {}, optional={"read": st.lists(st.sampled_from(["bob", "carol", "system.Everyone"]))}
)
STEP = st.tuples(
    st.sampled_from(["PUT", "PUT", "DELETE", "PATCH"]), st.sampled_from(OBJECTS), DATA, PERMISSIONS
)


def carry_out(client: Client, steps: list[Any]) -> None:
    """Do these, as far as they are possible."""
    for method, path, data, permissions in steps:
        if "/groups/" in path:
            data = {"members": sorted(data)}
        elif "/records/" not in path:
            data = {name: value for name, value in data.items() if name != "schema"}
        client.ask(method, path, {"data": data, "permissions": permissions})


@given(st.lists(STEP, max_size=12), st.lists(STEP, max_size=12), st.booleans())
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_between_two_imports_the_last_one_makes_both_the_same(
    connection: Connection, first: list[Any], second: list[Any], is_quick: bool
) -> None:
    with moving(connection) as move:
        base = [("PUT", path, {}, {}) for path in OBJECTS]
        carry_out(move.source, base + first)
        move.run()
        carry_out(move.source, second)

        move.run(Options(is_quick=is_quick))

        assert move.problems == []
        assert_same(move)


def test_a_second_run_writes_nothing(move: Move) -> None:
    fill(move.source)
    move.run()
    written = move.written()

    for options in (Options(), Options(is_quick=True)):
        move.run(options)

    assert move.problems == []
    assert written() == 0


class KilledError(BaseException):
    """The process ends."""


def test_killed_before_any_transaction_and_run_again_it_ends_in_the_same(
    connection: Connection,
) -> None:
    with moving(connection) as move:
        seed(move.source)
        put(move.source, "/buckets/blog/groups/writers", members=["bob"])
        put(move.source, "/buckets/blog/collections/gone")
        delete(move.source, "/buckets/blog/collections/gone")
        put(move.source, record(9), {"read": [f"user{number}" for number in range(101)]})
        written = move.written()
        move.run()
        transactions = written()
        expected = contents(move.wire)
        assert transactions >= 6
        for last in range(1, transactions + 1):
            with fresh_wire(connection) as move.wire:
                kill_at(move.wire, last)
                with pytest.raises(KilledError):
                    move.run()
                move.wire.quiet()

                move.run()

                assert move.problems == []
                assert contents(move.wire) == expected


def kill_at(wire: Wire, last: int) -> None:
    """Have the process end before this transaction."""
    seen: list[int] = []

    def hook(number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            seen.append(number)
            if len(seen) >= last:
                raise KilledError

    wire.before = hook


# Again


def test_what_the_source_has_forgotten_is_removed_without_a_trace(move: Move) -> None:
    fill(move.source)
    move.run()
    delete(move.source, "/buckets/blog")
    put(move.source, "/buckets/blog", title="Anew")
    put(move.source, POSTS)
    put(move.source, record(2))

    lines = move.run()

    assert move.problems == []
    assert_same(move)
    [line] = [line for line in lines if line.startswith(RECORDS)]
    assert line.startswith(
        f"{RECORDS}: 1 objects, 0 tombstones, 1 new or changed, 7 removed; hash "
    )


def test_a_bucket_that_is_not_listed_any_more_stays_and_is_told(connection: Connection) -> None:
    with moving(connection, bucket_read_principals=None) as move:
        put(move.source, "/buckets/a")
        put(move.source, "/buckets/b")
        move.run()
        delete(move.source, "/buckets/b")

        move.run()

        [problem] = move.problems
        assert problem.startswith("/buckets/b is not in the source any more")
        assert move.target.ask("GET", "/buckets/b").status == 200


def test_what_changes_in_the_source_while_it_is_read_comes_over(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinto_source, "PAGE_ENTRIES", 3)
    fill(move.source)
    steps = iter(
        [
            lambda: put(move.source, record(1), changed=True),
            lambda: delete(move.source, record(5)),
            lambda: put(move.source, record(10)),
        ]
    )

    def change(method: str, path: str) -> None:
        if method == "GET" and RECORDS in path:
            next(steps, lambda: None)()

    move.gateway.before = change
    move.run()

    assert next(steps, None) is None
    assert move.problems == []
    assert_same(move)


def test_an_object_that_goes_between_its_list_and_itself_is_not_there(move: Move) -> None:
    seed(move.source)

    def change(_method: str, path: str, answer: Any) -> Any:
        if RECORDS in path and record(1).rpartition("/")[2] in json.dumps(answer[2]):
            move.gateway.after = lambda _method, _path, answer: answer
            delete(move.source, record(1))
        return answer

    move.gateway.after = change
    move.run()

    assert move.problems == []
    assert_same(move)


def test_a_collection_that_goes_meanwhile_is_told_and_the_others_come_over(move: Move) -> None:
    fill(move.source)

    def vanish(method: str, path: str) -> Any:
        return (404, {}, {}) if method == "GET" and RECORDS in path else None

    move.gateway.before = vanish
    move.run()
    assert move.problems == [f"{RECORDS} can't be read: the source answers 404"]
    assert data_of(move.target, "/buckets/blog/groups")

    move.gateway.before = lambda _method, _path: None
    move.run()
    assert move.problems == []
    assert_same(move)


# What others wrote here


def test_what_others_changed_here_stays_and_is_told(move: Move) -> None:
    seed(move.source)
    move.run()
    put(move.target, record(1), mine=True)
    delete(move.target, record(2))
    put(move.target, record(20))
    put(move.target, "/buckets/mine")
    put(move.source, record(1), changed=True)
    put(move.source, record(3), changed=True)

    move.run()

    assert sorted(move.problems) == sorted(
        [
            f"{record(1)} {importing.FOREIGN}",
            f"{record(2)} {importing.FOREIGN}",
            f"{record(20)} was created here by others",
        ]
    )
    assert data_of(move.target, record(1))["mine"] is True
    assert data_of(move.target, record(3))["changed"] is True
    assert move.target.ask("GET", record(2)).status == 404
    assert move.target.ask("GET", record(20)).status == 200
    assert move.target.ask("GET", "/buckets/mine").status == 200


def test_a_change_here_at_the_last_moment_stays(move: Move) -> None:
    seed(move.source)
    move.run()
    put(move.source, record(1), changed=True)

    def change(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            move.wire.before = None
            put(move.target, record(1), mine=True)

    move.wire.before = change
    move.run()

    assert data_of(move.target, record(1))["mine"] is True
    assert move.problems == [f"{record(1)} {importing.FOREIGN}"]


def test_what_others_write_here_before_it_is_removed_stays(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    move.run()
    kinto.lists[RECORDS].clear()

    class Late(Target):
        def remove(self, uri: ListUri, ids: Any) -> None:
            if str(uri) == RECORDS:
                put(move.target, record(1), mine=True)
            super().remove(uri, ids)

    move.run(target=move.to_target(Late))

    assert data_of(move.target, record(1))["mine"] is True
    assert move.problems == [f"{RECORDS}: 1 objects are counted here, and not 0"]


def test_an_import_from_another_url_is_somebody_else(move: Move) -> None:
    seed(move.source)
    move.run()
    put(move.source, record(1), changed=True)
    move.gateway.asked.clear()

    other = Target(move.wire.dynamo, "https://other/v1", now_ms=move.clock)
    move.run(target=other)

    assert move.problems == [f"{record(1)} {importing.FOREIGN}"]


def test_a_bucket_that_others_deleted_here_stays_deleted_and_nothing_below_comes_over(
    move: Move,
) -> None:
    seed(move.source)
    move.run()
    delete(move.target, "/buckets/blog")

    move.run()

    assert move.problems == [
        f"/buckets/blog {importing.FOREIGN}",
        "/buckets/blog is not here, so that nothing below it came over",
    ]
    assert move.target.ask("GET", "/buckets/blog").status == 404


def test_a_parent_that_goes_here_meanwhile_is_told(move: Move) -> None:
    put(move.source, "/buckets/blog")
    put(move.source, POSTS)
    put(move.source, record(1))

    class Late(Target):
        def take_over(self, uri: ListUri, objects: Any) -> dict[ObjectUri, str]:
            if str(uri) == RECORDS:
                move.target.ask("DELETE", POSTS)
            return super().take_over(uri, objects)

    move.run(target=move.to_target(Late))

    assert f"{record(1)} {importing.PARENT_MISSING}" in move.problems


# Verification


def test_what_was_not_written_is_found(move: Move) -> None:
    seed(move.source)

    class Careless(Target):
        def take_over(self, uri: ListUri, objects: Any) -> dict[ObjectUri, str]:
            kept = [it for it in objects if it.id != record(1).rpartition("/")[2]]
            return super().take_over(uri, kept)

    lines = move.run(target=move.to_target(Careless))

    assert move.problems == [f"{record(1)} is not the same here"]
    assert any(line.startswith(RECORDS) and line.endswith("; 1 differ") for line in lines)


@pytest.mark.parametrize(
    "other",
    [
        None,
        Tombstone("x", 1),
        StoredObject.of("x", 2, {"a": 1}, {"read": ("b", "c")}),
        StoredObject.of("y", 1, {"a": 1}, {"read": ("b", "c")}),
        StoredObject.of("x", 1, {"a": 1.0}, {"read": ("b", "c")}),
        StoredObject.of("x", 1, {"a": True}, {"read": ("b", "c")}),
        StoredObject.of("x", 1, {"a": 1}, {"read": ("b",)}),
        StoredObject.of("x", 1, {"a": 1}, {"write": ("b", "c")}),
    ],
)
def test_what_is_not_the_same_has_another_fingerprint(other: Any) -> None:
    assert fingerprint(other) != fingerprint(
        StoredObject.of("x", 1, {"a": 1}, {"read": ("b", "c")})
    )


def test_order_makes_no_difference() -> None:
    one = StoredObject.of(
        "x", 1, {"a": 1, "b": {"c": 1, "d": 2}}, {"read": ("b", "c"), "write": ("d",)}
    )
    other = StoredObject.of(
        "x", 1, {"b": {"d": 2, "c": 1}, "a": 1}, {"write": ("d",), "read": ("c", "b")}
    )

    assert fingerprint(one) == fingerprint(other)


def test_the_hash_of_a_list_is_that_of_its_last_state_in_any_order(move: Move) -> None:
    fill(move.source)
    first = move.run()
    [told] = [line.partition("hash ")[2] for line in first if line.startswith(RECORDS)]
    again = move.run(Options(is_quick=True))
    assert any(line.startswith(RECORDS) and line.endswith(told) for line in again)

    put(move.source, record(1), {"read": ["z"]}, text="é😀\u0000", n=2**63, f=1e-7)
    changed = move.run()

    assert not any(line.startswith(RECORDS) and line.endswith(told) for line in changed)


def test_what_becomes_visible_late_is_looked_at_again(move: Move) -> None:
    seed(move.source)

    class Late(Target):
        def find(self, uri: ListUri, ids: Any) -> dict[str, Any]:
            found = super().find(uri, ids)
            return (
                found
                if move.pauses
                else {id: it for id, it in found.items() if id != record(6)[-36:]}
            )

    move.run(target=move.to_target(Late))

    assert move.problems == []
    assert move.pauses == [import_kinto._SETTLED_S]


# A source in trouble


def test_a_busy_source_is_asked_again_when_it_wants_to(move: Move) -> None:
    seed(move.source)
    troubles: list[Any] = [
        (503, {"Retry-After": "7"}, {}),
        (429, {}, {}),
        (200, {}, {"responses": [{"status": 503, "path": "/", "headers": {}, "body": {}}]}),
        ConnectionResetError(),
    ]

    def fail(method: str, path: str) -> Any:
        is_batch = method == "POST"
        is_fitting = troubles and is_batch == (
            isinstance(troubles[0], tuple) and troubles[0][0] == 200
        )
        if path == "/v1/" or not is_fitting:
            return None
        trouble = troubles.pop(0)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    move.gateway.before = fail
    move.run()

    assert troubles == []
    assert move.problems == []
    assert_same(move)
    assert any(6 < pause <= 7 for pause in move.pauses)


def test_a_source_that_asks_for_a_pause_gets_it(move: Move) -> None:
    fill(move.source)
    move.gateway.after = lambda _method, _path, answer: (
        answer[0],
        {**answer[1], "Backoff": "30"},
        answer[2],
    )

    move.run()

    assert move.problems == []
    assert len([pause for pause in move.pauses if 29 < pause <= 30]) > 5


def test_a_source_that_stays_out_of_reach_ends_the_import_which_can_go_on(move: Move) -> None:
    seed(move.source)
    move.gateway.before = lambda _method, path: (503, {}, {}) if RECORDS in path else None

    with pytest.raises(SourceError, match="answers 503, again and again: run this again, and"):
        move.run()
    assert sum(move.pauses) > 120

    move.gateway.before = lambda _method, _path: None
    move.run()
    assert_same(move)


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        ("/v1/", (200, {}, {"hello": "world"}), "/ is not answered as by a Kinto"),
        ("/v1/", (200, {}, "<html>"), "/ is not answered as by a Kinto"),
        ("/v1/", (200, {}, "[]"), "/ is not answered as by a Kinto"),
        ("/v1/", (301, {"Location": "/v2/"}, {}), "/ can't be read: the source answers 301"),
        ("/v1/", (200, {}, {"settings": {}}), "doesn't know the user of KINTO_IMPORT_AUTH"),
        ("/v1/buckets", (200, {}, {"data": [{"x": 1}]}), "/buckets is not answered as by a Kinto"),
        (
            "/v1/buckets",
            (200, {}, {"data": [{"id": 1, "last_modified": 1}]}),
            "/buckets is not answered as by a Kinto",
        ),
        ("/v1/batch", (200, {}, {"responses": []}), "/buckets is not answered as by a Kinto"),
        ("/v1/batch", (200, {}, {}), "/batch is not answered as by a Kinto"),
        (
            "/v1/batch",
            (200, {}, {"responses": [{"status": 200, "body": {"data": {"id": 1}}}] * 2}),
            "/buckets is not answered as by a Kinto",
        ),
    ],
)
def test_what_is_no_kinto_is_told_in_one_line(
    move: Move, path: str, answer: Any, told: str
) -> None:
    put(move.source, "/buckets/a")
    put(move.source, "/buckets/b")
    move.gateway.before = lambda _method, asked: answer if asked.partition("?")[0] == path else None

    with pytest.raises(SourceError) as raised:
        move.run()

    assert told in str(raised.value)


def test_a_source_that_is_not_there_is_told_soon() -> None:
    pauses: list[float] = []
    source = Source("http://127.0.0.1:9/v1", None, pause=pauses.append)
    with source, pytest.raises(SourceError, match="can't be reached"):
        source.check()

    assert sum(pauses) < 5


def test_a_list_of_buckets_that_may_not_be_read_asks_for_names(move: Move) -> None:
    put(move.source, "/buckets/blog")
    move.gateway.before = lambda _method, path: (403, {}, {}) if "buckets?" in path else None

    with pytest.raises(SourceError, match=r"/buckets can't be read.*BUCKETS=a,b"):
        move.run()


def test_the_buckets_that_are_named_come_over_alone(move: Move) -> None:
    seed(move.source)
    put(move.source, "/buckets/other")
    move.gateway.before = lambda _method, path: (403, {}, {}) if "buckets?" in path else None

    move.run(Options(("blog",)))

    assert move.problems == []
    assert shown(move.target, RECORDS) == shown(move.source, RECORDS)
    assert [it["id"] for it in data_of(move.target, "/buckets")] == ["blog"]


def test_a_named_bucket_that_is_not_there_is_told(move: Move) -> None:
    put(move.source, "/buckets/blog")

    move.run(Options(("blog", "blig")))

    assert move.problems == ["/buckets/blig is not in the source"]
    assert data_of(move.target, "/buckets/blog")


def test_a_bucket_that_may_not_be_read_ends_it(connection: Connection) -> None:
    with moving(connection, bucket_read_principals=None) as move:
        put(move.source, "/buckets/blog", user="bob")

        with pytest.raises(
            SourceError, match="/buckets/blog can't be read: the source answers 403"
        ):
            move.run(Options(("blog",)))


# Pages


def test_entries_of_one_time_come_over_though_they_fill_pages(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinto_source, "PAGE_ENTRIES", 4)
    with moving(connection, paginate_by=2) as move:
        put(move.source, "/buckets/blog")
        put(move.source, POSTS)
        for number in range(9):
            put(move.source, record(number), last_modified=START_MS)
        put(move.source, record(10), last_modified=START_MS + 500)

        def lead_away(_method: str, _path: str, answer: Any) -> Any:
            status, headers, body = answer
            away = {
                name: value.replace("http://127.0.0.1", "http://elsewhere.invalid")
                for name, value in headers.items()
            }
            return status, away, body

        move.gateway.after = lead_away
        move.run()

        assert move.problems == []
        assert len(ids_in(move.target, RECORDS)) == 10


def test_pages_are_followed_where_old_versions_end_them_too_early(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinto_source, "PAGE_ENTRIES", 3)
    fill(move.source)

    def forget(_method: str, _path: str, answer: Any) -> Any:
        kept = {name: it for name, it in answer[1].items() if name != "Next-Page"}
        return answer[0], kept, answer[2]

    move.gateway.after = forget
    move.run()

    assert move.problems == []
    assert_same(move)


def test_a_batch_holds_no_more_than_the_source_takes(connection: Connection) -> None:
    with moving(connection, batch_max_requests=2) as move:
        fill(move.source)

        move.run()

        assert move.problems == []
        assert_same(move)


# Newer versions


@pytest.fixture
def newer(connection: Connection) -> Iterator[tuple[NewerKinto, Move]]:
    kinto = NewerKinto()
    kinto.put("/buckets/blog", {}, {"write": [None, "account:admin", "account:admin"], "read": []})
    kinto.put("/buckets/blog/groups/writers", {"members": ["account:bob"], "title": "Writers"})
    kinto.put(POSTS, {})
    kinto.put(record(1), {"n": 1}, {"write": ["system.Authenticated"]})
    with moving(connection) as move:
        move.gateway.kinto = kinto
        yield kinto, move


def test_a_newer_kinto_s_objects_come_over_with_what_is_new_in_them(
    newer: tuple[NewerKinto, Move],
) -> None:
    _kinto, move = newer

    move.run()

    assert move.problems == []
    bucket = move.target.ask("GET", "/buckets/blog").body
    assert bucket is not None
    assert bucket["permissions"] == {"write": ["account:admin"]}
    assert data_of(move.target, "/buckets/blog/groups/writers")["title"] == "Writers"
    assert data_of(move.target, record(1))["n"] == 1


@pytest.mark.parametrize(
    ("id", "data", "why"),
    [
        ("main", {}, "can't be kept: no record can have this id here"),
        (None, {"last_modified": 10**15}, "can't be kept: no object can have this last_modified"),
        (None, {"n": float("inf")}, "can't be kept: Invalid JSON"),
        (None, {"text": "\ud800"}, "can't be kept: Invalid JSON"),
        (None, {"text": f"{pow(3, 5_000_000):x}"[:1_500_000]}, "is too large"),
    ],
)
def test_what_can_t_be_kept_is_told_each_time_and_all_else_comes_over(
    newer: tuple[NewerKinto, Move], id: str | None, data: Any, why: str
) -> None:
    kinto, move = newer
    path = f"{RECORDS}/{id}" if id else record(2)
    kinto.put(path, data)
    kinto.put(record(3), {"last_modified": 1_600_000_000_000})
    kinto.lists[RECORDS].sort(key=lambda entry: entry["last_modified"])
    move.run()
    written = move.written()

    move.run()

    [problem] = move.problems
    assert problem.startswith(f"{path} {why}")
    assert data_of(move.target, record(3))
    assert written() == 0


def test_of_many_problems_a_list_tells_some(newer: tuple[NewerKinto, Move]) -> None:
    kinto, move = newer
    for number in range(12):
        kinto.put(f"{RECORDS}/named{number}", {})

    move.run()

    assert len(move.problems) == 10 + 1
    assert move.problems[-1] == f"{RECORDS}: and 2 more"


# What a user may not see


def test_a_bucket_that_does_not_tell_its_permissions_is_left_as_it_is_with_all_below(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    kinto.put("/buckets/other", {})
    move.run()
    before = contents(move.wire)
    kinto.readable |= {"/buckets/blog", POSTS, record(1)}
    kinto.lists["/buckets/blog/groups"].clear()
    kinto.put("/buckets/other/groups/g", {"members": []})

    for options in (Options(is_quick=True), Options(("blog",)), Options()):
        move.run(options)
        assert move.problems == [f"/buckets/blog {import_kinto.UNTOLD}"]

    objects, _rows = contents(move.wire)
    there = {key: it for key, it in objects.items() if "blog" in str(key)}
    assert there == {key: it for key, it in before[0].items() if "blog" in str(key)}
    assert data_of(move.target, "/buckets/other/groups/g")["members"] == []


def test_what_a_list_leaves_out_as_it_may_not_be_read_is_not_removed(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    move.run()
    kinto.hidden.add(record(1))

    for options in (Options(), Options(shows=True)):
        move.run(options)

        assert move.problems == [
            f"{record(1)} can't be read: the source answers 403"
            " ('This user cannot access this resource.')"
        ]
        assert data_of(move.target, record(1))["n"] == 1


def test_what_a_list_has_left_out_by_chance_comes_over_and_stays(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    move.run()
    late = kinto.lists[RECORDS].pop()

    def appear(_method: str, path: str, answer: Any) -> Any:
        if "records?" in path and late not in kinto.lists[RECORDS]:
            kinto.lists[RECORDS].append(late)
        return answer

    move.gateway.after = appear
    lines = move.run()

    assert move.problems == []
    assert any(line.startswith(f"{RECORDS}: 1 objects") and " 0 removed" in line for line in lines)


def test_a_show_tells_what_there_is_to_remove(newer: tuple[NewerKinto, Move]) -> None:
    kinto, move = newer
    move.run()
    kinto.lists[RECORDS].clear()

    lines = move.run(Options(shows=True))

    assert f"{RECORDS}: 0 objects, 0 tombstones; 0 to write, 1 to remove, 0 refused" in lines
    assert data_of(move.target, record(1))["n"] == 1


# Times that are to come


def test_entries_of_times_that_are_to_come_are_read_as_the_source_goes_on(
    newer: tuple[NewerKinto, Move], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinto_source, "PAGE_ENTRIES", 2)
    kinto, move = newer
    for number in range(2, 9):
        kinto.put(record(number), {"last_modified": NEWER_NOW_MS - 10 + 3 * number})
        kinto.put(f"/buckets/blog/groups/g{number}", {"members": []})

    move.run()

    assert move.problems == []
    assert len(ids_in(move.target, RECORDS)) == 8
    assert len(ids_in(move.target, "/buckets/blog/groups")) == 8


def test_a_list_that_the_source_refuses_holds_up_no_other(move: Move) -> None:
    seed(move.source)
    put(move.source, "/buckets/blog/groups/g", members=[])
    refusal = (400, {}, {"message": "No."})
    move.gateway.before = lambda _method, path: refusal if "records?" in path else None

    move.run()

    assert move.problems == [f"{RECORDS} can't be read: the source answers 400 ('No.')"]
    assert data_of(move.target, "/buckets/blog/groups")


def test_the_tombstone_of_what_could_never_be_here_is_no_problem(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    tombstone = {"id": "main", "last_modified": 1_600_000_000_000, "deleted": True}
    kinto.lists[RECORDS].append(tombstone)

    move.run()

    assert move.problems == []


# Options


def test_a_show_writes_nothing_and_tells_what_there_is_to_write(
    newer: tuple[NewerKinto, Move],
) -> None:
    kinto, move = newer
    kinto.put(f"{RECORDS}/main", {})

    lines = move.run(Options(shows=True))

    assert f"{RECORDS}: 2 objects, 0 tombstones; 1 to write, 0 to remove, 1 refused" in lines
    assert move.problems == [f"{RECORDS}/main can't be kept: no record can have this id here"]
    assert move.wire.items() == {}


def test_a_quick_run_reads_only_what_has_changed(move: Move) -> None:
    fill(move.source)
    move.run()
    put(move.source, record(1), changed=True)
    delete(move.source, record(3))
    move.gateway.batched = 0

    move.run(Options(is_quick=True))

    buckets = 3 + 1  # always read, the last one again with the page after it
    assert move.gateway.batched == buckets + 2
    assert move.problems == []
    assert_same(move)


def test_a_dynamodb_that_does_not_answer_is_asked_again(move: Move) -> None:
    seed(move.source)
    failures = [0]

    def fail(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == "BatchGetItem" and failures[0] < 20:
            failures[0] += 1
            raise importing.UnavailableError(may_repeat=True)

    move.wire.before = fail
    target = move.to_target()
    with pytest.raises(importing.UnavailableError):
        move.run(target=target)
    assert failures[0] == importing.ATTEMPTS
    failures[0] = 15

    move.run(target=target)

    assert move.problems == []
    assert_same(move)


# The command


@pytest.fixture
def command(move: Move, monkeypatch: pytest.MonkeyPatch) -> Move:
    """The command leads to the stage's tables."""
    for name in ("BUCKETS", "QUICK", "SHOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("URL", move.url + "/")
    monkeypatch.setenv("KINTO_IMPORT_AUTH", "alice:secret")
    monkeypatch.setattr(import_kinto, "Dynamo", lambda _connection, _tables: move.wire.dynamo)
    monkeypatch.setattr(import_kinto, "_SETTLED_S", 0)
    # The source is in this process, whatever has configured the log there.
    monkeypatch.setattr(logging.getLogger("kinto"), "handlers", [])
    return move


def test_the_command_tells_of_each_list_and_of_user_ids(
    command: Move, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(command.source)

    assert main("prod") == 0

    told, errors = capsys.readouterr()
    first, *_, last = told.splitlines()
    assert first.startswith("/buckets: 2 objects, 1 tombstones, 3 new or changed, 0 removed; hash ")
    assert "KINTO_USERID_HMAC_SECRET" in last
    assert errors == ""
    assert shown(command.target, RECORDS) == shown(command.source, RECORDS)


def test_what_is_not_the_same_makes_the_command_fail(
    command: Move, capsys: pytest.CaptureFixture[str]
) -> None:
    put(command.source, "/buckets/blog")
    put(command.target, "/buckets/blog", mine=True)

    assert main("prod") == 1

    assert capsys.readouterr().err == f"kinto-serverless: /buckets/blog {importing.FOREIGN}\n"


def test_a_long_import_tells_how_far_it_is(
    command: Move, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_kinto, "_TOLD_EACH_S", -1)
    fill(command.source)

    assert main("prod") == 0

    errors = capsys.readouterr().err
    assert f"{RECORDS}: 8 so far, of 6 objects and all tombstones, " in errors


@pytest.mark.parametrize(
    ("variables", "stage", "told"),
    [
        ({}, "", "which stage? make import URL=https://kinto.example.org/v1 STAGE=prod"),
        ({"URL": ""}, "prod", "URL is to be that of an API, such as"),
        ({"QUICK": "yes"}, "prod", "QUICK='yes' is neither 1 nor 0"),
        ({"SHOW": "2"}, "prod", "SHOW='2' is neither 1 nor 0"),
        ({"BUCKETS": "a, b/c"}, "prod", "no bucket can have the id 'b/c'"),
        ({"KINTO_IMPORT_AUTH": "a:b\n"}, "prod", "KINTO_IMPORT_AUTH holds what no header can"),
        ({"KINTO_IMPORT_AUTH": "nonsense"}, "prod", "KINTO_IMPORT_AUTH is neither"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_in_one_line(
    command: Move,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: Mapping[str, str],
    stage: str,
    told: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert main(stage) == 1

    out, errors = capsys.readouterr()
    assert out == ""
    [line] = errors.splitlines()
    assert line.startswith(f"kinto-serverless: {told}")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (cancelled("None"), "TransactionCanceledException"),
        (importing.UnavailableError(may_repeat=True), "run this again, and it goes on"),
        (KeyboardInterrupt(), "ended: run this again, and it goes on"),
    ],
    ids=["refused", "out of reach", "interrupted"],
)
def test_what_ends_an_import_is_told_in_one_line(
    command: Move,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    told: str,
) -> None:
    put(command.source, "/buckets/blog")
    monkeypatch.setattr(importing, "ATTEMPTS", 1)

    def fail(*_: Any) -> None:
        raise error

    command.wire.before = fail

    assert main("prod") == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("kinto-serverless: ")
    assert told in line
    assert "secret" not in line


def test_a_stage_that_is_not_there_is_told(
    command: Move, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamo = command.wire.dynamo
    monkeypatch.setattr(
        import_kinto, "Dynamo", lambda _connection, tables: Dynamo(dynamo._connection, tables)
    )

    assert main("nope") == 1

    told = "kinto-serverless: no tables of nope here: make deploy STAGE=nope first\n"
    assert capsys.readouterr().err == told


def test_a_dynamodb_that_is_out_of_reach_from_the_start_is_told_soon(move: Move) -> None:
    def fail(*_: Any) -> None:
        raise importing.UnavailableError(may_repeat=True)

    move.wire.before = fail

    with pytest.raises(importing.UnavailableError):
        move.to_target().check()

    assert sum(move.pauses) < 10


def test_what_was_found_before_an_import_ends_is_told_as_well(
    command: Move, capsys: pytest.CaptureFixture[str]
) -> None:
    seed(command.source)
    put(command.target, "/buckets/blog", mine=True)
    put(command.source, "/buckets/other")

    def end(_method: str, path: str) -> Any:
        return (301, {}, {}) if "/other/" in path or "/blog/" in path else None

    command.gateway.before = end

    assert main("prod") == 1

    problem, why = capsys.readouterr().err.splitlines()
    assert problem == f"kinto-serverless: /buckets/blog {importing.FOREIGN}"
    assert why.endswith("can't be read: the source answers 301")


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("", None),
        ("mat:secret", basic("mat")),
        ("mat:se cret", basic("mat", "se cret")),
        ("Bearer abc.def", "Bearer abc.def"),
        ("Basic bWF0OnNlY3JldA==", basic("mat")),
    ],
)
def test_credentials_are_a_user_s_or_a_whole_header(text: str, header: str | None) -> None:
    assert authorization(text) == header


@pytest.mark.parametrize(
    "url",
    [
        "https://kinto.example.org/v1",
        "https://kinto.example.org/v1/",
        "http://localhost:8888/v1",
        "https://example.org/behind/a/prefix/v2",
    ],
)
def test_the_url_of_an_api_is_taken(url: str) -> None:
    assert checked_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kinto.example.org/v1",
        "ftp://kinto.example.org/v1",
        "https://kinto.example.org",
        "https://kinto.example.org/v1/buckets",
        "https://user:password@kinto.example.org/v1",
        "https://kinto.example.org/v1?x=1",
        "https:///v1",
        "https://kinto.example.org:99999/v1",
        "https://[/v1",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SourceError):
        checked_url(url)
