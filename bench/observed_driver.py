"""The function `api` as on Lambda, observed or not: `python -m bench.observed_driver`.

A request is the event that API Gateway sends, and beside it how it is to be observed.
"""

import os
from typing import Any, Final

from bench.driving import drive, separate_output
from bench.handler_driver import Context

OBSERVED: Final = "observed"
"""The member of an event with one of the following."""

NOT: Final = "not"
LOGGED: Final = "logged"
TRACED: Final = "traced"

_TRACE: Final = "_X_AMZN_TRACE_ID"
_HEADER: Final = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def main() -> None:
    """Start as a container does, and serve."""
    answers = separate_output()
    from app import app
    from chalicelib.api.service import Service

    context = Context()
    log = Service._log

    def prepare(event: dict[str, Any]) -> dict[str, Any]:
        observed = event.pop(OBSERVED)
        os.environ[_TRACE] = _HEADER if observed == TRACED else ""
        # No setting leaves the summary out: the function that makes it does.
        Service._log = _leave_out if observed == NOT else log  # type: ignore[assignment,method-assign]
        return event

    def tell(given: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        return given["statusCode"], given["headers"], given["body"]

    drive(answers, prepare, lambda event: app(event, context), tell)


def _leave_out(*_of_a_request: object) -> None:
    pass


if __name__ == "__main__":
    main()
