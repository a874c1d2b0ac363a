"""CloudFormation stacks: what would change, and changing it; a stopped attempt is gone on with."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from botocore.exceptions import ClientError, WaiterError

POLLS = {"Delay": 2, "MaxAttempts": 900}
"""Stacks are looked at as often as this, in seconds, and half an hour."""

_IN_REVIEW = "REVIEW_IN_PROGRESS"
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_COMPLETE = {
    "CREATE": "stack_create_complete",
    "UPDATE": "stack_update_complete",
    "IMPORT": "stack_import_complete",
}
_STUCK = ("ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED")
_GONE = ("DELETE_COMPLETE", "DELETE_SKIPPED", "IMPORT_ROLLBACK_COMPLETE")
_CANCELLED = ("Resource creation cancelled", "Resource update cancelled")  # as another has failed
_REPLACED = {"True": " (replaced)", "Conditional": " (perhaps replaced)"}


class StackError(Exception):
    """Why a stack could not be changed: what CloudFormation says of its resources."""


class _State(Enum):
    NONE = auto()
    LEFT_OVER = auto()  # of a creation that failed: it has nothing, and can only be deleted
    USABLE = auto()


@dataclass(frozen=True, slots=True)
class _ChangeSet:
    id: str
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
            StackError: the template was refused, a resource can't be had, or the stack is one that
                CloudFormation can't go on with.
        """
        return self._carry_out("CREATE" if self._is_to_begin() else "UPDATE", arguments)

    def adopt(self, resources: Sequence[Mapping[str, Any]], **arguments: Any) -> list[str]:
        """Begin it with what is there already, and wait for it; gives what it has, a line each.

        Args:
            resources: of CloudFormation's CreateChangeSet: ResourcesToImport.
            arguments: of the same; the template has these resources alone, and no outputs.

        Raises:
            StackError: there is a stack, or CloudFormation doesn't take them.
        """
        if not self._is_to_begin():
            raise StackError(f"{self.name} is there already")
        return self._carry_out("IMPORT", {**arguments, "ResourcesToImport": resources})

    def diff(self, **arguments: Any) -> list[str]:
        """What `put` would change, a line each. Nothing is changed.

        Raises:
            StackError: as `put`.
        """
        state = self._state()
        if state is _State.LEFT_OVER:
            return [f"Create {self.name} again, as its creation failed"]
        kind = "CREATE" if state is _State.NONE else "UPDATE"
        with self._change_set(kind, arguments) as found:
            return found.changes

    def is_usable(self) -> bool:
        """Whether there is a stack to update, once what is under way has ended.

        Raises:
            StackError: there is one that CloudFormation can't go on with.
        """
        return self._state() is _State.USABLE

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
        token = _unique()
        self._client.delete_stack(StackName=self.name, ClientRequestToken=token)
        self._wait("stack_delete_complete", token)
        return True

    def _is_to_begin(self) -> bool:
        """Whether there is nothing to update; what is left of a failed creation is deleted."""
        state = self._state()
        if state is _State.LEFT_OVER:
            self.delete()
        return state is not _State.USABLE

    def _carry_out(self, kind: str, arguments: Mapping[str, Any]) -> list[str]:
        with self._change_set(kind, arguments) as found:
            if found.changes:
                token = _unique()
                self._client.execute_change_set(ChangeSetName=found.id, ClientRequestToken=token)
                self._wait(_COMPLETE[kind], token)
            return found.changes

    @contextmanager
    def _change_set(self, kind: str, arguments: Mapping[str, Any]) -> Iterator[_ChangeSet]:
        is_first = not self._status()
        created = self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=_unique(),  # what a killed process left doesn't matter
            ChangeSetType=kind,
            **arguments,
        )["Id"]
        try:
            yield _ChangeSet(created, self._changes_of(created))
        finally:
            self._forget(created)
            if is_first:
                self._forget_stack(created)

    def _state(self) -> _State:
        """What there is, once what is under way has ended."""
        status = self._settled()
        if status in _STUCK:
            raise StackError(
                f"{self.name} is {status}: its events in CloudFormation tell why; roll it back, or"
                " delete it, there"
            )
        if status in ("", _IN_REVIEW):
            return _State.NONE
        if status == "ROLLBACK_COMPLETE" or (
            status == "IMPORT_ROLLBACK_COMPLETE" and self._is_empty()
        ):
            return _State.LEFT_OVER
        return _State.USABLE

    def _settled(self) -> str:
        for _ in range(int(self._polls["MaxAttempts"])):
            status = self._status()
            if status == _IN_REVIEW or not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(self._polls["Delay"])
        raise StackError(f"{self.name} is {status}, and has been for long")

    def _is_empty(self) -> bool:
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = (it["ResourceStatus"] for page in pages for it in page["StackResourceSummaries"])
        return all(status in _GONE for status in found)

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

    def _wait(self, waiter: str, token: str) -> None:
        try:
            self._client.get_waiter(waiter).wait(StackName=self.name, WaiterConfig=self._polls)
        except WaiterError as error:
            why = "; ".join(self._reasons(token)) or error
            raise StackError(f"{self.name}: {why}") from error

    def _reasons(self, token: str) -> list[str]:
        """What failed in the operation with this token, first things first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self.name)
        failed = [
            (event["LogicalResourceId"], event.get("ResourceStatusReason", "no reason given"))
            for page in pages
            for event in page["StackEvents"]
            if event.get("ClientRequestToken") == token
            and event["ResourceStatus"].endswith("_FAILED")
        ]
        return [f"{what}: {why}" for what, why in reversed(failed) if why not in _CANCELLED]

    def _changes_of(self, change_set: str) -> list[str]:
        """What it would change, a line each; none where CloudFormation made none of it."""
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
        of_resources = [
            _told(change["ResourceChange"]) for page in pages for change in page["Changes"]
        ]
        return of_resources or ["Modify outputs"]  # which belong to no resource

    def _forget(self, change_set: str) -> None:
        """Delete a change set that wasn't carried out."""
        try:
            self._client.delete_change_set(ChangeSetName=change_set)
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "ChangeSetNotFound",
                "InvalidChangeSetStatus",
            ):
                raise

    def _forget_stack(self, change_set: str) -> None:
        """Delete the empty stack that came with a change set, unless it has one of others too."""
        if self._status() != _IN_REVIEW:
            return
        left = self._client.list_change_sets(StackName=self.name)["Summaries"]
        if not [it for it in left if it["ChangeSetId"] != change_set]:
            self._client.delete_stack(StackName=self.name)


def parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A stack's parameters as CloudFormation takes them."""
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def _unique() -> str:
    return f"kinto-{uuid.uuid4().hex}"


def _told(change: Mapping[str, Any]) -> str:
    replaced = _REPLACED.get(change.get("Replacement", ""), "")
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
