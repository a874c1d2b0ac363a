"""What this service can do besides the protocol. Rule: spec, "The service", section 2."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from chalicelib.protocol.messages import JsonObject
from chalicelib.settings import Settings


class _Capability(NamedTuple):
    """An entry of the root view, there if the setting is on."""

    setting: str
    description: str
    url: str


_CAPABILITIES: Final[Mapping[str, _Capability]] = {
    "basicauth": _Capability(
        "basicauth_capability",
        "Very basic authentication sessions. Not for production use.",
        "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
    ),
    "schema": _Capability(
        "experimental_collection_schema_validation",
        "Validates collection records with JSON schemas.",
        "http://kinto.readthedocs.org/en/latest/api/1.x/collections.html#collection-json-schema",
    ),
}


def capabilities_of(settings: Settings) -> dict[str, JsonObject]:
    """The capabilities that settings switch on, by name, as the root view has them."""
    return {
        name: {"description": capability.description, "url": capability.url}
        for name, capability in _CAPABILITIES.items()
        if getattr(settings, capability.setting)
    }
