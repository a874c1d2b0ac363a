"""Tell which version this is, as JSON: `make version`.

The version is declared in pyproject.toml alone. The commit is that of the clone; null where this
is none, as in an unpacked archive.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

_WRITTEN = ":(exclude).chalice/config.json"


def version_of(root: Path) -> dict[str, Any]:
    """Name, version and commit of what is in this folder."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return {"name": project["name"], "version": project["version"], "commit": _commit_of(root)}


def deployed_commit(root: Path) -> str | None:
    """The commit, with `-dirty` where files differ from it; None where it isn't known.

    The stream in Chalice's configuration, which deploying writes there, doesn't make it another.
    """
    commit = _commit_of(root)
    if commit is None:
        return None
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", _WRITTEN]
    changed = subprocess.run(  # noqa: S603  # git, with arguments of ours alone
        command, cwd=root, capture_output=True, text=True, check=True
    ).stdout
    return f"{commit}-dirty" if changed else commit


def _commit_of(root: Path) -> str | None:
    """The commit that is checked out there; None where the folder is no clone, or git is not."""
    command = ["git", "rev-parse", "--show-prefix", "HEAD"]
    try:
        answer = subprocess.run(  # noqa: S603  # git, with arguments of ours alone
            command, cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    prefix, commit = answer.stdout.splitlines()
    return None if prefix else commit  # with a prefix, it is that of a clone around this folder


def main() -> int:
    """Print it."""
    print(json.dumps(version_of(ROOT)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
