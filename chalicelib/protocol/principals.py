"""Who a request speaks for. Rule: spec, "Users and permissions", section 2."""

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"


def principals_of(user_id: str | None) -> frozenset[str]:
    """The principals that a user has without any group; of the anonymous where it is None.

    A user id that has an underscore for its first colon is the same user (the older form).
    """
    if user_id is None:
        return frozenset({EVERYONE})
    return frozenset({user_id, user_id.replace(":", "_", 1), AUTHENTICATED, EVERYONE})


def writer(user_id: str | None) -> str:
    """The principal that a creator or changer is in `write`. Rule: decision 4."""
    return user_id or EVERYONE
