"""Chalice's commands, with packages of what functions need alone, and the same at each time.

`python -m infra.chalice_command deploy --stage prod` is `chalice deploy --stage prod`, but for the
zip: what requirements.txt doesn't name stays out (it names all that Lambda lacks: botocore, pip
and others would come along as dependencies), tests of libraries too; and its bytes depend on the
contents alone, not on the order of folders or the umask of the machine.
"""

import os
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

from chalice.cli import main
from chalice.deploy.packager import BaseLambdaDeploymentPackager
from chalice.utils import ChaliceZipFile, OSUtils

NOT_SHIPPED = {"__pycache__", "test", "tests"}
"""Names of folders that nothing imports from on Lambda."""

_MODE = 0o100644 << 16

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


def _deployment_package_filename(
    packager: BaseLambdaDeploymentPackager, project: str, version: str, prefix: str = ""
) -> str:
    """Where the package is kept: not where plain `chalice` looks for what it made of the same."""
    return _filename_there(packager, project, version, f"{prefix}lean-")


if __name__ == "__main__":
    os.environ["PIP_NO_DEPS"] = "1"
    # Chalice has no way to be told.
    for kind, replacement in (
        (OSUtils, walk),
        (ChaliceZipFile, _create_zipinfo),
        (BaseLambdaDeploymentPackager, _deployment_package_filename),
    ):
        setattr(kind, replacement.__name__, replacement)
    sys.exit(main())
