"""What the page was measured on: the machine, the commit, and the versions of everything."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.prerequisites import kinto_versions, postgresql_programs
from infra.version import ROOT, deployed_commit

OURS = ("chalice", "pynamodb", "botocore", "ministack")


def facts() -> dict[str, str]:
    """What stands at the head of the page, by name.

    Raises:
        BenchError: PostgreSQL isn't there.
    """
    return {
        "by": "`make bench`, in one run",
        "commit": deployed_commit(ROOT) or "unknown, as this is no clone",
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, {platform.machine()}",
        "Python": platform.python_version(),
        "ours": _listed({name: version(name) for name in OURS}),
        "Kinto's": _listed(kinto_versions()),
        "PostgreSQL": _postgresql_version(),
    }


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _postgresql_version() -> str:
    command = [str(postgresql_programs() / "postgres"), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return answer.stdout.split()[2]


def _cpu_model(cpus: Path = Path("/proc/cpuinfo")) -> str:
    """As Linux tells it; elsewhere what Python knows of it."""
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown CPU"
