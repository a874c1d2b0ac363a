"""OpenID providers, as the options of a policy describe them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from chalicelib.auth.fetching import is_safe_url
from chalicelib.setting_values import split_list
from chalicelib.settings import SettingsError, option_variable

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Those that may be configured. Asymmetric ones: who verifies a token can't make one."""

OPTIONS: Final = frozenset({"issuer", "audience", "algorithms", "jwks_uri", "leeway_seconds"})
MAX_LEEWAY_S: Final = 600


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose tokens are taken.

    Attributes:
        issuer: as it is in the tokens' `iss`, a slash at the end included.
        audiences: of which a token names one at least.
        algorithms: of ALGORITHMS.
        jwks_uri: where the keys are; None: where the issuer's discovery document says.
        leeway_s: by which clocks may differ.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_uri: str | None = None
    leeway_s: int = 60


def provider_from(policy: str, options: Mapping[str, str]) -> Provider:
    """The provider that these options of a policy describe.

    Raises:
        SettingsError: an option is missing, unknown, or makes no sense; names its variable.
    """
    for option in options:
        if option not in OPTIONS:
            _refuse(policy, option, "is no option of openid")
    return Provider(
        _issuer(policy, options),
        _audiences(policy, options),
        _algorithms(policy, options),
        _jwks_uri(policy, options),
        _leeway_s(policy, options),
    )


def _refuse(policy: str, option: str, why: str) -> NoReturn:
    raise SettingsError(f"{option_variable(policy, option)} {why}")


def _issuer(policy: str, options: Mapping[str, str]) -> str:
    issuer = options.get("issuer")
    if issuer is None:
        _refuse(policy, "issuer", "is missing")
    if not is_safe_url(issuer) or "?" in issuer or "#" in issuer:
        _refuse(policy, "issuer", "is not an https URL without query")
    return issuer


def _audiences(policy: str, options: Mapping[str, str]) -> frozenset[str]:
    audiences = frozenset(split_list(options.get("audience", "")))
    if not audiences:
        _refuse(policy, "audience", "is missing")
    return audiences


def _algorithms(policy: str, options: Mapping[str, str]) -> tuple[str, ...]:
    algorithms = tuple(split_list(options.get("algorithms", "RS256")))
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        _refuse(policy, "algorithms", f"is not a list of {', '.join(ALGORITHMS)}")
    return algorithms


def _jwks_uri(policy: str, options: Mapping[str, str]) -> str | None:
    uri = options.get("jwks_uri")
    if uri is not None and not is_safe_url(uri):
        _refuse(policy, "jwks_uri", "is not an https URL")
    return uri


def _leeway_s(policy: str, options: Mapping[str, str]) -> int:
    text = options.get("leeway_seconds", "60")
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > MAX_LEEWAY_S:
        _refuse(policy, "leeway_seconds", f"is not a whole number of seconds up to {MAX_LEEWAY_S}")
    return int(text)
