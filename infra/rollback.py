"""Going back to an earlier release: `python -m infra.rollback prod`.

From the environment: RELEASE is the release to go back to, or the beginning of its name (its time);
without it, it is the one before what runs. SHOW=1 tells which there are, and changes nothing.
The functions go back, their code and their settings; tables, queues and alarms don't.
"""

import os
import sys

import boto3

from infra.deploy import ERRORS, check_service
from infra.releases import ReleaseError, Releases
from infra.stages import Stage


def main(name: str = "") -> int:
    """Go back, and ask the service whether all is well; gives the exit status."""
    try:
        stage = Stage.read(name)
        releases = Releases(stage, boto3.client("lambda"))
        if os.environ.get("SHOW") == "1":
            return _show(releases)
        release, changed = releases.rollback(os.environ.get("RELEASE") or None)
        for function in changed:
            print(f"{function} is as in {release}", flush=True)
        if not changed:
            print(f"all functions are as in {release}", flush=True)
        for line in check_service(stage):
            print(line)
    except (ReleaseError, *ERRORS) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def _show(releases: Releases) -> int:
    current = releases.current()
    for release in releases.names():
        print(f"{release} (runs)" if release == current else release)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
