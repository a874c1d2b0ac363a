"""What is logged: one summary line a request, and every unexpected error with its trace.

As text for people, or as an object in JSON a line, by which the log can be searched and out of
which CloudWatch reads metrics. Every line about a request has its id, `rid`, also where what it
led to is told of much later, by another function.

Rule: spec, "The service around the resources", section 10. Credentials are never logged: a user
is the user id, and wherever a client or an exception repeats the request's credentials, they are
replaced.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from chalicelib.protocol.credentials import hiding, redacted
from chalicelib.protocol.messages import Request, Response
from chalicelib.setting_values import CLASSIC, JSON

_log = logging.getLogger("kinto")

SUMMARY: Final = "request.summary"
SUBREQUEST: Final = "subrequest.summary"
METRICS: Final = "metrics"

_GREEN: Final = "\033[32m"
_YELLOW: Final = "\033[33m"
_RED: Final = "\033[31m"
_RESET: Final = "\033[0m"

_SEVERITIES: Final = {logging.CRITICAL: 0, logging.ERROR: 2, logging.WARNING: 4, logging.INFO: 6}
"""Of syslog."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
"""In ASCII, so that nothing in it ends a line, or is taken for an end by whoever reads it."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def about(request_id: str | None) -> Iterator[None]:
    """Have all lines name this request: the one that is answered, or that led to what is done."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


@dataclass(slots=True)  # not frozen, as that takes as long again to make
class Line:
    """A line of the log, before it is text or JSON. Nothing in it is secret.

    Attributes:
        type: what it is about: SUMMARY, `delivery` and so on.
        text: the classic line.
        fields: by name; values are JSON.
        members: of the JSON object beside the fields, as text; by `_aws` CloudWatch reads metrics
            of them.
    """

    type: str
    text: str
    fields: Mapping[str, Any]
    members: str = ""

    def __str__(self) -> str:
        """The classic line, in one colour."""
        return self.text

    @property
    def flat(self) -> Mapping[str, Any]:
        """The fields, with what are objects as text."""
        return self.fields


@dataclass(slots=True)
class SummaryLine(Line):
    """The line of a request, which becomes text only where that is wanted.

    Attributes:
        times_ms: how long each policy, listener and call took, as the classic line has it; JSON
            has the same as members.
    """

    times_ms: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def __str__(self) -> str:
        """The classic line, in one colour."""
        return self.rendered(in_colour=False)

    @property
    def flat(self) -> Mapping[str, Any]:
        """The fields; what are objects, as text."""
        asked = self.fields["querystring"]
        return {**self.fields, "querystring": _encode(asked) if asked else "{}"}

    def rendered(self, *, in_colour: bool) -> str:
        """The classic line."""
        times = {
            kind: {name: _rounded(ms) for name, ms in by_name.items()}
            for kind, by_name in self.times_ms.items()
            if by_name
        }
        return render({**self.fields, **times}, in_colour=in_colour)


class ClassicFormatter(logging.Formatter):
    """Lines as Kinto's classic renderer writes them: for people.

    Metrics are a line of their own below.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without a trace, which follows."""
        line = record.msg
        text = _in_colour(record) if sys.stdout.isatty() else record.message
        if not isinstance(line, Line) or not has_metrics(line.members):
            return text
        metrics = f'{{{line.members},"rid":{_encode(line.fields["rid"])}}}'
        return f"{text}\n{metrics}" if text else metrics


def has_metrics(members: str) -> bool:
    """Whether CloudWatch reads metrics of these members of a line."""
    return members.startswith('"_aws"')


def _in_colour(record: logging.LogRecord) -> str:
    if isinstance(record.msg, SummaryLine):
        return record.msg.rendered(in_colour=True)
    if record.levelno < logging.WARNING:
        return record.message
    colour = _RED if record.levelno > logging.WARNING else _YELLOW
    return f"{colour}{record.message}{_RESET}"


class Output(logging.Handler):
    """Writes the log to standard output, whatever that is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        write_text(self.format(record))


def write_text(text: str) -> None:
    """Write to standard output, in one piece: CloudWatch reads no metrics from torn lines."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class JsonFormatter(logging.Formatter):
    """Lines as Kinto's MozillaHekaRenderer writes them, and members for metrics beside that."""

    def __init__(self) -> None:
        """Find out what all lines have."""
        super().__init__()
        common = {"Logger": _log.name, "Hostname": os.uname().nodename, "EnvVersion": "2.0"}
        self._common = _encode({**common, "Pid": os.getpid()})[1:-1]

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, of ours or of others."""
        line = record.msg
        if not isinstance(line, Line):
            line = _line("message", record.getMessage())
        trace = record.exc_text
        if trace is None and record.exc_info:
            trace = self.formatException(record.exc_info)
        return self.text(record.levelno, line, trace)

    def text(self, level: int, line: Line, trace: str | None) -> str:
        """The line."""
        fields = {**line.flat, "traceback": trace} if trace else line.flat
        members = f"{line.members}," if line.members else ""
        severity = _SEVERITIES.get(level, 7)
        return (
            f'{{{members}"Timestamp":{time.time_ns()},"Type":"{line.type}","Severity":{severity},'
            f'{self._common},"Fields":{_encode(fields)}}}'
        )


_JSON: Final = JsonFormatter()
_OUTPUTS: Final = {CLASSIC: Output(), JSON: Output()}
_OUTPUTS[CLASSIC].setFormatter(ClassicFormatter())
_OUTPUTS[JSON].setFormatter(_JSON)


def configure_logging(renderer: str = CLASSIC) -> None:
    """Write the service's log to standard output, and nothing of it twice.

    Args:
        renderer: CLASSIC or JSON.
    """
    for output in _OUTPUTS.values():
        _log.removeHandler(output)
    _log.addHandler(_OUTPUTS[renderer])
    _log.setLevel(logging.INFO)
    _log.propagate = False


def _line(type: str, text: str, members: str = "", **fields: Any) -> Line:
    """A line that is one, whatever is in its text."""
    message = _one_line(text)
    named = {"message": message, "rid": _request_id.get(), **fields}
    return Line(type, message, named, members)


def _write(level: int, *lines: Line, trace: str | None = None) -> None:
    """Hand lines to whoever listens.

    On Lambda that is standard output alone: a record of `logging` would take as long as the rest.

    Args:
        level: of the lines.
        lines: to be written.
        trace: as text, in the place of an exception, which formatters would write as it is.
    """
    if not _log.isEnabledFor(level):
        return
    if _log.handlers == [_OUTPUTS[JSON]]:
        write_text("\n".join(_JSON.text(level, line, trace) for line in lines))
        return
    for line in lines:
        record = _log.makeRecord(_log.name, level, __file__, 0, line, (), None)
        record.exc_text = trace
        _log.handle(record)


def _trace() -> str:
    """That of the exception that is being handled."""
    return traceback.format_exc().rstrip("\n")


def log_request(
    request: Request,
    response: Response,
    *,
    user_id: str | None,
    seconds: float,
    policies_ms: Mapping[str, float] | None = None,
    listeners_ms: Mapping[str, float] | None = None,
    calls_ms: Mapping[str, Sequence[float]] | None = None,
    facts: Mapping[str, Any] | None = None,
    members: str = "",
) -> None:
    """Log the summary of a request.

    Args:
        request: as it came.
        response: to it.
        user_id: who asked, with prefix; None for the anonymous.
        seconds: that it took.
        policies_ms: how long each policy that was asked took, by name.
        listeners_ms: how long those took that heard of it before the commit, by name.
        calls_ms: how long each call of DynamoDB took, by operation.
        facts: further fields, by Kinto's names.
        members: of the line in JSON.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    fields = summarize(request, response, user_id=user_id, seconds=seconds, facts=facts)
    times_ms = {"authn_ms": policies_ms, "listeners_ms": listeners_ms, "storage_ms": calls_ms}
    _write(logging.INFO, SummaryLine(SUMMARY, "", fields, members, times_ms))


def log_subrequests(requests: Iterable[tuple[Request, int]]) -> None:
    """Log requests of a batch and the statuses of their answers, once these are stored."""
    if _log.isEnabledFor(logging.INFO):
        _write(logging.INFO, *(_line_of_subrequest(*each) for each in requests))


def _line_of_subrequest(request: Request, status: int) -> Line:
    hide = hiding(request)
    fields = {"code": status, "method": hide(request.method), "path": hide(request.path)}
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return Line(SUBREQUEST, _one_line(f"{SUBREQUEST} {told}"), {**fields, "rid": request.id})


def log_unexpected(request: Request) -> None:
    """Log the exception that is being handled, with its trace."""
    line = _line_of(request, "request.failed", f"{_asked(request)} failed unexpectedly")
    _write(logging.ERROR, line, trace=redacted(request, _trace()))


def log_unavailable(request: Request, error: Exception) -> None:
    """Log that the storage, or a policy, did not do its part, and what was in the way last."""
    why = redacted(request, _with_cause(error))
    line = _line_of(request, "request.unavailable", f"{_asked(request)}: {why}")
    _write(logging.CRITICAL, line)


def _with_cause(error: Exception) -> str:
    return f"{error}, {error.__cause__!r}" if error.__cause__ else str(error)


def log_stopped(request: Request, error: Exception) -> None:
    """Log that a request in several transactions is answered with what it has done so far."""
    text = f"{_asked(request)} stopped on its way: {redacted(request, str(error))}"
    _write(logging.WARNING, _line_of(request, "request.stopped", text))


def _asked(request: Request) -> str:
    return redacted(request, f"{request.method} {request.path} (request {request.id})")


def _line_of(request: Request, type: str, text: str) -> Line:
    method, path = redacted(request, request.method), redacted(request, request.path)
    return _line(type, text, rid=request.id, method=method, path=path)


def log_warning(message: str) -> None:
    """Log what an operator should know at the start."""
    _write(logging.WARNING, _line("warning", message))


def log_done(message: str) -> None:
    """Log what was done outside of requests."""
    _write(logging.INFO, _line("done", message))


def log_metrics(members: str) -> None:
    """Log what there is to tell of something that has no line of its own, if there is anything."""
    if has_metrics(members):
        _write(logging.INFO, Line(METRICS, "", {"rid": _request_id.get()}, members))


def log_failed_table(table: str, error: Exception | None) -> None:
    """Log that a heartbeat found a table that does not work; None where it lost what it took."""
    why = "it does not give back what it took" if error is None else _with_cause(error)
    text = f"heartbeat: the table {table} does not work: {why}"
    _write(logging.ERROR, _line("heartbeat.failed", text, table=table))


def log_failed_subscriber(name: str, event: type) -> None:
    """Log the exception that a subscriber raised when it heard of an event."""
    text = f"the subscriber {name} of {event.__name__} failed"
    _write(logging.ERROR, _line("listener.failed", text, listener=name), trace=_trace())


def log_failed_listener(name: str) -> None:
    """Log the exception that a listener raised when it was told of an event."""
    line = _line("listener.failed", f"the listener {name} failed", listener=name)
    _write(logging.ERROR, line, trace=_trace())


def log_delivery(
    listener: str,
    event_id: str,
    outcome: str,
    *,
    seconds: float | None = None,
    is_failure: bool = False,
    members: str = "",
) -> None:
    """Log what became of a delivery, and how long the listener took."""
    ms = None if seconds is None else round(seconds * 1000)
    took = "" if ms is None else f" ({ms} ms)"
    line = _line(
        "delivery",
        f"delivery of {event_id} to {listener}: {outcome}{took}",
        members,
        listener=listener,
        event_id=event_id,
        outcome=outcome,
        t=ms,
    )
    _write(logging.ERROR if is_failure else logging.INFO, line)


def log_failed_record(name: str, error: Exception) -> None:
    """Log that a change of an item can't be processed; its content is in the dead letters."""
    text = f"change {name} can't be processed: {type(error).__name__}"
    _write(logging.ERROR, _line("change.failed", text))


def summarize(
    request: Request,
    response: Response,
    *,
    user_id: str | None,
    seconds: float,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The fields of a request's summary, by Kinto's names."""
    hide = hiding(request)
    agent, lang = map(request.headers.get, ("user-agent", "accept-language"))
    authn_type, _, uid = (user_id or "").partition(":")
    return {
        "agent": agent and hide(agent),
        "authn_type": authn_type or None,
        "code": response.status,
        **(facts or {}),
        "errno": response.parsed.get("errno") if response.status >= 400 else None,
        "lang": lang and hide(lang),
        "method": hide(request.method),
        "path": hide(request.path),
        "querystring": {hide(name): hide(value) for name, value in request.query},
        "rid": request.id,
        "t": round(seconds * 1000),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "uid": uid or None,
    }


def render(summary: Mapping[str, Any], *, in_colour: bool) -> str:
    """The summary as a line of the classic log."""
    query = "&".join(f"{name}={value}" for name, value in summary["querystring"].items())
    target = summary["path"] + (f"?{query}" if query else "")
    told = ("code", "method", "path", "querystring", "t")
    others = " ".join(
        f"{name}={_text(value)}" for name, value in sorted(summary.items()) if name not in told
    )
    status = _in_its_colour(summary["code"]) if in_colour else summary["code"]
    asked = _one_line(f'"{summary["method"]:<5} {target}"')
    return f"{asked} {status} ({summary['t']} ms) {SUMMARY} {_one_line(others)}"


def _text(value: Any) -> str:
    if value is None:
        return "?"
    return value if isinstance(value, str) else json.dumps(value)


def _rounded(ms: Any) -> Any:
    return [round(each, 2) for each in ms] if isinstance(ms, list) else round(ms, 2)


def _one_line(text: str) -> str:
    """The text with control characters escaped, so that no client writes lines of the log."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in text
    )


def _in_its_colour(status: int) -> str:
    colour = _GREEN if status < 400 else _YELLOW if status < 500 else _RED
    return f"{colour}{status}{_RESET}"
