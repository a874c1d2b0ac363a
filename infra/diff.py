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

from infra.account import Account
from infra.chalice_state import DeployedStage
from infra.deploy import ERRORS, DeployError, gateway_changes, stream_of, told_account
from infra.event_sources import is_disabled, wanted_sources
from infra.packaging import ARCHIVE, BUILD, FORMATS, PackageError, package
from infra.stage_stacks import OPERATIONS, data_stack, operations_stack, stack_arguments
from infra.stages import STREAM, Stage, StageError
from infra.tables import TEMPLATE
from infra.template import logical_id

_COMPARED = ("Architectures", "Handler", "MemorySize", "Runtime", "Timeout")
_OF_SOURCES = ("BatchSize", "MaximumBatchingWindowInSeconds", "ScalingConfig")
_NOT_TRACED = "PassThrough"
_NEW_STREAM = "a new stream"


def main(name: str = "") -> int:
    """Print what would change, a line each; gives the exit status."""
    try:
        stage = Stage.read(name)
        print(told_account(stage, Account.of_caller()), flush=True)
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
        stream = _NEW_STREAM
    if stage.set_stream(stream):
        yield f"config: the functions would read {stream}"
    deployed = DeployedStage.connect(stage)
    try:
        deployed.refuse_package()
    except StageError as error:
        yield f"functions: {error}"
        return
    with TemporaryDirectory() as folder:
        packaged = package(Path(folder), stage.name, build=BUILD)
        template = json.loads((packaged / FORMATS["cloudformation"].template).read_text())
        code = hashlib.sha256((packaged / ARCHIVE).read_bytes()).digest()
    yield from of_functions(deployed, template, base64.b64encode(code).decode(), stream)
    yield from _of_api(deployed)


def of_functions(
    deployed: DeployedStage, template: Mapping[str, Any], code: str, stream: str
) -> Iterator[str]:
    """What would change at the functions, and at what they read.

    Args:
        deployed: the stage.
        template: of its package, for CloudFormation.
        code: the SHA-256 of the package's zip, as Lambda writes it.
        stream: the ARN of the table's stream, or what is told in its place.
    """
    for name, function in deployed.stage.functions.items():
        found = deployed.configuration_of(function)
        if found is None:
            yield f"functions: {function}: new"
            continue
        wanted = template["Resources"][logical_id(name)]["Properties"]
        wanted["Environment"]["Variables"][STREAM] = stream
        differing = [*_of_one(found, wanted, code)]
        policy = template["Resources"][wanted["Role"]["Fn::GetAtt"][0]]["Properties"]["Policies"]
        if _policy_of(deployed, name) != policy[0]["PolicyDocument"]:
            differing.append("policy")
        if differing:
            yield f"functions: {function}: {', '.join(differing)}"
    yield from (f"functions: {line}" for line in deployed.concurrency_changes())
    if stream != _NEW_STREAM:
        yield from _of_sources(deployed, template, stream)


def _of_sources(deployed: DeployedStage, template: Mapping[str, Any], stream: str) -> Iterator[str]:
    found = deployed.sources.wanted(stream)
    for name, arn in wanted_sources(deployed.stage, stream).items():
        function = deployed.stage.functions[name]
        if name not in found:
            yield f"functions: {function} would read {arn}"
            continue
        if is_disabled(found[name]):
            yield f"functions: {function} would read {arn} again, which is disabled"
        [event] = template["Resources"][logical_id(name)]["Properties"]["Events"].values()
        differing = [
            setting
            for setting in _OF_SOURCES
            if setting in event["Properties"]
            and found[name].get(setting, 0) != event["Properties"][setting]
        ]
        if differing:
            yield f"functions: {function} reads {arn} otherwise: {', '.join(differing)}"
    for mapping in deployed.sources.others(stream):
        yield f"functions: {mapping['EventSourceArn']} would be read no more"


def _of_api(deployed: DeployedStage) -> Iterator[str]:
    api_id = deployed.api_id()
    if api_id is None:
        yield "functions: a new API"
        return
    for change in gateway_changes(deployed.stage):
        yield f"gateway: {change.tells}"
    for line in deployed.domain.leads_elsewhere(api_id):
        yield f"gateway: {line}"


def _of_one(found: Mapping[str, Any], wanted: Mapping[str, Any], code: str) -> Iterator[str]:
    """The names of what differs; values of variables may be secrets."""
    if found["CodeSha256"] != code:
        yield "code"
    yield from (name for name in _COMPARED if found.get(name) != wanted.get(name))
    if [layer["Arn"] for layer in found.get("Layers", [])] != wanted.get("Layers", []):
        yield "Layers"
    if wanted["Tracing"] != found.get("TracingConfig", {}).get("Mode", _NOT_TRACED):
        yield "Tracing"
    variables = found.get("Environment", {}).get("Variables", {})
    told = wanted["Environment"]["Variables"]
    yield from sorted(
        name for name in variables.keys() | told.keys() if variables.get(name) != told.get(name)
    )


def _policy_of(deployed: DeployedStage, name: str) -> Any:
    """The document of the policy of a function's role, which Chalice gives the role's own name."""
    role = deployed.role_name(name)
    try:
        found = deployed.iam.get_role_policy(RoleName=role, PolicyName=role)
    except deployed.iam.exceptions.NoSuchEntityException:
        return None
    return found["PolicyDocument"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
