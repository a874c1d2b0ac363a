"""What is logged: `chalicelib/observability.py`."""

import base64
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.observability import (
    ClassicFormatter,
    JsonFormatter,
    SummaryLine,
    about,
    configure_logging,
    log_delivery,
    log_done,
    log_failed_listener,
    log_failed_record,
    log_failed_subscriber,
    log_failed_table,
    log_request,
    log_stopped,
    log_subrequests,
    log_unavailable,
    log_unexpected,
    log_warning,
    render,
    summarize,
)
from chalicelib.protocol.messages import Request, Response

ASKED = Request(
    "GET",
    "/v1/buckets",
    query=(("_sort", "id"), ("_limit", "5")),
    headers={"user-agent": "kinto.js/1.0", "accept-language": "fr", "host": "example.org"},
    id="request-1",
)
SECRET = "correct horse battery"
CREDENTIALS = f"Basic {base64.b64encode(f'alice:{SECRET}'.encode()).decode()}"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"

# With all that ends a line somewhere, or moves a terminal's cursor.
HOSTILE = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from("a\r\n\x0b\x0c\x1b\x1c\x1d\x1e\x85\u2028\u2029\x00\x08\x7f\u202e")
)


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The service's logger as a new process has it; as it was before, afterwards."""
    logger = logging.getLogger("kinto")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture
def lines(logger: logging.Logger) -> Lines:
    kept = Lines()
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return kept


def line(
    request: Request = ASKED,
    response: Response = Response(200),  # noqa: B008 - frozen
    *,
    user_id: str | None = None,
    in_colour: bool = False,
) -> str:
    summary = summarize(request, response, user_id=user_id, seconds=0.0031) | {"rid": "r"}
    return render(summary | {"time": "then"}, in_colour=in_colour)


# The summary


def test_a_request_is_summarized_by_kintos_names() -> None:
    before = datetime.now(UTC)

    summary = summarize(ASKED, Response(200, {"data": []}), user_id="basicauth:97b9", seconds=0.25)

    then = datetime.fromisoformat(summary.pop("time"))
    assert abs((then - before).total_seconds()) < 60
    assert summary == {
        "agent": "kinto.js/1.0",
        "authn_type": "basicauth",
        "code": 200,
        "errno": None,
        "lang": "fr",
        "method": "GET",
        "path": "/v1/buckets",
        "querystring": {"_sort": "id", "_limit": "5"},
        "rid": "request-1",
        "t": 250,
        "uid": "97b9",
    }


def test_what_is_unknown_of_a_request_is_null() -> None:
    summary = summarize(Request("GET", "/v1/"), Response(304), user_id=None, seconds=0)

    unknown = {name for name, value in summary.items() if value is None}
    assert unknown == {"agent", "authn_type", "errno", "lang", "uid"}


@pytest.mark.parametrize(
    ("response", "errno"),
    [
        (Response(404, {"code": 404, "errno": 111}), 111),
        (Response(400, {"errno": 107}), 107),
        (Response(503, {"storage": False}), None),
        (Response(412), None),
        (Response(200, {"errno": 5}), None),  # someone's data
    ],
)
def test_the_errno_is_that_of_the_error_answered(response: Response, errno: int | None) -> None:
    assert summarize(ASKED, response, user_id=None, seconds=0)["errno"] == errno


def test_each_that_took_part_has_its_time(lines: Lines) -> None:
    log_request(
        ASKED,
        Response(200),
        user_id=None,
        seconds=0,
        policies_ms={"google": 12.3456, "basicauth": 0.004},
        listeners_ms={"audit": 12.3456, "lib.guard.check": 0.004},
        calls_ms={"Query": [1.23456, 2.0]},
    )

    (shown,) = lines.messages
    assert ' authn_ms={"google": 12.35, "basicauth": 0.0} ' in shown
    assert ' listeners_ms={"audit": 12.35, "lib.guard.check": 0.0} ' in shown
    assert ' storage_ms={"Query": [1.23, 2.0]} ' in shown


def test_where_nobody_took_part_there_are_no_times(lines: Lines) -> None:
    log_request(ASKED, Response(200), user_id=None, seconds=0, listeners_ms={})

    assert "_ms=" not in lines.messages[0]


def test_what_is_known_besides_is_among_the_fields() -> None:
    facts = {"collection_id": "record", "nb_records": 5}

    summary = summarize(ASKED, Response(200), user_id=None, seconds=0, facts=facts)

    assert (summary["collection_id"], summary["nb_records"]) == ("record", 5)


# The line


def test_the_line_is_that_of_the_classic_renderer() -> None:
    assert line(user_id="basicauth:97b9") == (
        '"GET   /v1/buckets?_sort=id&_limit=5" 200 (3 ms) request.summary'
        " agent=kinto.js/1.0 authn_type=basicauth errno=? lang=fr rid=r time=then uid=97b9"
    )


@pytest.mark.parametrize(
    ("request_", "begin"),
    [
        (Request("GET", "/v1/"), '"GET   /v1/" 404 (3 ms) request.summary agent=? '),
        (Request("PATCH", "/v1/x"), '"PATCH /v1/x" 404 (3 ms) request.summary agent=? '),
        (Request("OPTIONS", "/v1/x"), '"OPTIONS /v1/x" 404 (3 ms) request.summary agent=? '),
    ],
)
def test_methods_are_padded_and_unknown_values_shown_as_such(request_: Request, begin: str) -> None:
    shown = line(request_, Response(404, {"errno": 111}))

    assert shown.startswith(begin)
    assert shown.endswith("authn_type=? errno=111 lang=? rid=r time=then uid=?")


@pytest.mark.parametrize("status", [200, 304, 307, 404, 412, 500, 503])
def test_colour_is_around_the_status_alone(status: int) -> None:
    shown = line(response=Response(status), in_colour=True)

    begin, reset, end = shown.partition("\x1b[0m")
    before, escape, code = begin.partition("\x1b[")
    assert (bool(escape), bool(reset)) == (True, True)
    assert before + code.partition("m")[2] + end == line(response=Response(status))


def test_colours_tell_success_from_the_clients_faults_and_from_ours() -> None:
    colours = [
        line(response=Response(status), in_colour=True).partition("\x1b[")[2][:2]
        for status in (200, 304, 400, 412, 500, 503)
    ]

    assert colours[0] == colours[1] != colours[2] == colours[3] != colours[4] == colours[5]
    assert colours[0] != colours[4]


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_client_writes_lines_of_the_log(
    method: str, path: str, name: str, value: str, agent: str, lang: str
) -> None:
    headers = {"user-agent": agent, "accept-language": lang}
    request = Request(method, path, query=((name, value),), headers=headers)

    shown = line(request)

    assert shown.isprintable()
    assert len(shown.splitlines()) == 1


def test_a_line_break_is_shown_as_what_it_is() -> None:
    request = Request("GET", "/v1/a\nb", headers={"user-agent": "x\r\ny"})

    assert '"GET   /v1/a\\x0ab" 200' in line(request)
    assert "agent=x\\x0d\\x0ay " in line(request)


# The log


def test_a_request_is_one_line_at_level_info(lines: Lines) -> None:
    log_request(ASKED, Response(200), user_id=None, seconds=0.003)

    assert [record.levelno for record in lines.records] == [logging.INFO]
    assert lines.messages[0].startswith('"GET   /v1/buckets?_sort=id&_limit=5" 200 (3 ms) ')


def test_requests_are_not_logged_above_level_info(lines: Lines, logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)

    log_request(ASKED, Response(200), user_id=None, seconds=0.003)

    assert lines.messages == []


def test_percent_signs_of_a_client_format_nothing(lines: Lines) -> None:
    log_request(Request("GET", "/v1/%s%d%(x)s"), Response(200), user_id=None, seconds=0)

    assert "/v1/%s%d%(x)s" in lines.messages[0]


def fail(request: Request, error: Exception | None = None) -> None:
    """Log what an endpoint that fails is logged as."""
    try:
        raise error or LookupError("a mistake of ours")
    except Exception:
        log_unexpected(request)


def test_an_unexpected_error_is_logged_with_its_trace(lines: Lines) -> None:
    fail(ASKED)

    (record,) = lines.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "GET /v1/buckets (request request-1) failed unexpectedly"
    assert "LookupError: a mistake of ours" in logging.Formatter().format(record)


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/v1/a\n2030-01-01 forged", id="r"),
        Request("GET\n", "/v1/", id="r"),
        Request("GET", "/v1/\u2028\x1b[2J", id="r\r\nforged"),
    ],
)
def test_no_client_writes_lines_of_the_log_by_making_us_fail(
    lines: Lines, request_: Request
) -> None:
    fail(request_)

    assert lines.messages[0].isprintable()


def test_a_warning_is_logged_as_it_is(lines: Lines) -> None:
    log_warning("KINTO_X has no effect, 100 %")

    assert [(record.levelno, record.getMessage()) for record in lines.records] == [
        (logging.WARNING, "KINTO_X has no effect, 100 %")
    ]


def logged(lines: Lines) -> str:
    """All that is in the log, as a handler of any kind can read it."""
    formatters = (logging.Formatter(), ClassicFormatter(), JsonFormatter())
    shown = [each.format(record) for record in lines.records for each in formatters]
    return "\n".join([*shown, *(repr(vars(record)) for record in lines.records)])


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (CREDENTIALS, [SECRET, CREDENTIALS, CREDENTIALS.split()[1], f"alice:{SECRET}"]),
        (f"Bearer {TOKEN}", [TOKEN]),
        (TOKEN, [TOKEN]),
    ],
)
def test_credentials_are_never_logged(lines: Lines, header: str, secrets: list[str]) -> None:
    for secret in ["", *secrets]:
        request = Request(
            "GET",
            f"/v1/buckets/{secret}",
            query=(("token", secret), (secret, "x")),
            headers={"authorization": header, "user-agent": secret, "accept-language": secret},
            id="r",
        )
        error = ValueError(f"{secret!r} is no good", secret.encode())
        error.__cause__ = KeyError(secret)

        log_request(request, Response(401), user_id="basicauth:97b9", seconds=0)
        log_unavailable(request, error)
        log_stopped(request, error)
        fail(request, error)
        summary = summarize(request, Response(401), user_id="basicauth:97b9", seconds=0)

        assert not [each for each in secrets if each in logged(lines) + json.dumps(summary)]
    assert "ValueError: ('*** is no good'" not in logged(lines)
    assert "'***' is no good" in logged(lines)


def test_what_is_logged_without_credentials_is_as_it_was_sent(lines: Lines) -> None:
    fail(Request("GET", "/v1/a", headers={"authorization": ""}), ValueError("of /v1/a"))

    assert "ValueError: of /v1/a" in logged(lines)


def test_what_was_in_the_way_is_critical(lines: Lines) -> None:
    error = LookupError("no keys")
    log_unavailable(ASKED, error)
    error.__cause__ = OSError("not\nreached")
    log_unavailable(ASKED, error)

    assert [(record.levelno, record.getMessage()) for record in lines.records] == [
        (logging.CRITICAL, "GET /v1/buckets (request request-1): no keys"),
        (
            logging.CRITICAL,
            "GET /v1/buckets (request request-1): no keys, OSError('not\\nreached')",
        ),
    ]


def test_one_that_fails_when_it_hears_of_something_is_logged_with_its_trace(lines: Lines) -> None:
    for log in (
        lambda: log_failed_subscriber("lib.guard.check", dict),
        lambda: log_failed_listener("audit"),
    ):
        try:
            raise LookupError("a mistake of its own")
        except LookupError:
            log()

    assert [(record.levelno, record.getMessage()) for record in lines.records] == [
        (logging.ERROR, "the subscriber lib.guard.check of dict failed"),
        (logging.ERROR, "the listener audit failed"),
    ]
    for record in lines.records:
        assert "LookupError: a mistake of its own" in logging.Formatter().format(record)


def test_what_became_of_a_delivery_is_one_line(lines: Lines) -> None:
    log_delivery("audit", "evt_1", "delivered, attempt 1", seconds=0.0123)
    log_delivery("audit", "evt_1", "attempt 2 failed: answered\n500 %s", is_failure=True)

    assert [(record.levelno, record.getMessage()) for record in lines.records] == [
        (logging.INFO, "delivery of evt_1 to audit: delivered, attempt 1 (12 ms)"),
        (
            logging.ERROR,
            "delivery of evt_1 to audit: attempt 2 failed: answered\\x0a500 %s",
        ),
    ]


@pytest.mark.parametrize("renderer", ["classic", "json"])
def test_the_log_is_on_standard_output_and_nothing_twice(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], renderer: str
) -> None:
    configure_logging()
    configure_logging(renderer)

    log_request(ASKED, Response(200), user_id=None, seconds=0)

    out, err = capsys.readouterr()
    assert out.count("request.summary") == out.count("\n") == 1
    assert err == ""
    assert not logger.propagate


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the classic log writes to a terminal from now on."""
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", shown)
    configure_logging()
    return shown


def test_the_line_is_in_colour_on_a_terminal(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_terminal(monkeypatch)

    log_request(ASKED, Response(200), user_id=None, seconds=0)

    assert "\x1b[32m200\x1b[0m" in shown.getvalue()


def test_what_went_wrong_is_in_colour_on_a_terminal(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_terminal(monkeypatch)

    log_warning("look here")
    log_stopped(ASKED, LookupError("half done"))
    fail(ASKED)
    log_done("all is well")

    warning, stopped, failed, *_trace, done = shown.getvalue().splitlines()
    assert warning == "\x1b[33mlook here\x1b[0m"
    assert stopped.startswith("\x1b[33m")
    assert failed == "\x1b[31mGET /v1/buckets (request request-1) failed unexpectedly\x1b[0m"
    assert done == "all is well"


# In JSON


Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged_lines(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> Logged:
    """Gives the lines of the log in JSON, parsed."""
    configure_logging("json")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_exception_that_others_log_has_its_trace_in_json(logged_lines: Logged) -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("kinto.plugin").exception("it broke")

    (line,) = logged_lines()
    assert line["Fields"]["message"] == "it broke"
    assert line["Fields"]["traceback"].endswith("ZeroDivisionError: division by zero")


def test_a_request_is_an_object_as_kintos_renderer_writes_it(logged_lines: Logged) -> None:
    before_ns = time.time_ns()

    log_request(ASKED, Response(200), user_id="basicauth:97b9", seconds=0.25)

    (line,) = logged_lines()
    assert before_ns <= line.pop("Timestamp") <= time.time_ns()
    assert line.pop("Hostname")
    assert line.pop("Pid") == os.getpid()
    fields = line.pop("Fields")
    assert line == {
        "Logger": "kinto",
        "Type": "request.summary",
        "Severity": 6,
        "EnvVersion": "2.0",
    }
    del fields["time"]
    assert fields == {
        "agent": "kinto.js/1.0",
        "authn_type": "basicauth",
        "code": 200,
        "errno": None,
        "lang": "fr",
        "method": "GET",
        "path": "/v1/buckets",
        "querystring": '{"_sort":"id","_limit":"5"}',
        "rid": "request-1",
        "t": 250,
        "uid": "97b9",
    }


def test_members_are_beside_the_fields(logged_lines: Logged) -> None:
    log_request(ASKED, Response(200), user_id=None, seconds=0, members='"one":1,"two":[2]')

    (line,) = logged_lines()
    assert (line["one"], line["two"]) == (1, [2])


@pytest.mark.parametrize(
    ("log", "type", "severity", "fields"),
    [
        (
            lambda: log_subrequests([(ASKED, 201)]),
            *("subrequest.summary", 6),
            {"code": 201, "method": "GET", "path": "/v1/buckets", "rid": "request-1"},
        ),
        (
            lambda: log_unavailable(ASKED, LookupError("no keys")),
            *("request.unavailable", 0),
            {
                "message": "GET /v1/buckets (request request-1): no keys",
                "method": "GET",
                "path": "/v1/buckets",
                "rid": "request-1",
            },
        ),
        (
            lambda: log_stopped(ASKED, LookupError("no")),
            *("request.stopped", 4),
            {
                "message": "GET /v1/buckets (request request-1) stopped on its way: no",
                "method": "GET",
                "path": "/v1/buckets",
                "rid": "request-1",
            },
        ),
        (
            lambda: log_delivery("audit", "evt_1", "delivered", seconds=0.0123),
            *("delivery", 6),
            {
                "message": "delivery of evt_1 to audit: delivered (12 ms)",
                "listener": "audit",
                "event_id": "evt_1",
                "outcome": "delivered",
                "rid": "of-around",
                "t": 12,
            },
        ),
        (
            lambda: log_failed_table("objects", None),
            *("heartbeat.failed", 2),
            {
                "message": "heartbeat: the table objects does not work:"
                " it does not give back what it took",
                "rid": "of-around",
                "table": "objects",
            },
        ),
        (
            lambda: log_failed_record("evt", ValueError()),
            *("change.failed", 2),
            {"message": "change evt can't be processed: ValueError", "rid": "of-around"},
        ),
        (lambda: log_done("it is"), "done", 6, {"message": "it is", "rid": "of-around"}),
        (lambda: log_warning("no"), "warning", 4, {"message": "no", "rid": "of-around"}),
    ],
)
def test_each_line_is_an_object_that_names_its_request(
    logged_lines: Logged,
    log: Callable[[], None],
    type: str,
    severity: int,
    fields: dict[str, Any],
) -> None:
    with about("of-around"):
        log()

    (line,) = logged_lines()
    assert (line["Type"], line["Severity"], line["Fields"]) == (type, severity, fields)


def test_what_is_done_about_nothing_in_particular_names_no_request(logged_lines: Logged) -> None:
    with about("before"):
        pass
    log_done("it is")

    (line,) = logged_lines()
    assert line["Fields"]["rid"] is None


def test_an_unexpected_error_is_one_line_with_its_trace(logged_lines: Logged) -> None:
    fail(ASKED)

    (line,) = logged_lines()
    assert (line["Type"], line["Severity"]) == ("request.failed", 2)
    assert line["Fields"]["rid"] == "request-1"
    assert line["Fields"]["traceback"].endswith("LookupError: a mistake of ours")


def test_what_others_say_to_our_logger_is_an_object_too(
    logged_lines: Logged, logger: logging.Logger
) -> None:
    logger.warning("100 %% of %s", "it")

    (line,) = logged_lines()
    assert (line["Type"], line["Severity"]) == ("message", 4)
    assert line["Fields"]["message"] == "100 % of it"


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_client_writes_lines_of_the_log_in_json(path: str, name: str, agent: str) -> None:
    request = Request("GET", path, query=((name, "x"),), headers={"user-agent": agent})
    fields = summarize(request, Response(200), user_id=None, seconds=0)

    shown = JsonFormatter().text(logging.INFO, SummaryLine("request.summary", "", fields), None)

    assert shown.isascii()
    assert shown.isprintable()
    told = json.loads(shown)["Fields"]
    assert (told["path"], told["agent"]) == (path, agent)


def test_the_same_is_written_where_others_listen_as_well(
    logged_lines: Logged, logger: logging.Logger
) -> None:
    log_done("it is")
    logger.addHandler(Lines())
    log_done("it is")

    alone, with_others = logged_lines()
    assert {**alone, "Timestamp": 0} == {**with_others, "Timestamp": 0}
