"""A stage's secret, where it is a parameter of Systems Manager: made, or taken over.

It is never changed, and never removed: with another one users are others, and what is restored from
a backup has nobody's objects.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import boto3

from chalicelib.storage.tables import Tables
from infra.stages import Stage, StageError

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
    """Have a random one where it is kept, if there is none; never changes one.

    Raises:
        StageError: there is none, but there are data already, whose users had another.
    """
    name = parameter_of(stage)
    client = boto3.client("ssm")
    if name is None or _is_there(client, name):
        return
    objects = Tables.of_stage(stage.name).objects
    if _has_table(objects):
        raise StageError(
            f"{objects} is there, but not its secret {name}: put the old value back, as users would"
            " be others with a new one"
        )
    _put(client, name, secrets.token_hex(_BYTES))
    yield f"created a random one, the parameter {name}"


def copy_secret(stage: Stage, source: Stage) -> Iterator[str]:
    """Have that of another stage, for one that isn't in use yet and is to have its users.

    Raises:
        StageError: there is another one.
    """
    if stage.secret == source.secret:
        return
    name, there = parameter_of(stage), parameter_of(source)
    client = boto3.client("ssm")
    if name is None or there is None or not _is_there(client, there):
        yield f"copy the secret of {source.name} by hand, before deploying {stage.name}"
        return
    wanted = _value_of(client, there)
    if not _is_there(client, name):
        _put(client, name, wanted)
        yield f"the secret is that of {source.name}, the parameter {name}"
    elif _value_of(client, name) != wanted:
        raise StageError(
            f"{name} has another value than {there}, so users would be others than those of"
            f" {source.name}: remove it, and run this again"
        )


def _is_there(client: Any, name: str) -> bool:
    """Whether there is such a parameter, without reading it."""
    filters = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
    # A page may be empty, and the next one not.
    pages = client.get_paginator("describe_parameters").paginate(ParameterFilters=filters)
    return any(page["Parameters"] for page in pages)


def _has_table(name: str) -> bool:
    client = boto3.client("dynamodb")
    try:
        client.describe_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def _value_of(client: Any, name: str) -> str:
    found: str = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    return found


def _put(client: Any, name: str, value: str) -> None:
    client.put_parameter(
        Name=name,
        Value=value,
        Type="SecureString",
        Description="Keys the user ids of Kinto. Another value means other users.",
    )
