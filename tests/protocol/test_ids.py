"""Ids that the server chooses: `chalicelib/protocol/ids.py`."""

import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.ids import id_from_random
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, RECORD, Kind

RANDOM = st.binary(min_size=16, max_size=16)


@given(RANDOM)
def test_a_record_gets_a_version_4_uuid(random: bytes) -> None:
    id = id_from_random(RECORD, random)

    assert uuid.UUID(id).version == 4
    assert uuid.UUID(id).variant == uuid.RFC_4122
    assert RECORD.is_id(id)


@given(st.sampled_from([BUCKET, COLLECTION, GROUP]), RANDOM)
def test_all_others_get_a_name_of_8_characters(kind: Kind, random: bytes) -> None:
    id = id_from_random(kind, random)

    assert re.fullmatch("[a-zA-Z0-9][a-zA-Z0-9_-]{7}", id)
    assert kind.is_id(id)


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, GROUP, RECORD])
def test_other_bytes_are_another_id(kind: Kind) -> None:
    ids = {id_from_random(kind, bytes([byte] * 16)) for byte in range(62)}

    assert len(ids) == 62


def test_a_name_uses_the_whole_alphabet() -> None:
    ids = [id_from_random(BUCKET, bytes([byte] * 16)) for byte in range(256)]

    alphanumeric = set(string.ascii_letters + string.digits)
    assert {id[0] for id in ids} == alphanumeric
    assert {id[1] for id in ids} == alphanumeric | set("-_")
