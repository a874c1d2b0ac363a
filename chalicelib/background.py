"""What follows a change, put together: the functions `changes`, `purge`, `deliver` and `retry`."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.api.plugins import Plugins
from chalicelib.events.changes import Changes
from chalicelib.events.deliveries import Deliver
from chalicelib.events.listeners import listeners_of
from chalicelib.events.outlets import Outlets
from chalicelib.events.purging import Purge
from chalicelib.events.queues import Queues
from chalicelib.metrics import Metrics
from chalicelib.plugins.listening import Listening
from chalicelib.protocol.urls import is_loopback
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo


@dataclass(frozen=True, slots=True)
class Background:
    """The functions of a stage that answer no requests.

    Attributes:
        changes: what `changes` does.
        purge: what `purge` does.
        deliver: what `deliver` and `retry` do.
    """

    changes: Changes
    purge: Purge
    deliver: Deliver


def background_of(
    settings: Settings,
    plugins: Plugins,
    dynamo: Dynamo,
    region: str | None,
    *,
    metrics: Metrics,
    endpoint_url: str,
) -> Background:
    """Put them together; listeners that hear of requests subscribe among the plugins.

    Args:
        settings: of the stage.
        plugins: of the service.
        dynamo: the tables of the stage.
        region: of the stage.
        metrics: where it goes what there is to tell.
        endpoint_url: of AWS's services, where that isn't their own.

    Raises:
        SettingsError: a listener can't be made; names the variable.
    """
    queues = Queues(settings.stage, region)
    # Only in development are AWS's services on this machine; then all else may be there as well.
    allows_loopback = is_loopback(urlsplit(endpoint_url).hostname or "")
    outlets = Outlets(settings.stage, queues, region, allows_loopback=allows_loopback)
    listening = Listening(plugins, listeners_of(settings), outlets, queues)
    return Background(
        changes=Changes(queues, listening.after_commits),
        purge=Purge(dynamo, queues, metrics),
        deliver=Deliver(listening.receiver_of, queues, metrics=metrics),
    )
