"""What is logged: one summary line a request, and every unexpected error with its trace.

Rule: spec, "The service around the resources", section 10. Credentials are never logged: a user
is the user id, and wherever a client or an exception repeats the request's credentials, they are
replaced.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from chalicelib.protocol.credentials import hiding, redacted
from chalicelib.protocol.messages import Request, Response

_log = logging.getLogger("kinto")

_GREEN: Final = "\033[32m"
_YELLOW: Final = "\033[33m"
_RED: Final = "\033[31m"
_RESET: Final = "\033[0m"


def configure_logging() -> None:
    """Write the service's log to standard output, and nothing of it twice."""
    if not _log.handlers:
        _log.addHandler(logging.StreamHandler(sys.stdout))
        _log.setLevel(logging.INFO)
        _log.propagate = False


def log_request(
    request: Request,
    response: Response,
    *,
    user_id: str | None,
    seconds: float,
    policies_ms: Mapping[str, float] | None = None,
    listeners_ms: Mapping[str, float] | None = None,
) -> None:
    """Log the summary of a request, in colour on a terminal."""
    if _log.isEnabledFor(logging.INFO):
        summary = summarize(
            request,
            response,
            user_id=user_id,
            seconds=seconds,
            policies_ms=policies_ms,
            listeners_ms=listeners_ms,
        )
        _log.info("%s", render(summary, in_colour=sys.stdout.isatty()))


def log_subrequest(request: Request, status: int) -> None:
    """Log a request of a batch, once that is stored."""
    if _log.isEnabledFor(logging.INFO):
        told = _told(request, f"code={status} method={request.method} path={request.path}")
        _log.info("subrequest.summary %s", told)


def log_unexpected(request: Request) -> None:
    """Log the exception that is being handled, with its trace."""
    record = _log.makeRecord(
        *(_log.name, logging.ERROR, __file__, 0),
        *("%s failed unexpectedly", (_asked(request),), None),
    )
    # The trace as text in the place of the exception, which formatters would write out as it is.
    record.exc_text = redacted(request, traceback.format_exc().rstrip("\n"))
    _log.handle(record)


def log_unavailable(request: Request, error: Exception) -> None:
    """Log that the storage, or a policy, did not do its part, and what was in the way last."""
    _log.critical("%s: %s", _asked(request), _told(request, _with_cause(error)))


def _with_cause(error: Exception) -> str:
    return f"{error}, {error.__cause__!r}" if error.__cause__ else str(error)


def log_stopped(request: Request, error: Exception) -> None:
    """Log that a request in several transactions is answered with what it has done so far."""
    _log.warning("%s stopped on its way: %s", _asked(request), _told(request, str(error)))


def _asked(request: Request) -> str:
    return _told(request, f"{request.method} {request.path} (request {request.id})")


def _told(request: Request, text: str) -> str:
    return _one_line(redacted(request, text))


def log_warning(message: str) -> None:
    """Log what an operator should know at the start."""
    _log.warning("%s", message)


def log_done(message: str) -> None:
    """Log what was done outside of requests."""
    _log.info("%s", _one_line(message))


def log_failed_table(table: str, error: Exception | None) -> None:
    """Log that a heartbeat found a table that does not work; None where it lost what it took."""
    why = "it does not give back what it took" if error is None else _with_cause(error)
    _log.error("heartbeat: the table %s does not work: %s", table, _one_line(why))


def log_failed_subscriber(name: str, event: type) -> None:
    """Log the exception that a subscriber raised when it heard of an event."""
    _log.exception("the subscriber %s of %s failed", name, event.__name__)


def log_failed_listener(name: str) -> None:
    """Log the exception that a listener raised when it was told of an event."""
    _log.exception("the listener %s failed", name)


def log_delivery(
    listener: str,
    event_id: str,
    outcome: str,
    *,
    seconds: float | None = None,
    is_failure: bool = False,
) -> None:
    """Log what became of a delivery, and how long the listener took."""
    took = "" if seconds is None else f" ({round(seconds * 1000)} ms)"
    level = logging.ERROR if is_failure else logging.INFO
    _log.log(level, "%s", _one_line(f"delivery of {event_id} to {listener}: {outcome}{took}"))


def log_failed_record(name: str, error: Exception) -> None:
    """Log that a change of an item can't be processed; its content is in the dead letters."""
    _log.error("change %s can't be processed: %s", _one_line(name), type(error).__name__)


def summarize(
    request: Request,
    response: Response,
    *,
    user_id: str | None,
    seconds: float,
    policies_ms: Mapping[str, float] | None = None,
    listeners_ms: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The fields of a request's summary, by Kinto's names.

    And two of ours, in ms by name: `authn_ms`, how long each policy that was asked took, and
    where there are any `listeners_ms`, how long each took that heard of it before the commit.
    """
    hide = hiding(request)
    agent, lang = (request.headers.get(name) for name in ("user-agent", "accept-language"))
    authn_type, _, uid = (user_id or "").partition(":")
    return {
        "agent": hide(agent) if agent is not None else None,
        "authn_ms": _rounded(policies_ms) or None,
        "authn_type": authn_type or None,
        **_batch_size(response),
        "code": response.status,
        "errno": response.parsed.get("errno") if response.status >= 400 else None,
        **({"listeners_ms": _rounded(listeners_ms)} if listeners_ms else {}),
        "lang": hide(lang) if lang is not None else None,
        "method": hide(request.method),
        "path": hide(request.path),
        "querystring": {hide(name): hide(value) for name, value in request.query},
        "t": round(seconds * 1000),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "uid": uid or None,
    }


def _rounded(ms_by_name: Mapping[str, float] | None) -> dict[str, float]:
    return {name: round(ms, 2) for name, ms in (ms_by_name or {}).items()}


def _batch_size(response: Response) -> dict[str, int]:
    """How many requests a batch had, where this is the answer to one."""
    answers = response.parsed.get("responses")
    return {"batch_size": len(answers)} if isinstance(answers, list) else {}


def render(summary: Mapping[str, Any], *, in_colour: bool) -> str:
    """The summary as a line of the classic log."""
    query = "&".join(f"{name}={value}" for name, value in summary["querystring"].items())
    target = summary["path"] + (f"?{query}" if query else "")
    told = ("code", "method", "path", "querystring", "t")
    others = " ".join(
        f"{name}={_text(value)}" for name, value in sorted(summary.items()) if name not in told
    )
    status = _coloured(summary["code"]) if in_colour else summary["code"]
    asked = _one_line(f'"{summary["method"]:<5} {target}"')
    return f"{asked} {status} ({summary['t']} ms) request.summary {_one_line(others)}"


def _text(value: Any) -> str:
    if value is None:
        return "?"
    return value if isinstance(value, str) else json.dumps(value)


def _one_line(text: str) -> str:
    """The text with control characters escaped, so that no client writes lines of the log."""
    return "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in text
    )


def _coloured(status: int) -> str:
    colour = _GREEN if status < 400 else _YELLOW if status < 500 else _RED
    return f"{colour}{status}{_RESET}"
