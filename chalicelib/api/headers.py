"""Headers of answers. Rule: spec, "Records" 2, "Lists" 1, "The service" 6 and 7."""

from email.utils import formatdate

from chalicelib.api.serves import Serves
from chalicelib.settings import Settings

_ALWAYS_EXPOSED = ("Alert", "Backoff", "Content-Length", "Retry-After")
_EXPOSED_OF_OBJECTS = ("Cache-Control", "ETag", "Expires", "Last-Modified", "Pragma")
_EXPOSED_OF_LISTS = ("Next-Page", "Total-Records")

CONTENT_TYPE = {"Content-Type": "application/json; charset=UTF-8"}

TO_IS_DEPRECATED = {
    "Alert": '{"code":"soft-eol",'
    '"message":"_to is now deprecated, you should use _before instead",'
    '"url":"http:\\/\\/cliquet.rtfd.org\\/en\\/2.4.0\\/api\\/resource.html'
    '#list-of-available-url-parameters"}'
}
"""What a list says to whoever uses `_to`. Rule: spec, "Lists", section 4."""


def validators(timestamp: int) -> dict[str, str]:
    """ETag and Last-Modified of an object or list.

    Args:
        timestamp: its, in ms.
    """
    return {
        "ETag": f'"{timestamp}"',
        "Last-Modified": formatdate(timestamp / 1000, usegmt=True),
    }


def retry_after(settings: Settings) -> dict[str, str]:
    """When a client may repeat a request that was answered 503."""
    return {"Retry-After": str(settings.retry_after_seconds)}


def exposed(serves: Serves, *, reads: bool) -> dict[str, str]:
    """The header with the names of those that a browser shows to a script of another origin."""
    return {"Access-Control-Expose-Headers": ", ".join(exposed_names(serves, reads=reads))}


def exposed_names(serves: Serves, *, reads: bool) -> list[str]:
    """Which headers a browser shows to a script of another origin.

    Args:
        serves: what is at the address.
        reads: for GET and HEAD.
    """
    names = [*_ALWAYS_EXPOSED]
    if reads and serves is not Serves.SERVER:
        names += _EXPOSED_OF_OBJECTS
    if reads and serves is Serves.LIST:
        names += _EXPOSED_OF_LISTS
    return names
