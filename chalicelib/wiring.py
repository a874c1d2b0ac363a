"""Settings, connection, policies and clock put together, once a container.

The only reader of the environment.
"""

import os

from chalicelib.api.service import Service
from chalicelib.auth.loading import load_policies
from chalicelib.observability import configure_logging, log_warning
from chalicelib.settings import Settings, unknown_variables
from chalicelib.storage.connection import Dynamo, connect
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage


def service_from_environment() -> Service:
    """The service that the environment describes. Nothing is called yet.

    Raises:
        SettingsError: a setting can't be read, or a policy not be made.
    """
    configure_logging()
    settings = Settings.from_environment(os.environ)
    for variable in unknown_variables(os.environ):
        log_warning(f"{variable} is no setting of this version, and has no effect")
    dynamo = Dynamo(connect(os.environ.get("AWS_REGION")), Tables.of_stage(settings.stage))
    return Service(settings, Storage(dynamo), load_policies(settings))
