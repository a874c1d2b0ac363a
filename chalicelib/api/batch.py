"""`POST /v1/batch`: several requests in one transaction. Rule: spec, "Batch and transactions"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from chalicelib.api.calls import Answer, Call, Unfinished
from chalicelib.api.exchanges import Exchange, Stage
from chalicelib.api.headers import CONTENT_TYPE
from chalicelib.api.refusals import refusal, stopped_by
from chalicelib.observability import log_subrequests
from chalicelib.protocol.batches import parse_batch
from chalicelib.protocol.errors import BACKEND, REQUEST_TOO_LARGE, ProtocolError
from chalicelib.protocol.messages import JsonText, Request, Response, encoded
from chalicelib.storage.items import MAX_ANSWER_BYTES, answer_bytes

_REDIRECT: Final = HTTPStatus.TEMPORARY_REDIRECT
_ANSWERS_TOO_LARGE: Final = "The answers are larger than one answer can be."
_TOO_MUCH_FOR_A_BATCH: Final = "One of the requests takes more than a batch can do."


class _TooMuchError(Exception):
    """A request of the batch needs more than one transaction: the batch is refused as a whole."""


def post_batch(call: Call) -> Answer:
    """The answers to all requests, one after the other, each seeing what those before it did.

    Raises:
        ProtocolError: INVALID_PARAMETERS for a bad payload; REQUEST_TOO_LARGE where the answers
            are more than one can carry, or where a request needs several transactions.
        Exception: what goes wrong in any of them, so that nothing is stored.
    """
    requests = parse_batch(call.request, max_requests=call.settings.batch_max_requests)
    exchanges = [Exchange(request) for request in requests]
    for exchange in exchanges:
        call.pipeline.admit(exchange)
    return _Batch(exchanges).go_on(call)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch on its way.

    Attributes:
        exchanges: its requests that are not carried out.
        answers: to those that are, as JSON.
        size: what these take.
    """

    exchanges: Sequence[Exchange]
    answers: tuple[str, ...] = ()
    size: int = 0

    def go_on(self, call: Call) -> Answer:
        """Carry out all that is left; or just one, where each is to be stored at once."""
        at_once = len(self.exchanges) if call.settings.transaction_per_request else 1
        now, later = self.exchanges[:at_once], self.exchanges[at_once:]
        _load_for(now, call)
        answers, size = self.answers, self.size
        statuses = []
        for exchange in now:
            response = _response_to(exchange, call)
            answer = _entry_of(exchange.request, response)
            size += answer_bytes(answer.encode())
            if size > MAX_ANSWER_BYTES:
                raise ProtocolError(REQUEST_TOO_LARGE, message=_ANSWERS_TOO_LARGE)
            answers = (*answers, answer)
            statuses.append(response.status)
        requests = [exchange.request for exchange in now]
        call.unit.afterwards(lambda: log_subrequests(zip(requests, statuses, strict=True)))
        if not later:
            body = JsonText(f'{{"responses":[{",".join(answers)}]}}')
            return Response(200, body, facts={"batch_size": len(answers)})
        return Unfinished(partial(_stopped, call), _Batch(later, answers, size).go_on)


def _stopped(call: Call, error: Exception) -> Response:
    """The answer where requests before were stored on their own, and so are not to be repeated."""
    if isinstance(error, ProtocolError) and error.kind is not BACKEND:
        return refusal(error)
    return stopped_by(error, call.settings, may_repeat=False)


def _load_for(exchanges: Iterable[Exchange], call: Call) -> None:
    """Read together what all of them need."""
    needs = [exchange.needs(call) for exchange in exchanges]
    call.unit.load(
        [uri for need in needs for uri in need.objects],
        [uri for need in needs for uri in need.lists],
    )


def _entry_of(request: Request, response: Response) -> str:
    """An answer as JSON of an entry of the batch's answer."""
    body = encoded(response.body or {})
    length = len(body.encode())
    headers = {**CONTENT_TYPE, **response.headers, "Content-Length": str(length)}
    entry = encoded({"status": response.status, "path": request.path, "headers": headers})
    shown = '""' if request.method == "HEAD" else body
    return f'{entry[:-1]},"body":{shown}}}'


def _redirected(request: Request, location: str) -> Request:
    path, _, _query = location.removeprefix(request.base_url).partition("?")
    return replace(request, path=unquote(path))


def _response_to(exchange: Exchange, call: Call) -> Response:
    """The answer to a request, wherever it is redirected to."""
    response = _answer_to(exchange, call)
    while response.status == _REDIRECT:
        exchange.request = _redirected(exchange.request, response.headers["Location"])
        exchange.match = exchange.outcome = None
        response = _answer_to(exchange, call)
    return response


def _answer_to(exchange: Exchange, call: Call) -> Response:
    def carry_out(stage: Stage) -> Response:
        savepoint = call.unit.savepoint()
        try:
            answer = stage(exchange.call_of(call))
        except ProtocolError:
            call.unit.roll_back(savepoint)
            raise
        if isinstance(answer, Unfinished):
            raise _TooMuchError
        return answer

    try:
        return call.pipeline.answer(exchange, carry_out)
    except _TooMuchError as error:
        raise ProtocolError(REQUEST_TOO_LARGE, message=_TOO_MUCH_FOR_A_BATCH) from error
