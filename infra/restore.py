"""Restoring a stage: `make restore STAGE=prod2 FROM=prod TIME=2026-05-01T03:00:00Z`.

From the environment: FROM names the stage whose objects are restored by point-in-time recovery,
as they were at TIME (with its zone; without TIME, the latest there is, some five minutes ago).
BACKUP, the ARN of a backup, restores that instead. With neither, what was begun is gone on with.

DynamoDB restores into new tables only, so a stage is restored **beside** the damaged one, under a
new stage's name. Nothing is removed or written there: if the wrong time was chosen, another stage
is restored. The command can be stopped and run again at any time; what is left to do, the tables
tell. It takes DynamoDB's time (ten minutes to some hours, however small the table), and then some
minutes for each gigabyte. In order:

1. `make stage STAGE=prod2 LIKE=prod` configures the new stage.
2. Stop writes to the damaged stage: `KINTO_READONLY=true`, and `make deploy STAGE=prod`. What it
   takes from now on is lost, and breaks what clients see (below). A drill does without.
3. Restore. The secret is copied, as with another one users would be others. `objects` comes back;
   `access` is made anew; clocks, counts and rows are made right (`infra/rebuilding.py`); deletion
   protection, TTL and point-in-time recovery are set. The stream comes last: a table that has one
   is in service, and never touched here. Then the data stack takes the tables in.
4. `make storage-report STAGE=prod2` tells what is there.
5. `make deploy STAGE=prod2`: the other resources, and functions that read the new stream.
6. Point the custom domain at the new stage, and its clients are there.

Where there is no domain, the address stays only if the stage is restored **in place**. A table
can't be renamed, and with it ends its point-in-time recovery; so after step 4, from a backup:

1. `make backup STAGE=prod2`.
2. Stop the API (its function's reserved concurrency: 0), and wait until `changes` has caught up
   (its iterator age is zero), as what it has not read yet would purge what comes back.
3. Take deletion protection from `kinto-prod-objects`, and delete it. DynamoDB keeps a backup of
   its last state for 35 days.
4. `make restore STAGE=prod BACKUP=...`, `make deploy STAGE=prod`, and let the API go on. Dead
   letters of purges are about the table that was: delete them, don't redeliver them.

Single buckets are brought back by importing them from the restored stage (`make import`).

What clients see: each list has an ETag above now, and above all that the damaged stage gave until
it took no more writes. So none is told 304 for a list that has gone back (but for one that was
dated into the future since the restored time), and `_since` with an old ETag gives all that is
written from now on. But what was written after the restored time is gone without a tombstone, and
what was changed has its old `last_modified`: a client that saw this keeps it (and is told 304 for
that object) until it reads the list anew. Listeners hear nothing of a restore.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.tables import Tables
from infra.adoption import adopt_tables
from infra.queues import PURGES, queue_resources
from infra.rebuilding import InUseError, Rebuilding
from infra.stacks import StackError
from infra.stage_secret import copy_secret
from infra.stages import Stage, StageError
from infra.tables import table_resources

POLLS = {"Delay": 20, "MaxAttempts": 8640}
"""A restored table is looked at as often as this, in seconds, and two days."""

_PREFIX, _, _SUFFIX = Tables.of_stage("*").objects.partition("*")
_CREATED_WITH = ("TableName", "AttributeDefinitions", "KeySchema", "BillingMode")
_OBJECTS, _ACCESS = "Objects", "Access"


class RestoreError(Exception):
    """Why a stage can't be restored, in one line."""


_ERRORS = (
    *(RestoreError, StageError, StackError, InUseError, UnavailableError),
    *(BotoCoreError, ClientError, WaiterError),
)


def main(name: str = "") -> int:
    """Restore this stage; gives the exit status."""
    try:
        source = Source.of(os.environ)
        for line in Restoration(Stage.read(name), source).run():
            print(line, flush=True)
    except _ERRORS as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class Source:
    """What is restored.

    Attributes:
        backup: the ARN of a backup; empty for point-in-time recovery.
        table: whose point-in-time recovery.
        time: of that, to the second; None for the latest there is.
    """

    backup: str = ""
    table: str = ""
    time: datetime | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Source | None":
        """What BACKUP, or FROM and TIME, name; None where there are none.

        Raises:
            RestoreError: they contradict each other, or TIME can't be read.
        """
        backup, stage, moment = (environment.get(each, "") for each in ("BACKUP", "FROM", "TIME"))
        if backup and (stage or moment):
            raise RestoreError("a BACKUP is of one table and time: leave out FROM and TIME")
        if backup:
            return cls(backup=backup)
        if moment and not stage:
            raise RestoreError("TIME of which stage? FROM=prod, say")
        return cls(table=Tables.of_stage(stage).objects, time=_moment(moment)) if stage else None

    def begin(self, client: Any, target: str, encryption: dict[str, Any]) -> None:
        """Have DynamoDB begin to restore it into a new table."""
        arguments = {"TargetTableName": target, "SSESpecificationOverride": encryption}
        if self.backup:
            client.restore_table_from_backup(BackupArn=self.backup, **arguments)
        else:
            when = (
                {"RestoreDateTime": self.time} if self.time else {"UseLatestRestorableTime": True}
            )
            client.restore_table_to_point_in_time(SourceTableName=self.table, **when, **arguments)

    def is_told_by(self, summary: Mapping[str, Any]) -> bool:
        """Whether this is what a table was restored from, by DynamoDB's summary of that."""
        if self.backup:
            return bool(summary.get("SourceBackupArn") == self.backup)
        if not summary.get("SourceTableArn", "").endswith(f"/{self.table}"):
            return False
        return self.time is None or bool(summary.get("RestoreDateTime") == self.time)


class Restoration:
    """A stage's tables on their way from a source to service."""

    def __init__(
        self,
        stage: Stage,
        source: Source | None,
        *,
        polls: Mapping[str, float] = POLLS,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            stage: whose tables are to be.
            source: what they are restored from; None to go on with what was begun.
            polls: how often a table is looked at, as boto3's waiters have it.
            now_ms: the time now, in ms since the epoch.
        """
        self._stage = stage
        self._source = source
        self._polls = polls
        self._now_ms = now_ms
        self._tables = Tables.of_stage(stage.name)
        self._properties = table_resources(stage.name)
        self._client = boto3.client("dynamodb")

    def run(self) -> Iterator[str]:
        """Do what is left to do, and tell of it, a line each.

        Raises:
            RestoreError: there is nothing to restore, or something else is there.
            InUseError: somebody writes to the tables.
            UnavailableError: DynamoDB doesn't answer.
            StackError: the data stack doesn't take the tables.
        """
        objects = self._described(self._tables.objects)
        if objects is None:
            yield from self._begin()
        if objects is None or self._is_to_go_on(objects):
            yield from self._make_right()
        objects = self._table(self._tables.objects)
        yield f"{self._tables.objects} is ready; it was {_told(objects)}"
        yield f"its stream: {objects['LatestStreamArn']}"
        if adopt_tables(boto3.client("cloudformation"), self._stage, self._polls):
            yield "the tables are in the data stack, which lacks its queues until it is deployed"
        name = self._stage.name
        yield (
            f"next: make storage-report STAGE={name}, and make deploy STAGE={name}; lead clients"
            " here only if what they used before has taken no writes since this began"
        )

    def _make_right(self) -> Iterator[str]:
        """All that is to be done before somebody uses the tables, and the stream at its end."""
        yield from self._take_secret()
        self._wait(self._tables.objects)
        self._create_access()
        for properties in self._properties.values():
            self._protect(properties)
        yield "both tables are there, and protected from deletion"
        dynamo = Dynamo(connect(), self._tables)
        yield from Rebuilding(self._client, dynamo, now_ms=self._now_ms()).run()
        for properties in self._properties.values():
            self._keep_recoverable(properties["TableName"])
        stream = self._properties[_OBJECTS]["StreamSpecification"]
        self._update(self._tables.objects, StreamSpecification={"StreamEnabled": True, **stream})

    def _is_to_go_on(self, objects: Mapping[str, Any]) -> bool:
        """Whether a table that is there is to be worked on; False where it is done.

        Raises:
            RestoreError: it is another one.
        """
        summary = objects.get("RestoreSummary")
        is_another = self._source and summary and not self._source.is_told_by(summary)
        in_service = "LatestStreamArn" in objects
        if is_another or (in_service and not summary):
            raise RestoreError(
                f"{self._tables.objects} is there already, {_told(objects)}: restore beside it,"
                " under the name of another stage, or delete it first"
            )
        return not in_service

    def _begin(self) -> Iterator[str]:
        if self._source is None:
            raise RestoreError("restore what? FROM=prod (and TIME=...), or BACKUP=arn:...")
        self._forget_purges()
        encryption = self._encryption()
        self._source.begin(self._client, self._tables.objects, encryption)
        yield (
            f"DynamoDB restores {self._tables.objects}: ten minutes to some hours; if this is"
            " stopped, run it again. What it is going to replace must take no writes from now on"
            " (KINTO_READONLY)"
        )

    def _take_secret(self) -> Iterator[str]:
        """The users are those of the stage that was restored: with another secret, others are."""
        summary = self._table(self._tables.objects).get("RestoreSummary", {})
        table = summary.get("SourceTableArn", "").rpartition("/")[2]
        source = table.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        if source == self._stage.name:
            return
        try:
            other = Stage.read(source)
        except StageError:
            yield (
                f"{source or 'what DynamoDB restores'} isn't a stage that is configured here: copy"
                f" its secret by hand, before deploying {self._stage.name}"
            )
        else:
            yield from copy_secret(self._stage, other)

    def _forget_purges(self) -> None:
        """What is to be purged of a table of this name would be removed from what comes back."""
        sqs = boto3.client("sqs")
        name = queue_resources(self._stage.name)[PURGES]["QueueName"]
        with suppress(sqs.exceptions.QueueDoesNotExist, sqs.exceptions.PurgeQueueInProgress):
            sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def _encryption(self) -> dict[str, Any]:
        """As the data stack has it: by the stage's key, or by the one that DynamoDB owns."""
        key = self._stage.stack_parameters.get("KmsKeyArn")
        if not key:
            return {"Enabled": False}
        return {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}

    def _create_access(self) -> None:
        if self._described(self._tables.access) is None:
            properties = self._properties[_ACCESS]
            wanted = {name: properties[name] for name in _CREATED_WITH}
            self._client.create_table(SSESpecification=self._encryption(), **wanted)
        self._wait(self._tables.access)

    def _protect(self, properties: Mapping[str, Any]) -> None:
        name = properties["TableName"]
        if not self._table(name).get("DeletionProtectionEnabled"):
            self._update(name, DeletionProtectionEnabled=True)
        if expiry := properties.get("TimeToLiveSpecification"):
            state = self._client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
            if state["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
                self._client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)

    def _keep_recoverable(self, name: str) -> None:
        """Switch point-in-time recovery on, which a new table takes some time to be ready for."""
        for _ in range(int(self._polls["MaxAttempts"])):
            with suppress(self._client.exceptions.ContinuousBackupsUnavailableException):
                self._client.update_continuous_backups(
                    TableName=name,
                    PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
                )
                return
            time.sleep(self._polls["Delay"])
        raise RestoreError(f"{name} can't have point-in-time recovery yet: run this again")

    def _update(self, name: str, **changes: Any) -> None:
        self._client.update_table(TableName=name, **changes)
        self._wait(name)

    def _wait(self, name: str) -> None:
        waiter = self._client.get_waiter("table_exists")
        waiter.wait(TableName=name, WaiterConfig=self._polls)

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            return self._table(name)
        except self._client.exceptions.ResourceNotFoundException:
            return None

    def _table(self, name: str) -> dict[str, Any]:
        table: dict[str, Any] = self._client.describe_table(TableName=name)["Table"]
        return table


def _told(table: Mapping[str, Any]) -> str:
    """What a table was restored from."""
    summary = table.get("RestoreSummary")
    if summary is None:
        return "not restored"
    source = summary.get("SourceBackupArn") or summary.get("SourceTableArn")
    return f"restored from {source}, as of {summary.get('RestoreDateTime')}"


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RestoreError(f"TIME={text} is no time: 2026-05-01T03:00:00Z is one") from error
    if moment.tzinfo is None:
        raise RestoreError(f"TIME={text} has no zone: {text}Z is in UTC")
    return moment.replace(microsecond=0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
