"""The two tables on moto, made once for a module of tests and emptied for each.

Making them takes most of the time of a short test.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.tables import Tables
from infra.tables import create_tables
from tests.doubles import REGION, STAGE


@pytest.fixture(scope="module")
def moto_tables() -> Iterator[Dynamo]:
    """The two tables, with whatever is in them."""
    with mock_aws():
        connection = connect(REGION)
        create_tables(connection.client, STAGE)
        yield Dynamo(connection, Tables.of_stage(STAGE))


@pytest.fixture
def dynamo(moto_tables: Dynamo) -> Dynamo:
    """The two tables, empty."""
    empty()
    return moto_tables


def empty() -> None:
    """Take everything out of the tables and their streams, without a call."""
    for table in _tables().values():
        table.items.clear()
    empty_streams()


def empty_streams() -> None:
    """Take everything out of the streams: for each transaction moto copies all that there is."""
    for table in _tables().values():
        if table.stream_shard is not None:
            table.stream_shard.items.clear()


def saved() -> dict[str, Any]:
    """All that is in the tables, to be restored."""
    return {name: deepcopy(table.items) for name, table in _tables().items()}


def restore(saved_items: dict[str, Any]) -> None:
    """Have in the tables what was in them."""
    for name, table in _tables().items():
        table.items = deepcopy(saved_items[name])


def put_directly(table: str, raws: Iterable[dict[str, Any]]) -> None:
    """Put items as they are, without calls, which are slow, and unseen by streams."""
    found = _tables()[table]
    stream, found.stream_shard = found.stream_shard, None
    for raw in raws:
        found.put_item(raw)
    found.stream_shard = stream


def contents() -> dict[str, Any]:
    """All that is in the tables, to be compared."""
    return {
        name: {
            (hash_key.value, range_key.value): item.to_json()
            for hash_key, items in table.items.items()
            for range_key, item in items.items()
        }
        for name, table in _tables().items()
    }


def _tables() -> dict[str, Any]:
    return dict(dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables)
