"""Where the time of a request or a delivery goes, for X-Ray; nothing, where that isn't wanted.

Lambda decides at each invocation whether it is traced. If so it makes a segment, and names it in a
header. Below that, what is done is sent to X-Ray's daemon, part by part as each ends: a subsegment
and a datagram each. Rule: X-Ray Developer Guide, "AWS X-Ray segment documents", "Sending segment
documents to the X-Ray daemon". AWS's library for that would be a fifteenth of the package, and gets
security fixes alone.

A function does one thing at a time. So what goes on now is known to all of its threads, and calls
that they make are parts of that.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from chalicelib.protocol.errors import ProtocolError

REMOTE: Final = "remote"
AWS: Final = "aws"

_SAMPLED: Final = "Sampled=1"
_PROTOCOL: Final = b'{"format": "json", "version": 1}\n'
_TOO_MANY_REQUESTS: Final = 429

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Part:
    """What a request or a delivery does, from the beginning of a `with` to its end.

    This one tells nobody of it.
    """

    def __enter__(self) -> "Part":
        """Begin; what goes on until the end is a part of this one."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End; an exception tells that it failed, and how."""

    def annotate(self, **values: str | int | None) -> None:
        """Tell what is known of it, by which traces can be searched; nothing secret."""

    def answered(self, status: int) -> None:
        """Tell how it ended: a status of HTTP, by which X-Ray knows errors and faults."""


UNTRACED: Final = Part()


class Traced(Part):
    """A part that is sent to X-Ray once it has ended.

    Attributes:
        document: what is sent.
    """

    def __init__(
        self,
        tracer: "_Tracer",
        document: dict[str, Any],
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        """Begin; exceptions of `refusals` are errors, and no faults."""
        self.document = {
            **document,
            "type": "subsegment",
            "id": _new_id(),
            "start_time": time.time(),
        }
        self._tracer = tracer
        self._refusals = refusals

    def __enter__(self) -> Part:
        """What goes on until the end is a part of this one."""
        self._tracer.open.append(self.document)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End; an exception tells that it failed, and how."""
        self._tracer.open.remove(self.document)
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """Send it, with the exception that ended it; for one that no `with` ends."""
        if error is not None:
            self._add(error)
        self.document["end_time"] = time.time()
        self._tracer.send(self.document)

    def annotate(self, **values: str | int | None) -> None:
        """Tell what is known of it, by which traces can be searched; nothing secret."""
        known = {name: value for name, value in values.items() if value is not None}
        self.document.setdefault("annotations", {}).update(known)

    def tell(self, **values: Any) -> None:
        """Tell more of it; nothing secret."""
        self.document.setdefault("metadata", {}).setdefault("kinto", {}).update(values)

    def answered(self, status: int) -> None:
        """Tell how it ended: a status of HTTP, by which X-Ray knows errors and faults."""
        self.document["http"] = {"response": {"status": status}}
        if status >= 400:
            self.document["fault" if status >= 500 else "error"] = True
        if status == _TOO_MANY_REQUESTS:
            self.document["throttle"] = True

    def _add(self, error: BaseException) -> None:
        status = error.kind.status if isinstance(error, ProtocolError) else _status_of(error)
        if status is not None:
            self.answered(status)
            return
        self.document["error" if isinstance(error, self._refusals) else "fault"] = True
        # Its type alone: what else an exception says may quote what is secret.
        told = {"id": _new_id(), "type": type(error).__name__}
        self.document["cause"] = {"exceptions": [told]}


def _new_id() -> str:
    return os.urandom(8).hex()


def _status_of(error: BaseException) -> int | None:
    """What whoever was asked has answered, if it did."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


class _Tracer:
    """What a container keeps.

    Attributes:
        open: what is going on, innermost last; nothing while that isn't traced.
    """

    def __init__(
        self,
        stage: str,
        header: Callable[[], str],
        daemon: str,
        when_traced: Callable[[], object],
    ) -> None:
        self.open: list[dict[str, Any]] = []
        self._stage = stage
        self._header = header
        host, _, port = daemon.rpartition(":")
        self._daemon = (host, int(port))
        self._when_traced = when_traced
        self._socket: socket.socket | None = None

    def begin(self, name: str, namespace: str, annotations: Mapping[str, str | int | None]) -> Part:
        header = self._header()
        if _SAMPLED not in header:
            return UNTRACED
        told = dict(field.split("=", 1) for field in header.split(";") if "=" in field)
        if not ("Root" in told and "Parent" in told):
            return UNTRACED
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._when_traced()
        begun = Traced(self, _named(name, namespace, told["Root"], told["Parent"]))
        begun.annotate(stage=self._stage, **annotations)
        return begun

    def part(
        self, name: str, namespace: str = "", refusals: tuple[type[Exception], ...] = ()
    ) -> Traced | None:
        """A part of what is going on; None where that isn't traced."""
        for parent in self.open[-1:]:  # in one step, as another thread may end it
            return Traced(self, _named(name, namespace, parent["trace_id"], parent["id"]), refusals)
        return None

    def send(self, document: Mapping[str, Any]) -> None:
        """Nothing depends on its arrival."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(_PROTOCOL + _encode(document).encode(), self._daemon)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def _named(name: str, namespace: str, trace_id: str, parent_id: str) -> dict[str, Any]:
    place = {"name": name, "trace_id": trace_id, "parent_id": parent_id}
    return {**place, "namespace": namespace} if namespace else place


_tracer = _Tracer("", str, ":0", lambda: None)


def configure(
    stage: str,
    header: Callable[[], str],
    daemon: str,
    when_traced: Callable[[], object] = lambda: None,
) -> None:
    """Have traced what Lambda decides to trace.

    Args:
        stage: an annotation of all that is traced.
        header: gives the trace header of the current invocation; "" where there is none.
        daemon: its host and port, "169.254.79.129:2000", say.
        when_traced: called once, before the first invocation that is traced.
    """
    global _tracer
    _tracer.close()
    _tracer = _Tracer(stage, header, daemon, when_traced)


def begin(name: str, namespace: str = "", **annotations: str | int | None) -> Part:
    """All that an invocation does about one thing.

    Args:
        name: of it in the trace.
        namespace: REMOTE where somebody else does it, who is in X-Ray's map then.
        annotations: what traces are searched by.
    """
    return _tracer.begin(name, namespace, annotations)


def part(
    name: str, about: Mapping[str, str] | None = None, *, refusals: tuple[type[Exception], ...] = ()
) -> Part:
    """A part of what is going on.

    Args:
        name: of it in the trace.
        about: what is told of it, by name.
        refusals: exceptions that are expected, and no fault.
    """
    begun = _tracer.part(name, refusals=refusals)
    if begun is None:
        return UNTRACED
    if about:
        begun.tell(**about)
    return begun


def call_of_aws(service: str) -> Traced | None:
    """A call that is a part of what is going on, to be ended by whoever began it.

    It may be of any thread. None where nothing is traced.

    Args:
        service: its name, as X-Ray has it.
    """
    return _tracer.part(service, AWS)
