"""What a request costs: AWS's list prices, and the formula over what was measured.

The prices are those of one region on one day. AWS changes them: whoever decides by them looks at
the pages that are named here.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

REGION: Final = "us-east-1"
CHECKED: Final = date(2026, 11, 28)

GB: Final = 10**9
MILLION: Final = 10**6

_API_GATEWAY = "https://aws.amazon.com/api-gateway/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_EC2 = "https://aws.amazon.com/ec2/pricing/on-demand/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_SQS = "https://aws.amazon.com/sqs/pricing/"


class Price(NamedTuple):
    """A list price, without free tiers and above no tier of volume.

    Attributes:
        what: is paid for.
        usd: so many dollars.
        per: for so many.
        unit: of what is counted.
        page: where AWS says so.
    """

    what: str
    usd: float
    per: int
    unit: str
    page: str

    def of(self, amount: float) -> float:
        """What so much costs, in dollars."""
        return self.usd * amount / self.per


API_REQUEST = Price("API Gateway, REST API", 3.50, MILLION, "requests", _API_GATEWAY)
LAMBDA_REQUEST = Price("Lambda, requests", 0.20, MILLION, "requests", _LAMBDA)
X86_GB_S = Price("Lambda, duration on x86_64", 16.6667, MILLION, "GB-seconds", _LAMBDA)
ARM_GB_S = Price("Lambda, duration on arm64", 13.3334, MILLION, "GB-seconds", _LAMBDA)
READ_UNIT = Price("DynamoDB, read request units", 0.125, MILLION, "units", _DYNAMODB)
WRITE_UNIT = Price("DynamoDB, write request units", 0.625, MILLION, "units", _DYNAMODB)
STORED_GB = Price("DynamoDB, storage", 0.25, 1, "GB-month", _DYNAMODB)
BACKED_UP_GB = Price("DynamoDB, point-in-time recovery", 0.20, 1, "GB-month", _DYNAMODB)
SQS_REQUEST = Price("SQS, standard queues", 0.40, MILLION, "requests", _SQS)
FIFO_REQUEST = Price("SQS, FIFO queues", 0.50, MILLION, "requests", _SQS)
LOG_BYTE = Price("CloudWatch Logs, ingestion", 0.50, GB, "bytes", _CLOUDWATCH)
LOG_GB = Price("CloudWatch Logs, storage (compressed)", 0.03, 1, "GB-month", _CLOUDWATCH)
ALARM = Price("CloudWatch, alarms", 0.10, 1, "alarm-month", _CLOUDWATCH)
DASHBOARD = Price("CloudWatch, dashboards above three", 3.00, 1, "dashboard-month", _CLOUDWATCH)
METRIC = Price("CloudWatch, metrics of our own", 0.30, 1, "metric-month", _CLOUDWATCH)
BYTE_OUT = Price("Data out to the internet, above 100 GB", 0.09, GB, "bytes", _EC2)

PRICES = (
    *(API_REQUEST, LAMBDA_REQUEST, X86_GB_S, ARM_GB_S),
    *(READ_UNIT, WRITE_UNIT, STORED_GB, BACKED_UP_GB),
    *(SQS_REQUEST, FIFO_REQUEST, LOG_BYTE, LOG_GB, ALARM, DASHBOARD, METRIC, BYTE_OUT),
)


EDGE_CPU_MS: Final = 1.5
"""Assumed: CPU time of Lambda's runtime and of Chalice, which the measurement leaves out."""

MEMORY_GB: Final = 1.0
CPUS: Final = 1024 / 1769
"""What a function of this memory has: a whole one comes with 1,769 MB."""

PLATFORM_LOG_BYTES: Final = 384
"""Lambda's lines START, END and REPORT, and the 26 bytes that CloudWatch adds to each event."""

ACCESS_LOG_BYTES: Final = 500
"""Of API Gateway's line of the access log."""

WEBHOOK_MS: Final = 100
"""Assumed: how long a receiver takes to answer, with what `deliver` does itself."""

CHANGES_MS: Final = 5
"""Assumed: how long `changes` takes for a change that comes alone; measured is far less."""

CHANGES_GB: Final = 0.5
DELIVER_GB: Final = 0.25
PURGE_GB: Final = 0.25

PURGE_MS: Final = 50
"""Assumed: how long `purge` takes for one object."""

ROW_UNITS: Final = 2
"""A row is small, and removed in a transaction."""

MESSAGE_REQUESTS: Final = 3
"""Of SQS for a message that comes alone: sent, received, deleted."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request uses, on average.

    Attributes:
        read_units: of DynamoDB.
        write_units: likewise.
        trips: round trips one after the other.
        waited_ms: for these, by the model of `bench/latency.py`.
        cpu_ms: of the handler, measured on a whole CPU.
        log_bytes: of our own lines.
        answer_bytes: body and headers.
    """

    read_units: float
    write_units: float
    trips: float
    waited_ms: float
    cpu_ms: float
    log_bytes: float
    answer_bytes: float

    @property
    def billed_ms(self) -> int:
        """How long the function runs: what it waits for, and its CPU time on its share of one."""
        return math.ceil(self.waited_ms + (self.cpu_ms + EDGE_CPU_MS) / CPUS)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a million of something costs, in dollars, by part."""

    gateway: float
    function: float
    dynamodb: float
    logs: float
    transfer: float
    events: float

    @property
    def total(self) -> float:
        """All of it."""
        answered = self.gateway + self.function + self.dynamodb
        return answered + self.logs + self.transfer + self.events


def cost_of(usage: Usage, *, gb_s: Price = ARM_GB_S) -> Cost:
    """What a million requests cost that use so much.

    Args:
        usage: of one of them.
        gb_s: the price of the architecture.
    """
    seconds = usage.billed_ms / 1000 * MILLION
    return Cost(
        gateway=API_REQUEST.of(MILLION),
        function=LAMBDA_REQUEST.of(MILLION) + gb_s.of(seconds * MEMORY_GB),
        dynamodb=READ_UNIT.of(usage.read_units * MILLION)
        + WRITE_UNIT.of(usage.write_units * MILLION),
        logs=LOG_BYTE.of((usage.log_bytes + PLATFORM_LOG_BYTES + ACCESS_LOG_BYTES) * MILLION),
        transfer=BYTE_OUT.of(usage.answer_bytes * MILLION),
        events=changes_cost() if usage.write_units else 0.0,
    )


def changes_cost() -> float:
    """What a million invocations of `changes` cost, where each change comes alone.

    Lambda's own reads of a stream are free. Under load a hundred changes share an invocation.
    """
    return _invocations(CHANGES_MS, CHANGES_GB, PLATFORM_LOG_BYTES)


def delivery_cost(log_bytes: float, message_bytes: float) -> float:
    """What a million deliveries of webhooks cost, each at the first attempt.

    Args:
        log_bytes: of the line about one.
        message_bytes: of what is posted.
    """
    queued = FIFO_REQUEST.of(MESSAGE_REQUESTS * MILLION)
    invoked = _invocations(WEBHOOK_MS, DELIVER_GB, PLATFORM_LOG_BYTES + log_bytes)
    return queued + invoked + BYTE_OUT.of(message_bytes * MILLION)


def purge_cost() -> float:
    """What it costs to clear up after a million deletions of an object with one row of `access`."""
    queued = SQS_REQUEST.of(MESSAGE_REQUESTS * MILLION)
    removed = WRITE_UNIT.of(ROW_UNITS * MILLION)
    return queued + removed + _invocations(PURGE_MS, PURGE_GB, PLATFORM_LOG_BYTES)


def _invocations(ms: float, memory_gb: float, log_bytes: float) -> float:
    seconds = ms / 1000 * MILLION
    duration = ARM_GB_S.of(seconds * memory_gb)
    return LAMBDA_REQUEST.of(MILLION) + duration + LOG_BYTE.of(log_bytes * MILLION)
