"""Basic authentication: `chalicelib/auth/basic.py`."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.policies import authenticate
from chalicelib.protocol.messages import Request

# The secret and the vectors of the spec, "Users and permissions", section 1.
POLICY = BasicPolicy("b4c96a8692291d88fe5a97dd91846eb4")
VECTORS = [
    (
        "alice:secret",
        "Basic YWxpY2U6c2VjcmV0",
        "basicauth:97b9de4692598e206a21666d0c2a2d243f8e434a16aacd2955773853a650671d",
    ),
    (
        "alice:",
        "Basic YWxpY2U6",
        "basicauth:93f7fbd57d9202a6ee3ae4b14c0df9d8f71c5ce99af0bbe5a9f286611caa3c60",
    ),
    (
        "token:my-secret",
        "Basic dG9rZW46bXktc2VjcmV0",
        "basicauth:c635be9375673027e9b2f357a3955a0a46b58aeface61930838b61e946008ab0",
    ),
    (
        "alice:se:cr:et",
        "Basic YWxpY2U6c2U6Y3I6ZXQ=",
        "basicauth:436a0fac5291d585d750ca13ef6dbffa3011a17313a6b66f38f4e4a82649ca31",
    ),
    (
        "élodie:motdepassé",
        "Basic w6lsb2RpZTptb3RkZXBhc3PDqQ==",
        "basicauth:bb33e9885f401288c5c5ab5fdb5aee4eb14960b7a733bb1d31f9c56d8e9c5765",
    ),
]
_CREDENTIALS, HEADER, ALICE = VECTORS[0]


def user_id(header: str | None, policy: BasicPolicy = POLICY) -> str | None:
    headers = {} if header is None else {"authorization": header}
    return authenticate(Request("GET", "/v1/", headers=headers), [policy]).user_id


def basic(credentials: bytes) -> str:
    return f"Basic {base64.b64encode(credentials).decode()}"


@pytest.mark.parametrize(("credentials", "header", "expected"), VECTORS)
def test_the_user_id_is_that_of_the_spec(credentials: str, header: str, expected: str) -> None:
    assert user_id(header) == expected
    assert user_id(basic(credentials.encode())) == expected


@pytest.mark.parametrize(
    "header",
    [
        "basic YWxpY2U6c2VjcmV0",
        "BASIC YWxpY2U6c2VjcmV0",
        "bAsIc YWxpY2U6c2VjcmV0",
        "Basic   YWxpY2U6c2VjcmV0",
        "Basic YWxpY2U6c2VjcmV0  ",
        " Basic YWxpY2U6c2VjcmV0",
        "Basic\tYWxpY2U6c2VjcmV0",
    ],
)
def test_the_case_of_the_scheme_and_blanks_do_not_matter(header: str) -> None:
    assert user_id(header) == ALICE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "Bearer x",
        "Bearer YWxpY2U6c2VjcmV0",
        "Digest YWxpY2U6c2VjcmV0",
        "Basic",
        "Basic ",
        "BasicYWxpY2U6c2VjcmV0",
        "YWxpY2U6c2VjcmV0",
        "Basic YWxpY2U6c2VjcmV",  # incorrect padding
        "Basic YWxp Y2U6c2VjcmV0",
        "Basic YWxpY2U6c2VjcmV0!",
        "Basic alice:secret",
        "Basic é",
        "Basic =",
        "Basic ====",
        basic(b"alice"),  # no colon
        basic(b""),
        basic(b":secret"),
        basic(b":"),
        basic(b"::"),
    ],
)
def test_a_header_that_makes_no_sense_is_as_none(header: str | None) -> None:
    assert user_id(header) is None


def test_credentials_that_are_no_utf_8_are_read_as_latin_1() -> None:
    assert user_id(basic("élodie:motdepassé".encode("latin-1"))) == VECTORS[4][2]


def test_another_secret_is_another_user() -> None:
    ids = [user_id(HEADER, BasicPolicy(secret)) for secret in ("", "a", "é")]

    assert None not in ids
    assert len({ALICE, *ids}) == 4


@pytest.mark.parametrize(("_credentials", "header", "expected"), VECTORS)
def test_under_another_name_the_user_id_has_that_prefix(
    _credentials: str, header: str, expected: str
) -> None:
    policy = BasicPolicy("b4c96a8692291d88fe5a97dd91846eb4", "old-users")

    assert user_id(header, policy) == expected.replace("basicauth:", "old-users:")


def test_another_password_is_another_user() -> None:
    assert user_id(basic(b"alice:other")) not in (None, ALICE)


@given(st.text(min_size=1).filter(lambda name: ":" not in name), st.text())
def test_any_name_with_any_password_is_a_user(name: str, password: str) -> None:
    found = user_id(basic(f"{name}:{password}".encode()))

    assert found is not None
    assert re.fullmatch("basicauth:[0-9a-f]{64}", found)


@given(st.text() | st.binary().map(basic) | st.text().map("Basic {}".format))
def test_any_header_is_a_user_or_nobody(header: str) -> None:
    found = user_id(header)

    assert found is None or re.fullmatch("basicauth:[0-9a-f]{64}", found)
