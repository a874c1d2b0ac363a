"""What each function calls, and what its policy grants: the same, no more and no less.

The functions of `app.py` run here, on moto, and botocore tells what they call.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.handlers
import pytest
from moto import mock_aws

import app
from chalicelib.events.outbound import Answer
from chalicelib.events.queues import Queue
from chalicelib.wiring import Application, application_from_environment
from infra.lambda_events import queue_event, stream_event
from infra.pump import QUEUES
from infra.queues import create_queues, queue_resources
from infra.stages import API, Stage
from infra.stream import StreamReader
from infra.tables import create_tables
from tests.doubles import REGION, basic
from tests.events.test_webhooks import secret
from tests.infra.iam_rights import (
    FUNCTIONS,
    Recorder,
    Right,
    arn,
    differences,
    granted,
    policy_of,
    rights_needed,
)
from tests.test_app import context, event

STAGE = "dev"
TABLE = f"table/kinto-{STAGE}-objects"

HOOK, USER_IDS = f"kinto/{STAGE}/hook", f"kinto/{STAGE}/userid-hmac-secret"
"""What secrets are called, wherever they are kept."""

LISTENERS = {
    # Webhooks answer the status that is their path.
    "ASKED": {"use": "webhook", "event": "ResourceChanged", "url": "https://hooks.example/204"},
    "TAKES": {"use": "webhook", "url": "https://hooks.example/204"},
    "FAILS": {"use": "webhook", "url": "https://hooks.example/503"},
    "GONE": {"use": "webhook", "url": "https://hooks.example/410"},
    "QUEUE": {"use": "sqs"},
    "BUS": {"use": "eventbridge"},
    "READS": {"use": "sqs", "event": "ResourceRead"},
}


def environment() -> dict[str, str]:
    """That of a stage which has every kind of listener, and secrets kept in both places."""
    options = {
        f"KINTO_EVENT_LISTENERS_{name}_{option.upper()}": value
        for name, listener in LISTENERS.items()
        for option, value in listener.items()
    }
    secrets = {
        f"KINTO_EVENT_LISTENERS_{name}_SECRET": f"ssm:/{HOOK} secretsmanager:{HOOK}"
        for name, listener in LISTENERS.items()
        if listener["use"] == "webhook"
    }
    return {
        "KINTO_STAGE": STAGE,
        "KINTO_INCLUDES": "kinto.plugins.default_bucket",
        "KINTO_FLUSH_ENDPOINT_ENABLED": "true",
        "KINTO_EVENT_LISTENERS": " ".join(name.lower() for name in LISTENERS),
        **options,
        **secrets,
    }


def post(url: str, *_: Any, **__: Any) -> Answer:
    """An endpoint that wants to be left alone longer than SQS keeps a message back."""
    return Answer(int(urlsplit(url).path.removeprefix("/")), 3600.0)


class Functions:
    """The functions of a stage, each with its own start, and what AWS does between them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._started: dict[str, Application] = {}
        self._sqs = boto3.client("sqs", REGION)
        dynamodb = boto3.client("dynamodb", REGION)
        create_tables(dynamodb, STAGE)
        create_queues(self._sqs, STAGE)
        streams = boto3.client("dynamodbstreams", REGION)
        self._stream = StreamReader(dynamodb, streams, TABLE.removeprefix("table/"), batch_size=100)

    def run(self, function: str, events: Iterable[dict[str, Any]]) -> list[Any]:
        """What a function answers to these events."""
        handler = app.app if function == API else getattr(app, function)
        with self._recorder.running(function), pytest.MonkeyPatch.context() as patch:
            patch.setattr(app, "application", self._application(function))
            return [handler(each, context(60)) for each in events]

    def _application(self, function: str) -> Application:
        if function not in self._started:
            with pytest.MonkeyPatch.context() as patch:
                if function == API:  # the only one that has it
                    patch.setenv("KINTO_USERID_HMAC_SECRET", f"ssm:/{USER_IDS}")
                self._started[function] = application_from_environment()
        return self._started[function]

    def ask(self, *requests: dict[str, Any]) -> None:
        """Have the API answer these; each succeeds."""
        for asked, answer in zip(requests, self.run(API, requests), strict=True):
            assert answer["statusCode"] < 300, (asked["path"], answer["body"])

    def changes(self) -> list[dict[str, Any]]:
        """What the stream tells, as Lambda hands it over."""
        events = []
        for batch in self._stream.batches():
            events.append(stream_event(batch.records, batch.stream_arn))
            self._stream.advance(batch)
        return events

    def messages(self, queue: Queue) -> list[dict[str, Any]]:
        """What a queue has, one message an event."""
        name = queue.of_stage(STAGE)
        url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        events = []
        while received := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            for message in received:
                events.append(queue_event([message], arn("sqs", name)))
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return events


def request(method: str, path: str, data: Any = None, *, user: str = "alice") -> dict[str, Any]:
    """The gateway's event for a request of this user; `data` is the whole JSON body."""
    path, _, query = path.partition("?")
    return event(
        method,
        f"/v1{path}",
        body=None if data is None else json.dumps(data),
        headers={"Authorization": basic(user)},
        query=parse_qs(query) or None,
    )


BUCKET = "/buckets/blog"
POSTS = f"{BUCKET}/collections/posts"
SMALL, LARGE = "f5a1c6f0-0000-4000-8000-000000000001", "f5a1c6f0-0000-4000-8000-000000000002"
LONG = "".join(map(chr, range(256, 40_000)))  # such that no index holds it
WRITES = [
    request("PUT", BUCKET, {"permissions": {"read": ["/buckets/blog/groups/readers"]}}),
    request("PUT", POSTS, {"permissions": {"record:create": ["system.Authenticated"]}}),
    # More rows than there is room for beside the group: they are put before it. 100 are one
    # transaction, as moto can't take several at once.
    request("PUT", f"{BUCKET}/groups/readers", {"data": {"members": [*map(str, range(99))]}}),
    request("PUT", f"{POSTS}/records/{SMALL}", {"data": {"text": "short"}}, user="bob"),
    request("PUT", f"{POSTS}/records/{LARGE}", {"data": {"text": LONG}}),
    request("PATCH", f"{POSTS}/records/{SMALL}", {"data": {"text": "changed"}}),
    request("DELETE", f"{POSTS}/records/{LARGE}"),
    request("POST", "/batch", {"requests": [{"method": "POST", "path": f"{POSTS}/records"}]}),
    request("PUT", f"/buckets/default/collections/own/records/{SMALL}", {"data": {}}),
]
READS = [
    request("GET", "/__heartbeat__"),
    request("GET", "/"),
    request("GET", "/buckets"),
    request("GET", f"{POSTS}/records/{SMALL}"),
    request("GET", f"{POSTS}/records?_since=0"),
    request("GET", f"{POSTS}/records?text=changed&_sort=text"),
    request("GET", f"{POSTS}/records", user="bob"),
]
DELETIONS = [request("DELETE", f"{POSTS}/records"), request("DELETE", BUCKET)]
FLUSH = [request("POST", "/__flush__")]


def use(functions: Functions) -> None:
    """Have each function do all that it does."""
    functions.ask(*WRITES, *READS)
    functions.run(
        "changes", [*functions.changes(), {"Records": [{"eventID": "no record of ours"}]}]
    )
    deliveries = functions.messages(Queue.DELIVERIES)
    functions.run("deliver", deliveries)
    functions.run("retry", deliveries)
    functions.ask(*DELETIONS)
    for _below in ("the bucket", "its collection"):
        functions.run("changes", functions.changes())
        functions.run("purge", functions.messages(Queue.PURGES))
    functions.ask(*FLUSH)


@pytest.fixture(scope="module")
def needed() -> dict[str, set[Right]]:
    """What each function needed for what it did."""
    recorder = Recorder()
    listening = [*botocore.handlers.BUILTIN_HANDLERS, ("before-parameter-build", recorder.note)]
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setattr(botocore.handlers, "BUILTIN_HANDLERS", listening)
        patch.setattr("chalicelib.events.outlets.post", post)
        for name, value in environment().items():
            patch.setenv(name, value)
        keep_secrets()
        use(Functions(recorder))
    return recorder.needed


def keep_secrets() -> None:
    """Keep those that the settings refer to."""
    parameters = boto3.client("ssm", REGION)
    for name, value in ((HOOK, secret(1)), (USER_IDS, "a secret of the tests")):
        parameters.put_parameter(Name=f"/{name}", Value=value, Type="SecureString")
    boto3.client("secretsmanager", REGION).create_secret(Name=HOOK, SecretString=secret(2))


def by_lambda(function: str) -> set[Right]:
    """What Lambda itself does with a function's role, and no code of ours.

    Its log group is made before it, so it makes none. Rule: Lambda Developer Guide, "Sending Lambda
    function logs to CloudWatch Logs".
    """
    name = Stage.read(STAGE).functions[function]
    log = arn("logs", f"log-group:/aws/lambda/{name}:log-stream:2023/11/14/[$LATEST]1")
    writes = {Right(f"logs:{action}", log) for action in ("CreateLogStream", "PutLogEvents")}
    # Of X-Ray there is nothing narrower. Rule: Lambda Developer Guide,
    # "Visualize Lambda function invocations using AWS X-Ray".
    traces = {Right(f"xray:{each}", "*") for each in ("PutTelemetryRecords", "PutTraceSegments")}
    return writes | traces | polled_for(function)


def polled_for(function: str) -> set[Right]:
    """What the poller of a function's event source needs.

    Rules: DynamoDB Developer Guide, "IAM policy to allow an AWS Lambda function to access DynamoDB
    stream records"; SQS Developer Guide, "Configuring an Amazon SQS queue to trigger an AWS Lambda
    function".
    """
    if function == "changes":
        # Elsewhere AWS says that ListStreams is about all streams. A mapping is content with it on
        # those of the table, as that guide has it.
        reads = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
        stream = arn("dynamodb", f"{TABLE}/stream/2023-11-14T22:13:20.000")
        return {Right(f"dynamodb:{action}", stream) for action in reads}
    if function in QUEUES:
        takes = ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
        queue = queue_resources(STAGE)[QUEUES[function].logical_id]["QueueName"]
        return {Right(f"sqs:{action}", arn("sqs", queue)) for action in takes}
    return set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_policy_grants_what_its_function_does_and_nothing_else(
    function: str, needed: dict[str, set[Right]]
) -> None:
    rights = needed[function] | by_lambda(function)

    assert differences(policy_of(function, STAGE), rights) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_action_or_resource_less_or_more_is_told(
    function: str, needed: dict[str, set[Right]]
) -> None:
    policy = policy_of(function, STAGE)
    rights = needed[function] | by_lambda(function)
    all_grants = [right for name in FUNCTIONS for right in granted(policy_of(name, STAGE))]
    unneeded = {"Action": ["dynamodb:Scan", "logs:CreateLogGroup"], "Resource": ["*"]}

    for part in ("Action", "Resource"):
        others = {getattr(right, part.lower()) for right in all_grants}
        for changed in changes_of(policy, part, {*others, *unneeded[part]}):
            assert differences(changed, rights), changed


def changes_of(policy: dict[str, Any], part: str, others: Collection[str]) -> Iterator[Any]:
    """The policy with one action, or resource, of a statement less, or one of these more."""
    for number, statement in enumerate(policy["Statement"]):
        has = statement[part]
        less = [[each for each in has if each != one] for one in has]
        more = [[*has, other] for other in sorted(others)]
        for changed in [*less, *more]:
            copy = deepcopy(policy)
            copy["Statement"][number][part] = changed
            yield copy


TABLE_ARN = arn("dynamodb", "table/t")


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "rights"),
    [
        ("dynamodb", "GetItem", {"TableName": "t"}, {("dynamodb:GetItem", TABLE_ARN)}),
        (
            "dynamodb",
            "Query",
            {"TableName": "t", "IndexName": "i"},
            {("dynamodb:Query", f"{TABLE_ARN}/index/i")},
        ),
        (
            "dynamodb",
            "TransactWriteItems",
            {"TransactItems": [{kind: {"TableName": "t"}} for kind in ("Put", "ConditionCheck")]},
            {("dynamodb:PutItem", TABLE_ARN), ("dynamodb:ConditionCheckItem", TABLE_ARN)},
        ),
        (
            "sqs",
            "DeleteMessageBatch",
            {"QueueUrl": "https://sqs.example/1/q"},
            {("sqs:DeleteMessage", arn("sqs", "q"))},
        ),
        ("ssm", "GetParameters", {"Names": ["n"]}, {("ssm:GetParameters", "*")}),
        ("s3", "PutObject", {"Bucket": "b"}, {("s3:PutObject", "*")}),
    ],
)
def test_a_call_needs_what_iam_looks_at(
    service: str, operation: str, arguments: dict[str, Any], rights: set[tuple[str, str]]
) -> None:
    assert rights_needed(service, operation, arguments) == rights
