"""Client caching: `chalicelib/api/caching.py`."""

from dataclasses import replace
from email.utils import formatdate

import pytest

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.kinds import COLLECTION as COLLECTION_KIND
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.protocol.uris import ObjectUri
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.staging import Origin
from chalicelib.storage.transactions import Storage
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    GROUP,
    GROUPS,
    LISTS,
    RECORD,
    RECORDS,
    made,
)
from tests.doubles import SECRET, STAGE, START_MS, Client, Patience, SetClock

KIND_OF = {
    BUCKET: "bucket",
    COLLECTION: "collection",
    COLLECTIONS: "collection",
    GROUP: "group",
    GROUPS: "group",
    RECORD: "record",
    RECORDS: "record",
}
OF_RECORDS = [path for path, kind in KIND_OF.items() if kind == "record"]
OF_OTHERS = [path for path in KIND_OF if path not in OF_RECORDS]
BUCKETS_SETTING = "KINTO_BLOG_RECORD_CACHE_EXPIRES_SECONDS"
COLLECTIONS_SETTING = "KINTO_BLOG_POSTS_RECORD_CACHE_EXPIRES_SECONDS"

NO_CACHE = {"Cache-Control": "no-cache"}
NO_STORE = {
    "Cache-Control": "max-age=0, must-revalidate, no-cache, no-store",
    "Pragma": "no-cache",
    "Expires": formatdate(START_MS / 1000, usegmt=True),
}


def for_seconds(seconds: int) -> dict[str, str]:
    expires = formatdate(START_MS / 1000 + seconds, usegmt=True)
    return {"Cache-Control": f"max-age={seconds}", "Expires": expires}


def cached(response: Response) -> dict[str, str]:
    """What an answer says about caching."""
    names = ("Cache-Control", "Expires", "Pragma")
    return {name: response.headers[name] for name in names if name in response.headers}


def read(client: Client, path: str, method: str = "GET", user: str | None = None) -> dict[str, str]:
    response = client.ask(method, path, user=user)
    assert response.status == 200
    return cached(response)


@pytest.fixture
def shop(dynamo: Dynamo, clock: SetClock) -> "Shop":
    return Shop(dynamo, clock)


class Shop:
    """Makes services over the same tables, with an object of each kind that everybody reads."""

    def __init__(self, dynamo: Dynamo, clock: SetClock) -> None:
        self._storage = Storage(dynamo, clock)
        owner = self.client()
        made(owner)
        everybody = {"permissions": {"read": ["system.Everyone"]}}
        assert owner.ask("PATCH", BUCKET, everybody).status == 200

    def client(self, **environment: str) -> Client:
        """A client of a service with these settings."""
        settings = replace(
            Settings.from_environment(environment), stage=STAGE, userid_hmac_secret=SECRET
        )
        return Client(Service(settings, self._storage, [BasicPolicy(SECRET)]))

    def set(self, cache_expires: object) -> None:
        """Set `cache_expires` of the collection."""
        data = {"data": {"cache_expires": cache_expires}}
        assert self.client().ask("PATCH", COLLECTION, data).status == 200

    def store(self, data: JsonObject) -> None:
        """Store the data of the collection, whatever it is."""
        uri = ObjectUri(COLLECTION_KIND, ("blog", "posts"))

        def work(unit: UnitOfWork) -> None:
            unit.load([*uri.ancestors, uri], [uri.list, *uri.lists])
            unit.put(uri, data, {}, origin=Origin())

        self._storage.run(work, Patience().deadline())


def of_kind(kind: str) -> str:
    return f"KINTO_{kind.upper()}_CACHE_EXPIRES_SECONDS"


@pytest.mark.parametrize("path", KIND_OF)
def test_nothing_is_cached_where_nothing_is_set(shop: Shop, path: str) -> None:
    assert read(shop.client(), path) == NO_CACHE


@pytest.mark.parametrize("seconds", ["1", "3600", "999999999"])
@pytest.mark.parametrize("path", KIND_OF)
def test_the_anonymous_may_cache_a_kind_as_long_as_is_set(
    shop: Shop, path: str, seconds: str
) -> None:
    client = shop.client(**{of_kind(KIND_OF[path]): seconds})

    assert read(client, path) == for_seconds(int(seconds))


def test_the_list_of_buckets_may_be_cached(shop: Shop) -> None:
    client = shop.client(
        **{of_kind("bucket"): "60"}, KINTO_BUCKET_READ_PRINCIPALS="system.Everyone"
    )

    assert read(client, "/buckets") == for_seconds(60)


@pytest.mark.parametrize("path", KIND_OF)
def test_nothing_set_for_other_kinds_counts(shop: Shop, path: str) -> None:
    others = {kind for kind in KIND_OF.values() if kind != KIND_OF[path]}

    assert read(shop.client(**{of_kind(kind): "60" for kind in others}), path) == NO_CACHE


@pytest.mark.parametrize("path", KIND_OF)
def test_zero_for_a_kind_is_no_cache(shop: Shop, path: str) -> None:
    assert read(shop.client(**{of_kind(KIND_OF[path]): "0"}), path) == NO_CACHE


@pytest.mark.parametrize("path", OF_RECORDS)
@pytest.mark.parametrize("variable", [BUCKETS_SETTING, COLLECTIONS_SETTING])
@pytest.mark.parametrize(("seconds", "expected"), [("0", NO_STORE), ("60", for_seconds(60))])
def test_a_setting_for_one_bucket_or_collection_counts_for_its_records(
    shop: Shop, path: str, variable: str, seconds: str, expected: dict[str, str]
) -> None:
    client = shop.client(**{variable: seconds, of_kind("record"): "5"})

    assert read(client, path) == expected


@pytest.mark.parametrize("path", OF_RECORDS)
@pytest.mark.parametrize(("seconds", "expected"), [(0, NO_STORE), (60, for_seconds(60))])
def test_cache_expires_of_a_collection_counts_for_its_records(
    shop: Shop, path: str, seconds: int, expected: dict[str, str]
) -> None:
    shop.set(seconds)

    assert read(shop.client(**{COLLECTIONS_SETTING: "5"}), path) == expected


@pytest.mark.parametrize("path", OF_OTHERS)
def test_what_is_set_for_records_says_nothing_about_other_kinds(shop: Shop, path: str) -> None:
    shop.set(60)

    client = shop.client(**{BUCKETS_SETTING: "60", COLLECTIONS_SETTING: "60"})

    assert read(client, path) == NO_CACHE


@pytest.mark.parametrize("value", [0, 7])
def test_the_nearest_value_that_is_set_counts(shop: Shop, value: int) -> None:
    nearer = {}
    for variable in (of_kind("record"), BUCKETS_SETTING, COLLECTIONS_SETTING):
        nearer[variable] = "5"
        client = shop.client(**{**nearer, variable: str(value)})
        last_wins = NO_CACHE if variable == of_kind("record") else NO_STORE

        assert read(client, RECORDS) == (for_seconds(value) if value else last_wins)

    shop.set(value)

    assert read(shop.client(**nearer), RECORDS) == (for_seconds(value) if value else NO_STORE)


def test_null_takes_cache_expires_away(shop: Shop) -> None:
    shop.set(60)
    shop.set(None)

    assert read(shop.client(**{BUCKETS_SETTING: "5"}), RECORDS) == for_seconds(5)


@pytest.mark.parametrize(
    "variable",
    ["KINTO_OTHER_RECORD_CACHE_EXPIRES_SECONDS", "KINTO_BLOG_A_RECORD_CACHE_EXPIRES_SECONDS"],
)
def test_settings_for_other_buckets_and_collections_do_not_count(shop: Shop, variable: str) -> None:
    assert read(shop.client(**{variable: "60"}), RECORDS) == NO_CACHE


def test_ids_are_compared_without_case_and_dashes_are_underscores(shop: Shop) -> None:
    client = shop.client(
        KINTO_MY_BLOG_RECORD_CACHE_EXPIRES_SECONDS="5",
        KINTO_MY_BLOG_A_B_RECORD_CACHE_EXPIRES_SECONDS="60",
    )
    everybody = {"permissions": {"read": ["system.Everyone"]}}
    client.ask("PUT", "/buckets/My-Blog", everybody)
    for collection in ("a-B", "other"):
        client.ask("PUT", f"/buckets/My-Blog/collections/{collection}")

    assert read(client, "/buckets/My-Blog/collections/a-B/records") == for_seconds(60)
    assert read(client, "/buckets/My-Blog/collections/other/records") == for_seconds(5)


ALL = {of_kind(kind): "60" for kind in ("bucket", "collection", "group", "record")}


@pytest.mark.parametrize("path", KIND_OF)
def test_who_is_authenticated_never_caches(shop: Shop, path: str) -> None:
    shop.set(0)

    client = shop.client(**ALL, **{BUCKETS_SETTING: "60"})

    assert read(client, path, user="alice") == NO_CACHE
    assert read(client, path, user="bob") == NO_CACHE


def test_credentials_that_are_not_understood_are_nobodys(shop: Shop) -> None:
    response = shop.client(**ALL).ask("GET", RECORD, user=None, headers={"Authorization": "X y"})

    assert cached(response) == for_seconds(60)


@pytest.mark.parametrize("path", KIND_OF)
def test_head_says_what_get_says(shop: Shop, path: str) -> None:
    assert read(shop.client(**ALL), path, "HEAD") == for_seconds(60)


@pytest.mark.parametrize("query", ["title=One", "_since=1", "_limit=1", "_fields=title"])
def test_a_filtered_list_is_cached_like_the_whole(shop: Shop, query: str) -> None:
    name, _, value = query.partition("=")

    response = shop.client(**ALL).ask("GET", RECORDS, user=None, **{name: value})

    assert cached(response) == for_seconds(60)


def test_validators_are_there_as_always(shop: Shop) -> None:
    without, with_caching = (
        client.ask("GET", RECORD, user=None).headers
        for client in (shop.client(), shop.client(**ALL))
    )

    names = ("ETag", "Last-Modified")
    assert [without[name] for name in names] == [with_caching[name] for name in names]


@pytest.mark.parametrize("path", KIND_OF)
def test_what_is_no_success_of_a_read_says_nothing(shop: Shop, path: str) -> None:
    shop.set(60)
    client = shop.client(**ALL)
    etag = client.ask("GET", path, user=None).headers["ETag"]
    method = "POST" if path in LISTS else "PUT"

    not_modified = client.ask("GET", path, user=None, headers={"If-None-Match": etag})
    modified = client.ask("GET", path, user=None, headers={"If-Match": '"1"'})
    missing = client.ask("GET", f"{path}/a/b/c", user=None)
    written = client.ask(method, path, {"data": {"members": []}}, user="alice")

    assert [not_modified.status, modified.status, missing.status] == [304, 412, 404]
    for response in (not_modified, modified, missing, written):
        assert cached(response) == {}


@pytest.mark.parametrize("value", ["soon", -1, 1.5, True, 2**31])
def test_what_an_older_version_stored_counts_only_as_seconds(shop: Shop, value: object) -> None:
    shop.store({"cache_expires": value})

    assert read(shop.client(**{BUCKETS_SETTING: "5"}), RECORD) == for_seconds(5)
