"""What all tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from moto.core.serialize import AttributePicker

from infra.emulator import emulator

# How long an example takes is no assertion: machines differ.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
}


@pytest.fixture(scope="session", autouse=True)
def _no_account() -> Iterator[None]:
    """Nothing here reaches an AWS account: not by a profile, nor by a variable."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_answers() -> Iterator[None]:
    """Have moto take the members of its answers as they are named.

    It would look for each under several names, which takes it more time than all the rest.
    """
    look = AttributePicker.__call__

    def pick(self: AttributePicker, context: Any) -> Any:
        if isinstance(context.obj, dict):
            return context.obj.get(context.key)
        return look(self, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AttributePicker, "__call__", pick)
        yield


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    """The URL of an emulator that keeps nothing, one for the whole session."""
    with emulator(None) as url:
        yield url
