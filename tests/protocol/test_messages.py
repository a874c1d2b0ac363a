"""Request and Response: `chalicelib/protocol/messages.py`."""

import dataclasses

import pytest

from chalicelib.protocol.messages import Request, Response


def test_a_request_needs_a_method_and_a_path_alone() -> None:
    request = Request("GET", "/v1/")

    assert (request.query, request.headers, request.body, request.id) == ((), {}, b"", "")


def test_a_response_needs_a_status_alone() -> None:
    response = Response(304)

    assert (response.body, response.headers) == (None, {})


@pytest.mark.parametrize("message", [Request("GET", "/v1/"), Response(200)])
def test_messages_do_not_change_on_their_way(message: Request | Response) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.headers = {}  # type: ignore[misc]  # what is tested


def test_messages_share_no_headers() -> None:
    assert Response(200).headers is not Response(200).headers
