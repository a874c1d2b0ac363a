"""`/v1/buckets/default`. Rule: spec, "The default bucket"; its sections are those here."""

import hmac
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from chalicelib.api import list_deletion
from chalicelib.auth.policies import PolicyUnavailableError
from chalicelib.plugins.default_bucket import bucket_id_of
from chalicelib.protocol.kinds import BUCKET, COLLECTION, RECORD
from chalicelib.protocol.messages import JsonObject, Request, Response
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.keys import object_key
from tests.api.places import (
    ID,
    OTHER_ID,
    assert_error,
    assert_invalid,
    body_of,
    sent,
    state,
    user_id,
)
from tests.api.test_preflight import (
    APP,
    MANDATORY,
    METHOD,
    OF_A_LIST,
    OF_AN_OBJECT,
    preflight,
    problems,
)
from tests.api.test_server import ALWAYS, OF_LISTS, OF_OBJECTS
from tests.doubles import START_MS, Client, CountedCalls, Patience, SetClock, basic
from tests.plugins.clients import DEFAULT_BUCKET, client_of, real_bucket
from tests.shared_moto import restore, saved
from tests.storage.stand_ins import TRANSACT, Wire, client_error

ALIAS = "/buckets/default"
COLLECTION_BELOW = "/collections/tasks"
RECORDS_BELOW = f"{COLLECTION_BELOW}/records"
RECORD_BELOW = f"{RECORDS_BELOW}/{ID}"

COLLECTION_PATH = ALIAS + COLLECTION_BELOW
RECORDS = ALIAS + RECORDS_BELOW
RECORD_PATH = ALIAS + RECORD_BELOW

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW")

OBJECTS_BELOW = ("", COLLECTION_BELOW, "/groups/team", RECORD_BELOW)
LISTS_BELOW = ("/collections", "/groups", RECORDS_BELOW)
ENDPOINTS_BELOW = (*OBJECTS_BELOW, *LISTS_BELOW)
UNKNOWN_BELOW = (
    "/unknown",
    "/batch",
    "/collections/tasks/unknown",
    "/collections//records",
    "/collections/tasks/records/a/b",
    "/__heartbeat__",
)
REDIRECTED_BELOW = (
    "/",
    "//",
    "/collections/",
    "/collections/tasks/",
    f"{RECORDS_BELOW}/",
    f"{RECORD_BELOW}///",
    "/groups/",
    "/unknown/",
)
BELOW = (*ENDPOINTS_BELOW, *UNKNOWN_BELOW, *REDIRECTED_BELOW)


@pytest.fixture
def real(client: Client) -> str:
    """Where alice's default bucket really is."""
    return real_bucket(client)


@pytest.fixture
def readonly(dynamo: Dynamo) -> Client:
    return client_of(dynamo, includes=(DEFAULT_BUCKET,), readonly=True)


@pytest.fixture
def plain(dynamo: Dynamo) -> Client:
    """A client of a service without the plugin."""
    return client_of(dynamo)


def ids_in(client: Client, path: str, **query: Any) -> list[str]:
    """The ids of a list."""
    return [each["id"] for each in body_of(client.ask("GET", path, **query))["data"]]


def batch(client: Client, *requests: JsonObject, **options: Any) -> list[JsonObject]:
    """The answers to these requests in one."""
    answer = client.ask("POST", "/batch", {"requests": [*requests]}, **options)
    responses: list[JsonObject] = body_of(answer)["responses"]
    return responses


def asking(method: str, path: str, **more: Any) -> JsonObject:
    """A request of a batch."""
    return {"method": method, "path": path, **more}


def exposed(answer: Response) -> set[str]:
    return set(answer.headers["Access-Control-Expose-Headers"].split(", "))


# 1. Being there


def test_the_root_view_announces_it_and_tells_users_theirs(client: Client) -> None:
    capability = {
        "description": "The default bucket is an alias for a personal bucket where collections"
        " are created implicitly.",
        "url": "http://kinto.readthedocs.org/en/latest/api/1.x/buckets.html"
        "#personal-bucket-default",
    }

    root = body_of(client.ask("GET", "/"))

    assert root["capabilities"] == {"default_bucket": capability}
    assert root["user"].keys() == {"id", "bucket"}
    anonymous = body_of(client.ask("GET", "/", user=None))
    assert anonymous["capabilities"] == {"default_bucket": capability}
    assert "user" not in anonymous


def test_without_the_plugin_the_root_view_knows_nothing_of_it(plain: Client) -> None:
    root = body_of(plain.ask("GET", "/"))

    assert root["capabilities"] == {}
    assert root["user"].keys() == {"id"}


def test_without_the_plugin_default_is_an_ordinary_id(plain: Client) -> None:
    for path in (ALIAS, COLLECTION_PATH, RECORDS, f"{ALIAS}/groups"):
        assert_error(plain.ask("GET", path), 403, 121)
        assert_error(plain.ask("GET", path, user=None), 401, 104)

    created = body_of(plain.ask("PUT", ALIAS), 201)

    assert created["data"]["id"] == "default"
    assert created["permissions"] == {"write": [user_id(plain, "alice")]}
    assert_error(plain.ask("GET", COLLECTION_PATH), 404, 111)
    assert_error(plain.ask("POST", RECORDS, {}), 404, 111)
    assert ids_in(plain, f"{ALIAS}/collections") == []
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert_error(plain.ask(method, ALIAS, {"data": {}}, user="bob"), 403, 121)


def test_without_the_plugin_it_can_be_posted(plain: Client) -> None:
    created = body_of(plain.ask("POST", "/buckets", {"data": {"id": "default"}}), 201)

    assert created["data"]["id"] == "default"
    assert body_of(plain.ask("GET", ALIAS))["data"]["id"] == "default"


def test_without_the_plugin_preflights_and_readonly_are_as_for_any_bucket(dynamo: Dynamo) -> None:
    client_of(dynamo).ask("PUT", ALIAS)
    readonly = client_of(dynamo, readonly=True)

    assert body_of(readonly.ask("GET", ALIAS))["data"]["id"] == "default"
    assert preflight(readonly, ALIAS).status == 200


# 2. The real id


@pytest.mark.parametrize(
    ("name", "password", "user", "bucket"),
    [
        (
            "mat",
            "secret",
            "basicauth:967e5a9f60cbe491bd8a695d8d0515caba27c5c4f404a11ff86e14d3256d88b7",
            "24d981f3-fd5c-9893-de96-1d3275edc783",
        ),
        (
            "alice",
            "",
            "basicauth:93f7fbd57d9202a6ee3ae4b14c0df9d8f71c5ce99af0bbe5a9f286611caa3c60",
            "edaade7e-aa11-b9bc-96b8-fbbef3bd318e",
        ),
    ],
)
def test_the_real_id_is_kintos(
    dynamo: Dynamo, name: str, password: str, user: str, bucket: str
) -> None:
    secret = "b4c96a8692291d88fe5a97dd91846eb4"
    client = client_of(dynamo, includes=(DEFAULT_BUCKET,), userid_hmac_secret=secret)
    headers = {"Authorization": basic(name, password)}

    root = body_of(client.ask("GET", "/", headers=headers))

    assert root["user"] == {"id": user, "bucket": bucket}
    assert body_of(client.ask("GET", ALIAS, headers=headers))["data"]["id"] == bucket


@pytest.mark.parametrize("user", ["basicauth:1", "google:a b", "é:ü", "x" * 1000])
@pytest.mark.parametrize("secret", ["", "s", "geheimnis é"])
def test_the_real_id_is_the_beginning_of_a_digest_with_dashes(user: str, secret: str) -> None:
    digits = hmac.digest(secret.encode(), user.encode(), "sha256").hex()
    parts = [digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]]

    assert bucket_id_of(user, secret) == "-".join(parts)


def test_it_is_of_the_whole_user_id_so_that_each_policy_has_its_own(dynamo: Dynamo) -> None:
    class Named:
        challenge = "Named"

        def __init__(self, name: str) -> None:
            self.name = name

        def user_id(self, request: Request) -> str | None:
            return "alice"

    buckets = set()
    for name in ("one", "other"):
        client = client_of(dynamo, policies=[Named(name)], includes=(DEFAULT_BUCKET,))
        buckets.add(real_bucket(client))

    assert len(buckets) == 2


def test_each_user_has_his_own(client: Client) -> None:
    for user in ("alice", "bob"):
        client.ask("PUT", f"{ALIAS}/collections/of-{user}", user=user)

    assert real_bucket(client, "alice") != real_bucket(client, "bob")
    assert ids_in(client, f"{ALIAS}/collections") == ["of-alice"]
    bobs = body_of(client.ask("GET", f"{ALIAS}/collections", user="bob"))["data"]
    assert [each["id"] for each in bobs] == ["of-bob"]


# 3. Which paths


@pytest.mark.parametrize(
    "id", ["default-1", "Default", "DEFAULT", "defaults", "default_", "defaul", "1default"]
)
def test_only_that_very_name_is_the_alias(client: Client, real: str, id: str) -> None:
    assert_error(client.ask("GET", f"/buckets/{id}"), 403, 121)
    assert_error(client.ask("GET", f"/buckets/{id}/collections/x"), 403, 121)

    assert body_of(client.ask("PUT", f"/buckets/{id}"), 201)["data"]["id"] == id
    assert_error(client.ask("GET", f"/buckets/{id}/collections/x"), 404, 111)
    assert_error(client.ask("GET", real), 403, 121)


def test_a_collection_or_group_may_be_called_default(client: Client, real: str) -> None:
    assert client.ask("POST", f"{ALIAS}/collections/default/records", {}).status == 201
    assert client.ask("PUT", f"{ALIAS}/groups/default", {"data": {"members": []}}).status == 201
    posted = client.ask("POST", f"{ALIAS}/collections", {"data": {"id": "default"}})
    assert posted.status == 200
    client.ask("PUT", "/buckets/blog")
    assert client.ask("PUT", "/buckets/blog/collections/default").status == 201

    assert ids_in(client, f"{real}/collections") == ["default"]
    assert ids_in(client, f"{real}/groups") == ["default"]


def test_without_version_it_redirects_to_itself(client: Client) -> None:
    answer = sent(client, Request("GET", "/buckets/default/collections", (("a", "1"),)))

    assert answer.status == 307
    assert answer.headers["Location"] == "http://localhost/v1/buckets/default/collections?a=1"


# 3. The order of the checks


def under_any(answer: Response) -> Response:
    """An answer for the path under `any`, as it would be for the alias."""
    headers = {name: text.replace("/any", "/default") for name, text in answer.headers.items()}
    return Response(answer.status, answer.body, headers, answer.says_null)


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("user", [None, "alice"])
def test_a_preflight_is_that_of_any_bucket_and_creates_nothing(
    client: Client, calls: CountedCalls, below: str, user: str | None
) -> None:
    for method in (None, *METHODS):
        for origin in (None, APP):
            answer = preflight(client, ALIAS + below, method, origin=origin, user=user)
            other = preflight(client, f"/buckets/any{below}", method, origin=origin, user=user)

            assert answer == under_any(other)
    assert calls.take() == {}


class UnavailablePolicy:
    """Can't tell now who asks."""

    name = challenge = "unavailable"

    def user_id(self, request: Request) -> str | None:
        raise PolicyUnavailableError


def test_a_preflight_does_not_even_ask_who(dynamo: Dynamo) -> None:
    client = client_of(dynamo, policies=[UnavailablePolicy()], includes=(DEFAULT_BUCKET,))

    assert preflight(client, ALIAS).status == 200
    assert client.ask("GET", ALIAS).status == 503


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("service", ["client", "readonly"])
def test_the_anonymous_are_refused_whatever_they_ask(
    request: pytest.FixtureRequest, calls: CountedCalls, below: str, service: str
) -> None:
    client: Client = request.getfixturevalue(service)
    before = state(client)
    wrong = {"Accept": "text/html", "Content-Type": "text/plain", "If-Match": "x"}

    for method in METHODS:
        for headers in ({}, wrong, {"Authorization": "Bearer x"}, {"Authorization": "Basic !"}):
            answer = client.ask(method, ALIAS + below, user=None, headers=headers, body=b"{")

            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="Realm"'
            if method != "HEAD":
                assert_error(answer, 401, 104)
    assert calls.take() == {}
    assert state(client) == before


@pytest.mark.parametrize("below", BELOW)
def test_a_service_that_is_only_read_refuses_every_method(
    client: Client, readonly: Client, calls: CountedCalls, below: str
) -> None:
    client.ask("PUT", RECORD_PATH)
    before = state(client)
    calls.take()

    for method in METHODS:
        answer = readonly.ask(method, ALIAS + below, headers={"Accept": "text/html"}, body=b"{")
        assert answer.status == 405
        if method != "HEAD":
            assert_error(answer, 405, 115)
    assert calls.take() == {}
    assert state(client) == before


def test_a_service_that_is_only_read_still_shows_the_real_id(
    client: Client, readonly: Client, real: str
) -> None:
    client.ask("PUT", RECORD_PATH)

    assert real_bucket(readonly) == real
    for below in ("", COLLECTION_BELOW, RECORD_BELOW, "/collections", RECORDS_BELOW):
        assert readonly.ask("GET", real + below) == client.ask("GET", real + below)


@pytest.mark.parametrize(
    "switch", ["record_bucket_get", "record_record_put", "collection_group_get"]
)
def test_what_is_switched_off_is_so_through_the_alias(dynamo: Dynamo, switch: str) -> None:
    client = client_of(dynamo, includes=(DEFAULT_BUCKET,), switched_off=frozenset({switch}))
    before = state(client)
    method, below = {
        "record_bucket_get": ("GET", ""),
        "record_record_put": ("PUT", RECORD_BELOW),
        "collection_group_get": ("GET", "/groups"),
    }[switch]

    answer = client.ask(method, ALIAS + below)

    assert_error(answer, 405, 115)
    assert method not in answer.headers["Allow"]
    assert state(client) == before


# 3. What did not exist


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH"])
@pytest.mark.parametrize("below", ["", COLLECTION_BELOW])
def test_reading_or_patching_what_is_not_there_creates_it(
    client: Client, real: str, method: str, below: str
) -> None:
    answer = client.ask(method, ALIAS + below, {"data": {"title": "One"}})

    assert answer.status == 200
    found = body_of(client.ask("GET", real + below))
    assert answer.headers["ETag"] == f'"{found["data"]["last_modified"]}"'
    assert found["data"].get("title") == ("One" if method == "PATCH" else None)
    assert found["permissions"] == {"write": [user_id(client, "alice")]}
    if method != "HEAD":
        assert answer.body == found
    assert ids_in(client, f"{real}/collections") == (["tasks"] if below else [])


@pytest.mark.parametrize("below", ["", COLLECTION_BELOW])
def test_a_put_creates_then_replaces(client: Client, real: str, below: str) -> None:
    star = {"If-None-Match": "*"}

    created = body_of(client.ask("PUT", ALIAS + below, {"data": {"a": 1}}, headers=star), 201)

    assert body_of(client.ask("GET", real + below)) == created
    again = client.ask("PUT", ALIAS + below, {"data": {"a": 2}}, headers=star)
    assert_error(again, 412, 114)
    assert body_of(again, 412)["details"] == {"existing": created["data"]}
    replaced = body_of(client.ask("PUT", ALIAS + below, {"data": {"b": 1}}))
    assert replaced["data"].keys() == {"id", "last_modified", "b"}


@pytest.mark.parametrize("below", ["/collections", "/groups"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_list_of_the_bucket_is_empty_and_the_bucket_created(
    client: Client, real: str, method: str, below: str
) -> None:
    answer = client.ask(method, ALIAS + below)

    assert answer.status == 200
    if method == "GET":
        assert answer.body == {"data": []}
    if method != "DELETE":
        assert answer.headers["Total-Records"] == "0"
        assert answer.headers["ETag"] == client.ask("GET", real + below).headers["ETag"]
    assert client.ask("GET", real).status == 200
    assert ids_in(client, f"{real}/collections") == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_list_of_records_is_empty_and_its_collection_created(
    client: Client, real: str, method: str
) -> None:
    answer = client.ask(method, RECORDS)

    assert answer.status == 200
    if method != "HEAD":
        assert answer.body == {"data": []}
    if method != "DELETE":
        assert answer.headers["Total-Records"] == "0"
    assert ids_in(client, f"{real}/collections") == ["tasks"]


@pytest.mark.parametrize(
    ("method", "below", "collections"),
    [
        ("POST", RECORDS_BELOW, ["tasks"]),
        ("PUT", RECORD_BELOW, ["tasks"]),
        ("POST", "/collections", ["new"]),
        ("PUT", "/groups/team", []),
        ("POST", "/groups", []),
    ],
)
def test_something_new_is_created_with_what_holds_it(
    client: Client, real: str, method: str, below: str, collections: list[str]
) -> None:
    data: JsonObject = {"members": ["bob"]}
    if method == "POST":
        data["id"] = ID if below == RECORDS_BELOW else "new"

    created = body_of(client.ask(method, ALIAS + below, {"data": data}), 201)

    id = created["data"]["id"]
    path = f"{real}{below}/{id}" if method == "POST" else real + below
    assert body_of(client.ask("GET", path)) == created
    assert created["data"]["members"] == ["bob"]
    assert created["permissions"] == {"write": [user_id(client, "alice")]}
    assert ids_in(client, f"{real}/collections") == collections


def test_a_record_without_an_id_gets_one(client: Client, real: str) -> None:
    created = body_of(client.ask("POST", RECORDS, {"data": {"a": 1}}), 201)

    assert RECORD.is_id(created["data"]["id"])
    assert ids_in(client, real + RECORDS_BELOW) == [created["data"]["id"]]


def test_to_delete_a_bucket_that_is_not_there_creates_it_before(client: Client, real: str) -> None:
    answer = client.ask("DELETE", ALIAS)

    tombstone = body_of(answer)["data"]
    assert tombstone.keys() == {"id", "last_modified", "deleted"}
    assert (f"/buckets/{tombstone['id']}", tombstone["deleted"]) == (real, True)
    assert_error(client.ask("GET", real), 403, 121)


def test_to_delete_a_collection_that_is_not_there_creates_it_before(
    client: Client, real: str
) -> None:
    tombstone = body_of(client.ask("DELETE", COLLECTION_PATH))["data"]

    assert tombstone.keys() == {"id", "last_modified", "deleted"}
    assert (tombstone["id"], tombstone["deleted"]) == ("tasks", True)
    listed = body_of(client.ask("GET", f"{real}/collections", _since="0"))
    assert listed == {"data": [tombstone]}
    assert ids_in(client, f"{real}/collections") == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("below", ["/groups/team", RECORD_BELOW])
def test_groups_and_records_are_never_created_implicitly(
    client: Client, method: str, below: str
) -> None:
    before = state(client)

    answer = client.ask(method, ALIAS + below, {"data": {"members": []}})

    assert answer.status == 404
    if method != "HEAD":
        assert_error(answer, 404, 111)
        assert body_of(answer, 404)["message"] == (
            "The resource you are looking for could not be found."
        )
    assert state(client) == before


@pytest.mark.parametrize(
    "id", ["__files__", "-a", "見", "a b", "a.b", "a:b", "_c", "a\n", "é"], ids=ascii
)
@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/records"),
        ("POST", "/records"),
        ("PUT", f"/records/{ID}"),
        ("GET", f"/records/{ID}"),
    ],
)
def test_what_is_no_id_of_a_collection_is_told_before_all_else(
    client: Client, id: str, method: str, below: str
) -> None:
    before = state(client)
    headers = {"If-Match": '"1"'}

    answer = client.ask(method, f"{ALIAS}/collections/{id}{below}", headers=headers, body=b"{")

    if method == "HEAD":
        assert answer.status == 400
    else:
        assert answer.body == {
            "code": 400,
            "errno": 107,
            "error": "Invalid parameters",
            "message": "path: Invalid collection_id id",
            "details": [
                {"location": "path", "name": None, "description": "Invalid collection_id id"}
            ],
        }
    assert state(client) == before


@pytest.mark.parametrize("id", ["a", "1", "A-b_c", "c" * 80, "c" * 300])
def test_any_id_of_a_collection_will_do(client: Client, real: str, id: str) -> None:
    assert client.ask("GET", f"{ALIAS}/collections/{id}/records").status == 200

    assert ids_in(client, f"{real}/collections") == [id]


def test_a_put_says_itself_what_is_no_id(client: Client) -> None:
    before = state(client)

    assert_invalid(client.ask("PUT", f"{ALIAS}/collections/_c"), "path", None, "Invalid record id")
    assert state(client) == before


# 3. What is created implicitly


def test_what_is_created_has_id_time_and_owner(client: Client, clock: SetClock, real: str) -> None:
    clock.now_ms += 60_000
    client.ask("GET", RECORDS)

    for path, id in ((real, real.removeprefix("/buckets/")), (real + COLLECTION_BELOW, "tasks")):
        found = body_of(client.ask("GET", path))
        assert found == {
            "data": {"id": id, "last_modified": found["data"]["last_modified"]},
            "permissions": {"write": [user_id(client, "alice")]},
        }
        assert START_MS + 60_000 <= found["data"]["last_modified"] < START_MS + 60_010


def test_the_lists_that_it_is_in_move_on(client: Client, real: str) -> None:
    client.ask("GET", ALIAS)
    buckets, collections = (
        client.ask("GET", path).headers["ETag"] for path in ("/buckets", f"{real}/collections")
    )

    client.ask("GET", COLLECTION_PATH)

    assert client.ask("GET", "/buckets").headers["ETag"] == buckets
    moved = client.ask("GET", f"{real}/collections").headers["ETag"]
    assert int(moved.strip('"')) > int(collections.strip('"'))
    assert moved == client.ask("GET", COLLECTION_PATH).headers["ETag"]


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", ""),
        ("GET", "/collections"),
        ("GET", COLLECTION_BELOW),
        ("GET", RECORDS_BELOW),
        ("POST", RECORDS_BELOW),
        ("PUT", RECORD_BELOW),
        ("DELETE", RECORDS_BELOW),
        ("PUT", "/groups/team"),
    ],
)
def test_what_is_there_is_left_alone(client: Client, real: str, method: str, below: str) -> None:
    body = {"data": {"title": "One"}, "permissions": {"read": ["bob"]}}
    for path in (ALIAS, COLLECTION_PATH):
        client.ask("PUT", path, body)
    kept = ("/buckets", f"{real}/collections", real, real + COLLECTION_BELOW)
    before = [client.ask("GET", path) for path in kept]

    assert client.ask(method, ALIAS + below, {"data": {"members": []}}).status in (200, 201)

    assert [client.ask("GET", path) for path in kept] == before


def test_no_right_to_create_is_asked_for(dynamo: Dynamo) -> None:
    nobody = frozenset({"system.nobody"})
    client = client_of(
        dynamo,
        includes=(DEFAULT_BUCKET,),
        bucket_create_principals=nobody,
        collection_create_principals=nobody,
    )
    before = state(client)
    for method, path in (
        ("PUT", ALIAS),
        ("PUT", COLLECTION_PATH),
        ("POST", f"{ALIAS}/collections"),
        ("PUT", real_bucket(client)),
        ("POST", "/buckets"),
    ):
        assert_error(client.ask(method, path), 403, 121)
    assert state(client) == before

    assert client.ask("POST", RECORDS, {"data": {"a": 1}}).status == 201

    assert client.ask("PUT", ALIAS, {"data": {"a": 1}}).status == 200
    assert client.ask("PUT", COLLECTION_PATH, {"data": {"a": 1}}).status == 200


def test_preconditions_are_of_the_request_alone(client: Client, real: str) -> None:
    before = state(client)
    stale = {"If-Match": '"1"'}
    for path in (ALIAS, COLLECTION_PATH, RECORDS, f"{ALIAS}/collections"):
        for method in ("GET", "DELETE"):
            assert_error(client.ask(method, path, headers=stale), 412, 114)
    assert state(client) == before

    created = client.ask("PUT", RECORD_PATH, headers={"If-None-Match": "*"})
    assert created.status == 201
    again = client.ask("PUT", RECORD_PATH, headers={"If-None-Match": "*"})
    assert body_of(again, 412)["details"] == {"existing": body_of(created, 201)["data"]}
    assert client.ask("GET", real + RECORD_BELOW).body == created.body


@pytest.mark.parametrize("path", [ALIAS, COLLECTION_PATH, RECORDS, f"{ALIAS}/groups"])
def test_what_was_just_created_may_be_unmodified(client: Client, real: str, path: str) -> None:
    answer = client.ask("GET", path, headers={"If-None-Match": "*"})

    assert (answer.status, answer.body) == (304, None)
    assert client.ask("GET", real).status == 200


def cause_of(dynamo: Dynamo, uri: ObjectUri) -> Any:
    """What is stored of why an object was written."""
    key = object_key(uri)
    return dynamo.get([key], Patience().deadline())[key]["cause"]["M"]


def test_no_event_is_to_tell_of_it(client: Client, dynamo: Dynamo, real: str) -> None:
    bucket = ListUri(BUCKET, ()).object(real.removeprefix("/buckets/"))
    tasks = ListUri(COLLECTION, bucket.ids).object("tasks")
    created = body_of(client.ask("POST", RECORDS, {"data": {"id": ID}}), 201)

    for uri in (bucket, tasks):
        cause = cause_of(dynamo, uri)
        assert cause["silent"] == {"BOOL": True}
        assert cause["by_list"] == {"BOOL": False}
        assert cause["user_id"] == {"S": user_id(client, "alice")}
        assert cause["request_id"] == {"S": "request of alice"}
    of_record = cause_of(dynamo, ListUri(RECORD, tasks.ids).object(ID))
    assert (of_record["silent"], of_record["by_list"]) == ({"BOOL": False}, {"BOOL": True})
    assert int(of_record["timestamp"]["N"]) < created["data"]["last_modified"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("below", ["", COLLECTION_BELOW])
def test_events_tell_of_what_was_asked_for(
    client: Client, dynamo: Dynamo, real: str, method: str, below: str
) -> None:
    uri = ListUri(BUCKET, ()).object(real.removeprefix("/buckets/"))
    if below:
        uri = ListUri(COLLECTION, uri.ids).object("tasks")

    assert client.ask(method, ALIAS + below, {"data": {"a": 1}}).status in (200, 201)

    assert cause_of(dynamo, uri)["silent"] == {"BOOL": False}


# 3. In a batch


def test_a_batch_creates_once(client: Client, dynamo: Dynamo, real: str) -> None:
    answers = batch(
        client,
        asking("GET", ALIAS),
        asking("GET", COLLECTION_PATH),
        asking("POST", RECORDS, body={"data": {"n": 1}}),
        asking("PUT", RECORD_PATH),
        asking("GET", RECORDS),
        asking("GET", COLLECTION_PATH),
        asking("GET", ALIAS),
        asking("GET", f"{real}/collections"),
    )

    assert [answer["status"] for answer in answers] == [200, 200, 201, 201, 200, 200, 200, 200]
    assert answers[0]["body"] == answers[6]["body"] == client.ask("GET", ALIAS).body
    assert answers[1]["body"] == answers[5]["body"] == client.ask("GET", COLLECTION_PATH).body
    assert [len(answers[index]["body"]["data"]) for index in (4, 7)] == [2, 1]
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "2"
    assert client.ask("GET", f"{ALIAS}/collections").headers["Total-Records"] == "1"
    assert [answer["path"] for answer in answers[:3]] == [
        f"/v1{path}" for path in (ALIAS, COLLECTION_PATH, RECORDS)
    ]


def test_in_a_batch_a_refusal_takes_back_what_it_created_and_nothing_else(
    client: Client, real: str
) -> None:
    answers = batch(
        client,
        asking("GET", f"{ALIAS}/groups/none"),
        asking("PUT", f"{ALIAS}/collections/refused/records/no-uuid"),
        asking("POST", RECORDS, body={"data": {}}),
        asking("PUT", f"{ALIAS}/collections/refused/records/no-uuid"),
        asking("GET", f"{ALIAS}/groups/none"),
        asking("GET", f"{real}/collections"),
    )

    assert [answer["status"] for answer in answers] == [404, 400, 201, 400, 404, 200]
    assert [each["id"] for each in answers[-1]["body"]["data"]] == ["tasks"]
    assert ids_in(client, f"{real}/collections") == ["tasks"]
    assert client.ask("GET", f"{real}/collections").headers["Total-Records"] == "1"


def test_a_batch_of_refusals_writes_nothing(client: Client) -> None:
    before = state(client)

    answers = batch(
        client,
        asking("GET", f"{ALIAS}/groups/none"),
        asking("GET", f"{ALIAS}/unknown"),
        asking("POST", ALIAS),
        asking("GET", ALIAS, headers={"If-Match": '"1"'}),
        asking("GET", f"{ALIAS}/collections/_a"),
    )

    assert [answer["status"] for answer in answers] == [404, 404, 405, 412, 400]
    assert state(client) == before


def test_in_a_batch_each_user_has_his_own(client: Client) -> None:
    answers = batch(
        client,
        asking("GET", ALIAS),
        asking("GET", ALIAS, headers={"Authorization": basic("bob")}),
        asking("GET", ALIAS, headers={"Authorization": ""}),
        asking("GET", ALIAS),
    )

    alice, bob = real_bucket(client, "alice"), real_bucket(client, "bob")
    ids = [f"/buckets/{answers[index]['body']['data']['id']}" for index in (0, 1, 3)]
    assert ids == [alice, bob, alice]
    assert (answers[2]["status"], answers[2]["body"]["errno"]) == (401, 104)
    assert answers[2]["headers"]["WWW-Authenticate"] == 'Basic realm="Realm"'
    assert client.ask("GET", bob, user="bob").status == 200


def test_in_a_batch_what_was_deleted_is_created_anew(client: Client, real: str) -> None:
    client.ask("PUT", RECORD_PATH, {"data": {"old": True}})
    client.ask("PATCH", ALIAS, {"data": {"old": True}, "permissions": {"read": ["bob"]}})

    answers = batch(
        client,
        asking("DELETE", ALIAS),
        asking("GET", ALIAS),
        asking("DELETE", ALIAS),
        asking("GET", RECORDS),
        asking("PUT", f"{RECORDS}/{OTHER_ID}"),
        asking("GET", RECORD_PATH),
    )

    assert [answer["status"] for answer in answers] == [200, 200, 200, 200, 201, 404]
    times = [answers[index]["body"]["data"]["last_modified"] for index in (0, 1, 2)]
    assert times == sorted(set(times))
    assert answers[1]["body"]["data"].keys() == {"id", "last_modified"}
    assert answers[3]["body"] == {"data": []}
    found = body_of(client.ask("GET", real))
    assert found["permissions"] == {"write": [user_id(client, "alice")]}
    assert found["data"]["last_modified"] > times[-1]
    assert ids_in(client, real + RECORDS_BELOW, _since="0") == [OTHER_ID]
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "1"


@pytest.mark.parametrize("path", [ALIAS, COLLECTION_PATH, RECORDS, RECORD_PATH])
def test_what_is_unmodified_is_so_in_a_batch(client: Client, path: str) -> None:
    client.ask("PUT", RECORD_PATH)
    etag = client.ask("GET", path).headers["ETag"]

    (answer,) = batch(client, asking("GET", path, headers={"If-None-Match": etag}))

    assert (answer["status"], answer["path"], answer["body"]) == (304, f"/v1{path}", {})
    assert answer["headers"]["ETag"] == etag


def test_redirects_are_followed_in_a_batch(client: Client) -> None:
    answers = batch(
        client,
        asking("PUT", f"{RECORD_PATH}/", body={"data": {"n": 1}}),
        asking("GET", f"{RECORDS}/?n=1"),
        asking("GET", f"{ALIAS}/collections/"),
    )

    assert [answer["status"] for answer in answers] == [201, 200, 200]
    assert [answer["path"] for answer in answers] == [
        f"/v1{path}" for path in (RECORD_PATH, RECORDS, f"{ALIAS}/collections")
    ]
    assert [len(answer["body"]["data"]) for answer in answers[1:]] == [1, 1]


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_batch_may_be_one_transaction_or_several(dynamo: Dynamo, is_whole: bool) -> None:
    client = client_of(dynamo, includes=(DEFAULT_BUCKET,), transaction_per_request=is_whole)

    answers = batch(
        client,
        asking("GET", f"{ALIAS}/groups/none"),
        asking("PUT", RECORD_PATH),
        asking("GET", RECORDS),
    )

    assert [answer["status"] for answer in answers] == [404, 201, 200]
    assert ids_in(client, f"{ALIAS}/collections") == ["tasks"]
    assert ids_in(client, RECORDS) == [ID]


# 4. How ids and addresses show


def test_every_answer_has_the_real_id(client: Client, real: str) -> None:
    id = real.removeprefix("/buckets/")

    for method, data in (("PUT", {}), ("GET", None), ("PATCH", {"data": {}}), ("DELETE", None)):
        assert body_of(client.ask(method, ALIAS, data), 201 if method == "PUT" else 200)["data"][
            "id"
        ] == (id)
    client.ask("GET", ALIAS)
    assert ids_in(client, "/buckets") == [id]
    assert_error(client.ask("PUT", ALIAS, headers={"If-None-Match": "*"}), 412, 114)
    refused = client.ask("PUT", ALIAS, headers={"If-None-Match": "*"})
    assert body_of(refused, 412)["details"]["existing"]["id"] == id


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("named", ["the real one", "default", None])
def test_a_body_may_name_the_bucket_or_not(
    client: Client, real: str, is_there: bool, method: str, named: str | None
) -> None:
    if is_there:
        client.ask("PUT", ALIAS)
    id = real.removeprefix("/buckets/")
    data: JsonObject = {"n": 1.5, "é": [{"id": "default"}], "text": 'ü"\n\u0000', "no": None}
    if named:
        data["id"] = named if named == "default" else id
    permissions = {"read": ["bob"]}

    answer = client.ask(method, ALIAS, {"data": data, "permissions": permissions})

    body = body_of(answer, 201 if method == "PUT" and not is_there else 200)
    last_modified = body["data"]["last_modified"]
    assert body["data"] == {**data, "id": id, "last_modified": last_modified}
    assert body["permissions"] == {"read": ["bob"], "write": [user_id(client, "alice")]}
    assert body_of(client.ask("GET", real)) == body


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("id", ["other", "Default", "default ", OTHER_ID, "defaults"])
def test_a_body_may_not_name_another_bucket(client: Client, method: str, id: str) -> None:
    client.ask("PUT", ALIAS)
    before = state(client)

    answer = client.ask(method, ALIAS, {"data": {"id": id}})

    assert_invalid(answer, "body", "id", "Record id does not match existing record")
    assert body_of(answer, 400)["message"] == "Record id does not match existing record"
    assert state(client) == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_default_stands_for_the_bucket_in_bodies_of_the_alias_alone(
    client: Client, real: str, method: str
) -> None:
    client.ask("PUT", RECORD_PATH)
    client.ask("PUT", f"{ALIAS}/groups/team", {"data": {"members": []}})

    for path in (real, COLLECTION_PATH, RECORD_PATH, f"{ALIAS}/groups/team"):
        answer = client.ask(method, path, {"data": {"id": "default", "members": []}})
        assert_invalid(answer, "body", "id", "Record id does not match existing record")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'{"data": "default"}', b'{"data": ["id"]}', b"\xff", b"{}{}"]
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_body_that_names_nothing_is_refused_as_it_is(
    client: Client, real: str, method: str, body: bytes
) -> None:
    client.ask("PUT", ALIAS)

    answer = client.ask(method, ALIAS, body=body)

    assert_error(answer, 400, 107)
    assert answer.body == client.ask(method, real, body=body).body


def test_the_next_page_has_the_real_id_and_works_as_it_is(client: Client, real: str) -> None:
    for number in range(3):
        client.ask("POST", RECORDS, {"data": {"n": number}})

    first = client.ask("GET", RECORDS, _limit="2", _sort="n")

    url = first.headers["Next-Page"]
    path, _, query = url.removeprefix("http://localhost/v1").partition("?")
    assert path == real + RECORDS_BELOW
    parameters: dict[str, Any] = dict(part.split("=") for part in query.split("&"))
    for address in (path, RECORDS):
        second = client.ask("GET", address, **parameters)
        assert [each["n"] for each in body_of(second)["data"]] == [2]


@pytest.mark.parametrize("below", REDIRECTED_BELOW)
def test_redirects_keep_the_alias(client: Client, real: str, below: str) -> None:
    before = state(client)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
        answer = client.ask(method, ALIAS + below, body=b"{", a="1", b="é &")

        assert (answer.status, answer.body) == (307, None)
        target = f"http://localhost/v1{ALIAS}{below.rstrip('/')}"
        assert answer.headers["Location"] == f"{target}?a=1&b=%C3%A9+%26"
    assert client.ask("GET", ALIAS + below).headers["Location"] == target
    assert state(client) == before


def test_without_redirects_a_trailing_slash_is_unknown(dynamo: Dynamo) -> None:
    client = client_of(dynamo, includes=(DEFAULT_BUCKET,), trailing_slash_redirect_enabled=False)

    assert_error(client.ask("GET", f"{ALIAS}/"), 404, 111)
    assert_error(client.ask("GET", f"{ALIAS}/", user=None), 401, 104)


def test_a_group_is_a_principal_under_the_real_id_alone(client: Client, real: str) -> None:
    bob = user_id(client, "bob")
    client.ask("PUT", f"{ALIAS}/groups/team", {"data": {"members": [bob]}})
    aliased, true = f"{ALIAS}/groups/team", f"{real}/groups/team"

    stored = body_of(client.ask("PUT", COLLECTION_PATH, {"permissions": {"read": [aliased]}}), 201)

    assert stored["permissions"]["read"] == [aliased]
    assert_error(client.ask("GET", real + COLLECTION_BELOW, user="bob"), 403, 121)
    client.ask("PATCH", COLLECTION_PATH, {"permissions": {"read": [true]}})
    assert client.ask("GET", real + COLLECTION_BELOW, user="bob").status == 200
    assert_error(client.ask("GET", real + COLLECTION_BELOW, user="carol"), 403, 121)
    client.ask("DELETE", f"{ALIAS}/groups/team")
    assert_error(client.ask("GET", real + COLLECTION_BELOW, user="bob"), 403, 121)


@pytest.fixture
def filled(client: Client, real: str) -> Client:
    """Some of everything in alice's bucket."""
    if not _FILLED:
        client.ask("PUT", ALIAS, {"data": {"title": "Mine"}, "permissions": {"read": ["bob"]}})
        client.ask("PUT", f"{ALIAS}/groups/team", {"data": {"members": ["bob"]}})
        for number, id in enumerate((ID, OTHER_ID)):
            client.ask("PUT", f"{RECORDS}/{id}", {"data": {"n": number, "title": "T"}})
        client.ask("DELETE", f"{RECORDS}/{OTHER_ID}")
        _FILLED.append(saved())
    restore(_FILLED[0])
    return client


_FILLED: list[dict[str, Any]] = []

SAME: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a list since": ("GET", RECORDS_BELOW, {"_since": "0"}),
    "a list filtered": ("GET", RECORDS_BELOW, {"n": "0", "_sort": "-n"}),
    "a list of nothing": ("GET", RECORDS_BELOW, {"n": "7"}),
    "fields": ("GET", RECORD_BELOW, {"_fields": "n"}),
    "a page": ("GET", RECORDS_BELOW, {"_since": "0", "_limit": "1"}),
    "a list's headers": ("HEAD", RECORDS_BELOW, {}),
    "a bad filter": ("GET", RECORDS_BELOW, {"_since": "soon"}),
    "a bad limit": ("GET", "/collections", {"_limit": "-1"}),
    "stale": ("PUT", RECORD_BELOW, {"headers": {"If-Match": '"1"'}}),
    "there already": ("PUT", RECORD_BELOW, {"headers": {"If-None-Match": "*"}}),
    "not modified": ("GET", RECORDS_BELOW, {"headers": {"If-None-Match": "*"}}),
    "a bad precondition": ("GET", RECORD_BELOW, {"headers": {"If-Match": "x"}}),
    "light": (
        "PATCH",
        RECORD_BELOW,
        {"headers": {"Response-Behavior": "light"}, "data": {"data": {"n": 5}}},
    ),
    "diff": (
        "PATCH",
        RECORD_BELOW,
        {"headers": {"Response-Behavior": "diff"}, "data": {"data": {"n": 5, "title": "T"}}},
    ),
    "a diff of the bucket": (
        "PATCH",
        "",
        {"headers": {"Response-Behavior": "diff"}, "data": {"data": {"title": "New"}}},
    ),
    "a record's time": ("DELETE", RECORD_BELOW, {"last_modified": "1800000000000"}),
    "a post of what is there": ("POST", RECORDS_BELOW, {"data": {"data": {"id": ID}}}),
    "a post": ("POST", RECORDS_BELOW, {"data": {"data": {"id": OTHER_ID, "n": 1}}}),
    "a deletion by filters": ("DELETE", RECORDS_BELOW, {"n": "0"}),
    "a group": ("PUT", "/groups/team", {"data": {"data": {"members": ["a"]}}}),
    "a group without members": ("PUT", "/groups/other", {"data": {"data": {}}}),
    "a bad group": ("PUT", "/groups/_", {"data": {"data": {"members": []}}}),
    "a bad record": ("PUT", f"{RECORDS_BELOW}/abc", {}),
    "to read a bad record": ("GET", f"{RECORDS_BELOW}/abc", {}),
    "no JSON": ("PUT", RECORD_BELOW, {"body": b"{"}),
    "no object": ("POST", RECORDS_BELOW, {"body": b"[]"}),
    "an unknown permission": ("PATCH", "", {"data": {"permissions": {"fly": []}}}),
    "another type": ("GET", RECORDS_BELOW, {"headers": {"Accept": "text/html"}}),
    "another content": ("PATCH", "", {"headers": {"Content-Type": "text/plain"}}),
    "a missing record": ("GET", f"{RECORDS_BELOW}/{OTHER_ID}", {}),
    "a missing group": ("DELETE", "/groups/none", {}),
    "another method": ("POST", "", {}),
    "another method of a list": ("PUT", RECORDS_BELOW, {}),
    "an unknown method": ("BREW", COLLECTION_BELOW, {}),
    "an unknown address": ("GET", "/unknown", {}),
    "the batch of a bucket": ("POST", "/batch", {}),
    "an unknown address below": ("GET", f"{COLLECTION_BELOW}/unknown", {}),
    "a script's request": ("GET", RECORDS_BELOW, {"headers": {"Origin": APP}}),
    "a script's mistake": ("GET", "/groups/none", {"headers": {"Origin": APP}}),
    **{
        f"{method} {below}": (method, below, {})
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")
        for below in OBJECTS_BELOW
    },
    **{
        f"{method} {below}": (method, below, {})
        for method in ("GET", "DELETE")
        for below in LISTS_BELOW
    },
}


@pytest.mark.parametrize("case", SAME)
def test_it_is_all_the_same_as_under_the_real_id(filled: Client, real: str, case: str) -> None:
    method, below, asked = SAME[case]

    expected = filled.ask(method, real + below, **asked)
    after = state(filled)
    restore(_FILLED[0])
    answer = filled.ask(method, ALIAS + below, **asked)

    if answer.status == 405:
        # Scripts see more of it, as the alias has all methods.
        shown = dict(expected.headers) | {"Access-Control-Expose-Headers": ANY}
        expected = Response(405, expected.body, shown)
    assert answer == expected
    assert state(filled) == after


@pytest.mark.parametrize("below", [*OBJECTS_BELOW, *LISTS_BELOW])
def test_validators_serve_both_addresses(filled: Client, real: str, below: str) -> None:
    for one, other in ((ALIAS, real), (real, ALIAS)):
        etag = filled.ask("GET", one + below).headers["ETag"]

        assert filled.ask("GET", other + below).headers["ETag"] == etag
        unmodified = filled.ask("GET", other + below, headers={"If-None-Match": etag})
        assert (unmodified.status, unmodified.headers["ETag"]) == (304, etag)
        older = f'"{int(etag.strip(chr(34))) - 1}"'
        refused = filled.ask("GET", other + below, headers={"If-Match": older})
        assert refused.headers["ETag"] == etag
        details = body_of(refused, 412)["details"]
        assert details == (
            {}
            if below in LISTS_BELOW
            else {"existing": body_of(filled.ask("GET", real + below))["data"]}
        )
        assert filled.ask("GET", other + below, headers={"If-Match": etag}).status == 200


def test_a_deletion_of_more_than_a_transaction_holds_goes_on(
    client: Client, real: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_deletion, "MAX_ACTIONS", 3)
    for number in range(5):
        client.ask("PUT", f"{RECORDS}/{number}{ID[1:]}", {"data": {"n": number % 2}})

    answer = client.ask("DELETE", RECORDS, n="0")

    assert len(body_of(answer)["data"]) == 3
    assert exposed(answer) == ALWAYS
    assert len(ids_in(client, real + RECORDS_BELOW)) == 2


# 5. The real id


def test_through_the_real_id_nothing_is_created(client: Client, real: str) -> None:
    before = state(client)
    for below in ("", "/collections", COLLECTION_BELOW, RECORDS_BELOW, RECORD_BELOW, "/groups"):
        assert_error(client.ask("GET", real + below), 403, 121)
        assert_error(client.ask("GET", real + below, user=None), 401, 104)
    assert_error(client.ask("POST", real + RECORDS_BELOW, {}), 403, 121)
    assert state(client) == before

    client.ask("GET", ALIAS)

    before = state(client)
    for method, below in (
        ("GET", COLLECTION_BELOW),
        ("PATCH", COLLECTION_BELOW),
        ("DELETE", COLLECTION_BELOW),
        ("GET", RECORDS_BELOW),
        ("POST", RECORDS_BELOW),
        ("DELETE", RECORDS_BELOW),
        ("PUT", RECORD_BELOW),
        ("GET", RECORD_BELOW),
    ):
        assert_error(client.ask(method, real + below, {"data": {"a": 1}}), 404, 111)
    assert state(client) == before


def test_the_owner_uses_it_for_everything(client: Client, real: str) -> None:
    assert client.ask("PUT", real, {"data": {"a": 1}}).status == 201
    assert client.ask("PUT", real + COLLECTION_BELOW).status == 201
    assert client.ask("PUT", real + RECORD_BELOW, {"data": {"n": 1}}).status == 201

    assert ids_in(client, RECORDS) == [ID]
    assert body_of(client.ask("GET", ALIAS))["data"]["a"] == 1
    assert client.ask("DELETE", real + RECORD_BELOW).status == 200
    assert ids_in(client, RECORDS) == []


def test_others_are_kept_out_until_it_is_shared(client: Client, real: str) -> None:
    client.ask("PUT", RECORD_PATH, {"data": {"a": 1}})
    for below in ("", COLLECTION_BELOW, RECORDS_BELOW, RECORD_BELOW):
        for method in ("GET", "PUT", "DELETE"):
            if (method, below) != ("PUT", RECORDS_BELOW):
                assert_error(client.ask(method, real + below, user="bob"), 403, 121)
                assert_error(client.ask(method, real + below, user=None), 401, 104)

    bob = user_id(client, "bob")
    shared = body_of(client.ask("PATCH", ALIAS, {"permissions": {"read": [bob]}}))

    assert shared["permissions"] == {"read": [bob], "write": [user_id(client, "alice")]}
    for below in ("", COLLECTION_BELOW, RECORDS_BELOW, RECORD_BELOW):
        assert client.ask("GET", real + below, user="bob").status == 200
        assert_error(client.ask("GET", real + below, user="carol"), 403, 121)
    assert_error(client.ask("POST", real + RECORDS_BELOW, {}, user="bob"), 403, 121)
    assert body_of(client.ask("GET", RECORDS, user="bob"))["data"] == []
    assert real_bucket(client, "bob") != real


@pytest.mark.parametrize(
    ("shared", "permission", "method", "used"),
    [
        (COLLECTION_BELOW, "record:create", "POST", RECORDS_BELOW),
        (COLLECTION_BELOW, "read", "GET", RECORDS_BELOW),
        (RECORD_BELOW, "write", "PATCH", RECORD_BELOW),
        (RECORD_BELOW, "read", "GET", RECORD_BELOW),
        ("/groups/team", "read", "GET", "/groups/team"),
        ("", "collection:create", "PUT", "/collections/bobs"),
    ],
)
def test_parts_are_shared_alone(
    client: Client, real: str, shared: str, permission: str, method: str, used: str
) -> None:
    client.ask("PUT", RECORD_PATH)
    client.ask("PUT", f"{ALIAS}/groups/team", {"data": {"members": []}})
    body = {"data": {"members": []}, "permissions": {permission: [user_id(client, "bob")]}}
    assert_error(client.ask(method, real + used, {"data": {"a": 1}}, user="bob"), 403, 121)

    assert client.ask("PATCH", ALIAS + shared, body).status == 200

    status = client.ask(method, real + used, {"data": {"a": 1}}, user="bob").status
    assert status in (200, 201)
    assert_error(client.ask("GET", real, user="bob"), 403, 121)
    assert body_of(client.ask("GET", RECORDS, user="bob"))["data"] == []


@pytest.mark.parametrize("through", ["alias", "real id"])
def test_what_was_deleted_is_created_anew_and_empty(
    client: Client, real: str, through: str
) -> None:
    bob = user_id(client, "bob")
    mine = {"write": [user_id(client, "alice")]}
    open_to_bob = {"read": [bob]}
    client.ask("PUT", ALIAS, {"data": {"title": "Old"}, "permissions": open_to_bob})
    client.ask("PUT", COLLECTION_PATH, {"data": {"a": 1}, "permissions": open_to_bob})
    client.ask("PUT", RECORD_PATH, {"data": {"a": 1}, "permissions": open_to_bob})
    client.ask("PUT", f"{RECORDS}/{OTHER_ID}")
    client.ask("DELETE", f"{RECORDS}/{OTHER_ID}")
    client.ask("PUT", f"{ALIAS}/groups/team", {"data": {"members": [bob]}})
    lists = ("/collections", "/groups", RECORDS_BELOW)
    before = [int(client.ask("GET", real + path).headers["ETag"].strip('"')) for path in lists]

    tombstone = body_of(client.ask("DELETE", ALIAS if through == "alias" else real))["data"]

    assert_error(client.ask("GET", real), 403, 121)
    assert real_bucket(client) == real
    anew = body_of(client.ask("GET", ALIAS))
    assert anew["data"].keys() == {"id", "last_modified"}
    assert f"/buckets/{anew['data']['id']}" == real
    assert anew["data"]["last_modified"] > tombstone["last_modified"]
    assert anew["permissions"] == mine
    for path in ("/collections", "/groups"):
        assert ids_in(client, ALIAS + path, _since="0") == []
    assert_error(client.ask("GET", real, user="bob"), 403, 121)
    assert ids_in(client, RECORDS, _since="0") == []
    collection = body_of(client.ask("GET", COLLECTION_PATH))
    assert (collection["data"].keys(), collection["permissions"]) == (
        {"id", "last_modified"},
        mine,
    )
    client.ask("PUT", RECORD_PATH)
    for below in (COLLECTION_BELOW, RECORDS_BELOW, RECORD_BELOW):
        assert_error(client.ask("GET", real + below, user="bob"), 403, 121)
    after = [int(client.ask("GET", real + path).headers["ETag"].strip('"')) for path in lists]
    assert all(new > old for old, new in zip(before, after, strict=True))


def test_a_collection_that_was_deleted_is_created_anew_and_empty(client: Client, real: str) -> None:
    client.ask("PUT", RECORD_PATH, {"permissions": {"read": [user_id(client, "bob")]}})
    tombstone = body_of(client.ask("DELETE", COLLECTION_PATH))["data"]

    assert ids_in(client, RECORDS, _since="0") == []

    anew = body_of(client.ask("GET", COLLECTION_PATH))["data"]
    assert anew["last_modified"] > tombstone["last_modified"]
    client.ask("PUT", RECORD_PATH)
    assert_error(client.ask("GET", real + RECORD_BELOW, user="bob"), 403, 121)


# 6. Errors, and Better than Kinto 1


REFUSED: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "a method that a bucket lacks": (405, "POST", "", {}),
    "a method that a list lacks": (405, "PUT", RECORDS_BELOW, {}),
    "unknown": (404, "GET", "/unknown", {}),
    "unknown as post": (404, "POST", "/batch", {}),
    "unknown in a collection": (404, "GET", f"{COLLECTION_BELOW}/unknown", {}),
    "a bad collection": (400, "GET", "/collections/_a/records", {}),
    "a bad collection put": (400, "PUT", "/collections/_a", {}),
    "a bad record": (400, "GET", f"{RECORDS_BELOW}/abc", {}),
    "a bad record put": (400, "PUT", f"{RECORDS_BELOW}/abc", {}),
    "a bad group": (400, "PUT", "/groups/_a", {"data": {"data": {"members": []}}}),
    "no JSON": (400, "PUT", "", {"body": b"{"}),
    "no JSON below": (400, "POST", RECORDS_BELOW, {"body": b"{"}),
    "another id": (400, "PUT", "", {"data": {"data": {"id": "other"}}}),
    "another id patched": (400, "PATCH", COLLECTION_BELOW, {"data": {"data": {"id": "other"}}}),
    "nothing to patch": (400, "PATCH", "", {}),
    "a bad query": (400, "GET", RECORDS_BELOW, {"_since": "soon"}),
    "an unknown permission": (400, "PUT", COLLECTION_BELOW, {"data": {"permissions": {"a": []}}}),
    "a group without members": (400, "PUT", "/groups/team", {"data": {"data": {}}}),
    "a bad precondition": (400, "GET", "", {"headers": {"If-Match": "x"}}),
    "another origin": (400, "GET", RECORDS_BELOW, {"headers": {"Origin": "https://evil"}}),
    "another origin's write": (400, "PUT", "", {"headers": {"Origin": "https://evil"}}),
    "a missing group": (404, "GET", "/groups/none", {}),
    "a missing record": (404, "PATCH", RECORD_BELOW, {"data": {"data": {"a": 1}}}),
    "stale": (412, "DELETE", "", {"headers": {"If-Match": '"1"'}}),
    "a stale list": (412, "POST", RECORDS_BELOW, {"headers": {"If-Match": '"1"'}}),
    "another type": (406, "GET", RECORDS_BELOW, {"headers": {"Accept": "text/html"}}),
    "another content": (415, "PUT", RECORD_BELOW, {"headers": {"Content-Type": "text/plain"}}),
    "too large": (413, "PUT", RECORD_BELOW, {"data": {"data": {"a": "é" * 3_000_000}}}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_writes_nothing(dynamo: Dynamo, case: str) -> None:
    client = client_of(dynamo, includes=(DEFAULT_BUCKET,), cors_origins=(APP,))
    status, method, below, asked = REFUSED[case]
    before = state(client)

    answer = client.ask(method, ALIAS + below, **asked)

    assert answer.status == status, answer
    assert exposed(answer) >= ALWAYS
    assert state(client) == before


def test_a_method_that_is_missing_and_an_address_that_is_missing(client: Client) -> None:
    assert client.ask("POST", ALIAS).body == {
        "code": 405,
        "errno": 115,
        "error": "Method Not Allowed",
        "message": "Method not allowed on this endpoint.",
    }
    assert client.ask("POST", ALIAS).headers["Allow"] == OF_AN_OBJECT.replace(",", ", ")
    assert client.ask("PUT", RECORDS).headers["Allow"] == OF_A_LIST.replace(",", ", ")
    for below in UNKNOWN_BELOW:
        assert client.ask("GET", ALIAS + below).body == {
            "code": 404,
            "errno": 111,
            "error": "Not Found",
            "message": "The resource you are looking for could not be found.",
        }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("below", [*UNKNOWN_BELOW, *REDIRECTED_BELOW])
def test_where_nothing_is_nothing_is_read(
    client: Client, calls: CountedCalls, method: str, below: str
) -> None:
    assert client.ask(method, ALIAS + below).status in (307, 404)

    assert calls.take() == {}


@pytest.mark.parametrize("operation", ["BatchGetItem", TRANSACT])
@pytest.mark.parametrize(
    ("method", "below"), [("GET", ""), ("GET", RECORDS_BELOW), ("PUT", RECORD_BELOW)]
)
def test_while_the_storage_is_away_it_is_unavailable(
    wire: Wire, client: Client, operation: str, method: str, below: str
) -> None:
    ours = client_of(wire.dynamo, includes=(DEFAULT_BUCKET,), retry_after_seconds=7)
    before = state(client)

    def fail(_number: int, called: str, _arguments: dict[str, Any]) -> None:
        if called == operation:
            raise client_error("ThrottlingException", operation=called)

    wire.before = fail
    answer = ours.ask(method, ALIAS + below)

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "7"
    assert exposed(answer) >= ALWAYS
    assert state(client) == before
    wire.quiet()
    assert ours.ask(method, ALIAS + below).status in (200, 201)


def at_first_write(wire: Wire, do: Callable[[], Any]) -> None:
    """Have something happen right before the next transaction, out of its way."""

    def before(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            wire.before = None
            do()

    wire.before = before


def test_two_first_requests_at_once_create_once(wire: Wire, client: Client, real: str) -> None:
    ours = client_of(wire.dynamo, includes=(DEFAULT_BUCKET,))
    rivals: list[Response] = []
    at_first_write(wire, lambda: rivals.append(client.ask("PUT", f"{RECORDS}/{OTHER_ID}")))

    assert ours.ask("PUT", RECORD_PATH).status == 201

    assert [rival.status for rival in rivals] == [201]
    assert sorted(ids_in(client, real + RECORDS_BELOW)) == [ID, OTHER_ID]
    assert client.ask("GET", f"{real}/collections").headers["Total-Records"] == "1"
    buckets = client.ask("GET", "/buckets")
    assert len(body_of(buckets)["data"]) == 1


def test_a_request_that_meets_a_deletion_creates_it_anew(
    wire: Wire, client: Client, real: str
) -> None:
    client.ask("PUT", RECORD_PATH)
    ours = client_of(wire.dynamo, includes=(DEFAULT_BUCKET,))
    at_first_write(wire, lambda: client.ask("DELETE", ALIAS))

    assert ours.ask("PUT", f"{ALIAS}/collections/new/records/{ID}").status == 201

    assert ids_in(client, f"{real}/collections") == ["new"]
    assert ids_in(client, f"{real}/collections/new/records") == [ID]


# 6. Scripts of other origins


@pytest.mark.parametrize("below", ENDPOINTS_BELOW)
@pytest.mark.parametrize("service", ["client", "readonly"])
def test_scripts_are_told_methods_and_headers(
    request: pytest.FixtureRequest, below: str, service: str
) -> None:
    client: Client = request.getfixturevalue(service)
    methods = OF_A_LIST if below in LISTS_BELOW else OF_AN_OBJECT
    if service == "readonly":
        methods = "GET,HEAD,OPTIONS"
    headers = {"Access-Control-Request-Headers": "authorization,X-Own"}
    before = state(client)

    for method in methods.split(","):
        answer = preflight(client, ALIAS + below, method, headers=headers)

        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Max-Age"] == "3600"
        assert answer.headers["Access-Control-Allow-Methods"] == methods
        expected = OF_LISTS if below in LISTS_BELOW else OF_OBJECTS
        allowed = set(answer.headers["Access-Control-Allow-Headers"].split(","))
        assert allowed == expected | {"authorization", "X-Own"}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - set(methods.split(",")):
        refused = preflight(client, ALIAS + below, method)
        assert problems(refused) == [(METHOD, "Method not allowed")]
    assert state(client) == before


def test_a_preflight_without_its_headers_is_refused(client: Client) -> None:
    for method, origin, missing in (
        (None, None, ["Origin", METHOD]),
        (None, APP, [METHOD]),
        ("GET", None, ["Origin"]),
    ):
        answer = preflight(client, RECORDS, method, origin=origin)
        assert problems(answer) == [(name, MANDATORY) for name in missing]


@pytest.mark.parametrize(
    ("method", "below", "expected"),
    [
        *(("GET", below, OF_OBJECTS) for below in OBJECTS_BELOW),
        *(("GET", below, OF_LISTS) for below in LISTS_BELOW),
        *((method, below, ALWAYS) for below in OBJECTS_BELOW for method in ("PUT", "PATCH")),
        *(("DELETE", below, ALWAYS) for below in ENDPOINTS_BELOW),
        *(("POST", below, ALWAYS) for below in LISTS_BELOW),
    ],
)
@pytest.mark.parametrize("origin", [None, APP])
def test_headers_are_shown_to_scripts(
    filled: Client, method: str, below: str, expected: set[str], origin: str | None
) -> None:
    headers = {"Origin": origin} if origin else {}

    answer = filled.ask(method, ALIAS + below, {"data": {"members": []}}, headers=headers)

    assert answer.status in (200, 201)
    assert exposed(answer) == expected
    assert answer.headers.get("Access-Control-Allow-Origin") == ("*" if origin else None)
    if method == "GET":
        known = filled.ask(method, ALIAS + below, headers={**headers, "If-None-Match": "*"})
        assert (known.status, exposed(known)) == (304, expected)


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("alice", 404)])
def test_scripts_see_errors(client: Client, user: str | None, status: int) -> None:
    answer = client.ask("GET", f"{ALIAS}/groups/none", user=user, headers={"Origin": APP})

    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert exposed(answer) >= ALWAYS


# Better than Kinto


@pytest.mark.parametrize("below", ["", COLLECTION_BELOW, RECORD_BELOW])
def test_a_put_needs_no_body(client: Client, real: str, below: str) -> None:
    assert client.ask("PUT", ALIAS + below).status == 201

    assert client.ask("GET", real + below).status == 200


@pytest.mark.parametrize("collection", [ID[-12:], ID, "1", "records"])
def test_a_record_may_be_called_like_its_collection(
    client: Client, real: str, collection: str
) -> None:
    path = f"{ALIAS}/collections/{collection}/records/{ID}"

    assert client.ask("PUT", path).status == 201

    assert ids_in(client, f"{real}/collections") == [collection]


@pytest.mark.parametrize(
    "permissions",
    [
        {},
        {"read": ["alice"]},
        {"collection:create": ["alice"], "group:create": ["alice"]},
        {"read": ["system.Everyone"], "collection:create": ["system.Everyone"]},
    ],
)
def test_a_bucket_of_somebody_else_under_that_id_is_not_touched(
    client: Client, real: str, permissions: dict[str, list[str]]
) -> None:
    alice = user_id(client, "alice")
    given = {
        name: [alice if each == "alice" else each for each in principals]
        for name, principals in permissions.items()
    }
    body = {"data": {"id": real.removeprefix("/buckets/")}, "permissions": given}
    assert client.ask("POST", "/buckets", body, user="bob").status == 201
    before = state(client)

    for method, below in (
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("PUT", COLLECTION_BELOW),
        ("GET", COLLECTION_BELOW),
        ("POST", "/collections"),
        ("GET", RECORDS_BELOW),
        ("POST", RECORDS_BELOW),
        ("PUT", RECORD_BELOW),
        ("PUT", "/groups/team"),
    ):
        answer = client.ask(method, ALIAS + below, {"data": {"members": []}})
        assert_error(answer, 403, 121)
    assert state(client) == before


@pytest.mark.parametrize("data", [{"id": "default"}, {"id": "default", "a": 1}])
def test_no_bucket_is_posted_that_nobody_could_address(client: Client, data: JsonObject) -> None:
    before = state(client)

    for user in ("alice", "bob"):
        answer = client.ask("POST", "/buckets", {"data": data}, user=user)
        assert_invalid(answer, "path", None, "Invalid record id")
    (in_batch,) = batch(client, asking("POST", "/buckets", body={"data": data}))
    assert in_batch["status"] == 400
    assert state(client) == before
    assert client.ask("POST", "/buckets", {"data": {"id": "default2"}}).status == 201


def test_a_bucket_from_before_the_plugin_is_out_of_reach(
    client: Client, plain: Client, real: str
) -> None:
    plain.ask("PUT", ALIAS, {"data": {"old": True}})

    assert body_of(client.ask("GET", ALIAS))["data"].keys() == {"id", "last_modified"}
    assert_error(client.ask("POST", "/buckets", {"data": {"id": "default"}}), 400, 107)
    assert client.ask("DELETE", ALIAS).status == 200
    assert body_of(plain.ask("GET", ALIAS))["data"]["old"] is True


# What it costs


def test_what_requests_cost(client: Client, calls: CountedCalls) -> None:
    read = {"BatchGetItem": 1}
    written = {"BatchGetItem": 1, TRANSACT: 1}

    def cost(method: str, path: str, status: int, **options: Any) -> dict[str, int]:
        assert client.ask(method, path, **options).status == status
        return calls.take()

    calls.take()
    assert cost("PUT", RECORD_PATH, 201) == written
    assert cost("PUT", RECORD_PATH, 200) == written
    assert cost("PUT", f"{RECORDS}/{OTHER_ID}", 201) == written
    assert cost("POST", RECORDS, 201) == written
    assert cost("PATCH", RECORD_PATH, 200, data={}) == written
    assert cost("PATCH", ALIAS, 200, data={}) == written
    for path in (RECORD_PATH, COLLECTION_PATH, ALIAS):
        assert cost("GET", path, 200) == read
        assert cost("GET", path, 304, headers={"If-None-Match": "*"}) == read
        assert cost("GET", path, 412, headers={"If-Match": '"1"'}) == read
    assert cost("GET", f"{ALIAS}/groups/none", 404) == read
    assert cost("DELETE", RECORD_PATH, 200) == written
    assert cost("PUT", f"{ALIAS}/collections/new/records/{ID}", 201) == written
    assert cost("PUT", ALIAS, 201, user="bob") == written
    assert cost("GET", COLLECTION_PATH, 200, user="carol") == written
    assert cost("POST", RECORDS, 201, user="dave") == written


def test_a_batch_costs_two_round_trips(client: Client, calls: CountedCalls) -> None:
    requests = [
        asking("PUT", f"{RECORDS}/{number}{ID[1:]}", body={"data": {}}) for number in range(9)
    ]
    for status in (201, 200):
        calls.take()
        answers = batch(client, asking("GET", ALIAS), *requests)
        assert {answer["status"] for answer in answers[1:]} == {status}
        assert calls.take() == {"BatchGetItem": 1, TRANSACT: 1}
