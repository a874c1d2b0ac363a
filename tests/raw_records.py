"""Records as they are stored, for tests that need more than can be written through the API."""

from collections.abc import Iterable, Iterator

from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.uris import ListUri
from chalicelib.storage.items import Cause, Item, RawItem, encode_body, to_raw
from chalicelib.storage.keys import object_key

POSTS = ListUri(RECORD, ("blog", "posts"))
LONG_AGO_MS = 1_600_000_000_000
_CAUSE = Cause(None, "", by_list=False, timestamp=LONG_AGO_MS)


def record_id(number: int) -> str:
    """The id of the record with this number."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def raw_records(
    numbers: Iterable[int], *, within: str, first_ms: int = LONG_AGO_MS
) -> Iterator[RawItem]:
    """The items of records `{"n": ...}` of POSTS, modified a millisecond apart.

    Args:
        numbers: which ones.
        within: the incarnation of the collection.
        first_ms: when the record 0 was modified.
    """
    for number in numbers:
        item = Item(
            key=object_key(POSTS.object(record_id(number))),
            is_live=True,
            last_modified=first_ms + number,
            version=first_ms + number,
            within=within,
            permissions={},
            body=encode_body({"n": number}),
        )
        yield to_raw(item, _CAUSE)
