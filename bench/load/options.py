"""What an operator asks of a load test."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from infra.kinto_source import SourceError, authorization, checked_url

_TIME: Final = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s)?")


class LoadError(Exception):
    """Why there can be no load test, or what it leaves behind; in one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """A load test.

    Attributes:
        url: of the API's root, without a slash at the end.
        authorization: the header of all users; None for one of its own for each of them.
        users: at the same time.
        rate: users that begin, a second.
        time_s: after which it ends, in seconds.
        days: after which each user leaves; None for as long as it takes.
        pause_s: between two requests of a user, on average.
        shared: the share of what users do that is done in the one collection that all have.
        port: of the live page; None for none.
    """

    url: str
    authorization: str | None
    users: int
    rate: float
    time_s: float
    days: int | None
    pause_s: float
    shared: float
    port: int | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read them; what is empty or missing is as it is by default.

        Raises:
            LoadError: one can't be read; says which.
        """
        given = {name: text.strip() for name, text in environment.items() if text.strip()}
        users = int(_number(given, "USERS", "10", least=1, whole=True))
        return cls(
            url=_url(given.get("URL", "")),
            authorization=_authorization(given.get("KINTO_LOAD_AUTH", "")),
            users=users,
            rate=_number(given, "RATE", "1", least=0.01),
            time_s=_time_s(given.get("TIME", "1m")),
            days=int(_number(given, "DAYS", "0", least=0, whole=True)) or None,
            pause_s=_number(given, "PAUSE", "1", least=0),
            shared=_number(given, "SHARED", "0.1", least=0, most=1),
            port=_port(given),
        )


def _url(text: str) -> str:
    url = text.rstrip("/")
    if url and not url.endswith("/v1"):
        url += "/v1"
    try:
        return checked_url(url)
    except SourceError as error:
        raise LoadError(
            "which stage? make load URL=https://kinto.example.org/v1 USERS=50 RATE=5 TIME=5m"
        ) from error


def _authorization(text: str) -> str | None:
    try:
        return authorization(text)
    except SourceError as error:
        raise LoadError("KINTO_LOAD_AUTH is neither user:password nor a whole header") from error


def _number(
    given: Mapping[str, str],
    name: str,
    default: str,
    *,
    least: float,
    most: float = math.inf,
    whole: bool = False,
) -> float:
    text = given.get(name, default)
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not (least <= number <= most and math.isfinite(number)):
        limits = f"from {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise LoadError(f"{name}={text!r} is no {'whole ' if whole else ''}number {limits}")
    return number


def _time_s(text: str) -> float:
    parts = _TIME.fullmatch(text)
    hours, minutes, seconds = (int(it or 0) for it in parts.groups()) if parts else (0, 0, 0)
    if not (time_s := (hours * 60 + minutes) * 60 + seconds):
        raise LoadError(f"TIME={text!r} is no time such as 90s, 5m or 1h30m")
    return float(time_s)


def _port(given: Mapping[str, str]) -> int | None:
    headless = given.get("HEADLESS", "0")
    if headless not in ("0", "1"):
        raise LoadError(f"HEADLESS={headless!r} is neither 1 nor 0")
    port = int(_number(given, "PORT", "8089", least=1, most=65_535, whole=True))
    return None if headless == "1" else port
