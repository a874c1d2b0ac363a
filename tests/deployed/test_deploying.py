"""Deploying as operators do, with Chalice: all steps, again, back, and away."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.emulator import ROOT_KEYS, emulator
from infra.packaging import HERE, SHIPPED
from infra.stages import ROOT
from tests.deployed.conftest import HEADERS

pytestmark = pytest.mark.emulator

STAGE = "staging"
REGION = "us-east-1"
ACCOUNT = f"account 000000000000, region {REGION}"
FUNCTIONS = [
    f"kinto-serverless-{STAGE}",
    *(f"kinto-serverless-{STAGE}-{name}" for name in ("changes", "purge", "deliver", "retry")),
]
BUCKET = "/buckets/kept"


@dataclass(frozen=True, slots=True)
class Project:
    """A clone of the project, from which a stage is deployed to an emulator."""

    folder: Path
    endpoint: str

    def run(self, command: str, *arguments: str, typed: str = "", **variables: str) -> str:
        """Run a command of ours; gives what it printed, and its status in a last line."""
        keys = {name.upper(): key for name, key in ROOT_KEYS.items()}
        where = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": REGION}
        done = subprocess.run(
            [sys.executable, "-m", command, *arguments],
            cwd=self.folder,
            env={**os.environ, **keys, **where, **variables},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return f"{done.stdout}ended with {done.returncode}"

    def deploy(self) -> str:
        """Deploy; gives the address of the service."""
        told = self.run("infra.deploy", STAGE)
        assert told.endswith("ended with 0"), told
        assert told.startswith(f"{ACCOUNT}\n"), told
        found = re.search(r"^check: (\S+)/ answers, and its tables work$", told, re.MULTILINE)
        assert found, told
        return found[1]

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        return boto3.client(service, REGION, endpoint_url=self.endpoint, **ROOT_KEYS)

    def configure(self, **changes: Any) -> None:
        """Change the stage's configuration."""
        file = self.folder / ".chalice" / "config.json"
        config = json.loads(file.read_text())
        config["stages"][STAGE].update(changes)
        file.write_text(json.dumps(config))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    for name in (*SHIPPED, "infra", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    with emulator(None, deploys=True) as url:
        project = Project(folder, url)
        project.configure(lambda_architecture=HERE)
        yield project


def ask(url: str, method: str, body: Any = None) -> tuple[int, Any, Message]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, HEADERS, method=method)  # noqa: S310  # ours
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # ours
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


@pytest.fixture(scope="module")
def service(project: Project) -> str:
    """Where the service is, once it is deployed."""
    return project.deploy()


def test_it_answers_and_so_does_the_gateway(project: Project, service: str) -> None:
    assert ask(f"{service}{BUCKET}", "PUT", {})[0] == 201
    status, body, headers = ask(service, "PROPFIND")

    assert (status, body["errno"]) == (405, 115)
    assert headers["Access-Control-Allow-Origin"] == "*"
    stage = project.client("apigateway").get_stage(restApiId=api_ids(project)[0], stageName=STAGE)
    assert stage["methodSettings"]["*/*"]["throttlingRateLimit"] == 1000
    assert f"/aws/apigateway/kinto-{STAGE}" in stage["accessLogSettings"]["destinationArn"]


def api_ids(project: Project) -> list[str]:
    return [api["id"] for api in project.client("apigateway").get_rest_apis()["items"]]


def test_the_secret_is_a_random_one_and_is_kept(project: Project, service: str) -> None:
    name = f"/kinto/{STAGE}/userid-hmac-secret"
    get = partial(project.client("ssm").get_parameter, Name=name, WithDecryption=True)
    before = get()["Parameter"]

    assert project.run("infra.deploy", STAGE, "secret") == f"{ACCOUNT}\nended with 0"

    assert before["Type"] == "SecureString"
    assert re.fullmatch("[0-9a-f]{64}", before["Value"])
    assert get()["Parameter"] == before


def test_another_machine_goes_on_with_the_same_api_and_changes_nothing(
    project: Project, service: str
) -> None:
    shutil.rmtree(project.folder / ".chalice" / "deployed")
    sources = mappings(project)

    told = project.run("infra.diff", STAGE)
    again = project.deploy()

    assert told == f"{ACCOUNT}\n{STAGE} is as it would be deployed\nended with 0"
    assert again == service
    assert mappings(project) == sources
    assert len(sources) == 4
    assert [len(versions(project, function)) for function in FUNCTIONS] == [1] * 5


def mappings(project: Project) -> set[tuple[str, str, int]]:
    found = project.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    return {(it["UUID"], it["EventSourceArn"], it["BatchSize"]) for it in found}


def versions(project: Project, function: str) -> list[dict[str, Any]]:
    pages = project.client("lambda").list_versions_by_function(FunctionName=function)
    return [it for it in pages["Versions"] if it["Version"] != "$LATEST"]


def test_what_is_new_is_told_then_deployed_and_taken_back(project: Project, service: str) -> None:
    app = project.folder / "app.py"
    code = app.read_text()
    app.write_text(code.replace("to_chalice(application", "_renamed(application") + RENAMED)
    variables = {"KINTO_STAGE": STAGE, "KINTO_BATCH_MAX_REQUESTS": "7"}
    project.configure(environment_variables=variables)

    told = project.run("infra.diff", STAGE)
    again = project.deploy()
    deployed = ask(f"{service}/", "GET")[1]
    listed = project.run("infra.rollback", STAGE, SHOW="1")
    back = project.run("infra.rollback", STAGE)
    before = ask(f"{service}/", "GET")[1]
    further = project.run("infra.rollback", STAGE)
    newest = listed.splitlines()[1].removesuffix(" (runs)")
    forward = project.run("infra.rollback", STAGE, RELEASE=newest)

    assert [line for line in told.splitlines() if line.startswith("functions")] == [
        f"functions: {function}: code, KINTO_BATCH_MAX_REQUESTS" for function in FUNCTIONS
    ]
    assert again == service
    assert (deployed["project_name"], deployed["settings"]["batch_max_requests"]) == ("renamed", 7)
    assert [line.endswith(" (runs)") for line in listed.splitlines()] == [False, True, False]
    assert back.endswith("answers, and its tables work\nended with 0")
    assert (before["project_name"], before["settings"]["batch_max_requests"]) == ("kinto", 25)
    assert "there is no release before this one" in further
    assert further.endswith("ended with 1")
    assert forward.endswith("ended with 0")
    assert ask(f"{service}/", "GET")[1] == deployed


RENAMED = """

def _renamed(response: Response) -> ChaliceResponse:
    if "project_name" in response.parsed:
        response.body["project_name"] = "renamed"
    return to_chalice(response)
"""


def test_a_stream_that_is_another_takes_the_place_of_the_one_before(
    project: Project, service: str
) -> None:
    table = {"TableName": f"kinto-{STAGE}-objects"}
    client = project.client("dynamodb")
    before = client.describe_table(**table)["Table"]["LatestStreamArn"]
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.update_table(**table, StreamSpecification={"StreamEnabled": False})
    client.update_table(**table, StreamSpecification=stream)
    after = client.describe_table(**table)["Table"]["LatestStreamArn"]

    told = project.run("infra.deploy", STAGE, "config", "functions")

    assert told.endswith("ended with 0"), told
    assert after != before
    assert f"functions: {FUNCTIONS[1]} doesn't read {before} any more" in told
    found = project.client("lambda").list_event_source_mappings(FunctionName=FUNCTIONS[1])
    assert [(it["EventSourceArn"], it["State"]) for it in found["EventSourceMappings"]] == [
        (after, "Enabled")
    ]


def test_what_is_removed_leaves_the_data_until_the_name_is_typed(
    project: Project, service: str
) -> None:
    kept = project.run("infra.destroy", STAGE)
    assert len(project.client("lambda").list_functions()["Functions"]) == len(FUNCTIONS)
    removed = project.run("infra.destroy", STAGE, typed=f"{STAGE}\n")
    assert api_ids(project) == []
    assert project.client("lambda").list_functions()["Functions"] == []
    assert ask(f"{project.deploy()}{BUCKET}", "GET")[0] == 200

    refused = project.run("infra.destroy", STAGE, typed="another\n", DATA="remove")
    assert project.client("dynamodb").list_tables()["TableNames"] != []
    done = project.run("infra.destroy", STAGE, typed=f"{STAGE}\n", DATA="remove")
    again = project.run("infra.destroy", STAGE, typed=f"{STAGE}\n", DATA="remove")

    assert kept.endswith("nothing was removed, as no name was typed in\nended with 1")
    assert f"tables, queues and the secret of {STAGE} stay" in removed
    assert refused.endswith("nothing was removed\nended with 1")
    assert done.endswith("ended with 0")
    assert "removed the table kinto-staging-objects" in done
    assert project.client("dynamodb").list_tables()["TableNames"] == []
    assert project.client("sqs").list_queues().get("QueueUrls", []) == []
    [secret] = project.client("ssm").describe_parameters()["Parameters"]
    assert secret["Name"] == f"/kinto/{STAGE}/userid-hmac-secret"
    assert "removed" not in again
    assert again.endswith("ended with 0")
