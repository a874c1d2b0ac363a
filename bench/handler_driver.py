"""The function `api` as on Lambda, without its runtime: `python -m bench.handler_driver`.

A request is the event that API Gateway sends.
"""

from typing import Any

from bench.driving import drive, separate_output


class Context:
    """What Lambda hands over beside the event."""

    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name = "kinto-serverless-bench"

    def get_remaining_time_in_millis(self) -> int:
        """As at the start of an invocation."""
        return 29_000


def main() -> None:
    """Start as a container does, and serve."""
    answers = separate_output()
    from app import app

    context = Context()

    def tell(given: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        return given["statusCode"], given["headers"], given["body"]

    drive(answers, lambda event: event, lambda event: app(event, context), tell)


if __name__ == "__main__":
    main()
