"""Ids that the server chooses: `chalicelib/protocol/ids.py`."""

import re
import string
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.ids import RANDOM_BYTES, name_from_random, uuid_from_random
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(RANDOM)
def test_a_record_gets_a_version_4_uuid(random: bytes) -> None:
    id = uuid_from_random(random)

    assert uuid.UUID(id).version == 4
    assert uuid.UUID(id).variant == uuid.RFC_4122
    assert RECORD.is_id(id)


@given(RANDOM)
def test_all_others_get_a_name_of_8_characters(random: bytes) -> None:
    id = name_from_random(random)

    assert re.fullmatch("[a-zA-Z0-9][a-zA-Z0-9_-]{7}", id)
    assert all(kind.is_id(id) for kind in (BUCKET, COLLECTION, GROUP))


@pytest.mark.parametrize("from_random", [name_from_random, uuid_from_random])
def test_other_bytes_are_another_id(from_random: Callable[[bytes], str]) -> None:
    ids = {from_random(bytes([byte] * RANDOM_BYTES)) for byte in range(62)}

    assert len(ids) == 62


def test_a_name_uses_the_whole_alphabet() -> None:
    ids = [name_from_random(bytes([byte] * RANDOM_BYTES)) for byte in range(256)]

    alphanumeric = set(string.ascii_letters + string.digits)
    assert {id[0] for id in ids} == alphanumeric
    assert {id[1] for id in ids} == alphanumeric | set("-_")
