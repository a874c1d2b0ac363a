"""EventBridge, known here alone."""

from typing import Any

from chalicelib.aws_clients import client_of
from chalicelib.events.queues import to_text
from chalicelib.protocol.events import READ, Event


class BusError(Exception):
    """EventBridge refused an event."""


class Buses:
    """The event buses of a region."""

    def __init__(self, source: str, region: str | None) -> None:
        """Keep where events come from; nothing is called yet."""
        self._source = source
        self._region = region
        self._client: Any = None

    def put(self, bus: str, event: Event) -> None:
        """Put an event on a bus, as `detail`; its type is that of Kinto's event.

        Raises:
            BusError: EventBridge has not taken it.
            botocore.exceptions.BotoCoreError, ClientError: it can't be reached, or refuses.
        """
        entry = {
            "EventBusName": bus,
            "Source": self._source,
            "DetailType": (
                "ResourceRead" if event.payload["action"] == READ else "AfterResourceChanged"
            ),
            "Detail": to_text(event.to_json()),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise BusError(answer["Entries"][0].get("ErrorCode"))

    @property
    def _events(self) -> Any:
        if self._client is None:
            self._client = client_of("events", self._region)
        return self._client
