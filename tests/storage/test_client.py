"""The client that takes DynamoDB's JSON as it is, held against botocore's own."""

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pynamodb.connection import Connection

from chalicelib.storage.client import connect
from chalicelib.storage.tables import Tables
from infra.tables import create_tables

REGION = "us-east-1"
TABLE = Tables.of_stage("client").objects
KEY = {"parent": {"S": "p"}, "id": {"S": "i"}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.just('{"B":"AA=="}')
LEAVES = st.one_of(
    TEXTS.map(lambda text: {"S": text}),
    st.integers(-(10**30), 10**30).map(lambda number: {"N": str(number)}),
    st.binary(min_size=1, max_size=20).map(lambda content: {"B": content}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
)
LISTS = st.lists(LEAVES, max_size=3).map(lambda elements: {"L": elements})
MAPS = st.dictionaries(st.sampled_from(["B", "S", "a"]), LEAVES | LISTS, max_size=3).map(
    lambda members: {"M": members}
)
VALUES = LEAVES | LISTS | MAPS | st.lists(MAPS, max_size=2).map(lambda maps: {"L": maps})


@pytest.fixture(scope="module")
def ours() -> Iterator[Connection]:
    with mock_aws():
        connection = connect(REGION)
        create_tables(connection.client, "client")
        yield connection


@pytest.fixture(scope="module")
def botocores(ours: Connection) -> Any:
    return botocore.session.get_session().create_client("dynamodb", REGION)


@given(VALUES)
def test_what_it_writes_and_reads_is_what_botocore_does(
    ours: Connection, botocores: Any, value: dict[str, Any]
) -> None:
    item = {**KEY, "value": value}
    asked = {"RequestItems": {TABLE: {"Keys": [KEY], "ConsistentRead": True}}}

    ours.dispatch("PutItem", {"TableName": TABLE, "Item": item})
    assert botocores.get_item(TableName=TABLE, Key=KEY)["Item"] == item
    botocores.put_item(TableName=TABLE, Item=item)
    assert ours.dispatch("BatchGetItem", asked)["Responses"][TABLE] == [item]


def test_what_cancels_a_transaction_is_told_as_botocore_tells_it(
    ours: Connection, botocores: Any
) -> None:
    put = {
        "TableName": TABLE,
        "Item": KEY,
        "ConditionExpression": "attribute_exists(version)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    item = {**KEY, "value": {"B": b"\x00\xff"}}
    botocores.put_item(TableName=TABLE, Item=item)

    def refused(client: Any) -> Any:
        with pytest.raises(ClientError) as error:
            client.transact_write_items(TransactItems=[{"Put": put}])
        return error.value.response

    mine, theirs = refused(ours.client), refused(botocores)
    assert mine["Error"] == theirs["Error"]
    assert mine["CancellationReasons"] == theirs["CancellationReasons"]


def test_an_answer_that_is_no_json_is_none(ours: Connection) -> None:
    parser = ours.client._endpoint._response_parser_factory.create_parser("json")
    shape = ours.client.meta.service_model.operation_model("Query").output_shape

    with pytest.raises(ResponseParserError):
        parser.parse({"status_code": 200, "headers": {}, "body": b"<html>"}, shape)


def test_dynamodb_is_looked_for_once(ours: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = ours.client._ruleset_resolver
    resolver.construct_endpoint(
        operation_model=ours.client.meta.service_model.operation_model("BatchGetItem"),
        call_args={},
        request_context={},
    )
    monkeypatch.setattr(resolver, "_resolver", None)

    assert ours.dispatch("DescribeTable", {"TableName": TABLE})["Table"]["TableName"] == TABLE
