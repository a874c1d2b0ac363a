"""Plugins that settings include: `plugins/loading.py`, `api/plugins.py`. Rule: docs/plugins.md."""

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from chalicelib.api.addresses import Needs
from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.plugins import Plugins
from chalicelib.api.subscribers import AfterResourceChanged, ResourceChanged, ServerFlushed
from chalicelib.auth.policies import Policy, PolicyUnavailableError
from chalicelib.plugins.loading import BY_KINTOS_NAME, load_plugins
from chalicelib.protocol.errors import MISSING_RESOURCE, Problem, ProtocolError, invalid
from chalicelib.protocol.kinds import BUCKET, COLLECTION
from chalicelib.protocol.messages import JsonObject, Request, Response
from chalicelib.protocol.permissions import Action
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.settings import Settings, SettingsError
from chalicelib.storage.connection import Dynamo
from chalicelib.wiring import application_from_environment
from tests.api.places import BUCKET as BUCKET_PATH
from tests.api.places import assert_error, assert_invalid, body_of, state
from tests.api.test_preflight import APP, METHOD, preflight, problems
from tests.api.test_server import ALWAYS
from tests.doubles import CountedCalls, SetClock, basic, heard_by
from tests.plugins.clients import DEFAULT_BUCKET, client_of, real_bucket
from tests.storage.stand_ins import TRANSACT, Wire
from tests.test_observability import Lines

Include = Callable[[Plugins], Any]
Make = Callable[..., str]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a plugin of a function, and gives its name."""

    def make(include: Any, name: str = "a_plugin") -> str:
        module = ModuleType(name)
        if include is not None:
            module.includeme = include  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        return name

    return make


@pytest.fixture
def log() -> Iterator[Lines]:
    kept = Lines()
    with heard_by(kept, logging.INFO):
        yield kept


def serving(pattern: str, answer: Callable[[Call, tuple[str, ...]], Answer]) -> Include:
    """Serves GET and HEAD of an address."""
    return lambda app: app.add_route(pattern, {"GET": answer, "HEAD": answer})


def echo(call: Call, ids: tuple[str, ...]) -> Response:
    return Response(200, {"ids": [*ids], "user": call.user_id, "query": dict(call.request.query)})


def loaded(includes: str) -> Plugins:
    """The plugins that a service in this environment has."""
    return load_plugins(Settings.from_environment({"KINTO_INCLUDES": includes}))


def refused(includes: str) -> str:
    """How the start is refused with these plugins."""
    with pytest.raises(SettingsError) as caught:
        loaded(includes)
    return str(caught.value)


# Which plugins


def test_there_are_none_by_default() -> None:
    plugins = load_plugins(Settings.from_environment({}))

    assert (plugins.routes, plugins.capabilities, plugins.policies) == ([], {}, [])


@pytest.mark.parametrize("names", BY_KINTOS_NAME.items(), ids=str)
def test_kintos_names_are_understood(names: tuple[str, str]) -> None:
    kintos, ours = map(loaded, names)

    assert kintos.capabilities == ours.capabilities != {}
    assert [route.pattern for route in kintos.routes] == [route.pattern for route in ours.routes]


def test_a_path_names_a_module_and_order_and_separators_are_kept(plugin: Make) -> None:
    included: list[str] = []
    for name in ("one", "other", "third"):
        plugin(lambda _app, name=name: included.append(name), name)

    loaded(" third,one\n other  one ")

    assert included == ["third", "one", "other"]


def test_a_plugin_may_be_within_a_package() -> None:
    assert loaded("chalicelib.plugins.default_bucket").capabilities.keys() == {"default_bucket"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("kinto.plugins.unknown", "ModuleNotFoundError: No module named 'kinto'"),
        ("default_bucket", "ModuleNotFoundError: No module named 'default_bucket'"),
        ("chalicelib.plugins.nothing", "No module named 'chalicelib.plugins.nothing'"),
        ("chalicelib.plugins.default_bucket.includeme", "ModuleNotFoundError: "),
        ("chalicelib.plugins.loading", "TypeError: it has no function includeme(app)"),
        ("chalicelib.plugins", "TypeError: it has no function includeme(app)"),
    ],
)
def test_what_is_no_plugin_stops_the_start(name: str, why: str) -> None:
    for includes in (name, f"kinto.plugins.default_bucket {name}"):
        message = refused(includes)

        assert message.startswith(f"KINTO_INCLUDES: {name} can't be included: ")
        assert why in message


@pytest.mark.parametrize("includes", ["a-b", "a..b", "a/b", ".a", "a.", "a:b", "1a", "é"])
def test_what_is_no_path_stops_the_start(includes: str) -> None:
    assert refused(includes) == f"KINTO_INCLUDES={includes!r} is not a list of dotted paths"


@pytest.mark.parametrize("include", [None, 5, "includeme"])
def test_a_module_without_the_function_stops_the_start(plugin: Make, include: Any) -> None:
    name = plugin(include)

    assert refused(name) == (
        "KINTO_INCLUDES: a_plugin can't be included: TypeError: it has no function includeme(app)"
    )


def test_a_plugin_that_fails_stops_the_start(plugin: Make) -> None:
    def fail(app: Plugins) -> None:
        raise ValueError("the variable STATS_URL is missing")

    assert refused(plugin(fail)) == (
        "KINTO_INCLUDES: a_plugin can't be included: ValueError: the variable STATS_URL is missing"
    )


def test_the_start_of_the_service_includes_them(
    plugin: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    included: list[Settings] = []
    monkeypatch.setenv("KINTO_INCLUDES", plugin(lambda app: included.append(app.settings)))
    monkeypatch.setenv("KINTO_STAGE", "own")

    application = application_from_environment()

    assert included == [application.settings]
    assert included[0].stage == "own"
    monkeypatch.setenv("KINTO_INCLUDES", "nowhere")
    with pytest.raises(SettingsError, match="KINTO_INCLUDES: nowhere "):
        application_from_environment()


# Routes


@pytest.mark.parametrize(
    ("pattern", "path", "ids"),
    [
        ("/__stats__", "/__stats__", []),
        ("/buckets/{bucket_id}/__stats__", "/buckets/blog/__stats__", ["blog"]),
        ("/buckets/{b}/__stats__", "/buckets/é ü\n/__stats__", ["é ü\n"]),
        ("/a/{x}/b/{y}", "/a/1/b/2", ["1", "2"]),
        ("/a/{x}-{y}", "/a/1-2", ["1", "2"]),
        ("/files/{path+}", "/files/a/b/c", ["a/b/c"]),
        ("/files/{path+}", "/files/", [""]),
        ("/{kind}/{path+}/end", "/x/a/b/end", ["x", "a/b"]),
        ("/stats.json", "/stats.json", []),
        ("/a+(b)", "/a+(b)", []),
        ("/attachments/", "/attachments/", []),
    ],
)
def test_the_texts_in_a_path_are_told(
    dynamo: Dynamo, plugin: Make, pattern: str, path: str, ids: list[str]
) -> None:
    client = client_of(dynamo, includes=(plugin(serving(pattern, echo)),))

    assert body_of(client.ask("GET", path, a="1")) == {
        "ids": ids,
        "user": body_of(client.ask("GET", "/"))["user"]["id"],
        "query": {"a": "1"},
    }


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/stats.json", "/statsxjson"),
        ("/a+(b)", "/aab"),
        ("/stats", "/stats2"),
        ("/stats", "/xstats"),
        ("/stats", "/Stats"),
        ("/stats/{id}", "/stats/"),
        ("/stats/{id}", "/stats/a/b"),
        ("/stats/{id}", "/stats"),
        ("/files/{path+}", "/files"),
    ],
)
def test_all_but_ids_is_as_it_is(dynamo: Dynamo, plugin: Make, pattern: str, path: str) -> None:
    client = client_of(dynamo, includes=(plugin(serving(pattern, echo)),))

    assert client.ask("GET", path).status in (307, 404)


def test_a_plugin_comes_before_the_service_and_the_first_before_others(
    dynamo: Dynamo, plugin: Make
) -> None:
    def named(name: str) -> str:
        return plugin(serving("/{any}/", lambda *_: Response(200, {"by": name})), name)

    def heartbeat(app: Plugins) -> None:
        app.add_route("/__heartbeat__", {"GET": lambda *_: Response(200, {"by": "a plugin"})})

    client = client_of(
        dynamo, includes=(named("one"), named("other"), plugin(heartbeat, "heartbeat"))
    )

    assert body_of(client.ask("GET", "/any/")) == {"by": "one"}
    assert body_of(client.ask("GET", "/__heartbeat__")) == {"by": "a plugin"}
    assert client.ask("GET", "/").status == 200


def test_an_address_below_another_one_leaves_that_alone(dynamo: Dynamo, plugin: Make) -> None:
    client = client_of(
        dynamo, includes=(plugin(serving("/buckets/{id}/collections/{id}/__size__", echo)),)
    )
    path = "/buckets/blog/collections/posts"

    assert body_of(client.ask("GET", f"{path}/__size__", user=None))["ids"] == ["blog", "posts"]
    for created in ("/buckets/blog", path):
        assert client.ask("PUT", created).status == 201
    assert client.ask("GET", f"{path}/records").status == 200
    assert_error(client.ask("GET", f"{path}/__other__"), 404, 111)
    assert_error(client.ask("GET", "/buckets/blog/groups/__size__"), 400, 107)


def test_its_methods_are_those_that_it_has(dynamo: Dynamo, plugin: Make) -> None:
    def include(app: Plugins) -> None:
        app.add_route("/open", {"GET": echo, "POST": echo})
        app.add_route("/closed", {"POST": echo}, has_preflight=False)

    client = client_of(dynamo, includes=(plugin(include),))

    for method in ("GET", "POST"):
        assert client.ask(method, "/open").status == 200
    for method, path, allowed in (
        ("HEAD", "/open", "GET, POST, OPTIONS"),
        ("DELETE", "/open", "GET, POST, OPTIONS"),
        ("GET", "/closed", "POST"),
        ("OPTIONS", "/closed", "POST"),
    ):
        answer = client.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert_error(client.ask("DELETE", "/open"), 405, 115)


def test_scripts_may_use_it(dynamo: Dynamo, plugin: Make) -> None:
    name = plugin(serving("/stats", echo))
    client = client_of(dynamo, includes=(name,))

    answer = preflight(client, "/stats")
    assert (answer.status, answer.says_null) == (200, True)
    assert answer.headers["Access-Control-Allow-Methods"] == "GET,HEAD,OPTIONS"
    assert set(answer.headers["Access-Control-Allow-Headers"].split(",")) == ALWAYS
    assert problems(preflight(client, "/stats", "PUT")) == [(METHOD, "Method not allowed")]
    got = client.ask("GET", "/stats", headers={"Origin": APP})
    assert got.headers["Access-Control-Allow-Origin"] == "*"
    assert set(got.headers["Access-Control-Expose-Headers"].split(", ")) == ALWAYS
    strict = client_of(dynamo, includes=(name,), cors_origins=("https://other",))
    refused = strict.ask("GET", "/stats", headers={"Origin": APP})
    assert_invalid(refused, "header", "Origin", f"{APP} not allowed")


def test_an_answer_has_what_all_answers_have(dynamo: Dynamo, plugin: Make) -> None:
    def answer(_call: Call, _ids: tuple[str, ...]) -> Response:
        return Response(202, {"a": 1}, {"X-Own": "1"})

    client = client_of(dynamo, includes=(plugin(serving("/stats", answer)),), backoff=9)

    got, head = (client.ask(method, "/stats") for method in ("GET", "HEAD"))
    assert (got.status, got.body, got.headers["X-Own"]) == (202, {"a": 1}, "1")
    assert got.headers["Backoff"] == "9"
    assert (head.status, head.body, head.headers) == (202, None, got.headers)


# What endpoints do


def test_its_refusals_are_errors_in_kintos_form(dynamo: Dynamo, plugin: Make) -> None:
    def refuse(_call: Call, ids: tuple[str, ...]) -> Response:
        if ids == ("missing",):
            raise ProtocolError(MISSING_RESOURCE)
        raise invalid([Problem("querystring", "since", "Not a number")])

    client = client_of(dynamo, includes=(plugin(serving("/stats/{id}", refuse)),))

    missing = client.ask("GET", "/stats/missing")
    assert missing.body == {
        "code": 404,
        "errno": 111,
        "error": "Not Found",
        "message": "The resource you are looking for could not be found.",
    }
    bad = client.ask("GET", "/stats/bad")
    assert_invalid(bad, "querystring", "since", "Not a number")
    assert body_of(bad, 400)["message"] == "since in querystring: Not a number"


def test_its_mistakes_are_500_without_their_text(dynamo: Dynamo, plugin: Make, log: Lines) -> None:
    def fail(call: Call, _ids: tuple[str, ...]) -> Response:
        write(call, "lost")
        raise RuntimeError("the mistake")

    client = client_of(dynamo, includes=(plugin(serving("/stats", fail)),))
    before = state(client)

    answer = client.ask("GET", "/stats", headers={"Origin": APP})

    assert_error(answer, 500, 999)
    assert "mistake" not in repr(answer)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert state(client) == before
    [failed] = [record for record in log.records if record.levelno == logging.ERROR]
    assert "RuntimeError: the mistake" in str(failed.exc_text)


def write(call: Call, id: str) -> ObjectUri:
    """Stage a bucket that everybody may read."""
    uri = ListUri(BUCKET, ()).object(id)
    call.unit.load([uri], [uri.list, *uri.lists])
    permissions = {"read": ("system.Everyone",)}
    call.unit.put(uri, {"by": "a plugin"}, permissions, origin=call.origin())
    return uri


def test_what_it_writes_is_there_once_it_has_answered(dynamo: Dynamo, plugin: Make) -> None:
    def put_then_answer(call: Call, ids: tuple[str, ...]) -> Response:
        stored = call.existing(write(call, *ids))
        return Response(201, {"data": stored.to_json()})

    client = client_of(dynamo, includes=(plugin(serving("/make/{id}", put_then_answer)),))

    created = body_of(client.ask("GET", "/make/blog", user="bob"), 201)

    found = body_of(client.ask("GET", BUCKET_PATH))
    assert found["data"] == created["data"]
    assert found["data"]["by"] == "a plugin"


def test_what_it_refuses_after_all_is_not_written(dynamo: Dynamo, plugin: Make) -> None:
    def put_then_refuse(call: Call, _ids: tuple[str, ...]) -> Response:
        write(call, "blog")
        raise ProtocolError(MISSING_RESOURCE)

    client = client_of(dynamo, includes=(plugin(serving("/make", put_then_refuse)),))
    before = state(client)

    assert_error(client.ask("GET", "/make"), 404, 111)
    requests = [{"path": "/make"}, {"path": "/"}]
    answers = body_of(client.ask("POST", "/batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [404, 200]
    assert state(client) == before


def test_it_is_called_again_where_another_request_was_first(
    wire: Wire, dynamo: Dynamo, plugin: Make
) -> None:
    called: list[str] = []
    committed: list[str] = []

    def make(call: Call, _ids: tuple[str, ...]) -> Response:
        called.append("")
        call.unit.afterwards(lambda: committed.append(""))
        write(call, "blog")
        return Response(200, {})

    client = client_of(wire.dynamo, includes=(plugin(serving("/make", make)),))
    rival = client_of(dynamo)

    def before(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            wire.before = None
            assert rival.ask("PUT", "/buckets/blog").status == 201

    wire.before = before
    assert client.ask("GET", "/make").status == 200

    assert (len(called), len(committed)) == (2, 1)
    assert body_of(rival.ask("GET", BUCKET_PATH, user="bob"))["data"]["by"] == "a plugin"


def test_it_may_need_several_transactions(dynamo: Dynamo, plugin: Make) -> None:
    def first(call: Call, _ids: tuple[str, ...]) -> Answer:
        write(call, "one")
        return Unfinished(lambda _why: Response(503), second)

    def second(call: Call) -> Answer:
        write(call, "two")
        return Response(200, {})

    client = client_of(dynamo, includes=(plugin(serving("/make", first)),))

    assert client.ask("GET", "/make").status == 200
    assert client.ask("GET", "/buckets/one").status == 200
    assert client.ask("GET", "/buckets/two").status == 200


def title(call: Call, ids: tuple[str, ...]) -> Response:
    """The title of a collection, for those who may read it."""
    uri = ObjectUri(COLLECTION, ids)
    call.require(Action.READ, uri)
    return Response(200, {"title": call.existing(uri).data.get("title")})


def needs_of_title(_call: Call, ids: tuple[str, ...]) -> Needs:
    uri = ObjectUri(COLLECTION, ids)
    return Needs([*uri.ancestors, uri])


def with_title(app: Plugins) -> None:
    app.add_route("/buckets/{b}/collections/{c}/__title__", {"GET": title}, needs=needs_of_title)


def test_it_asks_for_the_rights_that_others_ask_for(dynamo: Dynamo, plugin: Make) -> None:
    client = client_of(dynamo, includes=(plugin(with_title),))
    path = f"{BUCKET_PATH}/collections/posts"
    assert_error(client.ask("GET", f"{path}/__title__"), 403, 121)
    client.ask("PUT", BUCKET_PATH)
    assert_error(client.ask("GET", f"{path}/__title__"), 404, 111)
    client.ask("PUT", path, {"data": {"title": "One"}})

    assert body_of(client.ask("GET", f"{path}/__title__")) == {"title": "One"}
    assert_error(client.ask("GET", f"{path}/__title__", user="bob"), 403, 121)
    anonymous = client.ask("GET", f"{path}/__title__", user=None)
    assert_error(anonymous, 401, 104)
    assert anonymous.headers["WWW-Authenticate"] == 'Basic realm="Realm"'
    client.ask("PATCH", path, {"permissions": {"read": ["system.Everyone"]}})
    assert client.ask("GET", f"{path}/__title__", user=None).status == 200


def test_in_a_batch_its_needs_are_read_with_those_of_others(
    dynamo: Dynamo, plugin: Make, calls: CountedCalls
) -> None:
    client = client_of(dynamo, includes=(plugin(with_title),))
    path = f"{BUCKET_PATH}/collections/posts"
    requests: list[JsonObject] = [
        {"method": "PUT", "path": BUCKET_PATH},
        {"method": "PUT", "path": path, "body": {"data": {"title": "One"}}},
        {"path": f"{path}/__title__"},
        {"path": f"{BUCKET_PATH}/collections/other/__title__"},
        {"path": f"{path}/__title__/"},
    ]
    calls.take()

    answers = body_of(client.ask("POST", "/batch", {"requests": requests}))["responses"]

    assert [answer["status"] for answer in answers] == [201, 201, 200, 404, 200]
    assert answers[2]["body"] == answers[4]["body"] == {"title": "One"}
    assert calls.take() == {"BatchGetItem": 1, TRANSACT: 1}


def test_below_the_default_bucket_it_gets_the_real_id(dynamo: Dynamo, plugin: Make) -> None:
    name = plugin(serving("/buckets/{id}/__stats__", echo))
    before, after = (
        client_of(dynamo, includes=includes)
        for includes in ((DEFAULT_BUCKET, name), (name, DEFAULT_BUCKET))
    )
    real = real_bucket(before)
    path = "/buckets/default/__stats__"

    assert_error(before.ask("GET", path, user=None), 401, 104)
    assert body_of(after.ask("GET", path))["ids"] == ["default"]
    assert_error(before.ask("GET", real), 403, 121)
    assert body_of(before.ask("GET", path))["ids"] == [real.removeprefix("/buckets/")]
    assert before.ask("GET", real).status == 200
    told = before.ask("GET", f"{path}/").headers["Location"]
    assert told == f"http://localhost/v1{path}"


def test_a_collections_address_of_a_plugin_creates_it(dynamo: Dynamo, plugin: Make) -> None:
    client = client_of(dynamo, includes=(DEFAULT_BUCKET, plugin(with_title)))

    answer = client.ask("GET", "/buckets/default/collections/posts/__title__")

    assert body_of(answer) == {"title": None}
    assert client.ask("GET", f"{real_bucket(client)}/collections/posts").status == 200


# Capabilities, and what users are told


def test_capabilities_are_in_the_root_view(dynamo: Dynamo, plugin: Make) -> None:
    def include(app: Plugins) -> None:
        app.add_capability("stats", description="Counts.", url="https://stats", version="2", n=[1])
        app.add_capability("schema", description="Mine.", url="https://mine")

    client = client_of(
        dynamo,
        includes=(plugin(include), DEFAULT_BUCKET),
        experimental_collection_schema_validation=True,
        basicauth_capability=True,
    )

    capabilities = body_of(client.ask("GET", "/", user=None))["capabilities"]

    assert capabilities.keys() == {"stats", "schema", "default_bucket", "basicauth"}
    assert capabilities["stats"] == {
        "description": "Counts.",
        "url": "https://stats",
        "version": "2",
        "n": [1],
    }
    assert capabilities["schema"] == {"description": "Mine.", "url": "https://mine"}


def test_the_root_view_tells_a_user_what_plugins_know(dynamo: Dynamo, plugin: Make) -> None:
    def include(app: Plugins) -> None:
        app.tell_user(lambda user_id: {"mail": f"{user_id}@example.org"})

    client = client_of(dynamo, includes=(plugin(include), DEFAULT_BUCKET))

    user = body_of(client.ask("GET", "/"))["user"]

    assert user.keys() == {"id", "bucket", "mail"}
    assert user["mail"] == f"{user['id']}@example.org"
    assert "user" not in body_of(client.ask("GET", "/", user=None))


# Policies


class Headers:
    """Takes the user from a header."""

    def __init__(self, name: str, header: str = "x-user", challenge: str = "Header") -> None:
        self.name, self.challenge, self.header = name, challenge, header

    def user_id(self, request: Request) -> str | None:
        if request.headers.get(self.header) == "down":
            raise PolicyUnavailableError
        return request.headers.get(self.header)


def with_policies(*policies: Policy) -> Include:
    def include(app: Plugins) -> None:
        for policy in policies:
            app.add_policy(policy)

    return include


def test_a_policy_is_asked_after_those_of_the_settings(dynamo: Dynamo, plugin: Make) -> None:
    name = plugin(with_policies(Headers("one"), Headers("two", "x-other")))
    client = client_of(dynamo, includes=(name, DEFAULT_BUCKET))

    def user(**headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return body_of(client.ask("GET", "/", user=None, headers=sent)).get("user", {}).get("id")

    assert user() is None
    assert user(x_user="a") == user(x_user="a", x_other="b") == "one:a"
    assert user(x_other="b") == "two:b"
    assert user(x_user="a", authorization=basic("alice")).startswith("basicauth:")
    assert user(x_user="a", authorization="Basic !") == "one:a"
    refused = client.ask("GET", "/buckets/default", user=None)
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="Realm", Header'
    sent = {"x-user": "a"}
    own = client.ask("GET", "/buckets/default", user=None, headers=sent)
    assert body_of(own)["permissions"] == {"write": ["one:a"]}
    down = client.ask("GET", "/buckets/default", user=None, headers={"x-user": "down"})
    assert_error(down, 503, 201)


@pytest.mark.parametrize("name", ["basicauth", "one"])
def test_a_policy_under_a_name_that_is_taken_stops_the_start(plugin: Make, name: str) -> None:
    plugin(with_policies(Headers("one")))
    plugin(with_policies(Headers(name)), "other_plugin")

    assert refused("a_plugin other_plugin") == (
        "KINTO_INCLUDES: other_plugin can't be included:"
        f" ValueError: there is a policy {name} already"
    )


def test_a_name_is_taken_by_the_policies_that_are_configured(plugin: Make) -> None:
    name = plugin(with_policies(Headers("basicauth")))
    environment = {"KINTO_INCLUDES": name, "KINTO_AUTH_POLICIES": "google"}

    plugins = load_plugins(Settings.from_environment(environment))

    assert [policy.name for policy in plugins.policies] == ["basicauth"]
    plugin(with_policies(Headers("google")))
    with pytest.raises(SettingsError, match="there is a policy google already"):
        load_plugins(Settings.from_environment(environment))


# Reserved ids, and subscribers


def test_a_reserved_id_is_not_posted(dynamo: Dynamo, plugin: Make, clock: SetClock) -> None:
    def include(app: Plugins) -> None:
        app.reserve_id(COLLECTION, "all")

    client = client_of(dynamo, clock, includes=(plugin(include),))
    client.ask("PUT", BUCKET_PATH)
    before = state(client)

    refused = client.ask("POST", f"{BUCKET_PATH}/collections", {"data": {"id": "all"}})

    assert_invalid(refused, "path", None, "Invalid record id")
    assert state(client) == before
    for path, body in (
        (f"{BUCKET_PATH}/collections", {"data": {"id": "all2"}}),
        (f"{BUCKET_PATH}/groups", {"data": {"id": "all", "members": []}}),
        ("/buckets", {"data": {"id": "all"}}),
    ):
        assert client.ask("POST", path, body).status == 201


@pytest.mark.parametrize(
    ("event", "options"),
    [
        (int, {}),
        (ResourceChanged, {"for_actions": ["craete"]}),
        (ResourceChanged, {"for_actions": "create"}),
        (ResourceChanged, {"for_resources": ["records"]}),
        (ResourceChanged, {"for_uris": "/buckets/*"}),
    ],
    ids=["event", "action", "an action", "resource", "an address"],
)
def test_a_subscription_to_what_there_is_not_is_refused(
    event: type, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"is not a list of|there is no event"):
        Plugins(Settings()).add_subscriber(print, event, **options)


def test_what_has_no_name_of_its_own_can_subscribe() -> None:
    app = Plugins(Settings())

    app.add_subscriber(partial(print, "x"), ResourceChanged)

    assert [each.name for each in app.subscribers.of(ResourceChanged)] == ["functools.partial"]


def test_two_subscribers_of_one_name_are_refused_at_the_start(
    plugin: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def include(app: Plugins) -> None:
        for _ in range(2):
            app.add_subscriber(print, AfterResourceChanged, name="same")

    monkeypatch.setenv("KINTO_INCLUDES", plugin(include))

    with pytest.raises(SettingsError, match="KINTO_INCLUDES: two subscribers have the name same"):
        application_from_environment()


def test_subscribers_hear_of_a_flush_in_their_order(dynamo: Dynamo, plugin: Make) -> None:
    heard: list[Any] = []

    def include(app: Plugins) -> None:
        app.add_subscriber(lambda event: heard.append(("first", event)), ServerFlushed)
        app.add_subscriber(lambda event: heard.append(("second", event)), ServerFlushed)

    client = client_of(dynamo, includes=(plugin(include),), flush_endpoint_enabled=True)

    client.ask("PUT", BUCKET_PATH)
    assert heard == []
    assert client.ask("POST", "/__flush__").status == 202
    assert heard == [("first", ServerFlushed()), ("second", ServerFlushed())]
