"""How long keys are kept, and how often they are fetched: `chalicelib/auth/keys.py`."""

import pytest

from chalicelib.auth import tokens
from chalicelib.auth.keys import FRESH_S, PAUSE_S, PAUSE_WITHOUT_KEYS_S, USABLE_S
from chalicelib.auth.openid import OpenIdPolicy
from chalicelib.auth.policies import (
    PolicyUnavailableError,
    RefusedCredentialsError,
    authenticate,
)
from tests.auth.issuer import JWKS, Issuer, bearing, rsa_key, token


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def policy(issuer: Issuer) -> OpenIdPolicy:
    return issuer.policy(jwks_uri=JWKS)


def knows(policy: OpenIdPolicy, kid: str = "first") -> bool:
    """Whether a token that is signed with this key is taken, or no such key known."""
    found = authenticate(bearing(token(kid=kid)), [policy])
    assert found.user_id or tokens.UNKNOWN_KEY in found.challenges[0]
    return found.user_id == "login:42"


def fetches(issuer: Issuer) -> int:
    """How many there were since the last time."""
    count = len(issuer.fetched)
    issuer.fetched.clear()
    return count


def test_keys_are_fetched_once(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert all(knows(policy) for _ in range(5))
    issuer.clock.now_s += FRESH_S
    assert knows(policy)

    assert fetches(issuer) == 1


def test_keys_are_fetched_again_after_an_hour(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert knows(policy)
    issuer.rotate("second")
    issuer.clock.now_s += FRESH_S + 1

    assert not knows(policy)
    assert knows(policy, "second")
    assert fetches(issuer) == 2


def test_a_new_key_is_known_at_once(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert knows(policy)
    issuer.rotate("first", "second")
    issuer.clock.now_s += PAUSE_S

    assert knows(policy, "second")
    assert knows(policy)
    assert fetches(issuer) == 2


def test_a_flood_of_unknown_keys_is_no_flood_of_requests(
    issuer: Issuer, policy: OpenIdPolicy
) -> None:
    assert knows(policy)
    issuer.clock.now_s += PAUSE_S
    fetches(issuer)

    for number in range(100):
        sent = token(kid=f"made-up-{number}", key=rsa_key("another"))
        with pytest.raises(RefusedCredentialsError):
            policy.user_id(bearing(sent))
        issuer.clock.now_s += 1

    assert fetches(issuer) == 2


def test_a_flood_that_comes_first_is_none_either(issuer: Issuer, policy: OpenIdPolicy) -> None:
    for _ in range(10):
        assert not knows(policy, "another")

    assert fetches(issuer) == 1
    assert knows(policy)


def test_keys_are_used_on_while_the_provider_is_down(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert knows(policy)
    issuer.is_down = True

    for age_s in (FRESH_S + 1, 2 * FRESH_S, USABLE_S):
        issuer.clock.now_s = 1000 + age_s
        assert knows(policy)


def test_a_provider_that_is_down_is_asked_once_a_minute(
    issuer: Issuer, policy: OpenIdPolicy
) -> None:
    assert knows(policy)
    issuer.is_down = True
    issuer.clock.now_s += FRESH_S + 1
    fetches(issuer)

    for _ in range(PAUSE_S + 1):
        assert knows(policy)
        issuer.clock.now_s += 1

    assert fetches(issuer) == 2


def test_keys_are_not_used_forever(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert knows(policy)
    issuer.is_down = True
    issuer.clock.now_s += USABLE_S + 1

    with pytest.raises(PolicyUnavailableError):
        knows(policy)
    issuer.clock.now_s += PAUSE_WITHOUT_KEYS_S
    issuer.is_down = False
    assert knows(policy)


def test_without_keys_nobody_is_told_from_anybody(issuer: Issuer, policy: OpenIdPolicy) -> None:
    issuer.is_down = True

    for _ in range(3):
        with pytest.raises(PolicyUnavailableError) as caught:
            knows(policy)
        assert repr(caught.value.__cause__) == "FetchError('not reached')"

    assert fetches(issuer) == 1


def test_without_keys_the_provider_is_asked_again_soon(
    issuer: Issuer, policy: OpenIdPolicy
) -> None:
    issuer.is_down = True
    with pytest.raises(PolicyUnavailableError):
        knows(policy)
    issuer.is_down = False

    issuer.clock.now_s += PAUSE_WITHOUT_KEYS_S

    assert knows(policy)


def test_an_unknown_key_may_be_a_new_one_while_the_provider_is_down(
    issuer: Issuer, policy: OpenIdPolicy
) -> None:
    assert knows(policy)
    issuer.is_down = True
    issuer.clock.now_s += PAUSE_S

    for _ in range(2):
        with pytest.raises(PolicyUnavailableError):
            knows(policy, "second")
    assert knows(policy)


def test_keys_are_kept_where_the_provider_shows_none(issuer: Issuer, policy: OpenIdPolicy) -> None:
    assert knows(policy)
    issuer.show()
    issuer.clock.now_s += FRESH_S + 1

    assert knows(policy)
