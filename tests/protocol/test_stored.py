"""Objects and tombstones: `chalicelib/protocol/stored.py`."""

from chalicelib.protocol.stored import StoredObject, Tombstone


def test_an_object_is_shown_with_its_id_and_time_and_without_permissions() -> None:
    stored = StoredObject.of("one", 5, {"title": "Hello"}, {"write": ("basicauth:alice",)})

    assert stored.to_json() == {"title": "Hello", "id": "one", "last_modified": 5}


def test_a_property_named_deleted_makes_no_tombstone() -> None:
    stored = StoredObject.of("one", 5, {"deleted": True, "__permissions__": {}})

    assert stored.to_json() == {
        "deleted": True,
        "__permissions__": {},
        "id": "one",
        "last_modified": 5,
    }


def test_what_is_shown_can_be_changed_without_changing_what_is_stored() -> None:
    stored = StoredObject.of("one", 5, {"title": "Hello"})

    stored.to_json()["title"] = "Bye"

    assert stored.data == {"title": "Hello"}


def test_a_tombstone_is_shown_as_deleted() -> None:
    assert Tombstone("one", 5).to_json() == {"id": "one", "last_modified": 5, "deleted": True}
