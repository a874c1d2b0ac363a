"""What these tests run on: moto in this process, or one local server for all of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.conformance.scenarios import DEFAULTS
from tests.doubles import clock
from tests.shared_moto import dynamo, moto_tables

__all__ = ["clock", "dynamo", "moto_tables"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a server as its user starts it, that keeps nothing; without `/v1`."""
    environment = {name: it for name, it in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "infra.serve"],
        cwd=tmp_path_factory.mktemp("served"),
        env={**environment, "PYTHONPATH": str(ROOT), "PORT": "0", "EPHEMERAL": "1", **DEFAULTS},
        stdout=subprocess.PIPE,
    )
    with process, open(os.devnull, "wb") as nowhere:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, b"")
            ready = next(line.decode() for line in lines if line.startswith(b"Serving on "))
            # It logs every request, and would wait for whoever doesn't read.
            reader = Thread(target=shutil.copyfileobj, args=(process.stdout, nowhere), daemon=True)
            reader.start()
            yield ready.removeprefix("Serving on ").strip().removesuffix("/v1/")
        finally:
            process.terminate()
            process.wait(30)
        reader.join()
