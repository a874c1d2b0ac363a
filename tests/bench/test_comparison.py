"""The comparison with Kinto: what is asked, what counts as alike, and the figures."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench import prerequisites, scenario
from bench.comparison import Compared, check_alike, compared, section
from bench.driving import LOG
from bench.prerequisites import BenchError, postgresql_programs
from bench.scenario import Answer, Known, Operation, Request, is_alike, operations, prepared
from bench.sides import HOST, Side, driven, event_of
from bench.spread import Spread, spread_of
from chalicelib.api.routes import ROUTES

KNOWN = Known('"1"', '"2"', '"3"')
GET = Operation("GET", 200, 0.5, lambda _known, run: Request("GET", f"/{run}"))


def answer(status: int = 200, body: Any = None) -> Answer:
    return Answer(status, {"ETag": '"7"'}, json.dumps(body), 0.001)


@dataclass
class Recorder:
    """A server that takes whatever it is asked."""

    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        return answer(body={"user": {"id": "basicauth:bob"}})


def test_the_collection_is_filled_by_what_clients_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "SIZE", 100)
    server = Recorder()

    known = prepared(server)

    batches = [it.body["requests"] for it in server.asked if it.path == "/batch"]
    assert len({it["path"] for batch in batches for it in batch}) == 100
    assert known == Known('"7"', '"7"', '"7"')


@pytest.mark.parametrize("operation", [*operations()], ids=lambda it: it.name)
def test_an_operation_asks_for_what_the_service_has(operation: Operation) -> None:
    method, path, body, _ = operation.request(KNOWN, 3)

    event = event_of(operation.request(KNOWN, 3))

    assert event["httpMethod"] == method
    assert event["path"] == f"/v1{path}".partition("?")[0]
    assert event["resource"] in {route.pattern for route in ROUTES}
    assert event["body"] == (None if body is None else json.dumps(body))
    assert event["headers"]["Host"] == HOST


def test_what_creates_and_deletes_asks_for_another_record_each_time() -> None:
    once = ("PUT, a new record", "DELETE of a record", "PUT, checked by a schema")

    for operation in operations():
        if operation.name in once:
            assert len({operation.request(KNOWN, run).path for run in range(200)}) == 200


def test_what_is_deleted_was_put_before() -> None:
    of = {operation.name: operation for operation in operations()}
    put, delete = of["PUT, a new record"], of["DELETE of a record"]

    assert [*of].index(put.name) < [*of].index(delete.name)
    assert put.request(KNOWN, 8).path == delete.request(KNOWN, 8).path


def test_a_record_is_as_large_as_the_page_says() -> None:
    assert 280 <= len(json.dumps(scenario.data_of(9_999))) <= 340


ID = "00000001-0000-4000-8000-000000000000"
RECORD = {"data": {"id": ID, "last_modified": 1, "title": "A"}, "permissions": {"write": ["a"]}}


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (RECORD, True),
        ({**RECORD, "data": {"title": "A", "last_modified": 2, "id": ID}}, True),
        ({**RECORD, "data": {**RECORD["data"], "title": "B"}}, False),
        ({**RECORD, "data": {**RECORD["data"], "id": ID.replace("1", "2")}}, False),
        ({"data": RECORD["data"], "permissions": {"write": ["b"]}}, False),
        ({"data": RECORD["data"]}, False),
        ({"data": RECORD["data"], "permissions": {}}, True),
    ],
)
def test_answers_are_alike_but_for_times_and_what_kinto_hides(other: Any, alike: bool) -> None:
    assert is_alike(json.dumps(RECORD), json.dumps(other)) is alike


def test_ids_that_a_server_made_may_differ() -> None:
    ours, theirs = (
        {"responses": [{"status": 201, "path": "/v1/a", "body": {"data": {"id": id}}, **others}]}
        for id, others in (
            ("c3a8b1f0-55a1-4d7c-9a57-0f6c7f0a1b2c", {"headers": {"ETag": "1"}}),
            ("0b2e7d94-1f9c-4b53-8f43-5c1f4d3e2a1b", {"headers": {}}),
        )
    )

    assert is_alike(json.dumps(ours), json.dumps(theirs))


def test_nothing_is_compared_where_answers_differ() -> None:
    with pytest.raises(BenchError, match=r'^GET: the handler answers {"a": 1} where Kinto'):
        check_alike(GET, [answer(body={"a": 1})], [answer(body={"a": 2})])
    with pytest.raises(BenchError, match=r"^GET: Kinto answered 503"):
        check_alike(GET, [answer(body={})], [answer(503, {})])


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert spread_of([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert spread_of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_the_share_is_taken_of_blocks_that_ran_one_after_the_other() -> None:
    """In the second half the machine was three times as slow, for both."""
    row = compared(GET, [[1.0, 1.0, 9.0], [3.0, 3.0, 3.0]], [[4.0, 4.0, 4.0], [12.0, 12.0, 50.0]])

    assert row.share == Spread(0.25, 0.25, 0.25)
    assert row.runs == 6
    assert row.ours == spread_of([1.0, 1.0, 9.0, 3.0, 3.0, 3.0])


def row(name: str, share: float, goal: float | None) -> Compared:
    time = Spread(1.0, 0.9, 1.2)
    return Compared(name, goal, 200, time, time, Spread(share, share - 0.01, share + 0.02))


def test_the_section_tells_honestly_which_goals_are_met() -> None:
    rows = [row("GET", 0.45, 0.45), row("PUT", 0.61, 0.6), row("304", 2.0, None)]

    text = section([*rows, row("Batch of 25", 0.05, 0.1)]).text

    assert "| GET | 200 |" in text
    assert "| **0.45** (0.44 to 0.47) | 0.45 | yes |" in text
    assert "| **0.61** (0.60 to 0.63) | 0.6 | no |" in text
    assert "| **2.00** (1.99 to 2.02) |  |  |" in text
    assert "Missed: PUT." in text


def test_the_section_shows_each_of_its_plots() -> None:
    made = section([row("GET", 0.4, 0.45), row("Batch of 25", 0.05, 0.1)])

    for name in made.plots:
        assert f"](benchmarks/{name})" in made.text
    assert len(made.plots) == 2


def test_without_postgresql_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BenchError, match=r"apt install postgresql$") as caught:
        postgresql_programs(tmp_path / "none")

    assert "\n" not in str(caught.value)


def test_the_newest_postgresql_of_debian_is_taken(tmp_path: Path) -> None:
    for version in ("9.6", "15", "16"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "pg_ctl", "postgres"):
            (folder / name).touch()
    (tmp_path / "16" / "bin" / "postgres").unlink()  # the client alone

    assert postgresql_programs(tmp_path) == tmp_path / "15" / "bin"


def test_without_kinto_one_line_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="make bench"):
        prerequisites.kinto_python(tmp_path / "kinto")


DRIVER = """
from bench.driving import drive, separate_output
answers = separate_output()
def call(number):
    print("logged", number)
    return number + 1
drive(answers, int, call, lambda given: (200, {"A": "b"}, str(given)))
"""


def test_a_driver_answers_by_blocks_and_logs_elsewhere(tmp_path: Path) -> None:
    log = tmp_path / "log"

    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input='["1", "2"]\n["3"]\n',
        env={LOG: str(log)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    blocks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[told[:3] for told in block] for block in blocks] == [
        [[200, {"A": "b"}, "2"], [200, {"A": "b"}, "3"]],
        [[200, {"A": "b"}, "4"]],
    ]
    assert all(told[3] >= 0 for block in blocks for told in block)
    assert log.read_text() == "logged 1\nlogged 2\nlogged 3\n"


def test_a_server_that_ends_is_told_in_one_line() -> None:
    with (
        pytest.raises(BenchError, match=r"^Kinto ended: .*No module named bench\.nothing$"),
        driven(Side, "Kinto", sys.executable, "bench.nothing", {}) as side,
    ):
        side.ask(Request("GET", "/"))
