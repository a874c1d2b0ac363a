"""CloudFormation stacks: what would change, and changing it; a stopped attempt is gone on with."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

POLLS = {"Delay": 2, "MaxAttempts": 900}
"""Stacks are looked at as often as this, in seconds, and half an hour."""

_IN_REVIEW = "REVIEW_IN_PROGRESS"
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class StackError(Exception):
    """Why a stack could not be changed: what CloudFormation says of its resources."""


@dataclass(frozen=True, slots=True)
class _ChangeSet:
    id: str
    creates: bool
    changes: list[str]


class Stack:
    """A stack, whether there is one yet or not."""

    def __init__(self, client: Any, name: str, polls: Mapping[str, float] = POLLS) -> None:
        """Nothing is called yet.

        Args:
            client: of boto3, for CloudFormation.
            name: of the stack.
            polls: how often it is looked at, as boto3's waiters have it.
        """
        self.name = name
        self._client = client
        self._polls = polls

    def put(self, **arguments: Any) -> list[str]:
        """Create or update it, and wait for it; gives what has changed, a line each.

        Args:
            arguments: of CloudFormation's CreateChangeSet: template and parameters.

        Raises:
            StackError: the template was refused, or a resource can't be had.
        """
        with self._change_set(arguments) as found:
            if not found.changes:
                return []
            self._client.execute_change_set(ChangeSetName=found.id)
            self._wait("stack_create_complete" if found.creates else "stack_update_complete")
            return found.changes

    def diff(self, **arguments: Any) -> list[str]:
        """What `put` would change, a line each.

        Raises:
            StackError: the template was refused.
        """
        with self._change_set(arguments) as found:
            return found.changes

    def outputs(self) -> dict[str, str]:
        """Its outputs; none where there is no such stack."""
        described = self._described() or {}
        return {it["OutputKey"]: it["OutputValue"] for it in described.get("Outputs", [])}

    def delete(self) -> bool:
        """Delete it, and wait for it; False where there is none.

        Raises:
            StackError: a resource can't be deleted.
        """
        if self._described() is None:
            return False
        self._client.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")
        return True

    @contextmanager
    def _change_set(self, arguments: Mapping[str, Any]) -> Iterator[_ChangeSet]:
        creates = self._is_to_be_created()
        created = self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=f"kinto-{uuid.uuid4().hex}",  # what a killed process left doesn't matter
            ChangeSetType="CREATE" if creates else "UPDATE",
            **arguments,
        )["Id"]
        try:
            yield _ChangeSet(created, creates, self._changes_of(created))
        finally:
            self._forget(created)

    def _is_to_be_created(self) -> bool:
        """Whether there is nothing to update, once what is under way has ended."""
        for _ in range(int(self._polls["MaxAttempts"])):
            status = self._status()
            if status == _IN_REVIEW or not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(self._polls["Delay"])
        if status == "ROLLBACK_COMPLETE":  # of a creation that failed: it can't be updated
            self.delete()
            return True
        return status in ("", _IN_REVIEW)

    def _status(self) -> str:
        return str((self._described() or {}).get("StackStatus", ""))

    def _described(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found

    def _wait(self, waiter: str) -> None:
        try:
            self._client.get_waiter(waiter).wait(StackName=self.name, WaiterConfig=self._polls)
        except WaiterError as error:
            raise StackError(f"{self.name}: {'; '.join(self._reasons()) or error}") from error

    def _reasons(self) -> list[str]:
        events = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in reversed(events)
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def _changes_of(self, change_set: str) -> list[str]:
        try:
            self._client.get_waiter("change_set_create_complete").wait(
                ChangeSetName=change_set, WaiterConfig=self._polls
            )
        except WaiterError as error:
            why = self._client.describe_change_set(ChangeSetName=change_set).get("StatusReason", "")
            if any(text in why for text in _NO_CHANGES):
                return []
            raise StackError(f"{self.name}: {why or error}") from error
        pages = self._client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
        return [_told(change["ResourceChange"]) for page in pages for change in page["Changes"]]

    def _forget(self, change_set: str) -> None:
        """Delete a change set that wasn't carried out, and the empty stack that it came with."""
        try:
            self._client.delete_change_set(ChangeSetName=change_set)
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "ChangeSetNotFound",
                "InvalidChangeSetStatus",
            ):
                raise
        if self._status() == _IN_REVIEW:
            self._client.delete_stack(StackName=self.name)


def parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A stack's parameters as CloudFormation takes them."""
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def _told(change: Mapping[str, Any]) -> str:
    replaced = " (replaced)" if change.get("Replacement") == "True" else ""
    details = {
        detail["Target"].get("Name")
        for detail in change.get("Details", [])
        if detail["Target"].get("Name")
    }
    what = f": {', '.join(sorted(details))}" if details else ""
    action, logical_id, kind = (
        change[name] for name in ("Action", "LogicalResourceId", "ResourceType")
    )
    return f"{action} {logical_id} ({kind}){replaced}{what}"
