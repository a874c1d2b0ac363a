"""Every setting, declared once: name, type, default and a line of help.

`kinto.paginate_by` is read from KINTO_PAGINATE_BY. Rule: spec, "The service", section 8.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from chalicelib.setting_values import (
    listener_name,
    parse_boolean,
    parse_count,
    parse_host,
    parse_limit,
    parse_listeners,
    parse_moment,
    parse_names,
    parse_origins,
    parse_paths,
    parse_principals,
    parse_principals_if_any,
    parse_renderer,
    parse_scheme,
    parse_seconds,
    parse_seconds_or_none,
    parse_stage,
    parse_text,
)

PREFIX = "KINTO_"

_KINDS: Final = ("bucket", "collection", "group", "record")

SWITCHES: Final = tuple(
    f"{endpoint}_{kind}_{method}"
    for endpoint, methods in (
        ("collection", ("get", "post", "delete")),
        ("record", ("get", "put", "patch", "delete")),
    )
    for kind in _KINDS
    for method in methods
)
"""The endpoints that can be switched off: `collection` is a list, `record` a single object."""


NAME_GENERATOR: Final = "kinto.views.NameGenerator"
UUID_GENERATOR: Final = "cliquet.storage.generators.UUID4"


class SettingsError(Exception):
    """A value that can't be read; says which, in one line."""


def _setting(
    parse: Callable[[str], object],
    default: object,
    help: str,
    *,
    takes_empty: bool = False,
    is_secret: bool = False,
) -> Any:
    metadata = {"parse": parse, "help": help, "takes_empty": takes_empty, "is_secret": is_secret}
    return dataclasses.field(default=default, repr=not is_secret, metadata=metadata)


def _options(names: str, prefix: str, help: str) -> Any:
    """Options `PREFIX.NAME.OPTION` for each NAME in another setting. They may be secrets."""
    return dataclasses.field(
        default_factory=lambda: MappingProxyType({}),
        repr=False,
        hash=False,
        metadata={"of": names, "prefix": prefix, "help": help},
    )


def _switches(names: Iterable[str], help: str) -> Any:
    """Settings `NAME_enabled`, true by default; the field has the names of those that are not."""
    return dataclasses.field(default=frozenset(), metadata={"switches": tuple(names), "help": help})


def _seconds_by_name(ending: str, help: str) -> Any:
    """Settings `NAME_ENDING` for any NAME: seconds, by the variable of NAME alone."""
    return dataclasses.field(
        default_factory=lambda: MappingProxyType({}),
        hash=False,
        metadata={"ending": ending, "help": help},
    )


def _cache_expires(kind: str) -> Any:
    help = f"Seconds for which anonymous clients may cache a {kind}, or a list of them."
    return _setting(parse_seconds, None, help)


def _id_generator(kind: str, default: str | None = None) -> Any:
    otherwise = "; else `id_generator`" if default is None else ""
    return _setting(
        parse_text, default, f"What gives the ids of {kind}s sent without one{otherwise}."
    )


def _who_may(action: str, kind: str) -> Any:
    help = f"Principals that may {action} every {kind}, in the place of all stored permissions."
    return _setting(parse_principals_if_any, None, help)


@dataclass(frozen=True)
class Settings:
    """The service's settings. The fields are the declarations; None means not set."""

    stage: str = _setting(parse_stage, "dev", "Names the tables: kinto-STAGE-objects and so on.")
    userid_hmac_secret: str = _setting(
        parse_text,
        "",
        "Keys user ids and page tokens, or where that is kept: `ssm:NAME`, `secretsmanager:NAME`."
        " Another one, other users.",
        is_secret=True,
    )
    auth_policies: tuple[str, ...] = _setting(
        parse_names, ("basicauth",), "The policies that tell who asks, in the order they are asked."
    )
    auth_policy: Mapping[str, Mapping[str, str]] = _options(
        "auth_policies",
        "auth_policy",
        "Options of each policy: `use` (basicauth, openid or a dotted path), and its own.",
    )
    objects_stream_arn: str | None = _setting(
        parse_text,
        None,
        "Stream of the objects table, that the function `changes` reads; deploying sets it.",
    )
    project_version: str = _setting(parse_text, "2.0.0", "The version that the root view names.")
    project_docs: str = _setting(
        parse_text, "https://kinto.readthedocs.org/", "The documentation that the root view names."
    )
    error_info_link: str = _setting(
        parse_text, "https://github.com/Kinto/kinto/issues/", "`info` of unexpected errors."
    )
    http_scheme: str | None = _setting(parse_scheme, None, "Scheme of all URLs in answers.")
    http_host: str | None = _setting(parse_host, None, "Host, and port, of all URLs in answers.")
    version_prefix_redirect_enabled: bool = _setting(
        parse_boolean, True, "Whether paths without version lead to the same below /v1."
    )
    trailing_slash_redirect_enabled: bool = _setting(
        parse_boolean, True, "Whether unknown paths that end with a slash lead to those without."
    )
    backoff: int | None = _setting(parse_seconds, None, "`Backoff` of every answer, in seconds.")
    retry_after_seconds: int = _setting(parse_seconds, 3, "`Retry-After` of 503, in seconds.")
    eos: str | None = _setting(
        parse_moment,
        None,
        "When the service ends, and answers 410: a date, or date and time (UTC).",
    )
    eos_message: str | None = _setting(parse_text, None, "`message` of the Alert, if `eos` is set.")
    eos_url: str | None = _setting(
        parse_text, None, "`url` of the Alert, if `eos` is set; else that of `project_docs`."
    )
    readonly: bool = _setting(parse_boolean, False, "Whether all lists and objects refuse writes.")
    switched_off: frozenset[str] = _switches(
        SWITCHES,
        "Whether an endpoint takes a method (HEAD goes with `get`). `collection_bucket_post`: "
        "POST to the list of buckets; `record_bucket_put`: PUT of a bucket.",
    )
    cors_origins: tuple[str, ...] = _setting(
        parse_origins, ("*",), "Origins whose scripts are served; `*` in one is any text."
    )
    cors_max_age_seconds: int | None = _setting(
        parse_seconds_or_none,
        3600,
        "How long browsers keep the answer to a preflight; empty: as long as they like.",
        takes_empty=True,
    )
    basicauth_capability: bool = _setting(
        parse_boolean, False, "Whether the root view names the capability `basicauth`."
    )
    includes: tuple[str, ...] = _setting(
        parse_paths,
        (),
        "Plugins: dotted paths of modules, or names that Kinto has, such as"
        " `kinto.plugins.default_bucket`.",
    )
    event_listeners: tuple[str, ...] = _setting(
        parse_listeners,
        (),
        "Who hears of changes: names, or dotted paths of modules, whose last part is the name.",
    )
    event_listener: Mapping[str, Mapping[str, str]] = _options(
        "event_listeners",
        "event_listeners",
        "Options of each listener: `use` (webhook, sqs, eventbridge or a dotted path), `event`, "
        "`actions`, `resources`, `uris`, and its own.",
    )
    logging_renderer: str | None = _setting(
        parse_renderer,
        None,
        "How the log is written: `classic`, text for people, or `json`, an object a line; or"
        " either by Kinto's name. By default `json` on Lambda, `classic` elsewhere.",
    )
    detailed_metrics: bool = _setting(
        parse_boolean,
        True,
        "Whether CloudWatch has metrics of how long requests, policies, listeners and calls of"
        " DynamoDB take: each is paid for by the month. The log tells it in any case.",
    )
    flush_endpoint_enabled: bool = _setting(
        parse_boolean, False, "Whether POST to `__flush__` removes everything, whoever asks."
    )
    experimental_collection_schema_validation: bool = _setting(
        parse_boolean, False, "Whether records must fit the `schema` of their collection."
    )
    transaction_per_request: bool = _setting(
        parse_boolean, True, "Whether what a batch writes is stored altogether or not at all."
    )
    batch_max_requests: int = _setting(
        parse_limit,
        25,
        "Requests that a batch may hold; 0 or empty: as many as fit into a transaction.",
        takes_empty=True,
    )
    paginate_by: int | None = _setting(parse_count, None, "Entries of the greatest page of a list.")
    id_generator: str = _setting(
        parse_text,
        UUID_GENERATOR,
        "What gives the ids of objects sent without one: it, `kinto.views.NameGenerator`, or a "
        "dotted path to a class whose instances, called, give ids.",
    )
    bucket_id_generator: str | None = _id_generator("bucket", NAME_GENERATOR)
    collection_id_generator: str | None = _id_generator("collection", NAME_GENERATOR)
    group_id_generator: str | None = _id_generator("group", NAME_GENERATOR)
    record_id_generator: str | None = _id_generator("record")
    bucket_cache_expires_seconds: int | None = _cache_expires("bucket")
    collection_cache_expires_seconds: int | None = _cache_expires("collection")
    group_cache_expires_seconds: int | None = _cache_expires("group")
    record_cache_expires_seconds: int | None = _cache_expires("record")
    records_cache_expires: Mapping[str, int] = _seconds_by_name(
        "record_cache_expires_seconds",
        "Seconds for which anonymous clients may cache the records of one bucket (NAME is its id) "
        "or collection (`BUCKET_COLLECTION`, two ids); its own `cache_expires` comes first.",
    )
    bucket_read_principals: frozenset[str] | None = _who_may("read", "bucket")
    bucket_write_principals: frozenset[str] | None = _who_may("write", "bucket")
    bucket_create_principals: frozenset[str] = _setting(
        parse_principals,
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
            if switches := field.metadata.get("switches"):
                values[field.name] = _read_switched_off(switches, environment)
            if ending := field.metadata.get("ending"):
                values[field.name] = _read_by_name(ending, environment)
        for field in dataclasses.fields(cls):
            if names := field.metadata.get("of"):
                them = values.get(names, getattr(cls, names))
                prefix = field.metadata["prefix"]
                named = [*map(listener_name, them)]
                values[field.name] = _read_options(prefix, named, environment)
        return cls(**values)

    @cached_property
    def ends_at_ms(self) -> float | None:
        """The end of the service, in ms since the epoch; without a zone `eos` is in UTC."""
        if self.eos is None:
            return None
        moment = datetime.fromisoformat(self.eos)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000

    def cache_expires_of_records(self, *ids: str) -> int | None:
        """Seconds for which records may be cached, of the settings for one bucket or collection.

        Args:
            ids: of the bucket, and of the collection; compared as variables are.
        """
        return self.records_cache_expires.get(variable_of("_".join(ids)))

    @cached_property
    def permission_overrides(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The principals settings that are set, by kind and action."""
        return {
            (kind, action): principals
            for kind in _KINDS
            for action in ("read", "write", "create")
            if (principals := getattr(self, f"{kind}_{action}_principals")) is not None
        }


def variable_of(name: str) -> str:
    """The environment variable of a setting: upper case, dots and dashes as underscores."""
    return PREFIX + re.sub(r"[.-]", "_", name).upper()


def option_variable(policy: str, option: str) -> str:
    """The environment variable of an option of an authentication policy."""
    return variable_of(f"auth_policy.{policy}.{option}")


def listener_variable(listener: str, option: str) -> str:
    """The environment variable of an option of a listener."""
    return variable_of(f"event_listeners.{listener}.{option}")


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
    if switches := field.metadata.get("switches"):
        return map(switch_variable, switches)
    if ending := field.metadata.get("ending"):
        return _named_variables(ending, environment)
    names = field.metadata.get("of")
    if names is None:
        return [variable_of(field.name)]
    them = _read(_field(names), environment).get(names, getattr(Settings, names))
    named = [*map(listener_name, them)]
    prefix = field.metadata["prefix"]
    return [variable for variable in environment if _option_of(prefix, named, variable) is not None]


def switch_variable(switch: str) -> str:
    """The environment variable that switches an endpoint off."""
    return variable_of(f"{switch}_enabled")


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


def _read_switched_off(switches: Iterable[str], environment: Mapping[str, str]) -> frozenset[str]:
    """The switches that are set to false."""
    switched_off = set()
    for switch in switches:
        variable = switch_variable(switch)
        text = environment.get(variable, "")
        try:
            if text and not parse_boolean(text):
                switched_off.add(switch)
        except ValueError as error:
            raise SettingsError(f"{variable}={text!r} is not {error}") from error
    return frozenset(switched_off)


def _named_variables(ending: str, environment: Mapping[str, str]) -> list[str]:
    """The variables of settings `NAME_ENDING`."""
    pattern = re.compile(f"{PREFIX}[A-Z0-9_]+_{ending.upper()}")
    return [variable for variable in environment if pattern.fullmatch(variable)]


def _read_by_name(ending: str, environment: Mapping[str, str]) -> Mapping[str, int]:
    """The seconds that are set, by the variable of the name alone."""
    seconds = {}
    for variable in _named_variables(ending, environment):
        if text := environment[variable]:
            try:
                seconds[variable.removesuffix(f"_{ending.upper()}")] = parse_seconds(text)
            except ValueError as error:
                raise SettingsError(f"{variable}={text!r} is not {error}") from error
    return MappingProxyType(seconds)


def _read_options(
    prefix: str, names: Collection[str], environment: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """The options that are set, by name; their values are never shown."""
    options: dict[str, dict[str, str]] = {}
    for variable, text in environment.items():
        found = _option_of(prefix, names, variable)
        if found is None or text == "":
            continue
        name, option = found
        try:
            options.setdefault(name, {})[option] = parse_text(text)
        except ValueError as error:
            raise SettingsError(f"{variable} is not {error}") from None
    return MappingProxyType({name: MappingProxyType(them) for name, them in options.items()})


def _option_of(prefix: str, names: Iterable[str], variable: str) -> tuple[str, str] | None:
    """The name and the option that a variable is for; None for other variables.

    Where one name begins like another (`google`, `google_work`), it is the longest that fits.
    """
    beginnings = {variable_of(f"{prefix}.{name}."): name for name in names}
    fitting = [beginning for beginning in beginnings if variable.startswith(beginning)]
    if not fitting:
        return None
    longest = max(fitting, key=len)
    option = variable.removeprefix(longest)
    return (beginnings[longest], option.lower()) if re.fullmatch("[A-Z0-9_]+", option) else None
