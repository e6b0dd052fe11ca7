"""Messages become values of the model and come back."""

from datetime import UTC, datetime

import pytest
from google.protobuf.any_pb2 import Any as PackedAny

from grantlog.api.v1 import base_pb2
from grantlog.engine.question import NO_CONTEXT
from grantlog.errors import InvalidInputError
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.tuples import Entity, RelationTuple, Subject, parse_tuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.wire import convert
from grantlog.wire.protojson import decode_object
from grantlog.wire.values import ForeignValueError, attribute_value_from_any, attribute_value_to_any

VALUES = [
    AttributeValue(AttributeType.BOOLEAN, True),
    AttributeValue(AttributeType.BOOLEAN_ARRAY, (True, False)),
    AttributeValue(AttributeType.STRING, "é"),
    AttributeValue(AttributeType.STRING_ARRAY, ()),
    AttributeValue(AttributeType.INTEGER, -(2**31)),
    AttributeValue(AttributeType.INTEGER_ARRAY, (0, 2**31 - 1)),
    AttributeValue(AttributeType.DOUBLE, 1.0),
    AttributeValue(AttributeType.DOUBLE_ARRAY, (0.5, -2.0)),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_values_keep_their_type_exactly(value: AttributeValue) -> None:
    back = attribute_value_from_any(attribute_value_to_any(value))
    assert repr(back) == repr(value)


def test_the_type_url_is_the_contracts() -> None:
    assert attribute_value_to_any(VALUES[0]).type_url == "type.googleapis.com/base.v1.BooleanValue"
    packed = PackedAny()
    packed.Pack(base_pb2.IntegerValue(data=5))
    assert attribute_value_from_any(packed) == AttributeValue(AttributeType.INTEGER, 5)


@pytest.mark.parametrize("url", ["", "base.v1.StringValue", "x.com/base.v1.StringValue", "x/y"])
def test_the_whole_type_url_is_compared(url: str) -> None:
    with pytest.raises(ForeignValueError) as caught:
        attribute_value_from_any(PackedAny(type_url=url))
    assert caught.value.reason == "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (base_pb2.DoubleValue(data=float("nan")), "finite"),
        (base_pb2.DoubleArrayValue(data=[1.0, float("inf")]), "finite"),
        (base_pb2.StringValue(data="a\0b"), "NUL"),
        (base_pb2.StringArrayValue(data=["a", "\0"]), "NUL"),
    ],
)
def test_values_that_cannot_be_stored_are_refused(message: base_pb2.StringValue, text: str) -> None:
    packed = PackedAny()
    packed.Pack(message)
    with pytest.raises(InvalidInputError, match=text):
        attribute_value_from_any(packed)


def test_unreadable_bytes_of_a_value_are_refused() -> None:
    packed = PackedAny(type_url="type.googleapis.com/base.v1.StringValue", value=b"\xff")
    with pytest.raises(InvalidInputError, match="not a readable"):
        attribute_value_from_any(packed)


@pytest.mark.parametrize("text", ["doc:1#viewer@user:2", "doc:1#viewer@group:eng#member"])
def test_tuples_come_back(text: str) -> None:
    fact = parse_tuple(text)
    assert convert.relation_tuple(convert.tuple_message(fact)) == fact


def test_the_ellipsis_is_no_relation() -> None:
    message = base_pb2.Subject(type="user", id="1", relation="...")
    assert convert.subject(message) == Subject("user", "1", "")


def test_attributes_come_back() -> None:
    fact = Attribute(Entity("doc", "1"), "public", VALUES[0])
    assert convert.attribute(convert.attribute_message(fact)) == fact


def test_filters_are_taken_over() -> None:
    message = decode_object(
        base_pb2.TupleFilter,
        {
            "entity": {"type": "doc", "ids": ["1", "2"]},
            "relation": "viewer",
            "subject": {"type": "user", "ids": ["3"], "relation": "member"},
        },
    )
    assert convert.tuple_filter(message) == TupleFilter(
        "doc", ("1", "2"), "viewer", "user", ("3",), "member"
    )
    assert convert.tuple_filter(base_pb2.TupleFilter()).is_empty
    message = decode_object(base_pb2.AttributeFilter, {"attributes": ["public"]})
    assert convert.attribute_filter(message) == AttributeFilter("", (), ("public",))
    with pytest.raises(InvalidInputError, match="NUL"):
        convert.attribute_filter(base_pb2.AttributeFilter(attributes=["a\0"]))


def test_context_data_become_plain_values_with_doubles() -> None:
    data = {"n": 1, "list": [1, "x", None, {"b": True}], "null": None}
    context = convert.request_context(decode_object(base_pb2.Context, {"data": data}))
    assert context.data == data
    assert isinstance(context.data, dict)
    assert isinstance(context.data["n"], float)


def test_contextual_facts_are_taken_over() -> None:
    fact = parse_tuple("doc:1#viewer@user:2")
    stated = Attribute(Entity("doc", "1"), "public", VALUES[0])
    context = convert.request_context(
        base_pb2.Context(
            tuples=[convert.tuple_message(fact)], attributes=[convert.attribute_message(stated)]
        )
    )
    assert (context.tuples, context.attributes, context.data) == ((fact,), (stated,), None)


def test_an_empty_context_is_no_context() -> None:
    assert convert.request_context(base_pb2.Context()) is NO_CONTEXT
    assert convert.request_context(decode_object(base_pb2.Context, {"data": {}})) is NO_CONTEXT


def test_arguments_are_names_of_attributes() -> None:
    arguments = [
        base_pb2.Argument(computed_attribute=base_pb2.ComputedAttribute(name="level")),
        base_pb2.Argument(),
    ]
    assert convert.argument_names(arguments) == ("level",)


@pytest.mark.parametrize(
    "time",
    [
        datetime(2024, 5, 1, 10, 0, 0, 123_456, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    assert convert.timestamp(convert.timestamp_message(time)) == time


def test_relation_tuples_are_read_field_by_field() -> None:
    message = base_pb2.Tuple(
        entity=base_pb2.Entity(type="doc", id="1"),
        relation="viewer",
        subject=base_pb2.Subject(type="group", id="eng", relation="member"),
    )
    assert convert.relation_tuple(message) == RelationTuple(
        Entity("doc", "1"), "viewer", Subject("group", "eng", "member")
    )
