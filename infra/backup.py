"""A backup of a stage's objects, kept until somebody deletes it: `python -m infra.backup prod`.

Point-in-time recovery is always on, and reaches back 35 days; this is for what must last longer.
`access` needs none, as `make restore` makes it anew.
"""

import sys
from datetime import UTC, datetime

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.storage.tables import Tables


def main(stage: str = "") -> int:
    """Ask for a backup, which is there within minutes, and print its ARN; gives the exit status."""
    if not stage:
        print("kinto-serverless: which stage? make backup STAGE=prod", file=sys.stderr)
        return 1
    table = Tables.of_stage(stage).objects
    name = f"{table}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        backup = boto3.client("dynamodb").create_backup(TableName=table, BackupName=name)
    except (BotoCoreError, ClientError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    print(backup["BackupDetails"]["BackupArn"])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
