"""Every measurement, to docs/benchmarks.md: `python -m bench`; or one section, printed."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module

from bench import machine, report
from bench.prerequisites import BenchError, kinto_python, postgresql_programs
from bench.report import Section
from infra.emulator import EmulatorError

SECTIONS = ("comparison", "round_trips", "cold_start", "scaling", "overhead", "events")
"""The modules that measure them, in the order of the page."""


def main() -> None:
    """Measure, and write the page; or print the one that was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "section", nargs="?", choices=SECTIONS, help="printed, and no other measured"
    )
    alone = parser.parse_args().section
    logging.getLogger("kinto").setLevel(logging.WARNING)
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    started = time.monotonic()
    try:
        if alone:
            _require(alone)
            sys.stdout.write(report.text_of(_measured(alone, started)) + "\n")
        else:
            _write_page(started)
    except (BenchError, EmulatorError) as error:
        sys.exit(f"{error}")


def _write_page(started: float) -> None:
    for name in SECTIONS:
        _require(name)
    facts = machine.facts()
    sections = [_measured(name, started) for name in SECTIONS]
    minutes = (time.monotonic() - started) / 60
    report.write(report.page(facts | {"it took": f"{minutes:.0f} minutes"}, sections), sections)


def _require(name: str) -> None:
    """Refuse before anything is measured, rather than after some minutes."""
    if name == "comparison":
        postgresql_programs()
        kinto_python()


def _measured(name: str, started: float) -> Section:
    measure: Callable[[Callable[[str], None]], Section] = import_module(f"bench.{name}").measure

    def tell(line: str) -> None:
        elapsed = time.monotonic() - started
        sys.stderr.write(f"[{elapsed:6.1f} s] {name}: {line}\n")

    tell("begins")
    return measure(tell)


if __name__ == "__main__":
    main()
