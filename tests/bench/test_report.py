"""The page of benchmarks, and its plots on disk: `bench/report.py`."""

from pathlib import Path

from bench.report import Section, page, table, write

FACTS = {"commit": "4ca94c7", "machine": "an | b, 2 cores"}
SECTIONS = [
    Section("Cold start", "\nTook a while.\n", {"start.svg": "<svg>1</svg>"}),
    Section("Scaling", "Went well."),
]


def test_the_page_has_what_it_was_made_on_and_then_each_section() -> None:
    text = page(FACTS, SECTIONS)

    assert text.startswith("# Benchmarks\n\n| made |  |\n")
    assert "| commit | 4ca94c7 |" in text
    assert text.endswith("\n\n## Cold start\n\nTook a while.\n\n## Scaling\n\nWent well.\n")


def test_a_cell_keeps_to_its_place_in_the_table() -> None:
    lines = table(("what", "ms"), [("a | b\nand c", "1")]).splitlines()

    assert lines == ["| what | ms |", "| --- | ---: |", "| a \\| b and c | 1 |"]


def test_the_page_is_written_with_its_plots_and_those_of_before_go(tmp_path: Path) -> None:
    write("before", [Section("Old", "", {"old.svg": "<svg/>"})], tmp_path)

    write("after", SECTIONS, tmp_path)

    plots = {file.name: file.read_text() for file in (tmp_path / "benchmarks").iterdir()}
    assert (tmp_path / "benchmarks.md").read_text() == "after"
    assert plots == {"start.svg": "<svg>1</svg>"}
