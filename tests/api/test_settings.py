"""Settings that take the place of stored permissions, and that bound pages."""

from typing import Any

import pytest

from chalicelib.storage.connection import Dynamo
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_for,
    body_of,
    made,
    user_id,
)
from tests.api.shelves import entries, walk
from tests.api.test_get_list import filled
from tests.api.test_server import client_with
from tests.doubles import Client

KINDS = {"bucket": BUCKET, "collection": COLLECTION, "group": GROUP, "record": RECORD}
LIST_OF = {"collection": COLLECTIONS, "group": GROUPS, "record": RECORDS}
NEW = {
    "collection": f"{COLLECTIONS}/new",
    "group": f"{GROUPS}/new",
    "record": f"{RECORDS}/{OTHER_ID}",
}


def overridden(dynamo: Dynamo, client: Client, kind: str, action: str) -> Client:
    """A client of a service whose setting names bob for this, and nobody else."""
    bob = frozenset({user_id(client, "bob")})
    settings: dict[str, Any] = {f"{kind}_{action}_principals": bob}
    return client_with(dynamo, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_read_principals_may_read_all_of_a_kind_and_nobody_else(
    dynamo: Dynamo, client: Client, kind: str
) -> None:
    made(client)
    ours = overridden(dynamo, client, kind, "read")
    path = KINDS[kind]

    assert ours.ask("GET", path, user="bob").status == 200
    assert_error(ours.ask("GET", path), 403, 121)
    assert_error(ours.ask("GET", path, user=None), 401, 104)
    for other in KINDS.values():
        if other != path:
            assert_error(ours.ask("GET", other, user="bob"), 403, 121)
            assert ours.ask("GET", other).status == 200
    if kind in LIST_OF:
        assert len(body_of(ours.ask("GET", LIST_OF[kind], user="bob"))["data"]) == 1
        assert_error(ours.ask("GET", NEW[kind], user="bob"), 404, 111)
    else:
        assert_error(ours.ask("GET", "/buckets/none", user="bob"), 404, 111)


@pytest.mark.parametrize("kind", KINDS)
def test_write_principals_may_change_all_of_a_kind_and_nobody_else(
    dynamo: Dynamo, client: Client, kind: str
) -> None:
    made(client)
    ours = overridden(dynamo, client, kind, "write")
    path = KINDS[kind]

    for method in ("PATCH", "PUT", "DELETE"):
        assert_error(ours.ask(method, path, body_for(path)), 403, 121)
    assert ours.ask("PATCH", path, {}, user="bob").status == 200
    assert ours.ask("PUT", path, body_for(path), user="bob").status == 200
    if kind in LIST_OF:
        assert_error(ours.ask("PATCH", NEW[kind], {}, user="bob"), 404, 111)
        assert_error(ours.ask("DELETE", LIST_OF[kind], user="carol"), 403, 121)
        assert len(body_of(ours.ask("DELETE", LIST_OF[kind], user="bob"))["data"]) == 1
    else:
        assert_error(ours.ask("PATCH", "/buckets/none", {}, user="bob"), 404, 111)
        assert ours.ask("DELETE", path, user="bob").status == 200


@pytest.mark.parametrize("kind", LIST_OF)
def test_whom_a_setting_does_not_name_has_in_lists_what_names_him(
    dynamo: Dynamo, client: Client, kind: str
) -> None:
    made(client)
    readers = overridden(dynamo, client, kind, "read")
    writers = overridden(dynamo, client, kind, "write")
    listed = LIST_OF[kind]

    assert len(body_of(readers.ask("GET", listed))["data"]) == 1
    assert_error(readers.ask("GET", listed, user="carol"), 403, 121)
    assert len(body_of(writers.ask("DELETE", listed))["data"]) == 1
    assert_error(writers.ask("DELETE", listed), 403, 121)


@pytest.mark.parametrize("kind", LIST_OF)
def test_create_principals_may_create_everywhere_and_nobody_else(
    dynamo: Dynamo, client: Client, kind: str
) -> None:
    made(client)
    ours = overridden(dynamo, client, kind, "create")
    path = NEW[kind]

    assert_error(ours.ask("PUT", path, body_for(path)), 403, 121)
    assert_error(ours.ask("POST", LIST_OF[kind], body_for(path)), 403, 121)
    created = body_of(ours.ask("PUT", path, body_for(path), user="bob"), 201)
    assert created["permissions"] == {"write": [user_id(client, "bob")]}
    assert ours.ask("POST", LIST_OF[kind], body_for(path), user="bob").status == 201
    assert ours.ask("PATCH", path, {}, user="bob").status == 200
    below_nothing = path.replace(BUCKET, "/buckets/none")
    assert_error(ours.ask("PUT", below_nothing, body_for(path), user="bob"), 403, 121)


def test_records_of_a_missing_collection_are_missing_for_create_principals(
    dynamo: Dynamo, client: Client
) -> None:
    made(client)
    ours = overridden(dynamo, client, "record", "create")

    assert_error(ours.ask("POST", f"{COLLECTIONS}/none/records", user="bob"), 404, 111)


def test_bucket_create_principals_are_the_only_ones(dynamo: Dynamo, client: Client) -> None:
    ours = overridden(dynamo, client, "bucket", "create")

    assert_error(ours.ask("PUT", BUCKET), 403, 121)
    assert_error(ours.ask("POST", "/buckets", user=None), 401, 104)
    assert ours.ask("PUT", BUCKET, user="bob").status == 201


def test_empty_bucket_create_principals_let_nobody_create(dynamo: Dynamo) -> None:
    ours = client_with(dynamo, bucket_create_principals=frozenset())

    assert_error(ours.ask("PUT", BUCKET), 403, 121)
    assert_error(ours.ask("POST", "/buckets"), 403, 121)


def test_everyone_may_be_let_create_buckets(dynamo: Dynamo) -> None:
    ours = client_with(dynamo, bucket_create_principals=frozenset({"system.Everyone"}))

    created = body_of(ours.ask("PUT", BUCKET, user=None), 201)

    assert created["permissions"] == {"write": ["system.Everyone"]}


@pytest.mark.parametrize(("asked", "size"), [("", 3), ("2", 2), ("5", 3), ("999", 3)])
def test_paginate_by_bounds_pages(dynamo: Dynamo, client: Client, asked: str, size: int) -> None:
    records = filled(client)
    ours = client_with(dynamo, paginate_by=3)

    pages = walk(ours, ours.ask("GET", RECORDS, _limit=asked))

    assert entries(pages) == records[::-1]
    assert len(body_of(pages[0])["data"]) == size
    assert f"_limit={size}&" in pages[0].headers["Next-Page"]


def test_paginate_by_has_no_effect_on_deletion(dynamo: Dynamo, client: Client) -> None:
    filled(client)

    answer = client_with(dynamo, paginate_by=3).ask("DELETE", RECORDS)

    assert len(body_of(answer)["data"]) == 7
