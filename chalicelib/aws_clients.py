"""botocore's sessions, and its clients of services beside DynamoDB, each with its patience."""

from typing import Any, Final

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

SERVICES: Final = ("dynamodb", "events", "secretsmanager", "sqs", "ssm")
"""All that are called, as botocore calls them."""


class _Loader(Loader):  # type: ignore[misc]
    def list_available_services(self, _type_name: str) -> tuple[str, ...]:
        # botocore looks for some 400, twice a client, and takes a quarter of its time for that.
        return SERVICES


_LOADER: Final = _Loader()
"""Of all sessions, so that what describes AWS's endpoints is read once."""


def new_session() -> Session:
    """A session of botocore, for one thread, that knows these services."""
    session = get_session()
    session.register_component("data_loader", _LOADER)
    return session


def client_of(
    service: str,
    region: str | None,
    endpoint_url: str | None = None,
    *,
    connect_s: float = 2,
    read_s: float = 5,
    attempts: int = 3,
) -> Any:
    """A client, for whoever keeps it: threads may share it.

    Args:
        service: as botocore calls it.
        region: as botocore finds it, if None.
        endpoint_url: in the place of AWS's own.
        connect_s: how long one attempt may take to connect.
        read_s: how long it may wait for the answer.
        attempts: of each call, in all.
    """
    config = Config(
        connect_timeout=connect_s, read_timeout=read_s, retries={"total_max_attempts": attempts}
    )
    return new_session().create_client(service, region, endpoint_url=endpoint_url, config=config)
