"""Messages to JSON values: an encoder per message type, compiled from its descriptor."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from grantlog.wire.packed import packed_class

Encode: TypeAlias = Callable[[Any], Any]

_NULL_ENUM: Final = "google.protobuf.NullValue"
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUOTED_INTEGERS: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
_FLOATS: Final = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT})


def to_object(message: Message) -> Any:
    """The JSON value of a message, ready for a JSON writer."""
    return _encoder(message.DESCRIPTOR)(message)


@cache
def _encoder(descriptor: Descriptor) -> Encode:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    plain = [(f.name, _reader(f)) for f in descriptor.fields if f.containing_oneof is None]
    oneofs = [
        (oneof.name, {field.name: _reader(field) for field in oneof.fields})
        for oneof in descriptor.oneofs
    ]

    def encode_fields(message: Any) -> dict[str, Any]:
        return {name: read(message) for name, read in plain}

    def encode_fields_and_oneofs(message: Any) -> dict[str, Any]:
        value = encode_fields(message)
        for oneof, readers in oneofs:
            member = message.WhichOneof(oneof)
            if member is not None:
                value[member] = readers[member](message)
        return value

    return encode_fields_and_oneofs if oneofs else encode_fields


def _reader(field: FieldDescriptor) -> Encode:
    """Takes the field's JSON value from a message."""
    name = field.name
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_reader(name, kind)
    convert = _value_encoder(field)
    if field.is_repeated:
        if convert is None:
            return lambda message: list(getattr(message, name))
        return lambda message: [convert(item) for item in getattr(message, name)]
    if convert is None:
        return attrgetter(name)
    if kind is not None:
        return lambda m: convert(getattr(m, name)) if m.HasField(name) else None
    return lambda message: convert(getattr(message, name))


def _map_reader(name: str, entry: Descriptor) -> Encode:
    """Entries by key, so that equal messages have equal texts."""
    convert = _value_encoder(entry.fields_by_name["value"]) or _same
    text = _bool_key if entry.fields_by_name["key"].type == FieldDescriptor.TYPE_BOOL else str

    def read(message: Any) -> dict[str, Any]:
        entries: Mapping[Any, Any] = getattr(message, name)
        return {text(key): convert(entries[key]) for key in sorted(entries)}

    return read


def _same(value: Any) -> Any:
    return value


def _bool_key(key: bool) -> str:  # noqa: FBT001 - a map's key, whatever its type
    return "true" if key else "false"


def _value_encoder(field: FieldDescriptor) -> Encode | None:
    """Turns one value of the field into its JSON value; None if it already is one."""
    if field.message_type is not None:
        return _later(field.message_type)
    if field.enum_type is not None:
        if field.enum_type.full_name == _NULL_ENUM:
            return lambda _: None
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    if field.type in _QUOTED_INTEGERS:
        return str
    if field.type in _FLOATS:
        return _float
    return _bytes if field.type == FieldDescriptor.TYPE_BYTES else None


def _later(kind: Descriptor) -> Encode:
    """The encoder of a message type, looked up when first used: types may contain themselves."""
    found: Encode | None = None

    def encode(message: Any) -> Any:
        nonlocal found
        if found is None:
            found = _encoder(kind)
        return found(message)

    return encode


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _fraction(nanos: int) -> str:
    """A fraction of a second with 0, 3, 6 or 9 digits."""
    if nanos == 0:
        return ""
    digits = f"{nanos:09}"
    return f".{digits[:3] if nanos % 10**6 == 0 else digits[:6] if nanos % 1000 == 0 else digits}"


def _timestamp(message: Any) -> str:
    whole = _UNIX_EPOCH + timedelta(seconds=message.seconds)
    return f"{whole.replace(tzinfo=None).isoformat()}{_fraction(message.nanos)}Z"


def _duration(message: Any) -> str:
    sign = "-" if message.seconds < 0 or message.nanos < 0 else ""
    return f"{sign}{abs(message.seconds)}{_fraction(abs(message.nanos))}s"


def _struct(message: Any) -> dict[str, Any]:
    fields: Mapping[str, Any] = message.fields
    return {key: _value(fields[key]) for key in sorted(fields)}


def _list(message: Any) -> list[Any]:
    return [_value(item) for item in message.values]


def _value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return _list(message.list_value)
        case "number_value":
            return _float(message.number_value)
        case None | "null_value":
            return None
        case kind:
            return getattr(message, kind)


def _any(message: Any) -> dict[str, Any]:
    """The packed message beside its type; what we cannot unpack stays as bytes."""
    if not message.type_url:
        return {}
    kind = packed_class(message.type_url)
    if kind is None:
        return {"@type": message.type_url, "value": _bytes(message.value)}
    try:
        packed = kind.FromString(message.value)
    except DecodeError:
        return {"@type": message.type_url, "value": _bytes(message.value)}
    inner = to_object(packed)
    if packed.DESCRIPTOR.full_name in _WELL_KNOWN:
        inner = {"value": inner}
    return {"@type": message.type_url, **inner}


_WELL_KNOWN: Final[dict[str, Encode]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Value": _value,
    "google.protobuf.Any": _any,
}
