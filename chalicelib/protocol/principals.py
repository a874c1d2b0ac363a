"""Who a request speaks for. Rule: spec, "Users and permissions", section 2."""

import re

from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.uris import ObjectUri, parse_object_uri

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"


def principals_of(user_id: str | None) -> frozenset[str]:
    """The principals that a user has without any group; of the anonymous where it is None.

    `basicauth_...` is the same user as `basicauth:...` (the older form).
    """
    if user_id is None:
        return frozenset({EVERYONE})
    older = re.sub("^basicauth:", "basicauth_", user_id)
    return frozenset({user_id, older, AUTHENTICATED, EVERYONE})


def writer(user_id: str | None) -> str:
    """The principal that a creator or changer is in `write`. Rule: decision 4."""
    return user_id or EVERYONE


def group_of(principal: str) -> ObjectUri | None:
    """The group whose members have this principal; None where it is no group's."""
    uri = parse_object_uri(principal)
    return uri if uri is not None and uri.kind is GROUP else None
