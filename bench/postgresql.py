"""A PostgreSQL of our own: in a temporary folder, on a socket there, as long as it is needed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.prerequisites import BenchError, postgresql_programs

USER = "postgres"
"""Who runs it where we are root, as whom PostgreSQL refuses to run: Debian's package has them."""

_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
timezone = 'UTC'
"""


@contextmanager
def postgresql() -> Iterator[str]:
    """Run an empty server; gives the address of its database, as SQLAlchemy reads it.

    Raises:
        BenchError: PostgreSQL isn't installed, or didn't start.
    """
    programs = postgresql_programs()
    with TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "data"
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        _run(
            *(programs / "initdb", "--pgdata", data, "--username", USER),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C"),
        )
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS.format(folder=folder))
        _run(programs / "pg_ctl", "start", "--pgdata", data, "--log", folder / "log", "--wait")
        try:
            yield f"postgresql://{USER}@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "stop", "--pgdata", data, "--mode", "immediate")


def _run(*command: str | Path) -> None:
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = {"user": USER, "group": USER, "extra_groups": []}
    # The server inherits its output, so a pipe would stay open as long as it runs.
    done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/", check=False, **other)  # noqa: S603
    if done.returncode:
        raise BenchError(f"PostgreSQL's {Path(command[0]).name} failed, as it tells above")
