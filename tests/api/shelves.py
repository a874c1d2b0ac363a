"""Lists to be read, written once and copied from then on; and how they are asked."""

import json
from collections.abc import Iterable
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.protocol.messages import JsonObject, Request, Response
from tests.api.places import BUCKET, COLLECTION, RECORDS, body_of, sent
from tests.doubles import Client, basic
from tests.shared_moto import contents, empty, empty_streams, put_directly, restore, saved

BASE_URL = "http://localhost"

TOMBSTONE = {"id", "last_modified", "deleted"}

_KEPT: dict[str, tuple[list[JsonObject], dict[str, Any]]] = {}


def shelved(
    client: Client,
    objects: Iterable[JsonObject],
    *,
    path: str = RECORDS,
    deleted: str = "",
    settled: bool = True,
) -> list[JsonObject]:
    """Make a list of these objects, the oldest first; gives them as they are answered.

    Nothing else is there then. The clock must be unmoved.

    Args:
        client: of the service.
        objects: their data.
        path: of the list.
        deleted: `name` of those that are deleted afterwards, in this order; their tombstones
            are given behind the others.
        settled: whether all of it was visible everywhere long ago, so that no clock names it.
    """
    wanted = [path, deleted, *objects]
    key = json.dumps([settled, *wanted])
    if key not in _KEPT:
        empty()
        for parent in (BUCKET, COLLECTION) if path == RECORDS else (BUCKET,):
            body_of(client.ask("PUT", parent), 201)
        made = _make(client, path, wanted[2:], deleted.split())
        if settled:
            settle()
        _KEPT[key] = made, saved()
    made, stored = _KEPT[key]
    restore(stored)
    empty_streams()
    return deepcopy(made)


def _make(client: Client, path: str, objects: list[Any], deleted: list[str]) -> list[JsonObject]:
    made = [body_of(client.ask("POST", path, {"data": each}), 201)["data"] for each in objects]
    gone = [next(each for each in made if each.get("name") == name) for name in deleted]
    dead = [body_of(client.ask("DELETE", f"{path}/{each['id']}"))["data"] for each in gone]
    return [each for each in made if each not in gone] + dead


def settle() -> None:
    """Let no clock name any writes, as where all were visible when the last one came."""
    for table, items in contents().items():
        raws = [item["Attributes"] for item in items.values()]
        put_directly(table, [raw | {"latest": {"L": []}} for raw in raws if "latest" in raw])


def asked(
    client: Client,
    *parameters: tuple[str, str],
    method: str = "GET",
    path: str = RECORDS,
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer to a query in which names may be repeated, in this order."""
    identified = {"authorization": basic("alice")}
    request = Request(method, f"/v1{path}", parameters, identified | (headers or {}), b"", BASE_URL)
    return sent(client, request)


def listed(client: Client, *parameters: tuple[str, str], path: str = RECORDS) -> list[JsonObject]:
    """The entries of a list."""
    answer = asked(client, *parameters, path=path)
    entries: list[JsonObject] = body_of(answer)["data"]
    live = sum(entry.keys() != TOMBSTONE for entry in entries)
    assert answer.headers["Total-Records"] == str(live)
    return entries


def names(entries: Iterable[JsonObject]) -> list[str]:
    """What the entries are called; a tombstone has no name."""
    return [entry.get("name", "a tombstone") for entry in entries]


def follow(client: Client, url: str) -> Response:
    """The answer to a URL as it is."""
    assert url.startswith(f"{BASE_URL}/v1/")
    parts = urlsplit(url)
    path = parts.path.removeprefix("/v1")
    return asked(client, *parse_qsl(parts.query, keep_blank_values=True), path=path)


def walk(client: Client, first: Response) -> list[Response]:
    """This page and all that follow."""
    pages = [first]
    while "Next-Page" in pages[-1].headers:
        pages.append(follow(client, pages[-1].headers["Next-Page"]))
    return pages


def entries(pages: list[Response]) -> list[Any]:
    """What is on the pages."""
    return [entry for page in pages for entry in body_of(page)["data"]]
