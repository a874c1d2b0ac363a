"""botocore's clients of services beside DynamoDB, each with its patience."""

from typing import Any


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
    # Here, as most functions do without such clients.
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_s, read_timeout=read_s, retries={"total_max_attempts": attempts}
    )
    # A session of its own: sessions are not shared by threads.
    session = botocore.session.get_session()
    return session.create_client(service, region, endpoint_url=endpoint_url, config=config)
