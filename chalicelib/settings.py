"""Every setting, declared once: name, type, default and a line of help.

`kinto.paginate_by` is read from KINTO_PAGINATE_BY. Rule: spec, "The service", section 8.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")

PREFIX = "KINTO_"

_BASIC_ALONE: tuple[str, ...] = ("basicauth",)


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
    return frozenset(split_list(value))


def _principals_if_any(value: str) -> frozenset[str] | None:
    return _principals(value) or None  # an empty list in the place of permissions is no list


def split_list(value: str) -> list[str]:
    """The parts of a list: separated by blanks, line ends or commas."""
    return [part for part in re.split(r"[\s,]+", value) if part]


def _names(value: str) -> tuple[str, ...]:
    names = tuple(split_list(value))
    if not names or not all(re.fullmatch("[a-z][a-z0-9_-]{0,63}", name) for name in names):
        raise ValueError("a list of names (lower-case letters, digits, dashes and underscores)")
    if len({name.replace("-", "_") for name in names}) < len(names):
        raise ValueError("a list of different names (dashes count as underscores)")
    return names


def _stage(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value):
        raise ValueError("at most 60 letters, digits, dashes and underscores")
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
    return dataclasses.field(default=default, repr=not is_secret, metadata=metadata)


def _options(names: str, help: str) -> Any:
    """Options `SETTING.NAME.OPTION` for each NAME in another setting. They may be secrets."""
    return dataclasses.field(
        default_factory=lambda: MappingProxyType({}),
        repr=False,
        hash=False,
        metadata={"of": names, "help": help},
    )


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
    auth_policies: tuple[str, ...] = _setting(
        _names, _BASIC_ALONE, "The policies that tell who asks, in the order they are asked."
    )
    auth_policy: Mapping[str, Mapping[str, str]] = _options(
        "auth_policies",
        "Options of each policy: `use` (basicauth, openid or a dotted path), and its own.",
    )
    objects_stream_arn: str | None = _setting(
        _text,
        None,
        "Stream of the objects table, that the function `changes` reads; deploying sets it.",
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
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if "parse" in field.metadata:
                values |= _read(field, environment)
        for field in dataclasses.fields(cls):
            if names := field.metadata.get("of"):
                them = values.get(names, getattr(cls, names))
                values[field.name] = _read_options(field.name, them, environment)
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


def option_variable(policy: str, option: str) -> str:
    """The environment variable of an option of an authentication policy."""
    return variable_of(f"auth_policy.{policy}.{option}")


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The KINTO_ variables that no setting reads: nor a policy that is configured.

    Raises:
        SettingsError: the names of the policies can't be read.
    """
    known = {
        variable
        for field in dataclasses.fields(Settings)
        for variable in _variables_of(field, environment)
    }
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _variables_of(field: "dataclasses.Field[Any]", environment: Mapping[str, str]) -> Iterable[str]:
    names = field.metadata.get("of")
    if names is None:
        return [variable_of(field.name)]
    them = _read(_field(names), environment).get(names, getattr(Settings, names))
    return [
        variable for variable in environment if _option_of(field.name, them, variable) is not None
    ]


def _field(name: str) -> "dataclasses.Field[Any]":
    return next(field for field in dataclasses.fields(Settings) if field.name == name)


def _read(field: "dataclasses.Field[Any]", environment: Mapping[str, str]) -> dict[str, Any]:
    """The value of a setting by its name; nothing where it is not set."""
    variable = variable_of(field.name)
    text = environment.get(variable)
    if text is None or (text == "" and not field.metadata["takes_empty"]):
        return {}
    try:
        return {field.name: field.metadata["parse"](text)}
    except ValueError as error:
        shown = "" if field.metadata["is_secret"] else f"={text!r}"
        raise SettingsError(f"{variable}{shown} is not {error}") from error


def _read_options(
    setting: str, names: Iterable[str], environment: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """The options that are set, by name; their values are never shown."""
    options: dict[str, dict[str, str]] = {}
    for variable, text in environment.items():
        found = _option_of(setting, names, variable)
        if found is None or text == "":
            continue
        name, option = found
        try:
            options.setdefault(name, {})[option] = _text(text)
        except ValueError as error:
            raise SettingsError(f"{variable} is not {error}") from None
    return MappingProxyType({name: MappingProxyType(them) for name, them in options.items()})


def _option_of(setting: str, names: Iterable[str], variable: str) -> tuple[str, str] | None:
    """The name and the option that a variable is for; None for other variables.

    Where one name begins like another (`google`, `google_work`), it is the longest that fits.
    """
    prefixes = {variable_of(f"{setting}.{name}."): name for name in names}
    fitting = [prefix for prefix in prefixes if variable.startswith(prefix)]
    if not fitting:
        return None
    prefix = max(fitting, key=len)
    option = variable.removeprefix(prefix)
    return (prefixes[prefix], option.lower()) if re.fullmatch("[A-Z0-9_]+", option) else None
