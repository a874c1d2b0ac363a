"""Records of the stream of `objects`, as Lambda hands them over."""

import base64
from collections.abc import Mapping
from typing import Any

from chalicelib.storage.items import RawItem

StreamRecord = Mapping[str, Any]
"""One change of an item: its images, and what DynamoDB says of it."""


def images_of(record: StreamRecord) -> tuple[RawItem | None, RawItem | None]:
    """The item before and after; None where there was, or is, none.

    Raises:
        ValueError, KeyError: it is no record of a stream with both images.
    """
    change = record["dynamodb"]
    return _image(change.get("OldImage")), _image(change.get("NewImage"))


def _image(image: Mapping[str, Any] | None) -> RawItem | None:
    return None if image is None else {name: _value(value) for name, value in image.items()}


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same with bytes as bytes: in JSON they are base64. Only attributes of their own are."""
    if "B" in value:
        return {"B": base64.b64decode(value["B"])}
    return dict(value)
