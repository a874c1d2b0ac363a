"""The connection of a container: pynamodb's, with botocore's client without its walk of the model.

DynamoDB's JSON has the very shape of botocore's parameters and answers, but for binary values. So
it is written and read as it is: of a Query of 100 entries, botocore otherwise takes two thirds of
the time to compare each value with its model. Everything else of a call stays botocore's.
"""

import json
from base64 import b64decode, b64encode
from typing import Any, Final

import botocore
from botocore.config import Config
from botocore.parsers import JSONParser, ResponseParserError, ResponseParserFactory
from botocore.serialize import JSONSerializer
from botocore.session import Session
from botocore.utils import get_environ_proxies
from pynamodb.connection import Connection

from chalicelib.aws_clients import new_session
from chalicelib.storage.deadlines import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from chalicelib.storage.http_session import HttpSession


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object; where it is a binary value, that is decoded."""
    text = value.get("B")
    return {"B": b64decode(text)} if isinstance(text, str) else value


class _Parser(JSONParser):  # type: ignore[misc]
    def _handle_json_body(self, raw_body: bytes, _shape: object) -> Any:
        # A hook is called for each object, so only where there may be something for it.
        hook = _with_bytes if b'"B"' in raw_body else None
        try:
            return json.loads(raw_body or b"{}", object_hook=hook)
        except ValueError as error:
            raise ResponseParserError("the answer is no JSON") from error


class _Parsers(ResponseParserFactory):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._parser = _Parser()

    def create_parser(self, _protocol_name: str) -> _Parser:
        return self._parser


class _Serializer(JSONSerializer):  # type: ignore[misc]
    _to_json: Final = json.JSONEncoder(
        separators=(",", ":"), check_circular=False, default=_base64
    ).encode

    def serialize_to_request(self, parameters: object, operation_model: Any) -> dict[str, Any]:
        request: dict[str, Any] = super().serialize_to_request({}, operation_model)
        request["body"] = self._to_json(parameters).encode()
        return request


class _Endpoint:
    """Where all calls go: found once, as none names an ARN, which is all that tells them apart."""

    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver
        self._found: Any = None

    def construct_endpoint(self, **asked: Any) -> Any:
        if self._found is None:
            self._found = self._resolver.construct_endpoint(**asked)
        return self._found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolver, name)


class _Connection(Connection):
    """pynamodb's, whose client has our parser and serializer."""

    @property
    def session(self) -> Session:
        """Like pynamodb's, one a thread; only clients may be shared."""
        if getattr(self._local, "session", None) is None:
            session = new_session()
            session.register_component("response_parser_factory", _Parsers())
            # botocore's own has a dozen parts, which are put together anew twice a call.
            agent = f"kinto-serverless Botocore/{botocore.__version__}"
            session.set_default_client_config(
                Config(user_agent=agent, account_id_endpoint_mode="disabled")  # of one host
            )
            self._local.session = session
        return self._local.session

    @property
    def client(self) -> Any:
        """Made at the first use, and anew while there are no credentials."""
        client: Any = super().client
        if not isinstance(client._serializer, _Serializer):
            client._serializer = _Serializer()
            client._ruleset_resolver = _Endpoint(client._ruleset_resolver)
            if not get_environ_proxies(client.meta.endpoint_url):
                client._endpoint.http_session = HttpSession(
                    connect_s=CONNECT_TIMEOUT_S,
                    read_s=READ_TIMEOUT_S,
                    verify=client._endpoint.http_session._verify,  # as botocore found it
                )
        return client


def connect(region: str | None = None, endpoint_url: str | None = None) -> Connection:
    """The connection of this container. The client is made at the first call.

    Nothing is repeated by itself, as a transaction that got no answer must be sent again as the
    same, whatever refuses it.
    """
    return _Connection(
        region=region,
        host=endpoint_url,
        connect_timeout_seconds=CONNECT_TIMEOUT_S,
        read_timeout_seconds=READ_TIMEOUT_S,
        max_retry_attempts=0,
        max_pool_connections=64,
    )
