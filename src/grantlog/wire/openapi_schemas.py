"""JSON schemas of messages, as the ProtoJSON codec reads and writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from grantlog.api.v1 import validate_pb2

_INT64: Final = {"type": "string", "format": "int64"}
_UINT64: Final = {"type": "string", "format": "uint64"}
_DOUBLE: Final = {"type": "number", "format": "double"}
_SCALARS: Final[dict[int, dict[str, Any]]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_DOUBLE: _DOUBLE,
}
_WELL_KNOWN: Final[dict[str, dict[str, Any]]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "description": "A message with its type in `@type`, "
        "as type.googleapis.com/base.v1.StringValue.",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}
_STATUS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An error.",
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "The gRPC code."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"$ref": "#/components/schemas/google.protobuf.Any"}},
    },
    "required": ["code", "message", "details"],
}


def schemas_of(roots: Iterable[Descriptor]) -> dict[str, Any]:
    """The schemas of these messages and of all that they hold, by full name, in order."""
    found: dict[str, Any] = {"google.rpc.Status": _STATUS}
    found["google.protobuf.Any"] = _WELL_KNOWN["google.protobuf.Any"]
    waiting: list[Descriptor | EnumDescriptor] = list(roots)
    while waiting:
        kind = waiting.pop()
        if kind.full_name in found:
            continue
        if isinstance(kind, EnumDescriptor):
            found[kind.full_name] = {"type": "string", "enum": [v.name for v in kind.values]}
        elif kind.full_name in _WELL_KNOWN:
            found[kind.full_name] = _WELL_KNOWN[kind.full_name]
        else:
            found[kind.full_name] = _message(kind)
            waiting.extend(_below(kind))
    return dict(sorted(found.items()))


def reference(full_name: str) -> dict[str, Any]:
    """A reference to the schema of a message or enum."""
    return {"$ref": f"#/components/schemas/{full_name}"}


def _below(kind: Descriptor) -> list[Descriptor | EnumDescriptor]:
    below: list[Descriptor | EnumDescriptor] = []
    for field in kind.fields:
        of = _map_value(field) or field
        if of.message_type is not None:
            below.append(of.message_type)
        if of.enum_type is not None:
            below.append(of.enum_type)
    return below


def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """The field of a map's values; None if the field is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def _message(kind: Descriptor) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _field(field) for field in kind.fields},
    }
    required = [field.name for field in kind.fields if _is_required(field)]
    return {**schema, "required": required} if required else schema


def _is_required(field: FieldDescriptor) -> bool:
    """Whether a call without the field is refused."""
    rules = field.GetOptions().Extensions[validate_pb2.rules]
    return rules.message.required and field.containing_oneof is None


def _field(field: FieldDescriptor) -> dict[str, Any]:
    value = _map_value(field)
    if value is not None:
        return {"type": "object", "additionalProperties": _single(value)}
    return {"type": "array", "items": _single(field)} if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> dict[str, Any]:
    kind = field.message_type or field.enum_type
    if kind is None:
        return {**_SCALARS[field.type], **_bounds(field)}
    return reference(kind.full_name)


def _bounds(field: FieldDescriptor) -> dict[str, Any]:
    """What the validation rules say and JSON Schema can say too."""
    rules = field.GetOptions().Extensions[validate_pb2.rules]
    bounds: dict[str, Any] = {}
    if rules.string.pattern and not rules.string.ignore_empty:
        bounds["pattern"] = rules.string.pattern
    if rules.int32.HasField("gte"):
        bounds["minimum"] = rules.int32.gte
    return bounds
