"""Settings, connection, policies and clock put together, once a container.

The only reader of the environment.
"""

import os
from dataclasses import dataclass

from chalicelib.api.service import Service
from chalicelib.auth.loading import load_policies
from chalicelib.events.purging import Changes, Purge
from chalicelib.events.queues import Queues
from chalicelib.observability import configure_logging, log_warning
from chalicelib.plugins.loading import load_plugins
from chalicelib.settings import Settings, unknown_variables
from chalicelib.storage.connection import Dynamo, connect
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage


@dataclass(frozen=True, slots=True)
class Application:
    """What the functions of a stage do.

    Attributes:
        settings: of the stage.
        service: what `api` does.
        changes: what `changes` does.
        purge: what `purge` does.
    """

    settings: Settings
    service: Service
    changes: Changes
    purge: Purge


def application_from_environment() -> Application:
    """What the environment describes. Nothing is called yet.

    Raises:
        SettingsError: a setting can't be read, or what it names (a policy, a plugin, a generator
            of ids) not be made.
    """
    configure_logging()
    settings = Settings.from_environment(os.environ)
    for variable in unknown_variables(os.environ):
        log_warning(f"{variable} is no setting of this version, and has no effect")
    region = os.environ.get("AWS_REGION")
    dynamo = Dynamo(connect(region), Tables.of_stage(settings.stage))
    queues = Queues(settings.stage, region)
    return Application(
        settings=settings,
        service=Service(settings, Storage(dynamo), load_policies(settings), load_plugins(settings)),
        changes=Changes(queues),
        purge=Purge(dynamo, queues),
    )
