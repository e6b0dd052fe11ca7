import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.errors import InvalidInputError
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue, parse_attribute
from grantlog.model.tuples import Entity, RelationTuple, Subject, parse_subject, parse_tuple

names = st.from_regex(r"[a-zA-Z_]{1,64}", fullmatch=True)
ids = st.from_regex(r"[a-zA-Z0-9_\-@\.:+]{1,128}|\*", fullmatch=True)
entities = st.builds(Entity, names, ids)
subjects = st.builds(Subject, names, ids, st.one_of(st.just(""), names))


@given(st.builds(RelationTuple, entities, names, subjects))
def test_a_tuple_reads_back_from_its_text(fact):
    assert parse_tuple(str(fact)) == fact


def _value(kind, scalar):
    if kind.is_array:
        return st.builds(AttributeValue, st.just(kind), st.lists(scalar).map(tuple))
    return st.builds(AttributeValue, st.just(kind), scalar)


words = st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1)
values = st.one_of(
    _value(AttributeType.BOOLEAN, st.booleans()),
    _value(AttributeType.BOOLEAN_ARRAY, st.booleans()),
    _value(AttributeType.STRING, st.text()),
    _value(AttributeType.STRING_ARRAY, words),
    _value(AttributeType.INTEGER, st.integers(-(2**31), 2**31 - 1)),
    _value(AttributeType.INTEGER_ARRAY, st.integers(-(2**31), 2**31 - 1)),
    _value(AttributeType.DOUBLE, st.floats(allow_nan=False, allow_infinity=False)),
    _value(AttributeType.DOUBLE_ARRAY, st.floats(allow_nan=False, allow_infinity=False)),
)


@given(st.builds(Attribute, entities, names, values))
def test_an_attribute_reads_back_from_its_text(attribute):
    assert parse_attribute(str(attribute)) == attribute


def test_ids_may_hold_colons_and_at_signs():
    fact = parse_tuple("doc:a:b@c#viewer@user:x@y:z")
    assert fact == RelationTuple(Entity("doc", "a:b@c"), "viewer", Subject("user", "x@y:z"))


def test_the_ellipsis_stands_for_no_relation():
    assert parse_subject("user:1#...") == Subject("user", "1", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "doc:1",
        "doc:1#viewer",
        "doc:1#@user:1",
        "doc:1#viewer@user",
        "doc:#viewer@user:1",
        "doc:1#view er@user:1",
        "doc:1#viewer@user:1#",
        "doc:1#viewer@user:1#a#b",
        "d0c:1#viewer@user:1",
        "doc:1#viewer@user:1\n",
        "doc:a/b#viewer@user:1",
    ],
)
def test_what_is_not_a_tuple_is_refused(text):
    with pytest.raises(InvalidInputError):
        parse_tuple(text)


@pytest.mark.parametrize(
    "text",
    [
        "doc:1$a",
        "doc:1$a|boolean",
        "doc:1$a|boolean:yes",
        "doc:1$a|integer:2147483648",
        "doc:1$a|double:nan",
        "doc:1$a|double:1e999",
        "doc:1$a|text:x",
        "doc:1$a b|string:x",
        "doc:1$a|integer[]:1,,2",
        "doc:1$a|integer:0x1",
        "doc:1$a|integer:1_000",
        "doc:1$a|integer: 1",
        "doc:1$a|double:1_0.0",
        "doc:1$a|double: 1.0",
        "doc:1$a|integer:\u0661",
    ],
)
def test_what_is_not_an_attribute_is_refused(text):
    with pytest.raises(InvalidInputError):
        parse_attribute(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("doc", "expected type:id"),
        (":1", "expected type:id"),
        ("doc:", "expected type:id"),
        ("do%c:1", "'%' cannot stand in a type"),
        ("doc2:1", "'2' cannot stand in a type"),
        ("doc:a b", "' ' cannot stand in an id"),
        ("doc:a*", "'*' cannot stand in an id"),
        ("doc:é", "'é' cannot stand in an id"),
        ("doc:" + "x" * 129, "longer than 128"),
    ],
)
def test_what_is_no_entity_is_told_with_the_character_that_cannot_stand_there(text, why):
    with pytest.raises(InvalidInputError) as raised:
        parse_subject(text)
    assert why in raised.value.explanation
