"""What the functions of a stage read: the stream of its table, and its queues.

Lambda reads for a function as its event source mappings say. Chalice creates them, but never looks
whether one is there still, is enabled, or reads a table that is gone.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from infra.queues import DELIVERIES, PURGES, RETRIES, queue_resources
from infra.stages import Stage

PATIENCE_S = 120.0
"""Lambda takes some time to create, change or delete a mapping, and does one thing at a time."""

_POLL_S = 2.0
_STREAM_READER = "changes"
_QUEUE_READERS = {"purge": PURGES, "deliver": DELIVERIES, "retry": RETRIES}
_SERVICES = ("dynamodb", "sqs")
_WORKS = ("Creating", "Enabling", "Enabled")
_DISABLED = ("Disabling", "Disabled")
_DELETING = "Deleting"

Mapping = dict[str, Any]
"""As Lambda describes an event source mapping."""


def wanted_sources(stage: Stage, stream_arn: str) -> dict[str, str]:
    """The ARN of what each function reads, by Chalice's name of the function.

    Args:
        stage: whose functions they are.
        stream_arn: of the table's stream; the queues are in the same account and region.
    """
    _, partition, _, region, account, *_ = stream_arn.split(":")
    queues = queue_resources(stage.name)
    return {
        _STREAM_READER: stream_arn,
        **{
            function: f"arn:{partition}:sqs:{region}:{account}:{queues[queue]['QueueName']}"
            for function, queue in _QUEUE_READERS.items()
        },
    }


@dataclass(frozen=True, slots=True)
class EventSources:
    """The event source mappings of a stage's functions; those of deleted functions, too.

    Attributes:
        stage: whose functions they are.
        functions: client of boto3, for Lambda.
        patience_s: how long to wait for a mapping that Lambda is changing.
    """

    stage: Stage
    functions: Any
    patience_s: float = PATIENCE_S

    def found(self) -> list[tuple[str, Mapping]]:
        """All that read streams of DynamoDB or queues, each after Chalice's name of its function.

        Without those that are being deleted.
        """
        return [it for it in self._all() if it[1]["State"] != _DELETING]

    def wanted(self, stream_arn: str) -> dict[str, Mapping]:
        """Those that are to be there, as far as they are; by Chalice's name of the function."""
        arns = wanted_sources(self.stage, stream_arn)
        return {
            name: mapping
            for name, mapping in self.found()
            if arns.get(name) == mapping["EventSourceArn"]
        }

    def others(self, stream_arn: str) -> list[Mapping]:
        """Those of `changes` that read another stream: of a table that is gone, or was restored."""
        return [
            mapping
            for name, mapping in self.found()
            if name == _STREAM_READER
            and _service(mapping) == "dynamodb"
            and mapping["EventSourceArn"] != stream_arn
        ]

    def faults(self, stream_arn: str) -> list[str]:
        """What keeps a function from being called, a line each."""
        found = self.wanted(stream_arn)
        lines = []
        for name, arn in wanted_sources(self.stage, stream_arn).items():
            state = found[name]["State"] if name in found else "missing"
            if state not in _WORKS:
                lines.append(f"{self.stage.functions[name]} doesn't read {arn}: {state}")
        return lines

    def settle(self) -> None:
        """Wait for those that are being deleted, as long as there is patience.

        Until they are gone, Lambda takes no new ones that read the same.
        """
        deadline = time.monotonic() + self.patience_s
        while any(mapping["State"] == _DELETING for _, mapping in self._all()):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)

    def enable(self, stream_arn: str) -> Iterator[str]:
        """Enable those that are to be there, and tell which weren't, a line each."""
        for name, mapping in self.wanted(stream_arn).items():
            if is_disabled(mapping):
                self._patiently(
                    self.functions.update_event_source_mapping, UUID=mapping["UUID"], Enabled=True
                )
                arn = mapping["EventSourceArn"]
                yield f"{self.stage.functions[name]} reads {arn} again, which was disabled"

    def remove(self, mappings: list[Mapping]) -> Iterator[str]:
        """Delete these, and tell it, a line each."""
        for mapping in mappings:
            self._patiently(self.functions.delete_event_source_mapping, UUID=mapping["UUID"])
            function = mapping["FunctionArn"].split(":")[6]
            yield f"{function} doesn't read {mapping['EventSourceArn']} any more"

    def _all(self) -> list[tuple[str, Mapping]]:
        names = {function: name for name, function in self.stage.functions.items()}
        # Asked for those of a function that is gone, Lambda may say that there is none.
        pages = self.functions.get_paginator("list_event_source_mappings").paginate()
        return [
            (names[function], mapping)
            for page in pages
            for mapping in page["EventSourceMappings"]
            if (function := mapping["FunctionArn"].split(":")[6]) in names
            and _service(mapping) in _SERVICES
        ]

    def _patiently(self, call: Callable[..., object], **arguments: Any) -> None:
        """Call it again while Lambda is at something else with the mapping."""
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                call(**arguments)
            except self.functions.exceptions.ResourceInUseException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            except self.functions.exceptions.ResourceNotFoundException:
                return  # somebody else has deleted it
            else:
                return


def is_disabled(mapping: Mapping) -> bool:
    """Whether Lambda doesn't read for it, as somebody has said so."""
    return mapping["State"] in _DISABLED


def _service(mapping: Mapping) -> str:
    """What it reads from; nothing of AWS where it has no ARN, as Kafka of one's own."""
    parts = mapping.get("EventSourceArn", "").split(":")
    return parts[2] if len(parts) > 2 else ""
