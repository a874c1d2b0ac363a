"""Who may do what: the table of 401, 403 and 404, and what permissions a body can set."""

from typing import Any

import pytest

from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    OBJECTS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    assert_invalid,
    body_for,
    body_of,
    made,
    state,
    user_id,
)
from tests.doubles import Client

ROLES = {
    "stranger": (None, None),
    "bucket R": (BUCKET, "read"),
    "bucket W": (BUCKET, "write"),
    "bucket CC": (BUCKET, "collection:create"),
    "bucket GC": (BUCKET, "group:create"),
    "collection R": (COLLECTION, "read"),
    "collection W": (COLLECTION, "write"),
    "collection C": (COLLECTION, "record:create"),
    "group R": (GROUP, "read"),
    "group W": (GROUP, "write"),
    "record R": (RECORD, "read"),
    "record W": (RECORD, "write"),
}
"""What somebody has, and nothing else: the object, and the permission on it."""

NO_BUCKET = "/buckets/none"
NO_COLLECTION = f"{COLLECTIONS}/none"
NO_GROUP = f"{GROUPS}/none"
NO_RECORD = f"{RECORDS}/{OTHER_ID}"
BELOW_NO_COLLECTION = f"{NO_COLLECTION}/records"
BELOW_NO_BUCKET = (
    f"{NO_BUCKET}/collections",
    f"{NO_BUCKET}/groups",
    f"{NO_BUCKET}/collections/c",
    f"{NO_BUCKET}/groups/g",
    f"{NO_BUCKET}/collections/c/records",
    f"{NO_BUCKET}/collections/c/records/{OTHER_ID}",
)

READERS_OF = {
    BUCKET: {"bucket R": 200, "bucket W": 200},
    COLLECTION: dict.fromkeys(["bucket R", "bucket W", "collection R", "collection W"], 200),
    GROUP: dict.fromkeys(["bucket R", "bucket W", "group R", "group W"], 200),
    RECORD: dict.fromkeys(
        ["bucket R", "bucket W", "collection R", "collection W", "record R", "record W"], 200
    ),
}
WRITERS_OF = {
    path: {role: 200 for role in roles if role.endswith("W")} for path, roles in READERS_OF.items()
}
OF_BUCKET = {"bucket R": 404, "bucket W": 404}
WRITER_OF_BUCKET = {"bucket W": 404}

TABLE: list[tuple[str, str, dict[str, int]]] = [
    *(("GET", path, roles) for path, roles in READERS_OF.items()),
    ("HEAD", RECORD, READERS_OF[RECORD]),
    *((method, path, roles) for path, roles in WRITERS_OF.items() for method in ("PATCH", "PUT")),
    *(("DELETE", path, roles) for path, roles in WRITERS_OF.items()),
    ("GET", NO_BUCKET, {}),
    ("PATCH", NO_BUCKET, {}),
    ("DELETE", NO_BUCKET, {}),
    ("GET", NO_COLLECTION, OF_BUCKET),
    ("PUT", NO_COLLECTION, {"bucket W": 201, "bucket CC": 201}),
    ("PATCH", NO_COLLECTION, WRITER_OF_BUCKET),
    ("DELETE", NO_COLLECTION, WRITER_OF_BUCKET),
    ("GET", NO_GROUP, OF_BUCKET),
    ("PUT", NO_GROUP, {"bucket W": 201, "bucket GC": 201}),
    ("PATCH", NO_GROUP, WRITER_OF_BUCKET),
    ("DELETE", NO_GROUP, WRITER_OF_BUCKET),
    ("GET", NO_RECORD, OF_BUCKET | {"collection R": 404, "collection W": 404}),
    ("PUT", NO_RECORD, {"bucket W": 201, "collection W": 201, "collection C": 201}),
    ("PATCH", NO_RECORD, {"bucket W": 404, "collection W": 404}),
    ("DELETE", NO_RECORD, {"bucket W": 404, "collection W": 404}),
    ("POST", COLLECTIONS, {"bucket W": 201, "bucket CC": 201}),
    ("POST", GROUPS, {"bucket W": 201, "bucket GC": 201}),
    ("POST", RECORDS, {"bucket W": 201, "collection W": 201, "collection C": 201}),
    ("GET", BELOW_NO_COLLECTION, OF_BUCKET),
    ("GET", f"{BELOW_NO_COLLECTION}/{OTHER_ID}", OF_BUCKET),
    ("POST", BELOW_NO_COLLECTION, WRITER_OF_BUCKET),
    ("DELETE", BELOW_NO_COLLECTION, WRITER_OF_BUCKET),
    ("PUT", f"{BELOW_NO_COLLECTION}/{OTHER_ID}", WRITER_OF_BUCKET),
    ("PATCH", f"{BELOW_NO_COLLECTION}/{OTHER_ID}", WRITER_OF_BUCKET),
    ("DELETE", f"{BELOW_NO_COLLECTION}/{OTHER_ID}", WRITER_OF_BUCKET),
]
"""What each role is answered, where it is not refused; whole lists are below."""

LISTS_TABLE: list[tuple[str, str, dict[str, int]]] = [
    ("GET", COLLECTIONS, {"bucket R": 200, "bucket W": 200}),
    ("GET", GROUPS, {"bucket R": 200, "bucket W": 200}),
    ("DELETE", COLLECTIONS, {"bucket W": 200}),
    ("DELETE", GROUPS, {"bucket W": 200}),
    ("GET", RECORDS, dict.fromkeys(["bucket R", "bucket W", "collection R", "collection W"], 200)),
    ("DELETE", RECORDS, {"bucket W": 200, "collection W": 200}),
]
PARTS = {
    ("GET", COLLECTIONS): {"collection R", "collection W"},
    ("DELETE", COLLECTIONS): {"collection W"},
    ("GET", GROUPS): {"group R", "group W"},
    ("DELETE", GROUPS): {"group W"},
    ("GET", RECORDS): {"record R", "record W"},
    ("DELETE", RECORDS): {"record W"},
}
"""Roles that have a part of a list: refused as long as there are no shared lists."""


@pytest.mark.parametrize(
    ("role", "is_anonymous"),
    [
        *((role, False) for role in ROLES),
        *((role, True) for role in ("stranger", "bucket R", "collection C", "record W")),
    ],
)
def test_the_table_of_permissions(client: Client, role: str, is_anonymous: bool) -> None:
    made(client)
    bob = None if is_anonymous else "bob"
    place, permission = ROLES[role]
    if place is not None:
        principal = "system.Everyone" if bob is None else user_id(client, bob)
        given = client.ask("PATCH", place, {"permissions": {permission: [principal]}})
        assert given.status == 200
    refused = (401, 104) if bob is None else (403, 121)
    for method, path, allowed in [*TABLE, *LISTS_TABLE]:
        if role in PARTS.get((method, path), ()):
            continue
        expected = allowed.get(role)
        if expected == 201 or (expected == 200 and method == "DELETE"):
            continue  # below, each by itself: what comes next needs things as they are
        if expected is None:
            answer = client.ask(method, path, body_for(path), user=bob)
            if method == "HEAD":
                assert (answer.status, answer.body) == (refused[0], None), path
            else:
                assert_error(answer, *refused)
        else:
            answer = client.ask(method, path, body_for(path), user=bob)
            assert answer.status == expected, (method, path)
            if expected == 404:
                assert_error(answer, 404, 111)


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        (method, path, role, status)
        for method, path, allowed in [*TABLE, *LISTS_TABLE]
        for role, status in allowed.items()
        if status == 201 or (method == "DELETE" and status == 200)
    ],
)
def test_what_the_table_lets_create_or_delete(
    client: Client, method: str, path: str, role: str, status: int
) -> None:
    made(client)
    place, permission = ROLES[role]
    client.ask("PATCH", str(place), {"permissions": {permission: [user_id(client, "bob")]}})

    assert client.ask(method, path, body_for(path), user="bob").status == status


@pytest.mark.parametrize("path", BELOW_NO_BUCKET)
def test_all_below_a_missing_bucket_is_refused(client: Client, path: str) -> None:
    methods = ("GET", "POST", "DELETE") if path.endswith("s") else ("GET", "PUT", "PATCH", "DELETE")

    for method in methods:
        assert_error(client.ask(method, path, body_for(path)), 403, 121)
        assert_error(client.ask(method, path, body_for(path), user=None), 401, 104)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_users_may_create_buckets_and_the_anonymous_may_not(client: Client, method: str) -> None:
    path = BUCKET if method == "PUT" else "/buckets"

    assert_error(client.ask(method, path, user=None), 401, 104)
    assert client.ask(method, path, user="bob").status == 201


@pytest.mark.parametrize(
    ("principal", "users"),
    [
        ("system.Everyone", {"bob", None}),
        ("system.Authenticated", {"bob"}),
        ("{bob}", {"bob"}),
        ("{older}", {"bob"}),
        ("{bare}", set()),
        ("*", set()),
        ("System.Everyone", set()),
        ("system.Everyone ", set()),
        ("github:bob", set()),
        (GROUP, set()),
        ("p" * 5_000, set()),
    ],
)
def test_principals_are_compared_as_exact_strings(
    client: Client, principal: str, users: set[str | None]
) -> None:
    made(client)
    bob = user_id(client, "bob")
    bare = bob.removeprefix("basicauth:")
    name = principal.format(bob=bob, bare=bare, older=f"basicauth_{bare}")

    stored = client.ask("PATCH", RECORD, {"permissions": {"read": [name]}})

    assert body_of(stored)["permissions"]["read"] == [name]
    for user in ("bob", None):
        assert (client.ask("GET", RECORD, user=user).status == 200) == (user in users)
    assert client.ask("GET", RECORD, user="carol").status == (
        200 if len(users) > 1 or "Authenticated" in name else 403
    )


def test_another_password_is_another_user(client: Client) -> None:
    made(client)

    other = {"Authorization": "Basic YWxpY2U6b3RoZXI="}

    assert_error(client.ask("GET", BUCKET, user=None, headers=other), 403, 121)


def test_the_creator_is_a_writer_whatever_the_request_says(client: Client) -> None:
    alice = user_id(client, "alice")
    body = {"permissions": {"write": ["x", "x"], "read": [], "group:create": ["y", "y"]}}

    permissions = body_of(client.ask("PUT", BUCKET, body), 201)["permissions"]

    assert permissions == {"write": ["x", alice], "group:create": ["y"]}
    assert body_of(client.ask("GET", BUCKET))["permissions"] == permissions


@pytest.mark.parametrize("path", OBJECTS)
def test_put_replaces_all_permissions_or_leaves_all(client: Client, path: str) -> None:
    made(client)
    alice = user_id(client, "alice")
    client.ask("PATCH", path, {"permissions": {"read": ["r"], "write": ["w"]}})

    for left in ({}, {"permissions": {}}, {"permissions": None}):
        kept = body_of(client.ask("PUT", path, body_for(path) | left))
        assert kept["permissions"] == {"read": ["r"], "write": ["w", alice]}
    replaced = body_of(client.ask("PUT", path, {"permissions": {"read": ["q"]}}))
    emptied = body_of(client.ask("PUT", path, {"permissions": {"read": []}}))

    assert replaced["permissions"] == {"read": ["q"], "write": [alice]}
    assert emptied["permissions"] == {"write": [alice]}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (BUCKET, "read, write, collection:create, group:create"),
        (COLLECTION, "read, write, record:create"),
        (GROUP, "read, write"),
        (RECORD, "read, write"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_unknown_permission_is_refused(
    client: Client, path: str, names: str, method: str
) -> None:
    made(client)
    before = state(client)

    for name in ("admin", "create", "Read"):
        answer = client.ask(method, path, body_for(path) | {"permissions": {name: []}})
        assert_invalid(answer, "body", "permissions", f'"{name}" is not one of {names}')
    assert state(client) == before


@pytest.mark.parametrize(
    ("permissions", "name", "description"),
    [
        (
            [],
            "permissions",
            '"[]" is not a mapping type: Does not implement dict-like functionality.',
        ),
        (
            "read",
            "permissions",
            '"read" is not a mapping type: Does not implement dict-like functionality.',
        ),
        (
            0,
            "permissions",
            '"0" is not a mapping type: Does not implement dict-like functionality.',
        ),
        ({"read": "x"}, "permissions.read", '"x" is not iterable'),
        ({"read": None}, "permissions.read", '"null" is not iterable'),
        ({"read": {}}, "permissions.read", '"{}" is not iterable'),
        ({"read": 5}, "permissions.read", '"5" is not iterable'),
        ({"read": [None]}, "permissions.read.0", "Required"),
        ({"read": ["a", ""]}, "permissions.read.1", "Required"),
        ({"read": [0]}, "permissions.read.0", "Required"),
        ({"read": [False]}, "permissions.read.0", "Required"),
        ({"read": [[]]}, "permissions.read.0", "Required"),
        ({"read": [12]}, "permissions.read.0", "12 is not a string"),
        ({"read": [True]}, "permissions.read.0", "true is not a string"),
        ({"read": [{"a": 1}]}, "permissions.read.0", '{"a": 1} is not a string'),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("PUT", RECORD), ("PATCH", GROUP), ("POST", RECORDS)])
def test_permissions_that_are_none_change_nothing(
    client: Client, method: str, path: str, permissions: Any, name: str, description: str
) -> None:
    made(client)
    before = state(client)

    answer = client.ask(method, path, body_for(path, n=1) | {"permissions": permissions})

    assert_invalid(answer, "body", name, description)
    assert state(client) == before


def test_a_permission_in_the_data_grants_nothing(client: Client) -> None:
    made(client)
    everyone = {"read": ["system.Everyone"], "write": ["system.Everyone"]}
    data = {"permissions": everyone, "__permissions__": everyone, "members": ["system.Everyone"]}

    client.ask("PUT", BUCKET, {"data": data})

    assert_error(client.ask("GET", BUCKET, user="bob"), 403, 121)


def test_members_have_no_right_on_their_group(client: Client) -> None:
    made(client)
    client.ask("PATCH", GROUP, {"data": {"members": [user_id(client, "bob"), "system.Everyone"]}})

    assert_error(client.ask("GET", GROUP, user="bob"), 403, 121)
    assert_error(client.ask("GET", GROUP, user=None), 401, 104)


def test_an_owner_in_anothers_bucket_may_create_again_only_with_the_right_to(
    client: Client,
) -> None:
    made(client)
    bob = user_id(client, "bob")
    client.ask("PATCH", BUCKET, {"permissions": {"collection:create": [bob]}})
    path = f"{COLLECTIONS}/own"
    client.ask("PUT", path, user="bob")

    assert client.ask("DELETE", path, user="bob").status == 200
    assert_error(client.ask("GET", path, user="bob"), 403, 121)
    assert client.ask("PUT", path, user="bob").status == 201


def test_a_right_to_write_a_record_ends_with_it(client: Client) -> None:
    made(client)
    client.ask("PATCH", RECORD, {"permissions": {"write": [user_id(client, "bob")]}})

    assert client.ask("DELETE", RECORD, user="bob").status == 200
    assert_error(client.ask("PUT", RECORD, user="bob"), 403, 121)


def test_permissions_alone_are_a_change(client: Client) -> None:
    before = made(client)[RECORD]["data"]

    after = body_of(client.ask("PATCH", RECORD, {"permissions": {"read": ["x"]}}))["data"]

    assert after["last_modified"] > before["last_modified"]
    assert client.ask("GET", RECORDS).headers["ETag"] == f'"{after["last_modified"]}"'
