"""The two servers, each with its database: processes that answer blocks of requests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.driving import LOG
from bench.memory import remembering
from bench.postgresql import postgresql
from bench.prerequisites import BenchError, kinto_python
from bench.scenario import OWNER, Answer, Request
from chalicelib.api.routes import ROUTES
from chalicelib.storage.client import connect
from infra.emulator import emulator
from infra.gateway import CATCH_ALL, PathMatcher
from infra.tables import create_tables

HOST: Final = "kinto.example.com"
SECRET: Final = "the same for both, so that users are"  # noqa: S105 - of measurements alone
STAGE: Final = "bench"
REGION: Final = "us-east-1"

_ROOT = Path(__file__).parents[1]
_ROUTES = PathMatcher(["/", *(route.pattern for route in ROUTES), CATCH_ALL])
_HEADERS = {
    "Host": HOST,
    "Authorization": OWNER,
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate, br",
    "Content-Type": "application/json",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}


class Side:
    """One of the servers; a request is handed to it as its platform does."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", errors: Path) -> None:
        """Talk with this process, which `driving` runs."""
        self.name = name
        self._process = process
        self._errors = errors

    def ask(self, request: Request) -> Answer:
        """The answer to a request that is none of a measurement.

        Raises:
            BenchError: the server refused it, or ended.
        """
        (answer,) = self.answers([request])
        if answer.status >= 400:
            told = f"{request.method} {request.path}: {answer.status} {answer.text}"
            raise BenchError(f"{self.name} refused {told}")
        return answer

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to a block of requests, one after the other.

        Raises:
            BenchError: the server ended.
        """
        line = self._exchanged(json.dumps([self._handed(request) for request in requests]))
        if not line:
            last = self._errors.read_text(errors="replace").strip().splitlines()[-1:]
            raise BenchError(f"{self.name} ended: {' '.join(last)}")
        return [Answer(*told) for told in json.loads(line)]

    def _exchanged(self, line: str) -> str:
        """The line that answers this one; empty where the process has ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("a process without pipes")
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        return self._process.stdout.readline()

    def _handed(self, request: Request) -> Any:
        method, path, body, headers = request
        return method, f"/v1{path}", _HEADERS | dict(headers), _text(body)


class _Ours(Side):
    def _handed(self, request: Request) -> Any:
        return event_of(request)


def event_of(request: Request) -> dict[str, Any]:
    """What API Gateway sends to the function for a request."""
    target = f"/v1{request.path}"
    path = target.partition("?")[0]
    found = _ROUTES.match_route(target)
    headers = _HEADERS | dict(request.headers)
    query = found.query_params
    return {
        "resource": found.route,
        "path": path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": found.captured or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": found.route,
            "httpMethod": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "stage": STAGE,
            "domainName": HOST,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": headers["User-Agent"]},
        },
        "body": _text(request.body) or None,
        "isBase64Encoded": False,
    }


def _text(body: Any) -> str:
    return "" if body is None else json.dumps(body)


@contextmanager
def ours() -> Iterator[Side]:
    """The handler as on Lambda, on the embedded emulator, whose answers to reads are remembered.

    Raises:
        EmulatorError: that doesn't start.
    """
    with emulator(None) as slow_url, remembering(slow_url) as url:
        create_tables(connect(REGION, url).client, STAGE)
        variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": "kinto-serverless-bench",
            "KINTO_STAGE": STAGE,
            "KINTO_INCLUDES": "kinto.plugins.default_bucket",
            "KINTO_EXPERIMENTAL_COLLECTION_SCHEMA_VALIDATION": "true",
        }
        with driven(_Ours, "the handler", sys.executable, "bench.handler_driver", variables) as it:
            yield it


@contextmanager
def kinto() -> Iterator[Side]:
    """Kinto's WSGI application, on PostgreSQL.

    Raises:
        BenchError: either isn't installed, or doesn't start.
    """
    with postgresql() as url:
        python = str(kinto_python())
        with driven(Side, "Kinto", python, "bench.kinto_driver", {"BENCH_DATABASE": url}) as it:
            yield it


@contextmanager
def driven(
    side: type[Side], name: str, python: str, module: str, variables: Mapping[str, str]
) -> Iterator[Side]:
    """A server as a process of its own, killed at the end.

    Args:
        side: how requests are handed to it.
        name: as errors tell of it.
        python: the interpreter.
        module: that it runs, and which calls `driving.drive`.
        variables: of the environment, beside our own and what all have.
    """
    with TemporaryDirectory() as folder:
        errors = Path(folder) / "errors"
        kept = {key: text for key, text in os.environ.items() if not key.startswith("KINTO_")}
        environment = {
            **kept,
            "PYTHONUNBUFFERED": "1",  # as Lambda's runtime and WSGI servers write logs
            "KINTO_USERID_HMAC_SECRET": SECRET,
            LOG: str(Path(folder) / "log"),
            **variables,
        }
        with errors.open("w") as stderr:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [python, "-m", module],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            yield side(name, process, errors)
        finally:
            process.kill()
            process.communicate()
