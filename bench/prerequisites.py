"""What the comparison with Kinto needs beside our own packages, and where it is."""

import shutil
from importlib.metadata import Distribution
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian's packages keep servers, by version; they put none on the PATH."""

KINTO = Path(__file__).parents[1] / ".venv" / "kinto"
"""The environment that the Makefile makes for Kinto."""


class BenchError(Exception):
    """Something can't be measured; says why, or what to do, in one line."""


def postgresql_programs(debian: Path = DEBIAN) -> Path:
    """The folder that has PostgreSQL's server: of the newest of Debian's, or on the PATH.

    Raises:
        BenchError: there is none.
    """
    folders = sorted(debian.glob("*/bin"), key=_version_of, reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).parent)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise BenchError(
        "PostgreSQL, which Kinto is measured with, isn't installed: apt install postgresql"
    )


def _version_of(folder: Path) -> float:
    version = folder.parent.name
    return float(version) if version.replace(".", "", 1).isdigit() else 0.0


def kinto_python(environment: Path = KINTO) -> Path:
    """The Python that has Kinto.

    Raises:
        BenchError: its environment wasn't made.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        raise BenchError(f"Kinto isn't installed in {environment}: make bench does that")
    return python


def kinto_versions(environment: Path = KINTO) -> dict[str, str]:
    """The versions of what Kinto runs with, by package."""
    places = [str(folder) for folder in environment.glob("lib/*/site-packages")]
    return {
        name: found.version
        for name in ("kinto", "pyramid", "SQLAlchemy", "psycopg2-binary")
        for found in Distribution.discover(name=name, path=places)
    }
