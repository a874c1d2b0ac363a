"""Accept and Content-Type: `chalicelib/protocol/negotiation.py`."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.errors import (
    NOT_ACCEPTABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ErrorKind,
    ProtocolError,
)
from chalicelib.protocol.negotiation import require_json_accepted, require_json_content
from tests.protocol.attempts import attempt


def assert_refused(error: ProtocolError, kind: ErrorKind, header: str) -> None:
    description = f"{header} header should be one of ['application/json']"
    assert error.kind is kind
    assert error.message == description
    assert error.details == [{"location": "header", "name": header, "description": description}]


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "  ",
        "*/*",
        "application/*",
        "application/json",
        "APPLICATION/Json",
        "application/json; charset=utf-8",
        "text/html, application/json",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "text/html;q=0, */*",
        "application/json;q=0.001",
        "application/json;q=0.10",
        "application/json;q=1",
        "application/json;q=1.000",
        "application/json;v=0",
        "application/json;q=",
        "application/json; q=0.5; charset=utf-8",
        "text/html, application/* ; q=0.1",
    ],
)
def test_a_client_that_takes_json_is_served(accept: str | None) -> None:
    require_json_accepted({} if accept is None else {"accept": accept})


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/json;q=0",
        "application/json;q=0.0",
        "application/json; q=0.000",
        "application/json;charset=utf-8;Q = 0",
        "*/*;q=0",
        "application/*;q=0, text/html",
        "application/xml",
        "application/jsonp",
        "application/merge-patch+json",
        "json",
        "*",
        "text/html, text/plain",
    ],
)
def test_a_client_that_takes_no_json_is_refused(accept: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        require_json_accepted({"accept": accept})

    assert_refused(caught.value, NOT_ACCEPTABLE, "Accept")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        " ",
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        " application/json ; charset=utf-8",
    ],
)
def test_a_body_that_is_json_or_nothing_is_read(content_type: str | None) -> None:
    require_json_content({} if content_type is None else {"content-type": content_type})


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/*",
        "*/*",
        "json",
        "; charset=utf-8",
        "text/plain; application/json",
    ],
)
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        require_json_content({"content-type": content_type})

    assert_refused(caught.value, UNSUPPORTED_MEDIA_TYPE, "Content-Type")


@given(st.text() | st.text(st.sampled_from("application/json*;q=0.1, ")))
def test_any_header_is_taken_or_refused(value: str) -> None:
    for require, name, kind in (
        (require_json_accepted, "accept", NOT_ACCEPTABLE),
        (require_json_content, "content-type", UNSUPPORTED_MEDIA_TYPE),
    ):
        result = attempt(partial(require, {name: value}))

        assert result is None or result.kind is kind
