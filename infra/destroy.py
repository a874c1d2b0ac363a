"""Removing a stage: `python -m infra.destroy prod`.

Once the stage's name was typed in, functions, API, alarms and logs go. The data stay: tables,
queues and the secret, so that deploying again goes on where this ended. With DATA=remove in the
environment tables and queues go as well. The secret stays in any case, and so does a domain.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.account import Account
from infra.chalice_state import DeployedStage
from infra.deploy import ERRORS, DeployError, chalice, told_account
from infra.queues import queue_resources
from infra.stage_stacks import data_stack, operations_stack
from infra.stages import Stage
from infra.tables import table_resources

_GONE = (
    "ResourceNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
)


def main(name: str = "", *, ask: Callable[[str], str] = input) -> int:
    """Remove this stage; gives the exit status.

    Args:
        name: of the stage.
        ask: gives what was typed in, after this text.
    """
    try:
        stage = Stage.read(name)
        removes_data = os.environ.get("DATA") == "remove"
        account = Account.of_caller()
        print(told_account(stage, account), flush=True)
        _confirm(stage, account, ask, removes_data=removes_data)
        for line in destroy(stage, removes_data=removes_data):
            print(line, flush=True)
    except ERRORS as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def destroy(stage: Stage, *, removes_data: bool) -> Iterator[str]:
    """Remove a stage, and tell what is removed; what was stopped can be run again.

    Raises:
        StageError: it was deployed from a package.
    """
    deployed = DeployedStage.connect(stage)
    deployed.refuse_package()
    yield from deployed.sources.remove([mapping for _, mapping in deployed.sources.found()])
    yield from deployed.domain.leave(deployed.api_id())
    resources = deployed.to_delete()
    if resources:
        deployed.remember(resources)
        chalice([stage.name, "delete"])
        yield "removed functions and API"
    if operations_stack(stage).delete():
        yield "removed alarms, dashboard and logs"
    if removes_data:
        yield from _destroy_data(stage)
    else:
        yield f"tables, queues and the secret of {stage.name} stay"


def _confirm(
    stage: Stage, account: Account, ask: Callable[[str], str], *, removes_data: bool
) -> None:
    gone = (
        "All buckets, collections, groups and records of {} will be gone."
        if removes_data
        else "The functions of {}, its logs and the address of its API will be gone."
    )
    try:
        typed = ask(
            f"{gone.format(stage.name)} This is {account}. Type the stage's name to go on: "
        )
    except EOFError as error:
        raise DeployError("nothing was removed, as no name was typed in") from error
    if typed != stage.name:
        raise DeployError("nothing was removed")


def _destroy_data(stage: Stage) -> Iterator[str]:
    """The stack first: what it retains has no owner then, and goes by its name."""
    data_stack(stage).delete()
    dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
    for table in table_resources(stage.name).values():
        if _is_there(_remove_table, dynamodb, table["TableName"]):
            yield (
                f"removed the table {table['TableName']}; what it held can be restored from the"
                " backup that DynamoDB keeps for 35 days"
            )
    for queue in queue_resources(stage.name).values():
        if _is_there(_remove_queue, sqs, queue["QueueName"]):
            yield f"removed the queue {queue['QueueName']}"
    yield f"the secret of {stage.name} stays: without it, what is restored has no users"


def _is_there(remove: Callable[[Any, str], object], client: Any, name: str) -> bool:
    """Remove it; False where there is none."""
    try:
        remove(client, name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return False
        raise
    return True


def _remove_table(client: Any, name: str) -> None:
    client.update_table(TableName=name, DeletionProtectionEnabled=False)
    client.get_waiter("table_exists").wait(TableName=name)
    client.delete_table(TableName=name)


def _remove_queue(client: Any, name: str) -> None:
    client.delete_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
