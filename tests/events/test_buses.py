"""EventBridge: `chalicelib/events/buses.py`."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from chalicelib.events.buses import BusError, Buses
from chalicelib.protocol.events import CREATE, DELETE, READ
from tests.doubles import REGION
from tests.events.test_deliveries import event_about

SOURCE = "kinto-serverless.test"
TAKEN = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


@pytest.fixture
def stubbed() -> Iterator[Stubber]:
    """A client that answers as it is told, and looks at what it is asked."""
    with Stubber(boto3.client("events", REGION)) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def buses_of(stubber: Stubber) -> Buses:
    """Buses that have made their client."""
    buses = Buses(SOURCE, REGION)
    buses._client = stubber.client
    return buses


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (CREATE, "AfterResourceChanged"),
        (DELETE, "AfterResourceChanged"),
        (READ, "ResourceRead"),
    ],
)
def test_an_event_is_put_on_a_bus_whole(stubbed: Stubber, action: str, kind: str) -> None:
    event = event_about(action=action, text="é😀\ud800")
    entry = {
        "EventBusName": "arn:aws:events:eu-west-1:123456789012:event-bus/kinto",
        "Source": SOURCE,
        "DetailType": kind,
        "Detail": json.dumps(event.to_json(), separators=(",", ":")),
    }
    stubbed.add_response("put_events", TAKEN, {"Entries": [entry]})

    buses_of(stubbed).put(entry["EventBusName"], event)


def test_an_event_that_the_bus_refuses_is_no_success(stubbed: Stubber) -> None:
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "of a secret"}
    stubbed.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})

    with pytest.raises(BusError, match=r"^InternalFailure$"):
        buses_of(stubbed).put("default", event_about())


def test_a_refusal_of_the_service_passes_through(stubbed: Stubber) -> None:
    stubbed.add_client_error("put_events", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDeniedException"):
        buses_of(stubbed).put("default", event_about())


def test_nothing_is_called_before_there_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr("botocore.session.get_session", refuse)

    Buses(SOURCE, REGION)


@mock_aws
def test_a_client_of_the_region_is_made_once() -> None:
    buses = Buses(SOURCE, "us-west-2")

    buses.put("default", event_about(1))
    first = buses._client
    buses.put("default", event_about(2))

    assert first.meta.region_name == "us-west-2"
    assert buses._client is first
