"""Changes of facts in event payloads, and back."""

from __future__ import annotations

from typing import Final, assert_never

from grantlog.errors import CorruptionError
from grantlog.event.v1 import event_pb2
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.tuples import Entity, RelationTuple, Subject


def change_to_wire(change: Change) -> event_pb2.Change:
    """The message of a change."""
    match change:
        case TupleChange(operation, ((type_, id_), relation, subject)):
            return event_pb2.Change(
                operation=_operation_to_wire(operation),
                tuple=event_pb2.Tuple(
                    entity_type=type_,
                    entity_id=id_,
                    relation=relation,
                    subject_type=subject.type,
                    subject_id=subject.id,
                    subject_relation=subject.relation,
                ),
            )
        case AttributeChange(operation, ((type_, id_), name, value)):
            return event_pb2.Change(
                operation=_operation_to_wire(operation),
                attribute=event_pb2.Attribute(
                    entity_type=type_, entity_id=id_, name=name, value=_value_to_wire(value)
                ),
            )
        case _:
            assert_never(change)


def _operation_to_wire(operation: Operation) -> event_pb2.Operation.ValueType:
    return event_pb2.Operation.ValueType(operation.value)


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


def _value_to_wire(value: AttributeValue) -> event_pb2.Value:
    message, name = event_pb2.Value(), _VALUE_FIELDS[value.type]
    if isinstance(value.data, tuple):
        array = getattr(message, name)
        array.SetInParent()
        array.items.extend(value.data)
    else:
        setattr(message, name, value.data)
    return message


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
            value = _value_from_wire(stated.value, revision)
            return AttributeChange(operation, Attribute(entity, stated.name, value))
        case None:
            raise CorruptionError(f"revision {revision} changes an unknown kind of fact")


def _value_from_wire(value: event_pb2.Value, revision: int) -> AttributeValue:
    name = value.WhichOneof("value")
    if name is None:
        raise CorruptionError(f"revision {revision} has an attribute value of unknown type")
    kind, data = _VALUE_TYPES[name], getattr(value, name)
    return AttributeValue(kind, tuple(data.items) if kind.is_array else data)
