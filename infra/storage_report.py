"""What a stage's tables hold, and what is left over: `python -m infra.storage_report`.

From the environment: STAGE names a stage on AWS; without it the data are those of the local
server. REPAIR=1 removes what nothing needs, and puts the access rows that are missing.
"""

import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from chalicelib.settings import Settings, SettingsError
from infra.emulator import EmulatorError
from infra.leftovers import GRACE_MS, Inspection, Report
from infra.serve import StartError, aws

_TOLD_EACH_S = 5.0


def main() -> int:
    """Print the report; gives the exit status."""
    stage = os.environ.get("STAGE", "")
    repairs = os.environ.get("REPAIR") == "1"
    way: AbstractContextManager[Any] = nullcontext() if stage else aws(keeps=True)
    try:
        with way:
            stage = stage or Settings.from_environment(os.environ).stage
            print(as_text(stage, _inspect(stage, repairs=repairs), repairs=repairs))
    except (StartError, SettingsError, EmulatorError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def _inspect(stage: str, *, repairs: bool) -> Report:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from chalicelib.storage.client import connect
    from chalicelib.storage.connection import Dynamo
    from chalicelib.storage.deadlines import Deadline
    from chalicelib.storage.failures import UnavailableError
    from chalicelib.storage.tables import Tables

    dynamo = Dynamo(connect(), Tables.of_stage(stage))
    now_ms = time.time_ns() // 1_000_000
    patient = Deadline(lambda: float("inf"))
    try:
        client = boto3.client("dynamodb")
        inspection = Inspection(client, dynamo, patient, now_ms=now_ms, repairs=repairs)
        report, told = Report(), time.monotonic()
        for report in inspection.run():
            if time.monotonic() - told > _TOLD_EACH_S:
                told = time.monotonic()
                print(f"{sum(report.there.values())} so far ...", file=sys.stderr)
    except (BotoCoreError, ClientError, UnavailableError) as error:
        raise StartError(f"the tables can't be read: {error}") from error
    return report


def as_text(stage: str, report: Report, *, repairs: bool) -> str:
    """The report for people."""
    there = ", ".join(f"{number} {name}" for name, number in sorted(report.there.items()))
    old = report.dead + report.needless - report.young
    lines = [
        f"kinto-{stage}: {there or 'nothing'}",
        f"left over: {report.dead} items of what is deleted, {report.needless} access rows",
        f"missing: {report.missing} access rows",
    ]
    if report.young:
        minutes = GRACE_MS // 60_000
        lines.append(f"{report.young} of these are younger than {minutes} minutes: left to purge")
    if repairs:
        lines.append(f"repaired: {old} removed, {report.missing} put")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
