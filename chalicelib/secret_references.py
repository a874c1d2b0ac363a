"""Secrets that are kept elsewhere: a setting names one, and its value is never deployed."""

import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from chalicelib.aws_clients import client_of

KEPT_S: Final = 300.0
"""How long a value is used before it is looked up again: a rotation is taken over by then."""

RETRIED_S: Final = 30.0
"""How long an old value is used where it can't be looked up: that takes time at each attempt."""

_REFERENCE: Final = re.compile(r"(?P<service>ssm|secretsmanager):(?P<name>\S+)")
_MEANT: Final = re.compile("(ssm|secretsmanager):")


class SecretError(Exception):
    """A secret that can't be had; names its reference, never a value."""


class _Kept(NamedTuple):
    value: str
    until_s: float


def is_reference(text: str) -> bool:
    """Whether this names a secret: `ssm:NAME` or `secretsmanager:NAME_OR_ARN`, without blanks."""
    return _REFERENCE.fullmatch(text) is not None


class Secrets:
    """Values behind references, kept for a while.

    Threads may share it: at worst, two look up the same value.
    """

    def __init__(
        self,
        region: str | None = None,
        endpoint_url: str | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is called yet.

        Args:
            region: as botocore finds it, if None.
            endpoint_url: of both services, in place of AWS's own.
            now_s: a clock that never goes back.
        """
        self._where = (region, endpoint_url)
        self._now_s = now_s
        self._clients: dict[str, Any] = {}
        self._kept: dict[str, _Kept] = {}

    def value_of(self, text: str) -> str:
        """What a setting's text stands for: itself, unless it is a reference.

        A value is used for 300 s, and on after that where it can't be looked up again.

        Raises:
            SecretError: the first look-up failed, or found no text, or it is a reference to
                nothing.
        """
        reference = _REFERENCE.fullmatch(text)
        if reference is None and _MEANT.match(text):
            raise SecretError(f"{text!a} names no secret: it has no name, or blanks in it")
        if reference is None:
            return text
        kept = self._kept.get(text)
        if kept is not None and self._now_s() < kept.until_s:
            return kept.value
        try:
            found, lasts_s = self._looked_up(reference), KEPT_S
        except SecretError:
            if kept is None:
                raise
            found, lasts_s = kept.value, RETRIED_S
        self._kept[text] = _Kept(found, self._now_s() + lasts_s)
        return found

    def _looked_up(self, reference: re.Match[str]) -> str:
        # A function without references does without botocore's clients.
        from botocore.exceptions import BotoCoreError, ClientError

        service, name = reference["service"], reference["name"]
        try:
            client = self._client(service)
            if service == "ssm":
                answer = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]
                value = answer.get("Value")
            else:
                value = client.get_secret_value(SecretId=name).get("SecretString")
        except ClientError as error:
            why = error.response.get("Error", {}).get("Code")
            raise SecretError(f"{reference[0]} can't be had: {why}") from error
        except BotoCoreError as error:
            raise SecretError(f"{reference[0]} can't be had: {type(error).__name__}") from error
        if not isinstance(value, str):
            raise SecretError(f"{reference[0]} can't be had: it is not a text")
        return value

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            # Two of them leave time for what they are for, in a function that has 30 s.
            self._clients[service] = client_of(
                service, *self._where, connect_s=1, read_s=2, attempts=2
            )
        return self._clients[service]
