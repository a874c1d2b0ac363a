"""Addresses: `chalicelib/protocol/uris.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD
from chalicelib.protocol.uris import ListUri, ObjectUri, parse_object_uri

A_UUID = "0c1f2b3a-4d5e-6f70-8192-a3b4c5d6e7f8"

BLOG = ObjectUri(BUCKET, ("blog",))
POSTS = ObjectUri(COLLECTION, ("blog", "posts"))
STAFF = ObjectUri(GROUP, ("blog", "staff"))
POST = ObjectUri(RECORD, ("blog", "posts", A_UUID))
OBJECTS = [BLOG, POSTS, STAFF, POST]

LENGTHS = {BUCKET: 1, COLLECTION: 2, GROUP: 2, RECORD: 3}
# Words of paths as ids, so that two addresses come close to each other.
IDS = st.sampled_from(["a", "groups", "collections", A_UUID, "records/a", "_x", ""]) | st.text()
URIS = st.sampled_from(KINDS).flatmap(
    lambda kind: st.builds(ObjectUri, st.just(kind), st.tuples(*[IDS] * LENGTHS[kind]))
)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (BLOG, "/buckets/blog"),
        (POSTS, "/buckets/blog/collections/posts"),
        (STAFF, "/buckets/blog/groups/staff"),
        (POST, f"/buckets/blog/collections/posts/records/{A_UUID}"),
        (BLOG.list, "/buckets"),
        (POSTS.list, "/buckets/blog/collections"),
        (STAFF.list, "/buckets/blog/groups"),
        (POST.list, "/buckets/blog/collections/posts/records"),
    ],
)
def test_an_address_is_written_as_in_paths(uri: ObjectUri | ListUri, text: str) -> None:
    assert str(uri) == text


@pytest.mark.parametrize(
    ("uri", "ancestors"),
    [(BLOG, ()), (POSTS, (BLOG,)), (STAFF, (BLOG,)), (POST, (BLOG, POSTS))],
)
def test_ancestors_are_from_the_bucket_down(
    uri: ObjectUri, ancestors: tuple[ObjectUri, ...]
) -> None:
    assert uri.ancestors == uri.list.ancestors == ancestors
    assert uri.parent == uri.list.parent == (ancestors[-1] if ancestors else None)


@pytest.mark.parametrize(
    ("uri", "lists"),
    [
        (BLOG, {"/buckets/blog/collections", "/buckets/blog/groups"}),
        (POSTS, {"/buckets/blog/collections/posts/records"}),
        (STAFF, set()),
        (POST, set()),
    ],
)
def test_lists_are_those_that_an_object_holds(uri: ObjectUri, lists: set[str]) -> None:
    assert {str(below) for below in uri.lists} == lists
    assert all(below.parent == uri for below in uri.lists)


@given(URIS)
def test_an_object_is_in_its_list_under_its_id(uri: ObjectUri) -> None:
    assert uri.list.object(uri.id) == uri
    assert str(uri) == f"{uri.list}/{uri.id}"
    assert len(uri.ancestors) == len(uri.ids) - 1


@given(URIS)
def test_an_object_is_possible_where_all_its_ids_are(uri: ObjectUri) -> None:
    line = [*uri.ancestors, uri]

    assert uri.is_possible == all(each.kind.is_id(each.id) for each in line)
    assert uri.list.is_possible == all(each.kind.is_id(each.id) for each in uri.ancestors)


@given(URIS, URIS)
def test_two_addresses_that_are_possible_are_never_written_alike(
    one: ObjectUri, other: ObjectUri
) -> None:
    if one.is_possible and other.is_possible:
        assert (str(one) == str(other)) == (one == other)


@pytest.mark.parametrize("uri", [*OBJECTS, *(uri.list for uri in OBJECTS)])
def test_addresses_of_good_ids_are_possible(uri: ObjectUri | ListUri) -> None:
    assert uri.is_possible


@pytest.mark.parametrize(
    "uri",
    [
        ObjectUri(BUCKET, ("_x",)),
        ObjectUri(COLLECTION, ("_x", "posts")),
        ObjectUri(COLLECTION, ("blog", "a.b")),
        ObjectUri(GROUP, ("blog", "")),
        ObjectUri(RECORD, ("blog", "posts", "one")),
        ObjectUri(RECORD, ("blog", "a b", A_UUID)),
        ObjectUri(RECORD, ("a b", "posts", A_UUID)),
        ListUri(GROUP, ("_x",)),
        ListUri(RECORD, ("blog", "_x")),
        ListUri(RECORD, ("_x", "posts")),
    ],
    ids=str,
)
def test_addresses_with_a_bad_id_are_not(uri: ObjectUri | ListUri) -> None:
    assert not uri.is_possible


@given(URIS)
def test_an_address_is_read_as_it_was_printed(uri: ObjectUri) -> None:
    assert parse_object_uri(str(uri)) == (uri if uri.is_possible else None)


@given(st.text() | st.lists(st.sampled_from([*"/ab", "buckets", "groups", "records"])).map("".join))
def test_what_prints_otherwise_is_no_address(text: str) -> None:
    found = parse_object_uri(text)

    assert found is None or str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/buckets",
        "/buckets/",
        "/buckets/b/",
        "/buckets/b/groups",
        "/buckets/b/records/r",
        "/buckets/b/groups/g/members/m",
        "buckets/b",
        "x/buckets/b",
        "/v1/buckets/b",
        "/groups/g",
        "/buckets/_b",
        "/buckets/b/groups/g\n",
    ],
)
def test_lists_and_what_is_no_path_of_objects_are_none(text: str) -> None:
    assert parse_object_uri(text) is None


def test_lists_with_ids_longer_than_can_be_are_not_kept() -> None:
    def above(id: str) -> ListUri:
        return ObjectUri(COLLECTION, (id, "posts")).list

    assert above("blog") is above("blog")
    assert above("x" * 10_000) == above("x" * 10_000)
    assert above("x" * 10_000) is not above("x" * 10_000)
