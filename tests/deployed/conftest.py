"""What these tests speak to: the packaged application, deployed on an emulator of its own."""

import base64
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from infra.emulator import ROOT_KEYS, emulator
from infra.packaged import Clients, Deployment, deploy
from infra.packaging import HERE, package

STAGE = "dev"  # that of which there are policies
VARIABLES = {"KINTO_USERID_HMAC_SECRET": "a secret of the tests"}

_TOKEN = base64.b64encode(b"alice:secret").decode()
HEADERS = {"Authorization": f"Basic {_TOKEN}", "Content-Type": "application/json"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


class Api:
    """Sends requests to the deployed API; threads may share it.

    It connects to loopback and names the API's host in a header, as not every resolver knows the
    names below localhost.
    """

    def __init__(self, deployment: Deployment, port: int) -> None:
        self.url = deployment.url(port)
        self._port = port
        self._path = f"/{deployment.api_stage}/v1"
        self._host = self.url.split("/")[2]

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for a path below `/v1`."""
        content = None if body is None else json.dumps(body)
        sent = {**HEADERS, "Host": self._host, **(headers or {})}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, self._path + path, content, sent)
            answer = connection.getresponse()
            read = answer.read()
        answered = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answered, json.loads(read) if read else None)


@dataclass(frozen=True, slots=True)
class Deployed:
    """The deployment with what tests change and observe it by."""

    deployment: Deployment
    package: Path
    endpoint: str
    api: Api
    dynamodb: Any
    sqs: Any
    functions: Any
    parameters: Any
    logs: Any

    @contextmanager
    def variables(self, more: Mapping[str, str]) -> Iterator[None]:
        """Have all functions started anew with these variables as well, for a while."""
        clients = Clients.connect(self.endpoint)
        deploy(clients, STAGE, self.package, {**VARIABLES, **more})
        try:
            yield
        finally:
            deploy(clients, STAGE, self.package, VARIABLES)

    def items(self) -> list[dict[str, Any]]:
        """All items of the table of objects, as DynamoDB has them."""
        pages = self.dynamodb.get_paginator("scan")
        table = f"kinto-{self.deployment.stage}-objects"
        return [item for page in pages.paginate(TableName=table) for item in page["Items"]]

    def queue_url(self, name: str) -> str:
        """Where a queue of the stage is."""
        queue = f"kinto-{self.deployment.stage}-{name}"
        url: str = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return url

    def messages(self, name: str) -> list[dict[str, Any]]:
        """The messages that can be received from a queue of the stage, for a while."""
        url = self.queue_url(name)
        found: list[dict[str, Any]] = []
        while received := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            found += received
        return found

    def logged(self, text: str) -> list[str]:
        """The lines of all functions' logs that have this text."""
        groups = self.logs.describe_log_groups()["logGroups"]
        return [
            event["message"]
            for group in groups
            for event in self.logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
            if text in event["message"]
        ]

    def processes(self, function: str) -> list[int]:
        """The ids of the processes that run a function; /proc tells them by their environment.

        Args:
            function: its logical id.
        """
        name = self.deployment.functions[function]
        wanted = {
            f"AWS_LAMBDA_FUNCTION_NAME={name}".encode(),
            f"AWS_ENDPOINT_URL={self.endpoint}".encode(),
        }
        return [
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdecimal() and wanted <= _environment_of(folder)
        ]

    def kill(self, function: str) -> list[int]:
        """End the processes of a function at once, in the middle of whatever they do."""
        killed = self.processes(function)
        for process in killed:
            os.kill(process, signal.SIGKILL)
        eventually(lambda: all(map(_has_ended, killed)))
        return killed


def _environment_of(folder: Path) -> set[bytes]:
    try:
        return set((folder / "environ").read_bytes().split(b"\0"))
    except OSError:  # it is another user's, or it has ended
        return set()


def _has_ended(process: int) -> bool:
    """Whether its parent can learn of its end: it first gives back its memory, then its pipes."""
    try:
        _, _, state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")
    except OSError:
        return True
    return state.startswith(("Z", "X"))


def eventually(observe: Callable[[], T], within_s: float = 60.0) -> T:
    """What this gives, as soon as it is true.

    Raises:
        AssertionError: it hasn't become true; tells what it gave last.
    """
    deadline = time.monotonic() + within_s
    while not (seen := observe()):
        assert time.monotonic() < deadline, f"still {seen!r} after {within_s:.0f} s"
        time.sleep(0.05)
    return seen


@pytest.fixture(scope="session")
def packaged(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package; wheels are kept from one session to the next."""
    build = Path(pytestconfig.cache.mkdir("package"))
    return package(tmp_path_factory.mktemp("package"), STAGE, build=build, architecture=HERE)


@pytest.fixture(scope="session")
def deployed(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The deployed application, one for the whole session: tests take buckets of their own."""
    with emulator(None, deploys=True) as url:
        deployment = deploy(Clients.connect(url), STAGE, packaged, VARIABLES)
        connect = partial(boto3.client, endpoint_url=url, **ROOT_KEYS)
        clients = map(connect, ("dynamodb", "sqs", "lambda", "ssm", "logs"))
        api = Api(deployment, int(url.rpartition(":")[2]))
        yield Deployed(deployment, packaged, url, api, *clients)


@pytest.fixture
def api(deployed: Deployed) -> Api:
    """Sends requests to the deployed API."""
    return deployed.api
