"""URLs that we would send something to: what is wrong with one, before anything is resolved."""

import ipaddress
from urllib.parse import SplitResult, urlsplit


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by what it says: `localhost`, or a loopback address.

    Args:
        host: without the brackets of IPv6. No other name counts, as it may resolve to anything.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem_of_url(url: str, *, allows_loopback: bool, allows_fragment: bool = False) -> str | None:
    """Why nothing can be posted to this URL, to go on after "the URL"; None if it can.

    It never quotes the URL, whose path or query may be a secret.

    Args:
        url: as somebody wrote it.
        allows_loopback: whether http will do where the host is a loopback one.
        allows_fragment: whether one is passed over. Nobody sends it: it is a mistake.
    """
    # urlsplit drops blanks and control characters, so it can't be asked for these.
    if not (url.isascii() and url.isprintable()) or " " in url:
        return "has characters other than printable ASCII without blanks"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return "has no possible host or port"
    if not parts.hostname:
        return "has no host"
    if parts.username is not None or parts.password is not None:
        return "has a user name or a password"
    if "#" in url and not allows_fragment:
        return "has a fragment"
    return _problem_of_scheme(parts, allows_loopback=allows_loopback)


def _problem_of_scheme(parts: SplitResult, *, allows_loopback: bool) -> str | None:
    if parts.scheme == "https":
        return None
    if not allows_loopback:
        return "is not https"
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return None
    return "is neither https nor http on a loopback address"
