"""Who may do what: `chalicelib/protocol/permissions.py`."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind
from chalicelib.protocol.permissions import GRANTED_BY, Action, Overrides, who_may, with_writer
from chalicelib.protocol.stored import Permissions

READ, WRITE, CREATE = Action.READ, Action.WRITE, Action.CREATE

# The spec's table, "Users and permissions", section 3, and the line above it.
TABLE: dict[tuple[Action, Kind], str] = {
    (READ, BUCKET): "bucket write, read",
    (WRITE, BUCKET): "bucket write",
    (CREATE, BUCKET): "",
    (CREATE, COLLECTION): "bucket write, collection:create",
    (CREATE, GROUP): "bucket write, group:create",
    (READ, COLLECTION): "bucket write, read; collection write, read",
    (WRITE, COLLECTION): "bucket write; collection write",
    (READ, GROUP): "bucket write, read; group write, read",
    (WRITE, GROUP): "bucket write; group write",
    (CREATE, RECORD): "bucket write; collection write, record:create",
    (READ, RECORD): "bucket write, read; collection write, read; record write, read",
    (WRITE, RECORD): "bucket write; collection write; record write",
}
LINES = {
    BUCKET: {BUCKET},
    COLLECTION: {BUCKET, COLLECTION},
    GROUP: {BUCKET, GROUP},
    RECORD: {BUCKET, COLLECTION, RECORD},
}
EVERY_GRANT = [(holder, name) for holder in KINDS for name in holder.permissions]

PRINCIPALS = st.sampled_from(["alice", "bob", "/buckets/b/groups/g", "system.Everyone"])
USERS = st.frozensets(PRINCIPALS, max_size=3)
STORED = st.fixed_dictionaries(
    {},
    optional={
        kind: st.dictionaries(
            st.sampled_from(kind.permissions), st.lists(PRINCIPALS, unique=True).map(tuple)
        )
        for kind in KINDS
    },
)
OVERRIDES = st.dictionaries(
    st.tuples(st.sampled_from([kind.name for kind in KINDS]), st.sampled_from([*Action])),
    st.frozensets(PRINCIPALS),
)
ACTIONS = st.sampled_from([*Action])
SOME_KIND = st.sampled_from(KINDS)
Stored = Mapping[Kind, Permissions]


def grants(action: Action, kind: Kind) -> set[tuple[str, str]]:
    """The names of kinds and permissions that the table gives."""
    return {
        (holder, name.strip())
        for part in TABLE[action, kind].split("; ")
        if part
        for holder, _, names in [part.partition(" ")]
        for name in names.split(",")
    }


def allows(
    action: Action,
    kind: Kind,
    user: frozenset[str],
    stored: Stored,
    overrides: Overrides | None = None,
) -> bool:
    allowed = who_may(action, kind, permissions=stored, overrides=overrides or {})
    return not user.isdisjoint(allowed)


def granted(stored: Stored, holder: Kind, name: str, principal: str) -> Stored:
    """What is stored, and one grant more."""
    own = stored.get(holder, {})
    return {**stored, holder: {**own, name: (*own.get(name, ()), principal)}}


@pytest.mark.parametrize(("action", "kind"), TABLE)
def test_the_table_is_that_of_the_spec(action: Action, kind: Kind) -> None:
    held = {
        (holder.name, name) for holder, names in GRANTED_BY[kind, action].items() for name in names
    }

    assert held == grants(action, kind)


def test_the_table_has_a_row_for_each_kind_and_action() -> None:
    assert GRANTED_BY.keys() == {(kind, action) for kind in KINDS for action in Action}


@pytest.mark.parametrize(("holder", "name"), EVERY_GRANT)
@pytest.mark.parametrize(("action", "kind"), TABLE)
def test_one_grant_gives_what_the_table_says_and_no_more(
    action: Action, kind: Kind, holder: Kind, name: str
) -> None:
    stored = {holder: {name: ("alice",)}}

    assert allows(action, kind, frozenset({"alice"}), stored) == (
        (holder.name, name) in grants(action, kind)
    )
    assert not allows(action, kind, frozenset({"bob"}), stored)


@pytest.mark.parametrize(("action", "kind"), TABLE)
def test_without_a_grant_nothing_is_allowed(action: Action, kind: Kind) -> None:
    assert not allows(action, kind, frozenset({"alice"}), {})
    assert not allows(action, kind, frozenset({"alice"}), {holder: {} for holder in KINDS})


@given(ACTIONS, SOME_KIND, USERS, STORED, st.sampled_from(EVERY_GRANT), PRINCIPALS, OVERRIDES)
def test_a_grant_takes_no_right_away(
    action: Action,
    kind: Kind,
    user: frozenset[str],
    stored: Stored,
    grant: tuple[Kind, str],
    principal: str,
    overrides: Overrides,
) -> None:
    after = granted(stored, *grant, principal)

    assert allows(action, kind, user, after, overrides) >= allows(
        action, kind, user, stored, overrides
    )


@given(ACTIONS, SOME_KIND, USERS, STORED, PRINCIPALS, OVERRIDES)
def test_another_principal_takes_no_right_away(
    action: Action,
    kind: Kind,
    user: frozenset[str],
    stored: Stored,
    principal: str,
    overrides: Overrides,
) -> None:
    more = user | {principal}

    assert allows(action, kind, more, stored, overrides) >= allows(
        action, kind, user, stored, overrides
    )


@given(SOME_KIND, USERS, STORED)
def test_who_may_write_may_read(kind: Kind, user: frozenset[str], stored: Stored) -> None:
    assert allows(READ, kind, user, stored) >= allows(WRITE, kind, user, stored)


@given(st.sampled_from([COLLECTION, GROUP, RECORD]), USERS, STORED)
def test_who_may_write_the_parent_may_do_everything(
    kind: Kind, user: frozenset[str], stored: Stored
) -> None:
    parent = kind.parent
    assert parent is not None
    may_write_parent = allows(WRITE, parent, user, stored)

    for action in Action:
        assert allows(action, kind, user, stored) >= may_write_parent


@given(ACTIONS, SOME_KIND, USERS, STORED, st.sampled_from(EVERY_GRANT), PRINCIPALS)
def test_no_grant_beside_or_below_gives_anything(
    action: Action,
    kind: Kind,
    user: frozenset[str],
    stored: Stored,
    grant: tuple[Kind, str],
    principal: str,
) -> None:
    after = granted(stored, *grant, principal)

    if grant[0] not in LINES[kind]:
        assert allows(action, kind, user, after) == allows(action, kind, user, stored)


@given(ACTIONS, SOME_KIND, USERS, STORED, OVERRIDES)
def test_a_setting_takes_the_place_of_what_is_stored(
    action: Action, kind: Kind, user: frozenset[str], stored: Stored, overrides: Overrides
) -> None:
    named = overrides.get((kind.name, action))

    allowed = allows(action, kind, user, stored, overrides)

    if named is None:  # settings of other kinds and actions make no difference
        assert allowed == allows(action, kind, user, stored)
    else:
        assert allowed == bool(user & named)


def test_a_setting_that_names_nobody_lets_nobody() -> None:
    stored = {BUCKET: {"write": ("alice",)}}
    overrides = {("bucket", "create"): frozenset[str]()}

    assert not allows(CREATE, BUCKET, frozenset({"alice"}), stored, overrides)


@pytest.mark.parametrize(
    "stranger",
    [
        "/v1/buckets/b/groups/g",
        "/buckets/b/groups/g/",
        "g",
        "*",
        "alic",
        "alice2",
        "ALICE",
        "",
        "system.everyone",
    ],
)
def test_principals_are_compared_exactly(stranger: str) -> None:
    user = frozenset({"alice", "/buckets/b/groups/g", "system.Everyone"})

    assert not allows(READ, BUCKET, user, {BUCKET: {"read": (stranger,)}})


# The writer

NAMED = st.dictionaries(
    st.sampled_from(["read", "write", "record:create"]),
    st.lists(PRINCIPALS, unique=True).map(tuple),
)


@given(NAMED, PRINCIPALS)
def test_who_writes_is_among_the_writers(permissions: Permissions, user: str) -> None:
    after = with_writer(permissions, user)

    assert set(after["write"]) == {*permissions.get("write", ()), user}
    assert {name: after[name] for name in after if name != "write"} == {
        name: held for name, held in permissions.items() if held and name != "write"
    }


@given(NAMED, PRINCIPALS)
def test_permissions_hold_no_empty_list_and_nobody_twice(
    permissions: Permissions, user: str
) -> None:
    for held in with_writer(permissions, user).values():
        assert held
        assert len(set(held)) == len(held)


@given(NAMED, PRINCIPALS)
def test_writing_again_changes_no_permissions(permissions: Permissions, user: str) -> None:
    once = with_writer(permissions, user)

    assert with_writer(once, user) == once


def test_the_permissions_that_were_given_stay_as_they_are() -> None:
    given_ones: Permissions = {"write": ("alice",), "read": ()}

    with_writer(given_ones, "bob")

    assert given_ones == {"write": ("alice",), "read": ()}
