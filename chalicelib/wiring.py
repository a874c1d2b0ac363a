"""Settings, connection, policies and clock put together, once a container.

The only reader of the environment.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from chalicelib import tracing
from chalicelib.api.plugins import Plugins
from chalicelib.api.service import Service
from chalicelib.api.subscribers import AfterResourceChanged
from chalicelib.auth.loading import load_policies
from chalicelib.metrics import SILENT, Metrics
from chalicelib.observability import configure_logging, log_warning
from chalicelib.plugins.loading import load_plugins
from chalicelib.secret_references import SecretError, Secrets
from chalicelib.setting_values import CLASSIC, JSON
from chalicelib.settings import Settings, SettingsError, unknown_variables
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage

if TYPE_CHECKING:  # the function that answers requests mostly does without
    from chalicelib.background import Background


class Application:
    """What the functions of a stage do.

    Attributes:
        settings: of the stage.
        service: what `api` does.
    """

    def __init__(
        self, settings: Settings, service: Service, make_background: "Callable[[], Background]"
    ) -> None:
        """Keep the parts."""
        self.settings = settings
        self.service = service
        self._make_background = make_background

    @cached_property
    def background(self) -> "Background":
        """What the other functions do."""
        return self._make_background()


def application_from_environment() -> Application:
    """What the environment describes. Nothing is called yet, but for a secret kept elsewhere.

    Raises:
        SettingsError: a setting can't be read, or what it names (a policy, a plugin, a listener,
            a generator of ids, a secret) not be had.
    """
    is_on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.logging_renderer or (JSON if is_on_lambda else CLASSIC))
    settings = _with_secret(settings)
    for variable in unknown_variables(os.environ):
        log_warning(f"{variable} is no setting of this version, and has no effect")
    if is_chalice_local(os.environ, sys.argv):
        log_warning(
            "nothing is read from the stream and the queues here: listeners of what is committed,"
            " webhooks and the purge don't run; `make serve` runs them; and a secret that is kept"
            " elsewhere isn't looked up, so that users are others"
        )
    region = os.environ.get("AWS_REGION")
    connection = connect(region)
    dynamo = Dynamo(connection, Tables.of_stage(settings.stage))
    plugins = load_plugins(settings)
    if is_on_lambda:
        connection.client  # noqa: B018 - made now, not in the first request's time
        daemon = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000")
        tracing.configure(settings.stage, _header, daemon, lambda: _watch(connection.client))
    metrics = SILENT
    if is_on_lambda:
        metrics = Metrics(settings.stage, with_times=settings.detailed_metrics)
    application = Application(
        settings,
        Service(settings, Storage(dynamo), load_policies(settings), plugins, metrics=metrics),
        partial(_background, settings, plugins, dynamo, region, metrics=metrics),
    )
    if settings.event_listeners or plugins.subscribers.of(AfterResourceChanged):
        application.background  # noqa: B018 - listeners subscribe, or are refused, at the start
    return application


def _header() -> str:
    """What Lambda tells of the trace that this invocation is of."""
    return os.environ.get("_X_AMZN_TRACE_ID", "")


def _watch(client: Any) -> None:
    # Imported here: mostly nothing is traced.
    from chalicelib.storage.traced_calls import watch

    watch(client)


def _with_secret(settings: Settings) -> Settings:
    """With the secret itself, where a setting says where it is kept.

    Chalice's commands have no use for it, and perhaps no right to it.
    """
    if "AWS_CHALICE_CLI_MODE" in os.environ:
        return settings
    kept = Secrets(os.environ.get("AWS_REGION"), os.environ.get("AWS_ENDPOINT_URL") or None)
    try:
        secret = kept.value_of(settings.userid_hmac_secret)
    except SecretError as error:
        raise SettingsError(f"KINTO_USERID_HMAC_SECRET: {error}") from error
    return replace(settings, userid_hmac_secret=secret)


def is_chalice_local(environment: Mapping[str, str], arguments: Sequence[str]) -> bool:
    """Whether we are loaded by `chalice local`, which serves requests and nothing else.

    Args:
        environment: where Chalice says that one of its commands runs.
        arguments: of the process.
    """
    if "AWS_CHALICE_CLI_MODE" not in environment:
        return False
    # Before the command there are options only, of which one has a value.
    words = iter(arguments[1:])
    for word in words:
        if word == "--project-dir":
            next(words, None)
        elif not word.startswith("-"):
            return word == "local"
    return False


def _background(
    settings: Settings,
    plugins: Plugins,
    dynamo: Dynamo,
    region: str | None,
    *,
    metrics: Metrics,
) -> "Background":
    # Imported here: a service without listeners answers requests sooner.
    from chalicelib.background import background_of

    url = os.environ.get("AWS_ENDPOINT_URL", "")
    return background_of(settings, plugins, dynamo, region, metrics=metrics, endpoint_url=url)
