"""What groups grant, and until when: spec, "Users and permissions", sections 2 and 6."""

from typing import Any

import pytest

from chalicelib.storage.connection import Dynamo
from chalicelib.storage.keys import CLOCK_ID
from tests.api.places import (
    BUCKET,
    COLLECTION,
    GROUP,
    GROUPS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_for,
    made,
    user_id,
)
from tests.api.test_server import client_with
from tests.doubles import Client, CountedCalls
from tests.shared_moto import contents

ONE = {"BatchGetItem": 1}
TWO = {"BatchGetItem": 2}
ELSEWHERE = "/buckets/other/groups/writers"


def members(client: Client, *users: str) -> dict[str, Any]:
    return {"data": {"members": [user_id(client, user) for user in users]}}


@pytest.fixture
def ours(client: Client) -> Client:
    """bob is in a group that may write the collection."""
    made(client)
    client.ask("PUT", GROUP, members(client, "bob"))
    client.ask("PATCH", COLLECTION, {"permissions": {"write": [GROUP]}})
    return client


def status(client: Client, user: str | None = "bob", path: str = RECORD) -> int:
    return client.ask("GET", path, user=user).status


def test_members_have_what_the_group_has(ours: Client) -> None:
    assert status(ours) == 200
    assert ours.ask("POST", RECORDS, user="bob").status == 201
    assert ours.ask("DELETE", RECORD, user="bob").status == 200
    assert status(ours, path=COLLECTION) == 200
    assert status(ours, path=BUCKET) == 403
    assert status(ours, user="carol") == 403
    assert status(ours, user=None) == 401


@pytest.mark.parametrize("path", [BUCKET, COLLECTION, RECORD])
def test_a_group_counts_in_the_permissions_of_each_object_above(client: Client, path: str) -> None:
    made(client)
    client.ask("PUT", GROUP, members(client, "bob"))

    client.ask("PATCH", path, {"permissions": {"read": [GROUP]}})

    assert status(client) == 200


def test_a_group_of_another_bucket_counts_as_well(client: Client) -> None:
    made(client)
    client.ask("PUT", "/buckets/other", user="carol")
    client.ask("PUT", ELSEWHERE, members(client, "bob"), user="carol")
    client.ask("PATCH", RECORD, {"permissions": {"read": [ELSEWHERE]}})

    assert status(client) == 200

    client.ask("PUT", GROUP, members(client, "dave"))  # of the same name here
    assert status(client, user="dave") == 403


def test_who_leaves_a_group_loses_what_it_has_at_once(ours: Client) -> None:
    for change in (
        lambda: ours.ask("PUT", GROUP, members(ours, "carol")),
        lambda: ours.ask("PATCH", GROUP, members(ours)),
        lambda: ours.ask("DELETE", GROUP),
        lambda: ours.ask("DELETE", GROUPS),
    ):
        ours.ask("PUT", GROUP, members(ours, "bob"))
        assert status(ours) == 200

        assert change().status == 200

        assert_error(ours.ask("GET", RECORD, user="bob"), 403, 121)


def test_with_its_bucket_a_group_is_gone_and_a_new_one_has_new_members(client: Client) -> None:
    made(client)
    client.ask("PUT", "/buckets/other", user="carol")
    client.ask("PUT", ELSEWHERE, members(client, "bob"), user="carol")
    client.ask("PATCH", RECORD, {"permissions": {"read": [ELSEWHERE]}})

    client.ask("DELETE", "/buckets/other", user="carol")
    assert status(client) == 403
    client.ask("PUT", "/buckets/other", user="carol")
    assert status(client) == 403
    client.ask("PUT", ELSEWHERE, members(client, "dave"), user="carol")

    assert status(client) == 403
    assert status(client, user="dave") == 200


def test_a_group_may_be_named_before_it_exists(client: Client) -> None:
    made(client)
    later = f"{GROUPS}/later"
    client.ask("PATCH", RECORD, {"permissions": {"read": [later]}})
    assert status(client) == 403

    client.ask("PUT", later, members(client, "bob"))

    assert status(client) == 200


@pytest.mark.parametrize(
    "member",
    [
        "system.Authenticated",
        "system.Everyone",
        f"{GROUPS}/readers",
        "basicauth_{hash}",
        "{hash}",
        "BASICAUTH:{hash}",
    ],
)
def test_only_user_ids_are_members(ours: Client, member: str) -> None:
    bob = user_id(ours, "bob")
    ours.ask("PUT", f"{GROUPS}/readers", {"data": {"members": [bob]}})
    named = member.format(hash=bob.removeprefix("basicauth:"))

    assert ours.ask("PUT", GROUP, {"data": {"members": [named]}}).status == 200

    assert status(ours) == 403


def test_being_a_member_gives_nothing_on_the_group_itself(ours: Client) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        assert_error(ours.ask(method, GROUP, {}, user="bob"), 403, 121)


def test_a_group_that_is_in_its_own_write_is_managed_by_its_members(ours: Client) -> None:
    ours.ask("PATCH", GROUP, {"permissions": {"write": [GROUP]}})

    both = members(ours, "bob", "carol")
    assert ours.ask("PATCH", GROUP, both, user="bob").status == 200
    assert ours.ask("GET", GROUP, user="carol").status == 200


def test_who_writes_by_a_group_becomes_a_writer_and_stays_one(ours: Client) -> None:
    ours.ask("PATCH", RECORD, {"data": {"n": 1}}, user="bob")
    ours.ask("DELETE", GROUP)

    assert ours.ask("PATCH", RECORD, {"data": {"n": 2}}, user="bob").status == 200
    assert status(ours, path=COLLECTION) == 403


def test_groups_may_be_named_by_settings(client: Client, dynamo: Dynamo) -> None:
    made(client)
    client.ask("PUT", GROUP, members(client, "bob"))
    ours = client_with(dynamo, bucket_create_principals=frozenset({GROUP}))

    assert ours.ask("PUT", "/buckets/new", user="bob").status == 201
    assert_error(ours.ask("PUT", "/buckets/newer", user="carol"), 403, 121)


def test_a_right_by_a_group_costs_one_round_trip_more(ours: Client, calls: CountedCalls) -> None:
    calls.take()
    for path in (RECORD, COLLECTION):
        assert status(ours, path=path) == 200
        assert calls.take() == TWO
        assert status(ours, user="alice", path=path) == 200
        assert calls.take() == ONE
    assert status(ours, user=None) == 401
    assert calls.take() == ONE
    assert status(ours, user="carol") == 403
    assert calls.take() == TWO
    assert ours.ask("PATCH", RECORD, {}, user="bob").status == 200
    assert calls.take() == TWO | {"TransactWriteItems": 1}
    ours.ask("PATCH", RECORD, {"permissions": {"read": [user_id(ours, "dave")]}})
    calls.take()
    assert status(ours, user="dave") == 200
    assert calls.take() == ONE


def test_any_number_of_named_groups_costs_one_round_trip(
    client: Client, calls: CountedCalls
) -> None:
    made(client)
    named = [f"/buckets/b{number}/groups/g{number}" for number in range(45)]
    client.ask("PATCH", RECORD, {"permissions": {"read": [*named, GROUP]}})
    client.ask("PUT", GROUP, members(client, "bob"))
    calls.take()

    assert status(client) == 200
    assert calls.take() == TWO


def test_a_change_of_members_is_one_transaction_with_the_group(
    ours: Client, calls: CountedCalls
) -> None:
    calls.take()

    assert ours.ask("PUT", GROUP, members(ours, *"abcdefgh")).status == 200

    assert calls.take() == ONE | {"TransactWriteItems": 1}


def test_more_members_than_one_request_can_give_rows_are_413_and_nothing_changed(
    ours: Client,
) -> None:
    before = contents()
    many = [f"basicauth:{number}" for number in range(10_001)]

    assert_error(ours.ask("PUT", GROUP, {"data": {"members": many}}), 413, 113)

    assert contents() == before
    assert status(ours) == 200


def test_a_deleted_bucket_gives_nothing_by_its_own_groups(ours: Client) -> None:
    ours.ask("DELETE", BUCKET)

    for path in (BUCKET, COLLECTION, RECORD, RECORDS, GROUP):
        assert_error(ours.ask("GET", path, user="bob"), 403, 121)
    ours.ask("PUT", BUCKET)
    ours.ask("PUT", COLLECTION, {"permissions": {"read": [GROUP]}})
    assert_error(ours.ask("GET", COLLECTION, user="bob"), 403, 121)

    ours.ask("PUT", GROUP, body_for(GROUP) | members(ours, "bob"))

    assert status(ours, path=COLLECTION) == 200


def test_what_only_looks_like_a_group_is_nobodys(ours: Client) -> None:
    strange = [
        f"/v1{GROUP}",
        f"{GROUP}/",
        GROUP[1:],
        GROUP.upper(),
        GROUPS,
        COLLECTION,
        RECORD,
        f"{BUCKET}/groups/{CLOCK_ID}",
        "/buckets/_/groups/_",
        "/",
        "//",
        "",
    ]
    ours.ask("PUT", COLLECTION, {"permissions": {"read": [name for name in strange if name]}})

    assert status(ours) == 403
    assert status(ours, path=f"{RECORDS}/{OTHER_ID}") == 403
