"""The policies that settings name: `chalicelib/auth/loading.py` and `providers.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.loading import load_policies
from chalicelib.auth.openid import OpenIdPolicy
from chalicelib.auth.policies import Policy, authenticate
from chalicelib.auth.providers import ALGORITHMS, Provider, provider_from
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings, SettingsError
from tests.doubles import SECRET, basic

HERE = __name__
OPENID = {"issuer": "https://login.example.org", "audience": "an-application"}


@dataclass
class Custom:
    """A policy as an operator may write one."""

    name: str
    options: Mapping[str, str]
    challenge: str = "Custom"

    def user_id(self, request: Request) -> str | None:
        return request.headers.get("x-user")


def made_by_a_function(name: str, options: Mapping[str, str]) -> Policy:
    return Custom(name, options)


def needs_a_key(name: str, options: Mapping[str, str]) -> Policy:
    raise ValueError(f"{options['key']!r} is no key", options["missing"])


def quotes_its_key(name: str, options: Mapping[str, str]) -> Policy:
    raise ValueError(f"{options['key']!r} is no\nkey")


def refuses_an_option(name: str, options: Mapping[str, str]) -> Policy:
    raise SettingsError("KINTO_AUTH_POLICY_X_KEY is no key")


def makes_nothing(name: str, options: Mapping[str, str]) -> None:
    return None


def has_another_name(name: str, options: Mapping[str, str]) -> Policy:
    return Custom("another", options)


def has_no_challenge(name: str, options: Mapping[str, str]) -> Policy:
    return Custom(name, options, "")


def breaks_the_header(name: str, options: Mapping[str, str]) -> Policy:
    return Custom(name, options, "Custom\r\nX-Header: 1")


@dataclass
class KnowsNobody:
    name: str
    options: Mapping[str, str]
    challenge: str = field(default="Custom")


not_to_be_called = 5


def load(**options: str) -> Any:
    """The only policy, `x`, of these options."""
    settings = Settings(auth_policies=("x",), auth_policy={"x": options})
    (policy,) = load_policies(settings)
    return policy


def refused(**options: str) -> str:
    """How the start is refused with these options of the policy `x`."""
    with pytest.raises(SettingsError) as caught:
        load(**options)
    return str(caught.value)


# Which policy


def test_basic_authentication_alone_is_the_default() -> None:
    (policy,) = load_policies(Settings(userid_hmac_secret=SECRET))
    request = Request("GET", "/v1/", headers={"authorization": basic("alice")})

    assert authenticate(request, [policy]) == authenticate(request, [BasicPolicy(SECRET)])


def test_policies_are_in_the_order_of_the_setting() -> None:
    names = ("x", "basicauth", "openid")
    policies = load_policies(
        Settings(
            auth_policies=names,
            auth_policy={"x": {"use": f"{HERE}.Custom"}, "openid": OPENID},
        )
    )

    assert tuple(policy.name for policy in policies) == names
    assert [type(policy) for policy in policies] == [Custom, BasicPolicy, OpenIdPolicy]


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"use": "basicauth"}, BasicPolicy), ({"use": "openid", **OPENID}, OpenIdPolicy)],
)
def test_a_built_in_policy_may_have_another_name(options: dict[str, str], kind: type) -> None:
    policy = load(**options)

    assert (type(policy), policy.name) == (kind, "x")


@pytest.mark.parametrize("factory", ["Custom", "made_by_a_function"])
def test_a_dotted_path_names_what_makes_the_policy(factory: str) -> None:
    policy = load(use=f"{HERE}.{factory}", key="a b")

    assert policy == Custom("x", {"key": "a b"})


def test_a_policy_that_is_not_built_in_says_what_it_is() -> None:
    assert refused() == "KINTO_AUTH_POLICY_X_USE is not basicauth, openid or a dotted Python path"


@pytest.mark.parametrize(
    "path", ["x", "Basicauth", "a..b", ".a", "a.", "a-b.c", "a b.c", "a.b()", "os.path/x", "é.b"]
)
def test_what_is_no_dotted_path_is_refused(path: str) -> None:
    assert refused(use=path) == (
        "KINTO_AUTH_POLICY_X_USE is not basicauth, openid or a dotted Python path"
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere.Policy", "can't be imported: ModuleNotFoundError: No module named 'nowhere'"),
        (f"{HERE}.nothing", "names nothing that can be called"),
        (f"{HERE}.not_to_be_called", "names nothing that can be called"),
        *(
            (
                f"{HERE}.{factory}",
                "makes no policy: one has the name x, a challenge and the method user_id",
            )
            for factory in (
                *("makes_nothing", "has_another_name", "has_no_challenge"),
                *("breaks_the_header", "KnowsNobody"),
            )
        ),
    ],
)
def test_a_path_that_leads_to_no_policy_is_refused(path: str, why: str) -> None:
    assert refused(use=path) == f"KINTO_AUTH_POLICY_X_USE={path} {why}"


def test_options_that_a_policy_quotes_are_not_shown() -> None:
    path = f"{HERE}.quotes_its_key"

    with pytest.raises(SettingsError) as caught:
        load(use=path, key="it's-a-secret")

    assert str(caught.value) == (
        f"KINTO_AUTH_POLICY_X_USE={path} makes no policy: 'ValueError: \"***\" is no\\nkey'"
    )
    assert caught.value.__suppress_context__


def test_an_option_that_is_missing_is_named() -> None:
    assert refused(use=f"{HERE}.needs_a_key").endswith("makes no policy: \"KeyError: 'key'\"")


def test_a_policy_may_refuse_its_options_itself() -> None:
    path = f"{HERE}.refuses_an_option"

    assert refused(use=path) == "KINTO_AUTH_POLICY_X_KEY is no key"


@pytest.mark.parametrize("use", ["basicauth", "openid"])
def test_an_option_that_a_built_in_policy_lacks_is_refused(use: str) -> None:
    assert refused(use=use, secret="s", **(OPENID if use == "openid" else {})) == (
        f"KINTO_AUTH_POLICY_X_SECRET is no option of {use}"
    )


# Options of openid


def test_issuer_and_audience_are_enough() -> None:
    provider = provider_from("x", OPENID)

    assert provider == Provider(OPENID["issuer"], frozenset({"an-application"}))
    assert (provider.algorithms, provider.leeway_s) == (("RS256",), 60)


def test_every_option_has_its_effect() -> None:
    options = {
        "issuer": "https://login.example.org/tenant/",
        "audience": "a, b",
        "algorithms": "ES256 RS256",
        "jwks_uri": "https://keys.example.org/?tenant=5",
        "leeway_seconds": "0",
    }

    assert provider_from("x", options) == Provider(
        "https://login.example.org/tenant/",
        frozenset({"a", "b"}),
        ("ES256", "RS256"),
        "https://keys.example.org/?tenant=5",
        0,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_asymmetric_algorithm_may_be_configured(algorithm: str) -> None:
    assert provider_from("x", OPENID | {"algorithms": algorithm}).algorithms == (algorithm,)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/realm", "http://127.0.0.1", "http://[::1]:1", "https://a:8443"]
)
def test_an_issuer_is_reached_by_https_or_on_this_machine(url: str) -> None:
    assert provider_from("x", OPENID | {"issuer": url}).issuer == url


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        *(
            ("issuer", value, "is not an https URL without query")
            for value in (
                "http://login.example.org",
                "login.example.org",
                "https://",
                "https:///a",
                "https://a b",
                "https://é.org",
                "https://a?b",
                "https://a#b",
                "https://user:a-secret@a",
                "https://a:port",
                "https://[::1",
                "http://127.0.0.1.example.org",
                "ftp://a",
                "file:///a",
            )
        ),
        *(
            ("jwks_uri", value, "is not an https URL")
            for value in ("http://a/keys", "keys", "file:///a", "data:,{}")
        ),
        ("audience", " , ", "is missing"),
        *(
            ("algorithms", value, f"is not a list of {', '.join(ALGORITHMS)}")
            for value in ("none", "HS256", "RS256 HS256", "RS256,none", "rs256", " ", "ES256K")
        ),
        *(
            ("leeway_seconds", value, "is not a whole number of seconds up to 600")
            for value in ("-1", "601", "1.5", "a", " 1", "1\n", "\u0663")
        ),
    ],
)
def test_an_option_of_openid_that_makes_no_sense_is_refused_without_its_value(
    option: str, value: str, why: str
) -> None:
    variable = f"KINTO_AUTH_POLICY_X_{option.upper()}"

    assert refused(**(OPENID | {"use": "openid", option: value})) == f"{variable} {why}"


@pytest.mark.parametrize("option", ["issuer", "audience"])
def test_what_openid_cannot_do_without_is_missed(option: str) -> None:
    options = {name: value for name, value in OPENID.items() if name != option}

    assert refused(use="openid", **options) == f"KINTO_AUTH_POLICY_X_{option.upper()} is missing"
