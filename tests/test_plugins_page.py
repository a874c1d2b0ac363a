"""docs/plugins.md: what it says of plugins is so, and its example does what it says."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chalicelib.api.calls import Call
from chalicelib.api.plugins import Plugins
from chalicelib.plugins.loading import BY_KINTOS_NAME
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.unit_of_work import UnitOfWork
from tests.api.places import BUCKET, COLLECTION, COLLECTIONS, GROUP, MEMBERS, assert_error, body_of
from tests.api.test_preflight import preflight
from tests.doubles import Client, CountedCalls, calls
from tests.plugins.clients import DEFAULT_BUCKET, client_of
from tests.shared_moto import dynamo, moto_tables

__all__ = ["calls", "dynamo", "moto_tables"]

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "bucket_stats.py"
STATS = f"{BUCKET}/__stats__"


def code_in_page() -> str:
    """The example, as the page shows it."""
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        if "def includeme" in block
    )
    return str(code)


@pytest.fixture
def client(dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a service that includes what the page shows."""
    module = ModuleType("bucket_stats")
    exec(code_in_page(), module.__dict__)  # noqa: S102 - it is our own
    monkeypatch.setitem(sys.modules, "bucket_stats", module)
    return client_of(dynamo, includes=(DEFAULT_BUCKET, "bucket_stats"))


# What it says


def test_it_shows_the_example_which_is_short() -> None:
    assert code_in_page() == EXAMPLE.read_text("utf-8")
    assert len(code_in_page().splitlines()) <= 36


def test_it_tells_of_all_that_includeme_may_do() -> None:
    told = set(re.findall(r"^\| `app\.(\w+)", PAGE, re.MULTILINE))

    public = {name for name, _ in inspect.getmembers(Plugins, inspect.isfunction) if name[0] != "_"}
    assert told == (public - {"about", "notify"}) | {"settings"}


def test_what_it_tells_of_calls_is_there() -> None:
    for name in re.findall(r"`call\.(\w+)(?!\w*\.)", PAGE):
        assert hasattr(Call, name) or name in Call.__annotations__
    for name in re.findall(r"`call\.unit\.(\w+)", PAGE):
        assert hasattr(UnitOfWork, name)


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
