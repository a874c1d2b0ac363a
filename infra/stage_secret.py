"""A stage's secret, where it is a parameter of Systems Manager: made, or taken over."""

import secrets
from collections.abc import Iterator
from typing import Any

import boto3

from infra.stages import Stage

_PARAMETER = "ssm:"
_BYTES = 32


def parameter_of(stage: Stage) -> str | None:
    """The parameter that a stage's secret is kept in; None where it is kept otherwise.

    Raises:
        StageError: the stage has no secret of its own.
    """
    secret = stage.secret
    return secret.removeprefix(_PARAMETER) if secret.startswith(_PARAMETER) else None


def create_secret(stage: Stage) -> Iterator[str]:
    """Have a random one where it is kept, if there is none; never changes one."""
    name = parameter_of(stage)
    client = boto3.client("ssm")
    if name is not None and not _is_there(client, name):
        _put(client, name, secrets.token_hex(_BYTES))
        yield f"created a random one, the parameter {name}"


def copy_secret(stage: Stage, source: Stage) -> Iterator[str]:
    """Have that of another stage, whose users a stage is to have, if there is none."""
    name, there = parameter_of(stage), parameter_of(source)
    client = boto3.client("ssm")
    if name is None or _is_there(client, name):
        return
    if there is None or not _is_there(client, there):
        yield f"{source.name} has no parameter to copy: put its secret in {name}, before deploying"
        return
    found = client.get_parameter(Name=there, WithDecryption=True)["Parameter"]["Value"]
    _put(client, name, found)
    yield f"the secret is that of {source.name}, the parameter {name}"


def _is_there(client: Any, name: str) -> bool:
    """Whether there is such a parameter, without reading it."""
    filters = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
    return bool(client.describe_parameters(ParameterFilters=filters)["Parameters"])


def _put(client: Any, name: str, value: str) -> None:
    client.put_parameter(
        Name=name,
        Value=value,
        Type="SecureString",
        Description="Keys the user ids of Kinto. Another value means other users.",
    )
