"""A model of how long a request takes at the gateway: a delay for each part of its way.

There is no AWS here, so what DynamoDB, Lambda and API Gateway take is not measured. Each delay is
a median that somebody published, or is assumed: its field says which. All of them can be set by
variables of the environment, as in `BENCH_READ_MS=4 python -m bench round_trips`.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple, Self

from bench.capacity import Call, bytes_read, waited_for
from bench.prerequisites import BenchError
from bench.prices import EDGE_CPU_MS

CONFIG = Path(__file__).parents[1] / ".chalice" / "config.json"

WHOLE_CPU_MB: Final = 1769
"""The memory with which a function has one CPU.

Rule: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

_TRANSACTIONS = (
    "https://github.com/alexdebrie/dynamodb-performance-testing/blob/"
    "d526e9f7f8617b7dd1ad3b2f8fda60045417d4fc/put-batch-transaction-performance/README.md"
)
_HTTP_APIS = (
    "https://aws.amazon.com/blogs/compute/building-better-apis-http-apis-now-generally-available/"
)
_ATOMIC = "https://repost.aws/knowledge-center/dynamodb-high-latency"
_SIZES = "https://github.com/ifedorenko/ddb-m-latency"


def _delay(ms: float, of: str, basis: str) -> Any:
    """A field with this default, of what it is the time, and on what that rests."""
    return field(default=ms, metadata={"of": of, "basis": basis})


class Expected(NamedTuple):
    """How long a request is expected to take, in ms, by part."""

    gateway: float
    dynamodb: float
    cpu: float

    @property
    def total(self) -> float:
        """All of it, at the gateway."""
        return self.gateway + self.dynamodb + self.cpu


@dataclass(frozen=True, slots=True)
class Latency:
    """The delays of the model, in ms."""

    gateway_ms: float = _delay(
        10.0,
        "API Gateway, a REST API: request and answer",
        "assumed. [AWS](" + _HTTP_APIS + ") says that an HTTP API adds less than 10 ms to 99 % of "
        "requests, up to 60 % less than a REST API: so 25 for one of these",
    )
    invoke_ms: float = _delay(
        5.0, "Lambda, to invoke a function that is warm", "assumed; nothing is published"
    )
    read_ms: float = _delay(
        5.0,
        "a BatchGetItem or a Query of DynamoDB",
        "assumed. [AWS](" + _ATOMIC + ") says that reads and writes of one item are answered in "
        "single-digit milliseconds on average, and that other reads depend on their size",
    )
    read_kb_ms: float = _delay(
        0.05,
        "each KB that it reads",
        "assumed, as for writes: [measured](" + _SIZES + ") were 14.1 ms for a PutItem of 100 "
        "write units and 19.7 for one of 204, on average",
    )
    transaction_ms: float = _delay(
        23.6,
        "a TransactWriteItems",
        "published: [medians](" + _TRANSACTIONS + ") that others measured in Lambda in 2020, 25.3 "
        "ms for 5 items and 32.1 for 25; this is the line through both",
    )
    action_ms: float = _delay(0.34, "each of its actions", "the same")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """The delays, where variables don't say otherwise: `BENCH_READ_MS` is `read_ms`.

        Raises:
            BenchError: a variable is no number of milliseconds; names it.
        """
        names = {f"BENCH_{one.name.upper()}": one.name for one in fields(cls)}
        return cls(**{names[it]: _ms(it, environ[it]) for it in names if it in environ})

    def of(self, call: Call) -> float:
        """How long DynamoDB takes for a call, from a function in its region."""
        if call.is_read:
            return self.read_ms + self.read_kb_ms * bytes_read(call) / 1024
        return self.transaction_ms + self.action_ms * len(call.arguments["TransactItems"])

    def pause(self, call: Call) -> None:
        """Have a call last as much longer as DynamoDB would take for it."""
        until = call.ended + self.of(call) / 1000
        time.sleep(max(0.0, until - time.perf_counter()))

    def of_request(self, calls: Sequence[Call]) -> float:
        """How long the calls of a request take: those at the same time as long as the longest."""
        return sum(map(self.of, waited_for(calls, self.of)))

    def expected(self, requests: Sequence[Sequence[Call]], cpu_ms: float) -> Expected:
        """What a request takes at the gateway, where no function starts.

        Args:
            requests: the calls of each of some runs.
            cpu_ms: of the handler, on a whole CPU.
        """
        return Expected(
            gateway=self.gateway_ms + self.invoke_ms,
            dynamodb=median(map(self.of_request, requests)),
            cpu=(cpu_ms + EDGE_CPU_MS) / cpus(),
        )


def _ms(variable: str, text: str) -> float:
    try:
        ms = float(text)
    except ValueError:
        ms = math.nan
    if not 0 <= ms < math.inf:
        raise BenchError(f"{variable}={text} is no number of milliseconds")
    return ms


def cpus(config: Path = CONFIG) -> float:
    """The share of a CPU that the API's function has: one thread never has more than one."""
    memory_mb: int = json.loads(config.read_text(encoding="utf-8"))["lambda_memory_size"]
    return min(1.0, memory_mb / WHOLE_CPU_MB)
