"""The JSON codec against the reference one of protobuf, on random messages."""

import json
import math

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.wire.protojson import decode, encode

texts = st.text(max_size=8)
doubles = st.floats(allow_nan=False) | st.just(math.nan)  # JSON keeps no payload of a NaN
data = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def attributes(draw: st.DrawFn) -> base_pb2.Attribute:
    packed = draw(
        st.one_of(
            st.builds(base_pb2.BooleanValue, data=st.booleans()),
            st.builds(base_pb2.StringArrayValue, data=st.lists(texts, max_size=3)),
            st.builds(base_pb2.IntegerValue, data=st.integers(-(2**31), 2**31 - 1)),
            st.builds(base_pb2.DoubleArrayValue, data=st.lists(doubles, max_size=3)),
        )
    )
    attribute = base_pb2.Attribute(attribute=draw(texts))
    attribute.value.Pack(packed)
    return attribute


@st.composite
def requests(draw: st.DrawFn) -> service_pb2.PermissionCheckRequest:
    request = service_pb2.PermissionCheckRequest(tenant_id=draw(texts), permission=draw(texts))
    if draw(st.booleans()):
        request.metadata.depth = draw(st.integers(-(2**31), 2**31 - 1))
    if draw(st.booleans()):
        request.entity.type = draw(texts)
    if draw(st.booleans()):
        request.context.attributes.extend(draw(st.lists(attributes(), max_size=2)))
        json_format.ParseDict(draw(st.dictionaries(texts, data, max_size=3)), request.context.data)
    for name in draw(st.lists(texts, max_size=2)):
        request.arguments.add().computed_attribute.name = name
    return request


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> base_pb2.Expand:
    node = base_pb2.Expand(permission=draw(texts))
    match draw(st.integers(0, 3 if depth else 2)):
        case 0:
            subjects = node.leaf.subjects.subjects
            subjects.extend([base_pb2.Subject(id=i) for i in draw(st.lists(texts, max_size=2))])
        case 1:
            node.leaf.values.values[draw(texts)].Pack(base_pb2.StringValue(data=draw(texts)))
        case 2:
            pass
        case _:
            node.expand.operation = draw(st.integers(0, 3))
            node.expand.children.extend(draw(st.lists(trees(depth - 1), max_size=2)))
    return node


messages = st.one_of(requests(), trees())


@given(messages)
def test_what_is_written_is_read_back(message: Message) -> None:
    assert decode(type(message), encode(message)).SerializeToString(
        deterministic=True
    ) == message.SerializeToString(deterministic=True)


@given(messages)
def test_the_reference_codec_reads_what_is_written(message: Message) -> None:
    read = json_format.Parse(encode(message), type(message)(), ignore_unknown_fields=True)
    assert read.SerializeToString(deterministic=True) == message.SerializeToString(
        deterministic=True
    )


@given(messages, st.booleans())
def test_what_the_reference_codec_writes_is_read(message: Message, proto_names: bool) -> None:
    text = json_format.MessageToJson(message, preserving_proto_field_name=proto_names)
    assert decode(type(message), text.encode()).SerializeToString(
        deterministic=True
    ) == message.SerializeToString(deterministic=True)


@given(messages)
def test_what_both_write_differs_only_in_nulls(message: Message) -> None:
    ours = json.loads(encode(message))
    reference = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert without_unset(message, ours) == reference


def without_unset(message: Message, value: dict[str, object]) -> dict[str, object]:
    """Leave out the nulls of unset messages, which the reference codec does not write."""
    return {
        key: _inside(message, key, item)
        for key, item in value.items()
        if not (item is None and not message.HasField(key))
    }


def _inside(message: Message, key: str, item: object) -> object:
    kind = message.DESCRIPTOR.fields_by_name[key]
    child = getattr(message, key)
    if kind.message_type is None or kind.message_type.file.package != "base.v1":
        return item
    if kind.message_type.GetOptions().map_entry:
        return item
    if isinstance(item, list):
        return [without_unset(c, i) for c, i in zip(child, item, strict=True)]
    assert isinstance(item, dict)
    return without_unset(child, item)
