"""Who a request speaks for: `chalicelib/protocol/principals.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.kinds import GROUP
from chalicelib.protocol.principals import group_of, principals_of, writer
from chalicelib.protocol.uris import ObjectUri

ALICE = "basicauth:97b9de4692598e206a21666d0c2a2d243f8e434a16aacd2955773853a650671d"


def test_a_user_has_both_forms_of_the_id_and_what_all_users_have() -> None:
    assert principals_of(ALICE) == {
        ALICE,
        ALICE.replace("basicauth:", "basicauth_"),
        "system.Authenticated",
        "system.Everyone",
    }


def test_the_anonymous_are_everyone_alone() -> None:
    assert principals_of(None) == {"system.Everyone"}


@pytest.mark.parametrize(("user_id", "expected"), [(ALICE, ALICE), (None, "system.Everyone")])
def test_the_writer_is_the_user_or_everyone(user_id: str | None, expected: str) -> None:
    assert writer(user_id) == expected


@given(st.none() | st.text(min_size=1))
def test_a_writer_has_the_principal_that_is_stored(user_id: str | None) -> None:
    assert writer(user_id) in principals_of(user_id)


def test_only_basic_authentication_has_an_older_form() -> None:
    assert principals_of("google:basicauth:1") == {
        "google:basicauth:1",
        "system.Authenticated",
        "system.Everyone",
    }


@pytest.mark.parametrize(
    ("principal", "group"),
    [
        ("/buckets/b/groups/g", ObjectUri(GROUP, ("b", "g"))),
        ("/buckets/b/collections/g", None),
        ("/buckets/b", None),
        ("/v1/buckets/b/groups/g", None),
        ("/buckets/b/groups/g/", None),
        ("g", None),
        (ALICE, None),
        ("system.Everyone", None),
    ],
)
def test_a_group_is_named_by_its_address(principal: str, group: ObjectUri | None) -> None:
    assert group_of(principal) == group
