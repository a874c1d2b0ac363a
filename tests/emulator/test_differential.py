"""Random requests of several users, to the service and to a model of the specification.

No difference is accepted: in no status, and in nothing that is shown.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import user_id
from tests.doubles import SECRET, Client, SetClock, basic
from tests.emulator.hosts import Hosts
from tests.emulator.kinto_model import (
    AUTHENTICATED,
    BUCKETS,
    EVERYONE,
    ONE_OF_THEM,
    Address,
    Answer,
    Asked,
    Data,
    Model,
    Seen,
    kind_of,
    path_of,
)

pytestmark = pytest.mark.emulator

USERS: Final = ("alice", "bob", "carol", "dave", "erin")
ALL_USERS: Final = (*USERS, None)
BUCKET_IDS: Final = ("one", "two", "three")
COLLECTION_IDS: Final = ("notes", "posts", "tasks")
GROUP_IDS: Final = ("readers", "writers", "all")
RECORD_IDS: Final = tuple(f"{digit * 8}-1111-4111-8111-111111111111" for digit in "123")

OBJECTS: Final[Mapping[str, tuple[Address, ...]]] = {
    "bucket": tuple((*BUCKETS, bucket) for bucket in BUCKET_IDS),
    "collection": tuple(
        ("buckets", bucket, "collections", each) for bucket in BUCKET_IDS for each in COLLECTION_IDS
    ),
    "group": tuple(
        ("buckets", bucket, "groups", each) for bucket in BUCKET_IDS for each in GROUP_IDS
    ),
    "record": tuple(
        ("buckets", bucket, "collections", collection, "records", each)
        for bucket in BUCKET_IDS
        for collection in COLLECTION_IDS
        for each in RECORD_IDS
    ),
}
"""All that requests are about, but for what is created under generated ids."""

LISTS: Final = tuple(dict.fromkeys(each[:-1] for places in OBJECTS.values() for each in places))
GROUPS: Final = tuple(map(path_of, OBJECTS["group"]))
IDS: Final[Mapping[str, tuple[str, ...]]] = {
    "bucket": BUCKET_IDS,
    "collection": COLLECTION_IDS,
    "group": GROUP_IDS,
    "record": RECORD_IDS,
}
PERMISSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "bucket": ("read", "write", "collection:create", "group:create"),
    "collection": ("read", "write", "record:create"),
    "group": ("read", "write"),
    "record": ("read", "write"),
}
KIND_WEIGHTS: Final = {"bucket": 2, "collection": 4, "group": 4, "record": 7}
OBJECT_METHODS: Final = {"GET": 7, "HEAD": 1, "PUT": 5, "PATCH": 6, "DELETE": 2}
LIST_METHODS: Final = {"GET": 10, "HEAD": 1, "POST": 4, "DELETE": 1}
ACTIONS: Final = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "POST": "create"}
LAST_SHOWN: Final = 12
"""How many operations a difference is reported with."""


class Generator:
    """Thinks up requests; it looks at the model, so that most of them get somewhere."""

    def __init__(self, seed: int, model: Model) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        self._model = model
        self._last: Address = OBJECTS["bucket"][0]

    def wait_ms(self) -> int:
        """How much time passes until the next request: none, some, or a lot."""
        return self._random.choice((0, 0, 1, 30, 20_000))

    def size(self, most: int) -> int:
        """How many requests the next batch has."""
        return 1 if most == 1 else self._random.randint(1, most)

    def asked(self) -> Asked:
        """The next request; often about the same objects as the one before."""
        address = self._address()
        self._last = address
        is_list = len(address) % 2 == 1
        method = self._method(address, is_list)
        body = self._body(method, address)
        query = self._query(method, address) if is_list else {}
        if_match, if_none_match = self._preconditions(method, address, body)
        user = self._user(method, address)
        return Asked(user, method, address, body, query, if_match, if_none_match)

    def _address(self) -> Address:
        if self._chance(0.35):
            return self._last if self._chance(0.5) else _list_of(self._last)
        address = self._random.choice(OBJECTS[self._weighted(KIND_WEIGHTS)])
        if len(address) > 2 and address[:2] not in self._model.objects and self._chance(0.7):
            address = address[:2]
        elif len(address) > 4 and address[:4] not in self._model.objects and self._chance(0.6):
            address = address[:4]
        return address if self._chance(0.7) else address[:-1]

    def _method(self, address: Address, is_list: bool) -> str:
        if not is_list:
            if address not in self._model.objects and self._chance(0.5):
                return "PUT"
            weights = OBJECT_METHODS | ({"DELETE": 1} if kind_of(address) == "bucket" else {})
            return self._weighted(weights)
        return self._weighted(LIST_METHODS)

    def _user(self, method: str, address: Address) -> str | None:
        """Mostly somebody who may do this, if there is anybody."""
        able = [user for user in ALL_USERS if self._is_able(user, method, address)]
        return self._random.choice(able if able and self._chance(0.65) else ALL_USERS)

    def _is_able(self, user: str | None, method: str, address: Address) -> bool:
        is_list = len(address) % 2 == 1
        place = (*address, ONE_OF_THEM) if is_list else address
        action = ACTIONS.get(method, "write")
        if method == "PUT" and address not in self._model.objects:
            action = "create"
        if self._model.may(user, action, place):
            return True
        return is_list and method != "POST" and bool(self._model.part(user, action, address))

    def _body(self, method: str, address: Address) -> Data | None:
        if method not in ("POST", "PUT", "PATCH"):
            return None
        kind = kind_of(address)
        body: Data = {}
        if self._chance(0.7):
            body["data"] = self._data(kind, is_patch=method == "PATCH")
            if method == "POST" and self._chance(0.9):
                body["data"]["id"] = self._random.choice(IDS[kind])
        if self._chance(0.5) or (method == "PUT" and not body):
            body["permissions"] = self._permissions(kind)
        return body

    def _data(self, kind: str, *, is_patch: bool) -> Data:
        if kind == "group":
            return {} if is_patch and self._chance(0.2) else {"members": self._members()}
        data: Data = {"title": self._random.choice("abc")} if self._chance(0.7) else {}
        return data | ({"n": self._random.choice((0, 1, 1.5, "1"))} if self._chance(0.6) else {})

    def _members(self) -> list[str]:
        users = [self._model.user_ids[user] for user in USERS]
        members = self._random.sample(users, self._random.choice((0, 1, 2, 2, 3)))
        vain = self._random.choice((AUTHENTICATED, EVERYONE, *GROUPS))
        return [*members, vain] if self._chance(0.1) else members

    def _permissions(self, kind: str) -> dict[str, list[str]]:
        names = PERMISSIONS[kind]
        chosen = self._random.sample(names, self._random.choice((1, 1, 2)))
        return {
            name: [self._principal(kind) for _ in range(self._random.choice((0, 1, 1, 2)))]
            for name in chosen
        }

    def _principal(self, kind: str) -> str:
        draw = self._random.random()
        if draw < 0.45:
            return self._random.choice(GROUPS)
        if draw < 0.85:
            id = self._model.user_ids[self._random.choice(USERS)]
            return id.replace(":", "_", 1) if self._chance(0.1) else id
        if draw < (0.9 if kind == "bucket" else 0.97):
            return self._random.choice((AUTHENTICATED, EVERYONE))
        return self._random.choice(("readers", "*", f"/v1{GROUPS[0]}", f"{GROUPS[0]}/"))

    def _query(self, method: str, address: Address) -> dict[str, str]:
        if method not in ("GET", "HEAD", "DELETE"):
            return {}
        ids = IDS[kind_of(address)]
        times = self._times(address)
        filters = {
            "id": self._random.choice(ids),
            "not_id": self._random.choice(ids),
            "in_id": ",".join(self._random.sample(ids, 2)),
            "exclude_id": self._random.choice(ids),
            "_since": str(self._random.choice(times)),
            "_before": str(self._random.choice(times)),
        }
        fields = ["id", "last_modified"]
        if kind_of(address) == "record":
            filters |= {"n": "1", "not_n": "1", "min_n": "1", "title": "a", "gt_title": "a"}
            fields += ["n", "title"]
        chosen = self._random.sample(list(filters), self._random.choice((0, 0, 0, 1, 1, 2)))
        if method == "DELETE" and address == BUCKETS:
            chosen = ["id", *chosen]
        query = {name: filters[name] for name in dict.fromkeys(chosen)}
        if self._chance(0.2):
            query["_since"] = "0"
        if self._chance(0.3):
            signed = [self._random.choice(("", "-")) + name for name in fields]
            query["_sort"] = ",".join(self._random.sample(signed, self._random.choice((1, 2))))
        if self._chance(0.3):
            query["_limit"] = str(self._random.choice((1, 2, 3)))
        return query

    def _times(self, list_: Address) -> list[int]:
        """Timestamps of the list's objects and tombstones, and one before them all."""
        model = self._model
        live = [stored.data for place, stored in model.objects.items() if place[:-1] == list_]
        dead = [dead for place, dead in model.tombstones.items() if place[:-1] == list_]
        return [0, *(each["last_modified"] for each in [*live, *dead])]

    def _preconditions(
        self, method: str, address: Address, body: Data | None
    ) -> tuple[int | None, int | str | None]:
        """`If-Match` and `If-None-Match`: seldom, with the timestamp or a stale one."""
        if not self._chance(0.15):
            return None, None
        if method in ("POST", "PUT", "PATCH", "DELETE") and self._chance(0.4):
            return None, "*"
        time = self._time_of(method, address, body) - self._random.choice((0, 0, 1))
        return (None, time) if method in ("GET", "HEAD") and self._chance(0.6) else (time, None)

    def _time_of(self, method: str, address: Address, body: Data | None) -> int:
        """What a client would know; a list that nobody has asked for may not be known."""
        if method == "POST":
            id = (body or {}).get("data", {}).get("id")
            address = (*address, id) if (*address, id) in self._model.objects else address
        if len(address) % 2 == 1:
            clock = self._model.clock(address)
            return clock.last if clock.is_known else 1
        stored = self._model.objects.get(address)
        found = stored.data if stored else self._model.tombstones.get(address, {})
        return int(found.get("last_modified", 1))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _weighted(self, weights: Mapping[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]


def _list_of(address: Address) -> Address:
    return address if len(address) % 2 == 1 else address[:-1]


class DifferenceError(AssertionError):
    """The service and the model do not agree."""


@dataclass(frozen=True)
class World:
    """A service and a model that have seen the same."""

    client: Client
    model: Model
    clock: SetClock

    def compare(self, asked: Asked, context: Callable[[], str]) -> Answer:
        """Ask both, and give the answer on which they agree."""
        return self._agreed(asked, self._walk(asked), context)

    def compare_batch(self, batch: list[Asked], context: Callable[[], str]) -> list[Answer]:
        """Ask the service for all of them in one batch, and the model one after the other."""
        requests = [_in_batch(asked) for asked in batch]
        response = self.client.ask("POST", "/batch", {"requests": requests}, user=None)
        assert response.status == 200, f"{response}\n{context()}"
        return [
            self._agreed(asked, [_from_batch(entry)], context)
            for asked, entry in zip(batch, (response.body or {})["responses"], strict=True)
        ]

    def _agreed(
        self, asked: Asked, responses: list[Response], context: Callable[[], str]
    ) -> Answer:
        actual = _answer_of(asked, responses)
        expected = self.model.answer(asked, _seen_in(responses[0]))
        if expected.data and "Next-Page" in responses[-1].headers:  # which no batch follows
            expected = replace(expected, data=expected.data[: int(asked.query["_limit"])])
        if actual != expected:
            raise DifferenceError(
                f"{_described(asked)}\nmodel:   {expected}\nservice: {actual}\n{context()}"
            )
        return actual

    def _walk(self, asked: Asked) -> list[Response]:
        """The answer, and those of all further pages of a list."""
        responses = [self._ask(asked, asked.query)]
        while asked.method == "GET" and "Next-Page" in responses[-1].headers:
            url = urlsplit(responses[-1].headers["Next-Page"])
            assert url.path == f"/v1{path_of(asked.address)}"
            responses.append(self._ask(asked, dict(parse_qsl(url.query, keep_blank_values=True))))
        return responses

    def _ask(self, asked: Asked, query: Mapping[str, str]) -> Response:
        return self.client.ask(
            asked.method,
            path_of(asked.address),
            asked.body,
            user=asked.user,
            headers=_headers_of(asked),
            **query,
        )


def _headers_of(asked: Asked) -> dict[str, str]:
    headers = {}
    if asked.if_match is not None:
        headers["if-match"] = f'"{asked.if_match}"'
    if asked.if_none_match is not None:
        value = asked.if_none_match
        headers["if-none-match"] = value if isinstance(value, str) else f'"{value}"'
    return headers


def _in_batch(asked: Asked) -> Data:
    """The request as an entry of a batch, with credentials of its own."""
    query = f"?{urlencode(asked.query)}" if asked.query else ""
    headers = _headers_of(asked)
    if asked.user is not None:
        headers["authorization"] = basic(asked.user)
    entry = {"method": asked.method, "path": path_of(asked.address) + query, "headers": headers}
    return entry if asked.body is None else {**entry, "body": asked.body}


def _from_batch(entry: Data) -> Response:
    return Response(entry["status"], entry["body"] or None, entry["headers"])


def _answer_of(asked: Asked, responses: list[Response]) -> Answer:
    """What the service answers, all pages together."""
    first = responses[0]
    if first.status in (200, 201):
        _check_pages(responses, asked.query.get("_limit"))
        with_etag = asked.method not in ("POST", "DELETE")
        body = first.body or {}
        data = body.get("data")
        if len(responses) > 1:
            data = [entry for page in responses for entry in (page.body or {})["data"]]
        return Answer(
            first.status,
            data=data,
            permissions=_permissions_in(body),
            total=_number(first, "Total-Records"),
            etag=_number(first, "ETag") if with_etag else None,
        )
    if first.status in (304, 412):
        existing = (first.body or {}).get("details", {}).get("existing")
        is_shown = asked.method != "HEAD"
        return Answer(
            first.status, etag=_number(first, "ETag"), existing=existing if is_shown else None
        )
    return Answer(first.status)


def _check_pages(responses: list[Response], limit: str | None) -> None:
    """All pages but the last are full, and all say the same of the list."""
    for response in responses[:-1]:
        assert len((response.body or {})["data"]) == int(limit or 0)
    if len(responses) > 1:
        last = (responses[-1].body or {})["data"]
        assert 0 < len(last) <= int(limit or 0)
    for name in ("Total-Records", "ETag"):
        assert len({response.headers.get(name) for response in responses}) == 1


def _permissions_in(body: Data) -> dict[str, set[str]] | None:
    permissions = body.get("permissions")
    if permissions is None:
        return None
    for principals in permissions.values():
        assert len(principals) == len(set(principals))
    return {name: set(principals) for name, principals in permissions.items()}


def _number(response: Response, header: str) -> int | None:
    value = response.headers.get(header)
    return None if value is None else int(value.strip('"'))


def _seen_in(response: Response) -> Seen:
    data: Any = (response.body or {}).get("data", [])
    return Seen([data] if isinstance(data, dict) else data, _number(response, "ETag"))


def _described(asked: Asked) -> str:
    described = f"{asked.user} {asked.method} {path_of(asked.address)} {dict(asked.query)}"
    if asked.body is not None:
        described += f" {asked.body}"
    if asked.if_match is not None:
        described += f" If-Match: {asked.if_match}"
    if asked.if_none_match is not None:
        described += f" If-None-Match: {asked.if_none_match}"
    return described


class Witness:
    """Counts what a run came across, so that none passes for want of anything to compare."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._read: dict[tuple[str | None, Address], int] = {}
        self._ever: set[Address] = set()
        self.counts: Counter[str] = Counter()

    def notice(self, asked: Asked, answer: Answer) -> None:
        """Count a request by method, kind and status, and as what it stands for."""
        place = "list of " if asked.is_of_list else ""
        self.counts[f"{asked.method} {place}{asked.kind} {answer.status}"] += 1
        if answer.status == 412 or answer.status == 304:
            self.counts[str(answer.status)] += 1
        if asked.is_of_list and asked.method in ("GET", "DELETE"):
            self._notice_list(asked, answer)
        if not asked.is_of_list and asked.method == "GET":
            self._notice_read(asked, answer)
        if asked.method == "PUT" and answer.status == 201:
            self.counts[f"created {asked.kind} again"] += asked.address in self._ever
            self._ever.add(asked.address)

    def _notice_list(self, asked: Asked, answer: Answer) -> None:
        action = ACTIONS.get(asked.method, "write")
        if answer.status != 200 or not answer.data:
            return
        if self._model.may_all(asked.user, action, asked.address):
            if asked.method == "GET" and any(entry.get("deleted") for entry in answer.data):
                self.counts["list with tombstones"] += 1
            return
        self.counts[f"{asked.method} part of list of {asked.kind}"] += 1
        if asked.method == "GET" and asked.user and self._is_by_groups(asked.user, asked.address):
            self.counts["GET part of list by a group"] += 1

    def _is_by_groups(self, user: str, list_: Address) -> bool:
        """Whether this user sees some object of the list by groups alone."""
        groups = self._model.groups_of(user)
        others = self._model.principals(user) - groups
        given = [
            self._model.objects[each].permissions for each in self._model.part(user, "read", list_)
        ]
        return any(
            others.isdisjoint(each.get("read", set()) | each.get("write", set())) for each in given
        )

    def _notice_read(self, asked: Asked, answer: Answer) -> None:
        """Whether somebody lost the right to read an object that is still the same one."""
        stored = self._model.objects.get(asked.address)
        if stored is None:
            return
        key = asked.user, asked.address
        if answer.status == 200:
            self._read[key] = stored.born
            if asked.user and self._needs_group(asked.user, asked.address):
                self.counts["GET by a group"] += 1
        elif answer.status in (401, 403) and self._read.pop(key, None) == stored.born:
            self.counts["refused what could be read before"] += 1

    def _needs_group(self, user: str, address: Address) -> bool:
        granting = self._model.granting("read", address)
        groups = self._model.groups_of(user)
        return granting.isdisjoint(self._model.principals(user) - groups)


def run(world: World, seed: int, operations: int, *, at_once: int = 1) -> Counter[str]:
    """Compare this many operations, and then all that anybody sees; gives what was met.

    Args:
        world: nothing happened in it yet.
        seed: of the operations.
        operations: how many.
        at_once: how many of them a batch has at most; with 1 there are no batches.
    """
    generator = Generator(seed, world.model)
    witness = Witness(world.model)
    last: deque[str] = deque(maxlen=LAST_SHOWN)
    while operations > 0:
        world.clock.now_ms += generator.wait_ms()
        batch = [generator.asked() for _ in range(generator.size(at_once))]
        if at_once > 1:  # where an empty object is no body, which a PATCH is refused for
            batch = [
                replace(asked, body={"data": {}})
                if asked.method == "PATCH" and not asked.body
                else asked
                for asked in batch
            ]
        operations -= len(batch)
        last.append(" + ".join(map(_described, batch)))
        if at_once > 1:
            answers = world.compare_batch(batch, lambda: _context(seed, last))
        else:
            answers = [world.compare(batch[0], lambda: _context(seed, last))]
        last[-1] += f" -> {[answer.status for answer in answers]}"
        for asked, answer in zip(batch, answers, strict=True):
            witness.notice(asked, answer)
    for asked in _sweep(world.model):
        answer = world.compare(asked, lambda: f"final sweep; {_context(seed, last)}")
        witness.notice(asked, answer)
    return witness.counts


def _context(seed: int, last: deque[str]) -> str:
    return f"seed {seed}, the last operations:\n" + "\n".join(last)


def _sweep(model: Model) -> Iterator[Asked]:
    """Reads of all that has a parent, by everybody; of what was made under generated ids, too."""
    objects = {each for places in OBJECTS.values() for each in places} | set(model.objects)
    lists = {*LISTS, *(address[:-1] for address in objects)}
    for user in ALL_USERS:
        for address in _with_parent(model, objects):
            yield Asked(user, "GET", address)
        for list_ in _with_parent(model, lists):
            yield Asked(user, "GET", list_)
            yield Asked(user, "GET", list_, query={"_since": "0", "_limit": "3"})


def _with_parent(model: Model, places: Iterable[Address]) -> list[Address]:
    """Those in what exists, or in nothing."""

    def parent(place: Address) -> Address:
        return place[:-1] if len(place) % 2 == 1 else place[:-2]

    return sorted(place for place in places if not parent(place) or parent(place) in model.objects)


def world_of(hosts: Hosts, model_settings: Mapping[str, set[str]], ids: dict[str, str]) -> World:
    """An empty service and an empty model with these settings, by kind and action."""
    clock = SetClock()
    named: dict[str, Any] = {
        f"{kind_and_action}_principals": frozenset(principals)
        for kind_and_action, principals in model_settings.items()
    }
    settings = Settings(stage=hosts.stage, userid_hmac_secret=SECRET, **named)
    storage = Storage(Dynamo(hosts.connect(), hosts.tables), clock)
    service = Service(settings, storage, [BasicPolicy(SECRET)])
    return World(Client(service), Model(ids, model_settings), clock)


@pytest.fixture
def ids(hosts: Hosts) -> dict[str, str]:
    """The ids of all users."""
    client = hosts.start()
    return {user: user_id(client, user) for user in USERS}


OPERATIONS: Final = 400

ALWAYS_MET: Final = (
    "GET list of bucket 200",
    "GET list of bucket 401",
    "GET list of record 403",
    "GET collection 404",
    "GET record 401",
    "PUT record 201",
    "PUT group 400",
    "PATCH record 404",
    "304",
    "412",
    "GET by a group",
    "GET part of list by a group",
    "GET part of list of bucket",
    "GET part of list of collection",
    "list with tombstones",
    "created collection again",
    "created record again",
)
"""What every run has to have met, so as not to agree on nothing."""


@pytest.mark.parametrize(
    ("seed", "also_met"),
    [
        (0, ("GET part of list of group", "DELETE part of list of record", "DELETE bucket 200")),
        (1, ("DELETE part of list of bucket", "created group again", "created bucket again")),
        (2, ("DELETE part of list of collection", "refused what could be read before")),
        (4, ("GET part of list of group", "POST list of record 200", "DELETE list of bucket 401")),
    ],
)
def test_service_and_model_answer_the_same(
    hosts: Hosts, ids: dict[str, str], seed: int, also_met: tuple[str, ...]
) -> None:
    met = run(world_of(hosts, {}, ids), seed, OPERATIONS)

    assert [what for what in (*ALWAYS_MET, *also_met) if not met[what]] == []


@pytest.mark.parametrize("seed", [0, 1])
def test_requests_of_a_batch_are_answered_like_single_ones(
    hosts: Hosts, ids: dict[str, str], seed: int
) -> None:
    met = run(world_of(hosts, {}, ids), seed, 2 * OPERATIONS, at_once=12)

    assert [what for what in ALWAYS_MET if not met[what]] == []


def test_service_and_model_answer_the_same_under_settings(
    hosts: Hosts, ids: dict[str, str]
) -> None:
    settings = {
        "bucket_create": {ids["alice"], ids["bob"], GROUPS[0]},
        "bucket_read": {ids["carol"], GROUPS[1]},
        "collection_create": {ids["dave"], AUTHENTICATED},
        "record_read": {ids["erin"], GROUPS[2]},
        "group_write": {ids["alice"], GROUPS[0]},
    }

    met = run(world_of(hosts, settings, ids), 0, OPERATIONS)

    also_met = ("GET bucket 404", "PUT bucket 403", "GET part of list of record")
    assert [what for what in (*ALWAYS_MET, *also_met) if not met[what]] == []
