"""The ids of objects that come without one, as settings say."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from chalicelib.dotted_paths import imported
from chalicelib.protocol.ids import RANDOM_BYTES, name_from_random, uuid_from_random
from chalicelib.protocol.kinds import KINDS, Kind
from chalicelib.settings import NAME_GENERATOR, UUID_GENERATOR, Settings, SettingsError, variable_of

NewId: TypeAlias = Callable[[Kind], str]
"""Gives an id for a new object of this kind. It may be in use."""


def _random(from_random: Callable[[bytes], str]) -> str:
    return from_random(secrets.token_bytes(RANDOM_BYTES))


_BUILT_IN: Final[Mapping[str, Callable[[], str]]] = {
    NAME_GENERATOR: partial(_random, name_from_random),
    UUID_GENERATOR: partial(_random, uuid_from_random),
}


def id_generators(settings: Settings) -> NewId:
    """What chooses ids: for each kind what `KIND_id_generator` names, or else `id_generator`.

    Raises:
        SettingsError: a generator can't be made, or what it gives is no id; names the variable.
    """
    generators = {kind: _generator(kind, settings) for kind in KINDS}

    def new_id(kind: Kind) -> str:
        id = generators[kind]()
        if not kind.is_id(id):
            raise ValueError(f"the generator of {kind.name} ids gave {id!r}, which is none")
        return id

    return new_id


def _generator(kind: Kind, settings: Settings) -> Callable[[], str]:
    name = f"{kind.name}_id_generator"
    path = getattr(settings, name)
    if path is None:
        name, path = "id_generator", settings.id_generator
    variable = variable_of(name)
    generator: Callable[[], Any] = _BUILT_IN.get(path) or _made(path, variable)
    try:
        sample = generator()
    except Exception as error:
        raise _refusal(variable, path, f"gives no ids: {error!r}") from error
    if not kind.is_id(sample):
        raise _refusal(variable, path, f"gives {sample!r}, which is no id of a {kind.name}")
    return generator


def _made(path: str, variable: str) -> Callable[[], Any]:
    """An instance of the class of this name."""
    factory = imported(path, variable, built_in=[*_BUILT_IN])
    try:
        generator: Callable[[], Any] = factory()
    except Exception as error:
        raise _refusal(variable, path, f"makes no generator: {error!r}") from error
    if not callable(generator):
        raise _refusal(variable, path, "makes no generator: it can't be called")
    return generator


def _refusal(variable: str, path: str, why: str) -> SettingsError:
    return SettingsError(f"{variable}={path} {why}")
