"""The four kinds: `chalicelib/protocol/kinds.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind, children

NAMED = [BUCKET, COLLECTION, GROUP]
A_UUID = "0c1f2b3a-4d5e-6f70-8192-a3b4c5d6e7f8"


@pytest.mark.parametrize(
    ("kind", "name", "plural", "parent", "permissions"),
    [
        (BUCKET, "bucket", "buckets", None, "read write collection:create group:create"),
        (COLLECTION, "collection", "collections", BUCKET, "read write record:create"),
        (GROUP, "group", "groups", BUCKET, "read write"),
        (RECORD, "record", "records", COLLECTION, "read write"),
    ],
)
def test_kinds_have_their_names_parents_and_permissions(
    kind: Kind, name: str, plural: str, parent: Kind | None, permissions: str
) -> None:
    assert (kind.name, kind.plural, kind.parent) == (name, plural, parent)
    assert kind.permissions == tuple(permissions.split())
    assert repr(kind) == f"<{name}>"


@pytest.mark.parametrize(
    ("kind", "below"),
    [(BUCKET, {COLLECTION, GROUP}), (COLLECTION, {RECORD}), (GROUP, set()), (RECORD, set())],
)
def test_children_are_those_that_a_kind_holds(kind: Kind, below: set[Kind]) -> None:
    assert set(children(kind)) == below
    assert all(child.parent is kind for child in children(kind))


@pytest.mark.parametrize(
    ("kind", "properties"),
    [(BUCKET, None), (COLLECTION, None), (GROUP, ("members",)), (RECORD, None)],
)
def test_groups_alone_drop_properties(kind: Kind, properties: tuple[str, ...] | None) -> None:
    assert kind.properties == properties


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (BUCKET, []),
        (COLLECTION, ["schema", "cache_expires"]),
        (GROUP, ["members"]),
        (RECORD, ["schema", "cache_expires", "members", "colour", "a.b", "", "ID", "größe"]),
    ],
)
def test_lists_know_the_fields_of_their_kind(kind: Kind, fields: list[str]) -> None:
    names = ["schema", "cache_expires", "members", "colour", "a.b", "", "ID", "größe"]

    assert [name for name in names if kind.lists_field(name)] == fields
    assert all(kind.lists_field(name) for name in ("id", "last_modified", "deleted"))


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize(
    "id",
    [
        "a",
        "Z",
        "0",
        "Blog",
        "blog_2-x",
        "a-",
        "a__",
        "42",
        "default",
        "batch",
        "new",
        "my-records",
        "collections",
        "groups",
        A_UUID,
        "x" * 200,
    ],
)
def test_names_are_of_letters_digits_dashes_and_underscores(kind: Kind, id: str) -> None:
    assert kind.is_id(id)


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize(
    "id",
    [
        "",
        "a b",
        "a.b",
        "_x",
        "-x",
        "é",
        "aé",
        "a/b",
        "a\n",
        "\na",
        " a",
        "a ",
        "\u0663",
        "\uff41",
        "a#",
        "%61",
    ],
)
def test_no_other_names_are_ids(kind: Kind, id: str) -> None:
    assert not kind.is_id(id)


@pytest.mark.parametrize(
    "id",
    [
        A_UUID,
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "0c1f2b3a-4d5e-1f70-8192-a3b4c5d6e7f8",  # version 1
    ],
)
def test_a_record_has_a_uuid_of_any_version(id: str) -> None:
    assert RECORD.is_id(id)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "a",
        "one",
        A_UUID.upper(),
        A_UUID.replace("-", ""),
        f"{{{A_UUID}}}",
        f"urn:uuid:{A_UUID}",
        f"{A_UUID}\n",
        f" {A_UUID}",
        A_UUID[:-1],
        f"{A_UUID}0",
        A_UUID.replace("a", "g"),
        A_UUID.replace("0", "\u0660"),
    ],
)
def test_nothing_else_is_a_records_id(id: str) -> None:
    assert not RECORD.is_id(id)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, 12, 1.5, True, [], {}, ["a"], {"id": "a"}, b"a"])
def test_only_a_string_is_an_id(kind: Kind, value: object) -> None:
    assert not kind.is_id(value)


@given(st.sampled_from(KINDS), st.text())
def test_an_id_holds_nothing_that_means_something_in_a_path(kind: Kind, text: str) -> None:
    if kind.is_id(text):
        assert text.isascii()
        assert not set(text) & set("/#?%. \n")
