"""Which AWS account and region a command works in."""

from typing import NamedTuple

import boto3

from infra.stages import StageError


class Account(NamedTuple):
    """An account of AWS, and one of its regions.

    Attributes:
        id: of the account, twelve digits.
        region: as AWS calls it.
    """

    id: str
    region: str

    @classmethod
    def of_caller(cls) -> "Account":
        """That of the operator's credentials."""
        client = boto3.client("sts")
        return cls(client.get_caller_identity()["Account"], client.meta.region_name)

    @classmethod
    def of_arn(cls, arn: str) -> "Account":
        """That which something is in.

        Raises:
            StageError: it is no ARN.
        """
        parts = arn.split(":")
        if len(parts) < 6:
            raise StageError(f"this is no ARN: {arn}")
        return cls(parts[4], parts[3])

    def __str__(self) -> str:
        """To be printed."""
        return f"account {self.id}, region {self.region}"
