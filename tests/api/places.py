"""What the tests of the API ask for again and again."""

from copy import deepcopy
from typing import Any

from chalicelib.protocol.messages import JsonObject, Request, Response
from tests.doubles import Client, Patience, parsed
from tests.shared_moto import contents, restore, saved

BUCKET = "/buckets/blog"
COLLECTIONS = f"{BUCKET}/collections"
COLLECTION = f"{COLLECTIONS}/posts"
GROUPS = f"{BUCKET}/groups"
GROUP = f"{GROUPS}/writers"
RECORDS = f"{COLLECTION}/records"
ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
RECORD = f"{RECORDS}/{ID}"

OBJECTS = (BUCKET, COLLECTION, GROUP, RECORD)
LISTS = (COLLECTIONS, GROUPS, RECORDS)

MEMBERS: JsonObject = {"data": {"members": ["basicauth:1"]}}


def body_for(path: str, **data: Any) -> JsonObject:
    """A body that a PUT of this object, or a POST on this list, takes."""
    return {"data": data | ({"members": []} if "/groups" in path else {})}


def made(client: Client) -> dict[str, JsonObject]:
    """Make an object of each kind; gives the bodies of the answers, by address.

    What was made once is copied from then on: the tables must be empty, the clock unmoved.
    """
    if not _MADE:
        _MADE.append({path: _make(client, path) for path in OBJECTS})
        _SAVED.append(saved())
    restore(_SAVED[0])
    return deepcopy(_MADE[0])


_MADE: list[dict[str, JsonObject]] = []
_SAVED: list[dict[str, Any]] = []


def _make(client: Client, path: str) -> JsonObject:
    return body_of(client.ask("PUT", path, body_for(path, **_titled(path))), 201)


def _titled(path: str) -> JsonObject:
    return {} if path == GROUP else {"title": "One"}


def body_of(response: Response, status: int = 200) -> JsonObject:
    """The body of an answer with this status."""
    assert response.status == status, response
    assert response.body is not None
    return response.body


def user_id(client: Client, user: str) -> str:
    """The id of a user."""
    return str(body_of(client.ask("GET", "/", user=user))["user"]["id"])


def state(_client: Client) -> dict[str, Any]:
    """All that is stored, clocks and access rows included, to be compared before and after."""
    return contents()


def sent(client: Client, request: Request) -> Response:
    """The answer to a request as it is."""
    return parsed(client.service.respond(request, Patience().deadline()))


def assert_error(response: Response, status: int, errno: int) -> None:
    """Hold an answer to the shape of Kinto's errors."""
    body = body_of(response, status)
    assert body["errno"] == errno, body
    assert body["code"] == status
    assert body.keys() <= {"code", "errno", "error", "message", "details", "info"}
    assert isinstance(body["error"], str)
    assert isinstance(body.get("message", ""), str)


def assert_invalid(response: Response, location: str, name: str | None, description: str) -> None:
    """Hold an answer to be a 400 for this one problem."""
    assert_error(response, 400, 107)
    assert response.body is not None
    problem = {"location": location, "name": name, "description": description}
    assert response.body["details"] == [problem]
