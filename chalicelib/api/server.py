"""The root view and the heartbeats. Rule: spec, "The service", sections 2 and 3."""

from chalicelib.api.calls import Call
from chalicelib.api.capabilities import capabilities_of
from chalicelib.api.headers import retry_after
from chalicelib.protocol.messages import JsonObject, Response


def hello(call: Call) -> Response:
    """What this service is, and who the client is to it."""
    settings = call.settings
    body: JsonObject = {
        "project_name": "kinto",
        "project_version": settings.project_version,
        "http_api_version": "1.4",
        "cliquet_protocol_version": "2",
        "project_docs": settings.project_docs,
        "url": f"{call.request.base_url}/v1/",
        "settings": {
            "batch_max_requests": settings.batch_max_requests,
            "cliquet.batch_max_requests": settings.batch_max_requests,
            "readonly": settings.readonly,
        },
        "capabilities": capabilities_of(settings) | call.plugins.capabilities,
    }
    if settings.eos is not None:
        body["eos"] = settings.eos
    if call.user_id is not None:
        body["user"] = {"id": call.user_id, **call.plugins.about(call.user_id)}
    return Response(200, body)


def heartbeat(call: Call) -> Response:
    """Whether each table takes a write and gives it back; while `readonly`, whether it is read."""
    storage, permission = call.unit.check_tables(reads_only=call.settings.readonly)
    body: JsonObject = {"storage": storage, "permission": permission, "cache": True}
    if storage and permission:
        return Response(200, body)
    return Response(503, body, retry_after(call.settings))


def lbheartbeat(_call: Call) -> Response:
    """That the function runs; touches nothing."""
    return Response(200, {})
