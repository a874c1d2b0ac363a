"""The values of settings: from a text to what it means.

Each raises ValueError for any other text, and says what it takes.
"""

import re
from datetime import datetime
from typing import Final


def parse_text(value: str) -> str:
    """One line, as it is."""
    if not value.isprintable():  # as what is no UTF-8 isn't either
        raise ValueError("one line of text")
    return value


def parse_host(value: str) -> str:
    """A host, with or without a port."""
    if not re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", value):
        raise ValueError("a host, or host:port")
    return value


def parse_scheme(value: str) -> str:
    """The scheme of a URL."""
    if value not in ("http", "https"):
        raise ValueError("http or https")
    return value


def parse_seconds(value: str) -> int:
    """A whole number of seconds."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("a whole number of seconds")
    return int(value)


def parse_count(value: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("a whole number")
    return int(value)


def parse_limit(value: str) -> int:
    """A whole number; 0 where it is empty."""
    return parse_count(value) if value else 0


def parse_seconds_or_none(value: str) -> int | None:
    """A whole number of seconds; None where it is empty."""
    return parse_seconds(value) if value else None


def parse_moment(value: str) -> str:
    """A date, or date and time, as it is."""
    if not value.isprintable():  # as the character between date and time may be any
        raise ValueError("a date, or date and time, of ISO 8601")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("a date, or date and time, of ISO 8601") from None
    return value


def parse_boolean(value: str) -> bool:
    """True or false, in one of four words each."""
    if value.lower() in ("true", "yes", "on", "1"):
        return True
    if value.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("true or false")


def parse_principals(value: str) -> frozenset[str]:
    """Principals, in no order."""
    return frozenset(split_list(value))


def parse_principals_if_any(value: str) -> frozenset[str] | None:
    """Principals; None where there are none: in the place of permissions, no list."""
    return parse_principals(value) or None


def split_list(value: str) -> list[str]:
    """The parts of a list: separated by blanks, line ends or commas."""
    return [part for part in re.split(r"[\s,]+", value) if part]


def parse_origins(value: str) -> tuple[str, ...]:
    """Origins of scripts, at least one."""
    origins = tuple(split_list(value))
    if not origins:
        raise ValueError("a list of origins")
    return origins


def parse_paths(value: str) -> tuple[str, ...]:
    """Dotted paths of modules, in their order."""
    paths = tuple(split_list(value))
    if not all(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", path, re.ASCII) for path in paths):
        raise ValueError("a list of dotted paths")
    return paths


def parse_names(value: str) -> tuple[str, ...]:
    """Names in their order, which can be told apart in variables."""
    names = tuple(split_list(value))
    if not names or not all(re.fullmatch("[a-z][a-z0-9_-]{0,63}", name) for name in names):
        raise ValueError("a list of names (lower-case letters, digits, dashes and underscores)")
    if len({name.replace("-", "_") for name in names}) < len(names):
        raise ValueError("a list of different names (dashes count as underscores)")
    return names


def parse_listeners(value: str) -> tuple[str, ...]:
    """Names, or dotted paths of modules whose last parts are names, told apart in variables."""
    listeners = tuple(split_list(value))
    path = r"([A-Za-z_]\w*\.)*[A-Za-z][A-Za-z0-9_-]{0,63}"
    if not all(re.fullmatch(path, listener, re.ASCII) for listener in listeners):
        raise ValueError("a list of names, or of dotted paths")
    if len({listener_name(each).replace("-", "_").lower() for each in listeners}) < len(listeners):
        raise ValueError("a list of different names (dashes count as underscores)")
    return listeners


def listener_name(listener: str) -> str:
    """The name of a listener that may be given as the path of its module."""
    return listener.rpartition(".")[-1]


CLASSIC: Final = "classic"
JSON: Final = "json"

_RENDERERS: Final = {
    CLASSIC: CLASSIC,
    JSON: JSON,
    "cliquet.logs.ClassicLogRenderer": CLASSIC,
    "cliquet.logs.MozillaHekaRenderer": JSON,
    "kinto.core.logs.ClassicLogRenderer": CLASSIC,
    "kinto.core.logs.MozillaHekaRenderer": JSON,
}


def parse_renderer(text: str) -> str:
    """CLASSIC or JSON, by Kinto's names as well."""
    if text not in _RENDERERS:
        raise ValueError(f"{CLASSIC}, {JSON} or one that Kinto has")
    return _RENDERERS[text]


def parse_stage(value: str) -> str:
    """What can be in the names of tables, queues and functions; these have 64 characters."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,35}", value):
        raise ValueError("at most 35 letters, digits and dashes")
    return value
