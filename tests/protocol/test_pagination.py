"""Page tokens: `chalicelib/protocol/pagination.py`."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.protocol.errors import INVALID_PARAMETERS, ProtocolError
from chalicelib.protocol.pagination import Token, derive_key, open_token

KEY = derive_key("a secret")
QUERY = ["/buckets", [["_sort", "-last_modified,-id"]]]
TOKEN = Token((1_700_000_000_000, "some-id"), 1_700_000_000_001)

NUMBERS = st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.none() | st.booleans() | NUMBERS | st.text() | st.just([])
TOKENS = st.builds(Token, st.lists(VALUES, max_size=4).map(tuple), st.integers(0, 10**16))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def assert_refused(text: str, key: bytes = KEY, query: object = QUERY) -> None:
    with pytest.raises(ProtocolError) as caught:
        open_token(text, key, query)
    assert caught.value.kind is INVALID_PARAMETERS
    assert caught.value.details == [
        {"location": "querystring", "name": None, "description": "_token has invalid content"}
    ]
    assert caught.value.message == "querystring: _token has invalid content"


@given(TOKENS, st.binary(), JSON)
def test_a_token_opens_as_it_was_sealed(token: Token, key: bytes, query: Any) -> None:
    opened = open_token(token.seal(key, query), key, query)

    assert opened == token
    assert list(map(type, opened.after)) == list(map(type, token.after))


@given(TOKENS)
def test_a_token_needs_no_escaping_in_a_url(token: Token) -> None:
    text = token.seal(KEY, QUERY)

    assert text.isascii()
    assert set(text) - set("-_") == {character for character in text if character.isalnum()}


def test_a_token_takes_little_more_than_its_place_in_utf_8() -> None:
    text = "\u8a9e" * 512

    sealed = Token((text, "some-id"), 1_700_000_000_001).seal(KEY, QUERY)

    assert len(sealed) < len(text.encode()) * 4 / 3 + 100


@given(TOKENS, st.data())
def test_a_changed_character_is_refused(token: Token, data: st.DataObject) -> None:
    text = token.seal(KEY, QUERY)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(exclude_categories=(), exclude_characters=text[place]))

    assert_refused(text[:place] + character + text[place + 1 :])


@given(TOKENS, st.data())
def test_a_character_more_or_less_is_refused(token: Token, data: st.DataObject) -> None:
    text = token.seal(KEY, QUERY)
    place = data.draw(st.integers(0, len(text) - 1))

    assert_refused(text[:place] + data.draw(st.characters(exclude_categories=())) + text[place:])
    assert_refused(text[:place] + text[place + 1 :])


@pytest.mark.parametrize("id", ["", "a", "ab", "abc"])
def test_another_spelling_of_the_same_bytes_is_refused(id: str) -> None:
    text = Token((1, id), 2).seal(KEY, QUERY)

    # Of the last character, up to four bits are no part of the bytes.
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if last != text[-1]:
            assert_refused(text[:-1] + last)
    for tail in ("=", "==", "===", "====", "\n", " "):
        assert_refused(text + tail)


def test_the_other_alphabet_of_base64_is_refused() -> None:
    texts = [Token((time, "id"), time).seal(KEY, QUERY) for time in range(50)]
    dashed = [text for text in texts if "-" in text or "_" in text]

    assert dashed
    for text in dashed:
        assert_refused(text.replace("-", "+").replace("_", "/"))


@given(ANY_TEXT | st.text(st.sampled_from("ABCabc012-_=")))
def test_arbitrary_text_is_refused(text: str) -> None:
    assert_refused(text)


@given(st.binary(), JSON)
def test_a_token_is_bound_to_its_key_and_query(key: bytes, query: Any) -> None:
    text = TOKEN.seal(KEY, QUERY)
    assume(key != KEY)
    assume(json.dumps(query, sort_keys=True) != json.dumps(QUERY, sort_keys=True))

    assert_refused(text, key=key)
    assert_refused(text, query=query)


def test_the_order_of_a_querys_names_makes_no_difference() -> None:
    text = TOKEN.seal(KEY, {"a": 1, "b": 2})

    assert open_token(text, KEY, {"b": 2, "a": 1}) == TOKEN


def test_another_secret_is_another_key() -> None:
    assert len({derive_key(""), derive_key("a"), derive_key("b"), b"a", b"b"}) == 5


def test_a_token_is_for_all_containers_of_a_service() -> None:
    text = TOKEN.seal(derive_key("a secret"), QUERY)

    assert open_token(text, derive_key("a secret"), QUERY) == TOKEN
