"""An exception to its Response: the only place where error bodies are written.

Rule: spec, "The service around the resources", section 5.
"""

from collections.abc import Sequence

from chalicelib.api.headers import retry_after, validators
from chalicelib.protocol.errors import BACKEND, MISSING_AUTH_TOKEN, UNDEFINED, ProtocolError
from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.settings import Settings
from chalicelib.storage.failures import UnavailableError


def refusal(error: ProtocolError, *, challenges: Sequence[str] = ()) -> Response:
    """The answer to a request that ended so.

    Args:
        error: what it ended with.
        challenges: of the authentication policies; told to those who lack credentials.
    """
    kind = error.kind
    body: JsonObject = {"code": kind.status, "errno": kind.errno, "error": kind.error}
    if error.message is not None:
        body["message"] = error.message
    if error.details is not None:
        body["details"] = error.details
    headers = dict(error.headers)
    if error.timestamp is not None:
        headers |= validators(error.timestamp)
    if kind is MISSING_AUTH_TOKEN and challenges:
        headers["WWW-Authenticate"] = ", ".join(challenges)
    return Response(kind.status, body, headers)


def unavailable(settings: Settings, *, may_repeat: bool) -> Response:
    """503. With Retry-After only if nothing was carried out: clients repeat what has one."""
    headers = retry_after(settings) if may_repeat else {}
    return refusal(ProtocolError(BACKEND, headers=headers))


def stopped_by(error: Exception, settings: Settings, *, may_repeat: bool) -> Response:
    """The answer of what several transactions have begun, and this has ended in between."""
    if isinstance(error, (ProtocolError, UnavailableError)):
        return unavailable(settings, may_repeat=may_repeat)
    return unexpected(settings)


def unexpected(settings: Settings) -> Response:
    """500, for a mistake of ours; its text is for the logs alone."""
    answer = refusal(ProtocolError(UNDEFINED))
    return Response(
        answer.status, {**answer.parsed, "info": settings.error_info_link}, answer.headers
    )
