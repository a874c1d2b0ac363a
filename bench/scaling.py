"""Many writers at once, in one collection and in as many: how fast, how often in vain, how fair.

It is simulated (`bench/simulation.py`): the emulator carries out one call at a time, so what
collides in DynamoDB doesn't collide there.
"""

import json
import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain, count
from statistics import quantiles
from typing import Any, Final, NamedTuple

from bench import plots
from bench.latency import Latency
from bench.report import Section, table
from bench.simulation import REFUSED, SPREAD, OneThread, SimulatedDynamo, Time
from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage

WRITERS: Final = (1, 2, 4, 8, 16, 32, 64)
TOGETHER_S: Final = 20.0
APART_S: Final = 3.0
"""How long they write, of simulated time: what doesn't collide is soon told."""

CHECKED: Final = 16
CHECKED_S: Final = 10.0
CPU_MS: Final = 4.0
"""What a function computes for a request: assumed."""

_RULE: Final = (
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html"
)
_BUCKET: Final = "/buckets/bench"
_COUNTER: Final = "ffffffff-0000-4000-8000-000000000000"
_REQUEST_S: Final = 29.0
_POLL_S: Final = 1.0
_START_MS: Final = 1_700_000_000_000
_stages = count()


class Point(NamedTuple):
    """What some writers came to.

    Attributes:
        seconds: how long they wrote.
        waits: of each writer: how long its writes took at the function, in ms.
        attempts: transactions that were sent, whatever came of them.
        unavailable: requests that were answered 503.
    """

    seconds: float
    waits: Sequence[Sequence[float]]
    attempts: int
    unavailable: int

    @property
    def writes(self) -> int:
        """All that were carried out."""
        return sum(map(len, self.waits))

    @property
    def a_second(self) -> float:
        """Writes."""
        return self.writes / self.seconds

    @property
    def fairness(self) -> float:
        """Jain's index of what the writers got: 1 where all got the same, 1/n where one got all."""
        return self.writes**2 / len(self.waits) / sum(len(waits) ** 2 for waits in self.waits)

    def wait_ms(self, percent: int) -> float:
        """How long so many of 100 writes took at most."""
        return quantiles(chain(*self.waits), n=100, method="inclusive")[percent - 1]


class Seen(NamedTuple):
    """What a writer has written, or what a client has seen of it.

    Attributes:
        ids: of records.
        updates: of the record that all count up.
    """

    ids: frozenset[str]
    updates: int


class Check(NamedTuple):
    """What became of what was answered 200 or 201.

    Attributes:
        writes: new records.
        missed: of these, the ones that a client who polled for changes has not got.
        updates: of one record that all count up, with `If-Match`.
        lost: of these, the ones that it doesn't count.
    """

    writes: int
    missed: int
    updates: int
    lost: int


class Stage:
    """A service on a simulated DynamoDB, with a bucket and some collections."""

    def __init__(self, collections: int, latency: Latency) -> None:
        """Create it all.

        Args:
            collections: how many.
            latency: the medians of what calls take, and the way to the function.
        """
        self.time = Time()
        self.chance = random.Random(collections)  # noqa: S311  # nothing secret
        self.between_s = (latency.gateway_ms + latency.invoke_ms) / 1000
        self._settings = Settings(stage=f"scaling-{next(_stages)}")
        self.dynamo = SimulatedDynamo(self._settings.stage, self.time, latency, self.chance)
        self.time.run([partial(self._create, collections)])
        self.dynamo.attempts = 0

    def _create(self, collections: int) -> None:
        host = self.host()
        self.ask(host, "PUT", _BUCKET)
        for number in range(collections):
            self.ask(host, "PUT", f"{_BUCKET}/collections/{number}")

    def host(self) -> Service:
        """Another host of the service. They agree on the time, as functions' do within a ms."""
        tables = Tables.of_stage(self._settings.stage)
        dynamo = OneThread(self.dynamo, tables)  # type: ignore[arg-type]  # all that it calls
        storage = Storage(dynamo, lambda: _START_MS + int(self.time.now_s * 1000))
        return Service(self._settings, storage, [BasicPolicy("")])

    def ask(
        self, host: Service, method: str, path: str, data: Any = None, **headers: str
    ) -> Response:
        """The answer of a host, which takes its time for it."""
        ends_s = self.time.now_s + _REQUEST_S
        deadline = Deadline(lambda: ends_s - self.time.now_s, self.time.pause, self.chance.random)
        self.time.pause(CPU_MS / 1000)
        path, _, since = path.partition("?_since=")
        query = (("_since", since),) if since else ()
        sent = {"authorization": "Basic YWxpY2U6c2VjcmV0"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        body = b"" if data is None else json.dumps({"data": data}).encode()
        return host.respond(Request(method, f"/v1{path}", query, sent, body), deadline)


def measure(tell: Callable[[str], None]) -> Section:
    """Simulate each number of writers, in one collection and in as many; and check some.

    Raises:
        BenchError: the environment sets a delay that is no number.
    """
    latency = Latency.from_environment(os.environ)
    together: list[Point] = []
    apart: list[Point] = []
    for writers in WRITERS:
        together.append(written(writers, 1, TOGETHER_S, latency))
        apart.append(written(writers, writers, APART_S, latency))
        tell(f"{writers}: {together[-1].a_second:.0f} and {apart[-1].a_second:.0f} writes a second")
    return section(together, apart, checked(CHECKED, CHECKED_S, latency), latency)


def written(writers: int, collections: int, seconds: float, latency: Latency) -> Point:
    """What so many writers come to, each of which creates one record after the other."""
    stage = Stage(collections, latency)
    begun_s = stage.time.now_s
    end_s = begun_s + seconds
    works = [
        partial(_write, stage, number, _records(number % collections), end_s)
        for number in range(writers)
    ]
    answered = stage.time.run(works)
    waits = [[ms for ms, status in one if status == HTTPStatus.CREATED] for one in answered]
    unavailable = sum(map(len, answered)) - sum(map(len, waits))
    return Point(stage.time.now_s - begun_s, waits, stage.dynamo.attempts, unavailable)


def _write(stage: Stage, writer: int, path: str, end_s: float) -> list[tuple[float, int]]:
    """How long each write took, in ms, and its status."""
    host = stage.host()
    answered: list[tuple[float, int]] = []
    stage.time.pause(stage.chance.random() * stage.between_s)
    while stage.time.now_s < end_s:
        begun_s = stage.time.now_s
        id = _record_id(writer, len(answered))
        answer = stage.ask(host, "PUT", f"{path}/{id}", {"note": "one"})
        answered.append(((stage.time.now_s - begun_s) * 1000, answer.status))
        stage.time.pause(stage.between_s)
    return answered


def checked(writers: int, seconds: float, latency: Latency) -> Check:
    """Whether any of what so many writers do in one collection is lost, or missed by a sync."""
    stage = Stage(1, latency)
    end_s = stage.time.now_s + seconds
    stage.time.run(
        [partial(stage.ask, stage.host(), "PUT", f"{_records(0)}/{_COUNTER}", {"count": 0})]
    )
    works = [partial(_write_and_count, stage, number, end_s) for number in range(writers)]
    *made, seen = stage.time.run([*works, partial(_follow, stage, end_s)])
    ids = frozenset[str]().union(*(each.ids for each in made))
    updates = sum(each.updates for each in made)
    return Check(len(ids), len(ids - seen.ids), updates, updates - seen.updates)


def _write_and_count(stage: Stage, writer: int, end_s: float) -> Seen:
    host = stage.host()
    counter = f"{_records(0)}/{_COUNTER}"
    made: list[int] = []
    updates = 0
    while stage.time.now_s < end_s:
        number = len(made)
        answer = stage.ask(host, "PUT", f"{_records(0)}/{_record_id(writer, number)}", {})
        made.append(answer.status)
        before = stage.ask(host, "GET", counter)
        count = {"count": before.parsed["data"]["count"] + 1}
        answer = stage.ask(host, "PUT", counter, count, if_match=before.headers["ETag"])
        updates += answer.status == HTTPStatus.OK
    created = (n for n, status in enumerate(made) if status == HTTPStatus.CREATED)
    return Seen(frozenset(_record_id(writer, number) for number in created), updates)


def _follow(stage: Stage, end_s: float) -> Seen:
    """What a client has of the collection who polls for changes, until all is over."""
    host = stage.host()
    known: dict[str, Any] = {}
    since = ""
    is_over = False
    while not is_over:
        is_over = stage.time.now_s > end_s + _REQUEST_S
        answer = stage.ask(host, "GET", f"{_records(0)}{since}")
        known |= {record["id"]: record for record in answer.parsed["data"]}
        since = f"?_since={answer.headers['ETag']}"
        stage.time.pause(_POLL_S)
    counter = known.pop(_COUNTER)
    return Seen(frozenset(known), counter["count"])


def _records(collection: int) -> str:
    return f"{_BUCKET}/collections/{collection}/records"


def _record_id(writer: int, number: int) -> str:
    return f"{writer:08x}-0000-4000-8000-{number:012x}"


def section(
    together: Sequence[Point], apart: Sequence[Point], check: Check, latency: Latency
) -> Section:
    """The section: a table, what was checked, and two plots."""
    head = (
        "writers",
        "one collection: writes a second",
        "attempts a write",
        "503",
        "median, ms",
        "99 of 100, ms",
        "fairness",
        "as many collections: writes a second",
        "99 of 100, ms",
    )
    rows = map(_row, together, apart)
    return Section(
        "Writers at once", _text(table(head, rows), check, latency), _plots(together, apart)
    )


def _row(together: Point, apart: Point) -> tuple[str, ...]:
    return (
        f"{len(together.waits)}",
        f"{together.a_second:.1f}",
        f"{together.attempts / together.writes:.1f}",
        f"{together.unavailable}",
        f"{together.wait_ms(50):,.0f}",
        f"{together.wait_ms(99):,.0f}",
        f"{together.fairness:.2f}",
        f"{apart.a_second:,.1f}",
        f"{apart.wait_ms(99):,.0f}",
    )


def _text(figures: str, check: Check, latency: Latency) -> str:
    way_ms = latency.gateway_ms + latency.invoke_ms
    return f"""Simulated, not measured. The service's own code runs, each writer on its own host, in
simulated time. A read takes {latency.read_ms:g} ms, a transaction {latency.transaction_ms:g} and
{latency.action_ms:g} for each of its actions (medians, log-normal, {SPREAD:g}); a request has
{way_ms:g} ms of way, and {CPU_MS:g} of computing. A transaction has its items until it is done;
another that wants one of them is refused, after {REFUSED:.0%} of the time that it would take.
That is how [DynamoDB]({_RULE}) describes it; the limit of a partition's write units is left out.

Each writer creates one record after the other: for {TOGETHER_S:g} s all in one collection, and for
{APART_S:g} s each in one of its own. *Attempts* are the transactions sent. *Fairness* is Jain's
index of what the writers got: 1 where all got the same. What follows from it:
[scaling.md](scaling.md#one-list).

{figures}

![Writes a second, by writers](benchmarks/scaling-throughput.svg)

![What a write takes, by writers](benchmarks/scaling-waits.svg)

{CHECKED} writers did the same for {CHECKED_S:g} s and counted up one more record, each time with
`If-Match`, while a client polled for changes: of {check.writes} new records it missed
{check.missed}, and of {check.updates} updates that were answered 200 {check.lost} were lost."""


def _plots(together: Sequence[Point], apart: Sequence[Point]) -> dict[str, str]:
    def by_writers(points: Sequence[Point], value: Callable[[Point], float]) -> dict[float, float]:
        return {float(len(point.waits)): value(point) for point in points}

    throughput = {
        "one collection": by_writers(together, lambda point: point.a_second),
        "as many collections": by_writers(apart, lambda point: point.a_second),
    }
    waits = {
        "one collection, median": by_writers(together, lambda point: point.wait_ms(50)),
        "one collection, 99 of 100": by_writers(together, lambda point: point.wait_ms(99)),
        "as many collections, 99 of 100": by_writers(apart, lambda point: point.wait_ms(99)),
    }
    return {
        "scaling-throughput.svg": _lines("Writers at once", throughput, "writes a second"),
        "scaling-waits.svg": _lines("What a write takes", waits, "ms"),
    }


def _lines(title: str, series: dict[str, dict[float, float]], unit: str) -> str:
    return plots.lines(title, series, x="writers", y=unit, log_x=True, log_y=True)
