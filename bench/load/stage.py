"""The stage under load, and the bucket that a load test has there."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import urllib3

from bench.load.options import LoadError
from chalicelib.protocol.messages import JsonObject

GROUP: Final = "team"
SHARED: Final = "shared"
NOTES: Final = 10
MOST_IN_BATCH: Final = 25

SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "text": {"type": "string"},
        "done": {"type": "boolean"},
        "priority": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["title", "priority"],
}

_PATIENT: Final = urllib3.Retry(
    total=6,
    redirect=0,
    backoff_factor=0.5,
    status_forcelist=(429, 503),
    allowed_methods=None,
    raise_on_status=False,
)
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=35)


class Stage:
    """A service, as the organizer of a load test sees it.

    All that is written is below one bucket, which nobody can read but its users.
    """

    def __init__(self, url: str, authorization: str | None) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            url: of the API's root, without a slash at the end.
            authorization: the header of all users; None for one of its own for each of them.
        """
        self.url = url
        self.bucket = f"load-{secrets.token_hex(6)}"
        self.checks_schemas = False
        self._given = authorization
        self.organizer = self.authorization()
        self._members: tuple[str, ...] = ()
        self._inviting = threading.Lock()
        self._connections = urllib3.PoolManager(
            timeout=_TIMEOUT, headers={"Authorization": self.organizer}
        )

    def authorization(self) -> str:
        """The header of a user who wasn't there before, or of the one whom the operator gave."""
        if self._given is not None:
            return self._given
        user = f"{secrets.token_hex(8)}:{secrets.token_urlsafe(24)}"
        return f"Basic {base64.b64encode(user.encode()).decode()}"

    def check(self) -> None:
        """See whether this is a Kinto that takes writes of its users.

        Raises:
            LoadError: it isn't, or can't be reached.
        """
        status, body = self._ask("GET", "/", retries=False)
        try:
            hello = {"project_name", "http_api_version"} <= body.keys()
            settings, capabilities = body["settings"], body["capabilities"]
            readonly, limit = settings.get("readonly"), settings.get("batch_max_requests")
        except (AttributeError, KeyError, TypeError):
            hello = False
        if status != 200 or not hello:
            raise LoadError(f"{self.url} is no Kinto: it answers {status}, without Kinto's hello")
        if readonly:
            raise LoadError(f"{self.url} is read-only")
        if limit is not None and limit < MOST_IN_BATCH:
            raise LoadError(f"{self.url} takes batches of {limit}; {MOST_IN_BATCH} are needed")
        if "user" not in body:
            whose = "Basic authentication" if self._given is None else "KINTO_LOAD_AUTH"
            hint = "; name one that it knows: KINTO_LOAD_AUTH" if self._given is None else ""
            raise LoadError(f"{self.url} doesn't know a user of {whose}{hint}")
        self.checks_schemas = "schema" in capabilities

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the bucket; at the end, however that comes, it is deleted with all that is in it.

        Raises:
            LoadError: it can't be made, or not deleted.
        """
        try:
            self._make()
            yield
        finally:
            self._delete()

    def _delete(self) -> None:
        try:
            status, body = self._ask("DELETE", f"/buckets/{self.bucket}")
        except LoadError as error:
            raise LoadError(f"the bucket {self.bucket} is left: {error}") from error
        if status not in (200, 403, 404):  # 403 of what was never made
            raise LoadError(f"the bucket {self.bucket} is left: {_told(status, body)}")

    def _make(self) -> None:
        reads = {"read": [self.principal]}
        shares = {"read": [self.principal], "record:create": [self.principal]}
        notes = [(f"collections/notes/records/{id}", note_of(id)) for id in _ids(NOTES)]
        requests = [
            _put(f"/buckets/{self.bucket}"),
            _put(self._below(f"groups/{GROUP}"), {"members": []}),
            _put(self._below("collections/notes"), permissions=reads),
            _put(self._below(f"collections/{SHARED}"), permissions=shares),
            *(_put(self._below(path), data) for path, data in notes),
        ]
        status, body = self._ask("POST", "/batch", {"requests": requests})
        told = body.get("responses", []) if isinstance(body, dict) else []
        refused = [it for it in told if it["status"] >= 300]
        if status != 200 or len(told) != len(requests) or refused:
            why = _told(refused[0]["status"], refused[0]["body"]) if refused else ""
            raise LoadError(f"its bucket can't be made: {why or _told(status, body)}")

    @property
    def principal(self) -> str:
        """The group of all users."""
        return self._below(f"groups/{GROUP}")

    @contextmanager
    def inviting(self, number: int, user_id: str) -> Iterator[JsonObject]:
        """The body of a batch by which a user gets collections of his own, and into the group.

        The organizer sends it, one at a time; where that fails, he wasn't invited.
        """
        mine = {"write": [user_id]}
        with self._inviting:
            members = tuple(dict.fromkeys((*self._members, user_id)))
            yield {
                "requests": [
                    _put(self._below(f"groups/{GROUP}"), {"members": members}),
                    _put(self._below(f"collections/own-{number}"), permissions=mine),
                    _put(self._below(f"collections/checked-{number}"), {"schema": SCHEMA}, mine),
                ]
            }
            self._members = members

    def records(self, collection: str) -> str:
        """The path of a list of records."""
        return self._below(f"collections/{collection}/records")

    def _below(self, path: str) -> str:
        return f"/buckets/{self.bucket}/{path}"

    def _ask(
        self,
        method: str,
        path: str,
        body: JsonObject | None = None,
        retries: urllib3.Retry | bool = _PATIENT,
    ) -> tuple[int, Any]:
        sent = {} if body is None else {"json": body}
        try:
            answer = self._connections.request(
                method, self.url + path, redirect=False, retries=retries, **sent
            )
        except urllib3.exceptions.HTTPError as error:
            raise LoadError(
                f"{self.url} can't be reached ({type(error).__name__}), at {method} {path}"
            ) from error
        try:
            return answer.status, json.loads(answer.data)
        except ValueError:
            return answer.status, None


def note_of(id: str) -> JsonObject:
    """What a note of the organizer holds."""
    return {"title": f"Note {id}", "priority": 1}


def note_ids() -> tuple[str, ...]:
    """The ids of the notes that all may read."""
    return _ids(NOTES)


def _ids(count: int) -> tuple[str, ...]:
    return tuple(f"00000000-0000-4000-8000-{number:012d}" for number in range(count))


def _put(
    path: str, data: JsonObject | None = None, permissions: JsonObject | None = None
) -> JsonObject:
    return {
        "method": "PUT",
        "path": path,
        "body": {"data": data or {}, "permissions": permissions or {}},
    }


def _told(status: int, body: Any) -> str:
    """An answer in a few words."""
    message = body.get("message") if isinstance(body, dict) else None
    return f"it answers {status}" + (f" ({message})" if isinstance(message, str) else "")
