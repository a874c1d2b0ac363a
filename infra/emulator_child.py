"""What runs in the emulator's process: ministack, until the standard input ends.

The parent holds the other end of it, and lets go of it when it ends, however it does. Where
functions are to run, ministack is corrected in what would make them run otherwise than on AWS.
"""

import gzip
import json
import os
import signal
import sys
import tempfile
import threading
import time
import types
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_GROUPS_AT_ONCE = 32
_BATCHES = ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
_PAYLOAD_BYTES = 6_291_456
"""What Lambda takes as an event, and gives as an answer."""
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
_unpacking = threading.Lock()


def _end_with_parent() -> None:
    os.read(0, 1)  # gives nothing at its end, which is all that ever comes
    # With us the processes of functions, in our group: they would go on until their time is over.
    end = os.killpg if os.getpgrp() == os.getpid() else os.kill
    while True:  # once more if it was swallowed: before the data are loaded, SIGTERM just ends us
        end(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def _run_groups_in_parallel() -> None:
    """Have FIFO queues hand over one message of each group at a time, not one in all.

    ministack is serial because a batch may span groups. One of a single message doesn't, and it
    receives none of a group of which it has one in flight.
    """
    from ministack.services import lambda_svc

    at_once = lambda_svc._sqs_esm_concurrency

    def groups_at_once(esm: Any, function: Any, config: Any, queue: Any = None) -> Any:
        if esm.get("BatchSize") != 1 or not (queue or {}).get("is_fifo"):
            return at_once(esm, function, config, queue)
        of_mapping = (esm.get("ScalingConfig") or {}).get("MaximumConcurrency")
        of_function = lambda_svc._reserved_concurrency(function, config)
        return min(it for it in (_GROUPS_AT_ONCE, of_mapping, of_function) if it is not None)

    lambda_svc._sqs_esm_concurrency = groups_at_once


def _tell_the_domain() -> None:
    """Have requests' events tell the domain that was asked, as API Gateway's do."""
    from ministack.services import apigateway_v1

    build = apigateway_v1._build_lambda_event_v1

    def with_domain(*given: Any, **named: Any) -> Any:
        event = build(*given, **named)
        host = event["headers"].get("host", "")
        event["requestContext"]["domainName"] = host.partition(":")[0]
        if ".execute-api." not in host:  # custom domains' paths begin without the stage
            event["requestContext"]["path"] = event["path"]
        return event

    apigateway_v1._build_lambda_event_v1 = with_domain


def _import_gateway_answers() -> None:
    """Have the gateway's own answers come with the definition of an API."""
    from ministack.services import apigateway_v1

    imported = apigateway_v1._import_rest_api

    def with_answers(definition: Any, *given: Any) -> Any:
        api_id = imported(definition, *given)
        answers = definition.get("x-amazon-apigateway-gateway-responses", {})
        for response_type, answer in answers.items():
            apigateway_v1._put_gateway_response(api_id, response_type, answer)
        return api_id

    apigateway_v1._import_rest_api = with_answers


class _GatewayAnswersError(Exception):
    """It is the gateway that answers, in the way that this response type has."""


def _answer_for_functions() -> None:
    """Have the gateway answer where a function can't, or can't be asked.

    ministack tells of a function's end in words of its own, and of no limit of Lambda's.
    """
    from ministack.services import apigateway_v1

    execute = apigateway_v1._execute_in_scope
    call = apigateway_v1._call_lambda_raw
    shape = apigateway_v1._lambda_proxy_response

    async def call_within_limits(function: Any, event: Any, **named: Any) -> Any:
        if len(json.dumps(event, ensure_ascii=False).encode()) > _PAYLOAD_BYTES:
            raise _GatewayAnswersError("REQUEST_TOO_LARGE")
        return await call(function, event, **named)

    def answer_of(result: Any) -> Any:
        failed = result.get("error") or result.get("throttle")
        if failed or len(str(result.get("body")).encode()) > _PAYLOAD_BYTES:
            raise _GatewayAnswersError("DEFAULT_5XX")
        return shape(result)

    async def execute_or_answer(request: Any, *given: Any) -> Any:
        try:
            return await execute(request, *given)
        except _GatewayAnswersError as error:
            return apigateway_v1._gw_error(str(error), "")

    apigateway_v1._call_lambda_raw = call_within_limits
    apigateway_v1._lambda_proxy_response = answer_of
    apigateway_v1._execute_in_scope = execute_or_answer


def _compress() -> None:
    """Have requests' bodies unpacked and answers packed, where an API compresses."""
    from ministack.services import apigateway_v1

    build = apigateway_v1._build_lambda_event_v1
    execute = apigateway_v1._execute_in_scope

    def build_unpacked(*given: Any, **named: Any) -> Any:
        *others, headers, body, parameters, values = given
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity":
            headers = {name: it for name, it in headers.items() if name != "content-encoding"}
            try:
                body = _UNPACK[encoding](body)
            except (KeyError, OSError, EOFError, zlib.error) as error:
                raise _GatewayAnswersError("UNSUPPORTED_MEDIA_TYPE") from error
        return build(*others, headers, body, parameters, values, **named)

    async def execute_packed(request: Any, *given: Any) -> Any:
        answer = await execute(request, *given)
        least = apigateway_v1._rest_apis[request["api_id"]]["minimumCompressionSize"]
        if not isinstance(answer, tuple) or least in (None, ""):
            return answer
        status, headers, body = answer
        if len(body) < int(least) or "gzip" not in request["headers"].get("accept-encoding", ""):
            return answer
        return status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body)

    apigateway_v1._build_lambda_event_v1 = build_unpacked
    apigateway_v1._execute_in_scope = execute_packed


def _import_definitions() -> None:
    """Have an API created, or overwritten, from its definition, as `chalice deploy` asks for it."""
    from ministack.services import apigateway_v1

    handle = apigateway_v1.handle_request

    async def with_imports(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
        kind, *names = path.strip("/").split("/")
        if kind == "restapis" and method == "POST" and not names and "mode" in query:
            return apigateway_v1._get_rest_api(apigateway_v1._import_rest_api(json.loads(body)))
        if kind == "restapis" and method == "PUT" and len(names) == 1:
            _overwrite(names[0], json.loads(body))
            return apigateway_v1._get_rest_api(names[0])
        return await handle(method, path, headers, body, query)

    apigateway_v1.handle_request = with_imports


def _overwrite(api_id: str, definition: Any) -> None:
    from ministack.services import apigateway_v1

    imported = apigateway_v1._import_rest_api(definition)
    for parts in (apigateway_v1._resources, apigateway_v1._gateway_responses):
        parts[api_id] = parts[imported]
    apigateway_v1._delete_rest_api(imported)


def _give_code_of_versions() -> None:
    """Have the code of a function's version be what that was published with."""
    from ministack.services import lambda_svc

    get, serve = lambda_svc._get_function, lambda_svc.serve_function_code

    def get_version(name: str, qualifier: str | None = None) -> Any:
        status, headers, body = get(name, qualifier)
        if not (qualifier or "").isdigit():
            return status, headers, body
        return status, headers, body.replace(f"/{name}?".encode(), f"/{name}:{qualifier}?".encode())

    def serve_version(name: str, *given: Any, **named: Any) -> Any:
        function, _, version = name.partition(":")
        if not version:
            return serve(name, *given, **named)
        scope = (named["account_id"], named["region"], function)
        code = lambda_svc._functions.get_scoped(*scope)["versions"][version]["code_zip"]
        return 200, {"Content-Type": "application/zip"}, code

    lambda_svc._get_function = get_version
    lambda_svc.serve_function_code = serve_version


def _have_functions_ready() -> None:
    """Have functions ready as soon as they are changed: who waits for them looks each 5 s."""
    from ministack.services import lambda_svc

    lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 0


def _take_expressions() -> None:
    """Have alarms on expressions of metrics created; none is ever evaluated here."""
    from ministack.services.cloudformation import provisioners

    record = provisioners._cw_metric_alarm_record

    def with_expressions(name: str, properties: Any) -> Any:
        given = dict(properties)
        if metrics := given.pop("Metrics", None):
            given |= {"MetricName": "expression", "Namespace": "expression"}
        return {**record(name, given), **({"Metrics": metrics} if metrics else {})}

    provisioners._cw_metric_alarm_record = with_expressions


def _authorize_batches() -> None:
    """Have batches of messages authorized as AWS does: as the action on one.

    There is no action of IAM by these calls' own names.
    """
    from ministack.core import iam_actions

    find = iam_actions._action_from_target

    def of_one(headers: Any) -> Any:
        action = find(headers)
        return action.removesuffix("Batch") if action in _BATCHES else action

    iam_actions._action_from_target = of_one


class _UnpackedOnce(zipfile.ZipFile):
    """An archive that is unpacked once, with links to it in the places that it is wanted in."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Have this folder, which is empty, lead to the contents."""
        contents = hash(tuple((file.filename, file.CRC) for file in self.infolist()))
        folder = Path(tempfile.gettempdir(), f"unpacked-{contents:x}")
        with _unpacking:
            if not folder.exists():
                super().extractall(folder)
        Path(path).rmdir()
        Path(path).symlink_to(folder)


def _start_workers_sooner() -> None:
    """Have the processes of functions share their code, and what Python compiled of it.

    ministack unpacks the archive, thousands of files, for each; AWS has that ready.
    """
    from ministack.core import lambda_runtime

    shared = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": _UnpackedOnce})
    lambda_runtime.zipfile = shared


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ministack.app import main

    if "lambda" in os.environ["SERVICES"].split(","):
        _run_groups_in_parallel()
        _tell_the_domain()
        _import_gateway_answers()
        _import_definitions()
        _give_code_of_versions()
        _have_functions_ready()
        _take_expressions()
        _compress()
        _answer_for_functions()  # last, as the others may leave an answer to the gateway
        _authorize_batches()
        _start_workers_sooner()
    sys.argv[1:] = []
    main()
