"""What CloudWatch draws its graphs from, and alarms look at: members of lines of the log.

They are in its embedded metric format: no call is made, and what a metric is about (a parent, a
request) is in the line, for the one who searches the log. Times have the names that Kinto has for
them with StatsD. Rule: spec, "The service around the resources", section 11.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NAMESPACE: Final = "kinto-serverless"

UNITS: Final = {
    "conflict_retries": "Count",
    "throttled_calls": "Count",
    "unavailable": "Count",
    "failed_deliveries": "Count",
    "parent_gb": "Gigabytes",
}
"""What is counted by name, with the units that CloudWatch knows; all else are times."""

TOLD_ABOVE_GB: Final = 1
"""The size of a parent that is worth telling: most never come near the limit, which is 10 GB."""

_MOST_VALUES: Final = 100
"""Of a metric in one line; CloudWatch takes none of a line that has more."""

_encode = json.JSONEncoder(separators=(",", ":")).encode

Times = Mapping[str, float | Sequence[float]]
"""How long something took, in ms, by the name of its metric; each time where it was several."""


@dataclass(slots=True)
class Tally:
    """What there is to tell of one request or message; of most, no more than its calls.

    Attributes:
        conflict_retries: attempts in vain, as another request was first.
        throttled_calls: calls that DynamoDB refused for load.
        unavailable: 1 for a request that is answered 503.
        failed_deliveries: attempts to tell a listener that failed.
        parent_gb: the size of the largest parent that was written to; 0 below what is told.
        parent: its hash key.
        calls_ms: how long each call to DynamoDB took, by operation, in their order.
    """

    conflict_retries: int = 0
    throttled_calls: int = 0
    unavailable: int = 0
    failed_deliveries: int = 0
    parent_gb: float = 0
    parent: str | None = None
    calls_ms: dict[str, list[float]] = field(default_factory=dict)

    def add_call(self, operation: str, ms: float) -> None:
        """Keep how long a call to DynamoDB took, whatever came of it."""
        self.calls_ms.setdefault(operation, []).append(ms)

    def add_parent(self, parent: str, size_gb: float) -> None:
        """Keep the size of a parent, if it is the largest so far."""
        if size_gb > max(self.parent_gb, TOLD_ABOVE_GB):
            self.parent_gb = size_gb
            self.parent = parent


def times_of_request(
    seconds: float,
    policies_ms: Mapping[str, float],
    listeners_ms: Mapping[str, float],
    calls_ms: Mapping[str, Sequence[float]],
) -> Times:
    """What a request took, and what of it policies, listeners and calls of DynamoDB did.

    Args:
        seconds: from its beginning to its answer.
        policies_ms: by name.
        listeners_ms: of those that heard of it before the commit, by name.
        calls_ms: of each call, by operation.
    """
    times: dict[str, float | list[float]] = {"request_duration": round(seconds * 1000, 2)}
    for name, ms in policies_ms.items():
        times[f"authentication.{name}.unauthenticated_userid"] = round(ms, 2)
    for name, ms in listeners_ms.items():
        times[f"listeners.{name}"] = round(ms, 2)
    for name, each in calls_ms.items():
        times[f"storage.dynamodb.{name}"] = [round(ms, 2) for ms in each[:_MOST_VALUES]]
    return times


def time_of_listener(name: str, seconds: float) -> Times:
    """What a delivery took."""
    return {f"listeners.{name}": round(seconds * 1000, 2)}


class Metrics:
    """Makes members of a line of what there is to tell, of one stage."""

    def __init__(self, stage: str | None, *, with_times: bool = True) -> None:
        """Keep both.

        Args:
            stage: the metrics' only dimension; None where no CloudWatch reads the log.
            with_times: whether times are metrics as well; they are in the line in any case.
        """
        self._stage = stage
        self._with_times = with_times
        self._declarations: dict[tuple[str, ...], str] = {}

    def members(self, tally: Tally, times: Times | None = None) -> str:
        """Members of the JSON object that a line is, as text; none where nothing is to tell."""
        told: dict[str, Any] = {n: value for n in UNITS if (value := getattr(tally, n))}
        counted = (*told,)
        if times:
            told |= times
        names = (*told,) if self._with_times else counted
        if tally.parent is not None:
            told["parent"] = tally.parent
        if self._stage is None or not names:
            return _encode(told)[1:-1]
        declared = self._declarations.get(names)
        if declared is None:
            declared = self._declarations[names] = self._declared(names)
        now_ms = time.time_ns() // 1_000_000
        return f'"_aws":{{"Timestamp":{now_ms},{declared},{_encode(told)[1:-1]}'

    def _declared(self, names: tuple[str, ...]) -> str:
        """What has CloudWatch take these members of a line for metrics: the same each time."""
        metrics = [{"Name": name, "Unit": UNITS.get(name, "Milliseconds")} for name in names]
        declared = {"Namespace": NAMESPACE, "Dimensions": [["stage"]], "Metrics": metrics}
        return f'"CloudWatchMetrics":[{_encode(declared)}]}},"stage":{_encode(self._stage)}'


SILENT: Final = Metrics(None)
"""For where no CloudWatch reads the log."""
