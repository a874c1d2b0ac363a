"""The policies that the settings name, made once a container."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.auth import basic
from chalicelib.auth.policies import Policy
from chalicelib.dotted_paths import imported
from chalicelib.protocol.credentials import without
from chalicelib.settings import Settings, SettingsError, option_variable

OPENID = "openid"
USE = "use"

Factory = Callable[[str, Mapping[str, str]], Any]
"""From a policy's name and its options to the policy."""


def load_policies(settings: Settings) -> tuple[Policy, ...]:
    """The policies in the order of `auth_policies`.

    Raises:
        SettingsError: a policy is none that is known, or can't be made of its options; names the
            variable, and no value of an option.
    """
    return tuple(_load(name, settings) for name in settings.auth_policies)


def _load(name: str, settings: Settings) -> Policy:
    options = dict(settings.auth_policy.get(name, {}))
    use = options.pop(USE, name)
    if use == basic.NAME:
        return _basic(name, options, settings.userid_hmac_secret)
    if use == OPENID:
        # Here, as a service without such a policy need not wait for the import.
        from chalicelib.auth.openid import openid_policy

        return openid_policy(name, options)
    return _custom(name, options, use)


def _basic(name: str, options: Mapping[str, str], secret: str) -> Policy:
    for option in options:
        raise SettingsError(f"{option_variable(name, option)} is no option of {basic.NAME}")
    return basic.BasicPolicy(secret, name)


def _custom(name: str, options: Mapping[str, str], path: str) -> Policy:
    variable = option_variable(name, USE)
    factory: Factory = imported(path, variable, built_in=[basic.NAME, OPENID])
    try:
        policy = factory(name, options)
    except SettingsError:
        raise
    except Exception as error:
        # Without the exception itself: it may quote options, which may be secrets.
        text = without(options.values(), f"{type(error).__name__}: {error}")
        raise SettingsError(f"{variable}={path} makes no policy: {text!a}") from None
    if not _is_policy(policy, name):
        raise SettingsError(
            f"{variable}={path} makes no policy:"
            f" one has the name {name}, a challenge and the method user_id"
        )
    return policy  # type: ignore[no-any-return]  # looked at above


def _is_policy(policy: Any, name: str) -> bool:
    challenge = getattr(policy, "challenge", None)
    return (
        getattr(policy, "name", None) == name
        and isinstance(challenge, str)
        and re.fullmatch("[!-~][ -~]*", challenge) is not None
        and callable(getattr(policy, "user_id", None))
    )
