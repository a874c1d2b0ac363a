"""Whether a deployed service answers, and its functions are called."""

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from infra.event_sources import EventSources

PATIENCE_S = 30.0
"""API Gateway and IAM take some seconds until all of their hosts know what is new."""

_POLL_S = 2.0
_TIMEOUT_S = 35.0
_GATEWAY = re.compile(r"apigateway(?:-fips)?\.(?P<rest>.+)")


class CheckError(Exception):
    """The service doesn't answer as it should; says what it answered."""


def url_of(api_id: str, gateway_stage: str, endpoint_url: str) -> str:
    """Where an API is.

    Args:
        api_id: names it.
        gateway_stage: the first element of its paths.
        endpoint_url: of the service API Gateway: AWS's, or an emulator's.
    """
    host = urlsplit(endpoint_url).hostname or ""
    if gateway := _GATEWAY.fullmatch(host):
        return f"https://{api_id}.execute-api.{gateway['rest']}/{gateway_stage}"
    return f"{endpoint_url}/_aws/execute-api/{api_id}/{gateway_stage}"


def check(url: str, patience_s: float = PATIENCE_S) -> str:
    """Ask the service whether its parts work; gives a line to print.

    Args:
        url: of the API, without `/v1`.
        patience_s: how long it is asked again where it doesn't answer well.

    Raises:
        CheckError: it didn't answer well in this time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        status, body = _answer(f"{url}/v1/__heartbeat__")
        if status == 200:
            return f"{url}/v1/ answers, and its tables work"
        if time.monotonic() > deadline:
            raise CheckError(f"{url}/v1/__heartbeat__ answers {status}: {json.dumps(body)}")
        time.sleep(_POLL_S)


def check_sources(sources: EventSources, stream_arn: str) -> str:
    """See whether Lambda reads all that functions are called for; gives a line to print.

    Args:
        sources: of the stage; they say how long a mapping may be in between.
        stream_arn: of the table's stream.

    Raises:
        CheckError: something isn't read; what, and why.
    """
    deadline = time.monotonic() + sources.patience_s
    while faults := sources.faults(stream_arn):
        if time.monotonic() > deadline:
            raise CheckError("; ".join(faults))
        time.sleep(_POLL_S)
    return "the stream and the queues are read"


def _answer(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # ours
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _parsed(error.read())
    except OSError as error:
        return 0, str(error)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace")
