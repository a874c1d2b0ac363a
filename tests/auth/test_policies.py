"""The order of the policies: `chalicelib/auth/policies.py`."""

import pytest

from chalicelib.auth.policies import authenticate
from chalicelib.protocol.messages import Request


class Knows:
    """A policy that says who each request is from."""

    def __init__(self, user_id: str | None) -> None:
        self._user_id = user_id

    def user_id(self, request: Request) -> str | None:
        return self._user_id


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], None),
        ([None, None], None),
        (["a:1", None], "a:1"),
        ([None, "b:1"], "b:1"),
        (["a:1", "b:1"], "a:1"),
    ],
)
def test_the_first_policy_that_knows_the_user_decides(
    known: list[str | None], expected: str | None
) -> None:
    policies = [Knows(user_id) for user_id in known]

    assert authenticate(Request("GET", "/v1/"), policies) == expected
