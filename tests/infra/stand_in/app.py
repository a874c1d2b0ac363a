"""An application like ours, as small as the local server's tests need it: it echoes requests.

`/v1/status/<code>` answers with this status, `/v1/item` keeps a text in DynamoDB, and
`/v1/wait?on=<fifo>` answers once something was written there. A PUT of `/v1/object` changes the
table that has a stream: `changes` sends the new text to the queue, and `purge` appends it to the
file `purged`, or raises at "fail"; without a queue, `changes` raises.
"""

import json
from pathlib import Path
from typing import Any

import boto3
from chalice import Chalice, Response

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

app = Chalice(app_name="stand-in")


def _item(method: str, body: bytes) -> str:
    table = boto3.resource("dynamodb").Table("kinto-dev-access")
    key = {"principal": "p", "object": "o"}
    if method == "PUT":
        table.put_item(Item={**key, "text": body.decode()})
    return str(table.get_item(Key=key, ConsistentRead=True)["Item"]["text"])


def _put_object(body: bytes) -> None:
    table = boto3.resource("dynamodb").Table("kinto-dev-objects")
    table.put_item(Item={"parent": "p", "id": "o", "text": body.decode()})


@app.lambda_function(name="changes")
def changes(event: dict[str, Any], _context: Any) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="kinto-dev-purges")["QueueUrl"]
    for record in event["Records"]:
        sqs.send_message(QueueUrl=url, MessageBody=record["dynamodb"]["NewImage"]["text"]["S"])


@app.lambda_function(name="deliver")
def deliver(event: dict[str, Any], _context: Any) -> None:
    """Nothing is delivered here."""


@app.lambda_function(name="retry")
def retry(event: dict[str, Any], _context: Any) -> None:
    """Nothing is delivered here."""


@app.lambda_function(name="purge")
def purge(event: dict[str, Any], _context: Any) -> None:
    [record] = event["Records"]
    if record["body"] == "fail":
        raise ValueError("as it was asked for")
    with Path("purged").open("a") as file:
        file.write(record["body"] + "\n")


def _view(**values: str) -> Response:
    request = app.current_request
    path = request.context["path"]
    echo: dict[str, Any] = {
        "method": request.method,
        "path": path,
        "route": request.context["resourcePath"],
        "values": values,
        "query": dict((request.to_original_event()["multiValueQueryStringParameters"]) or {}),
        "headers": dict(request.headers),
        "body": request.raw_body.decode("latin-1"),
        "remaining_ms": app.lambda_context.get_remaining_time_in_millis(),
    }
    if path == "/v1/item":
        echo["item"] = _item(request.method, request.raw_body)
    if path == "/v1/object":
        _put_object(request.raw_body)
    if path == "/v1/wait":
        Path(echo["query"]["on"][0]).read_text()
    status = int(path.rpartition("/")[2]) if path.startswith("/v1/status/") else 200
    headers: dict[str, Any] = {"Content-Type": "application/json", "X-Several": ["a", "b"]}
    return Response(json.dumps(echo), headers, status)


def _bucket(bucket: str) -> Response:
    return _view(bucket=bucket)


def _anything(proxy: str = "") -> Response:
    return _view()


app.route("/", methods=METHODS, content_types=[])(_view)
app.route("/v1", methods=METHODS, content_types=[])(_view)
app.route("/v1/buckets/{bucket}", methods=METHODS, content_types=[])(_bucket)
app.route("/{proxy+}", methods=METHODS, content_types=[])(_anything)
