"""A handler in a process of its own, which answers blocks of requests and tells its CPU time.

A block is a line of JSON on standard input, a list of requests, and so are its answers on standard
output: of each status, headers, body and the CPU seconds of the whole process while it was made.
What the handler itself writes to standard output, its log, goes to a file.

It runs in Kinto's environment as well: this module needs nothing but Python.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

P = TypeVar("P")
R = TypeVar("R")

LOG = "BENCH_LOG"
"""The variable that names the file for the log."""


def separate_output() -> int:
    """Let what is printed from now on go to the log; gives where answers go."""
    answers = os.dup(1)
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.close(log)
    return answers


def drive(
    answers: int,
    prepare: Callable[[Any], P],
    call: Callable[[P], R],
    tell: Callable[[R], tuple[int, dict[str, str], str]],
) -> None:
    """Answer blocks until standard input ends.

    Args:
        answers: the descriptor that `separate_output` gave.
        prepare: makes of a request what the handler takes.
        call: the handler; its CPU time is measured, nothing else.
        tell: status, headers and body of what the handler gave.
    """
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        for line in sys.stdin:
            told = []
            for request in json.loads(line):
                prepared = prepare(request)
                started = time.process_time()
                given = call(prepared)
                took = time.process_time() - started
                told.append((*tell(given), took))
            out.write(json.dumps(told) + "\n")
            out.flush()
