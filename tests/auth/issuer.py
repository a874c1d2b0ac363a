"""A stand-in for an OpenID provider: keys, documents and tokens, without a network."""

import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from chalicelib.auth.fetching import FetchError
from chalicelib.auth.openid import OpenIdPolicy
from chalicelib.auth.providers import Provider
from chalicelib.protocol.messages import Request

ISSUER = "https://login.example.org"
AUDIENCE = "an-application"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/keys"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key of this name, the same in the whole session: they take long to make."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    """A key on the curve Ed25519."""
    return ed25519.Ed25519PrivateKey.generate()


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key as a provider shows it."""
    kinds = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        ed25519.Ed25519PrivateKey: OKPAlgorithm,
    }
    algorithm = next(made for kind, made in kinds.items() if isinstance(key, kind))
    shown: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[attr-defined]
    return {name: value for name, value in shown.items() if name != "key_ops"} | members


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good token; None takes one away."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "42", "iat": now, "exp": now + 300}
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(
    changed: Mapping[str, Any] | None = None,
    *,
    key: Any = None,
    kid: str | None = "first",
    algorithm: str = "RS256",
    headers: Mapping[str, Any] | None = None,
) -> str:
    """A good token but for what is changed."""
    named = {} if kid is None else {"kid": kid}
    signed_with = rsa_key(kid or "first") if key is None else key
    return jwt.encode(
        claims(**(changed or {})), signed_with, algorithm, headers={**named, **(headers or {})}
    )


def bearing(text: str) -> Request:
    """A request with this bearer token."""
    return Request("GET", "/v1/", headers={"authorization": f"Bearer {text}"})


class Issuer:
    """What the provider shows at its URLs; `fetched` has those that were asked for."""

    def __init__(self, *kids: str) -> None:
        self.documents: dict[str, dict[str, Any]] = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": JWKS}
        }
        self.rotate(*(kids or ("first",)))
        self.is_down = False
        self.fetched: list[str] = []
        self.clock = Clock()

    def rotate(self, *kids: str) -> None:
        """Show the RSA keys of these names alone."""
        self.show(*(jwk_of(rsa_key(kid), kid=kid, use="sig", alg="RS256") for kid in kids))

    def show(self, *keys: dict[str, Any]) -> None:
        """Show these keys alone."""
        self.documents[JWKS] = {"keys": list(keys)}

    def fetch(self, url: str) -> dict[str, Any]:
        self.fetched.append(url)
        if self.is_down or url not in self.documents:
            raise FetchError("not reached")
        return self.documents[url]

    def policy(self, name: str = "login", **provider: Any) -> OpenIdPolicy:
        """A policy of this provider."""
        taken = {"issuer": ISSUER, "audiences": frozenset({AUDIENCE}), **provider}
        return OpenIdPolicy(name, Provider(**taken), self.fetch, self.clock)
