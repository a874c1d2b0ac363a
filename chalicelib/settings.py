"""Every setting, declared once: name, type, default and a line of help.

`kinto.paginate_by` is read from KINTO_PAGINATE_BY. Rule: spec, "The service", section 8.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")

PREFIX = "KINTO_"


class SettingsError(Exception):
    """A value that can't be read; says which, in one line."""


def _text(value: str) -> str:
    if not value.isprintable():  # as what is no UTF-8 isn't either
        raise ValueError("one line of text")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", value):
        raise ValueError("a host, or host:port")
    return value


def _scheme(value: str) -> str:
    if value not in ("http", "https"):
        raise ValueError("http or https")
    return value


def _seconds(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("a whole number of seconds")
    return int(value)


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("a whole number")
    return int(value)


def _boolean(value: str) -> bool:
    if value.lower() in ("true", "yes", "on", "1"):
        return True
    if value.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("true or false")


def _principals(value: str) -> frozenset[str]:
    return frozenset(re.split(r"[\s,]+", value)) - {""}


def _principals_if_any(value: str) -> frozenset[str] | None:
    return _principals(value) or None  # an empty list in the place of permissions is no list


def _stage(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", value):
        raise ValueError("letters, digits, dots, dashes and underscores")
    return value


def _setting(
    parse: Callable[[str], T],
    default: T | None,
    help: str,
    *,
    takes_empty: bool = False,
    is_secret: bool = False,
) -> Any:
    metadata = {"parse": parse, "help": help, "takes_empty": takes_empty, "is_secret": is_secret}
    return dataclasses.field(default=default, metadata=metadata)


def _who_may(action: str, kind: str) -> Any:
    help = f"Principals that may {action} every {kind}, in the place of all stored permissions."
    return _setting(_principals_if_any, None, help)


@dataclass(frozen=True)
class Settings:
    """The service's settings. The fields are the declarations; None means not set."""

    stage: str = _setting(_stage, "dev", "Names the tables: kinto-STAGE-objects and so on.")
    userid_hmac_secret: str = _setting(
        _text,
        "",
        "Keys the user ids and page tokens. Keep it secret; another one, other users.",
        is_secret=True,
    )
    project_version: str = _setting(_text, "2.0.0", "The version that the root view names.")
    project_docs: str = _setting(
        _text, "https://kinto.readthedocs.org/", "The documentation that the root view names."
    )
    error_info_link: str = _setting(
        _text, "https://github.com/Kinto/kinto/issues/", "`info` of unexpected errors."
    )
    http_scheme: str | None = _setting(_scheme, None, "Scheme of all URLs in answers.")
    http_host: str | None = _setting(_host, None, "Host, and port, of all URLs in answers.")
    version_prefix_redirect_enabled: bool = _setting(
        _boolean, True, "Whether paths without version lead to the same below /v1."
    )
    trailing_slash_redirect_enabled: bool = _setting(
        _boolean, True, "Whether unknown paths that end with a slash lead to those without."
    )
    backoff: int | None = _setting(_seconds, None, "`Backoff` of every answer, in seconds.")
    retry_after_seconds: int = _setting(_seconds, 3, "`Retry-After` of 503, in seconds.")
    batch_max_requests: int = _setting(_count, 25, "Requests that a batch may hold.")
    paginate_by: int | None = _setting(_count, None, "Entries of the greatest page of a list.")
    bucket_read_principals: frozenset[str] | None = _who_may("read", "bucket")
    bucket_write_principals: frozenset[str] | None = _who_may("write", "bucket")
    bucket_create_principals: frozenset[str] = _setting(
        _principals,
        frozenset({"system.Authenticated"}),
        "Principals that may create buckets; empty: nobody.",
        takes_empty=True,
    )
    collection_read_principals: frozenset[str] | None = _who_may("read", "collection")
    collection_write_principals: frozenset[str] | None = _who_may("write", "collection")
    collection_create_principals: frozenset[str] | None = _who_may("create", "collection")
    group_read_principals: frozenset[str] | None = _who_may("read", "group")
    group_write_principals: frozenset[str] | None = _who_may("write", "group")
    group_create_principals: frozenset[str] | None = _who_may("create", "group")
    record_read_principals: frozenset[str] | None = _who_may("read", "record")
    record_write_principals: frozenset[str] | None = _who_may("write", "record")
    record_create_principals: frozenset[str] | None = _who_may("create", "record")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings; an empty value counts as not set.

        Raises:
            SettingsError: a value can't be read; names the variable and what it takes.
        """
        values = {}
        for field in dataclasses.fields(cls):
            variable = variable_of(field.name)
            text = environment.get(variable)
            if text is None or (text == "" and not field.metadata["takes_empty"]):
                continue
            try:
                values[field.name] = field.metadata["parse"](text)
            except ValueError as error:
                shown = "" if field.metadata["is_secret"] else f"={text!r}"
                raise SettingsError(f"{variable}{shown} is not {error}") from error
        return cls(**values)

    @cached_property
    def permission_overrides(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The principals settings that are set, by kind and action."""
        return {
            (kind, action): principals
            for kind in ("bucket", "collection", "group", "record")
            for action in ("read", "write", "create")
            if (principals := getattr(self, f"{kind}_{action}_principals")) is not None
        }


def variable_of(name: str) -> str:
    """The environment variable of a setting: upper case, dots and dashes as underscores."""
    return PREFIX + re.sub(r"[.-]", "_", name).upper()


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The KINTO_ variables that no setting reads."""
    known = {variable_of(field.name) for field in dataclasses.fields(Settings)}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
