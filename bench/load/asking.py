"""How a user asks: each request counted by its kind and outcome, each answer checked."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, NamedTuple

from locust import FastHttpUser
from locust.contrib.fasthttp import ResponseContextManager

from bench.load.replica import WrongAnswerError
from bench.load.stage import Stage

_BUSY: Final = (429, 503)
_NO_KINTO: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_LONGEST_EVIDENCE: Final = 2_000


class AskedToWaitError(Exception):
    """The service did nothing, and wants to be asked later."""


class Answer(NamedTuple):
    """What the service answered.

    Attributes:
        status: an expected one.
        headers: whatever the case of their names.
        body: as parsed; None where there is none.
    """

    status: int
    headers: Mapping[str, str]
    body: Any


class Asking(FastHttpUser):
    """A user who waits where the service asks for it.

    Attributes:
        stage: that is under load.
        authorization: the header.
        resumes_at: of the monotonic clock, in seconds; nothing is to be asked before.
    """

    abstract = True
    insecure = False
    connection_timeout = 10.0
    network_timeout = 35.0
    stage: ClassVar[Stage]
    authorization: str
    resumes_at = 0.0

    @contextmanager
    def asking(
        self,
        kinds: Mapping[int, str],
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Answer]:
        """Ask, and give the answer to be checked, which is part of it: what is raised then counts.

        Args:
            kinds: the statuses that are expected, and what such a request is counted as; another
                one is a failure of the first kind.
            method: of HTTP.
            path: below `/v1`, or a whole URL.
            body: as JSON.
            headers: beside that of the user, whose place they may take.

        Raises:
            AskedToWaitError: it was answered with Retry-After, by 429 or 503.
            WrongAnswerError: the answer isn't what was expected.
        """
        with self.client.request(
            method,
            path,
            name=next(iter(kinds.values())),
            json=body,
            headers={"Authorization": self.authorization, **(headers or {})},
            allow_redirects=False,
            catch_response=True,
        ) as response:
            status, told = response.status_code, response.headers or {}
            self._heed(told)
            if status in _BUSY and "Retry-After" in told:
                response.request_meta["name"] += f", asked to wait ({status})"
                response.success()
                raise AskedToWaitError
            try:
                _expect(kinds, response)
                response.request_meta["name"] = kinds[status]
                with _as_kinto():
                    yield Answer(status, told, response.json() if response.content else None)
            except WrongAnswerError as error:
                evidence = error.evidence[:_LONGEST_EVIDENCE]
                response.request_meta["context"]["evidence"] = evidence
                response.failure(error.reason)
                raise
            response.success()

    def _heed(self, headers: Mapping[str, str]) -> None:
        for name in ("Backoff", "Retry-After"):
            text = headers.get(name, "")
            if text.isascii() and text.isdecimal():
                self.resumes_at = max(self.resumes_at, time.monotonic() + float(text))


def _expect(kinds: Mapping[int, str], response: ResponseContextManager) -> None:
    status = response.status_code
    if not status:
        error = getattr(response, "error", None)
        cause = getattr(error, "original", None) or error  # the client says that it tried once
        raise WrongAnswerError(f"no answer ({type(cause).__name__})", cause)
    if status not in kinds:
        raise WrongAnswerError(f"answers {status}{_message_of(response)}", response.text)


def _message_of(response: ResponseContextManager) -> str:
    try:
        return f" ({response.json()['message']})"
    except _NO_KINTO:
        return ""


@contextmanager
def _as_kinto() -> Iterator[None]:
    """Have what can't be read of an answer be an error of the answer."""
    try:
        yield
    except _NO_KINTO as error:
        raise WrongAnswerError("not answered as by a Kinto", repr(error)) from error
