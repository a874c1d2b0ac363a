"""What calls of AWS need, as IAM has it, and the functions' policies held against it."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from chalice.config import Config

from infra.stages import API, CONFIG
from tests.doubles import REGION

FUNCTIONS: Final = (API, "changes", "purge", "deliver", "retry")
"""As Chalice calls them."""

ACCOUNT = "123456789012"

_TRANSACTED = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
"""What the actions of a transaction are to IAM, which knows no TransactWriteItems.

Rule: DynamoDB Developer Guide, "Using IAM with DynamoDB transactions".
"""

_BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}
"""Rule: SQS API Reference, "AddPermission"."""

_SUFFIX_OF_SECRETS = "-AbCdEf"
"""Secrets Manager ends ARNs with a hyphen and six characters of its own."""


class Right(NamedTuple):
    """An action on a resource: one that a call needs, or a pattern that a policy grants."""

    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"

    def covers(self, needed: "Right") -> bool:
        """Whether IAM lets through what needs this; in a resource, `*` and `?` are wildcards."""
        return self.action == needed.action and fnmatchcase(needed.resource, self.resource)


def arn(service: str, name: str) -> str:
    """The ARN of a resource of our account and region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def rights_needed(service: str, operation: str, arguments: dict[str, Any]) -> set[Right]:
    """What a role must have for a call.

    A kind of call that isn't known here needs itself, on everything: no policy has that.

    Args:
        service: as botocore calls it.
        operation: of its API.
        arguments: of the call.
    """
    find = _OF_SERVICE.get(service)
    needed = find(operation, arguments) if find is not None else []
    return {
        Right(f"{service}:{action}", arn(service, resource)) for action, resource in needed
    } or {Right(f"{service}:{operation}", "*")}


_Needed = list[tuple[str, str]]


def _of_dynamodb(operation: str, arguments: dict[str, Any]) -> _Needed:
    if operation == "TransactWriteItems":
        return [
            (_TRANSACTED[kind], f"table/{action['TableName']}")
            for item in arguments["TransactItems"]
            for kind, action in item.items()
        ]
    if operation == "BatchGetItem":
        return [(operation, f"table/{table}") for table in arguments["RequestItems"]]
    if "TableName" not in arguments:
        return []
    # Who queries an index needs nothing on its table.
    index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
    return [(operation, f"table/{arguments['TableName']}{index}")]


def _of_sqs(operation: str, arguments: dict[str, Any]) -> _Needed:
    queue = arguments.get("QueueName") or arguments["QueueUrl"].rpartition("/")[2]
    return [(_BATCHES.get(operation, operation), queue)]


def _of_events(operation: str, arguments: dict[str, Any]) -> _Needed:
    if operation != "PutEvents":
        return []
    return [(operation, f"event-bus/{entry['EventBusName']}") for entry in arguments["Entries"]]


def _of_ssm(operation: str, arguments: dict[str, Any]) -> _Needed:
    # What is encrypted under the key that AWS manages needs nothing of KMS.
    if operation != "GetParameter":
        return []
    return [(operation, f"parameter/{arguments['Name'].removeprefix('/')}")]


def _of_secretsmanager(operation: str, arguments: dict[str, Any]) -> _Needed:
    if operation != "GetSecretValue":
        return []
    return [(operation, f"secret:{arguments['SecretId']}{_SUFFIX_OF_SECRETS}")]


_OF_SERVICE = {
    "dynamodb": _of_dynamodb,
    "sqs": _of_sqs,
    "events": _of_events,
    "ssm": _of_ssm,
    "secretsmanager": _of_secretsmanager,
}


class Recorder:
    """What functions need for the calls that they make, told by botocore.

    Attributes:
        needed: by function.
    """

    def __init__(self) -> None:
        self.needed: dict[str, set[Right]] = defaultdict(set)
        self._function: str | None = None

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Take down a call; registered for botocore's event `before-parameter-build`.

        Calls of threads that a function starts are its own.
        """
        if self._function is not None:
            service = model.service_model.service_name
            self.needed[self._function] |= rights_needed(service, model.name, params)

    @contextmanager
    def running(self, function: str) -> Iterator[None]:
        """All calls meanwhile are this function's."""
        self._function = function
        try:
            yield
        finally:
            self._function = None


def granted(policy: dict[str, Any]) -> list[Right]:
    """What a policy grants, as often as it does."""
    return [
        Right(action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]


def differences(policy: dict[str, Any], needed: Collection[Right]) -> list[str]:
    """What a policy lacks, what it has without need, and what it grants twice: best nothing."""
    grants = granted(policy)
    used = Counter(dict.fromkeys(grants, 0))
    found = []
    for right in needed:
        covering = [grant for grant in grants if grant.covers(right)]
        used.update(covering)
        if len(covering) != 1:
            found.append(f"{right} is needed, and granted {len(covering)} times")
    found += [f"{right} is granted, and not needed" for right, times in used.items() if not times]
    return sorted(found)


def stages() -> list[str]:
    """Those that are configured."""
    return [*json.loads(CONFIG.read_text(encoding="utf-8"))["stages"]]


def config_of(function: str, stage: str) -> Config:
    """Chalice's own reading of the configuration."""
    return Config(stage, function, config_from_disk=json.loads(CONFIG.read_text(encoding="utf-8")))


def policy_text(function: str, stage: str) -> str:
    """A function's policy, as it is in its file."""
    file = CONFIG.parent / config_of(function, stage).iam_policy_file
    return file.read_text(encoding="utf-8")


def policy_of(function: str, stage: str) -> Any:
    """A function's policy."""
    return json.loads(policy_text(function, stage))
