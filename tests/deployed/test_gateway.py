"""What the gateway answers in front of the deployed functions, and how bodies travel."""

import array
import fcntl
import gzip
import http.client
import json
import os
import signal
import termios
import uuid
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from chalicelib.settings import Settings
from infra.api_gateway import Api, Gateway, Limits, access_log_group
from infra.emulator import ROOT_KEYS
from infra.gateway_answers import gateway_answers
from tests.deployed.conftest import HEADERS, STAGE, Deployed, eventually

ORIGIN = {"Origin": "https://app.example"}
LOG_GROUP = f"arn:aws:logs:us-east-1:000000000000:log-group:{access_log_group(STAGE)}"
LARGE = {"data": {"text": "once more " * 500}}

GATEWAY = Gateway(STAGE, gateway_answers(Settings()), Limits())


@dataclass(frozen=True, slots=True)
class Sent:
    """What came over the wire; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Front:
    """The gateway of the deployed API: what it answers, and what is set there.

    Attributes:
        lacked: what was to be made after the package had been deployed.
    """

    deployed: Deployed
    client: Any
    api: Api
    lacked: list[str]

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Sent:
        """Send a request for a path below `/v1` as it is."""
        url = self.deployed.api.url
        sent = {**HEADERS, **ORIGIN, "Host": url.split("/")[2], **(headers or {})}
        address = self.deployed.endpoint.removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
            path = f"/{self.deployed.deployment.api_stage}/v1{path}"
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            read = answer.read()
        answered = {name.lower(): value for name, value in answer.getheaders()}
        return Sent(answer.status, answered, read)

    def apply(self, gateway: Gateway = GATEWAY) -> list[str]:
        """Make what isn't as it should be; tells what that was."""
        changes = self.api.changes(gateway, LOG_GROUP)
        for change in changes:
            change.make()
        return [change.tells for change in changes]


@pytest.fixture(scope="module")
def front(deployed: Deployed) -> Front:
    client, iam = (
        boto3.client(name, endpoint_url=deployed.endpoint, **ROOT_KEYS)
        for name in ("apigateway", "iam")
    )
    deployment = deployed.deployment
    api = Api(client, iam, deployment.api_id, deployment.api_stage)
    changes = api.changes(GATEWAY, LOG_GROUP)
    for change in changes:
        change.make()
    return Front(deployed, client, api, [change.tells for change in changes])


def assert_refused(answer: Sent, status: int, errno: int) -> None:
    """The answer is an error of Kinto, and scripts of any origin may see it."""
    assert (answer.status, answer.body["code"], answer.body["errno"]) == (status, status, errno)
    assert answer.body.keys() >= {"error", "message"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "credentials", [HEADERS["Authorization"], "Bearer it", "AWS4-HMAC-SHA256 Credential=it", ""]
)
def test_an_unknown_method_is_not_allowed_whoever_asks(front: Front, credentials: str) -> None:
    answer = front.ask("PROPFIND", "/buckets", headers={"Authorization": credentials})

    assert_refused(answer, 405, 115)
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def test_a_method_that_the_address_lacks_is_told_by_the_application(front: Front) -> None:
    answer = front.ask("PATCH", "/buckets")

    assert_refused(answer, 405, 115)
    assert "PATCH" not in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere/at/all", "/buckets/a/b/c/d/e/f/g"])
def test_an_unknown_path_is_not_found(front: Front, path: str) -> None:
    assert_refused(front.ask("GET", path), 404, 111)


def test_what_lambda_would_not_take_is_too_large(front: Front) -> None:
    answer = front.ask("PUT", f"/buckets/{uuid.uuid4()}", b"no JSON" * (1 << 20))

    assert_refused(answer, 413, 113)


def test_a_throttled_request_may_be_repeated(front: Front) -> None:
    names = {"restApiId": front.deployed.deployment.api_id}
    settings = {"rateLimit": "0", "burstLimit": "0"}
    front.client.update_stage(
        **names,
        stageName=front.deployed.deployment.api_stage,
        patchOperations=[
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": value}
            for name, value in settings.items()
        ],
    )
    try:
        answer = front.ask("GET", "/")
    finally:
        front.apply()

    assert_refused(answer, 429, 117)
    assert answer.headers["retry-after"] == "3"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert front.ask("GET", "/").status == 200


def test_a_function_that_cannot_start_is_unavailable(front: Front) -> None:
    with handled_by(front.deployed, "app.no_such_handler"):
        answer = front.ask("GET", "/")

    assert_refused(answer, 503, 201)
    assert "retry-after" not in answer.headers


@contextmanager
def handled_by(deployed: Deployed, handler: str) -> Iterator[None]:
    """Have the API's function run something else for a while."""
    name = deployed.deployment.functions["APIHandler"]
    before = deployed.functions.get_function_configuration(FunctionName=name)["Handler"]
    deployed.functions.update_function_configuration(FunctionName=name, Handler=handler)
    try:
        yield
    finally:
        deployed.functions.update_function_configuration(FunctionName=name, Handler=before)


def test_a_function_that_is_killed_leaves_open_what_it_did(front: Front) -> None:
    front.ask("GET", "/")  # there is one that runs
    processes = front.deployed.processes("APIHandler")
    send(signal.SIGSTOP, processes)

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(front.ask, "PUT", f"/buckets/{uuid.uuid4()}", b"{}")
        eventually(lambda: any(map(has_unread, processes)))
        send(signal.SIGKILL, processes)
        answer = asked.result()

    assert_refused(answer, 503, 201)
    assert "retry-after" not in answer.headers
    assert front.ask("GET", "/").status == 200


def send(signal_: signal.Signals, processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # one that ran before has ended meanwhile
            os.kill(process, signal_)


def has_unread(process: int) -> bool:
    """Whether a process was sent something on its standard input that it hasn't read."""
    count = array.array("i", [0])
    with suppress(OSError), open(f"/proc/{process}/fd/0", "rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0] > 0


def test_a_preflight_is_answered_by_the_application(front: Front) -> None:
    asked = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "Content-Type",
    }
    answer = front.ask("OPTIONS", "/buckets/blog", headers=asked)

    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PUT" in answer.headers["access-control-allow-methods"]


def test_behind_a_domain_of_its_own_addresses_are_without_the_stage(front: Front) -> None:
    deployment = front.deployed.deployment
    domain = "kinto.example"
    front.client.create_domain_name(domainName=domain, securityPolicy="TLS_1_2")
    front.client.create_base_path_mapping(
        domainName=domain,
        basePath="(none)",
        restApiId=deployment.api_id,
        stage=deployment.api_stage,
    )
    address = front.deployed.endpoint.removeprefix("http://")
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("GET", "/v1/", headers={"Host": domain, "X-Forwarded-Proto": "https"})
        body = json.loads(connection.getresponse().read())

    assert body["url"] == f"https://{domain}/v1/"


def test_of_several_origins_the_one_that_asks_is_named(front: Front) -> None:
    settings = Settings(cors_origins=("https://app.example", "https://*.example.org"))
    front.apply(Gateway(STAGE, gateway_answers(settings), Limits()))
    try:
        named = front.ask("PROPFIND", "/")
        unnamed = front.ask("PROPFIND", "/", headers={"Origin": ""})
    finally:
        front.apply()

    assert named.headers["access-control-allow-origin"] == "https://app.example"
    assert unnamed.headers.get("access-control-allow-origin", "") == ""


def test_the_package_comes_with_the_answers_and_limits(front: Front) -> None:
    lacked = " ".join(front.lacked)

    assert "gateway answer" not in lacked
    assert "throttling" not in lacked


def test_what_was_applied_is_left_alone(front: Front) -> None:
    assert front.apply() == []


def test_a_large_answer_is_packed_for_whoever_takes_that(front: Front) -> None:
    path = f"/buckets/{uuid.uuid4()}"
    front.ask("PUT", path, json.dumps(LARGE).encode())

    plain = front.ask("GET", path)
    packed = front.ask("GET", path, headers={"Accept-Encoding": "gzip, deflate"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 10
    assert packed.headers["etag"] == plain.headers["etag"]


def test_a_small_answer_is_not_packed(front: Front) -> None:
    answer = front.ask("GET", "/__lbheartbeat__", headers={"Accept-Encoding": "gzip"})

    assert "content-encoding" not in answer.headers
    assert answer.body == {}


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_request_is_unpacked(front: Front, encoding: str, pack: Any) -> None:
    content = pack(json.dumps(LARGE).encode())

    answer = front.ask(
        "PUT", f"/buckets/{uuid.uuid4()}", content, headers={"Content-Encoding": encoding}
    )

    assert answer.status == 201
    assert answer.body["data"]["text"] == LARGE["data"]["text"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_what_cannot_be_unpacked_is_refused(front: Front, encoding: str) -> None:
    answer = front.ask(
        "PUT", f"/buckets/{uuid.uuid4()}", b"{}", headers={"Content-Encoding": encoding}
    )

    assert_refused(answer, 415, 107)
    assert answer.body["details"][0]["name"] == "Content-Encoding"
