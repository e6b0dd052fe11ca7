"""The fields of the log and the topic are a contract for ever: a committed list is compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from grantlog.event.v1 import event_pb2

LIST = Path(__file__).with_name("event_fields.txt")


def described() -> list[str]:
    """One line for each field and each enum value there is."""
    file = event_pb2.DESCRIPTOR
    lines = [line for message in file.message_types_by_name.values() for line in fields(message)]
    lines += [line for enum in file.enum_types_by_name.values() for line in values(enum)]
    return sorted(lines)


def fields(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        oneof = f" of {field.containing_oneof.name}" if field.containing_oneof else ""
        yield f"{message.full_name}.{field.name} = {field.number}: {kind(field)}{oneof}"
    for nested in message.nested_types:
        yield from fields(nested)


def values(enum: EnumDescriptor) -> Iterator[str]:
    for value in enum.values:
        yield f"{enum.full_name}.{value.name} = {value.number}"


def kind(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    name = named.full_name if named else FieldDescriptorProto.Type.Name(field.type)
    return f"repeated {name}" if field.is_repeated else name


def test_fields_of_the_log_are_never_changed_renumbered_or_removed() -> None:
    promised = LIST.read_text().splitlines()
    assert sorted(set(promised) - set(described())) == [], "readers of old logs rely on these"


def test_fields_that_are_added_are_promised_too() -> None:
    promised = LIST.read_text().splitlines()
    assert described() == promised, f"add the new lines to {LIST.name}: they stay for ever"
