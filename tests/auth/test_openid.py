"""Bearer tokens: `chalicelib/auth/openid.py` and `tokens.py`."""

import base64
import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.auth import tokens
from chalicelib.auth.openid import MAX_TOKEN_BYTES, NO_JWT
from chalicelib.auth.policies import PolicyUnavailableError, RefusedCredentialsError
from chalicelib.protocol.messages import Request
from tests.auth.issuer import (
    AUDIENCE,
    DISCOVERY,
    ISSUER,
    JWKS,
    Issuer,
    bearing,
    ec_key,
    ed_key,
    jwk_of,
    rsa_key,
    token,
)


def user(text: str, shown_by: Issuer | None = None, **provider: Any) -> str | None:
    """Who a bearer token is of."""
    return (shown_by or Issuer()).policy(**provider).user_id(bearing(text))


def refusal(text: str, shown_by: Issuer | None = None, **provider: Any) -> RefusedCredentialsError:
    """How a bearer token is refused."""
    with pytest.raises(RefusedCredentialsError) as caught:
        user(text, shown_by, **provider)
    assert caught.value.__cause__ is None
    return caught.value


def part(value: object) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(header: object, claims: object = None, signature: str = "c2ln") -> str:
    return f"{part(header)}.{part(claims)}.{signature}"


# Good tokens


@pytest.mark.parametrize("sub", ["42", "auth0|5f7c8ec7c33c6c004bbafe82", "a:b", "é", "x" * 900])
def test_the_user_is_the_tokens_sub(sub: str) -> None:
    assert user(token({"sub": sub})) == sub


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "  Bearer \t{}  "])
def test_the_case_of_the_scheme_and_blanks_do_not_matter(header: str) -> None:
    request = Request("GET", "/v1/", headers={"authorization": header.format(token())})

    assert Issuer().policy().user_id(request) == "42"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Basic YWxpY2U6c2VjcmV0", "BearerX a.b.c", "a.b.c"]
)
def test_without_a_bearer_token_it_is_nobody(header: str | None) -> None:
    issuer = Issuer()
    headers = {} if header is None else {"authorization": header}

    assert issuer.policy().user_id(Request("GET", "/v1/", headers=headers)) is None
    assert issuer.fetched == []


def test_the_keys_are_where_the_discovery_document_says() -> None:
    issuer = Issuer()

    user(token(), issuer)

    assert issuer.fetched == [DISCOVERY, JWKS]


def test_a_slash_at_the_end_of_the_issuer_is_its_own() -> None:
    issuer = Issuer()
    issuer.documents[DISCOVERY] = {"issuer": f"{ISSUER}/", "jwks_uri": JWKS}

    assert user(token({"iss": f"{ISSUER}/"}), issuer, issuer=f"{ISSUER}/") == "42"
    assert refusal(token(), issuer, issuer=f"{ISSUER}/").description == tokens.OTHER_ISSUER


def test_a_jwks_uri_takes_the_place_of_discovery() -> None:
    issuer = Issuer()

    assert user(token(), issuer, jwks_uri=JWKS) == "42"
    assert issuer.fetched == [JWKS]


@pytest.mark.parametrize(
    ("audience", "audiences"),
    [
        ({"aud": AUDIENCE}, {AUDIENCE}),
        ({"aud": ["another", AUDIENCE]}, {AUDIENCE}),
        ({"aud": "b"}, {"a", "b"}),
        ({"aud": None, "client_id": AUDIENCE}, {AUDIENCE}),  # Cognito's access tokens
    ],
)
def test_a_token_is_for_one_of_the_audiences(audience: dict[str, Any], audiences: set[str]) -> None:
    assert user(token(audience), audiences=frozenset(audiences)) == "42"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", rsa_key),
        ("RS512", rsa_key),
        ("PS256", rsa_key),
        ("ES256", ec_key),
        ("EdDSA", ed_key),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_each_algorithm_that_is_configured_is_taken(algorithm: str, key: Any, named: bool) -> None:
    issuer = Issuer()
    members = {"alg": algorithm} if named else {}
    issuer.show(jwk_of(key("first"), kid="first", **members))

    sent = token(key=key("first"), algorithm=algorithm)

    assert user(sent, issuer, algorithms=("RS384", algorithm)) == "42"


def test_a_token_without_kid_is_signed_with_the_only_key() -> None:
    assert user(token(kid=None)) == "42"
    assert refusal(token(kid=None), Issuer("first", "second")).description == tokens.UNKNOWN_KEY


def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    late = token({"exp": now - 30})
    early = token({"iat": now + 30, "nbf": now + 30})

    assert user(late) == user(early) == "42"
    assert refusal(late, leeway_s=0).description == tokens.EXPIRED
    assert refusal(early, leeway_s=0).description == tokens.NOT_YET_VALID


# Bad tokens


@pytest.mark.parametrize(
    ("changed", "description"),
    [
        ({"exp": 1}, tokens.EXPIRED),
        ({"exp": True}, tokens.EXPIRED),
        ({"nbf": 2**40}, tokens.NOT_YET_VALID),
        ({"iat": 2**40}, tokens.NOT_YET_VALID),
        ({"exp": None}, tokens.MALFORMED),
        ({"exp": "soon"}, tokens.MALFORMED),
        ({"exp": float("inf")}, tokens.MALFORMED),
        ({"exp": float("nan")}, tokens.MALFORMED),
        ({"exp": []}, tokens.MALFORMED),
        ({"nbf": {}}, tokens.MALFORMED),
        ({"iat": "x"}, tokens.MALFORMED),
        ({"sub": None}, tokens.MALFORMED),
        ({"sub": 42}, tokens.MALFORMED),
        ({"sub": ["42"]}, tokens.MALFORMED),
        ({"iss": None}, tokens.OTHER_ISSUER),
        ({"iss": f"{ISSUER}/"}, tokens.OTHER_ISSUER),
        ({"iss": ISSUER.upper()}, tokens.OTHER_ISSUER),
        ({"aud": "another"}, tokens.OTHER_AUDIENCE),
        ({"aud": AUDIENCE.upper()}, tokens.OTHER_AUDIENCE),
        ({"aud": []}, tokens.OTHER_AUDIENCE),
        ({"aud": ""}, tokens.OTHER_AUDIENCE),
        ({"aud": [[AUDIENCE]]}, tokens.OTHER_AUDIENCE),
        ({"aud": {AUDIENCE: 1}}, tokens.OTHER_AUDIENCE),
        ({"aud": None}, tokens.OTHER_AUDIENCE),
        ({"aud": None, "client_id": "another"}, tokens.OTHER_AUDIENCE),
        ({"aud": "another", "client_id": AUDIENCE}, tokens.OTHER_AUDIENCE),
        ({"aud": [], "client_id": AUDIENCE}, tokens.OTHER_AUDIENCE),
    ],
)
def test_a_claim_that_does_not_hold_is_refused_without_asking_for_keys(
    changed: dict[str, Any], description: str
) -> None:
    issuer = Issuer()

    assert refusal(token(changed), issuer).description == description
    assert issuer.fetched == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.b",
        "a.b.c.d",
        "..",
        "a..c",
        "a.b.",
        "é.b.c",
        "a b.c.d",
        "a=.b.c",
        "a" * (MAX_TOKEN_BYTES - 4) + ".b.cc",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    ],
)
def test_what_is_no_jwt_may_be_anothers_token(text: str) -> None:
    error = refusal(text)

    assert (error.description, error.is_foreign) == (NO_JWT, True)


def test_another_issuers_token_may_be_another_policys() -> None:
    assert refusal(token({"iss": "https://other.example.org"})).is_foreign
    assert not refusal(token({"exp": 1})).is_foreign


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c",
        "eyJ9.e30.c2ln",
        unsigned([], {}),
        unsigned("RS256", {}),
        unsigned({"alg": "RS256"}, [ISSUER]),
        unsigned({"alg": "RS256", "kid": 1}, {"iss": ISSUER}),
        unsigned({"alg": "RS256", "kid": None}, {"iss": ISSUER}),
        unsigned({"alg": "RS256", "crit": ["b64"], "b64": False}, {"iss": ISSUER}),
        unsigned({"alg": "RS256", "crit": ["exp"]}, {"iss": ISSUER}),
    ],
)
def test_a_malformed_token_is_refused(text: str) -> None:
    assert refusal(text).description == tokens.MALFORMED


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS384", "ES256", "", None, 5, []])
def test_an_algorithm_that_is_not_configured_is_refused(algorithm: object) -> None:
    issuer = Issuer()
    text = unsigned({"alg": algorithm, "kid": "first"}, {"iss": ISSUER})

    assert refusal(text, issuer).description == tokens.OTHER_ALGORITHM
    assert issuer.fetched == []


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    key = rsa_key("first").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, payload = part({"alg": "HS256", "kid": "first"}), token().split(".")[1]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{header}.{payload}".encode(), pem
    )
    text = f"{header}.{payload}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    assert refusal(text).description == tokens.OTHER_ALGORITHM


def test_a_token_that_was_changed_is_refused() -> None:
    header, _, signature = token().split(".")
    _, payload, _ = token({"sub": "43"}).split(".")

    assert refusal(f"{header}.{payload}.{signature}").description == tokens.BAD_SIGNATURE


def test_a_token_signed_with_another_key_is_refused() -> None:
    assert refusal(token(key=rsa_key("another"))).description == tokens.BAD_SIGNATURE


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_no_token_says_which_key_verifies_it(header: str) -> None:
    issuer = Issuer()
    own = rsa_key("another")
    issuer.documents["https://evil.example.org"] = {"keys": [jwk_of(own, kid="another")]}
    said = jwk_of(own, kid="another") if header == "jwk" else "https://evil.example.org"

    text = token(key=own, kid="another", headers={header: [said] if header == "x5c" else said})

    assert refusal(text, issuer).description == tokens.UNKNOWN_KEY
    assert issuer.fetched == [DISCOVERY, JWKS]


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kty": "oct"},
        {"kty": "EC"},
        {"kid": "another"},
    ],
)
def test_a_key_that_does_not_fit_is_not_used(members: dict[str, Any]) -> None:
    issuer = Issuer()
    good = jwk_of(rsa_key("second"), kid="second")
    issuer.show(jwk_of(rsa_key("first"), **{"kid": "first", **members}), good)

    assert refusal(token(), issuer).description == tokens.UNKNOWN_KEY


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "RSA", "kid": "first"},
        {"kty": "RSA", "kid": "first", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "first", "n": 5, "e": []},
        jwk_of(rsa_key("weak", 1024), kid="first"),
    ],
)
def test_a_key_that_cannot_be_used_verifies_nothing(key: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.show(key)

    assert refusal(token(), issuer).description == tokens.UNKNOWN_KEY


@given(st.text(st.characters(codec="ascii")) | st.lists(st.text(), min_size=3).map(".".join))
def test_any_token_is_refused_or_nobodys(text: str) -> None:
    said = ""

    with suppress(RefusedCredentialsError):
        said = f"not refused: {Issuer().policy().user_id(bearing(text))}"

    assert said in ("", "not refused: None")


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "sub", "nbf", "iat", "jti"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_any_claims_that_are_not_signed_are_refused(claims: dict[str, Any]) -> None:
    text = unsigned({"alg": "RS256", "kid": "first"}, {"iss": ISSUER, **claims})

    assert refusal(text).description


# The provider


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.org", "jwks_uri": JWKS},
        {"issuer": f"{ISSUER}/", "jwks_uri": JWKS},
        {"jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 5},
        {"issuer": ISSUER, "jwks_uri": "http://login.example.org/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/keys"},
    ],
)
def test_a_discovery_document_that_makes_no_sense_leads_nowhere(document: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.documents[DISCOVERY] = document

    with pytest.raises(PolicyUnavailableError):
        user(token(), issuer)

    assert issuer.fetched == [DISCOVERY]


@pytest.mark.parametrize(
    "document", [{}, {"keys": []}, {"keys": "x"}, {"keys": [5, None, {"kty": "oct"}]}]
)
def test_a_key_set_without_usable_keys_is_none(document: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.documents[JWKS] = document

    with pytest.raises(PolicyUnavailableError) as caught:
        user(token(), issuer)

    assert str(caught.value) == "the keys of the policy login can't be had"
    assert repr(caught.value.__cause__) == "FetchError('no usable keys')"


def test_the_library_is_imported_with_the_first_token_alone() -> None:
    program = f"""
import sys
from chalicelib.auth.loading import load_policies
from chalicelib.protocol.messages import Request
from chalicelib.settings import Settings

def loaded():
    return [name in sys.modules for name in ("chalicelib.auth.openid", "jwt", "cryptography")]

load_policies(Settings())
assert loaded() == [False, False, False], loaded()
options = {{"issuer": "{ISSUER}", "audience": "a"}}
settings = Settings(auth_policies=("openid",), auth_policy={{"openid": options}})
(policy,) = load_policies(settings)
assert policy.user_id(Request("GET", "/v1/")) is None
assert loaded() == [True, False, False], loaded()
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
