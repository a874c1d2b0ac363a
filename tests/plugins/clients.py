"""Clients of services with plugins."""

from collections.abc import Sequence
from typing import Any

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.policies import Policy
from chalicelib.plugins.loading import load_plugins
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import body_of
from tests.doubles import SECRET, STAGE, Client, SetClock

DEFAULT_BUCKET = "kinto.plugins.default_bucket"


def client_of(
    dynamo: Dynamo,
    clock: SetClock | None = None,
    *,
    policies: Sequence[Policy] | None = None,
    **settings: Any,
) -> Client:
    """A client of a service with these settings, and the plugins that they include."""
    ours = Settings(**({"stage": STAGE, "userid_hmac_secret": SECRET} | settings))
    asked = [BasicPolicy(ours.userid_hmac_secret)] if policies is None else policies
    storage = Storage(dynamo, clock or SetClock())
    return Client(Service(ours, storage, asked, load_plugins(ours)))


def real_bucket(client: Client, user: str = "alice") -> str:
    """The address that a user's default bucket really has, by the root view."""
    return f"/buckets/{body_of(client.ask('GET', '/', user=user))['user']['bucket']}"
