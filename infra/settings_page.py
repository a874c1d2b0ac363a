"""Write docs/settings.md from the declarations in chalicelib/settings.py: `make docs`."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chalicelib.settings import Settings, variable_of

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `make docs` from the declarations in `chalicelib/settings.py`: change those.

Each setting is read from its environment variable: `KINTO_`, then its name in upper case, with
dots and dashes as underscores. An empty variable counts as not set, where the table says nothing
else. The service refuses to start with a value that it can't read, and tells in its log which
`KINTO_` variables it knows nothing of.

Booleans are `true`, `yes`, `on`, `1` and `false`, `no`, `off`, `0`, in any case. Lists are
separated by blanks, line ends or commas. What is marked as **secret** is never logged. Words in
capitals in a name stand for any of many: the text on the right says which.

| setting | variable | default | |
|---|---|---|---|
"""


class Row(NamedTuple):
    """A setting, or a family of them, on the page.

    Attributes:
        name: Kinto's, without `kinto.`.
        default: as it would be set; None where nothing is.
        help: what it does.
        is_secret: whether its value must not be seen.
    """

    name: str
    default: str | None
    help: str
    is_secret: bool = False

    def __str__(self) -> str:
        """The line of the table."""
        default = f"`{self.default}`" if self.default else "empty" if self.default == "" else "none"
        help = f"{self.help} **Secret.**" if self.is_secret else self.help
        name = f"kinto.{self.name}"
        return f"| `{name}` | `{variable_of(self.name)}` | {default} | {help} |"


def rows() -> Iterator[Row]:
    """The table, in the order of the declarations."""
    for field in dataclasses.fields(Settings):
        yield _row(field)


def _row(field: "dataclasses.Field[Any]") -> Row:
    metadata = field.metadata
    help = metadata["help"]
    if "of" in metadata:
        text = f"{help} NAME is one in `{metadata['of']}`. **May be secret.**"
        return Row(f"{metadata['prefix']}.NAME.OPTION", None, text)
    if switches := metadata.get("switches"):
        names = ", ".join(f"`{name}`" for name in switches)
        return Row("SWITCH_enabled", "true", f"{help} SWITCH is one of {names}.")
    if ending := metadata.get("ending"):
        return Row(f"NAME_{ending}", None, help)
    return Row(field.name, _as_set(field.default), help, metadata["is_secret"])


def _as_set(value: Any) -> str | None:
    """A value as its variable would hold it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | frozenset):
        return " ".join(value if isinstance(value, tuple) else sorted(value))
    return str(value)


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(f"{row}\n" for row in rows())


def main() -> int:
    """Write it."""
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
