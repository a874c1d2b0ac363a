"""Listeners of the settings: `chalicelib/events/listeners.py`.

Rule: spec, "The service around the resources", section 12; `docs/webhooks.md`.
"""

import base64
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chalicelib.events.listeners import (
    AFTER,
    BUILT_IN,
    DURING,
    READS,
    Listener,
    listeners_of,
    load,
)
from chalicelib.events.outlets import Outlets
from chalicelib.events.queues import Queues
from chalicelib.protocol.events import ACTIONS, CHANGES, RESOURCES, Event
from chalicelib.settings import Settings, SettingsError
from tests.doubles import REGION, STAGE

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URL = "https://hooks.example.org/kinto?token=abc123"
EVENT = Event("evt_1", {"action": "create", "resource_name": "bucket"}, ())

HOOK = {"use": "webhook", "url": URL, "secret": SECRET}
"""Options of a webhook, as they must be."""

Make = Callable[..., str]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a module that loads a listener so, and gives its name."""

    def make(load_listener: Any, name: str = "a_listener") -> str:
        made = ModuleType(name)
        made.__spec__ = ModuleSpec(name, None)
        if load_listener is not None:
            made.load_listener = load_listener  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


def environment(names: str, **options: str) -> dict[str, str]:
    """The variables of listeners, whose options are `NAME_OPTION`."""
    beginning = "KINTO_EVENT_LISTENERS"
    named = {f"{beginning}_{option.upper()}": text for option, text in options.items()}
    return {beginning: names, **named}


def listeners(names: str, **options: str) -> tuple[Listener, ...]:
    return listeners_of(Settings.from_environment(environment(names, **options)))


def listener(**options: str) -> Listener:
    """The listener `audit` with these options; if nothing else, a webhook."""
    named = {f"audit_{option}": text for option, text in ({"use": "webhook"} | options).items()}
    (found,) = listeners("audit", **named)
    return found


def outlets() -> Outlets:
    return Outlets(STAGE, Queues(STAGE, REGION), REGION, allows_loopback=False)


def refusal(**options: str) -> str:
    """How the start is refused with these options of `audit`: wherever that is found out."""
    with pytest.raises(SettingsError) as caught:
        load(listener(**options), outlets())
    message = str(caught.value)
    assert message.isprintable()
    return message


# Which


def test_there_are_none_by_default() -> None:
    assert listeners_of(Settings.from_environment({})) == ()
    assert listeners("") == listeners(" , ") == ()


@pytest.mark.parametrize("names", ["sqs audit", "sqs,audit", " sqs\n\taudit ,"])
def test_they_are_in_their_order_separated_by_blanks_or_commas(names: str) -> None:
    assert [each.name for each in listeners(names, audit_use="sqs")] == ["sqs", "audit"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_name_of_one_that_comes_with_the_service_says_what_it_is(name: str) -> None:
    (found,) = listeners(name)

    assert (found.name, found.use, found.is_built_in) == (name, name, True)


def test_the_last_part_of_a_path_is_the_name() -> None:
    path = "tests.events.test_webhooks"

    (found,) = listeners(path, test_webhooks_actions="create", test_webhooks_level="5")

    assert (found.name, found.use, found.is_built_in) == ("test_webhooks", path, False)
    assert found.selection.actions == {"create"}
    assert found.options == {"level": "5"}


def test_a_use_comes_before_the_path_in_the_list() -> None:
    (found,) = listeners("some.where.audit", audit_use="sqs")

    assert (found.name, found.use) == ("audit", "sqs")


def test_a_dash_in_a_name_is_an_underscore_in_its_variables() -> None:
    (found,) = listeners("my-audit", my_audit_use="sqs", my_audit_queue="q")

    assert (found.name, found.options) == ("my-audit", {"queue": "q"})
    assert found.variable("use") == "KINTO_EVENT_LISTENERS_MY_AUDIT_USE"


def test_an_option_is_of_the_listener_with_the_longest_name_that_fits() -> None:
    audit, log = listeners(
        "audit audit_log",
        audit_use="sqs",
        audit_log_use="eventbridge",
        audit_queue="q",
        audit_log_bus="b",
    )

    assert (audit.use, audit.options) == ("sqs", {"queue": "q"})
    assert (log.use, log.options) == ("eventbridge", {"bus": "b"})


@pytest.mark.parametrize(
    "names",
    [
        "audit audit",
        "one.audit other.audit",
        "audit some.audit",
        "my-audit my_audit",
        "Audit audit",
    ],
)
def test_two_of_the_same_name_are_refused(names: str) -> None:
    with pytest.raises(SettingsError) as caught:
        listeners(names, audit_use="sqs", my_audit_use="sqs")

    assert str(caught.value) == (
        f"KINTO_EVENT_LISTENERS={names!r} is not a list of different names"
        " (dashes count as underscores)"
    )


@pytest.mark.parametrize("names", ["a/b", "a..b", ".a", "a.", "1a", "é", "a:b", "-a", "x" * 65])
def test_what_is_neither_a_name_nor_a_path_is_refused(names: str) -> None:
    with pytest.raises(SettingsError) as caught:
        listeners(names)

    assert str(caught.value) == (
        f"KINTO_EVENT_LISTENERS={names!r} is not a list of names, or of dotted paths"
    )


@pytest.mark.parametrize("uri", ["/v1/buckets/*", "buckets/blog", "/", "/groups/*", "*"])
def test_what_no_address_can_match_is_refused(uri: str) -> None:
    with pytest.raises(
        SettingsError, match="KINTO_EVENT_LISTENERS_SQS_URIS is not a list of paths"
    ):
        listeners("sqs", sqs_uris=uri)


# What each wants to hear of


def test_by_default_it_hears_of_all_changes_that_were_committed() -> None:
    found = listener()

    assert found.event == AFTER == "AfterResourceChanged"
    assert found.selection.actions == {"create", "update", "delete"}
    assert found.selection.resources == {"bucket", "collection", "group", "record"}
    assert found.selection.uris == ()
    assert not found.hears_reads


@pytest.mark.parametrize(
    ("actions", "heard"),
    [
        ("create delete", {"create", "delete"}),
        ("update,read", {"update", "read"}),
        (" create  update ,", {"create", "update"}),
        (" , ", {*CHANGES}),
        (" ".join(ACTIONS), {*ACTIONS}),
    ],
)
def test_it_hears_of_the_actions_that_it_names(actions: str, heard: set[str]) -> None:
    found = listener(actions=actions)

    assert found.selection.actions == heard
    assert found.hears_reads == ("read" in heard)


@pytest.mark.parametrize(
    ("resources", "heard"),
    [("bucket collection", {"bucket", "collection"}), ("record", {"record"}), (" ", {*RESOURCES})],
)
def test_it_hears_of_the_resources_that_it_names(resources: str, heard: set[str]) -> None:
    assert listener(resources=resources).selection.resources == heard


def test_it_hears_of_the_addresses_that_it_names() -> None:
    found = listener(uris="/buckets/blog/*, /buckets/*/collections/posts-2")

    assert found.selection.uris == ("/buckets/blog/*", "/buckets/*/collections/posts-2")


@pytest.mark.parametrize("event", [AFTER, DURING, READS])
def test_it_names_the_event_that_it_hears(event: str) -> None:
    assert listener(event=event).event == event


@pytest.mark.parametrize("actions", ["", "read", " "])
def test_one_on_reads_hears_of_reads_alone(actions: str) -> None:
    found = listener(event=READS, actions=actions)

    assert found.selection.actions == {"read"}


@pytest.mark.parametrize("actions", ["create", "read create", "create update delete"])
def test_one_on_reads_can_hear_of_nothing_else(actions: str) -> None:
    assert refusal(event=READS, actions=actions) == (
        "KINTO_EVENT_LISTENERS_AUDIT_ACTIONS is not read alone, as the event is ResourceRead"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event": "ServerFlushed"}, "EVENT is not AfterResourceChanged, ResourceChanged or"),
        ({"event": "afterresourcechanged"}, "EVENT is not AfterResourceChanged, ResourceChanged"),
        ({"event": "AfterResourceRead"}, "EVENT is not AfterResourceChanged, ResourceChanged"),
        ({"actions": "create destroy"}, "ACTIONS is not a list of create, update, delete, read"),
        ({"actions": "Create"}, "ACTIONS is not a list of create, update, delete, read"),
        ({"resources": "records"}, "RESOURCES is not a list of bucket, collection, group, record"),
        ({"uris": "buckets/blog"}, "URIS is not a list of paths such as /buckets/blog/*"),
        ({"uris": "/buckets/blog /b?"}, "URIS is not a list of paths such as /buckets/blog/*"),
        ({"uris": "/v1.0/é"}, "URIS is not a list of paths such as /buckets/blog/*"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_by_its_variable_and_without_its_value(
    options: dict[str, str], message: str
) -> None:
    refused = refusal(**options)

    assert refused.startswith(f"KINTO_EVENT_LISTENERS_AUDIT_{message}")
    (value,) = options.values()
    assert value.split()[-1] not in refused.replace("/buckets/blog/*", "")


# What takes it


@pytest.mark.parametrize("use", ["cliquet.listeners.redis", "kinto.core.listeners.redis"])
def test_redis_is_refused_with_a_hint(use: str) -> None:
    assert refusal(use=use, url="redis://localhost") == (
        "KINTO_EVENT_LISTENERS_AUDIT_USE: there is no Redis here; sqs sends the same messages"
    )
    with pytest.raises(SettingsError, match="KINTO_EVENT_LISTENERS_REDIS_USE: there is no Redis"):
        listeners(use)


@pytest.mark.parametrize(
    "use",
    ["nowhere", "nowhere.at.all", "tests.nowhere", "tests.doubles.nowhere", "a-b", "a..b", "a/b"],
)
def test_what_is_no_module_is_refused(use: str) -> None:
    assert refusal(use=use) == (
        f"KINTO_EVENT_LISTENERS_AUDIT_USE={use} is not webhook, sqs, eventbridge"
        " or the path of a module"
    )


def test_a_name_alone_that_is_nothing_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        listeners("audit")

    assert str(caught.value).startswith("KINTO_EVENT_LISTENERS_AUDIT_USE=audit is not webhook,")


@pytest.mark.parametrize("use", ["sqs", "eventbridge"])
def test_what_only_passes_on_can_not_refuse(use: str) -> None:
    assert refusal(use=use, event=DURING) == (
        f"KINTO_EVENT_LISTENERS_AUDIT_EVENT: {use} takes what is committed: AfterResourceChanged"
    )
    assert listener(use=use, event=READS).hears_reads


WRONG: list[tuple[dict[str, str], str]] = [
    ({}, "URL"),
    ({"secret": SECRET}, "URL"),
    ({"url": "http://hooks.example.org/abc123", "secret": SECRET}, "URL"),
    ({"url": "http://localhost:8000/abc123", "secret": SECRET}, "URL"),
    ({"url": "https://me:abc123@hooks.example.org/", "secret": SECRET}, "URL"),
    ({"url": "https://hooks.example.org/ abc123", "secret": SECRET}, "URL"),
    ({"url": "abc123", "secret": SECRET}, "URL"),
    ({"url": URL}, "SECRET"),
    ({"url": URL, "secret": "abc123"}, "SECRET"),
    ({"url": URL, "secret": "whsec_abc123"}, "SECRET"),
    ({"url": URL, "secret": f"{SECRET} {SECRET} {SECRET}"}, "SECRET"),
    ({"url": URL, "secret": f"{SECRET} abc123"}, "SECRET"),
    ({"url": URL, "secret": SECRET, "timeout": "abc123"}, "TIMEOUT"),
    ({"use": "sqs", "url": URL}, "URL"),
    ({"use": "sqs", "listname": "abc123"}, "LISTNAME"),
    ({"use": "eventbridge", "bus": "abc123 x"}, "BUS"),
    ({"use": "eventbridge", "queue": "abc123"}, "QUEUE"),
]


@pytest.mark.parametrize(("options", "option"), WRONG, ids=str)
def test_a_wrong_option_of_its_own_is_refused_by_its_variable_and_without_its_value(
    options: dict[str, str], option: str
) -> None:
    refused = refusal(**options)

    assert refused.startswith(f"KINTO_EVENT_LISTENERS_AUDIT_{option}")
    assert "abc123" not in refused
    assert SECRET not in refused


@pytest.mark.parametrize(
    "options",
    [
        HOOK,
        {**HOOK, "secret": f"{SECRET} {SECRET}"},
        {**HOOK, "secret": "ssm:/kinto/hook"},
        {"use": "sqs"},
        {"use": "sqs", "queue": "mine.fifo"},
        {"use": "eventbridge", "bus": "arn:aws:events:eu-west-1:123456789012:event-bus/mine"},
    ],
    ids=str,
)
def test_one_with_the_options_that_it_takes_can_be_loaded(options: dict[str, str]) -> None:
    assert callable(load(listener(**options), outlets()))


def test_a_module_gets_its_own_options_and_takes_the_events(module: Make) -> None:
    given: list[Any] = []
    taken: list[Event] = []

    def load_listener(settings: Any) -> Any:
        given.append(dict(settings))
        return taken.append

    use = module(load_listener)
    found = listener(
        use=use, event=DURING, actions="create", uris="/buckets/*", url=URL, pool_size="5", empty=""
    )

    load(found, outlets())(EVENT)

    assert given == [{"url": URL, "pool_size": "5"}]
    assert taken == [EVENT]


def test_its_options_do_not_change(module: Make) -> None:
    found = listener(use=module(lambda settings: settings.update), level="5")

    with pytest.raises(SettingsError, match="makes no listener: AttributeError"):
        load(found, outlets())
    with pytest.raises(TypeError):
        found.options["level"] = "6"  # type: ignore[index]  # what is tested


def test_a_module_is_not_imported_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_late.py").write_text("def load_listener(settings):\n    return print\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    found = listener(use="imported_late")

    assert "imported_late" not in sys.modules
    assert load(found, outlets()) is print
    monkeypatch.delitem(sys.modules, "imported_late")


def fails(_settings: Any) -> Any:
    raise ValueError(f"{SECRET} is no good")


@pytest.mark.parametrize(
    ("load_listener", "why"),
    [
        (None, "AttributeError"),
        (5, "TypeError"),
        (lambda: print, "TypeError"),
        (fails, "ValueError"),
        (lambda _settings: None, "its load_listener(settings) gives nothing that can be called"),
    ],
)
def test_a_module_that_makes_none_is_refused_without_what_it_says(
    module: Make, load_listener: Any, why: str
) -> None:
    use = module(load_listener)

    assert refusal(use=use, secret=SECRET) == (
        f"KINTO_EVENT_LISTENERS_AUDIT_USE={use} makes no listener: {why}"
    )


# Settings


def test_no_option_is_shown_with_the_settings() -> None:
    settings = Settings.from_environment(
        environment("audit", audit_use="webhook", audit_secret=SECRET, audit_url=URL)
    )

    assert SECRET not in repr(settings)
    assert "abc123" not in repr(settings)


def test_an_option_that_is_no_line_is_refused_without_its_value() -> None:
    with pytest.raises(SettingsError) as caught:
        listener(secret="abc123\nabc123")

    assert str(caught.value) == "KINTO_EVENT_LISTENERS_AUDIT_SECRET is not one line of text"
