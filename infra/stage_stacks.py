"""The two stacks that a stage has beside its functions, and what they are put with."""

from pathlib import Path
from typing import Any

import boto3
import yaml

from infra.stacks import Stack, StackError, parameters
from infra.stages import Stage
from infra.tables import TEMPLATE

DATA = TEMPLATE
OPERATIONS = TEMPLATE.with_name("operations.yaml")


def data_stack(stage: Stage) -> Stack:
    """The stack of tables and queues."""
    return Stack(boto3.client("cloudformation"), f"kinto-{stage.name}-data")


def operations_stack(stage: Stage) -> Stack:
    """The stack of log groups, alarms and the dashboard."""
    return Stack(boto3.client("cloudformation"), f"kinto-{stage.name}-operations")


def stack_arguments(stage: Stage, template: Path) -> dict[str, Any]:
    """What a stack is put with: of the stage's parameters those that its template has."""
    text = template.read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["Parameters"]
    values = {"Stage": stage.name, **stage.stack_parameters}
    wanted = {name: value for name, value in values.items() if name in declared}
    return {"TemplateBody": text, "Parameters": parameters(wanted)}


def stack_outputs(stack: Stack) -> dict[str, str]:
    """What a stack tells.

    Raises:
        StackError: there is no such stack.
    """
    outputs = stack.outputs()
    if not outputs:
        raise StackError(f"there is no stack {stack.name} yet")
    return outputs
