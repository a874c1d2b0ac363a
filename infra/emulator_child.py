"""What runs in the emulator's process: ministack, until the standard input ends.

The parent holds the other end of it, and lets go of it when it ends, however it does. Where
functions are to run, ministack is corrected in what would make them run otherwise than on AWS.
"""

import os
import signal
import sys
import tempfile
import threading
import time
import types
import zipfile
from pathlib import Path
from typing import Any

_GROUPS_AT_ONCE = 32
_BATCHES = ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
_unpacking = threading.Lock()


def _end_with_parent() -> None:
    os.read(0, 1)  # gives nothing at its end, which is all that ever comes
    # With us the processes of functions, in our group: they would go on until their time is over.
    end = os.killpg if os.getpgrp() == os.getpid() else os.kill
    while True:  # once more if it was swallowed: before the data are loaded, SIGTERM just ends us
        end(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def _run_groups_in_parallel() -> None:
    """Have FIFO queues hand over one message of each group at a time, not one in all.

    ministack is serial because a batch may span groups. One of a single message doesn't, and it
    receives none of a group of which it has one in flight.
    """
    from ministack.services import lambda_svc

    at_once = lambda_svc._sqs_esm_concurrency

    def groups_at_once(esm: Any, function: Any, config: Any, queue: Any = None) -> Any:
        if esm.get("BatchSize") != 1 or not (queue or {}).get("is_fifo"):
            return at_once(esm, function, config, queue)
        of_mapping = (esm.get("ScalingConfig") or {}).get("MaximumConcurrency")
        of_function = lambda_svc._reserved_concurrency(function, config)
        return min(it for it in (_GROUPS_AT_ONCE, of_mapping, of_function) if it is not None)

    lambda_svc._sqs_esm_concurrency = groups_at_once


def _tell_the_domain() -> None:
    """Have requests' events tell the domain that was asked, as API Gateway's do."""
    from ministack.services import apigateway_v1

    build = apigateway_v1._build_lambda_event_v1

    def with_domain(*given: Any, **named: Any) -> Any:
        event = build(*given, **named)
        host = event["headers"].get("host", "")
        event["requestContext"]["domainName"] = host.partition(":")[0]
        return event

    apigateway_v1._build_lambda_event_v1 = with_domain


def _authorize_batches() -> None:
    """Have batches of messages authorized as AWS does: as the action on one.

    There is no action of IAM by these calls' own names.
    """
    from ministack.core import iam_actions

    find = iam_actions._action_from_target

    def of_one(headers: Any) -> Any:
        action = find(headers)
        return action.removesuffix("Batch") if action in _BATCHES else action

    iam_actions._action_from_target = of_one


class _UnpackedOnce(zipfile.ZipFile):
    """An archive that is unpacked once, with links to it in the places that it is wanted in."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Have this folder, which is empty, lead to the contents."""
        contents = hash(tuple((file.filename, file.CRC) for file in self.infolist()))
        folder = Path(tempfile.gettempdir(), f"unpacked-{contents:x}")
        with _unpacking:
            if not folder.exists():
                super().extractall(folder)
        Path(path).rmdir()
        Path(path).symlink_to(folder)


def _start_workers_sooner() -> None:
    """Have the processes of functions share their code, and what Python compiled of it.

    ministack unpacks the archive, thousands of files, for each; AWS has that ready.
    """
    from ministack.core import lambda_runtime

    shared = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": _UnpackedOnce})
    lambda_runtime.zipfile = shared


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ministack.app import main

    if "lambda" in os.environ["SERVICES"].split(","):
        _run_groups_in_parallel()
        _tell_the_domain()
        _authorize_batches()
        _start_workers_sooner()
    sys.argv[1:] = []
    main()
