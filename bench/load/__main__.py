"""A load test of a deployed stage: `python -m bench.load`.

From the environment: URL, of the stage (`https://.../v1`); USERS at the same time (10), of whom
RATE begin in a second (1); TIME, after which it ends (1m), or DAYS, after which each user leaves;
PAUSE, the seconds between two requests of a user (1); SHARED, the share of what they do that they
do in one collection, and so in each other's way (0.1); HEADLESS=1 for no live page, PORT for one
elsewhere (8089); KINTO_LOAD_AUTH, `user:password` or a whole Authorization header, for a stage
that takes no Basic authentication.

All of it happens in a bucket of its own, which is deleted at the end, however that comes. The exit
status is 1 where anything failed.
"""

import csv
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.html import get_html_report
from locust.runners import LocalRunner
from locust.stats import StatsCSV, stats_history

from bench.load.options import LoadError, Options
from bench.load.person import Person
from bench.load.stage import Stage
from bench.load.summary import summary

REPORTS: Final = Path(".local") / "load"

_LAST_REQUESTS_S: Final = 60.0
_TOLD_EACH_S: Final = 10.0
_PERCENTILES: Final = [0.5, 0.95, 0.99]


def main() -> int:
    """Run it, and tell what came of it; gives the exit status."""
    over = Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # later ones change nothing
        gevent.signal_handler(number, over.set)
    try:
        options = Options.from_environment(os.environ)
        stage = Stage(options.url, options.authorization)
        _check_port(options.port)
        stage.check()
        with stage.opened():
            return _load(stage, options, over)
    except LoadError as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1


def _check_port(port: int | None) -> None:
    if port is None:
        return
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise LoadError(
            f"port {port} can't be used: {error.strerror}; PORT=... or HEADLESS=1"
        ) from error


def _load(stage: Stage, options: Options, over: Event) -> int:
    """Have users do their days until it is over, and keep what came of it."""
    folder = REPORTS / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{stage.bucket}"
    folder.mkdir(parents=True)
    Person.stage, Person.options = stage, options
    environment = Environment(user_classes=[Person], host=stage.url, stop_timeout=_LAST_REQUESTS_S)
    runner = environment.create_local_runner()
    if options.port is not None:
        environment.create_web_ui("127.0.0.1", options.port)
    _tell_beginning(stage, options)
    with (folder / "failures.txt").open("w", encoding="utf-8") as failures:
        noting = partial(_note, failures)
        environment.events.request.add_listener(noting)  # type: ignore[no-untyped-call]
        _run(runner, options, over)
    _keep(environment, folder)
    print(f"\n{summary(environment.stats)}\n\nkept in {folder}", flush=True)
    return int(bool(environment.stats.num_failures or runner.exceptions))


def _run(runner: LocalRunner, options: Options, over: Event) -> None:
    """Have users begin, and end them when the time is over, all have left, or it was asked for."""
    telling = gevent.spawn(_tell_progress, runner)
    history = gevent.spawn(stats_history, runner)
    runner.start(options.users, options.rate)
    gevent.spawn(_await_leaving, runner, over)
    over.wait(options.time_s)
    telling.kill()
    runner.stop()
    history.kill()


def _await_leaving(runner: LocalRunner, over: Event) -> None:
    gevent.joinall([runner.spawning_greenlet])
    runner.user_greenlets.join()
    over.set()


def _tell_beginning(stage: Stage, options: Options) -> None:
    print(f"{options.users} users work in {stage.url}/buckets/{stage.bucket}", flush=True)
    if options.port is not None:
        print(f"http://127.0.0.1:{options.port} shows it; Ctrl-C ends it", flush=True)
    if not stage.checks_schemas:
        print("without schemas, as this stage checks none", flush=True)


def _tell_progress(runner: LocalRunner) -> None:
    begun = time.monotonic()
    while True:
        gevent.sleep(_TOLD_EACH_S)
        stats = runner.stats
        print(
            f"[{time.monotonic() - begun:4.0f} s] {runner.user_count} users,"
            f" {stats.total.current_rps:.1f} requests a second, {stats.num_failures} failures",
            flush=True,
        )


def _note(
    file: TextIO,
    *,
    request_type: str,
    url: str,
    response: Any,
    exception: Exception | None = None,
    context: Mapping[str, str],
    start_time: float,
    **_: object,
) -> None:
    """Write down a request that failed, with what is needed to find it in the stage's logs."""
    if exception is not None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_time))
        request_id = (response.headers or {}).get("x-amzn-RequestId", "-")
        evidence = context.get("evidence", "")
        file.write(f"{when} {request_id} {request_type} {url}: {exception}: {evidence}\n")


def _keep(environment: Environment, folder: Path) -> None:
    """Write the report as a page, and as CSV."""
    report = get_html_report(  # type: ignore[no-untyped-call]
        environment, show_download_link=False
    )
    (folder / "report.html").write_text(report, encoding="utf-8")
    with (folder / "requests.csv").open("w", encoding="utf-8", newline="") as file:
        StatsCSV(environment, _PERCENTILES).requests_csv(csv.writer(file))


if __name__ == "__main__":
    sys.exit(main())
