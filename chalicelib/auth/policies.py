"""Which authentication policies there are, and in which order they are asked."""

from collections.abc import Iterable
from typing import Protocol

from chalicelib.protocol.messages import Request


class Policy(Protocol):
    """Tells who a request is from."""

    def user_id(self, request: Request) -> str | None:
        """The user id with the policy's prefix; None where these are not credentials of its."""


def authenticate(request: Request, policies: Iterable[Policy]) -> str | None:
    """The user id that the first policy knows; None for the anonymous."""
    for policy in policies:
        user_id = policy.user_id(request)
        if user_id is not None:
            return user_id
    return None
