"""JSON schemas of messages, as the ProtoJSON codec reads and writes them.

A message has two schemas where it is both sent and answered: a request may leave out what no rule
requires, an answer has every field. Bounds and required fields are those that are enforced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from grantlog.engine.question import DEPTH_MAX
from grantlog.wire.google import error_details_pb2
from grantlog.wire.openapi_texts import FIELDS, MESSAGES
from grantlog.wire.rules import is_required, rules_of, text_rule
from grantlog.wire.values import VALUE_TYPES

Json: TypeAlias = dict[str, Any]

STATUS: Final = "google.rpc.Status"
VALUE: Final = "base.v1.AttributeValue"
_ANY: Final = "google.protobuf.Any"
_INFO: Final = "google.rpc.ErrorInfo"
_ANSWER: Final = ".Answer"
_URL: Final = "type.googleapis.com/"

_RANGES: Final = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
}
_SCALARS: Final[dict[int, Json]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
}
_WELL_KNOWN: Final[dict[str, Json]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "description": "Any JSON, at most 100 deep."},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.NullValue": {"type": "null"},
}
_ALSO_REQUIRED: Final = {
    "base.v1.Attribute.value",
    "base.v1.DataBundle.name",
    "base.v1.BundleReadRequest.name",
    "base.v1.BundleDeleteRequest.name",
    "base.v1.BundleRunRequest.name",
    "base.v1.SchemaWriteRequest.schema",
}
"""No rule of the contract has them, but what they name or hold is never empty."""
_ALSO_BOUND: Final[dict[str, Json]] = {"depth": {"maximum": DEPTH_MAX}}
"""By the name of the field."""


class Role(Enum):
    """Which way a message goes."""

    SENT = "sent"
    ANSWERED = "answered"


class Schemas:
    """The schemas of requests, answers and all that they hold.

    Args:
        requests: what bodies are.
        answers: what is answered.
        bound_by_path: fields of requests that the path fills, which no body needs.
    """

    def __init__(
        self,
        requests: Sequence[Descriptor],
        answers: Sequence[Descriptor],
        *,
        bound_by_path: Collection[str],
    ) -> None:
        self._roots = {kind.full_name for kind in requests}
        self._bound_by_path = bound_by_path
        self._sent = _closure(requests)
        self._answered = _closure(answers)

    def reference(self, kind: Descriptor | EnumDescriptor, role: Role) -> Json:
        """A reference to a schema, or the schema itself where it is a small one."""
        name = kind.full_name
        if name in _WELL_KNOWN:
            return _WELL_KNOWN[name]
        if name == _ANY:
            name = VALUE
            return refer(name + _ANSWER if role is Role.ANSWERED else name)
        return refer(self._name(kind, role))

    def needs_body(self, request: Descriptor) -> bool:
        """Whether a call without a body is refused."""
        return "required" in self._schema(request, Role.SENT)

    def components(self) -> Json:
        """All schemas by name, in order."""
        found: Json = {STATUS: _STATUS, _INFO: self._error_info()}
        found[VALUE] = self._values(Role.SENT)
        found[VALUE + _ANSWER] = self._values(Role.ANSWERED)
        for kind in self._sent.values():
            found[self._name(kind, Role.SENT)] = self._schema(kind, Role.SENT)
        for kind in self._answered.values():
            found[self._name(kind, Role.ANSWERED)] = self._schema(kind, Role.ANSWERED)
        return dict(sorted(found.items()))

    def _name(self, kind: Descriptor | EnumDescriptor, role: Role) -> str:
        name = kind.full_name
        two = isinstance(kind, Descriptor) and name in self._sent and name in self._answered
        return name + _ANSWER if two and role is Role.ANSWERED else name

    def _schema(self, kind: Descriptor | EnumDescriptor, role: Role) -> Json:
        if isinstance(kind, EnumDescriptor):
            return {"type": "string", "enum": [value.name for value in kind.values]}
        hidden = self._bound_by_path if kind.full_name in self._roots else ()
        fields = [field for field in kind.fields if field.name not in hidden]
        schema: Json = {"type": "object"}
        if kind.full_name in MESSAGES:
            schema["description"] = MESSAGES[kind.full_name]
        schema["properties"] = {field.name: self._field(field, role) for field in fields}
        required = [field.name for field in fields if _must_be_there(field, role)]
        return {**schema, "required": required} if required else schema

    def _field(self, field: FieldDescriptor, role: Role) -> Json:
        """A field's schema with what is to be said about it."""
        text = FIELDS.get(field.full_name) or FIELDS.get(field.name)
        said = {"description": text} if text and role is Role.SENT else {}
        return {**self._shape(field, role), **said}

    def _shape(self, field: FieldDescriptor, role: Role) -> Json:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            values = self._single(entry.fields_by_name["value"], role)
            return {"type": "object", "additionalProperties": values}
        single = self._single(field, role)
        if field.is_repeated:
            return {"type": "array", "items": single, **_counts(field, role)}
        if role is Role.ANSWERED and entry is not None and field.containing_oneof is None:
            return {"anyOf": [single, {"type": "null"}]}
        return single

    def _single(self, field: FieldDescriptor, role: Role) -> Json:
        kind = field.message_type or field.enum_type
        if kind is not None:
            return self.reference(kind, role)
        bounds = _bounds(field) if role is Role.SENT else {}
        if field.type in _RANGES:
            format_, low, high = _RANGES[field.type]
            whole = {"type": "integer", "format": format_, "minimum": low, "maximum": high}
            return {**whole, **bounds}
        return {**_SCALARS[field.type], **bounds}

    def _values(self, role: Role) -> Json:
        """The eight kinds of attribute values, told apart by `@type`."""
        kinds = [self._tagged(cast("Descriptor", kind), role) for kind in VALUE_TYPES]
        return {"description": MESSAGES[VALUE], "oneOf": kinds}

    def _tagged(self, kind: Descriptor, role: Role) -> Json:
        schema = self._schema(kind, role)
        tag = {"@type": {"const": f"{_URL}{kind.full_name}"}}
        return {
            "type": "object",
            "title": kind.name,
            "properties": {**tag, **schema["properties"]},
            "required": ["@type", *schema.get("required", ())],
        }

    def _error_info(self) -> Json:
        kind = cast("Descriptor", error_details_pb2.ErrorInfo.DESCRIPTOR)
        info = self._tagged(kind, Role.ANSWERED)
        return {**info, "description": MESSAGES[_INFO]}


def refer(name: str) -> Json:
    """A reference to the component schema of a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def path_schema(field: FieldDescriptor) -> Json:
    """The schema of a text that stands in the path, where it cannot be empty."""
    return {"type": "string", "minLength": 1, **_bounds(field)}


def _closure(roots: Iterable[Descriptor]) -> dict[str, Descriptor | EnumDescriptor]:
    """The kinds that have components of their own, at and below the roots."""
    found: dict[str, Descriptor | EnumDescriptor] = {}
    waiting: list[Descriptor | EnumDescriptor] = list(roots)
    while waiting:
        kind = waiting.pop()
        if kind.full_name in found or kind.full_name in _WELL_KNOWN or kind.full_name == _ANY:
            continue
        if isinstance(kind, EnumDescriptor) or not kind.GetOptions().map_entry:
            found[kind.full_name] = kind
        if isinstance(kind, Descriptor):
            below = (field.message_type or field.enum_type for field in kind.fields)
            waiting.extend(item for item in below if item is not None)
    return found


def _must_be_there(field: FieldDescriptor, role: Role) -> bool:
    if role is Role.ANSWERED:
        return field.containing_oneof is None
    return is_required(field) or field.full_name in _ALSO_REQUIRED


def _counts(field: FieldDescriptor, role: Role) -> Json:
    rules = rules_of(field).repeated
    counts: Json = {}
    if role is Role.SENT and rules.min_items:
        counts["minItems"] = rules.min_items
    if role is Role.SENT and rules.HasField("max_items"):
        counts["maxItems"] = rules.max_items
    return counts


def _bounds(field: FieldDescriptor) -> Json:
    """What the rules say and JSON Schema can say too."""
    bounds: Json = dict(_ALSO_BOUND.get(field.name, {}))
    rules = rules_of(field)
    text = text_rule(field)
    if text is not None and text.bytes_max is not None:
        bounds["maxLength"] = text.bytes_max
    if text is not None and text.pattern:
        optional = text.may_be_empty and text.pattern.startswith("^")
        bounds["pattern"] = f"^({text.pattern[1:-1]})?$" if optional else text.pattern
    if rules.int32.HasField("gte"):
        bounds["minimum"] = rules.int32.gte
    if field.full_name in _ALSO_REQUIRED and field.type == FieldDescriptor.TYPE_STRING:
        bounds["minLength"] = 1
    return bounds


_STATUS: Final[Json] = {
    "type": "object",
    "description": "An error.",
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "The gRPC code."},
        "message": {
            "type": "string",
            "description": "The name of the error, or the rule that a field breaks.",
        },
        "details": {"type": "array", "items": refer(_INFO)},
    },
    "required": ["code", "message", "details"],
}
