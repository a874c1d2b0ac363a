"""Every call of a batch fails, in every way: all of it is there afterwards, or nothing.

Rule: spec, "Batch and transactions", section 6.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from botocore import exceptions as botocore

from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.storage import commits, connection, staging
from chalicelib.storage.connection import Dynamo
from tests.api.places import (
    COLLECTION,
    GROUP,
    ID,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_of,
    made,
    user_id,
)
from tests.api.shelves import asked
from tests.api.test_batch import TASKS, batch, client_at, statuses, to, without_times
from tests.doubles import Client, Patience, basic
from tests.shared_moto import contents, empty_streams, restore, saved
from tests.storage.stand_ins import TRANSACT, Wire, cancelled, client_error

NEW = "/buckets/new"
NEW_RECORDS = f"{NEW}/collections/notes/records"
FEW_ACTIONS = 25
"""What a transaction takes, for tests of those that don't take their access rows."""


class KilledError(BaseException):
    """The container ends: nothing catches it, nothing goes on."""


REFUSALS = {
    "throttled": client_error("ThrottlingException"),
    "refused": client_error("ValidationException"),
    "conflict": cancelled("TransactionConflict"),
    "throttled in an action": cancelled("None", "ThrottlingError"),
}
LOSSES = {
    "500": client_error("InternalServerError", status=500),
    "reset": botocore.ConnectionClosedError(endpoint_url="https://dynamodb"),
    "killed": KilledError(),
}
OF_TRANSACTIONS = ("conflict", "throttled in an action")
FAULTS = [
    *(("before", name) for name in (*REFUSALS, "reset", "killed")),
    *(("after", name) for name in LOSSES),
]


class Scene:
    """A rich batch over a service with something in it, on a way where anything may fail.

    Attributes:
        wire: the way.
        requests: of the batch.
        expected: their statuses.
        calls: the numbers of those that may fail, of all that it makes.
        commits: of its transactions among them.
        before: what is stored before it, and after it.
    """

    def __init__(
        self, dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch, *, writes_only: bool = False
    ) -> None:
        monkeypatch.setattr(staging, "token_hex", lambda _bytes: f"{next(self._tokens):016x}")
        self._tokens: Iterator[int] = count()
        self._readable: dict[str, dict[str, Any]] = {}
        self._repeated: set[str] = set()
        self.wire = Wire(dynamo._connection, dynamo.tables)
        self.client = Client(client_at(self.wire.dynamo).service, lambda: Patience(5.5))
        self.clean = client_at(self.wire.rival)
        made(self.clean)
        for number in range(3):
            self.clean.ask("PUT", f"{RECORDS}/{number:08d}-0000-4000-8000-000000000000")
        self.personal = body_of(self.clean.ask("GET", "/"))["user"]["bucket"]
        self.requests, self.expected = self._batch()
        self._saved = saved()
        self.before = contents()
        self.readable_before = self.readable()
        self.calls: list[int] = []
        self.commits: list[int] = []
        self.wire.calls = 0
        self.wire.before = self._note
        assert self._carried_out(self.ask())
        self.wire.quiet()
        self.calls = self.commits if writes_only else self.calls
        self.after = contents()
        self.readable_after = self.readable()
        assert self.readable_after != self.readable_before

    def _batch(self) -> tuple[list[JsonObject], list[int]]:
        bob = user_id(self.clean, "bob")
        members = [bob, *(f"basicauth:{number}" for number in range(15))]
        group = f"{NEW}/groups/writers"
        wanted = [
            (to("PUT", NEW, permissions={"read": [group]}), 201),
            (to("PUT", f"{NEW}/collections/notes", permissions={"read": [bob]}), 201),
            (to("PUT", group, {"members": members}), 201),
            (to("PUT", f"{NEW_RECORDS}/{ID}", {"n": 1}, permissions={"read": [bob]}), 201),
            (to("PUT", f"{NEW_RECORDS}/{OTHER_ID}", {"n": 2}), 201),
            (to("DELETE", f"{NEW_RECORDS}/{OTHER_ID}"), 200),
            (to("POST", f"{TASKS}/records", {"id": ID, "n": 3}), 201),
            (to("DELETE", RECORD), 200),
            (to("DELETE", GROUP), 200),
            (to("PATCH", COLLECTION, {"n": 4}), 200),
            (to("PUT", COLLECTION, {}, If_None_Match="*"), 412),
            (to("DELETE", f"{RECORDS}?not_n=1"), 200),
            (to("PUT", RECORD, {"n": 5}, permissions={"write": [bob]}), 201),
            (to("GET", RECORDS), 200),
        ]
        return [request for request, _ in wanted], [status for _, status in wanted]

    def _note(self, call: int, operation: str, _arguments: dict[str, Any]) -> None:
        self.calls.append(call)
        if operation == TRANSACT:
            self.commits.append(call)

    def faults(self) -> Iterator[tuple[str, str, int]]:
        """When which fault may come to which call."""
        for when, name in FAULTS:
            for number in self.commits if name in OF_TRANSACTIONS else self.calls:
                yield when, name, number

    def ask(self) -> Response | None:
        """The answer to the batch; None where nobody is left to give one."""
        self._tokens = count(100)
        try:
            return batch(self.client, *self.requests)
        except KilledError:
            return None
        finally:
            self._wait_for_threads()

    def _wait_for_threads(self) -> None:
        """Let nothing go on that was begun in parallel with what failed."""
        dynamo = self.wire.dynamo
        if dynamo._threads is not None:
            dynamo._threads.shutdown()
            dynamo._threads = None

    def _carried_out(self, answer: Response | None) -> bool:
        assert answer is not None
        return statuses(body_of(answer)["responses"]) == self.expected

    def fail(self, number: int, when: str, fault: BaseException, *, for_good: bool) -> str:
        """Let a call of the batch fail, or all from it on, and see what is left of it."""
        restore(self._saved)
        empty_streams()
        self.wire.quiet()
        self.wire.calls = 0
        happened: list[str] = []

        def hook(call: int, operation: str, _arguments: dict[str, Any]) -> None:
            is_possible = operation == TRANSACT or fault not in map(REFUSALS.get, OF_TRANSACTIONS)
            if call == number or (for_good and call > number and is_possible):
                happened.append(operation)
                self._tokens = count(100)  # as the batch may be run again
                raise fault

        setattr(self.wire, when, hook)
        answer = self.ask()
        self.wire.quiet()
        assert happened
        done = self._is_done()
        if answer is None:
            return "killed"
        if answer.status == 200:
            assert self._carried_out(answer)
            assert done
            return "answered"
        assert_error(answer, answer.status, 201 if answer.status == 503 else 999)
        assert "responses" not in (answer.body or {})
        if "Retry-After" in answer.headers:
            assert not done
        return f"{answer.status}{' and done' if done else ''}"

    def _is_done(self) -> bool:
        """Whether all of the batch is stored; fails where it is a part, or can be seen as one.

        What was stored so before is not looked at again.
        """
        found = contents()
        objects = self.wire.dynamo.tables.objects
        done = bool(found[objects] != self.before[objects])
        if done:
            assert found == self.after
        seen = self.readable()
        assert seen == (self.readable_after if done else self.readable_before)
        self._repeat()
        return done

    def _repeat(self) -> None:
        """What a client does that was not answered, or told to: it ends as if all had gone well."""
        key = repr(contents())
        if key in self._repeated:
            return
        self._repeated.add(key)
        body_of(batch(self.clean, *self.requests))
        assert settled(self.readable()) == settled(self.readable_after)

    def readable(self) -> dict[str, Any]:
        """All that two users can read, by a service to which nothing happens."""
        key = repr(contents())
        if key not in self._readable:
            self._readable[key] = {
                f"{user} {path} {query}": (answer.status, answer.headers.get("ETag"), answer.body)
                for user, path, query in self._addresses()
                for who in [{"authorization": basic(user)}]
                for answer in [asked(self.clean, *query, path=path, headers=who)]
            }
        return self._readable[key]

    def _addresses(self) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
        tasks = f"/buckets/{self.personal}/collections/tasks/records"
        lists = ["/buckets", f"{NEW}/collections", f"{NEW}/groups", RECORDS, NEW_RECORDS, tasks]
        objects = [NEW, COLLECTION, GROUP, RECORD, f"{NEW_RECORDS}/{ID}"]
        return [
            *(("alice", path, ()) for path in objects),
            *(("alice", path, (("_since", "0"),)) for path in lists),
            *(("bob", path, ()) for path in (NEW, RECORD, f"{NEW_RECORDS}/{ID}", *lists)),
        ]


def settled(readable: dict[str, Any]) -> dict[str, Any]:
    """What was read, in whatever order and at whatever times it was written."""
    found: dict[str, Any] = {}
    for address, (status, _etag, body) in readable.items():
        data = body.get("data")
        entries = sorted(map(str, map(without_times, data))) if isinstance(data, list) else data
        found[address] = status, without_times(entries), body.get("permissions")
    return found


@pytest.fixture(params=["all in one", "rows first"])
def scene(request: pytest.FixtureRequest, dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The batch in one transaction; or with access rows that don't fit into it."""
    rows_first = request.param == "rows first"
    if rows_first:
        monkeypatch.setattr(commits, "MAX_ACTIONS", FEW_ACTIONS)
        monkeypatch.setattr(connection, "MAX_ACTIONS", FEW_ACTIONS)
    return Scene(dynamo, monkeypatch, writes_only=rows_first)


def test_one_fault_at_any_call_is_made_good(scene: Scene) -> None:
    for when, name, number in scene.faults():
        outcome = scene.fail(number, when, (REFUSALS | LOSSES)[name], for_good=False)

        expected = {"killed": "killed", "refused": "500"}.get(name, "answered")
        assert outcome == expected, (when, name, number)


def test_a_fault_that_goes_on_from_any_call_leaves_all_or_nothing(scene: Scene) -> None:
    outcomes: dict[str, set[str]] = {}
    for when, name, number in scene.faults():
        outcome = scene.fail(number, when, (REFUSALS | LOSSES)[name], for_good=True)
        outcomes.setdefault(f"{when} {name}", set()).add(outcome)

    # Where a commit is carried out again and again, and never answered, nobody knows of it.
    unknown = {"503", "503 and done"}
    assert outcomes == {
        "before throttled": {"503"},
        "before refused": {"500"},
        "before conflict": {"503"},
        "before throttled in an action": {"503"},
        "before reset": {"503"},
        "before killed": {"killed"},
        "after 500": unknown,
        "after reset": unknown,
        "after killed": {"killed"},
    }


@pytest.mark.parametrize("act", [("DELETE", NEW), ("PATCH", COLLECTION), ("POST", RECORDS)])
def test_a_rival_after_a_lost_answer_is_not_overwritten(
    dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch, act: tuple[str, str]
) -> None:
    scene = Scene(dynamo, monkeypatch)
    restore(scene._saved)
    lost: list[Callable[[], object]] = [lambda: scene.clean.ask(*act, data={"data": {"r": 1}})]

    def lose(_call: int, operation: str, _arguments: dict[str, Any]) -> None:
        if operation == TRANSACT and lost:
            lost.pop()()
            raise LOSSES["reset"]

    scene.wire.after = lose
    answer = scene.ask()
    scene.wire.quiet()

    assert answer is not None
    assert scene._carried_out(answer)
    found = scene.clean.ask("GET", act[1])
    assert found.status == (403 if act[0] == "DELETE" else 200)
    assert act[0] == "DELETE" or '"r": 1' in str(found.body).replace("'", '"')
