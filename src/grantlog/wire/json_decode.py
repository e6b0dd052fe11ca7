"""JSON values into messages: a decoder per message type, compiled from its descriptor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from grantlog.errors import FieldViolationError
from grantlog.wire.json_scalars import Mismatch, expected, scalar_decoder
from grantlog.wire.json_struct import (
    as_list,
    as_object,
    decode_list,
    decode_struct,
    decode_value,
)
from grantlog.wire.json_times import decode_duration, decode_timestamp
from grantlog.wire.packed import packed_class

Decode: TypeAlias = Callable[[Any, Any, int], None]
"""Fills a message from a JSON value found at a depth."""

_NULL_ENUM: Final = "google.protobuf.NullValue"
_VALUE: Final = "google.protobuf.Value"


class BodyError(FieldViolationError):
    """A body that is not JSON for the message; the text names the field."""


def decode_into(message: Message, value: object) -> None:
    """Fill an empty message from a JSON value.

    Raises:
        BodyError: the value does not fit; the text names the field.
    """
    try:
        _decoder(message.DESCRIPTOR)(message, value, 1)
    except Mismatch as mismatch:
        raise BodyError(str(mismatch)) from None


class _Shape(NamedTuple):
    """What a message type accepts."""

    setters: dict[str, Decode]
    """By proto name."""
    aliases: dict[str, str]
    """Declared JSON names that differ, to proto names."""
    take_null: frozenset[str]
    """The fields for which null is a value."""


def _shape(descriptor: Descriptor) -> _Shape:
    fields = descriptor.fields
    return _Shape(
        setters={field.name: _setter(field) for field in fields},
        aliases={f.json_name: f.name for f in fields if f.json_name != f.name},
        take_null=frozenset(field.name for field in fields if _takes_null(field)),
    )


def _takes_null(field: FieldDescriptor) -> bool:
    kind = field.enum_type or field.message_type
    return kind is not None and kind.full_name in (_NULL_ENUM, _VALUE) and not field.is_repeated


@cache
def _decoder(descriptor: Descriptor) -> Decode:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    setters, aliases, take_null = _shape(descriptor)

    def decode(message: Any, value: Any, depth: int) -> None:
        fields = as_object(value, depth)
        for key, item in fields.items():
            name = key
            setter = setters.get(name)
            if setter is None:
                name = aliases.get(key, "")
                if not name:
                    continue
                if name in fields:
                    raise Mismatch(f"given twice, as {key} and as {name}")
                setter = setters[name]
            if item is None and name not in take_null:
                continue
            try:
                setter(message, item, depth)
            except Mismatch as mismatch:
                mismatch.widen(key)
                raise

    return decode


def _setter(field: FieldDescriptor) -> Decode:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_setter(field.name, kind)
    if field.is_repeated:
        return _repeated_setter(field)
    setter = _single_setter(field)
    if field.containing_oneof is None:
        return setter
    oneof = field.containing_oneof.name

    def set_member(message: Any, value: Any, depth: int) -> None:
        other = message.WhichOneof(oneof)
        if other is not None:
            raise Mismatch(f"only one of a choice may be set, and {other} is set")
        setter(message, value, depth)

    return set_member


def _single_setter(field: FieldDescriptor) -> Decode:
    name = field.name
    if field.message_type is not None:
        inner = _later(field.message_type)

        def set_message(message: Any, value: Any, depth: int) -> None:
            child = getattr(message, name)
            child.SetInParent()
            inner(child, value, depth + 1)

        return set_message
    if field.enum_type is not None:
        number_of = _enum_decoder(field.enum_type)

        def set_enum(message: Any, value: Any, _depth: int) -> None:
            number = number_of(value)
            if number is not None:
                setattr(message, name, number)

        return set_enum
    convert = scalar_decoder(field)

    def set_scalar(message: Any, value: Any, _depth: int) -> None:
        setattr(message, name, convert(value))

    return set_scalar


def _repeated_setter(field: FieldDescriptor) -> Decode:
    name, append = field.name, _appender(field)

    def set_items(message: Any, value: Any, depth: int) -> None:
        items = getattr(message, name)
        for index, item in enumerate(as_list(value, depth + 1)):
            try:
                append(items, item, depth + 1)
            except Mismatch as mismatch:
                mismatch.widen(f"[{index}]")
                raise

    return set_items


def _appender(field: FieldDescriptor) -> Decode:
    """Adds one JSON value to a repeated field."""
    if field.message_type is not None:
        inner = _later(field.message_type)
        return lambda items, value, depth: inner(items.add(), value, depth)
    if field.enum_type is not None:
        number_of = _enum_decoder(field.enum_type)

        def append_enum(items: Any, value: Any, _depth: int) -> None:
            number = number_of(value)
            if number is not None:
                items.append(number)

        return append_enum
    convert = scalar_decoder(field)
    return lambda items, value, _depth: items.append(convert(value))


def _map_setter(name: str, entry: Descriptor) -> Decode:
    key_of = scalar_decoder(entry.fields_by_name["key"], quoted=True)
    put = _putter(entry.fields_by_name["value"])

    def set_entries(message: Any, value: Any, depth: int) -> None:
        entries = getattr(message, name)
        for key, item in as_object(value, depth + 1).items():
            try:
                put(entries, key_of(key), item, depth + 1)
            except Mismatch as mismatch:
                mismatch.widen(f"[{key}]")
                raise

    return set_entries


def _putter(field: FieldDescriptor) -> Callable[[Any, Any, Any, int], None]:
    """Puts one JSON value into a map field."""
    if field.message_type is not None:
        inner = _later(field.message_type)
        return lambda entries, key, value, depth: inner(entries[key], value, depth + 1)
    if field.enum_type is not None:
        number_of = _enum_decoder(field.enum_type)

        def put_enum(entries: Any, key: Any, value: Any, _depth: int) -> None:
            number = number_of(value)
            if number is not None:
                entries[key] = number

        return put_enum
    convert = scalar_decoder(field)

    def put_scalar(entries: Any, key: Any, value: Any, _depth: int) -> None:
        entries[key] = convert(value)

    return put_scalar


def _enum_decoder(kind: EnumDescriptor) -> Callable[[Any], int | None]:
    """A number by name or by itself; None for a name that the enum does not have."""
    numbers = {value.name: value.number for value in kind.values}
    is_null = kind.full_name == _NULL_ENUM

    def decode(value: Any) -> int | None:
        if value is None and is_null:
            return 0
        if type(value) is str:
            return numbers.get(value)
        if type(value) is int and -(2**31) <= value < 2**31:
            return value
        raise expected("a name or number of an enum", value)

    return decode


def _later(kind: Descriptor) -> Decode:
    """The decoder of a message type, looked up when first used: types may contain themselves."""
    found: Decode | None = None

    def decode(message: Any, value: Any, depth: int) -> None:
        nonlocal found
        if found is None:
            found = _decoder(kind)
        found(message, value, depth)

    return decode


def _any(message: Any, value: Any, depth: int) -> None:
    fields = as_object(value, depth)
    if not fields:
        return
    type_url = fields.get("@type")
    if type(type_url) is not str or not type_url:
        raise Mismatch('expected an "@type" that names the type of the value')
    kind = packed_class(type_url)
    if kind is None:
        raise Mismatch(f'the "@type" {type_url!r} is not known here')
    packed = kind()
    name = packed.DESCRIPTOR.full_name
    inner = fields.get("value") if name in _WELL_KNOWN else fields
    _decoder(packed.DESCRIPTOR)(packed, inner, depth)
    message.type_url = type_url
    message.value = packed.SerializeToString(deterministic=True)


_WELL_KNOWN: Final[dict[str, Decode]] = {
    "google.protobuf.Timestamp": decode_timestamp,
    "google.protobuf.Duration": decode_duration,
    "google.protobuf.Struct": decode_struct,
    "google.protobuf.ListValue": decode_list,
    "google.protobuf.Value": decode_value,
    "google.protobuf.Any": _any,
}
