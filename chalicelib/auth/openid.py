"""Bearer tokens (JWT) of OpenID providers. Imported only where such a policy is configured."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chalicelib.auth.fetching import FetchError, fetch_json, is_safe_url
from chalicelib.auth.keys import Jwk, KeysUnavailableError, ProviderKeys, usable_keys
from chalicelib.auth.policies import PolicyUnavailableError, RefusedCredentialsError
from chalicelib.auth.providers import Provider, provider_from
from chalicelib.protocol.credentials import credentials_of
from chalicelib.protocol.messages import Request

MAX_TOKEN_BYTES: Final = 8192
NO_JWT: Final = "The token is not a JSON Web Token"


class OpenIdPolicy:
    """Knows users by the tokens of one provider; the id is the token's `sub`."""

    challenge = 'Bearer realm="Realm"'

    def __init__(
        self,
        name: str,
        provider: Provider,
        fetch: Callable[[str], dict[str, Any]] = fetch_json,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch nothing yet.

        Args:
            name: the prefix of the user ids.
            provider: whose tokens are taken.
            fetch: gives the JSON object at a URL, or raises FetchError.
            clock: seconds that never go back, for the age of the keys.
        """
        self.name = name
        self._provider = provider
        self._fetch = fetch
        self._keys = ProviderKeys(self._fetch_keys, clock)

    def user_id(self, request: Request) -> str | None:
        """The token's `sub`; None without bearer token.

        Raises:
            RefusedCredentialsError: the token is no good.
            PolicyUnavailableError: the provider's keys can't be had.
        """
        credentials = credentials_of(request)
        if credentials is None or credentials.scheme != "bearer":
            return None
        if not _looks_like_jwt(credentials.token):
            raise RefusedCredentialsError(NO_JWT, is_foreign=True)
        try:
            return self._subject(credentials.token)
        except KeysUnavailableError as error:
            message = f"the keys of the policy {self.name} can't be had"
            raise PolicyUnavailableError(message) from error.__cause__

    def _subject(self, token: str) -> str:
        from chalicelib.auth import tokens  # here, as it takes long to import

        kid, algorithm = tokens.signed_by(token, self._provider)
        key = self._keys.find(kid, algorithm)
        if key is None:
            raise RefusedCredentialsError(tokens.UNKNOWN_KEY)
        return tokens.subject_of(token, key, algorithm, provider=self._provider)

    def _fetch_keys(self) -> Sequence[Jwk]:
        uri = self._provider.jwks_uri or self._discovered()
        return usable_keys(self._fetch(uri), self._provider.algorithms)

    def _discovered(self) -> str:
        """Where the keys are, as the provider says. Rule: OpenID Connect Discovery, 4.3."""
        issuer = self._provider.issuer
        document = self._fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise FetchError("the discovery document is another issuer's")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or not is_safe_url(uri):
            raise FetchError("the discovery document names no jwks_uri of https")
        return uri


def _looks_like_jwt(token: str) -> bool:
    form = r"([A-Za-z0-9_-]+\.){2}[A-Za-z0-9_-]+"
    return len(token) <= MAX_TOKEN_BYTES and bool(re.fullmatch(form, token))


def openid_policy(name: str, options: Mapping[str, str]) -> OpenIdPolicy:
    """The policy that these options describe.

    Raises:
        SettingsError: an option is missing, unknown, or makes no sense; names its variable.
    """
    return OpenIdPolicy(name, provider_from(name, options))
