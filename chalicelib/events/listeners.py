"""The listeners that the settings name: what each wants to hear of, and what takes it.

Rule: spec, "The service around the resources", section 12; `docs/webhooks.md`.
"""

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from chalicelib.events.deliveries import Receiver
from chalicelib.events.outlets import EVENTBRIDGE, SQS, WEBHOOK, Outlets
from chalicelib.protocol.events import ACTIONS, CHANGES, READ, RESOURCES, Selection
from chalicelib.setting_values import listener_name, split_list
from chalicelib.settings import Settings, SettingsError, listener_variable

AFTER: Final = "AfterResourceChanged"
DURING: Final = "ResourceChanged"
READS: Final = "ResourceRead"

BUILT_IN: Final = (WEBHOOK, SQS, EVENTBRIDGE)

_REDIS: Final = ("cliquet.listeners.redis", "kinto.core.listeners.redis")
_GENERAL: Final = ("use", "event", "actions", "resources", "uris")
_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class Listener:
    """A listener of the settings.

    Attributes:
        name: in deliveries and logs.
        use: one of BUILT_IN, or the path of a module with `load_listener`.
        event: AFTER, DURING or READS: which changes it hears of, those committed or those to be.
        selection: what it wants to hear of.
        options: its own.
    """

    name: str
    use: str
    event: str
    selection: Selection
    options: Mapping[str, str]

    @property
    def is_built_in(self) -> bool:
        """Whether it is one that comes with the service."""
        return self.use in BUILT_IN

    @property
    def hears_reads(self) -> bool:
        """Whether it wants to hear of what is read."""
        return READ in self.selection.actions

    def variable(self, option: str) -> str:
        """The environment variable of one of its options."""
        return listener_variable(self.name, option)


def listeners_of(settings: Settings) -> tuple[Listener, ...]:
    """The listeners of these settings. None is loaded yet.

    Raises:
        SettingsError: an option is wrong; names its variable.
    """
    return tuple(_listener(each, settings) for each in settings.event_listeners)


def _listener(given: str, settings: Settings) -> Listener:
    name = listener_name(given)
    options = dict(settings.event_listener.get(name, {}))
    general = {option: options.pop(option, "") for option in _GENERAL}
    event = general["event"] or AFTER
    _require(event in (AFTER, DURING, READS), name, "event", f"{AFTER}, {DURING} or {READS}")
    by_default = [READ] if event == READS else CHANGES
    listener = Listener(
        name,
        general["use"] or given,
        event,
        Selection(
            frozenset(_names(name, "actions", general["actions"], ACTIONS) or by_default),
            frozenset(_names(name, "resources", general["resources"], RESOURCES) or RESOURCES),
            _uris(name, general["uris"]),
        ),
        MappingProxyType(options),
    )
    is_possible = event != READS or listener.selection.actions == {READ}
    _require(is_possible, name, "actions", f"{READ} alone, as the event is {READS}")
    _check_use(listener)
    return listener


def _names(listener: str, option: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = split_list(text)
    _require(set(names) <= set(known), listener, option, f"a list of {', '.join(known)}")
    return names


def _uris(listener: str, text: str) -> tuple[str, ...]:
    uris = tuple(split_list(text))
    is_path = all(re.fullmatch(r"/buckets[A-Za-z0-9_/*-]*", uri) for uri in uris)
    _require(is_path, listener, "uris", "a list of paths such as /buckets/blog/*")
    return uris


def _require(condition: bool, listener: str, option: str, takes: str) -> None:
    if not condition:
        raise SettingsError(f"{listener_variable(listener, option)} is not {takes}")


def _check_use(listener: Listener) -> None:
    variable = listener.variable("use")
    if listener.use in _REDIS:
        raise SettingsError(f"{variable}: there is no Redis here; {SQS} sends the same messages")
    if listener.use in (SQS, EVENTBRIDGE) and listener.event == DURING:
        raise SettingsError(
            f"{listener.variable('event')}: {listener.use} takes what is committed: {AFTER}"
        )
    if not listener.is_built_in and not _exists(listener.use):
        raise SettingsError(
            f"{variable}={listener.use} is not {', '.join(BUILT_IN)} or the path of a module"
        )


def _exists(path: str) -> bool:
    """Whether there is such a module. It isn't imported: most functions don't need it."""
    try:
        return _PATH.fullmatch(path) is not None and importlib.util.find_spec(path) is not None
    except (ImportError, ValueError):
        return False


def load(listener: Listener, outlets: Outlets) -> Receiver:
    """What takes the events of a listener.

    Raises:
        SettingsError: it can't be made of its options; names the variable.
    """
    if listener.is_built_in:
        return outlets.by_use[listener.use](listener.name, listener.options)
    try:
        module = importlib.import_module(listener.use)
        receiver = module.load_listener(listener.options)
    except Exception as error:
        # Without its text: it may quote options, which may be secrets.
        raise SettingsError(
            f"{listener.variable('use')}={listener.use} makes no listener: {type(error).__name__}"
        ) from error
    if not callable(receiver):
        raise SettingsError(
            f"{listener.variable('use')}={listener.use} makes no listener:"
            " its load_listener(settings) gives nothing that can be called"
        )
    return receiver  # type: ignore[no-any-return]  # looked at above
