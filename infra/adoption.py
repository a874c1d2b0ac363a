"""What is there already, taken into the data stack of its stage.

CloudFormation refuses to create what is there: restored tables, or what a stack left that was
deleted. It imports it, but nothing else at the same time: so the stack begins with what is there
alone; the rest, and outputs, come with its next update.
"""

from collections.abc import Mapping
from typing import Any

import boto3
import yaml

from infra.queues import queue_resources
from infra.stacks import POLLS, Stack, StackError
from infra.stage_stacks import data_stack, stack_arguments
from infra.stages import Stage
from infra.tables import TEMPLATE, table_resources

_TO_OTHERS = ("DependsOn", "RedrivePolicy")


def adopt_tables(client: Any, stage: Stage, polls: Mapping[str, float] = POLLS) -> list[str]:
    """Begin a stage's data stack with its tables and queues; gives what it has, a line each.

    That is nothing where there is a stack already, or neither tables nor queues are there.

    Args:
        client: of boto3, for CloudFormation.
        stage: whose tables are there.
        polls: how often CloudFormation is asked, as boto3's waiters have it.

    Raises:
        StackError: CloudFormation doesn't take them, or can't go on with the stack that is there;
            or one of the tables is missing.
    """
    stack = Stack(client, data_stack(stage).name, polls)
    if stack.is_usable():
        return []
    found = {**_tables(stage.name), **_queues(stage.name)}
    if not found:
        return []
    arguments = stack_arguments(stage, TEMPLATE) | {"TemplateBody": _template_of(found)}
    return stack.adopt([*found.values()], **arguments)


def _tables(stage: str) -> dict[str, dict[str, Any]]:
    """Both tables, as CloudFormation imports them, by logical id; none where there are none."""
    client = boto3.client("dynamodb")
    names = {key: it["TableName"] for key, it in table_resources(stage).items()}
    there = {key: name for key, name in names.items() if _is_there(client, name)}
    if there and there != names:
        missing = ", ".join(name for key, name in names.items() if key not in there)
        raise StackError(
            f"{', '.join(there.values())} is there, but {missing} isn't, and neither is of use"
            " alone: delete it if it is empty, or restore the stage"
        )
    return {
        key: _to_import(key, "AWS::DynamoDB::Table", TableName=name) for key, name in there.items()
    }


def _is_there(client: Any, table: str) -> bool:
    """Whether there is this table, once it has gone if it is going."""
    try:
        status = client.describe_table(TableName=table)["Table"]["TableStatus"]
    except client.exceptions.ResourceNotFoundException:
        return False
    if status == "DELETING":
        client.get_waiter("table_not_exists").wait(TableName=table)
    return bool(status != "DELETING")


def _queues(stage: str) -> dict[str, dict[str, Any]]:
    """The queues that are there, as CloudFormation imports them, by logical id."""
    client = boto3.client("sqs")
    found: dict[str, dict[str, Any]] = {}
    for key, properties in queue_resources(stage).items():
        try:
            url = client.get_queue_url(QueueName=properties["QueueName"])["QueueUrl"]
        except client.exceptions.QueueDoesNotExist:
            continue
        found[key] = _to_import(key, "AWS::SQS::Queue", QueueUrl=url)
    return found


def _to_import(logical_id: str, kind: str, **identifier: str) -> dict[str, Any]:
    return {
        "ResourceType": kind,
        "LogicalResourceId": logical_id,
        "ResourceIdentifier": identifier,
    }


def _template_of(logical_ids: Mapping[str, Any]) -> str:
    """The template with these resources alone, and without what names others: they may be missing.

    An import changes nothing at what it takes in, so a queue's dead letters stay as they are.
    """
    template = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    del template["Outputs"]
    template["Resources"] = {name: template["Resources"][name] for name in logical_ids}
    for resource in template["Resources"].values():
        for name in _TO_OTHERS:
            resource.pop(name, None)
            resource["Properties"].pop(name, None)
    return str(yaml.safe_dump(template))
