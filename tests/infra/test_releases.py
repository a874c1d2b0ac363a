"""Releases, and going back to one: `infra/releases.py`, `infra/rollback.py`."""

import base64
import hashlib
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import rollback
from infra.releases import KEPT, ReleaseError, Releases
from infra.stages import Stage

API, PURGE = "kinto-serverless-dev", "kinto-serverless-dev-purge"
STAGE = Stage("dev", {"lambda_functions": {"purge": {}}, "stages": {"dev": {}}})
LATEST = "$LATEST"
BEGUN = datetime(2026, 5, 1, 3, tzinfo=UTC)


class Lambda:
    """A client of Lambda, with the functions of a stage; `changes` has what was changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.versions: dict[str, dict[str, dict[str, Any]]] = {
            name: {LATEST: configuration(name)} for name in (API, PURGE)
        }
        self.changes: list[tuple[str, str]] = []
        self.fails_at: str | None = None
        for name in self.versions:
            self.deploy(name, "first")

    def deploy(self, function: str, code: str | None = None, **settings: Any) -> None:
        """Have other code or settings, as Chalice would."""
        latest = self.versions[function][LATEST]
        latest.update(settings)
        if code is not None:
            (self._folder / sha(code.encode())).write_text(code)
            latest["CodeSha256"] = sha(code.encode())

    def running(self, function: str) -> dict[str, Any]:
        """What runs, without its version."""
        found = deepcopy(self.versions[function][LATEST])
        return found | {"code": (self._folder / found["CodeSha256"]).read_text()}

    def lose_code(self) -> None:
        """Have no code to download."""
        for file in self._folder.iterdir():
            file.unlink()

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        return deepcopy(self.versions[FunctionName][LATEST])

    def get_function(self, FunctionName: str, Qualifier: str) -> dict[str, Any]:  # noqa: N803
        file = self._folder / self.versions[FunctionName][Qualifier]["CodeSha256"]
        return {"Code": {"Location": file.as_uri()}}

    def publish_version(
        self,
        FunctionName: str,  # noqa: N803
        Description: str,  # noqa: N803
        CodeSha256: str,  # noqa: N803
    ) -> None:
        self._change("publish", FunctionName)
        versions = self.versions[FunctionName]
        if versions[LATEST]["CodeSha256"] != CodeSha256:
            raise refusal("InvalidParameterValueException", "PublishVersion")
        number = str(max([0, *(int(it) for it in versions if it != LATEST)]) + 1)
        versions[number] = deepcopy(versions[LATEST])
        versions[number].update(Version=number, Description=Description)

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        del self.versions[FunctionName][Qualifier]

    def update_function_code(
        self,
        FunctionName: str,  # noqa: N803
        ZipFile: bytes,  # noqa: N803
        Architectures: list[str],  # noqa: N803
    ) -> None:
        self._change("code", FunctionName)
        self.deploy(FunctionName, ZipFile.decode(), Architectures=Architectures)

    def update_function_configuration(self, FunctionName: str, **settings: Any) -> None:  # noqa: N803
        self._change("settings", FunctionName)
        if "Layers" in settings:
            settings["Layers"] = [{"Arn": arn, "CodeSize": 1} for arn in settings["Layers"]]
        self.deploy(FunctionName, **settings)

    def get_waiter(self, name: str) -> "Lambda":
        assert name == "function_updated_v2"
        return self

    def wait(self, **_: Any) -> None:
        """It is there."""

    def get_paginator(self, operation: str) -> "Lambda":
        assert operation == "list_versions_by_function"
        return self

    def paginate(self, FunctionName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        for version in self.versions[FunctionName].values():
            yield {"Versions": [deepcopy(version)]}

    def _change(self, what: str, function: str) -> None:
        if self.fails_at == function:
            raise refusal("TooManyRequestsException", what)
        self.changes.append((what, function))


def configuration(name: str) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Version": LATEST,
        "Description": "",
        "Architectures": ["arm64"],
        "Environment": {"Variables": {"KINTO_STAGE": "dev"}},
        "EphemeralStorage": {"Size": 512},
        "Handler": "app.app",
        "MemorySize": 256,
        "Role": "arn:of:role",
        "Runtime": "python3.11",
        "Timeout": 29,
        "TracingConfig": {"Mode": "PassThrough"},
    }


def sha(code: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(code).digest()).decode()


def refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No"}}, operation)


@pytest.fixture
def functions(tmp_path: Path) -> Lambda:
    return Lambda(tmp_path)


@pytest.fixture
def releases(functions: Lambda) -> Releases:
    return Releases(STAGE, functions)


def publish(releases: Releases, hour: int) -> str:
    """Keep a release; gives its name."""
    releases.publish(f"commit{hour}", BEGUN + timedelta(hours=hour))
    return f"{(BEGUN + timedelta(hours=hour)).isoformat()} commit{hour}"


# Keeping


def test_a_function_that_has_not_changed_gets_no_version(
    functions: Lambda, releases: Releases
) -> None:
    publish(releases, 1)
    functions.deploy(API, MemorySize=512)

    assert releases.publish("abc", BEGUN + timedelta(hours=2)) == [API]
    assert releases.publish("abc", BEGUN + timedelta(hours=3)) == []


def test_the_last_ones_are_kept_and_only_what_all_functions_have_is_listed(
    functions: Lambda, releases: Releases
) -> None:
    names = []
    for hour in range(KEPT + 2):
        functions.deploy(API, MemorySize=128 + hour)
        names.append(publish(releases, hour))

    assert len(functions.versions[API]) == KEPT + len([LATEST])
    assert releases.names() == names[2:]


def test_what_another_deployment_has_put_meanwhile_is_not_kept(
    functions: Lambda, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    paginate = functions.paginate

    def meanwhile(FunctionName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        functions.deploy(PURGE, "of somebody else")
        return paginate(FunctionName)

    monkeypatch.setattr(functions, "paginate", meanwhile)

    with pytest.raises(ClientError, match="InvalidParameterValue"):
        publish(releases, 1)

    assert [*functions.versions[PURGE]] == [LATEST]


# Which runs, and which was before


def test_the_release_that_runs_is_the_one_that_all_functions_are_of(
    functions: Lambda, releases: Releases
) -> None:
    first = publish(releases, 1)
    functions.deploy(PURGE, "second")
    second = publish(releases, 2)

    assert releases.current() == second
    assert releases.chosen() == first
    functions.deploy(PURGE, "first")
    assert releases.current() == first


def test_of_two_releases_that_are_the_same_the_later_one_runs(
    functions: Lambda, releases: Releases
) -> None:
    publish(releases, 1)
    functions.deploy(API, "second")
    second = publish(releases, 2)
    functions.deploy(API, "first")
    third = publish(releases, 3)

    assert releases.current() == third
    assert releases.chosen() == second


@pytest.mark.parametrize("function", [API, PURGE])
def test_after_half_a_deployment_the_last_release_has_to_be_named(
    functions: Lambda, releases: Releases, function: str
) -> None:
    publish(releases, 1)
    functions.deploy(API, "second")
    last = publish(releases, 2)
    functions.deploy(function, "third")

    assert releases.current() is None
    with pytest.raises(ReleaseError, match=r"no release.*RELEASE=2026-05-01T05:00:00\+00:00 "):
        releases.chosen()
    assert releases.chosen("2026-05-01T05") == last
    assert [*releases.go_back(last)] == [function]
    assert releases.current() == last


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (None, "no release before this one"),
        ("2026", "2 releases begin with 2026"),
        ("1999", "0 releases begin with 1999: 2026"),
    ],
)
def test_what_is_not_one_release_is_refused(
    functions: Lambda, releases: Releases, name: str | None, why: str
) -> None:
    first = publish(releases, 1)
    functions.deploy(API, "second")
    publish(releases, 2)
    [*releases.go_back(first)]

    with pytest.raises(ReleaseError, match=why):
        releases.chosen(name)


def test_where_there_is_no_release_there_is_none_to_go_back_to(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="no release before this one: there is none"):
        releases.chosen()


# Going back


VPC = {"SubnetIds": ["subnet-2", "subnet-1"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1"}


@pytest.mark.parametrize(
    ("then", "later"),
    [
        ({}, {"Architectures": ["x86_64"]}),
        ({}, {"EphemeralStorage": {"Size": 1024}}),
        ({}, {"Environment": {"Variables": {"KINTO_STAGE": "dev", "KINTO_EOS": "2030-01-01"}}}),
        ({"Environment": {"Variables": {}}}, {}),
        ({}, {"Handler": "app.other"}),
        ({}, {"Layers": [{"Arn": "arn:layer:2", "CodeSize": 1}]}),
        ({"Layers": [{"Arn": "arn:layer:1", "CodeSize": 1}]}, {"Layers": []}),
        ({}, {"MemorySize": 512}),
        ({}, {"Role": "arn:of:another"}),
        ({}, {"Runtime": "python3.13"}),
        ({}, {"Timeout": 3}),
        ({}, {"TracingConfig": {"Mode": "Active"}}),
        ({}, {"VpcConfig": VPC}),
        ({"VpcConfig": VPC}, {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""}}),
    ],
)
def test_a_function_is_as_it_was(
    functions: Lambda, releases: Releases, then: dict[str, Any], later: dict[str, Any]
) -> None:
    functions.deploy(API, **then)
    release = publish(releases, 1)
    was = told(functions.running(API))
    functions.deploy(API, "second", **(later or configuration(API)))

    assert [*releases.go_back(release)] == [API]

    assert told(functions.running(API)) == was
    assert releases.current() == release


def told(found: dict[str, Any]) -> dict[str, Any]:
    """A configuration, but for what comes to the same."""
    network = found.pop("VpcConfig", {})
    return found | {
        "Layers": [layer["Arn"] for layer in found.get("Layers", [])],
        "SubnetIds": sorted(network.get("SubnetIds", [])),
        "SecurityGroupIds": network.get("SecurityGroupIds", []),
    }


def test_another_architecture_alone_is_taken_back(functions: Lambda, releases: Releases) -> None:
    release = publish(releases, 1)
    functions.deploy(API, Architectures=["x86_64"])
    functions.changes.clear()

    assert [*releases.go_back(release)] == [API]

    assert functions.running(API)["Architectures"] == ["arm64"]
    assert functions.changes == [("code", API)]


def test_what_is_as_it_was_is_left_alone(functions: Lambda, releases: Releases) -> None:
    release = publish(releases, 1)
    functions.changes.clear()

    assert [*releases.go_back(release)] == []
    assert functions.changes == []


def test_a_function_without_a_version_of_then_ends_it_before_any_change(
    functions: Lambda, releases: Releases
) -> None:
    first = publish(releases, 1)
    functions.deploy(API, "second")
    functions.deploy(PURGE, "second")
    publish(releases, 2)
    del functions.versions[PURGE]["1"]
    functions.changes.clear()

    with pytest.raises(ReleaseError, match=f"{PURGE} has no version of 2026-05-01T04"):
        [*releases.go_back(first)]

    assert functions.changes == []


def test_code_that_can_not_be_downloaded_ends_it_before_any_change(
    functions: Lambda, releases: Releases
) -> None:
    release = publish(releases, 1)
    functions.deploy(API, MemorySize=512)
    functions.deploy(PURGE, "second")
    functions.lose_code()
    functions.changes.clear()

    with pytest.raises(ReleaseError, match=f"the code of {PURGE} can't be downloaded: "):
        [*releases.go_back(release)]

    assert functions.changes == []


def test_variables_that_can_not_be_read_are_not_taken_for_none(
    functions: Lambda, releases: Releases
) -> None:
    publish(releases, 1)
    functions.deploy(API, Environment={"Error": {"Message": "Access to the key was denied"}})

    with pytest.raises(ReleaseError, match=f"{API} can't be read: Access to the key was denied"):
        publish(releases, 2)


# The command


@pytest.fixture
def command(functions: Lambda, monkeypatch: pytest.MonkeyPatch) -> Lambda:
    monkeypatch.setattr(boto3, "client", lambda _: functions)
    monkeypatch.setattr(Stage, "read", lambda _: STAGE)
    monkeypatch.setattr(rollback, "check_service", lambda _: ["it answers"])
    monkeypatch.delenv("RELEASE", raising=False)
    return functions


def test_the_command_tells_the_release_before_it_changes_anything(
    command: Lambda, releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish(releases, 1)
    command.deploy(API, "second")
    command.deploy(PURGE, "second")
    publish(releases, 2)
    command.fails_at = PURGE

    assert rollback.main("dev") == 1

    told = capsys.readouterr()
    assert told.out.splitlines()[0] == f"going back to {first}"
    assert "policies" in told.out.splitlines()[1]
    assert told.out.splitlines()[2:] == [f"{API} is as in {first}"]
    assert "TooManyRequests" in told.err
    assert told.err.count("\n") == 1


def test_what_ended_halfway_is_run_again_with_the_release(
    command: Lambda,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = publish(releases, 1)
    command.deploy(API, "second")
    command.deploy(PURGE, "second")
    publish(releases, 2)
    command.fails_at = PURGE
    rollback.main("dev")
    command.fails_at = None

    assert rollback.main("dev") == 1
    assert "what runs is no release" in capsys.readouterr().err
    monkeypatch.setenv("RELEASE", first.partition(" ")[0])
    assert rollback.main("dev") == 0

    assert releases.current() == first
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"all functions are as in {first}",
        "it answers",
    ]


def test_the_list_marks_what_runs(
    command: Lambda,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = publish(releases, 1)
    command.deploy(PURGE, "second")
    second = publish(releases, 2)
    monkeypatch.setenv("SHOW", "1")

    assert rollback.main("dev") == 0

    assert capsys.readouterr().out.splitlines() == [first, f"{second} (runs)"]
