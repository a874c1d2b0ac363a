"""The keys of an OpenID provider, as the container keeps them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.auth.fetching import FetchError

FRESH_S: Final = 3600
"""How long keys are used without asking the provider."""

USABLE_S: Final = 24 * 3600
"""How long they are used on while the provider can't be reached."""

PAUSE_S: Final = 60
"""Between two fetches, as anybody can send tokens that name keys which don't exist."""

PAUSE_WITHOUT_KEYS_S: Final = 5
"""The same where there are no keys yet: every user waits for them."""

_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

Jwk = dict[str, Any]
"""A JSON Web Key, RFC 7517."""


class KeysUnavailableError(Exception):
    """The provider's keys can't be had, or not those that a token names."""


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: Sequence[Jwk]
    fetched_at: float

    def find(self, kid: str | None, algorithm: str) -> Jwk | None:
        fits = [key for key in self.keys if _fits(key, kid, algorithm)]
        # A token need not name a key where there is only one. OpenID Connect Core, 10.1.
        return fits[0] if fits and (kid is not None or len(fits) == 1) else None


class ProviderKeys:
    """Fetches keys when they are needed, and not too often."""

    def __init__(self, fetch: Callable[[], Sequence[Jwk]], clock: Callable[[], float]) -> None:
        """Fetch nothing yet.

        Args:
            fetch: gives the keys, at least one, or raises FetchError.
            clock: seconds that never go back.
        """
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()  # the local server has threads
        self._set: _KeySet | None = None
        self._failure: FetchError | None = None
        self._may_fetch_at = float("-inf")

    def find(self, kid: str | None, algorithm: str) -> Jwk | None:
        """The key of this id that verifies this algorithm; None where the provider has none.

        Raises:
            KeysUnavailableError: there are no keys, or not this one, while the provider can't be
                reached.
        """
        with self._lock:
            if self._age() > FRESH_S:
                self._refresh()
            if (key := self._known(kid, algorithm)) is not None:
                return key
            if self._refresh():
                key = self._known(kid, algorithm)
            if key is None and self._failure is not None:
                raise KeysUnavailableError from self._failure
            return key

    def _age(self) -> float:
        return float("inf") if self._set is None else self._clock() - self._set.fetched_at

    def _known(self, kid: str | None, algorithm: str) -> Jwk | None:
        if self._set is None or self._age() > USABLE_S:
            return None
        return self._set.find(kid, algorithm)

    def _refresh(self) -> bool:
        """Fetch the keys, unless that was done just before; whether there are new ones."""
        if self._clock() < self._may_fetch_at:
            return False
        try:
            self._set = _KeySet(self._fetch(), self._clock())
            self._failure = None
        except FetchError as error:
            self._failure = error
        usable = self._age() <= USABLE_S
        self._may_fetch_at = self._clock() + (PAUSE_S if usable else PAUSE_WITHOUT_KEYS_S)
        return self._failure is None


def usable_keys(document: dict[str, Any], algorithms: Sequence[str]) -> Sequence[Jwk]:
    """The keys of a JWK set that verify signatures of one of these algorithms.

    Raises:
        FetchError: there are none.
    """
    keys = document.get("keys")
    usable = [
        key
        for key in (keys if isinstance(keys, list) else [])
        if isinstance(key, dict) and any(_verifies(key, algorithm) for algorithm in algorithms)
    ]
    if not usable:
        raise FetchError("no usable keys")
    return usable


def _verifies(key: Jwk, algorithm: str) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == _KEY_TYPES[algorithm[:2]]
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and key.get("alg", algorithm) == algorithm
    )


def _fits(key: Jwk, kid: str | None, algorithm: str) -> bool:
    return (kid is None or key.get("kid") == kid) and _verifies(key, algorithm)
