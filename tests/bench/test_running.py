"""`python -m bench`: what is measured, and what is refused before."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import __main__ as bench
from bench import machine, report
from bench.prerequisites import BenchError
from bench.report import Section


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The modules that measure, in the order in which they did; none takes long."""
    names: list[str] = []

    def module(name: str) -> Any:
        def measure(tell: Callable[[str], None]) -> Section:
            names.append(name)
            tell("half of it")
            return Section(name, "Done.", {f"{name}.svg": "<svg/>"})

        return SimpleNamespace(measure=measure)

    monkeypatch.setattr(bench, "import_module", module)
    monkeypatch.setattr(bench, "postgresql_programs", lambda: None)
    monkeypatch.setattr(bench, "kinto_python", lambda: None)
    monkeypatch.setattr(machine, "facts", lambda: {"commit": "4ca94c7"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of a test")
    log = logging.getLogger("kinto")
    level = log.level
    yield names
    log.setLevel(level)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    bench.main()


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    write = report.write
    monkeypatch.setattr(report, "write", lambda text, sections: write(text, sections, tmp_path))
    return tmp_path


def test_all_sections_are_measured_and_written(
    measured: list[str], docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)

    text = (docs / "benchmarks.md").read_text()
    places = [text.index(f"## bench.{name}\n") for name in bench.SECTIONS]
    assert measured == [f"bench.{name}" for name in bench.SECTIONS]
    assert places == sorted(places)
    assert "| commit | 4ca94c7 |\n| it took | 0 minutes |" in text
    assert len([*(docs / "benchmarks").iterdir()]) == len(bench.SECTIONS)


def test_one_section_is_printed_and_the_page_stays_as_it_is(
    measured: list[str],
    docs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch, "events")

    out, err = capsys.readouterr()
    assert measured == ["bench.events"]
    assert out == "## bench.events\n\nDone.\n"
    assert "s] events: half of it\n" in err
    assert [*docs.iterdir()] == []


def test_nothing_is_measured_where_postgresql_is_missing(
    measured: list[str], docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Path:
        raise BenchError("apt install postgresql")

    monkeypatch.setattr(bench, "postgresql_programs", missing)

    with pytest.raises(SystemExit) as ended:
        run(monkeypatch)

    assert ended.value.code == "apt install postgresql"
    assert measured == []
    assert [*docs.iterdir()] == []


def test_what_needs_no_postgresql_is_measured_without(
    measured: list[str], docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Path:
        raise BenchError("apt install postgresql")

    monkeypatch.setattr(bench, "postgresql_programs", missing)

    run(monkeypatch, "scaling")

    assert measured == ["bench.scaling"]
