"""The tables on any endpoint, made from the template that production uses."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("data.yaml")

_NO_VALUE = {"Ref": "AWS::NoValue"}
_CREATED_WITH = (
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "BillingMode",
)


def table_resources(stage: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's tables by logical id, with the names of this stage."""
    return template_resources("AWS::DynamoDB::Table", "TableName", stage)


def template_resources(kind: str, named_by: str, stage: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of a type by logical id, without a customer key.

    Args:
        kind: the type, as CloudFormation calls it.
        named_by: the property that has the name.
        stage: replaces `${Stage}` in the names.
    """
    resources = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    return {
        logical_id: _of_stage(resource["Properties"], named_by, stage)
        for logical_id, resource in resources.items()
        if resource["Type"] == kind
    }


def create_tables(client: Any, stage: str) -> None:
    """Create the tables of a stage where they are missing; existing ones stay as they are.

    What protects data in production (backups, deletion protection, encryption) is left out.

    Args:
        client: of boto3, for DynamoDB.
        stage: names the tables.
    """
    for properties in table_resources(stage).values():
        _create_table(client, properties)
        if "TimeToLiveSpecification" in properties:
            _enable_expiry(client, properties)


def _of_stage(properties: dict[str, Any], named_by: str, stage: str) -> dict[str, Any]:
    name = properties[named_by]["Fn::Sub"].replace("${Stage}", stage)
    decided = {key: _without_key(value) for key, value in properties.items()}
    return {key: it for key, it in decided.items() if it != _NO_VALUE} | {named_by: name}


def _without_key(value: Any) -> Any:
    """The value that a property has where its condition, which is `HasKey`, doesn't hold."""
    if isinstance(value, dict) and "Fn::If" in value:
        _condition, _with_key, without = value["Fn::If"]
        return without
    return value


def _create_table(client: Any, properties: dict[str, Any]) -> None:
    arguments = {name: properties[name] for name in _CREATED_WITH if name in properties}
    if "StreamSpecification" in properties:
        arguments["StreamSpecification"] = {
            "StreamEnabled": True,
            **properties["StreamSpecification"],
        }
    with suppress(client.exceptions.ResourceInUseException):
        client.create_table(**arguments)
    client.get_waiter("table_exists").wait(TableName=properties["TableName"])


def _enable_expiry(client: Any, properties: dict[str, Any]) -> None:
    name = properties["TableName"]
    state = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if state["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
        )
