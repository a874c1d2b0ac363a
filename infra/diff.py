"""What deploying a stage would change: `python -m infra.diff prod`. Nothing is changed.

The code is packaged for it, as its bytes tell whether it is the same.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3

from infra.chalice_state import DeployedStage
from infra.deploy import (
    ERRORS,
    OPERATIONS,
    DeployError,
    data_stack,
    gateway_changes,
    operations_stack,
    stack_arguments,
    stream_of,
)
from infra.packaging import ARCHIVE, BUILD, FORMATS, PackageError, package
from infra.stages import STREAM, Stage
from infra.tables import TEMPLATE
from infra.template import logical_id

_COMPARED = ("Architectures", "Handler", "MemorySize", "Runtime", "Timeout")


def main(name: str = "") -> int:
    """Print what would change, a line each; gives the exit status."""
    try:
        stage = Stage.read(name)
        found = False
        for line in differences(stage):
            found = True
            print(line, flush=True)
        if not found:
            print(f"{name} is as it would be deployed")
    except (PackageError, *ERRORS) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def differences(stage: Stage) -> Iterator[str]:
    """What would change, a line each, beginning with the step that would change it."""
    for step, stack, template in (
        ("data", data_stack(stage), TEMPLATE),
        ("operations", operations_stack(stage), OPERATIONS),
    ):
        yield from (f"{step}: {it}" for it in stack.diff(**stack_arguments(stage, template)))
    try:
        stream = stream_of(stage)
    except DeployError:
        stream = "a new stream"
    if stage.set_stream(stream):
        yield f"config: the functions would read {stream}"
    deployed = DeployedStage.connect(stage)
    with TemporaryDirectory() as folder:
        yield from _of_functions(deployed, package(Path(folder), stage.name, build=BUILD), stream)
    if deployed.api_id() is None:
        yield "functions: a new API"
    else:
        for change in gateway_changes(stage):
            yield f"gateway: {change.tells}"


def _of_functions(deployed: DeployedStage, packaged: Path, stream: str) -> Iterator[str]:
    template = json.loads((packaged / FORMATS["cloudformation"].template).read_text())
    code = hashlib.sha256((packaged / ARCHIVE).read_bytes()).digest()
    for name, function in deployed.stage.functions.items():
        wanted = template["Resources"][logical_id(name)]["Properties"]
        wanted["Environment"]["Variables"][STREAM] = stream
        found = deployed.configuration_of(function)
        if found is None:
            yield f"functions: {function}: new"
            continue
        differing = [*_of_one(found, wanted, base64.b64encode(code).decode())]
        role = found["Role"].rpartition("/")[2]
        policy = template["Resources"][wanted["Role"]["Fn::GetAtt"][0]]["Properties"]["Policies"]
        if _policy_of(role) != policy[0]["PolicyDocument"]:
            differing.append("policy")
        if differing:
            yield f"functions: {function}: {', '.join(differing)}"


def _of_one(found: Mapping[str, Any], wanted: Mapping[str, Any], code: str) -> Iterator[str]:
    """The names of what differs; values of variables may be secrets."""
    if found["CodeSha256"] != code:
        yield "code"
    yield from (name for name in _COMPARED if found.get(name) != wanted.get(name))
    variables = found.get("Environment", {}).get("Variables", {})
    told = wanted["Environment"]["Variables"]
    yield from sorted(
        name for name in variables.keys() | told.keys() if variables.get(name) != told.get(name)
    )


def _policy_of(role: str) -> Any:
    """The document of a role's policy, which Chalice gives the role's own name."""
    found = boto3.client("iam").get_role_policy(RoleName=role, PolicyName=role)
    return found["PolicyDocument"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
