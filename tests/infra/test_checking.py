"""Whether what is deployed works: where its API is, and whether its functions are called."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.checking import CheckError, check_sources, url_of
from infra.event_sources import EventSources
from tests.infra.chalice_stage import HANDLER, ChaliceStage, chalice_stage


@pytest.fixture
def there() -> Iterator[ChaliceStage]:
    with chalice_stage() as it:
        yield it


@pytest.mark.parametrize(
    ("endpoint_url", "url"),
    [
        (
            "https://apigateway.eu-west-1.amazonaws.com",
            "https://api1.execute-api.eu-west-1.amazonaws.com/dev",
        ),
        (
            "https://apigateway-fips.us-gov-west-1.amazonaws.com",
            "https://api1.execute-api.us-gov-west-1.amazonaws.com/dev",
        ),
        (
            "https://apigateway.cn-north-1.amazonaws.com.cn",
            "https://api1.execute-api.cn-north-1.amazonaws.com.cn/dev",
        ),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566/_aws/execute-api/api1/dev"),
    ],
)
def test_an_api_is_where_its_region_is(endpoint_url: str, url: str) -> None:
    assert url_of("api1", "dev", endpoint_url) == url


def check(there: ChaliceStage) -> str:
    return check_sources(EventSources(there.stage, there.functions, 0.0), there.stream)


def test_a_stage_whose_functions_are_called_is_well(there: ChaliceStage) -> None:
    assert check(there) == "the stream and the queues are read"


@pytest.mark.parametrize("name", ["changes", "purge", "deliver", "retry"])
def test_a_source_that_is_missing_is_told(name: str, there: ChaliceStage) -> None:
    there.functions.delete_event_source_mapping(UUID=there.of(name))

    with pytest.raises(CheckError, match=rf"^{HANDLER}-{name} doesn't read .*: missing$"):
        check(there)


def test_a_source_that_is_disabled_is_told(there: ChaliceStage) -> None:
    there.functions.update_event_source_mapping(UUID=there.of("deliver"), Enabled=False)

    with pytest.raises(CheckError, match=rf"^{HANDLER}-deliver doesn't read .*: Disabled$"):
        check(there)


def test_a_function_that_reads_a_stream_of_before_is_told(there: ChaliceStage) -> None:
    there.restore_table()

    with pytest.raises(CheckError, match=rf"^{HANDLER}-changes doesn't read {there.stream}: miss"):
        check(there)


class Lambda:
    """A client of a Lambda that takes its time."""

    def __init__(self, there: ChaliceStage, *states: str, in_use: int = 0) -> None:
        self.exceptions = there.functions.exceptions
        self._mappings = [*there.mappings().values()]
        self._states = [*states]
        self._in_use = in_use
        self.deleted: list[str] = []

    def get_paginator(self, _name: str) -> "Lambda":
        return self

    def paginate(self) -> list[Any]:
        state = self._states.pop(0)
        return [{"EventSourceMappings": [it | {"State": state} for it in self._mappings]}]

    def delete_event_source_mapping(self, UUID: str) -> None:  # noqa: N803  # boto3's name
        if self._in_use:
            self._in_use -= 1
            error = {"Error": {"Code": "ResourceInUseException"}}
            raise self.exceptions.ResourceInUseException(error, "DeleteEventSourceMapping")
        self.deleted.append(UUID)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.event_sources._POLL_S", 0.0)
    monkeypatch.setattr("infra.checking._POLL_S", 0.0)


@pytest.mark.parametrize("end", ["Creating", "Enabling", "Enabled"])
@pytest.mark.usefixtures("hurried")
def test_a_source_that_is_being_changed_is_waited_for(end: str, there: ChaliceStage) -> None:
    client = Lambda(there, "Updating", "Updating", end)

    check_sources(EventSources(there.stage, client), there.stream)

    assert client._states == []


@pytest.mark.usefixtures("hurried")
def test_what_is_being_deleted_is_waited_for_and_does_not_count(there: ChaliceStage) -> None:
    sources = EventSources(
        there.stage, Lambda(there, "Deleting", "Deleting", "Deleting", "Enabled")
    )

    assert sources.found() == []
    sources.settle()

    assert sources.functions._states == []


@pytest.mark.usefixtures("hurried")
def test_a_source_that_is_in_use_is_removed_in_the_end(there: ChaliceStage) -> None:
    client = Lambda(there, "Enabled", in_use=2)
    sources = EventSources(there.stage, client)
    mappings = [mapping for _, mapping in sources.found()]

    told = [*sources.remove(mappings)]

    assert client.deleted == [it["UUID"] for it in mappings]
    assert f"{HANDLER}-changes doesn't read {there.stream} any more" in told


@pytest.mark.usefixtures("hurried")
def test_patience_ends(there: ChaliceStage) -> None:
    sources = EventSources(there.stage, Lambda(there, "Deleting", "Enabled", in_use=1), 0.0)
    sources.settle()

    with pytest.raises(there.functions.exceptions.ResourceInUseException):
        [*sources.remove([mapping for _, mapping in sources.found()])]


def test_a_disabled_source_is_enabled_and_that_is_told(there: ChaliceStage) -> None:
    uuid = there.of("deliver")
    there.functions.update_event_source_mapping(UUID=uuid, Enabled=False)

    told = [*there.deployed.sources.enable(there.stream)]
    again = [*there.deployed.sources.enable(there.stream)]

    arn = there.mappings()[uuid]["EventSourceArn"]
    assert told == [f"{HANDLER}-deliver reads {arn} again, which was disabled"]
    assert again == []
    assert there.mappings()[uuid]["State"] == "Enabled"


def test_what_is_of_another_kind_or_another_stage_is_left_alone(there: ChaliceStage) -> None:
    one, *_ = there.mappings().values()
    other = one["FunctionArn"].replace("-dev-", "-prod-")
    foreign = [
        {key: it for key, it in one.items() if key != "EventSourceArn"},
        one | {"EventSourceArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/one"},
        one | {"FunctionArn": other},
    ]
    client = Lambda(there, "Enabled")
    client._mappings = foreign

    assert EventSources(there.stage, client).found() == []


def test_what_a_deleted_function_read_is_found(there: ChaliceStage) -> None:
    there.functions.delete_function(FunctionName=f"{HANDLER}-retry")

    assert "retry" in [name for name, _ in there.deployed.sources.found()]
