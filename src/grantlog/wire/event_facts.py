"""Changes of facts in event payloads, and back."""

from __future__ import annotations

from typing import Final, assert_never

from grantlog.errors import CorruptionError
from grantlog.event.v1 import event_pb2
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.tuples import Entity, RelationTuple, Subject


def fill_change(message: event_pb2.Change, change: Change) -> None:
    """Fill an empty message in place: a nested message that is assigned would be copied."""
    message.operation = _WIRE_OPERATIONS[change.operation]
    match change:
        case TupleChange(_, (entity, relation, subject)):
            fact = message.tuple
            fact.entity_type, fact.entity_id = entity
            fact.relation = relation
            fact.subject_type, fact.subject_id, fact.subject_relation = subject
            fact.SetInParent()
        case AttributeChange(_, (entity, name, value)):
            stated = message.attribute
            stated.entity_type, stated.entity_id = entity
            stated.name = name
            fill_value(stated.value, value)
        case _:
            assert_never(change)


_WIRE_OPERATIONS: Final = {
    operation: event_pb2.Operation.ValueType(operation.value) for operation in Operation
}
_VALUE_FIELDS: Final = {
    AttributeType.BOOLEAN: "boolean",
    AttributeType.BOOLEAN_ARRAY: "boolean_array",
    AttributeType.STRING: "text",
    AttributeType.STRING_ARRAY: "text_array",
    AttributeType.INTEGER: "integer",
    AttributeType.INTEGER_ARRAY: "integer_array",
    AttributeType.DOUBLE: "real",
    AttributeType.DOUBLE_ARRAY: "real_array",
}
_VALUE_TYPES: Final = {name: kind for kind, name in _VALUE_FIELDS.items()}


def fill_value(message: event_pb2.Value, value: AttributeValue) -> None:
    """Fill an empty message in place."""
    name = _VALUE_FIELDS[value.type]
    if isinstance(value.data, tuple):
        array = getattr(message, name)
        array.SetInParent()
        array.items.extend(value.data)
    else:
        setattr(message, name, value.data)


_OPERATIONS: Final = {operation.value: operation for operation in Operation}


def change_from_wire(change: event_pb2.Change, revision: int) -> Change:
    """The change of a message; `revision` is for the text of an error.

    Raises:
        CorruptionError: an operation, fact or value of a kind that this version does not know.
    """
    operation = _OPERATIONS.get(change.operation)
    if operation is None:
        raise CorruptionError(f"revision {revision} has the unknown operation {change.operation}")
    match change.WhichOneof("fact"):
        case "tuple":
            fact = change.tuple
            entity = Entity(fact.entity_type, fact.entity_id)
            subject = Subject(fact.subject_type, fact.subject_id, fact.subject_relation)
            return TupleChange(operation, RelationTuple(entity, fact.relation, subject))
        case "attribute":
            stated = change.attribute
            entity = Entity(stated.entity_type, stated.entity_id)
            value = value_from_wire(stated.value, f"revision {revision}")
            return AttributeChange(operation, Attribute(entity, stated.name, value))
        case None:
            raise CorruptionError(f"revision {revision} changes an unknown kind of fact")


def value_from_wire(value: event_pb2.Value, where: str) -> AttributeValue:
    """The value of a message; `where` it stands is for the text of an error.

    Raises:
        CorruptionError: it is of a type that this version does not know.
    """
    name = value.WhichOneof("value")
    if name is None:
        raise CorruptionError(f"{where} has an attribute value of unknown type")
    kind, data = _VALUE_TYPES[name], getattr(value, name)
    return AttributeValue(kind, tuple(data.items) if kind.is_array else data)
