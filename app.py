"""Chalice, known here alone: its request to ours and back, and the routes from our table."""
# ruff: noqa: E402 - what is done before the imports hastens them

import gc

# Hardly anything that a start makes is garbage, and looking for it takes a sixth of the time.
gc.disable()

from typing import Any
from urllib.parse import unquote

from chalice.app import Chalice, DynamoDBEvent, SQSEvent
from chalice.app import Response as ChaliceResponse

from chalicelib.api.headers import CONTENT_TYPE
from chalicelib.api.routes import ROUTES
from chalicelib.events.queues import Queue
from chalicelib.protocol.messages import Request, Response, encoded
from chalicelib.setting_values import parse_host, parse_scheme
from chalicelib.storage.deadlines import Deadline
from chalicelib.wiring import application_from_environment

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""Every method is registered at every address: the router refuses those that an endpoint lacks."""

app = Chalice(app_name="kinto-serverless")
application = application_from_environment()

STREAM = application.settings.objects_stream_arn or "KINTO_OBJECTS_STREAM_ARN is not set"
QUEUES = {queue: queue.of_stage(application.settings.stage) for queue in Queue}

AT_ONCE = 20
"""Functions that purge, or that endpoints which hang hold up: the account's are not endless."""


def answer(**_path_parameters: str) -> ChaliceResponse:
    """Answer the current request; its path is read whole."""
    current = app.current_request
    context: Any = current.lambda_context if current else None
    if current is None or context is None:
        raise RuntimeError("called outside of a request")
    deadline = _deadline_of(context)
    body = current.raw_body
    raw = body.encode() if isinstance(body, str) else body
    request = to_request(current.to_original_event(), raw, context.aws_request_id)
    return to_chalice(application.service.respond(request, deadline))


@app.on_dynamodb_record(STREAM, batch_size=100, starting_position="TRIM_HORIZON", name="changes")
def changes(event: DynamoDBEvent) -> None:
    """Queue what changes of objects leave behind."""
    application.background.changes.handle(event.to_dict()["Records"])


@app.on_sqs_message(QUEUES[Queue.PURGES], batch_size=1, name="purge", maximum_concurrency=AT_ONCE)
def purge(event: SQSEvent) -> None:
    """Remove what deleted objects left behind."""
    for message in event:
        application.background.purge.handle(message.body, _deadline_of(event.context))


@app.on_sqs_message(QUEUES[Queue.DELIVERIES], batch_size=1, name="deliver")
def deliver(event: SQSEvent) -> None:
    """Tell listeners of changes, in the order in which these came."""
    _deliver(event, spares=False)


@app.on_sqs_message(QUEUES[Queue.RETRIES], batch_size=1, name="retry", maximum_concurrency=AT_ONCE)
def retry(event: SQSEvent) -> None:
    """Tell listeners what they didn't take before."""
    _deliver(event, spares=True)


def _deliver(event: SQSEvent, *, spares: bool) -> None:
    for message in event:
        starts = int(message.to_dict()["attributes"]["ApproximateReceiveCount"])
        application.background.deliver.handle(message.body, starts, spares=spares)


def _deadline_of(context: Any) -> Deadline:
    return Deadline(lambda: context.get_remaining_time_in_millis() / 1000)


def to_request(event: dict[str, Any], body: bytes, request_id: str) -> Request:
    """The gateway's event as our Request."""
    context = event["requestContext"]
    headers = _headers_of(event)
    parameters = event["multiValueQueryStringParameters"] or {}
    return Request(
        method=context["httpMethod"],
        path=unquote(
            context["path"].removeprefix(_stage_prefix(context)), errors="surrogateescape"
        ),
        query=tuple((name, value) for name, values in parameters.items() for value in values),
        headers=headers,
        body=body,
        base_url=_base_url(headers) + _stage_prefix(context),
        id=request_id,
    )


def _headers_of(event: dict[str, Any]) -> dict[str, str]:
    """By name in lower case; one that came several times is one list."""
    several = event.get("multiValueHeaders")
    if several:
        return {name.lower(): ", ".join(values) for name, values in several.items()}
    return {name.lower(): value for name, value in (event["headers"] or {}).items()}


def _base_url(headers: dict[str, str]) -> str:
    """Where the client asked, for the addresses in answers; nothing else that it may have sent."""
    try:
        scheme = parse_scheme(headers.get("x-forwarded-proto", "http"))
        return f"{scheme}://{parse_host(headers.get('host', 'localhost'))}"
    except ValueError:
        return "http://localhost"


def _stage_prefix(context: dict[str, Any]) -> str:
    """The stage as the path begins with it; a custom domain has none."""
    is_default_domain = ".execute-api." in context.get("domainName", "")
    return f"/{context['stage']}" if is_default_domain else ""


def to_chalice(response: Response) -> ChaliceResponse:
    """Our Response as Chalice's."""
    headers: dict[str, str | list[str]] = {**response.headers, **CONTENT_TYPE}
    body = ""
    if response.body is not None or response.says_null:
        body = encoded(response.body)
    return ChaliceResponse(body, headers, response.status)


for pattern in ["/", *(route.pattern for route in ROUTES), "/{proxy+}"]:
    app.route(pattern.rstrip("/") or "/", methods=METHODS, content_types=[])(answer)

gc.freeze()  # what is there now stays: no collection looks at it again
gc.enable()
