"""Calls of DynamoDB as parts of what is traced. Imported once something is."""

from collections.abc import Mapping
from typing import Any, Final

from chalicelib.tracing import Traced, call_of_aws

_TRACED: Final = "kinto.traced"
_THROTTLED: Final = ("Throttl", "ThroughputExceeded", "RequestLimitExceeded")
_KEYS: Final = ("parent", "id", "principal", "object")


def watch(client: Any) -> None:
    """Have the calls of this client of botocore traced from now on."""
    events = client.meta.events
    events.register("before-parameter-build.dynamodb", _begin)
    events.register("after-call.dynamodb", _end)
    events.register("after-call-error.dynamodb", _fail)


def _begin(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    call = call_of_aws("DynamoDB")
    if call is not None:
        call.document["aws"] = {"operation": model.name, **_tables_of(params)}
        context[_TRACED] = (call, params)


def _end(parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    if _TRACED not in context:
        return
    call, params = context[_TRACED]
    answer = parsed["ResponseMetadata"]
    call.document["aws"]["request_id"] = answer.get("RequestId")
    call.answered(answer["HTTPStatusCode"])
    if "Error" in parsed:
        _add_refusal(call, params, parsed)
    call.end()


def _fail(exception: Exception, context: Mapping[str, Any], **_: Any) -> None:
    if _TRACED in context:
        call, _params = context[_TRACED]
        call.end(exception)


def _tables_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a call is about, by X-Ray's names."""
    if "TableName" in params:
        return {"table_name": params["TableName"]}
    if "RequestItems" in params:
        return {"table_names": [*params["RequestItems"]]}
    actions = (arguments for action in params["TransactItems"] for arguments in action.values())
    return {"table_names": sorted({arguments["TableName"] for arguments in actions})}


def _add_refusal(call: Traced, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> None:
    """Why a call was refused; and because of which items, which tells where writers meet."""
    code = parsed["Error"].get("Code", "")
    reasons = [reason.get("Code", "None") for reason in parsed.get("CancellationReasons", [])]
    refused = [
        f"{reason}: {_key_of(action)}"
        for reason, action in zip(reasons, params.get("TransactItems", []), strict=False)
        if reason != "None"
    ]
    call.tell(refused=refused or [code])
    if any(throttled in each for each in (code, *reasons) for throttled in _THROTTLED):
        call.document["throttle"] = True


def _key_of(action: Mapping[str, Any]) -> str:
    (arguments,) = action.values()
    key = arguments.get("Key") or arguments["Item"]
    return " ".join(key[name]["S"] for name in _KEYS if name in key)
