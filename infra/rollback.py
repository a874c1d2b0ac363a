"""Going back to an earlier release: `python -m infra.rollback prod`.

From the environment: RELEASE is the release to go back to, or the beginning of its name (its time);
without it, it is the one before what runs. SHOW=1 tells which there are, and changes nothing. Where
a deployment ended halfway, what runs is no release, and RELEASE names the last one.

The functions go back: code and architecture, variables, memory, time, runtime, role, layers,
network, tracing and disk. What is around them doesn't: policies, sources of events, the API,
tables, queues and alarms. To take these back as well, `git checkout` the commit of then, and
deploy. What was stopped is run again, with RELEASE.
"""

import os
import sys

import boto3

from infra.deploy import ERRORS, check_service
from infra.releases import Releases
from infra.stages import Stage

_STAYS = (
    "policies, sources of events, the API, tables, queues and alarms stay as they are; git checkout"
    " and make deploy take them back, too"
)


def main(name: str = "") -> int:
    """Go back, and ask the service whether all is well; gives the exit status."""
    try:
        stage = Stage.read(name)
        releases = Releases(stage, boto3.client("lambda"))
        if os.environ.get("SHOW") == "1":
            return _show(releases)
        release = releases.chosen(os.environ.get("RELEASE") or None)
        print(f"going back to {release}\n{_STAYS}", flush=True)
        for function in releases.go_back(release):
            print(f"{function} is as in {release}", flush=True)
        print(f"all functions are as in {release}", flush=True)
        for line in check_service(stage):
            print(line)
    except ERRORS as error:
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
