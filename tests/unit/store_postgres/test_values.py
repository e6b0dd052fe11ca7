"""Values in the tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.store.postgres.values import decode_value, encode_value, same_value

T = AttributeType

_scalars = {
    T.BOOLEAN: st.booleans(),
    T.STRING: st.text(st.characters(exclude_categories=["Cs"])),
    T.INTEGER: st.integers(-(2**31), 2**31 - 1),
    T.DOUBLE: st.floats(),
}


def _data(kind: AttributeType) -> st.SearchStrategy[object]:
    scalar = _scalars[kind.scalar]
    return st.lists(scalar, max_size=4).map(tuple) if kind.is_array else scalar


values = st.sampled_from(T).flatmap(lambda t: st.builds(AttributeValue, st.just(t), _data(t)))


@given(values)
def test_a_value_comes_back_as_it_went_in(value: AttributeValue):
    text = encode_value(value)
    assert "\x00" not in text
    back = decode_value(int(value.type), text)
    assert repr(back) == repr(value)
    assert same_value(value, back)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (AttributeValue(T.BOOLEAN, True), AttributeValue(T.INTEGER, 1)),
        (AttributeValue(T.INTEGER, 1), AttributeValue(T.DOUBLE, 1.0)),
        (AttributeValue(T.DOUBLE, 0.0), AttributeValue(T.DOUBLE, -0.0)),
        (AttributeValue(T.STRING_ARRAY, ()), AttributeValue(T.INTEGER_ARRAY, ())),
        (AttributeValue(T.STRING, "a"), AttributeValue(T.STRING, "A")),
    ],
)
def test_values_that_python_takes_for_equal_are_told_apart(
    one: AttributeValue, other: AttributeValue
):
    assert not same_value(one, other)


def test_a_double_given_as_an_integer_is_the_same_double():
    assert same_value(AttributeValue(T.DOUBLE, 1), AttributeValue(T.DOUBLE, 1.0))
    assert same_value(AttributeValue(T.DOUBLE, math.nan), AttributeValue(T.DOUBLE, math.nan))
