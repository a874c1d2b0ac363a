"""Tables that are there already, taken into the data stack of their stage.

CloudFormation refuses to create what is there. It imports it, but nothing else at the same time:
so the stack begins with the tables alone; queues and outputs come with its next update.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import yaml
from botocore.exceptions import ClientError, WaiterError

from infra.deploy import data_stack, stack_arguments
from infra.stacks import StackError
from infra.stages import Stage
from infra.tables import TEMPLATE, table_resources


def adopt_tables(client: Any, stage: Stage, polls: Mapping[str, float]) -> bool:
    """Begin a stage's data stack with its tables; False where there is a stack.

    Args:
        client: of boto3, for CloudFormation.
        stage: whose tables are there.
        polls: how often CloudFormation is asked, as boto3's waiters have it.

    Raises:
        StackError: CloudFormation doesn't take them.
    """
    name = data_stack(stage).name
    if not _is_to_begin(client, name):
        return False
    change_set = client.create_change_set(
        **stack_arguments(stage, TEMPLATE) | {"TemplateBody": _of_tables_alone(stage.name)},
        StackName=name,
        ChangeSetName=f"kinto-{uuid.uuid4().hex}",
        ChangeSetType="IMPORT",
        ResourcesToImport=_to_import(stage.name),
    )["Id"]
    try:
        prepared, imported = map(
            client.get_waiter, ("change_set_create_complete", "stack_import_complete")
        )
        prepared.wait(ChangeSetName=change_set, WaiterConfig=polls)
        client.execute_change_set(ChangeSetName=change_set)
        imported.wait(StackName=name, WaiterConfig=polls)
    except WaiterError as error:
        why = client.describe_change_set(ChangeSetName=change_set).get("StatusReason", "")
        raise StackError(f"{name}: {why or error}") from error
    return True


def _is_to_begin(client: Any, name: str) -> bool:
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return True
        raise
    return bool(stack["StackStatus"] == "REVIEW_IN_PROGRESS")  # a change set, not carried out


def _of_tables_alone(stage: str) -> str:
    template = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    resources = {name: template["Resources"][name] for name in table_resources(stage)}
    kept = {name: value for name, value in template.items() if name != "Outputs"}
    return str(yaml.safe_dump(kept | {"Resources": resources}))


def _to_import(stage: str) -> list[dict[str, Any]]:
    return [
        {
            "ResourceType": "AWS::DynamoDB::Table",
            "LogicalResourceId": name,
            "ResourceIdentifier": {"TableName": properties["TableName"]},
        }
        for name, properties in table_resources(stage).items()
    ]
