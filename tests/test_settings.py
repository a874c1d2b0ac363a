"""Settings: `chalicelib/settings.py`."""

import dataclasses
from datetime import UTC, datetime
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.settings import (
    SWITCHES,
    Settings,
    SettingsError,
    listener_variable,
    option_variable,
    switch_variable,
    unknown_variables,
    variable_of,
)

# Those of one variable each; the options of policies and listeners are further down.
FIELDS = [field for field in dataclasses.fields(Settings) if "parse" in field.metadata]
NAMES = [field.name for field in FIELDS]
PRINCIPALS = [
    f"{kind}_{action}_principals"
    for kind in ("bucket", "collection", "group", "record")
    for action in ("read", "write", "create")
]

CACHING = [f"{kind}_cache_expires_seconds" for kind in ("bucket", "collection", "group", "record")]

# The spec's tables, "The service around the resources", sections 2, 5 and 8; "Lists", section 6;
# "Users and permissions", section 8.
DEFAULTS = {
    "userid_hmac_secret": "",
    "auth_policies": ("basicauth",),
    "includes": (),
    "event_listeners": (),
    "event_listener": {},
    "objects_stream_arn": None,
    "project_version": "2.0.0",
    "project_docs": "https://kinto.readthedocs.org/",
    "error_info_link": "https://github.com/Kinto/kinto/issues/",
    "http_scheme": None,
    "http_host": None,
    "version_prefix_redirect_enabled": True,
    "trailing_slash_redirect_enabled": True,
    "backoff": None,
    "retry_after_seconds": 3,
    "eos": None,
    "eos_message": None,
    "eos_url": None,
    "readonly": False,
    "switched_off": frozenset(),
    "cors_origins": ("*",),
    "cors_max_age_seconds": 3600,
    "basicauth_capability": False,
    "logging_renderer": None,
    "detailed_metrics": True,
    "flush_endpoint_enabled": False,
    "experimental_collection_schema_validation": False,
    "transaction_per_request": True,
    "batch_max_requests": 25,
    "paginate_by": None,
    "id_generator": "cliquet.storage.generators.UUID4",
    "bucket_id_generator": "kinto.views.NameGenerator",
    "collection_id_generator": "kinto.views.NameGenerator",
    "group_id_generator": "kinto.views.NameGenerator",
    "record_id_generator": None,
    **dict.fromkeys(CACHING),
    "records_cache_expires": {},
    **dict.fromkeys(PRINCIPALS),
    "bucket_create_principals": {"system.Authenticated"},
}

EMPTY: dict[str, object] = {
    "bucket_create_principals": frozenset(),  # nobody
    "cors_max_age_seconds": None,  # as browsers like
    "batch_max_requests": 0,  # any number
}
"""Settings whose empty value says something."""

BOOLEANS = [
    "version_prefix_redirect_enabled",
    "trailing_slash_redirect_enabled",
    "readonly",
    "basicauth_capability",
    "detailed_metrics",
    "flush_endpoint_enabled",
    "experimental_collection_schema_validation",
    "transaction_per_request",
]
NUMBERS = [
    "backoff",
    "retry_after_seconds",
    "cors_max_age_seconds",
    "batch_max_requests",
    "paginate_by",
    *CACHING,
]
TEXTS = [
    "userid_hmac_secret",
    "objects_stream_arn",
    "project_version",
    "project_docs",
    "error_info_link",
    "eos_message",
    "eos_url",
    *(f"{kind}id_generator" for kind in ("", "bucket_", "collection_", "group_", "record_")),
]


def read(**values: str) -> Settings:
    return Settings.from_environment({variable_of(name): text for name, text in values.items()})


def has_type(value: object, hint: Any) -> bool:
    """Whether a value is of this annotation, a union's part included."""
    if (parts := get_args(hint)) and get_origin(hint) not in (frozenset, tuple):
        return any(has_type(value, part) for part in parts)
    return type(value) is (get_origin(hint) or hint)


# Declarations


@pytest.mark.parametrize("field", FIELDS, ids=NAMES)
def test_a_setting_has_a_line_of_help_and_a_default_of_its_type(
    field: "dataclasses.Field[Any]",
) -> None:
    help = field.metadata["help"]

    assert help
    assert help.isprintable()
    assert has_type(field.default, get_type_hints(Settings)[field.name])


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_a_default_is_that_of_the_spec(name: str, default: object) -> None:
    assert getattr(read(), name) == default


def test_no_setting_goes_untested() -> None:
    others = {
        "stage",
        "http_scheme",
        "http_host",
        "auth_policies",
        "includes",
        "event_listeners",
        "eos",
        "cors_origins",
        "logging_renderer",
    }

    assert {*BOOLEANS, *NUMBERS, *TEXTS, *PRINCIPALS, *others} == set(NAMES)


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().backoff = 5  # type: ignore[misc]  # what is tested


# Variables


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("paginate_by", "KINTO_PAGINATE_BY"),
        ("event_listeners.redis.use", "KINTO_EVENT_LISTENERS_REDIS_USE"),
        ("some-name.of_it", "KINTO_SOME_NAME_OF_IT"),
    ],
)
def test_a_variable_is_in_upper_case_with_underscores(name: str, variable: str) -> None:
    assert variable_of(name) == variable


def test_each_setting_has_a_variable_of_its_own() -> None:
    assert len({variable_of(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_value_counts_as_not_set(name: str) -> None:
    if name in EMPTY:
        assert getattr(read(**{name: ""}), name) == EMPTY[name]
    else:
        assert read(**{name: ""}) == read()


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_sets_its_setting_and_no_other(name: str) -> None:
    texts = {
        **{name: str(not DEFAULTS[name]) for name in BOOLEANS},
        "http_scheme": "https",
        "auth_policies": "a",
        "includes": "kinto.plugins.default_bucket",
        "event_listeners": "redis",
        "eos": "2099-10-01",
        "logging_renderer": "json",
    }
    text = texts.get(name, "7")
    changed = read(**{name: text})

    assert [other for other in NAMES if getattr(changed, other) != getattr(read(), other)] == [name]


def test_variables_of_others_are_not_read() -> None:
    environment = {"BACKOFF": "5", "kinto_backoff": "5", "KINTO.BACKOFF": "5", "PATH": "/"}

    assert Settings.from_environment(environment) == Settings()


def test_variables_that_no_setting_reads_are_named_in_order() -> None:
    environment = {
        "KINTO_PAGINATE": "5",
        "KINTO_BACKOFF": "5",
        "PATH": "/",
        "KINTO_": "",
        "KINTO_BACKOF": "5",
        "MY_KINTO_X": "1",
    }

    assert unknown_variables(environment) == ["KINTO_", "KINTO_BACKOF", "KINTO_PAGINATE"]


def test_no_variable_of_a_setting_is_unknown() -> None:
    assert unknown_variables({variable_of(name): "" for name in NAMES}) == []


# Values


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "yes", "on", "1", "TRUE", "Yes", "oN")),
        *((text, False) for text in ("false", "no", "off", "0", "FALSE", "No", "oFf")),
    ],
)
def test_booleans_have_four_words_each_in_any_case(name: str, text: str, value: bool) -> None:
    assert getattr(read(**{name: text}), name) is value


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), ("3600", 3600), ("007", 7)])
def test_numbers_are_whole(name: str, text: str, value: int) -> None:
    assert getattr(read(**{name: text}), name) == value


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["a", " a b ", "é", "0", "none"])
def test_texts_are_kept_as_they_are(name: str, text: str) -> None:
    assert getattr(read(**{name: text}), name) == text


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["a\nb", "\udcff"], ids=ascii)
def test_a_text_is_one_line_of_utf_8(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**{name: text})

    shown = "" if name == "userid_hmac_secret" else f"={text!r}"
    assert str(refused.value) == f"{variable_of(name)}{shown} is not one line of text"


@pytest.mark.parametrize(
    "text", ["example.org", "kinto.example.org:8888", "localhost", "127.0.0.1:80", "[::1]:8888"]
)
def test_a_host_may_have_a_port(text: str) -> None:
    assert read(http_host=text).http_host == text


@pytest.mark.parametrize("text", ["http://a", "a/b", "a b", "a\n", "a:b", ":80", "é.org", "a?b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"KINTO_HTTP_HOST=.* is not a host, or host:port"):
        read(http_host=text)


@pytest.mark.parametrize("text", ["https://", "HTTPS", "ftp", "http\n"])
def test_a_scheme_is_http_or_https(text: str) -> None:
    with pytest.raises(SettingsError, match=r"KINTO_HTTP_SCHEME=.* is not http or https"):
        read(http_scheme=text)


@pytest.mark.parametrize(
    ("text", "renderer"),
    [
        ("classic", "classic"),
        ("json", "json"),
        ("cliquet.logs.ClassicLogRenderer", "classic"),
        ("kinto.core.logs.MozillaHekaRenderer", "json"),
    ],
)
def test_a_renderer_has_kintos_names_as_well(text: str, renderer: str) -> None:
    assert read(logging_renderer=text).logging_renderer == renderer


def test_another_renderer_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"KINTO_LOGGING_RENDERER='xml' is not classic, json"):
        read(logging_renderer="xml")


@pytest.mark.parametrize("text", ["prod", "Stage-2", "7", "x" * 35])
def test_a_stage_can_be_in_a_tables_name(text: str) -> None:
    assert read(stage=text).stage == text


@pytest.mark.parametrize("name", PRINCIPALS)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("system.Everyone", {"system.Everyone"}),
        ("a b", {"a", "b"}),
        ("a,b", {"a", "b"}),
        (" a ,\n b\t/buckets/b/groups/g\r\na,", {"a", "b", "/buckets/b/groups/g"}),
    ],
)
def test_principals_are_separated_by_blanks_lines_or_commas(
    name: str, text: str, value: set[str]
) -> None:
    assert getattr(read(**{name: text}), name) == value


@pytest.mark.parametrize(
    "name", [name for name in PRINCIPALS if name != "bucket_create_principals"]
)
@pytest.mark.parametrize("text", [" ", "\n", ",", " , \n"])
def test_a_list_of_nobody_counts_as_not_set(name: str, text: str) -> None:
    assert read(**{name: text}) == read()


BAD = [
    *((name, text) for name in BOOLEANS for text in ("maybe", "2", " true", "yes\n", "none")),
    *(
        (name, text)
        for name in NUMBERS
        for text in ("-1", "1.5", "abc", "1e3", " 1", "1\n", "\u0663")
    ),
    *((name, "9" * 5000) for name in NUMBERS),
    *(
        ("auth_policies", text)
        for text in (
            " ",
            ",",
            "Google",
            "1a",
            "-a",
            "a:b",
            "a/b",
            "é",
            "a b a",
            "a-b a_b",
            "x" * 65,
        )
    ),
    *(
        ("event_listeners", text)
        for text in ("1a", "-a", "a:b", "a/b", "a..b", ".a", "é", "a b a", "a-b a_b", "x" * 65)
    ),
    *(("stage", text) for text in ("a b", "a_b", "a/b", "é", "a\n", "x" * 36)),
    *(("cors_origins", text) for text in (" ", "\n")),
    *(
        ("eos", text)
        for text in (
            "soon",
            "2026",
            "2026-02-30",
            "22/01/2026",
            "1453420800",
            "2026-01-22T25:00",
            "2026-01-22\n10:00",
            "2026-01-22T10:00 UTC",
        )
    ),
]


@pytest.mark.parametrize(("name", "text"), BAD, ids=lambda part: part[:40])
def test_a_bad_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})

    message = str(caught.value)
    assert message.startswith(f"{variable_of(name)}={text!r} is not ")
    assert message.isprintable()


@given(st.sampled_from(NAMES), st.text())
def test_any_value_is_read_or_refused_by_name(name: str, text: str) -> None:
    hint = get_type_hints(Settings)[name]

    try:
        value = getattr(read(**{name: text}), name)
    except SettingsError as error:
        is_told = variable_of(name) in str(error)
    else:
        is_told = has_type(value, hint)

    assert is_told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("*", ("*",)),
        ("https://a.org", ("https://a.org",)),
        (" https://a.org\n http://*.b.org:80\t", ("https://a.org", "http://*.b.org:80")),
    ],
)
def test_origins_are_separated_by_blanks_or_lines(text: str, value: tuple[str, ...]) -> None:
    assert read(cors_origins=text).cors_origins == value


# The end of the service


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-22", "2026-01-22T00:00:00+00:00"),
        ("2026-01-22T10:00", "2026-01-22T10:00:00+00:00"),
        ("2026-01-22 10:00:59.5", "2026-01-22T10:00:59.500000+00:00"),
        ("2026-01-22T10:00:00Z", "2026-01-22T10:00:00+00:00"),
        ("2026-01-22T10:00:00+02:00", "2026-01-22T08:00:00+00:00"),
        ("20260122", "2026-01-22T00:00:00+00:00"),
    ],
)
def test_the_end_is_a_date_or_a_moment_and_kept_as_it_is_written(text: str, moment: str) -> None:
    settings = read(eos=text)

    assert settings.eos == text
    assert settings.ends_at_ms is not None
    assert datetime.fromtimestamp(settings.ends_at_ms / 1000, UTC).isoformat() == moment


def test_without_an_end_there_is_no_moment_of_it() -> None:
    assert read().ends_at_ms is None


# How long records may be cached, by bucket and collection


def test_caching_may_be_set_for_one_bucket_and_for_one_collection() -> None:
    settings = read(
        blog_record_cache_expires_seconds="5",
        blog_posts_record_cache_expires_seconds="0",
        record_cache_expires_seconds="9",
        other_record_cache_expires_seconds="",
    )

    assert settings.cache_expires_of_records("blog") == 5
    assert settings.cache_expires_of_records("blog", "posts") == 0
    assert settings.cache_expires_of_records("blog", "other") is None
    assert settings.cache_expires_of_records("posts") is None
    assert settings.cache_expires_of_records("other") is None


@pytest.mark.parametrize("ids", [("my-blog", "Posts"), ("MY_BLOG", "posts"), ("my", "blog-posts")])
def test_ids_are_compared_as_variables_are(ids: tuple[str, str]) -> None:
    settings = read(my_blog_posts_record_cache_expires_seconds="5")

    assert settings.cache_expires_of_records(*ids) == 5


@pytest.mark.parametrize("text", ["-1", "1.5", "soon", " 1", "9" * 10])
def test_bad_seconds_of_a_bucket_are_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(blog_record_cache_expires_seconds=text)

    variable = "KINTO_BLOG_RECORD_CACHE_EXPIRES_SECONDS"
    assert str(caught.value) == f"{variable}={text!r} is not a whole number of seconds"


def test_seconds_of_any_bucket_are_known() -> None:
    known = ["KINTO_BLOG_RECORD_CACHE_EXPIRES_SECONDS", "KINTO_A_B_RECORD_CACHE_EXPIRES_SECONDS"]
    unknown = [
        "KINTO_BLOG_CACHE_EXPIRES_SECONDS",
        "KINTO_BLOG_RECORD_CACHE_EXPIRES",
        "KINTO__RECORD_CACHE_EXPIRES_SECONDS",
        "KINTO_blog_RECORD_CACHE_EXPIRES_SECONDS",
    ]

    assert unknown_variables(dict.fromkeys([*known, *unknown], "5")) == sorted(unknown)


# Endpoints that are switched off


def switched(**values: str) -> Settings:
    """Settings with these switches set."""
    return read(**{f"{switch}_enabled": text for switch, text in values.items()})


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_endpoint_has_a_switch_of_its_own(switch: str) -> None:
    assert switched(**{switch: "False"}).switched_off == {switch}
    for text in ("true", "ON", ""):
        assert switched(**{switch: text}) == read()


def test_several_switches_are_read() -> None:
    settings = switched(record_bucket_put="0", collection_group_get="no", record_group_put="1")

    assert settings.switched_off == {"record_bucket_put", "collection_group_get"}


@pytest.mark.parametrize("text", ["maybe", "2", " false"])
def test_a_switch_that_is_neither_on_nor_off_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        switched(record_bucket_put=text)

    variable = "KINTO_RECORD_BUCKET_PUT_ENABLED"
    assert str(caught.value) == f"{variable}={text!r} is not true or false"


def test_switches_of_no_endpoint_are_unknown() -> None:
    known = {switch_variable(switch): "false" for switch in SWITCHES}
    unknown = [
        "KINTO_COLLECTION_BUCKET_HEAD_ENABLED",
        "KINTO_COLLECTION_BUCKET_PUT_ENABLED",
        "KINTO_RECORD_BUCKET_POST_ENABLED",
        "KINTO_RECORD_OTHER_GET_ENABLED",
        "KINTO_SWITCHED_OFF",
    ]

    assert unknown_variables({**known, **dict.fromkeys(unknown, "false")}) == unknown


# Authentication policies


def options(names: str, **variables: str) -> dict[str, dict[str, str]]:
    """The options of these policies, of variables without their common beginning."""
    environment = {f"KINTO_AUTH_POLICY_{name}": text for name, text in variables.items()}
    found = Settings.from_environment({"KINTO_AUTH_POLICIES": names, **environment}).auth_policy
    return {name: dict(them) for name, them in found.items()}


@pytest.mark.parametrize("text", ["a b-c d_1", "a,b-c,d_1", " a,\n b-c\td_1 ,"])
def test_policies_are_in_their_order_separated_by_blanks_or_commas(text: str) -> None:
    assert read(auth_policies=text).auth_policies == ("a", "b-c", "d_1")


def test_a_policy_has_the_options_of_its_variables() -> None:
    found = options("google basicauth", GOOGLE_USE="openid", GOOGLE_ISSUER="https://a b")

    assert found == {"google": {"use": "openid", "issuer": "https://a b"}}


def test_a_dash_in_a_policys_name_is_an_underscore_in_its_variables() -> None:
    assert options("my-login", MY_LOGIN_USE="openid") == {"my-login": {"use": "openid"}}


@pytest.mark.parametrize(
    "names", ["google google_work", "google_work google", "google google-work"]
)
def test_an_option_is_of_the_policy_with_the_longest_name_that_fits(names: str) -> None:
    found = options(names, GOOGLE_ISSUER="a", GOOGLE_WORK_ISSUER="b", GOOGLE_WORK="c")

    assert found.pop("google") == {"issuer": "a", "work": "c"}
    assert [*found.values()] == [{"issuer": "b"}]


def test_a_policy_alone_has_all_options_that_begin_with_its_name() -> None:
    assert options("google", GOOGLE_WORK_ISSUER="b") == {"google": {"work_issuer": "b"}}


def test_an_empty_option_counts_as_not_set() -> None:
    assert options("google", GOOGLE_ISSUER="") == {}


def test_the_default_policy_has_options_as_well() -> None:
    settings = Settings.from_environment({"KINTO_AUTH_POLICY_BASICAUTH_X": "1"})

    assert settings.auth_policy == {"basicauth": {"x": "1"}}


def test_options_of_policies_that_are_not_configured_are_unknown() -> None:
    environment = {
        "KINTO_AUTH_POLICIES": "google",
        "KINTO_AUTH_POLICY_GOOGLE_ISSUER": "a",
        "KINTO_AUTH_POLICY_GOOGLE_ANYTHING": "a",
        "KINTO_AUTH_POLICY_GOOGLE_EMPTY": "",
        "KINTO_AUTH_POLICY_GOOGLE_": "a",
        "KINTO_AUTH_POLICY_GOOGLE_issuer": "a",
        "KINTO_AUTH_POLICY_GOOGLES_ISSUER": "a",
        "KINTO_AUTH_POLICY_BASICAUTH_USE": "a",
        "KINTO_AUTH_POLICY": "a",
    }

    assert unknown_variables(environment) == [
        "KINTO_AUTH_POLICY",
        "KINTO_AUTH_POLICY_BASICAUTH_USE",
        "KINTO_AUTH_POLICY_GOOGLES_ISSUER",
        "KINTO_AUTH_POLICY_GOOGLE_",
        "KINTO_AUTH_POLICY_GOOGLE_issuer",
    ]


@pytest.mark.parametrize("text", ["a-secret\nof two lines", "a-secret\udcff"], ids=ascii)
def test_a_bad_option_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        options("google", GOOGLE_KEY=text)

    assert str(refused.value) == "KINTO_AUTH_POLICY_GOOGLE_KEY is not one line of text"
    assert refused.value.__suppress_context__


def test_no_secret_is_shown_with_the_settings() -> None:
    settings = Settings.from_environment(
        {
            "KINTO_USERID_HMAC_SECRET": "a-secret",
            "KINTO_AUTH_POLICY_BASICAUTH_KEY": "a-secret",
        }
    )

    assert "a-secret" not in repr(settings)


def test_options_do_not_change() -> None:
    found = Settings.from_environment({"KINTO_AUTH_POLICY_BASICAUTH_KEY": "a"}).auth_policy

    with pytest.raises(TypeError):
        found["basicauth"]["key"] = "b"  # type: ignore[index]  # what is tested
    with pytest.raises(TypeError):
        found["other"] = {}  # type: ignore[index]  # what is tested


def test_the_variable_of_an_option_names_its_policy() -> None:
    assert option_variable("my-login", "jwks_uri") == "KINTO_AUTH_POLICY_MY_LOGIN_JWKS_URI"


# Listeners


def listener_options(names: str, **variables: str) -> dict[str, dict[str, str]]:
    """The options of these listeners, of variables without their common beginning."""
    environment = {f"KINTO_EVENT_LISTENERS_{name}": text for name, text in variables.items()}
    settings = Settings.from_environment({"KINTO_EVENT_LISTENERS": names, **environment})
    return {name: dict(them) for name, them in settings.event_listener.items()}


@pytest.mark.parametrize(
    "text", ["redis some.audit b-c", "redis,some.audit,\nb-c", " redis some.audit\tb-c,"]
)
def test_listeners_are_in_their_order_separated_by_blanks_lines_or_commas(text: str) -> None:
    assert read(event_listeners=text).event_listeners == ("redis", "some.audit", "b-c")


def test_a_listener_has_the_options_of_its_variables() -> None:
    found = listener_options("redis", REDIS_USE="sqs", REDIS_ACTIONS="create delete")

    assert found == {"redis": {"use": "sqs", "actions": "create delete"}}


def test_the_options_of_a_module_are_under_its_last_part() -> None:
    assert listener_options("some.where.Audit", AUDIT_LEVEL="5", SOME_WHERE_AUDIT_LEVEL="6") == {
        "Audit": {"level": "5"}
    }


def test_an_option_is_of_the_listener_with_the_longest_name_that_fits() -> None:
    found = listener_options("audit-log audit", AUDIT_URL="a", AUDIT_LOG_URL="b", AUDIT_LOG="c")

    assert found == {"audit": {"url": "a", "log": "c"}, "audit-log": {"url": "b"}}


def test_options_of_listeners_that_are_not_configured_are_unknown() -> None:
    environment = {
        "KINTO_EVENT_LISTENERS": "some.audit",
        "KINTO_EVENT_LISTENERS_AUDIT_USE": "sqs",
        "KINTO_EVENT_LISTENERS_AUDIT_ANYTHING": "a",
        "KINTO_EVENT_LISTENERS_AUDIT_": "a",
        "KINTO_EVENT_LISTENERS_SOME_AUDIT_USE": "a",
        "KINTO_EVENT_LISTENERS_REDIS_USE": "a",
        "KINTO_EVENT_LISTENER_AUDIT_USE": "a",
    }

    assert unknown_variables(environment) == [
        "KINTO_EVENT_LISTENERS_AUDIT_",
        "KINTO_EVENT_LISTENERS_REDIS_USE",
        "KINTO_EVENT_LISTENERS_SOME_AUDIT_USE",
        "KINTO_EVENT_LISTENER_AUDIT_USE",
    ]


def test_a_bad_option_of_a_listener_is_refused_without_its_value() -> None:
    with pytest.raises(SettingsError) as refused:
        listener_options("hook", HOOK_SECRET="a-secret\n")

    assert str(refused.value) == "KINTO_EVENT_LISTENERS_HOOK_SECRET is not one line of text"


def test_no_option_of_a_listener_is_shown_with_the_settings() -> None:
    settings = Settings.from_environment(
        {"KINTO_EVENT_LISTENERS": "hook", "KINTO_EVENT_LISTENERS_HOOK_SECRET": "a-secret"}
    )

    assert settings.event_listener["hook"] == {"secret": "a-secret"}
    assert "a-secret" not in repr(settings)


def test_the_variable_of_a_listeners_option_names_it() -> None:
    assert listener_variable("my-hook", "url") == "KINTO_EVENT_LISTENERS_MY_HOOK_URL"


# What takes the place of stored permissions


def test_the_creation_of_buckets_alone_is_a_matter_of_settings_by_default() -> None:
    assert read().permission_overrides == {("bucket", "create"): {"system.Authenticated"}}


@pytest.mark.parametrize("name", PRINCIPALS)
def test_a_setting_that_is_set_takes_the_place_of_its_kind_and_action(name: str) -> None:
    kind, action, _ = name.split("_")

    overrides = read(**{name: "a b"}).permission_overrides

    assert overrides == {**read().permission_overrides, (kind, action): {"a", "b"}}


def test_nobody_creates_buckets_where_that_setting_is_empty() -> None:
    overrides = read(bucket_create_principals="").permission_overrides

    assert overrides == {("bucket", "create"): frozenset()}
