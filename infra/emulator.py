"""The embedded emulator of DynamoDB, its streams and SQS: ministack, as a child process.

It saves its data only when it ends gently, so it ends by itself as soon as its standard input
does: when we close it, and when we are killed. Its own session keeps Ctrl-C away from it.
"""

import fcntl
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

CHILD = Path(__file__).with_name("emulator_child.py")
SERVICES = "dynamodb,dynamodbstreams,sqs,cloudformation,events,secretsmanager,ssm"
DEPLOYED_SERVICES = f"{SERVICES},apigateway,iam,lambda,logs,monitoring,s3,sns,sts"
ROOT_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
"""For clients of boto3: the account's own keys, which an emulator that deploys asks for."""

_START_S = 60.0
_END_S = 60.0
_LOCK_S = 5.0
_POLL_S = 0.05
_COMPLAINT = re.compile("(ERROR|WARNING) .*(persist|lifespan).*", re.IGNORECASE)
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH")


class EmulatorError(Exception):
    """The emulator can't start, or couldn't save its data; says why in one line."""


@contextmanager
def emulator(
    data_folder: Path | None, port: int | None = None, *, deploys: bool = False
) -> Iterator[str]:
    """Run the emulator, on loopback only; gives its URL.

    Args:
        data_folder: where its data are kept; None keeps nothing.
        port: to listen on; any free one where it is None.
        deploys: whether functions and an API can be deployed. Roles are heeded then: a function
            may do what its policies allow, and others need `ROOT_KEYS`.

    Raises:
        EmulatorError: another server uses the folder, what is in it can't be read (and is left as
            it is), or the emulator didn't start; at the end: it couldn't save its data.
        ModuleNotFoundError: ministack isn't installed.
    """
    if importlib.util.find_spec("ministack") is None:
        raise ModuleNotFoundError("No module named 'ministack'", name="ministack")
    with ExitStack() as stack:
        folder = data_folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lock = stack.enter_context(_locked(folder.absolute()))
        check_state(_state_folder(folder))
        port = port or _free_port()
        environment = _environment(folder.absolute(), port, persists=data_folder is not None)
        if deploys:
            environment |= {"SERVICES": DEPLOYED_SERVICES, "AUTH": "true"}
        process = _start(folder.absolute(), environment, lock)
        _wait_until_ready(process, port, folder)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process, _log(folder))


def check_state(folder: Path) -> None:
    """Refuse data that the emulator couldn't read: it would start empty, and overwrite them.

    Raises:
        EmulatorError: names the file.
    """
    for path in sorted(folder.glob("*.json")):
        if not _is_intact(path):
            raise EmulatorError(
                f"{path} can't be read, and stays as it is: restore it, or move it away"
            )


def _is_intact(path: Path) -> bool:
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return (
        isinstance(state, dict)
        and isinstance(state.get("__ministack_format__"), int)
        and isinstance(state.get("payload"), dict)
    )


def _state_folder(folder: Path) -> Path:
    return folder / "state"


def _log(folder: Path) -> Path:
    return folder / "emulator.log"


@contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes]]:
    """Hold the folder. The child holds the same lock, until its data are saved."""
    try:
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("wb")
    except OSError as error:
        raise EmulatorError(f"{folder} can't be written to: {error.strerror}") from error
    with file:
        _lock(file, folder)
        yield file


def _lock(file: IO[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_S  # the child of a killed server may still be saving
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise EmulatorError(f"{folder} is in use by another server") from error
            time.sleep(_POLL_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(folder: Path, port: int, *, persists: bool) -> dict[str, str]:
    # Of our own environment only what Python needs: a stray variable may reconfigure ministack.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": SERVICES,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "TMPDIR": str(folder / "tmp"),
        "PERSIST_STATE": "1" if persists else "0",
        "STATE_DIR": str(_state_folder(folder)),
        # There is no such socket: or ministack would remove containers of others at its start.
        "DOCKER_HOST": f"unix://{folder}/no-docker",
    }


def _start(folder: Path, environment: dict[str, str], lock: IO[bytes]) -> "subprocess.Popen[bytes]":
    with _log(folder).open("wb") as log:
        return subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-P", str(CHILD)],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    try:
        _wait_until_healthy(process, port, folder)
        if complaint := _complaint(_log(folder)):
            raise EmulatorError(f"the emulator can't read its data, which stay: {complaint}")
    except BaseException:
        _kill(process)  # ended gently it would overwrite the data that it hasn't read
        raise


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not (_has_begun(process, port, folder) and _is_healthy(port)):
        if process.poll() is not None:
            raise EmulatorError(f"the emulator ended at its start: {_last_lines(_log(folder))}")
        if time.monotonic() > deadline:
            raise EmulatorError(f"the emulator isn't ready after {_START_S:.0f} s")
        time.sleep(_POLL_S)


def _has_begun(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> bool:
    """Whether it is this process that will answer: it says so once it has found the port free."""
    file = folder / "tmp" / f"ministack-{port}.pid"
    return file.exists() and file.read_text() == str(process.pid)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]", log: Path) -> None:
    try:
        process.communicate(timeout=_END_S)  # which closes its standard input
    except subprocess.TimeoutExpired as error:
        _kill(process)
        raise EmulatorError("the emulator didn't end: what was written is lost") from error
    if process.returncode not in (0, -signal.SIGTERM):
        raise EmulatorError(f"the emulator ended, what was written is lost: {_last_lines(log)}")
    if complaint := _complaint(log):
        raise EmulatorError(f"the emulator couldn't save its data: {complaint}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def _complaint(log: Path) -> str | None:
    """What the emulator logged about its data: it goes on as if nothing had happened."""
    found = _COMPLAINT.search(log.read_text(errors="replace"))
    return found and found[0]


def _last_lines(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").split("\n")[-4:]).strip(" |") or "no output"
