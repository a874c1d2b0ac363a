"""What alarms and the dashboard are told of: lines of the log that CloudWatch reads metrics from.

They are in its embedded metric format: no call is made, and what a metric is about (a parent, a
request) is in the line, for the one who searches the log.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NAMESPACE: Final = "kinto-serverless"

UNITS: Final = {
    "conflict_retries": "Count",
    "throttled_calls": "Count",
    "unavailable": "Count",
    "failed_deliveries": "Count",
    "parent_gb": "Gigabytes",
}
"""All metrics by name, with the units that CloudWatch knows."""

TOLD_ABOVE_GB: Final = 1
"""The size of a parent that is worth telling: most never come near the limit, which is 10 GB."""


@dataclass(slots=True)
class Tally:
    """What there is to tell of one request or message; of most, nothing.

    Attributes:
        conflict_retries: attempts in vain, as another request was first.
        throttled_calls: calls that DynamoDB refused for load.
        unavailable: 1 for a request that is answered 503.
        failed_deliveries: attempts to tell a listener that failed.
        parent_gb: the size of the largest parent that was written to; 0 below what is told.
        parent: its hash key.
    """

    conflict_retries: int = 0
    throttled_calls: int = 0
    unavailable: int = 0
    failed_deliveries: int = 0
    parent_gb: float = 0
    parent: str | None = None

    def add_parent(self, parent: str, size_gb: float) -> None:
        """Keep the size of a parent, if it is the largest so far."""
        if size_gb > max(self.parent_gb, TOLD_ABOVE_GB):
            self.parent_gb = size_gb
            self.parent = parent


class Metrics:
    """Writes what there is to tell, of one stage."""

    def __init__(self, stage: str, write: Callable[[str], None]) -> None:
        """Keep both.

        Args:
            stage: the metrics' only dimension.
            write: takes a line.
        """
        self._stage = stage
        self._write = write

    def tell(self, tally: Tally, **about: str) -> None:
        """Write one line, if there is anything to tell.

        Args:
            tally: what is told.
            about: what else is in the line, by name; no metric is split by it.
        """
        metrics = {name: value for name in UNITS if (value := getattr(tally, name))}
        if not metrics:
            return
        declared = {
            "Namespace": NAMESPACE,
            "Dimensions": [["stage"]],
            "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in metrics],
        }
        parent = {} if tally.parent is None else {"parent": tally.parent}
        line = {
            "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [declared]},
            "stage": self._stage,
            **metrics,
            **parent,
            **about,
        }
        self._write(json.dumps(line))


SILENT: Final = Metrics("", lambda _line: None)
"""For where no CloudWatch reads the log."""
