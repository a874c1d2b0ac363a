"""Groups of thousands, and revocation under load: spec, "Users and permissions", section 6."""

from functools import partial
from threading import Event

import pytest

from tests.doubles import Client
from tests.emulator.hosts import BUCKET, COLLECTION, Hosts, together

pytestmark = pytest.mark.emulator

GROUP = f"{BUCKET}/groups/crowd"
MANY = [f"basicauth:{number:064x}" for number in range(5_000)]


def id_of(client: Client, user: str) -> str:
    answer = client.ask("GET", "/", user=user)
    assert answer.body is not None
    return str(answer.body["user"]["id"])


def test_a_group_of_5000_members_has_them_from_the_next_request_on(hosts: Hosts) -> None:
    owner, other = hosts.start(), hosts.start()
    owner.ask("PUT", BUCKET)
    owner.ask("PUT", COLLECTION, {"permissions": {"read": [GROUP]}})
    bob = id_of(owner, "bob")

    answer = owner.ask("PUT", GROUP, {"data": {"members": [*MANY, bob]}})

    assert answer.status == 201
    assert other.ask("GET", COLLECTION, user="bob").status == 200
    collections = other.ask("GET", f"{BUCKET}/collections", user="bob")
    assert [data["id"] for data in (collections.body or {})["data"]] == ["posts"]

    owner.ask("PUT", GROUP, {"data": {"members": MANY}})

    assert other.ask("GET", COLLECTION, user="bob").status == 403
    assert other.ask("GET", f"{BUCKET}/collections", user="bob").status == 403


@pytest.mark.parametrize("end", ["members", "group", "bucket"])
def test_after_the_answer_nobody_has_what_was_taken_away(hosts: Hosts, end: str) -> None:
    owner, *others = (hosts.start() for _ in range(4))
    owner.ask("PUT", "/buckets/shelf")
    record = owner.ask(
        "PUT", "/buckets/shelf/collections/books", {"permissions": {"read": [GROUP]}}
    )
    assert record.status == 201
    bob = id_of(owner, "bob")
    endings = {
        "members": lambda: owner.ask("PATCH", GROUP, {"data": {"members": []}}),
        "group": lambda: owner.ask("DELETE", GROUP),
        "bucket": lambda: owner.ask("DELETE", BUCKET),
    }
    path = "/buckets/shelf/collections"

    for _round in range(5):
        owner.ask("PUT", BUCKET)
        owner.ask("PUT", GROUP, {"data": {"members": [bob]}})
        is_over, has_ended = Event(), Event()

        def watch(
            client: Client, is_over: Event = is_over, has_ended: Event = has_ended
        ) -> list[int]:
            late = []
            while not has_ended.is_set():
                was_over = is_over.is_set()
                answers = [client.ask("GET", at, user="bob") for at in (path, f"{path}/books")]
                late += [answer.status for answer in answers if was_over]
                if was_over:
                    has_ended.set()
            return late

        def finish(is_over: Event = is_over) -> list[int]:
            assert endings[end]().status == 200
            is_over.set()
            return []

        found = together([finish, *(partial(watch, client) for client in others)])

        late = [status for statuses in found for status in statuses]
        assert late
        assert set(late) == {403}
