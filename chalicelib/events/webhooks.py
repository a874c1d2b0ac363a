"""Signatures of webhooks, by which a receiver knows that we sent one, and when.

Rule: Standard Webhooks, "Webhook signatures", symmetric ones (`v1`).
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what one begins with
MAX_SECRETS: Final = 2
"""The one that receivers shall use, and the one that some still use while it is replaced."""

MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
"""Of a secret once decoded. Rule: Standard Webhooks, "Signature scheme"."""


def secrets_problem(text: str) -> str | None:
    """Why this text can't be a webhook's secrets, without quoting it; None if it can.

    Args:
        text: one or two secrets, separated by blanks, each `whsec_` and 24 to 64 bytes in base64.
    """
    secrets = text.split()
    if not 1 <= len(secrets) <= MAX_SECRETS:
        return f"{len(secrets)} secrets instead of one or two, separated by blanks"
    return next(filter(None, map(_secret_problem, secrets)), None)


def _secret_problem(secret: str) -> str | None:
    if not secret.startswith(SECRET_PREFIX):
        return f"a secret that does not begin with {SECRET_PREFIX}"
    try:
        # Strictly: the library passes over what is no base64, and would use a shorter key.
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        return f"a secret that is not base64 after {SECRET_PREFIX}"
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        return f"a secret of {len(key)} bytes instead of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}"
    return None


def signed_headers(id: str, body: bytes, secrets: Sequence[str], *, now_s: int) -> dict[str, str]:
    """All headers of a delivery, signed with each of the secrets.

    Args:
        id: the event's, the same at each attempt, by which receivers find repetitions.
        body: JSON in UTF-8, as it is sent.
        secrets: each as `secrets_problem` lets pass; receivers need know one only.
        now_s: of this attempt, since the epoch. Receivers refuse it five minutes later.
    """
    # Only the function that delivers needs it.
    from standardwebhooks import Webhook

    # It takes any date for one of UTC, whatever its zone says.
    now = datetime.fromtimestamp(now_s, UTC)
    text = body.decode()
    signatures = (Webhook(secret).sign(msg_id=id, timestamp=now, data=text) for secret in secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": "kinto-serverless",
        "webhook-id": id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(signatures),
    }
