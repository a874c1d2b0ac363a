"""Packaging the application: `python -m infra.packaging prod build/prod`.

For pipelines of CloudFormation or, with FORMAT=terraform in the environment, of Terraform: a zip of
the code, the same for the same sources, requirements and version of Python, which is what the
functions run on, and a template. The data and operations stacks come before it, from their own
templates.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infra.stages import ROOT, Stage, StageError
from infra.template import ANY_STREAM, of_cloudformation, of_terraform

SHIPPED = ("app.py", "chalicelib", "requirements.txt", ".chalice")

ARCHIVE = "deployment.zip"

BUILD = ROOT / ".local" / "package"
"""Where wheels are kept."""

_NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "deployed", "deployments")


HERE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
"""The architecture of this machine, as Lambda calls it: what an emulator on it can run."""


class PackageError(Exception):
    """The application can't be packaged; says why."""


class Format(NamedTuple):
    """What a package is for.

    Attributes:
        template: the name of the file.
        finish: makes whole what Chalice wrote there.
    """

    template: str
    finish: Callable[[Mapping[str, Any], Stage], dict[str, Any]]


FORMATS = {
    "cloudformation": Format("sam.json", of_cloudformation),
    "terraform": Format("chalice.tf.json", of_terraform),
}
"""By Chalice's names."""


def main(stage: str = "", out: str = "") -> int:
    """Package this stage into a folder, and tell the size; gives the exit status."""
    try:
        format = os.environ.get("FORMAT") or "cloudformation"
        if format not in FORMATS:
            raise PackageError(f"FORMAT={format} is none of {', '.join(FORMATS)}")
        folder = Path(out or f"build/{stage}")
        package(folder, stage, build=BUILD, format=format)
    except (PackageError, StageError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    size = (folder / ARCHIVE).stat().st_size
    print(f"{folder / ARCHIVE}: {size / 1_000_000:.1f} MB\n{folder / FORMATS[format].template}")
    return 0


def package(
    out: Path,
    stage: str,
    *,
    build: Path,
    format: str = "cloudformation",
    architecture: str | None = None,
) -> Path:
    """Package what ships for a stage of `.chalice/config.json`; gives `out`, with template and zip.

    Args:
        out: the folder to write to.
        stage: whose policies and settings it has.
        build: a folder that is kept: as long as the requirements are the same, the wheels in it
            are used again. Others that use it meanwhile are waited for.
        format: of FORMATS.
        architecture: of the processor, as Lambda calls it; the configured one where it is None.

    Raises:
        StageError: there is no such stage.
        PackageError: Chalice can't: it says what Chalice says.
    """
    with _locked(build):
        _copy_shipped(build)
        configured = build / ".chalice" / "config.json"
        packaged = Stage.read(stage, configured)
        packaged.set_stream(ANY_STREAM)
        if architecture is not None:
            packaged.config["lambda_architecture"] = architecture
        packaged.write(configured)
        _run_chalice([stage, "package", "--pkg-format", format, str(out.absolute())], build)
    file, finish = out / FORMATS[format].template, FORMATS[format].finish
    template = finish(json.loads(file.read_text(encoding="utf-8")), packaged)
    file.write_text(json.dumps(template, indent=2) + "\n", encoding="utf-8")
    return out


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy_shipped(build: Path) -> None:
    shutil.rmtree(build / "chalicelib", ignore_errors=True)  # what it has no more, mustn't ship
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, build / name, ignore=_NOT_SHIPPED, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, build / name)


def _run_chalice(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "infra.chalice_command", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PackageError(f"chalice package: {done.stdout}{done.stderr}".strip())


def _environment() -> dict[str, str]:
    """Our own, but for what would change what is packaged, or measure the coverage of a copy."""
    others = ("AWS_", "COVERAGE_", "KINTO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
