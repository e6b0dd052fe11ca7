"""A key that stands twice in one object is seen, and nothing else is taken for it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.wire.json_decode import BodyError
from grantlog.wire.json_keys import has_repeated_key
from grantlog.wire.protojson import parse

KEYS = st.text(alphabet=':"\\a,{é', max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_texts_without_repeated_keys_pass(value) -> None:
    assert not has_repeated_key(orjson.dumps(value), value)


@given(KEYS, VALUES, VALUES)
def test_a_repeated_key_is_seen_wherever_it_stands(key, first, second) -> None:
    name = orjson.dumps(key)
    twice = b"{%b:%b , %b :%b}" % (name, orjson.dumps(first), name, orjson.dumps(second))
    for text in (twice, b"[%b]" % twice, b'{":":%b}' % twice):
        with pytest.raises(BodyError, match=r"twice"):
            parse(text)


def test_the_key_is_named() -> None:
    with pytest.raises(BodyError, match="gives the key 'depth' of one object twice"):
        parse(b'{"metadata":{"depth":3,"depth":\n4}}')
    with pytest.raises(BodyError, match=r"twice"):  # spelt in two ways, and too deep to look
        parse(b'{"a":' * 900 + b'{"x":1,"\\u0078":2}' + b"}" * 900)


def test_the_same_key_in_two_objects_is_none() -> None:
    assert parse(b'{"entity":{"id":"a:1"},"subject":{"id":"b"}}') == {
        "entity": {"id": "a:1"},
        "subject": {"id": "b"},
    }
