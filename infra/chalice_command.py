"""Chalice's commands, with what it has no way to be told.

`python -m infra.chalice_command prod deploy` is `chalice deploy --stage prod`, but for:

- The package. What requirements.txt doesn't name stays out (it names all that Lambda lacks:
  botocore, pip and others would come along as dependencies), tests of libraries too. Bytecode is
  in it, which functions can't keep. Its bytes depend on the contents alone, not on the order of
  folders or the umask of the machine.
- The definition of the API. It has the gateway's own answers, which Chalice would overwrite.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import chalice.cli
from chalice.deploy.packager import BaseLambdaDeploymentPackager
from chalice.deploy.swagger import SwaggerGenerator
from chalice.utils import ChaliceZipFile, OSUtils

from infra.api_gateway import Gateway
from infra.stages import Stage

NOT_SHIPPED = {"__pycache__", "cffi", "pycparser", "test", "tests"}
"""Names of folders that nothing imports from on Lambda: cryptography needs cffi's binary alone."""

CODE_ON_LAMBDA = "/var/task"
"""Where a function's package is."""

COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
"""To bytecode that isn't compared with its source: that never changes there, but in its time."""

_MODE = 0o100644 << 16

_definition = SwaggerGenerator.generate_swagger
_add_sources = BaseLambdaDeploymentPackager._add_app_files
_filename_there = BaseLambdaDeploymentPackager._deployment_package_filename
_zipinfo_here = ChaliceZipFile._create_zipinfo


def walk(
    _files: OSUtils, path: str, followlinks: bool = False
) -> Iterator[tuple[str, list[str], list[str]]]:
    """What is in a folder, as `os.walk` gives it, in order and without what isn't shipped."""
    for folder, folders, files in os.walk(path, followlinks=followlinks):
        folders[:] = sorted(set(folders) - NOT_SHIPPED)
        yield folder, folders, sorted(files)


def _create_zipinfo(archive: ChaliceZipFile, *given: Any, **named: Any) -> zipfile.ZipInfo:
    """What the archive tells of a file: never the mode that it has here."""
    info = _zipinfo_here(archive, *given, **named)
    info.external_attr = _MODE
    return info


def _add_app_files(
    packager: BaseLambdaDeploymentPackager, archive: ChaliceZipFile, project: str
) -> None:
    """Our own modules, and the bytecode of all: Lambda would compile them at each cold start.

    A process of its own compiles, and one that loads nothing beside, as what a process has done
    before shows in the bytes.
    """
    _add_sources(packager, archive, project)
    with TemporaryDirectory() as folder:
        archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".py")])
        places = ["-s", folder, "-p", CODE_ON_LAMBDA, folder]
        subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-I", "-S", *COMPILE, *places],
            check=True,
        )
        for compiled in sorted(Path(folder).rglob("*.pyc")):
            archive.write(compiled, compiled.relative_to(folder))


def _deployment_package_filename(
    packager: BaseLambdaDeploymentPackager, project: str, version: str, prefix: str = ""
) -> str:
    """Where the package is kept: not where plain `chalice` looks for what it made of the same."""
    return _filename_there(packager, project, version, f"{prefix}compiled-")


def main(stage: str, command: str, *arguments: str) -> NoReturn:
    """Run a command of Chalice for a stage, in the project's folder, and exit with its status."""
    config = Stage.read(stage, Path(".chalice/config.json")).config
    answers = Gateway.of_stage(config, stage).answers

    def generate_swagger(generator: SwaggerGenerator, *given: Any) -> dict[str, Any]:
        definition: dict[str, Any] = _definition(generator, *given)
        return definition | {"x-amazon-apigateway-gateway-responses": answers}

    for kind, replacement in (
        (OSUtils, walk),
        (ChaliceZipFile, _create_zipinfo),
        (BaseLambdaDeploymentPackager, _add_app_files),
        (BaseLambdaDeploymentPackager, _deployment_package_filename),
        (SwaggerGenerator, generate_swagger),
    ):
        setattr(kind, replacement.__name__, replacement)
    os.environ["PIP_NO_DEPS"] = "1"
    sys.argv[1:] = [command, "--stage", stage, *arguments]
    sys.exit(chalice.cli.main())


if __name__ == "__main__":
    main(*sys.argv[1:])
