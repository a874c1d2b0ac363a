"""What an existing Kinto holds, read through its HTTP API. Any version since 2.0 will do.

Lists are read by time, oldest first, each page from the last time of the page before it: what
changes meanwhile comes again at the end, deletions included. (Kinto's own `Next-Page` ends too
early in old versions where tombstones are among the entries, and is used only where more entries
than a page holds have one and the same time, or one that is to come.) Lists don't tell permissions,
so each object is read on its own, as many as a batch may hold in one request, several requests at a
time.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from chalicelib.protocol.messages import JsonObject, encoded
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.packing import packed

T = TypeVar("T")

Stored: TypeAlias = StoredObject | Tombstone

PAGE_ENTRIES: Final = 500
BATCH_BYTES: Final = 2_000_000
"""What the objects of a batch come to, as their list told: its answer holds them again."""

MOST_IN_BATCH: Final = 25
THREADS: Final = 8

ATTEMPTS: Final = 12
"""With the pauses between them some four minutes, and whatever the source asks for besides."""

FIRST_ATTEMPTS: Final = 2
"""A source that can't be reached at all is mostly a mistake in its URL."""

_LONGEST_PAUSE_S: Final = 30.0
_LONGEST_WAIT_S: Final = 600.0
_LONGEST_REASON: Final = 200
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=120)
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]* \S+")
_TOMBSTONE: Final = frozenset({"id", "last_modified", "deleted"})


class SourceError(Exception):
    """Why the source can't be read, in one line."""


class UnreadableError(SourceError):
    """Something isn't there, or not for this user, or not in this way; all else may be.

    Attributes:
        status: what the source answers.
    """

    def __init__(self, path: str, status: int, body: object) -> None:
        """Say what, with the source's own words for why."""
        told = body.get("message") if isinstance(body, dict) else None
        why = f" ({told[:_LONGEST_REASON]!r})" if isinstance(told, str) else ""
        super().__init__(f"{path} can't be read: the source answers {status}{why}")
        self.status = status


class _BusyError(Exception):
    """What keeps the source from answering now."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a list.

    Attributes:
        entries: objects without permissions, and tombstones, as the list tells them.
        timestamp: the list's, in ms; 0 where that isn't known.
    """

    entries: list[JsonObject]
    timestamp: int = 0


def authorization(text: str) -> str | None:
    """The Authorization header of `user:password`, or of a whole header; None for the anonymous.

    Raises:
        SourceError: it is neither, or no header can hold it.
    """
    if not text:
        return None
    if not text.isprintable():
        raise SourceError("KINTO_IMPORT_AUTH holds what no header can")
    if _HEADER.fullmatch(text):
        return text
    if ":" not in text:
        raise SourceError("KINTO_IMPORT_AUTH is neither user:password nor a whole header")
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def checked_url(text: str) -> str:
    """The root of a Kinto's API, without a slash at the end.

    Raises:
        SourceError: it is none.
    """
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or not re.fullmatch(r"https?://[^?#\s]+/v\d+", url):
        raise SourceError("URL is to be that of an API, such as https://kinto.example.org/v1")
    return url


class Source(AbstractContextManager["Source"]):
    """A Kinto, as one of its users sees it."""

    def __init__(
        self, url: str, authorization: str | None, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Keep what it needs; nothing is called yet.

        Args:
            url: of the API's root, without a slash at the end.
            authorization: the header; None for the anonymous.
            pause: waits so many seconds.
        """
        self._url = url
        self._headers = {} if authorization is None else {"Authorization": authorization}
        self._pause = pause
        self._resumes_at = 0.0
        self._batch = MOST_IN_BATCH
        self._connections = urllib3.PoolManager(
            maxsize=THREADS, timeout=_TIMEOUT, retries=False, headers=self._headers
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="source")

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self._threads.shutdown(cancel_futures=True)
        self._connections.clear()

    def check(self) -> None:
        """Learn how much the source takes at once.

        Raises:
            SourceError: it can't be reached, is no Kinto, or doesn't know the user.
        """
        root = self._patiently(partial(self._ask, "GET", "/"), attempts=FIRST_ATTEMPTS)[0]
        with _as_kinto("/"):
            limit = root["settings"].get("batch_max_requests") or MOST_IN_BATCH
            self._batch = min(int(limit), MOST_IN_BATCH)
        if self._headers and "user" not in root:
            raise SourceError(f"{self._url} doesn't know the user of KINTO_IMPORT_AUTH")

    def pages(self, uri: ListUri) -> Iterator[Page]:
        """All that is in a list, tombstones included, the longest unchanged first.

        Some entries come twice; of an object that changes meanwhile the latest one comes last.

        Raises:
            UnreadableError: the list isn't there, or not for this user.
            SourceError: the source doesn't answer, or not as a Kinto does.
        """
        since = 0
        found: tuple[Page, str | None] | None = self._page(uri, _query_from(since))
        while found:
            page, more = found
            yield page
            last = page.entries[-1]["last_modified"] if page.entries else since
            if last > since:
                since = last
                found = self._page_from(uri, since, more)
            else:
                found = self._page(uri, more) if more else None

    def _page_from(
        self, uri: ListUri, since: int, more: str | None
    ) -> tuple[Page, str | None] | None:
        """The page from a time on, or the one that the source goes on with, if any.

        Newer versions refuse a time that is to come, though objects may have it.
        """
        try:
            return self._page(uri, _query_from(since))
        except UnreadableError as error:
            if error.status != 400:
                raise
        return self._page(uri, more) if more else None

    def count(self, uri: ListUri) -> int | None:
        """How many live objects are in a list; None where the source doesn't tell.

        Raises:
            SourceError: the source doesn't answer.
        """
        try:
            _body, headers = self._patiently(partial(self._ask, "HEAD", str(uri)))
        except UnreadableError:
            return None
        text = headers.get("Total-Objects") or headers.get("Total-Records", "")
        return int(text) if text.isascii() and text.isdecimal() else None

    def _page(self, uri: ListUri, query: str) -> tuple[Page, str | None]:
        """A page, and the query string of the one that the source would go on with."""
        body, headers = self._patiently(partial(self._ask, "GET", f"{uri}?{query}"))
        with _as_kinto(str(uri)):
            timestamp = int(headers.get("ETag", "0").removeprefix("W/").strip('"'))
            # Where it leads is not trusted: it may be another host.
            following = urlsplit(headers.get("Next-Page", "")).query or None
            page = Page([{**entry} for entry in body["data"]], timestamp)
            if not all(_is_entry(entry) for entry in page.entries):
                raise ValueError
        return page, following

    def read(self, uri: ListUri, entries: Sequence[JsonObject]) -> list[Stored]:
        """These objects as they are by now, with their permissions; those that are gone are not.

        Args:
            uri: of their list.
            entries: of it.

        Raises:
            UnreadableError: an object is there, but not for this user.
            SourceError: the source doesn't answer, or not as a Kinto does.
        """
        parts = packed(
            entries,
            size=lambda entry: len(encoded(entry)),
            most=BATCH_BYTES,
            count=self._batch,
        )
        found = self._threads.map(partial(self._read_part, uri), [*parts])
        return [stored for part in found for stored in part]

    def _read_part(self, uri: ListUri, entries: Sequence[JsonObject]) -> list[Stored]:
        answers = self._patiently(partial(self._ask_batch, uri, entries))
        with _as_kinto(str(uri)):
            pairs = zip(entries, answers, strict=True)
            read = [_stored(f"{uri}/{entry['id']}", entry, answer) for entry, answer in pairs]
        return [stored for stored in read if stored is not None]

    def _ask_batch(self, uri: ListUri, entries: Sequence[JsonObject]) -> list[JsonObject]:
        paths = [{"path": quote(f"{uri}/{entry['id']}")} for entry in entries]
        body = {"defaults": {"method": "GET"}, "requests": paths}
        answer, _headers = self._ask("POST", "/batch", body)
        with _as_kinto("/batch"):
            answers: list[JsonObject] = answer["responses"]
            for each in answers:
                _refuse_busy(int(each["status"]))
        return answers

    # HTTP

    def _patiently(self, ask: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
        """The result of this call, which is repeated while the source is busy or out of reach."""
        busy = _BusyError()
        for number in range(attempts):
            if number:
                self._pause(min(_LONGEST_PAUSE_S, 0.5 * 2**number))
            asked_for_s = self._resumes_at - time.monotonic()
            if asked_for_s > 0:
                self._pause(asked_for_s)
            try:
                return ask()
            except _BusyError as error:
                busy = error
        raise SourceError(f"{self._url} {busy}: run this again, and it goes on") from busy

    def _ask(
        self, method: str, path: str, body: JsonObject | None = None
    ) -> tuple[JsonObject, Mapping[str, str]]:
        try:
            answer = self._connections.request(
                method, self._url + path, redirect=False, **({} if body is None else {"json": body})
            )
        except urllib3.exceptions.HTTPError as error:
            raise _BusyError(f"can't be reached ({type(error).__name__})") from error
        self._heed(answer.headers)
        _refuse_busy(answer.status)
        shown = path.partition("?")[0]
        if 400 <= answer.status < 500:
            raise UnreadableError(shown, answer.status, _json(answer.data))
        if answer.status != 200:
            raise SourceError(f"{shown} can't be read: the source answers {answer.status}")
        if method == "HEAD":
            return {}, answer.headers
        with _as_kinto(shown):
            told = json.loads(answer.data)
            if not isinstance(told, dict):
                raise TypeError
        return told, answer.headers

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Ask nothing more for as long as the source wants, in no thread."""
        for name in ("Backoff", "Retry-After"):
            text = headers.get(name, "")
            if text.isascii() and text.isdecimal():
                wait_s = min(float(text), _LONGEST_WAIT_S)
                self._resumes_at = max(self._resumes_at, time.monotonic() + wait_s)


class _as_kinto(AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Have what can't be read of an answer be told in one line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __exit__(self, _type: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | RecursionError):
            raise SourceError(f"{self._path} is not answered as by a Kinto") from error


def _json(text: bytes) -> object:
    """What a refusal says, if it is JSON: it may be a proxy's."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _query_from(since: int) -> str:
    """From this time on, included. A filter on the time has tombstones listed as well."""
    asked = {"_sort": "last_modified", "_limit": PAGE_ENTRIES, "min_last_modified": since}
    return urlencode(asked)


def _is_entry(entry: JsonObject) -> bool:
    return isinstance(entry["id"], str) and isinstance(entry["last_modified"], int)


def _refuse_busy(status: int) -> None:
    if status == 429 or status >= 500:
        raise _BusyError(f"answers {status}, again and again")


def _stored(path: str, entry: JsonObject, answer: JsonObject) -> Stored | None:
    """What an entry of a list stands for, by what its own address answers.

    A list shows an object whose only property is `deleted` just as it shows a tombstone.
    """
    status = answer["status"]
    if status in (403, 404) and entry.keys() == _TOMBSTONE:  # 403 of what was a bucket
        return Tombstone(entry["id"], entry["last_modified"])
    if status == 404:
        return None
    if status != 200:
        raise UnreadableError(path, status, answer.get("body"))
    data = {**answer["body"]["data"]}
    if not _is_entry(data):
        raise ValueError
    id, last_modified = data.pop("id"), data.pop("last_modified")
    return StoredObject.of(id, last_modified, data, _permissions(answer["body"]["permissions"]))


def _permissions(told: Mapping[str, Sequence[Any]]) -> Permissions:
    """Those that name anybody. Old versions tell null where the anonymous wrote: that is nobody."""
    named = {
        name: tuple(dict.fromkeys(it for it in principals if isinstance(it, str) and it))
        for name, principals in told.items()
    }
    return {name: principals for name, principals in named.items() if principals}
