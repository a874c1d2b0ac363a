"""The application as it ships, to be tried: `python -m infra.serve_deployed BUILD`.

It is packaged, and deployed to an emulator of its own, of which nothing is kept. From the
environment: PORT (8888; 0 takes any free one), and what the functions are told: every KINTO_
setting, but for the stage. BUILD is a folder in which wheels are kept for the next time.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from chalicelib.settings import PREFIX
from infra.emulator import ROOT_KEYS, emulator
from infra.serve import StartError, exit_status, lead_to, listening, serve_until_signal

if TYPE_CHECKING:  # exit_status() names what isn't installed
    from infra.packaged import Deployment

STAGE = "dev"

LIMIT_BYTES = 4096
"""What Lambda takes of a function's variables, as JSON."""

_OF_THE_DEPLOYMENT = ("KINTO_STAGE", "KINTO_OBJECTS_STREAM_ARN")
_TO_TRY = {"KINTO_USERID_HMAC_SECRET": "known to everybody"}


def main(build: str) -> int:
    """Serve until Ctrl-C or SIGTERM; gives the exit status."""
    signal.signal(signal.SIGTERM, _leave)
    # Also where a shell runs this in the background: it has Ctrl-C ignored then.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return exit_status(partial(_serve, Path(build)))


def _leave(*_: object) -> None:
    """End what was begun before, as Ctrl-C does."""
    sys.exit(128 + signal.SIGTERM)


def _serve(build: Path) -> None:
    from infra.proxy import DeployedGateway

    with (
        listening() as server,
        TemporaryDirectory() as package,
        emulator(None, deploys=True) as url,
    ):
        way = lead_to(url, ROOT_KEYS["aws_access_key_id"])
        variables = _variables()
        _package(Path(package), build)
        _check_size(Path(package), variables)
        server.start(DeployedGateway(_deploy(url, Path(package), variables), url))
        serve_until_signal(server, way)


def _variables() -> dict[str, str]:
    """What the functions are told, once they could start with it."""
    from chalicelib.wiring import application_from_environment

    for name in _OF_THE_DEPLOYMENT:
        os.environ.pop(name, None)
    application_from_environment()
    told = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return _TO_TRY | told


def _package(folder: Path, build: Path) -> None:
    from infra.packaging import HERE, PackageError, package

    print("Packaging; the first time, wheels are fetched", flush=True)
    try:
        package(folder, STAGE, build=build, architecture=HERE)
    except PackageError as error:
        raise StartError(" ".join(str(error).split())) from error


def _check_size(package: Path, variables: Mapping[str, str]) -> None:
    """Refuse variables that Lambda would: with those of the template they have a limit."""
    from infra.packaged import TEMPLATE

    template = json.loads((package / TEMPLATE).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            told = resource["Properties"]["Environment"]["Variables"] | variables
            size = len(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode())
            if size > LIMIT_BYTES:
                raise StartError(
                    f"the settings have {size} bytes, and functions take {LIMIT_BYTES}"
                )


def _deploy(url: str, package: Path, variables: Mapping[str, str]) -> "Deployment":
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.packaged import Clients, deploy

    print("Deploying to an emulator", flush=True)
    try:
        return deploy(Clients.connect(url), STAGE, package, variables)
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"the package can't be deployed: {error}") from error


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
