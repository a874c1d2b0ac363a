"""The order of the policies, and what becomes of their answers: `chalicelib/auth/policies.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.auth.policies import (
    MAX_USER_ID_BYTES,
    PolicyUnavailableError,
    RefusedCredentialsError,
    authenticate,
)
from chalicelib.protocol.messages import Request

ASKED = Request("GET", "/v1/", headers={"authorization": "Bearer the-token"})


class Knows:
    """A policy that says who each request is from, or raises."""

    def __init__(self, name: str, answer: str | Exception | None, challenge: str = "") -> None:
        self.name = name
        self.challenge = challenge or f'{name.title()} realm="Realm"'
        self._answer = answer
        self.asked = 0

    def user_id(self, request: Request) -> str | None:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def knowing(*answers: str | Exception | None) -> list[Knows]:
    """Policies `a`, `b` and so on."""
    return [Knows(chr(ord("a") + place), answer) for place, answer in enumerate(answers)]


# The user id


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], None),
        ([None, None], None),
        (["1", None], "a:1"),
        ([None, "1"], "b:1"),
        (["1", "2"], "a:1"),
        (["1:2"], "a:1:2"),
        ([RefusedCredentialsError("no good"), "1"], "b:1"),
        ([RefusedCredentialsError("no good")], None),
        (["", "1"], "b:1"),
    ],
)
def test_the_first_policy_that_knows_the_user_decides(
    known: list[str | Exception | None], expected: str | None
) -> None:
    assert authenticate(ASKED, knowing(*known)).user_id == expected


def test_those_after_the_first_that_knows_the_user_are_not_asked() -> None:
    first, second, third = policies = knowing(None, "1", "2")

    authenticate(ASKED, policies)

    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


def test_a_policy_that_cannot_tell_leaves_it_to_no_other() -> None:
    policies = knowing(PolicyUnavailableError("down"), "1")

    with pytest.raises(PolicyUnavailableError, match="down"):
        authenticate(ASKED, policies)

    assert policies[1].asked == 0


@pytest.mark.parametrize("found", ["", "\n", "a\nb", "\x00", "\ud800", "\u202e", "\x7f", "a\tb"])
def test_an_id_that_is_empty_or_not_printable_is_nobodys(found: str) -> None:
    assert authenticate(ASKED, knowing(found)).user_id is None


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_an_id_has_at_most_1000_bytes_with_its_prefix(letter: str) -> None:
    size = len(letter.encode())
    longest = letter * ((MAX_USER_ID_BYTES - 2) // size)

    assert authenticate(ASKED, knowing(longest)).user_id == f"a:{longest}"
    assert authenticate(ASKED, knowing(longest + letter)).user_id is None


@given(st.text(st.characters(exclude_categories=())) | st.text(max_size=1100))
def test_any_id_is_a_users_or_nobodys(found: str) -> None:
    user_id = authenticate(ASKED, knowing(found)).user_id

    assert user_id is None or (
        user_id == f"a:{found}" and user_id.isprintable() and len(user_id.encode()) <= 1000
    )


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("basicauth", "work:5", None),
        ("basicauth", "work_5", "basicauth:work_5"),
        ("basicauth_work", "5", "basicauth_work:5"),
    ],
)
def test_the_older_form_of_an_id_is_no_other_policys_user(
    name: str, found: str, expected: str | None
) -> None:
    policies = [
        Knows(each, found if each == name else None) for each in ("basicauth", "basicauth_work")
    ]

    assert authenticate(ASKED, policies).user_id == expected


# Challenges


def test_the_challenges_of_all_policies_are_in_their_order() -> None:
    assert authenticate(ASKED, knowing(None, None)).challenges == (
        'A realm="Realm"',
        'B realm="Realm"',
    )


def test_a_challenge_that_policies_share_is_told_once() -> None:
    policies = [Knows(name, None, 'Bearer realm="Realm"') for name in ("a", "b")]

    assert authenticate(ASKED, policies).challenges == ('Bearer realm="Realm"',)


def test_what_is_wrong_with_credentials_is_in_the_challenge() -> None:
    policies = knowing(None, RefusedCredentialsError("The token has expired"))

    assert authenticate(ASKED, policies).challenges == (
        'A realm="Realm"',
        'B realm="Realm", error="invalid_token", error_description="The token has expired"',
    )


@pytest.mark.parametrize("whose_first", [True, False])
def test_the_policy_whose_credentials_they_are_knows_best_what_is_wrong(whose_first: bool) -> None:
    answers = [
        RefusedCredentialsError("expired"),
        RefusedCredentialsError("of another", is_foreign=True),
    ]
    if not whose_first:
        answers.reverse()
    policies = [Knows(str(place), answer, "Bearer") for place, answer in enumerate(answers)]

    assert authenticate(ASKED, policies).challenges == (
        'Bearer, error="invalid_token", error_description="expired"',
    )


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ('a "b" \\ c', "a ?b? ? c"),
        ("a\r\nX-Header: b", "a??X-Header: b"),
        ("é", "?"),
        ("no user of the-token", "no user of ***"),
    ],
)
def test_a_description_breaks_no_header_and_tells_no_token(description: str, told: str) -> None:
    (challenge,) = authenticate(ASKED, knowing(RefusedCredentialsError(description))).challenges

    assert challenge.endswith(f'error_description="{told}"')


# Times


@pytest.mark.parametrize(
    ("answers", "measured"),
    [
        ([None, None], {"a", "b"}),
        (["1", "2"], {"a"}),
        ([None, "1", None], {"a", "b"}),
        ([RefusedCredentialsError("no good"), "1"], {"a", "b"}),
    ],
)
def test_the_policies_that_were_asked_are_measured(
    answers: list[str | Exception | None], measured: set[str]
) -> None:
    times_ms: dict[str, float] = {}

    authenticate(ASKED, knowing(*answers), times_ms)

    assert times_ms.keys() == measured
    assert all(0 <= ms < 60_000 for ms in times_ms.values())


def test_a_policy_that_fails_is_measured_as_well() -> None:
    times_ms: dict[str, float] = {}

    with pytest.raises(PolicyUnavailableError):
        authenticate(ASKED, knowing(None, PolicyUnavailableError("down"), None), times_ms)

    assert times_ms.keys() == {"a", "b"}
