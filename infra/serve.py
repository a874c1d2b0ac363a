"""The local server: `python -m infra.serve`.

From the environment: PORT (8888; 0 takes any free one); EPHEMERAL=1 keeps nothing, or else the
data are in `.local/`; AWS_ENDPOINT_URL names a DynamoDB, with its streams and SQS, to be used in
the place of the embedded emulator; and every KINTO_ setting.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from chalicelib.settings import Settings, SettingsError
from infra.emulator import EmulatorError, emulator

if TYPE_CHECKING:  # exit_status() names what isn't installed
    from infra.server import LocalServer

DATA_FOLDER = Path(".local")
CONFIG = Path(__file__).parents[1] / ".chalice" / "config.json"

_LAST_REQUESTS_S = 10.0
_REACHED_BY = (
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)


class StartError(Exception):
    """Why the server can't start, in one line."""


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; gives the exit status."""
    return exit_status(_serve)


def exit_status(serve: Callable[[], None]) -> int:
    """What this ends with; tells in a line why it can't."""
    try:
        serve()
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        why = f"the Python module {error.name} is missing: `make serve` installs it"
    except (StartError, SettingsError, EmulatorError) as error:
        why = str(error)
    else:
        return 0
    print(f"kinto-serverless: {why}", file=sys.stderr)
    return 1


def _serve() -> None:
    # Imported here, so that exit_status() can name what isn't installed; the application last, as
    # it reads the environment.
    from chalice.config import Config

    from infra.gateway import local_gateway

    stage = Settings.from_environment(os.environ).stage
    keeps = _keeps_data()
    with listening() as server, aws(keeps=keeps) as way:
        _create_tables(stage)
        import app

        config = json.loads(CONFIG.read_text(encoding="utf-8"))
        server.start(local_gateway(app.app, Config(stage, config_from_disk=config)))
        with _pumping(stage, app, DATA_FOLDER / "positions" if keeps else None):
            serve_until_signal(server, way)


def listening() -> "LocalServer":
    """A server at the port that the environment tells.

    Raises:
        StartError: it is none, or in use.
    """
    from infra.server import LocalServer

    text = os.environ.get("PORT") or "8888"
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise StartError(f"PORT={text!r} is not a port")
    try:
        return LocalServer(int(text))
    except OSError as error:
        raise StartError(f"port {text} can't be used: {error.strerror}") from error


def _keeps_data() -> bool:
    text = os.environ.get("EPHEMERAL") or "0"
    if text not in ("0", "1"):
        raise StartError(f"EPHEMERAL={text!r} is neither 1 nor 0")
    return text == "0"


@contextmanager
def aws(*, keeps: bool) -> Iterator[str]:
    """Have the environment lead to AWS's services: where it does already, or to an emulator.

    Gives what leads another program there.
    """
    if url := os.environ.get("AWS_ENDPOINT_URL"):
        yield f"AWS_ENDPOINT_URL={url}"
        return
    with emulator(DATA_FOLDER if keeps else None) as url:
        yield lead_to(url, "local")


def lead_to(url: str, key: str) -> str:
    """Have the environment lead to an emulator, and nowhere else; gives what leads others there.

    Args:
        url: of the emulator.
        key: both the id of the access key and its secret.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # a profile, a token, an endpoint of a single service
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "no_proxy": ",".join([*_proxy_exceptions(), "127.0.0.1"]),
    }
    return " ".join(f"{name}={os.environ[name]}" for name in _REACHED_BY)


def _proxy_exceptions() -> list[str]:
    text = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    return [text] if text else []


def _create_tables(stage: str) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.tables import create_tables

    impatient = Config(connect_timeout=2, retries={"total_max_attempts": 2})
    try:
        create_tables(boto3.client("dynamodb", config=impatient), stage)
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"the tables can't be created: {error}") from error


def _pumping(stage: str, app: ModuleType, folder: Path | None) -> AbstractContextManager[None]:
    """A pump that runs; nothing, but for a warning, where there is nothing to pump from."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    from infra.pump import QUEUES, Clients, Pump, in_one_line, tell
    from infra.queues import create_queues
    from infra.stream import NoStreamError

    clients = Clients.connect()
    of_queues = {name: getattr(app, name) for name in QUEUES}
    pump = Pump(stage, app.changes, of_queues, clients=clients, folder=folder)
    try:
        create_queues(clients.sqs, stage)
        pump.check()
    # What isn't SQS may answer anything.
    except (BotoCoreError, ClientError, ResponseParserError, NoStreamError) as error:
        tell(f"without stream or queues, so that nothing follows a change: {in_one_line(error)}")
        return nullcontext()
    return pump.running()


def serve_until_signal(server: "LocalServer", way: str) -> None:
    """Say that we are ready, wait for Ctrl-C or SIGTERM, and finish what was asked before.

    Args:
        server: that has started.
        way: what leads other programs to the services of AWS.
    """
    end, begin = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):  # later ones change nothing
        signal.signal(number, lambda *_: os.write(begin, b"."))
    print(f"Serving on {server.url}\nAWS services: {way}", flush=True)
    os.read(end, 1)
    if cut_off := server.stop(_LAST_REQUESTS_S):
        print(f"kinto-serverless: {cut_off} requests were cut off", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
