"""What `chalice package` writes, made whole: for CloudFormation, or for Terraform.

Chalice has the ARN of the table's stream in it; here it is a parameter, so that one package suits
any account. The functions have the names that `chalice deploy` gives them, which log groups and
alarms know them by, and the API its access log and limits.
"""

from collections.abc import Mapping
from typing import Any

from infra.api_gateway import Gateway, template_additions, terraform_additions
from infra.stages import API, Stage

ANY_STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/any/stream/any"
"""Stands for the stream where Chalice packages."""

STREAM_PARAMETER = "ObjectsStreamArn"
"""Of a CloudFormation template, as the data stack's output is called."""

STREAM_VARIABLE = "objects_stream_arn"
"""Of Terraform."""


def logical_id(function: str) -> str:
    """What Chalice calls a function in a template of CloudFormation."""
    return "APIHandler" if function == API else function.title()


def of_cloudformation(template: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """The template of SAM, made whole.

    Args:
        template: as Chalice writes it, with ANY_STREAM.
        stage: that was packaged.
    """
    named = {
        logical_id(function): {"Properties": {"FunctionName": name}}
        for function, name in stage.functions.items()
    }
    parameter = {
        STREAM_PARAMETER: {
            "Type": "String",
            "Description": f"The output {STREAM_PARAMETER} of the stack kinto-{stage.name}-data",
        }
    }
    additions = template_additions(Gateway.of_stage(stage.config, stage.name))
    whole = merged(merged(template, {"Parameters": parameter, "Resources": named}), additions)
    found: dict[str, Any] = _replaced(whole, ANY_STREAM, {"Ref": STREAM_PARAMETER})
    return found


def of_terraform(template: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """The configuration of Terraform, made whole.

    Args:
        template: as Chalice writes it, with ANY_STREAM.
        stage: that was packaged.
    """
    description = f"The output {STREAM_PARAMETER} of the stack kinto-{stage.name}-data"
    variable = {STREAM_VARIABLE: {"type": "string", "description": description}}
    gateway = Gateway.of_stage(stage.config, stage.name)
    whole = merged(
        merged(template, {"variable": variable}),
        terraform_additions(gateway, stage.gateway_stage),
    )
    found: dict[str, Any] = _replaced(whole, ANY_STREAM, f"${{var.{STREAM_VARIABLE}}}")
    return found


def merged(one: Any, other: Any) -> Any:
    """Mappings merged at every depth; where both have something else, the other's."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    return {
        **one,
        **{
            name: merged(one[name], value) if name in one else value
            for name, value in other.items()
        },
    }


def _replaced(value: Any, text: str, by: Any) -> Any:
    """A value with something else for a text, and without what is null."""
    if isinstance(value, Mapping):
        return {name: _replaced(it, text, by) for name, it in value.items() if it is not None}
    if isinstance(value, list):
        return [_replaced(it, text, by) for it in value]
    return by if value == text else value
