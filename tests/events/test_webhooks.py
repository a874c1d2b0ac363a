"""Signatures of webhooks: `chalicelib/events/webhooks.py`."""

import base64
import hmac
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.events.webhooks import secrets_problem, signed_headers

ID = "evt-1"
BODY = b'{"type":"record.created"}'


def secret(byte: int, length: int = 32) -> str:
    return "whsec_" + base64.b64encode(bytes([byte]) * length).decode()


OLD, NEW, OTHER = secret(1), secret(2), secret(3)


def headers(secrets: Sequence[str] = (NEW,), *, age_s: int = 0) -> dict[str, str]:
    """Those of a delivery that was signed so long ago."""
    return signed_headers(ID, BODY, secrets, now_s=int(time.time()) - age_s)


def is_verified(given: dict[str, str], body: bytes = BODY, *, by: str = NEW) -> bool:
    try:
        Webhook(by).verify(body, given)
    except WebhookVerificationError:
        return False
    return True


def test_a_delivery_is_signed_as_the_published_example() -> None:
    signed = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        now_s=1614265330,
    )

    assert signed == {
        "Content-Type": "application/json",
        "User-Agent": "kinto-serverless",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_verifies_a_delivery_with_its_secret_alone() -> None:
    signed = headers()

    assert is_verified(signed)
    assert not is_verified(signed, by=OTHER)


def test_while_a_secret_is_replaced_receivers_verify_with_either() -> None:
    signed = headers([NEW, OLD])

    assert len(signed["webhook-signature"].split(" ")) == 2
    assert is_verified(signed, by=OLD)
    assert is_verified(signed, by=NEW)
    assert not is_verified(signed, by=OTHER)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_delivery_with_another_header_is_not_verified(name: str) -> None:
    signed = headers()
    others = signed_headers("evt-2", b"{}", [NEW], now_s=int(signed["webhook-timestamp"]) - 1)

    assert not is_verified(signed | {name: others[name]})


def test_a_delivery_with_another_body_is_not_verified() -> None:
    assert not is_verified(headers(), BODY.replace(b"created", b"deleted"))


@pytest.mark.parametrize(("age_s", "verified"), [(240, True), (360, False), (-360, False)])
def test_a_delivery_is_verified_for_five_minutes(age_s: int, verified: bool) -> None:
    assert is_verified(headers(age_s=age_s)) is verified


@given(st.text(min_size=1, max_size=20), st.integers(0, 2**32), st.binary(min_size=24, max_size=64))
def test_a_signature_is_that_of_id_time_and_body_at_any_time(
    text: str, now_s: int, key: bytes
) -> None:
    body = f'"{text}"'.encode("utf-8", "replace")
    whsec = "whsec_" + base64.b64encode(key).decode()

    signed = signed_headers(ID, body, [whsec], now_s=now_s)

    assert secrets_problem(whsec) is None
    assert signed["webhook-timestamp"] == str(now_s)
    assert signed["webhook-signature"] == "v1," + _hmac(key, f"{ID}.{now_s}.".encode() + body)


def _hmac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


@pytest.mark.parametrize(
    "text",
    [OLD, f"{OLD} {NEW}", f" {OLD}\n{NEW}\t", secret(255, 24), secret(255, 64)],
)
def test_one_or_two_secrets_are_taken(text: str) -> None:
    assert secrets_problem(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 secrets instead of one or two, separated by blanks"),
        (" ", "0 secrets instead of one or two, separated by blanks"),
        (f"{OLD} {NEW} {OTHER}", "3 secrets instead of one or two, separated by blanks"),
        (OLD[6:], "a secret that does not begin with whsec_"),
        (OLD.upper(), "a secret that does not begin with whsec_"),
        (f"{OLD},{NEW}", "a secret that is not base64 after whsec_"),
        (OLD[:-1], "a secret that is not base64 after whsec_"),
        (secret(255).replace("/", "_"), "a secret that is not base64 after whsec_"),
        (OLD + "é", "a secret that is not base64 after whsec_"),
        ("whsec_", "a secret of 0 bytes instead of 24 to 64"),
        (secret(1, 23), "a secret of 23 bytes instead of 24 to 64"),
        (secret(1, 65), "a secret of 65 bytes instead of 24 to 64"),
        (f"{OLD} {secret(1, 1)}", "a secret of 1 bytes instead of 24 to 64"),
    ],
)
def test_what_can_not_be_secrets_is_told_without_quoting_it(text: str, problem: str) -> None:
    assert secrets_problem(text) == problem
