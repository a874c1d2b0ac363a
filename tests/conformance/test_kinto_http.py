"""The Python client, as its users call it, against a server."""

import re
import subprocess
import sys
from uuid import uuid4

import pytest
from kinto_http import Client, KintoException

from tests.conformance.conftest import ROOT

pytestmark = pytest.mark.emulator


@pytest.fixture
def alice(server_url: str) -> Client:
    """A client with a bucket of its own, and a collection in it."""
    client = Client(
        server_url=f"{server_url}/v1",
        auth=("alice", "secret"),
        bucket=f"bucket-{uuid4().hex}",
        collection="posts",
    )
    client.create_bucket()
    client.create_collection()
    return client


@pytest.fixture
def bob(alice: Client) -> Client:
    """Somebody else, who looks at the same places."""
    return alice.clone(auth=("bob", "b"))


def status_of(refused: pytest.ExceptionInfo[KintoException]) -> int:
    return int(refused.value.response.status_code)


def test_the_example_does_what_it_says(server_url: str) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            str(ROOT / "examples/first_session.py"),
            f"{server_url}/v1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr == ""
    assert ran.returncode == 0
    told = re.sub(r"blog-[0-9a-f]{8}", "BLOG", re.sub(r"as of .*", "as of NOW", ran.stdout))
    assert told.splitlines() == [
        "Created bucket BLOG with the collection posts",
        "Wrote Hello and World",
        "Listed ['World', 'Hello']",
        "The other client has 2 records as of NOW",
        "Updated Hello again and deleted World",
        "The other client drops World",
        "The other client takes Hello again",
        "Deleted bucket BLOG",
    ]


def test_server_info_names_the_user(alice: Client) -> None:
    info = alice.server_info()

    assert info["http_api_version"] == "1.4"
    assert info["user"]["id"].startswith("basicauth:")


def test_what_exists_is_created_once_or_taken(alice: Client) -> None:
    with pytest.raises(KintoException) as refused:
        alice.create_bucket()

    assert status_of(refused) == 412
    assert alice.create_bucket(if_not_exists=True)["data"]["id"] == alice.bucket_name
    assert alice.create_collection(if_not_exists=True)["data"]["id"] == "posts"


def test_what_is_missing_can_be_deleted_if_exists(alice: Client) -> None:
    alice.delete_collection(id="none", if_exists=True)
    alice.delete_record(id=str(uuid4()), if_exists=True)

    with pytest.raises(KintoException) as refused:
        alice.delete_record(id=str(uuid4()))
    assert status_of(refused) == 404


def test_a_deleted_record_can_be_created_again(alice: Client) -> None:
    id = str(uuid4())
    alice.create_record(id=id, data={"n": 1})
    alice.delete_record(id=id)

    assert alice.create_record(id=id, data={"n": 2})["data"]["n"] == 2


def test_an_update_of_what_has_changed_is_a_conflict(alice: Client) -> None:
    old = alice.create_record(data={"n": 1})["data"]
    new = alice.update_record(id=old["id"], data={"n": 2})["data"]

    with pytest.raises(KintoException) as refused:
        alice.update_record(id=old["id"], data={"n": 3}, if_match=old["last_modified"])

    assert status_of(refused) == 412
    assert refused.value.response.json()["details"]["existing"] == new
    again = alice.update_record(id=old["id"], data={"n": 3}, if_match=new["last_modified"])
    assert again["data"]["n"] == 3
    with pytest.raises(KintoException) as refused:
        alice.delete_record(id=old["id"], if_match=new["last_modified"])
    assert status_of(refused) == 412


def test_patches_merge(alice: Client) -> None:
    record = alice.create_record(data={"a": 1, "b": {"x": 1}})["data"]

    patched = alice.patch_record(id=record["id"], data={"b": {"y": 2}})["data"]
    bucket = alice.patch_bucket(data={"title": "B"})["data"]
    collection = alice.patch_collection(data={"title": "C"})["data"]

    assert (patched["a"], patched["b"]) == (1, {"y": 2})
    assert (bucket["title"], collection["title"]) == ("B", "C")


def test_permissions_open_a_record_to_others(alice: Client, bob: Client) -> None:
    bobs_id = bob.server_info()["user"]["id"]
    record = alice.create_record(data={"n": 1})["data"]
    with pytest.raises(KintoException) as refused:
        bob.get_record(id=record["id"])
    assert status_of(refused) == 403

    alice.patch_record(id=record["id"], permissions={"read": [bobs_id]})

    assert bob.get_record(id=record["id"])["data"]["n"] == 1
    with pytest.raises(KintoException) as refused:
        bob.update_record(id=record["id"], data={"n": 2})
    assert status_of(refused) == 403


def test_permissions_alone_keep_the_data(alice: Client) -> None:
    alice.patch_collection(data={"title": "C"})

    alice.update_collection(permissions={"read": ["system.Everyone"]})

    collection = alice.get_collection()
    assert collection["data"]["title"] == "C"
    assert collection["permissions"]["read"] == ["system.Everyone"]


def test_groups_keep_their_members(alice: Client) -> None:
    alice.create_group(id="writers", data={"members": ["b", "a"]})
    alice.update_group(id="writers", data={"members": ["c", "b", "c"]})
    alice.patch_group(id="writers", permissions={"read": ["system.Everyone"]})

    group = alice.get_group(id="writers")

    assert group["data"]["members"] == ["c", "b", "c"]
    assert [it["id"] for it in alice.get_groups()] == ["writers"]
    assert alice.delete_group(id="writers")["deleted"] is True
    assert alice.get_groups() == []


def test_lists_are_walked_and_deleted(alice: Client) -> None:
    records = [alice.create_record(data={"n": number})["data"] for number in range(5)]

    assert alice.get_records(_limit=2, pages=3) == records[::-1]
    assert alice.get_records(_sort="last_modified") == records
    assert alice.get_records_timestamp() == str(records[-1]["last_modified"])
    assert [it["id"] for it in alice.get_collections()] == ["posts"]

    assert len(alice.delete_records()) == 5
    assert alice.get_records() == []
    assert len(alice.delete_collections()) == 1
    assert alice.delete_bucket()["deleted"] is True
