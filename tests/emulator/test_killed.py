"""A host that is killed in the middle of a request leaves all of it, or nothing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.doubles import Client
from tests.emulator.group_creator import GROUP, MEMBERS
from tests.emulator.hosts import BUCKET, Hosts, data_of
from tests.emulator.proxy import Fate, proxy

pytestmark = pytest.mark.emulator

CALLS = 6
"""Of the group's creation: a read; the 301 rows in four transactions; the group."""

_END_S = 30.0


@dataclass(slots=True)
class Killer:
    """Kills a process at the n-th call that it makes of DynamoDB.

    Attributes:
        call: which one.
        is_carried_out: whether it is carried out by then.
    """

    call: int
    is_carried_out: bool
    victim: "subprocess.Popen[str] | None" = None
    calls: int = 0
    carried_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, _operation: str) -> Fate:
        with self._lock:
            self.calls += 1
            if self.calls == self.call and not self.is_carried_out:
                self._kill()
                return Fate.CUT_BEFORE
        return Fate.ANSWERED

    def notify(self, _operation: str) -> None:
        with self._lock:
            self.carried_out += 1
            if self.carried_out == self.call and self.is_carried_out:
                self._kill()

    def _kill(self) -> None:
        assert self.victim is not None
        os.kill(self.victim.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("call", "is_carried_out"),
    [(1, False), (1, True), (3, False), (3, True), (5, True), (CALLS, False), (CALLS, True)],
)
def test_a_killed_creation_is_whole_or_nothing(
    hosts: Hosts, call: int, is_carried_out: bool
) -> None:
    owner = hosts.start()
    assert owner.ask("PUT", BUCKET).status == 201
    untouched = owner.ask("GET", f"{BUCKET}/groups").headers["ETag"]

    killer = Killer(call, is_carried_out)
    with proxy(hosts.url, killer.decide, killer.notify) as url, creator(url, hosts) as process:
        killer.victim = process
        process.communicate("go\n", timeout=_END_S)

    assert process.returncode == -signal.SIGKILL
    is_whole = call == CALLS and is_carried_out
    assert_state(owner, is_whole=is_whole, untouched=untouched)
    again = owner.ask("PUT", GROUP, {"data": {"members": MEMBERS}})
    assert again.status == (200 if is_whole else 201)
    assert_state(owner, is_whole=True, untouched=untouched)
    assert rows_of_members(hosts) == sorted(MEMBERS)


def test_a_creation_that_nobody_kills_makes_so_many_calls(hosts: Hosts) -> None:
    owner = hosts.start()
    assert owner.ask("PUT", BUCKET).status == 201
    killer = Killer(0, is_carried_out=False)

    with proxy(hosts.url, killer.decide) as url, creator(url, hosts) as process:
        said, _ = process.communicate("go\n", timeout=_END_S)

    assert said == "201\n"
    assert killer.calls == CALLS


@contextmanager
def creator(url: str, hosts: Hosts) -> Iterator["subprocess.Popen[str]"]:
    """A host in a process of its own that is about to create the group."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.emulator.group_creator", url, hosts.stage],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def assert_state(client: Client, *, is_whole: bool, untouched: str) -> None:
    group = client.ask("GET", GROUP)
    groups = client.ask("GET", f"{BUCKET}/groups")
    if not is_whole:
        assert group.status == 404
        assert data_of(groups) == []
        assert groups.headers["Total-Records"] == "0"
        assert groups.headers["ETag"] == untouched
        return
    assert group.status == 200
    assert data_of(group)["members"] == MEMBERS
    assert data_of(groups) == [data_of(group)]
    assert groups.headers["Total-Records"] == "1"
    assert groups.headers["ETag"] == group.headers["ETag"]


def rows_of_members(hosts: Hosts) -> list[str]:
    """Who is known to be a member of the group."""
    pages = hosts.dynamodb.get_paginator("scan").paginate(
        TableName=hosts.tables.access, ConsistentRead=True
    )
    return sorted(
        row["principal"]["S"]
        for page in pages
        for row in page["Items"]
        if row["object"]["S"] == f"member:{BUCKET}#group/crowd"
    )
