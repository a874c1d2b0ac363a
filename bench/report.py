"""The page of benchmarks: what a section is, tables, and the page with its plots on disk."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs"


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        title: its heading.
        text: the Markdown below that; it shows a plot as `![what](benchmarks/NAME.svg)`.
        plots: SVG by file name.
    """

    title: str
    text: str
    plots: Mapping[str, str] = {}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown: the first column of texts, the others of figures."""
    align = ["---", *["---:"] * (len(head) - 1)]
    lines = [map(_cell, head), align, *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page(facts: Mapping[str, str], sections: Iterable[Section]) -> str:
    """The page of these sections, below what they were measured on.

    Args:
        facts: by name: versions, the machine, the command.
        sections: in their order.
    """
    made_on = table(("made", ""), facts.items()).replace("---:", "---")
    parts = [f"# Benchmarks\n\n{made_on}", *map(text_of, sections)]
    return "\n\n".join(parts) + "\n"


def text_of(section: Section) -> str:
    """A section in Markdown, with its heading."""
    return f"## {section.title}\n\n{section.text.strip()}"


def write(text: str, sections: Iterable[Section], docs: Path = DOCS) -> None:
    """Write the page, and its plots in place of those before."""
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for section in sections:
        for name, svg in section.plots.items():
            (folder / name).write_text(svg, encoding="utf-8")
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")
