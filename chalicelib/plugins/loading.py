"""The plugins that the settings include, made once a container."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib.api.plugins import Plugins
from chalicelib.settings import Settings, SettingsError, variable_of

BY_KINTOS_NAME: Final[Mapping[str, str]] = {
    "kinto.plugins.default_bucket": "chalicelib.plugins.default_bucket",
}
"""Where Kinto's own plugins are here."""

INCLUDES: Final = "includes"


def load_plugins(settings: Settings) -> Plugins:
    """What the plugins of these settings add to the service.

    Raises:
        SettingsError: a plugin is none that is known, or can't be included; names it.
    """
    plugins = Plugins(settings)
    for name in dict.fromkeys(settings.includes):
        _include(name, plugins)
    if settings.flush_endpoint_enabled:
        # Here, as no service that keeps what it has needs it.
        from chalicelib.plugins import flush

        flush.includeme(plugins)
    return plugins


def _include(name: str, plugins: Plugins) -> None:
    try:
        include = _includeme_of(BY_KINTOS_NAME.get(name, name))
        include(plugins)
    except Exception as error:
        variable = variable_of(INCLUDES)
        raise SettingsError(
            f"{variable}: {name} can't be included: {type(error).__name__}: {error}"
        ) from error


def _includeme_of(module_name: str) -> Callable[[Plugins], Any]:
    include = getattr(importlib.import_module(module_name), "includeme", None)
    if not callable(include):
        raise TypeError("it has no function includeme(app)")
    return include  # type: ignore[no-any-return]  # what it gives is ignored
