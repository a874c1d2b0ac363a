"""JSON Web Tokens: what is in them, and whether it holds.

Imported with the first bearer token: PyJWT's cryptography takes as long to import as all else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import jwt
from jwt.types import Options

from chalicelib.auth.keys import Jwk
from chalicelib.auth.policies import RefusedCredentialsError
from chalicelib.auth.providers import Provider

EXPIRED: Final = "The token has expired"
NOT_YET_VALID: Final = "The token is not valid yet"
OTHER_AUDIENCE: Final = "The token is not for this audience"
OTHER_ISSUER: Final = "The token is from another issuer"
BAD_SIGNATURE: Final = "The signature of the token is wrong"
UNKNOWN_KEY: Final = "The token is signed with an unknown key"
OTHER_ALGORITHM: Final = "The algorithm of the token is not accepted"
MALFORMED: Final = "The token is malformed"

# By exception of PyJWT; the first that fits. Their own texts may quote the token.
_REASONS: Final = (
    (jwt.ExpiredSignatureError, EXPIRED),
    (jwt.ImmatureSignatureError, NOT_YET_VALID),
    (jwt.InvalidSignatureError, BAD_SIGNATURE),
    (jwt.InvalidAlgorithmError, OTHER_ALGORITHM),
    (jwt.InvalidKeyError, UNKNOWN_KEY),
    (jwt.PyJWKError, UNKNOWN_KEY),
    (jwt.PyJWTError, MALFORMED),
)

_CLAIMS: Final[Options] = {
    "require": ["exp", "iss", "sub"],
    "verify_exp": True,
    "verify_nbf": True,
    "verify_iat": True,
    "verify_iss": True,
    "verify_sub": True,
    "verify_aud": False,  # see _check_audience
    "enforce_minimum_key_length": True,
}


def signed_by(token: str, provider: Provider) -> tuple[str | None, str]:
    """Which key of the provider (None: not named) the token is said to be signed with, and how.

    Nothing of it is proven yet. But what is wrong anyway is refused here, and costs no fetch of
    keys: a token from elsewhere, or one that has expired.

    Raises:
        RefusedCredentialsError: the token is no good, or another provider's.
    """
    with _translated():
        found = jwt.decode_complete(token, options={"verify_signature": False})
    if found["payload"].get("iss") != provider.issuer:
        raise RefusedCredentialsError(OTHER_ISSUER, is_foreign=True)
    header = found["header"]
    algorithm = header.get("alg")
    if algorithm not in provider.algorithms:
        raise RefusedCredentialsError(OTHER_ALGORITHM)
    with _translated():
        options: Options = {**_CLAIMS, "verify_signature": False}
        jwt.decode(token, options=options, issuer=provider.issuer, leeway=provider.leeway_s)
    _check_audience(found["payload"], provider)
    return header.get("kid"), algorithm


def subject_of(token: str, key: Jwk, algorithm: str, *, provider: Provider) -> str:
    """The `sub` of a token that this key verifies.

    Raises:
        RefusedCredentialsError: the token is no good.
    """
    with _translated():
        claims = jwt.decode(
            token,
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            options=_CLAIMS,
            issuer=provider.issuer,
            leeway=provider.leeway_s,
        )
    _check_audience(claims, provider)
    subject: str = claims["sub"]
    return subject


def _check_audience(claims: dict[str, Any], provider: Provider) -> None:
    """Hold `client_id` against the audience without `aud`: Cognito's access tokens have none."""
    named = claims["aud"] if "aud" in claims else claims.get("client_id")
    audiences = named if isinstance(named, list) else [named]
    if not any(isinstance(each, str) and each in provider.audiences for each in audiences):
        raise RefusedCredentialsError(OTHER_AUDIENCE)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn PyJWT's exceptions into ours, without what they say of the token."""
    try:
        yield
    except jwt.PyJWTError as error:
        reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
        raise RefusedCredentialsError(reason) from None
