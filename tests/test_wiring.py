"""The service as its environment describes it: a secret that is kept elsewhere."""

import boto3
import pytest
from moto import mock_aws

from chalicelib.settings import SettingsError
from chalicelib.wiring import application_from_environment
from tests.doubles import REGION

VARIABLE = "KINTO_USERID_HMAC_SECRET"
NAME = "/kinto/dev/userid-hmac-secret"


@pytest.fixture(autouse=True)
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv(VARIABLE, f"ssm:{NAME}")


def secret() -> str:
    return application_from_environment().settings.userid_hmac_secret


@mock_aws
def test_users_are_those_of_the_secret_itself() -> None:
    boto3.client("ssm", REGION).put_parameter(Name=NAME, Value="kept there", Type="SecureString")

    assert secret() == "kept there"


@mock_aws
def test_a_secret_that_is_not_there_is_refused_by_the_settings_name() -> None:
    with pytest.raises(SettingsError, match=f"{VARIABLE}: ssm:{NAME} can't be had"):
        secret()


def test_chalices_commands_look_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CHALICE_CLI_MODE", "true")

    assert secret() == f"ssm:{NAME}"
