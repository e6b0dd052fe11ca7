"""Equal digests mean equal requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.cache.digest import DIGEST_BYTES, NO_DIGEST, context_digest
from grantlog.engine.question import NO_CONTEXT, RequestContext
from grantlog.engine.rules import DATA_NESTING_MAX
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue, parse_attribute
from grantlog.model.tuples import Entity, parse_tuple

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from((0.0, 1.0, -1.5))
    | st.text("ab", max_size=3)
)
DATA = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


def typed(data: Any) -> Any:
    """Equal exactly for data that say the same: True is not 1, 1 is not 1.0."""
    if isinstance(data, dict):
        return ("map", tuple(sorted((name, typed(value)) for name, value in data.items())))
    if isinstance(data, list | tuple):
        return ("list", tuple(map(typed, data)))
    return (type(data).__name__, repr(data))


@settings(max_examples=300, deadline=None)
@given(DATA, DATA)
def test_data_have_one_digest_exactly_where_they_say_the_same(one: Any, other: Any):
    digests = [context_digest(RequestContext(data=data)) for data in (one, other)]
    assert (digests[0] == digests[1]) == (typed(one) == typed(other))


def test_texts_that_join_alike_are_told_apart():
    pairs = [
        (["ab", "c"], ["a", "bc"]),
        ({"a": "b"}, ["a", "b"]),
        ("1", 1),
        (1, 1.0),
        (True, 1),
        ("", None),
    ]
    for one, other in pairs:
        assert context_digest(RequestContext(data=one)) != context_digest(
            RequestContext(data=other)
        )


def test_facts_in_another_order_or_twice_are_the_same_request():
    a, b = parse_tuple("doc:1#viewer@user:1"), parse_tuple("doc:1#viewer@group:1#member")
    base = context_digest(RequestContext(tuples=(a, b)))
    assert base == context_digest(RequestContext(tuples=(b, a, a)))
    assert base != context_digest(RequestContext(tuples=(a,)))
    dotted = parse_tuple("doc:1#viewer@user:1")
    dotted = dotted._replace(subject=dotted.subject._replace(relation="..."))
    assert context_digest(RequestContext(tuples=(a,))) == context_digest(
        RequestContext(tuples=(dotted,))
    )


def test_of_two_attributes_of_one_name_the_first_counts():
    yes, no = (
        parse_attribute("doc:1$public|boolean:true"),
        parse_attribute("doc:1$public|boolean:false"),
    )
    other = parse_attribute("doc:2$public|boolean:true")
    first = context_digest(RequestContext(attributes=(yes, no, other)))
    assert first == context_digest(RequestContext(attributes=(other, yes, no)))
    assert first != context_digest(RequestContext(attributes=(no, yes, other)))


def test_values_of_different_types_are_told_apart():
    place = (Entity("doc", "1"), "level")
    one = Attribute(*place, AttributeValue(AttributeType.INTEGER, 1))
    same = Attribute(*place, AttributeValue(AttributeType.DOUBLE, 1.0))
    assert context_digest(RequestContext(attributes=(one,))) != context_digest(
        RequestContext(attributes=(same,))
    )


def test_a_request_that_brings_nothing_has_the_shortest_digest():
    assert context_digest(NO_CONTEXT) == context_digest(replace(NO_CONTEXT)) == NO_DIGEST
    digest = context_digest(RequestContext(data={}))
    assert digest is not None
    assert len(digest) == DIGEST_BYTES >= 16


def test_what_cannot_be_told_apart_has_no_digest():
    deep: Any = "x"
    for _ in range(DATA_NESTING_MAX):
        deep = [deep]
    assert context_digest(RequestContext(data=deep)) is not None
    assert context_digest(RequestContext(data=[deep])) is None
    assert context_digest(RequestContext(data={"a": object()})) is None
    assert context_digest(RequestContext(data={1: "a"})) is None
