"""What settings name by a dotted Python path."""

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.settings import SettingsError

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*", re.ASCII)


def imported(path: str, variable: str, *, built_in: Sequence[str]) -> Callable[..., Any]:
    """What can be called under this path, `module.name` or `module:name`.

    Args:
        path: as set.
        variable: that it was set by.
        built_in: what the variable may be as well, for who made a mistake.

    Raises:
        SettingsError: nothing that can be called is there; names the variable.
    """
    if not _PATH.fullmatch(path):
        names = ", ".join(built_in)
        raise SettingsError(f"{variable} is not {names} or a dotted Python path")
    module_name, attribute = re.split(r"[.:](?=\w+$)", path)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise SettingsError(
            f"{variable}={path} can't be imported: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise SettingsError(f"{variable}={path} names nothing that can be called")
    return found  # type: ignore[no-any-return]  # what it gives is looked at
