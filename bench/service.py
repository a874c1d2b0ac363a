"""The service on the embedded emulator, in this process."""

import json
from collections.abc import Sequence
from typing import Any

from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.metrics import Metrics
from chalicelib.plugins.loading import load_plugins
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.client import connect
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.deadlines import Deadline
from chalicelib.storage.tables import Tables
from chalicelib.storage.transactions import Storage
from infra.tables import create_tables

STAGE = "bench"
MEMBER = "Basic Ym9iOnNlY3JldA=="
"""Credentials of who has rights by a group alone."""


class Bench:
    """A service on the emulator, and a collection of some size in it."""

    def __init__(self, url: str) -> None:
        """Create the tables and the service."""
        connection = connect("us-east-1", url)
        create_tables(connection.client, STAGE)
        self.tables = Tables.of_stage(STAGE)
        self.client: Any = connection.client
        settings = Settings(
            stage=STAGE,
            includes=("kinto.plugins.default_bucket",),
            experimental_collection_schema_validation=True,
        )
        storage = Storage(Dynamo(connection, self.tables))
        plugins = load_plugins(settings)
        self._service = Service(
            settings, storage, [BasicPolicy("")], plugins, metrics=Metrics(STAGE)
        )

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """The answer of the service."""
        path, _, query = path.partition("?")
        parameters = tuple(tuple(part.split("=")) for part in query.split("&") if part)
        sent = {"authorization": "Basic YWxpY2U6c2VjcmV0"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = Request(method, f"/v1{path}", parameters, sent, body)  # type: ignore[arg-type]
        return self._service.respond(request, Deadline(lambda: 29.0))


def share(bench: Bench, ids: Sequence[str], records: str) -> None:
    """Have these records shared with a group of one member."""
    answer = bench.ask("GET", "/", authorization=MEMBER)
    member = answer.parsed["user"]["id"]
    group = "/buckets/bench/groups/readers"
    bench.ask("PUT", group, json.dumps({"data": {"members": [member]}}).encode())
    shared = json.dumps({"permissions": {"read": [group]}}).encode()
    for id in ids:
        bench.ask("PATCH", f"{records}/{id}", shared)
