"""docs/plugins.md: what it says of plugins is so, and its examples do what they say."""

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chalicelib.api import subscribers
from chalicelib.api.calls import Call
from chalicelib.api.plugins import Plugins
from chalicelib.api.subscribers import EventInTransaction
from chalicelib.plugins.loading import BY_KINTOS_NAME
from chalicelib.protocol.messages import Response
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.api.places import BUCKET, COLLECTION, COLLECTIONS, GROUP, MEMBERS, assert_error, body_of
from tests.api.test_preflight import preflight
from tests.doubles import Client, CountedCalls, calls
from tests.plugins.clients import DEFAULT_BUCKET, client_of
from tests.shared_moto import dynamo, moto_tables
from tests.storage.stand_ins import TRANSACT, Wire

__all__ = ["calls", "dynamo", "moto_tables"]

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
EXAMPLES = ("bucket_stats", "slugs")
STATS = f"{BUCKET}/__stats__"


def code_in_page(name: str) -> str:
    """An example, as the page shows it."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return str([block for block in blocks if "def includeme" in block][EXAMPLES.index(name)])


@pytest.fixture
def client(dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a service that includes what the page shows."""
    for name in EXAMPLES:
        module = ModuleType(name)
        exec(code_in_page(name), module.__dict__)  # noqa: S102 - it is our own
        monkeypatch.setitem(sys.modules, name, module)
    return client_of(dynamo, includes=(DEFAULT_BUCKET, *EXAMPLES))


# What it says


@pytest.mark.parametrize(("name", "lines"), [*zip(EXAMPLES, (36, 46), strict=True)])
def test_it_shows_its_examples_which_are_short(name: str, lines: int) -> None:
    assert code_in_page(name) == (ROOT / "examples" / f"{name}.py").read_text("utf-8")
    assert len(code_in_page(name).splitlines()) <= lines


def test_it_tells_of_all_that_includeme_may_do() -> None:
    told = set(re.findall(r"^\| `app\.(\w+)", PAGE, re.MULTILINE))

    public = {name for name, _ in inspect.getmembers(Plugins, inspect.isfunction) if name[0] != "_"}
    assert told == (public - {"about"}) | {"settings"}


def test_what_it_tells_of_calls_is_there() -> None:
    for name in re.findall(r"`call\.(\w+)(?!\w*\.)", PAGE):
        assert hasattr(Call, name) or name in Call.__annotations__
    for name in re.findall(r"`call\.unit\.(\w+)", PAGE):
        assert hasattr(UnitOfWork, name)


def test_it_tells_of_all_events() -> None:
    told = re.findall(r"^\| `((?:After)?Resource\w+|ServerFlushed)` \|", PAGE, re.MULTILINE)

    events = {
        name
        for name, one in vars(subscribers).items()
        if re.fullmatch(r"(After)?Resource(Changed|Read)|Server\w+", name) and isinstance(one, type)
    }
    assert len(told) == len(events) == 5
    assert set(told) == events


def test_what_it_tells_of_events_is_there() -> None:
    names = set(re.findall(r"`event\.(\w+)", PAGE))

    assert names >= {"payload", "impacted_records", "read_records", "id", "call", "alter_response"}
    for name in names:
        assert hasattr(EventInTransaction, name) or name in {
            field.name for field in fields(EventInTransaction)
        }
    assert f"up to {'ten' if subscribers.MAX_ROUNDS == 10 else '?'} times" in PAGE


def test_it_lists_the_plugins_under_kintos_names() -> None:
    listed = dict(re.findall(r"^\| `(kinto\.[\w.]+)` \| `([\w.]+)` \|", PAGE, re.MULTILINE))

    assert listed == BY_KINTOS_NAME


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE))))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()


def test_its_contents_are_its_sections() -> None:
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)

    contents = re.findall(r"^- \[(.+)\]\(#(.+)\)$", PAGE, re.MULTILINE)
    assert [title for title, _anchor in contents] == sections
    for title, anchor in contents:
        assert anchor == title.lower().replace(" ", "-").replace("`", "")


# What its example does


def test_the_example_counts(client: Client) -> None:
    client.ask("PUT", BUCKET)
    assert body_of(client.ask("GET", STATS)) == {"data": {"collections": 0, "groups": 0}}

    client.ask("PUT", COLLECTION)
    client.ask("PUT", GROUP, MEMBERS)
    for id in ("more", "deleted"):
        client.ask("PUT", f"{COLLECTIONS}/{id}")
    client.ask("DELETE", f"{COLLECTIONS}/deleted")

    answer = client.ask("GET", STATS)

    assert body_of(answer) == {"data": {"collections": 2, "groups": 1}}
    head = client.ask("HEAD", STATS)
    assert (head.status, head.body, head.headers) == (200, None, answer.headers)


def test_the_example_asks_who_may_read_the_bucket(client: Client) -> None:
    for user, errors in (("alice", (403, 121)), (None, (401, 104))):
        assert_error(client.ask("GET", STATS, user=user), *errors)
        assert client.ask("GET", BUCKET, user=user).status == errors[0]
    client.ask("PUT", BUCKET)

    assert client.ask("GET", STATS).status == 200
    assert_error(client.ask("GET", STATS, user="bob"), 403, 121)
    assert_error(client.ask("GET", STATS, user=None), 401, 104)
    client.ask("PATCH", BUCKET, {"permissions": {"read": ["system.Everyone"]}})
    for user in ("bob", None):
        assert client.ask("GET", STATS, user=user).status == 200


def test_the_example_misses_what_is_not_there(client: Client, dynamo: Dynamo) -> None:
    everyone = frozenset({"system.Everyone"})
    ours = client_of(dynamo, includes=("bucket_stats",), bucket_read_principals=everyone)

    assert_error(ours.ask("GET", STATS), 404, 111)
    assert_error(ours.ask("GET", "/buckets/_!/__stats__"), 400, 107)
    client.ask("PUT", BUCKET)
    assert ours.ask("GET", STATS, user=None).status == 200


def test_the_example_is_announced_and_open_to_scripts(client: Client) -> None:
    capability: dict[str, Any] = body_of(client.ask("GET", "/"))["capabilities"]["bucket_stats"]

    assert capability.keys() == {"description", "url"}
    assert preflight(client, STATS).headers["Access-Control-Allow-Methods"] == "GET,HEAD,OPTIONS"
    assert_error(client.ask("POST", STATS), 405, 115)


def test_the_example_counts_in_a_batch_what_that_has_written(
    client: Client, calls: CountedCalls
) -> None:
    requests = [
        {"method": "PUT", "path": BUCKET},
        {"method": "PUT", "path": COLLECTION},
        {"path": STATS},
    ]
    calls.take()

    answers = body_of(client.ask("POST", "/batch", {"requests": requests}))["responses"]

    assert answers[2]["body"] == {"data": {"collections": 1, "groups": 0}}
    assert calls.take()["BatchGetItem"] == 1


def test_the_example_works_through_the_default_bucket(client: Client) -> None:
    client.ask("PUT", "/buckets/default/collections/tasks")

    answer = client.ask("GET", "/buckets/default/__stats__")

    assert body_of(answer) == {"data": {"collections": 1, "groups": 0}}
    bobs = client.ask("GET", "/buckets/default/__stats__", user="bob")
    assert body_of(bobs) == {"data": {"collections": 0, "groups": 0}}


# What the example of a subscriber does


ARTICLES = f"{COLLECTIONS}/articles/records"
SLUGS = f"{COLLECTIONS}/slugs/records"


@pytest.fixture
def blog(client: Client) -> Client:
    """The same, with collections of articles and slugs."""
    for path in (BUCKET, f"{COLLECTIONS}/articles", f"{COLLECTIONS}/slugs"):
        assert client.ask("PUT", path).status == 201
    return client


def slugs(client: Client) -> dict[str, str]:
    """The slugs, and the articles that they are of."""
    found = body_of(client.ask("GET", SLUGS))["data"]
    return {each["slug"]: each["article"] for each in found}


def article(title: Any = None) -> dict[str, Any]:
    return {"data": {} if title is None else {"title": title}}


def test_the_subscriber_takes_a_slug_in_the_transaction_of_the_article(
    blog: Client, calls: CountedCalls
) -> None:
    calls.take()

    answer = blog.ask("POST", ARTICLES, article("Hello, world!"))

    assert answer.headers["X-Slugs"] == "hello-world"
    assert calls.take() == {"BatchGetItem": 2, "TransactWriteItems": 1}
    assert slugs(blog) == {"hello-world": body_of(answer, 201)["data"]["id"]}


@pytest.mark.parametrize("title", [None, "", "!?", "Hello: world"])
def test_the_subscriber_refuses_articles_without_a_slug_of_their_own(
    blog: Client, title: str | None
) -> None:
    blog.ask("POST", ARTICLES, article("Hello, world!"))
    before = slugs(blog)

    answer = blog.ask("POST", ARTICLES, article(title))

    assert_error(answer, 400, 107)
    assert body_of(answer, 400)["details"][0]["name"] == "title"
    assert slugs(blog) == before
    assert len(body_of(blog.ask("GET", ARTICLES))["data"]) == 1


def test_the_subscriber_takes_the_slugs_of_a_batch_or_none(blog: Client) -> None:
    def batch(*titles: str) -> Response:
        requests = [
            {"method": "POST", "path": ARTICLES, "body": article(title)} for title in titles
        ]
        return blog.ask("POST", "/batch", {"requests": requests})

    assert batch("One", "Two").headers["X-Slugs"] == "one two"
    assert_error(batch("Three", "two", "Four"), 400, 107)
    assert_error(batch("Three", "Three"), 400, 107)

    assert slugs(blog).keys() == {"one", "two"}
    assert len(body_of(blog.ask("GET", ARTICLES))["data"]) == 2


def test_the_subscriber_minds_new_articles_alone(blog: Client) -> None:
    id = body_of(blog.ask("POST", ARTICLES, article("One")), 201)["data"]["id"]

    assert blog.ask("PATCH", f"{ARTICLES}/{id}", article("Two")).status == 200
    assert blog.ask("POST", SLUGS).status == 201
    assert blog.ask("PUT", f"{COLLECTIONS}/other").status == 201


def test_the_subscriber_misses_the_collection_of_slugs(client: Client) -> None:
    for path in (BUCKET, f"{COLLECTIONS}/articles"):
        client.ask("PUT", path)

    assert_error(client.ask("POST", ARTICLES, article("One")), 404, 111)

    assert body_of(client.ask("GET", ARTICLES))["data"] == []


def test_of_two_articles_at_once_one_gets_the_slug(blog: Client, dynamo: Dynamo) -> None:
    wire = Wire(dynamo._connection, dynamo.tables)
    other = client_of(wire.dynamo, includes=("slugs",))

    def first(_number: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT:
            wire.before = None
            assert blog.ask("POST", ARTICLES, article("One")).status == 201

    wire.before = first

    assert_error(other.ask("POST", ARTICLES, article("One")), 400, 107)
    assert len(body_of(blog.ask("GET", ARTICLES))["data"]) == 1
