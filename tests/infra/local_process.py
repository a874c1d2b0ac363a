"""The local server as its user starts it: a process, with an application that stands in."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in")


class LocalProcess:
    """`python -m infra.serve` in a folder, which is where its data are kept."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """Start it, on any free port unless PORT is given."""
        inherited = {name: it for name, it in os.environ.items() if not name.startswith("AWS_")}
        first = environment.pop("FIRST_PATH", None)
        path = [first] if first else []
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "infra.serve"],
            cwd=folder,
            env={
                **inherited,
                "PORT": "0",
                "PYTHONPATH": os.pathsep.join([*path, str(STAND_IN), str(ROOT)]),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = 0
        self.aws = ""

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), self.end()
        self.port = int(line.split(":")[2].partition("/")[0])
        self.aws = self._process.stdout.readline()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        connection = self.connect()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; gives exit status, what it printed, and what to stderr."""
        output, errors = self._process.communicate(timeout=60)
        return self._process.returncode, output, errors

    def kill(self) -> None:
        self._process.kill()
        self.end()


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[LocalProcess]:
    """A server that is ready. At the end it is stopped gently, if it wasn't."""
    process = LocalProcess(folder, **environment)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.send(signal.SIGTERM)
        process.end()


def refused(folder: Path, **environment: str) -> str:
    """What a server that doesn't start says, which is one line."""
    status, output, errors = LocalProcess(folder, **environment).end()
    assert (status, output) == (1, "")
    assert errors.count("\n") == 1
    return errors
