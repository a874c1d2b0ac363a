"""Who may do what to which object, and what becomes of the permissions that a body names.

Rule: spec, "Users and permissions", sections 3, 4 and 8.
"""

from collections.abc import Mapping
from enum import StrEnum

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD, Kind
from chalicelib.protocol.stored import Permissions


class Action(StrEnum):
    """What a request needs the right to do."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"


GRANTED_BY: Mapping[tuple[Kind, Action], Mapping[Kind, tuple[str, ...]]] = {
    (BUCKET, Action.READ): {BUCKET: ("write", "read")},
    (BUCKET, Action.WRITE): {BUCKET: ("write",)},
    (BUCKET, Action.CREATE): {},
    (COLLECTION, Action.READ): {BUCKET: ("write", "read"), COLLECTION: ("write", "read")},
    (COLLECTION, Action.WRITE): {BUCKET: ("write",), COLLECTION: ("write",)},
    (COLLECTION, Action.CREATE): {BUCKET: ("write", "collection:create")},
    (GROUP, Action.READ): {BUCKET: ("write", "read"), GROUP: ("write", "read")},
    (GROUP, Action.WRITE): {BUCKET: ("write",), GROUP: ("write",)},
    (GROUP, Action.CREATE): {BUCKET: ("write", "group:create")},
    (RECORD, Action.READ): {
        BUCKET: ("write", "read"),
        COLLECTION: ("write", "read"),
        RECORD: ("write", "read"),
    },
    (RECORD, Action.WRITE): {BUCKET: ("write",), COLLECTION: ("write",), RECORD: ("write",)},
    (RECORD, Action.CREATE): {BUCKET: ("write",), COLLECTION: ("write", "record:create")},
}
"""The whole tree: what grants an action on an object of a kind, by the kind of what has it."""

Overrides = Mapping[tuple[str, str], frozenset[str]]
"""Principals that settings put in the place of all stored permissions, by kind and action name."""


def who_may(
    action: Action,
    kind: Kind,
    *,
    permissions: Mapping[Kind, Permissions],
    overrides: Overrides,
) -> frozenset[str]:
    """The principals that may do this to an object of this kind.

    Args:
        action: what is to be done.
        kind: of the object. Whether it exists makes no difference, except that an object that
            doesn't has no permissions.
        permissions: of those that exist among the object and what holds it, by kind. Of the
            object alone they tell who is named by itself (spec, section 7).
        overrides: from settings; they take the place of all permissions (spec, section 8).
    """
    named = overrides.get((kind.name, action.value))
    if named is not None:
        return named
    return frozenset(
        principal
        for holder, names in GRANTED_BY[kind, action].items()
        if holder in permissions
        for name in names
        for principal in permissions[holder].get(name, ())
    )


def with_writer(permissions: Permissions, writer: str) -> Permissions:
    """These permissions, with whoever creates or changes the object among its writers.

    No empty list is kept. Rule: section 4.
    """
    writers = permissions.get("write", ())
    if writer not in writers:
        permissions = {**permissions, "write": (*writers, writer)}
    return {name: principals for name, principals in permissions.items() if principals}
