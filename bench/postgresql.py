"""A PostgreSQL of our own: in a temporary folder, on loopback, as long as it is needed.

It is asked over TCP, as the emulator is, and as a database on another host would be.
"""

import os
import secrets
import shutil
import socket
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
listen_addresses = '127.0.0.1'
port = {port}
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
        password, port = secrets.token_hex(), _free_port()
        (folder / "password").write_text(password)
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        _run(
            *(programs / "initdb", "--pgdata", data, "--username", USER),
            *("--pwfile", folder / "password", "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C"),
        )
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS.format(folder=folder, port=port))
        _run(programs / "pg_ctl", "start", "--pgdata", data, "--log", folder / "log", "--wait")
        try:
            yield f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "stop", "--pgdata", data, "--mode", "immediate")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(*command: str | Path) -> None:
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = {"user": USER, "group": USER, "extra_groups": []}
    # The server inherits its output, so a pipe would stay open as long as it runs.
    done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/", check=False, **other)  # noqa: S603
    if done.returncode:
        raise BenchError(f"PostgreSQL's {Path(command[0]).name} failed, as it tells above")
