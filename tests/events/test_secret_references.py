"""Secrets that are kept elsewhere: `chalicelib/secret_references.py`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from chalicelib.secret_references import SecretError, Secrets, is_reference
from tests.doubles import REGION

MISSING = "ssm:/kinto/missing"


@dataclass
class Time:
    """A clock that is set."""

    at_s: float = 1000.0

    def __call__(self) -> float:
        return self.at_s


@dataclass
class Stores:
    """Both services of moto, and how often each was called."""

    ssm: Any
    secretsmanager: Any
    calls: list[str] = field(default_factory=list)

    def put(self, name: str, value: str) -> None:
        self.ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


@pytest.fixture(scope="module")
def clients() -> tuple[Any, Any]:
    """Clients of both services: making them takes most of the time of a short test."""
    return boto3.client("ssm", REGION), boto3.client("secretsmanager", REGION)


@pytest.fixture
def stores(clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    with mock_aws():
        found = Stores(*clients)
        create = botocore.session.Session.create_client

        def create_and_count(self: Any, service: str, *arguments: Any, **options: Any) -> Any:
            client = create(self, service, *arguments, **options)
            client.meta.events.register(
                "before-call", lambda model, **_: found.calls.append(model.name)
            )
            return client

        monkeypatch.setattr(botocore.session.Session, "create_client", create_and_count)
        yield found


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def secrets(stores: Stores, time: Time) -> Secrets:
    return Secrets(REGION, now_s=time)


@pytest.mark.parametrize(
    "text",
    [
        "ssm:a",
        "ssm:/kinto/dev/webhooks",
        "secretsmanager:kinto",
        "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:kinto-AbCdEf",
    ],
)
def test_a_reference_names_a_service_and_a_secret(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize("text", ["ssm:", "ssm:a b", "ssm:a\n", "secretsmanager:"])
def test_a_reference_to_nothing_is_no_value(text: str, secrets: Secrets, stores: Stores) -> None:
    assert not is_reference(text)
    with pytest.raises(SecretError, match="names no secret"):
        secrets.value_of(text)
    assert stores.calls == []


@pytest.mark.parametrize("text", ["", "ssm", " ssm:a", "SSM:a", "s3:a", "whsec_ssm:a"])
def test_any_other_text_is_its_own_value(text: str, secrets: Secrets, stores: Stores) -> None:
    assert not is_reference(text)
    assert secrets.value_of(text) == text
    assert stores.calls == []


def test_a_parameter_is_decrypted(secrets: Secrets, stores: Stores) -> None:
    stores.put("/kinto/a", "whsec_1 whsec_2")

    assert secrets.value_of("ssm:/kinto/a") == "whsec_1 whsec_2"


def test_a_secret_is_found_by_name_and_by_arn(secrets: Secrets, stores: Stores) -> None:
    arn = stores.secretsmanager.create_secret(Name="kinto", SecretString='{"a":1}')["ARN"]

    assert secrets.value_of("secretsmanager:kinto") == '{"a":1}'
    assert secrets.value_of(f"secretsmanager:{arn}") == '{"a":1}'


def test_a_value_is_looked_up_once_in_five_minutes(
    secrets: Secrets, stores: Stores, time: Time
) -> None:
    stores.put("a", "old")
    secrets.value_of("ssm:a")
    stores.put("a", "new")
    time.at_s += 299.9

    assert secrets.value_of("ssm:a") == "old"
    assert stores.calls == ["GetParameter"]

    time.at_s += 0.1

    assert secrets.value_of("ssm:a") == "new"
    assert stores.calls == ["GetParameter"] * 2


def test_each_reference_has_its_own_value(secrets: Secrets, stores: Stores) -> None:
    stores.put("a", "1")
    stores.put("b", "2")
    stores.secretsmanager.create_secret(Name="a", SecretString="3")

    values = [secrets.value_of(text) for text in ("ssm:a", "ssm:b", "secretsmanager:a", "ssm:a")]

    assert values == ["1", "2", "3", "1"]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (MISSING, "ParameterNotFound"),
        ("secretsmanager:missing", "ResourceNotFoundException"),
        ("secretsmanager:binary", "it is not a text"),
    ],
)
def test_a_secret_that_is_not_there_is_named(
    secrets: Secrets, stores: Stores, reference: str, why: str
) -> None:
    stores.secretsmanager.create_secret(Name="binary", SecretBinary=b"hidden")

    with pytest.raises(SecretError) as caught:
        secrets.value_of(reference)

    assert str(caught.value) == f"{reference} can't be had: {why}"


def test_a_service_that_is_not_reached_is_told(
    secrets: Secrets, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_calls(monkeypatch)

    with pytest.raises(SecretError, match=r"^ssm:a can't be had: EndpointConnectionError$"):
        secrets.value_of("ssm:a")


def test_a_failure_is_not_kept(secrets: Secrets, stores: Stores) -> None:
    with pytest.raises(SecretError):
        secrets.value_of(MISSING)
    stores.put("/kinto/missing", "there")

    assert secrets.value_of(MISSING) == "there"


def test_an_old_value_does_while_it_can_not_be_looked_up(
    secrets: Secrets, stores: Stores, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    stores.put("a", "old")
    secrets.value_of("ssm:a")
    time.at_s += 300

    with pytest.MonkeyPatch.context() as patch:
        break_calls(patch)

        assert secrets.value_of("ssm:a") == "old"
        assert [entry for entry in caplog.records if entry.name.startswith("chalicelib")] == []


def test_after_a_failure_a_value_is_looked_up_half_a_minute_later(
    secrets: Secrets, stores: Stores, time: Time
) -> None:
    stores.put("a", "old")
    secrets.value_of("ssm:a")
    time.at_s += 300
    with pytest.MonkeyPatch.context() as patch:
        break_calls(patch)
        secrets.value_of("ssm:a")
    stores.put("a", "new")
    time.at_s += 29.9

    assert secrets.value_of("ssm:a") == "old"

    time.at_s += 0.1

    assert secrets.value_of("ssm:a") == "new"


def test_a_client_is_made_when_a_value_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []

    class Client:
        def get_secret_value(self, **asked: Any) -> dict[str, Any]:
            return {"SecretString": str(asked)}

    def create(self: Any, service: str, region: str, *, endpoint_url: str, config: Any) -> Client:
        limits = (config.connect_timeout, config.read_timeout, config.retries)
        made.append((service, region, endpoint_url, limits))
        return Client()

    monkeypatch.setattr(botocore.session.Session, "create_client", create)
    secrets = Secrets("eu-north-1", "http://localhost:1")

    assert made == []

    for name in ("a", "b"):
        secrets.value_of(f"secretsmanager:{name}")

    limits = (1, 2, {"total_max_attempts": 2})
    assert made == [("secretsmanager", "eu-north-1", "http://localhost:1", limits)]


def break_calls(patch: pytest.MonkeyPatch) -> None:
    """Have no service reached from here on."""

    def fail(*_: Any, **__: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://hidden")

    patch.setattr("botocore.client.BaseClient._make_api_call", fail)
