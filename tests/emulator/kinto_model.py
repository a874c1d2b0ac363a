"""The specification as a program: what Kinto answers, from plain dictionaries in memory.

It is written from the specification alone, to be held against the service. What it can't foresee,
timestamps and generated ids, it takes from the service's answer where the specification allows
them; where it doesn't, it says what would have been allowed.
"""

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Address: TypeAlias = tuple[str, ...]
"""`("buckets", "blog", "groups", "writers")`: even ones are objects, odd ones their lists."""

Data: TypeAlias = dict[str, Any]
Permissions: TypeAlias = dict[str, set[str]]
Settings: TypeAlias = Mapping[str, set[str]]
"""Principals by kind and action, `record_read`, in the place of permissions (section 8)."""

BUCKETS: Final[Address] = ("buckets",)
KINDS: Final = {
    "buckets": "bucket",
    "collections": "collection",
    "groups": "group",
    "records": "record",
}
EVERYONE: Final = "system.Everyone"
AUTHENTICATED: Final = "system.Authenticated"
ONE_OF_THEM: Final = "?"
"""In the place of an id: any object of a list, which has no permissions of its own."""


@dataclass(frozen=True)
class Asked:
    """A request. Headers are the timestamps within their quotes; `*` stands for itself."""

    user: str | None
    method: str
    address: Address
    body: Data | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    if_match: int | None = None
    if_none_match: int | str | None = None

    @property
    def is_of_list(self) -> bool:
        return len(self.address) % 2 == 1

    @property
    def kind(self) -> str:
        return kind_of(self.address)

    @property
    def data(self) -> Data | None:
        return (self.body or {}).get("data")

    @property
    def permissions(self) -> Permissions:
        return {
            name: set(given) for name, given in (self.body or {}).get("permissions", {}).items()
        }


@dataclass(frozen=True)
class Answer:
    """What is compared of an answer; None where there is nothing, or where it is left open."""

    status: int
    data: Any = None
    permissions: Permissions | None = None
    total: int | None = None
    etag: int | None = None
    existing: Data | None = None


@dataclass(frozen=True)
class Seen:
    """What the service chose: the objects that it answered, and its ETag."""

    entries: list[Data] = field(default_factory=list)
    etag: int | None = None


@dataclass
class Stored:
    """An object that exists; its data have `id` and `last_modified`, too."""

    data: Data
    permissions: Permissions
    born: int


@dataclass
class Clock:
    """The timestamp of a list.

    Attributes:
        last: the greatest that was seen, whatever was deleted since.
        is_known: whether it is the list's present one; where the list is fresh, any above it is.
    """

    last: int = 0
    is_known: bool = False

    def tick(self, seen: int | None) -> int:
        """The timestamp of a write: the one seen, which has to be above all before."""
        self.last = seen if seen is not None and seen > self.last else self.last + 1
        self.is_known = True
        return self.last

    def read(self, seen: int | None) -> int:
        """The list's timestamp: the last write's, or, of a fresh list, one above all before."""
        if self.is_known:
            return self.last
        if seen is None:
            return self.last + 1
        return self.tick(seen)


class RefusedError(Exception):
    """Ends a request with a status, and what is answered along with it."""

    def __init__(self, status: int, etag: int | None = None, existing: Data | None = None) -> None:
        super().__init__(status)
        self.answer = Answer(status, etag=etag, existing=existing)


def forbidden(asked: Asked) -> RefusedError:
    """Rule: section 5."""
    return RefusedError(401 if asked.user is None else 403)


class Model:
    """A server that holds everything in dictionaries."""

    def __init__(self, user_ids: Mapping[str, str], settings: Settings | None = None) -> None:
        """Take the ids of all users by name, and the settings that are not empty."""
        self.user_ids = user_ids
        self.settings: Settings = {"bucket_create": {AUTHENTICATED}, **(settings or {})}
        self.objects: dict[Address, Stored] = {}
        self.tombstones: dict[Address, Data] = {}
        self.clocks: dict[Address, Clock] = {}

    def answer(self, asked: Asked, seen: Seen) -> Answer:
        """What is to be answered, given what the service chose."""
        methods: dict[str, Callable[[Asked, Seen], Answer]] = {
            "GET": self._get_list if asked.is_of_list else self._get,
            "HEAD": self._get_list if asked.is_of_list else self._get,
            "POST": self._post,
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete_list if asked.is_of_list else self._delete,
        }
        try:
            answer = methods[asked.method](asked, seen)
        except RefusedError as refused:
            answer = refused.answer
        return without_body(answer) if asked.method == "HEAD" else answer

    def clock(self, list_: Address) -> Clock:
        return self.clocks.setdefault(list_, Clock())

    # Users and permissions

    def principals(self, user: str | None) -> set[str]:
        """What permissions may be given to, for this user to have them (section 2)."""
        if user is None:
            return {EVERYONE}
        id = self.user_ids[user]
        return {id, id.replace(":", "_", 1), EVERYONE, AUTHENTICATED} | self.groups_of(user)

    def groups_of(self, user: str) -> set[str]:
        """The addresses of the groups, of any bucket, that exist and name this user."""
        return {
            path_of(address)
            for address, stored in self.objects.items()
            if kind_of(address) == "group" and self.user_ids[user] in stored.data["members"]
        }

    def may(self, user: str | None, action: str, address: Address) -> bool:
        """Whether somebody may read, write or create this object, whether it exists or not."""
        bucket = address[:2]
        if address != bucket and bucket not in self.objects:
            return False  # section 5: anything below a missing bucket
        principals = self.principals(user)
        named = self.settings.get(f"{kind_of(address)}_{action}")
        if named is not None:
            return not principals.isdisjoint(named)
        return not principals.isdisjoint(self.granting(action, address))

    def granting(self, action: str, address: Address) -> set[str]:
        """All who have a permission that grants this: rights go down (section 3)."""
        if action == "create":
            parent = address[:-2]
            return self._on(parent, f"{kind_of(address)}:create") | self.granting("write", parent)
        names = ("read", "write") if action == "read" else ("write",)
        return {
            principal
            for holder in self_and_above(address)
            for name in names
            for principal in self._on(holder, name)
        }

    def _on(self, address: Address, name: str) -> set[str]:
        """Who has this permission on the object itself; nobody on a missing one."""
        stored = self.objects.get(address)
        return stored.permissions.get(name, set()) if stored else set()

    def _require(self, asked: Asked, action: str, address: Address) -> None:
        """Rule: section 5. Only then it is told that the collection of a record is missing."""
        if not self.may(asked.user, action, address):
            raise forbidden(asked)
        self._require_parent(address)

    def _require_parent(self, address: Address) -> None:
        if len(address) > 2 and address[:-2] not in self.objects:
            raise RefusedError(404)

    def part(self, user: str | None, action: str, list_: Address) -> list[Address]:
        """What somebody has the right to himself, in a list (section 7)."""
        names = ("read", "write") if action == "read" else ("write",)
        principals = self.principals(user)
        return [
            address
            for address in self._in(list_)
            if any(not principals.isdisjoint(self._on(address, name)) for name in names)
        ]

    def _in(self, list_: Address) -> list[Address]:
        return [address for address in self.objects if address[:-1] == list_]

    def may_all(self, user: str | None, action: str, list_: Address) -> bool:
        """Whether somebody may read or write whatever is in a list."""
        return self.may(user, action, (*list_, ONE_OF_THEM))

    # Reading

    def _get(self, asked: Asked, _seen: Seen) -> Answer:
        self._require(asked, "read", asked.address)
        stored = self._found(asked)
        self._check_read(asked, stored.data["last_modified"], stored.data)
        return shown(200, stored)

    def _get_list(self, asked: Asked, seen: Seen) -> Answer:
        visible = self._visible(asked)
        timestamp = self.clock(asked.address).read(seen.etag)
        self._check_read(asked, timestamp, None)
        matching = [entry for entry in visible if matches(entry, asked.query)]
        total = sum(1 for entry in matching if not is_tombstone(entry))
        in_order = in_order_of(asked.query.get("_sort", ""), matching)
        return Answer(200, data=in_order, total=total, etag=timestamp)

    def _visible(self, asked: Asked) -> list[Data]:
        """All that the user sees of a list, with tombstones if the query wants them."""
        list_ = asked.address
        if self.may_all(asked.user, "read", list_):
            self._require_parent((*list_, ONE_OF_THEM))
            return [*self._data(self._in(list_)), *self._dead(list_, asked.query)]
        part = self.part(asked.user, "read", list_)
        if not part and not (list_ == BUCKETS and asked.user is not None):
            raise forbidden(asked)
        return self._data(part)

    def _data(self, addresses: Iterable[Address]) -> list[Data]:
        return [self.objects[address].data for address in addresses]

    def _dead(self, list_: Address, query: Mapping[str, str]) -> list[Data]:
        if not any(name == "last_modified" for _, name, _ in filters(query)):
            return []
        return [dead for address, dead in self.tombstones.items() if address[:-1] == list_]

    def _found(self, asked: Asked) -> Stored:
        stored = self.objects.get(asked.address)
        if stored is None:
            raise RefusedError(404)
        return stored

    # Preconditions

    def _check_read(self, asked: Asked, timestamp: int, existing: Data | None) -> None:
        if isinstance(asked.if_none_match, int) and timestamp <= asked.if_none_match:
            raise RefusedError(304, etag=timestamp)
        self._check_match(asked, timestamp, existing)

    def _check_match(self, asked: Asked, timestamp: int, existing: Data | None) -> None:
        if asked.if_match is not None and timestamp > asked.if_match:
            raise RefusedError(412, etag=timestamp, existing=existing)

    def _check_write(self, asked: Asked, address: Address) -> None:
        """A tombstone has a timestamp, but does not exist."""
        stored = self.objects.get(address)
        existing = stored.data if stored else self.tombstones.get(address)
        if existing is None:
            return
        if asked.if_none_match == "*" and stored:
            raise RefusedError(412, etag=existing["last_modified"], existing=existing)
        self._check_match(asked, existing["last_modified"], existing)

    # Writing

    def _post(self, asked: Asked, seen: Seen) -> Answer:
        list_ = asked.address
        self._require(asked, "create", (*list_, ONE_OF_THEM))
        if asked.kind == "group" and asked.data is None:
            raise RefusedError(400)
        chosen = seen.entries[0]["id"] if seen.entries else ONE_OF_THEM
        address = (*list_, (asked.data or {}).get("id", chosen))
        if address in self.objects:
            return self._posted_again(asked, address)
        if asked.if_match is not None:
            self._check_match(asked, self.clock(list_).read(seen.etag), None)
        return self._write(asked, address, seen, data=asked.data or {}, base={})

    def _posted_again(self, asked: Asked, address: Address) -> Answer:
        """Nothing changes; the object is shown to who may read it (section 9, 6)."""
        if not self.may(asked.user, "read", address):
            raise forbidden(asked)
        self._check_write(asked, address)
        return Answer(200, data=self.objects[address].data)

    def _put(self, asked: Asked, seen: Seen) -> Answer:
        address = asked.address
        stored = self.objects.get(address)
        self._require(asked, "write" if stored else "create", address)
        keeps = stored is not None and asked.data is None and bool(asked.permissions)
        if asked.kind == "group" and asked.data is None and not keeps:
            raise RefusedError(400)
        self._check_write(asked, address)
        data = stored.data if stored and keeps else asked.data or {}
        kept = stored.permissions if stored and not asked.permissions else {}
        return self._write(asked, address, seen, data=data, base=kept)

    def _patch(self, asked: Asked, seen: Seen) -> Answer:
        self._require(asked, "write", asked.address)
        stored = self._found(asked)
        self._check_write(asked, asked.address)
        data = stored.data | (asked.data or {})
        return self._write(asked, asked.address, seen, data=data, base=stored.permissions)

    def _write(
        self, asked: Asked, address: Address, seen: Seen, *, data: Data, base: Permissions
    ) -> Answer:
        """Put an object in its place, with the permissions named in `base` unless asked for."""
        before = self.objects.get(address)
        self.tombstones.pop(address, None)
        time = self.clock(address[:-1]).tick(time_of(seen, 0))
        kept = {"members": data["members"]} if kind_of(address) == "group" else data
        permissions = {**base, **asked.permissions}
        writer = EVERYONE if asked.user is None else self.user_ids[asked.user]
        permissions["write"] = permissions.get("write", set()) | {writer}
        self.objects[address] = Stored(
            {**kept, "id": address[-1], "last_modified": time},
            {name: given for name, given in permissions.items() if given},
            before.born if before else time,
        )
        return shown(
            200 if before else 201, self.objects[address], with_etag=asked.method != "POST"
        )

    # Deleting

    def _delete(self, asked: Asked, seen: Seen) -> Answer:
        self._require(asked, "write", asked.address)
        self._found(asked)
        self._check_write(asked, asked.address)
        return Answer(200, data=self._bury(asked.address, time_of(seen, 0)))

    def _delete_list(self, asked: Asked, seen: Seen) -> Answer:
        """Delete what one may write and what matches, the one changed longest ago first."""
        doomed = [
            address
            for address in self._deletable(asked)
            if matches(self.objects[address].data, asked.query)
        ]
        if asked.if_match is not None:
            self._check_match(asked, self.clock(asked.address).read(seen.etag), None)
        doomed.sort(key=lambda address: self.objects[address].data["last_modified"])
        return Answer(
            200, data=[self._bury(each, time_of(seen, place)) for place, each in enumerate(doomed)]
        )

    def _deletable(self, asked: Asked) -> list[Address]:
        if self.may_all(asked.user, "write", asked.address):
            self._require_parent((*asked.address, ONE_OF_THEM))
            return self._in(asked.address)
        part = self.part(asked.user, "write", asked.address)
        if not part:
            raise forbidden(asked)
        return part

    def _bury(self, address: Address, seen_time: int | None) -> Data:
        """Delete an object and all that is below; lists below start afresh, and later."""
        del self.objects[address]
        for place in [each for each in self.objects if is_below(each, address)]:
            del self.objects[place]
        for place in [each for each in self.tombstones if is_below(each, address)]:
            del self.tombstones[place]
        for list_, clock in self.clocks.items():
            if is_below(list_, address):
                clock.is_known = False
        time = self.clock(address[:-1]).tick(seen_time)
        self.tombstones[address] = {"id": address[-1], "last_modified": time, "deleted": True}
        return self.tombstones[address]


def kind_of(address: Address) -> str:
    """The kind of an object, or of what a list holds."""
    return KINDS[address[-1 if len(address) % 2 else -2]]


def path_of(address: Address) -> str:
    """As in URLs, without the version."""
    return "/" + "/".join(address)


def self_and_above(address: Address) -> Iterator[Address]:
    """The object, its parent, and its parent's."""
    return (address[:length] for length in range(len(address), 0, -2))


def is_below(address: Address, above: Address) -> bool:
    """Whether this is below that; nothing is below itself."""
    return len(address) > len(above) and address[: len(above)] == above


def is_tombstone(entry: Data) -> bool:
    return entry.get("deleted") is True


def shown(status: int, stored: Stored, *, with_etag: bool = True) -> Answer:
    """An object with its permissions."""
    etag = stored.data["last_modified"] if with_etag else None
    return Answer(status, data=stored.data, permissions=stored.permissions, etag=etag)


def without_body(answer: Answer) -> Answer:
    """As for HEAD: the status and the headers of GET."""
    return Answer(answer.status, total=answer.total, etag=answer.etag)


def time_of(seen: Seen, place: int) -> int | None:
    """The timestamp of the object that the service answered at this place."""
    if place >= len(seen.entries):
        return None
    time = seen.entries[place].get("last_modified")
    return time if isinstance(time, int) else None


# Lists

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "min": operator.ge,
    "max": operator.le,
    "gt": operator.gt,
    "lt": operator.lt,
}
NAMES: Final = {"_since": "gt_last_modified", "_before": "lt_last_modified"}


def filters(query: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The prefix, the field and the text of each filter."""
    for parameter, text in query.items():
        name = NAMES.get(parameter, parameter)
        prefix, _, rest = name.partition("_")
        if prefix in {*COMPARISONS, "not", "in", "exclude"}:
            yield prefix, rest, text
        elif prefix:
            yield "", name, text


def matches(entry: Data, query: Mapping[str, str]) -> bool:
    """Whether an object or a tombstone passes all filters."""
    return all(_passes(entry, *each) for each in filters(query))


def _passes(entry: Data, prefix: str, name: str, text: str) -> bool:
    has = name in entry
    mine = entry.get(name)
    compare = COMPARISONS.get(prefix)
    if compare is not None:
        value = typed(text, name)
        return has and _type(mine) == _type(value) and compare(mine, value)
    several = text.split(",") if prefix in ("in", "exclude") else [text]
    is_one = has and any(_key(mine) == _key(typed(each, name)) for each in several)
    return is_one != (prefix in ("not", "exclude"))


def typed(text: str, name: str) -> Any:
    """A filter's value by its looks; ids are strings."""
    if name == "id":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _type(value: Any) -> int:
    """The place of a value's type in sorted lists."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return 1
    if isinstance(value, str):
        return 2
    return 4 if value is None else 3


def _key(value: Any) -> tuple[int, Any]:
    """Compares values of all types; those that have no order are equal."""
    return _type(value), value if _type(value) < 3 else 0


def in_order_of(sort: str, entries: list[Data]) -> list[Data]:
    """Sort by these fields; what is equal, or without any, comes newest first."""
    found = sorted(entries, key=lambda entry: entry["last_modified"], reverse=True)
    for part in reversed([part for part in sort.split(",") if part]):
        name = part.lstrip("-")
        found.sort(key=lambda entry: _key(entry.get(name)), reverse=part.startswith("-"))
    return found
