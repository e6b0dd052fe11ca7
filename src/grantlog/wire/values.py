"""Attribute values packed in an Any, as the contract carries them."""

from __future__ import annotations

import math
from typing import Any, Final

from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.message import DecodeError, Message

from grantlog.api.v1 import base_pb2
from grantlog.errors import InvalidInputError
from grantlog.model.attributes import AttributeType, AttributeValue

_CLASSES: Final[dict[AttributeType, type[Message]]] = {
    AttributeType.BOOLEAN: base_pb2.BooleanValue,
    AttributeType.BOOLEAN_ARRAY: base_pb2.BooleanArrayValue,
    AttributeType.STRING: base_pb2.StringValue,
    AttributeType.STRING_ARRAY: base_pb2.StringArrayValue,
    AttributeType.INTEGER: base_pb2.IntegerValue,
    AttributeType.INTEGER_ARRAY: base_pb2.IntegerArrayValue,
    AttributeType.DOUBLE: base_pb2.DoubleValue,
    AttributeType.DOUBLE_ARRAY: base_pb2.DoubleArrayValue,
}
VALUE_TYPES: Final = tuple(message.DESCRIPTOR for message in _CLASSES.values())
"""The messages that carry attribute values."""
_URLS: Final = {
    kind: f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
    for kind, message in _CLASSES.items()
}
_EXAMPLE: Final = _URLS[AttributeType.STRING]
_TYPES: Final = {url: kind for kind, url in _URLS.items()}


class ForeignValueError(InvalidInputError):
    """A value that is missing, or whose whole type URL is none of the eight."""

    default_reason = "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH"


def attribute_value_from_any(message: PackedAny) -> AttributeValue:
    """The typed value that an Any carries.

    Raises:
        ForeignValueError: its type URL, compared as a whole, is none of the eight.
        InvalidInputError: the bytes are not of that type, a number is not finite, a text holds
            a NUL.
    """
    kind = _TYPES.get(message.type_url)
    if kind is None:
        raise ForeignValueError(
            f"the value has the type {message.type_url!r}, expected one of the eight, as {_EXAMPLE}"
            if message.type_url
            else "the attribute has no value"
        )
    try:
        packed: Any = _CLASSES[kind].FromString(message.value)
    except DecodeError:
        raise InvalidInputError(
            f"the value is not a readable {_URLS[kind]}", reason="ERROR_CODE_INVALID_ARGUMENT"
        ) from None
    data: Any = tuple(packed.data) if kind.is_array else packed.data
    _refuse_odd(kind, data if kind.is_array else (data,))
    return AttributeValue(kind, data)


def _refuse_odd(kind: AttributeType, items: tuple[Any, ...]) -> None:
    """Values that could not be stored, or would never equal themselves."""
    if kind.scalar is AttributeType.DOUBLE and not all(map(math.isfinite, items)):
        raise InvalidInputError(
            "a double must be a finite number", reason="ERROR_CODE_INVALID_ARGUMENT"
        )
    if kind.scalar is AttributeType.STRING and any("\0" in item for item in items):
        raise InvalidInputError(
            "a string must not hold a NUL character", reason="ERROR_CODE_INVALID_ARGUMENT"
        )


def attribute_value_to_any(value: AttributeValue) -> PackedAny:
    """The Any that carries a typed value."""
    packed: Any = _CLASSES[value.type]()
    if isinstance(value.data, tuple):
        packed.data.extend(value.data)
    else:
        packed.data = value.data
    return PackedAny(type_url=_URLS[value.type], value=packed.SerializeToString(deterministic=True))
