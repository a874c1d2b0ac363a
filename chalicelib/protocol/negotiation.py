"""Accept and Content-Type. Rule: spec, "The service around the resources", section 4."""

from collections.abc import Mapping

from chalicelib.protocol.errors import (
    NOT_ACCEPTABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ErrorKind,
    Problem,
    ProtocolError,
    invalid,
)

JSON = "application/json"
_ADMITTING = frozenset({JSON, "application/*", "*/*"})


def require_json_accepted(headers: Mapping[str, str]) -> None:
    """Go on only for a client that takes JSON.

    Raises:
        ProtocolError: NOT_ACCEPTABLE.
    """
    accept = headers.get("accept", "").strip()
    if accept and not any(_admits_json(part) for part in accept.split(",")):
        raise _refusal("Accept", NOT_ACCEPTABLE)


def require_json_content(headers: Mapping[str, str]) -> None:
    """Go on only with a body that is said to be JSON, or not said to be anything.

    Raises:
        ProtocolError: UNSUPPORTED_MEDIA_TYPE.
    """
    if not is_json(headers.get("content-type", "")):
        raise _refusal("Content-Type", UNSUPPORTED_MEDIA_TYPE)


def is_json(content_type: str) -> bool:
    """Whether a body is said to be JSON, or not said to be anything."""
    return _media_type(content_type) == JSON or not content_type.strip()


def _admits_json(part: str) -> bool:
    return _media_type(part) in _ADMITTING and not _is_refused(part)


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _is_refused(part: str) -> bool:
    """Whether the quality given is 0."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return value.strip().rstrip("0") in ("", ".", "0.") and value.strip() != ""
    return False


def _refusal(header: str, kind: ErrorKind) -> ProtocolError:
    description = f"{header} header should be one of ['{JSON}']"
    return invalid([Problem("header", header, description)], kind)
