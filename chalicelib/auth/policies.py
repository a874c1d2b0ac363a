"""Which authentication policies there are, and in which order they are asked."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from chalicelib.protocol.credentials import redacted
from chalicelib.protocol.messages import Request
from chalicelib.protocol.principals import principals_of

MAX_USER_ID_BYTES = 1000
"""Of a user id in UTF-8, with its prefix: it is part of DynamoDB's keys, which hold 1024 bytes."""


class PolicyUnavailableError(Exception):
    """Whose credentials these are can't be told now: 503, and the client may ask again."""


class RefusedCredentialsError(Exception):
    """Credentials of the policy's kind that are no good. The request is anonymous, as with none.

    Attributes:
        description: what the 401 says, if that is how the request ends: a fixed text, nothing
            of what was sent.
        is_foreign: whether they may well be another policy's, which then knows better.
    """

    def __init__(self, description: str, *, is_foreign: bool = False) -> None:
        """Say what is wrong with the credentials."""
        super().__init__(description)
        self.description = description
        self.is_foreign = is_foreign


class Policy(Protocol):
    """Tells who a request is from."""

    @property
    def name(self) -> str:
        """The prefix of its user ids, and its name in settings and logs."""

    @property
    def challenge(self) -> str:
        """What the header WWW-Authenticate of a 401 says of it."""

    def user_id(self, request: Request) -> str | None:
        """The user id without prefix; None where these are no credentials of its kind.

        Raises:
            RefusedCredentialsError: they are of its kind, and no good; says what is wrong.
            PolicyUnavailableError: what it takes to tell can't be reached.
        """


@dataclass(frozen=True, slots=True)
class Authentication:
    """What the policies found out of a request.

    Attributes:
        user_id: with the prefix of the policy that knows the user; None for the anonymous.
        challenges: what a 401 has in WWW-Authenticate, in the order of the policies.
    """

    user_id: str | None
    challenges: tuple[str, ...] = ()


ANONYMOUS = Authentication(None)
"""What is known before a policy is asked."""


def authenticate(
    request: Request, policies: Sequence[Policy], times_ms: dict[str, float] | None = None
) -> Authentication:
    """Ask the policies in their order; the first that knows the user decides.

    Args:
        request: whose credentials are looked at.
        policies: each under a name of its own.
        times_ms: gets the time of each policy that was asked, by its name, also when one raises.

    Raises:
        PolicyUnavailableError: a policy can't tell. Those after it are not asked, or the same
            credentials would be one user now and another one later.
    """
    measured: dict[str, float] = {} if times_ms is None else times_ms
    refusals: dict[str, RefusedCredentialsError | None] = {}
    for policy in policies:
        refusals.setdefault(policy.challenge, None)
        try:
            with _timed(policy.name, measured):
                found = policy.user_id(request)
        except RefusedCredentialsError as error:
            before = refusals[policy.challenge]
            if before is None or before.is_foreign:
                refusals[policy.challenge] = error
            continue
        user_id = _prefixed(policy.name, found, policies)
        if user_id is not None:
            return Authentication(user_id)
    return Authentication(None, tuple(_challenges(request, refusals)))


@contextmanager
def _timed(name: str, times_ms: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        times_ms[name] = (time.perf_counter() - started) * 1000


def _prefixed(name: str, found: str | None, policies: Sequence[Policy]) -> str | None:
    """The user id with its prefix; None for what can be nobody's."""
    if not found:
        return None
    user_id = f"{name}:{found}"
    if not user_id.isprintable() or len(user_id.encode()) > MAX_USER_ID_BYTES:
        return None
    # A principal that a user has besides, such as the older form of the id, which has an
    # underscore for its colon, must not be the user of another policy.
    besides = principals_of(user_id) - {user_id}
    prefixes = tuple(f"{policy.name}:" for policy in policies)
    return None if any(each.startswith(prefixes) for each in besides) else user_id


def _challenges(
    request: Request, refusals: dict[str, RefusedCredentialsError | None]
) -> Iterator[str]:
    """Each challenge once, however many policies have it."""
    for challenge, refused in refusals.items():
        if refused is None:
            yield challenge
        else:
            text = re.sub(r'[^ -~]|["\\]', "?", redacted(request, refused.description))
            yield f'{challenge}, error="invalid_token", error_description="{text}"'
