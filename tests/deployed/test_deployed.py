"""The application as it ships, over HTTP: its routes, its functions and what wakes them."""

import io
import json
import uuid
import zipfile
from pathlib import Path

import boto3
import pytest

from infra import packaging as module
from infra.emulator import ROOT_KEYS, emulator
from infra.packaged import Clients, deploy
from infra.packaging import PackageError, package
from infra.stages import StageError
from tests.deployed.conftest import STAGE, VARIABLES, Api, Deployed, eventually

pytestmark = pytest.mark.emulator

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}

ENDLESS = """
import os, pathlib, time

def run(event, context):
    pathlib.Path(event).write_text(str(os.getpid()))
    time.sleep(300)
"""


@pytest.fixture
def bucket() -> str:
    return f"/buckets/{uuid.uuid4()}"


def test_the_root_tells_the_address_that_it_was_asked_at(api: Api) -> None:
    answer = api("GET", "/")

    assert answer.status == 200
    assert answer.body["url"] == f"{api.url}/v1/"


def test_what_is_written_can_be_read(api: Api, bucket: str) -> None:
    record = f"{bucket}/collections/posts/records/{uuid.uuid4()}"

    written = [
        api("PUT", bucket, {}),
        api("PUT", f"{bucket}/collections/posts", {}),
        api("PUT", record, {"data": {"title": "Hello, Ümläut"}}),
    ]

    assert [answer.status for answer in written] == [201, 201, 201]
    read = api("GET", record)
    assert read.status == 200
    assert read.body == written[2].body
    assert read.headers["etag"] == written[2].headers["etag"]


def test_what_a_deleted_bucket_held_is_purged(deployed: Deployed, api: Api, bucket: str) -> None:
    api("PUT", bucket, {})
    api("PUT", f"{bucket}/collections/posts", {})
    api("PUT", f"{bucket}/groups/editors", {"data": {"members": []}})
    for _ in range(3):
        api("POST", f"{bucket}/collections/posts/records", {"data": {}})
    assert len(_held(deployed, bucket)) == 5

    deleted = api("DELETE", bucket)

    assert deleted.status == 200
    eventually(lambda: not _held(deployed, bucket))


def test_deploying_again_changes_what_functions_are_told(deployed: Deployed, api: Api) -> None:
    with deployed.variables({"KINTO_BATCH_MAX_REQUESTS": "7"}):
        changed = api("GET", "/")
    restored = api("GET", "/")

    assert changed.body["settings"]["batch_max_requests"] == 7
    assert restored.body["settings"]["batch_max_requests"] == 25


def test_deploying_the_same_again_changes_nothing(deployed: Deployed) -> None:
    again = deploy(Clients.connect(deployed.endpoint), STAGE, deployed.package, VARIABLES)

    assert again == deployed.deployment


def test_a_function_that_is_killed_is_started_again(deployed: Deployed, api: Api) -> None:
    api("GET", "/")

    killed = deployed.kill("APIHandler")

    assert killed
    assert api("GET", "/").status == 200


def test_a_function_that_runs_ends_with_the_emulator(tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("endless.py", ENDLESS)

    with emulator(None, deploys=True) as url:
        client = boto3.client("lambda", endpoint_url=url, **ROOT_KEYS)
        role = boto3.client("iam", endpoint_url=url, **ROOT_KEYS).create_role(
            RoleName="any", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        client.create_function(
            FunctionName="endless",
            Runtime="python3.11",
            Handler="endless.run",
            Role=role["Role"]["Arn"],
            Code={"ZipFile": code.getvalue()},
            Timeout=300,
        )
        client.invoke(
            FunctionName="endless", InvocationType="Event", Payload=json.dumps(str(started))
        )
        process = int(eventually(lambda: started.exists() and started.read_text()))

    eventually(lambda: not Path(f"/proc/{process}").exists(), within_s=5)


def test_a_stage_that_is_not_configured_is_not_packaged(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="there is no stage elsewhere"):
        package(tmp_path / "package", "elsewhere", build=tmp_path / "build")


def test_what_chalice_cannot_package_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("chalicelib", "infra"):
        (tmp_path / name).symlink_to(module.ROOT / name)
    (tmp_path / ".chalice").mkdir()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "app.py").write_text("import nothing_of_the_kind")
    stages = {"dev": {"api_gateway_stage": "dev"}}
    config = {"app_name": "it", "lambda_functions": {}, "stages": stages}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(module, "ROOT", tmp_path)

    with pytest.raises(PackageError, match="No module named 'nothing_of_the_kind'"):
        package(tmp_path / "package", "dev", build=tmp_path / "build")


def _held(deployed: Deployed, bucket: str) -> list[str]:
    """The ids of the objects in this bucket; what tells the time of its lists is none."""
    return [
        item["id"]["S"]
        for item in deployed.items()
        if item["parent"]["S"].startswith(bucket) and item["id"]["S"] != ".clock"
    ]
