"""The Authorization header: `chalicelib/protocol/credentials.py`."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.credentials import (
    HIDDEN,
    Credentials,
    credentials_of,
    decode_basic,
    redacted,
    without,
)
from chalicelib.protocol.messages import Request

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def sending(header: str | None) -> Request:
    return Request("GET", "/v1/", headers={} if header is None else {"authorization": header})


def basic(text: str, encoding: str = "utf-8") -> Request:
    return sending(f"Basic {base64.b64encode(text.encode(encoding)).decode()}")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer x", Credentials("bearer", "x")),
        (" BEARER \t x  ", Credentials("bearer", "x")),
        ("Bearer x y ", Credentials("bearer", "x y")),
    ],
)
def test_a_header_has_a_scheme_and_a_token(header: str | None, expected: Credentials) -> None:
    assert credentials_of(sending(header)) == expected


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("YWxpY2U6c2VjcmV0", "alice:secret"),
        ("6Q==", "é"),
        ("w6k=", "é"),
        ("YWxpY2U", None),
        ("é", None),
        ("!", None),
    ],
)
def test_basic_is_base64_of_utf_8_or_latin_1(token: str, text: str | None) -> None:
    assert decode_basic(token) == text


@pytest.mark.parametrize(
    ("request_", "text", "expected"),
    [
        (sending(f"Bearer {TOKEN}"), f"bad {TOKEN}!", "bad ***!"),
        (sending(f"Bearer {TOKEN}"), f"'Bearer {TOKEN}'", "'Bearer ***'"),
        (sending(f"Bearer {TOKEN}"), f"x{TOKEN}y{TOKEN}", "x***y***"),
        (sending("just-a-secret"), "no scheme: just-a-secret", "no scheme: ***"),
        (sending("Key a b"), "Key a b, a", "Key ***, a"),
        (basic("alice:pass word"), "alice:pass word", "***"),
        (basic("alice:pass word"), "for alice: 'pass word'", "for alice: '***'"),
        (basic("alice:pass word"), "?p=pass%20word", "?p=***"),
        (basic("alice:se:cr:et"), "se:cr:et and cr:et", "*** and cr:et"),
        (basic("alice:motdepassé"), "motdepassé motdepass\\xe9", "*** ***"),
        (basic("alice:motdepassé"), repr("motdepassé".encode()), "b'***'"),
        (basic("alice:motdepassé", "latin-1"), repr("motdepassé".encode("latin-1")), "b'***'"),
        (basic("alice:a\nb\"c'd"), json.dumps("a\nb\"c'd"), '"***"'),
        (basic("no colon in it"), "no colon in it", "***"),
        (basic("alice:"), "alice of alice:", "alice of ***"),
        (sending("Bearer a.c"), "abc a+c", "abc a+c"),
        (sending(None), f"{TOKEN} stays", f"{TOKEN} stays"),
    ],
)
def test_a_text_is_without_the_requests_credentials(
    request_: Request, text: str, expected: str
) -> None:
    assert redacted(request_, text) == expected


def test_a_token_is_hidden_without_its_padding_as_well() -> None:
    request = basic("alice:secret1")  # whose base64 ends with two signs of equality
    token = request.headers["authorization"].split()[1]

    assert token.endswith("==")
    assert redacted(request, f"?{token[:-2]}=1&x={token}") == "?***=1&x=***"


def test_a_short_password_is_hidden_where_it_stands_alone() -> None:
    assert redacted(basic("alice:id"), "invalid id 'id' of ids") == "invalid *** '***' of ids"


CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters=HIDDEN)
TEXTS = st.text(CHARACTERS)


@given(st.text(CHARACTERS, min_size=4), TEXTS, TEXTS)
def test_no_password_is_left_however_it_is_spelled(password: str, before: str, after: str) -> None:
    for spelled in (password, repr(password)[1:-1], json.dumps(password)[1:-1], quote(password)):
        shown = redacted(basic(f"alice:{password}"), f"{before}{spelled}{after}")

        assert spelled not in shown


@given(st.text(st.characters(exclude_categories=())), st.text())
def test_any_header_can_be_hidden(header: str, text: str) -> None:
    assert isinstance(redacted(sending(header), text), str)


def test_secrets_of_any_number_are_hidden() -> None:
    assert without([], "a text") == "a text"
    assert without(["", "first", "first-second"], "first-second, first") == "***, ***"
