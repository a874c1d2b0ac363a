"""What all endpoints of objects and lists begin with: who asks, what is there, and may they."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from chalicelib.api.cors import require_allowed_origin
from chalicelib.api.ids import NewId
from chalicelib.protocol.bodies import INVALID_ID, Body, parse_body
from chalicelib.protocol.errors import (
    FORBIDDEN,
    MISSING_AUTH_TOKEN,
    MISSING_RESOURCE,
    Problem,
    ProtocolError,
    invalid,
)
from chalicelib.protocol.events import READ, Impact, Operation
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.messages import JsonText, Request, Response, encoded, is_utf8
from chalicelib.protocol.permissions import Action, who_may
from chalicelib.protocol.principals import group_of, principals_of
from chalicelib.protocol.stored import Permissions, StoredObject, Tombstone
from chalicelib.protocol.uris import ListUri, ObjectUri
from chalicelib.settings import Settings
from chalicelib.storage.keyed import Keyed
from chalicelib.storage.staging import Origin
from chalicelib.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:  # they are made of endpoints, which are given calls
    from chalicelib.api.pipeline import Pipeline
    from chalicelib.api.plugins import Plugins


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to its endpoint.

    Attributes:
        request: as it came.
        settings: of the service.
        user_id: who asks; None for the anonymous.
        unit: what the request reads and stages in.
        plugins: what they add to the service.
        pipeline: what other requests go through, that are carried out in this one.
        new_id: gives an id for a new object of a kind.
    """

    request: Request
    settings: Settings
    user_id: str | None
    unit: UnitOfWork
    plugins: "Plugins"
    pipeline: "Pipeline"
    new_id: NewId

    def of(self, request: Request, user_id: str | None) -> "Call":
        """The call of another request in the same transaction."""
        about_all = (self.unit, self.plugins, self.pipeline, self.new_id)
        return Call(request, self.settings, user_id, *about_all)

    def origin(self, *, by_list: bool = False) -> Origin:
        """Where this request's writes come from."""
        return Origin(self.user_id, self.request.id, by_list)

    def is_free(self, uri: ObjectUri) -> bool:
        """Whether an object may be created under this id: aliases are nobody's."""
        return (uri.kind, uri.id) not in self.plugins.reserved

    def may(self, action: Action, uri: ObjectUri | ListUri) -> bool:
        """Whether the user may do this to the object, or to all objects of the list.

        Only where no other principal of his decides, the groups are read that may: one more
        round trip.
        """
        allowed = self._who_may(action, uri)
        if not allowed.isdisjoint(principals_of(self.user_id)):
            return True
        return bool(self.unit.groups_of(self.user_id, filter(None, map(group_of, allowed))))

    def _who_may(self, action: Action, uri: ObjectUri | ListUri) -> frozenset[str]:
        """Nobody may do anything below a bucket that isn't there, whatever settings say."""
        holders = uri.ancestors if isinstance(uri, ListUri) else (*uri.ancestors, uri)
        permissions = {
            holder.kind: stored
            for holder in holders
            if (stored := self.unit.permissions(holder)) is not None
        }
        if uri.ancestors and holders[0].kind not in permissions:
            return frozenset()
        return who_may(
            action,
            uri.kind,
            permissions=permissions,
            overrides=self.settings.permission_overrides,
        )

    def require_part(self, action: Action, uri: ListUri) -> Keyed | None:
        """What the user may do this to of a list; None for the whole.

        Rule: spec, "Users and permissions", section 7.

        Raises:
            ProtocolError: as `require`, where that is nothing at all. But for users, nobody's
                buckets are an empty list (decision 1).
        """
        if self.may(action, uri):
            self._require_sound()
            self._require_parent(uri)
            return None
        if not self.has_parent(uri):
            raise self.forbidden()
        granted_by = partial(_who_is_named, action, uri.kind)
        shared = self.unit.shared(uri, self.user_id, granted_by)
        is_shown = action is Action.READ and uri.parent is None and self.user_id is not None
        if not (shared.has_any() or is_shown):
            raise self.forbidden()
        self._require_sound()
        return shared

    def require(self, action: Action, uri: ObjectUri | ListUri) -> None:
        """Go on only with the right to do this, and where the parent is there.

        Rule: spec, "Users and permissions", section 5.

        Raises:
            ProtocolError: MISSING_AUTH_TOKEN for the anonymous, FORBIDDEN for others. To those
                who may: INVALID_PARAMETERS for an origin that is not allowed, or a query string
                that is not UTF-8; MISSING_RESOURCE for a missing parent.
        """
        if not self.may(action, uri):
            raise self.forbidden()
        self._require_sound()
        self._require_parent(uri)

    def _require_sound(self) -> None:
        """Go on only with what may be looked at further, now that the user may do this."""
        require_allowed_origin(self.request.headers, self.settings)
        if not all(is_utf8(name + value) for name, value in self.request.query):
            raise invalid([Problem("querystring", None, "Invalid query string: it is not UTF-8")])

    def _require_parent(self, uri: ObjectUri | ListUri) -> None:
        if not self.has_parent(uri):
            raise ProtocolError(MISSING_RESOURCE)

    def has_parent(self, uri: ObjectUri | ListUri) -> bool:
        """Whether what holds the object or list is there; nothing holds buckets."""
        return uri.parent is None or self.unit.permissions(uri.parent) is not None

    def tell_read(
        self, address: ObjectUri | ListUri, objects: Iterable[StoredObject | Tombstone]
    ) -> None:
        """Have those hear of it who want to know what is read; the list's clock was loaded then."""
        if not self.plugins.subscribers.hear_reads:
            return
        uri = address if isinstance(address, ListUri) else address.list
        self.unit.tell(
            Operation(
                READ,
                address,
                self.unit.timestamp(uri),
                self.user_id,
                self.request.id,
                tuple(
                    Impact(uri.object(one.id), one.last_modified, one.to_json()) for one in objects
                ),
            )
        )

    def forbidden(self) -> ProtocolError:
        """The refusal of what this user may not do."""
        return ProtocolError(MISSING_AUTH_TOKEN if self.user_id is None else FORBIDDEN)

    def existing(self, uri: ObjectUri) -> StoredObject:
        """The object at this address.

        Raises:
            ProtocolError: INVALID_PARAMETERS where the id can't be one; MISSING_RESOURCE.
        """
        require_possible(uri)
        stored = self.unit.find(uri)
        if not isinstance(stored, StoredObject):
            raise ProtocolError(MISSING_RESOURCE)
        return stored


def _who_is_named(action: Action, kind: Kind, permissions: Permissions) -> frozenset[str]:
    """The principals that an object's own permissions allow this, whatever settings say."""
    return who_may(action, kind, permissions={kind: permissions}, overrides={})


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a request has done, where it needs several transactions.

    Attributes:
        stopped: the answer if it goes no further, given why.
        go_on: stages the next transaction.
    """

    stopped: Callable[[Exception], Response]
    go_on: Callable[[Call], "Answer"]


Answer: TypeAlias = "Response | Unfinished"
"""What an endpoint gives for one transaction."""


def require_possible(uri: ObjectUri) -> None:
    """Go on only with an id that can be one.

    Raises:
        ProtocolError: INVALID_PARAMETERS. Rule: spec, "Records", section 3.
    """
    if not uri.is_possible:
        raise invalid([INVALID_ID])


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """A body that was read before it is asked for, or what is wrong with it.

    The id in it tells what to load; but who lacks the permission is told that, and nothing of the
    body, so problems wait for `required`.
    """

    body: Body | None
    refused: ProtocolError | None = None

    @classmethod
    def of(cls, request: Request, kind: Kind, *, merges: bool = False) -> "ParsedBody":
        """Read the body of a POST, PUT or PATCH."""
        try:
            return cls(parse_body(request.body, kind, query=request.query, merges=merges))
        except ProtocolError as error:
            return cls(None, error)

    def required(self) -> Body:
        """The body.

        Raises:
            ProtocolError: INVALID_PARAMETERS with all its problems.
        """
        if self.body is None:
            raise self.refused or AssertionError("neither read nor refused")
        return self.body


def shown(stored: StoredObject) -> JsonText:
    """An object with its permissions, as the body of an answer."""
    return JsonText(f'{{"data":{stored.to_text()},"permissions":{encoded(stored.permissions)}}}')
